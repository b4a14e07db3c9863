/* "pull": whom to ask for mail that waits for us there, and for which domains. */
#include "config/words.h"

#include "mail/address.h"

#include <stdio.h>

enum { ODMR_PORT = 366, ETRN_PORT = 25, LINE_OCTETS = 512 };

static const char *const kinds[] = {[PULL_ODMR] = "odmr", [PULL_ETRN] = "etrn"};

const char *pull_kind_word(enum pull_kind k)
{
	return kinds[k];
}

/* ---- inside the block ---------------------------------------------------------------------- */

/* "#NAME" is what the other host makes of it: a group of ours, and to Exim a part of addresses. */
static const char *read_queue(struct builder *b, const struct word *w)
{
	if (words_name_good(w->text + 1) || domain_valid(span_str(w->text + 1)))
		return must_dup(&b->c->arena, span_str(w->text));
	report(b->r, CE_PULL_QUEUE, w, NULL, w->text);
	return NULL;
}

/* ETRN has two forms more (RFC 1985 section 5.2), ATRN has not. */
static const char *read_name(struct builder *b, const struct word *w, enum pull_kind kind)
{
	if (kind == PULL_ETRN && w->text[0] == '@')
		return value_below(&b->v, w);
	if (kind == PULL_ETRN && w->text[0] == '#')
		return read_queue(b, w);
	return value_domain(&b->v, w);
}

static void own_domains(struct builder *b, const struct word *w, struct pull *p)
{
	const char **list = must_alloc(&b->c->arena, words_count(w) * sizeof(*list));
	char most[16];

	p->domain = list;
	for (; w != NULL; w = w->next) {
		if (p->n_domain == PULL_DOMAINS_MAX) {
			snprintf(most, sizeof(most), "%d", PULL_DOMAINS_MAX);
			report(b->r, CE_MANY, w, NULL, most, "domains");
			return;
		}
		list[p->n_domain] = read_name(b, w, p->kind);
		if (list[p->n_domain] != NULL)
			p->n_domain++;
	}
}

void words_in_pull(
    struct builder *b, struct pull *p, const struct option *row, const struct word *w)
{
	if (row->id == OPT_PULL_DOMAINS)
		own_domains(b, w, p);
	else if (row->id == OPT_PULL_AUTH && !build_extra(b, row, w->next))
		(void)words_secret(b, w, &p->target);
	else if (row->id == OPT_PULL_TLS && words_tls_out(b, row, &w, &p->target.tls))
		build_extra(b, row, w);
}

/* ---- the statement -------------------------------------------------------------------------- */

static bool is_whole(
    struct builder *b, const struct block *k, const struct pull *p, const struct word *at)
{
	const char *missing = NULL, *hint = NULL;

	if (k->seen[OPT_PULL_DOMAINS].line == 0) {
		missing = "domains";
		hint = "add: domains NAME...";
	} else if (p->kind == PULL_ODMR && k->seen[OPT_PULL_AUTH].line == 0) {
		missing = "auth";
		hint = "add: auth file:PATH (or cred:NAME)";
	}
	if (missing != NULL)
		report(b->r, CE_REQUIRED_IN, at, hint, k->label, missing);
	return missing == NULL;
}

/* "ATRN a.example,b.example" */
static bool fits_line(struct builder *b, const struct pull *p, const struct word *at)
{
	size_t n = strlen("ATRN") + 2;

	for (size_t i = 0; i < p->n_domain; i++)
		n += 1 + strlen(p->domain[i]);
	if (p->kind == PULL_ETRN || n <= LINE_OCTETS)
		return true;
	report(b->r, CE_PULL_LONG, at, NULL, at->text);
	return false;
}

/* A password goes to a host that was verified, unless less was asked for. */
static void check_login(struct builder *b, const struct block *k, const struct pull *p)
{
	enum out_tls mode = p->target.tls.mode;

	if (p->target.secret != NULL && k->seen[OPT_PULL_TLS].line > 0 && mode < OUT_TLS_VERIFY)
		report_at(b->r, CE_LOGIN_TLS, &k->seen[OPT_PULL_AUTH], 4, NULL, "");
}

/* Its connections are taken as those of an mx listener: from anybody, for these domains alone. */
static void set_listener(struct pull *p)
{
	p->listen = (struct listen){.kind = LISTEN_MX,
	    .name = "pull",
	    .tls = LISTEN_TLS_OFF,
	    .auth = LISTEN_AUTH_OFF,
	    .banner = "ESMTP",
	    .place = p->place};
}

static void add(struct builder *b, const struct block *k, struct pull *p, const struct word *host)
{
	const struct place *first;
	char at[PLACE_TEXT];

	if (!is_whole(b, k, p, host) || !fits_line(b, p, host))
		return;
	check_login(b, k, p);
	first = build_once(b, "pull", p->name, &p->place);
	if (first != NULL) {
		report(b->r, CE_PULL_TWICE, host, NULL, p->name, place_text(first, at));
		return;
	}
	set_listener(p);
	p->listen.pull = &b->pull[b->c->n_pull];
	b->pull[b->c->n_pull++] = *p;
}

void words_pull(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next, *host;
	struct pull p = {.place = s->words->place};
	struct block k = {.scope = SCOPE_PULL, .base = &p};
	char label[300];
	size_t kind;

	if (!words_choose(b, w, kinds, GW_ARRAY_LEN(kinds), &kind) || !words_next(b, row, w))
		return;
	host = w->next;
	if (build_extra(b, row, host->next))
		return;
	p.kind = (enum pull_kind)kind;
	if (!words_pull_target(b, host, kind == PULL_ODMR ? ODMR_PORT : ETRN_PORT, &p.target))
		return;
	snprintf(label, sizeof(label), "pull %.256s", host->text);
	k.label = label;
	build_defaults(b, SCOPE_PULL, &p);
	build_settings(b, &k, s->block);
	if (p.name == NULL)
		p.name = p.target.host[0].host;
	add(b, &k, &p, host);
}

static bool is_ours(const struct config *c, const char *name)
{
	return name[0] == '#' || config_domain(c, span_str(name + (name[0] == '@'))) != NULL;
}

/* What was pulled for a domain that is not ours would be refused. */
void check_pulls(struct builder *b)
{
	for (size_t i = 0; i < b->c->n_pull; i++) {
		const struct pull *p = &b->c->pull[i];

		for (size_t k = 0; k < p->n_domain; k++) {
			if (!is_ours(b->c, p->domain[k]))
				report_at(b->r, CE_PULL_DOMAIN, &p->place, 4, NULL, p->domain[k]);
		}
	}
}
