#include "flow/broker-private.h"

#include <stdlib.h>

/* When what is ours and was not written is tried again: soon, since a crash before that may repeat
 * a delivery; without room there is no hurry. */
enum { AGAIN_AFTER = 20000, AGAIN_FULL = 1000000 };

/* ---- effects -------------------------------------------------------------------------- */

struct broker_effect *effect_add(struct broker *b, enum broker_effect_type type)
{
	struct effect_slot *s = gw_calloc(1, sizeof(*s));

	s->e.type = type;
	*b->last = s;
	b->last = &s->next;
	return &s->e;
}

/* The slot whose effect was added last. */
static struct effect_slot *last_slot(struct broker *b)
{
	return (struct effect_slot *)((char *)b->last - offsetof(struct effect_slot, next));
}

void effect_hold_blob(struct broker *b, struct blob *blob)
{
	blob->refs++;
	last_slot(b)->blob = blob;
}

void effect_own(struct broker *b, void *memory)
{
	last_slot(b)->memory = memory;
}

static void slot_free(struct broker *b, struct effect_slot **s)
{
	if (*s == NULL)
		return;
	blob_drop(b, &(*s)->blob);
	free((*s)->memory);
	free(*s);
	*s = NULL;
}

void effect_forget_all(struct broker *b)
{
	slot_free(b, &b->shown);
	while ((b->shown = b->first) != NULL) {
		b->first = b->shown->next;
		slot_free(b, &b->shown);
	}
	b->last = &b->first;
}

int broker_next(struct broker *b, struct broker_effect *e)
{
	gw_check_magic(b, BROKER_MAGIC);
	slot_free(b, &b->shown);
	if (b->first == NULL)
		return 0;
	b->shown = b->first;
	b->first = b->first->next;
	if (b->first == NULL)
		b->last = &b->first;
	*e = b->shown->e;
	return 1;
}

/* ---- content in memory ---------------------------------------------------------------- */

struct blob *blob_new(struct broker *b, size_t n)
{
	struct blob *blob = gw_calloc(1, sizeof(*blob) + n);

	blob->refs = 1;
	blob->n = n;
	b->memory += n;
	return blob;
}

void blob_drop(struct broker *b, struct blob **blob)
{
	if (*blob == NULL)
		return;
	gw_assert((*blob)->refs > 0);
	if (--(*blob)->refs == 0) {
		b->memory -= (*blob)->n;
		free(*blob);
	}
	*blob = NULL;
}

/* ---- appends -------------------------------------------------------------------------- */

struct append *append_new(
    struct broker *b, enum append_kind kind, enum broker_record record, const struct msgid *id)
{
	struct append *a = gw_calloc(1, sizeof(*a));

	a->kind = kind;
	a->record = record;
	a->id = *id;
	a->receiver = -1;
	buf_init(&a->meta, ENVELOPE_ARENA);
	TAILQ_INSERT_TAIL(&b->appends, a, all);
	return a;
}

void append_free(struct broker *b, struct append **pa)
{
	struct append *a = *pa;

	if (a->asked != NULL && --a->asked->pending == 0)
		free(a->asked);
	buf_fini(&a->meta);
	blob_drop(b, &a->blob);
	TAILQ_REMOVE(&b->appends, a, all);
	free(a);
	*pa = NULL;
}

void append_send(struct broker *b, struct append *a, bool urgent)
{
	struct broker_effect *e = effect_add(b, EFFECT_APPEND);

	e->token = a;
	e->record = a->record;
	e->own = a->kind >= APPEND_CHANGE;
	e->id = a->id;
	e->meta = buf_view(&a->meta);
	memcpy(e->body, a->body, sizeof(e->body));
	e->flag = urgent;
}

static void append_again(struct broker *b, struct append *a, int status, int64_t now)
{
	int64_t at = now + (status == GW_ENOSPC ? AGAIN_FULL : AGAIN_AFTER);

	if (TAILQ_EMPTY(&b->again) || at < b->again_at)
		b->again_at = at;
	TAILQ_INSERT_TAIL(&b->again, a, link);
}

static void retry_appends(struct broker *b, int64_t now)
{
	TAILQ_HEAD(, append) due = TAILQ_HEAD_INITIALIZER(due);
	struct append *a;

	if (TAILQ_EMPTY(&b->again) || now < b->again_at)
		return;
	TAILQ_CONCAT(&due, &b->again, link);
	while ((a = TAILQ_FIRST(&due)) != NULL) {
		TAILQ_REMOVE(&due, a, link);
		append_send(b, a, false);
	}
}

/* The last words of these recipients stand there, should anybody ask when they are at rest. */
static void note_said(struct broker *b, struct append *a, const struct record_place *at)
{
	struct change c;

	arena_clear(&b->scratch);
	if (a->kind != APPEND_CHANGE || a->about->n_open == 0 ||
	    change_decode(&c, buf_view(&a->meta), &b->scratch) != 0)
		return;
	for (size_t i = 0; i < c.n_rcpt; i++) {
		struct queued_rcpt *r = &a->about->rcpt[c.rcpt[i].index];

		if (r->number == c.rcpt[i].number)
			r->said_at = *at;
	}
}

/* Our own record is durable: what waited for it can go on. */
static void change_durable(struct broker *b, struct append *a, const struct record_place *at)
{
	note_said(b, a, at);
	if (a->asked != NULL)
		asked_settle(b, a->asked);
	a->asked = NULL;
	if (a->job != NULL && --a->job->appends == 0)
		job_confirm(b, a->job);
	a->about->appends--;
	queued_settle(b, a->about);
}

static void message_durable(struct broker *b, struct append *a, const struct record_place *at,
    const struct part *body, int64_t now)
{
	struct queued *m = a->msg;

	m->octets = buf_len(&a->meta) + m->size;
	queued_landed(b, m, at, body);
	if (a->held)
		held_from_start(b, a, at, now);
	m->appends--;
	queued_file(b, m, now);
	if (b->memory > b->memory_max) /* what is not sent yet is read from the log */
		queued_forget_content(b, m);
	if (queued_crowd(b, m))
		return;
	queued_settle(b, m);
}

static void say_committed(struct broker *b, int receiver, uint64_t txn, int status)
{
	struct broker_effect *e;

	if (receiver < 0)
		return;
	e = effect_add(b, EFFECT_COMMITTED);
	e->peer = (unsigned)receiver;
	e->number = txn;
	e->status = status == 0 ? 0 : status == GW_ENOSPC ? 2 : 1;
}

static void accept_done(struct broker *b, struct append *a, int status,
    const struct record_place *at, const struct part *body, int64_t now)
{
	say_committed(b, a->receiver, a->number, status);
	if (status == 0)
		message_durable(b, a, at, body, now);
	else
		queued_discard(b, a->msg);
}

/* Results and reports are ours: what could not be written is written again. */
static void own_done(struct broker *b, struct append *a, int status, const struct record_place *at,
    const struct part *body, int64_t now)
{
	if (status != 0) {
		append_again(b, a, status, now);
		return;
	}
	if (a->kind == APPEND_REPORT)
		message_durable(b, a, at, body, now);
	change_durable(b, a, at);
	append_free(b, &a);
}

void broker_appended(struct broker *b, void *token, int status, const struct record_place *at,
    const struct part *body, int64_t now)
{
	struct append *a = token;

	if (a->kind != APPEND_COUNTERS)
		counters_seen(b, status, at, now);
	switch (a->kind) {
	case APPEND_PART:
		txn_part_done(b, a, status, body);
		append_free(b, &a);
		return;
	case APPEND_ACCEPT:
		accept_done(b, a, status, at, body, now);
		append_free(b, &a);
		return;
	case APPEND_CHANGE:
	case APPEND_REPORT: own_done(b, a, status, at, body, now); return;
	case APPEND_PAST_DOT: once_appended(b, a, status); return;
	case APPEND_COUNTERS: counters_appended(b, a, status, at, now); return;
	case APPEND_COPY_PART: copy_part_done(b, a, status, body); return;
	case APPEND_COPY: copy_done(b, a, status, at, body); return;
	}
}

/* ---- state of the store, time ---------------------------------------------------------- */

void broker_store_state(struct broker *b, bool intake, bool jobs, int64_t now)
{
	if (intake != b->intake) {
		b->intake = intake;
		effect_add(b, EFFECT_INTAKE)->flag = intake;
	}
	if (jobs && !b->may_start) {
		b->may_start = true;
		site_pump_all(b, now);
	}
	b->may_start = jobs;
}

void nonces_forget(struct broker *b)
{
	free(b->nonces.v);
	b->nonces = (struct nonces){0};
	b->forget_nonces_at = INT64_MAX;
}

/* It waited for its site until its time was over: the site's last words are the reason. */
static void expire_ready(struct broker *b, struct task *t, int64_t now)
{
	struct reply r = REPLY(451, 4, 4, 7, "Delivery time expired");
	char said[sizeof(t->site->said)];

	memcpy(said, t->site->said, sizeof(said));
	if (said[0] != '\0')
		r.text = span_str(said);
	task_settle_all(b, t, NULL, OUTCOME_EXPIRED, &r, now);
}

/* Routed anew: the configuration may have changed since it was filed. */
static void file_again(struct broker *b, struct task *t, int64_t now)
{
	struct queued *m = t->msg;
	struct site *s = t->site;

	s->n_waiting++; /* the site keeps its failures and its last words meanwhile */
	task_free(b, t);
	queued_file(b, m, now);
	queued_settle(b, m);
	s->n_waiting--;
	site_release(b, s);
}

static void wake_tasks(struct broker *b, int64_t now)
{
	struct heap_node *n;

	while ((n = heap_min(&b->due)) != NULL && n->key <= now) {
		struct task *t = (struct task *)n;

		if (t->state == TASK_READY)
			expire_ready(b, t, now);
		else
			file_again(b, t, now);
	}
}

static void wake_sites(struct broker *b, int64_t now)
{
	struct heap_node *n;

	while ((n = heap_min(&b->resting)) != NULL && n->key <= now) {
		struct site *s = (struct site *)((char *)n - offsetof(struct site, rest));

		heap_del(&b->resting, n);
		s->rest_until = 0;
		blame_site_wakes(s);
		site_pump(b, s, now);
	}
}

void broker_wall(struct broker *b, int64_t ahead)
{
	b->wall_ahead = ahead;
}

void broker_tick(struct broker *b, int64_t now)
{
	gw_check_magic(b, BROKER_MAGIC);
	b->now = now;
	retry_appends(b, now);
	counters_tick(b, now);
	if (now >= b->forget_nonces_at)
		nonces_forget(b);
	if (b->recovering || b->frozen)
		return;
	wake_sites(b, now);
	wake_tasks(b, now);
	parked_wake(b, now);
	sweep_go_on(b, now);
}

int64_t broker_deadline(const struct broker *b)
{
	int64_t at = b->forget_nonces_at;
	struct heap_node *n;

	if (!TAILQ_EMPTY(&b->again) && b->again_at < at)
		at = b->again_at;
	if (b->counters_due < at)
		at = b->counters_due;
	if (b->recovering || b->frozen)
		return at;
	if ((n = heap_min(&b->due)) != NULL && n->key < at)
		at = n->key;
	if ((n = heap_min(&b->resting)) != NULL && n->key < at)
		at = n->key;
	if (parked_deadline(b) < at)
		at = parked_deadline(b);
	if (b->sweep.asked != NULL)
		at = 0;
	return at;
}

void broker_stop(struct broker *b)
{
	b->stopping = true;
}

/* ---- life ------------------------------------------------------------------------------ */

struct broker *broker_new(const struct broker_params *p)
{
	struct broker *b = gw_calloc(1, sizeof(*b));
	struct dice dice = {p->seed};

	b->magic = BROKER_MAGIC;
	b->config = p->config;
	b->log = p->log;
	b->next_number = p->first_number;
	b->memory_max = p->memory_max;
	b->counters_every = p->counters_every;
	b->counters_due = INT64_MAX;
	b->ready_max = p->ready_max;
	b->hand = p->hand;
	map_init(&b->ids, dice_roll(&dice));
	map_init(&b->sites, dice_roll(&dice));
	map_init(&b->jobs, dice_roll(&dice));
	map_init(&b->conns, dice_roll(&dice));
	map_init(&b->txns, dice_roll(&dice));
	map_init(&b->segments, dice_roll(&dice));
	parking_init(&b->parking, dice_roll(&dice));
	b->dice = dice;
	TAILQ_INIT(&b->messages);
	TAILQ_INIT(&b->hungry);
	TAILQ_INIT(&b->compaction.copies);
	TAILQ_INIT(&b->appends);
	TAILQ_INIT(&b->again);
	heap_init(&b->due);
	heap_init(&b->resting);
	b->last = &b->first;
	b->recovering = b->frozen = true;
	b->intake = b->may_start = true;
	b->forget_nonces_at = INT64_MAX;
	arena_init(&b->scratch, ENVELOPE_ARENA);
	arena_init(&b->reading, ENVELOPE_ARENA);
	return b;
}

void broker_counts(const struct broker *b, struct broker_counts *out)
{
	size_t at = 0;
	struct site *s;

	*out = (struct broker_counts){.messages = map_len(&b->ids) + parking_len(&b->parking),
	    .parked = parking_len(&b->parking),
	    .live = b->live,
	    .copied = b->copied,
	    .recipients = b->n_rcpt,
	    .held = b->n_held,
	    .active = b->n_active,
	    .sites = map_len(&b->sites),
	    .connections = b->n_conns,
	    .memory = b->memory,
	    .frozen = b->frozen,
	    .intake = b->intake};
	while ((s = map_next(&b->sites, &at)) != NULL) {
		out->waiting += s->n_waiting + s->n_parked;
		out->ready += s->n_ready;
	}
}
