#include "config/pattern.h"
#include "config/words.h"

#include <stdlib.h>

enum { SNAPSHOT_MEMORY = 512 << 20 };

/* ---- the arrays of the snapshot get room for every statement there is */

static bool starts(const struct stmt *s, const char *name)
{
	return s->words->text != NULL && strcmp(s->words->text, name) == 0;
}

static size_t count(const struct stmt *s, const char *name, bool words)
{
	size_t n = 0;

	for (; s != NULL; s = s->next) {
		if (starts(s, name))
			n += words ? s->n_words : 1;
	}
	return n;
}

/* All words in the blocks of that name. */
static size_t count_inside(const struct stmt *s, const char *name)
{
	size_t n = 0;

	for (; s != NULL; s = s->next) {
		for (const struct stmt *in = starts(s, name) ? s->block : NULL; in; in = in->next)
			n += in->n_words;
	}
	return n;
}

static void make_room(struct builder *b, const struct stmt *all)
{
	struct arena *a = &b->c->arena;
	size_t shapes = count(all, "shape", false) + 1, routes = count(all, "route", false);
	size_t domains = count(all, "domain", false), vmtas = count(all, "vmta", false) + 1;
	size_t classes = count(all, "classify", false), plans = count(all, "plan", false);
	size_t pulls = count(all, "pull", false);
	size_t customers = count(all, "identify", false);

	b->c->listen = b->listen = must_alloc(a, count(all, "listen", true) * sizeof(*b->listen));
	b->c->tls = b->tls = must_alloc(a, (count(all, "tls", false) + 1) * sizeof(*b->tls));
	b->c->trust = b->trust = must_alloc(a, (count(all, "trust", true) + 1) * sizeof(*b->trust));
	b->c->identify = b->identify = must_alloc(a, (customers + 1) * sizeof(*b->identify));
	b->c->domain = b->domain = must_alloc(a, domains * sizeof(*b->domain));
	b->c->route = b->route = must_alloc(a, routes * sizeof(*b->route));
	b->c->classify = b->classify = must_alloc(a, (classes + 1) * sizeof(*b->classify));
	b->c->limit = b->limit = must_alloc(a, CONFIG_LIMITS_MAX * sizeof(*b->limit));
	b->plan_limit = must_alloc(&b->r->arena, CONFIG_LIMITS_MAX * sizeof(*b->plan_limit));
	b->c->plan = b->plan = must_alloc(a, (plans + 1) * sizeof(*b->plan));
	b->c->etrn = b->etrn = must_alloc(a, (count(all, "etrn", false) + 1) * sizeof(*b->etrn));
	b->c->vmta = b->vmta = must_alloc(a, vmtas * sizeof(*b->vmta));
	b->c->secret = b->secret = must_alloc(a, (routes + domains + pulls) * sizeof(*b->secret));
	b->c->pull = b->pull = must_alloc(a, (pulls + 1) * sizeof(*b->pull));
	b->c->secret_place = b->secret_place =
	    must_alloc(a, (routes + domains + pulls) * sizeof(*b->secret_place));
	b->c->resolver.server = b->server =
	    must_alloc(a, count_inside(all, "resolver") * sizeof(*b->server));
	b->c->shape = b->shape = must_alloc(a, shapes * sizeof(*b->shape));
	b->x->shape_origin = must_alloc(a, shapes * sizeof(*b->x->shape_origin));
}

/* The one that is always there. */
static void make_vmta(struct builder *b)
{
	b->vmta[0] = (struct vmta){.name = "default"};
	b->c->n_vmta = 1;
}

/* ---- the order of statements matters to routes alone: what others refer to is read first ---- */

static bool is_star(const struct stmt *s)
{
	return starts(s, "shape") && s->n_words > 1 && s->words->next->text != NULL &&
	       strcmp(s->words->next->text, "*") == 0;
}

enum { TURNS = 4 };
static size_t turn_of(const struct stmt *s)
{
	bool builtin = is_builtin(&s->words->place);

	if (starts(s, "vmta"))
		return 0;
	if (is_star(s)) /* the groups inherit from it */
		return builtin ? 0 : 1;
	if (starts(s, "classify")) /* the order is theirs */
		return 3;
	return builtin ? 2 : 3; /* what is built in is changed by what the user says */
}

static struct stmt *build_order(struct stmt *all)
{
	struct stmt *first[TURNS] = {NULL}, **end[TURNS];
	struct stmt *list = NULL;

	for (size_t i = 0; i < TURNS; i++)
		end[i] = &first[i];
	for (struct stmt *s = all; s != NULL; s = s->next) {
		size_t turn = turn_of(s);

		*end[turn] = s;
		end[turn] = &s->next;
	}
	for (size_t i = TURNS; i > 0; i--) {
		*end[i - 1] = list;
		list = first[i - 1];
	}
	return list;
}

/* Defaults that are made of other settings. */
static const char *joined(struct builder *b, const char *one, const char *two)
{
	size_t n = strlen(one), m = strlen(two);
	char *text = must_alloc(&b->c->arena, n + m + 1);

	memcpy(text, one, n);
	memcpy(text + n, two, m + 1);
	return text;
}

static void finish(struct builder *b)
{
	b->c->aliases_place = b->x->origin[OPT_ALIASES];
	if (b->c->admin == NULL && b->c->hostname != NULL)
		b->c->admin = joined(b, "postmaster@", b->c->hostname);
	if (b->c->history.directory == NULL)
		b->c->history.directory = joined(b, b->c->spool, "/history");
	for (size_t i = 0; i < b->c->n_vmta; i++) {
		if (b->vmta[i].helo == NULL)
			b->vmta[i].helo = b->c->hostname;
	}
	words_shapes_settle(b);
	memcpy(b->x->shape_origin[b->c->n_shape], b->star_origin, sizeof(b->star_origin));
	b->shape[b->c->n_shape++] = b->star;
	for (size_t i = 0; i < b->c->n_shape; i++)
		b->shape[i].origin = b->x->shape_origin[i];
	index_build(b->c);
}

static void build(struct builder *b, struct stmt *all)
{
	struct block top = {.scope = SCOPE_TOP,
	    .label = "the configuration",
	    .base = b->c,
	    .origin = &b->x->origin[0]};

	for (enum option_scope s = SCOPE_TOP; s < SCOPE_COUNT; s++) {
		if (s != SCOPE_DOMAIN && s != SCOPE_SHAPE && s != SCOPE_LISTEN && s != SCOPE_VMTA &&
		    s != SCOPE_PULL && s != SCOPE_SHAPE_CONNECTIONS && s != SCOPE_SHAPE_MESSAGES &&
		    s != SCOPE_PLAN && s != SCOPE_IDENTIFY)
			build_defaults(b, s, b->c);
	}
	b->star.name = "*";
	build_defaults(b, SCOPE_SHAPE, &b->star);
	make_room(b, all);
	make_vmta(b);
	build_settings(b, &top, build_order(all));
	finish(b);
	check_whole(b);
}

/* ---- order of the diagnostics: by file, then line; what belongs to no line comes last */

static uint64_t rank(const struct bundle *b, const struct config_diag *g)
{
	size_t file = 0;

	while (file < b->n_source && strcmp(b->source[file].name, g->place.file) != 0)
		file++;
	if (g->place.line == 0)
		file = (UINT32_C(1) << 20) - 1;
	return (uint64_t)file << 44 | (uint64_t)(g->place.line & 0xffffff) << 20 |
	       (g->place.column & 0xfffff);
}

static void sort_diags(const struct bundle *b, struct config_diags *d, size_t from)
{
	for (size_t i = from + 1; i < d->n; i++) {
		for (size_t j = i; j > from && rank(b, &d->d[j]) < rank(b, &d->d[j - 1]); j--) {
			struct config_diag swap = d->d[j];

			d->d[j] = d->d[j - 1];
			d->d[j - 1] = swap;
		}
	}
}

/* ---- */

/* The names in places live as long as the snapshot, and are fit to be shown. */
static void keep_names(struct reader *r, struct arena *a)
{
	struct buf b;

	buf_init(&b, 8192);
	for (size_t i = 0; i < r->bundle->n_source; i++) {
		struct source *s = &r->bundle->source[i];

		add_shown(&b, span_str(s->name), 1024);
		s->name = must_dup(a, buf_view(&b));
		buf_clear(&b);
	}
	buf_fini(&b);
}

static struct config *parse(struct reader *r, uint64_t generation)
{
	struct config *c = gw_calloc(1, sizeof(*c));
	struct builder b = {.r = r, .v = {r, &c->arena}, .c = c};
	struct stmt *all;

	c->generation = generation;
	arena_init(&c->arena, SNAPSHOT_MEMORY);
	b.x = c->index = must_alloc(&c->arena, sizeof(*b.x));
	map_init(&b.once, 0);
	map_init(&b.named, 0);
	keep_names(r, &c->arena);
	all = tree_read_all(r);
	if (!r->broken)
		build(&b, all);
	map_fini(&b.once);
	map_fini(&b.named);
	return c;
}

struct config *config_parse(struct span in, uint64_t generation, struct config_diags *d)
{
	static const struct place nowhere = {0};
	struct config *c = NULL;
	struct bundle bundle;
	struct reader r;
	size_t errors = d->errors, n = d->n;

	bundle_init(&bundle);
	reader_init(&r, &bundle, d);
	if (bundle_decode(in, &r.arena, &bundle) < 0)
		report_at(&r, CE_BUNDLE, &nowhere, 0, NULL, "");
	else
		c = parse(&r, generation);
	sort_diags(&bundle, d, n);
	if (c != NULL && d->errors > errors)
		config_free(&c);
	bundle_fini(&bundle);
	reader_fini(&r);
	return c;
}

void config_free(struct config **c)
{
	if (*c == NULL)
		return;
	if ((*c)->others > 0) {
		(*c)->others--;
		*c = NULL;
		return;
	}
	map_fini(&(*c)->index->domain);
	index_routes_free((*c)->index);
	patterns_free((*c)->index);
	config_free(&(*c)->index->replies);
	map_fini(&(*c)->index->shape);
	map_fini(&(*c)->index->shape_mx);
	arena_reset(&(*c)->arena);
	free(*c);
	*c = NULL;
}

struct config *config_ref(struct config *c)
{
	c->others++;
	return c;
}
