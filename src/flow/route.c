#include "flow/route.h"

#include "base/map.h"
#include "flow/accept.h"

#include <inttypes.h>
#include <stdio.h>

/* 16 hosts with their ports, and the name of a vmta. */
enum { NAME_OCTETS = 8192 };

static struct span domain_of(struct span addr)
{
	for (size_t i = addr.n; i > 0; i--) {
		if (addr.p[i - 1] == '@')
			return span_skip(addr, i);
	}
	return SPAN_NONE;
}

/* Text put together by hand, since each recipient passes here; cut where there is no room. */
struct text {
	char *to, *end;
};

static void add_span(struct text *t, struct span s)
{
	size_t room = (size_t)(t->end - t->to) - 1, n = s.n < room ? s.n : room;

	if (n > 0)
		memcpy(t->to, s.p, n);
	t->to += n;
	*t->to = '\0';
}

static void add(struct text *t, const char *s)
{
	add_span(t, span_str(s));
}

static void add_port(struct text *t, unsigned port)
{
	char digits[12], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + port % 10);
	} while ((port /= 10) > 0);
	add(t, ":");
	add(t, at);
}

static void add_endpoint(struct text *t, const struct endpoint *e)
{
	bool v6 = e->unix_path == NULL && strchr(e->host, ':') != NULL;

	if (e->unix_path != NULL) {
		add(t, "unix:");
		add(t, e->unix_path);
		return;
	}
	add(t, v6 ? "[" : "");
	add(t, e->host);
	add(t, v6 ? "]" : "");
	add_port(t, e->port);
}

/* A name that is too long ends with a sum of what is left out: no two targets have the same. */
static void keep_name(struct routed *out, struct span whole)
{
	enum { SUM = 18 };
	size_t n = whole.n < SITE_KEY_MAX ? whole.n : SITE_KEY_MAX - SUM;

	memcpy(out->site, whole.p, n);
	out->site[n] = '\0';
	if (n < whole.n)
		snprintf(out->site + n, SUM, "~%016" PRIx64, map_hash(whole, 0));
}

static void name_site(const struct config *c, struct routed *out)
{
	static const char *const kinds[] = {[TARGET_MAILDIR] = "maildir ",
	    [TARGET_LMTP] = "lmtp ",
	    [TARGET_RELAY] = "relay ",
	    [TARGET_MX] = "mx ",
	    [TARGET_REJECT] = "reject ",
	    [TARGET_PIPE] = "pipe ",
	    [TARGET_ODMR] = "odmr "};
	char whole[NAME_OCTETS];
	struct text t = {whole, whole + sizeof(whole)};

	add(&t, kinds[out->target.kind]);
	for (size_t i = 0; i < out->target.n_host; i++) {
		add(&t, i ? " " : "");
		add_endpoint(&t, &out->target.host[i]);
	}
	if (out->target.kind == TARGET_MX || out->target.kind == TARGET_ODMR)
		add_span(&t, out->domain);
	else if (out->target.n_host == 0)
		add(&t, out->target.path != NULL ? out->target.path : out->target.reply);
	if (out->target.kind == TARGET_ODMR) {
		add(&t, " for ");
		add(&t, out->target.path);
	}
	if (out->target.vmta != NULL && out->target.vmta != c->vmta) {
		add(&t, " from ");
		add(&t, out->target.vmta->name);
	}
	keep_name(out, span_of(whole, (size_t)(t.to - whole)));
}

void route_site(const struct config *c, const struct target *t, char to[SITE_KEY_MAX])
{
	struct routed r = {.target = *t};

	name_site(c, &r);
	memcpy(to, r.site, SITE_KEY_MAX);
}

static void take(struct routed *out, const struct target *t, struct place place)
{
	out->target = *t;
	out->place = place;
}

static void take_reject(struct routed *out, const char *reply)
{
	out->target = (struct target){.kind = TARGET_REJECT, .reply = reply};
}

static struct route_query query_of(const struct route_ask *q, struct span domain)
{
	return (struct route_query){.address = q->addr,
	    .domain = domain,
	    .from = q->from,
	    .from_domain = domain_of(q->from),
	    .account = q->account,
	    .size = q->size};
}

/* A bare postmaster is that of this host. */
static struct span domain_or_host(const struct config *c, struct span addr)
{
	struct span domain = domain_of(addr);

	return domain.n > 0 ? domain : span_str(c->hostname);
}

enum route_fate route_fate(
    const struct config *c, const struct route_ask *ask, const struct route **r)
{
	struct route_query q = query_of(ask, domain_or_host(c, ask->addr));

	*r = config_route(c, &q);
	if (*r != NULL && (*r)->target.kind != TARGET_REJECT)
		return ROUTE_TAKES;
	if (q.size == 0 && !config_route_sure(c, &q))
		return ROUTE_TAKES;
	return *r == NULL ? ROUTE_MISSING : ROUTE_REJECTS;
}

void route_of(const struct config *c, const struct route_ask *q, struct routed *out)
{
	struct span addr = q->addr, name = domain_of(addr);
	struct span local = span_first(addr, name.p ? (size_t)(name.p - addr.p) - 1 : addr.n);
	struct route_query query;
	const struct domain *d;
	const struct route *r;
	enum fault fault = accept_fault(c, local, name);

	*out = (struct routed){0};
	name = domain_or_host(c, addr);
	query = query_of(q, name);
	d = config_domain(c, name);
	out->domain = name;
	r = d ? NULL : config_route(c, &query);
	if (fault == FAULT_BOUNCE)
		take_reject(out, "550 5.1.1 Fault address: bounced later, as asked");
	else if (fault == FAULT_DEFER)
		take_reject(out, "451 4.3.0 Fault address: deferred, as asked");
	else if (d != NULL)
		take(out, &d->deliver, d->deliver.place);
	else if (r != NULL)
		take(out, &r->target, r->place);
	else
		take_reject(out, "550 5.4.4 No route to this domain");
	out->shape = config_shape(c, name, SPAN_NONE);
	name_site(c, out);
}

static bool digit(const char *s, size_t at)
{
	return ascii_isdigit((uint8_t)s[at]);
}

struct reply route_reply(const char *text)
{
	struct reply r = {550, {5, 0, 0}, span_str(text)};
	unsigned code = 0, a = 0, b = 0, c = 0;
	int used = 0;

	if (text[0] == '\0' || !digit(text, 0))
		return r;
	if (sscanf(text, "%3u %1u.%3u.%3u %n", &code, &a, &b, &c, &used) == 4 && used > 0) {
		r.esc[0] = (uint8_t)a;
		r.esc[1] = (uint8_t)b;
		r.esc[2] = (uint8_t)c;
	} else if (sscanf(text, "%3u %n", &code, &used) == 1 && used > 0) {
		r.esc[0] = (uint8_t)(code / 100);
	} else {
		return r;
	}
	if (code >= 400 && code < 600)
		r.code = (uint16_t)code;
	r.text = span_str(text + used);
	return r;
}
