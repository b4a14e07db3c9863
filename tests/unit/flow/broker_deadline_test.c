/*
 * DELIVERBY in the queue (RFC 2852): mode R ends a message at its time, to the microsecond,
 * whatever it waits for; mode N tells its sender once; what a trace tells; and all of it after a
 * start.
 */
#include "reporting.h"

#define SECONDS INT64_C(1000000)

static struct rig_mail by(struct rig *r, const char *to, enum deliver_by mode, int64_t time)
{
	struct rig_mail m = rig_mail(r, "a@src.test", to);

	m.by = mode;
	m.by_at = r->now + time;
	return m;
}

static void post(struct rig *r, const struct rig_mail *m)
{
	static uint64_t txn = 9000;

	assert_int_equal(rig_send(r, 7, ++txn, m), 0);
	rig_appended(r, rig_append_of(r, &m->id), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
}

static void defer_next(struct rig *r)
{
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
}

/* No job and no report, so much later too. */
static void quiet(struct rig *r, int64_t usec)
{
	rig_pass(r, usec);
	assert_null(next_report(r));
	rig_none(r, EFFECT_JOB);
}

/* The record of the report says that its recipients were told: a start does not tell them again. */
static bool notes_it(const struct seen *report)
{
	struct envelope e;
	struct change c;
	struct arena a;
	bool all = true;

	report_envelope(report, &e, &a);
	assert_int_equal(change_decode(&c, e.ends, &a), 0);
	for (size_t i = 0; i < c.n_rcpt; i++)
		all = all && c.rcpt[i].warned;
	arena_reset(&a);
	return all;
}

/* The report that is due now says this and has this text; it is on its way behind it. */
static void told(struct rig *r, const char *what, const char *text)
{
	struct seen *report = next_report(r);

	assert_non_null(report);
	assert_string_equal(actions(report), what);
	assert_string_equal(addressee(report), "a@src.test");
	assert_true(rig_has(buf_view(&report->body), text));
	assert_true(strcmp(what, "delayed ") != 0 || notes_it(report));
	rig_appended(r, report, 0);
	assert_null(next_report(r));
}

static void act(struct rig *r, enum broker_verb verb, const struct msgid *id)
{
	struct broker_command c = {.verb = verb, .id = id, .asker = 3, .request = 1};
	struct buf out;

	buf_init(&out, 1 << 16);
	(void)!broker_act(r->b, &c, &out, r->now);
	rig_pass(r, 0);
	rig_flush(r, 0);
	buf_fini(&out);
}

/* ---- mode R -----------------------------------------------------------------------------------
 */

/* Not a microsecond early; with what the host said last; and then there is nothing left of it. */
static void test_returned_in_time(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 4 * MIN);

	post(r, &m);
	assert_int_equal(shown(r, &m.id, "\"return_at\":"), 1);
	defer_next(r);
	rig_pass(r, 3 * MIN); /* the last try: the schedule has 5 minutes */
	defer_next(r);
	quiet(r, MIN - 1);
	rig_pass(r, 1);
	told(r, "failed ", "Status: 5.4.7");
	deliver_rest(r);
	rig_empty(r);
}

static void test_last_words(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 90 * SECONDS);

	post(r, &m);
	defer_next(r);
	rig_pass(r, 90 * SECONDS);
	told(r, "failed ", "the last time: so they say");
	deliver_rest(r);
	rig_empty(r);
}

/* Where the last try would come within a minute after another one, or before it, there is none. */
static void test_when_the_last_try_is(void **state)
{
	struct rig *r = *state;
	struct rig_mail near = by(r, "b@dst.test", BY_RETURN, 2 * MIN), far;

	post(r, &near);
	defer_next(r);
	quiet(r, 2 * MIN - 1);
	rig_pass(r, 1);
	told(r, "failed ", "5.4.7");
	deliver_rest(r);
	far = by(r, "b@dst.test", BY_RETURN, 2 * MIN + 1);
	post(r, &far);
	defer_next(r);
	quiet(r, MIN);
	rig_pass(r, 1);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	quiet(r, HOURS);
	rig_empty(r);
}

/* A delivery that is under way may end; only what it does not deliver is over. */
static void test_under_way(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 10 * SECONDS);
	struct seen *job;

	post(r, &m);
	job = rig_take(r, EFFECT_JOB);
	quiet(r, 20 * SECONDS);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_null(next_report(r));
	rig_empty(r);
	m = by(r, "b@dst.test", BY_RETURN, 10 * SECONDS);
	post(r, &m);
	job = rig_take(r, EFFECT_JOB);
	quiet(r, 20 * SECONDS);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, 0);
	told(r, "failed ", "5.4.7");
	deliver_rest(r);
	rig_empty(r);
}

static void test_one_of_two(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test c@dst.test", BY_RETURN, 90 * SECONDS);
	static const enum outcome each[] = {OUTCOME_DELIVERED, OUTCOME_DEFERRED};

	post(r, &m);
	result_each(r, rig_take(r, EFFECT_JOB), each);
	rig_flush(r, 0);
	quiet(r, 90 * SECONDS - 1);
	rig_pass(r, 1);
	told(r, "failed ", "c@dst.test");
	deliver_rest(r);
	rig_empty(r);
}

static void test_held_goes_back(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, HOURS);

	post(r, &m);
	defer_next(r);
	act(r, BROKER_HOLD, &m.id);
	assert_int_equal(rig_counts(r).held, 1);
	quiet(r, HOURS - 1);
	rig_pass(r, 1);
	told(r, "failed ", "5.4.7");
	deliver_rest(r);
	rig_empty(r);
}

/* Nobody wants to hear of it: it ends all the same. */
static void test_nobody_is_told(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 90 * SECONDS);

	m.notify = NOTIFY_NEVER;
	post(r, &m);
	defer_next(r);
	rig_pass(r, 90 * SECONDS);
	assert_null(next_report(r));
	rig_empty(r);
	m = by(r, "b@dst.test", BY_RETURN, 90 * SECONDS);
	m.from = "";
	post(r, &m);
	defer_next(r);
	rig_pass(r, 90 * SECONDS);
	assert_null(next_report(r));
	rig_empty(r);
}

/* The time runs from the command that named it, by whatever clock that receiver has. */
static void test_clocks(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 0);

	m.accepted = r->now - 3 * HOURS;
	m.by_at = m.accepted + 90 * SECONDS;
	post(r, &m);
	defer_next(r);
	broker_wall(r->b, 5 * HOURS); /* set: it moves nothing */
	quiet(r, 90 * SECONDS - 1);
	rig_pass(r, 1);
	told(r, "failed ", "5.4.7");
	deliver_rest(r);
	rig_empty(r);
}

/* ---- mode N -----------------------------------------------------------------------------------
 */

static void test_told_once(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_NOTIFY, 90 * SECONDS);

	post(r, &m);
	assert_int_equal(shown(r, &m.id, "\"notify_at\":"), 1);
	defer_next(r);
	quiet(r, 90 * SECONDS - 1);
	rig_pass(r, 1);
	told(r, "delayed ", "b@dst.test");
	deliver_rest(r); /* the report */
	assert_int_equal(shown(r, &m.id, "\"warned\":true"), 1);
	rig_pass(r, 10 * MIN);
	defer_next(r);
	quiet(r, MIN);
	rig_pass(r, HOURS);
	rig_result(
	    r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED); /* what it ends with is told as ever */
	told(r, "failed ", "so they say");
	deliver_rest(r);
	rig_empty(r);
}

/* What was never tried has words too, and stays what it was: held. */
static void test_held_is_told_of(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_NOTIFY, HOURS);

	post(r, &m);
	defer_next(r);
	act(r, BROKER_HOLD, &m.id);
	quiet(r, HOURS - 1);
	rig_pass(r, 1);
	told(r, "delayed ", "b@dst.test");
	deliver_rest(r);
	assert_int_equal(rig_counts(r).held, 1);
	quiet(r, DAYS);
	act(r, BROKER_RELEASE, &m.id);
	rig_take(r, EFFECT_JOB);
}

static void test_delay_unwanted(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_NOTIFY, 90 * SECONDS);

	m.notify = NOTIFY_FAILURE;
	post(r, &m);
	defer_next(r);
	quiet(r, 90 * SECONDS);
	rig_flush(r, 0);
	assert_int_equal(shown(r, &m.id, "\"warned\":true"), 1); /* it was the one time */
	rig_pass(r, 10 * MIN);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	told(r, "relayed ", "b@dst.test"); /* to a host that does not keep the time */
	deliver_rest(r);
	rig_empty(r);
}

/* ---- trace ------------------------------------------------------------------------------------
 */

/* What its sender is told of a delivery: kept, when the next host keeps the time itself. */
static void one_trace(const char *to, enum deliver_by mode, bool trace, bool kept, const char *want)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct seen *job, *report;
	struct rig_mail m;

	rig_ready(r);
	m = by(r, to, mode, HOURS);
	m.by_trace = trace;
	post(r, &m);
	job = rig_take(r, EFFECT_JOB);
	if (kept)
		broker_time_passed_on(r->b, job->e.peer, job->e.number);
	rig_result(r, job, OUTCOME_DELIVERED);
	report = next_report(r);
	assert_string_equal(report != NULL ? actions(report) : "", want);
	rig_free(r);
}

static void test_trace(void **state)
{
	(void)state;
	one_trace("b@dst.test", BY_RETURN, false, false, "");
	one_trace("b@dst.test", BY_RETURN, false, true, "");
	one_trace("b@dst.test", BY_RETURN, true, false, "relayed ");
	one_trace("b@dst.test", BY_RETURN, true, true, "relayed ");
	one_trace("b@dst.test", BY_NOTIFY, false, false, "relayed ");
	one_trace("b@dst.test", BY_NOTIFY, false, true, "");
	one_trace("b@dst.test", BY_NOTIFY, true, true, "relayed ");
	one_trace("b@box.test", BY_NOTIFY, true, false, "");
	one_trace("b@lmtp.test", BY_RETURN, true, false, "");
	one_trace("b@dst.test", BY_NONE, true, false, "");
}

/* ---- after a start ----------------------------------------------------------------------------
 */

static void test_found_in_time(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, 90 * SECONDS);

	m.accepted = r->now - HOURS;
	recover_mail(r, &m);
	recover_change(
	    r, BROKER_DEFERRED, &m.id, 0, 1, OUTCOME_DEFERRED, r->now + HOURS, "so they said");
	rig_ready(r);
	quiet(r, 90 * SECONDS - 1);
	rig_pass(r, 1);
	told(r, "failed ", "the last time: so they said");
	deliver_rest(r);
	rig_empty(r);
}

/* The time was over while nobody was there: it is not tried once more. */
static void test_found_too_late(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = by(r, "b@dst.test", BY_RETURN, -HOURS);

	m.accepted = r->now - 2 * HOURS;
	recover_mail(r, &m);
	rig_pass(r, 0);
	rig_none(r, EFFECT_APPEND); /* nothing is over before all of the log was read */
	rig_ready(r);
	rig_pass(r, 0);
	told(r, "failed ", "5.4.7");
	deliver_rest(r);
	rig_empty(r);
}

static void recover_told(struct rig *r, const struct msgid *id, bool warned)
{
	struct change_rcpt said = {.number = 1,
	    .attempts = 1,
	    .outcome = OUTCOME_DEFERRED,
	    .due = r->now + HOURS,
	    .code = 450,
	    .reply = SPAN("so they said"),
	    .warned = warned};
	struct change c = {.id = *id, .rcpt = &said, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	assert_int_equal(rig_recover(r, BROKER_DEFERRED, buf_view(&b), &(struct part){0}), 0);
	buf_fini(&b);
}

/* Who was told before is not told again; who was not, is. */
static void test_told_before(void **state)
{
	struct rig *r = *state;
	struct rig_mail old = by(r, "b@dst.test", BY_NOTIFY, -MIN);
	struct rig_mail new = by(r, "c@dst.test", BY_NOTIFY, -MIN);

	recover_mail(r, &old);
	recover_mail(r, &new);
	recover_told(r, &old.id, true);
	recover_told(r, &new.id, false);
	rig_ready(r);
	rig_pass(r, 0);
	told(r, "delayed ", "c@dst.test");
	deliver_rest(r);
	quiet(r, MIN);
	assert_int_equal(rig_counts(r).messages, 2);
}

#define START_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_start, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_returned_in_time),
	    RIG_TEST(test_last_words),
	    RIG_TEST(test_when_the_last_try_is),
	    RIG_TEST(test_under_way),
	    RIG_TEST(test_one_of_two),
	    RIG_TEST(test_held_goes_back),
	    RIG_TEST(test_nobody_is_told),
	    RIG_TEST(test_clocks),
	    RIG_TEST(test_told_once),
	    RIG_TEST(test_held_is_told_of),
	    RIG_TEST(test_delay_unwanted),
	    cmocka_unit_test(test_trace),
	    START_TEST(test_found_in_time),
	    START_TEST(test_found_too_late),
	    START_TEST(test_told_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
