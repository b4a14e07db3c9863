#include "flow/accept.h"

#include "auth/srs.h"
#include "flow/route.h"
#include "mail/header.h"

#include <stdio.h>

enum { NAME_MAX_OCTETS = 256, ADDRESS_OCTETS = 1024 };

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

static void relay_denied(const struct config *c, const struct accept_client *client,
    const struct address *rcpt, struct verdict *v)
{
	int n;

	if (accept_hint(c, client, v))
		return;
	n = snprintf(v->text, sizeof(v->text),
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

static void judge_foreign(const struct config *c, const struct accept_client *client,
    const struct address *rcpt, struct verdict *v)
{
	struct route_ask ask = {.from = client->from, .account = client->login};
	const struct route *r;
	enum route_fate fate;
	struct buf addr;

	buf_init(&addr, ADDRESS_OCTETS);
	address_canonical(rcpt, &addr);
	ask.addr = buf_view(&addr);
	fate = route_fate(c, &ask, &r);
	buf_fini(&addr);
	v->place = client->trust != NULL        ? client->trust->place
		   : client->identified != NULL ? client->identified->place
						: c->users_place;
	if (fate == ROUTE_MISSING) {
		refuse(v,
		    REPLY(550, 5, 4, 4, "No route to this domain: no route statement matches it"),
		    "no_route");
	} else if (fate == ROUTE_REJECTS) {
		v->place = r->target.place;
		refuse(v, route_reply(r->target.reply), "route_rejects");
	} else {
		permit(v, client->trust != NULL        ? "trusted"
			  : client->identified != NULL ? "identified"
						       : "logged_in");
		/* Where a relay is told, DNS here has no say. */
		v->asks_dns = (client->listen->check_domains & CHECK_RECIPIENTS) && r != NULL &&
			      r->target.kind == TARGET_MX;
	}
}

static struct span lower_domain(struct span domain, char *to)
{
	size_t n = domain.n < NAME_MAX_OCTETS ? domain.n : NAME_MAX_OCTETS;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)ascii_lower(domain.p[i]);
	return span_of(to, n);
}

/* Of what we forwarded: its domain may be one that takes nothing else. */
static bool is_return_path(const struct config *c, const struct address *rcpt, struct span domain)
{
	struct buf local;
	bool yes;

	if (c->srs.domain == NULL || !span_eq(domain, span_str(c->srs.domain)))
		return false;
	buf_init(&local, ADDRESS_OCTETS);
	address_local_plain(rcpt, &local);
	yes = srs_looks(buf_view(&local));
	buf_fini(&local);
	return yes;
}

bool accept_asks_sender(
    const struct config *c, const struct accept_client *client, const struct address *from)
{
	char lower[NAME_MAX_OCTETS];

	return (client->listen->check_domains & CHECK_SENDERS) && !accept_may_relay(client) &&
	       from->kind == ADDRESS_DOMAIN &&
	       config_domain(c, lower_domain(from->domain, lower)) == NULL;
}

/* Mail that we pulled: for the domains we asked for, and for whom everybody may write to. */
static bool is_asked_for(
    const struct accept_client *client, const struct address *rcpt, struct span domain)
{
	const struct pull *p = client->listen != NULL ? client->listen->pull : NULL;

	if (p == NULL || rcpt->kind == ADDRESS_BARE)
		return true;
	for (size_t i = 0; i < p->n_domain; i++) {
		if (span_eq(span_str(p->domain[i]), domain))
			return true;
	}
	return false;
}

static void not_asked_for(const struct address *rcpt, struct verdict *v)
{
	int n = snprintf(v->text, sizeof(v->text),
	    "Relay denied: mail for %.*s was not asked for over this connection",
	    (int)(rcpt->domain.n < 255 ? rcpt->domain.n : 255), (const char *)rcpt->domain.p);

	refuse(v, (struct reply){550, {5, 7, 1}, span_of(v->text, (size_t)n)}, "not_asked_for");
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
	if (!is_asked_for(client, rcpt, name)) {
		v->place = client->listen->pull->place;
		not_asked_for(rcpt, v);
		return;
	}
	if (d != NULL && is_return_path(c, rcpt, name)) {
		v->place = c->srs.secret_place;
		permit(v, "srs"); /* recipient_resolve() looks whether it was made here */
		return;
	}
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
		relay_denied(c, client, rcpt, v);
		return;
	}
	judge_foreign(c, client, rcpt, v);
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
