/* Clients come and go: counted against the limits, turned away, freed. */
#include "role/smtpd_auth.h"

#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void format_ip(struct session *s)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&s->addr;
	const struct sockaddr_in *four = (const struct sockaddr_in *)&s->addr;

	if (s->addr.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &six->sin6_addr, s->ip, sizeof(s->ip));
	else if (s->addr.ss_family == AF_INET)
		inet_ntop(AF_INET, &four->sin_addr, s->ip, sizeof(s->ip));
	else
		snprintf(s->ip, sizeof(s->ip), "local");
}

static struct client_count *count_client(struct smtpd *d, const struct sockaddr_storage *addr)
{
	struct client_count *c, probe = {.n = 0};

	if (addr->ss_family == AF_INET6)
		memcpy(probe.key, &((const struct sockaddr_in6 *)addr)->sin6_addr, 16);
	else if (addr->ss_family == AF_INET)
		memcpy(probe.key + 12, &((const struct sockaddr_in *)addr)->sin_addr, 4);
	c = map_get(&d->clients, span_of(probe.key, sizeof(probe.key)));
	if (c == NULL) {
		c = gw_calloc(1, sizeof(*c));
		*c = probe;
		map_put(&d->clients, span_of(c->key, sizeof(c->key)), c);
	}
	c->n++;
	return c;
}

void session_uncount(struct session *s)
{
	struct smtpd *d = s->smtpd;
	struct client_count *c = s->count;

	d->n_sessions--;
	metric_add(METRIC_CONNECTIONS, -1);
	if (--c->n > 0)
		return;
	map_del(&d->clients, span_of(c->key, sizeof(c->key)));
	free(c);
}

/* What is said, and what the log says. */
struct refusal {
	const char *text, *reason;
	uint8_t esc[3];
};

static const struct refusal crowded = {"Too many connections, please try again later",
				"connections_limit", {4, 7, 0}},
			    crowd_of_one = {"Too many connections, please try again later",
				"per_ip_limit", {4, 7, 0}},
			    /* What came from there ended a process twice. */
    denied = {"Not taking mail from this address for now", "ended_a_process", {4, 3, 2}},
			    no_memory = {"No memory for a connection now, please try again later",
				"no_memory", {4, 3, 2}};

static const struct refusal *over_limit(const struct session *s)
{
	const struct smtpd *d = s->smtpd;
	const struct client_count *c = s->count;

	if (d->deny.n > 0 && deny_find(&d->deny, &s->from, loop_now(d->loop)) != NULL)
		return &denied;
	if (d->n_sessions > d->config->limits.connections)
		return &crowded;
	if (memory_is_spent() && memory_low())
		return &no_memory;
	return c->n > d->config->limits.per_ip ? &crowd_of_one : NULL;
}

/* Said without an engine: a flood is to cost as little as possible. */
static void turn_away(struct session *s, const struct refusal *why)
{
	struct reply r = {421, {why->esc[0], why->esc[1], why->esc[2]}, span_str(why->text)};
	char text[128];
	int n = snprintf(text, sizeof(text), "421 %u.%u.%u %s\r\n", why->esc[0], why->esc[1],
	    why->esc[2], why->text);

	session_log_reject(s, "connect", &r, why->reason, (struct place){0}, SPAN_NONE);
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	/* Who waits for a handshake cannot read it. */
	if (s->conf->tls != LISTEN_TLS_IMPLICIT &&
	    stream_write(&s->io, span_of(text, (size_t)n)) < 0)
		log_flush();
	session_free(s);
}

void session_new(struct listener *l, int fd, const struct sockaddr_storage *addr)
{
	struct smtpd *d = l->smtpd;
	struct session *s = gw_calloc(1, sizeof(*s));
	const struct refusal *limit;
	int on = 1;

	s->magic = SESSION_MAGIC;
	s->smtpd = d;
	s->listener = l;
	s->conf = l->conf;
	stream_init(&s->io, fd);
	s->addr = *addr;
	s->from = blotter_addr_of(addr);
	s->number = ++d->next_session;
	s->sid = smtpd_new_id(d);
	format_ip(s);
	s->trust = config_trusts(d->config, (const struct sockaddr *)addr);
	s->count = count_client(d, addr);
	buf_init(&s->in, SMTPD_IN_MAX);
	buf_init(&s->helo, 1024);
	TAILQ_INSERT_TAIL(&d->sessions, s, link);
	d->n_sessions++;
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_CONNECTIONS_TOTAL, 1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	server_init(&s->engine, &l->engine, loop_now(d->loop));
	limit = over_limit(s);
	if (limit != NULL)
		turn_away(s, limit);
	else
		session_begin(s);
}

void session_client(const struct session *s, struct accept_client *out)
{
	*out = (struct accept_client){.listen = s->conf, .trust = s->trust};
	/* What was said before TLS counts no more: the engine knows. */
	if (s->login == NULL || !server_is_authenticated(&s->engine))
		return;
	out->login = s->login->account;
	out->account = accounts_find(s->smtpd->accounts, out->login);
}

void session_free(struct session *s)
{
	struct smtpd *d = s->smtpd;

	gw_check_magic(s, SESSION_MAGIC);
	txn_free(&s->txn);
	auth_forget(s);
	watch_stop(&s->watch);
	timer_stop(&s->timer);
	stream_close(&s->io);
	server_fini(&s->engine);
	buf_fini(&s->in);
	buf_fini(&s->helo);
	if (s->lingering)
		d->n_lingering--;
	else
		session_uncount(s);
	TAILQ_REMOVE(&d->sessions, s, link);
	s->magic = 0;
	free(s);
	smtpd_check_stop(d);
}
