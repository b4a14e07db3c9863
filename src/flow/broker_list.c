/* The list of messages as JSON, in the order of their ids (which is that of time), page by page. */
#include "flow/broker-private.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LIST_MAX = 1000,
	PICK_MAX = 1024, /* messages that one walk over the queue picks */
	READ_MAX = 8192, /* messages that are read back for one page */
	PAGE_ROOM = 4096,
};

struct filter {
	struct span to, from, domain, group, state;
};

static bool contains(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++) {
		if (span_eq_case(span_of(s.p + i, part.n), part))
			return true;
	}
	return false;
}

static struct span *filter_slot(struct filter *f, struct span key)
{
	if (span_eq(key, SPAN("to")))
		return &f->to;
	if (span_eq(key, SPAN("from")))
		return &f->from;
	if (span_eq(key, SPAN("domain")))
		return &f->domain;
	if (span_eq(key, SPAN("group")))
		return &f->group;
	return span_eq(key, SPAN("state")) ? &f->state : NULL;
}

/* "to:bob from:alice state:deferred": the word that makes no sense, or an empty span. */
static struct span filter_parse(struct span text, struct filter *f)
{
	memset(f, 0, sizeof(*f));
	for (;;) {
		struct span word;
		ptrdiff_t colon, end;
		struct span *slot;

		text = span_trim(text);
		if (text.n == 0)
			return SPAN_NONE;
		end = span_find(text, ' ');
		word = end < 0 ? text : span_first(text, (size_t)end);
		colon = span_find(word, ':');
		slot = colon > 0 ? filter_slot(f, span_first(word, (size_t)colon)) : NULL;
		if (slot == NULL || (size_t)colon + 1 == word.n)
			return word;
		*slot = span_skip(word, (size_t)colon + 1);
		text = span_skip(text, word.n);
	}
}

static const struct site *site_of(const struct queued_rcpt *r)
{
	return r->task != NULL ? r->task->site : r->site;
}

static bool rcpt_matches(const struct queued_rcpt *r, const struct filter *f)
{
	ptrdiff_t at = span_find(r->addr, '@');
	const struct site *s = site_of(r);

	if (f->to.n && !contains(r->addr, f->to))
		return false;
	if (f->domain.n && (at < 0 || !span_eq_case(span_skip(r->addr, (size_t)at + 1), f->domain)))
		return false;
	if (f->group.n && (s == NULL || !span_eq(span_str(s->shape->name), f->group)))
		return false;
	return !f->state.n || span_eq_case(span_str(query_rcpt_state(r)), f->state);
}

static bool matches(const struct queued *m, const struct filter *f)
{
	if (f->from.n && !contains(m->from, f->from))
		return false;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (rcpt_matches(&m->rcpt[i], f))
			return true;
	}
	return false;
}

/* What can be said against it without reading it back. */
static bool may_match(struct parked *p, const struct filter *f, int64_t now)
{
	const struct resting *r = parked_rest(p);

	if (f->group.n == 0 && f->state.n == 0)
		return true;
	for (uint32_t i = 0; i < p->n_open; i++) {
		struct queued_rcpt q = {.outcome = (enum outcome)r[i].outcome,
		    .site = r[i].site,
		    .crowded = r[i].due <= now,
		    .by_account = p->by_account && r[i].outcome <= OUTCOME_DEFERRED};
		struct filter known = {.group = f->group, .state = f->state};

		if (rcpt_matches(&q, &known))
			return true;
	}
	return p->n_open < p->n_rcpt; /* the state of a finished one may be asked for */
}

/* ---- picking ------------------------------------------------------------------------------- */

/* The messages with the least ids behind a cursor. */
struct pick {
	struct msgid after;
	struct picked {
		struct msgid id;
		struct queued *awake;
		struct parked *resting;
	} v[PICK_MAX];
	size_t n;
	bool more; /* others have greater ids */
};

static bool id_less(const struct msgid *a, const struct msgid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) < 0;
}

/* As a rule a walk meets them in their order, so the search begins at the end. */
static void pick_add(struct pick *k, const struct picked *in)
{
	size_t at = k->n;

	if (!id_less(&k->after, &in->id))
		return;
	while (at > 0 && id_less(&in->id, &k->v[at - 1].id))
		at--;
	if (k->n == PICK_MAX)
		k->more = true;
	if (at == PICK_MAX)
		return;
	if (k->n < PICK_MAX)
		k->n++;
	memmove(k->v + at + 1, k->v + at, (k->n - at - 1) * sizeof(*k->v));
	k->v[at] = *in;
}

static void pick_all(const struct broker *b, const struct filter *f, struct pick *k)
{
	struct pool_walk at = {0};
	struct queued *m;
	struct parked *p;

	k->n = 0;
	k->more = false;
	TAILQ_FOREACH(m, &b->messages, link)
	{
		if (m->durable && matches(m, f))
			pick_add(k, &(struct picked){.id = m->id, .awake = m});
	}
	while ((p = pool_next(&b->parking.pool, &at)) != NULL) {
		if (may_match(p, f, b->now))
			pick_add(k, &(struct picked){.id = p->id, .resting = p});
	}
}

/* ---- a page -------------------------------------------------------------------------------- */

struct page {
	struct buf *out;
	uint32_t left; /* messages that may still be shown */
	size_t read;   /* messages that were read back */
	size_t shown;
	struct msgid last; /* looked at */
	bool full;
};

static bool put_unreadable(struct broker *b, struct page *pg, const struct parked *p)
{
	if (pg->shown > 0 && buf_space(pg->out) < PAGE_ROOM)
		return false;
	query_put_unreadable(b, p, pg->out);
	pg->shown++;
	pg->left--;
	return true;
}

/* False: the next page begins with it. */
static bool put(struct broker *b, struct page *pg, struct queued *m)
{
	queued_load_said(b, m);
	if (pg->shown > 0 && buf_space(pg->out) < query_message_room(m) + PAGE_ROOM)
		return false;
	query_put_message(b, m, pg->out);
	pg->shown++;
	pg->left--;
	return true;
}

static bool put_resting(
    struct broker *b, struct page *pg, const struct parked *p, const struct filter *f)
{
	struct queued *m = parked_view(b, p);
	bool ok = true;

	pg->read++;
	if (m == NULL)
		return put_unreadable(b, pg, p);
	if (matches(m, f))
		ok = put(b, pg, m);
	queued_view_free(b, &m);
	return ok;
}

static void put_picked(
    struct broker *b, struct page *pg, const struct pick *k, const struct filter *f)
{
	for (size_t i = 0; i < k->n && !pg->full; i++) {
		const struct picked *in = &k->v[i];

		if (pg->left == 0 || pg->read >= READ_MAX ||
		    !(in->awake ? put(b, pg, in->awake) : put_resting(b, pg, in->resting, f)))
			pg->full = true;
		else
			pg->last = in->id;
	}
}

static void put_pages(struct broker *b, struct page *pg, struct pick *k, const struct filter *f)
{
	do {
		pick_all(b, f, k);
		put_picked(b, pg, k, f);
		k->after = pg->last;
	} while (k->more && !pg->full);
}

static int bad_query(struct buf *out, struct span filter, struct span bad)
{
	char detail[128];

	snprintf(detail, sizeof(detail), "column %zu: \"%.*s\" is not understood",
	    (size_t)(bad.p - filter.p) + 1, SPAN_ARG(span_first(bad, 64)));
	return query_problem(out, 400, "Bad query", detail,
	    "words: to: from: domain: group: state:(ready|active|deferred|suspended|held|maybe)");
}

int broker_list(struct broker *b, struct span filter, const struct msgid *after, uint32_t limit,
    struct buf *out, int64_t now)
{
	struct page pg = {
	    .out = out, .left = limit && limit < LIST_MAX ? limit : LIST_MAX, .last = *after};
	char id[MSGID_TEXT + 1];
	struct filter f;
	struct span bad = filter_parse(filter, &f);
	struct pick *k;

	b->now = now;
	if (bad.n > 0)
		return bad_query(out, filter, bad);
	k = gw_calloc(1, sizeof(*k));
	k->after = *after;
	json_open(out, NULL, '{');
	json_open(out, "data", '[');
	put_pages(b, &pg, k, &f);
	json_close(out, ']');
	msgid_format(&pg.last, id);
	if (pg.full)
		json_str(out, "next", id);
	else
		json_none(out, "next");
	json_close(out, '}');
	free(k);
	return 200;
}
