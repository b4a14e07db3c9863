/* Files and what they include become one bundle: for master and commands, who may open files. */
#include "config/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The only file of config/ that touches the file system and the environment. */

struct open_file {
	dev_t device;
	ino_t inode;
};

struct loader {
	struct bundle bundle;
	struct reader quiet; /* reads trees for their includes; the parser reports what is wrong */
	struct config_diags quiet_diags;
	struct reader loud;
	struct open_file chain[INCLUDE_DEPTH + 1]; /* the files being read, main file first */
	unsigned depth;
	size_t total;
};

static const char *environment(const char *name)
{
	return getenv(name);
}

static int read_all(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return GW_EIO;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

/* The text of a regular file, into the arena; an errno value, 0 is success. */
static int read_open(struct loader *l, int fd, struct stat *st, struct span *out)
{
	uint8_t *text;
	size_t n;

	if (fstat(fd, st) < 0)
		return errno;
	if (!S_ISREG(st->st_mode))
		return S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	n = (size_t)st->st_size;
	if (st->st_size > CONFIG_TEXT_MAX || l->total + n > CONFIG_TEXT_MAX)
		return EFBIG;
	text = must_alloc(&l->loud.arena, n);
	errno = 0;
	if (read_all(fd, text, n) < 0)
		return errno ? errno : EIO;
	l->total += n;
	*out = span_of(text, n);
	return 0;
}

static int read_file(struct loader *l, const char *name, struct stat *st, struct span *out)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int rc;

	if (fd < 0)
		return errno;
	rc = read_open(l, fd, st, out);
	close(fd);
	return rc;
}

/* Reports at the include word, or for the main file without a line. */
static void failed(struct loader *l, const struct word *include, const char *name, int err)
{
	const struct place file = {name, 0, 0};
	const struct place *at = include ? &include->place : &file;
	unsigned width = include ? include->width : 0;

	if (err == EFBIG)
		report_at(&l->loud, CE_TOO_LARGE, at, width, NULL, "");
	else
		report_at(&l->loud, CE_FILE_READ, at, width, NULL, name, strerror(err));
}

static bool in_chain(const struct loader *l, const struct stat *st)
{
	for (unsigned i = 0; i < l->depth; i++) {
		if (l->chain[i].device == st->st_dev && l->chain[i].inode == st->st_ino)
			return true;
	}
	return false;
}

static void load_includes(struct loader *l, size_t index);

static void load(struct loader *l, const char *name, size_t parent, const struct word *include)
{
	char depth[16];
	struct span text;
	struct source *s;
	struct stat st;
	int err = l->bundle.n_source < BUNDLE_FILES ? read_file(l, name, &st, &text) : EFBIG;

	if (err != 0) {
		failed(l, include, name, err);
		return;
	}
	if (in_chain(l, &st)) {
		report(&l->loud, CE_INCLUDE_CYCLE, include, NULL, name);
		return;
	}
	if (l->depth > INCLUDE_DEPTH) {
		snprintf(depth, sizeof(depth), "%d", INCLUDE_DEPTH);
		report(&l->loud, CE_INCLUDE_DEEP, include, NULL, depth);
		return;
	}
	s = bundle_add_source(&l->bundle, must_dup(&l->loud.arena, span_str(name)), text);
	s->parent = parent;
	s->line = include ? include->place.line : 0;
	s->column = include ? include->place.column : 0;
	l->chain[l->depth++] = (struct open_file){st.st_dev, st.st_ino};
	load_includes(l, l->bundle.n_source - 1);
	l->depth--;
}

/* A relative path starts at the directory of the file that names it. */
static const char *resolve(struct loader *l, const char *from, const char *path)
{
	const char *slash = strrchr(from, '/');
	char whole[WORD_LENGTH * 2];

	if (path[0] == '/' || slash == NULL)
		return path;
	snprintf(whole, sizeof(whole), "%.*s%s", (int)(slash - from) + 1, from, path);
	return must_dup(&l->loud.arena, span_str(whole));
}

static void load_glob(struct loader *l, size_t index, const struct word *name)
{
	const char *pattern = resolve(l, l->bundle.source[index].name, name->next->text);
	const struct word *include = name;
	glob_t g = {0};
	int rc = glob(pattern, GLOB_ERR, NULL, &g);

	if (rc == GLOB_NOMATCH && strpbrk(pattern, "*?[") == NULL)
		failed(l, include, pattern, ENOENT);
	else if (rc != 0 && rc != GLOB_NOMATCH)
		failed(l, include, pattern, rc == GLOB_NOSPACE ? ENOMEM : errno);
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++)
		load(l, g.gl_pathv[i], index + 1, include);
	globfree(&g);
}

/* "dsn { texts FILE }": the roles that need the file cannot open it, so it goes with the bundle. */
static void load_texts(struct loader *l, size_t index, const struct stmt *dsn)
{
	for (const struct stmt *s = dsn->block; s != NULL; s = s->next) {
		const struct word *name = s->words, *path = name->next;
		struct span text;
		struct source *src;
		struct stat st;
		int err;

		if (name->text == NULL || strcmp(name->text, "texts") != 0 || path == NULL ||
		    path->text == NULL || path->text[0] != '/')
			continue;
		err = l->bundle.n_source < BUNDLE_FILES ? read_file(l, path->text, &st, &text)
							: EFBIG;
		if (err != 0) {
			failed(l, path, path->text, err);
			continue;
		}
		src = bundle_add_source(
		    &l->bundle, must_dup(&l->loud.arena, span_str(path->text)), text);
		src->parent = index + 1;
		src->line = name->place.line;
		src->column = name->place.column;
	}
}

static void load_includes(struct loader *l, size_t index)
{
	for (struct stmt *s = tree_read(&l->quiet, &l->bundle.source[index]); s; s = s->next) {
		if (is_include(s) && !is_builtin_name(s->words->next->text))
			load_glob(l, index, s->words);
		else if (s->words->text != NULL && strcmp(s->words->text, "dsn") == 0)
			load_texts(l, index, s);
	}
}

/* Where the credentials of the service are: roles have no environment of their own. */
static void add_credentials(struct bundle *b)
{
	const char *directory = getenv(CREDENTIALS);

	if (directory != NULL && bundle_variable(b, CREDENTIALS) == NULL)
		bundle_add_variable(b, CREDENTIALS, directory);
}

int config_bundle_load(const char *path, struct buf *bundle, struct config_diags *d)
{
	struct loader *l = gw_calloc(1, sizeof(*l));
	const struct place whole = {path, 0, 0};
	size_t errors = d->errors;

	bundle_init(&l->bundle);
	config_diags_init(&l->quiet_diags);
	reader_init(&l->quiet, &l->bundle, &l->quiet_diags);
	reader_init(&l->loud, &l->bundle, d);
	l->quiet.environment = environment;
	load(l, path, 0, NULL);
	add_credentials(&l->bundle);
	if (d->errors == errors) {
		bundle_encode(&l->bundle, bundle);
		if (buf_failed(bundle))
			report_at(&l->loud, CE_TOO_LARGE, &whole, 0, NULL, "");
	}
	reader_fini(&l->quiet);
	reader_fini(&l->loud);
	config_diags_fini(&l->quiet_diags);
	bundle_fini(&l->bundle);
	free(l);
	return d->errors > errors ? GW_EFORMAT : 0;
}
