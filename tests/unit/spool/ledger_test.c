/* What became of messages, in one run of records: copies move them and bring their state along. */
#include "spool/ledger.h"

#include "mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct ledger_message *add(
    struct ledger *l, enum record_type type, uint64_t segment, struct buf meta)
{
	struct store_record r = {.type = type, .meta = buf_view(&meta)};
	struct ledger_entry e;

	r.meta_at = (struct extent){segment, 5000, (uint32_t)buf_len(&meta), 0};
	r.body_at = (struct extent){segment, 5000 + buf_len(&meta), 10, 0};
	ledger_add(l, &r, &e);
	assert_int_equal(e.kind, type == REC_MESSAGE ? LEDGER_MESSAGE : LEDGER_CHANGE);
	buf_fini(&meta);
	return e.message;
}

static struct ledger_message *add_copy(struct ledger *l, uint64_t segment, uint32_t id,
    size_t n_rcpt, uint32_t number, enum outcome o, const struct part *part)
{
	struct buf told = mail_change(id, 0, number, o);
	struct mail_extra x = {.state = buf_view(&told), .part = part, .n_part = part ? 1 : 0};
	struct ledger_message *m = add(l, REC_MESSAGE, segment, mail_message(id, n_rcpt, &x));

	buf_fini(&told);
	return m;
}

static int set_up(void **state)
{
	*state = gw_calloc(1, sizeof(struct ledger));
	ledger_init(*state, 5);
	return 0;
}

static int tear_down(void **state)
{
	ledger_fini(*state);
	free(*state);
	return 0;
}

static void test_moved(void **state)
{
	struct ledger *l = *state;
	struct part before = {.segment = 1, .offset = 77, .length = 5};
	struct part after = {.segment = 4, .offset = 99, .length = 5};
	struct mail_extra x = {.part = &before, .n_part = 1};
	struct ledger_message *m = add(l, REC_MESSAGE, 2, mail_message(1, 2, &x));

	assert_true(m->meta_at.segment == 2 && m->part[0].segment == 1 && !m->copied);
	add(l, REC_DEFERRED, 3, mail_change(1, 0, 1, OUTCOME_DEFERRED));
	assert_ptr_equal(add_copy(l, 5, 1, 2, 3, OUTCOME_DEFERRED, &after), m);
	assert_int_equal(l->n, 1);
	assert_true(m->copied && m->meta_at.segment == 5 && m->body_at.segment == 5);
	assert_true(m->n_part == 1 && m->part[0].segment == 4);
	assert_true(m->n_open == 2 && m->rcpt[0].number == 3 && m->rcpt[1].number == 0);
	/* What stands in the log before the copy is older, whatever its place. */
	add(l, REC_DEFERRED, 6, mail_change(1, 0, 2, OUTCOME_DEFERRED));
	assert_true(m->rcpt[0].number == 3 && m->rcpt[0].said.segment == 5);
	add(l, REC_DEFERRED, 7, mail_change(1, 0, 4, OUTCOME_DEFERRED));
	assert_true(m->rcpt[0].number == 4 && m->rcpt[0].said.segment == 7);
	/* An original that is read again moves nothing. */
	add(l, REC_MESSAGE, 8, mail_message(1, 2, NULL));
	assert_true(m->meta_at.segment == 5 && m->rcpt[0].number == 4);
}

/* The state is found in the meta of the copy. */
static void test_said(void **state)
{
	struct ledger *l = *state;
	struct ledger_message *m = add_copy(l, 5, 1, 2, 3, OUTCOME_DEFERRED, NULL);

	assert_int_equal(l->n, 1);
	assert_true(m->copied && m->n_open == 2);
	assert_in_range(m->rcpt[0].said.offset, 5000 + 20, 5000 + m->meta_at.length - 20);
	assert_in_range(
	    m->rcpt[0].said.offset + m->rcpt[0].said.length, 5040, 5000 + m->meta_at.length);
	assert_int_equal(m->rcpt[1].said.length, 0);
}

static void test_finished(void **state)
{
	struct ledger *l = *state;
	struct ledger_message *m = add(l, REC_MESSAGE, 1, mail_message(1, 2, NULL));

	add_copy(l, 2, 1, 2, 9, OUTCOME_FAILED, NULL);
	assert_int_equal(m->n_open, 1);
	add(l, REC_RESULT, 3, mail_change(1, 1, 1, OUTCOME_DELIVERED));
	assert_true(ledger_finished(m) && m->rcpt == NULL);
	/* Finished is never undone, by a copy neither. */
	add_copy(l, 4, 1, 2, 99, OUTCOME_DEFERRED, NULL);
	assert_true(ledger_finished(m) && m->copied);
}

/* Held from the start is the first word, found in the envelope; a release is a later one. */
static void test_held(void **state)
{
	struct ledger *l = *state;
	struct buf held = mail_change(1, 1, 1, OUTCOME_HELD);
	struct mail_extra x = {.held = buf_view(&held)};
	struct ledger_message *m = add(l, REC_MESSAGE, 2, mail_message(1, 2, &x));

	assert_true(m->n_open == 2 && m->rcpt[0].outcome == OUTCOME_NONE);
	assert_int_equal(m->rcpt[1].outcome, OUTCOME_HELD);
	assert_int_equal(m->rcpt[1].said.length, buf_len(&held));
	assert_int_equal(m->rcpt[1].said.segment, 2);
	add(l, REC_RELEASED, 3, mail_change(1, 1, 2, OUTCOME_NONE));
	add(l, REC_MESSAGE, 4, mail_message(1, 2, &x));
	assert_int_equal(m->rcpt[1].outcome, OUTCOME_NONE);
	buf_fini(&held);
}

#define LEDGER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LEDGER_TEST(test_moved),
	    LEDGER_TEST(test_said),
	    LEDGER_TEST(test_finished),
	    LEDGER_TEST(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
