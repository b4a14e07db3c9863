/*
 * Messages made from others: a report that brings its message back, mail that is forwarded. The
 * new one is an envelope, octets in front, then nothing or the content of the other one, then
 * octets behind it. The record of it may also say what became of recipients of the other one: both
 * are durable together or not at all (docs/spool.md, derived messages).
 *
 * Content that lies in PARTs is not written again: the new envelope names the same pieces, and the
 * new message needs their segments from the moment when it is made.
 */
#include "flow/broker-private.h"

#include "auth/oneway.h"
#include "flow/derive-private.h"

#include <stdlib.h>

/*
 * Time and dice, like a receiver's. Of a report the id is also the boundary around a message that
 * comes back: who could tell it from that of an earlier report would write parts of its own.
 */
struct msgid own_id(struct broker *b, int64_t now)
{
	uint8_t random[ONEWAY_SIZE];
	uint64_t one = dice_roll(&b->dice), two = dice_roll(&b->dice);

	oneway(one, two, random);
	return msgid_make(now, random);
}

struct append *derive_begin(
    struct broker *b, struct queued *m, struct job *j, const struct msgid *id)
{
	struct append *a = append_new(b, APPEND_DERIVED, BROKER_MESSAGE, id);

	a->about = m;
	a->job = j;
	if (m != NULL)
		m->appends++;
	if (j != NULL)
		j->appends++;
	return a;
}

void derive_cancel(struct broker *b, struct append **pa)
{
	struct append *a = *pa;
	struct queued *m = a->about;

	if (a->job != NULL && --a->job->appends == 0)
		job_confirm(b, a->job);
	append_free(b, pa);
	if (m == NULL)
		return;
	m->appends--;
	queued_settle(b, m);
}

/* Head and rest of a message, from memory or from the log, to where it has room for them. */
static int copy_body(struct broker *b, const struct queued *m, uint8_t *to)
{
	if (m->content == NULL)
		return b->log.content(b->log.arg, &m->body, to);
	memcpy(to, m->content->bytes, m->content->n);
	return 0;
}

static size_t body_length(const struct queued *m)
{
	return m->content != NULL ? m->content->n : m->body.length;
}

static void add(uint8_t **to, struct span s)
{
	if (s.n > 0)
		memcpy(*to, s.p, s.n);
	*to += s.n;
}

/* What is written of the content: the pieces stand within it, behind the other's header. */
static int fill_body(struct broker *b, struct append *a, const struct derived *d)
{
	size_t n = d->content ? body_length(a->about) : 0;
	uint8_t *to;

	a->blob = blob_new(b, d->front.n + n + d->back.n);
	to = a->blob->bytes;
	add(&to, d->front);
	if (n > 0 && copy_body(b, a->about, to) != 0) {
		blob_drop(b, &a->blob);
		return GW_EIO;
	}
	to += n;
	add(&to, d->back);
	a->body[0] = span_of(a->blob->bytes, a->blob->n);
	return 0;
}

/* What follows from the content. head_length says where the pieces stand, too: if there are any,
 * what is in front of them may be more than a header. */
static void fill_envelope(const struct append *a, const struct derived *d, struct envelope *e)
{
	const struct queued *m = a->about;

	*e = d->envelope;
	e->id = e->nonce = a->id;
	e->ends = d->ends;
	e->head_length = (uint32_t)d->head_length;
	e->facts.size = a->blob->n;
	if (!d->content)
		return;
	if (m->n_part > 0 || d->head_length == 0)
		e->head_length = (uint32_t)d->front.n + m->head_length;
	e->part = m->part;
	e->n_part = m->n_part;
	for (size_t i = 0; i < m->n_part; i++)
		e->facts.size += m->part[i].length;
	e->facts.eight_bit = e->facts.eight_bit || m->eight_bit;
	if (m->body_type > e->body_type)
		e->body_type = m->body_type;
}

/* The other message may be copied forward, and be finished, before this one is durable. */
static void hold_parts(struct broker *b, struct queued *m)
{
	for (size_t i = 0; i < m->n_part; i++)
		segment_hold(b, m->part[i].segment, 0);
	m->parts_held = true;
}

/* A report to an address of ours goes to whom it stands for: nobody asked a receiver. */
static void find_readers(struct broker *b, struct envelope *e, struct arena *mem)
{
	struct resolved_to to;

	if (e->from.n > 0 || e->n_rcpt != 1 || e->origin != ORIGIN_SYSTEM)
		return;
	to = resolve_to(b, e->rcpt[0].addr, e->from, mem);
	if (to.n == 0)
		return;
	for (size_t i = 0; i < to.n; i++) {
		to.rcpt[i].notify = e->rcpt[0].notify;
		to.rcpt[i].orcpt = e->rcpt[0].orcpt;
	}
	e->rcpt = to.rcpt;
	e->n_rcpt = to.n;
}

int derive_write(struct broker *b, struct append *a, const struct derived *d)
{
	struct arena mem;
	struct envelope e;
	int err = fill_body(b, a, d);

	if (err != 0)
		return err;
	fill_envelope(a, d, &e);
	arena_init(&mem, RESOLVE_MEMORY);
	find_readers(b, &e, &mem);
	buf_clear(&a->meta);
	envelope_encode(&e, &a->meta);
	gw_assert(!buf_failed(&a->meta));
	a->msg = queued_new(&e);
	arena_reset(&mem);
	a->msg->size = e.facts.size;
	a->msg->content = a->blob;
	a->blob->refs++;
	a->msg->appends = 1;
	hold_parts(b, a->msg);
	queued_insert(b, a->msg);
	append_send(b, a, false);
	return 0;
}
