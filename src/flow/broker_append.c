/*
 * Appends: records on their way to the disk, and what goes on when one is durable. What is ours and
 * was refused is tried again, until it is there.
 */
#include "flow/ask-private.h"
#include "flow/limits_use-private.h"

#include <stdlib.h>

/* When what is ours and was not written is tried again: soon, since a crash before that may repeat
 * a delivery; without room there is no hurry. */
enum { AGAIN_AFTER = 20000, AGAIN_FULL = 1000000 };

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
	limits_undone(b, a);
	free(a->answer);
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

void appends_retry(struct broker *b, int64_t now)
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

/* What a record of our own says of recipients. */
static bool change_of(struct broker *b, const struct append *a, struct change *c)
{
	struct span said = buf_view(&a->meta);
	struct envelope e;

	arena_clear(&b->scratch);
	if (a->kind == APPEND_DERIVED && envelope_decode(&e, said, &b->scratch) == 0)
		said = e.ends;
	return said.n > 0 && change_decode(c, said, &b->scratch) == 0;
}

/* The last words of these recipients stand there, should anybody ask when they are at rest. */
static void note_said(struct broker *b, struct append *a, const struct record_place *at)
{
	struct change c;

	if (a->about->n_open == 0 || !change_of(b, a, &c))
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

	m->octets = parked_octets(buf_len(&a->meta) + m->size);
	queued_landed(b, m, at, body);
	if (a->held)
		held_from_start(b, a, at, now);
	limits_durable(b, a, now);
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

static void accept_undone(struct broker *b, struct append *a)
{
	limits_refused(b, a);
	queued_discard(b, a->msg);
}

static void accept_done(struct broker *b, struct append *a, int status,
    const struct record_place *at, const struct part *body, int64_t now)
{
	say_committed(b, a->receiver, a->number, status);
	if (status == 0)
		message_durable(b, a, at, body, now);
	else
		accept_undone(b, a);
}

/* Results and reports are ours: what could not be written is written again. */
static void own_done(struct broker *b, struct append *a, int status, const struct record_place *at,
    const struct part *body, int64_t now)
{
	if (status != 0) {
		append_again(b, a, status, now);
		return;
	}
	if (a->kind == APPEND_DERIVED)
		message_durable(b, a, at, body, now);
	if (a->kind == APPEND_CHANGE)
		limits_let_go(b, a, now);
	if (a->summed != NULL)
		summary_told(b, a);
	if (a->about != NULL)
		change_durable(b, a, at);
	append_free(b, &a);
}

void broker_appended(struct broker *b, void *token, int status, const struct record_place *at,
    const struct part *body, int64_t now)
{
	struct append *a = token;

	if (a->kind != APPEND_COUNTERS)
		counters_seen(b, status, at, now);
	limits_seen(b, a, status, at, now);
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
	case APPEND_DERIVED: own_done(b, a, status, at, body, now); return;
	case APPEND_PAST_DOT: once_appended(b, a, status); return;
	case APPEND_COUNTERS: counters_appended(b, a, status, at, now); return;
	case APPEND_COPY_PART: copy_part_done(b, a, status, body); return;
	case APPEND_COPY: copy_done(b, a, status, at, body); return;
	case APPEND_COUNTED: limits_counted(b, a, status, now); return;
	}
}
