/* Clients come and go: counted against the limits, turned away, made to go for others, freed. */
#include "role/smtpd_auth.h"
#include "role/smtpd_limits.h"
#include "role/smtpd_tls.h"
#include "role/smtpd_turn.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	NET_FACTOR = 4, /* a net may connect that often for one address's once */
	/* Of all places, those that are for trusted clients: one of so many, and so many at most.
	 */
	RESERVE_PART = 10,
	RESERVE_MAX = 100,
	/* A client that does nothing has to go after so long: for one that comes when no place is
	 * left, and in any case when three quarters are taken. */
	PATIENCE_FULL = 2 * USEC_PER_SEC,
	PATIENCE_PRESSURE = 10 * USEC_PER_SEC,
	SWEEP_EVERY = 1 * USEC_PER_SEC,
	LAZY_LOOKS = 64,  /* sessions looked at for one that comes */
	LAZY_RATE = 1024, /* octets a second: content that comes slower is no use either */
};

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

/* ---- the idle make room ---------------------------------------------------------------------- */

static bool is_known(const struct session *s)
{
	return s->trust != NULL || s->identified != NULL || server_is_authenticated(&s->engine);
}

/* Content that crawls. Whoever waits for us is not to blame. */
static bool is_slow(const struct session *s, int64_t now, int64_t patience)
{
	int64_t took = now - s->engine.started;

	return !s->held && took > patience &&
	       s->engine.received < (uint64_t)(took / USEC_PER_SEC) * LAZY_RATE;
}

static bool is_lazy(const struct session *s, int64_t now, int64_t patience)
{
	if (s->lingering || is_known(s) || s->in_process || s->proxy != NULL)
		return false;
	if (s->engine.verdict_due && !session_is_shaking(s))
		return false;
	if (s->engine.state == SERVER_S_BODY)
		return is_slow(s, now, patience);
	return now - s->useful_at > patience;
}

/* The list has those first that did nothing for longest. */
static bool make_room(struct smtpd *d)
{
	int64_t now = loop_now(d->loop);
	struct session *s;
	int looks = 0;

	TAILQ_FOREACH(s, &d->sessions, link)
	{
		if (is_lazy(s, now, PATIENCE_FULL)) {
			session_evict(s);
			return true;
		}
		if (++looks == LAZY_LOOKS)
			break;
	}
	return false;
}

static bool under_pressure(const struct smtpd *d)
{
	return tally_total(d->tally) * 4 > (uint64_t)d->config->limits.connections * 3;
}

static void watch_pressure(struct smtpd *d)
{
	if (!d->stopping && d->sweep.at == INT64_MAX && under_pressure(d))
		timer_set(&d->sweep, loop_now(d->loop) + SWEEP_EVERY);
}

void clients_sweep(void *arg)
{
	struct smtpd *d = arg;
	int64_t now = loop_now(d->loop);
	struct session *s, *next;

	timer_set(&d->sweep, INT64_MAX);
	for (s = TAILQ_FIRST(&d->sessions); s != NULL && under_pressure(d); s = next) {
		next = TAILQ_NEXT(s, link);
		if (is_lazy(s, now, PATIENCE_PRESSURE))
			session_evict(s);
	}
	watch_pressure(d);
}

void session_useful(struct session *s)
{
	struct smtpd *d = s->smtpd;

	s->useful_at = loop_now(d->loop);
	TAILQ_REMOVE(&d->sessions, s, link);
	TAILQ_INSERT_TAIL(&d->sessions, s, link);
}

void session_forgive(struct session *s)
{
	tally_forgive(&s->counted);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* What is said, and what the log says. */
struct refusal {
	uint16_t code;
	uint8_t esc[3];
	const char *text, *reason;
};

#define CROWDED "Too many connections, please try again later"
static const struct refusal
    crowded = {421, {4, 7, 0}, CROWDED, "connections_limit"},
    crowd_of_one = {421, {4, 7, 0},
	"Too many connections from your address, please try again later", "per_ip_limit"},
    crowd_of_net = {421, {4, 7, 0},
	"Too many connections from your network, please try again later", "per_net_limit"},
    hasty = {421, {4, 7, 0}, "You connect too often, please try again later", "connection_rate"},
    /* What came from there ended a process twice. */
    denied = {421, {4, 3, 2}, "Not taking mail from this address for now", "ended_a_process"},
    stranger = {554, {5, 7, 1}, "This service is not for your address", "not_from_here"},
    no_memory = {
	421, {4, 3, 2}, "No memory for a connection now, please try again later", "no_memory"};
#undef CROWDED

static bool is_stranger(const struct session *s)
{
	const struct listen *l = s->conf;

	return l->n_from > 0 &&
	       cidr_find(l->from, l->n_from, (const struct sockaddr *)&s->addr) == NULL;
}

static uint64_t places_for(const struct session *s)
{
	uint64_t all = session_config(s)->limits.connections, reserve = all / RESERVE_PART;

	if (s->trust != NULL)
		return all;
	return all - (reserve < RESERVE_MAX ? reserve : RESERVE_MAX);
}

/* Its own place is among those that are counted. */
static const struct refusal *over_counts(const struct session *s)
{
	const struct smtpd *d = s->smtpd;
	uint32_t per_ip = d->config->limits.per_ip, per_net = d->config->limits.per_net;
	const struct rate *rate = &d->config->limits.connection_rate;
	struct tally_sums n;

	/* Who may use a Unix socket is one of us; whom a proxy cannot name is many. Neither has an
	 * address to be told by. */
	if (s->addr.ss_family == AF_UNIX || s->nameless)
		return NULL;
	tally_sums(d->tally, &s->counted, rate->seconds, loop_now(d->loop), &n);
	if (n.ip.open > per_ip)
		return &crowd_of_one;
	if (s->trust != NULL)
		return NULL;
	if (n.net.open > per_net)
		return &crowd_of_net;
	return n.ip.made > rate->n || n.net.made > (uint64_t)rate->n * NET_FACTOR ? &hasty : NULL;
}

/* evict: others may have to go for it. */
static const struct refusal *over_places(const struct session *s, bool evict)
{
	struct smtpd *d = s->smtpd;

	if (memory_is_spent() && memory_low())
		return &no_memory;
	if (tally_total(d->tally) <= places_for(s))
		return NULL;
	return evict && make_room(d) ? NULL : &crowded;
}

/* What cannot be served is known before anybody has to go for it. */
static const struct refusal *over_limit(const struct session *s, bool evict)
{
	struct smtpd *d = s->smtpd;
	const struct refusal *r;

	if (session_is_front(s))
		return over_places(s, evict);
	if (d->deny.n > 0 && deny_find(&d->deny, &s->from, loop_now(d->loop)) != NULL)
		return &denied;
	if (is_stranger(s))
		return &stranger;
	r = over_counts(s);
	return r != NULL ? r : over_places(s, evict);
}

/* Said without an engine: a flood is to cost as little as possible. */
static void turn_away(struct session *s, const struct refusal *why)
{
	struct reply r = {why->code, {why->esc[0], why->esc[1], why->esc[2]}, span_str(why->text)};
	struct place place = why == &stranger ? s->conf->place : (struct place){0};
	char text[128];
	int n = snprintf(text, sizeof(text), "%u %u.%u.%u %s\r\n", why->code, why->esc[0],
	    why->esc[1], why->esc[2], why->text);

	session_log_reject(s, "connect", &r, why->reason, place, SPAN_NONE);
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	/* Who waits for a handshake cannot read it. */
	if (s->conf->tls != LISTEN_TLS_IMPLICIT &&
	    stream_write(&s->io, span_of(text, (size_t)n)) < 0)
		log_flush();
	tally_leave(s->smtpd->tally, &s->counted, true);
	session_free(s);
}

/* ---- to and fro ------------------------------------------------------------------------------ */

static void enter_tally(struct session *s)
{
	static const struct blotter_addr nobody;
	struct smtpd *d = s->smtpd;
	bool front = session_is_front(s);

	tally_enter(d->tally, front ? &nobody : &s->from, d->config->limits.connection_rate.seconds,
	    s->trust == NULL && !front, loop_now(d->loop), &s->counted);
}

static void count_in(struct session *s)
{
	struct smtpd *d = s->smtpd;

	d->n_sessions++;
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_CONNECTIONS_TOTAL, 1);
	enter_tally(s);
	watch_pressure(d);
}

bool session_is_front(const struct session *s)
{
	return s->proxy != NULL || (!s->named && server_awaits_xclient(&s->engine));
}

/* One client is one address, however it is written: an IPv4 address in the clothes of IPv6 is that
 * of IPv4, in limits, logs and trace fields. */
static struct sockaddr_storage plain_address(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)addr;
	struct sockaddr_storage plain = {.ss_family = AF_INET};
	struct sockaddr_in *four = (struct sockaddr_in *)&plain;

	if (addr->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		return *addr;
	four->sin_port = six->sin6_port;
	memcpy(&four->sin_addr, six->sin6_addr.s6_addr + 12, sizeof(four->sin_addr));
	return plain;
}

void session_set_client(struct session *s, const struct sockaddr_storage *addr, bool known)
{
	s->addr = plain_address(addr);
	s->nameless = !known;
	format_ip(s);
	if (!known)
		s->addr.ss_family = AF_UNSPEC; /* it is in no range of addresses, whoever asks */
	s->from = blotter_addr_of(&s->addr);
	/* Whom we asked for our mail is no stranger, and nobody who may send elsewhere. */
	known = known && s->conf->pull == NULL;
	s->trust =
	    known ? config_trusts(session_config(s), (const struct sockaddr *)&s->addr) : NULL;
}

/* Whoever has to go for it, it is not the session itself. */
static const struct refusal *count_again(struct session *s, bool evict)
{
	bool before = s->in_process;
	const struct refusal *limit;

	tally_leave(s->smtpd->tally, &s->counted, true);
	enter_tally(s);
	s->in_process = true;
	limit = over_limit(s, evict);
	s->in_process = before;
	return limit;
}

bool session_recount(struct session *s, struct reply *r, const char **reason, struct place *place)
{
	/* It had a place before; and it may be one of many that are told the same just now. */
	const struct refusal *why = count_again(s, false);

	if (why == NULL)
		return true;
	*r =
	    (struct reply){why->code, {why->esc[0], why->esc[1], why->esc[2]}, span_str(why->text)};
	*reason = why->reason;
	*place = why == &stranger ? s->conf->place : (struct place){0};
	return false;
}

void session_admit(struct session *s)
{
	const struct refusal *limit = count_again(s, true);

	if (limit != NULL)
		turn_away(s, limit);
	else
		session_go_on(s);
}

/* Where balancers bring the clients, nobody else can come: who wrote past them would be anybody. */
static bool needs_proxy(const struct session *s)
{
	return s->conf->n_proxy > 0;
}

static bool is_in(const struct cidr *list, size_t n, const struct session *s)
{
	return cidr_find(list, n, (const struct sockaddr *)&s->addr) != NULL;
}

/* What stands before us here, and whether this is one of them. */
static const struct refusal *look_for_front(struct session *s)
{
	if (is_in(s->conf->proxy, s->conf->n_proxy, s))
		session_await_proxy(s);
	else if (needs_proxy(s))
		return &stranger;
	else if (is_in(s->conf->xclient, s->conf->n_xclient, s))
		server_allow_xclient(&s->engine);
	return NULL;
}

void session_uncount(struct session *s)
{
	s->smtpd->n_sessions--;
	metric_add(METRIC_CONNECTIONS, -1);
	tally_leave(s->smtpd->tally, &s->counted, false);
}

void session_new(struct listener *l, int fd, const struct sockaddr_storage *addr)
{
	struct smtpd *d = l->smtpd;
	struct session *s = gw_calloc(1, sizeof(*s));
	const struct refusal *front, *limit;
	int on = 1;

	s->magic = SESSION_MAGIC;
	s->smtpd = d;
	s->listener = l;
	l->refs++;
	s->conf = l->conf;
	stream_init(&s->io, fd);
	session_set_client(s, addr, true);
	s->number = ++d->next_session;
	s->sid = smtpd_new_id(d);
	buf_init(&s->in, SMTPD_IN_MAX);
	buf_init(&s->helo, 1024);
	TAILQ_INSERT_TAIL(&d->sessions, s, link);
	s->useful_at = loop_now(d->loop);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	server_init(&s->engine, &l->engine, loop_now(d->loop));
	front = look_for_front(s);
	count_in(s);
	limit = front != NULL ? front : l->conf->pull == NULL ? over_limit(s, true) : NULL;
	if (limit != NULL)
		turn_away(s, limit);
	else
		session_begin(s);
}

void session_client(const struct session *s, struct accept_client *out)
{
	/* RFC 2033 section 5: by LMTP nobody relays, wherever it comes from. */
	*out = (struct accept_client){
	    .listen = s->conf, .trust = s->conf->kind == LISTEN_LMTP ? NULL : s->trust};
	/* What was said before TLS counts no more: the engine knows. */
	out->ask = session_ask(s);
	if (s->login != NULL && server_is_authenticated(&s->engine)) {
		out->login = s->login->account;
	} else if (s->identified != NULL) {
		out->login = span_str(s->identified->account);
		out->identified = s->identified;
	} else {
		return;
	}
	out->accounts_away = s->smtpd->accounts == NULL;
	accept_client_account(session_config(s), s->smtpd->accounts, out);
}

void session_free(struct session *s)
{
	struct smtpd *d = s->smtpd;

	gw_check_magic(s, SESSION_MAGIC);
	if (s->waiting.until > 0)
		s->waiting.forget(s);
	session_limits_wait_end(s);
	txn_free(&s->txn);
	auth_forget(s);
	turn_forget(s);
	watch_stop(&s->watch);
	timer_stop(&s->timer);
	session_end_shake(s);
	stream_close(&s->io);
	server_fini(&s->engine);
	free(s->proxy);
	free(s->limit_hit);
	buf_fini(&s->in);
	buf_fini(&s->helo);
	if (s->lingering)
		d->n_lingering--;
	else
		session_uncount(s);
	TAILQ_REMOVE(&d->sessions, s, link);
	listener_drop(&s->listener);
	s->magic = 0;
	free(s);
	smtpd_check_stop(d);
}
