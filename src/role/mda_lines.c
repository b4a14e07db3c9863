#include "role/mda_lines.h"

#include "mail/convert.h"
#include "role/maildir-private.h"

#include <stdio.h>

struct step {
	struct convert convert;
	int (*take)(void *, struct span);
	void *arg;
};

static int pass_on(struct step *s)
{
	struct buf *out = &s->convert.out;
	int err = buf_len(out) > 0 ? s->take(s->arg, buf_view(out)) : 0;

	buf_drop(out, buf_len(out));
	return err;
}

static int pass(void *arg, struct span octets)
{
	struct step *s = arg;
	int err = 0;

	while (octets.n > 0 && err >= 0 && s->convert.verdict == CONVERT_FINE) {
		octets = span_skip(octets, convert_feed(&s->convert, octets));
		err = pass_on(s);
	}
	return s->convert.verdict == CONVERT_FINE ? err : GW_EFORMAT;
}

static int finish(struct step *s)
{
	convert_end(&s->convert);
	return s->convert.verdict == CONVERT_FINE ? pass_on(s) : GW_EFORMAT;
}

int content_read_lines(
    int fd, bool binary, int (*take)(void *, struct span), void *arg, struct maildir_result *r)
{
	struct step s = {.take = take, .arg = arg};
	char text[160];
	int err;

	if (!binary)
		return content_read(fd, take, arg);
	convert_init(&s.convert, CONVERT_BINARY);
	err = content_read(fd, pass, &s);
	if (err == 0)
		err = finish(&s);
	if (s.convert.verdict == CONVERT_IMPOSSIBLE) {
		snprintf(text, sizeof(text), "The mailbox takes no binary content, and %s",
		    s.convert.why);
		maildir_say(r, OUTCOME_FAILED, 554, (uint8_t[]){5, 6, 3}, text);
	}
	convert_fini(&s.convert);
	return err;
}

uint64_t content_lines_size(bool binary, uint64_t size)
{
	/* Three octets for one, soft breaks, and the fields of many small parts. */
	return binary && size < UINT64_MAX / 8 ? 4 * size + (64 << 10) : size;
}
