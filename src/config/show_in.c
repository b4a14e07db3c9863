/* "config show": who comes in, as text: listeners, accounts without a login, certificates, users,
 * and how much of them is taken. */
#include "config/show.h"

#include "config/words.h"

static void text_ranges(struct text *t, const char *name, const struct cidr *list, size_t n)
{
	char range[CIDR_TEXT];

	if (n == 0)
		return;
	buf_addf(t->out, "; %s", name);
	for (size_t i = 0; i < n; i++)
		buf_addf(t->out, " %s", cidr_text(&list[i], range));
}

void text_listen(struct text *t, const struct listen *l)
{
	text_begin(t, "", "listen ");
	buf_addf(t->out, "%s ", listen_kind_word(l->kind));
	show_endpoint(&l->at, t->out);
	buf_addf(t->out, " { name %s; tls %s; auth %s; banner ", l->name, listen_tls_word(l->tls),
	    listen_auth_word(l->auth));
	text_word(t->out, span_str(l->banner));
	buf_add_str(t->out, "; greet-delay ");
	format_duration(l->greet_delay, t->out);
	if (listen_submits(l))
		buf_add_str(t->out, "; future-release ");
	if (listen_submits(l) && l->future_release == 0)
		buf_add_str(t->out, "off");
	else if (listen_submits(l))
		format_duration(l->future_release, t->out);
	buf_addf(t->out, "; priority %s", priority_word(l->priority));
	buf_addf(t->out, "; check-domains %s", check_domains_word(l->check_domains));
	text_ranges(t, "from", l->from, l->n_from);
	text_ranges(t, "proxy", l->proxy, l->n_proxy);
	text_ranges(t, "xclient", l->xclient, l->n_xclient);
	if (l->xclient_login)
		buf_add_str(t->out, "; xclient-login yes");
	if (l->mode != 0)
		buf_addf(t->out, "; mode %04o", l->mode);
	if (l->owner != NULL)
		buf_addf(t->out, "; owner %s", l->owner);
	if (l->group != NULL)
		buf_addf(t->out, "; group %s", l->group);
	buf_add_str(t->out, " }");
	text_end(t, &l->place);
}

void text_identify(struct text *t, const struct identify *who)
{
	text_begin(t, "", "identify ");
	buf_addf(t->out, "%s { account ", who->name);
	text_word(t->out, span_str(who->account));
	text_ranges(t, "ip", who->ip, who->n_ip);
	for (size_t i = 0; i < who->n_domain; i++)
		buf_addf(t->out, "%s %s", i ? "" : "; helo-domain", who->domain[i]);
	buf_add_str(t->out, " }");
	text_end(t, &who->place);
}

void text_tls(struct text *t, const struct tls_pair *p)
{
	text_begin(t, "", "tls file ");
	text_word(t->out, span_str(p->certificate));
	buf_add_byte(t->out, ' ');
	text_word(t->out, span_str(p->key));
	text_end(t, &p->place);
}

void text_users(struct text *t, const struct config *c)
{
	if (c->users == NULL && c->users_dovecot == NULL && !c->users_any)
		return;
	text_begin(t, "", "users ");
	if (c->users != NULL)
		buf_add_str(t->out, "file ");
	if (c->users_dovecot != NULL)
		buf_add_str(t->out, "dovecot unix:");
	text_word(t->out, span_str(c->users != NULL           ? c->users
				   : c->users_dovecot != NULL ? c->users_dovecot
							      : "any"));
	text_end(t, &c->users_place);
}

void text_limits(struct text *t, const char *indent, const struct limit_rule *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		text_begin(t, indent, "limit");
		text_limit(t->out, &r[i]);
		text_end(t, &r[i].place);
	}
}

void text_plan(struct text *t, const struct plan *p)
{
	text_begin(t, "", "plan ");
	buf_addf(t->out, "%s {\n", p->name);
	text_limits(t, "    ", p->limit, p->n_limit);
	buf_add_str(t->out, "}\n");
}
