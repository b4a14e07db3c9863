/*
 * A broker with a store and peers of paper: every effect is written down (with
 * copies of its bytes), appends wait until the test says what became of them, and
 * what was stored can be read back.
 */
#ifndef GW_TEST_FLOW_FIXTURE_H
#define GW_TEST_FLOW_FIXTURE_H

#include "unit/config/helper.h"

#include "base/json.h"
#include "base/log.h"
#include "flow/broker.h"

#include <unistd.h>

enum { RIG_EFFECTS = 20000, RIG_RCPTS = 120, RIG_STORED = 4000, RIG_TEXT = 256 };

#define SEC INT64_C(1000000)
#define MIN (60 * SEC)
#define HOURS (60 * MIN)
#define DAYS (24 * HOURS)

struct seen {
	struct broker_effect e;
	struct buf meta, body;
	char from[RIG_TEXT], addr[RIG_RCPTS][64];
	uint32_t index[RIG_RCPTS], attempts;
	enum target_kind kind;
	char avoid[64]; /* the first address */
	bool answered, taken;
};

struct rig {
	struct config *config;
	struct broker *b;
	int64_t now;
	struct seen *seen[RIG_EFFECTS];
	size_t n, next_id;
	struct buf stored[RIG_STORED]; /* bodies: part.offset is the index */
	struct buf metas[RIG_STORED];  /* of the records: place.offset is the index + 1 */
	struct part where[RIG_STORED];
	enum broker_record kind[RIG_STORED];
	bool blind;                                             /* nothing can be read back */
	bool lost_record[RIG_STORED], lost_content[RIG_STORED]; /* this cannot */
	size_t n_stored;
	uint64_t segment;
	int holds[64]; /* by segment */
	bool recovered;
};

static const char rig_config[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "domain box.test { deliver maildir /var/mail/%u }\n"
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "domain no.test { deliver reject \"550 5.1.1 nobody here\" }\n"
    "domain later.test { deliver reject \"451 4.3.0 later\" }\n"
    "route to any via relay 127.0.0.1:2525\n"
    "shape one { domain one.test; connections 1; per-connection 2; retry 10s }\n"
    "shape solo { domain solo.test; connections 1 }\n"
    "shape * { connections 2; per-connection 100; retry 5m 15m 1h 4h; expire 4d }\n"
    "dsn { warn 0s }\n";

/* What the broker reads back from the log. */
static inline int rig_read_record(void *arg, const struct record_place *at,
    enum broker_record *type, struct span *meta, struct part *body)
{
	const struct rig *r = arg;

	assert_in_range(at->offset, 1, r->n_stored);
	if (r->blind || r->lost_record[at->offset - 1])
		return GW_EIO;
	assert_int_equal(r->where[at->offset - 1].segment, at->segment);
	*type = r->kind[at->offset - 1];
	*meta = buf_view(&r->metas[at->offset - 1]);
	*body = r->where[at->offset - 1];
	return 0;
}

static inline int rig_read_content(void *arg, const struct part *piece, uint8_t *to)
{
	const struct rig *r = arg;
	struct span s = buf_view(&r->stored[piece->offset]);

	assert_int_equal(s.n, piece->length);
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return r->blind || r->lost_content[piece->offset] ? GW_EIO : 0;
}

static inline struct rig *rig_start_with(const char *config, size_t memory_max, size_t ready_max)
{
	struct rig *r = gw_calloc(1, sizeof(*r));
	struct broker_params p = {.seed = 1,
	    .first_number = 1000,
	    .memory_max = memory_max,
	    .ready_max = ready_max,
	    .log = {.record = rig_read_record, .content = rig_read_content, .arg = r}};

	log_setup(STDERR_FILENO, LOG_NONE, "test");
	r->config = parse_good(config);
	p.config = r->config;
	r->b = broker_new(&p);
	r->now = 1000000 * SEC;
	r->segment = 1;
	return r;
}

static inline struct rig *rig_start(const char *config, size_t memory_max)
{
	return rig_start_with(config, memory_max, 4096);
}

static inline void rig_free(struct rig *r)
{
	broker_free(&r->b);
	for (size_t i = 0; i < r->n; i++) {
		buf_fini(&r->seen[i]->meta);
		buf_fini(&r->seen[i]->body);
		free(r->seen[i]);
	}
	for (size_t i = 0; i < r->n_stored; i++) {
		buf_fini(&r->stored[i]);
		buf_fini(&r->metas[i]);
	}
	config_free(&r->config);
	free(r);
}

static inline void rig_note_job(struct seen *s)
{
	span_to_cstr(s->e.from, s->from, sizeof(s->from));
	s->kind = s->e.target->kind;
	if (s->e.n_avoid > 0)
		span_to_cstr(s->e.avoid[0], s->avoid, sizeof(s->avoid));
	assert_in_range(s->e.n_rcpt, 1, RIG_RCPTS);
	for (size_t i = 0; i < s->e.n_rcpt; i++) {
		s->index[i] = s->e.rcpt[i].index;
		s->attempts = s->e.rcpt[i].attempts;
		span_to_cstr(s->e.rcpt[i].addr, s->addr[i], sizeof(s->addr[i]));
	}
}

static inline void rig_note_body(struct rig *r, struct seen *s)
{
	struct span data = s->e.data;

	if (data.p == NULL) {
		struct span all = buf_view(&r->stored[s->e.piece.offset]);

		assert_int_equal(all.n, s->e.piece.length);
		data = span_first(span_skip(all, (size_t)s->e.from_octet), s->e.octets);
	}
	assert_int_equal(data.n, s->e.octets);
	buf_add_span(&s->body, data);
}

/* Writes down what the broker asks for. */
static inline void rig_run(struct rig *r)
{
	struct broker_effect e;

	while (broker_next(r->b, &e) == 1) {
		struct seen *s = gw_calloc(1, sizeof(*s));

		assert_in_range(r->n, 0, RIG_EFFECTS - 1);
		r->seen[r->n++] = s;
		s->e = e;
		buf_init(&s->meta, SIZE_MAX / 2);
		buf_init(&s->body, SIZE_MAX / 2);
		buf_add_span(&s->meta, e.meta);
		if (e.type == EFFECT_APPEND) {
			buf_add_span(&s->body, e.body[0]);
			buf_add_span(&s->body, e.body[1]);
		}
		if (e.type == EFFECT_JOB)
			rig_note_job(s);
		if (e.type == EFFECT_RESOLVE)
			span_to_cstr(e.data, s->from, sizeof(s->from));
		if (e.type == EFFECT_BODY)
			rig_note_body(r, s);
		if (e.type == EFFECT_HOLD)
			r->holds[e.segment]++;
		if (e.type == EFFECT_RELEASE)
			assert_in_range(r->holds[e.segment]--, 1, 1000000);
	}
}

/* The first effect of this type that was not taken yet, or NULL. */
static inline struct seen *rig_any(struct rig *r, enum broker_effect_type type)
{
	rig_run(r);
	for (size_t i = 0; i < r->n; i++) {
		if (r->seen[i]->e.type == type && !r->seen[i]->taken) {
			r->seen[i]->taken = true;
			return r->seen[i];
		}
	}
	return NULL;
}

static inline struct seen *rig_take(struct rig *r, enum broker_effect_type type)
{
	struct seen *s = rig_any(r, type);

	assert_non_null(s);
	return s;
}

static inline void rig_none(struct rig *r, enum broker_effect_type type)
{
	assert_null(rig_any(r, type));
}

static inline struct part rig_store(struct rig *r, struct span body)
{
	struct part at = {.segment = r->segment, .offset = r->n_stored, .length = (uint32_t)body.n};

	assert_in_range(r->n_stored, 0, RIG_STORED - 1);
	buf_init(&r->stored[r->n_stored], SIZE_MAX / 2);
	buf_init(&r->metas[r->n_stored], SIZE_MAX / 2);
	r->where[r->n_stored] = at;
	buf_add_span(&r->stored[r->n_stored++], body);
	return at;
}

/* The record whose body was stored there. */
static inline struct record_place rig_place(
    struct rig *r, size_t index, enum broker_record kind, struct span meta)
{
	r->kind[index] = kind;
	buf_clear(&r->metas[index]);
	buf_add_span(&r->metas[index], meta);
	return (struct record_place){r->where[index].segment, index + 1};
}

/* A record of the log is given to recovery; the body of a message was stored before. */
static inline int rig_recover(
    struct rig *r, enum broker_record kind, struct span meta, const struct part *body)
{
	struct record_place at;
	size_t index;

	if (body->length > 0 &&
	    body->offset >= r->n_stored) /* nonsense, of which nothing is read */
		return broker_recover(r->b, kind, meta, &(struct record_place){1, 8}, body);
	index = body->length > 0 ? (size_t)body->offset : (size_t)rig_store(r, SPAN_NONE).offset;
	at = rig_place(r, index, kind, meta);
	return broker_recover(r->b, kind, meta, &at, body);
}

/* Says what became of one append. */
static inline void rig_appended(struct rig *r, struct seen *s, int status)
{
	struct record_place place = {0};
	struct part at = {0};

	assert_false(s->answered);
	s->answered = true;
	if (status == 0) {
		at = rig_store(r, buf_view(&s->body));
		place = rig_place(r, (size_t)at.offset, s->e.record, buf_view(&s->meta));
	}
	broker_appended(r->b, s->e.token, status, &place, &at, r->now);
	rig_run(r);
}

/* All appends that wait, in order. How many there were. */
static inline size_t rig_flush(struct rig *r, int status)
{
	struct seen *s;
	size_t n = 0;

	while ((s = rig_any(r, EFFECT_APPEND)) != NULL) {
		rig_appended(r, s, status);
		if (n++ > RIG_EFFECTS)
			fail();
		if (status != 0 && s->e.own)
			break; /* it comes again */
	}
	return n;
}

/* Two senders (0, 1), one mda (16), a receiver (7); nothing to recover. */
static inline void rig_ready(struct rig *r)
{
	broker_worker_up(r->b, 0, WORKER_SENDER);
	broker_worker_up(r->b, 1, WORKER_SENDER);
	broker_worker_up(r->b, 16, WORKER_MDA);
	broker_recovered(r->b, r->now);
	broker_holding_done(r->b, 0, r->now);
	broker_holding_done(r->b, 1, r->now);
	broker_holding_done(r->b, 16, r->now);
	broker_tick(r->b, r->now);
	broker_receiver_up(r->b, 7);
	assert_true(rig_take(r, EFFECT_INTAKE)->e.flag);
}

static inline struct msgid rig_id(struct rig *r)
{
	uint8_t random[MSGID_RANDOM] = {0};

	r->next_id++;
	memcpy(random, &r->next_id, sizeof(r->next_id));
	return msgid_make(r->now, random);
}

struct rig_mail {
	const char *from, *to; /* to: addresses with blanks between them */
	const char *head, *rest;
	struct span big; /* instead of rest */
	const char *account;
	uint8_t notify;
	struct msgid id, nonce;
	int64_t accepted;
	int64_t hold_until; /* FUTURERELEASE */
	int64_t by_at;      /* DELIVERBY */
	enum deliver_by by;
	bool by_trace;
};

static inline void rig_envelope(const struct rig *r, const struct rig_mail *m, struct buf *out)
{
	struct rcpt *rcpt = gw_calloc(1000, sizeof(*rcpt));
	struct envelope e = {.id = m->id,
	    .nonce = m->nonce,
	    .accepted = m->accepted ? m->accepted : r->now,
	    .from = span_str(m->from),
	    .account = span_str(m->account),
	    .handling = {.hold_until = m->hold_until,
		.by_at = m->by_at,
		.by = m->by,
		.by_trace = m->by_trace},
	    .rcpt = rcpt,
	    .head_length = (uint32_t)strlen(m->head)};
	struct span to = span_str(m->to);

	while (to.n > 0) {
		ptrdiff_t end = span_find(to, ' ');
		struct span addr = end < 0 ? to : span_first(to, (size_t)end);

		assert_in_range(e.n_rcpt, 0, 999);
		rcpt[e.n_rcpt++] = (struct rcpt){.addr = addr, .notify = m->notify};
		to = span_skip(to, addr.n + 1);
	}
	buf_init(out, SIZE_MAX / 2);
	envelope_encode(&e, out);
	assert_false(buf_failed(out));
	free(rcpt);
}

static inline struct rig_mail rig_mail(struct rig *r, const char *from, const char *to)
{
	return (struct rig_mail){.from = from,
	    .to = to,
	    .head = "Subject: test\r\n\r\n",
	    .rest = "Hello\r\n",
	    .id = rig_id(r),
	    .nonce = rig_id(r)};
}

/* The result of broker_commit for transaction txn of the receiver. */
static inline int rig_send(struct rig *r, unsigned receiver, uint64_t txn, const struct rig_mail *m)
{
	struct buf envelope;
	int err;

	rig_envelope(r, m, &envelope);
	err = broker_commit(r->b, receiver, txn, buf_view(&envelope), span_str(m->head),
	    m->big.n ? m->big : span_str(m->rest), r->now);
	buf_fini(&envelope);
	return err;
}

/* The append of this message, among others that may wait. */
static inline struct seen *rig_append_of(struct rig *r, const struct msgid *id)
{
	rig_run(r);
	for (size_t i = 0; i < r->n; i++) {
		struct seen *s = r->seen[i];

		if (s->e.type == EFFECT_APPEND && !s->taken && msgid_eq(&s->e.id, id)) {
			s->taken = true;
			return s;
		}
	}
	fail();
	return NULL;
}

/* Committed, flushed and acknowledged. */
static inline struct rig_mail rig_accept(struct rig *r, const char *from, const char *to)
{
	static uint64_t txn = 1000;
	struct rig_mail m = rig_mail(r, from, to);

	assert_int_equal(rig_send(r, 7, ++txn, &m), 0);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	return m;
}

/* The worker of this job says the same of all its recipients. */
static inline int rig_result_as(struct rig *r, const struct seen *job, unsigned worker,
    enum outcome o, uint16_t code, bool site)
{
	struct change_rcpt said[RIG_RCPTS];
	struct change c = {.id = job->e.id, .rcpt = said, .n_rcpt = job->e.n_rcpt};
	int err;

	for (size_t i = 0; i < job->e.n_rcpt; i++)
		said[i] = (struct change_rcpt){.index = job->index[i],
		    .outcome = o,
		    .code = code,
		    .esc = {(uint8_t)(code / 100), 0, 0},
		    .host = SPAN("there.test"),
		    .reply = SPAN("so they say")};
	err = broker_result(r->b, worker, job->e.number, site, &c, r->now);
	rig_run(r);
	return err;
}

static inline void rig_result(struct rig *r, const struct seen *job, enum outcome o)
{
	uint16_t code = o == OUTCOME_DELIVERED ? 250 : o == OUTCOME_FAILED ? 550 : 450;

	assert_int_equal(rig_result_as(r, job, job->e.peer, o, code, false), 0);
}

static inline void rig_pass(struct rig *r, int64_t usec)
{
	r->now += usec;
	broker_tick(r->b, r->now);
	rig_run(r);
}

/* Master says that the worker died of nothing it had in hand. */
static inline void rig_acquit(struct rig *r, unsigned worker)
{
	struct broker_crash none = {.job = 0};

	broker_blamed(r->b, worker, &none, r->now);
	rig_run(r);
}

static inline struct broker_counts rig_counts(const struct rig *r)
{
	struct broker_counts n;

	broker_counts(r->b, &n);
	return n;
}

/* Nothing is left, and nobody holds a segment. */
static inline void rig_empty(struct rig *r)
{
	rig_run(r);
	assert_int_equal(rig_counts(r).messages, 0);
	assert_int_equal(rig_counts(r).recipients, 0);
	assert_int_equal(rig_counts(r).active, 0);
	assert_int_equal(rig_counts(r).memory, 0);
	for (size_t i = 0; i < GW_ARRAY_LEN(r->holds); i++)
		assert_int_equal(r->holds[i], 0);
}

static inline bool rig_has(struct span s, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= s.n; i++) {
		if (memcmp(s.p + i, text, n) == 0)
			return true;
	}
	return false;
}

/* The acceptance of the oldest message, as the summary tells it. */
static inline bool rig_oldest_is(struct rig *r, int64_t when)
{
	struct buf out, want;
	bool is;

	buf_init(&out, 1 << 20);
	buf_init(&want, 100);
	json_time(&want, "oldest", when);
	buf_add_byte(&want, '\0');
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	is = rig_has(buf_view(&out), (const char *)buf_view(&want).p);
	buf_fini(&out);
	buf_fini(&want);
	return is;
}

static inline int rig_set_up(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

static inline int rig_tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

/* ---- another configuration ---------------------------------------------------------------- */

/* The old one is gone for good: who still points into it is seen by a sanitizer, and here by what
 * is written over it. */
static inline void rig_reload(struct rig *r, const char *text)
{
	struct config *old = r->config;

	rig_run(r);
	r->config = parse_good(text);
	broker_reconfigure(r->b, r->config, r->now);
	config_free(&old);
	rig_run(r);
	broker_tick(r->b, r->now);
	rig_run(r);
}

/* The text with one line in place of another. */
static inline const char *rig_with(const char *text, const char *what, const char *instead)
{
	static char out[4096];
	const char *at = strstr(text, what);

	assert_non_null(at);
	snprintf(out, sizeof(out), "%.*s%s%s", (int)(at - text), text, instead, at + strlen(what));
	return out;
}

#endif
