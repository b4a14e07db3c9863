#include "role/tables.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/files.h"
#include "role/file_read.h"

#include <stdlib.h>
#include <unistd.h>

_Static_assert((int)CONFIG_FILE_RECIPIENTS == (int)FILE_RECIPIENTS &&
		   (int)CONFIG_FILE_ALIASES == (int)FILE_ALIASES &&
		   (int)CONFIG_FILE_SRS == (int)FILE_SRS,
    "the list of the configuration and the frames number files alike");

enum { TABLE, ALIASES, FILES };

#define DAY (INT64_C(86400) * USEC_PER_SEC)

struct text {
	uint8_t *p;
	size_t n;
	bool came;
	const char *name; /* the configuration's; NULL: the domain has no such file */
};

/* Of one domain. The texts are kept where there are two: a table is made of both. */
struct domain_table {
	struct text text[FILES];
	struct recipients *table;
};

struct tables {
	const struct config *config;
	bool loud;
	struct domain_table *domain;        /* the last one is of all domains */
	const struct recipients **in_force; /* the same, for look-ups */
	struct text secret;
	struct srs srs;
	size_t to_come;
};

struct tables *tables_new(const struct config *c, bool loud)
{
	struct tables *t = gw_calloc(1, sizeof(*t));
	struct config_file f;

	t->config = c;
	t->loud = loud;
	t->domain = gw_calloc(c->n_domain + 1, sizeof(*t->domain));
	t->in_force = gw_calloc(c->n_domain + 1, sizeof(struct recipients *));
	for (size_t i = 0; config_files(c, i, &f); i++) {
		if (f.kind == CONFIG_FILE_RECIPIENTS || f.kind == CONFIG_FILE_ALIASES)
			t->domain[f.index].text[f.kind - CONFIG_FILE_RECIPIENTS].name = f.path;
		else if (f.kind == CONFIG_FILE_SRS)
			t->secret.name = f.path;
		else
			continue;
		t->to_come++;
	}
	if (c->srs.domain != NULL)
		t->srs = (struct srs){
		    .domain = span_str(c->srs.domain), .age = (unsigned)(c->srs.age / DAY)};
	return t;
}

bool tables_there(const struct tables *t)
{
	return t->to_come == 0;
}

struct known tables_known(const struct tables *t, const struct accounts *accounts)
{
	return (struct known){.config = t->config,
	    .table = t->in_force,
	    .accounts = accounts,
	    .srs = t->config->srs.domain != NULL ? &t->srs : NULL,
	    .day = clock_wall() / DAY};
}

/* ---- files ----------------------------------------------------------------------------------- */

/* NULL: *why. */
static uint8_t *read_file(int fd, size_t *n, const char **why)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *text;

	*why = "the file is larger than 64 MiB";
	if (size < 0 || size > RECIPIENTS_TEXT_MAX)
		return NULL;
	*why = "the file cannot be read, or became shorter meanwhile";
	text = gw_calloc(1, (size_t)size + 1);
	if (file_read_all(fd, text, (size_t)size) != size) {
		free(text);
		return NULL;
	}
	*n = (size_t)size;
	return text;
}

static void log_refused(
    const struct tables *t, const char *domain, const char *file, const struct recipients_error *e)
{
	struct logline l;

	if (!t->loud)
		return;
	log_begin(&l, EV_RECIPIENTS_REFUSED);
	log_str(&l, "domain", domain);
	log_str(&l, "file", file);
	log_number(&l, "line", e->line);
	log_number(&l, "column", e->column);
	log_str(&l, "reason", e->text);
	log_end(&l);
}

static void log_loaded(const struct tables *t, const char *domain, const struct recipients *r)
{
	struct logline l;

	if (!t->loud)
		return;
	log_begin(&l, EV_RECIPIENTS_LOADED);
	log_str(&l, "domain", domain);
	log_number(&l, "recipients", (int64_t)recipients_count(r));
	log_number(&l, "aliases", (int64_t)recipients_alias_count(r));
	log_end(&l);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void forget_text(struct text *t)
{
	free(t->p);
	t->p = NULL;
	t->n = 0;
}

static const char *name_of(const struct tables *t, size_t index)
{
	return index < t->config->n_domain ? t->config->domain[index].name : "*";
}

/* A table from what has come; while one of its files has not, there is none. */
static void rebuild(struct tables *t, size_t index)
{
	struct domain_table *d = &t->domain[index];
	const struct text *a = &d->text[TABLE], *b = &d->text[ALIASES];
	struct recipients_error e = {0};
	const char *which = NULL;
	struct recipients *r;

	if ((a->name != NULL && a->p == NULL) || (b->name != NULL && b->p == NULL))
		return;
	r = recipients_parse(
	    span_of(a->p, a->n), a->name, span_of(b->p, b->n), b->name, &e, &which);
	if (r == NULL) {
		log_refused(t, name_of(t, index), which, &e);
		return;
	}
	recipients_free(&d->table);
	d->table = r;
	t->in_force[index] = r;
	log_loaded(t, name_of(t, index), r);
}

static struct text *named(struct tables *t, const struct proto_file *f)
{
	struct text *x = &t->secret;

	if (f->kind == FILE_RECIPIENTS || f->kind == FILE_ALIASES) {
		if (f->index > t->config->n_domain)
			return NULL;
		x = &t->domain[f->index].text[f->kind - FILE_RECIPIENTS];
	} else if (f->kind != FILE_SRS) {
		return NULL;
	}
	return x->name != NULL ? x : NULL;
}

/* Made of one file, it is not needed again. */
static void forget_single(struct domain_table *d)
{
	for (size_t i = 0; i < FILES; i++) {
		if (d->text[FILES - 1 - i].name == NULL)
			forget_text(&d->text[i]);
	}
}

/* One without a good line changes nothing. */
static void take_secret(struct tables *t, uint8_t *text, size_t n)
{
	struct recipients_error e = {
	    .line = 1, .text = "a line of 8 characters or more has to be here, or a few of them"};
	struct srs now = t->srs;

	if (n > SRS_SECRET_MAX || srs_secrets(&now, span_of(text, n)) < 0) {
		log_refused(t, t->config->srs.domain, t->secret.name, &e);
		explicit_bzero(text, n);
		free(text);
		return;
	}
	if (t->secret.p != NULL)
		explicit_bzero(t->secret.p, t->secret.n);
	forget_text(&t->secret);
	t->secret.p = text;
	t->secret.n = n;
	t->srs = now;
}

static void take_table(struct tables *t, struct text *x, size_t index, uint8_t *text, size_t n)
{
	forget_text(x);
	x->p = text;
	x->n = n;
	rebuild(t, index);
	forget_single(&t->domain[index]);
}

void tables_take(struct tables *t, const struct proto_file *f, int fd)
{
	struct recipients_error e = {.line = 0};
	struct text *x = named(t, f);
	const char *why = NULL;
	uint8_t *text;
	size_t n = 0;

	if (x == NULL)
		die("master sent a file that the configuration does not name");
	text = read_file(fd, &n, &why);
	close(fd);
	t->to_come -= !x->came;
	x->came = true;
	if (text == NULL) {
		span_to_cstr(span_str(why), e.text, sizeof(e.text));
		log_refused(t, name_of(t, f->index), x->name, &e);
	} else if (f->kind == FILE_SRS) {
		take_secret(t, text, n);
	} else {
		take_table(t, x, f->index, text, n);
	}
}

void tables_free(struct tables **tp)
{
	struct tables *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i <= t->config->n_domain; i++) {
		for (size_t k = 0; k < FILES; k++)
			forget_text(&t->domain[i].text[k]);
		recipients_free(&t->domain[i].table);
	}
	if (t->secret.p != NULL)
		explicit_bzero(t->secret.p, t->secret.n);
	forget_text(&t->secret);
	explicit_bzero(&t->srs, sizeof(t->srs));
	free(t->domain);
	free(t->in_force);
	free(t);
}
