/* ETRN: who may set the queue going for whom. What is queued is not looked at. */
#include "flow/accept.h"

#include <stdio.h>

static bool is_named(const struct etrn_rule *e, struct span account)
{
	for (size_t i = 0; i < e->n_account; i++) {
		if (account.n > 0 && span_eq_case(account, span_str(e->account[i])))
			return true;
	}
	return false;
}

/* An account that may no longer send may not do this either. */
static bool account_good(const struct config *c, const struct accept_client *client)
{
	return c->users_any ||
	       (client->account != NULL && client->account->state == ACCOUNT_ACTIVE);
}

static bool may_ask(const struct config *c, const struct accept_client *client,
    const struct sockaddr *from, const struct etrn_rule *e)
{
	if (e->n_from > 0 && cidr_find(e->from, e->n_from, from) != NULL)
		return true;
	return is_named(e, client->login) && account_good(c, client);
}

/* Is one of its names that of the group, a pattern for the domain, or one for all names below it?
 */
static bool covers(const struct etrn_rule *e, enum etrn_kind kind, struct span name)
{
	for (size_t i = 0; i < e->n_name; i++) {
		struct span p = span_str(e->name[i]);
		bool group = p.p[0] == '#';

		if (group != (kind == ETRN_GROUP))
			continue;
		if (group ? span_eq(span_skip(p, 1), name)
		    : kind == ETRN_NODE
			? config_pattern_match(e->name[i], name)
			: p.p[0] == '*' && (span_eq(span_skip(p, 2), name) ||
					       config_pattern_match(e->name[i], name)))
			return true;
	}
	return false;
}

static const struct etrn_rule *find(const struct config *c, const struct accept_client *client,
    const struct sockaddr *from, enum etrn_kind kind, struct span name)
{
	for (size_t i = 0; i < c->n_etrn; i++) {
		const struct etrn_rule *e = &c->etrn[i];

		if (covers(e, kind, name) && may_ask(c, client, from, e))
			return e;
	}
	return NULL;
}

void accept_etrn(const struct config *c, const struct accept_client *client,
    const struct sockaddr *from, const struct etrn_ask *q, struct verdict *v)
{
	const struct etrn_rule *e = find(c, client, from, q->kind, q->name);
	char node[ETRN_TEXT_MAX];
	int n;

	memset(v, 0, sizeof(*v));
	/* All names below it, and it itself. */
	if (e != NULL && q->kind == ETRN_BELOW)
		e = find(c, client, from, ETRN_NODE, q->name);
	if (e != NULL) {
		v->ok = true;
		v->reason = "etrn";
		v->place = e->place;
		return;
	}
	n = snprintf(v->text, sizeof(v->text), "Node %s not allowed: not for this client",
	    etrn_text(q->kind, q->name, node));
	v->reply = (struct reply){459, {4, 7, 1}, span_of(v->text, (size_t)n)};
	v->reason = "etrn_denied";
}

bool accept_etrn_any(
    const struct config *c, const struct accept_client *client, const struct sockaddr *from)
{
	for (size_t i = 0; i < c->n_etrn; i++) {
		if (may_ask(c, client, from, &c->etrn[i]))
			return true;
	}
	return false;
}
