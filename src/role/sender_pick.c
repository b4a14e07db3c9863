/* What is known of the hosts of a walk, and which of their addresses is next. */
#include "role/sender_walk.h"

#include <arpa/inet.h>

/* ---- names ---------------------------------------------------------------------------------- */

static void on_answer(void *arg, const struct dns_answer *a);

static void ask(struct walk *w)
{
	struct hosts_question q;
	struct question *x;

	while (hosts_next(w->hosts, &q)) {
		x = arena_alloc(&w->arena, sizeof(*x));
		if (x == NULL) {
			struct dns_answer none = {
			    .status = DNS_TROUBLE, .why = SPAN("out of memory")};

			(void)!hosts_answer(w->hosts, q.number, &none);
			continue;
		}
		*x = (struct question){.walk = w, .next = w->questions, .number = q.number};
		w->questions = x;
		x->asked = dns_ask(&w->sender->dns, q.type, q.name, on_answer, x);
	}
}

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct question *x = arg;
	struct walk *w = x->walk;

	gw_check_magic(w, WALK_MAGIC);
	x->asked = 0;
	(void)!hosts_answer(w->hosts, x->number, a); /* no room counts as trouble */
	ask(w);
	if (!w->busy)
		walk_step(w);
}

static void set_hosts(struct walk *w)
{
	const struct proto_target *t = walk_target(w);
	struct hosts_given *given = arena_alloc(&w->arena, PROTO_HOSTS_MAX * sizeof(*given));

	gw_assert(given != NULL);
	w->params = (struct hosts_params){.domain = t->domain,
	    .given = given,
	    .port = t->port,
	    .private_ok = t->private_ok,
	    .wish = (enum family_wish)t->wish,
	    .no_v4 = t->v4.n == 0 && t->v6.n > 0,
	    .no_v6 = t->v6.n == 0 && t->v4.n > 0,
	    .self = &w->sender->self,
	    .seed = dice_roll(&w->sender->dice)};
	if (t->kind != TARGET_MX) {
		for (size_t i = 0; i < t->n_host; i++)
			given[i] = (struct hosts_given){t->host[i].name, t->host[i].port};
		w->params.n_given = t->n_host;
	}
	w->hosts = hosts_start(&w->params, &w->arena);
	gw_assert(w->hosts != NULL);
}

/* ---- which address is next ------------------------------------------------------------------ */

/* Addresses that failed lately come behind all others. */
static bool is_avoided(const struct walk *w, const struct host_address *a)
{
	const struct proto_job *j = &w->conn->job->order;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(a->family, a->bytes, text, sizeof(text));
	for (size_t i = 0; i < j->n_avoid; i++) {
		if (span_eq(j->avoid[i], span_str(text)))
			return true;
	}
	return false;
}

static size_t see_hosts(struct walk *w, const struct host **list)
{
	size_t n = hosts_list(w->hosts, list);

	for (; w->n_seen < n; w->n_seen++) {
		const struct host *h = &(*list)[w->n_seen];

		for (size_t k = 0; k < h->n_address; k++) {
			if (is_avoided(w, &h->address[k]))
				w->avoid[w->n_seen] |= (uint16_t)(1u << k);
		}
	}
	return n;
}

struct filter {
	bool avoided, v4;
	int preference; /* -1: any */
};

static bool pick_among(
    const struct walk *w, const struct host *list, size_t n, struct filter f, struct spot *out)
{
	for (size_t i = 0; i < n; i++) {
		if (f.preference >= 0 && list[i].preference != f.preference)
			continue;
		for (size_t k = 0; k < list[i].n_address; k++) {
			if ((w->done[i] >> k & 1) || (w->avoid[i] >> k & 1) != f.avoided ||
			    (f.v4 && list[i].address[k].family != AF_INET))
				continue;
			*out = (struct spot){i, k};
			return true;
		}
	}
	return false;
}

/* Of the preference of the host that was connected last. */
static bool pick_v4(const struct walk *w, const struct host *list, size_t n, struct spot *out)
{
	struct filter f = {false, true, list[w->last.host].preference};

	return pick_among(w, list, n, f, out);
}

enum found walk_pick(struct walk *w, struct spot *out)
{
	const struct host *list = NULL;
	size_t n;

	*out = w->last;
	if (w->again)
		return FOUND_ONE;
	if (w->tries >= WALK_TRIES_MAX || w->sessions >= WALK_SESSIONS_MAX)
		return FOUND_NONE;
	if (w->hosts == NULL) /* one path */
		return w->done[0] ? FOUND_NONE : FOUND_ONE;
	n = see_hosts(w, &list);
	if ((w->away_v6 || w->v4_only) && pick_v4(w, list, n, out))
		return FOUND_ONE;
	if (w->v4_only)
		return FOUND_NONE;
	if (pick_among(w, list, n, (struct filter){false, false, -1}, out))
		return FOUND_ONE;
	if (hosts_wait(w->hosts))
		return FOUND_LATER;
	return pick_among(w, list, n, (struct filter){true, false, -1}, out) ? FOUND_ONE
									     : FOUND_NONE;
}

const struct host_address *walk_address(
    const struct walk *w, const struct spot *s, const struct host **host)
{
	const struct host *list;

	*host = NULL;
	if (w->hosts == NULL)
		return NULL;
	gw_assert(s->host < hosts_list(w->hosts, &list));
	*host = &list[s->host];
	return &list[s->host].address[s->address];
}

/* ---- from outside --------------------------------------------------------------------------- */

void walk_names(struct walk *w)
{
	if (walk_target(w)->path.n > 0)
		return;
	set_hosts(w);
	ask(w);
}

bool walk_to_v4(struct walk *w)
{
	const struct host *list = NULL;
	struct spot s;
	size_t n;

	if (w->v4_only || w->hosts == NULL || w->sessions >= WALK_SESSIONS_MAX ||
	    w->conn->peer.family != AF_INET6)
		return false;
	n = see_hosts(w, &list);
	w->v4_only = pick_v4(w, list, n, &s);
	return w->v4_only;
}
