#include "config/words.h"

#include <stdio.h>
#include <stdlib.h>

const char *const tls_out_words[OUT_TLS_FINGERPRINT + 1] = {[OUT_TLS_UNSAID] = "unsaid",
    [OUT_TLS_OFF] = "off",
    [OUT_TLS_OPPORTUNISTIC] = "opportunistic",
    [OUT_TLS_REQUIRE] = "require",
    [OUT_TLS_VERIFY] = "verify",
    [OUT_TLS_FINGERPRINT] = "fingerprint"};
const char *const on_reply_words[ON_REPLY_BOUNCE + 1] = {[ON_REPLY_PAUSE] = "pause",
    [ON_REPLY_SLOW] = "slow",
    [ON_REPLY_RETRY] = "retry",
    [ON_REPLY_BOUNCE] = "bounce"};

void words_bad(struct builder *b, const struct word *w, const char *const *words, size_t n)
{
	words_bad_hint(b, w, words, n, NULL);
}

void words_bad_hint(
    struct builder *b, const struct word *w, const char *const *words, size_t n, const char *hint)
{
	const char *near = nearest_word(span_str(w->text), words, n);
	char list[600] = "";
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		used += (size_t)snprintf(
		    list + used, sizeof(list) - used, "%s%s", i ? " " : "", words[i]);
		gw_assert(used < sizeof(list));
	}
	if (hint == NULL && near != NULL)
		hint = textf(b->r, "did you mean '%s'?", near);
	report(b->r, CE_KEYWORD, w, hint, w->text, list);
}

bool words_is(const struct word *w, const char *text)
{
	return w != NULL && strcmp(w->text, text) == 0;
}

bool words_choose(
    struct builder *b, const struct word *w, const char *const *words, size_t n, size_t *which)
{
	for (size_t i = 0; i < n; i++) {
		if (words_is(w, words[i])) {
			*which = i;
			return true;
		}
	}
	words_bad(b, w, words, n);
	return false;
}

bool words_next(struct builder *b, const struct option *row, const struct word *w)
{
	if (w->next != NULL)
		return true;
	report(
	    b->r, CE_VALUE_MISSING, w, textf(b->r, "write: %s %s", row->name, row->args), w->text);
	return false;
}

size_t words_count(const struct word *w)
{
	size_t n = 0;

	for (; w != NULL; w = w->next)
		n++;
	return n;
}

bool words_name_good(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (!ascii_isalpha(c) && !ascii_isdigit(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return n > 0 && n <= 32;
}

/* ---- the settings */

static void own_log(struct builder *b, const struct option *row, const struct stmt *s)
{
	static const char *const kinds[] = {"journal", "stderr", "file", "json"};
	const struct word *w = s->words->next;
	struct block k = {
	    .scope = SCOPE_LOG, .label = "log", .base = b->c, .origin = &b->x->origin[0]};

	build_settings(b, &k, s->block);
	b->c->log_json = words_is(w, "json");
	if (b->c->log_json && words_is(w->next, "file"))
		w = w->next;
	if (words_is(w, "file")) {
		if (!words_next(b, row, w))
			return;
		w = w->next;
		b->c->log_path = value_path(&b->v, w);
	} else if (!words_is(w, "journal") && !words_is(w, "stderr") && !words_is(w, "json")) {
		words_bad(b, w, kinds, GW_ARRAY_LEN(kinds));
		return;
	}
	build_extra(b, row, w->next);
}

static void own_trust(struct builder *b, const struct word *w)
{
	for (; w != NULL; w = w->next) {
		if (value_cidr(&b->v, w, &b->trust[b->c->n_trust]))
			b->c->n_trust++;
	}
}

void build_own(struct builder *b, struct block *k, const struct option *row, const struct stmt *s)
{
	const struct word *w = s->words->next;
	switch (row->id) {
	case OPT_LISTEN: words_listen(b, row, s); break;
	case OPT_TLS: words_tls(b, row, w); break;
	case OPT_USERS: words_users(b, row, w); break;
	case OPT_LISTEN_TLS:
	case OPT_LISTEN_AUTH:
	case OPT_LISTEN_PRIORITY:
	case OPT_LISTEN_FUTURE_RELEASE:
	case OPT_LISTEN_CHECK_DOMAINS:
	case OPT_LISTEN_BANNER:
	case OPT_LISTEN_PROXY:
	case OPT_LISTEN_XCLIENT:
	case OPT_LISTEN_MODE:
	case OPT_LISTEN_FROM: words_in_listen(b, k->base, row, w); break;
	case OPT_LOG: own_log(b, row, s); break;
	case OPT_TRUST: own_trust(b, w); break;
	case OPT_IDENTIFY: words_identify(b, row, s); break;
	case OPT_IDENTIFY_IP:
	case OPT_IDENTIFY_HELO:
	case OPT_IDENTIFY_ACCOUNT: words_in_identify(b, k->base, row, w); break;
	case OPT_DOMAIN: words_domain(b, row, s); break;
	case OPT_ROUTE: words_route(b, row, s); break;
	case OPT_SHAPE: words_shape(b, row, s); break;
	case OPT_CLASSIFY: words_classify(b, row, w); break;
	case OPT_LIMIT: words_limit(b, row, w); break;
	case OPT_PLAN: words_plan(b, row, s); break;
	case OPT_PLAN_LIMIT: words_in_plan(b, k->base, row, w); break;
	case OPT_DSN_COPY: words_in_dsn(b, row, w); break;
	case OPT_INCLUDE: build_extra(b, row, w->next); break;
	case OPT_DELIVER:
	case OPT_DOMAIN_RECIPIENTS:
	case OPT_DOMAIN_QUOTA:
	case OPT_DOMAIN_FOLDER:
	case OPT_DOMAIN_FORWARD:
	case OPT_DOMAIN_SUBADDRESS: words_in_domain(b, k->base, row, w); break;
	case OPT_ETRN: words_etrn(b, row, s); break;
	case OPT_VMTA: words_vmta(b, row, s); break;
	case OPT_VMTA_ADDRESS:
	case OPT_VMTA_PREFER:
	case OPT_VMTA_FAMILY: words_in_vmta(b, k->base, row, w); break;
	case OPT_RESOLVER_FORWARD:
	case OPT_RESOLVER_STUB:
	case OPT_RESOLVER_ANCHOR: words_in_resolver(b, row, w); break;
	case OPT_SHAPE_DOMAIN:
	case OPT_SHAPE_MX:
	case OPT_SHAPE_TLS:
	case OPT_SHAPE_RETRY:
	case OPT_SHAPE_ON: words_in_shape(b, k->base, row, w); break;
	case OPT_SRS_SECRET: words_srs_secret(b, row, w); break;
	case OPT_PULL: words_pull(b, row, s); break;
	case OPT_PULL_DOMAINS:
	case OPT_PULL_AUTH:
	case OPT_PULL_TLS: words_in_pull(b, k->base, row, w); break;
	default: die("%s: no code for this setting", row->name);
	}
}
