/* Jobs: content and credit, results, schedule, expiry, reports, and workers that misbehave. */
#include "fixture.h"

#include "mail/header.h"

static uint8_t big[700000];

static struct seen *accept_big(struct rig *r, size_t n)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct seen *job;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 1000);
	m.big = span_of(big, n);
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_flush(r, 0);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.size, n + strlen(m.head));
	return job;
}

/* ---- content ------------------------------------------------------------------------------ */

static void read_body(struct rig *r, struct buf *all, bool from_memory)
{
	struct seen *s;

	while ((s = rig_any(r, EFFECT_BODY)) != NULL) {
		assert_in_range(s->e.octets, 1, 64 << 10);
		assert_true((s->e.data.p != NULL) == from_memory);
		buf_add_span(all, buf_view(&s->body));
	}
}

static void test_body_window(void **state)
{
	struct rig *r = *state;
	struct seen *job = accept_big(r, 600000), *s;
	struct buf all;

	buf_init(&all, SIZE_MAX / 2);
	read_body(r, &all, true);
	assert_int_equal(buf_len(&all), 256 << 10);
	assert_int_equal(broker_body_credit(r->b, 1 - job->e.peer, job->e.number, 1), GW_EFORMAT);
	assert_int_equal(broker_body_credit(r->b, job->e.peer, job->e.number, 100), 0);
	read_body(r, &all, true);
	assert_int_equal(buf_len(&all), (256 << 10) + 100);
	/* The content goes out of memory with the first attempt; a credit too great is cut. */
	assert_int_equal(broker_body_credit(r->b, job->e.peer, job->e.number, UINT32_MAX), 0);
	s = NULL;
	for (size_t i = 0; i < 8 || s != NULL; i++) {
		s = rig_any(r, EFFECT_BODY);
		if (s == NULL)
			break;
		buf_add_span(&all, buf_view(&s->body));
		assert_int_equal(s->e.flag, buf_len(&all) == job->e.size);
		assert_int_equal(s->e.piece_end, buf_len(&all) == job->e.size);
	}
	assert_true(span_eq(span_skip(buf_view(&all), 17), span_of(big, 600000)));
	buf_fini(&all);
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_int_equal(broker_body_credit(r->b, job->e.peer, job->e.number, 100), 0);
	rig_flush(r, 0);
	assert_int_equal(broker_body_credit(r->b, job->e.peer, job->e.number, 100), 0);
	rig_none(r, EFFECT_BODY);
	rig_empty(r);
}

static void test_second_attempt_from_log(void **state)
{
	struct rig *r = *state;
	struct seen *job = accept_big(r, 100000);
	struct buf all;

	assert_int_equal(rig_counts(r).memory, 100017);
	buf_init(&all, SIZE_MAX / 2);
	read_body(r, &all, true);
	rig_result(r, job, OUTCOME_DEFERRED);
	/* What is still in effects or appends is not given back before they are. */
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).memory, 0);
	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	buf_clear(&all);
	read_body(r, &all, false);
	assert_int_equal(buf_len(&all), 100017);
	assert_true(span_eq(span_skip(buf_view(&all), 17), span_of(big, 100000)));
	buf_fini(&all);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* A flood for a site that is away does not fill the memory. */
static void test_memory_limit(void **state)
{
	struct rig *r = rig_start(rig_config, 40000);
	struct rig_mail m;

	(void)state;
	rig_ready(r);
	for (int i = 0; i < 50; i++) {
		m = rig_mail(r, "a@src.test", "b@one.test");
		m.big = span_of(big, 10000);
		assert_int_equal(rig_send(r, 7, (uint64_t)i, &m), 0);
		rig_flush(r, 0);
	}
	assert_int_equal(rig_counts(r).messages, 50);
	assert_in_range(rig_counts(r).memory, 10000, 60000);
	rig_free(r);
}

static void test_content_order(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test");
	struct buf all;
	struct seen *s;

	m.rest = "the rest";
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
		    broker_part(r->b, 7, 1, span_of("one,two,tri," + 4 * i, 4), r->now), 0);
		rig_flush(r, 0);
	}
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_flush(r, 0);
	buf_init(&all, 1 << 20);
	while ((s = rig_any(r, EFFECT_BODY)) != NULL) {
		assert_int_equal(s->e.is_part, s->e.octets == 4);
		buf_add_span(&all, buf_view(&s->body));
	}
	assert_true(span_eq(buf_view(&all), SPAN("Subject: test\r\n\r\none,two,tri,the rest")));
	buf_fini(&all);
}

static void test_broken_body(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB);

	(void)m;
	broker_body_broken(r->b, job->e.number);
	broker_body_broken(r->b, 12345);
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).messages, 1);
}

/* ---- results ------------------------------------------------------------------------------ */

static void test_mixed_result(void **state)
{
	struct rig *r = *state;
	struct rig_mail m =
	    rig_accept(r, "a@src.test", "x@dst.test y@dst.test z@dst.test w@dst.test");
	struct seen *job = rig_take(r, EFFECT_JOB), *again;
	struct change_rcpt said[] = {
	    {.index = 0, .outcome = OUTCOME_DELIVERED, .code = 250},
	    {.index = 1, .outcome = OUTCOME_DEFERRED, .code = 450, .reply = SPAN("greylisted")},
	    {.index = 3, .outcome = OUTCOME_FAILED, .code = 550},
	};
	struct change c = {.id = m.id, .rcpt = said, .n_rcpt = 3};

	assert_int_equal(job->e.n_rcpt, 4);
	assert_int_equal(broker_result(r->b, job->e.peer, job->e.number, false, &c, r->now), 0);
	/* One record for what is no failure, one for the failure and its report. */
	again = rig_take(r, EFFECT_APPEND);
	assert_int_equal(again->e.record, BROKER_RESULT);
	rig_appended(r, again, 0);
	rig_none(r, EFFECT_CONFIRM);
	again = rig_take(r, EFFECT_APPEND);
	assert_true(again->e.record == BROKER_MESSAGE && again->e.own);
	assert_true(rig_has(buf_view(&again->body), "w@dst.test"));
	assert_false(rig_has(buf_view(&again->body), "x@dst.test"));
	rig_appended(r, again, 0);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED); /* the report */
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).recipients, 2);
	/* The deferred one, and the one the worker said nothing of, come back together. */
	rig_pass(r, 6 * MIN);
	again = rig_take(r, EFFECT_JOB);
	assert_true(again->e.n_rcpt == 2 && again->index[0] == 1 && again->index[1] == 2);
	rig_result(r, again, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_result_again(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_result(r, job, OUTCOME_FAILED); /* a liar, or a repetition: the first word counts */
	assert_int_equal(rig_flush(r, 0), 1);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	rig_none(r, EFFECT_CONFIRM);
	/* Told to a queue that has finished it: confirmed, nothing else. */
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, job->e.number);
	rig_empty(r);
}

static int odd_result(struct rig *r, const struct seen *job, unsigned worker, uint32_t first,
    uint32_t second, enum outcome o, const struct msgid *id)
{
	struct change_rcpt said[] = {
	    {.index = first, .outcome = o, .code = 250},
	    {.index = second, .outcome = o, .code = 250},
	};
	struct change c = {.id = *id, .rcpt = said, .n_rcpt = 2};

	return broker_result(r->b, worker, job->e.number, false, &c, r->now);
}

static void test_hostile_results(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "x@dst.test y@one.test");
	struct rig_mail other = rig_accept(r, "c@src.test", "z@lmtp.test");
	struct seen *job = rig_take(r, EFFECT_JOB);
	unsigned me = job->e.peer;

	assert_int_equal(job->index[0], 0);
	assert_int_equal(odd_result(r, job, 1 - me, 0, 1, OUTCOME_DELIVERED, &m.id), GW_EFORMAT);
	assert_int_equal(odd_result(r, job, me, 0, 1, OUTCOME_DELIVERED, &other.id), GW_EFORMAT);
	assert_int_equal(odd_result(r, job, me, 1, 0, OUTCOME_DELIVERED, &m.id), GW_EFORMAT);
	assert_int_equal(odd_result(r, job, me, 0, 0, OUTCOME_DELIVERED, &m.id), GW_EFORMAT);
	/* To let mail vanish without a word is not a worker's to say. */
	assert_int_equal(odd_result(r, job, me, 0, 1, OUTCOME_DROPPED, &m.id), GW_EFORMAT);
	assert_int_equal(odd_result(r, job, me, 0, 1, OUTCOME_EXPIRED, &m.id), GW_EFORMAT);
	rig_none(r, EFFECT_APPEND);
	/* A recipient of the message that is not of the job, and one that does not exist. */
	assert_int_equal(odd_result(r, job, me, 1, 77, OUTCOME_DELIVERED, &m.id), 0);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).recipients, 3);
}

static void test_own_record_fails(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@dst.test");
	job = rig_take(r, EFFECT_JOB);
	rig_result(r, job, OUTCOME_DELIVERED);
	for (int i = 0; i < 5; i++) {
		rig_appended(r, rig_take(r, EFFECT_APPEND), i % 2 ? GW_ENOSPC : GW_EIO);
		rig_none(r, EFFECT_CONFIRM);
		rig_none(r, EFFECT_APPEND);
		assert_in_range(broker_deadline(r->b), r->now + 1, r->now + 2 * SEC);
		rig_pass(r, SEC);
	}
	rig_appended(r, rig_take(r, EFFECT_APPEND), 0);
	assert_non_null(rig_take(r, EFFECT_CONFIRM));
	rig_empty(r);
}

/* A report that cannot be written yet keeps the failure open too: they are one record. */
static void test_report_fails(void **state)
{
	struct rig *r = *state;
	struct seen *s;

	rig_accept(r, "a@src.test", "b@dst.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_MESSAGE);
	rig_appended(r, s, GW_EIO);
	rig_none(r, EFFECT_CONFIRM);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, SEC);
	rig_appended(r, rig_take(r, EFFECT_APPEND), 0);
	assert_non_null(rig_take(r, EFFECT_CONFIRM));
	s = rig_take(r, EFFECT_JOB);
	assert_string_equal(s->addr[0], "a@src.test");
	assert_string_equal(s->from, "");
	rig_result(r, s, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- schedule ----------------------------------------------------------------------------- */

static void test_schedule(void **state)
{
	static const int64_t steps[] = {5 * MIN, 15 * MIN, 1 * HOURS, 4 * HOURS, 4 * HOURS};
	struct rig *r = *state;
	int64_t start, last, end;
	unsigned attempts = 1;
	struct seen *s;

	rig_pass(r, 601 * SEC); /* the nonces of the queue before are forgotten */
	rig_accept(r, "a@src.test", "b@dst.test");
	start = last = r->now;
	s = rig_take(r, EFFECT_JOB);
	for (;; attempts++) {
		int64_t step = steps[attempts < 5 ? attempts - 1 : 4];

		assert_int_equal(s->attempts, attempts - 1);
		rig_result(r, s, OUTCOME_DEFERRED);
		s = rig_any(r, EFFECT_READ_HEAD);
		if (s != NULL) {
			broker_head(r->b, s->e.token, SPAN("Subject: test\r\n\r\n"), r->now);
			rig_flush(r, 0);
			break;
		}
		rig_flush(r, 0);
		rig_none(r, EFFECT_JOB);
		/* Not a moment too early. */
		assert_in_range(broker_deadline(r->b) - last, step - step / 10, step + step / 10);
		rig_pass(r, broker_deadline(r->b) - r->now - 1);
		rig_none(r, EFFECT_JOB);
		rig_pass(r, 1);
		s = rig_take(r, EFFECT_JOB);
		last = r->now;
	}
	end = r->now - start;
	assert_in_range(end, 4 * DAYS, 4 * DAYS + 5 * HOURS);
	assert_in_range(attempts, 22, 30);
	s = rig_take(r, EFFECT_JOB);
	assert_string_equal(s->addr[0], "a@src.test");
	for (size_t i = 0; i < r->n; i++) {
		const struct seen *x = r->seen[i];

		if (x->e.type == EFFECT_APPEND && x->e.record == BROKER_MESSAGE && x->e.own)
			assert_true(
			    rig_has(buf_view(&x->body), "Final-Recipient: rfc822;b@dst.test"));
	}
	rig_result(r, s, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* No worker at all for four days: expired without an attempt, and the sender is told. */
static void test_expiry_without_attempt(void **state)
{
	struct rig *r = *state;
	struct seen *s;

	broker_worker_down(r->b, 0, r->now);
	broker_worker_down(r->b, 1, r->now);
	rig_pass(r, 601 * SEC);
	rig_accept(r, "s@box.test", "b@dst.test c@dst.test");
	rig_none(r, EFFECT_JOB);
	assert_int_equal(broker_deadline(r->b), r->now + 4 * DAYS);
	rig_pass(r, 4 * DAYS - 1);
	rig_none(r, EFFECT_APPEND);
	rig_pass(r, 1);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_MESSAGE);
	assert_true(rig_has(buf_view(&s->body), "b@dst.test"));
	assert_true(rig_has(buf_view(&s->body), "c@dst.test"));
	rig_appended(r, s, 0);
	s = rig_take(r, EFFECT_JOB);
	assert_true(s->kind == TARGET_MAILDIR && s->e.peer == 16);
	rig_result(r, s, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* The words of the site are the reason, the same for every recipient. */
static void test_expiry_words(void **state)
{
	struct rig *r = *state;
	struct seen *s;
	struct change c;
	struct envelope e;
	struct arena a;

	rig_accept(r, "s@box.test", "b@dst.test c@dst.test d@dst.test");
	s = rig_take(r, EFFECT_JOB);
	assert_int_equal(rig_result_as(r, s, s->e.peer, OUTCOME_DEFERRED, 450, true), 0);
	rig_flush(r, 0);
	broker_worker_down(r->b, 0, r->now);
	broker_worker_down(r->b, 1, r->now);
	rig_pass(r, 6 * MIN);
	rig_pass(r, 4 * DAYS);
	s = rig_take(r, EFFECT_READ_HEAD);
	broker_head(r->b, s->e.token, SPAN_NONE, r->now);
	s = rig_take(r, EFFECT_APPEND);
	arena_init(&a, 1 << 20);
	assert_int_equal(envelope_decode(&e, buf_view(&s->meta), &a), 0);
	assert_int_equal(change_decode(&c, e.ends, &a), 0);
	assert_int_equal(c.n_rcpt, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(c.rcpt[i].outcome, OUTCOME_EXPIRED);
		assert_true(span_eq(c.rcpt[i].reply, SPAN("450 4.0.0 so they say")));
	}
	arena_reset(&a);
}

/* ---- reports ------------------------------------------------------------------------------ */

static size_t count_records(const struct rig *r, enum broker_record type)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->seen[i]->e.type == EFFECT_APPEND && r->seen[i]->e.record == type &&
		     r->seen[i]->e.own;
	return n;
}

static void test_bounce_of_bounce(void **state)
{
	struct rig *r = *state;
	struct seen *s;

	rig_accept(r, "a@src.test", "b@dst.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	rig_flush(r, 0);
	s = rig_take(r, EFFECT_JOB);
	assert_string_equal(s->from, "");
	rig_result(r, s, OUTCOME_FAILED);
	rig_flush(r, 0);
	/* The administrator hears of it; if that fails, the log alone knows. */
	s = rig_take(r, EFFECT_JOB);
	assert_string_equal(s->from, "");
	assert_string_equal(s->addr[0], "postmaster@mx.test");
	rig_result(r, s, OUTCOME_FAILED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(count_records(r, BROKER_MESSAGE), 2);
	rig_empty(r);
	/* The null sender of a client's message likewise, at once and by rejection. */
	rig_accept(r, "", "b@no.test");
	rig_flush(r, 0);
	assert_int_equal(count_records(r, BROKER_MESSAGE), 2);
	rig_empty(r);
}

static void notify(struct rig *r, uint8_t bits, size_t reports)
{
	struct rig_mail m = rig_mail(r, "a@box.test", "b@no.test");
	size_t before = count_records(r, BROKER_MESSAGE);
	struct seen *s;

	m.notify = bits;
	assert_int_equal(rig_send(r, 7, 1, &m), 0);
	rig_flush(r, 0);
	assert_int_equal(count_records(r, BROKER_MESSAGE) - before, reports);
	while ((s = rig_any(r, EFFECT_JOB)) != NULL)
		rig_result(r, s, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_notify(void **state)
{
	notify(*state, 0, 1);
	notify(*state, NOTIFY_NEVER, 0);
	notify(*state, NOTIFY_FAILURE, 1);
	notify(*state, NOTIFY_SUCCESS, 0);
	notify(*state, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, 1);
}

/* The header of the failed message stands in the report, read from the log if need be. */
static void test_report_head(void **state)
{
	struct rig *r = *state;
	struct seen *s;

	rig_accept(r, "a@src.test", "b@dst.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	rig_none(r, EFFECT_READ_HEAD);
	assert_true(rig_has(buf_view(&rig_take(r, EFFECT_APPEND)->body), "Subject: test\r\n"));

	rig_accept(r, "a@src.test", "c@lmtp.test");
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, 6 * MIN);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	rig_none(r, EFFECT_APPEND);
	s = rig_take(r, EFFECT_READ_HEAD);
	assert_int_equal(s->e.octets, 17);
	broker_head(r->b, s->e.token, SPAN_NONE, r->now);
	s = rig_take(r, EFFECT_APPEND);
	assert_false(rig_has(buf_view(&s->body), "Subject: test"));
	assert_true(rig_has(buf_view(&s->body), "c@lmtp.test"));
}

/* The most that anybody can put into a report: it is composed, whatever they say. */
static void test_report_hostile(void **state)
{
	struct rig *r = *state;
	static char to[100 * 80], junk[65000];
	struct change_rcpt said[100];
	struct change c = {.rcpt = said, .n_rcpt = 100};
	struct seen *job, *s;
	size_t n = 0;

	memset(junk, 0xff, sizeof(junk));
	for (size_t i = 0; i < sizeof(junk); i += 3)
		junk[i] = "\r\n--=_report_\t"[i % 15];
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(to + n, sizeof(to) - n, "%su%d@dst.test", i ? " " : "", i);
	c.id = rig_accept(r, "a@src.test", to).id;
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->e.n_rcpt, 100);
	for (uint32_t i = 0; i < 100; i++)
		said[i] = (struct change_rcpt){.index = i,
		    .outcome = OUTCOME_FAILED,
		    .code = 65535,
		    .esc = {255, 255, 255},
		    .host = span_of(junk, sizeof(junk)),
		    .reply = span_of(junk, sizeof(junk))};
	assert_int_equal(broker_result(r->b, job->e.peer, job->e.number, true, &c, r->now), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_in_range(buf_len(&s->body), 1000, 1 << 20);
	rig_appended(r, s, 0);
	assert_non_null(rig_take(r, EFFECT_CONFIRM));
}

/* Refused by the configuration: no worker, no attempt. */
static void test_reject_targets(void **state)
{
	struct rig *r = *state;
	struct seen *s;

	rig_accept(r, "a@src.test", "b@no.test c@later.test");
	rig_none(r, EFFECT_BODY);
	assert_true(rig_has(buf_view(&rig_take(r, EFFECT_APPEND)->body), "nobody here"));
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_DEFERRED);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).waiting, 1);
	assert_int_equal(rig_counts(r).sites, 1);
}

/* ---- workers die -------------------------------------------------------------------------- */

static void test_worker_dies(void **state)
{
	struct rig *r = *state;
	struct seen *first, *second;

	rig_accept(r, "a@src.test", "b@dst.test");
	rig_accept(r, "a@src.test", "c@lmtp.test");
	first = rig_take(r, EFFECT_JOB);
	second = rig_take(r, EFFECT_JOB);
	rig_result(r, second, OUTCOME_DELIVERED); /* told, and not durable yet */
	broker_worker_down(r->b, 0, r->now);
	broker_worker_down(r->b, 1, r->now);
	broker_worker_down(r->b, 1, r->now);
	rig_acquit(r, 0);
	rig_acquit(r, 1);
	rig_flush(r, 0);
	rig_none(r, EFFECT_CONFIRM);
	assert_true(broker_deadline(r->b) <= r->now);
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_true(rig_counts(r).connections == 0 && rig_counts(r).active == 0);
	broker_worker_up(r->b, 1, WORKER_SENDER);
	broker_holding_done(r->b, 1, r->now);
	second = rig_take(r, EFFECT_JOB);
	assert_string_equal(second->addr[0], "b@dst.test");
	assert_true(second->e.number > first->e.number && second->e.peer == 1);
	/* The dead one's successor knows nothing of the old job. */
	assert_int_equal(rig_result_as(r, first, 1, OUTCOME_FAILED, 550, false), 0);
	assert_int_equal(rig_take(r, EFFECT_CONFIRM)->e.number, first->e.number);
	rig_result(r, second, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

static void test_stop(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	rig_accept(r, "a@src.test", "b@one.test");
	rig_accept(r, "a@src.test", "c@one.test");
	job = rig_take(r, EFFECT_JOB);
	broker_stop(r->b);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).messages, 1);
}

/* While the store is undecided no job starts; then they do. */
static void test_store_undecided(void **state)
{
	struct rig *r = *state;

	broker_store_state(r->b, false, false, r->now);
	rig_take(r, EFFECT_INTAKE);
	broker_store_state(r->b, true, false, r->now);
	rig_accept(r, "a@src.test", "b@dst.test");
	rig_none(r, EFFECT_JOB);
	broker_store_state(r->b, true, true, r->now);
	assert_non_null(rig_take(r, EFFECT_JOB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_body_window),
	    RIG_TEST(test_second_attempt_from_log),
	    RIG_TEST(test_content_order),
	    RIG_TEST(test_broken_body),
	    cmocka_unit_test(test_memory_limit),
	    RIG_TEST(test_mixed_result),
	    RIG_TEST(test_result_again),
	    RIG_TEST(test_hostile_results),
	    RIG_TEST(test_own_record_fails),
	    RIG_TEST(test_report_fails),
	    RIG_TEST(test_schedule),
	    RIG_TEST(test_expiry_without_attempt),
	    RIG_TEST(test_expiry_words),
	    RIG_TEST(test_bounce_of_bounce),
	    RIG_TEST(test_notify),
	    RIG_TEST(test_report_head),
	    RIG_TEST(test_report_hostile),
	    RIG_TEST(test_reject_targets),
	    RIG_TEST(test_worker_dies),
	    RIG_TEST(test_stop),
	    RIG_TEST(test_store_undecided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
