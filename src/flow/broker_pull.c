/*
 * Mail that waits to be pulled (RFC 2645): what goes by "odmr account NAME". Its sites have no
 * turns and keep next to nothing in memory, until the customer comes and its connection is turned
 * round. That connection is one of the way of all mail for its account; it exists already, and for
 * the sites of the domains that were named alone. When it is gone, or no such mail is left, the
 * sites wait again, with all that had no final answer.
 */
#include "flow/broker-private.h"

#include <stdio.h>

/* Microseconds until what the customer put off may be pulled again. */
enum { PULL_AGAIN = 60 * 1000000, NAME_OCTETS = 256 };

bool site_waits(const struct site *s)
{
	return s->target.kind == TARGET_ODMR && !s->pulled && !s->gone;
}

/* ---- what may be pulled by whom -------------------------------------------------------------- */

static struct span lower(struct span name, char to[NAME_OCTETS])
{
	size_t n = name.n < NAME_OCTETS ? name.n : NAME_OCTETS;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)ascii_lower(name.p[i]);
	return span_of(to, n);
}

static bool is_for(const struct target *t, struct span account)
{
	return t->kind == TARGET_ODMR && span_eq(span_str(t->path), account);
}

/* Does the configuration give mail for it to this account, be it under conditions? */
static bool owns(const struct config *c, struct span account, struct span domain)
{
	const struct domain *d = config_domain(c, domain);

	if (d != NULL)
		return is_for(&d->deliver, account);
	for (size_t i = 0; i < c->n_route; i++) {
		const struct route *r = &c->route[i];

		if (is_for(&r->target, account) &&
		    (r->domain == NULL || config_pattern_match(r->domain, domain)))
			return true;
	}
	return false;
}

/* "odmr a.example for alice". The account in the site's target is that of the way. */
static struct span site_domain(const struct site *s)
{
	struct span rest = span_skip(span_str(s->name), strlen("odmr "));
	ptrdiff_t end = span_find(rest, ' ');

	return end < 0 ? rest : span_first(rest, (size_t)end);
}

bool pull_ends(const struct broker *b, const struct site *s)
{
	char text[NAME_OCTETS];

	return s->target.kind == TARGET_ODMR &&
	       !owns(b->config, span_str(s->target.path), lower(site_domain(s), text));
}

static bool owns_all(const struct config *c, const struct broker_turn *t, struct span account)
{
	char text[NAME_OCTETS];

	for (size_t i = 0; i < t->n_domain; i++) {
		if (!owns(c, account, lower(t->domain[i], text)))
			return false;
	}
	return true;
}

/* ---- one connection ------------------------------------------------------------------------- */

static bool is_named(const struct site *s, const struct broker_turn *t)
{
	struct span domain = site_domain(s);

	for (size_t i = 0; i < t->n_domain; i++) {
		if (span_eq_case(t->domain[i], domain))
			return true;
	}
	return t->n_domain == 0;
}

static bool has_mail(const struct site *s)
{
	return s->n_ready > 0 || !TAILQ_EMPTY(&s->crowd);
}

static bool any_mail(const struct way *w, const struct broker_turn *t)
{
	const struct site *s;

	TAILQ_FOREACH(s, &w->sites, of_way)
	{
		if (is_named(s, t) && has_mail(s))
			return true;
	}
	return false;
}

/* The named site at which a message at rest may go now, though it is not in its crowd: one of
 * several customers' waits in the crowd of another. */
static struct site *named_of(
    struct parked *p, const struct way *w, const struct broker_turn *t, int64_t now)
{
	struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		struct site *s = r[i].site;

		if (s != NULL && s->way == w && r[i].outcome <= OUTCOME_DEFERRED &&
		    r[i].due <= now && is_named(s, t))
			return s;
	}
	return NULL;
}

/* Those join it. Rare: most messages are for one customer. */
static void gather(struct broker *b, const struct way *w, const struct broker_turn *t, int64_t now)
{
	struct pool_walk at = {0};
	const struct site *s;
	struct parked *p;
	bool missing = false;

	TAILQ_FOREACH(s, &w->sites, of_way)
	missing = missing || (is_named(s, t) && s->n_parked > s->n_crowd);
	while (missing && (p = pool_next(&b->parking.pool, &at)) != NULL) {
		struct site *to = named_of(p, w, t, now);

		if (to != NULL && (p->in == NULL || p->in->way != w))
			crowd_join(b, p, to);
	}
}

static bool rests_for(struct parked *p, const struct site *s)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		if (r[i].site == s)
			return true;
	}
	return false;
}

void pull_disband(struct broker *b, const struct site *s)
{
	struct pool_walk at = {0};
	struct parked *p;

	if (s->target.kind != TARGET_ODMR || s->n_parked == s->n_crowd)
		return;
	while ((p = pool_next(&b->parking.pool, &at)) != NULL) {
		if (p->in != NULL && p->in != s && rests_for(p, s))
			heap_set(&b->parking.due, &p->node, b->now);
	}
}

static void let_go(struct broker *b, struct way *w, const struct broker_turn *t)
{
	struct site *s;

	TAILQ_FOREACH(s, &w->sites, of_way)
	{
		s->pulled = is_named(s, t);
		if (!s->pulled)
			continue;
		site_offers(s);
		site_hungry(b, s);
	}
}

/* One of the same name is: this is for what a reload gave another shape, or for another sender. */
bool pull_is_on(const struct site *s)
{
	const struct site *other;

	if (s->way->turned == NULL || s->gone)
		return false;
	TAILQ_FOREACH(other, &s->way->sites, of_way)
	{
		if (other->pulled && strcmp(other->name, s->name) == 0)
			return true;
	}
	return false;
}

static struct way *way_of(const struct broker *b, struct span account)
{
	char key[WAY_MARK_MAX];
	int n = snprintf(key, sizeof(key), "*|" PULL_WAY "%.*s", SPAN_ARG(account));

	return n < (int)sizeof(key) ? map_get(&b->ways, span_str(key)) : NULL;
}

static bool may_start(const struct broker *b)
{
	return !b->recovering && !b->frozen && b->may_start && !b->stopping;
}

enum broker_turned broker_turn(struct broker *b, struct broker_turn *t, int64_t now)
{
	char text[NAME_OCTETS];
	struct span account = lower(t->account, text);
	struct way *w = way_of(b, account);
	int worker;

	if (!owns_all(b->config, t, account))
		return BROKER_TURN_REFUSED;
	if (!may_start(b))
		return BROKER_TURN_BUSY;
	if (w == NULL)
		return BROKER_TURN_NO_MAIL;
	if (w->turned != NULL)
		return BROKER_TURN_BUSY;
	gather(b, w, t, now);
	if (!any_mail(w, t))
		return BROKER_TURN_NO_MAIL;
	worker = conn_worker(b, WORKER_SENDER);
	if (worker < 0)
		return BROKER_TURN_BUSY;
	t->worker = (unsigned)worker;
	t->conn = b->next_number++;
	conn_turned(b, w, t->worker, t->conn);
	let_go(b, w, t);
	way_pump(b, w, now);
	return BROKER_TURN_OK;
}

/* ---- its end -------------------------------------------------------------------------------- */

void pull_over(struct broker *b, struct way *w)
{
	struct site *s;

	w->turned = NULL;
	w->untidy = true;
	TAILQ_FOREACH(s, &w->sites, of_way)
	{
		s->pulled = false;
		site_withdraws(s);
	}
	group_soon(b, w->group);
}

/* What was read back and not taken goes to rest again. */
static void tidy(struct broker *b, struct site *s)
{
	struct task *t = TAILQ_FIRST(&s->ready);

	while (t != NULL) {
		size_t before = s->n_ready;

		queued_settle(b, t->msg);
		t = s->n_ready < before ? TAILQ_FIRST(&s->ready) : TAILQ_NEXT(t, link);
	}
}

static void tidy_way(struct broker *b, struct way *w)
{
	struct site *s, *next;

	w->untidy = false;
	for (s = TAILQ_FIRST(&w->sites); s != NULL; s = next) {
		next = TAILQ_NEXT(s, of_way);
		tidy(b, s);
	}
}

static bool has_more(const struct way *w)
{
	const struct site *s;

	TAILQ_FOREACH(s, &w->sites, of_way)
	{
		if (s->pulled && has_mail(s))
			return true;
	}
	return false;
}

void pull_look(struct broker *b, struct group *g)
{
	struct way *w = TAILQ_FIRST(&g->ways);

	if (w == NULL)
		return;
	w->busy++;
	if (w->turned != NULL && w->turned->idle && !has_more(w)) {
		conn_dismiss(b, w->turned);
		pull_over(b, w);
	} else if (w->turned == NULL && w->untidy && !b->recovering) {
		tidy_way(b, w);
	}
	w->busy--;
	way_release(b, w);
}

int64_t pull_again(const struct site *s, int64_t now)
{
	return s->pulled ? now + PULL_AGAIN : now;
}
