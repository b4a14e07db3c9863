#include "cmd/config_files.h"

#include "auth/accounts.h"
#include "auth/srs.h"
#include "cmd/config_accounts.h"
#include "cmd/config_host.h"
#include "config/files.h"
#include "config/includes.h"
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
	return kind == CONFIG_FILE_KEY || kind == CONFIG_FILE_USERS || kind == CONFIG_FILE_SECRET ||
	       kind == CONFIG_FILE_SRS;
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

static const char no_users[] = "it is not there yet: godwit user add NAME makes it";

/* NULL: *out has it, to be forgotten by the caller. */
static const char *read_file(const struct config_file *f, struct content *out)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *why;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT && f->kind == CONFIG_FILE_USERS ? no_users : strerror(errno);
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
	else
		config_accounts_judge(j->config, a, j->diags);
	accounts_free(&a);
	forget(&text);
}

/* What the aliases include comes along with them; without includes they stay as they are. */
static bool add_includes(const struct judge *j, const struct config_file *f, struct content *text)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err;
	struct includes list;
	struct buf all;
	char why[300];

	buf_init_soft(&all, FILE_OCTETS_MAX);
	err = fd < 0 ? GW_EIO : includes_gather(f->path, fd, &list, &all, why, sizeof(why));
	if (fd >= 0)
		close(fd);
	if (err == 0 && buf_len(&all) > 0) {
		forget(text);
		text->n = buf_len(&all);
		text->p = gw_calloc(1, text->n);
		memcpy(text->p, buf_view(&all).p, text->n);
	}
	if (err == 0)
		includes_free(&list);
	else
		config_diags_unusable(j->diags, &f->place, f->path, fd < 0 ? strerror(errno) : why);
	buf_fini(&all);
	return err == 0;
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

	good = (aliases == NULL ||
		   (take(j, aliases, &text[1]) && add_includes(j, aliases, &text[1]))) &&
	       good;
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

/* How long the line is, without its end. */
static size_t line_of(const struct content *text, size_t from)
{
	size_t end = from;

	while (end < text->n && text->p[end] != '\n')
		end++;
	return end > from && text->p[end - 1] == '\r' ? end - from - 1 : end - from;
}

/* A login at another server: its name, and in the second line its password. */
static void judge_login(const struct judge *j, const struct config_file *f)
{
	struct content text = {NULL, 0};
	size_t first = 0;

	if (!take(j, f, &text))
		return;
	while (first < text.n && text.p[first] != '\n')
		first++;
	if (line_of(&text, 0) == 0)
		mistake(j, f->path, 1, 1, "the first line has to be the name of the login");
	else if (first >= text.n || line_of(&text, first + 1) == 0)
		mistake(j, f->path, 2, 1, "the second line has to be the password");
	forget(&text);
}

static void judge_srs(const struct judge *j, const struct config_file *f)
{
	struct content text = {NULL, 0};
	struct srs s = {.age = 1};

	if (take(j, f, &text) && srs_secrets(&s, span_of(text.p, text.n)) < 0)
		mistake(j, f->path, 1, 1,
		    "a line of 8 characters or more has to be here, or a few of them");
	explicit_bzero(&s, sizeof(s));
	forget(&text);
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
	case CONFIG_FILE_SECRET: judge_login(j, f); return 1;
	case CONFIG_FILE_SRS: judge_srs(j, f); return 1;
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
	config_host_judge(c, d);
	return d->errors == errors;
}
