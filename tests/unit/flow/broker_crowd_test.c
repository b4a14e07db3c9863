/* Sites that have enough to do: messages wait in their crowd, at rest, until there is room. */
#include "at_rest.h"

enum { CROWD = 9, ROOM = 2 };

static int set_up_crowd(void **state)
{
	struct rig *r = rig_start_with(rig_config, 1 << 20, ROOM + 1);

	rig_ready(r);
	*state = r;
	return 0;
}

/* One is under way, as many as there is room for are ready, the others wait in the crowd. */
static void crowd(struct rig *r, struct rig_mail m[CROWD], const char *from)
{
	struct broker_counts before = rig_counts(r);

	for (int i = 0; i < CROWD; i++)
		m[i] = rig_accept(r, from, "b@solo.test");
	assert_int_equal(rig_counts(r).active, 1);
	assert_int_equal(rig_counts(r).ready, ROOM);
	assert_int_equal(rig_counts(r).parked - before.parked, CROWD - 1 - ROOM);
	assert_int_equal(rig_counts(r).waiting - before.waiting, CROWD - 1 - ROOM);
}

static void test_order_of_arrival(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD];
	struct msgid order[CROWD];

	crowd(r, m, "a@src.test");
	assert_int_equal(shown(r, &m[CROWD - 1].id, "\"state\":\"ready\",\"attempts\":0"), 1);
	assert_int_equal(deliver_all(r, order, CROWD), CROWD);
	for (int i = 0; i < CROWD; i++)
		assert_true(msgid_eq(&order[i], &m[i].id));
	rig_empty(r);
}

/* Those that come back from a deferral stand at the end of the crowd. */
static void test_crowd_after_deferral(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD];
	struct msgid order[CROWD];
	struct seen *job;

	crowd(r, m, "a@src.test");
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, 0);
	assert_true(msgid_eq(&job->e.id, &m[0].id));
	assert_int_equal(shown(r, &m[0].id, "\"state\":\"deferred\""), 1);
	rig_pass(r, DAYS / 2);
	assert_int_equal(shown(r, &m[0].id, "\"state\":\"ready\",\"attempts\":1"), 1);
	assert_int_equal(deliver_all(r, order, CROWD), CROWD);
	assert_true(msgid_eq(&order[0], &m[1].id) && msgid_eq(&order[CROWD - 1], &m[0].id));
	rig_empty(r);
}

/* Waiting for its turn does not keep a message beyond its time. */
static void test_expiry_in_a_crowd(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD];
	struct buf out;

	buf_init(&out, 1 << 20);
	crowd(r, m, "");
	rig_pass(r, 3 * DAYS);
	assert_int_equal(rig_counts(r).messages, CROWD);
	for (int i = 0; i < CROWD; i++)
		rig_pass(r, DAYS / 2);
	assert_int_equal(rig_flush(r, 0), CROWD - 1);
	assert_int_equal(rig_counts(r).messages, 1); /* it is under way */
	assert_int_equal(rig_counts(r).parked, 0);
	deliver_rest(r);
	rig_empty(r);
	buf_fini(&out);
}

/* Room comes by dropping as well as by delivering. */
static void test_room_by_dropping(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD];
	struct msgid order[CROWD];

	crowd(r, m, "a@src.test");
	drop(r, &m[1].id, 1);
	drop(r, &m[2].id, 1);
	assert_int_equal(rig_counts(r).ready, 0);
	assert_true(broker_deadline(r->b) <= r->now);
	rig_pass(r, 0);
	assert_int_equal(rig_counts(r).ready, ROOM + 1);
	assert_int_equal(rig_counts(r).parked, CROWD - 3 - (ROOM + 1));
	drop(r, &m[CROWD - 1].id, 1); /* out of the crowd itself */
	assert_int_equal(deliver_all(r, order, CROWD), CROWD - 3);
	for (int i = 1; i < CROWD - 3; i++)
		assert_true(msgid_eq(&order[i], &m[i + 2].id));
	rig_empty(r);
}

/* A message is crowded out only where all of its sites have enough to do. */
static void test_crowded_and_free(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD], both, none;
	struct seen *first, *job;

	crowd(r, m, "a@src.test");
	first = rig_take(r, EFFECT_JOB);
	both = rig_accept(r, "a@src.test", "x@solo.test y@dst.test");
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &both.id));
	assert_string_equal(job->addr[0], "y@dst.test");
	assert_int_equal(shown(r, &both.id, "\"state\":\"ready\""), 1);
	none = rig_accept(r, "a@src.test", "x@solo.test y@solo.test");
	rig_none(r, EFFECT_JOB);
	assert_int_equal(shown(r, &none.id, "\"state\":\"ready\""), 2);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(shown(r, &both.id, "\"state\":\"deferred\""), 1);
	rig_result(r, first, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_pass(r, 0);
	deliver_rest(r);
	rig_pass(r, 6 * MIN);
	deliver_rest(r);
	rig_empty(r);
}

/* Deferred for both sites: due, it goes where there is room, and waits for the other. */
static void test_crowded_and_free_when_due(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD], both = deferred(r, "x@solo.test y@dst.test", 2);
	struct seen *job;

	crowd(r, m, "a@src.test");
	assert_true(msgid_eq(&rig_take(r, EFFECT_JOB)->e.id, &m[0].id));
	rig_pass(r, DAYS / 2);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &both.id) && job->e.n_rcpt == 1);
	assert_string_equal(job->addr[0], "y@dst.test");
	assert_int_equal(shown(r, &both.id, "\"state\":\"ready\""), 1);
	assert_int_equal(shown(r, &both.id, "\"state\":\"active\""), 1);
}

/* One that cannot be read does not hold up those behind it. */
static void test_unreadable_in_a_crowd(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[CROWD];
	struct msgid order[CROWD];
	struct buf out;

	buf_init(&out, 1 << 16);
	crowd(r, m, "a@src.test");
	r->lost_record[3] = true;
	assert_int_equal(deliver_all(r, order, CROWD), CROWD - 1);
	assert_int_equal(shown(r, &m[3].id, "\"unreadable\":true"), 1);
	r->lost_record[3] = false;
	rig_pass(r, 5 * MIN);
	assert_int_equal(deliver_all(r, order, CROWD), 1);
	assert_true(msgid_eq(&order[0], &m[3].id));
	rig_empty(r);
	buf_fini(&out);
}

#define CROWD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_crowd, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CROWD_TEST(test_order_of_arrival),
	    CROWD_TEST(test_crowd_after_deferral),
	    CROWD_TEST(test_expiry_in_a_crowd),
	    CROWD_TEST(test_room_by_dropping),
	    CROWD_TEST(test_crowded_and_free),
	    CROWD_TEST(test_crowded_and_free_when_due),
	    CROWD_TEST(test_unreadable_in_a_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
