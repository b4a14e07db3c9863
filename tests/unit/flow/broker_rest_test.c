/* Many at rest after a start: drop all, pages, held ones, and all pieces of a life in the log. */
#include "at_rest.h"

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

static void act(struct rig *r, enum broker_verb verb, const char *filter)
{
	struct broker_command c = {
	    .verb = verb, .filter = span_str(filter), .asker = 3, .request = 1};
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_act(r->b, &c, &out, r->now), 0);
	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	rig_flush(r, 0);
	buf_fini(&out);
}

/* Held mail is in no task; of which group it is, is known nevertheless: at rest, and awake. */
static void test_held_of_a_group(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@one.test"),
			two = rig_mail(r, "a@src.test", "b@one.test c@dst.test");

	recover_mail(r, &m);
	recover_mail(r, &two);
	recover_change(r, BROKER_HELD, &m.id, 0, 2, OUTCOME_HELD, 0, "set aside");
	recover_change(r, BROKER_HELD, &two.id, 0, 2, OUTCOME_HELD, 0, "set aside");
	rig_ready(r);
	rig_take(r, EFFECT_JOB);
	act(r, BROKER_RELEASE, "group:solo");
	assert_int_equal(rig_counts(r).held, 2);
	act(r, BROKER_RELEASE, "group:one");
	assert_int_equal(rig_counts(r).held, 0);
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
		    "\"code\":450,\"class\":\"other\",\"reply\":\"said 1\"",
		    "\"code\":450,\"class\":\"other\",\"reply\":\"said 2\""};
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

#define START_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_start, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    START_TEST(test_drop_all),
	    START_TEST(test_pages),
	    START_TEST(test_unreadable_page),
	    START_TEST(test_held),
	    START_TEST(test_held_of_a_group),
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
