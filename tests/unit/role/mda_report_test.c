/*
 * What the mda makes of the report of a child that is not what it should be: taken over by what it
 * delivers, or a program that found the descriptor.
 */
#include "role/mda_job.h"

#include "base/cursor.h"
#include "role/mda_child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void done(void *arg, struct mda_job *j)
{
	(void)j;
	++*(int *)arg;
}

static void put_report(struct buf *b, enum outcome outcome, const struct mda_forward *f)
{
	put_u8(b, (uint8_t)outcome);
	put_u16(b, 250);
	buf_add(b, "\x02\x01\x05", 3);
	put_span16(b, SPAN("fine"));
	mda_forward_put(b, f);
}

static enum outcome judged(const struct target *t, const struct domain *d, bool kept,
    enum outcome said, const struct mda_forward *f)
{
	int calls = 0, report[2];
	struct mda_place place = {.done = done, .arg = &calls};
	struct proto_rcpt rcpt = {.addr = SPAN("alice@ours.test"), .kept = kept};
	struct proto_job p = {.job = 1, .rcpt = &rcpt, .n_rcpt = 1};
	struct mda_job *j = mda_job_new(&place, &p, t, d, true);
	enum outcome outcome;
	struct buf b;

	buf_init(&b, MDA_REPORT_MAX);
	put_report(&b, said, f);
	assert_int_equal(pipe(report), 0);
	assert_int_equal(write(report[1], buf_view(&b).p, buf_len(&b)), buf_len(&b));
	close(report[1]);
	j->from_child = report[0];
	mda_job_ended(j, 0);
	assert_int_equal(calls, 1);
	outcome = j->result.outcome;
	assert_int_equal(j->n_forward, outcome == OUTCOME_EXPANDED ? 1 : 0);
	buf_fini(&b);
	mda_job_free(&j);
	return outcome;
}

static const struct target maildir = {.kind = TARGET_MAILDIR, .path = "/m/{local}"};
static const struct target program = {.kind = TARGET_PIPE};
static const struct domain asks = {.name = "ours.test", .forward = "/h/{local}/.forward"};
static const struct domain asks_not = {.name = "ours.test"};

/* Only who was told to read the file of the user may say that his mail goes on. */
static void test_who_may_send_on(void **state)
{
	struct mda_forward goes = {
	    .kind = MDA_FORWARD_GOES, .to = {.to = {SPAN("eve@evil.test")}, .n = 1}};
	const enum outcome yes = OUTCOME_EXPANDED, no = OUTCOME_DEFERRED;

	(void)state;
	assert_int_equal(judged(&maildir, &asks, false, OUTCOME_EXPANDED, &goes), yes);
	assert_int_equal(judged(&maildir, &asks, true, OUTCOME_EXPANDED, &goes), no);
	assert_int_equal(judged(&maildir, &asks_not, false, OUTCOME_EXPANDED, &goes), no);
	assert_int_equal(judged(&maildir, NULL, false, OUTCOME_EXPANDED, &goes), no);
	assert_int_equal(judged(&program, &asks, false, OUTCOME_EXPANDED, &goes), no);
	assert_int_equal(judged(&program, NULL, false, OUTCOME_EXPANDED, &goes), no);
}

/* Nor may others fill the log with reasons; and who sends on names addresses. */
static void test_what_else_is_said(void **state)
{
	struct mda_forward none = {.kind = MDA_FORWARD_NONE};
	struct mda_forward ignored = {.kind = MDA_FORWARD_IGNORED, .to = {.why = "so"}};
	struct mda_forward goes = {
	    .kind = MDA_FORWARD_GOES, .to = {.to = {SPAN("eve@evil.test")}, .n = 1}};
	const enum outcome fine = OUTCOME_DELIVERED, no = OUTCOME_DEFERRED;

	(void)state;
	assert_int_equal(judged(&program, NULL, false, OUTCOME_DELIVERED, &none), fine);
	assert_int_equal(judged(&program, &asks, false, OUTCOME_DELIVERED, &ignored), no);
	assert_int_equal(judged(&maildir, &asks, false, OUTCOME_DELIVERED, &ignored), fine);
	assert_int_equal(judged(&maildir, &asks, false, OUTCOME_DELIVERED, &goes), no);
	assert_int_equal(judged(&maildir, &asks, false, OUTCOME_EXPANDED, &none), no);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_may_send_on),
	    cmocka_unit_test(test_what_else_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
