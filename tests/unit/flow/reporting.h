/* What the tests of reports share: mail with DSN parameters, and what became of it. */
#ifndef GW_TEST_FLOW_REPORTING_H
#define GW_TEST_FLOW_REPORTING_H

#include "at_rest.h"

struct parcel {
	const char *from, *to; /* addresses with blanks between them */
	uint8_t notify;
	enum dsn_ret ret;
	enum priority priority;
	enum body_type body_type;
	struct span part[2]; /* come before the rest */
	struct span rest;    /* empty: "Hello\r\n" */
};

/* The broker of the other tests with these reports. */
static inline struct rig *reporting_start(const char *dsn)
{
	char text[4000];
	size_t n = (size_t)(strstr(rig_config, "dsn {") - rig_config);
	struct rig *r;

	snprintf(text, sizeof(text), "%.*s%s\n", (int)n, rig_config, dsn);
	r = rig_start(text, 1 << 20);
	rig_ready(r);
	return r;
}

static inline void parcel_envelope(
    const struct rig *r, const struct rig_mail *m, const struct parcel *p, struct buf *out)
{
	struct rcpt rcpt[20];
	struct span to = span_str(p->to);
	struct envelope e = {.id = m->id,
	    .nonce = m->nonce,
	    .accepted = r->now,
	    .from = span_str(p->from),
	    .rcpt = rcpt,
	    .ret = p->ret,
	    .envid = SPAN("env-7"),
	    .body_type = p->body_type,
	    .priority = (uint8_t)p->priority,
	    .head_length = (uint32_t)strlen(m->head)};

	while (to.n > 0) {
		ptrdiff_t end = span_find(to, ' ');
		struct span addr = end < 0 ? to : span_first(to, (size_t)end);

		rcpt[e.n_rcpt++] = (struct rcpt){.addr = addr, .notify = p->notify};
		to = span_skip(to, addr.n + 1);
	}
	envelope_encode(&e, out);
	assert_false(buf_failed(out));
}

static inline struct rig_mail parcel_send(struct rig *r, const struct parcel *p)
{
	static uint64_t txn = 5000;
	struct rig_mail m = rig_mail(r, p->from, p->to);
	struct buf b;

	txn++;
	for (size_t i = 0; i < 2 && p->part[i].n > 0; i++) {
		assert_int_equal(broker_part(r->b, 7, txn, p->part[i], r->now), 0);
		rig_appended(r, rig_take(r, EFFECT_APPEND), 0);
	}
	buf_init(&b, 1 << 20);
	parcel_envelope(r, &m, p, &b);
	assert_int_equal(broker_commit(r->b, 7, txn, buf_view(&b), span_str(m.head),
			     p->rest.n ? p->rest : span_str(m.rest), r->now),
	    0);
	buf_fini(&b);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	while (rig_any(r, EFFECT_COMMITTED) != NULL)
		;
	return m;
}

/* Who is asked for the header of a message is given the one that all have. */
static inline void give_heads(struct rig *r)
{
	struct seen *s;

	while ((s = rig_any(r, EFFECT_READ_HEAD)) != NULL)
		broker_head(r->b, s->e.token, SPAN("Subject: test\r\n\r\n"), r->now);
}

/* The next message of our own that is to be written, or NULL; others are made durable. */
static inline struct seen *next_report(struct rig *r)
{
	struct seen *s;

	give_heads(r);
	while ((s = rig_any(r, EFFECT_APPEND)) != NULL) {
		if (s->e.record == BROKER_MESSAGE && s->e.own)
			return s;
		rig_appended(r, s, 0);
	}
	return NULL;
}

/* The words behind "Action: ", one blank behind each. */
static inline const char *actions(const struct seen *report)
{
	static char words[200];
	struct span s = buf_view(&report->body);

	words[0] = '\0';
	for (; s.n > 0; s = span_skip(s, 1)) {
		size_t n = 8;

		if (!span_starts(s, SPAN("Action: ")))
			continue;
		while (s.p[n] > ' ')
			n++;
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%.*s ",
		    (int)(n - 8), (const char *)s.p + 8);
	}
	return words;
}

static inline void report_envelope(const struct seen *report, struct envelope *e, struct arena *a)
{
	arena_init(a, 1 << 20);
	assert_int_equal(envelope_decode(e, buf_view(&report->meta), a), 0);
}

/* Whom it goes to. */
static inline const char *addressee(const struct seen *report)
{
	static char to[RIG_TEXT];
	struct envelope e;
	struct arena a;

	report_envelope(report, &e, &a);
	assert_int_equal(e.n_rcpt, 1);
	assert_int_equal(e.from.n, 0);
	span_to_cstr(e.rcpt[0].addr, to, sizeof(to));
	arena_reset(&a);
	return to;
}

/* Every recipient of the job gets its own outcome. */
static inline void result_each(struct rig *r, const struct seen *job, const enum outcome *o)
{
	struct change_rcpt said[RIG_RCPTS];
	struct change c = {.id = job->e.id, .rcpt = said, .n_rcpt = job->e.n_rcpt};

	for (size_t i = 0; i < job->e.n_rcpt; i++) {
		uint16_t code = o[i] == OUTCOME_DELIVERED ? 250
				: o[i] == OUTCOME_FAILED  ? 550
							  : 450;

		said[i] = (struct change_rcpt){.index = job->index[i],
		    .outcome = o[i],
		    .code = code,
		    .esc = {(uint8_t)(code / 100), 1, 1},
		    .host = SPAN("there.test"),
		    .reply = SPAN("no such user here")};
	}
	assert_int_equal(broker_result(r->b, job->e.peer, job->e.number, false, &c, r->now), 0);
	rig_run(r);
}

#endif
