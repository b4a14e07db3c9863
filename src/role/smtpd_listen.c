/*
 * The listeners of the receiver: sockets, and the configuration they are served by. A reload makes
 * new ones; a socket that stays goes over to the new one, and the old one lives as long as it has
 * sessions.
 */
#include "role/smtpd_auth.h"
#include "role/smtpd_tls.h"
#include "role/tables.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPT_TURN = 64,   /* connections taken from one listener in one turn */
	ACCEPT_LAST = 4096, /* before its socket is closed: more than its backlog has */
};

/* ---- rules ---------------------------------------------------------------------------------- */

static struct rules *rules_new(struct smtpd *d)
{
	struct rules *r = gw_calloc(1, sizeof(*r));

	r->config = config_ref(d->config);
	/* One receiver speaks for all: they are given the same files. */
	r->tables = tables_new(r->config, d->boot->index == 0);
	r->refs = 1;
	return r;
}

static struct rules *rules_ref(struct rules *r)
{
	r->refs++;
	return r;
}

static void rules_drop(struct rules **rp)
{
	struct rules *r = *rp;

	*rp = NULL;
	if (r == NULL || --r->refs > 0)
		return;
	tables_free(&r->tables);
	config_free(&r->config);
	free(r);
}

void rules_take_file(struct smtpd *d, const struct proto_file *f, int fd)
{
	bool waited = !tables_there(d->rules->tables);

	tables_take(d->rules->tables, f, fd);
	if (waited)
		smtpd_set_listeners(d);
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Errors of the connection that was to be taken are no reason to rest. */
static bool out_of_means(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* One connection; false: there is none, or none can be taken. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage addr = {0};
	socklen_t len = sizeof(addr);
	int fd = accept4(l->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && out_of_means(errno))
		smtpd_rest(l->smtpd);
	if (fd < 0)
		return false;
	l->smtpd->starved = false;
	session_new(l, fd, &addr);
	return true;
}

static void on_accept(void *arg, bool readable, bool writable)
{
	struct listener *l = arg;

	(void)readable;
	(void)writable;
	for (int i = 0; i < ACCEPT_TURN && accept_one(l); i++)
		;
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* Where mail is given out none is taken. */
static uint32_t extensions_of(const struct config *c, const struct listen *l)
{
	if (l->kind == LISTEN_ODMR)
		return EXT_BIT(PIPELINING) | EXT_BIT(ENHANCEDSTATUSCODES) | EXT_BIT(STARTTLS) |
		       EXT_BIT(AUTH) | EXT_BIT(ATRN);
	return c->n_etrn > 0 ? EXT_ALL : EXT_ALL & ~EXT_BIT(ETRN);
}

/* What the engine of its sessions is to know, but for TLS and logins. */
static void set_engine(struct listener *l, const struct config *c)
{
	l->engine = (struct server_config){.hostname = span_str(c->hostname),
	    .banner = span_str(l->conf->banner),
	    .extensions = extensions_of(c, l->conf),
	    .turns = l->conf->kind == LISTEN_ODMR,
	    .message_size = c->limits.message_size,
	    .recipients = c->limits.recipients,
	    .transactions = c->limits.transactions,
	    .bad_commands = c->limits.bad_commands,
	    .command_timeout = c->limits.command_timeout,
	    .data_timeout = c->limits.data_timeout,
	    .future_release = l->conf->future_release,
	    .data_rate = (uint32_t)c->limits.data_rate,
	    .lmtp = l->conf->kind == LISTEN_LMTP,
	    .xclient_login = l->conf->xclient_login,
	    .by_least = (uint32_t)(c->limits.deliver_by / USEC_PER_SEC)};
}

static struct listener *listener_make(struct smtpd *d, const struct listen *conf)
{
	struct listener *l = gw_calloc(1, sizeof(*l));

	l->smtpd = d;
	l->rules = rules_ref(d->rules);
	l->conf = conf;
	l->fd = -1;
	l->refs = 1;
	set_engine(l, d->config);
	TAILQ_INSERT_TAIL(&d->listeners, l, link);
	return l;
}

struct listener *listener_without_socket(struct smtpd *d, const struct listen *conf)
{
	return listener_make(d, conf);
}

static struct listener *listener_new(struct smtpd *d, size_t conf, uint32_t socket, int fd)
{
	struct listener *l = listener_make(d, &d->config->listen[conf]);

	l->socket = socket;
	l->fd = fd;
	l->open = true;
	watch_start(&l->watch, d->loop, fd, on_accept, l);
	watch_want(&l->watch, false, false); /* smtpd_set_listeners() decides */
	return l;
}

void listener_drop(struct listener **lp)
{
	struct listener *l = *lp;

	*lp = NULL;
	if (l == NULL || --l->refs > 0)
		return;
	gw_assert(!l->open);
	TAILQ_REMOVE(&l->smtpd->listeners, l, link);
	rules_drop(&l->rules);
	free(l);
}

/* It has no socket from now on; its sessions go on. */
static void retire(struct listener *l)
{
	if (!l->open)
		return;
	l->open = false;
	watch_stop(&l->watch);
	listener_drop(&l);
}

void listeners_start(struct smtpd *d)
{
	struct boot *b = d->boot;

	d->rules = rules_new(d);
	for (size_t i = 0; i < b->n_listen; i++)
		(void)listener_new(
		    d, b->listen[i].conf_index, b->listen[i].socket, b->listen[i].fd);
}

void listeners_stop(struct smtpd *d)
{
	struct listener *l, *next;

	for (l = TAILQ_FIRST(&d->listeners); l != NULL; l = next) {
		next = TAILQ_NEXT(l, link);
		retire(l);
	}
}

/* ---- reload ---------------------------------------------------------------------------------- */

/* With --one-process the sockets of the start are master's own. */
static bool is_masters(const struct smtpd *d, int fd)
{
	for (size_t i = 0; i < d->boot->n_listen && d->boot->one_process; i++) {
		if (d->boot->listen[i].fd == fd)
			return true;
	}
	return false;
}

static struct reload_socket *find_socket(struct reload *r, uint32_t number)
{
	for (size_t i = 0; i < r->n_socket; i++) {
		if (r->socket[i].listen.socket == number)
			return &r->socket[i];
	}
	return NULL;
}

/* Who waits in its backlog was told that there is somebody: those are served by the old rules. What
 * the kernel takes between the last accept and close() is reset. */
static void close_listener(struct listener *l)
{
	struct smtpd *d = l->smtpd;
	int fd = l->fd;

	if (d->has_queue && smtpd_tls_can_greet(l))
		for (int i = 0; i < ACCEPT_LAST && accept_one(l); i++)
			;
	retire(l);
	if (!is_masters(d, fd))
		close(fd);
}

static void change_listener(struct listener *l, struct reload *r)
{
	struct reload_socket *s = find_socket(r, l->socket);
	struct smtpd *d = l->smtpd;
	int fd = l->fd;

	if (s == NULL) {
		close_listener(l);
		return;
	}
	/* The one it has is as good as the copy. */
	close(s->fd);
	s->fd = -1;
	retire(l);
	(void)listener_new(d, s->listen.conf, s->listen.socket, fd);
}

/* One of the rules before. */
static struct listener *find_old(struct smtpd *d)
{
	struct listener *l;

	TAILQ_FOREACH(l, &d->listeners, link)
	{
		if (l->open && l->rules != d->rules)
			return l;
	}
	return NULL;
}

void listeners_change(struct smtpd *d, struct reload *r)
{
	struct rules *old = d->rules;
	struct listener *l;

	d->rules = rules_new(d);
	while ((l = find_old(d)) != NULL)
		change_listener(l, r);
	for (size_t i = 0; i < r->n_socket; i++) {
		struct reload_socket *s = &r->socket[i];

		if (s->fd >= 0)
			(void)listener_new(d, s->listen.conf, s->listen.socket, s->fd);
		s->fd = -1;
	}
	rules_drop(&old);
}
