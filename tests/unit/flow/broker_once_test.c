/*
 * Mail that may have been delivered: normal mail is sent again and counted, at-most-once mail asks
 * before its dot, and whatever dies then, it is not given out again.
 */
#include "fixture.h"

#include "flow/counters.h"

static const char once_config[] = "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
				  "domain box.test { deliver maildir /var/mail/%u }\n"
				  "route to any via relay 127.0.0.1:2525\n"
				  "shape sms { domain sms.test; at-most-once yes }\n"
				  "shape * { connections 2; retry 5m; expire 10m }\n";

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

static int set_up_idle(void **state)
{
	*state = rig_start(once_config, 1 << 20);
	return 0;
}

static int set_up(void **state)
{
	struct rig *r = rig_start(once_config, 1 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

static struct seen *job_to(struct rig *r, const char *to)
{
	rig_accept(r, "a@src.test", to);
	return rig_take(r, EFFECT_JOB);
}

static int ask(struct rig *r, const struct seen *job, unsigned worker, uint32_t first, size_t n)
{
	uint32_t rcpt[RIG_RCPTS];
	int err;

	for (size_t i = 0; i < n; i++)
		rcpt[i] = first + (uint32_t)i;
	err = broker_past_dot(r->b, worker, job->e.number, rcpt, n, r->now);
	rig_run(r);
	return err;
}

static struct seen *asked(struct rig *r, const struct seen *job)
{
	struct seen *s;

	assert_int_equal(ask(r, job, job->e.peer, 0, job->e.n_rcpt), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_PAST_DOT);
	assert_true(s->e.flag && s->e.own); /* somebody waits; the reserve is for it */
	return s;
}

static void granted(struct rig *r, const struct seen *job)
{
	struct seen *go, *s = asked(r, job);

	rig_none(r, EFFECT_GO); /* not before it is durable */
	rig_appended(r, s, 0);
	go = rig_take(r, EFFECT_GO);
	assert_true(go->e.flag && go->e.peer == job->e.peer && go->e.number == job->e.number);
}

static uint64_t today(const struct rig *r, const char *what)
{
	char key[32], text[8192];
	const char *at;
	struct buf b;

	buf_init(&b, sizeof(text));
	assert_int_equal(broker_summary(r->b, &b, r->now), 200);
	span_to_cstr(buf_view(&b), text, sizeof(text));
	buf_fini(&b);
	snprintf(key, sizeof(key), "\"%s\":", what);
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static bool shown(const struct rig *r, const struct msgid *id, const char *text)
{
	struct buf b;
	bool has;

	buf_init(&b, 8192);
	assert_int_equal(broker_show(r->b, id, &b, r->now), 200);
	has = rig_has(buf_view(&b), text);
	buf_fini(&b);
	return has;
}

/* The header of the message, where it is not in memory. */
static void give_head(struct rig *r)
{
	struct seen *s = rig_any(r, EFFECT_READ_HEAD);

	if (s != NULL)
		broker_head(r->b, s->e.token, SPAN("Subject: test\r\n\r\n"), r->now);
}

/* The report of a recipient that may have been delivered. */
static void reported(struct rig *r)
{
	struct seen *report;

	give_head(r);
	report = rig_take(r, EFFECT_APPEND);
	assert_int_equal(report->e.record, BROKER_MESSAGE);
	assert_true(rig_has(buf_view(&report->body), "may or may not have been delivered"));
	assert_true(rig_has(buf_view(&report->body), "Status: 5.4.2"));
	assert_true(rig_has(buf_view(&report->body), "is not sent again"));
	rig_appended(r, report, 0);
}

/* ---- normal mail ------------------------------------------------------------------------- */

static void test_normal(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@dst.test");

	assert_false(job->e.at_most_once);
	rig_result(r, job, OUTCOME_MAYBE);
	assert_int_equal(rig_take(r, EFFECT_APPEND)->e.record, BROKER_DEFERRED);
	assert_true(shown(r, &job->e.id, "\"state\":\"deferred\""));
	assert_true(shown(r, &job->e.id, "May have been delivered"));
	assert_int_equal(today(r, "maybe"), 1);
	assert_int_equal(today(r, "sent_again"), 0);
	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	assert_int_equal(job->attempts, 1);
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_int_equal(today(r, "delivered"), 1);
	assert_int_equal(today(r, "maybe"), 1);
	assert_int_equal(today(r, "sent_again"), 1);
	assert_int_equal(today(r, "given_up"), 0);
}

/* Its time is over: the report says that it is not known. */
static void test_normal_expires(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@dst.test"), *report;

	r->now += 11 * MIN;
	rig_result(r, job, OUTCOME_MAYBE);
	report = rig_take(r, EFFECT_APPEND);
	assert_int_equal(report->e.record, BROKER_MESSAGE);
	assert_true(rig_has(buf_view(&report->body), "may or may not have been delivered"));
	assert_true(rig_has(buf_view(&report->body), "Status: 4.4.2"));
	assert_int_equal(today(r, "maybe"), 1);
}

/* An attempt that never got to the dot is not a second sending. */
static void test_not_again(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@dst.test");

	rig_result(r, job, OUTCOME_MAYBE);
	rig_pass(r, 6 * MIN);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	assert_int_equal(today(r, "sent_again"), 0);
	assert_int_equal(today(r, "maybe"), 1);
}

/* The worker had all of it. */
static void test_lost(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@dst.test c@dst.test");

	broker_worker_down(r->b, job->e.peer, r->now);
	rig_acquit(r, job->e.peer);
	assert_int_equal(today(r, "lost"), 2);
	rig_pass(r, 0);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.n_rcpt, 2); /* to the other one, at once */
	job = job_to(r, "d@box.test");                          /* a Maildir knows what it has */
	assert_int_equal(job->e.peer, 16);
	broker_worker_down(r->b, 16, r->now);
	assert_int_equal(today(r, "lost"), 2);
}

/* ---- at most once ------------------------------------------------------------------------- */

static void test_delivered(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test c@sms.test");

	assert_true(job->e.at_most_once);
	granted(r, job);
	assert_true(shown(r, &job->e.id, "\"state\":\"maybe\""));
	assert_true(shown(r, &job->e.id, "\"since\""));
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_take(r, EFFECT_CONFIRM);
	rig_empty(r);
	assert_int_equal(today(r, "delivered"), 2);
	assert_int_equal(today(r, "given_up"), 0);
}

/* The class of the envelope, at a destination that has none. */
static void test_class_of_envelope(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test d@box.test");
	struct rcpt to[2] = {{.addr = SPAN("b@dst.test")}, {.addr = SPAN("d@box.test")}};
	struct envelope e = {.id = m.id,
	    .nonce = m.nonce,
	    .accepted = r->now,
	    .from = SPAN("a@src.test"),
	    .rcpt = to,
	    .n_rcpt = 2,
	    .head_length = (uint32_t)strlen(m.head),
	    .at_most_once = true};
	struct seen *job;
	struct buf b;

	buf_init(&b, 4096);
	envelope_encode(&e, &b);
	assert_int_equal(
	    broker_commit(r->b, 7, 1, buf_view(&b), span_str(m.head), span_str(m.rest), r->now), 0);
	buf_fini(&b);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	for (int i = 0; i < 2; i++) {
		job = rig_take(r, EFFECT_JOB);
		assert_int_equal(job->e.at_most_once, job->kind == TARGET_RELAY);
	}
}

static void test_no_answer(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test");

	granted(r, job);
	rig_result(r, job, OUTCOME_MAYBE);
	assert_int_equal(today(r, "given_up"), 1);
	assert_int_equal(today(r, "maybe"), 0);
	reported(r);
	assert_int_equal(rig_counts(r).recipients, 1); /* the report's own */
	rig_pass(r, 6 * MIN);
	assert_true(msgid_eq(&rig_take(r, EFFECT_JOB)->e.id, &job->e.id) == false);
	rig_none(r, EFFECT_JOB);
}

/* 4xx and 5xx behind the dot are answers. */
static void test_definite(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test");

	granted(r, job);
	rig_result(r, job, OUTCOME_DEFERRED);
	assert_int_equal(rig_take(r, EFFECT_APPEND)->e.record, BROKER_DEFERRED);
	assert_true(shown(r, &job->e.id, "\"state\":\"deferred\""));
	rig_pass(r, 6 * MIN);
	job = rig_take(r, EFFECT_JOB);
	granted(r, job);
	rig_result(r, job, OUTCOME_FAILED);
	give_head(r);
	assert_true(rig_has(buf_view(&rig_take(r, EFFECT_APPEND)->body), "could not be delivered"));
	assert_int_equal(today(r, "given_up"), 0);
}

/* What is said of nobody: for those behind the dot nobody knows, the others were not tried. */
static void test_not_mentioned(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test c@sms.test");
	struct change c = {.id = job->e.id};
	struct seen *s;

	assert_int_equal(ask(r, job, job->e.peer, 1, 1), 0);
	rig_appended(r, rig_take(r, EFFECT_APPEND), 0);
	assert_int_equal(broker_result(r->b, job->e.peer, job->e.number, false, &c, r->now), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_DEFERRED);
	reported(r);
	rig_pass(r, 6 * MIN);
	for (s = rig_take(r, EFFECT_JOB); !msgid_eq(&s->e.id, &job->e.id);)
		s = rig_take(r, EFFECT_JOB);
	assert_int_equal(s->e.n_rcpt, 1);
	assert_int_equal(s->index[0], 0);
}

static void test_worker_dies(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test");

	granted(r, job);
	broker_worker_down(r->b, job->e.peer, r->now);
	rig_acquit(r, job->e.peer);
	assert_int_equal(today(r, "given_up"), 1);
	assert_int_equal(today(r, "lost"), 0);
	reported(r);
	rig_pass(r, 6 * MIN);
	assert_false(msgid_eq(&rig_take(r, EFFECT_JOB)->e.id, &job->e.id));
	rig_none(r, EFFECT_JOB);
}

/* It did not even ask. */
static void test_worker_dies_before(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test"), *again;

	broker_worker_down(r->b, job->e.peer, r->now);
	rig_acquit(r, job->e.peer);
	rig_pass(r, 0);
	again = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&again->e.id, &job->e.id) && again->e.at_most_once);
	assert_int_equal(today(r, "lost"), 0);
	granted(r, again);
}

/* It asked, and had no leave: nothing was sent. A record outdoes the PAST_DOT on its way. */
static void test_worker_dies_between(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test"), *past = asked(r, job), *s;
	struct change_rcpt *rcpt;
	struct change c;
	struct arena a;

	broker_worker_down(r->b, job->e.peer, r->now);
	rig_acquit(r, job->e.peer);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_DEFERRED);
	arena_init(&a, 65536);
	assert_int_equal(change_decode(&c, buf_view(&s->meta), &a), 0);
	rcpt = c.rcpt;
	assert_true(rcpt->outcome == OUTCOME_DEFERRED && rcpt->number == 2);
	arena_reset(&a);
	rig_appended(r, past, 0);
	rig_none(r, EFFECT_GO);
	rig_appended(r, s, 0);
	rig_pass(r, 6 * MIN);
	granted(r, rig_take(r, EFFECT_JOB));
}

/* It cannot be written: no leave, and it is not tried to write it later. */
static void test_disk_fails(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test"), *go;

	rig_appended(r, asked(r, job), GW_EIO);
	go = rig_take(r, EFFECT_GO);
	assert_false(go->e.flag);
	rig_pass(r, 10 * SEC);
	rig_none(r, EFFECT_APPEND);
	rig_result(r, job, OUTCOME_DEFERRED);
	assert_int_equal(rig_take(r, EFFECT_APPEND)->e.record, BROKER_DEFERRED);
	rig_pass(r, 6 * MIN);
	granted(r, rig_take(r, EFFECT_JOB));
}

/* The peer hung up before the leave came. */
static void test_gave_back(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test"), *past = asked(r, job);

	rig_result(r, job, OUTCOME_DEFERRED);
	rig_appended(r, past, 0);
	rig_none(r, EFFECT_GO);
	rig_flush(r, 0);
	rig_take(r, EFFECT_CONFIRM);
	rig_pass(r, 6 * MIN);
	granted(r, rig_take(r, EFFECT_JOB));
}

static void test_forbidden(void **state)
{
	struct rig *r = *state;
	struct seen *normal = job_to(r, "b@dst.test"), *job = job_to(r, "b@sms.test c@sms.test");
	uint32_t twice[2] = {1, 1}, back[2] = {1, 0};

	assert_int_equal(ask(r, normal, normal->e.peer, 0, 1), GW_EFORMAT);
	assert_int_equal(ask(r, job, job->e.peer ^ 1, 0, 2), GW_EFORMAT);
	assert_int_equal(ask(r, job, job->e.peer, 0, 0), GW_EFORMAT);
	assert_int_equal(ask(r, job, job->e.peer, 0, 3), GW_EFORMAT);
	assert_int_equal(ask(r, job, job->e.peer, UINT32_MAX, 1), GW_EFORMAT);
	assert_int_equal(
	    broker_past_dot(r->b, job->e.peer, job->e.number, twice, 2, r->now), GW_EFORMAT);
	assert_int_equal(
	    broker_past_dot(r->b, job->e.peer, job->e.number, back, 2, r->now), GW_EFORMAT);
	assert_int_equal(
	    broker_past_dot(r->b, job->e.peer, job->e.number + 99, back, 1, r->now), GW_EFORMAT);
	granted(r, job);
	assert_int_equal(ask(r, job, job->e.peer, 0, 2), GW_EFORMAT); /* once is enough */
	rig_result(r, job, OUTCOME_DELIVERED);
	assert_int_equal(ask(r, job, job->e.peer, 0, 2), GW_EFORMAT);
}

/* Two recipients of one task, one of them behind the dot. */
static void test_drop_while_active(void **state)
{
	struct rig *r = *state;
	struct seen *job = job_to(r, "b@sms.test");
	struct buf b;

	granted(r, job);
	buf_init(&b, 4096);
	assert_int_equal(broker_drop(r->b, NULL, 1, 2, &b, r->now), 200);
	assert_true(rig_has(buf_view(&b), "\"dropped\":0"));
	buf_fini(&b);
}

/* ---- a new queue -------------------------------------------------------------------------- */

static void stored(struct rig *r, const struct rig_mail *m)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b;

	rig_envelope(r, m, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
}

static void stored_change(struct rig *r, const struct rig_mail *m, enum broker_record type,
    const struct change_rcpt *said)
{
	static const struct part none;
	struct change_rcpt copy = *said;
	struct change c = {.id = m->id, .when = r->now, .rcpt = &copy, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	assert_int_equal(rig_recover(r, type, buf_view(&b), &none), 0);
	buf_fini(&b);
}

static void stored_past_dot(struct rig *r, const struct rig_mail *m, uint32_t index)
{
	struct change_rcpt said = {
	    .index = index, .number = 1, .outcome = OUTCOME_MAYBE, .due = r->now};

	stored_change(r, m, BROKER_PAST_DOT, &said);
}

static void workers_come(struct rig *r)
{
	broker_worker_up(r->b, 0, WORKER_SENDER);
	broker_worker_up(r->b, 1, WORKER_SENDER);
	broker_recovered(r->b, r->now);
	rig_run(r);
}

static void all_named(struct rig *r)
{
	broker_holding_done(r->b, 0, r->now);
	broker_holding_done(r->b, 1, r->now);
	rig_run(r);
}

/* Nobody has it: it ends, the others of its task go on. */
static void test_restart(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test c@sms.test d@sms.test");
	struct seen *job;

	stored(r, &m);
	stored_past_dot(r, &m, 0);
	stored_past_dot(r, &m, 2);
	workers_come(r);
	assert_true(shown(r, &m.id, "\"state\":\"maybe\""));
	rig_none(r, EFFECT_JOB);
	rig_none(r, EFFECT_APPEND); /* not before all have spoken */
	all_named(r);
	job = rig_take(r, EFFECT_JOB);
	assert_true(job->e.n_rcpt == 1 && job->index[0] == 1);
	assert_int_equal(today(r, "given_up"), 2);
	reported(r);
}

/* Its worker names it, and knows. */
static void test_restart_named(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test c@sms.test");
	static const uint32_t both[] = {0, 1};
	struct change_rcpt said[2] = {
	    {.index = 0, .outcome = OUTCOME_DELIVERED, .code = 250, .esc = {2, 0, 0}},
	    {.index = 1, .outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 3, 2}}};
	struct change c = {.id = m.id, .rcpt = said, .n_rcpt = 2};
	struct seen *s;

	stored(r, &m);
	stored_past_dot(r, &m, 0);
	stored_past_dot(r, &m, 1);
	workers_come(r);
	assert_int_equal(broker_holding(r->b, 1, 500, 501, &m.id, both, 2), 0);
	all_named(r);
	rig_none(r, EFFECT_APPEND);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(broker_result(r->b, 1, 500, false, &c, r->now), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_RESULT);
	rig_appended(r, s, 0);
	assert_int_equal(today(r, "given_up"), 0);
	assert_int_equal(rig_counts(r).recipients, 1); /* it was not sent: it is tried again */
	rig_pass(r, 6 * MIN);
	assert_int_equal(rig_take(r, EFFECT_JOB)->index[0], 1);
}

/* Its worker names it, and dies without a word. */
static void test_restart_named_dies(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test");
	static const uint32_t first[] = {0};

	stored(r, &m);
	stored_past_dot(r, &m, 0);
	workers_come(r);
	assert_int_equal(broker_holding(r->b, 1, 500, 501, &m.id, first, 1), 0);
	assert_int_equal(broker_past_dot(r->b, 1, 500, first, 1, r->now), GW_EFORMAT);
	all_named(r);
	broker_worker_down(r->b, 1, r->now);
	assert_int_equal(today(r, "given_up"), 1);
	reported(r);
	assert_false(msgid_eq(&rig_take(r, EFFECT_JOB)->e.id, &m.id)); /* the report's */
	rig_none(r, EFFECT_JOB);
}

/*
 * The worker of an earlier attempt, whose result was never confirmed, speaks first: it knows
 * nothing of the later one. If nobody else does, it is not given out again.
 */
static void stale_result(struct rig *r, bool later_lives)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test");
	static const uint32_t first[] = {0};
	struct change_rcpt noted = {
	    .number = 3, .attempts = 1, .outcome = OUTCOME_MAYBE, .due = r->now};
	struct change_rcpt said = {.attempts = 1, .outcome = OUTCOME_DEFERRED, .code = 450};
	struct change c = {.id = m.id, .rcpt = &said, .n_rcpt = 1};

	stored(r, &m);
	stored_change(r, &m, BROKER_PAST_DOT, &noted);
	workers_come(r);
	assert_int_equal(broker_holding(r->b, 0, 400, 401, &m.id, first, 1), 0);
	broker_holding_done(r->b, 0, r->now);
	assert_int_equal(broker_result(r->b, 0, 400, false, &c, r->now), 0);
	rig_take(r, EFFECT_CONFIRM); /* there is nothing to write */
	rig_none(r, EFFECT_APPEND);
	if (later_lives)
		assert_int_equal(broker_holding(r->b, 1, 500, 501, &m.id, first, 1), 0);
	broker_holding_done(r->b, 1, r->now);
	if (later_lives) {
		said = (struct change_rcpt){
		    .attempts = 2, .outcome = OUTCOME_DEFERRED, .code = 451, .esc = {4, 0, 0}};
		assert_int_equal(broker_result(r->b, 1, 500, false, &c, r->now), 0);
		assert_int_equal(rig_take(r, EFFECT_APPEND)->e.record, BROKER_DEFERRED);
	} else {
		reported(r);
	}
	assert_int_equal(today(r, "given_up"), later_lives ? 0 : 1);
}

static void test_restart_stale(void **state)
{
	stale_result(*state, true);
}

static void test_restart_stale_only(void **state)
{
	stale_result(*state, false);
}

/* All have named theirs, and only the earlier attempt is known of. */
static void test_restart_stale_late(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test");
	static const uint32_t first[] = {0};
	struct change_rcpt noted = {
	    .number = 3, .attempts = 1, .outcome = OUTCOME_MAYBE, .due = r->now};
	struct change_rcpt said = {.attempts = 1, .outcome = OUTCOME_DEFERRED, .code = 450};
	struct change c = {.id = m.id, .rcpt = &said, .n_rcpt = 1};

	stored(r, &m);
	stored_change(r, &m, BROKER_PAST_DOT, &noted);
	workers_come(r);
	assert_int_equal(broker_holding(r->b, 0, 400, 401, &m.id, first, 1), 0);
	all_named(r);
	rig_none(r, EFFECT_APPEND);
	assert_int_equal(broker_result(r->b, 0, 400, false, &c, r->now), 0);
	reported(r);
	assert_int_equal(today(r, "given_up"), 1);
}

/* A later record knows better than the PAST_DOT, in whatever order they are read. */
static void test_restart_outdone(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_mail(r, "a@src.test", "b@sms.test");
	struct change_rcpt later = {.number = 2,
	    .attempts = 1,
	    .outcome = OUTCOME_DEFERRED,
	    .due = r->now - 1,
	    .code = 451};

	stored(r, &m);
	stored_change(r, &m, BROKER_DEFERRED, &later);
	stored_past_dot(r, &m, 0);
	workers_come(r);
	all_named(r);
	rig_pass(r, 0);
	assert_int_equal(rig_take(r, EFFECT_JOB)->e.n_rcpt, 1);
	assert_int_equal(today(r, "given_up"), 0);
}

/* ---- the counts in the log ------------------------------------------------------------------ */

static struct rig *counting(int64_t now)
{
	struct rig *r = gw_calloc(1, sizeof(*r));
	struct broker_params p = {.seed = 1,
	    .first_number = 1000,
	    .memory_max = 1 << 20,
	    .ready_max = 4096,
	    .counters_every = 10 * SEC,
	    .log = {.record = rig_read_record, .content = rig_read_content, .arg = r}};

	log_setup(STDERR_FILENO, LOG_NONE, "test");
	r->config = parse_good(once_config);
	p.config = r->config;
	r->b = broker_new(&p);
	r->now = now;
	r->segment = 1;
	return r;
}

static void test_counters_written(void **state)
{
	struct rig *r = counting(1000000 * SEC), *next;
	struct seen *job, *s;
	struct record_place at = {.segment = 1, .offset = 4096};
	static const struct part none;

	(void)state;
	rig_ready(r);
	job = job_to(r, "b@dst.test");
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_pass(r, 9 * SEC);
	rig_none(r, EFFECT_APPEND);
	rig_pass(r, SEC);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_COUNTERS);
	assert_true(!s->e.flag && s->e.own); /* nobody waits for it */
	rig_appended(r, s, 0);
	assert_int_equal(r->holds[1], 1); /* only its own: the message is gone */
	rig_pass(r, HOURS);
	rig_none(r, EFFECT_APPEND); /* nothing changed */
	/* In another segment: the record follows, and the old one is let go. */
	r->segment = 2;
	job = job_to(r, "c@dst.test");
	rig_pass(r, 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_int_equal(s->e.record, BROKER_COUNTERS);
	rig_appended(r, s, GW_EIO); /* not now: later */
	rig_none(r, EFFECT_APPEND);
	rig_pass(r, 10 * SEC);
	s = rig_take(r, EFFECT_APPEND);
	rig_appended(r, s, 0);
	assert_int_equal(r->holds[1], 0);
	/* The next queue reads it. */
	next = counting(r->now);
	assert_int_equal(
	    broker_recover(next->b, BROKER_COUNTERS, buf_view(&s->meta), &at, &none), 0);
	rig_ready(next);
	assert_int_equal(today(next, "delivered"), 1);
	assert_int_equal(next->holds[1], 1);
	/* And writes it into its own segment. */
	rig_pass(next, 0);
	next->segment = 3;
	rig_appended(next, rig_take(next, EFFECT_APPEND), 0);
	assert_int_equal(next->holds[1], 0);
	assert_int_equal(next->holds[3], 1);
	rig_free(next);
	rig_free(r);
}

/* The newest record, and what lies behind it. */
static void test_counters_recovered(void **state)
{
	struct rig *r = counting(1000000 * SEC);
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test");
	struct change_rcpt maybe = {.number = 1,
			       .attempts = 1,
			       .outcome = OUTCOME_DEFERRED,
			       .esc = {4, 4, 2},
			       .due = r->now},
			   done = {.number = 2,
			       .attempts = 2,
			       .outcome = OUTCOME_DELIVERED,
			       .code = 250,
			       .esc = {2, 0, 0}};
	struct counters before = {.slot = {{0}}};
	struct record_place at = {.segment = 1, .offset = 4096};
	static const struct part none;
	struct buf b;

	(void)state;
	buf_init(&b, COUNTERS_OCTETS);
	counters_add(&before, r->now, COUNTER_DELIVERED, 100);
	counters_add(&before, r->now, COUNTER_LOST, 7);
	counters_encode(&before, &b);
	stored(r, &m);
	stored_change(r, &m, BROKER_DEFERRED, &maybe); /* counted in the record behind it */
	assert_int_equal(broker_recover(r->b, BROKER_COUNTERS, buf_view(&b), &at, &none), 0);
	stored_change(r, &m, BROKER_RESULT, &done);
	done.index = 77; /* of a message that has left the log */
	m.id = rig_id(r);
	stored_change(r, &m, BROKER_RESULT, &done);
	assert_int_equal(
	    broker_recover(r->b, BROKER_COUNTERS, SPAN("\1\1"), &at, &none), GW_EFORMAT);
	rig_ready(r);
	assert_int_equal(today(r, "delivered"), 102);
	assert_int_equal(today(r, "maybe"), 0);
	assert_int_equal(today(r, "sent_again"), 1);
	assert_int_equal(today(r, "lost"), 7);
	buf_fini(&b);
	rig_free(r);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)
#define IDLE(f) cmocka_unit_test_setup_teardown(f, set_up_idle, rig_tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_normal),
	    TEST(test_normal_expires),
	    TEST(test_not_again),
	    TEST(test_lost),
	    TEST(test_delivered),
	    TEST(test_class_of_envelope),
	    TEST(test_no_answer),
	    TEST(test_definite),
	    TEST(test_not_mentioned),
	    TEST(test_worker_dies),
	    TEST(test_worker_dies_before),
	    TEST(test_worker_dies_between),
	    TEST(test_disk_fails),
	    TEST(test_gave_back),
	    TEST(test_forbidden),
	    TEST(test_drop_while_active),
	    IDLE(test_restart),
	    IDLE(test_restart_named),
	    IDLE(test_restart_named_dies),
	    IDLE(test_restart_stale),
	    IDLE(test_restart_stale_only),
	    IDLE(test_restart_stale_late),
	    IDLE(test_restart_outdone),
	    cmocka_unit_test(test_counters_written),
	    cmocka_unit_test(test_counters_recovered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
