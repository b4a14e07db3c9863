/*
 * Messages at rest: they are put into a slot when all their recipients wait, and read back when
 * one is due, when their site has room, or when an operator asks.
 */
#include "at_rest.h"

/* At rest only when the deferral is durable; counted there, with nothing in memory. */
static void test_to_rest(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test c@dst.test");
	struct broker_counts n;

	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	assert_int_equal(rig_counts(r).parked, 0);
	rig_flush(r, 0);
	n = rig_counts(r);
	assert_true(n.parked == 1 && n.messages == 1 && n.recipients == 2);
	assert_true(n.waiting == 2 && n.active == 0 && n.ready == 0 && n.memory == 0);
	assert_true(n.live > 0);
	assert_int_equal(r->holds[1], 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"deferred\""), 2);
	assert_int_equal(in_summary(r, "\"waiting\":2,\"held\":0"), 1);
	/* The id is taken. */
	assert_int_equal(rig_send(r, 7, 1, &m), GW_EFORMAT);
}

static uint32_t number_of(const struct seen *append)
{
	struct arena a;
	struct change c;
	uint32_t n;

	arena_init(&a, 1 << 16);
	assert_int_equal(change_decode(&c, buf_view(&append->meta), &a), 0);
	n = c.rcpt[0].number;
	arena_reset(&a);
	return n;
}

static void test_back_when_due(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test", 1);
	struct seen *job, *append;

	assert_int_equal(shown(r, &m.id, "\"attempts\":1,\"due\":\""), 1);
	assert_int_equal(
	    shown(r, &m.id,
		"\"code\":450,\"esc\":\"4.0.0\",\"class\":\"other\",\"reply\":\"so they say\""),
	    1);
	assert_in_range(broker_deadline(r->b), r->now + 4 * MIN, r->now + 6 * MIN);
	rig_pass(r, 4 * MIN);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 2 * MIN);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m.id) && job->attempts == 1 && job->e.n_rcpt == 1);
	assert_string_equal(job->addr[0], "b@dst.test");
	assert_string_equal(job->from, "a@src.test");
	assert_int_equal(rig_counts(r).parked, 0);
	/* Its last words are looked up where they stand. */
	assert_int_equal(shown(r, &m.id, "\"reply\":\"so they say\""), 1);
	/* What comes of it counts on. */
	rig_result(r, job, OUTCOME_DEFERRED);
	append = rig_append_of(r, &m.id);
	assert_int_equal(number_of(append), 2);
	rig_appended(r, append, 0);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"attempts\":2"), 1);
	rig_pass(r, 17 * MIN);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	assert_int_equal(rig_counts(r).live, 0);
}

/* Each site in its own time; what is finished is remembered. */
static void test_several_sites(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test c@one.test d@solo.test");
	struct seen *job;

	for (int i = 0; i < 3; i++) {
		job = rig_take(r, EFFECT_JOB);
		rig_result(r, job,
		    strcmp(job->addr[0], "d@solo.test") == 0 ? OUTCOME_DELIVERED
							     : OUTCOME_DEFERRED);
		rig_flush(r, 0);
		assert_int_equal(rig_counts(r).parked, i == 2);
	}
	assert_int_equal(rig_counts(r).waiting, 2);
	assert_int_equal(shown(r, &m.id, "\"state\":\"delivered\""), 1);
	rig_pass(r, 12 * SEC);
	job = rig_take(r, EFFECT_JOB);
	assert_string_equal(job->addr[0], "c@one.test");
	rig_none(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"delivered\""), 2);
	assert_int_equal(shown(r, &m.id, "\"state\":\"deferred\""), 1);
	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 0 && job->attempts == 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- what cannot be read -------------------------------------------------------------------- */

static void test_unreadable(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test c@one.test", 2);
	int64_t before = damaged();
	struct buf out;

	buf_init(&out, 1 << 20);
	r->blind = true;
	rig_pass(r, 12 * SEC);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(damaged() - before, 1);
	assert_int_equal(shown(r, &m.id, "\"unreadable\":true,\"recipients_omitted\":2"), 1);
	assert_int_equal(
	    broker_list(r->b, SPAN("to:b@dst"), &(struct msgid){{0}}, 0, &out, r->now), 200);
	assert_int_equal(count(&out, "\"unreadable\":true"), 1);
	/* It is neither tried at once again nor forgotten. */
	rig_pass(r, SEC / 2);
	assert_int_equal(damaged() - before, 1);
	rig_pass(r, SEC / 2);
	assert_int_equal(damaged() - before, 2);
	/* Not for ever in that pace. */
	for (int i = 0; i < 600; i++)
		rig_pass(r, SEC);
	assert_in_range(damaged() - before, 20, 80);
	r->blind = false;
	assert_int_equal(shown(r, &m.id, "unreadable"), 0);
	rig_pass(r, 5 * MIN);
	deliver_rest(r);
	rig_pass(r, 6 * MIN);
	deliver_rest(r);
	rig_empty(r);
	buf_fini(&out);
}

/* An operator need not wait. What cannot be read cannot be dropped. */
static void test_unreadable_asked(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test", 1);
	struct buf out;

	buf_init(&out, 1 << 20);
	r->blind = true;
	assert_int_equal(broker_drop(r->b, &m.id, 3, 1, &out, r->now), 500);
	assert_true(holds(&out, "godwit spool verify"));
	assert_int_equal(rig_counts(r).parked, 1);
	r->blind = false;
	buf_clear(&out);
	assert_int_equal(broker_retry(r->b, &m.id, &out, r->now), 200);
	assert_true(holds(&out, "{\"retried\":1}"));
	deliver_rest(r);
	rig_empty(r);
	buf_fini(&out);
}

/* The record is there and its content is not: told, and tried again like a deferral. */
static void test_damaged_content(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test", 1);
	int64_t before = damaged();
	struct seen *job;

	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	broker_body_broken(r->b, job->e.number);
	assert_int_equal(damaged() - before, 1);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"attempts\":2"), 1);
}

/* Another message's record at that place is none of this one. */
static void test_wrong_record(void **state)
{
	struct rig *r = *state;
	struct rig_mail a = deferred(r, "b@dst.test", 1),
			b = deferred(r, "b@dst.test c@dst.test", 1);
	size_t first = 0, second = 2; /* each followed by its deferral */
	struct buf right = r->metas[first];

	assert_int_equal(r->kind[first], BROKER_MESSAGE);
	assert_int_equal(r->kind[second], BROKER_MESSAGE);
	r->metas[first] = r->metas[second];
	assert_int_equal(shown(r, &a.id, "\"unreadable\":true"), 1);
	assert_int_equal(shown(r, &b.id, "\"unreadable\":true"), 0);
	r->metas[first] = r->metas[1]; /* no message at all */
	assert_int_equal(shown(r, &a.id, "\"unreadable\":true"), 1);
	r->kind[first] = BROKER_DEFERRED;
	assert_int_equal(shown(r, &a.id, "\"unreadable\":true"), 1);
	r->kind[first] = BROKER_MESSAGE;
	r->metas[first] = right;
	assert_int_equal(shown(r, &a.id, "\"unreadable\":true"), 0);
}

/* ---- retry and drop ------------------------------------------------------------------------- */

static void test_retry(void **state)
{
	struct rig *r = *state;
	struct rig_mail a = deferred(r, "b@dst.test", 1);
	struct rig_mail b = deferred(r, "b@dst.test c@one.test", 2);
	struct seen *job;
	struct buf out;

	buf_init(&out, 4096);
	retry(r, &a.id, "{\"retried\":1}");
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &a.id));
	rig_none(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	retry(r, NULL, "{\"retried\":3}");
	retry(r, NULL, "{\"retried\":0}");
	assert_int_equal(rig_counts(r).parked, 0);
	deliver_rest(r);
	rig_empty(r);
	assert_int_equal(broker_retry(r->b, &b.id, &out, r->now), 404);
	buf_fini(&out);
}

static void test_drop_one(void **state)
{
	struct rig *r = *state;
	struct rig_mail a = deferred(r, "b@dst.test", 1),
			b = deferred(r, "b@dst.test c@one.test", 2);

	drop(r, &b.id, 2);
	assert_int_equal(rig_counts(r).messages, 1);
	assert_int_equal(rig_counts(r).parked, 1);
	drop(r, &a.id, 1);
	rig_empty(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_to_rest),
	    RIG_TEST(test_back_when_due),
	    RIG_TEST(test_several_sites),
	    RIG_TEST(test_unreadable),
	    RIG_TEST(test_unreadable_asked),
	    RIG_TEST(test_damaged_content),
	    RIG_TEST(test_wrong_record),
	    RIG_TEST(test_retry),
	    RIG_TEST(test_drop_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
