/*
 * Passwords that have to be hashed wait for a thread, in one of two short lines: those from where a
 * login was right before go first. What a thread found out is judged against the users of then.
 */
#include "role/vault.h"

#include <openssl/crypto.h>
#include <stdlib.h>

enum { LINE_MAX_ALL = 256 };

/* One that waits for its password to be hashed. */
struct check {
	TAILQ_ENTRY(check) link;
	struct vault *vault;
	struct vault_job job;
	struct vault_peer *peer;
	uint64_t channel; /* of the peer, when it asked */
	uint64_t request;
	bool exists;
	uint8_t ip[16], digest[LOGIN_DIGEST];
	uint8_t name[ACCOUNT_NAME_MAX], password[VAULT_PASSWORD_MAX], hash[PASSHASH_MAX];
	size_t n_name;
};

/* ---- the line -------------------------------------------------------------------------------- */

static void forget_check(struct check *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
}

bool vault_same_address(const uint8_t a[16], const uint8_t b[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a, b, memcmp(a, mapped, sizeof(mapped)) == 0 ? 16 : 8) == 0;
}

bool vault_line_has_room(const struct vault_checks *k, const uint8_t ip[16])
{
	const struct check *c;
	size_t n = 0;

	if (k->n >= LINE_MAX_ALL)
		return false;
	TAILQ_FOREACH(c, &k->known, link)
	n += vault_same_address(c->ip, ip);
	TAILQ_FOREACH(c, &k->unknown, link)
	n += vault_same_address(c->ip, ip);
	return n < CHECKS_OF_ADDRESS;
}

static struct check *next_check(struct vault_checks *k)
{
	struct check_list *l = TAILQ_EMPTY(&k->known) ? &k->unknown : &k->known;
	struct check *c = TAILQ_FIRST(l);

	if (c != NULL) {
		TAILQ_REMOVE(l, c, link);
		k->n--;
	}
	return c;
}

/* Who waits for it; NULL if the channel it came by is gone. In its place there may be another by
 * now, whose requests have the same numbers: an answer to the one must never reach the other. */
static struct vault_peer *asker(const struct check *c)
{
	return c->peer->ipc != NULL && c->peer->number == c->channel ? c->peer : NULL;
}

/* As many as there are threads. The limits are asked again: they count what was found out while
 * this one waited, so that a thousand guesses sent at once are not all tried. */
static void proceed(struct vault *v)
{
	struct vault_checks *k = &v->checks;
	struct check *c;

	while (vault_workers_idle(k->workers) && (c = next_check(k)) != NULL) {
		struct span name = span_of(c->name, c->n_name);

		if (asker(c) == NULL || !vault_may_try(v, c->peer, c->request, c->ip, name))
			forget_check(c);
		else
			vault_workers_give(k->workers, &c->job);
	}
}

void vault_line_up(struct vault *v, struct vault_peer *p, const struct proto_check *in,
    const struct account *a, const uint8_t digest[LOGIN_DIGEST])
{
	struct vault_checks *k = &v->checks;
	struct span hash = a != NULL && a->hash.n > 0 ? a->hash : vault_decoy_hash(v, in->name);
	struct check *c = gw_calloc(1, sizeof(*c));

	gw_assert(in->name.n <= sizeof(c->name) && in->secret.n <= sizeof(c->password) &&
		  hash.n <= sizeof(c->hash));
	*c = (struct check){.vault = v,
	    .peer = p,
	    .channel = p->number,
	    .request = in->request,
	    .exists = a != NULL && a->hash.n > 0,
	    .n_name = in->name.n};
	memcpy(c->ip, in->ip, sizeof(c->ip));
	memcpy(c->digest, digest, sizeof(c->digest));
	memcpy(c->name, in->name.p, in->name.n);
	if (in->secret.n > 0)
		memcpy(c->password, in->secret.p, in->secret.n);
	memcpy(c->hash, hash.p, hash.n);
	c->job = (struct vault_job){
	    .hash = span_of(c->hash, hash.n), .password = span_of(c->password, in->secret.n)};
	if (guess_knows(k->guess, in->ip, in->name))
		TAILQ_INSERT_TAIL(&k->known, c, link);
	else
		TAILQ_INSERT_TAIL(&k->unknown, c, link);
	k->n++;
	proceed(v);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void refuse(struct vault *v, const struct check *c, const char *reason)
{
	struct span name = span_of(c->name, c->n_name);

	guess_wrong(v->checks.guess, c->ip, name, loop_now(v->loop));
	logins_add(v->checks.logins, c->digest, false, loop_now(v->loop));
	vault_say(asker(c), c->request, CHECK_WRONG, reason);
}

static void permit(struct vault *v, const struct check *c, const struct account *a)
{
	guess_right(v->checks.guess, c->ip, a->name, loop_now(v->loop));
	logins_add(v->checks.logins, c->digest, true, loop_now(v->loop));
	vault_say_good(v, asker(c), c->request, a->name, SPAN_NONE);
}

/* The users may have come anew while a thread was at work: was this what they are checked against
 * now? */
static bool still_holds(const struct vault *v, const struct check *c, const struct account *a)
{
	bool exists = a != NULL && a->hash.n > 0;

	if (v->accounts == NULL || exists != c->exists)
		return false;
	return !exists || span_eq(a->hash, c->job.hash);
}

/* Against the users of now. */
static void check_again(struct vault *v, const struct check *c, const struct account *a)
{
	struct vault_peer *p = asker(c);
	struct proto_check in = {.request = c->request,
	    .kind = CHECK_PASSWORD,
	    .name = span_of(c->name, c->n_name),
	    .secret = c->job.password};

	memcpy(in.ip, c->ip, sizeof(in.ip));
	if (p != NULL && v->accounts != NULL && vault_line_has_room(&v->checks, c->ip))
		vault_line_up(v, p, &in, a, c->digest);
	else
		vault_say(p, c->request, CHECK_LATER, "busy");
}

static void judge(struct vault *v, const struct check *c)
{
	const struct account *a = accounts_find(v->accounts, span_of(c->name, c->n_name));
	const char *why = vault_forbidden(a, c->ip);
	bool right = c->exists && c->job.answer == PASSHASH_RIGHT;

	if (c->job.answer == PASSHASH_UNKNOWN)
		vault_say(asker(c), c->request, CHECK_LATER, "busy");
	else if (!still_holds(v, c, a))
		check_again(v, c, a);
	else if (right && why == NULL)
		permit(v, c, a);
	else
		refuse(v, c, why != NULL ? why : "bad_password");
}

void vault_hashed(void *arg, struct vault_job *j)
{
	struct vault *v = arg;
	struct check *c = (struct check *)(void *)((char *)j - offsetof(struct check, job));

	/* A guess counts also if the one who asked is gone: going away must not be of use. */
	judge(v, c);
	forget_check(c);
	proceed(v);
}
