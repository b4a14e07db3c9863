/*
 * The configuration parser. Input that starts with "godwit-config" is taken as a
 * bundle as it is, anything else as the text of one file with one variable.
 * Invariants: a snapshot exists exactly if there are no errors; the diagnostics are
 * within bounds and printable; what config_show() writes parses again to the same
 * settings; look-ups agree with the obvious loops; nothing opens the relay
 * without the words for it.
 */
#include "config/config.h"
#include "config/parse.h"

#include <stdlib.h>

static void check(bool good)
{
	if (!good)
		abort();
}

static void make_bundle(struct span in, struct buf *out)
{
	struct bundle b;

	buf_init(out, CONFIG_BUNDLE_MAX);
	if (span_starts(in, SPAN("godwit-config"))) {
		buf_add_span(out, in);
		return;
	}
	bundle_init(&b);
	bundle_add_source(&b, "fuzz.conf", in);
	bundle_add_variable(&b, "X", "x.example");
	bundle_encode(&b, out);
	bundle_fini(&b);
}

static void check_diags(const struct config_diags *d, bool good)
{
	struct buf out;

	check(good == (d->errors == 0));
	check(d->n <= CONFIG_DIAG_MAX && d->n <= d->errors + d->warnings);
	for (size_t i = 0; i < d->n; i++) {
		check(d->d[i].text != NULL && d->d[i].hint != NULL && d->d[i].place.file != NULL);
		check(d->d[i].hint[0] != '\0' && d->d[i].text[0] != '\0');
	}
	buf_init(&out, 1 << 20);
	config_diags_format(d, &out);
	check(!buf_failed(&out));
	for (size_t i = 0; i < buf_len(&out); i++) {
		uint8_t c = buf_view(&out).p[i];

		check(c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f));
	}
	buf_fini(&out);
}

static bool is(const char *pattern, struct span name)
{
	return pattern == NULL || config_pattern_match(pattern, name);
}

static bool same(const char *want, struct span text)
{
	return want == NULL || span_eq_case(span_str(want), text);
}

/* The obvious loop. */
static const struct route *slow_route(const struct config *c, const struct route_query *q)
{
	for (const struct route *r = c->route; r < c->route + c->n_route; r++) {
		if (is(r->domain, q->domain) && same(r->address, q->address) &&
		    is(r->from_domain, q->from_domain) && same(r->from_address, q->from) &&
		    (r->from_account == NULL || span_eq(span_str(r->from_account), q->account)) &&
		    (r->larger_than == 0 || q->size > r->larger_than))
			return r;
	}
	return NULL;
}

static void check_query(const struct config *c, struct route_query q)
{
	static const uint64_t sizes[] = {0, 1, 1 << 20, UINT64_MAX};

	for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
		q.size = sizes[i];
		check(config_route(c, &q) == slow_route(c, &q));
		if (config_route_sure(c, &q))
			check(config_route(c, &q) == slow_route(c, &q));
	}
}

static void check_name(const struct config *c, struct span name)
{
	const struct domain *d = config_domain(c, name);

	check(d == NULL || config_pattern_match(d->name, name));
	if (name.n == 0 || name.p[0] != '.')
		check_query(c, (struct route_query){.domain = name, .from_domain = name});
	check(config_shape(c, name, SPAN_NONE) != NULL && config_shape(c, name, name) != NULL);
}

static void check_target(const struct config *c, const struct target *t)
{
	check(t->n_host <= TARGET_HOSTS_MAX && t->tls.n_fingerprint <= 16);
	if (t->kind != TARGET_RELAY && t->kind != TARGET_MX)
		return;
	check(t->vmta >= c->vmta && t->vmta < c->vmta + c->n_vmta && t->vmta->helo != NULL);
	check(t->secret == NULL || t->secret_index < c->n_secret);
	check((t->tls.mode == OUT_TLS_FINGERPRINT) == (t->tls.n_fingerprint > 0));
}

static void check_route(const struct config *c, const struct route *r)
{
	check_target(c, &r->target);
	check_name(c, span_str(r->domain));
	check_query(c, (struct route_query){.address = span_str(r->address),
			   .domain = span_str(r->domain),
			   .from = span_str(r->from_address),
			   .from_domain = span_str(r->from_domain),
			   .account = span_str(r->from_account)});
}

/* Every rule is looked through; the reply is the input. */
static void check_shape(const struct shape *g, struct span in)
{
	const struct on_reply *rule = on_reply_find(g, span_first(in, 600));

	check(rule == NULL || (rule >= g->on_reply && rule < g->on_reply + g->n_on_reply));
	for (int p = 0; p < PRIORITY_COUNT; p++)
		check(g->retry[p].n > 0);
}

static void check_lookups(const struct config *c, struct span in)
{
	struct sockaddr_in stranger = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(UINT32_C(0xc6336401))};
	size_t strangers = 0;

	for (size_t i = 0; i < c->n_domain; i++) {
		check_name(c, span_str(c->domain[i].name));
		check_target(c, &c->domain[i].deliver);
	}
	for (size_t i = 0; i < c->n_route && i < 20; i++)
		check_route(c, &c->route[i]);
	for (size_t i = 0; i < c->n_shape && i < 20; i++)
		check_shape(&c->shape[i], in);
	check_name(c, span_first(in, 255));
	/* Addresses all over the Internet: less than half of them may be trusted. */
	for (uint32_t i = 0; i < 64; i++) {
		stranger.sin_addr.s_addr = htonl(i << 26 | 0x00336401);
		strangers += config_trusts(c, (struct sockaddr *)&stranger) != NULL;
	}
	check(strangers < 64 || c->allow_open_relay);
}

static void show(const struct config *c, bool origin, bool json, struct buf *out)
{
	buf_init(out, 64 << 20);
	config_show(c, origin, json, out);
	check(!buf_failed(out));
}

/* Shown, parsed and shown again: the same. */
static void check_show(const struct config *c)
{
	struct config_diags d;
	struct config *again;
	struct buf text, bundle, json, json_again;

	show(c, true, false, &text);
	show(c, false, true, &json);
	buf_init(&bundle, 128 << 20);
	if (buf_len(&text) < CONFIG_TEXT_MAX) {
		check(config_bundle_text("again", buf_view(&text), &bundle) == 0);
		config_diags_init(&d);
		again = config_parse(buf_view(&bundle), 1, &d);
		check(again != NULL);
		show(again, false, true, &json_again);
		check(span_eq(buf_view(&json), buf_view(&json_again)));
		buf_fini(&json_again);
		config_free(&again);
		config_diags_fini(&d);
	}
	buf_fini(&text);
	buf_fini(&json);
	buf_fini(&bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_diags d;
	struct config *c;
	struct buf bundle;

	make_bundle(span_of(data, size), &bundle);
	config_diags_init(&d);
	c = config_parse(buf_view(&bundle), 1, &d);
	check_diags(&d, c != NULL);
	if (c != NULL) {
		check_lookups(c, span_of(data, size));
		check_show(c);
	}
	config_free(&c);
	config_diags_fini(&d);
	buf_fini(&bundle);
	return 0;
}
