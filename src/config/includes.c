#include "config/includes.h"

#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const uint8_t magic[] = {0, 'a', 'l', 'i', 'a', 's', 'e', 's'};
static const char keyword[] = ":include:";
enum { KEYWORD = sizeof(keyword) - 1 };

/* ---- which files ----------------------------------------------------------------------------- */

static bool ends_word(uint8_t c)
{
	return ascii_isblank(c) || c == ',' || c == '\n' || c == '\r';
}

/* Behind the line, or behind the word that begins here. */
static size_t word_length(struct span s)
{
	size_t n = 0;

	if (s.p[0] == '#') {
		ptrdiff_t end = span_find(s, '\n');

		return end < 0 ? s.n : (size_t)end;
	}
	if (s.p[0] == '"') {
		n = 1;
		while (n < s.n && s.p[n] != '"' && s.p[n] != '\n')
			n++;
	}
	while (n < s.n && !ends_word(s.p[n]))
		n++;
	return n;
}

static bool in_word(struct span word, struct span *path)
{
	for (size_t i = 0; i + KEYWORD <= word.n && word.p[0] != '#'; i++) {
		if (memcmp(word.p + i, keyword, KEYWORD) != 0)
			continue;
		*path = span_skip(word, i + KEYWORD);
		if (path->n > 0 && path->p[path->n - 1] == '"')
			path->n--;
		return path->n > 0;
	}
	return false;
}

bool includes_next(struct span *text, struct span *path)
{
	while (text->n > 0) {
		size_t n = ends_word(text->p[0]) ? 1 : word_length(*text);
		struct span word = span_first(*text, n);

		*text = span_skip(*text, n);
		if (in_word(word, path))
			return true;
	}
	return false;
}

/* ---- the piece ------------------------------------------------------------------------------- */

bool includes_is_bundle(struct span text)
{
	return text.n >= sizeof(magic) && memcmp(text.p, magic, sizeof(magic)) == 0;
}

bool includes_file(struct span bundle, size_t *at, const char **name, struct span *text)
{
	struct cursor c;
	struct span path;

	if (*at == 0)
		*at = sizeof(magic);
	if (*at >= bundle.n)
		return false;
	c = cursor_of(span_skip(bundle, *at));
	path = get_span32(&c);
	*text = get_span32(&c);
	if (!cursor_ok(&c) || path.n < 2 || memchr(path.p, 0, path.n) != path.p + path.n - 1)
		return false;
	*name = (const char *)path.p;
	*at = bundle.n - c.rest.n;
	return true;
}

static void put_file(struct buf *out, const char *path, struct span text)
{
	if (buf_len(out) == 0)
		buf_add(out, magic, sizeof(magic));
	put_span32(out, span_of(path, strlen(path) + 1));
	put_span32(out, text);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct gather {
	struct includes *list;
	struct buf *out;
	char *why;
	size_t why_size, octets;
	size_t n_direct; /* paths that the aliases file itself names */
};

static int refuse(struct gather *g, const char *path, const char *why)
{
	snprintf(g->why, g->why_size, "%s: %s", path, why);
	return GW_EIO;
}

static int open_with(const char *path, uint64_t resolve)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    .resolve = RESOLVE_NO_MAGICLINKS | resolve};

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

/* Is this file what the path leads to without links? Looked at by what is open: who may write to a
 * directory on the way swaps names as he likes. */
static bool is_named(const char *path, const struct stat *st)
{
	int fd = open_with(path, RESOLVE_NO_SYMLINKS);
	struct stat there;
	bool same = fd >= 0 && fstat(fd, &there) == 0 && there.st_dev == st->st_dev &&
		    there.st_ino == st->st_ino;

	if (fd >= 0)
		close(fd);
	return same;
}

/* NULL: it may be read on behalf of whoever may write to the directories on the way to it. */
static const char *judge(const char *path, int fd, bool direct)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "this is not a plain file";
	if ((st.st_mode & S_IWOTH) != 0)
		return "everybody may write to it: chmod o-w it";
	if ((st.st_mode & S_IROTH) != 0)
		return NULL;
	if (!direct)
		return "not everybody may read it: only the aliases file itself may include it";
	if (!is_named(path, &st) || st.st_nlink > 1)
		return "not everybody may read it, and a link leads to it: name the file itself";
	return NULL;
}

/* The text, to be freed. */
static int read_all(struct gather *g, const char *path, int fd, struct span *text)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint8_t *p;
	size_t n = 0;

	if (size < 0)
		return refuse(g, path, strerror(errno));
	if (size > INCLUDES_OCTETS || (size_t)size > INCLUDES_OCTETS - g->octets)
		return refuse(g, path, "the aliases and what they include are larger than 48 MiB");
	p = gw_calloc(1, (size_t)size + 1);
	while (n < (size_t)size) {
		ssize_t got = pread(fd, p + n, (size_t)size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			free(p);
			return refuse(g, path, "it cannot be read, or became shorter meanwhile");
		}
		n += (size_t)got;
	}
	g->octets += n;
	*text = span_of(p, n);
	return 0;
}

static bool is_known(const struct includes *list, struct span path)
{
	for (size_t i = 0; i < list->n; i++) {
		if (span_eq(span_str(list->path[i]), path))
			return true;
	}
	return false;
}

/* Those that are new. A path that is none is said by whoever reads the text. */
static int note_paths(struct gather *g, const char *main, struct span text)
{
	struct includes *list = g->list;
	struct span path;

	while (includes_next(&text, &path)) {
		if (path.p[0] != '/' || memchr(path.p, 0, path.n) != NULL ||
		    span_eq(path, span_str(main)) || is_known(list, path))
			continue;
		if (list->n == INCLUDES_MAX - 1)
			return refuse(g, main, "there are more than 100 files in one");
		list->path[list->n] = gw_calloc(1, path.n + 1);
		memcpy(list->path[list->n++], path.p, path.n);
	}
	return 0;
}

static int take(struct gather *g, const char *main, const char *path, int fd, struct span *text)
{
	int err = read_all(g, path, fd, text);

	return err < 0 ? err : note_paths(g, main, *text);
}

static int take_include(struct gather *g, const char *main, size_t i)
{
	const char *path = g->list->path[i];
	int fd = open_with(path, 0), err;
	const char *why = fd < 0 ? strerror(errno) : judge(path, fd, i < g->n_direct);
	struct span text = SPAN_NONE;

	err = why != NULL ? refuse(g, path, why) : take(g, main, path, fd, &text);
	if (err == 0)
		put_file(g->out, path, text);
	free((void *)(uintptr_t)text.p);
	if (fd >= 0)
		close(fd);
	return err;
}

int includes_gather(
    const char *path, int fd, struct includes *list, struct buf *out, char *why, size_t why_size)
{
	struct gather g = {.list = list, .out = out, .why = why, .why_size = why_size};
	struct span text = SPAN_NONE;
	int err;

	*list = (struct includes){.n = 0};
	err = take(&g, path, path, fd, &text);
	g.n_direct = list->n;
	if (err == 0 && list->n > 0)
		put_file(out, path, text);
	free((void *)(uintptr_t)text.p);
	for (size_t i = 0; err == 0 && i < list->n; i++)
		err = take_include(&g, path, i);
	if (err == 0 && buf_failed(out))
		err = refuse(&g, path, "there is no memory for the aliases and what they include");
	if (err < 0)
		includes_free(list);
	return err;
}

void includes_free(struct includes *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->path[i]);
	list->n = 0;
}

/* FNV-1a: nothing that anybody profits from fooling. */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t includes_state(const struct includes *list)
{
	uint64_t h = list->n > 0 ? UINT64_C(0xcbf29ce484222325) : 0;

	for (size_t i = 0; i < list->n; i++) {
		struct stat st;

		h = mix(h, list->path[i], strlen(list->path[i]));
		if (stat(list->path[i], &st) < 0) {
			h = mix(h, &errno, sizeof(errno));
			continue;
		}
		h = mix(h, &st.st_dev, sizeof(st.st_dev));
		h = mix(h, &st.st_ino, sizeof(st.st_ino));
		h = mix(h, &st.st_size, sizeof(st.st_size));
		h = mix(h, &st.st_mtim, sizeof(st.st_mtim));
	}
	return h;
}
