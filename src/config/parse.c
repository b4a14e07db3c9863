#include "config/build.h"

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

static void make_room(struct builder *b, const struct stmt *all)
{
	struct arena *a = &b->c->arena;
	size_t shapes = count(all, "shape", false) + 1;

	b->c->listen = b->listen = must_alloc(a, count(all, "listen", true) * sizeof(*b->listen));
	b->c->tls = b->tls = must_alloc(a, (count(all, "tls", false) + 1) * sizeof(*b->tls));
	b->c->trust = b->trust = must_alloc(a, (count(all, "trust", true) + 1) * sizeof(*b->trust));
	b->c->domain = b->domain = must_alloc(a, count(all, "domain", false) * sizeof(*b->domain));
	b->c->route = b->route = must_alloc(a, count(all, "route", false) * sizeof(*b->route));
	b->c->shape = b->shape = must_alloc(a, shapes * sizeof(*b->shape));
	b->x->shape_origin = must_alloc(a, shapes * sizeof(*b->x->shape_origin));
}

/* Groups inherit from "shape *", so it is read before them wherever it stands. */
static struct stmt *star_first(struct stmt *all)
{
	struct stmt *stars = NULL, **stars_end = &stars, **s = &all;

	while (*s != NULL) {
		struct stmt *this = *s;

		if (starts(this, "shape") && this->n_words > 1 && this->words->next->text != NULL &&
		    strcmp(this->words->next->text, "*") == 0) {
			*s = this->next;
			*stars_end = this;
			stars_end = &this->next;
		} else {
			s = &this->next;
		}
	}
	*stars_end = all;
	return stars;
}

static void finish(struct builder *b)
{
	struct buf admin;

	if (b->c->admin == NULL && b->c->hostname != NULL) {
		buf_init(&admin, 512);
		buf_addf(&admin, "postmaster@%s", b->c->hostname);
		b->c->admin = must_dup(&b->c->arena, buf_view(&admin));
		buf_fini(&admin);
	}
	memcpy(b->x->shape_origin[b->c->n_shape], b->star_origin, sizeof(b->star_origin));
	b->shape[b->c->n_shape++] = b->star;
	index_build(b->c);
}

static void build(struct builder *b, struct stmt *all)
{
	struct block top = {.scope = SCOPE_TOP,
	    .label = "the configuration",
	    .base = b->c,
	    .origin = &b->x->origin[0]};

	for (enum option_scope s = SCOPE_TOP; s < SCOPE_COUNT; s++) {
		if (s != SCOPE_DOMAIN && s != SCOPE_SHAPE && s != SCOPE_LISTEN)
			build_defaults(b, s, b->c);
	}
	b->star.name = "*";
	build_defaults(b, SCOPE_SHAPE, &b->star);
	make_room(b, all);
	build_settings(b, &top, star_first(all));
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
	keep_names(r, &c->arena);
	all = tree_read_all(r);
	if (!r->broken)
		build(&b, all);
	map_fini(&b.once);
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
	map_fini(&(*c)->index->domain);
	map_fini(&(*c)->index->route);
	map_fini(&(*c)->index->shape);
	arena_reset(&(*c)->arena);
	free(*c);
	*c = NULL;
}
