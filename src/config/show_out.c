/* "config show": where mail goes, as text: domains, routes, pulls, virtual MTAs, shapes. */
#include "config/show.h"

#include "config/words.h"

static void text_lookup(struct buf *out, const struct domain *d)
{
	const struct recipients_lookup *k = d->lookup;

	if (d->recipients == RECIPIENTS_CALLOUT)
		buf_add_str(out, k->lmtp ? " lmtp" : " smtp");
	buf_add_byte(out, ' ');
	show_endpoint(&k->at, out);
	buf_addf(out, "%s%s cache ", k->from[0] != '\0' ? " from " : "", k->from);
	format_duration(k->cache, out);
	buf_add_str(out, " negative ");
	format_duration(k->negative, out);
	buf_add_str(out, " timeout ");
	format_duration(k->timeout, out);
	buf_addf(out, " away %s", k->away_accepts ? "accept" : "defer");
}

static void text_if_set(struct text *t, const char *before, const char *value)
{
	if (value == NULL)
		return;
	buf_add_str(t->out, before);
	text_word(t->out, span_str(value));
}

static void text_recipients(struct text *t, const struct domain *d)
{
	buf_addf(t->out, "; recipients %s", recipients_word(d->recipients));
	if (d->lookup != NULL)
		text_lookup(t->out, d);
	text_if_set(t, " ", d->recipients_file);
	text_if_set(t, "; aliases ", d->aliases);
	text_if_set(t, "; catch-all ", d->catch_all);
	text_if_set(t, "; forward ", d->forward);
	if (d->subaddress == 0)
		buf_add_str(t->out, "; subaddress off");
	else
		buf_addf(t->out, "; subaddress \"%c\"", d->subaddress);
}

static void text_mailboxes(struct buf *out, const struct domain *d)
{
	const struct quota *q = &d->quota;

	if (q->octets > 0 || q->messages > 0) {
		buf_add_str(out, "; quota ");
		if (q->octets > 0)
			format_size(q->octets, out);
		else
			buf_add_str(out, "off");
		if (q->messages > 0)
			buf_addf(out, " messages %llu", (unsigned long long)q->messages);
		buf_add_str(out, q->defer ? " defer" : "");
	}
	if (d->folder != FOLDER_OFF)
		buf_addf(out, "; subaddress-folder %s", folder_word(d->folder));
}

void text_domain(struct text *t, const struct domain *d)
{
	text_begin(t, "", "domain ");
	buf_addf(t->out, "%s { deliver", d->name);
	text_target(t->out, &d->deliver);
	text_recipients(t, d);
	text_mailboxes(t->out, d);
	buf_add_str(t->out, " }");
	text_end(t, &d->place);
}

void text_route(struct text *t, const struct route *r)
{
	text_begin(t, "", "route");
	text_conditions(t->out, r);
	buf_add_str(t->out, " via");
	text_target(t->out, &r->target);
	text_end(t, &r->place);
}

void text_pulls(struct text *t, const struct config *c)
{
	for (size_t i = 0; i < c->n_pull; i++) {
		text_begin(t, "", "pull ");
		text_pull(t->out, &c->pull[i]);
		text_end(t, &c->pull[i].place);
	}
}

void text_vmtas(struct text *t, const struct config *c)
{
	for (size_t i = 0; i < c->n_vmta; i++) {
		text_begin(t, "", "vmta ");
		buf_addf(t->out, "%s {", c->vmta[i].name);
		text_vmta(t->out, &c->vmta[i]);
		buf_add_str(t->out, " }");
		text_end(t, &c->vmta[i].place);
	}
}

static void text_patterns(
    struct text *t, const struct option *row, const struct shape *g, const struct place *at)
{
	const char *const *list = row->id == OPT_SHAPE_MX ? g->mx : g->domain;
	size_t n = row->id == OPT_SHAPE_MX ? g->n_mx : g->n_domain;

	if (n == 0)
		return;
	text_begin(t, "    ", row->name);
	for (size_t i = 0; i < n; i++)
		buf_addf(t->out, " %s", list[i]);
	text_end(t, at);
}

static void text_retries(struct text *t, const struct shape *g, const struct place *at)
{
	bool same = show_retries_same(g);

	for (unsigned p = 0; p < (same ? 1 : PRIORITY_COUNT); p++) {
		text_begin(t, "    ", "retry");
		if (!same)
			buf_addf(t->out, " %s", priority_word((enum priority)p));
		text_retry(t->out, g, (enum priority)p);
		text_end(t, at);
	}
}

static void text_own_of_shape(
    struct text *t, const struct option *row, const struct shape *g, const struct place *at)
{
	if (row->id == OPT_SHAPE_RETRY) {
		text_retries(t, g, at);
	} else if (row->id == OPT_SHAPE_TLS && g->tls.mode != OUT_TLS_UNSAID) {
		text_begin(t, "    ", row->name);
		text_tls_out(t->out, &g->tls);
		text_end(t, at);
	} else if (row->id == OPT_SHAPE_ON) {
		for (size_t i = 0; i < g->n_on_reply; i++) {
			text_begin(t, "    ", row->name);
			text_reply_rule(t->out, &g->on_reply[i]);
			text_end(t, &g->on_reply[i].place);
		}
	} else if (row->id == OPT_SHAPE_DOMAIN || row->id == OPT_SHAPE_MX) {
		text_patterns(t, row, g, at);
	}
}

void text_shape(struct text *t, const struct shape *g, const struct place *origin)
{
	text_begin(t, "", "shape ");
	buf_addf(t->out, "%s {\n", g->name);
	for (size_t i = 0; i < SHAPE_OPTIONS; i++) {
		const struct option *row = &options[OPT_SHAPE_DOMAIN + i];

		if (row->type == TYPE_OWN)
			text_own_of_shape(t, row, g, &origin[i]);
		else
			text_simple(t, "    ", g, row, &origin[i]);
	}
	buf_add_str(t->out, "}\n");
}
