/* The log is read after a start: merging, reports, nonsense, and what is held afterwards. */
#include "fixture.h"

static int set_up(void **state)
{
	*state = rig_start(rig_config, 1 << 20);
	return 0;
}

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

static void message(struct rig *r, const struct rig_mail *m)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf envelope;

	rig_envelope(r, m, &envelope);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&envelope), &at), 0);
	buf_fini(&envelope);
}

static void change(struct rig *r, const struct rig_mail *m, uint32_t index, uint32_t number,
    enum outcome o, int64_t due)
{
	static const struct part none;
	struct change_rcpt said = {.index = index,
	    .number = number,
	    .attempts = number,
	    .outcome = o,
	    .due = due,
	    .reply = SPAN("said before")};
	struct change c = {.id = m->id, .rcpt = &said, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	assert_int_equal(
	    rig_recover(r, outcome_final(o) ? BROKER_RESULT : BROKER_DEFERRED, buf_view(&b), &none),
	    0);
	buf_fini(&b);
}

static void test_merge(void **state)
{
	struct rig *r = *state;
	struct rig_mail m =
	    rig_mail(r, "a@src.test", "b@dst.test c@dst.test d@dst.test e@dst.test");
	struct rig_mail gone = rig_mail(r, "x@src.test", "y@dst.test");
	struct seen *job;

	message(r, &m);
	change(r, &m, 0, 1, OUTCOME_DELIVERED, 0);
	change(r, &m, 0, 9, OUTCOME_DEFERRED, r->now); /* finished is never undone */
	change(r, &m, 1, 5, OUTCOME_DEFERRED, r->now + HOURS);
	change(r, &m, 1, 2, OUTCOME_DEFERRED, r->now - HOURS); /* older: read late */
	change(r, &m, 2, 2, OUTCOME_DEFERRED, r->now - HOURS);
	change(r, &m, 77, 2, OUTCOME_DELIVERED, 0);   /* no such recipient */
	change(r, &gone, 0, 1, OUTCOME_DELIVERED, 0); /* its message retired before it */
	message(r, &m);                               /* a copy */
	rig_ready(r);
	assert_int_equal(rig_counts(r).messages, 1);
	assert_int_equal(rig_counts(r).recipients, 3);
	job = rig_take(r, EFFECT_JOB);
	/* One of them is due, so its companions of the same site go with it. */
	assert_int_equal(job->e.n_rcpt, 3);
	assert_int_equal(job->index[0], 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_due(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

	message(r, &m);
	change(r, &m, 0, 3, OUTCOME_DEFERRED, r->now + HOURS);
	rig_ready(r);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, HOURS - 1);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 1);
	assert_int_equal(rig_take(r, EFFECT_JOB)->attempts, 3);
	/* The content is read from the log: the head, then the rest. */
	assert_true(
	    span_eq(buf_view(&rig_take(r, EFFECT_BODY)->body), SPAN("Subject: test\r\n\r\n")));
	assert_true(span_eq(buf_view(&rig_take(r, EFFECT_BODY)->body), SPAN("Hello\r\n")));
}

/* What is finished needs nothing: the segments of its parts may have gone before its record. */
static void test_finished_holds_nothing(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct part parts[2] = {{.segment = 50, .length = 9}, {.segment = 51, .length = 9}};
	struct rcpt to = {.addr = SPAN("b@dst.test")};
	struct envelope e = {
	    .id = m.id, .nonce = m.nonce, .rcpt = &to, .n_rcpt = 1, .part = parts, .n_part = 2};
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b;

	buf_init(&b, 4096);
	envelope_encode(&e, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
	change(r, &m, 0, 1, OUTCOME_DELIVERED, 0);
	rig_ready(r);
	rig_none(r, EFFECT_HOLD);
	rig_none(r, EFFECT_RELEASE);
	rig_empty(r);
	broker_ask(r->b, 7, 1, &m.nonce);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
}

static void test_held_while_alive(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct part part = {.segment = 50};
	struct rcpt to = {.addr = SPAN("b@dst.test")};
	struct envelope e = {
	    .id = m.id, .nonce = m.nonce, .rcpt = &to, .n_rcpt = 1, .part = &part, .n_part = 1};
	struct seen *job;
	struct part at;
	struct buf b;

	r->segment = 50;
	part = rig_store(r, SPAN("the part"));
	r->segment = 60;
	at = rig_store(r, span_of(content, sizeof(content) - 1));
	buf_init(&b, 4096);
	envelope_encode(&e, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
	rig_ready(r);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.size, sizeof(content) - 1 + 8);
	assert_true(r->holds[60] == 1 && r->holds[50] == 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* A report ends recipients of another message: one record, read as one. */
static void test_ends(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test");
	struct change_rcpt said = {.index = 0, .number = 1, .outcome = OUTCOME_FAILED};
	struct change c = {.id = m.id, .rcpt = &said, .n_rcpt = 1};
	struct rcpt to = {.addr = SPAN("a@src.test")};
	struct envelope e = {.id = rig_id(r), .rcpt = &to, .n_rcpt = 1};
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b, ends;
	struct seen *job;

	buf_init(&b, 4096);
	buf_init(&ends, 4096);
	change_encode(&c, &ends);
	e.ends = buf_view(&ends);
	envelope_encode(&e, &b);
	message(r, &m);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
	buf_fini(&ends);
	rig_ready(r);
	assert_int_equal(rig_counts(r).messages, 2);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_nonsense(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct part at = {.segment = 1, .length = 3};
	struct buf envelope;

	rig_envelope(r, &m, &envelope);
	/* A head that is longer than all there is. */
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&envelope), &at), GW_EFORMAT);
	buf_fini(&envelope);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, SPAN("x"), &at), GW_EFORMAT);
	assert_int_equal(rig_recover(r, BROKER_RESULT, SPAN_NONE, &at), GW_EFORMAT);
	assert_int_equal(rig_recover(r, BROKER_DEFERRED, SPAN("\1\2"), &at), GW_EFORMAT);
	assert_int_equal(rig_recover(r, BROKER_PART, SPAN("anything"), &at), 0);
	rig_ready(r);
	rig_empty(r);
}

/* A clock that was set back does not keep mail for ever. */
static void test_clock_set_back(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

	m.accepted = r->now + 1000 * DAYS;
	message(r, &m);
	rig_ready(r);
	assert_true(rig_oldest_is(r, r->now));
}

#define RECOVER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RECOVER_TEST(test_merge),
	    RECOVER_TEST(test_due),
	    RECOVER_TEST(test_finished_holds_nothing),
	    RECOVER_TEST(test_held_while_alive),
	    RECOVER_TEST(test_ends),
	    RECOVER_TEST(test_nonsense),
	    RECOVER_TEST(test_clock_set_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
