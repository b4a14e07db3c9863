/* Mail that waits to be pulled: given to its customer and nobody else, over the connection he made,
 * and back at rest whatever becomes of that. */
#include "at_rest.h"

static const char pull_config[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "domain a.test { deliver odmr account Alice }\n"
    "domain b.test { deliver odmr account alice }\n"
    "domain c.test { deliver odmr account carol }\n"
    "route to domain d.test from domain src.test via odmr account alice\n"
    "route to domain d.test via odmr account carol\n"
    "route to any via relay 127.0.0.1:2525\n"
    "shape long { domain b.test; expire 20d }\n"
    "shape * { connections 2; per-connection 2; retry 5m 15m; expire 4d }\n"
    "dsn { warn 0s }\n";

enum { ROOM = 4, MANY = 11 };

static int set_up(void **state)
{
	struct rig *r = rig_start_with(pull_config, 1 << 20, ROOM);

	rig_ready(r);
	*state = r;
	return 0;
}

/* A customer comes; list: what he names, with blanks between. */
static enum broker_turned come(
    struct rig *r, const char *account, const char *list, struct broker_turn *t)
{
	struct span name[8], rest = span_str(list);
	size_t n = 0;

	while (rest.n > 0) {
		ptrdiff_t end = span_find(rest, ' ');

		name[n++] = end < 0 ? rest : span_first(rest, (size_t)end);
		rest = end < 0 ? SPAN_NONE : span_skip(rest, (size_t)end + 1);
	}
	*t = (struct broker_turn){.account = span_str(account), .domain = name, .n_domain = n};
	{
		enum broker_turned is = broker_turn(r->b, t, r->now);

		t->domain = NULL;
		rig_run(r);
		return is;
	}
}

static enum broker_turned says(struct rig *r, const char *account, const char *list)
{
	struct broker_turn t;

	return come(r, account, list, &t);
}

/* All that comes over it, until it is to be closed; how many messages. */
static size_t serve(struct rig *r, const struct broker_turn *t)
{
	struct seen *job, *end;
	size_t n = 0;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		job->taken = true;
		assert_int_equal(job->e.conn, t->conn);
		assert_int_equal(job->e.peer, t->worker);
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
		rig_pass(r, 0);
		n++;
	}
	end = rig_take(r, EFFECT_CLOSE);
	assert_int_equal(end->e.number, t->conn);
	broker_conn_closed(r->b, t->worker, t->conn, r->now);
	rig_run(r);
	return n;
}

static void test_waits_and_goes(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "x@far.test", "u@a.test");
	struct broker_turn t;

	rig_none(r, EFFECT_JOB);
	rig_pass(r, DAYS);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(rig_counts(r).connections, 0);
	assert_int_equal(shown(r, &m.id, "\"state\":\"unpulled\""), 1);
	assert_int_equal(come(r, "ALICE", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	assert_int_equal(rig_counts(r).connections, 0);
	rig_empty(r);
	assert_int_equal(says(r, "alice", ""), BROKER_TURN_NO_MAIL);
}

static void test_whose(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;

	rig_accept(r, "x@far.test", "u@a.test");
	rig_accept(r, "x@far.test", "u@c.test");
	rig_accept(r, "x@src.test", "u@d.test");
	rig_accept(r, "x@far.test", "v@d.test");
	assert_int_equal(says(r, "alice", "c.test"), BROKER_TURN_REFUSED);
	assert_int_equal(says(r, "alice", "a.test c.test"), BROKER_TURN_REFUSED);
	assert_int_equal(says(r, "alice", "nowhere.test"), BROKER_TURN_REFUSED);
	assert_int_equal(says(r, "alice", "sub.a.test"), BROKER_TURN_REFUSED);
	assert_int_equal(says(r, "mallory", "a.test"), BROKER_TURN_REFUSED);
	assert_int_equal(says(r, "mallory", ""), BROKER_TURN_NO_MAIL);
	assert_int_equal(says(r, "", ""), BROKER_TURN_NO_MAIL);
	assert_int_equal(says(r, "alice", "b.test"), BROKER_TURN_NO_MAIL);
	rig_none(r, EFFECT_JOB);
	/* d.test is both's: each gets what the routes give him. */
	assert_int_equal(come(r, "alice", "D.test", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	assert_int_equal(come(r, "carol", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 2);
	rig_empty(r);
}

/* More than memory is meant for, over one connection, however few its shape allows on one. */
static void test_many(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;

	for (int i = 0; i < MANY; i++)
		rig_accept(r, "x@far.test", i % 2 ? "u@a.test" : "u@b.test");
	assert_int_equal(rig_counts(r).ready, 0);
	assert_int_equal(rig_counts(r).parked, MANY);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(says(r, "alice", ""), BROKER_TURN_BUSY);
	assert_int_equal(says(r, "carol", ""), BROKER_TURN_NO_MAIL);
	assert_int_equal(serve(r, &t), MANY);
	rig_empty(r);
}

/* The connection is lost: all is at rest again, and there for the next one at once. */
static void test_lost(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;
	struct seen *job;

	for (int i = 0; i < MANY; i++)
		rig_accept(r, "x@far.test", "u@a.test");
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(rig_result_as(r, job, job->e.peer, OUTCOME_DEFERRED, 451, true), 0);
	rig_flush(r, 0);
	broker_conn_closed(r->b, t.worker, t.conn, r->now);
	rig_pass(r, 0);
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_take(r, EFFECT_CLOSE)->e.number, t.conn);
	assert_int_equal(rig_counts(r).parked, MANY);
	assert_int_equal(rig_counts(r).ready, 0);
	assert_int_equal(rig_counts(r).connections, 0);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), MANY);
	rig_empty(r);
}

/* The sender dies with it. */
static void test_worker_gone(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;
	unsigned first;

	for (int i = 0; i < 3; i++)
		rig_accept(r, "x@far.test", "u@a.test");
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	(void)rig_take(r, EFFECT_JOB);
	broker_worker_down(r->b, t.worker, r->now);
	first = t.worker;
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK); /* by the other one */
	assert_int_not_equal(t.worker, first);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 2);
	broker_worker_up(r->b, first, WORKER_SENDER);
	broker_holding_done(r->b, first, r->now);
	rig_acquit(r, first);
	rig_pass(r, MIN);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	rig_empty(r);
}

/* What the customer puts off stays for another call; what he refuses has ended. */
static void test_put_off(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;

	rig_accept(r, "", "u@a.test");
	rig_accept(r, "", "v@a.test");
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(serve(r, &t), 0);
	assert_int_equal(rig_counts(r).recipients, 1);
	assert_int_equal(says(r, "alice", ""), BROKER_TURN_NO_MAIL);
	rig_pass(r, 2 * MIN);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	rig_empty(r);
}

/* One message for two customers and somebody who is called: nobody waits for the others. */
static void test_mixed(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "x@far.test", "u@a.test u@c.test u@relay.test");
	struct seen *job = rig_take(r, EFFECT_JOB);
	struct broker_turn t;

	assert_string_equal(job->addr[0], "u@relay.test");
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, 0);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"unpulled\""), 2);
	rig_pass(r, 20 * MIN); /* it is tried again while the others wait */
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(come(r, "alice", "a.test", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"unpulled\""), 1);
	assert_int_equal(come(r, "carol", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	rig_empty(r);
}

/* The life of what waits is that of its shape. */
static void test_expiry(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "", "u@a.test");
	rig_accept(r, "", "u@b.test");
	for (int i = 0; i < 10; i++)
		rig_pass(r, DAYS / 2);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).messages, 1);
	for (int i = 0; i < 32; i++)
		rig_pass(r, DAYS / 2);
	rig_flush(r, 0);
	rig_empty(r);
}

/* Jobs of a queue that died go on; the connection they are on is of no further use. */
static void test_new_queue(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "x@far.test", "u@a.test");
	uint32_t rcpt = 0;
	struct broker_turn t;
	struct seen *end;

	rig_accept(r, "x@far.test", "v@a.test");
	broker_worker_down(r->b, 1, r->now);
	broker_worker_up(r->b, 1, WORKER_SENDER);
	rig_acquit(r, 1);
	assert_int_equal(broker_holding(r->b, 1, 4242, 77, &m.id, &rcpt, 1), 0);
	broker_holding_done(r->b, 1, r->now);
	rig_run(r);
	{
		struct change_rcpt said = {.index = 0, .outcome = OUTCOME_DELIVERED, .code = 250};
		struct change c = {.id = m.id, .rcpt = &said, .n_rcpt = 1};

		assert_int_equal(broker_result(r->b, 1, 4242, false, &c, r->now), 0);
	}
	rig_run(r);
	rig_flush(r, 0);
	end = rig_take(r, EFFECT_CLOSE);
	assert_int_equal(end->e.number, 77);
	rig_none(r, EFFECT_JOB);
	broker_conn_closed(r->b, 1, 77, r->now);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	rig_empty(r);
}

/* ---- another configuration ---------------------------------------------------------------- */

static const char a_of_alice[] = "a.test { deliver odmr account Alice }";
static const char a_of_carol[] = "a.test { deliver odmr account carol }";

/* What waits is another's now, though the one before has more: he need not come for it. */
static void test_another_owner(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "x@far.test", "u@b.test u@a.test");
	struct broker_turn t;

	rig_accept(r, "x@far.test", "u@a.test");
	rig_reload(r, rig_with(pull_config, a_of_alice, a_of_carol));
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(shown(r, &m.id, "\"state\":\"unpulled\""), 2);
	assert_int_equal(says(r, "alice", "a.test"), BROKER_TURN_REFUSED);
	assert_int_equal(come(r, "carol", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 2);
	assert_int_equal(come(r, "alice", "", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), 1);
	rig_empty(r);
}

/* Nobody is to be waited for any more. */
static void test_no_owner(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "x@far.test", "u@c.test");
	rig_reload(r, rig_with(pull_config, "c.test { deliver odmr account carol }",
			  "c.test { deliver maildir /var/mail/%u }"));
	rig_pass(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* Another shape, before he comes and while he is here: all goes over the one connection. */
static void test_another_shape(void **state)
{
	struct rig *r = *state;
	struct broker_turn t;

	for (int i = 0; i < MANY; i++)
		rig_accept(r, "x@far.test", "u@a.test");
	rig_reload(r, rig_with(pull_config, "domain b.test; expire", "domain a.test; expire"));
	assert_int_equal(come(r, "alice", "a.test", &t), BROKER_TURN_OK);
	rig_pass(r, 0);
	rig_reload(r, pull_config);
	rig_pass(r, 0);
	assert_int_equal(serve(r, &t), MANY);
	rig_empty(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_waits_and_goes, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_whose, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_many, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_lost, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_worker_gone, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_put_off, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_mixed, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_expiry, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_new_queue, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_another_owner, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_no_owner, set_up, rig_tear_down),
	    cmocka_unit_test_setup_teardown(test_another_shape, set_up, rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
