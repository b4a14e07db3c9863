/* Bounces: one record is both the report to the sender and the end of the recipients it names. */
#include "flow/broker-private.h"

#include "mail/dsn.h"

#include <stdlib.h>

enum { REPORT_BASE = 256 << 10, REPORT_RCPT = 5000 };

/* An id of our own making: time and dice, like a receiver's. */
static struct msgid own_id(struct broker *b, int64_t now)
{
	uint8_t random[16];
	uint64_t a = dice_roll(&b->dice), c = dice_roll(&b->dice);

	memcpy(random, &a, sizeof(a));
	memcpy(random + 8, &c, sizeof(c));
	return msgid_make(now, random);
}

static size_t compose(struct broker *b, const struct queued *m, const struct change *c,
    const struct msgid *id, struct span head, struct buf *out)
{
	struct dsn_rcpt *rcpt = gw_calloc(c->n_rcpt, sizeof(*rcpt));
	struct dsn d = {.reporting_host = span_str(b->config->hostname),
	    .to = m->from,
	    .envid = m->envid,
	    .original_head = head,
	    .id = m->id,
	    .report_id = *id,
	    .arrived = m->accepted,
	    .now = c->when,
	    .rcpt = rcpt,
	    .n_rcpt = c->n_rcpt};
	size_t head_length;

	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct queued_rcpt *r = &m->rcpt[c->rcpt[i].index];

		rcpt[i] = (struct dsn_rcpt){r->addr, r->orcpt, &c->rcpt[i], c->when};
	}
	head_length = dsn_compose(&d, out);
	free(rcpt);
	return head_length;
}

static void fill_append(struct broker *b, struct append *a, struct span content, size_t head_length,
    struct span ends, int64_t now)
{
	struct rcpt to = {.addr = a->about->from};
	struct envelope e = {.id = a->id,
	    .nonce = a->id,
	    .accepted = now,
	    .rcpt = &to,
	    .n_rcpt = 1,
	    .origin = ORIGIN_SYSTEM,
	    .head_length = (uint32_t)head_length,
	    .ends = ends};

	e.facts.size = content.n;
	envelope_encode(&e, &a->meta);
	a->blob = blob_new(b, content.n);
	memcpy(a->blob->bytes, content.p, content.n);
	a->body[0] = span_of(a->blob->bytes, content.n);
	a->msg = queued_new(&e);
	a->msg->size = content.n;
	a->msg->content = a->blob;
	a->blob->refs++;
	a->msg->appends = 1;
	queued_insert(b, a->msg);
}

/* head: of the message that failed; the failed recipients are in a->meta until now. */
static void write_report(struct broker *b, struct append *a, struct span head, int64_t now)
{
	struct buf ends = a->meta, content;
	struct change c;
	size_t head_length;

	blame_hand(b, &a->about->id);
	arena_clear(&b->scratch);
	buf_init(&a->meta, ENVELOPE_ARENA);
	gw_assert(change_decode(&c, buf_view(&ends), &b->scratch) == 0);
	buf_init(&content, REPORT_BASE + c.n_rcpt * REPORT_RCPT);
	head_length = compose(b, a->about, &c, &a->id, head, &content);
	gw_assert(head_length > 0);
	fill_append(b, a, buf_view(&content), head_length, buf_view(&ends), now);
	append_send(b, a, false);
	buf_fini(&content);
	buf_fini(&ends);
}

void report_failed(
    struct broker *b, struct queued *m, const struct change *c, struct job *j, int64_t now)
{
	struct msgid id = own_id(b, now);
	struct append *a = append_new(b, APPEND_REPORT, BROKER_MESSAGE, &id);
	struct broker_effect *e;

	a->about = m;
	a->job = j;
	m->appends++;
	if (j != NULL)
		j->appends++;
	change_encode(c, &a->meta);
	if (m->content != NULL) {
		size_t n = m->head_length < HEAD_COPY_MAX ? m->head_length : HEAD_COPY_MAX;

		write_report(b, a, span_of(m->content->bytes, n), now);
		return;
	}
	e = effect_add(b, EFFECT_READ_HEAD);
	e->token = a;
	e->piece = m->body;
	e->octets = m->head_length < HEAD_COPY_MAX ? m->head_length : HEAD_COPY_MAX;
}

void broker_head(struct broker *b, void *token, struct span head, int64_t now)
{
	write_report(b, token, head, now);
}
