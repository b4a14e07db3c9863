/* A recipient who has his mail sent on: the message that takes his place, and who may say so. */
#include "fixture.h"

/* A delivery to b@box.test, and its job. */
static struct seen *deliver(struct rig *r, struct rig_mail *m)
{
	*m = rig_accept(r, "s@src.test", "b@box.test");
	return rig_take(r, EFFECT_JOB);
}

static int expand(struct rig *r, const struct seen *job, unsigned worker, bool keep,
    const struct span *to, size_t n)
{
	struct change_rcpt said = {.index = job->index[0],
	    .outcome = OUTCOME_EXPANDED,
	    .code = 250,
	    .esc = {2, 1, 5},
	    .reply = SPAN("Sent on")};
	struct change c = {.id = job->e.id, .rcpt = &said, .n_rcpt = 1};
	struct broker_forward f = {.keep = keep, .to = to, .n = n};
	int err = broker_expanded(r->b, worker, job->e.number, &f, &c, r->now);

	rig_run(r);
	return err;
}

static const struct span others[] = {SPAN("x@dst.test"), SPAN("y@dst.test")};

/* One record is the new message and the end of the old recipient; the worker hears of it then. */
static void test_one_record(void **state)
{
	struct rig *r = *state;
	struct envelope e;
	struct rig_mail m;
	struct seen *job = deliver(r, &m), *record, *next;
	struct change c;
	struct arena a;

	assert_int_equal(expand(r, job, 16, true, others, 2), 0);
	record = rig_take(r, EFFECT_APPEND);
	rig_none(r, EFFECT_APPEND);
	rig_none(r, EFFECT_CONFIRM);
	arena_init(&a, 1 << 20);
	assert_int_equal(envelope_decode(&e, buf_view(&record->meta), &a), 0);
	assert_int_equal(change_decode(&c, e.ends, &a), 0);
	assert_true(msgid_eq(&c.id, &m.id) && !msgid_eq(&e.id, &m.id));
	assert_true(c.n_rcpt == 1 && c.rcpt[0].outcome == OUTCOME_EXPANDED);
	assert_true(span_eq(e.from, SPAN("s@src.test")) && e.n_rcpt == 3);
	assert_true(
	    e.rcpt[2].kept && !e.rcpt[0].kept && span_eq(e.rcpt[2].addr, SPAN("b@box.test")));
	assert_true(span_eq(e.rcpt[0].orcpt, SPAN("rfc822;b@box.test")));
	assert_true(span_starts(buf_view(&record->body),
	    SPAN("Delivered-To: b@box.test\r\nSubject: test\r\n\r\nHello\r\n")));
	arena_reset(&a);
	rig_appended(r, record, 0);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	next = rig_take(r, EFFECT_JOB);
	if (next->kind != TARGET_MAILDIR)
		next = rig_take(r, EFFECT_JOB);
	assert_string_equal(next->addr[0], "b@box.test");
	assert_true(next->e.rcpt != NULL);
	/* He keeps it: his file is not read again, and who says it was is no delivery of ours. */
	assert_int_equal(expand(r, next, 16, false, others, 1), GW_EFORMAT);
}

/* Told again to the next queue, or by somebody else, or nonsense. */
static void test_who_may_say_so(void **state)
{
	static const struct span nonsense[] = {SPAN("no address")};
	static const struct span null[] = {SPAN("")};
	struct rig *r = *state;
	struct rig_mail m;
	struct seen *job = deliver(r, &m), *sent;
	struct rig_mail other = rig_accept(r, "s@src.test", "b@dst.test");

	(void)other;
	sent = rig_take(r, EFFECT_JOB);
	assert_int_equal(expand(r, sent, sent->e.peer, false, others, 1), GW_EFORMAT);
	assert_int_equal(expand(r, job, 0, false, others, 1), GW_EFORMAT);
	assert_int_equal(expand(r, job, 16, false, nonsense, 1), GW_EFORMAT);
	assert_int_equal(expand(r, job, 16, false, null, 1), GW_EFORMAT);
	assert_int_equal(expand(r, job, 16, false, others, 0), GW_EFORMAT);
	assert_int_equal(expand(r, job, 16, false, others, 2), 0);
	assert_int_equal(expand(r, job, 16, false, others, 2), 0); /* its record is on its way */
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	assert_int_equal(expand(r, job, 16, false, others, 2), 0); /* known already */
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
}

static int set_up(void **state)
{
	struct rig *r = rig_start(rig_config, 64 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_one_record, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_who_may_say_so, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
