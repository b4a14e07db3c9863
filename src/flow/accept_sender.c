/* Senders: who may send here at all, and as whom. */
#include "flow/accept.h"

#include "mail/header.h"
#include "mail/mailbox.h"

#include <stdio.h>

enum { TOLD_MAX = 5, SHOWN = 100, FROM_MAILBOXES = 100 };

static void refuse(struct verdict *v, struct reply r, const char *reason)
{
	v->ok = false;
	v->reply = r;
	v->reason = reason;
}

static void refuse_text(struct verdict *v, int n, const char *reason)
{
	size_t most = sizeof(v->text) - 1, length = (size_t)n < most ? (size_t)n : most;

	for (size_t i = 0; i < length; i++) { /* one line, whatever a client wrote */
		if (v->text[i] < ' ' || v->text[i] > '~')
			v->text[i] = '?';
	}
	refuse(v, (struct reply){550, {5, 7, 1}, span_of(v->text, length)}, reason);
}

void accept_client_account(
    const struct config *c, const struct accounts *accounts, struct accept_client *client)
{
	client->account = accounts_find(accounts, client->login);
	if (c->users_dovecot == NULL || client->login.n == 0)
		return;
	client->elsewhere = (struct account){.name = client->login, .state = ACCOUNT_ACTIVE};
	client->account = &client->elsewhere;
}

/* ---- the account ------------------------------------------------------------------------------
 */

/* It was good when its user logged in; is it still? */
static bool judge_account(
    const struct config *c, const struct accept_client *client, struct verdict *v)
{
	v->place = client->identified != NULL ? client->identified->place : c->users_place;
	if (c->users_any)
		return true;
	/* Who logged in was good then; who did not can wait until somebody knows. */
	if (client->account == NULL && client->identified != NULL && client->accounts_away)
		refuse(v, REPLY(451, 4, 3, 0, "The accounts are not known yet; please try again"),
		    "no_accounts");
	else if (client->account == NULL)
		refuse(v, REPLY(550, 5, 7, 1, "This account is no longer there"), "account_gone");
	else if (client->account->state == ACCOUNT_SUSPENDED)
		refuse(v, REPLY(550, 5, 7, 1, "This account is suspended"), "account_suspended");
	else if (client->account->state == ACCOUNT_CLOSED)
		refuse(v, REPLY(550, 5, 7, 1, "This account is closed"), "account_closed");
	else
		return true;
	return false;
}

/* A word without patterns stands for itself at each of our domains. */
static bool word_may(const struct config *c, const struct account *a, const struct address *from)
{
	char name[ACCOUNT_NAME_MAX + 2 + 255], lower[256];
	struct account full = *a;
	struct address own;
	struct span why;
	int n;

	if (from->kind != ADDRESS_DOMAIN || from->domain.n >= sizeof(lower))
		return false;
	for (size_t i = 0; i < from->domain.n; i++)
		lower[i] = (char)ascii_lower(from->domain.p[i]);
	if (config_domain(c, span_of(lower, from->domain.n)) == NULL)
		return false;
	n = snprintf(name, sizeof(name), "%.*s@%.*s", SPAN_ARG(a->name), SPAN_ARG(from->domain));
	full.name = span_of(name, (size_t)n);
	return address_parse(full.name, &own) == 0 && account_may_send_as(&full, from, false, &why);
}

static bool is_word(const struct account *a, bool header)
{
	size_t n = header && a->n_header_as > 0 ? a->n_header_as : a->n_as;

	return n == 0 && span_find(a->name, '@') < 0;
}

static bool may_use(
    const struct config *c, const struct account *a, const struct address *from, bool header)
{
	struct span why;

	if (account_may_send_as(a, from, header, &why))
		return true;
	return is_word(a, header) && word_may(c, a, from);
}

/* What it may use, in a few words. */
static void put_permitted(const struct account *a, bool header, struct buf *out)
{
	bool own_header = header && a->n_header_as > 0;
	const struct span *list = own_header ? a->header_as : a->as;
	size_t n = own_header ? a->n_header_as : a->n_as;

	for (size_t i = 0; i < n && i < TOLD_MAX; i++) {
		buf_add_str(out, i > 0 ? ", " : "");
		buf_add_span(out, span_first(list[i], SHOWN / 2));
	}
	if (n > TOLD_MAX)
		buf_addf(out, " and %zu more", n - TOLD_MAX);
	if (n == 0)
		buf_add_span(out, span_first(a->name, SHOWN));
	if (is_word(a, header))
		buf_add_str(out, " at a domain of this server");
}

static void refuse_sender(const struct account *a, bool header, struct span is, struct verdict *v)
{
	struct buf may;

	buf_init(&may, 1024);
	put_permitted(a, header, &may);
	refuse_text(v,
	    snprintf(v->text, sizeof(v->text), "%.*s may not %s %.*s, only %.*s",
		SPAN_ARG(span_first(a->name, SHOWN)), header ? "write From" : "send as",
		SPAN_ARG(span_first(is, SHOWN)), SPAN_ARG(buf_view(&may))),
	    header ? "from_not_allowed" : "sender_not_allowed");
	buf_fini(&may);
}

/* ---- MAIL --------------------------------------------------------------------------------------
 */

static void judge_sender(const struct config *c, const struct accept_client *client,
    const struct address *from, struct verdict *v)
{
	struct buf text;

	if (c->users_any || may_use(c, client->account, from, false))
		return;
	buf_init(&text, 1024);
	address_canonical(from, &text);
	refuse_sender(client->account, false, buf_view(&text), v);
	buf_fini(&text);
}

void accept_mail(const struct config *c, const struct accept_client *client,
    const struct address *from, struct verdict *v)
{
	memset(v, 0, sizeof(*v));
	v->ok = true;
	v->reply = REPLY(250, 2, 1, 0, "Ok");
	v->reason = client->identified != NULL ? "identified"
		    : client->login.n > 0      ? "logged_in"
		    : client->trust != NULL    ? "trusted"
					       : "open";
	if (client->login.n > 0) {
		if (judge_account(c, client, v))
			judge_sender(c, client, from, v);
	} else if (client->trust == NULL && (client->listen->kind == LISTEN_SUBMISSION ||
						client->listen->kind == LISTEN_RELAY)) {
		if (accept_hint(c, client, v))
			return;
		v->place = client->listen->place;
		refuse(v, REPLY(530, 5, 7, 0, "Authentication required"), "auth_required");
	}
}

/* What is said is known to whoever is at one of the addresses, or says one of the names, anyway. */
bool accept_hint(const struct config *c, const struct accept_client *client, struct verdict *v)
{
	const char *name = "";
	struct span said = span_first(client->ask.helo, SHOWN);
	int n;

	switch (identify_doubt(c, &client->ask, &name)) {
	case IDENTIFY_OTHER_NAME:
		n = snprintf(v->text, sizeof(v->text),
		    "This host may send when it says a name within %.*s in EHLO instead of %.*s, "
		    "or "
		    "logs in",
		    SHOWN, name, SPAN_ARG(said));
		refuse_text(v, n, "other_name");
		return true;
	case IDENTIFY_OTHER_ADDRESS:
		n = snprintf(v->text, sizeof(v->text),
		    "The name %.*s of EHLO does not lead to the address of this host in DNS: mend "
		    "that, or log in",
		    SPAN_ARG(said));
		refuse_text(v, n, "other_address");
		return true;
	case IDENTIFY_NOT_NOW:
		refuse(v,
		    REPLY(451, 4, 4, 3,
			"DNS cannot say now whether this host is the one it says in EHLO; please "
			"try again"),
		    "no_dns");
		return true;
	case IDENTIFY_NO_DOUBT: break;
	}
	return false;
}

/* ---- From --------------------------------------------------------------------------------------
 */

static bool permits_any(const struct account *a)
{
	bool own_header = a->n_header_as > 0;
	const struct span *list = own_header ? a->header_as : a->as;
	size_t n = own_header ? a->n_header_as : a->n_as;

	for (size_t i = 0; i < n; i++) {
		if (span_eq(list[i], SPAN("*")))
			return true;
	}
	return false;
}

/* One From field. False: the verdict is given. */
static bool judge_field(
    const struct config *c, const struct account *a, struct span value, struct verdict *v)
{
	struct mailbox_walk w = mailbox_walk_of(value);
	struct mailbox m;
	struct buf text;
	int r = 0, n = 0;
	bool good = true;

	buf_init(&text, 512);
	while (good && n <= FROM_MAILBOXES && (r = mailbox_next(&w, &m)) > 0) {
		struct address from;

		n++;
		good = mailbox_address(&m, &text, &from) == 0 && may_use(c, a, &from, true);
		if (!good)
			refuse_sender(a, true, m.addr, v);
	}
	if (good && (r < 0 || n > FROM_MAILBOXES)) {
		refuse(v,
		    REPLY(
			550, 5, 6, 0, "The From field cannot be read: it is no list of addresses"),
		    "from_malformed");
		good = false;
	}
	buf_fini(&text);
	return good;
}

void accept_from(
    const struct config *c, const struct accept_client *client, struct span head, struct verdict *v)
{
	struct header_walk w = header_walk_of(head);
	struct header_field f;
	int r;

	memset(v, 0, sizeof(*v));
	v->ok = true;
	v->place = c->users_place;
	v->reply = REPLY(250, 2, 0, 0, "Ok");
	if (client->login.n == 0 || !judge_account(c, client, v) || c->users_any ||
	    permits_any(client->account))
		return;
	while ((r = header_next(&w, &f)) != 0) {
		if (r > 0 && span_eq_case(f.name, SPAN("From")) &&
		    !judge_field(c, client->account, f.value, v))
			return;
	}
}
