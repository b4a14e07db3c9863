#include "config/show.h"

#include "config/words.h"

#include <stdlib.h>

uint64_t show_number(const void *base, const struct option *row)
{
	const void *p = show_field(base, row);

	if (row->type == TYPE_NUMBER)
		return *(const uint32_t *)p;
	if (row->type == TYPE_DURATION)
		return (uint64_t) * (const int64_t *)p;
	if (row->type == TYPE_RATE) {
		const struct rate *r = p;

		return rate_pack(r->n, r->seconds);
	}
	return *(const uint64_t *)p;
}

const char *show_target_kind(const struct target *t)
{
	switch (t->kind) {
	case TARGET_MAILDIR: return "maildir";
	case TARGET_LMTP: return "lmtp";
	case TARGET_RELAY: return "relay";
	case TARGET_REJECT: return "reject";
	}
	return "";
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

void show_argument(const struct target *t, struct buf *out)
{
	if (t->kind == TARGET_MAILDIR)
		buf_add_str(out, t->path);
	else if (t->kind == TARGET_REJECT)
		buf_add_str(out, t->reply);
	else
		show_endpoint(&t->at, out);
}

/* ---- text */

struct text {
	struct buf *out;
	bool origin;
	size_t line; /* where the current line begins in out */
};

enum { COMMENT_COLUMN = 56 };

/* A word, in quotes where the grammar needs them. */
static void add_word(struct text *t, struct span s)
{
	bool bare = s.n > 0 && s.p[0] != '#';

	for (size_t i = 0; i < s.n; i++)
		bare = bare && s.p[i] > ' ' && strchr(";{}\"", s.p[i]) == NULL;
	if (!bare)
		buf_add_byte(t->out, '"');
	buf_add_span(t->out, s);
	if (!bare)
		buf_add_byte(t->out, '"');
}

static void begin(struct text *t, const char *indent, const char *name)
{
	t->line = buf_len(t->out);
	buf_addf(t->out, "%s%s", indent, name);
}

static void end(struct text *t, const struct place *at)
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
		add_word(t, span_str(*(const char *const *)p));
}

/* A text that nobody set has no value to show. */
static bool unset(const void *base, const struct option *row)
{
	return row->type >= TYPE_HOSTNAME && *(const char *const *)show_field(base, row) == NULL;
}

static void text_simple(struct text *t, const char *indent, const void *base,
    const struct option *row, const struct place *at)
{
	if (unset(base, row))
		return;
	begin(t, indent, row->name);
	add_simple(t, base, row);
	for (size_t i = 0; i < OPT_COUNT && row->opens != SCOPE_NONE; i++) {
		if (options[i].scope == row->opens) {
			buf_addf(t->out, " %s", options[i].name);
			add_simple(t, base, &options[i]);
		}
	}
	end(t, at);
}

static void text_block(struct text *t, const struct config *c, const struct option *row)
{
	begin(t, "", row->name);
	buf_add_str(t->out, " {\n");
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope == row->opens)
			text_simple(t, "    ", c, &options[i], &c->index->origin[i]);
	}
	buf_add_str(t->out, "}\n");
}

static void add_target(struct text *t, const struct target *g)
{
	struct buf word;

	buf_init(&word, 4096);
	show_argument(g, &word);
	buf_addf(t->out, " %s ", show_target_kind(g));
	add_word(t, buf_view(&word));
	buf_fini(&word);
}

static void text_log(struct text *t, const struct config *c)
{
	begin(t, "", "log");
	if (c->log_json)
		buf_add_str(t->out, " json");
	if (c->log_path != NULL) {
		buf_add_str(t->out, " file ");
		add_word(t, span_str(c->log_path));
	} else if (!c->log_json) {
		buf_add_str(t->out, " journal");
	}
	buf_addf(t->out, " { subject %s }", c->log_subject ? "on" : "off");
	end(t, &c->index->origin[OPT_LOG]);
}

static void text_recipients(struct text *t, const struct domain *d)
{
	buf_addf(t->out, "; recipients %s", recipients_word(d->recipients));
	if (d->recipients_file != NULL) {
		buf_add_byte(t->out, ' ');
		add_word(t, span_str(d->recipients_file));
	}
	if (d->aliases != NULL) {
		buf_add_str(t->out, "; aliases ");
		add_word(t, span_str(d->aliases));
	}
	if (d->catch_all != NULL) {
		buf_add_str(t->out, "; catch-all ");
		add_word(t, span_str(d->catch_all));
	}
	if (d->subaddress == 0)
		buf_add_str(t->out, "; subaddress off");
	else
		buf_addf(t->out, "; subaddress \"%c\"", d->subaddress);
}

static void text_domain(struct text *t, const struct domain *d)
{
	begin(t, "", "domain ");
	buf_addf(t->out, "%s { deliver", d->name);
	add_target(t, &d->deliver);
	text_recipients(t, d);
	buf_add_str(t->out, " }");
	end(t, &d->place);
}

static void text_route(struct text *t, const struct route *r)
{
	begin(t, "", "route to");
	if (r->domain == NULL)
		buf_add_str(t->out, " any via");
	else
		buf_addf(t->out, " domain %s via", r->domain);
	add_target(t, &r->target);
	end(t, &r->place);
}

static void text_shape(struct text *t, const struct shape *g, const struct place *origin)
{
	begin(t, "", "shape ");
	buf_addf(t->out, "%s {\n", g->name);
	for (size_t i = 0; i < SHAPE_OPTIONS; i++) {
		const struct option *row = &options[OPT_SHAPE_DOMAIN + i];

		if (row->type != TYPE_OWN) {
			text_simple(t, "    ", g, row, &origin[i]);
			continue;
		}
		if (row->id == OPT_SHAPE_DOMAIN && g->n_domain == 0)
			continue;
		begin(t, "    ", row->name);
		for (size_t k = 0; row->id == OPT_SHAPE_DOMAIN && k < g->n_domain; k++)
			buf_addf(t->out, " %s", g->domain[k]);
		for (size_t k = 0; row->id == OPT_SHAPE_RETRY && k < g->n_retry; k++) {
			buf_add_byte(t->out, ' ');
			format_duration(g->retry[k], t->out);
		}
		end(t, &origin[i]);
	}
	buf_add_str(t->out, "}\n");
}

static void text_listen(struct text *t, const struct listen *l)
{
	char range[CIDR_TEXT];

	begin(t, "", "listen ");
	buf_addf(t->out, "%s ", listen_kind_word(l->kind));
	show_endpoint(&l->at, t->out);
	buf_addf(t->out, " { name %s; tls %s; auth %s; banner ", l->name, listen_tls_word(l->tls),
	    listen_auth_word(l->auth));
	add_word(t, span_str(l->banner));
	buf_add_str(t->out, "; greet-delay ");
	format_duration(l->greet_delay, t->out);
	for (size_t i = 0; i < l->n_from; i++)
		buf_addf(t->out, "%s%s", i ? " " : "; from ", cidr_text(&l->from[i], range));
	buf_add_str(t->out, " }");
	end(t, &l->place);
}

static void text_tls(struct text *t, const struct tls_pair *p)
{
	begin(t, "", "tls file ");
	add_word(t, span_str(p->certificate));
	buf_add_byte(t->out, ' ');
	add_word(t, span_str(p->key));
	end(t, &p->place);
}

static void text_users(struct text *t, const struct config *c)
{
	if (c->users == NULL && !c->users_any)
		return;
	begin(t, "", "users ");
	if (c->users != NULL)
		buf_add_str(t->out, "file ");
	add_word(t, span_str(c->users != NULL ? c->users : "any"));
	end(t, &c->users_place);
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
		begin(t, "", "trust ");
		buf_add_str(t->out, cidr_text(&c->trust[i], range));
		end(t, &c->trust[i].place);
	}
	for (size_t i = 0; id == OPT_DOMAIN && i < c->n_domain; i++)
		text_domain(t, &c->domain[i]);
	for (size_t i = 0; id == OPT_ROUTE && i < c->n_route; i++)
		text_route(t, &c->route[i]);
	for (size_t i = 0; id == OPT_SHAPE && i < c->n_shape; i++)
		text_shape(t, &c->shape[i], c->index->shape_origin[i]);
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
