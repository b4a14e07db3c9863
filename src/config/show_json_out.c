/* Where mail goes: routes, virtual MTAs, groups, the resolver. */
#include "config/show_json.h"

#include "config/words.h"

#include <inttypes.h>

static void tls_out(struct json *j, const struct tls_out *t)
{
	struct buf b;

	if (t->mode == OUT_TLS_UNSAID)
		return;
	js_text(j, "tls", span_str(tls_out_words[t->mode]));
	if (t->mode != OUT_TLS_FINGERPRINT)
		return;
	js_key(j, "fingerprints");
	js_open(j, '[');
	for (size_t i = 0; i < t->n_fingerprint; i++) {
		buf_init(&b, 80);
		show_fingerprint(t->fingerprint[i], &b);
		js_next(j);
		js_string(j, buf_view(&b));
		buf_fini(&b);
	}
	js_close(j, ']');
}

static void hosts(struct json *j, const struct target *t)
{
	struct buf b;

	js_key(j, "relay");
	js_open(j, '[');
	for (size_t i = 0; i < t->n_host; i++) {
		buf_init(&b, 4096);
		show_endpoint(&t->host[i], &b);
		js_next(j);
		js_string(j, buf_view(&b));
		buf_fini(&b);
	}
	js_close(j, ']');
}

static void outward(struct json *j, const struct target *t)
{
	js_text(j, "vmta", span_str(t->vmta->name));
	tls_out(j, &t->tls);
	if (t->secret != NULL)
		js_text(j, "auth", span_str(t->secret));
}

static void program(struct json *j, const struct pipe *p)
{
	js_key(j, "pipe");
	js_open(j, '[');
	for (size_t i = 0; i < p->n_arg; i++) {
		js_next(j);
		js_string(j, span_str(p->arg[i]));
	}
	js_close(j, ']');
	if (p->user != NULL)
		js_text(j, "user", span_str(p->user));
	js_number(j, "timeout", (uint64_t)p->timeout / 1000000);
	js_number(j, "memory", p->memory);
}

void js_target(struct json *j, const char *name, const struct target *t)
{
	js_key(j, name);
	js_open(j, '{');
	switch (t->kind) {
	case TARGET_MAILDIR: js_text(j, "maildir", span_str(t->path)); break;
	case TARGET_REJECT: js_text(j, "reject", span_str(t->reply)); break;
	case TARGET_PIPE: program(j, t->pipe); break;
	case TARGET_ODMR: js_text(j, "odmr", span_str(t->path)); break;
	case TARGET_LMTP: js_endpoint(j, "lmtp", &t->host[0]); break;
	case TARGET_RELAY:
		hosts(j, t);
		outward(j, t);
		break;
	case TARGET_MX:
		js_flag(j, "mx", true);
		js_number(j, "port", t->port);
		js_flag(j, "private", t->private_ok);
		outward(j, t);
		break;
	}
	js_close(j, '}');
}

static void condition(struct json *j, const char *name, const char *value)
{
	if (value != NULL)
		js_text(j, name, span_str(value));
}

void js_routes(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_route; i++) {
		const struct route *r = &c->route[i];

		js_next(j);
		js_open(j, '{');
		condition(j, "to", r->any ? "any" : NULL);
		condition(j, "domain", r->domain);
		condition(j, "address", r->address);
		condition(j, "from-domain", r->from_domain);
		condition(j, "from-address", r->from_address);
		condition(j, "from-account", r->from_account);
		if (r->larger_than > 0)
			js_number(j, "larger-than", r->larger_than);
		js_target(j, "via", &r->target);
		js_origin(j, &r->place);
		js_close(j, '}');
	}
}

void js_pulls(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_pull; i++) {
		const struct pull *p = &c->pull[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "kind", span_str(pull_kind_word(p->kind)));
		js_text(j, "name", span_str(p->name));
		js_key(j, "domains");
		js_open(j, '[');
		for (size_t k = 0; k < p->n_domain; k++) {
			js_next(j);
			js_string(j, span_str(p->domain[k]));
		}
		js_close(j, ']');
		js_target(j, "from", &p->target);
		js_number(j, "every", (uint64_t)p->every / 1000000);
		js_origin(j, &p->place);
		js_close(j, '}');
	}
}

void js_vmtas(struct json *j, const struct config *c)
{
	static const char *const wishes[] = {[FAMILY_V6_FIRST] = "v6-first",
	    [FAMILY_V4_FIRST] = "v4-first",
	    [FAMILY_V4_ONLY] = "v4",
	    [FAMILY_V6_ONLY] = "v6"};
	char ip[SHOW_SOURCE];

	for (size_t i = 0; i < c->n_vmta; i++) {
		const struct vmta *v = &c->vmta[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "name", span_str(v->name));
		if (v->has_v4)
			js_text(j, "v4", span_str(show_source(v, false, ip)));
		if (v->has_v6)
			js_text(j, "v6", span_str(show_source(v, true, ip)));
		condition(j, "helo", v->helo);
		js_text(j, "family", span_str(wishes[v->wish]));
		js_origin(j, &v->place);
		js_close(j, '}');
	}
}

static void seconds(struct json *j, const char *name, const struct retries *r)
{
	js_key(j, name);
	js_open(j, '[');
	for (size_t i = 0; i < r->n; i++) {
		js_next(j);
		buf_addf(j->out, "%" PRIi64, r->step[i] / 1000000);
	}
	js_close(j, ']');
}

static void reply_rules(struct json *j, const struct shape *g)
{
	js_key(j, "on");
	js_open(j, '[');
	for (size_t i = 0; i < g->n_on_reply; i++) {
		const struct on_reply *rule = &g->on_reply[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "reply", span_str(rule->pattern));
		js_text(j, "action", span_str(on_reply_words[rule->kind]));
		if (rule->kind == ON_REPLY_SLOW)
			js_rate(j, "rate", rate_pack(rule->rate.n, rule->rate.seconds));
		if (rule->kind != ON_REPLY_BOUNCE)
			js_number(j, "for", (uint64_t)rule->time / 1000000);
		js_origin(j, &rule->place);
		js_close(j, '}');
	}
	js_close(j, ']');
}

/* Where the settings of a group come from, beside the group itself. */
static void shape_origin(struct json *j, const struct place *origin)
{
	if (!j->origin)
		return;
	js_key(j, "origins");
	js_open(j, '{');
	for (size_t i = 0; i < SHAPE_OPTIONS; i++) {
		char place[PLACE_TEXT];

		js_text(
		    j, options[OPT_SHAPE_DOMAIN + i].name, span_str(place_text(&origin[i], place)));
	}
	js_close(j, '}');
}

static void shape(struct json *j, const struct shape *g, const struct place *origins)
{
	static const char *const retry[PRIORITY_COUNT] = {[PRIORITY_NORMAL] = "retry",
	    [PRIORITY_HIGH] = "retry-high",
	    [PRIORITY_BULK] = "retry-bulk"};

	js_text(j, "name", span_str(g->name));
	js_strings(j, "domain", g->domain, g->n_domain);
	js_strings(j, "mx", g->mx, g->n_mx);
	js_scope(j, g, SCOPE_SHAPE);
	tls_out(j, &g->tls);
	for (int p = 0; p < PRIORITY_COUNT; p++)
		seconds(j, retry[p], &g->retry[p]);
	reply_rules(j, g);
	js_origin(j, &g->place);
	shape_origin(j, origins);
}

void js_shapes(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_shape; i++) {
		js_next(j);
		js_open(j, '{');
		shape(j, &c->shape[i], c->index->shape_origin[i]);
		js_close(j, '}');
	}
}

void js_classes(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_classify; i++) {
		const struct classify_rule *rule = &c->classify[i];

		if (is_builtin(&rule->place) && !show_builtin_here(c, i))
			continue;
		js_next(j);
		js_open(j, '{');
		if (is_builtin(&rule->place)) {
			js_text(j, "include", span_str(rule->place.file));
		} else {
			js_text(j, "class", span_str(reply_classes[rule->class].word));
			js_text(j, "reply", span_str(rule->pattern));
			js_origin(j, &rule->place);
		}
		js_close(j, '}');
	}
}

void js_servers(struct json *j, const struct config *c)
{
	struct buf b;

	for (size_t i = 0; i < c->resolver.n_server; i++) {
		const struct dns_server *d = &c->resolver.server[i];

		js_next(j);
		js_open(j, '{');
		js_text(j, "domain", span_str(d->domain));
		buf_init(&b, 300);
		show_endpoint(&d->at, &b);
		js_text(j, d->stub ? "stub" : "forward", buf_view(&b));
		buf_fini(&b);
		js_origin(j, &d->place);
		js_close(j, '}');
	}
}

static void etrn_ranges(struct json *j, const struct etrn_rule *e)
{
	char range[CIDR_TEXT];

	js_key(j, "from");
	js_open(j, '[');
	for (size_t i = 0; i < e->n_from; i++) {
		js_next(j);
		js_string(j, span_str(cidr_text(&e->from[i], range)));
	}
	js_close(j, ']');
}

void js_etrns(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_etrn; i++) {
		const struct etrn_rule *e = &c->etrn[i];

		js_next(j);
		js_open(j, '{');
		js_strings(j, "name", e->name, e->n_name);
		etrn_ranges(j, e);
		js_strings(j, "account", e->account, e->n_account);
		js_origin(j, &e->place);
		js_close(j, '}');
	}
}
