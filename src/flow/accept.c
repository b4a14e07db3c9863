#include "flow/accept.h"

#include "flow/route.h"
#include "mail/header.h"

#include <stdio.h>

enum { NAME_MAX_OCTETS = 256 };

enum fault accept_fault(const struct config *c, struct span local, struct span domain)
{
	static const struct {
		struct span local;
		enum fault fault;
	} faults[] = {
	    {SPAN("451"), FAULT_451},
	    {SPAN("550"), FAULT_550},
	    {SPAN("slow"), FAULT_SLOW},
	    {SPAN("bounce"), FAULT_BOUNCE},
	    {SPAN("defer"), FAULT_DEFER},
	};

	if (c->faults == NULL || !span_eq_case(domain, span_str(c->faults)))
		return FAULT_NONE;
	for (size_t i = 0; i < GW_ARRAY_LEN(faults); i++) {
		if (span_eq_case(local, faults[i].local))
			return faults[i].fault;
	}
	return FAULT_NONE;
}

static void refuse(struct verdict *v, struct reply r, const char *reason)
{
	v->ok = false;
	v->reply = r;
	v->reason = reason;
}

static void permit(struct verdict *v, const char *reason)
{
	v->ok = true;
	v->reply = REPLY(250, 2, 1, 5, "Ok");
	v->reason = reason;
}

/* True when the recipient is a fault address and the verdict is given. */
static bool fault_verdict(const struct config *c, const struct address *rcpt, struct verdict *v)
{
	switch (accept_fault(c, rcpt->local, rcpt->domain)) {
	case FAULT_451:
		refuse(v, REPLY(451, 4, 3, 0, "Fault address: refused for now, as asked"),
		    "fault_address");
		return true;
	case FAULT_550:
		refuse(v, REPLY(550, 5, 1, 1, "Fault address: no such user, as asked"),
		    "fault_address");
		return true;
	case FAULT_SLOW:
		permit(v, "fault_address");
		v->delay = 5 * INT64_C(1000000);
		return true;
	case FAULT_BOUNCE:
	case FAULT_DEFER: permit(v, "fault_address"); return true;
	case FAULT_NONE: break;
	}
	return false;
}

static void relay_denied(const struct address *rcpt, struct verdict *v)
{
	int n = snprintf(v->text, sizeof(v->text),
	    "Relay denied: %.*s is not a domain of this server, and this client has not logged in "
	    "and is not trusted",
	    (int)(rcpt->domain.n < 255 ? rcpt->domain.n : 255), (const char *)rcpt->domain.p);

	refuse(v, (struct reply){550, {5, 7, 1}, span_of(v->text, (size_t)n)}, "relay_denied");
}

static void judge_local(const struct domain *d, struct verdict *v)
{
	v->place = d->place;
	if (d->deliver.kind == TARGET_REJECT) {
		v->place = d->deliver.place;
		refuse(v, route_reply(d->deliver.reply), "domain_rejects");
		return;
	}
	permit(v, "local");
}

static void judge_foreign(
    const struct config *c, const struct accept_client *client, struct span name, struct verdict *v)
{
	const struct route *r = config_route(c, name);

	v->place = client->trust != NULL ? client->trust->place : c->users_place;
	if (r == NULL) {
		refuse(v,
		    REPLY(550, 5, 4, 4, "No route to this domain: no route statement matches it"),
		    "no_route");
		return;
	}
	if (r->target.kind == TARGET_REJECT) {
		v->place = r->target.place;
		refuse(v, route_reply(r->target.reply), "route_rejects");
		return;
	}
	permit(v, client->trust != NULL ? "trusted" : "logged_in");
}

static struct span lower_domain(struct span domain, char *to)
{
	size_t n = domain.n < NAME_MAX_OCTETS ? domain.n : NAME_MAX_OCTETS;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)ascii_lower(domain.p[i]);
	return span_of(to, n);
}

void accept_rcpt(const struct config *c, const struct accept_client *client,
    const struct address *rcpt, struct verdict *v)
{
	char lower[NAME_MAX_OCTETS];
	struct span name =
	    rcpt->kind == ADDRESS_BARE ? span_str(c->hostname) : lower_domain(rcpt->domain, lower);
	const struct domain *d = config_domain(c, name);

	memset(v, 0, sizeof(*v));
	if (fault_verdict(c, rcpt, v))
		return;
	if (d != NULL) {
		judge_local(d, v);
		return;
	}
	/* RFC 5321 section 4.5.1: postmaster without a domain is always taken; where no local
	   domain has our host name it goes where the routes of trusted mail go. */
	if (!accept_may_relay(client) && rcpt->kind == ADDRESS_BARE) {
		permit(v, "postmaster");
		return;
	}
	if (!accept_may_relay(client)) {
		relay_denied(rcpt, v);
		return;
	}
	judge_foreign(c, client, name, v);
}

int accept_class(
    const struct accept_client *client, struct span head, bool *at_most_once, struct verdict *v)
{
	const struct span name = SPAN("X-Godwit-Class");
	struct span value = header_get(head, name);

	memset(v, 0, sizeof(*v));
	*at_most_once = false;
	if (!accept_may_relay(client) || value.p == NULL)
		return 0;
	*at_most_once = span_eq_case(value, SPAN("at-most-once"));
	if (header_count(head, name) > 1)
		refuse(v, REPLY(550, 5, 6, 0, "More than one X-Godwit-Class in the header"),
		    "class_twice");
	else if (!*at_most_once && !span_eq_case(value, SPAN("normal")))
		refuse(v,
		    REPLY(550, 5, 6, 0,
			"X-Godwit-Class is not known: the classes are normal and at-most-once"),
		    "class_unknown");
	else
		return 0;
	return GW_EFORMAT;
}
