/* The list of messages as JSON, in the order of their ids (which is that of time), page by page. */
#include "flow/ask-private.h"

#include "base/json.h"
#include "flow/query-private.h"

#include <stdlib.h>

enum {
	LIST_MAX = 1000,
	PICK_MAX = 1024, /* messages that one walk over the queue picks */
	READ_MAX = 8192, /* messages that are read back for one page */
	PAGE_ROOM = 4096,
};

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
		if (m->durable && filter_has(f, m))
			pick_add(k, &(struct picked){.id = m->id, .awake = m});
	}
	while ((p = pool_next(&b->parking.pool, &at)) != NULL) {
		if (filter_may_have(f, p, b->now))
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
	if (filter_has(f, m))
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

int broker_list(struct broker *b, struct span filter, const struct msgid *after, uint32_t limit,
    struct buf *out, int64_t now)
{
	struct page pg = {
	    .out = out, .left = limit && limit < LIST_MAX ? limit : LIST_MAX, .last = *after};
	char id[MSGID_TEXT + 1];
	struct filter f;
	struct filter_error bad = filter_parse(filter, &f);
	struct pick *k;

	b->now = now;
	if (bad.word.n > 0)
		return filter_problem(filter, &bad, out);
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
