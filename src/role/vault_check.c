/*
 * Logins. What is cheap is answered at once; a password that has to be hashed waits for a thread
 * (vault_line.c). Whatever is wrong, the answer and the work for it are the same: a name that does
 * not exist is checked against the hash of an account chosen by the name.
 */
#include "role/vault.h"

#include "auth/scram.h"
#include "base/clock.h"

#include <openssl/crypto.h>
#include <sodium.h>
#include <sys/random.h>

enum {
	PROOF_MAX = 64,
	ITERATIONS = 4096, /* told for unknown names where no account has a verifier */
	REPLY_MAX = 4096,
};
enum { LOGINS_KEPT = 8192, ADDRESSES_KEPT = 65536, NAMES_KEPT = 65536 };
#define PROVEN_FOR (60 * USEC_PER_SEC)
#define DISPROVEN_FOR (3600 * USEC_PER_SEC)
#define DISPROVEN_ELSEWHERE (5 * USEC_PER_SEC)

static const struct guess_limits limits = {.per_address = 20,
    .per_account = 100,
    .forget = 180 * USEC_PER_SEC,
    .first_wait = 30 * USEC_PER_SEC,
    .last_wait = 3600 * USEC_PER_SEC,
    .account_wait = 300 * USEC_PER_SEC,
    .addresses = ADDRESSES_KEPT,
    .accounts = NAMES_KEPT};

/* ---- answers -------------------------------------------------------------------------------- */

/* p NULL: nobody waits for it any more. */
static void answer(struct vault_peer *p, const struct proto_checked *c)
{
	struct span part;
	struct buf b;

	if (c->status == CHECK_WRONG)
		metric_add(METRIC_LOGINS_WRONG, 1);
	else if (c->status == CHECK_LATER)
		metric_add(METRIC_LOGINS_LATER, 1);
	if (p == NULL || p->ipc == NULL)
		return;
	buf_init(&b, REPLY_MAX);
	proto_put_checked(&b, c);
	gw_assert(!buf_failed(&b));
	part = buf_view(&b);
	ipc_send(p->ipc, IPC_CHECKED, &part, 1, -1);
	buf_fini(&b);
}

void vault_say(struct vault_peer *p, uint64_t request, enum check_status status, const char *reason)
{
	struct proto_checked c = {
	    .request = request, .status = (uint8_t)status, .reason = span_str(reason)};

	answer(p, &c);
}

void vault_say_good(struct vault *v, struct vault_peer *p, uint64_t request, struct span account,
    struct span signature)
{
	struct ticket t = {.account = account, .origin = SPAN("login"), .at = clock_wall()};
	struct proto_checked c = {
	    .request = request, .status = CHECK_GOOD, .account = account, .signature = signature};
	char text[TICKET_TEXT];

	ticket_make(v->ticket_key, &t, text);
	c.ticket = span_str(text);
	answer(p, &c);
}

void vault_say_login(struct vault *v, struct vault_peer *p, uint64_t request, struct span account)
{
	vault_say_good(v, p, request, account, SPAN_NONE);
}

static const char *limit_reason(enum guess_verdict v)
{
	return v == GUESS_ADDRESS_LIMIT ? "address_limit" : "account_limit";
}

bool vault_may_try(
    struct vault *v, struct vault_peer *p, uint64_t request, const uint8_t ip[16], struct span name)
{
	enum guess_verdict verdict = guess_ask(v->checks.guess, ip, name, loop_now(v->loop));

	if (verdict == GUESS_GO)
		return true;
	vault_say(p, request, CHECK_LATER, limit_reason(verdict));
	return false;
}

const char *vault_forbidden(const struct account *a, const uint8_t ip[16])
{
	if (a == NULL)
		return "no_such_user";
	if (a->state == ACCOUNT_SUSPENDED)
		return "suspended";
	if (a->state != ACCOUNT_ACTIVE)
		return "closed";
	return account_may_come_from(a, ip) ? NULL : "from_elsewhere";
}

/* ---- names that do not exist ----------------------------------------------------------------- */

/* One of n, always the same for a name, and not to be foreseen from outside. */
static size_t choice(const struct vault *v, struct span name, size_t n)
{
	uint8_t salt[16];
	uint64_t x;

	scram_fake_salt(v->checks.secret, name, salt);
	memcpy(&x, salt, sizeof(x));
	return (size_t)(x % n);
}

struct span vault_decoy_hash(const struct vault *v, struct span name)
{
	size_t n = accounts_count(v->accounts);
	const struct account *a = n > 0 ? accounts_at(v->accounts, choice(v, name, n)) : NULL;

	return a != NULL && a->hash.n > 0 ? a->hash : span_str(passhash_nobody());
}

static uint32_t decoy_iterations(const struct vault *v, struct span name)
{
	size_t n = accounts_count(v->accounts);
	const struct account *a = n > 0 ? accounts_at(v->accounts, choice(v, name, n)) : NULL;

	return a != NULL && a->scram != NULL ? a->scram->iterations : ITERATIONS;
}

/* ---- passwords ------------------------------------------------------------------------------- */

static void check_password(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	const struct account *a = accounts_find(v->accounts, in->name);
	struct vault_checks *k = &v->checks;
	uint8_t digest[LOGIN_DIGEST];
	const char *why = vault_forbidden(a, in->ip);
	int known;

	logins_digest(k->logins, in->name, in->secret, digest);
	known = logins_find(k->logins, digest, loop_now(v->loop));
	if (known == 1 && why == NULL) {
		guess_right(k->guess, in->ip, a->name, loop_now(v->loop));
		vault_say_good(v, p, in->request, a->name, SPAN_NONE);
	} else if (known == 0) {
		/* The same mistake again: a device that was forgotten, not a guesser. */
		vault_say(p, in->request, CHECK_WRONG, why != NULL ? why : "bad_password");
	} else if (!vault_line_has_room(k, in->ip)) {
		vault_say(p, in->request, CHECK_LATER, "busy");
	} else {
		vault_line_up(v, p, in, a, digest);
	}
	sodium_memzero(digest, sizeof(digest));
}

/* ---- SCRAM ------------------------------------------------------------------------------------
 */

static void scram_first(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	const struct account *a = accounts_find(v->accounts, in->name);
	struct proto_checked c = {.request = in->request, .status = CHECK_SALT};
	uint8_t salt[16];

	scram_fake_salt(v->checks.secret, in->name, salt);
	c.salt = span_of(salt, sizeof(salt));
	c.iterations = decoy_iterations(v, in->name);
	if (a != NULL && a->scram != NULL) {
		c.salt = a->scram->salt;
		c.iterations = a->scram->iterations;
	}
	answer(p, &c);
}

static void scram_final(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	const struct account *a = accounts_find(v->accounts, in->name);
	bool exists = a != NULL && a->scram != NULL;
	/* The same arithmetic for all. */
	struct scram_verifier nobody = {.iterations = ITERATIONS};
	const struct scram_verifier *s = exists ? a->scram : &nobody;
	bool right = scram_verify(s, in->secret, in->proof) && exists;
	const char *why = vault_forbidden(a, in->ip);
	uint8_t signature[SCRAM_KEY];

	scram_server_signature(s, in->secret, signature);
	if (right && why == NULL) {
		guess_right(v->checks.guess, in->ip, a->name, loop_now(v->loop));
		vault_say_good(v, p, in->request, a->name, span_of(signature, sizeof(signature)));
		return;
	}
	guess_wrong(v->checks.guess, in->ip, in->name, loop_now(v->loop));
	vault_say(p, in->request, CHECK_WRONG, why != NULL ? why : "bad_password");
}

/* ---- the outside ------------------------------------------------------------------------------
 */

/* godwit dev: who it is does not matter. */
static void take_anybody(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	if (in->kind == CHECK_PASSWORD)
		vault_say_good(v, p, in->request, in->name, SPAN_NONE);
	else
		vault_say(p, in->request, CHECK_WRONG, "bad_password");
}

/* SCRAM is not offered then. */
static void check_elsewhere(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	if (in->kind == CHECK_PASSWORD)
		vault_ask_dovecot(v, p, in);
	else
		vault_say(p, in->request, CHECK_WRONG, "bad_password");
}

static bool is_sane(const struct proto_check *in)
{
	if (in->name.n == 0 || in->name.n > ACCOUNT_NAME_MAX || span_find(in->name, 0) >= 0)
		return false;
	if (in->kind == CHECK_PASSWORD)
		return in->secret.n > 0 && in->secret.n <= VAULT_PASSWORD_MAX;
	return in->proof.n <= PROOF_MAX;
}

static void check(struct vault *v, struct vault_peer *p, const struct proto_check *in)
{
	metric_add(METRIC_LOGIN_CHECKS, 1);
	if (!is_sane(in)) {
		vault_say(p, in->request, CHECK_WRONG, "bad_password");
		return;
	}
	/* The first that master sends; who asks in that moment asks again. */
	if (!v->has_ticket_key) {
		vault_say(p, in->request, CHECK_LATER, "busy");
		return;
	}
	if (v->config->users_any) {
		take_anybody(v, p, in);
		return;
	}
	/* A users file that cannot be read makes nobody's password wrong. */
	if (v->config->users != NULL && v->accounts == NULL) {
		vault_say(p, in->request, CHECK_LATER, "no_accounts");
		return;
	}
	if (!vault_may_try(v, p, in->request, in->ip, in->name))
		return;
	if (v->config->users_dovecot != NULL)
		check_elsewhere(v, p, in);
	else if (in->kind == CHECK_SCRAM_FIRST)
		scram_first(v, p, in);
	else if (in->kind == CHECK_SCRAM_FINAL)
		scram_final(v, p, in);
	else
		check_password(v, p, in);
}

int vault_check(struct vault *v, struct vault_peer *p, struct span payload)
{
	struct proto_check in;

	if (proto_get_check(payload, &in) < 0)
		return GW_EFORMAT;
	check(v, p, &in);
	/* The frame's memory is the channel's buffer: the password must not stay in it. */
	OPENSSL_cleanse((void *)(uintptr_t)payload.p, payload.n);
	return 0;
}

void vault_checks_forget(struct vault *v)
{
	logins_clear(v->checks.logins);
}

/* Nobody tells us when a password at Dovecot is another one. */
static int64_t disproven_for(const struct vault *v)
{
	return v->config->users_dovecot != NULL ? DISPROVEN_ELSEWHERE : DISPROVEN_FOR;
}

void vault_checks_change(struct vault *v)
{
	logins_clear(v->checks.logins);
	logins_keep(v->checks.logins, PROVEN_FOR, disproven_for(v));
}

void vault_checks_prepare(struct vault *v)
{
	struct vault_checks *k = &v->checks;
	uint64_t seed;

	if (sodium_init() < 0)
		die("vault: libsodium cannot be used");
	randombytes_buf(&seed, sizeof(seed));
	TAILQ_INIT(&k->known);
	TAILQ_INIT(&k->unknown);
	k->guess = guess_new(&limits, seed);
	k->logins = logins_new(LOGINS_KEPT, PROVEN_FOR, disproven_for(v));
	k->workers = vault_workers_new(VAULT_WORKERS, vault_hashed, v);
}

void vault_checks_start(struct vault *v)
{
	vault_workers_start(v->checks.workers, v->loop);
}
