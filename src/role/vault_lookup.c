/*
 * What Dovecot is asked for: logins, and whether a recipient is there. Its answers are remembered:
 * logins for a minute (vault_logins.h has digests, here are the names that Dovecot gave them),
 * recipients as long as the domain says.
 */
#include "role/vault.h"

#include "flow/callout.h"
#include "role/proto_callout.h"

#include <openssl/crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROVEN_MAX = 8192, CACHED_MAX = 32768, GUESTS_MAX = 16384, FRAME = 512 };
#define PROVEN_FOR (60 * USEC_PER_SEC)

/* A login that was good, and what Dovecot calls its user. */
struct proven {
	TAILQ_ENTRY(proven) link;
	uint8_t digest[LOGIN_DIGEST];
	int64_t until;
	size_t n_name;
	uint8_t name[];
};

struct link_row {
	TAILQ_ENTRY(link_row) link;
	struct dovecot_link *dovecot;
};

struct vault_lookups {
	struct vault *vault;
	TAILQ_HEAD(, login_question) logins; /* that Dovecot has not judged yet */
	TAILQ_HEAD(, link_row) links;        /* as many as the configuration names sockets */
	struct map proven;                   /* by digest */
	TAILQ_HEAD(, proven) in_time;
	struct callout_cache *cache;
	struct guesses *guesses;
	bool leaving;       /* there are links that the configuration does not name any more */
	struct flush leave; /* those of them that nobody waits for */
};

/* ---- links ----------------------------------------------------------------------------------- */

static void want(void *arg, struct dovecot_link *l)
{
	struct vault_lookups *k = arg;
	uint8_t login = dovecot_link_is_login(l);
	struct span part[2] = {span_of(&login, 1), span_str(dovecot_link_path(l))};

	if (k->vault->master.ipc != NULL)
		ipc_send(k->vault->master.ipc, IPC_DOVECOT_WANT, part, 2, -1);
}

static struct dovecot_link *find_link(struct vault_lookups *k, struct span path, bool login)
{
	struct link_row *r;

	TAILQ_FOREACH(r, &k->links, link)
	{
		if (dovecot_link_is_login(r->dovecot) == login &&
		    span_eq(span_str(dovecot_link_path(r->dovecot)), path))
			return r->dovecot;
	}
	return NULL;
}

/* path: one that the configuration names. */
static struct dovecot_link *link_to(struct vault_lookups *k, const char *path, bool login)
{
	struct dovecot_link_owner owner = {.want = want, .arg = k};
	struct dovecot_link *l = find_link(k, span_str(path), login);
	struct link_row *r;

	if (l != NULL)
		return l;
	r = gw_calloc(1, sizeof(*r));
	r->dovecot = dovecot_link_new(k->vault->loop, path, login, &owner);
	TAILQ_INSERT_TAIL(&k->links, r, link);
	return r->dovecot;
}

/* What was asked is answered first. */
static void leave(void *arg)
{
	struct vault_lookups *k = arg;
	struct link_row *r, *next;

	k->leaving = false;
	for (r = TAILQ_FIRST(&k->links); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		if (config_asks_dovecot(k->vault->config, dovecot_link_is_login(r->dovecot),
			span_str(dovecot_link_path(r->dovecot))))
			continue;
		if (!dovecot_link_idle(r->dovecot)) {
			k->leaving = true;
			continue;
		}
		TAILQ_REMOVE(&k->links, r, link);
		dovecot_link_free(&r->dovecot);
		free(r);
	}
}

static void look_who_leaves(struct vault_lookups *k)
{
	if (k->leaving)
		flush_mark(&k->leave, k->vault->loop);
}

void vault_lookups_take(struct vault *v, struct span payload, int fd)
{
	struct dovecot_link *l = find_link(v->lookups, span_skip(payload, 1), payload.p[0] != 0);

	if (l != NULL)
		dovecot_link_take(l, fd);
	else
		close(fd);
}

/* ---- who asks -------------------------------------------------------------------------------- */

struct asker {
	struct vault *vault;
	struct vault_peer *peer;
	uint64_t channel, request;
	uint8_t ip[16];
};

static struct asker asker_of(
    struct vault *v, struct vault_peer *p, uint64_t request, const uint8_t ip[16])
{
	struct asker a = {.vault = v, .peer = p, .channel = p->number, .request = request};

	memcpy(a.ip, ip, sizeof(a.ip));
	return a;
}

/* NULL: its channel is gone. */
static struct vault_peer *who(const struct asker *a)
{
	return a->peer->ipc != NULL && a->peer->number == a->channel ? a->peer : NULL;
}

/* ---- logins ---------------------------------------------------------------------------------- */

struct login_question {
	TAILQ_ENTRY(login_question) link;
	struct asker asker;
	uint64_t version; /* of the users, when it was asked */
	uint8_t digest[LOGIN_DIGEST];
	size_t n_name;
	uint8_t name[];
};

static void drop_proven(struct vault_lookups *k, struct proven *x)
{
	map_del(&k->proven, span_of(x->digest, LOGIN_DIGEST));
	TAILQ_REMOVE(&k->in_time, x, link);
	free(x);
}

static void remember(struct vault_lookups *k, const uint8_t digest[LOGIN_DIGEST], struct span name)
{
	int64_t now = loop_now(k->vault->loop);
	struct proven *x = map_get(&k->proven, span_of(digest, LOGIN_DIGEST));

	if (x != NULL)
		drop_proven(k, x);
	while ((x = TAILQ_FIRST(&k->in_time)) != NULL &&
	       (x->until <= now || map_len(&k->proven) >= PROVEN_MAX))
		drop_proven(k, x);
	x = gw_calloc(1, sizeof(*x) + name.n);
	memcpy(x->digest, digest, LOGIN_DIGEST);
	memcpy(x->name, name.p, name.n);
	x->n_name = name.n;
	x->until = now + PROVEN_FOR;
	map_put(&k->proven, span_of(x->digest, LOGIN_DIGEST), x);
	TAILQ_INSERT_TAIL(&k->in_time, x, link);
}

static const struct proven *find_proven(struct vault_lookups *k, const uint8_t digest[LOGIN_DIGEST])
{
	struct proven *x = map_get(&k->proven, span_of(digest, LOGIN_DIGEST));

	return x != NULL && x->until > loop_now(k->vault->loop) ? x : NULL;
}

/* Names are compared without regard to case everywhere here: one spelling. */
static bool account_of(struct span user, uint8_t to[ACCOUNT_NAME_MAX])
{
	if (user.n == 0 || user.n > ACCOUNT_NAME_MAX)
		return false;
	for (size_t i = 0; i < user.n; i++)
		to[i] = ascii_lower(user.p[i]);
	return account_name_fault(span_of(to, user.n)) == NULL;
}

static void say_good(struct login_question *q, struct span user)
{
	struct vault *v = q->asker.vault;
	uint8_t text[ACCOUNT_NAME_MAX];
	struct span account = span_of(text, user.n);

	if (!account_of(user, text)) {
		vault_say(who(&q->asker), q->asker.request, CHECK_LATER, "dovecot_name");
		return;
	}
	guess_right(v->checks.guess, q->asker.ip, span_of(q->name, q->n_name), loop_now(v->loop));
	if (q->version == v->version)
		remember(v->lookups, q->digest, account);
	vault_say_login(v, who(&q->asker), q->asker.request, account);
}

/* A guess counts also if the one who asked is gone. */
static void say_wrong(struct login_question *q, const char *why)
{
	struct vault *v = q->asker.vault;

	guess_wrong(v->checks.guess, q->asker.ip, span_of(q->name, q->n_name), loop_now(v->loop));
	if (q->version == v->version)
		logins_add(v->checks.logins, q->digest, false, loop_now(v->loop));
	vault_say(who(&q->asker), q->asker.request, CHECK_WRONG, why);
}

static void login_said(void *arg, enum dovecot_says says, struct span user)
{
	struct login_question *q = arg;

	TAILQ_REMOVE(&q->asker.vault->lookups->logins, q, link);
	switch (says) {
	case DOVECOT_SAYS_YES: say_good(q, user); break;
	case DOVECOT_SAYS_NO: say_wrong(q, "bad_password"); break;
	case DOVECOT_SAYS_BARRED: say_wrong(q, "barred"); break;
	case DOVECOT_SAYS_NOTHING:
		vault_say(who(&q->asker), q->asker.request, CHECK_LATER, "dovecot_away");
		break;
	}
	look_who_leaves(q->asker.vault->lookups);
	OPENSSL_cleanse(q, sizeof(*q) + q->n_name);
	free(q);
}

static bool has_room(const struct vault_lookups *k, const uint8_t ip[16])
{
	const struct login_question *q;
	size_t n = 0;

	TAILQ_FOREACH(q, &k->logins, link)
	n += vault_same_address(q->asker.ip, ip);
	return n < CHECKS_OF_ADDRESS;
}

static void put_login(struct vault *v, struct vault_peer *p, const struct proto_check *in,
    const uint8_t digest[LOGIN_DIGEST])
{
	struct login_question *q = gw_calloc(1, sizeof(*q) + in->name.n);

	q->asker = asker_of(v, p, in->request, in->ip);
	q->version = v->version;
	memcpy(q->digest, digest, LOGIN_DIGEST);
	memcpy(q->name, in->name.p, in->name.n);
	q->n_name = in->name.n;
	if (dovecot_ask_login(link_to(v->lookups, v->config->users_dovecot, true), in->name,
		in->secret, in->ip, login_said, q)) {
		TAILQ_INSERT_TAIL(&v->lookups->logins, q, link);
		return;
	}
	free(q);
	vault_say(p, in->request, CHECK_LATER, "busy");
}

void vault_ask_dovecot(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	const struct proven *x;
	uint8_t digest[LOGIN_DIGEST];

	logins_digest(v->checks.logins, in->name, in->secret, digest);
	x = find_proven(v->lookups, digest);
	if (span_find(in->secret, 0) >= 0) {
		vault_say(p, in->request, CHECK_WRONG, "bad_password");
	} else if (x != NULL) {
		guess_right(v->checks.guess, in->ip, in->name, loop_now(v->loop));
		vault_say_login(v, p, in->request, span_of(x->name, x->n_name));
	} else if (logins_find(v->checks.logins, digest, loop_now(v->loop)) == 0) {
		/* The same mistake again: a device that was forgotten, not a guesser. */
		vault_say(p, in->request, CHECK_WRONG, "bad_password");
	} else if (!has_room(v->lookups, in->ip)) {
		vault_say(p, in->request, CHECK_LATER, "busy");
	} else {
		put_login(v, p, in, digest);
	}
	sodium_memzero(digest, sizeof(digest));
}

/* ---- recipients ------------------------------------------------------------------------------ */

struct user_question {
	struct asker asker;
	const struct dovecot_link *link;
	struct span domain, addr; /* behind this struct */
	uint8_t bytes[];
};

static void say_called(struct vault_peer *p, uint64_t request, enum called called, const char *why)
{
	struct proto_called c = {
	    .request = request, .called = (uint8_t)called, .why = span_str(why)};
	struct span part;
	struct buf b;

	if (p == NULL || p->ipc == NULL)
		return;
	buf_init(&b, FRAME);
	proto_put_called(&b, &c);
	part = buf_view(&b);
	ipc_send(p->ipc, IPC_CALLED, &part, 1, -1);
	buf_fini(&b);
}

/* If it is still he who is asked for this domain. */
static void keep_answer(const struct user_question *q, bool known)
{
	struct vault *v = q->asker.vault;
	const struct domain *d = callout_domain(v->config, q->domain);
	int64_t now = loop_now(v->loop);

	if (d == NULL || d->recipients != RECIPIENTS_DOVECOT ||
	    strcmp(d->lookup->at.unix_path, dovecot_link_path(q->link)) != 0)
		return;
	callout_cache_put(v->lookups->cache, q->domain, q->addr, known,
	    now + (known ? d->lookup->cache : d->lookup->negative), now);
}

static void user_said(void *arg, enum dovecot_says says, struct span user)
{
	struct user_question *q = arg;
	struct vault *v = q->asker.vault;
	int64_t now = loop_now(v->loop);
	bool known = says == DOVECOT_SAYS_YES;

	(void)user;
	if (says != DOVECOT_SAYS_NOTHING)
		keep_answer(q, known);
	else
		metric_add(METRIC_CALLOUTS_AWAY, 1);
	guesses_end(v->lookups->guesses, q->asker.ip, says == DOVECOT_SAYS_NO, now);
	say_called(who(&q->asker), q->asker.request,
	    known                          ? CALLED_KNOWN
	    : says == DOVECOT_SAYS_NOTHING ? CALLED_AWAY
					   : CALLED_UNKNOWN,
	    known ? "" : "Dovecot says so");
	look_who_leaves(v->lookups);
	free(q);
}

static bool put_user(struct asker *a, const struct domain *d, const struct proto_callout *c)
{
	struct user_question *q = gw_calloc(1, sizeof(*q) + c->domain.n + c->address.n);
	struct dovecot_link *l;

	q->asker = *a;
	memcpy(q->bytes, c->domain.p, c->domain.n);
	memcpy(q->bytes + c->domain.n, c->address.p, c->address.n);
	q->domain = span_of(q->bytes, c->domain.n);
	q->addr = span_of(q->bytes + c->domain.n, c->address.n);
	l = link_to(a->vault->lookups, d->lookup->at.unix_path, false);
	q->link = l;
	if (dovecot_ask_user(l, q->addr, d->lookup->timeout, user_said, q))
		return true;
	free(q);
	return false;
}

static void ask_user(struct asker *a, const struct domain *d, const struct proto_callout *c)
{
	struct vault *v = a->vault;
	int64_t now = loop_now(v->loop);

	if (!guesses_begin(v->lookups->guesses, a->ip, now)) {
		say_called(a->peer, a->request, CALLED_BUSY, "too many from there");
	} else if (!put_user(a, d, c)) {
		guesses_end(v->lookups->guesses, a->ip, false, now);
		say_called(a->peer, a->request, CALLED_AWAY, "too many questions");
	}
}

int vault_callout(struct vault *v, struct vault_peer *p, struct span payload)
{
	const struct domain *d;
	struct proto_callout c;
	struct asker a;
	bool known;

	if (proto_get_callout(payload, &c) < 0)
		return GW_EFORMAT;
	metric_add(METRIC_CALLOUTS, 1);
	a = asker_of(v, p, c.request, c.ip);
	d = callout_domain(v->config, c.domain);
	if (d == NULL || d->recipients != RECIPIENTS_DOVECOT)
		say_called(p, c.request, CALLED_AWAY, "nobody to ask");
	else if (callout_cache_find(
		     v->lookups->cache, c.domain, c.address, loop_now(v->loop), &known))
		say_called(p, c.request, known ? CALLED_KNOWN : CALLED_UNKNOWN, "");
	else
		ask_user(&a, d, &c);
	return 0;
}

/* ---- reload ---------------------------------------------------------------------------------- */

void vault_lookups_forget(struct vault *v)
{
	struct vault_lookups *k = v->lookups;
	struct proven *x;

	while ((x = TAILQ_FIRST(&k->in_time)) != NULL)
		drop_proven(k, x);
}

void vault_lookups_change(struct vault *v, const struct config *old)
{
	callout_cache_change(v->lookups->cache, old, v->config);
	v->lookups->leaving = true;
	look_who_leaves(v->lookups);
}

/* ---- start ----------------------------------------------------------------------------------- */

void vault_lookups_start(struct vault *v)
{
	struct vault_lookups *k = gw_calloc(1, sizeof(*k));
	uint64_t seed;

	randombytes_buf(&seed, sizeof(seed));
	v->lookups = k;
	k->vault = v;
	TAILQ_INIT(&k->links);
	TAILQ_INIT(&k->logins);
	TAILQ_INIT(&k->in_time);
	flush_init(&k->leave, leave, k);
	map_init(&k->proven, seed);
	k->cache = callout_cache_new(CACHED_MAX, seed);
	k->guesses = guesses_new(GUESTS_MAX, seed);
}
