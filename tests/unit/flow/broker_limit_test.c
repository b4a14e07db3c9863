#include "unit/flow/resolving.h"

#include <stdlib.h>

static const char limit_config[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "vmta other { helo other.test }\n"
    "route from address o@src.test via relay 127.0.0.1:2525 vmta other\n"
    "route to domain two.pool.test via relay 127.0.0.1:2526\n"
    "route to any via relay 127.0.0.1:2525\n"
    "shape rules { domain rules.test; connections 4; expire 4d; retry 5m\n"
    "  on reply \"4\\.7\\.65[01]\" slow 1/m for 30m\n"
    "  on reply \"temporarily deferred\" pause 2h\n"
    "  on reply \"greylist\" retry 90s\n"
    "  on reply \"mailbox .* gone\" bounce }\n"
    "shape pool { domain *.pool.test; connections 2 }\n"
    "shape slow { domain slow.test; connections 50; messages 3/m }\n"
    "shape sum { domain sum.test; connections 3 total 4; host-rest 10s; "
    "messages 1000/h total 5/m }\n"
    "shape * { connections 20; per-connection 100; retry 5m; expire 4d }\n";

static int set_up(void **state)
{
	struct rig *r = rig_start(limit_config, 1 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

#define LIMIT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

static void take_in(struct rig *r, const char *from, const char *to, int n)
{
	for (int i = 0; i < n; i++)
		rig_accept(r, from, to);
}

static size_t jobs(struct rig *r, struct seen **to)
{
	size_t n = 0;
	struct seen *s;

	while ((s = rig_any(r, EFFECT_JOB)) != NULL) {
		if (to != NULL)
			to[n] = s;
		n++;
	}
	return n;
}

static void says(struct rig *r, const struct seen *job, uint16_t code, const uint8_t esc[3],
    const char *text, enum outcome o)
{
	struct change_rcpt said = {
	    .index = job->index[0], .outcome = o, .code = code, .reply = span_str(text)};
	struct change c = {.id = job->e.id, .rcpt = &said, .n_rcpt = 1};

	memcpy(said.esc, esc, 3);
	assert_int_equal(broker_result(r->b, job->e.peer, job->e.number, false, &c, r->now), 0);
	rig_run(r);
}

/* The host does not want more of us: it says so instead of a greeting. */
static void refuse(struct rig *r, const struct seen *job)
{
	struct broker_tried t = {SPAN("192.0.2.1"), false, SPAN("greeting: 421 4.7.0 too many")};

	broker_tried(r->b, job->e.peer, job->e.number, true, &t, 1, r->now);
	assert_int_equal(rig_result_as(r, job, job->e.peer, OUTCOME_DEFERRED, 421, true), 0);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_run(r);
}

/* ---- connections ------------------------------------------------------------------------------
 */

static void test_grows(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];

	take_in(r, "a@src.test", "b@dst.test", 300);
	assert_int_equal(jobs(r, job), 5);
	assert_true(summary_has(r, "\"limit\":\"20 connections, grown to 5\""));
	assert_true(summary_has(r, "\"limit_place\":\"t.conf:16\""));
	for (size_t k = 0; k < 5; k++)
		rig_result(r, job[k], OUTCOME_DELIVERED);
	assert_int_equal(jobs(r, NULL), 6); /* one more with each full round */
	assert_int_equal(rig_counts(r).connections, 6);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];

	take_in(r, "a@src.test", "b@dst.test", 100);
	assert_int_equal(jobs(r, job), 5);
	refuse(r, job[4]);
	/* The others go on; it is tried again soon, with fewer connections. */
	assert_int_equal(jobs(r, NULL), 0);
	assert_true(list_has(r, "\"due\""));
	assert_true(summary_has(r, "\"concurrency\":2"));
	rig_result(r, job[0], OUTCOME_DELIVERED);
	/* Of what is too much, the idle ones are closed, and those that were refused. */
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, job[4]->e.conn);
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, job[0]->e.conn);
	assert_int_equal(jobs(r, NULL), 0);
	rig_result(r, job[1], OUTCOME_DELIVERED); /* a full round: three */
	assert_int_equal(jobs(r, NULL), 1);
	rig_none(r, EFFECT_CLOSE);
	assert_false(summary_has(r, "unreachable"));
}

static void test_refused_alone(void **state)
{
	struct rig *r = *state;

	take_in(r, "a@src.test", "b@dst.test", 2);
	rig_pass(r, SEC);
	{
		struct seen *a = rig_take(r, EFFECT_JOB), *b = rig_take(r, EFFECT_JOB);

		rig_result(r, a, OUTCOME_DELIVERED);
		broker_conn_closed(r->b, a->e.peer, a->e.conn, r->now);
		refuse(r, b);
	}
	assert_true(summary_has(r, "unreachable"));
	assert_int_equal(rig_counts(r).connections, 0);
}

/* Other hosts of the same group: the idle connections of some make room for others. */
static void test_room(void **state)
{
	struct rig *r = *state;
	struct seen *a, *b, *close;

	take_in(r, "a@src.test", "x@one.pool.test", 1);
	take_in(r, "a@src.test", "y@one.pool.test", 1);
	a = rig_take(r, EFFECT_JOB);
	b = rig_take(r, EFFECT_JOB);
	take_in(r, "a@src.test", "z@two.pool.test", 1);
	rig_none(r, EFFECT_JOB);
	rig_none(r, EFFECT_CLOSE);
	rig_result(r, a, OUTCOME_DELIVERED);
	close = rig_take(r, EFFECT_CLOSE);
	assert_int_equal(close->e.number, a->e.conn);
	rig_none(r, EFFECT_JOB); /* not before the socket is closed */
	take_in(r, "a@src.test", "x@one.pool.test", 1);
	rig_none(r, EFFECT_JOB);
	broker_conn_closed(r->b, a->e.peer, a->e.conn, r->now);
	assert_int_not_equal(rig_take(r, EFFECT_JOB)->e.conn, a->e.conn);
	rig_result(r, b, OUTCOME_DELIVERED);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.conn, b->e.conn);
	assert_int_equal(rig_counts(r).connections, 2);
}

/* One dead host set is in nobody's way in its group. */
static void test_dead_way(void **state)
{
	struct rig *r = *state;
	struct seen *dead, *good;

	take_in(r, "a@src.test", "x@one.pool.test", 1);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	take_in(r, "a@src.test", "x@two.pool.test", 3);
	dead = rig_take(r, EFFECT_JOB);
	assert_int_equal(rig_result_as(r, dead, dead->e.peer, OUTCOME_DEFERRED, 0, true), 0);
	broker_conn_closed(r->b, dead->e.peer, dead->e.conn, r->now);
	take_in(r, "a@src.test", "x@one.pool.test", 3);
	for (int i = 0; i < 3; i++) {
		good = rig_take(r, EFFECT_JOB);
		assert_int_equal(good->e.target->host[0].port, 2525);
		rig_result(r, good, OUTCOME_DELIVERED);
	}
	assert_false(summary_has(r, "unreachable"));
}

static void test_total_connections(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];
	size_t n;

	take_in(r, "a@src.test", "x@sum.test", 10);
	take_in(r, "o@src.test", "x@sum.test", 10);
	n = jobs(r, job);
	assert_int_equal(n, 4); /* three of one source, one of the other */
	assert_true(summary_has(r, "connections 4 total"));
	assert_true(summary_has(r, "\"source\":\"other\""));
	broker_conn_closed(r->b, 9, 9, r->now);
	rig_result(r, job[0], OUTCOME_FAILED);
	rig_result(r, job[3], OUTCOME_FAILED);
	assert_in_range(rig_counts(r).connections, 3, 4);
}

/* ---- messages -----------------------------------------------------------------------------------
 */

static void test_rate(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];
	int64_t start = r->now, at;
	size_t sent = 3;

	take_in(r, "a@src.test", "x@slow.test", 30);
	assert_int_equal(jobs(r, job), 3);
	assert_true(summary_has(r, "\"limit\":\"messages 3/m\""));
	assert_true(summary_has(r, "\"messages_rate\":\"3/m\""));
	for (size_t i = 0; i < 3; i++)
		rig_result(r, job[i], OUTCOME_DELIVERED);
	while (sent < 30) {
		size_t n;

		rig_flush(r, 0);
		at = broker_deadline(r->b);
		assert_in_range(at - r->now, 1, 62 * SEC);
		rig_pass(r, at - r->now - 1);
		assert_int_equal(jobs(r, NULL), 0);
		rig_pass(r, 1);
		n = jobs(r, job);
		assert_in_range(n, 1, 3);
		for (size_t i = 0; i < n; i++)
			rig_result(r, job[i], OUTCOME_DELIVERED);
		sent += n;
	}
	assert_in_range(r->now - start, 9 * MIN, 9 * MIN + 10 * SEC);
}

/* What was never sent does not count. */
static void test_unsent(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];

	take_in(r, "a@src.test", "x@slow.test", 10);
	assert_int_equal(jobs(r, job), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
		    rig_result_as(r, job[i], job[i]->e.peer, OUTCOME_DEFERRED, 0, true), 0);
	rig_pass(r, 2 * SEC);
	assert_int_equal(jobs(r, NULL), 1);
}

/* It is remembered though nothing is left that goes there, and nobody can get around it. */
static void test_remembered(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];

	for (int i = 0; i < 3; i++) {
		rig_accept(r, "a@src.test", "x@slow.test");
		assert_int_equal(jobs(r, job), 1);
		rig_result(r, job[0], OUTCOME_DELIVERED);
		broker_conn_closed(r->b, job[0]->e.peer, job[0]->e.conn, r->now);
		rig_flush(r, 0);
	}
	rig_empty(r);
	rig_accept(r, "a@src.test", "x@slow.test");
	assert_int_equal(jobs(r, NULL), 0);
	rig_pass(r, 61 * SEC);
	assert_int_equal(jobs(r, NULL), 1);
}

static void test_total_messages(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];
	size_t n, sum = 0;

	take_in(r, "a@src.test", "x@sum.test", 10);
	take_in(r, "o@src.test", "x@sum.test", 10);
	while ((n = jobs(r, job)) > 0) {
		sum += n;
		for (size_t i = 0; i < n; i++)
			rig_result(r, job[i], OUTCOME_DELIVERED);
		rig_pass(r, 0);
	}
	assert_int_equal(sum, 5);
	assert_true(summary_has(r, "messages 5/m total"));
	rig_pass(r, 62 * SEC);
	assert_in_range(jobs(r, NULL), 1, 5);
}

/* ---- rules
 * ------------------------------------------------------------------------------------------ */

static void test_pause(void **state)
{
	static const uint8_t esc[3] = {4, 7, 1};
	struct rig *r = *state;
	struct seen *job[64];

	take_in(r, "a@src.test", "x@rules.test", 30);
	assert_int_equal(jobs(r, job), 4);
	says(r, job[0], 451, esc, "mail temporarily deferred, try later", OUTCOME_DEFERRED);
	rig_result(r, job[1], OUTCOME_DELIVERED);
	assert_int_equal(jobs(r, NULL), 0);
	assert_true(summary_has(r, "\"state\":\"paused\""));
	assert_true(summary_has(r, "\"limit_place\":\"t.conf:10\""));
	assert_true(list_has(r, "\"rule\":\"t.conf:10\""));
	rig_flush(r, 0);
	rig_pass(r, 2 * HOURS - SEC);
	assert_int_equal(jobs(r, NULL), 0);
	rig_pass(r, SEC);
	assert_int_equal(jobs(r, NULL), 2);
	assert_false(summary_has(r, "paused"));
}

static void test_slow(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];
	size_t n = 0;

	take_in(r, "a@src.test", "x@rules.test", 60);
	assert_int_equal(jobs(r, job), 4);
	says(r, job[0], 451, (const uint8_t[3]){4, 7, 0}, "4.7.650 rate limited", OUTCOME_DEFERRED);
	for (int i = 1; i < 4; i++)
		rig_result(r, job[i], OUTCOME_DELIVERED);
	assert_int_equal(jobs(r, NULL), 0);
	assert_true(summary_has(r, "\"state\":\"slowed\""));
	assert_true(summary_has(r, "messages 1/m for now"));
	for (int s = 0; s < 29 * 60; s++) {
		size_t k;

		rig_pass(r, SEC);
		k = jobs(r, job);
		assert_in_range(k, 0, 1);
		for (size_t i = 0; i < k; i++)
			rig_result(r, job[i], OUTCOME_DELIVERED);
		rig_flush(r, 0);
		n += k;
	}
	assert_in_range(n, 26, 29);
	rig_pass(r, 62 * SEC);
	assert_in_range(jobs(r, NULL), 3, 4); /* the half hour is over */
	assert_false(summary_has(r, "slowed"));
}

static void test_retry_and_bounce(void **state)
{
	static const uint8_t esc[3] = {4, 2, 0}, hard[3] = {5, 7, 1};
	struct rig *r = *state;
	struct seen *job[64];

	take_in(r, "", "x@rules.test", 4);
	assert_int_equal(jobs(r, job), 4);
	says(r, job[0], 450, esc, "greylisted, come back", OUTCOME_DEFERRED);
	says(r, job[1], 550, hard, "greylisted for good?", OUTCOME_FAILED);
	says(r, job[2], 450, esc, "mailbox of x is gone", OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).waiting, 2);
	rig_pass(r, 89 * SEC);
	assert_int_equal(jobs(r, NULL), 0);
	rig_pass(r, SEC);
	assert_int_equal(jobs(r, NULL), 2);
}

/* A greeting is a reply too, though the message went to another host. */
static void test_greeting(void **state)
{
	struct rig *r = *state;
	struct seen *job[64];
	struct broker_tried t[2] = {
	    {SPAN("192.0.2.1"), false, SPAN("greeting: 421 4.7.0 temporarily deferred")},
	    {SPAN("192.0.2.2"), true, SPAN_NONE}};

	take_in(r, "a@src.test", "x@rules.test", 10);
	assert_int_equal(jobs(r, job), 4);
	broker_tried(r->b, job[0]->e.peer, job[0]->e.number, true, t, 2, r->now);
	rig_result(r, job[0], OUTCOME_DELIVERED);
	assert_int_equal(jobs(r, NULL), 0);
	assert_true(summary_has(r, "\"state\":\"paused\""));
}

/* ---- bad hosts
 * --------------------------------------------------------------------------------------- */

static bool hosts_have(struct rig *r, const char *text)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_hosts(r->b, &out, r->now), 200);
	return buf_has(&out, text);
}

static struct seen *tried(struct rig *r, const struct seen *job, const char *address, bool good)
{
	struct broker_tried t = {span_str(address), good, SPAN("connect: refused")};

	broker_tried(r->b, job->e.peer, job->e.number, false, &t, 1, r->now);
	rig_result(r, job, OUTCOME_DELIVERED);
	return rig_take(r, EFFECT_JOB);
}

static void test_bad_hosts(void **state)
{
	static const int64_t rests[] = {1, 2, 4, 8, 16, 30, 30};
	struct rig *r = *state;
	struct seen *job;

	take_in(r, "a@src.test", "x@one.pool.test", 60);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.n_avoid, 0);
	rig_take(r, EFFECT_JOB); /* stays under way */
	for (size_t i = 0; i < GW_ARRAY_LEN(rests); i++) {
		job = tried(r, job, "192.0.2.7", false);
		assert_int_equal(job->e.n_avoid, 1);
		assert_string_equal(job->avoid, "192.0.2.7");
		rig_pass(r, rests[i] * MIN - 1);
		assert_true(hosts_have(r, "\"resting\":true"));
		rig_pass(r, 1);
		assert_true(hosts_have(r, "\"resting\":false"));
		job = tried(r, job, "", false); /* no address: nothing is noted */
		assert_int_equal(job->e.n_avoid, 0);
		job = tried(r, job, "192.0.2.8", true);
	}
	/* A success halves what is remembered; an operator forgets it. */
	job = tried(r, job, "192.0.2.7", true);
	assert_true(hosts_have(r, "\"failures\":3"));
	job = tried(r, job, "192.0.2.7", false);
	assert_true(hosts_have(r, "\"failures\":4"));
	assert_int_equal(broker_hosts_clear(r->b, SPAN("192.0.2.9")), 0);
	assert_int_equal(broker_hosts_clear(r->b, SPAN("192.0.2.7")), 1);
	assert_true(hosts_have(r, "\"hosts\":[]"));
	assert_int_equal(tried(r, job, "192.0.2.8", true)->e.n_avoid, 0);
}

/* A shape says how long the first rest is. */
static void test_bad_hosts_of_a_shape(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	take_in(r, "a@src.test", "x@sum.test", 4);
	job = tried(r, rig_take(r, EFFECT_JOB), "192.0.2.7", false);
	for (int rest = 10; rest <= 20; rest *= 2) {
		rig_pass(r, rest * SEC - 1);
		assert_true(hosts_have(r, "\"resting\":true"));
		rig_pass(r, 1);
		assert_true(hosts_have(r, "\"resting\":false"));
		if (rest == 10)
			job = tried(r, job, "192.0.2.7", false);
	}
}

/* A way that had no mail for a while is told of its bad hosts again, another one is not. */
static void test_bad_hosts_recalled(void **state)
{
	struct rig *r = *state;
	struct broker_tried t = {SPAN("192.0.2.7"), false, SPAN("connect: refused")};
	struct seen *job;

	take_in(r, "a@src.test", "x@one.pool.test", 1);
	job = rig_take(r, EFFECT_JOB);
	broker_tried(r->b, job->e.peer, job->e.number, false, &t, 1, r->now);
	rig_result(r, job, OUTCOME_DELIVERED);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_pass(r, 1);
	take_in(r, "a@src.test", "x@two.pool.test", 1);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.n_avoid, 0);
	take_in(r, "a@src.test", "x@one.pool.test", 1);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.n_avoid, 1);
	assert_string_equal(job->avoid, "192.0.2.7");
}

/* Who can name many addresses fills neither memory nor the list of a job. */
static void test_many_bad_hosts(void **state)
{
	struct rig *r = *state;
	struct broker_tried t[60];
	char text[60][40], longer[500];
	struct seen *job;

	take_in(r, "a@src.test", "x@one.pool.test", 2);
	job = rig_take(r, EFFECT_JOB);
	for (int k = 0; k < 100; k++) {
		for (int i = 0; i < 60; i++) {
			snprintf(text[i], sizeof(text[i]), "10.%d.%d.1", k, i);
			t[i] = (struct broker_tried){span_str(text[i]), false, SPAN("x")};
		}
		broker_tried(r->b, job->e.peer, job->e.number, false, t, 60, r->now);
	}
	memset(longer, 'x', sizeof(longer));
	t[0].address = span_of(longer, sizeof(longer));
	broker_tried(r->b, job->e.peer, job->e.number, false, t, 1, r->now);
	broker_tried(r->b, job->e.peer + 1, job->e.number, true, t, 1, r->now); /* not its job */
	broker_tried(r->b, job->e.peer, 4711, true, t, 1, r->now);
	assert_int_equal(broker_hosts_clear(r->b, SPAN_NONE), 4096);
	rig_take(r, EFFECT_JOB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LIMIT_TEST(test_grows),
	    LIMIT_TEST(test_refused),
	    LIMIT_TEST(test_refused_alone),
	    LIMIT_TEST(test_room),
	    LIMIT_TEST(test_dead_way),
	    LIMIT_TEST(test_total_connections),
	    LIMIT_TEST(test_rate),
	    LIMIT_TEST(test_unsent),
	    LIMIT_TEST(test_remembered),
	    LIMIT_TEST(test_total_messages),
	    LIMIT_TEST(test_pause),
	    LIMIT_TEST(test_slow),
	    LIMIT_TEST(test_retry_and_bounce),
	    LIMIT_TEST(test_greeting),
	    LIMIT_TEST(test_bad_hosts),
	    LIMIT_TEST(test_bad_hosts_of_a_shape),
	    LIMIT_TEST(test_bad_hosts_recalled),
	    LIMIT_TEST(test_many_bad_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
