/* A start after an outage, or after somebody set the clock: no mass bounce, no wait of years. */
#include "fixture.h"

#include "flow/sched.h"

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

static int set_up(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);

	r->now = 40000 * (int64_t)DAYS;
	*state = r;
	return 0;
}

/* A message of the log, deferred this often, last at a time, until another. */
static void stored(struct rig *r, int64_t accepted, uint32_t attempts, int64_t last, int64_t due)
{
	static const struct part none;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct change_rcpt said = {.number = attempts,
	    .attempts = attempts,
	    .outcome = OUTCOME_DEFERRED,
	    .due = due,
	    .reply = SPAN("later")};
	struct change c = {.id = m.id, .when = last, .rcpt = &said, .n_rcpt = 1};
	struct buf b;

	m.accepted = accepted;
	rig_envelope(r, &m, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
	buf_init(&b, 4096);
	change_encode(&c, &b);
	assert_int_equal(rig_recover(r, BROKER_DEFERRED, buf_view(&b), &none), 0);
	buf_fini(&b);
}

static void defer(struct rig *r)
{
	struct seen *job = rig_take(r, EFFECT_JOB);

	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
}

/* Twenty years ahead: a day more, and only then a bounce. */
static void test_twenty_years_ahead(void **state)
{
	struct rig *r = *state;
	int64_t last = r->now - 20 * 365 * (int64_t)DAYS;

	stored(r, last - HOURS, 5, last, last + 4 * HOURS);
	rig_ready(r);
	defer(r);
	for (int hours = 0; hours < 20; hours += 5) {
		rig_none(r, EFFECT_READ_HEAD);
		rig_pass(r, 5 * HOURS);
		defer(r);
	}
	rig_pass(r, 5 * HOURS);
	defer(r);
	rig_take(r, EFFECT_READ_HEAD); /* for the report */
}

/* It waits for its turn with a site that takes one at a time: it does not end unheard. */
static void test_ready_is_not_expired(void **state)
{
	struct rig *r = *state;
	int64_t last = r->now - 30 * (int64_t)DAYS;

	for (int i = 0; i < 5; i++)
		stored(r, last - HOURS, 1, last, last + HOURS);
	rig_ready(r);
	rig_pass(r, HOURS);
	assert_int_equal(rig_counts(r).messages, 5);
	assert_int_equal(rig_counts(r).recipients, 5);
}

/* No silence, no second chance: what expired while nobody was away is over. */
static void test_short_pause(void **state)
{
	struct rig *r = *state;
	int64_t last = r->now - 20 * (int64_t)HOURS;

	stored(r, last - 4 * (int64_t)DAYS, 9, last, last + HOURS);
	rig_ready(r);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_take(r, EFFECT_READ_HEAD); /* for the report */
}

/* Set back: the step it waited for counts from now, not from the future. */
static void test_set_back(void **state)
{
	struct rig *r = *state;
	int64_t last = r->now + 20 * 365 * (int64_t)DAYS;

	stored(r, last - HOURS, 1, last, last + 5 * MIN);
	rig_ready(r);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 5 * MIN - 1);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 1);
	rig_take(r, EFFECT_JOB);
}

/* A due time within its step is kept as it was drawn. */
static void test_due_is_kept(void **state)
{
	struct rig *r = *state;
	int64_t due = r->now + 5 * MIN + 29 * SEC;

	stored(r, r->now - HOURS, 1, r->now, due);
	rig_ready(r);
	rig_pass(r, due - r->now - 1);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 1);
	rig_take(r, EFFECT_JOB);
}

/* The clock was set while the program ran: what people read has the wall clock's dates. */
static void test_dates_of_a_report(void **state)
{
	struct rig *r = *state;
	int64_t last = r->now - 20 * (int64_t)HOURS;
	struct seen *s;

	broker_wall(r->b, -20 * 365 * (int64_t)DAYS); /* 2079 is 2059 */
	stored(r, last - 6 * (int64_t)DAYS, 9, last, last + HOURS);
	rig_ready(r);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	s = rig_take(r, EFFECT_READ_HEAD);
	broker_head(r->b, s->e.token, SPAN_NONE, r->now);
	s = rig_take(r, EFFECT_APPEND);
	assert_true(rig_has(buf_view(&s->body), "Jul 2059"));
	assert_true(rig_has(buf_view(&s->body), "Arrival-Date: "));
	assert_false(rig_has(buf_view(&s->body), "2079"));
	rig_appended(r, s, 0);
}

static void test_lifetime_shorter_than_the_chance(void **state)
{
	static const int64_t step[] = {SEC};
	const struct shape s = {.retry = {{step, 1}}, .expire = HOURS};
	int64_t resumed = 1000 * (int64_t)DAYS;

	(void)state;
	assert_int_equal(sched_born(&s, 1, resumed), resumed);
	assert_int_equal(sched_born(&s, resumed + 5, resumed), resumed + 5);
	assert_int_equal(sched_born(&s, 7, 0), 7);
	assert_true(sched_silent(1, DAYS + 2) && !sched_silent(1, DAYS + 1));
	assert_false(sched_silent(0, resumed)); /* an empty log */
}

#define CLOCK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CLOCK_TEST(test_twenty_years_ahead),
	    CLOCK_TEST(test_ready_is_not_expired),
	    CLOCK_TEST(test_short_pause),
	    CLOCK_TEST(test_set_back),
	    CLOCK_TEST(test_due_is_kept),
	    CLOCK_TEST(test_dates_of_a_report),
	    cmocka_unit_test(test_lifetime_shorter_than_the_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
