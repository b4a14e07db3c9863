/*
 * Names: which hosts take the mail of a domain decides its way and its group. The question is asked
 * once for all mail of a domain, when some of it is to go; until the answer is here the sites wait
 * in a provisional group of their own. The answer is kept for its time to live, within bounds;
 * then it is asked again when mail goes, and the sites move if it has changed. Where nothing can be
 * done (no such domain, a null MX) the mail ends in the provisional group; where DNS has trouble it
 * is deferred there. An answer that was good is not given up for trouble.
 */
#include "flow/broker-private.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	NAMES_UNUSED_MAX = 16384, /* domains without mail whose answers are kept */
	ASKING_MAX = 256,         /* questions under way */
	NAME_MAX_OCTETS = 255,
	NAME_SHOWN = 100,
};
#define TTL_LEAST (INT64_C(60) * 1000000)
#define TTL_MOST (INT64_C(3600) * 1000000)

static void take_hosts(struct broker *b, struct names *d, const struct span *host, size_t n);

/* ---- domains ------------------------------------------------------------------------------- */

static struct names *names_new(struct broker *b, struct span domain)
{
	struct names *d = gw_calloc(1, sizeof(*d) + domain.n + 1);

	d->magic = NAMES_MAGIC;
	memcpy(d->domain, domain.p, domain.n);
	TAILQ_INIT(&d->sites);
	map_put(&b->names, span_str(d->domain), d);
	/* An address needs no names. */
	if (domain.n > 0 && domain.p[0] == '[') {
		d->known = true;
		d->kind = MX_IMPLICIT;
		d->until = INT64_MAX;
		take_hosts(b, d, &domain, 1);
	}
	return d;
}

static void names_free(struct broker *b, struct names *d)
{
	map_del(&b->names, span_str(d->domain));
	d->magic = 0;
	free(d->set);
	free(d);
}

/* The one that has had no mail for the longest time makes room. */
static void thin_unused(struct broker *b)
{
	struct names *d;

	while (b->n_names_unused > NAMES_UNUSED_MAX) {
		d = TAILQ_FIRST(&b->names_unused);
		TAILQ_REMOVE(&b->names_unused, d, link);
		b->n_names_unused--;
		names_free(b, d);
	}
}

/* Nobody wants it now. What was never known, or is asked for, need not be kept, or must be. */
static void unuse(struct broker *b, struct names *d)
{
	if (d->asked || d->adopted || d->n_sites > 0)
		return;
	if (d->waits) {
		d->waits = false;
		TAILQ_REMOVE(&b->names_waiting, d, link);
	}
	if (!d->known) {
		names_free(b, d);
		return;
	}
	d->unused = true;
	TAILQ_INSERT_TAIL(&b->names_unused, d, link);
	b->n_names_unused++;
	thin_unused(b);
}

void names_join(struct broker *b, struct site *s, struct span domain)
{
	struct names *d = map_get(&b->names, domain);

	if (d == NULL)
		d = names_new(b, domain);
	if (d->unused) {
		d->unused = false;
		TAILQ_REMOVE(&b->names_unused, d, link);
		b->n_names_unused--;
	}
	s->names = d;
	d->n_sites++;
	TAILQ_INSERT_TAIL(&d->sites, s, of_names);
}

void names_leave(struct broker *b, struct site *s)
{
	struct names *d = s->names;

	if (d == NULL)
		return;
	s->names = NULL;
	TAILQ_REMOVE(&d->sites, s, of_names);
	d->n_sites--;
	unuse(b, d);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void ask(struct broker *b, struct names *d)
{
	struct broker_effect *e = effect_add(b, EFFECT_RESOLVE);
	size_t n = strlen(d->domain);
	char *copy = gw_calloc(1, n + 1);

	memcpy(copy, d->domain, n);
	effect_own(b, copy);
	e->data = span_of(copy, n);
	d->asked = true;
	b->n_names_asked++;
}

void names_want(struct broker *b, struct names *d)
{
	if (d->asked || d->waits)
		return;
	if (b->n_names_asked < ASKING_MAX) {
		ask(b, d);
		return;
	}
	d->waits = true;
	TAILQ_INSERT_TAIL(&b->names_waiting, d, link);
}

static void ask_next(struct broker *b)
{
	struct names *d = TAILQ_FIRST(&b->names_waiting);

	if (d == NULL || b->n_names_asked >= ASKING_MAX)
		return;
	TAILQ_REMOVE(&b->names_waiting, d, link);
	d->waits = false;
	ask(b, d);
}

bool names_end(struct broker *b, struct names *d, int64_t now)
{
	if (d->known && now < d->until)
		return true;
	names_want(b, d);
	return false;
}

struct reply names_reply(const struct names *d, char *text, size_t n)
{
	return mx_reply(d->kind, span_str(d->domain), span_str(d->text), text, n);
}

/* ---- answers --------------------------------------------------------------------------------- */

bool names_have_hosts(const struct names *d)
{
	return d->known && (d->kind == MX_HOSTS || d->kind == MX_IMPLICIT);
}

static int by_name(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	for (size_t i = 0; i < x->n && i < y->n; i++) {
		uint8_t p = ascii_lower(x->p[i]), q = ascii_lower(y->p[i]);

		if (p != q)
			return p < q ? -1 : 1;
	}
	return x->n < y->n ? -1 : x->n > y->n;
}

/* In lower case; what no host name has is written as a number, so that no name looks like two. */
static char *add_name(char *to, struct span name)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = ascii_lower(name.p[i]);

		if (ascii_isalpha(c) || ascii_isdigit(c) || c == '-' || c == '.' || c == '_') {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	*to++ = ',';
	return to;
}

/* The names of the hosts in one order, whatever order they came in: whole, since whoever chose
 * names that look like another's would share the connections to them. */
static void take_set(struct names *d, const struct span *host, size_t n)
{
	struct span sorted[HOSTS_MAX];
	size_t room = 1 + NAME_MAX_OCTETS + 1;
	char *to;

	n = n < HOSTS_MAX ? n : HOSTS_MAX;
	for (size_t i = 0; i < n; i++) {
		sorted[i] = span_first(host[i], NAME_MAX_OCTETS);
		room += 3 * sorted[i].n + 1;
	}
	qsort(sorted, n, sizeof(sorted[0]), by_name);
	free(d->set);
	d->set = to = gw_calloc(1, room);
	for (size_t i = 0; i < n; i++)
		to = add_name(to, sorted[i]);
	*to++ = '\0';
	d->first = span_to_cstr(span_first(host[0], NAME_MAX_OCTETS), to, NAME_MAX_OCTETS + 1);
}

static void take_hosts(struct broker *b, struct names *d, const struct span *host, size_t n)
{
	take_set(d, host, n);
	d->shape = config_shape(b->config, span_str(d->domain), host[0]);
	if (n > 1)
		snprintf(d->text, sizeof(d->text), "mx %.*s and %zu more",
		    SPAN_ARG(span_first(host[0], NAME_SHOWN)), n - 1);
	else
		snprintf(
		    d->text, sizeof(d->text), "mx %.*s", SPAN_ARG(span_first(host[0], NAME_SHOWN)));
}

static void take_end(struct names *d, struct span why)
{
	free(d->set);
	d->set = d->first = NULL;
	span_to_cstr(why, d->text, sizeof(d->text));
}

static void take_answer(struct broker *b, struct names *d, const struct broker_mx *mx, int64_t now)
{
	int64_t ttl = (int64_t)mx->ttl * 1000000;

	d->until = now + (ttl < TTL_LEAST ? TTL_LEAST : ttl > TTL_MOST ? TTL_MOST : ttl);
	if (mx->kind == MX_TROUBLE) {
		d->until = now + b->config->resolver.retry;
		if (names_have_hosts(d))
			return;
	}
	d->known = true;
	d->kind = mx->kind;
	if (!names_have_hosts(d))
		take_end(d, mx->why);
	else if (mx->n_host > 0)
		take_hosts(b, d, mx->host, mx->n_host);
	else
		take_hosts(b, d, &(struct span){(const uint8_t *)d->domain, strlen(d->domain)}, 1);
}

/* Before the groups of all connections that were taken over are known, the limits are not. */
void names_adopted(struct broker *b, struct site *s)
{
	struct names *d = s->names;

	if (d == NULL || names_have_hosts(d))
		return;
	s->adopted = true;
	if (d->adopted)
		return;
	d->adopted = true;
	b->n_names_adopted++;
	names_want(b, d);
}

static void adopted_known(struct broker *b, struct names *d)
{
	if (!d->adopted)
		return;
	d->adopted = false;
	if (--b->n_names_adopted == 0)
		groups_soon(b);
}

/* Its sites go where it says; what may go there then, goes. */
static void place_sites(struct broker *b, struct names *d)
{
	struct site *s;

	TAILQ_FOREACH(s, &d->sites, of_names)
	{
		site_moves(b, s);
		group_soon(b, s->group);
	}
}

/* They stayed to say where their connections belong. */
static void let_adopted_go(struct broker *b, struct names *d)
{
	struct site *s, *next;

	for (s = TAILQ_FIRST(&d->sites); s != NULL; s = next) {
		next = TAILQ_NEXT(s, of_names);
		if (!s->adopted)
			continue;
		s->adopted = false;
		site_release(b, s);
	}
}

void broker_resolved(struct broker *b, struct span domain, const struct broker_mx *mx, int64_t now)
{
	struct names *d = map_get(&b->names, domain);

	if (d == NULL || !d->asked)
		return;
	gw_check_magic(d, NAMES_MAGIC);
	d->asked = false;
	b->n_names_asked--;
	adopted_known(b, d);
	take_answer(b, d, mx, now);
	place_sites(b, d);
	d->n_sites++; /* it stays while its sites go */
	let_adopted_go(b, d);
	d->n_sites--;
	unuse(b, d);
	ask_next(b);
	groups_wake(b, now);
}

void names_doubt(struct names *d, int64_t now)
{
	if (!names_have_hosts(d) && d->until > now)
		d->until = now;
}

void names_reconfigure(struct broker *b)
{
	struct names *d;
	size_t at = 0;

	while ((d = map_next(&b->names, &at)) != NULL) {
		if (d->set != NULL)
			d->shape = config_shape(b->config, span_str(d->domain), span_str(d->first));
		else
			d->shape = NULL;
	}
}

void names_fini(struct broker *b)
{
	struct names *d;
	size_t at = 0;

	while ((d = map_next(&b->names, &at)) != NULL) {
		free(d->set);
		free(d);
	}
	map_fini(&b->names);
}
