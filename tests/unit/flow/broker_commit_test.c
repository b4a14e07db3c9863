/* Receiving: nothing is acknowledged before it is durable, parts and credits, hostile receivers. */
#include "fixture.h"

static void test_order(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *append, *job;

	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	append = rig_take(r, EFFECT_APPEND);
	assert_int_equal(append->e.record, BROKER_MESSAGE);
	assert_true(append->e.flag && !append->e.own && msgid_eq(&append->e.id, &m.id));
	assert_true(span_eq(buf_view(&append->body), SPAN("Subject: test\r\n\r\nHello\r\n")));
	/* Nothing is said and nothing starts until the store has spoken. */
	rig_pass(r, SEC);
	rig_none(r, EFFECT_COMMITTED);
	rig_none(r, EFFECT_JOB);
	rig_appended(r, append, 0);
	append = rig_take(r, EFFECT_COMMITTED);
	assert_true(append->e.peer == 7 && append->e.number == 1 && append->e.status == 0);
	assert_int_equal(r->holds[1], 1);
	job = rig_take(r, EFFECT_JOB);
	assert_string_equal(job->addr[0], "b@dst.test");
	assert_string_equal(job->from, "a@src.test");
	assert_int_equal(job->e.size, 24);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_none(r, EFFECT_CONFIRM);
	append = rig_take(r, EFFECT_APPEND);
	assert_true(append->e.record == BROKER_RESULT && append->e.own && !append->e.flag);
	rig_appended(r, append, 0);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	rig_empty(r);
}

/* The clause that keeps the order within one call: the answer goes before the job. */
static void test_answer_first(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	size_t committed = 0, hold = 0, job = 0;

	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_flush(r, 0);
	for (size_t i = 0; i < r->n; i++) {
		committed = r->seen[i]->e.type == EFFECT_COMMITTED ? i : committed;
		hold = r->seen[i]->e.type == EFFECT_HOLD ? i : hold;
		job = r->seen[i]->e.type == EFFECT_JOB ? i : job;
	}
	assert_true(committed < hold && hold < job);
}

static void refused(struct rig *r, int status, int said)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_appended(r, rig_take(r, EFFECT_APPEND), status);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, said);
	rig_none(r, EFFECT_JOB);
	rig_empty(r);
	/* The id was never used. */
	assert_int_equal(rig_send(r, 7, 2, &m), 0);
	rig_appended(r, rig_take(r, EFFECT_APPEND), status);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, said);
}

static void test_refused(void **state)
{
	refused(*state, GW_EIO, 1);
	refused(*state, GW_ENOSPC, 2);
	refused(*state, GW_EFULL, 1);
	rig_empty(*state);
}

static void test_no_intake(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *s;

	broker_store_state(r->b, false, true, r->now);
	assert_false(rig_take(r, EFFECT_INTAKE)->e.flag);
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 2);
	assert_int_equal(broker_part(r->b, 7, 2, SPAN("piece"), r->now), 0);
	s = rig_take(r, EFFECT_PART_CREDIT);
	assert_true(s->e.number == 2 && s->e.status == GW_ENOSPC);
	assert_int_equal(broker_part(r->b, 7, 2, SPAN("piece"), r->now), 0);
	rig_none(r, EFFECT_PART_CREDIT);
	/* Content that had no room is not forgotten: the rest alone is no message. */
	broker_store_state(r->b, true, true, r->now);
	assert_int_equal(rig_send(r, 7, 2, &m), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 2);
	broker_store_state(r->b, true, true, r->now);
	assert_true(rig_take(r, EFFECT_INTAKE)->e.flag);
	rig_none(r, EFFECT_INTAKE);
	rig_empty(r);
}

/* ---- parts -------------------------------------------------------------------------------- */

static uint8_t big[200000];

static struct seen *part(struct rig *r, uint64_t txn, size_t n)
{
	struct seen *s;

	assert_int_equal(broker_part(r->b, 7, txn, span_of(big, n), r->now), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_true(s->e.record == BROKER_PART && s->e.flag && !s->e.own);
	return s;
}

static void test_parts(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *one, *two, *s;
	struct envelope e;
	struct arena a;

	one = part(r, 1, 50000);
	two = part(r, 1, 100);
	rig_appended(r, one, 0);
	s = rig_take(r, EFFECT_PART_CREDIT);
	assert_true(s->e.peer == 7 && s->e.number == 1 && s->e.octets == 50000 && s->e.status == 0);
	assert_int_equal(r->holds[1], 1);
	/* The COMMIT comes before the last part is durable: it waits. */
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_none(r, EFFECT_APPEND);
	rig_appended(r, two, 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_MESSAGE);
	arena_init(&a, 1 << 20);
	assert_int_equal(envelope_decode(&e, buf_view(&s->meta), &a), 0);
	assert_int_equal(e.n_part, 2);
	assert_true(e.part[0].offset == 0 && e.part[0].length == 50000 && e.part[1].length == 100);
	arena_reset(&a);
	rig_appended(r, s, 0);
	assert_int_equal(r->holds[1], 1); /* however many need it */
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	s = rig_take(r, EFFECT_JOB);
	assert_int_equal(s->e.size, 50100 + 24);
	rig_result(r, s, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_part_fails_after_commit(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *one = part(r, 1, 10), *two = part(r, 1, 20);

	rig_appended(r, one, 0);
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_appended(r, two, GW_EIO);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 1);
	rig_empty(r);
}

static void test_part_fails_before_commit(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *one = part(r, 1, 10), *s;

	rig_appended(r, one, GW_ENOSPC);
	s = rig_take(r, EFFECT_PART_CREDIT);
	assert_true(s->e.status == GW_ENOSPC && s->e.octets == 0);
	/* A receiver that has not heard of it yet sends on. */
	assert_int_equal(broker_part(r->b, 7, 1, SPAN("more"), r->now), 0);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 2);
	rig_none(r, EFFECT_APPEND);
	rig_empty(r);
}

static void test_abort(void **state)
{
	struct rig *r = *state;
	struct seen *one = part(r, 1, 10), *two;

	rig_appended(r, one, 0);
	assert_int_equal(r->holds[1], 1);
	two = part(r, 1, 20);
	broker_abort(r->b, 7, 1);
	broker_abort(r->b, 7, 1);
	broker_abort(r->b, 7, 99);
	rig_appended(r, two, 0);
	assert_non_null(rig_take(r, EFFECT_PART_CREDIT)); /* of the first part */
	rig_none(r, EFFECT_PART_CREDIT);
	rig_empty(r);
}

static void test_segment_failed(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *one = part(r, 1, 10), *two = part(r, 2, 10);

	rig_appended(r, one, 0);
	r->segment = 2;
	rig_appended(r, two, 0);
	rig_take(r, EFFECT_PART_CREDIT);
	rig_take(r, EFFECT_PART_CREDIT);
	broker_segment_failed(r->b, 1);
	broker_segment_failed(r->b, 1);
	one = rig_take(r, EFFECT_PART_CREDIT);
	assert_true(one->e.number == 1 && one->e.status == GW_EIO);
	rig_none(r, EFFECT_PART_CREDIT);
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 1);
	assert_int_equal(rig_send(r, 7, 2, &m), 0);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- receivers go ------------------------------------------------------------------------- */

static void test_receiver_goes(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct rig_mail whole = rig_mail(r, "c@src.test", "d@dst.test");
	struct seen *idle = part(r, 1, 10), *busy = part(r, 2, 10), *waits = part(r, 3, 10);

	rig_appended(r, idle, 0);
	assert_int_equal(rig_send(r, 7, 3, &m), 0);
	assert_int_equal(rig_send(r, 7, 4, &whole), 0);
	broker_receiver_down(r->b, 7);
	broker_receiver_up(r->b, 8);
	rig_appended(r, busy, 0);
	/* What was committed goes on: the new receiver may ask for it, the client may have its 250.
	 */
	rig_appended(r, waits, 0);
	rig_flush(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	for (size_t i = 0; i < r->n; i++)
		assert_false(r->seen[i]->e.type == EFFECT_COMMITTED && r->seen[i]->e.peer == 8);
	rig_empty(r);
}

static void test_ask(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct rig *next = rig_start(rig_config, 1 << 20);
	struct part at = rig_store(next, SPAN("Subject: test\r\n\r\nHello\r\n"));
	struct msgid other = rig_id(r);
	struct buf envelope;

	rig_envelope(r, &m, &envelope);
	assert_int_equal(rig_recover(next, BROKER_MESSAGE, buf_view(&envelope), &at), 0);
	buf_fini(&envelope);
	rig_ready(next);
	broker_ask(next->b, 7, 5, &m.nonce);
	broker_ask(next->b, 7, 6, &other);
	broker_ask(next->b, 7, 8, &m.id);
	assert_int_equal(rig_take(next, EFFECT_COMMITTED)->e.status, 0);
	assert_int_equal(rig_take(next, EFFECT_COMMITTED)->e.status, 1);
	assert_int_equal(rig_take(next, EFFECT_COMMITTED)->e.status, 1);
	/* Finished or not, it was made durable. */
	rig_result(next, rig_take(next, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(next, 0);
	broker_ask(next->b, 7, 9, &m.nonce);
	assert_int_equal(rig_take(next, EFFECT_COMMITTED)->e.status, 0);
	rig_empty(next);
	rig_pass(next, 601 * SEC);
	broker_ask(next->b, 7, 10, &m.nonce);
	assert_int_equal(rig_take(next, EFFECT_COMMITTED)->e.status, 1);
	rig_free(next);
}

/* ---- hostile receivers -------------------------------------------------------------------- */

static int commit_with(struct rig *r, const struct envelope *e, struct span head, struct span rest)
{
	struct buf b;
	int err;

	buf_init(&b, 1 << 20);
	envelope_encode(e, &b);
	assert_false(buf_failed(&b));
	err = broker_commit(r->b, 7, 50, buf_view(&b), head, rest, r->now);
	buf_fini(&b);
	return err;
}

static void test_hostile_commit(void **state)
{
	struct rig *r = *state;
	struct rig_mail there = rig_accept(r, "a@src.test", "b@dst.test");
	struct rcpt to = {.addr = SPAN("x@dst.test")};
	struct part part = {.segment = 1, .length = 10};
	struct envelope good = {.id = rig_id(r), .rcpt = &to, .n_rcpt = 1, .head_length = 2}, e;
	struct change_rcpt end = {.index = 0, .outcome = OUTCOME_DELIVERED};
	struct change c = {.id = there.id, .rcpt = &end, .n_rcpt = 1};
	struct buf ends;

	e = good;
	e.n_rcpt = 0;
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	e = good;
	e.part = &part; /* a piece of somebody else's mail */
	e.n_part = 1;
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	e = good;
	buf_init(&ends, 4096);
	change_encode(&c, &ends);
	e.ends = buf_view(&ends); /* would end somebody else's recipients */
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	buf_fini(&ends);
	e = good;
	e.head_length = 1;
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	e = good;
	e.head_length = 0; /* a message without content would never reach its end */
	assert_int_equal(commit_with(r, &e, SPAN_NONE, SPAN_NONE), GW_EFORMAT);
	e = good;
	e.handling = (struct handling){.by = BY_RETURN, .by_at = INT64_MAX};
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	e.handling.by_at = 1;
	e.accepted = INT64_MIN;
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	e = good;
	e.id = there.id;
	assert_int_equal(commit_with(r, &e, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	assert_int_equal(
	    broker_commit(r->b, 7, 50, SPAN("junk"), SPAN("\r\n"), SPAN("x"), r->now), GW_EFORMAT);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(commit_with(r, &good, SPAN("\r\n"), SPAN("x")), 0);
	/* The same id once more, while the first is on its way to the disk. */
	assert_int_equal(commit_with(r, &good, SPAN("\r\n"), SPAN("x")), GW_EFORMAT);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).messages, 2);
}

static void test_hostile_parts(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *one = part(r, 1, 10);
	int err = 0;
	size_t n = 0;

	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	assert_int_equal(broker_part(r->b, 7, 1, SPAN("late"), r->now), GW_EFORMAT);
	assert_int_equal(rig_send(r, 7, 1, &m), GW_EFORMAT);
	broker_abort(r->b, 7, 1); /* too late */
	rig_appended(r, one, 0);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	/* More than was granted, without waiting. */
	for (n = 0; err == 0 && n < 100; n++)
		err = broker_part(r->b, 7, 2, span_of(big, 60000), r->now);
	assert_int_equal(err, GW_EFORMAT);
	assert_in_range(n, 17, 40);
	broker_receiver_down(r->b, 7);
	rig_flush(r, 0);
	assert_int_equal(r->holds[1], 1); /* the message and its part */
}

/* The whole of a message is limited however slowly it comes. */
static void test_parts_limit(void **state)
{
	struct rig *r = *state;
	uint64_t sent = 0;
	int err = 0;

	while (err == 0 && sent < (UINT64_C(1) << 30)) {
		err = broker_part(r->b, 7, 1, span_of(big, sizeof(big)), r->now);
		sent += sizeof(big);
		/* flushed, without keeping a copy of it */
		rig_run(r);
		for (size_t i = 0; i < r->n; i++) {
			struct seen *s = r->seen[i];

			if (s->e.type != EFFECT_APPEND || s->answered)
				continue;
			s->answered = s->taken = true;
			buf_fini(&s->body);
			broker_appended(r->b, s->e.token, 0, &(struct record_place){1, 8},
			    &(struct part){.segment = 1, .length = sizeof(big)}, r->now);
			rig_run(r);
		}
	}
	assert_int_equal(err, GW_EFORMAT);
	assert_in_range(
	    sent, r->config->limits.message_size, r->config->limits.message_size + (2 << 20));
	broker_receiver_down(r->b, 7);
	rig_empty(r);
}

/* One receiver's transactions never count against another's. */
static void test_many_transactions(void **state)
{
	struct rig *r = *state;
	int err = 0;
	uint64_t n = 0;

	broker_receiver_up(r->b, 8);
	while (err == 0 && n < 10000)
		err = broker_part(r->b, 7, ++n, SPAN("x"), r->now);
	assert_int_equal(err, GW_EFORMAT);
	assert_in_range(n, 1001, 9999);
	assert_int_equal(broker_part(r->b, 8, 1, SPAN("x"), r->now), 0);
	broker_receiver_down(r->b, 7);
	broker_receiver_down(r->b, 8);
	rig_flush(r, GW_EIO);
	rig_empty(r);
}

static void stored_time(struct rig *r, int64_t says, int64_t stored)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct envelope e;
	struct seen *s;
	struct arena a;

	m.accepted = says;
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	s = rig_take(r, EFFECT_APPEND);
	arena_init(&a, 1 << 20);
	assert_int_equal(envelope_decode(&e, buf_view(&s->meta), &a), 0);
	assert_int_equal(e.accepted, stored);
	assert_true(msgid_eq(&e.nonce, &m.nonce) && e.n_rcpt == 1);
	assert_true(span_eq(e.rcpt[0].addr, SPAN("b@dst.test")));
	arena_reset(&a);
	rig_appended(r, s, 0);
}

/* A receiver whose clock is wrong makes mail neither older nor younger, also in the log. */
static void test_clock_ahead(void **state)
{
	struct rig *r = *state;

	stored_time(r, r->now + 400 * DAYS, r->now);
	stored_time(r, r->now - 400 * DAYS, r->now);
	stored_time(r, r->now - 5 * SEC, r->now - 5 * SEC);
	assert_true(rig_oldest_is(r, r->now - 5 * SEC));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_order),
	    RIG_TEST(test_answer_first),
	    RIG_TEST(test_refused),
	    RIG_TEST(test_no_intake),
	    RIG_TEST(test_parts),
	    RIG_TEST(test_part_fails_after_commit),
	    RIG_TEST(test_part_fails_before_commit),
	    RIG_TEST(test_abort),
	    RIG_TEST(test_segment_failed),
	    RIG_TEST(test_receiver_goes),
	    RIG_TEST(test_ask),
	    RIG_TEST(test_hostile_commit),
	    RIG_TEST(test_hostile_parts),
	    RIG_TEST(test_parts_limit),
	    RIG_TEST(test_many_transactions),
	    RIG_TEST(test_clock_ahead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
