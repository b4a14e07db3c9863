#include "role/smtpd_tls.h"
#include "role/smtpd_auth.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

enum {
	SHAKE_MOST = 30, /* seconds for a handshake, if commands may take longer */
	/* Seconds in which the first certificate is waited for where TLS is only offered. */
	FIRST_WAIT = 3,
	/* Handshakes of one process at one time: each takes 40 kB, up to 175 kB where the first
	 * message says that it is 130 kB long. And the seconds a client may take when others wait.
	 */
	SHAKES_MAX = 128,
	PATIENCE = 1,
};

/* ---- what the vault gives ---------------------------------------------------------------------
 */

void smtpd_tls_prepare(struct smtpd *d)
{
	d->tls = tls_server_new();
	d->tls_generation = d->config->generation;
}

/* The vault has not said a word yet: better without TLS than not at all. */
static void waited(void *arg)
{
	struct smtpd *d = arg;

	d->tls_waited = true;
	smtpd_set_listeners(d);
}

void smtpd_tls_start(struct smtpd *d)
{
	timer_start(&d->tls_wait, d->loop, waited, d);
	timer_set(&d->tls_wait, loop_now(d->loop) + FIRST_WAIT * USEC_PER_SEC);
	for (size_t i = 0; i < d->boot->n_signer; i++)
		smtpd_tls_signer(d, d->boot->signer[i].fd);
	smtpd_tls_offer(d);
}

static bool has_certificate(const struct smtpd *d)
{
	return tls_server_ready(d->tls);
}

bool smtpd_tls_can_greet(const struct listener *l)
{
	const struct smtpd *d = l->smtpd;

	if (l->conf->tls == LISTEN_TLS_OFF || has_certificate(d))
		return true;
	return l->conf->tls == LISTEN_TLS_OFFER && d->tls_waited;
}

void smtpd_tls_offer(struct smtpd *d)
{
	bool can = has_certificate(d);

	d->tls_trusted = can && tls_server_trusted(d->tls);
	struct listener *l;

	TAILQ_FOREACH(l, &d->listeners, link)
	{
		l->engine.need_tls = l->conf->tls == LISTEN_TLS_REQUIRE;
		l->engine.starttls =
		    can && (l->conf->tls == LISTEN_TLS_OFFER || l->conf->tls == LISTEN_TLS_REQUIRE);
	}
	auth_offer(d);
	smtpd_set_listeners(d);
}

void smtpd_tls_signer(struct smtpd *d, int fd)
{
	tls_server_signer(d->tls, fd);
}

static void use_certificate(struct smtpd *d, const struct proto_certificate *c)
{
	if (tls_server_certificate(
		d->tls, c->index, c->key, c->chain, c->n_chain, c->index == PROTO_SELF_SIGNED) < 0)
		log_error("smtpd: a certificate of the vault cannot be used (tls %u)", c->index);
}

/*
 * The vault has the next configuration before we do, and the numbers of its pairs mean something
 * else there: they wait until they are all here, and that configuration is in force.
 */
struct certificates_ahead {
	uint64_t generation;
	bool whole;
	struct certificate_ahead {
		uint32_t index;
		struct span payload;
	} * list;
	size_t n;
};

static void forget_ahead(struct smtpd *d)
{
	struct certificates_ahead *a = d->ahead;

	d->ahead = NULL;
	for (size_t i = 0; a != NULL && i < a->n; i++)
		free((void *)(uintptr_t)a->list[i].payload.p);
	if (a != NULL)
		free(a->list);
	free(a);
}

static struct certificates_ahead *ahead_of(struct smtpd *d, uint64_t generation)
{
	if (d->ahead != NULL && d->ahead->generation != generation)
		forget_ahead(d);
	if (d->ahead == NULL) {
		d->ahead = gw_calloc(1, sizeof(*d->ahead));
		d->ahead->generation = generation;
	}
	return d->ahead;
}

static struct certificate_ahead *place_ahead(struct certificates_ahead *a, uint32_t index)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->list[i].index == index)
			return &a->list[i];
	}
	if (a->n == TLS_CERTIFICATES_MAX)
		return NULL;
	a->list = gw_realloc(a->list, (a->n + 1) * sizeof(*a->list));
	a->list[a->n] = (struct certificate_ahead){.index = index};
	return &a->list[a->n++];
}

static void keep_certificate(
    struct smtpd *d, const struct proto_certificate *c, struct span payload)
{
	struct certificate_ahead *x = place_ahead(ahead_of(d, c->generation), c->index);
	uint8_t *copy;

	if (x == NULL)
		return;
	copy = gw_calloc(1, payload.n);
	memcpy(copy, payload.p, payload.n);
	free((void *)(uintptr_t)x->payload.p);
	x->payload = span_of(copy, payload.n);
}

void smtpd_tls_changed(struct smtpd *d)
{
	struct certificates_ahead *a = d->ahead;
	struct proto_certificate c;

	if (a == NULL || !a->whole || a->generation != d->config->generation)
		return;
	d->tls_generation = a->generation;
	tls_server_clear(d->tls);
	for (size_t i = 0; i < a->n; i++) {
		if (proto_get_certificate(a->list[i].payload, &c) == 0)
			use_certificate(d, &c);
	}
	forget_ahead(d);
	smtpd_tls_offer(d);
}

int smtpd_tls_certificate(struct smtpd *d, struct span payload)
{
	struct proto_certificate c;

	if (proto_get_certificate(payload, &c) < 0)
		return GW_EFORMAT;
	if (c.generation > d->tls_generation) {
		keep_certificate(d, &c, payload);
	} else if (c.generation == d->tls_generation) {
		use_certificate(d, &c);
		smtpd_tls_offer(d);
	}
	return 0;
}

int smtpd_tls_certificates(struct smtpd *d, struct span payload)
{
	struct proto_certificates c;

	if (proto_get_certificates(payload, &c) < 0)
		return GW_EFORMAT;
	if (c.generation <= d->tls_generation)
		return 0;
	ahead_of(d, c.generation)->whole = true;
	smtpd_tls_changed(d);
	return 0;
}

int smtpd_tls_ticket_keys(struct smtpd *d, struct span payload)
{
	struct proto_ticket_keys in;
	struct tls_ticket_key key[TLS_TICKET_KEYS_MAX];

	_Static_assert(
	    TICKET_KEYS_MAX <= (int)TLS_TICKET_KEYS_MAX && sizeof(key[0]) == sizeof(in.key[0]),
	    "the same keys");
	if (proto_get_ticket_keys(payload, &in) < 0)
		return GW_EFORMAT;
	memcpy(key, in.key, in.n * sizeof(key[0]));
	tls_server_tickets(d->tls, key, in.n);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(&in, sizeof(in));
	return 0;
}

/* ---- handshakes -------------------------------------------------------------------------------
 */

static void begin_line(struct session *s, struct logline *l, enum log_event event)
{
	char sid[MSGID_TEXT + 1];

	msgid_format(&s->sid, sid);
	log_begin(l, event);
	log_str(l, "sid", sid);
	log_str(l, "listener", s->conf->name);
	log_str(l, "ip", s->ip);
}

static void log_failure(struct session *s, const char *why)
{
	const char *name = stream_tls_name(&s->io);
	struct logline l;

	metric_add(METRIC_TLS_FAILURES, 1);
	begin_line(s, &l, EV_TLS_FAILED);
	log_str(&l, "reason", why);
	if (name[0] != '\0')
		log_str(&l, "name", name);
	log_end(&l);
}

static void log_success(struct session *s)
{
	const char *name = stream_tls_name(&s->io);
	bool resumed = stream_tls_resumed(&s->io);
	struct logline l;

	metric_add(METRIC_TLS_SESSIONS, 1);
	metric_add(METRIC_TLS_RESUMED, resumed);
	begin_line(s, &l, EV_TLS);
	log_str(&l, "ver", stream_tls_version(&s->io));
	log_str(&l, "cipher", stream_tls_cipher(&s->io));
	log_str(&l, "resumed", resumed ? "yes" : "no");
	if (name[0] != '\0')
		log_str(&l, "name", name);
	log_end(&l);
}

bool session_needs_handshake(const struct session *s)
{
	return s->conf->tls == LISTEN_TLS_IMPLICIT && !s->io.tls;
}

bool session_is_shaking(const struct session *s)
{
	return s->shake_until > 0;
}

void session_end_shake(struct session *s)
{
	if (session_is_shaking(s))
		s->smtpd->n_shaking--;
	s->shake_until = 0;
}

/* The one that takes longest ends, in a turn of its own. False: none had its time. */
static bool make_room(struct smtpd *d)
{
	int64_t now = loop_now(d->loop);
	struct session *s, *slowest = NULL;

	TAILQ_FOREACH(s, &d->sessions, link)
	{
		if (session_is_shaking(s) && s->shake_until > now &&
		    (slowest == NULL || s->shake_since < slowest->shake_since))
			slowest = s;
	}
	if (slowest == NULL || now - slowest->shake_since < PATIENCE * USEC_PER_SEC)
		return false;
	slowest->shake_until = now;
	timer_set(&slowest->timer, now);
	return true;
}

static bool has_room(struct smtpd *d)
{
	return d->n_shaking < SHAKES_MAX || make_room(d);
}

int session_begin_tls(struct session *s)
{
	int64_t most = session_config(s)->limits.command_timeout;
	const char *why = NULL;

	if (most > SHAKE_MOST * USEC_PER_SEC)
		most = SHAKE_MOST * USEC_PER_SEC;
	if (!has_certificate(s->smtpd))
		why = "no_certificate";
	else if (!has_room(s->smtpd))
		why = "too_many_handshakes";
	else if (stream_start_tls(&s->io, s->smtpd->tls) < 0)
		why = "no_memory";
	if (why != NULL) {
		s->io.over = true; /* not a word in the clear */
		log_failure(s, why);
		return GW_EIO;
	}
	s->smtpd->n_shaking++;
	s->shake_since = loop_now(s->smtpd->loop);
	s->shake_until = s->shake_since + most;
	return 0;
}

int session_shake(struct session *s)
{
	uint8_t binding[STREAM_BINDING_MAX];
	const char *why;
	int status = stream_handshake(&s->io, &why);

	if (status == 0)
		return 0;
	session_end_shake(s);
	if (status < 0) {
		log_failure(s, why);
		return GW_EIO;
	}
	log_success(s);
	server_tls_started(&s->engine,
	    stream_tls_binding(&s->io, true, binding) > 0 ||
		stream_tls_binding(&s->io, false, binding) > 0,
	    loop_now(s->smtpd->loop));
	explicit_bzero(binding, sizeof(binding));
	return 1;
}

void session_shake_late(struct session *s)
{
	session_end_shake(s);
	log_failure(s, "timeout");
}
