/*
 * Bad hosts: addresses that could not be reached or did not greet us are tried last for a time, as
 * long as the shape says at first and twice as long with each failure; a success halves what is
 * remembered. Told by workers (broker_tried), told to them with each job over the same way.
 */
#include "flow/broker-private.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { BAD_MAX = 4096, BAD_ROOM = 1024, FAILURES_MAX = 6 };
#define BAD_LAST (INT64_C(1800) * 1000000)

struct bad_host {
	TAILQ_ENTRY(bad_host) link;
	unsigned failures;
	int64_t since, until;
	uint64_t way; /* of the last that tried it: which one, as a hash of its key */
	char address[ADDRESS_TEXT_MAX];
	char why[100];
};

void bad_hosts_init(struct broker *b, uint64_t seed)
{
	map_init(&b->bad.map, seed);
	TAILQ_INIT(&b->bad.all);
}

static void forget(struct broker *b, struct bad_host *h)
{
	map_del(&b->bad.map, span_str(h->address));
	TAILQ_REMOVE(&b->bad.all, h, link);
	free(h);
}

void bad_hosts_fini(struct broker *b)
{
	struct bad_host *h;

	while ((h = TAILQ_FIRST(&b->bad.all)) != NULL)
		forget(b, h);
	map_fini(&b->bad.map);
}

/* ---- what workers say -------------------------------------------------------------------------
 */

static struct bad_host *bad_host_new(struct broker *b, struct span address, int64_t now)
{
	struct bad_host *h = gw_calloc(1, sizeof(*h));

	if (map_len(&b->bad.map) >= BAD_MAX)
		forget(b, TAILQ_FIRST(&b->bad.all));
	memcpy(h->address, address.p, address.n);
	h->since = now;
	map_put(&b->bad.map, span_str(h->address), h);
	TAILQ_INSERT_TAIL(&b->bad.all, h, link);
	return h;
}

static uint64_t mark_of(const struct way *w)
{
	return map_hash(span_str(w->key), 1);
}

/* Connections that fail together are one failure. */
static void host_failed(
    struct broker *b, const struct way *w, struct span address, struct span why, int64_t now)
{
	struct bad_host *h = map_get(&b->bad.map, address);
	int64_t rest;

	if (h == NULL)
		h = bad_host_new(b, address, now);
	h->way = mark_of(w);
	if (h->until > now)
		return;
	if (h->failures < FAILURES_MAX)
		h->failures++;
	rest = w->group->shape->host_rest << (h->failures - 1);
	h->until = now + (rest < BAD_LAST ? rest : BAD_LAST);
	span_to_cstr(why, h->why, sizeof(h->why));
	TAILQ_REMOVE(&b->bad.all, h, link);
	TAILQ_INSERT_TAIL(&b->bad.all, h, link);
}

static void host_works(struct broker *b, struct span address)
{
	struct bad_host *h = map_get(&b->bad.map, address);

	if (h == NULL)
		return;
	h->until = 0;
	h->failures /= 2;
	if (h->failures == 0)
		forget(b, h);
}

static bool way_was_told(const struct way *w, struct span address)
{
	for (size_t i = 0; i < w->n_told; i++) {
		if (span_eq(span_str(w->told[i]), address))
			return true;
	}
	return false;
}

static void tell_way(struct way *w, struct span address)
{
	if (way_was_told(w, address) || w->n_told == TOLD_MAX)
		return;
	w->told = gw_realloc(w->told, (w->n_told + 1) * sizeof(*w->told));
	memset(w->told[w->n_told], 0, sizeof(*w->told));
	memcpy(w->told[w->n_told++], address.p, address.n);
}

void bad_hosts_recall(const struct broker *b, struct way *w)
{
	uint64_t mark = mark_of(w);
	const struct bad_host *h;

	TAILQ_FOREACH(h, &b->bad.all, link)
	{
		if (h->way == mark)
			tell_way(w, span_str(h->address));
	}
}

static bool is_address(struct span s)
{
	return s.n > 0 && s.n < ADDRESS_TEXT_MAX && memchr(s.p, '\0', s.n) == NULL;
}

/* Without the stage in which it was said. */
static struct span words_of(struct span why)
{
	ptrdiff_t at = span_find(why, ':');

	return at > 0 && ascii_isalpha(why.p[0]) ? span_skip_blanks(span_skip(why, (size_t)at + 1))
						 : why;
}

/* A greeting or a 421, in words as the worker read it. */
static void refused_by(struct broker *b, struct job *j, struct span why, int64_t now)
{
	struct group *g = j->conn->way->group;

	j->refused = true;
	limit_refused(b, g, j->started, words_of(why), now);
	rule_on_greeting(b, g, words_of(why), now);
}

void broker_tried(struct broker *b, unsigned worker, uint64_t number, bool refused,
    const struct broker_tried *tried, size_t n, int64_t now)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));
	struct span why = SPAN_NONE;

	if (j == NULL || j->worker != worker || j->finished || j->conn == NULL ||
	    j->conn->way->group->by_pull) /* whoever comes is welcome */
		return;
	for (size_t i = 0; i < n; i++) {
		if (!is_address(tried[i].address))
			continue;
		if (tried[i].good) {
			host_works(b, tried[i].address);
			continue;
		}
		host_failed(b, j->conn->way, tried[i].address, tried[i].why, now);
		tell_way(j->conn->way, tried[i].address);
		why = tried[i].why;
	}
	if (refused)
		refused_by(b, j, why, now);
}

/* ---- for the next job ---------------------------------------------------------------------------
 */

/* What is forgotten of the host the way forgets too. */
size_t bad_hosts_of(struct broker *b, struct way *w, char (*text)[ADDRESS_TEXT_MAX], int64_t now)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < w->n_told; i++) {
		const struct bad_host *h = map_get(&b->bad.map, span_str(w->told[i]));

		if (h == NULL)
			continue;
		if (h->until > now)
			memcpy(text[n++], w->told[i], sizeof(*text));
		if (kept != i)
			memcpy(w->told[kept], w->told[i], sizeof(*w->told));
		kept++;
	}
	w->n_told = kept;
	return n;
}

void bad_hosts_pardon(struct broker *b, struct way *w)
{
	for (size_t i = 0; i < w->n_told; i++) {
		struct bad_host *h = map_get(&b->bad.map, span_str(w->told[i]));

		if (h != NULL)
			forget(b, h);
	}
	w->n_told = 0;
}

/* ---- operators ------------------------------------------------------------------------------ */

static void put_host(const struct broker *b, const struct bad_host *h, struct buf *out, int64_t now)
{
	json_open(out, NULL, '{');
	json_str(out, "address", h->address);
	json_bool(out, "resting", h->until > now);
	json_number(out, "failures", h->failures);
	json_time(out, "since", h->since + b->wall_ahead);
	if (h->until > now)
		json_time(out, "until", h->until + b->wall_ahead);
	json_str(out, "why", h->why);
	json_close(out, '}');
}

int broker_hosts(const struct broker *b, struct buf *out, int64_t now)
{
	const struct bad_host *h;
	size_t shown = 0;

	json_open(out, NULL, '{');
	json_open(out, "hosts", '[');
	TAILQ_FOREACH_REVERSE(h, &b->bad.all, bad_list, link)
	{
		if (buf_space(out) < BAD_ROOM + 2 * BAD_ROOM)
			break;
		put_host(b, h, out, now);
		shown++;
	}
	json_close(out, ']');
	if (shown < map_len(&b->bad.map))
		json_number(out, "hosts_omitted", (int64_t)(map_len(&b->bad.map) - shown));
	json_close(out, '}');
	return 200;
}

size_t broker_hosts_clear(struct broker *b, struct span address)
{
	size_t n = map_len(&b->bad.map);
	struct bad_host *h = map_get(&b->bad.map, address);

	if (address.n > 0 && h != NULL)
		forget(b, h);
	while (address.n == 0 && (h = TAILQ_FIRST(&b->bad.all)) != NULL)
		forget(b, h);
	return n - map_len(&b->bad.map);
}
