/*
 * Whose connection it is, where a proxy says so: the PROXY header before anything else, and the
 * command XCLIENT. From then on the session is that client's in everything: limits, trust, logs,
 * trace fields. What a proxy does not know nobody guesses: without an address the client is trusted
 * by nobody, whatever the address of the proxy would be worth.
 */
#include "role/smtpd_auth.h"

#include "base/clock.h"
#include "base/log.h"
#include "smtp/xclient.h"

#include <netinet/in.h>
#include <stdlib.h>

enum { PROXY_PATIENCE = 5 * USEC_PER_SEC, LOOK = 512 };

/* ---- PROXY --------------------------------------------------------------------------------------
 */

void session_await_proxy(struct session *s)
{
	s->proxy = gw_calloc(1, sizeof(*s->proxy));
	proxy_init(s->proxy);
	s->proxy_until = loop_now(s->smtpd->loop) + PROXY_PATIENCE;
}

/* Without a word: the balancer is no mail client, and its client could not tell whose words they
 * are. */
static void give_up(struct session *s, const char *reason)
{
	session_log_reject(
	    s, "connect", &REPLY(554, 5, 7, 1, ""), reason, s->conf->place, SPAN_NONE);
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	session_free(s);
}

void session_proxy_late(struct session *s)
{
	give_up(s, "proxy_timeout");
}

static void end_of_header(struct session *s)
{
	struct proxy *p = s->proxy;

	s->proxy = NULL;
	if (p->known)
		session_set_client(s, &p->from, true);
	else if (!p->local)
		session_set_client(s, &s->addr, false);
	free(p);
	if (cidr_find(s->conf->xclient, s->conf->n_xclient, (struct sockaddr *)&s->addr) != NULL &&
	    !s->nameless)
		server_allow_xclient(&s->engine);
	session_admit(s);
}

/* Exactly the header is taken from the socket: what follows may be a TLS handshake. 1: whole; 0: no
 * more input now; negative: *why (NULL: it went without a word). */
static int read_header(struct session *s, const char **why)
{
	uint8_t octets[LOOK];
	size_t used;
	int done;

	do {
		ptrdiff_t n = stream_look(&s->io, octets, sizeof(octets));

		if (n == GW_EBUSY)
			return 0;
		*why = s->proxy->n > 0 ? "proxy_cut_off" : NULL;
		if (n <= 0)
			return GW_EIO;
		done = proxy_feed(s->proxy, span_of(octets, (size_t)n), &used);
		if (stream_read(&s->io, octets, used) != (ptrdiff_t)used)
			return GW_EIO;
	} while (done == 0);
	*why = s->proxy->why;
	return done;
}

void session_read_proxy(struct session *s)
{
	const char *why = NULL;
	int done = read_header(s, &why);

	if (done > 0)
		end_of_header(s);
	else if (done < 0 && why != NULL)
		give_up(s, why);
	else if (done < 0)
		session_free(s); /* a balancer that looks whether we are there */
}

/* ---- XCLIENT ------------------------------------------------------------------------------------
 */

/* Users whom somebody else knows, or nobody: all that can be said is whether it is a name. Names
 * are compared without regard to case everywhere: one spelling. */
static struct login *login_elsewhere(struct span name)
{
	uint8_t lower[ACCOUNT_NAME_MAX];

	if (name.n > sizeof(lower) || account_name_fault(name) != NULL)
		return NULL;
	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(name.p[i]);
	return auth_login(span_of(lower, name.n), SPAN_NONE);
}

/* The login that the proxy vouches for. False: it cannot be, *r says why. */
static bool find_login(
    struct session *s, struct span name, struct login **out, struct reply *r, const char **reason)
{
	const struct smtpd *d = s->smtpd;
	const struct config *c = session_config(s);
	const struct account *a = accounts_find(d->accounts, name);

	*reason = "xclient_login";
	if (d->accounts == NULL && c->users != NULL) {
		*r = REPLY(421, 4, 7, 0, "No login possible now; please try again later");
		return false;
	}
	if (c->users_any || c->users_dovecot != NULL) {
		*out = login_elsewhere(name);
		*r = REPLY(554, 5, 7, 8, "LOGIN is no name of an account");
		return *out != NULL;
	}
	if (a == NULL || a->state != ACCOUNT_ACTIVE || !account_may_come_from(a, s->from.b)) {
		*r = REPLY(554, 5, 7, 8, "LOGIN is no account that may log in from there");
		return false;
	}
	*out = auth_login(a->name, SPAN_NONE);
	return true;
}

static void take_names(struct session *s, const struct xclient *x)
{
	struct span helo = x->value[XCLIENT_HELO], proto = x->value[XCLIENT_PROTO];

	if (helo.n > 0 || !s->helo_given)
		buf_clear(&s->helo);
	buf_add_span(&s->helo, helo);
	s->helo_given = s->helo_given || helo.n > 0;
	if (proto.n > 0)
		s->proto = span_eq_case(proto, SPAN("ESMTP")) ? PROTO_ESMTP : PROTO_SMTP;
}

/* AF_UNSPEC: it is none. */
static struct sockaddr_storage address_of(struct span value)
{
	struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
	uint8_t ip[16];
	bool six;
	sa_family_t family = config_ip(xclient_address(value, &six), ip);

	if (family != (six ? AF_INET6 : AF_INET))
		return sa;
	sa.ss_family = family;
	if (six)
		memcpy(&((struct sockaddr_in6 *)&sa)->sin6_addr, ip, 16);
	else
		memcpy(&((struct sockaddr_in *)&sa)->sin_addr, ip, 4);
	return sa;
}

static bool addresses_good(const struct xclient *x)
{
	struct span from = x->value[XCLIENT_ADDR], to = x->value[XCLIENT_DESTADDR];

	return (from.n == 0 || address_of(from).ss_family != AF_UNSPEC) &&
	       (to.n == 0 || address_of(to).ss_family != AF_UNSPEC);
}

static void refuse(struct session *s, const struct reply *r, const char *reason, struct place place)
{
	session_log_reject(s, "xclient", r, reason, place, SPAN_NONE);
	session_say(s, r);
}

/* The first one says who it is, or that nobody knows. Whoever the proxy logged in as is gone.
 * False: the verdict is given. */
static bool take_client(struct session *s, const struct xclient *x)
{
	struct sockaddr_storage sa = address_of(x->value[XCLIENT_ADDR]), before = s->addr;
	bool known = sa.ss_family != AF_UNSPEC;
	struct login *login = NULL;
	struct place place = {0};
	const char *reason = "";
	struct reply r;

	s->identified = NULL;
	session_set_client(s, known ? &sa : &before, known);
	s->named = !s->nameless; /* else it goes on to count for nobody */
	if (!session_recount(s, &r, &reason, &place)) {
		refuse(s, &r, reason, place); /* 421 or 554: the end */
		return false;
	}
	if (x->value[XCLIENT_LOGIN].n > 0 &&
	    !find_login(s, x->value[XCLIENT_LOGIN], &login, &r, &reason)) {
		refuse(s, &r, reason, place); /* the same: half of it is in force */
		return false;
	}
	auth_forget(s);
	s->login = login;
	return true;
}

void session_xclient(struct session *s, const struct server_event *ev)
{
	struct xclient x;
	struct buf text;

	buf_init(&text, XCLIENT_TEXT_MAX);
	if (xclient_decode(ev->data, &text, &x) < 0 || !addresses_good(&x))
		refuse(s, &REPLY(501, 5, 5, 4, "XCLIENT: an address that is none"), "bad_argument",
		    (struct place){0});
	else if (!server_awaits_xclient(&s->engine) || take_client(s, &x)) {
		take_names(s, &x);
		session_say(s, &REPLY(220, 0, 0, 0, ""));
	}
	buf_fini(&text);
}
