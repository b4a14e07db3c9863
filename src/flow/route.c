#include "flow/route.h"

#include "flow/accept.h"

#include <stdio.h>

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

static void add(struct text *t, const char *s)
{
	size_t n = strlen(s), room = (size_t)(t->end - t->to) - 1;

	n = n < room ? n : room;
	memcpy(t->to, s, n);
	t->to += n;
	*t->to = '\0';
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

static void name_site(struct routed *out)
{
	static const char *const kinds[] = {[TARGET_MAILDIR] = "maildir ",
	    [TARGET_LMTP] = "lmtp ",
	    [TARGET_RELAY] = "relay ",
	    [TARGET_REJECT] = "reject "};
	struct text t = {out->site, out->site + sizeof(out->site)};

	add(&t, kinds[out->target.kind]);
	if (out->target.kind == TARGET_LMTP || out->target.kind == TARGET_RELAY)
		add_endpoint(&t, &out->target.at);
	else
		add(&t, out->target.kind == TARGET_MAILDIR ? out->target.path : out->target.reply);
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

void route_of(const struct config *c, struct span addr, struct routed *out)
{
	struct span name = domain_of(addr);
	struct span local = span_first(addr, name.p ? (size_t)(name.p - addr.p) - 1 : addr.n);
	const struct domain *d;
	const struct route *r;
	enum fault fault = accept_fault(c, local, name);

	*out = (struct routed){0};
	if (name.n == 0) /* a bare postmaster */
		name = span_str(c->hostname);
	d = config_domain(c, name);
	r = d ? NULL : config_route(c, name);
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
	out->shape = config_shape(c, name);
	name_site(out);
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
