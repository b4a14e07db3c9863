/*
 * Lines of Dovecot's auth service: any octets are a line with a meaning within the ceilings, or an
 * error; what is said by us is one line whatever a client calls itself. The input: lines.
 */
#include "auth/dovecot.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void check(const struct dovecot_line *x)
{
	MUST(x->user.n <= DOVECOT_NAME_MAX);
	for (size_t i = 0; i < x->user.n; i++)
		MUST(x->user.p[i] >= ' ' && x->user.p[i] != 0x7f);
	MUST((x->id != 0) == (x->word >= DOVECOT_OK));
	MUST(x->word != DOVECOT_OK || x->user.n > 0);
}

/* One line, its LF at the end and nowhere else. */
static void check_said(const struct buf *b)
{
	struct span s = buf_view(b);

	MUST(s.n > 0 && span_find(s, '\n') == (ptrdiff_t)s.n - 1);
	MUST(span_find(s, '\0') < 0);
}

static void say(struct span name)
{
	struct buf b;

	name = span_first(name, DOVECOT_NAME_MAX);
	buf_init(&b, DOVECOT_LINE_MAX);
	if (dovecot_put_login(&b, 1, name, name, "192.0.2.1") == 0)
		check_said(&b);
	buf_clear(&b);
	dovecot_put_user(&b, 2, name);
	check_said(&b);
	buf_wipe(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size);
	struct dovecot_line x;
	struct buf room;

	buf_init(&room, DOVECOT_LINE_MAX);
	while (rest.n > 0) {
		ptrdiff_t at = span_find(rest, '\n');
		struct span line = at < 0 ? rest : span_first(rest, (size_t)at);

		if (dovecot_read(line, &room, &x) == 0)
			check(&x);
		say(line);
		rest = span_skip(rest, at < 0 ? rest.n : (size_t)at + 1);
	}
	buf_fini(&room);
	return 0;
}
