/*
 * libunbound, and how it is set. All that it reads it reads here, before the jail: hints and
 * anchors. It knows neither /etc/resolv.conf nor /etc/hosts.
 */
#include "role/resolver.h"

#include "base/log.h"
#include "role/resolver_anchor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

enum { ADDRESS_MAX = 80, SAID_MAX = 512, PORT_DNS = 53 };
enum { BOGUS = 1, SECURE = 2, SERVFAIL = 2 };

struct engine {
	struct ub_ctx *ctx;
	char *said; /* by the library while it is set up, for the reason we give */
	size_t n_said;
	FILE *ear;
	char broken[SAID_MAX]; /* why it cannot be used; "" if it can */
};

/* ---- settings ------------------------------------------------------------------------------- */

static const struct {
	const char *name, *value;
} settings[] = {
    /* Memory: 1:2 is how messages and records are to each other. */
    {"msg-cache-size:", "16m"},
    {"rrset-cache-size:", "32m"},
    {"key-cache-size:", "4m"},
    {"neg-cache-size:", "1m"},
    {"msg-cache-slabs:", "1"}, /* one thread needs no locks */
    {"rrset-cache-slabs:", "1"},
    {"key-cache-slabs:", "1"},
    {"infra-cache-slabs:", "1"},
    {"infra-cache-numhosts:", "10000"},

    /* As many as we give it at a time, with room for what one question asks below. */
    {"outgoing-range:", "4096"},
    {"num-queries-per-thread:", "2048"},
    {"outgoing-num-tcp:", "64"},

    /* What DNS says may be old for a day. What it says is not there, for five minutes: a domain
     * that was made or mended shall not bounce for longer. */
    {"cache-max-ttl:", "86400"},
    {"cache-max-negative-ttl:", "300"},
    /* No name is said not to exist because of a proof about its neighbours that was kept. */
    {"aggressive-nsec:", "no"},
    /* An answer that has run out may be a "no such name" while its servers are down: mail would
     * bounce. It waits. */
    {"serve-expired:", "no"},
    {"val-bogus-ttl:", "60"},

    /* What is known of servers, and that they do not answer, is forgotten after a minute. How long
     * it waits for them may grow to more than we do: a lower end (infra-cache-max-rtt) makes it
     * give up a server that was silent for 12 s, and then it stays given up. */
    {"infra-host-ttl:", "60"},
    {"infra-keep-probing:", "yes"},

    /* Lies: fragments are easy to forge (RFC 9715), glue and extra records prove nothing. */
    {"edns-buffer-size:", "1232"},
    {"max-udp-size:", "4096"},
    {"unwanted-reply-threshold:", "1000000"},
    {"harden-glue:", "yes"},
    {"harden-dnssec-stripped:", "yes"},
    {"harden-below-nxdomain:", "yes"},
    {"harden-short-bufsize:", "yes"},
    {"harden-large-queries:", "yes"},
    {"val-clean-additional:", "yes"},

    /* Nobody is told more than he must know (RFC 9156), and nothing about us. */
    {"qname-minimisation:", "yes"},
    {"trust-anchor-signaling:", "no"},
    {"root-key-sentinel:", "no"},
    {"minimal-responses:", "yes"},
    {"prefetch:", "no"},
    {"do-tcp:", "yes"},
};

/* Writes down what is wrong, in the library's words if it has any; always false. */
static bool unusable(struct engine *e, const char *what, const char *why)
{
	size_t n;

	fflush(e->ear);
	n = e->n_said;
	while (n > 0 && e->said[n - 1] == '\n')
		n--;
	snprintf(e->broken, sizeof(e->broken), "%s: %s%s%.*s", what, why, n > 0 ? ": " : "", (int)n,
	    e->said);
	return false;
}

static bool set(struct engine *e, const char *name, const char *value)
{
	int err = ub_ctx_set_option(e->ctx, name, value);

	return err == 0 || unusable(e, name, ub_strerror(err));
}

static bool set_all(struct engine *e)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(settings); i++) {
		if (!set(e, settings[i].name, settings[i].value))
			return false;
	}
	return true;
}

/* ---- where it asks -------------------------------------------------------------------------- */

static bool on_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Is there a way to the IPv6 Internet? Nothing is sent. */
static bool has_ipv6(void)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(PORT_DNS)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has;

	/* An address for documentation: whatever leads there leads everywhere. */
	inet_pton(AF_INET6, "2001:db8::1", &to.sin6_addr);
	has = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

static bool add_server(struct engine *e, const struct dns_server *s)
{
	char address[ADDRESS_MAX];
	int err;

	snprintf(address, sizeof(address), "%s@%u", s->at.host,
	    s->at.port != 0 ? s->at.port : (unsigned)PORT_DNS);
	err = s->stub ? ub_ctx_set_stub(e->ctx, s->domain, address, 0)
		      : ub_ctx_set_fwd(e->ctx, address);
	return err == 0 || unusable(e, address, ub_strerror(err));
}

static bool add_servers(struct engine *e, const struct config *c)
{
	bool loopback = false, v6 = has_ipv6();

	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const struct dns_server *s = &c->resolver.server[i];

		if (!add_server(e, s))
			return false;
		loopback = loopback || on_loopback(s->at.host);
		v6 = v6 || strchr(s->at.host, ':') != NULL;
	}
	/* Names of others that lead to this machine are not asked here, unless we were told to. */
	return set(e, "do-not-query-localhost:", loopback ? "no" : "yes") &&
	       set(e, "do-ip6:", v6 ? "yes" : "no");
}

/* ---- what it believes ----------------------------------------------------------------------- */

static bool trust_nothing(struct engine *e, const struct config *c, const struct anchors *anchors)
{
	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const struct dns_server *s = &c->resolver.server[i];

		if (s->stub && !anchors_reach(anchors, c, s->domain) &&
		    !set(e, "domain-insecure:", s->domain))
			return false;
	}
	return true;
}

static bool add_anchors(struct engine *e, const struct config *c)
{
	const char *path = c->resolver.trust_anchor;
	struct anchors anchors;
	bool ok;
	int err;

	if (path == NULL)
		return set(e, "module-config:", "iterator");
	if (anchors_read(&anchors, path) < 0)
		return unusable(e, path, strerror(errno));
	err = ub_ctx_add_ta_file(e->ctx, path);
	ok = (err == 0 || unusable(e, path, ub_strerror(err))) && trust_nothing(e, c, &anchors);
	anchors_free(&anchors);
	return ok && set(e, "module-config:", "validator iterator");
}

/*
 * Names that stand for places everybody has are answered by the library (RFC 6303, 6761, 7686).
 * Where a server was named for them, or for everything, it is asked instead; but never for
 * localhost, invalid and onion.
 */
static void open_local_names(struct engine *e, const struct config *c)
{
	static const char *const local[] = {"test.", "home.arpa."};
	char zone[DNS_NAME_MAX + 2];

	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const char *domain = c->resolver.server[i].domain;
		bool all = strcmp(domain, ".") == 0;

		snprintf(zone, sizeof(zone), "%s%s", domain, all ? "" : ".");
		for (size_t k = 0; k < GW_ARRAY_LEN(local); k++) {
			if (all || anchors_below(zone, local[k]))
				ub_ctx_zone_remove(e->ctx, local[k]);
		}
	}
}

/* ---- start ---------------------------------------------------------------------------------- */

static void warm_done(void *arg, int rcode, void *packet, int n, int sec, char *why, int limited)
{
	bool *done = arg;

	(void)rcode, (void)packet, (void)n, (void)sec, (void)why, (void)limited;
	*done = true;
}

/* The first question makes all that is made late. This one is answered without asking anybody. */
static bool warm(struct engine *e)
{
	bool done = false;
	int err = ub_resolve_event(e->ctx, "localhost.", DNS_A, 1, &done, warm_done, NULL);

	if (err != 0)
		return unusable(e, "libunbound cannot be started", ub_strerror(err));
	return done || unusable(e, "libunbound cannot be started", "no answer");
}

static bool set_up(struct engine *e, const struct config *c)
{
	if (!set_all(e) || !add_anchors(e, c) || !add_servers(e, c))
		return false;
	if (c->resolver.root_hints != NULL && !set(e, "root-hints:", c->resolver.root_hints))
		return false;
	if (c->resolver.n_server > 0 && !set(e, "unblock-lan-zones:", "yes"))
		return false;
	open_local_names(e, c);
	return warm(e);
}

struct engine *engine_new(struct loop *l, const struct config *c)
{
	struct engine *e = gw_calloc(1, sizeof(*e));

	e->ctx = ub_ctx_create_event(loop_base(l));
	e->ear = open_memstream(&e->said, &e->n_said);
	if (e->ctx == NULL || e->ear == NULL)
		die("resolver: no memory");
	ub_ctx_debugout(e->ctx, e->ear);
	if (!set_up(e, c))
		log_error("resolver: %s; nobody is asked, mail that needs names waits", e->broken);
	ub_ctx_debugout(e->ctx, NULL);
	fclose(e->ear);
	free(e->said);
	return e;
}

/* ---- questions ------------------------------------------------------------------------------ */

struct asked {
	engine_done *done;
	void *arg;
};

static void done(void *arg, int rcode, void *packet, int n, int sec, char *why, int limited)
{
	struct asked *q = arg;
	struct engine_answer a = {.rcode = rcode,
	    .packet = span_of(packet, packet != NULL && n > 0 ? (size_t)n : 0),
	    .secure = sec == SECURE,
	    .bogus = sec == BOGUS,
	    .why_bogus = why};

	(void)limited; /* we set no limit: rcode tells what came of it */
	q->done(q->arg, &a);
	free(q);
}

void engine_ask(struct engine *e, enum dns_type type, const char *name, engine_done *fn, void *arg)
{
	struct asked *q = gw_calloc(1, sizeof(*q));
	struct engine_answer none = {.rcode = SERVFAIL, .broken = e->broken};

	q->done = fn;
	q->arg = arg;
	if (e->broken[0] != '\0' ||
	    ub_resolve_event(e->ctx, name, (int)type, 1, q, done, NULL) != 0) {
		free(q);
		fn(arg, &none);
	}
}
