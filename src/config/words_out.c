/* "vmta" and "resolver": from where mail leaves, and who knows the names it goes to. */
#include "config/words.h"

#include <arpa/inet.h>
#include <stdio.h>

/* ---- vmta ------------------------------------------------------------------------------------ */

static void own_address(
    struct builder *b, const struct option *row, const struct word *w, struct vmta *v)
{
	for (; w != NULL; w = w->next) {
		bool v6 = strchr(w->text, ':') != NULL;
		bool *has = v6 ? &v->has_v6 : &v->has_v4;

		if (inet_pton(v6 ? AF_INET6 : AF_INET, w->text, v6 ? v->v6 : v->v4) != 1)
			report(b->r, CE_SOURCE_ADDRESS, w, NULL, w->text);
		else if (*has)
			build_extra(b, row, w);
		else
			*has = true;
	}
}

void words_in_vmta(
    struct builder *b, struct vmta *v, const struct option *row, const struct word *w)
{
	static const char *const prefers[] = {[FAMILY_V6_FIRST] = "v6", [FAMILY_V4_FIRST] = "v4"};
	static const char *const families[] = {"both", "v4", "v6"};
	size_t n;

	if (row->id == OPT_VMTA_ADDRESS)
		own_address(b, row, w, v);
	else if (build_extra(b, row, w->next))
		return;
	else if (row->id == OPT_VMTA_PREFER && words_choose(b, w, prefers, 2, &n))
		b->vmta_prefers = (enum family_wish)n;
	else if (row->id == OPT_VMTA_FAMILY && words_choose(b, w, families, 3, &n))
		b->vmta_family = n;
}

/* What was said of the families, together; what was not said follows from the addresses. */
static void settle_wish(struct builder *b, const struct block *k, struct vmta *v)
{
	bool said = k->seen[OPT_VMTA_FAMILY].line > 0;
	size_t family = said ? b->vmta_family : v->has_v4 == v->has_v6 ? 0 : v->has_v4 ? 1 : 2;
	const struct place *at = &k->seen[OPT_VMTA_FAMILY];

	v->wish = family == 0 ? b->vmta_prefers : family == 1 ? FAMILY_V4_ONLY : FAMILY_V6_ONLY;
	if (family == 0)
		return;
	if (said && (family == 1 ? v->has_v6 && !v->has_v4 : v->has_v4 && !v->has_v6))
		report_at(b->r, CE_VMTA_FAMILY, at, 6, NULL, v->name, family == 1 ? "v4" : "v6");
	else if (k->seen[OPT_VMTA_PREFER].line > 0 &&
		 (b->vmta_prefers == FAMILY_V4_FIRST) != (family == 1))
		report_at(b->r, CE_VMTA_FAMILY, &k->seen[OPT_VMTA_PREFER], 6, NULL, v->name,
		    b->vmta_prefers == FAMILY_V4_FIRST ? "v4" : "v6");
}

void words_vmta(struct builder *b, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	const struct place *first;
	struct vmta v = {.name = must_dup(&b->c->arena, span_str(w->text)), .place = w->place};
	struct block k = {.scope = SCOPE_VMTA, .base = &v};
	char label[64], at[PLACE_TEXT];
	bool is_default = words_is(w, "default");

	if (build_extra(b, row, w->next))
		return;
	if (!words_name_good(w->text)) {
		report(b->r, CE_VMTA_NAME, w, NULL, w->text);
		return;
	}
	first = build_once(b, "vmta", w->text, &w->place);
	if (first != NULL) {
		report(b->r, CE_VMTA_TWICE, w, NULL, w->text, place_text(first, at));
		return;
	}
	snprintf(label, sizeof(label), "vmta %.40s", w->text);
	k.label = label;
	b->vmta_prefers = FAMILY_V6_FIRST;
	build_settings(b, &k, s->block);
	settle_wish(b, &k, &v);
	b->vmta[is_default ? 0 : b->c->n_vmta] = v;
	build_set_number(b, "vmta", w->text, is_default ? 0 : b->c->n_vmta++);
}

/* "vmtas defined: a (line 3), b (godwit.conf:9)" */
static const char *defined(struct builder *b)
{
	struct buf list;
	const char *text;
	char at[PLACE_TEXT];

	buf_init(&list, 600);
	buf_add_str(&list, "vmtas defined: ");
	for (size_t i = 0; i < b->c->n_vmta && buf_len(&list) < 400; i++) {
		const struct vmta *v = &b->vmta[i];

		buf_addf(&list, "%s%s", i ? ", " : "", v->name);
		if (v->place.line > 0)
			buf_addf(&list, " (%.60s)", place_text(&v->place, at));
	}
	text = textf(b->r, "%.*s", SPAN_ARG(buf_view(&list)));
	buf_fini(&list);
	return text;
}

const struct vmta *words_find_vmta(struct builder *b, const struct word *w)
{
	size_t number = build_number(b, "vmta", w->text);

	if (words_is(w, "default"))
		return b->c->vmta;
	if (number != SIZE_MAX)
		return &b->c->vmta[number];
	report(b->r, CE_VMTA_UNKNOWN, w, defined(b), w->text);
	return NULL;
}

/* ---- resolver -------------------------------------------------------------------------------- */

/* ADDRESS[:PORT]... for a domain. */
static void add_servers(struct builder *b, const struct word *w, const char *domain, bool stub)
{
	for (; w != NULL; w = w->next) {
		struct dns_server *d = &b->server[b->c->resolver.n_server];

		*d = (struct dns_server){.domain = domain, .stub = stub, .place = w->place};
		if (value_endpoint(&b->v, w, ENDPOINT_SERVER, &d->at))
			b->c->resolver.n_server++;
	}
}

void words_in_resolver(struct builder *b, const struct option *row, const struct word *w)
{
	const char *domain;

	if (row->id == OPT_RESOLVER_FORWARD) {
		add_servers(b, w, ".", false);
	} else if (row->id == OPT_RESOLVER_STUB) {
		domain = words_is(w, ".") ? "." : value_domain(&b->v, w);
		if (domain != NULL && words_next(b, row, w))
			add_servers(b, w->next, domain, true);
	} else if (!build_extra(b, row, w->next)) {
		b->c->resolver.trust_anchor = words_is(w, "off") ? NULL : value_path(&b->v, w);
	}
}
