/*
 * The broker under random calls: receivers, workers, operators and a store that do
 * what they like, within what their owner (role/queue.c) lets through. It must not
 * crash or leak, and what it asks for must make sense:
 *   - a transaction is acknowledged only after its record was reported durable;
 *   - segments are released as often as they were held, in the end to the last;
 *   - jobs go to workers that are up, with numbers never used before, recipients in
 *     order, and content exactly once, in order, to the last octet;
 *   - when all answer well from now on, the queue empties.
 */
#include "flow/broker.h"

#include "base/cursor.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum {
	APPENDS = 512,
	JOBS = 512,
	RECEIVERS = 3,
	TXNS = 4,
	WORKERS = 4,
	SEGMENTS = 8,
	ANSWER_MAX = 1 << 20,
	DRAIN_MAX = 3000,
	FEW_PATTERNS = 4,
};

static const char config_text[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "domain box.test { deliver maildir /var/mail/%u }\n"
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "domain no.test { deliver reject \"550 5.1.1 nobody\" }\n"
    "domain later.test { deliver reject \"451 4.3.0 later\" }\n"
    "route to any via relay 127.0.0.1:2525\n"
    "shape lmtp { domain lmtp.test; at-most-once yes; retry 1s 10s; expire 3m }\n"
    "shape one { domain one.test; connections 1; per-connection 2; retry 10s; expire 2m }\n"
    "shape * { connections 2; per-connection 4; retry 1s 10s; expire 3m }\n"
    "dsn { warn 20s; full 1K; per-sender 2/m; copy all }\n";

struct waiting {
	void *token;
	struct msgid id;
	enum broker_record type;
	uint32_t length;
	bool own;
	struct span meta; /* the broker's, until it is told */
};

/* A record of the log, as it is read back: place.offset is its index. */
struct stored {
	enum broker_record type;
	uint64_t segment;
	uint32_t length;
	struct buf meta;
};

struct order { /* a job at a worker */
	uint64_t number, conn, size, sent;
	unsigned worker;
	bool once, asked;
	struct msgid id;
	uint32_t index[1000];
	size_t n;
};

static struct world {
	struct broker *b;
	struct cursor in;
	int64_t now;
	struct waiting append[APPENDS];
	size_t n_append;
	struct stored *stored;
	size_t n_stored, cap_stored;
	bool unreadable; /* now and then */
	struct order job[JOBS];
	size_t n_job;
	struct msgid id[RECEIVERS][TXNS]; /* of the COMMIT under way */
	unsigned receiver[RECEIVERS];     /* numbers are never used again */
	bool committed[RECEIVERS][TXNS], durable[RECEIVERS][TXNS];
	int holds[SEGMENTS];
	uint64_t last_number, segment;
	bool up[WORKERS], named[WORKERS];
	uint32_t ids;
} w;

static const struct config *config(void)
{
	static struct config *c;
	struct config_diags d;
	struct buf bundle;

	if (c != NULL)
		return c;
	log_setup(STDERR_FILENO, LOG_NONE, "fuzz");
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	config_diags_init(&d);
	MUST(config_bundle_text("fuzz.conf", span_str(config_text), &bundle) == 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	MUST(c != NULL);
	/* All patterns for each reply are most of the time, and have their own fuzzer. */
	c->n_classify = c->n_classify < FEW_PATTERNS ? c->n_classify : FEW_PATTERNS;
	config_diags_fini(&d);
	buf_fini(&bundle);
	return c;
}

static unsigned roll(unsigned n)
{
	return get_u8(&w.in) % n;
}

/* ---- effects ------------------------------------------------------------------------------ */

static void take_append(const struct broker_effect *e)
{
	MUST(w.n_append < APPENDS);
	for (size_t i = 0; i < w.n_append; i++)
		MUST(w.append[i].token != e->token);
	w.append[w.n_append++] = (struct waiting){
	    e->token, e->id, e->record, (uint32_t)(e->body[0].n + e->body[1].n), e->own, e->meta};
}

static void take_committed(const struct broker_effect *e)
{
	unsigned r = e->peer % RECEIVERS, t = (unsigned)e->number % TXNS;

	MUST(e->status >= 0 && e->status <= 2);
	if (e->number >= TXNS || e->peer != w.receiver[r]) /* an ASK; one that is gone */
		return;
	MUST(e->status != 0 || w.durable[r][t]);
	w.committed[r][t] = false;
}

static struct order *job_find(uint64_t number)
{
	for (size_t i = 0; i < w.n_job; i++) {
		if (w.job[i].number == number)
			return &w.job[i];
	}
	return NULL;
}

static void take_job(const struct broker_effect *e)
{
	struct order *j = &w.job[w.n_job++];

	MUST(w.n_job <= JOBS && e->peer < WORKERS && w.up[e->peer]);
	MUST(e->number > w.last_number && e->n_rcpt > 0 && e->n_rcpt <= 100 && e->size > 0);
	w.last_number = e->number;
	*j = (struct order){.number = e->number,
	    .conn = e->conn,
	    .size = e->size,
	    .worker = e->peer,
	    .once = e->at_most_once,
	    .id = e->id,
	    .n = e->n_rcpt};
	for (size_t i = 0; i < e->n_rcpt; i++) {
		j->index[i] = e->rcpt[i].index;
		MUST(i == 0 || j->index[i] > j->index[i - 1]);
	}
}

static void take_body(const struct broker_effect *e)
{
	struct order *j = job_find(e->number);

	MUST(e->octets > 0 && e->octets <= 65536 && (e->data.p == NULL || e->data.n == e->octets));
	MUST(e->from_octet + e->octets <= e->piece.length);
	if (j == NULL)
		return;
	MUST(j->worker == e->peer);
	j->sent += e->octets;
	MUST(j->sent <= j->size && e->flag == (j->sent == j->size));
}

static void take_go(const struct broker_effect *e)
{
	struct order *j = job_find(e->number);

	MUST(j == NULL || (j->worker == e->peer && j->asked));
	if (j != NULL)
		j->asked = false;
}

static void tell_hosts(struct span domain)
{
	struct span host[] = {SPAN("mx1.test"), SPAN("mx2.test")};
	struct broker_mx mx = {.kind = (enum mx_kind)roll(MX_TROUBLE + 1),
	    .host = host,
	    .ttl = (uint32_t)roll(100),
	    .why = SPAN("so")};

	mx.n_host = mx.kind == MX_HOSTS ? (size_t)roll(2) + 1 : 0;
	broker_resolved(w.b, domain, &mx, w.now);
}

static void carry_out(const struct broker_effect *e)
{
	switch (e->type) {
	case EFFECT_APPEND: take_append(e); break;
	case EFFECT_COMMITTED: take_committed(e); break;
	case EFFECT_JOB: take_job(e); break;
	case EFFECT_BODY: take_body(e); break;
	case EFFECT_HOLD: w.holds[e->segment % SEGMENTS]++; break;
	case EFFECT_RELEASE: MUST(w.holds[e->segment % SEGMENTS]-- > 0); break;
	case EFFECT_READ_HEAD:
		broker_head(w.b, e->token, roll(2) ? SPAN("Subject: x\r\n\r\n") : SPAN_NONE, w.now);
		break;
	case EFFECT_GO: take_go(e); break;
	case EFFECT_RESOLVE: tell_hosts(e->data); break;
	case EFFECT_CLOSE:
	case EFFECT_CONFIRM: MUST(e->peer < WORKERS); break;
	case EFFECT_PART_CREDIT:
	case EFFECT_INTAKE:
	case EFFECT_ANSWER: break;
	}
}

static void run(void)
{
	struct broker_effect e;

	while (broker_next(w.b, &e) == 1)
		carry_out(&e);
}

/* ---- the store ---------------------------------------------------------------------------- */

static void note_durable(const struct waiting *a)
{
	for (int r = 0; r < RECEIVERS; r++) {
		for (int t = 0; t < TXNS; t++) {
			if (w.committed[r][t] && msgid_eq(&w.id[r][t], &a->id))
				w.durable[r][t] = true;
		}
	}
}

static struct record_place store_record(
    enum broker_record type, uint64_t segment, uint32_t length, struct span meta)
{
	struct stored *s;

	if (w.n_stored == w.cap_stored) {
		w.cap_stored = w.cap_stored ? 2 * w.cap_stored : 64;
		w.stored = gw_realloc(w.stored, w.cap_stored * sizeof(*w.stored));
	}
	s = &w.stored[w.n_stored++];
	*s = (struct stored){.type = type, .segment = segment, .length = length};
	buf_init(&s->meta, SIZE_MAX / 2);
	buf_add_span(&s->meta, meta);
	return (struct record_place){segment, w.n_stored};
}

static int read_record(void *arg, const struct record_place *at, enum broker_record *type,
    struct span *meta, struct part *body)
{
	const struct stored *s;

	(void)arg;
	MUST(at->offset >= 1 && at->offset <= w.n_stored);
	s = &w.stored[at->offset - 1];
	MUST(s->segment == at->segment);
	MUST(s->type != BROKER_MESSAGE || w.holds[at->segment % SEGMENTS] > 0);
	if (w.unreadable)
		return GW_EIO;
	*type = s->type;
	*meta = buf_view(&s->meta);
	*body = (struct part){.segment = s->segment, .offset = at->offset, .length = s->length};
	return 0;
}

static int read_content(void *arg, const struct part *piece, uint8_t *to)
{
	(void)arg;
	memset(to, 'x', piece->length);
	return w.unreadable ? GW_EIO : 0;
}

static void store_forget(void)
{
	for (size_t i = 0; i < w.n_stored; i++)
		buf_fini(&w.stored[i].meta);
	free(w.stored);
}

static void appended(size_t i, int status)
{
	struct waiting a = w.append[i];
	struct part at = {.segment = w.segment, .length = a.length};
	struct record_place place = {0};

	if (status == 0)
		place = store_record(a.type, w.segment, a.length, a.meta);
	w.n_append--;
	memmove(&w.append[i], &w.append[i + 1], (w.n_append - i) * sizeof(a));
	if (status == 0 && a.type == BROKER_MESSAGE && !a.own)
		note_durable(&a);
	broker_appended(w.b, a.token, status, &place, &at, w.now);
	run();
}

static void store_says(void)
{
	static const int statuses[] = {0, 0, 0, 0, GW_EIO, GW_ENOSPC, GW_EFULL};

	if (w.n_append > 0)
		appended(roll((unsigned)(w.n_append < 200 ? w.n_append : 200)),
		    statuses[roll(GW_ARRAY_LEN(statuses))]);
}

/* ---- receivers ---------------------------------------------------------------------------- */

static size_t make_rcpts(struct rcpt *rcpt, char text[][32])
{
	static const char *const domains[] = {
	    "dst.test", "one.test", "box.test", "lmtp.test", "no.test", "later.test"};
	size_t n = 1 + roll(8) + (roll(60) == 0 ? 110 : 0);

	for (size_t i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "u%zu@%s", i, domains[roll(6)]);
		rcpt[i] = (struct rcpt){.addr = span_str(text[i]), .notify = (uint8_t)roll(16)};
	}
	return n;
}

static void commit(unsigned r, unsigned t)
{
	static struct rcpt rcpt[128];
	static char text[128][32];
	struct envelope e = {.at_most_once = roll(8) == 0,
	    .accepted = w.now + (int64_t)roll(3) - 1,
	    .from = roll(4) ? SPAN("s@box.test") : SPAN_NONE,
	    .ret = (enum dsn_ret)roll(3),
	    .priority = (uint8_t)roll(PRIORITY_COUNT),
	    .rcpt = rcpt,
	    .head_length = 4};
	struct span rest = get_bytes(&w.in, roll(9));
	struct buf b;
	uint32_t id = roll(8) ? ++w.ids : roll(5);

	memcpy(e.id.b, &id, sizeof(id));
	e.n_rcpt = make_rcpts(rcpt, text);
	buf_init(&b, 1 << 16);
	envelope_encode(&e, &b);
	if (w.committed[r][t] == false) {
		w.id[r][t] = e.id;
		w.durable[r][t] = false;
		w.committed[r][t] = true;
		if (broker_commit(
			w.b, w.receiver[r], t, buf_view(&b), SPAN("\r\n\r\n"), rest, w.now) < 0)
			w.committed[r][t] = false;
	} else {
		/* Once more for the same transaction: whatever it says, it is a new id. */
		(void)!broker_commit(
		    w.b, r, TXNS + 1, get_bytes(&w.in, roll(30)), SPAN("\r\n\r\n"), rest, w.now);
	}
	buf_fini(&b);
}

static void new_receiver(unsigned r)
{
	broker_receiver_down(w.b, w.receiver[r]);
	w.receiver[r] += RECEIVERS;
	memset(w.committed[r], 0, sizeof(w.committed[r]));
	broker_receiver_up(w.b, w.receiver[r]);
}

static void receiver(void)
{
	unsigned r = roll(RECEIVERS), t = roll(TXNS);
	struct msgid nonce = {{(uint8_t)roll(8)}};

	switch (roll(10)) {
	case 0: new_receiver(r); break;
	case 1: broker_abort(w.b, w.receiver[r], t); break;
	case 2: broker_ask(w.b, w.receiver[r], TXNS + t, &nonce); break;
	case 3:
	case 4:
	case 5:
		if (w.n_append < APPENDS - 100)
			(void)!broker_part(
			    w.b, w.receiver[r], t, get_bytes(&w.in, roll(40)), w.now);
		break;
	default:
		if (w.n_append < APPENDS - 100)
			commit(r, t);
		break;
	}
}

/* ---- workers ------------------------------------------------------------------------------ */

static void forget_jobs(unsigned worker)
{
	for (size_t i = w.n_job; i > 0; i--) {
		if (w.job[i - 1].worker == worker)
			w.job[i - 1] = w.job[--w.n_job];
	}
}

static void result(bool well)
{
	struct change_rcpt said[1000];
	struct change c = {.rcpt = said};
	size_t i = w.n_job ? roll(200) % w.n_job : 0;
	struct order j;
	unsigned worker;

	if (w.n_job == 0)
		return;
	j = w.job[i];
	c.id = j.id;
	worker = j.worker;
	for (size_t k = 0; k < j.n; k++) {
		if (!well && roll(8) == 0)
			continue;
		said[c.n_rcpt++] = (struct change_rcpt){
		    .index = j.index[k] + (!well && roll(30) == 0 ? roll(9) : 0),
		    .outcome = well ? OUTCOME_DELIVERED : (enum outcome)roll(OUTCOME_MAX + 1),
		    .code = (uint16_t)(well ? 250 : get_u16(&w.in)),
		    .reply = get_bytes(&w.in, well ? 0 : roll(20))};
	}
	if (!well && roll(20) == 0)
		worker = roll(WORKERS);
	if (!w.up[worker])
		return;
	if (roll(4) == 0)
		broker_dsn_passed_on(w.b, worker, j.number);
	if (broker_result(w.b, worker, j.number, !well && roll(6) == 0, &c, w.now) == 0 &&
	    (well || roll(5)) && worker == j.worker)
		w.job[i] = w.job[--w.n_job];
	if (roll(3) == 0)
		broker_conn_closed(w.b, worker, j.conn, w.now);
}

/* The right question, or one that must be refused. */
static void past_dot(unsigned worker)
{
	struct order *j = w.n_job ? &w.job[roll(200) % w.n_job] : NULL;
	uint32_t odd[2] = {roll(8), roll(130)};

	if (j == NULL || w.n_append >= APPENDS - 100)
		return;
	if (roll(4) == 0) {
		(void)!broker_past_dot(w.b, worker, j->number, odd, roll(3), w.now);
		return;
	}
	if (broker_past_dot(w.b, j->worker, j->number, j->index, 1 + roll(2) % j->n, w.now) == 0) {
		MUST(j->once && j->sent == j->size && !j->asked);
		j->asked = true;
	}
}

static void holding(unsigned worker)
{
	struct msgid id = {{(uint8_t)roll(20)}};
	uint32_t index[3] = {roll(8), roll(8), roll(130)};

	(void)!broker_holding(w.b, worker, roll(6), roll(6), &id, index, roll(4));
}

static void worker_up(unsigned i)
{
	w.up[i] = true;
	w.named[i] = false;
	broker_worker_up(w.b, i, i == WORKERS - 1 ? WORKER_MDA : WORKER_SENDER);
}

/* It dies; what master says of it may be of another worker's job, or of none. */
static void worker_dies(unsigned i)
{
	const struct order *j = w.n_job && roll(4) ? &w.job[roll(200) % w.n_job] : NULL;
	struct broker_crash crash = {.signal = 11, .host = roll(2)};
	unsigned when = roll(3);

	if (j != NULL) {
		crash.job = j->number;
		crash.id = j->id;
	}
	if (when == 0)
		broker_blamed(w.b, i, &crash, w.now);
	w.up[i] = false;
	forget_jobs(i);
	broker_worker_down(w.b, i, w.now);
	if (when == 1)
		broker_blamed(w.b, i, &crash, w.now);
}

static void worker(void)
{
	unsigned i = roll(WORKERS);

	if (!w.up[i]) {
		worker_up(i);
		return;
	}
	switch (roll(15)) {
	case 0: worker_dies(i); break;
	case 14:
		if (w.n_job)
			broker_delivery_crashed(w.b, i, w.job[roll(200) % w.n_job].number);
		break;
	case 1: holding(i); break;
	case 2:
	case 3:
		w.named[i] = true;
		broker_holding_done(w.b, i, w.now);
		break;
	case 4: broker_worker_blocked(w.b, i, roll(2), w.now); break;
	case 5: broker_conn_closed(w.b, i, 1000 + roll(200), w.now); break;
	case 6:
		(void)!broker_body_credit(
		    w.b, i, w.n_job ? w.job[roll(200) % w.n_job].number : 1000, get_u32(&w.in));
		break;
	case 7:
		if (w.n_job)
			broker_body_broken(w.b, w.job[roll(200) % w.n_job].number);
		break;
	case 8:
	case 9: past_dot(i); break;
	default: result(false); break;
	}
}

/* ---- operators, time ---------------------------------------------------------------------- */

static void operator(void)
{
	struct msgid id = {{(uint8_t)roll(30)}};
	struct buf out;

	buf_init(&out, roll(4) ? ANSWER_MAX : 40000);
	switch (roll(6)) {
	case 0: (void)!broker_summary(w.b, &out, w.now); break;
	case 1:
		(void)!broker_list(
		    w.b, get_bytes(&w.in, roll(20)), &id, get_u8(&w.in), &out, w.now);
		break;
	case 2: (void)!broker_show(w.b, &id, &out, w.now); break;
	case 4:
		if (w.n_append < APPENDS - 200)
			(void)!broker_release(w.b, roll(4) ? &id : NULL, 9, 1, &out, w.now);
		break;
	case 3: (void)!broker_retry(w.b, roll(2) ? &id : NULL, &out, w.now); break;
	default:
		if (w.n_append < APPENDS - 200)
			(void)!broker_drop(w.b, roll(4) ? &id : NULL, 9, 1, &out, w.now);
		break;
	}
	MUST(!buf_failed(&out));
	buf_fini(&out);
}

static void time_passes(void)
{
	int64_t at = broker_deadline(w.b);

	w.now += (int64_t)roll(200) * roll(200) * 1000;
	if (roll(2) && at > w.now && at < w.now + INT64_C(300000000))
		w.now = at;
	broker_tick(w.b, w.now);
}

static void copy_forward(void)
{
	struct broker_log_size size = {.newest = w.segment, .segment = 1 + 20 * roll(100)};

	size.oldest = w.segment - (w.segment > 3 ? roll(4) : 0);
	size.octets = size.segment * roll(200);
	(void)broker_compact(w.b, &size, w.now);
}

static void housekeeping(void)
{
	if (roll(4) == 0)
		broker_segment_failed(w.b, w.segment);
	if (roll(2))
		w.segment += roll(3); /* they only rise */
	w.unreadable = roll(8) == 0;
	broker_store_state(w.b, roll(4), roll(4), w.now);
	run();
	copy_forward();
}

static void step(void)
{
	switch (roll(16)) {
	case 0:
	case 1:
	case 2:
	case 3: receiver(); break;
	case 4:
	case 5:
	case 6:
	case 7: worker(); break;
	case 8: operator(); break;
	case 9: housekeeping(); break;
	case 10: time_passes(); break;
	default: store_says(); break;
	}
	run();
}

/* ---- the ends ----------------------------------------------------------------------------- */

static void recover(void)
{
	for (unsigned n = roll(6); n > 0; n--) {
		struct part at = {.segment = w.segment += roll(2), .length = roll(60)};
		enum broker_record type = (enum broker_record)roll(BROKER_RECORDS);

		struct span meta = get_bytes(&w.in, get_u8(&w.in));
		struct record_place place = store_record(type, at.segment, at.length, meta);

		(void)!broker_recover(w.b, type, meta, &place, &at);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		if (roll(2))
			worker_up(i);
	}
	broker_recovered(w.b, w.now);
	run();
}

static void drop_all(void)
{
	struct buf out;

	buf_init(&out, ANSWER_MAX);
	(void)broker_drop(w.b, NULL, 0, 1, &out, w.now);
	buf_fini(&out);
}

/* What is held would stay for ever. */
static void release_held(void)
{
	struct buf out;

	buf_init(&out, ANSWER_MAX);
	(void)!broker_release(w.b, NULL, 9, 1, &out, w.now);
	buf_fini(&out);
	run();
}

/* Everybody does what he should. What parts of open transactions hold goes with their receivers. */
static void drain(void)
{
	struct broker_counts n;

	for (unsigned i = 0; i < WORKERS; i++) {
		if (w.up[i])
			broker_worker_down(w.b, i, w.now);
		forget_jobs(i);
		worker_up(i);
		broker_holding_done(w.b, i, w.now);
	}
	for (unsigned r = 0; r < RECEIVERS; r++)
		broker_receiver_down(w.b, w.receiver[r]);
	broker_store_state(w.b, true, true, w.now);
	w.unreadable = false;
	run();
	for (int i = 0; i < DRAIN_MAX; i++) {
		broker_counts(w.b, &n);
		if (n.held > 0 && w.n_append == 0)
			release_held();
		if (n.messages == 0 && w.n_append == 0)
			break;
		if (w.n_append > 0)
			appended(0, 0);
		else if (w.n_job > 0)
			result(true);
		else if (broker_deadline(w.b) == INT64_MAX)
			drop_all(); /* what is held waits for an operator */
		else
			w.now = broker_deadline(w.b) > w.now ? broker_deadline(w.b) : w.now;
		broker_tick(w.b, w.now);
		run();
	}
	broker_counts(w.b, &n);
	MUST(n.messages == 0 && n.recipients == 0 && n.active == 0 && n.memory == 0);
	for (int i = 0; i < SEGMENTS; i++)
		MUST(w.holds[i] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct broker_params p = {.config = config(),
	    .first_number = 1000,
	    .log = {.record = read_record, .content = read_content}};

	memset(&w, 0, sizeof(w));
	w.in = cursor_of(span_of(data, size));
	w.now = INT64_C(1000000000000);
	w.segment = 1;
	for (unsigned r = 0; r < RECEIVERS; r++)
		w.receiver[r] = r;
	p.seed = get_u8(&w.in);
	p.memory_max = roll(2) ? 0 : 1 << 20;
	p.ready_max = 1 + roll(200);
	w.last_number = 999;
	w.b = broker_new(&p);
	recover();
	while (w.in.rest.n > 0)
		step();
	w.in.bad = false;
	if (roll(2) == 0)
		drain();
	broker_free(&w.b);
	store_forget();
	return 0;
}
