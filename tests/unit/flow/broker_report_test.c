/* What senders are told of their mail: NOTIFY, RET, the outcome and the next host in all ways they
 * meet; delays; messages that come back; copies. */
#include "reporting.h"

enum next { NEXT_DSN, NEXT_PLAIN, NEXT_LMTP, NEXT_MAILDIR, NEXTS };
enum end { END_DELIVERED, END_LATE, END_FAILED, END_EXPIRED, ENDS };

static const char *const addresses[NEXTS] = {
    "b@dst.test", "b@dst.test", "b@lmtp.test", "b@box.test"};

/* RFC 3461 sections 4.1, 5.2.2 to 5.2.7. */
static const char *expected(uint8_t notify, enum end end, enum next next)
{
	if (notify & NOTIFY_NEVER)
		return "";
	switch (end) {
	case END_DELIVERED:
		if (!(notify & NOTIFY_SUCCESS) || next == NEXT_DSN)
			return "";
		return next == NEXT_PLAIN ? "relayed " : "delivered ";
	case END_LATE: return notify == 0 || (notify & NOTIFY_DELAY) ? "delayed " : "";
	default: return notify == 0 || (notify & NOTIFY_FAILURE) ? "failed " : "";
	}
}

static void one_cell(uint8_t notify, enum end end, enum next next)
{
	static const enum outcome outcomes[ENDS] = {
	    OUTCOME_DELIVERED, OUTCOME_DEFERRED, OUTCOME_FAILED, OUTCOME_DEFERRED};
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test", .to = addresses[next], .notify = notify};
	const char *want = expected(notify, end, next);
	struct seen *job, *report;

	parcel_send(r, &p);
	job = rig_take(r, EFFECT_JOB);
	rig_pass(r, end == END_LATE ? 4 * HOURS : end == END_EXPIRED ? 4 * DAYS : MIN);
	if (next == NEXT_DSN)
		broker_dsn_passed_on(r->b, job->e.peer, job->e.number);
	rig_result(r, job, outcomes[end]);
	report = next_report(r);
	if (report == NULL)
		assert_string_equal(want, "");
	else
		assert_string_equal(actions(report), want);
	if (report != NULL)
		assert_string_equal(addressee(report), "a@src.test");
	assert_null(next_report(r));
	rig_free(r);
}

static void test_matrix(void **state)
{
	(void)state;
	for (uint8_t notify = 0; notify < 16; notify++) {
		if (notify != NOTIFY_NEVER && (notify & NOTIFY_NEVER))
			continue;
		for (int end = 0; end < ENDS; end++) {
			for (int next = 0; next < NEXTS; next++)
				one_cell(notify, (enum end)end, (enum next)next);
		}
	}
}

/* Only the worker that has the job may say what was passed on, and only of its own job. */
static void test_passed_on_by_others(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test", .notify = NOTIFY_SUCCESS};
	struct seen *job;

	(void)state;
	parcel_send(r, &p);
	job = rig_take(r, EFFECT_JOB);
	broker_dsn_passed_on(r->b, job->e.peer + 1, job->e.number);
	broker_dsn_passed_on(r->b, job->e.peer, job->e.number + 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_string_equal(actions(next_report(r)), "relayed ");
	rig_free(r);
}

/* ---- one report of a task ---------------------------------------------------------------------
 */

static void test_mixed(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test",
	    .to = "b@dst.test c@dst.test d@dst.test",
	    .notify = NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY};
	static const enum outcome each[] = {OUTCOME_DELIVERED, OUTCOME_FAILED, OUTCOME_DEFERRED};
	struct rig_mail m = parcel_send(r, &p);
	struct seen *job = rig_take(r, EFFECT_JOB), *report;
	struct envelope e;
	struct change c;
	struct arena a;

	(void)state;
	rig_pass(r, 5 * HOURS);
	result_each(r, job, each);
	report = next_report(r);
	assert_string_equal(actions(report), "relayed failed delayed ");
	report_envelope(report, &e, &a);
	assert_int_equal(change_decode(&c, e.ends, &a), 0);
	assert_int_equal(c.n_rcpt, 3);
	assert_true(c.rcpt[2].outcome == OUTCOME_DEFERRED && c.rcpt[2].warned && c.rcpt[2].due > 0);
	arena_reset(&a);
	/* The worker is told when the one record is durable, not before. */
	rig_none(r, EFFECT_CONFIRM);
	rig_appended(r, report, 0);
	rig_take(r, EFFECT_CONFIRM);
	assert_int_equal(shown(r, &m.id, "\"warned\":true"), 1);
	assert_int_equal(rig_counts(r).recipients, 2); /* and the report's */
	rig_free(r);
}

/* ---- delays -----------------------------------------------------------------------------------
 */

/* The next job is deferred; what is told then. */
static const char *defer(struct rig *r, struct seen *job)
{
	struct seen *report;

	rig_result(r, job, OUTCOME_DEFERRED);
	report = next_report(r);
	if (report == NULL)
		return "";
	rig_appended(r, report, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED); /* the report itself */
	rig_flush(r, 0);
	return actions(report);
}

/* Once, though it rests in between, is read back, and is deferred again and again. */
static void test_warned_once(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test"};
	struct rig_mail m = parcel_send(r, &p);
	int warned = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		warned += defer(r, rig_take(r, EFFECT_JOB))[0] != '\0';
		assert_int_equal(rig_counts(r).parked, 1);
		assert_int_equal(shown(r, &m.id, "\"warned\":true"), (size_t)warned);
		/* What stands in the record of the report is read back, too. */
		assert_int_equal(shown(r, &m.id, "so they say"), 1);
		rig_pass(r, broker_deadline(r->b) > r->now + 5 * HOURS
				? 5 * HOURS
				: broker_deadline(r->b) - r->now);
		rig_pass(r, 5 * HOURS);
	}
	assert_int_equal(warned, 1);
	rig_free(r);
}

static void test_no_warning(void **state)
{
	static const struct {
		const char *dsn;
		struct parcel p;
		const char *want;
	} cases[] = {
	    {"dsn { warn 0s }", {.from = "a@src.test", .to = "b@dst.test"}, ""},
	    {"dsn { warn 0s }", {.from = "a@src.test", .to = "b@dst.test", .notify = NOTIFY_DELAY},
		"delayed "},
	    {"dsn { warn 1h }", {.from = "", .to = "b@dst.test"}, ""},
	    {"dsn { warn 1h }", {.from = "a@src.test", .to = "b@dst.test"}, "delayed "},
	    {"dsn { warn 1h }",
		{.from = "a@src.test", .to = "b@dst.test", .priority = PRIORITY_BULK}, ""},
	    {"dsn { warn 5h }", {.from = "a@src.test", .to = "b@dst.test"}, ""},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		struct rig *r = reporting_start(cases[i].dsn);
		struct seen *job;

		parcel_send(r, &cases[i].p);
		job = rig_take(r, EFFECT_JOB);
		rig_pass(r, 4 * HOURS + MIN);
		assert_string_equal(defer(r, job), cases[i].want);
		rig_free(r);
	}
}

/* The log says who was warned, also where it is the record of the report that says so. */
static void test_warned_before_a_start(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test"), other;
	struct change_rcpt said = {.index = 0,
	    .number = 1,
	    .attempts = 1,
	    .outcome = OUTCOME_DEFERRED,
	    .due = r->now,
	    .code = 450,
	    .warned = true,
	    .reply = SPAN("later, please")};
	struct change c = {.id = m.id, .when = r->now, .rcpt = &said, .n_rcpt = 1};
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct rcpt to = {.addr = SPAN("a@src.test")};
	struct envelope e = {.rcpt = &to, .n_rcpt = 1, .origin = ORIGIN_SYSTEM, .head_length = 17};
	struct buf ends, meta;

	(void)state;
	recover_mail(r, &m);
	other = rig_mail(r, "", "");
	e.id = e.nonce = other.id;
	buf_init(&ends, 1000);
	buf_init(&meta, 4000);
	change_encode(&c, &ends);
	e.ends = buf_view(&ends);
	envelope_encode(&e, &meta);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&meta), &at), 0);
	rig_ready(r);
	assert_int_equal(shown(r, &m.id, "\"warned\":true"), 1);
	buf_fini(&ends);
	buf_fini(&meta);
	rig_free(r);
}

/* ---- what comes back --------------------------------------------------------------------------
 */

static const char told_of[] = "\r\nSubject: test\r\n\r\nHello\r\n";

static struct seen *failed_report(struct rig *r, const struct parcel *p)
{
	parcel_send(r, p);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	return next_report(r);
}

static void test_whole(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h; full 1K }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test", .ret = RET_FULL};
	char big[2000];
	struct seen *s;

	(void)state;
	s = failed_report(r, &p);
	assert_true(rig_has(buf_view(&s->body), told_of));
	assert_true(rig_has(buf_view(&s->body), "message/rfc822"));
	p.ret = RET_HDRS;
	s = failed_report(r, &p);
	assert_false(rig_has(buf_view(&s->body), "Hello"));
	assert_true(rig_has(buf_view(&s->body), "Subject: test"));
	p.ret = RET_UNSET;
	assert_false(rig_has(buf_view(&failed_report(r, &p)->body), "Hello"));
	/* Too large, or of a kind that not all ways take. */
	memset(big, 'x', sizeof(big));
	p.ret = RET_FULL;
	p.rest = span_of(big, sizeof(big));
	assert_false(rig_has(buf_view(&failed_report(r, &p)->body), "xxxx"));
	p.rest = SPAN_NONE;
	p.body_type = BODY_BINARYMIME;
	assert_false(rig_has(buf_view(&failed_report(r, &p)->body), "Hello"));
	rig_free(r);
}

/* Nothing failed: the header is enough (RFC 3461 section 4.3). */
static void test_whole_success(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {
	    .from = "a@src.test", .to = "b@dst.test", .ret = RET_FULL, .notify = NOTIFY_SUCCESS};
	struct seen *s;

	(void)state;
	parcel_send(r, &p);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	s = next_report(r);
	assert_string_equal(actions(s), "relayed ");
	assert_false(rig_has(buf_view(&s->body), "Hello"));
	rig_free(r);
}

/* It was to come back and cannot be read: its sender is told all the same. */
static void test_whole_unreadable(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test", .ret = RET_FULL};
	struct seen *s;

	(void)state;
	parcel_send(r, &p);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, HOURS);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	r->blind = true;
	s = next_report(r);
	assert_string_equal(actions(s), "failed ");
	assert_false(rig_has(buf_view(&s->body), "Hello"));
	rig_free(r);
}

/* All octets that a worker gets of this job. */
static void body_of(struct rig *r, const struct seen *job, struct buf *out)
{
	rig_run(r);
	for (size_t i = 0; i < r->n; i++) {
		if (r->seen[i]->e.type == EFFECT_BODY && r->seen[i]->e.number == job->e.number)
			buf_add_span(out, buf_view(&r->seen[i]->body));
	}
}

/* The pieces are not written again; they stay when the message they came with is gone. */
static void test_pieces(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h }");
	struct parcel p = {.from = "a@src.test",
	    .to = "b@dst.test",
	    .ret = RET_FULL,
	    .part = {SPAN("first piece\r\n"), SPAN("second piece\r\n")},
	    .rest = SPAN("and the rest\r\n")};
	struct seen *report, *job;
	struct envelope e;
	struct arena a;
	struct buf body;

	(void)state;
	parcel_send(r, &p);
	r->segment = 2;
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	report = next_report(r);
	assert_false(rig_has(buf_view(&report->body), "piece"));
	report_envelope(report, &e, &a);
	assert_int_equal(e.n_part, 2);
	assert_true(e.facts.size > 26 && e.head_length > 17);
	arena_reset(&a);
	/* Refused once: appended again, and the pieces are there still. */
	rig_appended(r, report, GW_EIO);
	rig_pass(r, SEC);
	report = next_report(r);
	rig_appended(r, report, 0);
	assert_int_equal(rig_counts(r).messages, 1);
	assert_true(r->holds[1] > 0 && r->holds[2] > 0);
	buf_init(&body, 1 << 20);
	job = rig_take(r, EFFECT_JOB);
	body_of(r, job, &body);
	assert_int_equal(buf_len(&body), job->e.size);
	assert_true(
	    rig_has(buf_view(&body), "\r\nSubject: test\r\n\r\nfirst piece\r\nsecond piece\r\n"
				     "and the rest\r\n\r\n--"));
	/* At rest and back. */
	rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).parked, 1);
	assert_true(r->holds[1] > 0);
	rig_pass(r, HOURS);
	job = rig_take(r, EFFECT_JOB);
	buf_clear(&body);
	body_of(r, job, &body);
	assert_true(
	    rig_has(buf_view(&body), "\r\n\r\nfirst piece\r\nsecond piece\r\nand the rest\r\n"));
	/* A report with pieces that fails: its header goes to the administrator, no more. */
	rig_result(r, job, OUTCOME_FAILED);
	give_heads(r);
	report = next_report(r);
	assert_string_equal(addressee(report), "postmaster@mx.test");
	assert_false(rig_has(buf_view(&report->body), "piece"));
	rig_appended(r, report, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	buf_fini(&body);
	rig_free(r);
}

/* The language is that of the configuration. */
static void test_language(void **state)
{
	struct rig *r = reporting_start("dsn { language de }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test"};
	struct seen *s = failed_report(r, &p);

	(void)state;
	assert_true(rig_has(buf_view(&s->body), "Content-Language: de"));
	rig_free(r);
}

/* ---- the administrator ------------------------------------------------------------------------
 */

static void test_copies(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h; copy bad-mailbox full }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test c@dst.test", .ret = RET_FULL};
	static const enum outcome each[] = {OUTCOME_FAILED, OUTCOME_FAILED};
	struct seen *s;
	struct envelope e;
	struct arena a;

	(void)state;
	parcel_send(r, &p);
	result_each(r, rig_take(r, EFFECT_JOB), each);
	s = next_report(r);
	assert_string_equal(addressee(s), "a@src.test");
	assert_true(rig_has(buf_view(&s->body), "Hello"));
	s = next_report(r);
	assert_string_equal(addressee(s), "postmaster@mx.test");
	assert_string_equal(actions(s), "failed failed ");
	assert_false(rig_has(buf_view(&s->body), "Hello"));
	report_envelope(s, &e, &a);
	assert_int_equal(e.ends.n, 0);
	arena_reset(&a);
	/* What the administrator sends comes back once. */
	p.from = "Postmaster@MX.test";
	parcel_send(r, &p);
	result_each(r, rig_take(r, EFFECT_JOB), each);
	assert_non_null(next_report(r));
	assert_null(next_report(r));
	rig_free(r);
}

static void test_no_copies(void **state)
{
	struct rig *r = reporting_start("dsn { warn 4h; copy tls }");
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test"};
	static const enum outcome each[] = {OUTCOME_FAILED};

	(void)state;
	parcel_send(r, &p);
	result_each(r, rig_take(r, EFFECT_JOB), each);
	assert_non_null(next_report(r));
	assert_null(next_report(r));
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_matrix),
	    cmocka_unit_test(test_passed_on_by_others),
	    cmocka_unit_test(test_mixed),
	    cmocka_unit_test(test_warned_once),
	    cmocka_unit_test(test_no_warning),
	    cmocka_unit_test(test_warned_before_a_start),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_whole_success),
	    cmocka_unit_test(test_whole_unreadable),
	    cmocka_unit_test(test_pieces),
	    cmocka_unit_test(test_language),
	    cmocka_unit_test(test_copies),
	    cmocka_unit_test(test_no_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
