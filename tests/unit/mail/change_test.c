#include "mail/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/cursor.h"

enum { STORED_MAX = 4 << 20, ARENA_MAX = 8 << 20 };
enum { T_ID = 1, T_WHEN = 2, T_RCPT = 3, T_VIA = 4 };

static struct change_rcpt rcpts[] = {
    {.index = 0,
	.number = 7,
	.attempts = 3,
	.outcome = OUTCOME_DEFERRED,
	.due = INT64_C(1700000000000001),
	.code = 451,
	.esc = {4, 7, 255},
	.host = SPAN("mx.example [192.0.2.1]"),
	.reply = SPAN("later\nplease \xff\0"),
	.tls = SPAN("1.3/verified"),
	.rule = SPAN("godwit.conf:48:3"),
	.warned = true},
    {.index = CHANGE_RCPT_MAX - 1,
	.number = UINT32_MAX,
	.outcome = OUTCOME_DROPPED,
	.vmta = SPAN("bulk-a")},
    {.index = 2, .outcome = OUTCOME_UNTOLD, .due = 1, .warned = true},
    {.index = 1, .due = INT64_MIN, .attempts = UINT32_MAX, .code = UINT16_MAX},
};

static struct change full(void)
{
	return (struct change){
	    .id = {{1, 2, 255}}, .when = -1, .rcpt = rcpts, .n_rcpt = GW_ARRAY_LEN(rcpts)};
}

static void assert_same(const struct change *a, const struct change *b)
{
	assert_true(msgid_eq(&a->id, &b->id));
	assert_int_equal(a->when, b->when);
	assert_int_equal(a->n_rcpt, b->n_rcpt);
	for (size_t i = 0; i < a->n_rcpt; i++) {
		const struct change_rcpt *x = &a->rcpt[i], *y = &b->rcpt[i];

		assert_int_equal(x->index, y->index);
		assert_int_equal(x->number, y->number);
		assert_int_equal(x->attempts, y->attempts);
		assert_int_equal(x->outcome, y->outcome);
		assert_int_equal(x->due, y->due);
		assert_int_equal(x->code, y->code);
		assert_memory_equal(x->esc, y->esc, sizeof(x->esc));
		assert_true(span_eq(x->host, y->host));
		assert_true(span_eq(x->reply, y->reply));
		assert_true(span_eq(x->tls, y->tls));
		assert_true(span_eq(x->vmta, y->vmta));
		assert_true(span_eq(x->rule, y->rule));
		assert_int_equal(x->warned, y->warned);
	}
}

static int decode(struct span in, struct change *c)
{
	static struct arena a;
	int err;

	arena_reset(&a);
	arena_init(&a, ARENA_MAX);
	err = change_decode(c, in, &a);
	return err;
}

static void test_there_and_back(void **state)
{
	struct change c = full(), again;
	struct buf b;

	(void)state;
	buf_init(&b, STORED_MAX);
	for (c.n_rcpt = 0; c.n_rcpt <= GW_ARRAY_LEN(rcpts); c.n_rcpt++) {
		buf_clear(&b);
		change_encode(&c, &b);
		assert_false(buf_failed(&b));
		assert_int_equal(decode(buf_view(&b), &again), 0);
		assert_same(&c, &again);
	}
	buf_fini(&b);
}

static void test_torn_and_flipped(void **state)
{
	struct change c = full(), got;
	uint8_t copy[512];
	struct buf b;
	struct span all;

	(void)state;
	buf_init(&b, sizeof(copy));
	change_encode(&c, &b);
	all = buf_view(&b);
	for (size_t n = 0; n < all.n; n++) {
		if (decode(span_first(all, n), &got) == 0)
			assert_true(got.n_rcpt < c.n_rcpt);
	}
	for (size_t i = 0; i < all.n * 8; i++) {
		memcpy(copy, all.p, all.n);
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (decode(span_of(copy, all.n), &got) != 0)
			continue;
		for (size_t k = 0; k < got.n_rcpt; k++) {
			assert_true(got.rcpt[k].outcome <= OUTCOME_MAX);
			assert_true(got.rcpt[k].index < CHANGE_RCPT_MAX);
		}
	}
	buf_fini(&b);
}

static void field(struct buf *b, uint8_t tag, struct span value)
{
	put_u8(b, tag);
	put_span32(b, value);
}

static void test_fields(void **state)
{
	struct span id = SPAN("0123456789abcdef"), when = SPAN("01234567");
	struct change c;
	struct buf b;

	(void)state;
	buf_init(&b, STORED_MAX);
	put_u8(&b, 1);
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT); /* the id is missing */
	field(&b, T_ID, id);
	assert_int_equal(decode(buf_view(&b), &c), 0);
	field(&b, T_WHEN, when);
	field(&b, 77, SPAN("future"));
	field(&b, 77, SPAN("future"));
	assert_int_equal(decode(buf_view(&b), &c), 0);
	assert_int_equal(c.n_rcpt, 0);
	field(&b, T_WHEN, when);
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT);
	buf_clear(&b);
	put_u8(&b, 1);
	field(&b, T_ID, id);
	field(&b, T_ID, id);
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT);
	buf_fini(&b);
	assert_int_equal(decode(SPAN_NONE, &c), GW_EFORMAT);
	assert_int_equal(decode(SPAN("\2"), &c), GW_EVERSION);
}

/* "1.3", no vmta, no rule. */
static const uint8_t via[] = {3, 0, '1', '.', '3', 0, 0, 0, 0};

static void test_how_it_was_reached(void **state)
{
	static const uint8_t rcpt[30], nothing[6];
	struct span one = span_of(rcpt, sizeof(rcpt)), how = span_of(via, sizeof(via));
	struct change c;
	struct buf b;

	(void)state;
	buf_init(&b, STORED_MAX);
	put_u8(&b, 1);
	field(&b, T_ID, SPAN("0123456789abcdef"));
	field(&b, T_RCPT, one); /* as it was written before there was such a field */
	field(&b, T_RCPT, one);
	field(&b, T_VIA, how);
	field(&b, T_RCPT, one);
	assert_int_equal(decode(buf_view(&b), &c), 0);
	assert_int_equal(c.n_rcpt, 3);
	assert_int_equal(c.rcpt[0].tls.n, 0);
	assert_true(span_eq(c.rcpt[1].tls, SPAN("1.3")));
	assert_int_equal(c.rcpt[2].tls.n, 0);
	field(&b, T_VIA, span_of(nothing, sizeof(nothing)));
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT); /* it says nothing */
	buf_clear(&b);
	put_u8(&b, 1);
	field(&b, T_ID, SPAN("0123456789abcdef"));
	field(&b, T_VIA, how);
	field(&b, T_RCPT, one);
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT); /* of nobody */
	buf_clear(&b);
	put_u8(&b, 1);
	field(&b, T_ID, SPAN("0123456789abcdef"));
	field(&b, T_RCPT, one);
	field(&b, T_VIA, how);
	field(&b, T_VIA, how);
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT); /* twice */
	buf_fini(&b);
}

static void test_ceilings(void **state)
{
	static const uint8_t rcpt[30];
	struct change c = full();
	struct buf b;
	struct arena small;

	(void)state;
	buf_init(&b, STORED_MAX);
	put_u8(&b, 1);
	field(&b, T_ID, SPAN("0123456789abcdef"));
	for (size_t i = 0; i < CHANGE_RCPT_MAX; i++)
		field(&b, T_RCPT, span_of(rcpt, sizeof(rcpt)));
	assert_int_equal(decode(buf_view(&b), &c), 0);
	assert_int_equal(c.n_rcpt, CHANGE_RCPT_MAX);
	arena_init(&small, 1000);
	assert_int_equal(change_decode(&c, buf_view(&b), &small), GW_EFULL);
	arena_reset(&small);
	field(&b, T_RCPT, span_of(rcpt, sizeof(rcpt)));
	assert_int_equal(decode(buf_view(&b), &c), GW_EFORMAT);
	buf_fini(&b);
}

static bool encodes(const struct change_rcpt *r)
{
	struct change_rcpt copy = *r;
	struct change c = {.rcpt = &copy, .n_rcpt = 1};
	struct buf b;
	bool ok;

	buf_init(&b, STORED_MAX);
	change_encode(&c, &b);
	ok = !buf_failed(&b);
	buf_fini(&b);
	return ok;
}

static void test_encoding_refuses_what_decoding_would(void **state)
{
	static uint8_t long_text[UINT16_MAX + 1];
	struct change_rcpt r = {.index = 0};

	(void)state;
	assert_true(encodes(&r));
	r.index = CHANGE_RCPT_MAX;
	assert_false(encodes(&r));
	r.index = 0;
	r.outcome = (enum outcome)(OUTCOME_MAX + 1);
	assert_false(encodes(&r));
	r.outcome = OUTCOME_NONE;
	r.reply = span_of(long_text, sizeof(long_text));
	assert_false(encodes(&r));
	r.reply.n--;
	assert_true(encodes(&r));
}

static void test_which_state_wins(void **state)
{
	static const struct {
		enum outcome old;
		uint32_t old_number;
		enum outcome new_;
		uint32_t new_number;
		bool wins;
	} rows[] = {
	    {OUTCOME_NONE, 0, OUTCOME_DEFERRED, 1, true},
	    {OUTCOME_NONE, 0, OUTCOME_NONE, 0, false},
	    {OUTCOME_DEFERRED, 1, OUTCOME_DEFERRED, 2, true},
	    {OUTCOME_DEFERRED, 2, OUTCOME_DEFERRED, 2, false},
	    {OUTCOME_DEFERRED, 2, OUTCOME_DEFERRED, 1, false},
	    {OUTCOME_DEFERRED, 1, OUTCOME_NONE, 2, true},
	    {OUTCOME_DEFERRED, 1, OUTCOME_DELIVERED, 2, true},
	    {OUTCOME_DEFERRED, 5, OUTCOME_DELIVERED, 4, true},
	    {OUTCOME_NONE, 5, OUTCOME_FAILED, 1, true},
	    {OUTCOME_DELIVERED, 1, OUTCOME_DEFERRED, 2, false},
	    {OUTCOME_DELIVERED, 1, OUTCOME_FAILED, 9, false},
	    {OUTCOME_FAILED, 1, OUTCOME_DELIVERED, 9, false},
	    {OUTCOME_EXPIRED, 1, OUTCOME_NONE, UINT32_MAX, false},
	    {OUTCOME_DROPPED, 0, OUTCOME_DROPPED, 1, false},
	    {OUTCOME_DEFERRED, UINT32_MAX, OUTCOME_DEFERRED, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		assert_int_equal(
		    change_wins(rows[i].old, rows[i].old_number, rows[i].new_, rows[i].new_number),
		    rows[i].wins);
}

/* Recovery reads records in any order: with one final state among three, all orders agree. */
static void test_order_of_reading_does_not_matter(void **state)
{
	static const unsigned order[][3] = {
	    {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	static const enum outcome what[] = {OUTCOME_DEFERRED, OUTCOME_NONE, OUTCOME_DELIVERED};

	(void)state;
	for (unsigned numbers = 0; numbers < 27; numbers++) {
		uint32_t number[] = {numbers % 3, numbers / 3 % 3, numbers / 9};

		for (size_t k = 0; k < GW_ARRAY_LEN(order); k++) {
			enum outcome now = OUTCOME_NONE;
			uint32_t at = 0;

			for (size_t i = 0; i < 3; i++) {
				unsigned n = order[k][i];

				if (change_wins(now, at, what[n], number[n])) {
					now = what[n];
					at = number[n];
				}
			}
			assert_int_equal(now, OUTCOME_DELIVERED);
			assert_int_equal(at, number[2]);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_torn_and_flipped),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_how_it_was_reached),
	    cmocka_unit_test(test_ceilings),
	    cmocka_unit_test(test_encoding_refuses_what_decoding_would),
	    cmocka_unit_test(test_which_state_wins),
	    cmocka_unit_test(test_order_of_reading_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
