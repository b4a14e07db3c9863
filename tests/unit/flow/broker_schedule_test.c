/* FUTURERELEASE in the queue: nothing goes before its time, whoever asks; then it goes. */
#include "at_rest.h"

static struct rig_mail scheduled(struct rig *r, const char *to, int64_t until)
{
	struct rig_mail m = rig_mail(r, "a@src.test", to);

	m.hold_until = until;
	assert_int_equal(rig_send(r, 1, 7, &m), 0);
	rig_flush(r, 0);
	return m;
}

static bool idle(struct rig *r, int64_t usec)
{
	rig_pass(r, usec);
	return rig_any(r, EFFECT_JOB) == NULL;
}

static void act(struct rig *r, enum broker_verb verb, const struct msgid *id, const char *filter)
{
	struct broker_command c = {
	    .verb = verb, .id = id, .filter = span_str(filter), .asker = 3, .request = 1};
	struct buf out;

	buf_init(&out, 1 << 16);
	(void)!broker_act(r->b, &c, &out, r->now);
	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	rig_flush(r, 0);
	buf_fini(&out);
}

static void test_waits_and_goes(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = scheduled(r, "bob@dst.test", r->now + 2 * HOURS);

	assert_true(idle(r, 0));
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"scheduled\""), 1);
	assert_int_equal(shown(r, &m.id, "\"due\":"), 1);
	assert_true(idle(r, 2 * HOURS - 1));
	rig_pass(r, 1);
	assert_int_equal(shown(r, &m.id, "scheduled"), 0);
	deliver_rest(r);
	rig_empty(r);
}

/* Retries of operators, and of hosts, do not concern it. */
static void test_nobody_hurries_it(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = scheduled(r, "bob@dst.test", r->now + HOURS);
	struct broker_etrn said;

	retry(r, NULL, "{\"retried\":0}");
	assert_true(idle(r, 0));
	retry(r, &m.id, "{\"retried\":0}");
	assert_true(idle(r, 0));
	act(r, BROKER_RETRY, NULL, "to:bob");
	assert_true(idle(r, 0));
	broker_etrn(r->b, ETRN_NODE, SPAN("dst.test"), &said, r->now);
	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	assert_true(idle(r, HOURS - 1));
	rig_pass(r, 1);
	deliver_rest(r);
	rig_empty(r);
}

static void test_released_by_an_operator(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = scheduled(r, "bob@dst.test", r->now + HOURS);
	struct rig_mail other = scheduled(r, "eve@dst.test", r->now + HOURS);
	struct seen *job;

	act(r, BROKER_RELEASE, &m.id, "");
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m.id));
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).messages, 1);
	act(r, BROKER_HOLD, &other.id, "");
	assert_true(idle(r, 2 * HOURS)); /* held: its time passes */
	assert_int_equal(rig_counts(r).held, 1);
	act(r, BROKER_RELEASE, NULL, "state:held");
	deliver_rest(r);
	rig_empty(r);
}

/* One of two is let go: the other keeps waiting, for the same site. */
static void test_one_of_two(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = scheduled(r, "bob@dst.test eve@dst.test", r->now + HOURS);
	struct seen *job;

	act(r, BROKER_RELEASE, NULL, "to:bob");
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.n_rcpt, 1);
	assert_string_equal(job->addr[0], "bob@dst.test");
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(shown(r, &m.id, "\"state\":\"scheduled\""), 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"deferred\""), 1);
	retry(r, &m.id, "{\"retried\":1}");
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.n_rcpt, 1);
	assert_string_equal(job->addr[0], "bob@dst.test");
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_true(idle(r, HOURS - 1));
	rig_pass(r, 1);
	deliver_rest(r);
	rig_empty(r);
}

static void start_again(struct rig *r, const struct rig_mail *m)
{
	recover_mail(r, m);
	rig_ready(r);
}

static void test_after_a_crash(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "bob@dst.test");

	m.accepted = r->now - HOURS;
	m.hold_until = r->now + 6 * DAYS;
	start_again(r, &m);
	assert_true(idle(r, 0));
	assert_int_equal(shown(r, &m.id, "scheduled"), 1);
	retry(r, NULL, "{\"retried\":0}");
	assert_true(idle(r, 6 * DAYS - 1));
	rig_pass(r, 1);
	deliver_rest(r);
	rig_empty(r);
}

/* What an operator let go before the crash is gone on with. */
static void test_released_before_a_crash(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "bob@dst.test");

	m.hold_until = r->now + 6 * DAYS;
	recover_mail(r, &m);
	recover_change(r, BROKER_RELEASED, &m.id, 0, 1, OUTCOME_NONE, 0, "Released by an operator");
	rig_ready(r);
	rig_pass(r, 0);
	deliver_rest(r);
	rig_empty(r);
}

/* Its lifetime of four days, and the delay that is told of, begin with its release. */
static void test_lifetime(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = scheduled(r, "bob@dst.test", r->now + 10 * DAYS);
	struct seen *job;

	rig_pass(r, 10 * DAYS);
	for (int i = 0; i < 22; i++) { /* 5m 15m 1h, then every 4h: some days */
		job = rig_take(r, EFFECT_JOB);
		rig_result(r, job, OUTCOME_DEFERRED);
		rig_flush(r, 0);
		assert_int_equal(rig_counts(r).messages, 1);
		rig_pass(r, 4 * HOURS + 30 * MIN);
	}
	assert_int_equal(shown(r, &m.id, "\"attempts\":22"), 1);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	assert_int_equal(shown(r, &m.id, "\"state\":\"expired\""), 1);
}

/* The wall clock is set: what waits keeps its time. A message that comes then is counted by it. */
static void test_clock_is_set(void **state)
{
	struct rig *r = *state;
	int64_t wall = 3 * HOURS;

	scheduled(r, "bob@dst.test", r->now + HOURS);
	broker_wall(r->b, wall);
	assert_true(idle(r, HOURS - 1));
	rig_pass(r, 1);
	deliver_rest(r);
	scheduled(r, "bob@dst.test", r->now + wall + HOURS);
	assert_true(idle(r, HOURS - 1));
	rig_pass(r, 1);
	deliver_rest(r);
	rig_empty(r);
}

/* A receiver that says nonsense keeps nothing for ever. */
static void test_absurd(void **state)
{
	struct rig *r = *state;

	scheduled(r, "bob@dst.test", INT64_MAX);
	assert_true(idle(r, 365 * DAYS));
	rig_pass(r, DAYS);
	deliver_rest(r);
	scheduled(r, "bob@dst.test", r->now - 1);
	deliver_rest(r);
	rig_empty(r);
}

static int set_up(void **state)
{
	assert_int_equal(rig_set_up(state), 0);
	return 0;
}

#define LIVE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)
#define START_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_start, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LIVE_TEST(test_waits_and_goes),
	    LIVE_TEST(test_nobody_hurries_it),
	    LIVE_TEST(test_released_by_an_operator),
	    LIVE_TEST(test_one_of_two),
	    START_TEST(test_after_a_crash),
	    START_TEST(test_released_before_a_crash),
	    LIVE_TEST(test_lifetime),
	    LIVE_TEST(test_clock_is_set),
	    LIVE_TEST(test_absurd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
