/*
 * Aliases that include files. An even first octet: texts parted by NUL, the aliases and the files
 * /1, /2 ... that come along: a table, or the place of a mistake that lies inside one of them. An
 * odd one: the rest is the piece itself, of whoever hands it on.
 */
#include "config/includes.h"

#include "base/cursor.h"
#include "config/recipients.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 1 << 20, FILES = 9 };

static void check(bool good)
{
	if (!good)
		abort();
}

static bool is_inside(struct span part, struct span whole)
{
	return part.n <= whole.n &&
	       (part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static unsigned lines(struct span s)
{
	unsigned n = 1;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

/* The files of a piece; the text of the one of that name. */
static struct span walk(struct span bundle, const char *wanted)
{
	struct span text, found = SPAN_NONE;
	const char *name;
	size_t at = 0, before = 0;

	while (includes_file(bundle, &at, &name, &text)) {
		check(at > before && at <= bundle.n && is_inside(text, bundle));
		check(is_inside(span_of(name, strlen(name) + 1), bundle) && name[0] != '\0');
		before = at;
		if (found.p == NULL && wanted != NULL && strcmp(name, wanted) == 0)
			found = text;
	}
	return found;
}

static void check_paths(struct span text)
{
	struct span rest = text, path;

	while (includes_next(&rest, &path)) {
		check(path.n > 0 && is_inside(path, text));
		check(rest.n < text.n && path.p + path.n <= rest.p + (rest.p == NULL ? text.n : 0));
	}
}

static void make_table(struct span bundle, struct span aliases)
{
	struct recipients_error e = {0};
	const char *which = NULL;
	struct recipients *r = recipients_parse(SPAN_NONE, NULL, bundle, "/0", &e, &which);

	if (r != NULL) {
		recipients_free(&r);
		return;
	}
	check(which != NULL && e.text[0] != '\0' && e.line > 0);
	check(e.line <= lines(e.file != NULL ? walk(bundle, e.file) : aliases));
}

static void put_file(struct buf *out, unsigned number, struct span text)
{
	char path[8];
	int n = snprintf(path, sizeof(path), "/%u", number);

	put_span32(out, span_of(path, (size_t)n + 1));
	put_span32(out, text);
}

static void check_texts(struct span in)
{
	struct span first = SPAN_NONE;
	struct buf b;

	buf_init(&b, ROOM);
	buf_add(&b, "\0aliases", 8);
	for (unsigned i = 0; i < FILES && (in.n > 0 || i == 0); i++) {
		ptrdiff_t end = span_find(in, 0);
		struct span text = end < 0 ? in : span_first(in, (size_t)end);

		in = end < 0 ? SPAN_NONE : span_skip(in, (size_t)end + 1);
		first = i == 0 ? text : first;
		check_paths(text);
		put_file(&b, i, text);
	}
	check(!buf_failed(&b) && includes_is_bundle(buf_view(&b)));
	make_table(buf_view(&b), first);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_skip(span_of(data, size), 1), first = in, text;
	const char *name;
	size_t at = 0;

	if (size == 0 || size > ROOM / 2)
		return 0;
	if (data[0] % 2 == 0) {
		check_texts(in);
		return 0;
	}
	if (includes_is_bundle(in)) {
		walk(in, NULL);
		first = includes_file(in, &at, &name, &text) ? text : SPAN_NONE;
	}
	make_table(in, first);
	return 0;
}
