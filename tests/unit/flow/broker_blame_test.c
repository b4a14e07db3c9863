/* Workers that crash: who is blamed, held, released; which site rests; what a liar can do. */
#include "fixture.h"

enum { SEGV = 11, PATIENCE = 300000 };

static void blame(struct rig *r, unsigned worker, uint64_t job, const struct msgid *id, bool host)
{
	struct broker_crash c = {.job = job, .id = *id, .signal = SEGV, .host = host};

	broker_blamed(r->b, worker, &c, r->now);
}

/* The worker of this job crashes with it in hand; blamed before or after its channel ends. */
static void crash_at(struct rig *r, const struct seen *job, bool word_first, bool host)
{
	unsigned worker = job->e.peer;

	if (word_first)
		blame(r, worker, job->e.number, &job->e.id, host);
	broker_worker_down(r->b, worker, r->now);
	if (!word_first)
		blame(r, worker, job->e.number, &job->e.id, host);
	broker_worker_up(r->b, worker, worker == 16 ? WORKER_MDA : WORKER_SENDER);
	broker_holding_done(r->b, worker, r->now);
	rig_pass(r, 0);
}

static void crash(struct rig *r, const struct seen *job, bool word_first)
{
	crash_at(r, job, word_first, false);
}

static struct seen *record_of(struct rig *r, enum broker_record type)
{
	for (size_t i = r->n; i-- > 0;) {
		if (r->seen[i]->e.type == EFFECT_APPEND && r->seen[i]->e.record == type)
			return r->seen[i];
	}
	fail();
	return NULL;
}

static void decode(struct arena *a, const struct seen *s, struct change *c)
{
	arena_init(a, 1 << 20);
	assert_int_equal(change_decode(c, buf_view(&s->meta), a), 0);
}

static bool shows(struct rig *r, const struct msgid *id, const char *text)
{
	struct buf out;
	bool has;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_show(r->b, id, &out, r->now), 200);
	has = rig_has(buf_view(&out), text);
	buf_fini(&out);
	return has;
}

/* Crashes the worker of the message until it is held; nothing else is in the queue. */
static struct rig_mail hold_one(struct rig *r, const char *to, bool word_first)
{
	struct rig_mail m = rig_accept(r, "a@src.test", to);

	crash(r, rig_take(r, EFFECT_JOB), word_first);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, SEC);
	crash(r, rig_take(r, EFFECT_JOB), word_first);
	rig_pass(r, 30 * DAYS); /* it does not come back, and its time is never over */
	rig_none(r, EFFECT_JOB);
	return m;
}

static void held_after_two(struct rig *r, bool word_first)
{
	struct rig_mail m = hold_one(r, "b@dst.test", word_first);
	struct change c;
	struct arena a;

	decode(&a, record_of(r, BROKER_HELD), &c);
	assert_int_equal(c.n_rcpt, 1);
	assert_int_equal(c.rcpt[0].outcome, OUTCOME_HELD);
	assert_true(rig_has(c.rcpt[0].reply, "ended the sender twice (signal 11"));
	arena_reset(&a);
	assert_true(shows(r, &m.id, "\"state\":\"held\""));
	assert_int_equal(rig_flush(r, 0), 1);
	assert_int_equal(rig_counts(r).held, 1);
	assert_int_equal(rig_counts(r).messages, 1);
}

static void test_held_after_two(void **state)
{
	held_after_two(*state, false);
}

static void test_held_word_first(void **state)
{
	held_after_two(*state, true);
}

/* What the worker had beside it goes on at once; the guilty one a second later. */
static void test_others_go_on(void **state)
{
	struct rig *r = *state;
	struct seen *guilty, *again;

	broker_worker_down(r->b, 1, r->now);
	rig_acquit(r, 1);
	rig_accept(r, "a@src.test", "b@dst.test");
	rig_accept(r, "a@src.test", "c@lmtp.test");
	guilty = rig_take(r, EFFECT_JOB);
	rig_take(r, EFFECT_JOB);
	crash(r, guilty, false);
	again = rig_take(r, EFFECT_JOB);
	assert_string_equal(again->addr[0], "c@lmtp.test");
	rig_none(r, EFFECT_JOB);
	rig_pass(r, SEC - 1);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 1);
	again = rig_take(r, EFFECT_JOB);
	assert_string_equal(again->addr[0], "b@dst.test");
	rig_result(r, again, OUTCOME_DELIVERED);
}

/* Until the verdict is there nothing that was lost is given to another worker; if it never comes,
 * not for long. */
static void test_patience(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	broker_worker_down(r->b, job->e.peer, r->now);
	rig_pass(r, PATIENCE - 1);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 1);
	assert_int_not_equal(rig_take(r, EFFECT_JOB)->e.peer, job->e.peer);
}

/* A killed worker (no signal of its own) blames nobody, however often. */
static void test_killed_is_not_crashed(void **state)
{
	struct rig *r = *state;

	rig_accept(r, "a@src.test", "b@dst.test");
	for (int i = 0; i < 5; i++) {
		struct seen *job = rig_take(r, EFFECT_JOB);

		broker_worker_down(r->b, job->e.peer, r->now);
		rig_acquit(r, job->e.peer);
		broker_worker_up(r->b, job->e.peer, WORKER_SENDER);
		broker_holding_done(r->b, job->e.peer, r->now);
		rig_pass(r, 0);
	}
	assert_int_equal(rig_counts(r).held, 0);
	rig_take(r, EFFECT_JOB);
}

/* A worker that was taken over names what it does not have: another's job, another message, a job
 * of the past. */
static void test_lies(void **state)
{
	struct rig *r = *state;
	struct rig_mail victim = rig_accept(r, "a@src.test", "v@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *own;
	unsigned liar = 1 - job->e.peer;

	for (int i = 0; i < 4; i++) {
		struct msgid wrong = rig_id(r);

		rig_accept(r, "a@src.test", "own@lmtp.test");
		own = rig_take(r, EFFECT_JOB);
		assert_int_equal(own->e.peer, liar);
		broker_worker_down(r->b, liar, r->now);
		if (i == 0) /* the job of another worker */
			blame(r, liar, job->e.number, &victim.id, false);
		else if (i == 1) /* its own job, with the id of another message */
			blame(r, liar, own->e.number, &victim.id, false);
		else if (i == 2) /* a number that never was */
			blame(r, liar, 1, &wrong, false);
		else
			blame(r, liar, UINT64_MAX, &own->e.id, false);
		broker_worker_up(r->b, liar, WORKER_SENDER);
		broker_holding_done(r->b, liar, r->now);
		rig_pass(r, 0);
		own = rig_take(r, EFFECT_JOB); /* at once: nobody is suspected */
		rig_result(r, own, OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
	assert_int_equal(rig_counts(r).held, 0);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* Told of a job whose result was already taken: nothing happens to it. */
static void test_blamed_after_result(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	crash(r, job, false);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- release, drop, restart ---------------------------------------------------------------- */

static void test_release(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = hold_one(r, "b@dst.test", false);
	struct seen *job, *s;
	struct buf out;

	rig_flush(r, 0);
	buf_init(&out, 4096);
	assert_int_equal(broker_release(r->b, &m.id, 5, 99, &out, r->now), 0);
	rig_run(r);
	rig_none(r, EFFECT_ANSWER); /* not before it is durable */
	s = record_of(r, BROKER_RELEASED);
	rig_flush(r, 0);
	assert_true(s->answered);
	s = rig_take(r, EFFECT_ANSWER);
	assert_true(s->e.number == 99 && s->e.octets == 1 && s->e.flag);
	assert_int_equal(rig_counts(r).held, 0);
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	assert_int_equal(broker_release(r->b, NULL, 5, 100, &out, r->now), 200);
	assert_true(rig_has(buf_view(&out), "\"released\":0"));
	assert_int_equal(broker_release(r->b, &m.id, 5, 101, &out, r->now), 404);
	buf_fini(&out);
}

/* After a release it has two lives again. */
static void test_released_counts_anew(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = hold_one(r, "b@dst.test", false);
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(broker_release(r->b, &m.id, 5, 99, &out, r->now), 0);
	rig_flush(r, 0);
	buf_fini(&out);
	crash(r, rig_take(r, EFFECT_JOB), false);
	assert_int_equal(rig_counts(r).held, 0);
	rig_pass(r, SEC);
	crash(r, rig_take(r, EFFECT_JOB), false);
	assert_int_equal(rig_counts(r).held, 1);
}

static void test_drop_held(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = hold_one(r, "b@dst.test", false);
	struct buf out;

	rig_flush(r, 0);
	buf_init(&out, 4096);
	assert_int_equal(broker_drop(r->b, &m.id, 5, 99, &out, r->now), 0);
	buf_fini(&out);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 0);
	rig_empty(r);
}

static void recover_record(struct rig *next, const struct seen *s)
{
	struct part at = rig_store(next, buf_view(&s->body));

	assert_int_equal(rig_recover(next, s->e.record, buf_view(&s->meta), &at), 0);
}

/* Held survives a restart, and so does released. */
static void test_restart(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = hold_one(r, "b@dst.test", false);
	struct seen *message = record_of(r, BROKER_MESSAGE), *held = record_of(r, BROKER_HELD);
	struct rig *next = rig_start(rig_config, 1 << 20);
	struct rig *third = rig_start(rig_config, 1 << 20);
	struct buf out;

	next->now = third->now = r->now;
	recover_record(next, message);
	recover_record(next, held);
	rig_ready(next);
	rig_pass(next, 10 * DAYS);
	rig_none(next, EFFECT_JOB);
	assert_int_equal(rig_counts(next).held, 1);
	assert_true(shows(next, &m.id, "ended the sender twice"));
	buf_init(&out, 4096);
	assert_int_equal(broker_release(next->b, NULL, 5, 99, &out, next->now), 0);
	buf_fini(&out);
	rig_pass(next, 0); /* those at rest are read back in turns */
	rig_flush(next, 0);
	rig_take(next, EFFECT_JOB);
	recover_record(third, message);
	recover_record(third, record_of(next, BROKER_RELEASED));
	recover_record(third, held); /* the later one wins in any order */
	rig_ready(third);
	assert_int_equal(rig_counts(third).held, 0);
	rig_free(next);
	rig_free(third);
}

/* ---- recipients --------------------------------------------------------------------------- */

/* Only the recipients of that job are held. */
static void test_other_recipients(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test c@lmtp.test");
	struct seen *job[2];

	for (int round = 0; round < 2; round++) {
		job[0] = rig_take(r, EFFECT_JOB);
		if (round == 0) {
			job[1] = rig_take(r, EFFECT_JOB);
			rig_result(r, job[1], OUTCOME_DEFERRED);
		}
		crash(r, job[0], false);
		rig_pass(r, SEC);
	}
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 1);
	assert_true(shows(r, &m.id, "\"state\":\"deferred\""));
	rig_pass(r, HOURS);
	job[1] = rig_take(r, EFFECT_JOB);
	assert_string_equal(job[1]->addr[0], "c@lmtp.test");
	rig_result(r, job[1], OUTCOME_DELIVERED);
}

/* ---- sites -------------------------------------------------------------------------------- */

static bool site_is(struct rig *r, const char *state)
{
	struct buf out;
	char text[64];
	bool is;

	snprintf(text, sizeof(text), "\"state\":\"%s\"", state);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	is = rig_has(buf_view(&out), text);
	buf_fini(&out);
	return is;
}

/* Two messages over what the host said, with nothing delivered in between: it is the site. */
static void test_site_pauses(void **state)
{
	struct rig *r = *state;
	struct buf out;

	for (int i = 0; i < 5; i++)
		rig_accept(r, "a@src.test", "b@solo.test");
	crash_at(r, rig_take(r, EFFECT_JOB), true, true);
	assert_false(site_is(r, "paused"));
	crash_at(r, rig_take(r, EFFECT_JOB), true, true);
	assert_true(site_is(r, "paused"));
	rig_none(r, EFFECT_JOB);
	rig_pass(r, 81 * SEC);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, SEC);
	crash_at(r, rig_take(r, EFFECT_JOB), true, true); /* still: twice as long */
	rig_pass(r, 162 * SEC);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).held, 0);
	/* Other sites do not wait; an operator's retry wakes it. */
	rig_accept(r, "a@src.test", "c@lmtp.test");
	rig_take(r, EFFECT_JOB);
	buf_init(&out, 4096);
	assert_int_equal(broker_retry(r->b, NULL, &out, r->now), 200);
	buf_fini(&out);
	assert_false(site_is(r, "paused"));
	rig_take(r, EFFECT_JOB);
}

/* Over something else it rests for moments first: a burst of evil messages passes quickly. */
static void test_site_rests_longer(void **state)
{
	struct rig *r = *state;
	int64_t rest = 20000;

	for (int i = 0; i < 16; i++)
		rig_accept(r, "a@src.test", "b@solo.test");
	crash(r, rig_take(r, EFFECT_JOB), true);
	for (int i = 0; i < 8; i++, rest *= 2) {
		crash(r, rig_take(r, EFFECT_JOB), true);
		rig_pass(r, rest - 1);
		rig_none(r, EFFECT_JOB);
		rig_pass(r, 1);
	}
	assert_int_equal(rig_counts(r).held, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	crash(r, rig_take(r, EFFECT_JOB), true); /* it works: that counts from the start */
	assert_false(site_is(r, "paused"));
	rig_take(r, EFFECT_JOB);
}

/* A site that works cannot be paused by messages: something was delivered in between. */
static void test_site_works(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	for (int i = 0; i < 12; i++)
		rig_accept(r, "a@src.test", "b@solo.test");
	for (int i = 0; i < 4; i++) {
		crash(r, rig_take(r, EFFECT_JOB), false);
		job = rig_take(r, EFFECT_JOB);
		rig_result(r, job, OUTCOME_DELIVERED);
		assert_false(site_is(r, "paused"));
	}
}

/* Under suspicion the newest is tried, and one only. */
static void test_newest_first(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[4];
	struct seen *job;

	for (int i = 0; i < 4; i++)
		m[i] = rig_accept(r, "a@src.test", "b@solo.test");
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m[0].id));
	crash(r, job, true);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m[3].id));
	rig_none(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m[1].id));
}

/* More sites than the table holds: the oldest is forgotten, nothing grows. */
static void test_many_sites(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 100; i++) {
		char to[64];

		snprintf(to, sizeof(to), "b@%s.test", i % 2 ? "solo" : "one");
		rig_accept(r, "a@src.test", to);
		crash(r, rig_take(r, EFFECT_JOB), i % 3 == 0);
		rig_pass(r, 2 * HOURS + 1);
	}
	assert_true(rig_counts(r).held > 0);
}

/* ---- deliveries --------------------------------------------------------------------------- */

static void test_delivery_child(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@box.test");
	struct seen *job = rig_take(r, EFFECT_JOB);

	broker_delivery_crashed(r->b, 0, job->e.number); /* not that worker's */
	broker_delivery_crashed(r->b, job->e.peer, job->e.number);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 0);
	rig_pass(r, HOURS);
	job = rig_take(r, EFFECT_JOB);
	broker_delivery_crashed(r->b, job->e.peer, job->e.number);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 1);
	assert_true(shows(r, &m.id, "\"state\":\"held\""));
	rig_pass(r, 30 * DAYS);
	rig_none(r, EFFECT_JOB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_held_after_two),
	    RIG_TEST(test_held_word_first),
	    RIG_TEST(test_others_go_on),
	    RIG_TEST(test_patience),
	    RIG_TEST(test_killed_is_not_crashed),
	    RIG_TEST(test_lies),
	    RIG_TEST(test_blamed_after_result),
	    RIG_TEST(test_release),
	    RIG_TEST(test_released_counts_anew),
	    RIG_TEST(test_drop_held),
	    RIG_TEST(test_restart),
	    RIG_TEST(test_other_recipients),
	    RIG_TEST(test_site_pauses),
	    RIG_TEST(test_site_rests_longer),
	    RIG_TEST(test_site_works),
	    RIG_TEST(test_newest_first),
	    RIG_TEST(test_many_sites),
	    RIG_TEST(test_delivery_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
