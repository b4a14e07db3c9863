/* Recipients that a rule holds from the start: not tried, kept over restarts, released, dropped. */
#include "fixture.h"

static const struct rcpt two[] = {
    {.addr = SPAN("b@dst.test")}, {.addr = SPAN("c@other.test")}, {.addr = SPAN("d@dst.test")}};

/* One recipient is held, for that reason. */
static struct change_rcpt held_one(uint32_t index)
{
	return (struct change_rcpt){.index = index,
	    .number = 1,
	    .outcome = OUTCOME_HELD,
	    .reply = SPAN("Held by /etc/rcpt:7")};
}

static int commit_held(struct rig *r, struct envelope *e, const struct change *c)
{
	struct buf held, meta;
	int err;

	buf_init(&held, 1 << 16);
	buf_init(&meta, 1 << 16);
	change_encode(c, &held);
	e->held = buf_view(&held);
	e->head_length = 2;
	e->accepted = r->now;
	envelope_encode(e, &meta);
	assert_false(buf_failed(&held) || buf_failed(&meta));
	err = broker_commit(r->b, 7, 50, buf_view(&meta), SPAN("\r\n"), SPAN("x"), r->now);
	buf_fini(&held);
	buf_fini(&meta);
	return err;
}

/* A message with n recipients, those of the indices held; not durable yet. */
static struct msgid send_held(struct rig *r, size_t n, size_t n_held, const uint32_t *index)
{
	struct envelope e = {.id = rig_id(r), .nonce = rig_id(r), .rcpt = two, .n_rcpt = n};
	struct change_rcpt held[3];
	struct change c = {.id = e.id, .when = r->now, .rcpt = held, .n_rcpt = n_held};

	e.from = SPAN("a@src.test");
	for (size_t i = 0; i < n_held; i++)
		held[i] = held_one(index[i]);
	assert_int_equal(commit_held(r, &e, &c), 0);
	rig_run(r);
	return e.id;
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

static void release(struct rig *r, const struct msgid *id)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(broker_release(r->b, id, 5, 99, &out, r->now), 0);
	buf_fini(&out);
	rig_pass(r, 0);
	rig_flush(r, 0);
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

static void recover_record(struct rig *next, const struct seen *s)
{
	struct part at = rig_store(next, buf_view(&s->body));

	assert_int_equal(rig_recover(next, s->e.record, buf_view(&s->meta), &at), 0);
}

/* The others go their way at once; the one waits for its operator, however long that takes. */
static void test_one_of_three(void **state)
{
	struct rig *r = *state;
	struct msgid id = send_held(r, 3, 1, (const uint32_t[]){0});
	struct seen *job;

	assert_int_equal(rig_counts(r).held, 0); /* not durable */
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	assert_int_equal(rig_counts(r).held, 1);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 2 && job->index[0] == 1 && job->index[1] == 2);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_true(shows(r, &id, "Held by /etc/rcpt:7"));
	rig_pass(r, 100 * DAYS);
	rig_none(r, EFFECT_JOB);
	assert_true(shows(r, &id, "Held by /etc/rcpt:7"));
	release(r, &id);
	assert_int_equal(rig_counts(r).held, 0);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 0);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* The record of the message says it all; a release that follows wins in any order. */
static void test_restart(void **state)
{
	struct rig *r = *state;
	struct msgid id = send_held(r, 2, 2, (const uint32_t[]){0, 1});
	struct rig *next = rig_start(rig_config, 1 << 20);
	struct rig *third = rig_start(rig_config, 1 << 20);

	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 2);
	next->now = third->now = r->now;
	recover_record(next, record_of(r, BROKER_MESSAGE));
	rig_ready(next);
	rig_pass(next, 10 * DAYS);
	rig_none(next, EFFECT_JOB);
	assert_int_equal(rig_counts(next).held, 2);
	assert_true(shows(next, &id, "Held by /etc/rcpt:7"));
	release(next, NULL);
	assert_int_equal(rig_take(next, EFFECT_JOB)->e.n_rcpt, 2);
	recover_record(third, record_of(r, BROKER_MESSAGE));
	recover_record(third, record_of(next, BROKER_RELEASED));
	recover_record(third, record_of(r, BROKER_MESSAGE));
	rig_ready(third);
	assert_int_equal(rig_counts(third).held, 0);
	rig_take(third, EFFECT_JOB);
	rig_free(next);
	rig_free(third);
}

static void test_not_written(void **state)
{
	struct rig *r = *state;

	send_held(r, 2, 1, (const uint32_t[]){1});
	rig_flush(r, GW_ENOSPC);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 2);
	assert_int_equal(rig_counts(r).held, 0);
	rig_empty(r);
}

static void test_dropped(void **state)
{
	struct rig *r = *state;
	struct msgid id = send_held(r, 2, 2, (const uint32_t[]){0, 1});
	struct buf out;

	buf_init(&out, 4096);
	rig_flush(r, 0);
	assert_int_equal(broker_drop(r->b, &id, 5, 99, &out, r->now), 0);
	buf_fini(&out);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 0);
	rig_empty(r);
}

/* What a broken receiver would like to say there. */
static void test_hostile(void **state)
{
	struct rig *r = *state;
	struct rig_mail there = rig_accept(r, "a@src.test", "b@dst.test");
	struct envelope e = {.id = rig_id(r), .rcpt = two, .n_rcpt = 2};
	struct change_rcpt held[2] = {held_one(0), held_one(1)};
	struct change good = {.id = e.id, .rcpt = held, .n_rcpt = 2}, c = good;

	c.id = there.id;
	assert_int_equal(commit_held(r, &e, &c), GW_EFORMAT);
	c = good;
	c.n_rcpt = 0;
	assert_int_equal(commit_held(r, &e, &c), GW_EFORMAT);
	held[1].index = 2;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1].index = 0;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1] = held_one(1);
	held[1].outcome = OUTCOME_DELIVERED;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1].outcome = OUTCOME_MAYBE;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1] = held_one(1);
	held[1].number = UINT32_MAX; /* no release would ever win */
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1] = held_one(1);
	held[1].attempts = 1;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1] = held_one(1);
	held[1].due = 1;
	assert_int_equal(commit_held(r, &e, &good), GW_EFORMAT);
	held[1] = held_one(1);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(commit_held(r, &e, &good), 0);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_one_of_three),
	    RIG_TEST(test_restart),
	    RIG_TEST(test_not_written),
	    RIG_TEST(test_dropped),
	    RIG_TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
