/*
 * Copying forward: which segments are emptied, what a copy says, what happens when something
 * happens meanwhile, and what becomes of copies that fail.
 */
#include "copying.h"

/* ---- which segments ----------------------------------------------------------------------- */

/* Would anything be copied out of a log of that shape? */
static bool wanted(uint64_t newest, uint64_t octets, uint64_t segment)
{
	struct broker_log_size size = {
	    .oldest = 1, .newest = newest, .octets = octets, .segment = segment};
	struct rig *r = rig_start(rig_config, 1 << 20);
	bool is;

	rig_ready(r);
	deferred(r, "b@dst.test");
	is = broker_compact(r->b, &size, r->now);
	rig_run(r);
	assert_int_equal(rig_any(r, EFFECT_APPEND) != NULL, is);
	rig_free(r);
	return is;
}

static void test_when(void **state)
{
	struct rig *r = *state;
	uint64_t live;

	deferred(r, "b@dst.test");
	live = rig_counts(r).live;
	assert_in_range(live, 50, 1000);
	/* Less than a tenth of the oldest is alive. */
	assert_true(wanted(2, 2 * (10 * live + 10), 10 * live + 10));
	assert_false(wanted(2, 2 * 10 * live, 10 * live));
	/* Never the newest. */
	assert_false(wanted(1, 1 << 20, 1 << 20));
	/* Much is alive, and the log is many times what is alive; a short log may be. */
	assert_true(wanted(9, 9 * live, live));
	assert_false(wanted(8, 8 * live, live));
	assert_true(wanted(50, 4 * live + 1, live / 4));
	assert_false(wanted(50, 4 * live, live / 4));
}

/* Nobody copies what nobody needs, nor before the workers are there, nor at the end. */
static void test_when_not(void **state)
{
	struct rig *r = *state, *s = rig_start(rig_config, 1 << 20);
	struct rig_mail m = rig_mail(s, "a@src.test", "b@dst.test");

	r->segment = 9;
	assert_false(compact(r, 1));
	r->segment = 1;
	deferred(r, "b@dst.test");
	r->segment = 9;
	broker_store_state(r->b, true, false, r->now);
	assert_false(compact(r, 1));
	broker_store_state(r->b, true, true, r->now);
	broker_stop(r->b);
	assert_false(compact(r, 1));
	rig_none(r, EFFECT_APPEND);

	broker_worker_up(s->b, 0, WORKER_SENDER);
	{
		struct part at = rig_store(s, span_of(content, sizeof(content) - 1));
		struct buf b;

		rig_envelope(s, &m, &b);
		assert_int_equal(rig_recover(s, BROKER_MESSAGE, buf_view(&b), &at), 0);
		buf_fini(&b);
	}
	s->segment = 9;
	broker_recovered(s->b, s->now);
	assert_false(compact(s, 1));
	broker_holding_done(s->b, 0, s->now);
	assert_true(compact(s, 1));
	rig_free(s);
}

/* ---- what a copy says ----------------------------------------------------------------------- */

static void same_but_state(const struct envelope *a, const struct envelope *b)
{
	assert_true(msgid_eq(&a->id, &b->id) && msgid_eq(&a->nonce, &b->nonce));
	assert_true(a->accepted == b->accepted && a->head_length == b->head_length);
	assert_true(span_eq(a->from, b->from) && a->n_rcpt == b->n_rcpt);
	for (size_t i = 0; i < a->n_rcpt; i++)
		assert_true(span_eq(a->rcpt[i].addr, b->rcpt[i].addr));
	assert_int_equal(a->n_part, b->n_part);
}

static void test_state(void **state)
{
	struct rig *r = *state;
	struct rig_mail m =
	    rig_accept(r, "a@src.test", "x@dst.test y@one.test z@later.test w@solo.test");
	struct envelope e, copy;
	struct seen *job, *append;
	struct arena arena;
	struct change c;

	arena_init(&arena, 1 << 20);
	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		if (strcmp(job->addr[0], "w@solo.test") != 0) /* of that one nothing is known */
			rig_result(
			    r, job, job->addr[0][0] == 'x' ? OUTCOME_DEFERRED : OUTCOME_DELIVERED);
	}
	rig_flush(r, 0);
	r->segment = 3;
	assert_true(compact(r, 1));
	append = rig_append_of(r, &m.id);
	assert_true(append->e.record == BROKER_MESSAGE && append->e.own && !append->e.flag);
	assert_true(span_eq(buf_view(&append->body), span_of(content, sizeof(content) - 1)));
	assert_int_equal(envelope_decode(&copy, buf_view(&append->meta), &arena), 0);
	for (size_t i = 0; i < r->n_stored; i++) {
		if (r->kind[i] != BROKER_MESSAGE ||
		    envelope_decode(&e, buf_view(&r->metas[i]), &arena) != 0 ||
		    !msgid_eq(&e.id, &m.id))
			continue;
		same_but_state(&e, &copy);
		assert_int_equal(e.state.n, 0);
	}
	assert_int_equal(change_decode(&c, copy.state, &arena), 0);
	assert_true(msgid_eq(&c.id, &m.id) && c.n_rcpt == 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(
		    c.rcpt[i].index == i && c.rcpt[i].number == 1 && c.rcpt[i].attempts == 1);
		assert_int_equal(c.rcpt[i].outcome, i == 1 ? OUTCOME_DELIVERED : OUTCOME_DEFERRED);
	}
	assert_true(
	    c.rcpt[0].code == 450 && c.rcpt[0].due > r->now + 4 * MIN && c.rcpt[1].due == 0);
	assert_true(span_eq(c.rcpt[0].reply, SPAN("so they say")));
	assert_true(span_eq(c.rcpt[2].reply, SPAN("later")));
	arena_reset(&arena);
}

/* The copy counts: the old place is let go, and all is known as before, also after a start. */
static void test_moved(void **state)
{
	struct rig *r = *state, *again = rig_start(rig_config, 1 << 20);
	struct rig_mail m = deferred(r, "b@dst.test");
	struct seen *copy, *job;
	uint64_t live = rig_counts(r).live;
	struct part at;

	held(r, 1, 1);
	r->segment = 5;
	assert_true(compact(r, 1));
	held(r, 1, 1); /* not yet */
	copy = rig_take(r, EFFECT_APPEND);
	rig_appended(r, copy, 0);
	held(r, 5, 5);
	assert_int_equal(rig_counts(r).copied, 1);
	assert_int_equal(rig_counts(r).memory, 0);
	assert_in_range(rig_counts(r).live, live + 1, live + 200); /* with its state */
	assert_false(compact(r, 5));                               /* the newest */
	assert_true(shows(r, &m.id, "\"attempts\":1"));
	assert_true(shows(r, &m.id, "\"reply\":\"so they say\""));
	/* A copy of the copy says the same. */
	r->segment = 7;
	assert_true(compact(r, 5));
	rig_flush(r, 0);
	held(r, 7, 7);
	assert_in_range(rig_counts(r).live, live + 1, live + 200);
	assert_true(shows(r, &m.id, "\"reply\":\"so they say\""));
	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->attempts, 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);

	at = rig_store(again, buf_view(&copy->body));
	assert_int_equal(rig_recover(again, BROKER_MESSAGE, buf_view(&copy->meta), &at), 0);
	rig_ready(again);
	rig_none(again, EFFECT_JOB);
	assert_true(shows(again, &m.id, "\"attempts\":1"));
	assert_true(shows(again, &m.id, "\"reply\":\"so they say\""));
	rig_pass(again, 6 * MIN);
	assert_int_equal(rig_take(again, EFFECT_JOB)->attempts, 1);
	rig_free(again);
}

/* One that waits for room has nothing to tell, and is copied all the same. */
static void test_never_tried(void **state)
{
	struct rig *r = rig_start_with(rig_config, 1 << 20, 1), *again;
	struct rig_mail m[2];
	struct seen *copy[2];

	(void)state;
	rig_ready(r);
	for (int i = 0; i < 2; i++)
		m[i] = rig_accept(r, "a@src.test", "b@solo.test");
	assert_int_equal(rig_counts(r).parked, 1);
	r->segment = 2;
	assert_true(compact(r, 1));
	for (int i = 0; i < 2; i++) {
		copy[i] = rig_append_of(r, &m[i].id);
		rig_appended(r, copy[i], 0);
	}
	held(r, 2, 2);
	deliver_all(r);
	rig_pass(r, 0);
	deliver_all(r);
	rig_empty(r);
	again = rig_start(rig_config, 1 << 20);
	for (int i = 0; i < 2; i++) {
		struct part at = rig_store(again, buf_view(&copy[i]->body));

		assert_int_equal(
		    rig_recover(again, BROKER_MESSAGE, buf_view(&copy[i]->meta), &at), 0);
	}
	rig_ready(again);
	assert_int_equal(rig_counts(again).messages, 2);
	assert_int_equal(rig_take(again, EFFECT_JOB)->attempts, 0);
	rig_free(again);
	rig_free(r);
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* All parts came in their order, between head and rest. */
static void check_content(struct rig *r, const struct seen *job, int parts)
{
	struct buf all, want;

	buf_init(&all, 1 << 16);
	buf_init(&want, 1 << 16);
	for (size_t i = 0; i < r->n; i++) {
		if (r->seen[i]->e.type == EFFECT_BODY && r->seen[i]->e.number == job->e.number)
			buf_add_span(&all, buf_view(&r->seen[i]->body));
	}
	buf_add_str(&want, "Subject: test\r\n\r\n");
	for (int i = 0; i < parts; i++) {
		char part[32];

		snprintf(part, sizeof(part), "This is part %d.\r\n", i);
		buf_add_str(&want, part);
	}
	buf_add_str(&want, "Hello\r\n");
	assert_true(span_eq(buf_view(&all), buf_view(&want)));
	buf_fini(&all);
	buf_fini(&want);
}

static void test_parts_first(void **state)
{
	enum { N = 20 };
	struct rig *r = *state;
	struct rig_mail m = with_parts(r, N, "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *copy;
	struct envelope e;
	struct arena arena;
	size_t parts = 0;

	arena_init(&arena, 1 << 20);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	held(r, 1, N + 1);
	r->segment = 40;
	assert_true(compact(r, 1));
	for (; parts < N; parts++) {
		copy = next_append(r, BROKER_PART);
		assert_true(copy->e.own && buf_len(&copy->meta) == 0);
		assert_true(msgid_eq(&copy->e.id, &m.id));
		r->segment = 40 + parts / 8;
		rig_appended(r, copy, 0);
		if (parts == 0) /* a few at a time */
			assert_in_range(rig_counts(r).memory, 20, 400);
	}
	copy = next_append(r, BROKER_MESSAGE);
	assert_int_equal(envelope_decode(&e, buf_view(&copy->meta), &arena), 0);
	assert_true(e.n_part == N && e.state.n > 0);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(e.part[i].segment, 40 + i / 8);
	r->segment = 50;
	rig_appended(r, copy, 0);
	held(r, 40, 50);
	arena_reset(&arena);
	/* Its content is what it was. */
	wake(r);
	job = rig_take(r, EFFECT_JOB);
	check_content(r, job, N);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- what fails -------------------------------------------------------------------------------
 */

/* Given up: nothing is held twice, nothing more is tried for a minute, then all of it again. */
static void given_up(struct rig *r, uint64_t first, uint64_t second)
{
	rig_none(r, EFFECT_APPEND);
	held(r, first, second);
	assert_int_equal(rig_counts(r).copied, 0);
	assert_int_equal(rig_counts(r).memory, 0);
	nothing_more(r, 1);
	rig_pass(r, 59 * SEC);
	assert_false(compact(r, 1));
	rig_none(r, EFFECT_APPEND);
	rig_pass(r, 2 * SEC);
	assert_true(compact(r, 1));
}

/* And now it works. */
static void taken_up(struct rig *r)
{
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).copied, 1);
	held(r, r->segment, r->segment);
	wake(r);
	deliver_all(r);
	rig_empty(r);
}

static void test_message_fails(void **state)
{
	struct rig *r = *state;

	deferred(r, "b@dst.test");
	r->segment = 2;
	assert_true(compact(r, 1));
	rig_appended(r, rig_take(r, EFFECT_APPEND), GW_EIO);
	given_up(r, 1, 1);
	taken_up(r);
}

static void test_part_fails(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = with_parts(r, 3, "b@dst.test");
	struct seen *part[3];

	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	r->segment = 30;
	assert_true(compact(r, 1));
	for (int i = 0; i < 3; i++)
		part[i] = next_append(r, BROKER_PART);
	rig_appended(r, part[0], 0);
	rig_appended(r, part[1], GW_ENOSPC);
	assert_int_equal(r->holds[30], 1);
	rig_appended(r, part[2], 0);
	given_up(r, 1, 4);
	assert_true(shows(r, &m.id, "\"attempts\":1"));
	taken_up(r);
}

static void test_record_unreadable(void **state)
{
	struct rig *r = *state;

	deferred(r, "b@dst.test");
	r->segment = 2;
	r->lost_record[0] = true;
	assert_false(compact(r, 1));
	r->lost_record[0] = false;
	given_up(r, 1, 1);
	taken_up(r);
}

static void test_content_unreadable(void **state)
{
	struct rig *r = *state;

	deferred(r, "b@dst.test");
	r->segment = 2;
	r->lost_content[0] = true;
	nothing_more(r, 1);
	r->lost_content[0] = false;
	given_up(r, 1, 1);
	taken_up(r);
}

static void test_part_unreadable(void **state)
{
	struct rig *r = *state;

	with_parts(r, 3, "b@dst.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	r->segment = 30;
	r->lost_content[1] = true;
	assert_true(compact(r, 1)); /* the first part is on its way */
	rig_appended(r, next_append(r, BROKER_PART), 0);
	r->lost_content[1] = false;
	given_up(r, 1, 4);
	taken_up(r);
}

/* One that cannot be copied does not keep the others from it. */
static void test_one_of_many(void **state)
{
	enum { N = 5 };
	struct rig *r = *state;

	for (int i = 0; i < N; i++)
		deferred(r, "b@dst.test");
	r->lost_content[4] = true; /* each message has its deferral behind it */
	r->segment = 2;
	assert_true(compact(r, 1));
	assert_int_equal(rig_flush(r, 0), N - 1);
	held(r, 1, 2);
	nothing_more(r, 1);
	assert_int_equal(rig_counts(r).copied, N - 1);
	r->lost_content[4] = false;
	rig_pass(r, 61 * SEC);
	assert_true(compact(r, 1));
	assert_int_equal(rig_flush(r, 0), 1);
	held(r, 2, 2);
}

/* The store went away with copies on their way to the disk. */
static void test_end_meanwhile(void **state)
{
	struct rig *r = *state;

	with_parts(r, 3, "b@dst.test");
	deferred(r, "b@dst.test");
	r->segment = 30;
	assert_true(compact(r, 1));
	rig_appended(r, next_append(r, BROKER_PART), 0);
	/* rig_free: leaks are seen by the sanitizer */
}

/* ---- meanwhile --------------------------------------------------------------------------------
 */

/* With a worker when it is copied, and delivered before the copy is durable. */
static void test_finished_meanwhile(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *copy, *result;

	r->segment = 2;
	assert_true(compact(r, 1));
	copy = rig_append_of(r, &m.id);
	rig_result(r, job, OUTCOME_DELIVERED);
	result = rig_append_of(r, &m.id);
	assert_int_equal(copy->e.record, BROKER_MESSAGE);
	assert_int_equal(result->e.record, BROKER_RESULT);
	rig_appended(r, copy, 0);
	rig_appended(r, result, 0);
	rig_empty(r);
	assert_int_equal(rig_counts(r).live, 0);
}

/* The same, and the copy fails: the message may go at last. */
static void test_finished_and_failed(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *copy, *result;

	r->segment = 2;
	assert_true(compact(r, 1));
	copy = rig_append_of(r, &m.id);
	rig_result(r, job, OUTCOME_DELIVERED);
	result = rig_append_of(r, &m.id);
	rig_appended(r, copy, GW_EIO);
	rig_appended(r, result, GW_EIO);
	rig_pass(r, 2 * SEC); /* ours comes again, the copy does not */
	assert_int_equal(rig_flush(r, 0), 1);
	rig_empty(r);
}

/* Finished while its parts are copied: there is nothing left to copy. */
static void test_finished_between(void **state)
{
	struct rig *r = *state;
	struct seen *job, *part[2];

	with_parts(r, 2, "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	r->segment = 30;
	assert_true(compact(r, 1));
	for (int i = 0; i < 2; i++)
		part[i] = next_append(r, BROKER_PART);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_appended(r, next_append(r, BROKER_RESULT), 0);
	assert_int_equal(rig_counts(r).messages, 1); /* it stays while it is copied */
	rig_appended(r, part[0], 0);
	rig_appended(r, part[1], 0);
	rig_none(r, EFFECT_APPEND);
	rig_empty(r);
}

/* Changed while it is copied: the change lies behind the copy, and counts. */
static void test_changed_meanwhile(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test");
	struct seen *job, *copy, *change;

	wake(r);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->attempts, 1);
	r->segment = 2;
	assert_true(compact(r, 1));
	copy = rig_append_of(r, &m.id);
	rig_result(r, job, OUTCOME_DEFERRED);
	change = rig_append_of(r, &m.id);
	assert_int_equal(copy->e.record, BROKER_MESSAGE);
	assert_int_equal(change->e.record, BROKER_DEFERRED);
	rig_appended(r, copy, 0);
	rig_appended(r, change, 0);
	held(r, 2, 2);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_true(shows(r, &m.id, "\"attempts\":2"));
	assert_true(shows(r, &m.id, "\"reply\":\"so they say\""));
	/* As a start reads it. */
	{
		struct rig *again = rig_start(rig_config, 1 << 20);
		struct part at = rig_store(again, buf_view(&copy->body));

		assert_int_equal(rig_recover(again, BROKER_MESSAGE, buf_view(&copy->meta), &at), 0);
		assert_int_equal(
		    rig_recover(again, BROKER_DEFERRED, buf_view(&change->meta), &(struct part){0}),
		    0);
		rig_ready(again);
		assert_true(shows(again, &m.id, "\"attempts\":2"));
		rig_free(again);
	}
	wake(r);
	deliver_all(r);
	rig_empty(r);
}

/* Changed, durable and at rest again before the message itself was written: told with it. */
static void test_changed_between(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = with_parts(r, 2, "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *part[2], *copy;
	struct envelope e;
	struct arena arena;
	struct change c;

	r->segment = 30;
	assert_true(compact(r, 1));
	for (int i = 0; i < 2; i++)
		part[i] = next_append(r, BROKER_PART);
	rig_appended(r, part[0], 0);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_appended(r, next_append(r, BROKER_DEFERRED), 0);
	assert_int_equal(rig_counts(r).parked, 1);
	rig_appended(r, part[1], 0);
	copy = next_append(r, BROKER_MESSAGE);
	arena_init(&arena, 1 << 16);
	assert_int_equal(envelope_decode(&e, buf_view(&copy->meta), &arena), 0);
	assert_int_equal(change_decode(&c, e.state, &arena), 0);
	assert_true(c.n_rcpt == 1 && c.rcpt[0].number == 1 && c.rcpt[0].attempts == 1);
	arena_reset(&arena);
	rig_appended(r, copy, 0);
	held(r, 30, 30);
	assert_true(shows(r, &m.id, "\"reply\":\"so they say\""));
	wake(r);
	deliver_all(r);
	rig_empty(r);
}

/* A change on its way to the disk: no copy is begun, nor ended with a message. */
static void test_change_in_flight(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = with_parts(r, 2, "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *part[2], *change;

	r->segment = 30;
	assert_true(compact(r, 1));
	for (int i = 0; i < 2; i++)
		part[i] = next_append(r, BROKER_PART);
	rig_appended(r, part[0], 0);
	rig_result(r, job, OUTCOME_DEFERRED);
	change = next_append(r, BROKER_DEFERRED);
	rig_appended(r, part[1], 0);
	rig_none(r, EFFECT_APPEND);
	held(r, 1, 3);
	rig_pass(r, 61 * SEC);
	assert_false(compact(r, 1));
	rig_none(r, EFFECT_APPEND);
	rig_appended(r, change, 0);
	assert_true(shows(r, &m.id, "\"attempts\":1"));
	rig_pass(r, 61 * SEC);
	assert_true(compact(r, 1));
	taken_up(r);
}

/* The last words of one that was read back stand at the old place: they move along. */
static void test_last_words(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test c@dst.test");
	struct seen *job;

	wake(r);
	job = rig_take(r, EFFECT_JOB);
	r->segment = 2;
	assert_true(compact(r, 1));
	rig_flush(r, 0);
	held(r, 2, 2);
	/* What lay in segment 1 may be gone by now. */
	r->lost_record[0] = r->lost_record[1] = true;
	broker_worker_down(r->b, job->e.peer, r->now);
	assert_true(shows(r, &m.id, "\"attempts\":1"));
	assert_true(shows(r, &m.id, "\"reply\":\"so they say\""));
}

static void test_dropped_meanwhile(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = deferred(r, "b@dst.test");
	struct seen *copy, *result;
	struct buf out;

	buf_init(&out, 4096);
	r->segment = 2;
	assert_true(compact(r, 1));
	copy = rig_append_of(r, &m.id);
	assert_int_equal(broker_drop(r->b, &m.id, 3, 1, &out, r->now), 0);
	result = rig_append_of(r, &m.id);
	rig_appended(r, copy, 0);
	rig_appended(r, result, 0);
	assert_int_equal(rig_take(r, EFFECT_ANSWER)->e.octets, 1);
	rig_empty(r);
	buf_fini(&out);
}

/* Crowds, and more than fits on the way to the disk at once: all of it in the end, each once. */
static void test_many(void **state)
{
	enum { N = 700 };
	struct rig *r = rig_start_with(rig_config, 1 << 20, 8);
	size_t rounds = 0, copies = 0;
	struct seen *s;

	(void)state;
	rig_ready(r);
	for (int i = 0; i < N; i++)
		rig_accept(r, "a@src.test", "b@solo.test");
	assert_in_range(rig_counts(r).parked, N - 10, N);
	r->segment = 2;
	while (compact(r, 1)) {
		assert_in_range(++rounds, 1, 10);
		for (size_t n = 0; (s = rig_any(r, EFFECT_APPEND)) != NULL; n++, copies++) {
			assert_int_equal(s->e.record, BROKER_MESSAGE);
			assert_in_range(n, 0, 255);
			rig_appended(r, s, 0);
		}
	}
	assert_int_equal(copies, N);
	assert_int_equal(rig_counts(r).copied, N);
	held(r, 2, 2);
	rig_free(r);
}

/* Large ones: only some octets in one go. */
static void test_budget(void **state)
{
	static char large[300000];
	struct rig *r = *state;
	size_t copies = 0;

	memset(large, 'x', sizeof(large) - 1);
	for (int i = 0; i < 20; i++) {
		struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

		m.rest = large;
		assert_int_equal(rig_send(r, 7, 100 + (uint64_t)i, &m), 0);
		rig_appended(r, rig_append_of(r, &m.id), 0);
	}
	while (rig_any(r, EFFECT_JOB) != NULL)
		;
	r->segment = 2;
	{
		struct broker_log_size size = {
		    .oldest = 1, .newest = 2, .octets = 256 << 20, .segment = 128 << 20};

		assert_true(broker_compact(r->b, &size, r->now));
		while (rig_any(r, EFFECT_APPEND) != NULL)
			copies++;
	}
	assert_in_range(copies, 6, 8);
}

/* An open transaction with a part there: the segment is not asked for again and again. */
static void test_transaction(void **state)
{
	struct rig *r = *state;

	deferred(r, "b@dst.test");
	assert_int_equal(broker_part(r->b, 7, 99, SPAN("a part"), r->now), 0);
	rig_flush(r, 0);
	r->segment = 2;
	assert_true(compact(r, 1));
	rig_flush(r, 0);
	held(r, 1, 2);
	nothing_more(r, 1);
	assert_int_equal(rig_counts(r).copied, 1);
	broker_abort(r->b, 7, 99);
	held(r, 2, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_when),
	    RIG_TEST(test_when_not),
	    RIG_TEST(test_state),
	    RIG_TEST(test_moved),
	    cmocka_unit_test(test_never_tried),
	    RIG_TEST(test_parts_first),
	    RIG_TEST(test_message_fails),
	    RIG_TEST(test_part_fails),
	    RIG_TEST(test_record_unreadable),
	    RIG_TEST(test_content_unreadable),
	    RIG_TEST(test_part_unreadable),
	    RIG_TEST(test_one_of_many),
	    RIG_TEST(test_end_meanwhile),
	    RIG_TEST(test_finished_meanwhile),
	    RIG_TEST(test_finished_and_failed),
	    RIG_TEST(test_finished_between),
	    RIG_TEST(test_changed_meanwhile),
	    RIG_TEST(test_changed_between),
	    RIG_TEST(test_change_in_flight),
	    RIG_TEST(test_last_words),
	    RIG_TEST(test_dropped_meanwhile),
	    cmocka_unit_test(test_many),
	    RIG_TEST(test_budget),
	    RIG_TEST(test_transaction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
