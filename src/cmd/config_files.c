#include "cmd/config_files.h"

#include "auth/accounts.h"
#include "config/files.h"
#include "config/recipients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_OCTETS_MAX = 256 << 20 };

struct judge {
	const struct config *config;
	struct config_diags *diags;
};

struct content {
	uint8_t *p;
	size_t n;
};

/* ---- reading --------------------------------------------------------------------------------- */

static const char *read_whole(int fd, size_t n, struct content *out)
{
	out->p = gw_calloc(1, n + 1);
	while (out->n < n) {
		ssize_t got = read(fd, out->p + out->n, n - out->n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return strerror(errno);
		if (got == 0)
			break;
		out->n += (size_t)got;
	}
	return NULL;
}

static bool is_secret(enum config_file_kind kind)
{
	return kind == CONFIG_FILE_KEY || kind == CONFIG_FILE_USERS;
}

static const char *judge_stat(const struct config_file *f, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "this is not a plain file";
	if (st->st_size > FILE_OCTETS_MAX)
		return "the file is larger than 256 MiB";
	if (is_secret(f->kind) && (st->st_mode & (S_IROTH | S_IWOTH)) != 0)
		return "secret file readable by others: chmod o= it";
	return NULL;
}

/* NULL: *out has it, to be forgotten by the caller. */
static const char *read_file(const struct config_file *f, struct content *out)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *why;
	struct stat st;

	if (fd < 0)
		return strerror(errno);
	why = fstat(fd, &st) < 0 ? strerror(errno) : judge_stat(f, &st);
	if (why == NULL)
		why = read_whole(fd, (size_t)st.st_size, out);
	close(fd);
	return why;
}

static void forget(struct content *c)
{
	if (c->p != NULL)
		explicit_bzero(c->p, c->n);
	free(c->p);
	*c = (struct content){NULL, 0};
}

/* True: read. Else it was told. */
static bool take(const struct judge *j, const struct config_file *f, struct content *out)
{
	const char *why = read_file(f, out);

	if (why == NULL)
		return true;
	config_diags_unusable(j->diags, &f->place, f->path, why);
	forget(out);
	return false;
}

/* ---- judging --------------------------------------------------------------------------------- */

static void mistake(
    const struct judge *j, const char *file, unsigned line, unsigned column, const char *text)
{
	config_diags_content(j->diags, &(struct place){file, line, column}, text);
}

static void judge_users(const struct judge *j, const struct config_file *f)
{
	struct accounts_error e = {.line = 0};
	struct content text = {NULL, 0};
	struct accounts *a;

	if (!take(j, f, &text))
		return;
	a = accounts_parse(span_of(text.p, text.n), &e);
	if (a == NULL)
		mistake(j, f->path, e.line, 1, e.text);
	accounts_free(&a);
	forget(&text);
}

/* The two files of a domain make one table. */
static void judge_domain(
    const struct judge *j, const struct config_file *table, const struct config_file *aliases)
{
	struct content text[2] = {{NULL, 0}, {NULL, 0}};
	struct recipients_error e = {.line = 0};
	const char *which = NULL;
	struct recipients *r;
	bool good = table == NULL || take(j, table, &text[0]);

	good = (aliases == NULL || take(j, aliases, &text[1])) && good;
	if (good) {
		r = recipients_parse(span_of(text[0].p, text[0].n), table ? table->path : NULL,
		    span_of(text[1].p, text[1].n), aliases ? aliases->path : NULL, &e, &which);
		if (r == NULL)
			mistake(j, which, e.line, e.column, e.text);
		recipients_free(&r);
	}
	forget(&text[0]);
	forget(&text[1]);
}

static void judge_readable(const struct judge *j, const struct config_file *f)
{
	struct content text = {NULL, 0};

	if (take(j, f, &text))
		forget(&text);
}

static bool same_domain(const struct config_file *a, const struct config_file *b)
{
	return a->kind == CONFIG_FILE_RECIPIENTS && b->kind == CONFIG_FILE_ALIASES &&
	       a->index == b->index;
}

/* File i and, for a domain with two, the one behind it; returns how many. */
static size_t judge_at(const struct judge *j, size_t i, const struct config_file *f)
{
	struct config_file next;

	switch (f->kind) {
	case CONFIG_FILE_USERS: judge_users(j, f); return 1;
	case CONFIG_FILE_ALIASES: judge_domain(j, NULL, f); return 1;
	case CONFIG_FILE_RECIPIENTS:
		if (config_files(j->config, i + 1, &next) && same_domain(f, &next)) {
			judge_domain(j, f, &next);
			return 2;
		}
		judge_domain(j, f, NULL);
		return 1;
	case CONFIG_FILE_CERTIFICATE:
	case CONFIG_FILE_KEY:
	case CONFIG_FILE_KINDS: break;
	}
	judge_readable(j, f);
	return 1;
}

bool config_files_good(const struct config *c, struct config_diags *d)
{
	struct judge j = {c, d};
	size_t errors = d->errors;
	struct config_file f;

	for (size_t i = 0; config_files(c, i, &f);)
		i += judge_at(&j, i, &f);
	return d->errors == errors;
}
