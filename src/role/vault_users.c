/* The accounts: with their secrets here, without them elsewhere. */
#include "role/vault.h"

#include "base/clock.h"
#include "base/log.h"

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

static void take(struct vault *v, struct accounts *a)
{
	int fd = make_public(a);

	if (fd < 0) {
		log_refused(v, 0, "there is no memory for the accounts");
		accounts_free(&a);
		return;
	}
	accounts_free(&v->accounts);
	v->accounts = a;
	if (v->public_fd >= 0)
		close(v->public_fd);
	v->public_fd = fd;
	/* Later than that of any vault before. */
	v->version = (uint64_t)clock_wall() > v->version ? (uint64_t)clock_wall() : v->version + 1;
	vault_checks_forget(v);
	log_loaded(v);
	tell_all(v);
}

void vault_users_file(struct vault *v, int fd)
{
	struct accounts_error e = {0};
	struct accounts *a = NULL;
	const char *why = NULL;
	struct span text;
	int err = vault_read(fd, USERS_MAX, &text, &why);

	close(fd);
	if (err == 0)
		a = accounts_parse(text, &e);
	vault_unread(&text);
	if (a != NULL)
		take(v, a);
	else
		log_refused(v, e.line, err < 0 ? why : e.text);
}
