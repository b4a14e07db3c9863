/* The accounts: with their secrets here, without them elsewhere. */
#include "role/vault.h"

#include "base/clock.h"
#include "base/log.h"

#include <sodium.h>
#include <unistd.h>

enum { USERS_MAX = 256 << 20 };

void vault_users_tell(struct vault *v, struct vault_peer *p)
{
	uint8_t version[8];

	if (p->ipc == NULL || v->public_fd < 0)
		return;
	for (size_t i = 0; i < sizeof(version); i++)
		version[i] = (uint8_t)(v->version >> 8 * i);
	ipc_send(p->ipc, IPC_ACCOUNTS, &(struct span){version, sizeof(version)}, 1, v->public_fd);
}

static void tell_all(struct vault *v)
{
	vault_users_tell(v, &v->queue);
	for (size_t i = 0; i < WORKERS_MAX; i++)
		vault_users_tell(v, &v->smtpd[i]);
}

static void log_refused(const struct vault *v, unsigned line, const char *why)
{
	struct logline l;

	log_begin(&l, EV_USERS_REFUSED);
	log_str(&l, "file", v->config->users);
	if (line > 0)
		log_number(&l, "line", line);
	log_str(&l, "kept", v->accounts != NULL ? "yes" : "no");
	log_str(&l, "reason", why);
	log_end(&l);
}

static void log_loaded(const struct vault *v)
{
	struct logline l;

	log_begin(&l, EV_USERS_LOADED);
	log_str(&l, "file", v->config->users);
	log_number(&l, "accounts", (int64_t)accounts_count(v->accounts));
	log_end(&l);
}

/* Those with a plan that is not there have other limits than somebody thinks. */
static void log_plans(const struct vault *v)
{
	const struct account *first = NULL;
	struct logline l;
	int64_t n = 0;

	for (size_t i = 0; i < accounts_count(v->accounts); i++) {
		const struct account *a = accounts_at(v->accounts, i);

		if (a->plan.n == 0 || config_has_plan(v->config, a->plan))
			continue;
		first = first == NULL ? a : first;
		n++;
	}
	if (first == NULL)
		return;
	log_begin(&l, EV_USERS_PLAN);
	log_str(&l, "file", v->config->users);
	log_number(&l, "line", first->line);
	log_text(&l, "account", first->name);
	log_text(&l, "plan", first->plan);
	log_number(&l, "accounts", n);
	log_str(&l, "instead", config_has_plan(v->config, SPAN("default")) ? "default" : "none");
	log_end(&l);
}

/* The table without its secrets, for others. */
static int make_public(const struct accounts *a)
{
	struct buf b;
	int fd;

	buf_init(&b, USERS_MAX);
	accounts_public(a, &b);
	fd = buf_failed(&b) ? -1 : vault_seal("godwit-accounts", buf_view(&b));
	buf_fini(&b);
	return fd;
}

/* Later than that of any vault before. */
static uint64_t later_version(const struct vault *v)
{
	uint64_t now = (uint64_t)clock_wall();

	return now > v->version ? now : v->version + 1;
}

/* A reload brings the same file again: what was found out about its users holds. */
static bool is_known(const struct vault *v, const uint8_t digest[USERS_DIGEST])
{
	return v->accounts != NULL && memcmp(v->users_digest, digest, USERS_DIGEST) == 0;
}

static void take(struct vault *v, struct accounts *a, const uint8_t digest[USERS_DIGEST])
{
	int fd = make_public(a);

	if (fd < 0) {
		log_refused(v, 0, "there is no memory for the accounts");
		accounts_free(&a);
		return;
	}
	accounts_free(&v->accounts);
	v->accounts = a;
	memcpy(v->users_digest, digest, sizeof(v->users_digest));
	if (v->public_fd >= 0)
		close(v->public_fd);
	v->public_fd = fd;
	v->version = later_version(v);
	vault_checks_forget(v);
	log_loaded(v);
	log_plans(v);
	tell_all(v);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Where the file is the same one it comes again, and takes the place of what was in it. */
void vault_users_change(struct vault *v, const struct config *old)
{
	const struct config *c = v->config;

	if (same_text(c->users, old->users) && same_text(c->users_dovecot, old->users_dovecot))
		return;
	accounts_free(&v->accounts);
	if (v->public_fd >= 0)
		close(v->public_fd);
	v->public_fd = -1;
	v->version = later_version(v);
	vault_checks_change(v);
	vault_lookups_forget(v);
}

void vault_users_file(struct vault *v, int fd)
{
	struct accounts_error e = {0};
	struct accounts *a = NULL;
	const char *why = NULL;
	uint8_t digest[USERS_DIGEST];
	struct span text;
	int err = vault_read(fd, USERS_MAX, &text, &why);

	close(fd);
	if (err == 0)
		a = accounts_parse(text, &e);
	if (err == 0)
		crypto_generichash(digest, sizeof(digest), text.p, text.n, NULL, 0);
	vault_unread(&text);
	if (a == NULL) {
		log_refused(v, e.line, err < 0 ? why : e.text);
	} else if (is_known(v, digest)) {
		accounts_free(&a);
		log_plans(v); /* these may be others */
	} else {
		take(v, a, digest);
	}
}
