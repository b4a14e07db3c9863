#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/cursor.h"

enum { STORED_MAX = 8 << 20, ARENA_MAX = 8 << 20 };
/* Numbers of stored fields: they are a promise to files on disk, so the test repeats them. */
enum { T_ID = 1, T_FROM = 4, T_RCPT = 5, T_TAG = 10, T_ENVID = 14, T_RET = 15, T_BODY_TYPE = 16 };
enum { T_SMTPUTF8 = 17, T_FACTS = 20, T_ORIGIN = 21, T_PART = 26 };

struct stored {
	struct buf b;
	struct arena a;
};

static int setup(void **state)
{
	static struct stored s;

	buf_init(&s.b, STORED_MAX);
	arena_init(&s.a, ARENA_MAX);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct stored *s = *state;

	buf_fini(&s->b);
	arena_reset(&s->a);
	return 0;
}

static const struct rcpt rcpts[] = {
    {SPAN("a@b.example"), SPAN("rfc822;A@b.example"), NOTIFY_FAILURE | NOTIFY_DELAY, SPAN_NONE,
	false},
    {SPAN("\"x y\"@[192.0.2.1]"), SPAN_NONE, 0, SPAN("owner-list@b.example"), true},
    {SPAN("postmaster"), SPAN_NONE, NOTIFY_NEVER, SPAN_NONE, true},
};
static const struct span tags[] = {SPAN("one"), SPAN(""), SPAN("thr\xc3\xa9 e")};
static const struct part parts[] = {{1, 2, 3, 4}, {UINT64_MAX, UINT64_MAX - 1, UINT32_MAX, 7}};

static struct envelope full(void)
{
	struct envelope e = {
	    .id = {{1, 2, 3}},
	    .nonce = {{0, 0, 9}},
	    .accepted = INT64_C(1700000000000001),
	    .from = SPAN("bounce+1@c.example"),
	    .rcpt = rcpts,
	    .n_rcpt = GW_ARRAY_LEN(rcpts),
	    .tenant = SPAN("acme"),
	    .account = SPAN("sales"),
	    .ticket = SPAN("\0\1\2\xff"),
	    .priority = 200,
	    .tag = tags,
	    .n_tag = GW_ARRAY_LEN(tags),
	    .vmta = SPAN("v1"),
	    .site = SPAN("mx.example"),
	    .idempotency_key = SPAN("k"),
	    .envid = SPAN("Q 1"),
	    .ret = RET_HDRS,
	    .body_type = BODY_BINARYMIME,
	    .smtputf8 = true,
	    .at_most_once = true,
	    .facts = {.size = UINT64_C(1) << 40,
		.lines = 5,
		.longest_line = 998,
		.eight_bit = true,
		.bare_lf = true},
	    .origin = ORIGIN_API,
	    .client_ip = SPAN("192.0.2.7"),
	    .client_helo = SPAN("helo.example"),
	    .listener = SPAN("l0"),
	    .head_length = 321,
	    .part = parts,
	    .n_part = GW_ARRAY_LEN(parts),
	    .ends = SPAN("\1\2\3"),
	    .held = SPAN("\4\5"),
	};
	return e;
}

static void assert_span(struct span a, struct span b)
{
	assert_int_equal(a.n, b.n);
	assert_true(span_eq(a, b));
}

static void assert_facts(const struct body_facts *a, const struct body_facts *b)
{
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->lines, b->lines);
	assert_int_equal(a->longest_line, b->longest_line);
	assert_int_equal(a->eight_bit, b->eight_bit);
	assert_int_equal(a->nul, b->nul);
	assert_int_equal(a->bare_cr, b->bare_cr);
	assert_int_equal(a->bare_lf, b->bare_lf);
	assert_int_equal(a->open_end, b->open_end);
}

static void assert_arrays(const struct envelope *a, const struct envelope *b)
{
	assert_int_equal(a->n_rcpt, b->n_rcpt);
	for (size_t i = 0; i < a->n_rcpt; i++) {
		assert_span(a->rcpt[i].addr, b->rcpt[i].addr);
		assert_span(a->rcpt[i].orcpt, b->rcpt[i].orcpt);
		assert_span(a->rcpt[i].from, b->rcpt[i].from);
		assert_int_equal(a->rcpt[i].notify, b->rcpt[i].notify);
		assert_int_equal(a->rcpt[i].kept, b->rcpt[i].kept);
	}
	assert_int_equal(a->n_tag, b->n_tag);
	for (size_t i = 0; i < a->n_tag; i++)
		assert_span(a->tag[i], b->tag[i]);
	assert_int_equal(a->n_part, b->n_part);
	for (size_t i = 0; i < a->n_part; i++) {
		assert_int_equal(a->part[i].segment, b->part[i].segment);
		assert_int_equal(a->part[i].offset, b->part[i].offset);
		assert_int_equal(a->part[i].length, b->part[i].length);
		assert_int_equal(a->part[i].sum, b->part[i].sum);
	}
}

static void assert_same(const struct envelope *a, const struct envelope *b)
{
	assert_true(msgid_eq(&a->id, &b->id));
	assert_true(msgid_eq(&a->nonce, &b->nonce));
	assert_int_equal(a->accepted, b->accepted);
	assert_span(a->from, b->from);
	assert_span(a->tenant, b->tenant);
	assert_span(a->account, b->account);
	assert_span(a->ticket, b->ticket);
	assert_int_equal(a->priority, b->priority);
	assert_span(a->vmta, b->vmta);
	assert_span(a->site, b->site);
	assert_span(a->idempotency_key, b->idempotency_key);
	assert_span(a->envid, b->envid);
	assert_int_equal(a->ret, b->ret);
	assert_int_equal(a->body_type, b->body_type);
	assert_int_equal(a->smtputf8, b->smtputf8);
	assert_int_equal(a->handling.require_tls, b->handling.require_tls);
	assert_int_equal(a->handling.tls_optional, b->handling.tls_optional);
	assert_int_equal(a->handling.by, b->handling.by);
	assert_int_equal(a->handling.by_at, b->handling.by_at);
	assert_int_equal(a->handling.by_trace, b->handling.by_trace);
	assert_int_equal(a->handling.mt_priority, b->handling.mt_priority);
	assert_int_equal(a->handling.hold_until, b->handling.hold_until);
	assert_int_equal(a->at_most_once, b->at_most_once);
	assert_facts(&a->facts, &b->facts);
	assert_int_equal(a->origin, b->origin);
	assert_span(a->client_ip, b->client_ip);
	assert_span(a->client_helo, b->client_helo);
	assert_span(a->listener, b->listener);
	assert_int_equal(a->head_length, b->head_length);
	assert_span(a->ends, b->ends);
	assert_span(a->held, b->held);
	assert_arrays(a, b);
}

static void there_and_back(struct stored *s, const struct envelope *e)
{
	struct envelope again;

	buf_clear(&s->b);
	envelope_encode(e, &s->b);
	assert_false(buf_failed(&s->b));
	assert_int_equal(envelope_decode(&again, buf_view(&s->b), &s->a), 0);
	assert_same(e, &again);
}

static void test_there_and_back(void **state)
{
	struct envelope e = full();

	there_and_back(*state, &e);
	e.handling = (struct handling){.by_at = -5000000,
	    .by = BY_NOTIFY,
	    .by_trace = true,
	    .require_tls = true,
	    .tls_optional = true,
	    .mt_priority = MT_PRIORITY_STORED,
	    .hold_until = 1800000000000000};
	e.smtputf8 = false;
	e.accepted = INT64_MIN;
	e.origin = ORIGIN_SYSTEM;
	there_and_back(*state, &e);
	e = (struct envelope){0};
	there_and_back(*state, &e);
}

/* A glance finds the same, and makes nothing of what is torn. */
static void test_glance(void **state)
{
	struct stored *s = *state;
	struct envelope e = full(), none = {0};
	struct msgid id;
	struct span ip;

	envelope_encode(&e, &s->b);
	envelope_glance(buf_view(&s->b), &id, &ip);
	assert_true(msgid_eq(&id, &e.id) && span_eq(ip, e.client_ip));
	for (size_t n = 0; n < buf_len(&s->b); n++) {
		envelope_glance(span_first(buf_view(&s->b), n), &id, &ip);
		assert_true(ip.n == 0 || span_eq(ip, e.client_ip));
	}
	buf_clear(&s->b);
	envelope_encode(&none, &s->b);
	envelope_glance(buf_view(&s->b), &id, &ip);
	assert_true(msgid_eq(&id, &none.id) && ip.n == 0);
}

static void test_every_fact_alone(void **state)
{
	struct envelope e = {0};

	for (unsigned bits = 0; bits < 32; bits++) {
		e.facts = (struct body_facts){.eight_bit = bits & 1,
		    .nul = bits & 2,
		    .bare_cr = bits & 4,
		    .bare_lf = bits & 8,
		    .open_end = bits & 16};
		there_and_back(*state, &e);
	}
}

/* Any prefix and any flipped octet: no crash, and never more than the ceilings. */
static void test_torn_and_flipped(void **state)
{
	struct stored *s = *state;
	struct envelope e = full(), got;
	uint8_t copy[1024];
	struct span all;
	size_t whole = 0;

	envelope_encode(&e, &s->b);
	all = buf_view(&s->b);
	assert_true(all.n < sizeof(copy));
	for (size_t n = 0; n < all.n; n++)
		whole += envelope_decode(&got, span_first(all, n), &s->a) == 0;
	/* Only cuts between two fields decode. */
	assert_true(whole > 10 && whole < 40);
	for (size_t i = 0; i < all.n * 8; i++) {
		memcpy(copy, all.p, all.n);
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (envelope_decode(&got, span_of(copy, all.n), &s->a) == 0)
			assert_true(got.n_rcpt <= 4 && got.origin <= ORIGIN_SYSTEM);
	}
}

static void field(struct buf *b, uint8_t tag, struct span value)
{
	put_u8(b, tag);
	put_span32(b, value);
}

static int decode_fields(struct stored *s, uint8_t tag, struct span value, unsigned times)
{
	struct envelope e;

	buf_clear(&s->b);
	put_u8(&s->b, 1);
	while (times-- > 0)
		field(&s->b, tag, value);
	assert_false(buf_failed(&s->b));
	return envelope_decode(&e, buf_view(&s->b), &s->a);
}

static void test_scalars_stand_once(void **state)
{
	assert_int_equal(decode_fields(*state, T_ID, SPAN("0123456789abcdef"), 1), 0);
	assert_int_equal(decode_fields(*state, T_ID, SPAN("0123456789abcdef"), 2), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_FROM, SPAN("a@b"), 2), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_FROM, SPAN_NONE, 2), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_TAG, SPAN("a"), 2), 0);
}

static void test_unknown_fields_are_skipped(void **state)
{
	struct stored *s = *state;
	struct envelope e = full(), got;

	envelope_encode(&e, &s->b);
	field(&s->b, 63, SPAN("future"));
	field(&s->b, 0, SPAN("future"));
	field(&s->b, 255, SPAN("future"));
	field(&s->b, 255, SPAN("future"));
	assert_int_equal(envelope_decode(&got, buf_view(&s->b), &s->a), 0);
	assert_same(&e, &got);
}

static void test_senseless_values(void **state)
{
	assert_int_equal(decode_fields(*state, T_ID, SPAN("0123456789abcde"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RET, SPAN("\3"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RET, SPAN("\2"), 1), 0);
	assert_int_equal(decode_fields(*state, T_RET, SPAN("\2\0"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RET, SPAN(""), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_BODY_TYPE, SPAN("\3"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_ORIGIN, SPAN("\4"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_SMTPUTF8, SPAN("\2"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_PART, SPAN("short"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\0\0\0\0\x10"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\0\0\0\0\1"), 1), 0);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\0\0\0\0\1x"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\xff\xff\0\0\1"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_FACTS, SPAN("01234567012345670"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_FACTS, SPAN("0123456701234567\1"), 1), 0);
}

/* A broken receiver must not be able to make a sender say two commands. */
static void test_no_line_ends_in_command_text(void **state)
{
	assert_int_equal(decode_fields(*state, T_FROM, SPAN("a@b>\r\nRSET"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_FROM, SPAN("a\0@b"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_ENVID, SPAN("a\nb"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_ENVID, SPAN("a\x7f"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\3\0a\rb\0\0\0"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\1\0a\2\0;\n\0"), 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_RCPT, SPAN("\1\0a\2\0;b\0"), 1), 0);
}

static void test_versions(void **state)
{
	struct stored *s = *state;
	struct envelope e;

	assert_int_equal(envelope_decode(&e, SPAN_NONE, &s->a), GW_EFORMAT);
	assert_int_equal(envelope_decode(&e, SPAN("\0"), &s->a), GW_EVERSION);
	assert_int_equal(envelope_decode(&e, SPAN("\2"), &s->a), GW_EVERSION);
	assert_int_equal(envelope_decode(&e, SPAN("\1"), &s->a), 0);
	assert_int_equal(envelope_decode(&e, SPAN("\1\4"), &s->a), GW_EFORMAT);
	assert_int_equal(envelope_decode(&e, SPAN("\1\4\xff\xff\xff\xff"), &s->a), GW_EFORMAT);
}

static void test_ceilings_of_decoding(void **state)
{
	static const uint8_t part[28];
	struct span no_rcpt = SPAN("\0\0\0\0\0");

	assert_int_equal(decode_fields(*state, T_RCPT, no_rcpt, ENVELOPE_RCPT_MAX), 0);
	assert_int_equal(decode_fields(*state, T_RCPT, no_rcpt, ENVELOPE_RCPT_MAX + 1), GW_EFORMAT);
	assert_int_equal(decode_fields(*state, T_TAG, SPAN("t"), ENVELOPE_TAG_MAX), 0);
	assert_int_equal(decode_fields(*state, T_TAG, SPAN("t"), ENVELOPE_TAG_MAX + 1), GW_EFORMAT);
	assert_int_equal(
	    decode_fields(*state, T_PART, span_of(part, sizeof(part)), ENVELOPE_EXTENT_MAX), 0);
	assert_int_equal(
	    decode_fields(*state, T_PART, span_of(part, sizeof(part)), ENVELOPE_EXTENT_MAX + 1),
	    GW_EFORMAT);
}

static void test_a_small_arena_is_full(void **state)
{
	struct stored *s = *state;
	struct envelope e = full(), got;
	struct arena small;

	envelope_encode(&e, &s->b);
	for (size_t max = 0; max < 3 * sizeof(struct rcpt); max += 16) {
		arena_init(&small, max);
		assert_int_equal(envelope_decode(&got, buf_view(&s->b), &small), GW_EFULL);
		arena_reset(&small);
	}
}

static bool encodes(struct stored *s, const struct envelope *e)
{
	buf_clear(&s->b);
	envelope_encode(e, &s->b);
	return !buf_failed(&s->b);
}

/* What could not be read again must not be stored. */
static void test_encoding_refuses_what_decoding_would(void **state)
{
	static uint8_t long_text[UINT16_MAX + 1];
	struct rcpt r = {.addr = SPAN("a@b")};
	struct envelope e = {.rcpt = &r, .n_rcpt = 1};

	memset(long_text, 'x', sizeof(long_text));
	assert_true(encodes(*state, &e));
	r.addr = SPAN("a\n@b");
	assert_false(encodes(*state, &e));
	r.addr = span_of(long_text, sizeof(long_text));
	assert_false(encodes(*state, &e));
	r.addr.n--;
	assert_true(encodes(*state, &e));
	r.notify = 16;
	assert_false(encodes(*state, &e));
	r.notify = 0;
	e.from = SPAN("a\r@b");
	assert_false(encodes(*state, &e));
	e.from = SPAN_NONE;
	e.ret = (enum dsn_ret)(RET_HDRS + 1);
	assert_false(encodes(*state, &e));
	e.ret = RET_UNSET;
	e.n_rcpt = ENVELOPE_RCPT_MAX + 1;
	assert_false(encodes(*state, &e));
}

static void test_every_full_buffer_is_marked(void **state)
{
	struct stored *s = *state;
	struct envelope e = full();
	struct buf small;
	size_t whole;

	envelope_encode(&e, &s->b);
	whole = buf_len(&s->b);
	for (size_t max = 0; max < whole; max++) {
		buf_init(&small, max);
		envelope_encode(&e, &small);
		assert_true(buf_failed(&small));
		buf_fini(&small);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
	    T(test_there_and_back),
	    T(test_glance),
	    T(test_every_fact_alone),
	    T(test_torn_and_flipped),
	    T(test_scalars_stand_once),
	    T(test_unknown_fields_are_skipped),
	    T(test_senseless_values),
	    T(test_no_line_ends_in_command_text),
	    T(test_versions),
	    T(test_ceilings_of_decoding),
	    T(test_a_small_arena_is_full),
	    T(test_encoding_refuses_what_decoding_would),
	    T(test_every_full_buffer_is_marked),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
