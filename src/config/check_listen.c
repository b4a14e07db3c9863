/* Listeners, logins and recipients as a whole: what opens too much, and what nobody can use. */
#include "config/words.h"

#include <arpa/inet.h>

static const unsigned listen_width = 6, users_width = 5;

static bool is_loopback(const struct listen *l)
{
	struct in6_addr six;
	struct in_addr four;

	if (l->at.host == NULL)
		return false;
	if (inet_pton(AF_INET, l->at.host, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == IN_LOOPBACKNET;
	return inet_pton(AF_INET6, l->at.host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool is_local(const struct listen *l)
{
	return l->at.unix_path != NULL || is_loopback(l);
}

static bool has_users(const struct config *c)
{
	return c->users != NULL || c->users_dovecot != NULL || c->users_any;
}

/* Anybody who can connect would be a user, and users may send to everybody. */
static void check_users_any(struct builder *b)
{
	for (size_t i = 0; b->c->users_any && i < b->c->n_listen; i++) {
		char at[PLACE_TEXT];

		if (is_local(&b->c->listen[i]) || b->c->listen[i].kind == LISTEN_LMTP)
			continue;
		report_at(b->r, CE_USERS_ANY, &b->c->users_place, 3, NULL,
		    place_text(&b->c->listen[i].place, at));
		return;
	}
}

static void check_names(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_listen; i++) {
		const struct listen *l = &b->c->listen[i];

		for (size_t k = 0; k < i; k++) {
			const struct listen *first = &b->c->listen[k];
			char at[PLACE_TEXT];

			if (strcmp(first->name, l->name) != 0 || first->kind == l->kind)
				continue;
			report_at(b->r, CE_LISTEN_NAME, &l->place, listen_width, NULL, l->name,
			    listen_kind_word(first->kind), place_text(&first->place, at));
			break;
		}
	}
}

/* ---- logins ---------------------------------------------------------------------------------- */

static void check_auth(struct builder *b, const struct listen *l)
{
	const struct place *at = &l->place;

	if (l->kind == LISTEN_ODMR && (!has_users(b->c) || l->auth == LISTEN_AUTH_OFF))
		report_at(b->r, CE_ODMR_NOBODY, at, listen_width, NULL, "");
	if (l->auth == LISTEN_AUTH_OFF)
		return;
	if (l->kind == LISTEN_MX && !has_users(b->c))
		report_at(b->r, CE_AUTH_NOBODY, at, listen_width, NULL, "");
	else if (l->kind == LISTEN_MX)
		report_at(b->r, CE_AUTH_MX, at, listen_width, NULL, "");
	if (l->auth == LISTEN_AUTH_PLAINTEXT && l->tls != LISTEN_TLS_REQUIRE &&
	    l->tls != LISTEN_TLS_IMPLICIT && !is_loopback(l))
		report_at(b->r, CE_AUTH_PLAINTEXT, at, listen_width, NULL, "");
	if (l->auth == LISTEN_AUTH_ON && l->tls == LISTEN_TLS_OFF && has_users(b->c))
		report_at(b->r, CE_AUTH_TLS_OFF, at, listen_width, NULL, "");
}

/* Once is enough: they share the certificates. */
static void check_certificate(struct builder *b)
{
	bool named = has_users(b->c) && !b->c->users_any;

	for (size_t i = 0; b->c->n_tls == 0 && named && i < b->c->n_listen; i++) {
		const struct listen *l = &b->c->listen[i];

		if (l->auth != LISTEN_AUTH_ON || l->tls == LISTEN_TLS_OFF)
			continue;
		report_at(b->r, CE_SELF_SIGNED, &l->place, listen_width, NULL, "");
		return;
	}
}

/* Who may use a listener that is for users and trusted clients alone? */
static void check_senders(struct builder *b)
{
	for (size_t i = 0; b->c->n_trust == 0 && i < b->c->n_listen; i++) {
		const struct listen *l = &b->c->listen[i];

		if (l->kind == LISTEN_MX || l->kind == LISTEN_ODMR || l->kind == LISTEN_LMTP ||
		    b->c->n_identify > 0 || (has_users(b->c) && l->auth != LISTEN_AUTH_OFF))
			continue;
		report_at(b->r, CE_NOBODY_SENDS, &l->place, listen_width, NULL,
		    listen_kind_word(l->kind));
	}
}

/* ---- who stands before us ----------------------------------------------------------------------
 */

static void check_unix(struct builder *b, const struct listen *l)
{
	const char *no = NULL;

	if (l->at.unix_path != NULL)
		no = l->n_from > 0      ? "from"
		     : l->n_proxy > 0   ? "proxy"
		     : l->n_xclient > 0 ? "xclient"
					: NULL;
	if (no != NULL)
		report_at(b->r, CE_LISTEN_UNIX, &l->place, listen_width, NULL, no);
	if (l->at.unix_path != NULL)
		return;
	no = l->mode != 0 ? "mode" : l->owner != NULL ? "owner" : l->group != NULL ? "group" : NULL;
	if (no != NULL)
		report_at(b->r, CE_LISTEN_TCP, &l->place, listen_width, NULL, no);
}

static void check_lmtp(struct builder *b, const struct listen *l)
{
	enum { SMTP = 25 };

	if (l->kind != LISTEN_LMTP)
		return;
	if (l->at.port == SMTP)
		report_at(b->r, CE_LMTP_PORT, &l->place, listen_width, NULL, "");
	if (!is_local(l) && l->n_from == 0)
		report_at(b->r, CE_LMTP_OPEN, &l->place, listen_width, NULL, l->at.host);
	if (l->auth != LISTEN_AUTH_OFF || l->n_xclient > 0)
		report_at(b->r, CE_LMTP_AUTH, &l->place, listen_width, NULL,
		    l->n_xclient > 0 ? "xclient" : "auth");
}

static void check_front(struct builder *b, const struct listen *l)
{
	check_unix(b, l);
	check_lmtp(b, l);
	if (l->xclient_login && l->n_xclient == 0)
		report_at(b->r, CE_XCLIENT_LOGIN, &l->place, listen_width, NULL, "");
}

/* ---- recipients ------------------------------------------------------------------------------ */

static void check_recipients(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_domain; i++) {
		const struct domain *d = &b->c->domain[i];

		if (d->recipients == RECIPIENTS_USERS && b->c->users == NULL)
			report_at(b->r, CE_RECIPIENTS_USERS, &d->recipients_place, users_width,
			    NULL, d->name);
		if (d->recipients == RECIPIENTS_ANY && d->catch_all != NULL)
			report_at(b->r, CE_CATCH_ALL_UNUSED, &d->catch_all_place, 9, NULL, d->name);
	}
}

/* Statements may stand in any order: whether there are accounts is known at the end. */
static void check_accounts(struct builder *b)
{
	for (size_t i = 0; b->c->users == NULL && i < b->c->n_identify; i++) {
		const struct identify *who = &b->c->identify[i];

		report_at(b->r, CE_IDENTIFY_USERS, &who->place, (unsigned)strlen(who->name), NULL,
		    who->name);
	}
}

void check_listeners(struct builder *b)
{
	check_accounts(b);
	if (b->c->n_listen > CONFIG_LISTEN_MAX)
		report_at(b->r, CE_LISTEN_MANY, &b->c->listen[CONFIG_LISTEN_MAX].place,
		    listen_width, NULL, "");
	check_users_any(b);
	check_names(b);
	for (size_t i = 0; i < b->c->n_listen; i++) {
		check_auth(b, &b->c->listen[i]);
		check_front(b, &b->c->listen[i]);
	}
	check_certificate(b);
	check_senders(b);
	check_recipients(b);
	check_pulls(b);
}
