#include "config/show.h"

#include <stdlib.h>

uint64_t show_number(const void *base, const struct option *row)
{
	const void *p = show_field(base, row);

	if (row->type == TYPE_NUMBER || row->type == TYPE_LIMIT)
		return *(const uint32_t *)p;
	if (row->type == TYPE_DURATION)
		return (uint64_t) * (const int64_t *)p;
	if (row->type == TYPE_RATE) {
		const struct rate *r = p;

		return rate_pack(r->n, r->seconds);
	}
	return *(const uint64_t *)p;
}

void show_endpoint(const struct endpoint *e, struct buf *out)
{
	if (e->unix_path != NULL)
		buf_addf(out, "unix:%s", e->unix_path);
	else if (strchr(e->host, ':') != NULL)
		buf_addf(out, "[%s]:%u", e->host, e->port);
	else
		buf_addf(out, "%s:%u", e->host, e->port);
}

void show_server(const struct endpoint *e, struct buf *out)
{
	if (e->port != 53)
		show_endpoint(e, out);
	else if (strchr(e->host, ':') != NULL)
		buf_addf(out, "[%s]", e->host);
	else
		buf_add_str(out, e->host);
}

/* ---- text */

enum { COMMENT_COLUMN = 56 };

void text_begin(struct text *t, const char *indent, const char *name)
{
	t->line = buf_len(t->out);
	buf_addf(t->out, "%s%s", indent, name);
}

void text_end(struct text *t, const struct place *at)
{
	char place[PLACE_TEXT];

	if (t->origin) {
		do
			buf_add_byte(t->out, ' ');
		while (buf_len(t->out) - t->line < COMMENT_COLUMN && !buf_failed(t->out));
		buf_addf(t->out, "# %s", place_text(at, place));
	}
	buf_add_byte(t->out, '\n');
}

static void add_simple(struct text *t, const void *base, const struct option *row)
{
	const void *p = show_field(base, row);

	buf_add_byte(t->out, ' ');
	if (row->type == TYPE_YESNO)
		buf_add_str(t->out, *(const bool *)p ? "yes" : "no");
	else if (row->type == TYPE_ONOFF)
		buf_add_str(t->out, *(const bool *)p ? "on" : "off");
	else if (row->type >= TYPE_NUMBER && row->type <= TYPE_RATE)
		format_number(row->type, show_number(base, row), t->out);
	else
		text_word(t->out, span_str(*(const char *const *)p));
}

/* A text that nobody set has no value to show. */
static bool unset(const void *base, const struct option *row)
{
	return row->type >= TYPE_HOSTNAME && *(const char *const *)show_field(base, row) == NULL;
}

void text_simple(struct text *t, const char *indent, const void *base, const struct option *row,
    const struct place *at)
{
	if (unset(base, row))
		return;
	text_begin(t, indent, row->name);
	add_simple(t, base, row);
	for (size_t i = 0; i < OPT_COUNT && row->opens != SCOPE_NONE; i++) {
		if (options[i].scope == row->opens) {
			buf_addf(t->out, " %s", options[i].name);
			add_simple(t, base, &options[i]);
		}
	}
	text_end(t, at);
}

static void text_log(struct text *t, const struct config *c)
{
	text_begin(t, "", "log");
	if (c->log_json)
		buf_add_str(t->out, " json");
	if (c->log_path != NULL) {
		buf_add_str(t->out, " file ");
		text_word(t->out, span_str(c->log_path));
	} else if (!c->log_json) {
		buf_add_str(t->out, " journal");
	}
	buf_addf(t->out, " { subject %s }", c->log_subject ? "on" : "off");
	text_end(t, &c->index->origin[OPT_LOG]);
}

static void text_servers(struct text *t, const struct config *c)
{
	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const struct dns_server *d = &c->resolver.server[i];

		text_begin(t, "    ", d->stub ? "stub" : "forward");
		buf_addf(t->out, " %s%s", d->stub ? d->domain : "", d->stub ? " " : "");
		show_server(&d->at, t->out);
		text_end(t, &d->place);
	}
}

static void text_anchor(struct text *t, const struct config *c)
{
	text_begin(t, "    ", "trust-anchor ");
	text_word(t->out, span_str(c->resolver.trust_anchor ? c->resolver.trust_anchor : "off"));
	text_end(t, &c->index->origin[OPT_RESOLVER_ANCHOR]);
}

static void text_copy(struct text *t, const struct config *c)
{
	text_begin(t, "    ", "copy");
	for (size_t i = 0; i < REPLY_CLASSES; i++) {
		if (c->dsn.copy >> i & 1)
			buf_addf(t->out, " %s", reply_classes[i].word);
	}
	if (c->dsn.copy == 0)
		buf_add_str(t->out, " none");
	text_end(t, &c->index->origin[OPT_DSN_COPY]);
}

/* Where it is, never what. */
static void text_secret(struct text *t, const struct config *c)
{
	text_begin(t, "    ", "secret ");
	text_word(t->out, span_str(c->srs.secret));
	text_end(t, &c->srs.secret_place);
}

static void text_block(struct text *t, const struct config *c, const struct option *row)
{
	text_begin(t, "", row->name);
	if (row->id == OPT_HISTORY && c->history.off) {
		buf_add_str(t->out, " off");
		text_end(t, &c->index->origin[OPT_HISTORY]);
		return;
	}
	buf_add_str(t->out, " {\n");
	if (row->id == OPT_RESOLVER)
		text_servers(t, c);
	if (row->id == OPT_RESOLVER)
		text_anchor(t, c);
	if (row->id == OPT_DSN)
		text_copy(t, c);
	if (row->id == OPT_SRS && c->srs.secret != NULL)
		text_secret(t, c);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope == row->opens && options[i].type != TYPE_OWN)
			text_simple(t, "    ", c, &options[i], &c->index->origin[i]);
	}
	buf_add_str(t->out, "}\n");
}

/* What is built in is not written out: only where it stands. */
static void text_classes(struct text *t, const struct config *c)
{
	for (size_t i = 0; i < c->n_classify; i++) {
		const struct classify_rule *rule = &c->classify[i];

		if (show_builtin_here(c, i)) {
			text_begin(t, "", "include ");
			buf_addf(t->out, "%s\n", rule->place.file);
		}
		if (is_builtin(&rule->place))
			continue;
		text_begin(t, "", "classify ");
		buf_addf(t->out, "%s ", reply_classes[rule->class].word);
		text_word(t->out, span_str(rule->pattern));
		text_end(t, &rule->place);
	}
}

static void text_own(struct text *t, const struct config *c, enum option_id id)
{
	char range[CIDR_TEXT];

	for (size_t i = 0; id == OPT_LISTEN && i < c->n_listen; i++)
		text_listen(t, &c->listen[i]);
	for (size_t i = 0; id == OPT_TLS && i < c->n_tls; i++)
		text_tls(t, &c->tls[i]);
	if (id == OPT_USERS)
		text_users(t, c);
	for (size_t i = 0; id == OPT_TRUST && i < c->n_trust; i++) {
		text_begin(t, "", "trust ");
		buf_add_str(t->out, cidr_text(&c->trust[i], range));
		text_end(t, &c->trust[i].place);
	}
	for (size_t i = 0; id == OPT_ETRN && i < c->n_etrn; i++) {
		text_begin(t, "", "etrn ");
		text_etrn(t->out, &c->etrn[i]);
		text_end(t, &c->etrn[i].place);
	}
	for (size_t i = 0; id == OPT_IDENTIFY && i < c->n_identify; i++)
		text_identify(t, &c->identify[i]);
	for (size_t i = 0; id == OPT_DOMAIN && i < c->n_domain; i++)
		text_domain(t, &c->domain[i]);
	if (id == OPT_VMTA)
		text_vmtas(t, c);
	if (id == OPT_PULL)
		text_pulls(t, c);
	for (size_t i = 0; id == OPT_ROUTE && i < c->n_route; i++)
		text_route(t, &c->route[i]);
	for (size_t i = 0; id == OPT_SHAPE && i < c->n_shape; i++)
		text_shape(t, &c->shape[i], c->index->shape_origin[i]);
	if (id == OPT_LIMIT)
		text_limits(t, "", c->limit, c->n_limit);
	for (size_t i = 0; id == OPT_PLAN && i < c->n_plan; i++)
		text_plan(t, &c->plan[i]);
	if (id == OPT_CLASSIFY)
		text_classes(t, c);
	if (id == OPT_LOG)
		text_log(t, c);
}

void config_show(const struct config *c, bool origin, bool json, struct buf *out)
{
	struct text t = {.out = out, .origin = origin};

	if (json) {
		show_json(c, origin, out);
		return;
	}
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];

		if (row->scope != SCOPE_TOP)
			continue;
		if (row->type == TYPE_BLOCK)
			text_block(&t, c, row);
		else if (row->type == TYPE_OWN)
			text_own(&t, c, row->id);
		else
			text_simple(&t, "", c, row, &c->index->origin[i]);
	}
}
