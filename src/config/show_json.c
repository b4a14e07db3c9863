#include "config/show.h"

#include "config/words.h"

#include <inttypes.h>
#include <stdio.h>

/* Sizes are octets, durations seconds. */

struct json {
	struct buf *out;
	bool origin, comma;
};

static void add_string(struct json *j, struct span s)
{
	buf_add_byte(j->out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] == '"' || s.p[i] == '\\')
			buf_addf(j->out, "\\u%04x", s.p[i]);
		else
			buf_add_byte(j->out, s.p[i]);
	}
	buf_add_byte(j->out, '"');
}

static void next(struct json *j)
{
	if (j->comma)
		buf_add_byte(j->out, ',');
	j->comma = true;
}

static void key(struct json *j, const char *name)
{
	next(j);
	add_string(j, span_str(name));
	buf_add_byte(j->out, ':');
}

static void open(struct json *j, char bracket)
{
	buf_add_byte(j->out, (uint8_t)bracket);
	j->comma = false;
}

static void close(struct json *j, char bracket)
{
	buf_add_byte(j->out, (uint8_t)bracket);
	j->comma = true;
}

static void text(struct json *j, const char *name, struct span value)
{
	key(j, name);
	add_string(j, value);
}

static void number(struct json *j, const char *name, uint64_t n)
{
	key(j, name);
	buf_addf(j->out, "%" PRIu64, n);
}

static void rate(struct json *j, const char *name, uint64_t packed)
{
	struct buf b;

	buf_init(&b, 64);
	format_rate(packed, &b);
	text(j, name, buf_view(&b));
	buf_fini(&b);
}

static void origin(struct json *j, const struct place *at)
{
	char place[PLACE_TEXT];

	if (j->origin)
		text(j, "origin", span_str(place_text(at, place)));
}

static void simple(struct json *j, const void *base, const struct option *row)
{
	const void *p = show_field(base, row);
	const char *s;

	switch (row->type) {
	case TYPE_NUMBER:
	case TYPE_SIZE: number(j, row->name, show_number(base, row)); break;
	case TYPE_DURATION: number(j, row->name, show_number(base, row) / 1000000); break;
	case TYPE_RATE: rate(j, row->name, show_number(base, row)); break;
	case TYPE_YESNO:
	case TYPE_ONOFF:
		key(j, row->name);
		buf_add_str(j->out, *(const bool *)p ? "true" : "false");
		break;
	default:
		s = *(const char *const *)p;
		if (s != NULL)
			text(j, row->name, span_str(s));
		break;
	}
}

static void scope(struct json *j, const void *base, enum option_scope s)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope != s || options[i].type == TYPE_OWN)
			continue;
		simple(j, base, &options[i]);
		if (options[i].opens != SCOPE_NONE)
			scope(j, base, options[i].opens);
	}
}

static void endpoint(struct json *j, const char *name, const struct endpoint *e)
{
	struct buf b;

	buf_init(&b, 4096);
	show_endpoint(e, &b);
	text(j, name, buf_view(&b));
	buf_fini(&b);
}

static void target(struct json *j, const char *name, const struct target *t)
{
	struct buf b;

	buf_init(&b, 4096);
	show_argument(t, &b);
	key(j, name);
	open(j, '{');
	text(j, show_target_kind(t), buf_view(&b));
	close(j, '}');
	buf_fini(&b);
}

static void listener(struct json *j, const struct listen *l)
{
	char range[CIDR_TEXT];

	text(j, "kind", span_str(listen_kind_word(l->kind)));
	text(j, "name", span_str(l->name));
	endpoint(j, "at", &l->at);
	text(j, "tls", span_str(listen_tls_word(l->tls)));
	text(j, "auth", span_str(listen_auth_word(l->auth)));
	text(j, "banner", span_str(l->banner));
	number(j, "greet-delay", (uint64_t)l->greet_delay / 1000000);
	key(j, "from");
	open(j, '[');
	for (size_t i = 0; i < l->n_from; i++) {
		next(j);
		add_string(j, span_str(cidr_text(&l->from[i], range)));
	}
	close(j, ']');
	origin(j, &l->place);
}

static void listens(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_listen; i++) {
		next(j);
		open(j, '{');
		listener(j, &c->listen[i]);
		close(j, '}');
	}
}

static void pairs(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_tls; i++) {
		next(j);
		open(j, '{');
		text(j, "certificate", span_str(c->tls[i].certificate));
		text(j, "key", span_str(c->tls[i].key));
		origin(j, &c->tls[i].place);
		close(j, '}');
	}
}

static void users(struct json *j, const struct config *c)
{
	if (c->users == NULL && !c->users_any)
		return;
	key(j, "users");
	open(j, '{');
	if (c->users != NULL)
		text(j, "file", span_str(c->users));
	key(j, "any");
	buf_add_str(j->out, c->users_any ? "true" : "false");
	origin(j, &c->users_place);
	close(j, '}');
}

static void trusts(struct json *j, const struct config *c)
{
	char range[CIDR_TEXT];

	for (size_t i = 0; i < c->n_trust; i++) {
		next(j);
		open(j, '{');
		text(j, "range", span_str(cidr_text(&c->trust[i], range)));
		origin(j, &c->trust[i].place);
		close(j, '}');
	}
}

static void recipients(struct json *j, const struct domain *d)
{
	text(j, "recipients", span_str(recipients_word(d->recipients)));
	if (d->recipients_file != NULL)
		text(j, "recipients-file", span_str(d->recipients_file));
	if (d->aliases != NULL)
		text(j, "aliases", span_str(d->aliases));
	if (d->catch_all != NULL)
		text(j, "catch-all", span_str(d->catch_all));
	text(j, "subaddress", d->subaddress != 0 ? span_of(&d->subaddress, 1) : SPAN("off"));
}

static void domains(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_domain; i++) {
		next(j);
		open(j, '{');
		text(j, "name", span_str(c->domain[i].name));
		target(j, "deliver", &c->domain[i].deliver);
		recipients(j, &c->domain[i]);
		origin(j, &c->domain[i].place);
		close(j, '}');
	}
}

static void routes(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_route; i++) {
		const char *domain = c->route[i].domain;

		next(j);
		open(j, '{');
		text(j, domain ? "domain" : "to", span_str(domain ? domain : "any"));
		target(j, "via", &c->route[i].target);
		origin(j, &c->route[i].place);
		close(j, '}');
	}
}

static void shape(struct json *j, const struct shape *g)
{
	text(j, "name", span_str(g->name));
	key(j, "domain");
	open(j, '[');
	for (size_t i = 0; i < g->n_domain; i++) {
		next(j);
		add_string(j, span_str(g->domain[i]));
	}
	close(j, ']');
	scope(j, g, SCOPE_SHAPE);
	key(j, "retry");
	open(j, '[');
	for (size_t i = 0; i < g->n_retry; i++) {
		next(j);
		buf_addf(j->out, "%" PRIi64, g->retry[i] / 1000000);
	}
	close(j, ']');
	origin(j, &g->place);
}

static void shapes(struct json *j, const struct config *c)
{
	for (size_t i = 0; i < c->n_shape; i++) {
		next(j);
		open(j, '{');
		shape(j, &c->shape[i]);
		close(j, '}');
	}
}

static void list(struct json *j, const char *name,
    void (*items)(struct json *j, const struct config *c), const struct config *c)
{
	key(j, name);
	open(j, '[');
	items(j, c);
	close(j, ']');
}

static void log_object(struct json *j, const struct config *c)
{
	key(j, "log");
	open(j, '{');
	text(j, "format", span_str(c->log_json ? "json" : "logfmt"));
	if (c->log_path != NULL)
		text(j, "file", span_str(c->log_path));
	scope(j, c, SCOPE_LOG);
	close(j, '}');
}

static void own(struct json *j, const struct config *c, const struct option *row)
{
	switch (row->id) {
	case OPT_LISTEN: list(j, row->name, listens, c); break;
	case OPT_TLS: list(j, row->name, pairs, c); break;
	case OPT_USERS: users(j, c); break;
	case OPT_TRUST: list(j, row->name, trusts, c); break;
	case OPT_DOMAIN: list(j, row->name, domains, c); break;
	case OPT_ROUTE: list(j, row->name, routes, c); break;
	case OPT_SHAPE: list(j, row->name, shapes, c); break;
	case OPT_LOG: log_object(j, c); break;
	default: break; /* include: its files are in place already */
	}
}

/* "origin": the places of the settings that are not in a list. */
static void origins(struct json *j, const struct config *c)
{
	char name[64], place[PLACE_TEXT];

	key(j, "origin");
	open(j, '{');
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];
		const char *in = scope_name(row->scope);

		if (row->scope == SCOPE_DOMAIN || row->scope == SCOPE_SHAPE ||
		    row->scope == SCOPE_LISTEN || row->id == OPT_USERS ||
		    row->count == COUNT_MANY || row->type == TYPE_BLOCK)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", in, in[0] ? "." : "", row->name);
		text(j, name, span_str(place_text(&c->index->origin[i], place)));
	}
	close(j, '}');
}

void show_json(const struct config *c, bool with_origin, struct buf *out)
{
	struct json j = {.out = out, .origin = with_origin};

	open(&j, '{');
	number(&j, "generation", c->generation);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];

		if (row->scope != SCOPE_TOP)
			continue;
		if (row->type == TYPE_BLOCK) {
			key(&j, row->name);
			open(&j, '{');
			scope(&j, c, row->opens);
			close(&j, '}');
		} else if (row->type == TYPE_OWN) {
			own(&j, c, row);
		} else {
			simple(&j, c, row);
		}
	}
	if (with_origin)
		origins(&j, c);
	close(&j, '}');
	buf_add_byte(out, '\n');
}
