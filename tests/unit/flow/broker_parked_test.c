/*
 * Messages at rest: they are put into a slot when all their recipients wait, and read back when
 * one is due, when their site has room, or when an operator asks.
 */
#include "fixture.h"

#include "base/metric.h"

/* ---- what operators see ------------------------------------------------------------------- */

static size_t count(const struct buf *b, const char *text)
{
	struct span s = buf_view(b);
	size_t n = 0;

	for (; s.n > 0; s = span_skip(s, 1))
		n += span_starts(s, span_str(text));
	return n;
}

static bool holds(const struct buf *b, const char *text)
{
	return count(b, text) > 0;
}

/* How often the text stands in what is shown of that message. */
static size_t shown(struct rig *r, const struct msgid *id, const char *text)
{
	struct buf out;
	size_t n;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_show(r->b, id, &out, r->now), 200);
	assert_false(buf_failed(&out));
	n = count(&out, text);
	buf_fini(&out);
	return n;
}

static size_t in_summary(struct rig *r, const char *text)
{
	struct buf out;
	size_t n;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	n = count(&out, text);
	buf_fini(&out);
	return n;
}

/* ---- accepted and deferred ------------------------------------------------------------------ */

static struct rig_mail deferred(struct rig *r, const char *to, size_t jobs)
{
	struct rig_mail m = rig_accept(r, "a@src.test", to);

	while (jobs-- > 0)
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	return m;
}

/* Every job that is there or comes is done, in its order; the ids in `order`. */
static size_t deliver_all(struct rig *r, struct msgid *order, size_t most)
{
	struct seen *job;
	size_t n = 0;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		assert_in_range(n, 0, most - 1);
		order[n++] = job->e.id;
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
		rig_pass(r, 1);
	}
	return n;
}

static void deliver_rest(struct rig *r)
{
	struct msgid order[200];

	(void)!deliver_all(r, order, GW_ARRAY_LEN(order));
}

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
	    shown(r, &m.id, "\"code\":450,\"esc\":\"4.0.0\",\"reply\":\"so they say\""), 1);
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

static int64_t damaged(void)
{
	return metric_get(metric_page, METRIC_SPOOL_DAMAGED);
}

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
	rig_pass(r, 299 * SEC);
	assert_int_equal(damaged() - before, 1);
	r->blind = false;
	rig_none(r, EFFECT_JOB);
	assert_int_equal(shown(r, &m.id, "unreadable"), 0);
	rig_pass(r, 1 * SEC);
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

/* ---- crowds --------------------------------------------------------------------------------- */

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

static void drop(struct rig *r, const struct msgid *id, uint32_t want)
{
	static uint64_t request;
	struct seen *answer;
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_drop(r->b, id, 3, ++request, &out, r->now), 0);
	rig_none(r, EFFECT_ANSWER);
	rig_flush(r, 0);
	answer = rig_take(r, EFFECT_ANSWER);
	assert_true(answer->e.peer == 3 && answer->e.number == request && answer->e.status == 200);
	assert_int_equal(answer->e.octets, want);
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

/* ---- retry and drop ------------------------------------------------------------------------- */

static void retry(struct rig *r, const struct msgid *id, const char *want)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_retry(r->b, id, &out, r->now), 200);
	assert_true(holds(&out, want));
	buf_fini(&out);
}

static void test_retry(void **state)
{
	struct rig *r = *state;
	struct rig_mail a = deferred(r, "b@dst.test", 1);
	struct rig_mail b = deferred(r, "b@dst.test c@one.test", 2);
	struct seen *job;

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
	assert_int_equal(broker_retry(r->b, &b.id, &(struct buf){.max = 4096}, r->now), 404);
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

/* ---- a restart ------------------------------------------------------------------------------ */

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

static int set_up_start(void **state)
{
	*state = rig_start(rig_config, 1 << 20);
	return 0;
}

static void recover_mail(struct rig *r, const struct rig_mail *m)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b;

	rig_envelope(r, m, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
}

static struct buf change_of(const struct msgid *id, uint32_t index, uint32_t number, enum outcome o,
    int64_t due, const char *reply)
{
	struct change_rcpt said = {.index = index,
	    .number = number,
	    .attempts = number,
	    .outcome = o,
	    .due = due,
	    .code = 450,
	    .reply = span_str(reply)};
	struct change c = {.id = *id, .rcpt = &said, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	return b;
}

static void recover_change(struct rig *r, enum broker_record type, const struct msgid *id,
    uint32_t index, uint32_t number, enum outcome o, int64_t due, const char *reply)
{
	struct buf b = change_of(id, index, number, o, due, reply);

	assert_int_equal(rig_recover(r, type, buf_view(&b), &(struct part){0}), 0);
	buf_fini(&b);
}

/* A copy with the state of its first recipient, and maybe other places of its parts. */
static void recover_copy(struct rig *r, const struct rig_mail *m, const struct buf *state)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct envelope e;
	struct arena a;
	struct buf b;

	arena_init(&a, 1 << 16);
	rig_envelope(r, m, &b);
	assert_int_equal(envelope_decode(&e, buf_view(&b), &a), 0);
	e.state = buf_view(state);
	{
		struct buf copy;

		buf_init(&copy, 1 << 16);
		envelope_encode(&e, &copy);
		assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&copy), &at), 0);
		buf_fini(&copy);
	}
	buf_fini(&b);
	arena_reset(&a);
}

/* Drops go over many messages a part at a time, and are answered when all is durable. */
static void test_drop_all(void **state)
{
	enum { N = 1100 };
	struct rig *r = *state;
	struct buf out;
	int ticks = 0;

	buf_init(&out, 1 << 16);
	for (int i = 0; i < N; i++) {
		struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

		recover_mail(r, &m);
		recover_change(
		    r, BROKER_DEFERRED, &m.id, 0, 1, OUTCOME_DEFERRED, r->now + HOURS, "no");
	}
	rig_ready(r);
	rig_accept(r, "a@src.test", "b@dst.test"); /* awake: with a worker, which keeps it */
	assert_int_equal(rig_counts(r).parked, N);
	assert_int_equal(broker_drop(r->b, NULL, 3, 42, &out, r->now), 0);
	assert_int_equal(broker_drop(r->b, NULL, 3, 43, &out, r->now), 409);
	assert_true(holds(&out, "wait for the other command"));
	for (; broker_deadline(r->b) <= r->now; ticks++)
		rig_pass(r, 0);
	assert_in_range(ticks, 3, 4);
	rig_none(r, EFFECT_ANSWER);
	assert_int_equal(rig_flush(r, 0), N);
	assert_int_equal(rig_take(r, EFFECT_ANSWER)->e.octets, N);
	rig_none(r, EFFECT_ANSWER);
	assert_int_equal(rig_counts(r).messages, 1);
	deliver_rest(r);
	rig_empty(r);
	/* And once more, with nothing there. */
	buf_clear(&out);
	assert_int_equal(broker_drop(r->b, NULL, 3, 44, &out, r->now), 200);
	assert_true(holds(&out, "{\"dropped\":0}"));
	buf_fini(&out);
}

/* The cursor of a page, or an empty span. */
static struct span next_of(const struct buf *out)
{
	struct span s = buf_view(out);
	ptrdiff_t at = -1;

	for (size_t i = 0; i + 8 <= s.n; i++) {
		if (span_starts(span_skip(s, i), SPAN("\"next\":\"")))
			at = (ptrdiff_t)i + 8;
	}
	return at < 0 ? SPAN_NONE : span_first(span_skip(s, (size_t)at), MSGID_TEXT);
}

/* All pages together: how many messages, on how many pages, in order and each once. */
static size_t all_pages(struct rig *r, const char *filter, uint32_t limit, size_t *pages)
{
	char last[MSGID_TEXT + 1] = "";
	struct msgid after = {{0}};
	struct buf out;
	size_t n = 0;

	buf_init(&out, 4 << 20);
	for (*pages = 1;; ++*pages) {
		struct span s, next;

		buf_clear(&out);
		assert_int_equal(
		    broker_list(r->b, span_str(filter), &after, limit, &out, r->now), 200);
		assert_false(buf_failed(&out));
		for (s = buf_view(&out); s.n > 6; s = span_skip(s, 1)) {
			char id[MSGID_TEXT + 1];

			if (!span_starts(s, SPAN("{\"id\":\"")))
				continue;
			span_to_cstr(span_first(span_skip(s, 7), MSGID_TEXT), id, sizeof(id));
			assert_true(strcmp(last, id) < 0);
			memcpy(last, id, sizeof(last));
			n++;
		}
		next = next_of(&out);
		if (next.n == 0)
			break;
		assert_true(span_eq(next, span_str(last)) || filter[0] != '\0');
		assert_int_equal(msgid_parse(next, &after), 0);
	}
	buf_fini(&out);
	return n;
}

static void test_pages(void **state)
{
	enum { N = 1500, FEW = 3 };
	struct rig *r = *state;
	size_t pages;

	for (int i = 0; i < N; i++) {
		struct rig_mail m = rig_mail(r, i % 500 == 0 ? "x@src.test" : "a@src.test",
		    i % 2 ? "b@dst.test" : "c@one.test");

		r->now += 1000; /* ids in the order of time */
		m.id = rig_id(r);
		recover_mail(r, &m);
		recover_change(
		    r, BROKER_DEFERRED, &m.id, 0, 1, OUTCOME_DEFERRED, r->now + HOURS, "no");
	}
	rig_ready(r);
	assert_int_equal(rig_counts(r).parked, N);
	assert_int_equal(all_pages(r, "", 0, &pages), N);
	assert_int_equal(pages, 2);
	assert_int_equal(all_pages(r, "", 700, &pages), N);
	assert_int_equal(pages, 3);
	assert_int_equal(all_pages(r, "", 500, &pages), N);
	assert_in_range(pages, 3, 4);
	/* Found behind more than one walk picks. */
	assert_int_equal(all_pages(r, "from:x@", 0, &pages), FEW);
	assert_int_equal(pages, 1);
	assert_int_equal(all_pages(r, "from:x@", 2, &pages), FEW);
	assert_in_range(pages, 2, 3);
	assert_int_equal(all_pages(r, "domain:one.test state:deferred", 0, &pages), N / 2);
	assert_int_equal(all_pages(r, "group:one", 0, &pages), N / 2);
	assert_int_equal(all_pages(r, "group:solo", 0, &pages), 0);
	assert_int_equal(all_pages(r, "state:active", 0, &pages), 0);
	assert_int_equal(all_pages(r, "to:B@DST", 0, &pages), N / 2);
}

/* Nothing of a page is lost where none of it can be read and the room for the answer is small. */
static void test_unreadable_page(void **state)
{
	enum { N = 200 };
	struct rig *r = *state;
	struct msgid after = {{0}};
	size_t n = 0, pages = 0;
	struct buf out;

	for (int i = 0; i < N; i++) {
		struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");

		recover_mail(r, &m);
		recover_change(r, BROKER_HELD, &m.id, 0, 1, OUTCOME_HELD, 0, "no");
	}
	rig_ready(r);
	r->blind = true;
	buf_init(&out, 16 << 10);
	do {
		buf_clear(&out);
		assert_int_equal(broker_list(r->b, SPAN_NONE, &after, 0, &out, r->now), 200);
		assert_false(buf_failed(&out));
		n += count(&out, "\"unreadable\":true");
		assert_in_range(++pages, 1, N);
	} while (next_of(&out).n > 0 && msgid_parse(next_of(&out), &after) == 0);
	assert_int_equal(n, N);
	assert_in_range(pages, 2, 10);
	buf_fini(&out);
}

/* Set aside: it stays where it is until somebody drops it; its companion goes on. */
static void test_held(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test"),
			two = rig_mail(r, "a@src.test", "b@dst.test c@one.test");
	struct seen *job;

	recover_mail(r, &m);
	recover_mail(r, &two);
	recover_change(r, BROKER_HELD, &m.id, 0, 2, OUTCOME_HELD, 0, "set aside");
	recover_change(r, BROKER_HELD, &two.id, 0, 2, OUTCOME_HELD, 0, "set aside");
	rig_ready(r);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &two.id) && job->index[0] == 1 && job->e.n_rcpt == 1);
	rig_none(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).parked, 2);
	assert_int_equal(rig_counts(r).recipients, 2);
	assert_int_equal(shown(r, &two.id, "\"state\":\"held\""), 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"held\",\"attempts\":2"), 1);
	assert_int_equal(shown(r, &m.id, "\"reply\":\"set aside\""), 1);
	/* Both are counted at their site, also the one that was awake meanwhile. */
	assert_int_equal(in_summary(r, "\"waiting\":0,\"held\":2"), 1);
	retry(r, &m.id, "{\"retried\":0}");
	retry(r, NULL, "{\"retried\":0}");
	for (int i = 0; i < 20; i++)
		rig_pass(r, DAYS);
	rig_none(r, EFFECT_JOB);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(rig_counts(r).parked, 2);
	drop(r, &m.id, 1);
	drop(r, &two.id, 1);
	rig_empty(r);
}

/* It could not be read when it was asked for; afterwards it is at rest as before. */
static void test_held_unreadable(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct buf out;

	buf_init(&out, 4096);
	recover_mail(r, &m);
	recover_change(r, BROKER_HELD, &m.id, 0, 2, OUTCOME_HELD, 0, "set aside");
	rig_ready(r);
	r->blind = true;
	assert_int_equal(broker_drop(r->b, &m.id, 3, 1, &out, r->now), 500);
	r->blind = false;
	rig_pass(r, 6 * MIN);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_int_equal(shown(r, &m.id, "\"state\":\"held\""), 1);
	drop(r, &m.id, 1);
	rig_empty(r);
	buf_fini(&out);
}

/*
 * A message, a change, a copy with it, another change, another copy: whatever of that is in the
 * log, without a piece of its beginning that was retired and of its end that was never written.
 */
static void piece_of_life(size_t begin, size_t end)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct buf first = change_of(&m.id, 0, 1, OUTCOME_DEFERRED, r->now + 4 * MIN, "said 1");
	struct buf second = change_of(&m.id, 0, 2, OUTCOME_DEFERRED, r->now + 14 * MIN, "said 2");
	uint32_t attempts = end < 2 ? 0 : end < 4 ? 1 : 2;
	uint64_t at = 0;

	for (size_t i = begin; i < end; i++) {
		r->segment = 1 + i;
		if (i % 2 == 0)
			at = 1 + i;
		switch (i) {
		case 0: recover_mail(r, &m); break;
		case 1:
			assert_int_equal(
			    rig_recover(r, BROKER_DEFERRED, buf_view(&first), &(struct part){0}),
			    0);
			break;
		case 2: recover_copy(r, &m, &first); break;
		case 3:
			assert_int_equal(
			    rig_recover(r, BROKER_DEFERRED, buf_view(&second), &(struct part){0}),
			    0);
			break;
		case 4: recover_copy(r, &m, &second); break;
		}
	}
	rig_ready(r);
	rig_run(r);
	assert_int_equal(rig_counts(r).messages, at != 0);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(r->holds[i], i == at);
	if (at != 0) {
		static const char *const said[] = {"\"attempts\":0,\"reply\":\"\"",
		    "\"code\":450,\"reply\":\"said 1\"", "\"code\":450,\"reply\":\"said 2\""};
		struct seen *job;

		if (attempts > 0) {
			rig_none(r, EFFECT_JOB);
			assert_int_equal(shown(r, &m.id, said[attempts]), 1);
			rig_pass(r, (attempts == 1 ? 4 : 14) * MIN - 1);
			rig_none(r, EFFECT_JOB);
			rig_pass(r, 1);
		}
		job = rig_take(r, EFFECT_JOB);
		assert_int_equal(job->attempts, attempts);
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
	rig_empty(r);
	buf_fini(&first);
	buf_fini(&second);
	rig_free(r);
}

static void test_pieces_of_a_life(void **state)
{
	(void)state;
	for (size_t begin = 0; begin < 5; begin++) {
		for (size_t end = begin + 1; end <= 5; end++)
			piece_of_life(begin, end);
	}
}

/* The retired original is back, and behind it a copy in which a recipient is finished. */
static void test_finished_in_a_copy(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test"),
			gone = rig_mail(r, "a@src.test", "b@dst.test");
	struct buf state_m = change_of(&m.id, 0, 1, OUTCOME_DELIVERED, 0, "ok");
	struct buf state_gone = change_of(&gone.id, 0, 1, OUTCOME_FAILED, 0, "no");
	struct seen *job;

	recover_mail(r, &m);
	recover_mail(r, &gone);
	r->segment = 2;
	recover_copy(r, &m, &state_m);
	recover_copy(r, &gone, &state_gone);
	rig_ready(r);
	assert_int_equal(rig_counts(r).messages, 1);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 1);
	assert_true(r->holds[1] == 0 && r->holds[2] == 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	buf_fini(&state_m);
	buf_fini(&state_gone);
}

static void recover_report(struct rig *r, const struct msgid *id, const struct buf *ends)
{
	struct rcpt to = {.addr = SPAN("a@src.test")};
	struct envelope e = {
	    .id = *id, .nonce = *id, .rcpt = &to, .n_rcpt = 1, .ends = buf_view(ends)};
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b;

	buf_init(&b, 4096);
	envelope_encode(&e, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
}

/* A report ends a recipient of a message, of its copy, and of none that is gone. */
static void test_ends_of_a_copy(void **state)
{
	(void)state;
	for (int what = 0; what < 4; what++) {
		struct rig *r = rig_start(rig_config, 1 << 20);
		struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test");
		struct msgid report = rig_id(r);
		struct buf ends = change_of(&m.id, 0, 2, OUTCOME_FAILED, 0, "no");
		struct buf before = change_of(&m.id, 0, 1, OUTCOME_DEFERRED, r->now - 1, "later");

		if (what & 1)
			recover_mail(r, &m);
		r->segment = 2;
		if (what & 2)
			recover_copy(r, &m, &before);
		r->segment = 3;
		recover_report(r, &report, &ends);
		rig_ready(r);
		assert_int_equal(rig_counts(r).messages, what ? 2 : 1);
		assert_int_equal(rig_counts(r).recipients, what ? 2 : 1);
		deliver_rest(r);
		rig_empty(r);
		buf_fini(&ends);
		buf_fini(&before);
		rig_free(r);
	}
}

/* Of a message that finished within its segment the nonce is left: it holds and counts nothing. */
static void test_nonce_only(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct buf ends = change_of(&m.id, 0, 1, OUTCOME_DROPPED, 0, ""), b;
	struct rcpt to = {.addr = SPAN("b@dst.test")};
	struct envelope e = {.id = m.id,
	    .nonce = m.nonce,
	    .accepted = r->now,
	    .rcpt = &to,
	    .n_rcpt = 1,
	    .ends = buf_view(&ends)};

	buf_init(&b, 4096);
	envelope_encode(&e, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &(struct part){0}), 0);
	rig_ready(r);
	rig_empty(r);
	assert_int_equal(rig_counts(r).sites, 0);
	broker_ask(r->b, 7, 1, &m.nonce);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	broker_ask(r->b, 7, 2, &m.id);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 1);
	buf_fini(&b);
	buf_fini(&ends);
}

/* Parts in older segments: the oldest and the record's own are held, each once for all. */
static void test_parts_recovered(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[2];
	struct seen *job;

	for (int i = 0; i < 2; i++) {
		struct rcpt to = {.addr = SPAN("b@solo.test")};
		struct part parts[2], at;
		struct envelope e = {
		    .accepted = r->now, .rcpt = &to, .n_rcpt = 1, .part = parts, .n_part = 2};
		struct buf b;

		m[i] = rig_mail(r, "a@src.test", "b@solo.test");
		e.id = m[i].id;
		e.nonce = m[i].nonce;
		for (int k = 0; k < 2; k++) {
			r->segment = 40 + (uint64_t)k;
			parts[k] = rig_store(r, SPAN("a part of it"));
		}
		r->segment = 42;
		at = rig_store(r, span_of(content, sizeof(content) - 1));
		buf_init(&b, 4096);
		envelope_encode(&e, &b);
		assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
		buf_fini(&b);
	}
	rig_ready(r);
	rig_run(r);
	for (int k = 0; k < 2; k++) {
		job = rig_take(r, EFFECT_JOB);
		assert_int_equal(job->e.size, sizeof(content) - 1 + 24);
		assert_true(r->holds[40] == 1 && r->holds[41] == 0 && r->holds[42] == 1);
		if (k == 0) { /* and at rest */
			rig_result(r, job, OUTCOME_DEFERRED);
			rig_flush(r, 0);
		}
	}
	assert_int_equal(rig_counts(r).parked, 1);
	assert_true(r->holds[40] == 1 && r->holds[41] == 0 && r->holds[42] == 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	assert_true(r->holds[40] == 1 && r->holds[42] == 1);
	retry(r, NULL, "{\"retried\":1}");
	deliver_rest(r);
	rig_empty(r);
}

/* A worker holds what the queue found at rest: finished there, it goes back to rest. */
static void test_holding_nothing(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test");
	uint32_t first = 0;

	recover_mail(r, &m);
	recover_change(r, BROKER_RESULT, &m.id, 0, 1, OUTCOME_DELIVERED, 0, "ok");
	recover_change(r, BROKER_DEFERRED, &m.id, 1, 1, OUTCOME_DEFERRED, r->now + HOURS, "later");
	broker_worker_up(r->b, 0, WORKER_SENDER);
	broker_recovered(r->b, r->now);
	assert_int_equal(broker_holding(r->b, 0, 5, 6, &m.id, &first, 1), 0);
	broker_holding_done(r->b, 0, r->now);
	assert_int_equal(rig_counts(r).parked, 1);
	rig_pass(r, HOURS);
	deliver_rest(r);
	rig_empty(r);
}

#define CROWD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_crowd, rig_tear_down)
#define START_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_start, rig_tear_down)

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
	    CROWD_TEST(test_order_of_arrival),
	    CROWD_TEST(test_crowd_after_deferral),
	    CROWD_TEST(test_expiry_in_a_crowd),
	    CROWD_TEST(test_room_by_dropping),
	    CROWD_TEST(test_crowded_and_free),
	    CROWD_TEST(test_crowded_and_free_when_due),
	    CROWD_TEST(test_unreadable_in_a_crowd),
	    RIG_TEST(test_retry),
	    RIG_TEST(test_drop_one),
	    START_TEST(test_drop_all),
	    START_TEST(test_pages),
	    START_TEST(test_unreadable_page),
	    START_TEST(test_held),
	    START_TEST(test_held_unreadable),
	    cmocka_unit_test(test_pieces_of_a_life),
	    START_TEST(test_finished_in_a_copy),
	    cmocka_unit_test(test_ends_of_a_copy),
	    START_TEST(test_nonce_only),
	    START_TEST(test_parts_recovered),
	    START_TEST(test_holding_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
