/* Another configuration while mail is queued: what is routed anew, when, and what stays. */
#include "unit/flow/resolving.h"

#include <stdlib.h>

static const char before[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "domain box.test { deliver maildir /var/mail/%u }\n"
    "route to domain one.test via relay 127.0.0.1:2501\n"
    "route to domain mx.test via mx\n"
    "route to any via relay 127.0.0.1:2502\n"
    "shape one { domain one.test; connections 1; retry 10s; expire 1d }\n"
    "shape google { mx *.google.test; connections 1; retry 30m; expire 1d }\n"
    "shape * { connections 2; per-connection 100; retry 5m 15m 1h 4h; expire 4d }\n";

static int set_up(void **state)
{
	struct rig *r = rig_start(before, 1 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

#define RECONFIGURE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

/* Workers close what they are told to. */
static size_t hang_up(struct rig *r)
{
	struct seen *s;
	size_t n = 0;

	while ((s = rig_any(r, EFFECT_CLOSE)) != NULL) {
		broker_conn_closed(r->b, s->e.peer, s->e.number, r->now);
		rig_run(r);
		n++;
	}
	rig_pass(r, 1);
	return n;
}

static void assert_host(const struct seen *job, uint16_t port)
{
	assert_int_equal(job->e.target->n_host, 1);
	assert_int_equal(job->e.target->host[0].port, port);
}

/* ---- routes ---------------------------------------------------------------------------------- */

/* What waits for its time goes by the new route at its next try, and not before. */
static void test_waiting(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_reload(r, rig_with(before, "one.test via relay 127.0.0.1:2501",
			  "one.test via relay 127.0.0.1:2599"));
	rig_none(r, EFFECT_JOB);
	assert_int_equal(hang_up(r), 1);
	rig_pass(r, 12 * SEC);
	assert_host(rig_take(r, EFFECT_JOB), 2599);
	assert_int_equal(rig_counts(r).messages, 1);
}

/* What is ready and had no room goes by the new one at once; the job under way ends as it began. */
static void test_ready(void **state)
{
	struct rig *r = *state;
	struct seen *first, *second;

	rig_accept(r, "a@src.test", "b@one.test");
	rig_accept(r, "a@src.test", "c@one.test");
	first = rig_take(r, EFFECT_JOB);
	assert_host(first, 2501);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).ready, 1);
	rig_reload(r, rig_with(before, "one.test via relay 127.0.0.1:2501",
			  "one.test via relay 127.0.0.1:2599"));
	/* One connection for all of the shape, and the first job still has it. */
	rig_none(r, EFFECT_JOB);
	rig_result(r, first, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, first->e.conn);
	broker_conn_closed(r->b, first->e.peer, first->e.conn, r->now);
	rig_pass(r, 1);
	second = rig_take(r, EFFECT_JOB);
	assert_host(second, 2599);
	rig_result(r, second, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* Its route is gone: its domain is as all others; no route at all: it is told so, at its next try.
 */
static void test_target_gone(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_reload(r, rig_with(before, "route to domain one.test via relay 127.0.0.1:2501\n", ""));
	hang_up(r);
	rig_pass(r, 12 * SEC);
	assert_host(rig_take(r, EFFECT_JOB), 2502);
	rig_accept(r, "a@src.test", "b@two.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_reload(r, rig_with(before, "route to any via relay 127.0.0.1:2502\n", ""));
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 6 * MIN);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).waiting, 0);
}

/* A target that is gone and comes back is a new one, not the ghost of the old. */
static void test_gone_and_back(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 6; i++) {
		rig_accept(r, "a@src.test", "b@one.test");
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
		rig_flush(r, 0);
		rig_reload(
		    r, rig_with(before, "route to domain one.test via relay 127.0.0.1:2501\n", ""));
		hang_up(r);
		rig_reload(r, before);
		hang_up(r);
	}
	for (int i = 0; i < 6; i++) {
		struct seen *job;

		rig_pass(r, 12 * SEC);
		job = rig_take(r, EFFECT_JOB);
		assert_host(job, 2501);
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
	rig_pass(r, 12 * SEC);
	rig_empty(r);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_shape_limits(void **state)
{
	struct rig *r = *state;
	struct seen *job[3];

	for (int i = 0; i < 4; i++)
		rig_accept(r, "a@src.test", "b@one.test");
	job[0] = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	/* More room: used at once. */
	rig_reload(r, rig_with(before, "one.test; connections 1;", "one.test; connections 3;"));
	job[1] = rig_take(r, EFFECT_JOB);
	job[2] = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).connections, 3);
	/* Less: what is too much goes when its job is done, and counts until then. */
	rig_reload(r, before);
	rig_result(r, job[0], OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, job[0]->e.conn);
	rig_none(r, EFFECT_JOB);
}

/* Messages that went count on when the rate is another one. */
static void test_rate(void **state)
{
	static const char rate[] = "one.test; connections 1; messages %s;";
	struct rig *r = *state;
	char five[80], two[80];

	snprintf(five, sizeof(five), rate, "5/h");
	snprintf(two, sizeof(two), rate, "2/h");
	rig_reload(r, rig_with(before, "one.test; connections 1;", five));
	for (int i = 0; i < 3; i++) {
		rig_accept(r, "a@src.test", "b@one.test");
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
	rig_reload(r, rig_with(before, "one.test; connections 1;", two));
	hang_up(r);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_none(r, EFFECT_JOB);
	assert_true(summary_has(r, "\"state\":\"limited\""));
	rig_reload(r, rig_with(before, "one.test; connections 1;", five));
	rig_take(r, EFFECT_JOB);
}

/* An order stands, whatever the shape is called now. */
static void test_pause_stands(void **state)
{
	struct rig *r = *state;
	struct broker_order o = {.group = SPAN("one"), .who = SPAN("me"), .request = 1};
	struct buf out;

	buf_init(&out, 10000);
	assert_int_equal(broker_order(r->b, &o, &out, r->now), 200);
	buf_fini(&out);
	rig_flush(r, 0);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_none(r, EFFECT_JOB);
	rig_reload(r, rig_with(before, "retry 10s;", "retry 20s;"));
	rig_none(r, EFFECT_JOB);
}

/* A pause that a rule brought about stands without its rule, and names its place. */
static void test_rule_gone(void **state)
{
	struct rig *r = *state;

	rig_reload(r, rig_with(before, "retry 10s; expire 1d }",
			  "retry 10s; expire 1d; on reply \"so they say\" pause 20m }"));
	rig_accept(r, "a@src.test", "b@one.test");
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	rig_reload(r, before);
	rig_none(r, EFFECT_JOB);
	assert_true(summary_has(r, "paused"));
	rig_pass(r, 21 * MIN);
	rig_take(r, EFFECT_JOB);
}

/* ---- connections ------------------------------------------------------------------------------
 */

/* An idle one is used further where its target is what it was; else it is closed. */
static void test_idle(void **state)
{
	struct rig *r = *state;
	struct seen *job, *next;

	rig_accept(r, "a@src.test", "b@one.test");
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_reload(r, before);
	/* Nothing is filed there, so nobody says what it is for. */
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, job->e.conn);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_accept(r, "a@src.test", "b@two.test");
	rig_accept(r, "a@src.test", "b@two.test");
	rig_accept(r, "a@src.test", "b@two.test");
	job = rig_take(r, EFFECT_JOB);
	next = rig_take(r, EFFECT_JOB);
	rig_reload(r, before);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_CLOSE);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.conn, job->e.conn);
	(void)next;
}

/* The vmta is called the same and is another address: no old connection for new mail. */
static void test_source_moved(void **state)
{
	static const char one[] = "vmta v { address 192.0.2.1 }\n"
				  "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
				  "route to any via relay 127.0.0.1:2502 vmta v\n"
				  "shape * { connections 1; retry 5m; expire 4d }\n";
	struct rig *r = *state;
	struct seen *job;

	rig_reload(r, one);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_accept(r, "a@src.test", "b@one.test");
	job = rig_take(r, EFFECT_JOB);
	rig_reload(r, rig_with(one, "192.0.2.1", "192.0.2.2"));
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, job->e.conn);
	rig_none(r, EFFECT_JOB);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_pass(r, 1);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.target->vmta->v4[3], 2);
}

/* ---- names ------------------------------------------------------------------------------------
 */

/* What is known of DNS stays; which shape its hosts are of is judged anew. */
static void test_names(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@mx.test");
	resolve(r, "mx.test", MX_HOSTS, "mx1.google.test mx2.google.test", 3000);
	job = rig_take(r, EFFECT_JOB);
	rig_accept(r, "a@src.test", "b@mx.test");
	rig_none(r, EFFECT_JOB);
	rig_reload(r, rig_with(before, "mx *.google.test; connections 1;",
			  "mx *.other.test; connections 1;"));
	rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_RESOLVE);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
}

/* A question under way is answered to the new sites. */
static void test_asked(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@mx.test");
	assert_question(r, "mx.test");
	rig_reload(r, rig_with(before, "route to domain mx.test via mx",
			  "route to domain mx.test via mx private"));
	resolve(r, "mx.test", MX_HOSTS, "mx1.google.test", 3000);
	assert_true(rig_take(r, EFFECT_JOB)->e.target->private_ok);
}

/* ---- many -------------------------------------------------------------------------------------
 */

/* Again and again with mail in every state: nothing is lost, and sites do not pile up. */
static void test_many(void **state)
{
	struct rig *r = *state;
	const char *other;

	for (int i = 0; i < 40; i++) {
		rig_accept(r, "a@src.test", "b@one.test c@two.test d@box.test");
		if (i % 3 == 0) {
			struct seen *job = rig_any(r, EFFECT_JOB);

			if (job != NULL)
				rig_result(r, job, OUTCOME_DEFERRED);
			rig_flush(r, 0);
		}
		other =
		    rig_with(before, "127.0.0.1:2501", i % 2 ? "127.0.0.1:2601" : "127.0.0.1:2701");
		rig_reload(r, i % 5 == 4 ? before : other);
	}
	assert_int_equal(rig_counts(r).messages, 40);
	assert_in_range(rig_counts(r).sites, 1, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RECONFIGURE_TEST(test_waiting),
	    RECONFIGURE_TEST(test_ready),
	    RECONFIGURE_TEST(test_target_gone),
	    RECONFIGURE_TEST(test_gone_and_back),
	    RECONFIGURE_TEST(test_shape_limits),
	    RECONFIGURE_TEST(test_rate),
	    RECONFIGURE_TEST(test_pause_stands),
	    RECONFIGURE_TEST(test_rule_gone),
	    RECONFIGURE_TEST(test_idle),
	    RECONFIGURE_TEST(test_source_moved),
	    RECONFIGURE_TEST(test_names),
	    RECONFIGURE_TEST(test_asked),
	    RECONFIGURE_TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
