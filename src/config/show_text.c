/* The words of statements about where mail goes, as the grammar has them. */
#include "config/show.h"

#include "config/words.h"

#include <arpa/inet.h>
#include <inttypes.h>

void text_word(struct buf *out, struct span s)
{
	bool bare = s.n > 0 && s.p[0] != '#';

	for (size_t i = 0; i < s.n; i++)
		bare = bare && s.p[i] > ' ' && strchr(";{}\"", s.p[i]) == NULL;
	if (!bare)
		buf_add_byte(out, '"');
	buf_add_span(out, s);
	if (!bare)
		buf_add_byte(out, '"');
}

static void add(struct buf *out, const char *keyword, const char *value)
{
	if (value == NULL)
		return;
	buf_addf(out, " %s ", keyword);
	text_word(out, span_str(value));
}

void show_fingerprint(const uint8_t print[32], struct buf *out)
{
	for (size_t i = 0; i < 32; i++)
		buf_addf(out, "%02x", print[i]);
}

void text_tls_out(struct buf *out, const struct tls_out *t)
{
	buf_addf(out, " %s", tls_out_words[t->mode]);
	for (size_t i = 0; t->mode == OUT_TLS_FINGERPRINT && i < t->n_fingerprint; i++) {
		buf_add_byte(out, ' ');
		show_fingerprint(t->fingerprint[i], out);
	}
}

/* ---- targets --------------------------------------------------------------------------------- */

static void add_hosts(struct buf *out, const struct target *t)
{
	struct buf host;

	for (size_t i = 0; i < t->n_host; i++) {
		buf_init(&host, 4096);
		show_endpoint(&t->host[i], &host);
		buf_add_byte(out, ' ');
		text_word(out, buf_view(&host));
		buf_fini(&host);
	}
}

static void add_ways(struct buf *out, const struct target *t)
{
	add(out, "auth", t->secret);
	if (t->tls.mode != OUT_TLS_UNSAID) {
		buf_add_str(out, " tls");
		text_tls_out(out, &t->tls);
	}
	buf_addf(out, " vmta %s", t->vmta->name);
}

void text_target(struct buf *out, const struct target *t)
{
	switch (t->kind) {
	case TARGET_MAILDIR: add(out, "maildir", t->path); return;
	case TARGET_REJECT: add(out, "reject", t->reply); return;
	case TARGET_PIPE: buf_addf(out, " pipe %s", t->path); return;
	case TARGET_ODMR: add(out, "odmr account", t->path); return;
	case TARGET_LMTP:
		buf_add_str(out, " lmtp");
		add_hosts(out, t);
		return;
	case TARGET_RELAY:
		buf_add_str(out, " relay");
		add_hosts(out, t);
		break;
	case TARGET_MX:
		buf_addf(out, " mx port %u%s", t->port, t->private_ok ? " private" : "");
		break;
	}
	add_ways(out, t);
}

void text_conditions(struct buf *out, const struct route *r)
{
	if (r->any)
		buf_add_str(out, " to any");
	add(out, "to domain", r->domain);
	add(out, "to address", r->address);
	add(out, "from domain", r->from_domain);
	add(out, "from address", r->from_address);
	add(out, "from account", r->from_account);
	if (r->larger_than > 0) {
		buf_add_str(out, " larger-than ");
		format_size(r->larger_than, out);
	}
}

/* ---- pulls ----------------------------------------------------------------------------------- */

void text_pull(struct buf *out, const struct pull *p)
{
	buf_addf(out, "%s ", pull_kind_word(p->kind));
	show_endpoint(&p->target.host[0], out);
	buf_addf(out, " { name %s; domains", p->name);
	for (size_t i = 0; i < p->n_domain; i++) {
		buf_add_byte(out, ' ');
		text_word(out, span_str(p->domain[i]));
	}
	buf_add_byte(out, ';');
	if (p->target.secret != NULL) {
		add(out, "auth", p->target.secret);
		buf_add_byte(out, ';');
	}
	if (p->target.tls.mode != OUT_TLS_UNSAID) {
		buf_add_str(out, " tls");
		text_tls_out(out, &p->target.tls);
		buf_add_byte(out, ';');
	}
	buf_add_str(out, " every ");
	format_duration(p->every, out);
	buf_add_str(out, " }");
}

/* ---- vmtas ----------------------------------------------------------------------------------- */

const char *show_source(const struct vmta *v, bool v6, char *text)
{
	bool has = v6 ? v->has_v6 : v->has_v4;

	text[0] = '\0';
	if (has)
		inet_ntop(v6 ? AF_INET6 : AF_INET, v6 ? v->v6 : v->v4, text, SHOW_SOURCE);
	return text;
}

void text_vmta(struct buf *out, const struct vmta *v)
{
	char ip[SHOW_SOURCE];

	if (v->has_v4 || v->has_v6)
		buf_add_str(out, " address");
	if (v->has_v4)
		buf_addf(out, " %s", show_source(v, false, ip));
	if (v->has_v6)
		buf_addf(out, " %s", show_source(v, true, ip));
	buf_addf(out, "%s helo %s", v->has_v4 || v->has_v6 ? ";" : "", v->helo);
	switch (v->wish) {
	case FAMILY_V6_FIRST: buf_add_str(out, "; prefer v6; family both"); break;
	case FAMILY_V4_FIRST: buf_add_str(out, "; prefer v4; family both"); break;
	case FAMILY_V4_ONLY: buf_add_str(out, "; family v4"); break;
	case FAMILY_V6_ONLY: buf_add_str(out, "; family v6"); break;
	}
}

/* ---- shapes ---------------------------------------------------------------------------------- */

void text_reply_rule(struct buf *out, const struct on_reply *rule)
{
	/* Always in quotes: an expression looks like one. */
	buf_addf(out, " reply \"%s\" %s", rule->pattern, on_reply_words[rule->kind]);
	if (rule->kind == ON_REPLY_BOUNCE)
		return;
	buf_add_byte(out, ' ');
	if (rule->kind == ON_REPLY_SLOW) {
		format_rate(rate_pack(rule->rate.n, rule->rate.seconds), out);
		buf_add_str(out, " for ");
	}
	format_duration(rule->time, out);
}

bool show_retries_same(const struct shape *g)
{
	for (int p = 1; p < PRIORITY_COUNT; p++) {
		if (g->retry[p].n != g->retry[0].n ||
		    memcmp(g->retry[p].step, g->retry[0].step,
			g->retry[0].n * sizeof(*g->retry[0].step)) != 0)
			return false;
	}
	return true;
}

void text_retry(struct buf *out, const struct shape *g, enum priority class)
{
	for (size_t i = 0; i < g->retry[class].n; i++) {
		buf_add_byte(out, ' ');
		format_duration(g->retry[class].step[i], out);
	}
}

void text_etrn(struct buf *out, const struct etrn_rule *e)
{
	char range[CIDR_TEXT];

	for (size_t i = 0; i < e->n_name; i++) {
		buf_add_str(out, i > 0 ? " " : "");
		text_word(out, span_str(e->name[i]));
	}
	for (size_t i = 0; i < e->n_from; i++)
		buf_addf(out, "%s %s", i == 0 ? " from" : "", cidr_text(&e->from[i], range));
	for (size_t i = 0; i < e->n_account; i++) {
		buf_add_str(out, i == 0 ? " account " : " ");
		text_word(out, span_str(e->account[i]));
	}
}
