#include "role/smtpd_tables.h"

#include "base/log.h"
#include "config/files.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

_Static_assert((int)CONFIG_FILE_RECIPIENTS == (int)FILE_RECIPIENTS &&
		   (int)CONFIG_FILE_ALIASES == (int)FILE_ALIASES,
    "the list of the configuration and the frames number files alike");

enum { TABLE, ALIASES, FILES };

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

struct smtpd_tables {
	struct domain_table *domain;
	const struct recipients **in_force; /* the same, for look-ups */
	size_t to_come;
};

void smtpd_tables_start(struct smtpd *s)
{
	struct smtpd_tables *t = gw_calloc(1, sizeof(*t));
	struct config_file f;

	t->domain = gw_calloc(s->config->n_domain + 1, sizeof(*t->domain));
	t->in_force = gw_calloc(s->config->n_domain + 1, sizeof(struct recipients *));
	for (size_t i = 0; config_files(s->config, i, &f); i++) {
		if (f.kind != CONFIG_FILE_RECIPIENTS && f.kind != CONFIG_FILE_ALIASES)
			continue;
		t->domain[f.index].text[f.kind - CONFIG_FILE_RECIPIENTS].name = f.path;
		t->to_come++;
	}
	s->tables = t;
}

bool smtpd_tables_there(const struct smtpd *s)
{
	return s->tables->to_come == 0;
}

struct known smtpd_known(const struct smtpd *s)
{
	return (struct known){
	    .config = s->config, .table = s->tables->in_force, .accounts = s->accounts};
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Other receivers read from the same offset: it is not used. NULL: *why. */
static uint8_t *read_file(int fd, size_t *n, const char **why)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *text;
	size_t have = 0;

	*why = "the file is larger than 64 MiB";
	if (size < 0 || size > RECIPIENTS_TEXT_MAX)
		return NULL;
	*why = "the file cannot be read, or became shorter meanwhile";
	text = gw_calloc(1, (size_t)size + 1);
	while (have < (size_t)size) {
		ssize_t got = pread(fd, text + have, (size_t)size - have, (off_t)have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			free(text);
			return NULL;
		}
		have += (size_t)got;
	}
	*n = have;
	return text;
}

/* One receiver speaks for all: they are given the same files. */
static void log_refused(const struct smtpd *s, const struct domain *d, const char *file,
    const struct recipients_error *e)
{
	struct logline l;

	if (s->boot->index != 0)
		return;
	log_begin(&l, EV_RECIPIENTS_REFUSED);
	log_str(&l, "domain", d->name);
	log_str(&l, "file", file);
	log_number(&l, "line", e->line);
	log_number(&l, "column", e->column);
	log_str(&l, "reason", e->text);
	log_end(&l);
}

static void log_loaded(const struct smtpd *s, const struct domain *d, const struct recipients *r)
{
	struct logline l;

	if (s->boot->index != 0)
		return;
	log_begin(&l, EV_RECIPIENTS_LOADED);
	log_str(&l, "domain", d->name);
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

/* A table from what has come; while one of its files has not, there is none. */
static void rebuild(struct smtpd *s, size_t index)
{
	struct domain_table *d = &s->tables->domain[index];
	const struct text *a = &d->text[TABLE], *b = &d->text[ALIASES];
	const struct domain *conf = &s->config->domain[index];
	struct recipients_error e = {0};
	const char *which = NULL;
	struct recipients *r;

	if ((a->name != NULL && a->p == NULL) || (b->name != NULL && b->p == NULL))
		return;
	r = recipients_parse(
	    span_of(a->p, a->n), a->name, span_of(b->p, b->n), b->name, &e, &which);
	if (r == NULL) {
		log_refused(s, conf, which, &e);
		return;
	}
	recipients_free(&d->table);
	d->table = r;
	s->tables->in_force[index] = r;
	log_loaded(s, conf, r);
}

static struct text *named(struct smtpd *s, const struct proto_file *f)
{
	struct text *t;

	if ((f->kind != FILE_RECIPIENTS && f->kind != FILE_ALIASES) ||
	    f->index >= s->config->n_domain)
		return NULL;
	t = &s->tables->domain[f->index].text[f->kind - FILE_RECIPIENTS];
	return t->name != NULL ? t : NULL;
}

void smtpd_tables_take(struct smtpd *s, const struct proto_file *f, int fd)
{
	struct recipients_error e = {.line = 0};
	struct text *t = named(s, f);
	const char *why = NULL;
	uint8_t *text;
	size_t n = 0;

	if (t == NULL)
		die("smtpd: master sent a file that the configuration does not name");
	text = read_file(fd, &n, &why);
	close(fd);
	s->tables->to_come -= !t->came;
	t->came = true;
	if (text == NULL) {
		span_to_cstr(span_str(why), e.text, sizeof(e.text));
		log_refused(s, &s->config->domain[f->index], t->name, &e);
		return;
	}
	forget_text(t);
	t->p = text;
	t->n = n;
	rebuild(s, f->index);
	/* Made of one file, it is not needed again. */
	for (size_t i = 0; i < FILES; i++) {
		struct domain_table *d = &s->tables->domain[f->index];

		if (d->text[FILES - 1 - i].name == NULL)
			forget_text(&d->text[i]);
	}
}
