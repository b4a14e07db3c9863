/* Sites: rest and knock, connections and their reuse, full channels, and what workers hold. */
#include "fixture.h"

static void accept_many(struct rig *r, const char *to, int n)
{
	for (int i = 0; i < n; i++)
		rig_accept(r, "a@src.test", to);
}

/* ---- connections -------------------------------------------------------------------------- */

static void test_limit_and_reuse(void **state)
{
	struct rig *r = *state;
	struct seen *one, *two, *three;

	accept_many(r, "b@dst.test", 5);
	one = rig_take(r, EFFECT_JOB);
	two = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB); /* "connections 2" */
	assert_int_equal(rig_counts(r).ready, 3);
	assert_true(one->e.conn != two->e.conn && one->e.peer != two->e.peer);
	assert_int_equal(one->e.conn_messages, 100);
	/* The next job takes the connection that is free, before the result is durable. */
	rig_result(r, two, OUTCOME_DELIVERED);
	three = rig_take(r, EFFECT_JOB);
	assert_true(three->e.conn == two->e.conn && three->e.peer == two->e.peer);
	assert_true(three->e.number != two->e.number);
	rig_flush(r, 0);
	/* A connection that closes makes room for another. */
	rig_result(r, one, OUTCOME_DEFERRED);
	three = rig_take(r, EFFECT_JOB);
	assert_int_equal(three->e.conn, one->e.conn);
	broker_conn_closed(
	    r->b, three->e.peer, three->e.conn, r->now); /* too early: it has a job */
	rig_none(r, EFFECT_JOB);
	rig_result(r, three, OUTCOME_DELIVERED);
	two = rig_take(r, EFFECT_JOB);
	rig_result(r, two, OUTCOME_DELIVERED);
	assert_int_equal(rig_counts(r).connections, 2);
	broker_conn_closed(r->b, 1 - two->e.peer, two->e.conn, r->now); /* not its own */
	assert_int_equal(rig_counts(r).connections, 2);
	broker_conn_closed(r->b, two->e.peer, two->e.conn, r->now);
	broker_conn_closed(r->b, two->e.peer, two->e.conn, r->now);
	assert_int_equal(rig_counts(r).connections, 1);
}

static void test_per_connection(void **state)
{
	struct rig *r = *state;
	struct seen *job;
	uint64_t conn;

	accept_many(r, "b@one.test", 4); /* one connection, two messages each */
	job = rig_take(r, EFFECT_JOB);
	conn = job->e.conn;
	assert_int_equal(job->e.conn_messages, 2);
	rig_result(r, job, OUTCOME_DELIVERED);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.conn, conn);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_none(r, EFFECT_JOB); /* used up; its slot is free when the worker says so */
	broker_conn_closed(r->b, job->e.peer, conn, r->now);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.conn != conn);
	rig_none(r, EFFECT_JOB);
}

/* Maildir: a child per recipient, nothing is reused. */
static void test_maildir(void **state)
{
	struct rig *r = *state;
	struct seen *one, *two;

	rig_accept(r, "a@src.test", "b@box.test c@box.test d@box.test");
	one = rig_take(r, EFFECT_JOB);
	two = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	assert_true(one->e.n_rcpt == 1 && two->e.n_rcpt == 1);
	assert_true(one->e.peer == 16 && two->e.peer == 16);
	rig_result(r, one, OUTCOME_DELIVERED);
	one = rig_take(r, EFFECT_JOB);
	assert_true(one->e.conn != two->e.conn);
	rig_result(r, one, OUTCOME_DELIVERED);
	rig_result(r, two, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	assert_true(rig_counts(r).connections == 0 && rig_counts(r).sites == 0);
}

/* 250 recipients of one site: three transactions of at most 100. */
static void test_rcpt_limit(void **state)
{
	struct rig *r = *state;
	static char to[250 * 16];
	size_t n = 0, total = 0;
	struct seen *job;

	for (int i = 0; i < 250; i++)
		n += (size_t)snprintf(to + n, sizeof(to) - n, "%su%d@dst.test", i ? " " : "", i);
	rig_accept(r, "a@src.test", to);
	for (int i = 0; i < 3; i++) {
		job = rig_take(r, EFFECT_JOB);
		assert_in_range(job->e.n_rcpt, 50, 100);
		total += job->e.n_rcpt;
		rig_result(r, job, OUTCOME_DELIVERED);
	}
	assert_int_equal(total, 250);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_blocked(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	broker_worker_down(r->b, 1, r->now);
	broker_worker_blocked(r->b, 0, true, r->now);
	accept_many(r, "b@dst.test", 1);
	rig_none(r, EFFECT_JOB);
	broker_worker_blocked(r->b, 0, false, r->now);
	job = rig_take(r, EFFECT_JOB);
	assert_non_null(rig_take(r, EFFECT_BODY));
	broker_worker_blocked(r->b, 0, true, r->now);
	assert_int_equal(broker_body_credit(r->b, 0, job->e.number, 1000), 0);
	rig_result(r, job, OUTCOME_DELIVERED);
	accept_many(r, "b@dst.test", 1);
	rig_none(r, EFFECT_JOB); /* nor over the idle connection */
	broker_worker_blocked(r->b, 0, false, r->now);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.conn, job->e.conn);
}

/* ---- rest and knock ----------------------------------------------------------------------- */

static struct seen *away(struct rig *r, const struct seen *job)
{
	assert_int_equal(rig_result_as(r, job, job->e.peer, OUTCOME_DEFERRED, 421, true), 0);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_flush(r, 0);
	return rig_any(r, EFFECT_JOB);
}

static void test_rest(void **state)
{
	static const int64_t rests[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
	struct rig *r = *state;
	struct seen *job, *other;

	rig_pass(r, 601 * SEC);
	accept_many(r, "b@dst.test", 40);
	job = rig_take(r, EFFECT_JOB);
	other = rig_take(r, EFFECT_JOB);
	/* Two connections fail together: that is one failure. */
	assert_null(away(r, job));
	assert_null(away(r, other));
	for (size_t i = 0; i < GW_ARRAY_LEN(rests); i++) {
		int64_t rest = broker_deadline(r->b) - r->now;

		assert_in_range(rest, rests[i] * SEC * 9 / 10, rests[i] * SEC * 11 / 10);
		rig_pass(r, rest - 1);
		rig_none(r, EFFECT_JOB);
		rig_pass(r, 1);
		job = rig_take(r, EFFECT_JOB);
		rig_none(r, EFFECT_JOB); /* one knocks */
		assert_null(away(r, job));
	}
	rig_pass(r, 70 * SEC);
	job = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	/* It answers: full strength at once. */
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_non_null(rig_take(r, EFFECT_JOB));
	assert_non_null(rig_take(r, EFFECT_JOB));
	rig_none(r, EFFECT_JOB);
}

/* A 4xx for the message is no failure of the site. */
static void test_message_failure(void **state)
{
	struct rig *r = *state;

	accept_many(r, "b@one.test", 3);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	assert_int_equal(rig_counts(r).waiting, 1);
}

/* A site that comes back for one message after another keeps in mind that it is away. */
static void test_failures_are_kept(void **state)
{
	struct rig *r = *state;
	struct seen *job;
	struct buf out;

	rig_accept(r, "a@src.test", "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	assert_null(away(r, job));
	rig_pass(r, 6 * MIN); /* the rest is over, the message due again */
	job = rig_take(r, EFFECT_JOB);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	assert_true(rig_has(buf_view(&out), "\"last_reply\":\"421 4.0.0 so they say\""));
	accept_many(r, "b@dst.test", 2);
	rig_none(r, EFFECT_JOB); /* it knocks already */
	assert_null(away(r, job));
	buf_clear(&out);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	assert_true(rig_has(buf_view(&out), "\"state\":\"unreachable\""));
	buf_fini(&out);
}

/* ---- jobs that outlive the queue ---------------------------------------------------------- */

/* The next queue: the log knows these messages, workers 0 and 1 are up and have not spoken. */
static struct rig *next_queue(struct rig *r, const struct rig_mail *m, size_t n)
{
	struct rig *next = rig_start(rig_config, 1 << 20);

	for (size_t i = 0; i < n; i++) {
		struct part at = rig_store(next, SPAN("Subject: test\r\n\r\nHello\r\n"));
		struct buf envelope;

		rig_envelope(r, &m[i], &envelope);
		assert_int_equal(rig_recover(next, BROKER_MESSAGE, buf_view(&envelope), &at), 0);
		buf_fini(&envelope);
	}
	next->now = r->now;
	broker_worker_up(next->b, 0, WORKER_SENDER);
	broker_worker_up(next->b, 1, WORKER_SENDER);
	broker_recovered(next->b, next->now);
	return next;
}

static void test_nothing_starts_unnamed(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct rig *next = next_queue(r, &m, 1);

	rig_pass(next, 3600 * SEC);
	rig_none(next, EFFECT_JOB);
	broker_holding_done(next->b, 0, next->now);
	rig_pass(next, 1);
	rig_none(next, EFFECT_JOB);
	broker_receiver_up(next->b, 7);
	rig_accept(next, "c@src.test", "d@dst.test");
	rig_none(next, EFFECT_JOB);
	/* One that dies has nothing to name any more. */
	broker_worker_down(next->b, 1, next->now);
	rig_pass(next, 0);
	assert_non_null(rig_take(next, EFFECT_JOB));
	assert_non_null(rig_take(next, EFFECT_JOB));
	rig_free(next);
}

static void test_adopted(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test c@dst.test d@dst.test");
	struct rig *next = next_queue(r, &m, 1);
	uint32_t held[] = {0, 2};
	struct seen old = {.e = {.number = 77, .id = m.id, .n_rcpt = 2, .peer = 0}}, *job;

	old.index[1] = 2;
	assert_int_equal(broker_holding(next->b, 0, 77, 78, &m.id, held, 2), 0);
	assert_int_equal(broker_holding(next->b, 0, 77, 78, &m.id, held, 2), 0); /* once more */
	broker_holding_done(next->b, 0, next->now);
	assert_int_equal(broker_holding(next->b, 0, 79, 80, &m.id, held, 2), GW_EFORMAT);
	broker_holding_done(next->b, 1, next->now);
	job = rig_take(next, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 1);
	rig_none(next, EFFECT_JOB);
	assert_int_equal(broker_body_credit(next->b, 0, 77, 1000), 0); /* it has all its content */
	for (struct seen *s; (s = rig_any(next, EFFECT_BODY)) != NULL;)
		assert_int_equal(s->e.number, job->e.number);
	assert_int_equal(rig_counts(next).connections, 2);
	assert_int_equal(rig_result_as(next, &old, 1, OUTCOME_DELIVERED, 250, false), GW_EFORMAT);
	rig_result(next, &old, OUTCOME_DELIVERED);
	rig_result(next, job, OUTCOME_DELIVERED);
	rig_flush(next, 0);
	assert_int_equal(rig_take(next, EFFECT_CONFIRM)->e.number, 77);
	rig_empty(next);
	rig_free(next);
}

/* A worker that dies with an adopted job gives it back. */
static void test_adopted_lost(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct rig *next = next_queue(r, &m, 1);
	uint32_t held = 0;

	assert_int_equal(broker_holding(next->b, 0, 77, 78, &m.id, &held, 1), 0);
	broker_holding_done(next->b, 0, next->now);
	broker_holding_done(next->b, 1, next->now);
	rig_none(next, EFFECT_JOB);
	broker_worker_down(next->b, 0, next->now);
	rig_acquit(next, 0);
	rig_pass(next, 0);
	assert_int_equal(rig_take(next, EFFECT_JOB)->e.peer, 1);
	rig_free(next);
}

/* One connection carried a job that is done and carries another: both are the worker's. */
static void test_held_on_one_connection(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[3];
	uint32_t held = 0;
	struct seen done = {.e = {.number = 70, .n_rcpt = 1}},
		    runs = {.e = {.number = 71, .n_rcpt = 1}};
	struct rig *next;
	struct seen *job;

	for (int i = 0; i < 3; i++)
		m[i] = rig_accept(r, "a@src.test", "b@solo.test");
	next = next_queue(r, m, 3);
	done.e.id = m[0].id;
	runs.e.id = m[1].id;
	assert_int_equal(broker_holding(next->b, 0, 70, 60, &m[0].id, &held, 1), 0);
	assert_int_equal(broker_holding(next->b, 0, 71, 60, &m[1].id, &held, 1), 0);
	assert_int_equal(broker_holding(next->b, 1, 72, 60, &m[2].id, &held, 1), GW_EFORMAT);
	broker_holding_done(next->b, 0, next->now);
	broker_holding_done(next->b, 1, next->now);
	rig_none(next, EFFECT_JOB);
	rig_result(next, &done, OUTCOME_DELIVERED);
	rig_none(next, EFFECT_JOB); /* the connection is busy still */
	rig_result(next, &runs, OUTCOME_DELIVERED);
	broker_conn_closed(next->b, 0, 60, next->now);
	job = rig_take(next, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m[2].id));
	rig_result(next, job, OUTCOME_DELIVERED);
	rig_flush(next, 0);
	rig_empty(next);
	rig_free(next);
}

/* The same recipient: deferred by a job that waits to be confirmed, and running in a later one. */
static void held_twice(struct rig *r, uint64_t first, uint64_t second)
{
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct rig *next = next_queue(r, &m, 1);
	struct seen early = {.e = {.number = 70, .n_rcpt = 1, .id = m.id}};
	struct seen late = {.e = {.number = 71, .n_rcpt = 1, .id = m.id}};
	uint32_t held = 0;

	assert_int_equal(broker_holding(next->b, 0, first, first + 100, &m.id, &held, 1), 0);
	assert_int_equal(broker_holding(next->b, 0, second, second + 100, &m.id, &held, 1), 0);
	broker_holding_done(next->b, 0, next->now);
	broker_holding_done(next->b, 1, next->now);
	rig_result(next, &early, OUTCOME_DEFERRED);
	rig_pass(next, 10 * MIN);
	rig_none(next, EFFECT_JOB);
	rig_result(next, &late, OUTCOME_DELIVERED);
	rig_flush(next, 0);
	rig_empty(next);
	rig_free(next);
}

static void test_held_twice(void **state)
{
	held_twice(*state, 70, 71);
	held_twice(*state, 71, 70);
}

/* A worker names what does not exist, or what is not its to have. */
static void test_hostile_holding(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct rig *next = next_queue(r, &m, 1);
	uint32_t held[] = {7, UINT32_MAX, 50000};
	struct msgid other = rig_id(r);
	struct seen *job;

	assert_int_equal(broker_holding(next->b, 0, 77, 78, &other, held, 3), 0);
	assert_int_equal(broker_holding(next->b, 0, 77, 78, &m.id, held, 3), 0);
	assert_int_equal(broker_holding(next->b, 0, 77, 78, &m.id, NULL, 0), 0);
	assert_int_equal(broker_holding(next->b, 5, 77, 78, &m.id, held, 3), GW_EFORMAT);
	broker_holding_done(next->b, 0, next->now);
	broker_holding_done(next->b, 1, next->now);
	job = rig_take(next, EFFECT_JOB);
	/* A fresh worker of a running queue cannot take over what another works on. */
	broker_worker_up(next->b, 2, WORKER_SENDER);
	held[0] = 0;
	assert_int_equal(broker_holding(next->b, 2, UINT64_MAX, 79, &m.id, held, 1), 0);
	broker_holding_done(next->b, 2, next->now);
	rig_result(next, job, OUTCOME_DELIVERED);
	rig_flush(next, 0);
	rig_empty(next);
	rig_free(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_limit_and_reuse),
	    RIG_TEST(test_per_connection),
	    RIG_TEST(test_maildir),
	    RIG_TEST(test_rcpt_limit),
	    RIG_TEST(test_blocked),
	    RIG_TEST(test_rest),
	    RIG_TEST(test_message_failure),
	    RIG_TEST(test_failures_are_kept),
	    RIG_TEST(test_nothing_starts_unnamed),
	    RIG_TEST(test_adopted),
	    RIG_TEST(test_adopted_lost),
	    RIG_TEST(test_held_on_one_connection),
	    RIG_TEST(test_held_twice),
	    RIG_TEST(test_hostile_holding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
