#include "sim/world.h"

#include "sim/faults.h"
#include "sim/peers.h"
#include "sim/tally.h"
#include "sim/trace.h"

#include <stdlib.h>

enum {
	LAZY = 20000, /* microseconds, as in role/queue_log.h */
	HEAL_EVERY = 500000,
	HOUSE_EVERY = 1000000,
	COPY_EVERY = 100000,
	CHUNK = 64 << 10,
	ANSWER = 1 << 20,
	DISK_SEGMENTS = 40,
	SMALL = 16 << 10,
	COUNTERS_EVERY = 10000000,
};

/*
 * A client waits so long for its answer (SMTPD_VERDICT_MAX). Until then a receiver may ask
 * for what it committed to the queue before this one: no record may go.
 */
#define QUESTIONS_END INT64_C(60000000)

const char *const may_names[MAYS] = {"errors", "nospace", "full", "crash", "start-crash", "kill",
    "cut", "die", "operate", "prepare", "unreadable", "suspend", "reload"};

static const enum record_type types[BROKER_RECORDS] = {[BROKER_MESSAGE] = REC_MESSAGE,
    [BROKER_PART] = REC_PART,
    [BROKER_RESULT] = REC_RESULT,
    [BROKER_DEFERRED] = REC_DEFERRED,
    [BROKER_PAST_DOT] = REC_PAST_DOT,
    [BROKER_HELD] = REC_HELD,
    [BROKER_RELEASED] = REC_RELEASED,
    [BROKER_COUNTERS] = REC_LIMIT,
    [BROKER_COUNTED] = REC_COUNTED};

static uint64_t keys;

static void random_key(void *to, size_t n)
{
	for (uint8_t *p = to; n > 0; n--)
		*p++ = (uint8_t)sim_random(&keys);
}

void world_init(struct world *w, uint64_t seed, const struct config *c, enum bug bug, bool small)
{
	struct disk_sim_params p = {0};

	memset(w, 0, sizeof(*w));
	w->rng = keys = seed;
	w->now = INT64_C(1700000000000000);
	w->config = c;
	w->bug = sim_bug = bug;
	/* Their record keeps segments for a moment: some bugs show only without. */
	w->counters_every = seed % 2 ? COUNTERS_EVERY : 0;
	w->params = (struct store_params){.random = random_key, .spares = 2};
	w->params.segment_size = small ? (uint64_t)SMALL << sim_once_in(&w->rng, 3)
				       : (uint64_t)(128 << 10) << sim_below(&w->rng, 3);
	w->params.reserve = w->params.segment_size * (1 + sim_below(&w->rng, 4));
	p.capacity = w->params.segment_size * DISK_SEGMENTS;
	p.mutant = bug_rows[bug].lie;
	w->disk = disk_sim_new(seed, &p);
	book_init(&w->book);
	w->book.small = small;
	w->buffer = gw_calloc(1, CHUNK);
	buf_init(&w->meta, SIZE_MAX / 2);
	w->peers = peers_new(w);
}

static void batch_fini(struct world_batch *b)
{
	free(b->record);
	free(b->body);
	*b = (struct world_batch){0};
}

void world_bury(struct world *w)
{
	sim_note("the queue of life %u ends", w->life);
	if (w->broker != NULL)
		book_queue_lost(&w->book, w->life);
	tally_lost(&w->book);
	broker_free(&w->broker);
	accounts_free(&w->accounts);
	store_close(&w->store);
	batch_fini(&w->filling);
	batch_fini(&w->at_disk);
	w->busy = w->undecided = false;
	w->n_asked = 0;
}

void world_fini(struct world *w)
{
	broker_free(&w->broker);
	accounts_free(&w->accounts);
	store_close(&w->store);
	batch_fini(&w->filling);
	batch_fini(&w->at_disk);
	peers_free(&w->peers);
	book_fini(&w->book);
	disk_sim_free(&w->disk);
	free(w->buffer);
	buf_fini(&w->meta);
}

bool world_may(const struct world *w, enum may m)
{
	return !(w->without >> m & 1);
}

bool world_alive(const struct world *w)
{
	return w->broker != NULL && !disk_sim_dead(w->disk);
}

bool world_idle(const struct world *w)
{
	return !w->busy && w->filling.n == 0;
}

/* ---- effects ------------------------------------------------------------------------------ */

static void batch_add(struct world *w, const struct broker_effect *e)
{
	struct world_batch *b = &w->filling;
	struct store_record r = {.type = types[e->record],
	    .id = e->id,
	    .own = e->own,
	    .meta = e->meta,
	    .owner = e->token};

	if (b->n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 32;
		b->record = gw_realloc(b->record, b->cap * sizeof(*b->record));
		b->body = gw_realloc(b->body, b->cap * sizeof(*b->body));
	}
	if (b->n == 0)
		b->oldest = w->now;
	while (r.n_body < BROKER_APPEND_SPANS && e->body[r.n_body].n > 0)
		r.n_body++;
	b->urgent += e->flag;
	memcpy(b->body[b->n], e->body, sizeof(e->body));
	b->record[b->n++] = r;
}

/* The planted bug: what a report says of the recipients is written, and the report is not. */
static bool batch_add_end(struct world *w, const struct broker_effect *e)
{
	struct broker_effect result = *e;
	struct arena a;
	struct envelope env;
	bool good;

	arena_init(&a, 1 << 20);
	good = envelope_decode(&env, e->meta, &a) == 0 && env.ends.n > 0;
	if (good) {
		result.record = BROKER_RESULT;
		result.meta = env.ends;
		result.body[0] = SPAN_NONE;
		result.body[1] = SPAN_NONE;
		batch_add(w, &result);
		w->filling.urgent++;
	}
	arena_reset(&a);
	return good;
}

/* A copy that says nothing of what became of the recipients; its memory stays with the bug. */
static struct span without_state(struct envelope *e)
{
	struct change nothing = {.id = e->id, .when = 1};
	struct buf state, meta;

	buf_init(&state, 1 << 10);
	buf_init(&meta, 1 << 20);
	change_encode(&nothing, &state);
	e->state = buf_view(&state);
	envelope_encode(e, &meta);
	buf_fini(&state);
	return buf_view(&meta);
}

static void note_copy(struct world *w, struct broker_effect *e)
{
	struct envelope env;
	struct arena a;

	arena_init(&a, 1 << 20);
	if (envelope_decode(&env, e->meta, &a) == 0 && env.state.n > 0) {
		w->filling.copies++;
		if (w->bug == BUG_COPY_STATE)
			e->meta = without_state(&env);
	}
	arena_reset(&a);
}

static void take_append(struct world *w, const struct broker_effect *e)
{
	static const struct record_place no_place;
	static const struct part nowhere;
	struct broker_effect copy = *e;

	book_asked(&w->book, e->record, e->own, &e->id, e->meta, e->body);
	tally_asked(w, e);
	if (w->bug == BUG_FORGET && e->record == BROKER_RESULT) {
		book_durable(&w->book, e->record, &e->id, e->meta, false);
		broker_appended(w->broker, e->token, 0, &no_place, &nowhere, w->now);
		return;
	}
	if (w->bug == BUG_GO && e->record == BROKER_PAST_DOT) {
		broker_appended(w->broker, e->token, 0, &no_place, &nowhere, w->now);
		return;
	}
	if (w->bug == BUG_BOUNCE && e->record == BROKER_MESSAGE && e->own && batch_add_end(w, e))
		return;
	if (w->bug == BUG_COPY || w->bug == BUG_COPY_STATE)
		note_copy(w, &copy);
	if (w->bug == BUG_EARLY && e->record == BROKER_MESSAGE && !e->own)
		peers_early(w, &e->id);
	batch_add(w, &copy);
}

static struct extent extent_of(const struct part *p)
{
	return (struct extent){p->segment, p->offset, p->length, p->sum};
}

/* Read errors are planted here only: recovery from a disk that cannot be read is another story. */
static bool unreadable(struct world *w)
{
	if (!sim_once_in(&w->rng, 300) || !world_may(w, MAY_UNREADABLE))
		return false;
	fault_count(FAULT_READ_EIO);
	w->unread++;
	return true;
}

static int64_t read_piece(struct world *w, const struct broker_effect *e, uint64_t from, size_t n)
{
	struct extent at = extent_of(&e->piece);
	int64_t got;

	if (n > CHUNK)
		sim_fail("%zu octets asked for at once", n);
	if (unreadable(w))
		return GW_EIO;
	got = store_read_at(w->store, &at, from, w->buffer, n);
	if (got != (int64_t)n && !disk_sim_dead(w->disk))
		sim_fail("content in segment %llu cannot be read: %lld",
		    (unsigned long long)at.segment, (long long)got);
	return got;
}

static void send_body(struct world *w, const struct broker_effect *e)
{
	struct span data = e->data;
	bool broken = false;

	if (data.p == NULL && e->octets > 0) {
		broken = read_piece(w, e, e->from_octet, e->octets) != (int64_t)e->octets;
		data = span_of(w->buffer, broken ? 0 : e->octets);
	}
	if (disk_sim_dead(w->disk))
		return;
	peers_body(w, e, data, broken);
	if (broken)
		broker_body_broken(w->broker, e->number);
}

static void give_head(struct world *w, const struct broker_effect *e)
{
	int64_t got = read_piece(w, e, 0, e->octets);

	if (disk_sim_dead(w->disk))
		return;
	broker_head(
	    w->broker, e->token, got > 0 ? span_of(w->buffer, (size_t)got) : SPAN_NONE, w->now);
}

static void take_question(struct world *w, const struct broker_effect *e)
{
	struct world_question *q = &w->asked[w->n_asked++];

	if (w->n_asked > WORLD_QUESTIONS)
		sim_fail("more questions are under way than there are domains");
	span_to_cstr(e->data, q->domain, sizeof(q->domain));
	q->at = w->now + (int64_t)sim_below(&w->rng, 2000000);
}

void world_answer(struct world *w, struct span domain, bool calm)
{
	static const struct span hosts[2][2] = {
	    {SPAN("mx1.a.test"), SPAN("mx2.a.test")}, {SPAN("mx.other.test"), SPAN("mx1.a.test")}};
	struct broker_mx mx = {.kind = MX_HOSTS, .n_host = 2, .ttl = 60};

	if (!calm && sim_once_in(&w->rng, 6)) {
		fault_count(FAULT_NAMES_TROUBLE);
		mx = (struct broker_mx){.kind = MX_TROUBLE, .why = SPAN("nobody answers")};
	}
	mx.host = hosts[!calm && sim_once_in(&w->rng, 3)];
	broker_resolved(w->broker, domain, &mx, w->now);
}

static void answer_questions(struct world *w)
{
	for (size_t i = 0; i < w->n_asked;) {
		struct world_question q = w->asked[i];

		if (q.at > w->now) {
			i++;
			continue;
		}
		w->asked[i] = w->asked[--w->n_asked];
		world_answer(w, span_str(q.domain), false);
		world_run(w);
	}
}

static void carry_out(struct world *w, const struct broker_effect *e)
{
	switch (e->type) {
	case EFFECT_APPEND: take_append(w, e); break;
	case EFFECT_COMMITTED: peers_committed(w, e); break;
	case EFFECT_PART_CREDIT: peers_credit(w, e); break;
	case EFFECT_INTAKE: break;
	case EFFECT_JOB: peers_job(w, e); break;
	case EFFECT_BODY: send_body(w, e); break;
	case EFFECT_GO: peers_go(w, e); break;
	case EFFECT_CLOSE: peers_close(w, e); break;
	case EFFECT_RESOLVE: take_question(w, e); break;
	case EFFECT_CONFIRM: peers_confirm(w, e); break;
	case EFFECT_HOLD:
		if (w->bug != BUG_HOLD)
			store_hold(w->store, e->segment);
		break;
	case EFFECT_RELEASE:
		if (w->bug != BUG_HOLD)
			store_release(w->store, e->segment);
		break;
	case EFFECT_READ_HEAD: give_head(w, e); break;
	case EFFECT_LIMIT: break;
	case EFFECT_INDEX: store_index_below(w->store, e->segment); break;
	case EFFECT_ANSWER: sim_note("%u recipients were dropped", e->octets); break;
	}
}

void world_run(struct world *w)
{
	struct broker_effect e;

	while (world_alive(w) && broker_next(w->broker, &e) == 1)
		carry_out(w, &e);
}

/* ---- the log ------------------------------------------------------------------------------ */

enum broker_record world_record(enum record_type type)
{
	int t = 0;

	while (t < BROKER_RECORDS && types[t] != type)
		t++;
	if (t == BROKER_RECORDS)
		sim_fail("a record of type %d, which the broker never writes", type);
	return (enum broker_record)t;
}

static void look_at_store(struct world *w)
{
	struct store_stat st;

	store_stat(w->store, &st);
	broker_store_state(w->broker, st.accepting && !w->undecided, !w->undecided, w->now);
	world_run(w);
}

/* Refused, though nobody may be there to hear it: its receiver gave it up meanwhile. */
static void tell_tally(struct world *w, const struct store_record *r)
{
	struct mail *m = r->status != 0 && !r->own ? book_find(&w->book, &r->id) : NULL;

	if (m != NULL)
		tally_failed(m);
}

static void tell_done(struct world *w)
{
	struct world_batch *b = &w->at_disk;

	for (size_t i = 0; i < b->n && world_alive(w); i++) {
		const struct store_record *r = &b->record[i];
		struct part at = {
		    r->body_at.segment, r->body_at.offset, r->body_at.length, r->body_at.sum};

		struct record_place place = {r->meta_at.segment, r->meta_at.offset};

		if (r->status != 0 && world_record(r->type) == BROKER_MESSAGE)
			tally_unwritten(&w->book, &r->id);
		tell_tally(w, r);
		broker_appended(w->broker, r->owner, r->status, &place, &at, w->now);
		world_run(w);
		if (r->status == 0 && world_alive(w))
			store_release(w->store, r->meta_at.segment);
	}
	if (!world_alive(w))
		return;
	b->n = b->urgent = b->copies = 0;
	w->busy = false;
	if (store_failed_segment(w->store) != w->failed_segment) {
		w->failed_segment = store_failed_segment(w->store);
		sim_note("segment %llu failed", (unsigned long long)w->failed_segment);
		broker_segment_failed(w->broker, w->failed_segment);
		world_run(w);
	}
}

static void book_batch(struct world *w)
{
	for (size_t i = 0; i < w->at_disk.n; i++) {
		const struct store_record *r = &w->at_disk.record[i];

		if (r->status == 0)
			book_durable(&w->book, world_record(r->type), &r->id, r->meta, false);
	}
}

/* The spans of a batch do not move any more. */
static void batch_seal(struct world_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->record[i].body = b->body[i];
}

static void commit_batch(struct world *w)
{
	struct world_batch spare = w->at_disk;
	enum store_outcome outcome;

	w->at_disk = w->filling;
	w->filling = spare;
	w->filling.n = w->filling.urgent = w->filling.copies = 0;
	batch_seal(&w->at_disk);
	w->busy = true;
	if (w->bug == BUG_COPY && w->at_disk.copies == w->at_disk.n)
		disk_sim_params(w->disk)->mutant = MUTANT_LOG;
	outcome = store_commit(w->store, w->at_disk.record, w->at_disk.n);
	disk_sim_params(w->disk)->mutant = bug_rows[w->bug].lie;
	if (disk_sim_dead(w->disk))
		return;
	sim_note("%zu records, %s", w->at_disk.n, outcome == STORE_DONE ? "done" : "undecided");
	book_batch(w);
	w->done_at = w->now + (int64_t)sim_below(&w->rng, 4000);
	if (outcome == STORE_UNDECIDED) {
		fault_count(FAULT_UNDECIDED);
		w->undecided = true;
		w->heal_at = w->now + HEAL_EVERY;
		look_at_store(w);
		if (w->bug == BUG_UNDECIDED)
			tell_done(w);
	} else if (sim_once_in(&w->rng, 2)) {
		tell_done(w);
	}
}

static void heal(struct world *w)
{
	int err = store_heal(w->store);

	if (disk_sim_dead(w->disk))
		return;
	w->heal_at = w->now + HEAL_EVERY;
	if (err != 0)
		return;
	sim_note("the store has healed");
	w->undecided = false;
	look_at_store(w);
	if (w->busy && world_alive(w))
		tell_done(w);
}

static bool compact(struct world *w)
{
	struct broker_log_size size = {.segment = w->params.segment_size};
	struct store_stat st;
	bool more;

	store_stat(w->store, &st);
	size.oldest = st.oldest;
	size.newest = st.newest;
	size.octets = st.log_bytes;
	more = st.accepting && !w->undecided && broker_compact(w->broker, &size, w->now);
	world_run(w);
	return more;
}

static void house(struct world *w)
{
	unsigned n = 0;

	if (w->bug == BUG_RETIRE || (w->now >= w->retire_from && peers_told(w)))
		n = store_retire(w->store);
	if (n > 0)
		sim_note("%u segments retire", n);
	look_at_store(w);
	w->house_at = w->now + (world_alive(w) && compact(w) ? COPY_EVERY : HOUSE_EVERY);
}

static bool batch_is_due(const struct world *w)
{
	return w->filling.n > 0 && !w->busy && !w->undecided &&
	       (w->filling.urgent > 0 || w->now >= w->filling.oldest + LAZY);
}

void world_turn(struct world *w)
{
	if (world_alive(w) && w->undecided && w->now >= w->heal_at)
		heal(w);
	if (world_alive(w) && w->busy && !w->undecided && w->now >= w->done_at)
		tell_done(w);
	if (world_alive(w) && batch_is_due(w))
		commit_batch(w);
	if (world_alive(w) && broker_deadline(w->broker) <= w->now)
		broker_tick(w->broker, w->now);
	world_run(w);
	if (world_alive(w))
		answer_questions(w);
	if (world_alive(w) && w->now >= w->house_at)
		house(w);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t world_deadline(const struct world *w)
{
	int64_t at = least(broker_deadline(w->broker), w->house_at);

	for (size_t i = 0; i < w->n_asked; i++)
		at = least(at, w->asked[i].at);
	if (w->undecided)
		at = least(at, w->heal_at);
	else if (w->busy)
		at = least(at, w->done_at);
	else if (w->filling.n > 0)
		at = least(at, w->filling.oldest + LAZY);
	return at;
}

void world_prepare(struct world *w)
{
	if (store_prepare(w->store) < 0 && !disk_sim_dead(w->disk))
		disk_sim_others(w->disk, 0);
}

/* ---- start -------------------------------------------------------------------------------- */

/* A record that was given out, kept until the recovery is complete. */
struct given {
	enum broker_record type;
	struct msgid id;
	struct buf meta;
	struct given *next;
};

/* In the order of the log. */
static void keep_given(struct given ***end, enum broker_record type, const struct store_record *r)
{
	struct given *g = gw_calloc(1, sizeof(*g));

	g->type = type;
	g->id = r->id;
	buf_init(&g->meta, SIZE_MAX / 2);
	buf_add_span(&g->meta, r->meta);
	**end = g;
	*end = &g->next;
}

static void free_given(struct given *g)
{
	while (g != NULL) {
		struct given *next = g->next;

		buf_fini(&g->meta);
		free(g);
		g = next;
	}
}

static void give_record(struct world *w, const struct store_record *r, struct given ***end)
{
	struct part at = {r->body_at.segment, r->body_at.offset, r->body_at.length, r->body_at.sum};
	struct record_place place = {r->meta_at.segment, r->meta_at.offset};
	enum broker_record type = world_record(r->type);

	if (r->type == REC_PART)
		return;
	if (broker_recover(w->broker, type, r->meta, &place, &at) < 0)
		sim_fail("a record of the log makes no sense to the broker");
	keep_given(end, type, r);
}

/* 0, or the disk died or cannot be read. */
static int recover(struct world *w)
{
	struct store_damage damage = {0};
	struct given *list = NULL, **end = &list;
	struct store_record r;
	int more;

	if (w->bug == BUG_REWRITE)
		disk_sim_params(w->disk)->mutant = MUTANT_DEAF;
	while ((more = store_recover(w->store, &r, &damage)) == 1)
		give_record(w, &r, &end);
	disk_sim_params(w->disk)->mutant = bug_rows[w->bug].lie;
	for (struct given *g = list; more == 0 && g != NULL; g = g->next)
		book_durable(&w->book, g->type, &g->id, buf_view(&g->meta), true);
	free_given(list);
	if (more == 0 && (damage.records > 0 || damage.strangers > 0))
		sim_fail("recovery reports damage");
	return more;
}

/* ---- what the broker reads back ------------------------------------------------------------- */

/* As in role/queue_body.c; a read that fails is planted now and then. */
static int log_record(void *arg, const struct record_place *at, enum broker_record *type,
    struct span *meta, struct part *body)
{
	struct world *w = arg;
	struct broker_counts n;
	struct store_record r;
	int err;

	broker_counts(w->broker, &n);
	err = !n.frozen && unreadable(w) ? GW_EIO : 0;
	if (err == 0)
		err = store_read_record(w->store, at->segment, at->offset, &r, &w->meta);
	if (err != 0) {
		if (err != GW_EIO && !disk_sim_dead(w->disk))
			sim_fail("a record in segment %llu cannot be read back: %d",
			    (unsigned long long)at->segment, err);
		return err;
	}
	*type = world_record(r.type);
	*meta = r.meta;
	*body = (struct part){r.body_at.segment, r.body_at.offset, r.body_at.length, r.body_at.sum};
	return 0;
}

static int log_content(void *arg, const struct part *piece, uint8_t *to)
{
	struct world *w = arg;
	struct extent at = extent_of(piece);
	struct store_read *sum = NULL;

	if (unreadable(w))
		return GW_EIO;
	if (piece->length > 0 &&
	    store_read_at(w->store, &at, 0, to, piece->length) != (int64_t)piece->length)
		return GW_EIO;
	store_sum_feed(&sum, span_of(to, piece->length));
	if (store_sum_end(&sum) != piece->sum && !disk_sim_dead(w->disk))
		sim_fail("content in segment %llu is damaged", (unsigned long long)at.segment);
	return 0;
}

static void new_broker(struct world *w)
{
	struct broker_params p = {.config = w->config,
	    .seed = sim_random(&w->rng),
	    .first_number = (uint64_t)w->now << 8,
	    .memory_max = sim_once_in(&w->rng, 3) ? 0 : 1 << 20,
	    .counters_every = w->counters_every,
	    .ready_max = 1 + (size_t)sim_below(&w->rng, sim_once_in(&w->rng, 2) ? 8 : 4096),
	    .log = {.record = log_record, .content = log_content, .arg = w}};

	w->broker = broker_new(&p);
}

void world_reload(struct world *w, const struct config *c)
{
	struct broker_counts n;

	broker_counts(w->broker, &n);
	if (n.messages > 0)
		fault_count(FAULT_RELOADED);
	sim_note("reload with %zu messages", n.messages);
	w->config = c;
	broker_reconfigure(w->broker, c, w->now);
	world_run(w);
}

bool world_start(struct world *w)
{
	char why[100] = "";

	w->life++;
	sim_note("the queue of life %u starts", w->life);
	if (store_open(&w->store, disk_sim_disk(w->disk), &w->params, why, sizeof(why)) != 0)
		return false;
	new_broker(w);
	w->failed_segment = 0;
	w->house_at = w->now;
	w->retire_from = peers_may_ask(w) ? w->now + QUESTIONS_END : w->now;
	peers_meet(w);
	if (recover(w) != 0)
		return false;
	broker_recovered(w->broker, w->now);
	world_run(w);
	if (!world_alive(w))
		return false;
	book_after_recovery(&w->book, w->broker, w->now);
	peers_recovered(w);
	return world_alive(w);
}
