#include "unit/flow/resolving.h"

#include <stdlib.h>

static const char names_config[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "vmta other { helo other.test }\n"
    "resolver { retry 90s }\n"
    "route from address o@src.test via vmta other\n"
    "route from address v@src.test via mx tls verify\n"
    "route to any via mx\n"
    "shape google { mx *.google.test; connections 3; expire 1d; retry 30m }\n"
    "shape hosted { domain a.hosted.test b.hosted.test; connections 2 }\n"
    "shape * { connections 2; per-connection 100; retry 5m 15m 1h 4h; expire 4d }\n";

static int set_up(void **state)
{
	struct rig *r = rig_start(names_config, 1 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

#define NAMES_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

/* ---- one question -------------------------------------------------------------------------- */

static void test_asked_once(void **state)
{
	struct rig *r = *state;
	struct seen *a, *b;

	for (int i = 0; i < 20; i++)
		rig_accept(r, "a@src.test", "b@one.test");
	assert_question(r, "one.test");
	rig_none(r, EFFECT_RESOLVE);
	rig_none(r, EFFECT_JOB);
	assert_true(summary_has(r, "\"state\":\"resolving\""));
	resolve(r, "one.test", MX_HOSTS, "mx1.there.test mx2.there.test", 300);
	a = rig_take(r, EFFECT_JOB);
	b = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	assert_int_not_equal(a->e.conn, b->e.conn);
	assert_true(summary_has(r, "\"state\":\"limited\""));
	/* Within its time nobody asks again. */
	rig_pass(r, 299 * SEC);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, a, OUTCOME_DELIVERED);
	rig_none(r, EFFECT_RESOLVE);
	/* Later it is asked, and the mail does not wait for that. */
	rig_pass(r, 2 * SEC);
	rig_result(r, b, OUTCOME_DELIVERED);
	assert_question(r, "one.test");
	rig_none(r, EFFECT_RESOLVE);
	rig_take(r, EFFECT_JOB);
	rig_take(r, EFFECT_JOB);
}

/* What is told of a domain nobody asked for, or twice, is nobody's. */
static void test_unasked(void **state)
{
	struct rig *r = *state;

	resolve(r, "never.test", MX_NULL, "", 60);
	rig_accept(r, "a@src.test", "b@one.test");
	assert_question(r, "one.test");
	resolve(r, "one.test", MX_HOSTS, "mx.there.test", 300);
	resolve(r, "one.test", MX_NULL, "", 300);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* The same hosts, in whatever order and letters, are one group and share connections. */
static void test_same_hosts(void **state)
{
	struct rig *r = *state;
	struct seen *a, *b, *c;

	rig_accept(r, "a@src.test", "b@one.test");
	resolve(r, "one.test", MX_HOSTS, "mx1.there.test mx2.there.test", 300);
	a = rig_take(r, EFFECT_JOB);
	rig_result(r, a, OUTCOME_DELIVERED);
	rig_accept(r, "a@src.test", "b@two.test");
	resolve(r, "two.test", MX_HOSTS, "MX2.there.test mx1.there.test", 300);
	b = rig_take(r, EFFECT_JOB);
	assert_int_equal(a->e.conn, b->e.conn);
	/* Other hosts are not, though their names put together look the same. */
	rig_accept(r, "a@src.test", "b@three.test");
	resolve(r, "three.test", MX_HOSTS, "mx1.there.test,mx2.there.test", 300);
	c = rig_take(r, EFFECT_JOB);
	assert_int_not_equal(c->e.conn, a->e.conn);
	assert_int_equal(rig_counts(r).connections, 2);
}

/* A source of its own, and demands of its own, have connections of their own. */
static void test_sources(void **state)
{
	struct rig *r = *state;
	struct seen *a, *b, *c;

	rig_accept(r, "a@src.test", "b@one.test");
	resolve(r, "one.test", MX_HOSTS, "mx1.there.test", 300);
	a = rig_take(r, EFFECT_JOB);
	rig_result(r, a, OUTCOME_DELIVERED);
	rig_accept(r, "o@src.test", "b@one.test");
	b = rig_take(r, EFFECT_JOB);
	rig_accept(r, "v@src.test", "b@one.test");
	c = rig_take(r, EFFECT_JOB);
	assert_true(a->e.conn != b->e.conn && b->e.conn != c->e.conn && a->e.conn != c->e.conn);
	rig_none(r, EFFECT_RESOLVE);
}

/* All domains that end at the hosts of a named shape share its limit and take its schedule. */
static void test_named(void **state)
{
	struct rig *r = *state;
	struct seen *job;
	char domain[40];

	for (int i = 0; i < 8; i++) {
		char to[60];

		snprintf(domain, sizeof(domain), "d%d.test", i);
		snprintf(to, sizeof(to), "x@%s", domain);
		rig_accept(r, "a@src.test", to);
		resolve(r, domain, MX_HOSTS, i % 2 ? "mx.google.test" : "alt.google.test", 300);
	}
	for (int i = 0; i < 3; i++)
		job = rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	assert_true(summary_has(r, "\"group\":\"google\""));
	/* Its schedule: nothing before half an hour. */
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_true(list_has(r, "\"due\""));
	assert_in_range(rig_counts(r).waiting, 1, 1);
}

/* "domain" lines say which recipients belong to the group, whatever hosts they have. */
static void test_by_domain(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "x@a.hosted.test");
	rig_accept(r, "a@src.test", "x@b.hosted.test");
	rig_accept(r, "a@src.test", "y@b.hosted.test");
	resolve(r, "a.hosted.test", MX_HOSTS, "mx.google.test", 300);
	resolve(r, "b.hosted.test", MX_HOSTS, "elsewhere.test", 300);
	rig_take(r, EFFECT_JOB);
	rig_take(r, EFFECT_JOB);
	rig_none(r, EFFECT_JOB);
	assert_false(summary_has(r, "\"group\":\"google\""));
}

/* ---- no hosts ----------------------------------------------------------------------------------
 */

static void test_null(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@null.test");
	rig_accept(r, "a@src.test", "c@null.test");
	resolve(r, "null.test", MX_NULL, "", 3600);
	rig_none(r, EFFECT_JOB);
	rig_flush(r, 0); /* the reports */
	assert_int_equal(rig_counts(r).waiting, 0);
	/* What comes later ends without a question. */
	rig_accept(r, "", "d@null.test");
	rig_flush(r, 0);
	resolve(r, "src.test", MX_NO_DOMAIN, "", 3600);
	rig_flush(r, 0);
	resolve(r, "mx.test", MX_NO_DOMAIN, "", 3600); /* of the reports, to the administrator */
	rig_flush(r, 0);
	rig_none(r, EFFECT_RESOLVE);
	rig_empty(r);
}

/* DNS that has trouble never ends mail before its time; then it does. */
static void test_trouble(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "", "b@lost.test");
	for (int i = 0; i < 3000 && rig_counts(r).messages > 0; i++) {
		while (question(r) != NULL)
			resolve(r, "lost.test", MX_TROUBLE, "the resolver does not answer", 5);
		rig_flush(r, 0);
		rig_none(r, EFFECT_JOB);
		if (r->now - 1000000 * SEC < 4 * DAYS)
			assert_int_equal(rig_counts(r).messages, 1);
		if (i == 0)
			assert_true(list_has(r, "the resolver does not answer"));
		rig_pass(r, 10 * MIN);
	}
	rig_empty(r);
	assert_in_range(r->now - 1000000 * SEC, 4 * DAYS, 4 * DAYS + 6 * HOURS);
}

/* An answer that was good is not given up for trouble. */
static void test_trouble_later(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@one.test");
	resolve(r, "one.test", MX_HOSTS, "mx.there.test", 60);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_pass(r, 5 * MIN);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	resolve(r, "one.test", MX_TROUBLE, "timed out", 0);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_pass(r, 89 * SEC);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_none(r, EFFECT_RESOLVE); /* not before the time the configuration says */
	rig_pass(r, 2 * SEC);
	rig_accept(r, "a@src.test", "b@one.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	resolve(r, "one.test", MX_HOSTS, "mx.there.test", 60);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- changes ------------------------------------------------------------------------------------
 */

static void test_moves(void **state)
{
	struct rig *r = *state;
	struct seen *a, *b, *c, *d;

	for (int i = 0; i < 10; i++)
		rig_accept(r, "a@src.test", "b@one.test");
	resolve(r, "one.test", MX_HOSTS, "old.there.test", 60);
	a = rig_take(r, EFFECT_JOB);
	b = rig_take(r, EFFECT_JOB);
	rig_pass(r, 2 * MIN);
	rig_result(r, a, OUTCOME_DELIVERED);
	c = rig_take(r, EFFECT_JOB);
	assert_int_equal(c->e.conn, a->e.conn);
	/* The provider changes: the rest goes to the new hosts, within the new limit of three. */
	resolve(r, "one.test", MX_HOSTS, "mx.google.test", 60);
	for (int i = 0; i < 3; i++) {
		d = rig_take(r, EFFECT_JOB);
		assert_int_not_equal(d->e.conn, a->e.conn);
		assert_int_not_equal(d->e.conn, b->e.conn);
	}
	rig_none(r, EFFECT_JOB);
	/* What is under way ends where it is; its connections are not used again. */
	rig_result(r, b, OUTCOME_DELIVERED);
	rig_result(r, c, OUTCOME_DELIVERED);
	rig_none(r, EFFECT_JOB);
	broker_conn_closed(r->b, b->e.peer, b->e.conn, r->now);
	broker_conn_closed(r->b, a->e.peer, a->e.conn, r->now);
	rig_result(r, d, OUTCOME_DELIVERED);
	rig_take(r, EFFECT_JOB);
	/* And then the domain takes no mail any more: what waits ends, what is under way does not.
	 */
	rig_flush(r, 0);
	rig_pass(r, 2 * MIN);
	rig_accept(r, "", "c@one.test");
	resolve(r, "one.test", MX_NULL, "", 60);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).active, 3);
	assert_int_equal(rig_counts(r).ready, 0);
}

/* Not all domains are asked for at once, and none is forgotten. */
static void test_many_domains(void **state)
{
	struct rig *r = *state;
	size_t asked = 0, most = 0;

	for (int i = 0; i < 1000; i++) {
		char to[60];

		snprintf(to, sizeof(to), "x@d%d.test", i);
		rig_accept(r, "a@src.test", to);
	}
	for (;;) {
		struct seen *q[400];
		size_t n = 0;

		while (n < 400 && (q[n] = rig_any(r, EFFECT_RESOLVE)) != NULL)
			n++;
		if (n == 0)
			break;
		most = n > most ? n : most;
		asked += n;
		for (size_t i = 0; i < n; i++) {
			char host[300];

			snprintf(host, sizeof(host), "mx.%s", q[i]->from);
			resolve(r, q[i]->from, MX_HOSTS, host, 300);
		}
	}
	assert_int_equal(asked, 1000);
	assert_in_range(most, 200, 256);
	assert_int_equal(rig_counts(r).active, 1000);
}

/* ---- restarts
 * ------------------------------------------------------------------------------------ */

/* Connections that were taken over count before their group is known: nobody goes beyond. */
static void test_adopted(void **state)
{
	struct rig *r = rig_start(names_config, 1 << 20);
	struct rig_mail m[6];
	uint32_t first = 0;

	(void)state;
	for (int i = 0; i < 6; i++) {
		char to[60];
		struct part at;
		struct buf e;

		snprintf(to, sizeof(to), "x@d%d.test", i);
		m[i] = rig_mail(r, "a@src.test", to);
		rig_envelope(r, &m[i], &e);
		at = rig_store(r, SPAN("Subject: test\r\n\r\nHello\r\n"));
		assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&e), &at), 0);
		buf_fini(&e);
	}
	broker_worker_up(r->b, 0, WORKER_SENDER);
	broker_recovered(r->b, r->now);
	rig_none(r, EFFECT_RESOLVE);
	for (int i = 0; i < 3; i++)
		assert_int_equal(broker_holding(r->b, 0, 100 + (uint64_t)i, 200 + (uint64_t)i,
				     &m[i].id, &first, 1),
		    0);
	broker_holding_done(r->b, 0, r->now);
	broker_tick(r->b, r->now);
	rig_run(r);
	/* The others are known first, and wait all the same. */
	for (int i = 5; i >= 3; i--) {
		char domain[40];

		snprintf(domain, sizeof(domain), "d%d.test", i);
		resolve(r, domain, MX_HOSTS, "mx.google.test", 300);
		rig_none(r, EFFECT_JOB);
	}
	for (int i = 0; i < 3; i++) {
		char domain[40];

		snprintf(domain, sizeof(domain), "d%d.test", i);
		resolve(r, domain, MX_HOSTS, "mx.google.test", 300);
	}
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB); /* all three connections of the group are taken */
	broker_conn_closed(r->b, 0, 200, r->now);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).connections, 3);
	rig_free(r);
}

/* At rest after a restart nobody asks for names; those that are due do. */
static void test_recovery(void **state)
{
	struct rig *r = rig_start(names_config, 1 << 20);

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct rig_mail m;
		struct change_rcpt said = {.number = 1,
		    .attempts = 1,
		    .outcome = OUTCOME_DEFERRED,
		    .due = r->now + (i < 10 ? 0 : 4 * MIN)};
		char to[60];
		struct part at, none = {0};
		struct change c;
		struct buf e;

		snprintf(to, sizeof(to), "x@d%d.test", i);
		m = rig_mail(r, "a@src.test", to);
		rig_envelope(r, &m, &e);
		at = rig_store(r, SPAN("Subject: test\r\n\r\nHello\r\n"));
		assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&e), &at), 0);
		c = (struct change){.id = m.id, .rcpt = &said, .n_rcpt = 1};
		buf_clear(&e);
		change_encode(&c, &e);
		assert_int_equal(rig_recover(r, BROKER_DEFERRED, buf_view(&e), &none), 0);
		buf_fini(&e);
	}
	rig_ready(r);
	for (int i = 0; i < 10; i++)
		assert_non_null(question(r));
	assert_null(question(r));
	rig_pass(r, 5 * MIN);
	for (int i = 0; i < 40; i++)
		assert_non_null(question(r));
	assert_null(question(r));
	rig_free(r);
}

/* What waited by the schedule of its provider goes on waiting after a restart, though nobody knows
 * yet whose schedule that was. */
static void test_recovered_schedule(void **state)
{
	struct rig *r = rig_start(names_config, 1 << 20);
	struct rig_mail m = rig_mail(r, "a@src.test", "x@one.test");
	struct change_rcpt said = {
	    .number = 1, .attempts = 1, .outcome = OUTCOME_DEFERRED, .due = r->now + 29 * MIN};
	struct change c = {.id = m.id, .rcpt = &said, .n_rcpt = 1};
	struct part at, none = {0};
	struct buf e;

	(void)state;
	rig_envelope(r, &m, &e);
	at = rig_store(r, SPAN("Subject: test\r\n\r\nHello\r\n"));
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&e), &at), 0);
	buf_clear(&e);
	change_encode(&c, &e);
	assert_int_equal(rig_recover(r, BROKER_DEFERRED, buf_view(&e), &none), 0);
	buf_fini(&e);
	rig_ready(r);
	rig_pass(r, 28 * MIN);
	assert_null(question(r));
	rig_pass(r, 2 * MIN);
	assert_question(r, "one.test");
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    NAMES_TEST(test_asked_once),
	    NAMES_TEST(test_unasked),
	    NAMES_TEST(test_same_hosts),
	    NAMES_TEST(test_sources),
	    NAMES_TEST(test_named),
	    NAMES_TEST(test_by_domain),
	    NAMES_TEST(test_null),
	    NAMES_TEST(test_trouble),
	    NAMES_TEST(test_trouble_later),
	    NAMES_TEST(test_moves),
	    NAMES_TEST(test_many_domains),
	    cmocka_unit_test(test_adopted),
	    cmocka_unit_test(test_recovery),
	    cmocka_unit_test(test_recovered_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
