#include "flow/broker-private.h"
#include "flow/limits_use-private.h"

#include <stdlib.h>

enum { WALL_JUMP = 1000000 };
enum { READY_SITES = 16 }; /* with as much as one may have ready: all sites together */

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
	struct blob *blob = gw_realloc(NULL, sizeof(*blob) + n);

	*blob = (struct blob){.refs = 1, .n = n};
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

/* ---- state of the store, time ---------------------------------------------------------- */

void broker_store_state(struct broker *b, bool intake, bool jobs, int64_t now)
{
	if (intake != b->intake) {
		b->intake = intake;
		effect_add(b, EFFECT_INTAKE)->flag = intake;
	}
	if (jobs && !b->may_start) {
		b->may_start = true;
		group_pump_all(b, now);
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
	struct reply r = REPLY(0, 4, 4, 7, "Delivery time expired"); /* our words: no code */
	char said[sizeof(t->site->group->said)];

	memcpy(said, t->site->group->said, sizeof(said));
	if (said[0] != '\0')
		r.text = span_str(said);
	task_settle_all(b, t, NULL, OUTCOME_EXPIRED, &r, now);
}

/* Routed anew: the configuration may have changed since it was filed. */
static void file_again(struct broker *b, struct task *t, int64_t now)
{
	struct queued *m = t->msg;
	struct site *s = t->site;

	s->n_waiting++; /* its group keeps its failures and its last words meanwhile */
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

		if (deadline_meet(b, t, now) != DEADLINE_NOTHING)
			continue;
		if (t->state == TASK_READY && now < life_ends(b, t))
			task_schedule(b, t); /* it was to be told of its deadline, and was */
		else if (t->state == TASK_READY)
			expire_ready(b, t, now);
		else
			file_again(b, t, now);
	}
}

static void wake_ways(struct broker *b, int64_t now)
{
	struct heap_node *n;

	while ((n = heap_min(&b->resting)) != NULL && n->key <= now)
		way_wakes(b, (struct way *)((char *)n - offsetof(struct way, rest)), now);
}

void broker_wall(struct broker *b, int64_t ahead)
{
	int64_t by = ahead - b->wall_ahead;

	b->wall_ahead = ahead;
	if (by > WALL_JUMP || by < -WALL_JUMP)
		limits_clock(b);
}

void broker_tick(struct broker *b, int64_t now)
{
	gw_check_magic(b, BROKER_MAGIC);
	b->now = now;
	appends_retry(b, now);
	counters_tick(b, now);
	if (now >= b->forget_nonces_at)
		nonces_forget(b);
	limits_tick(b, now);
	if (b->recovering || b->frozen)
		return;
	wake_ways(b, now);
	groups_wake(b, now);
	wake_tasks(b, now);
	parked_wake(b, now);
	storm_tick(b, now);
	sweep_go_on(b, now);
	etrn_go_on(b, now);
}

int64_t broker_deadline(const struct broker *b)
{
	int64_t at = b->forget_nonces_at;
	struct heap_node *n;

	if (!TAILQ_EMPTY(&b->again) && b->again_at < at)
		at = b->again_at;
	if (b->counters_due < at)
		at = b->counters_due;
	if (limits_deadline(b) < at)
		at = limits_deadline(b);
	if (b->recovering || b->frozen)
		return at;
	if ((n = heap_min(&b->due)) != NULL && n->key < at)
		at = n->key;
	if ((n = heap_min(&b->resting)) != NULL && n->key < at)
		at = n->key;
	if ((n = heap_min(&b->waiting)) != NULL && n->key < at)
		at = n->key;
	if (parked_deadline(b) < at)
		at = parked_deadline(b);
	if (storm_deadline(b) < at)
		at = storm_deadline(b);
	if (b->sweep.asked != NULL || b->etrn.on)
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
	b->ready_all = p->ready_all > 0 ? p->ready_all : READY_SITES * p->ready_max;
	b->hand = p->hand;
	map_init(&b->ids, dice_roll(&dice));
	map_init(&b->sites, dice_roll(&dice));
	map_init(&b->ways, dice_roll(&dice));
	map_init(&b->names, dice_roll(&dice));
	map_init(&b->wholes, dice_roll(&dice));
	bad_hosts_init(b, dice_roll(&dice));
	storm_init(b, dice_roll(&dice));
	etrn_init(b, dice_roll(&dice));
	rules_init(b);
	map_init(&b->groups, dice_roll(&dice));
	map_init(&b->jobs, dice_roll(&dice));
	map_init(&b->conns, dice_roll(&dice));
	map_init(&b->txns, dice_roll(&dice));
	map_init(&b->segments, dice_roll(&dice));
	map_init(&b->turn_book, dice_roll(&dice));
	parking_init(&b->parking, dice_roll(&dice));
	limits_init(b, p, dice_roll(&dice));
	b->dice = dice;
	TAILQ_INIT(&b->messages);
	turns_init(&b->hungry, &b->turn_book);
	TAILQ_INIT(&b->names_waiting);
	TAILQ_INIT(&b->starved);
	TAILQ_INIT(&b->names_unused);
	TAILQ_INIT(&b->compaction.copies);
	TAILQ_INIT(&b->appends);
	TAILQ_INIT(&b->again);
	heap_init(&b->due);
	heap_init(&b->resting);
	heap_init(&b->waiting);
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
	    .untold = b->n_untold,
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
