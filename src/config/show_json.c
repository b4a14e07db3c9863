#include "config/show_json.h"

#include "config/words.h"

#include <inttypes.h>
#include <stdio.h>

static void ranges(struct json *j, const char *name, const struct cidr *list, size_t n)
{
	char range[CIDR_TEXT];

	js_key(j, name);
	js_open(j, '[');
	for (size_t i = 0; i < n; i++) {
		js_next(j);
		js_string(j, span_str(cidr_text(&list[i], range)));
	}
	js_close(j, ']');
}

/* Of who stands before us, and of a Unix socket: what was said alone. */
static void listener_more(struct json *j, const struct listen *l)
{
	char mode[16];

	if (l->n_proxy > 0)
		ranges(j, "proxy", l->proxy, l->n_proxy);
	if (l->n_xclient > 0) {
		ranges(j, "xclient", l->xclient, l->n_xclient);
		js_flag(j, "xclient-login", l->xclient_login);
	}
	if (l->mode != 0) {
		snprintf(mode, sizeof(mode), "%04o", l->mode);
		js_text(j, "mode", span_str(mode));
	}
	if (l->owner != NULL)
		js_text(j, "owner", span_str(l->owner));
	if (l->group != NULL)
		js_text(j, "group", span_str(l->group));
}

static void listener(struct json *j, const struct listen *l)
{
	js_text(j, "kind", span_str(listen_kind_word(l->kind)));
	js_text(j, "name", span_str(l->name));
	js_endpoint(j, "at", &l->at);
	js_text(j, "tls", span_str(listen_tls_word(l->tls)));
	js_text(j, "auth", span_str(listen_auth_word(l->auth)));
	js_text(j, "banner", span_str(l->banner));
	js_number(j, "greet-delay", (uint64_t)l->greet_delay / 1000000);
	js_number(j, "future-release", (uint64_t)l->future_release / 1000000);
	js_text(j, "priority", span_str(priority_word(l->priority)));
	js_text(j, "check-domains", span_str(check_domains_word(l->check_domains)));
	ranges(j, "from", l->from, l->n_from);
	listener_more(j, l);
	js_origin(j, &l->place);
}

static void listens(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_listen; i++) {
		js_next(j);
		js_open(j, '{');
		listener(j, &c->listen[i]);
		js_close(j, '}');
	}
}

static void pairs(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_tls; i++) {
		js_next(j);
		js_open(j, '{');
		js_text(j, "certificate", span_str(c->tls[i].certificate));
		js_text(j, "key", span_str(c->tls[i].key));
		js_origin(j, &c->tls[i].place);
		js_close(j, '}');
	}
}

static void users(struct json *j, const struct config *c)
{
	if (c->users == NULL && c->users_dovecot == NULL && !c->users_any)
		return;
	js_key(j, "users");
	js_open(j, '{');
	if (c->users != NULL)
		js_text(j, "file", span_str(c->users));
	if (c->users_dovecot != NULL)
		js_text(j, "dovecot", span_str(c->users_dovecot));
	js_key(j, "any");
	buf_add_str(j->out, c->users_any ? "true" : "false");
	js_origin(j, &c->users_place);
	js_close(j, '}');
}

static void trusts(struct json *j, const struct config *c)
{
	char range[CIDR_TEXT];

	for (size_t i = 0; i < c->n_trust; i++) {
		js_next(j);
		js_open(j, '{');
		js_text(j, "range", span_str(cidr_text(&c->trust[i], range)));
		js_origin(j, &c->trust[i].place);
		js_close(j, '}');
	}
}

static void identities(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_identify; i++) {
		const struct identify *who = &c->identify[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "name", span_str(who->name));
		ranges(j, "ip", who->ip, who->n_ip);
		js_key(j, "helo-domain");
		js_open(j, '[');
		for (size_t k = 0; k < who->n_domain; k++) {
			js_next(j);
			js_string(j, span_str(who->domain[k]));
		}
		js_close(j, ']');
		js_text(j, "account", span_str(who->account));
		js_origin(j, &who->place);
		js_close(j, '}');
	}
}

static void lookup(struct json *j, const struct domain *d)
{
	const struct recipients_lookup *k = d->lookup;

	js_key(j, "recipients-lookup");
	js_open(j, '{');
	if (d->recipients == RECIPIENTS_CALLOUT) {
		js_text(j, "protocol", k->lmtp ? SPAN("lmtp") : SPAN("smtp"));
		js_text(j, "from", span_str(k->from));
	}
	js_endpoint(j, "at", &k->at);
	js_number(j, "cache", (uint64_t)k->cache / 1000000);
	js_number(j, "negative", (uint64_t)k->negative / 1000000);
	js_number(j, "timeout", (uint64_t)k->timeout / 1000000);
	js_text(j, "away", k->away_accepts ? SPAN("accept") : SPAN("defer"));
	js_close(j, '}');
}

static void recipients(struct json *j, const struct domain *d)
{
	js_text(j, "recipients", span_str(recipients_word(d->recipients)));
	if (d->lookup != NULL)
		lookup(j, d);
	if (d->recipients_file != NULL)
		js_text(j, "recipients-file", span_str(d->recipients_file));
	if (d->aliases != NULL)
		js_text(j, "aliases", span_str(d->aliases));
	if (d->catch_all != NULL)
		js_text(j, "catch-all", span_str(d->catch_all));
	if (d->forward != NULL)
		js_text(j, "forward", span_str(d->forward));
	js_text(j, "subaddress", d->subaddress != 0 ? span_of(&d->subaddress, 1) : SPAN("off"));
}

static void mailboxes(struct json *j, const struct domain *d)
{
	if (d->quota.octets > 0)
		js_number(j, "quota", d->quota.octets);
	if (d->quota.messages > 0)
		js_number(j, "quota-messages", d->quota.messages);
	if (d->quota.octets > 0 || d->quota.messages > 0)
		js_flag(j, "quota-defer", d->quota.defer);
	js_text(j, "subaddress-folder", span_str(folder_word(d->folder)));
}

static void domains(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_domain; i++) {
		js_next(j);
		js_open(j, '{');
		js_text(j, "name", span_str(c->domain[i].name));
		js_target(j, "deliver", &c->domain[i].deliver);
		recipients(j, &c->domain[i]);
		mailboxes(j, &c->domain[i]);
		js_origin(j, &c->domain[i].place);
		js_close(j, '}');
	}
}

static void log_object(struct json *j, const struct config *c)
{
	js_key(j, "log");
	js_open(j, '{');
	js_text(j, "format", span_str(c->log_json ? "json" : "logfmt"));
	if (c->log_path != NULL)
		js_text(j, "file", span_str(c->log_path));
	js_scope(j, c, SCOPE_LOG);
	js_close(j, '}');
}

static void copies(struct json *j, const struct config *c)
{
	js_key(j, "copy");
	js_open(j, '[');
	for (size_t i = 0; i < REPLY_CLASSES; i++) {
		if (!(c->dsn.copy >> i & 1))
			continue;
		js_next(j);
		js_string(j, span_str(reply_classes[i].word));
	}
	js_close(j, ']');
}

static void block(struct json *j, const struct config *c, const struct option *row)
{
	js_key(j, row->name);
	js_open(j, '{');
	if (row->id == OPT_RESOLVER) {
		js_list(j, "servers", js_servers, c);
		js_text(j, "trust-anchor",
		    span_str(c->resolver.trust_anchor ? c->resolver.trust_anchor : "off"));
	}
	if (row->id == OPT_DSN)
		copies(j, c);
	if (row->id == OPT_SRS && c->srs.secret != NULL)
		js_text(j, "secret", span_str(c->srs.secret));
	if (row->id == OPT_HISTORY)
		js_flag(j, "off", c->history.off);
	js_scope(j, c, row->opens);
	js_close(j, '}');
}

static void own(struct json *j, const struct config *c, const struct option *row)
{
	switch (row->id) {
	case OPT_LISTEN: js_list(j, row->name, listens, c); break;
	case OPT_TLS: js_list(j, row->name, pairs, c); break;
	case OPT_USERS: users(j, c); break;
	case OPT_TRUST: js_list(j, row->name, trusts, c); break;
	case OPT_IDENTIFY: js_list(j, row->name, identities, c); break;
	case OPT_DOMAIN: js_list(j, row->name, domains, c); break;
	case OPT_ROUTE: js_list(j, row->name, js_routes, c); break;
	case OPT_LIMIT: js_list(j, row->name, js_limits, c); break;
	case OPT_PLAN: js_list(j, row->name, js_plans, c); break;
	case OPT_ETRN: js_list(j, row->name, js_etrns, c); break;
	case OPT_VMTA: js_list(j, row->name, js_vmtas, c); break;
	case OPT_PULL: js_list(j, row->name, js_pulls, c); break;
	case OPT_CLASSIFY: js_list(j, row->name, js_classes, c); break;
	case OPT_SHAPE: js_list(j, row->name, js_shapes, c); break;
	case OPT_LOG: log_object(j, c); break;
	default: break; /* include: its files are in place already */
	}
}

static bool in_list(enum option_scope s)
{
	return s == SCOPE_DOMAIN || s == SCOPE_SHAPE || s == SCOPE_LISTEN || s == SCOPE_VMTA ||
	       s == SCOPE_PULL || s == SCOPE_PLAN || s == SCOPE_IDENTIFY ||
	       s == SCOPE_SHAPE_CONNECTIONS || s == SCOPE_SHAPE_MESSAGES;
}

/* "origin": the places of the settings that are not in a list. */
static void origins(struct json *j, const struct config *c)
{
	char name[64], place[PLACE_TEXT];

	js_key(j, "origin");
	js_open(j, '{');
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];
		const char *in = scope_name(row->scope);

		if (in_list(row->scope) || row->id == OPT_USERS || row->count == COUNT_MANY ||
		    row->type == TYPE_BLOCK)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", in, in[0] ? "." : "", row->name);
		js_text(j, name, span_str(place_text(&c->index->origin[i], place)));
	}
	js_close(j, '}');
}

void show_json(const struct config *c, bool with_origin, struct buf *out)
{
	struct json j = {.out = out, .origin = with_origin};

	js_open(&j, '{');
	js_number(&j, "generation", c->generation);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];

		if (row->scope != SCOPE_TOP)
			continue;
		if (row->type == TYPE_BLOCK) {
			block(&j, c, row);
		} else if (row->type == TYPE_OWN) {
			own(&j, c, row);
		} else {
			js_simple(&j, c, row);
		}
	}
	if (with_origin)
		origins(&j, c);
	js_close(&j, '}');
	buf_add_byte(out, '\n');
}
