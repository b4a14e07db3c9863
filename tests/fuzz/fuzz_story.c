/*
 * What the history is told and asked, and what it reads back from its rows: any octets are refused
 * or read within the ceilings; what was read can be written, and reads back the same.
 */
#include "role/history_row.h"
#include "role/proto_story.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { ARENA_MAX = 8 << 20, FRAME_MAX = 8 << 20 };
#define ACCEPTED (INT64_C(1795345200) * 1000000)

static int frame(struct span in, struct arena *a, struct buf *out)
{
	struct cursor c = cursor_of(in);
	struct proto_story s;
	enum story_type type;
	struct span meta;
	int more;

	(void)a;
	if (proto_get_story(&c, &s) < 0)
		return GW_EFORMAT;
	proto_put_story(out, &s);
	while ((more = proto_get_story_record(&c, &type, &meta)) == 1)
		proto_put_story_record(out, type, meta);
	return more;
}

static int trace(struct span in, struct arena *a, struct buf *out)
{
	struct proto_trace t;

	(void)a;
	if (proto_get_trace(in, &t) < 0)
		return GW_EFORMAT;
	MUST(t.limit >= 1 && t.limit <= TRACE_LIMIT_MAX);
	proto_put_trace(out, &t);
	return 0;
}

/* Every third text has a number; so the form has to be the same, not the octets. */
static bool number(void *arg, struct span text, uint32_t *n)
{
	(void)arg;
	*n = 7;
	return span_eq(text, SPAN("the text of a number"));
}

static struct span text(void *arg, uint32_t n)
{
	(void)arg;
	return n == 7 ? SPAN("the text of a number") : SPAN_NONE;
}

static const struct row_texts texts = {.number = number, .text = text};

static bool same(const struct row_event *x, const struct row_event *y)
{
	if (x->kind != y->kind || x->when != y->when || x->reported != y->reported ||
	    x->change.n_rcpt != y->change.n_rcpt)
		return false;
	for (size_t i = 0; i < x->change.n_rcpt; i++) {
		const struct change_rcpt *a = &x->change.rcpt[i], *b = &y->change.rcpt[i];

		if (a->index != b->index || a->number != b->number || a->outcome != b->outcome ||
		    a->attempts != b->attempts || a->due != b->due || a->code != b->code ||
		    !span_eq(a->reply, b->reply) || !span_eq(a->host, b->host) ||
		    !span_eq(a->tls, b->tls) || !span_eq(a->rule, b->rule))
			return false;
	}
	return true;
}

static void row(struct span in)
{
	struct row_event e, back;
	struct arena a;
	struct buf out;

	arena_init(&a, ARENA_MAX);
	buf_init(&out, FRAME_MAX);
	if (row_decode(&e, in, ACCEPTED, &texts, &a) == 0) {
		MUST(e.change.n_rcpt <= in.n);
		row_encode(&e, ACCEPTED, &texts, &out);
		MUST(!buf_failed(&out));
		MUST(row_decode(&back, buf_view(&out), ACCEPTED, &texts, &a) == 0);
		MUST(same(&e, &back));
	}
	buf_fini(&out);
	arena_reset(&a);
}

static int rcpts(struct span in, struct arena *a, struct buf *out)
{
	struct cursor c = cursor_of(in);
	struct span addr;
	int more;

	(void)a;
	while ((more = row_get_rcpt(&c, &addr)) == 1)
		row_put_rcpt(out, addr);
	return more;
}

typedef int (*again)(struct span in, struct arena *a, struct buf *out);

static void both_ways(again fn, struct span in)
{
	struct buf first, second;
	struct arena a;

	arena_init(&a, ARENA_MAX);
	buf_init(&first, FRAME_MAX);
	buf_init(&second, FRAME_MAX);
	if (fn(in, &a, &first) == 0) {
		MUST(!buf_failed(&first));
		MUST(fn(buf_view(&first), &a, &second) == 0);
		MUST(span_eq(buf_view(&first), buf_view(&second)));
	}
	buf_fini(&first);
	buf_fini(&second);
	arena_reset(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in = span_of(data, n);

	if (n == 0)
		return 0;
	in = span_skip(in, 1);
	switch (data[0] % 4) {
	case 0: both_ways(frame, in); break;
	case 1: both_ways(trace, in); break;
	case 2: row(in); break;
	default: both_ways(rcpts, in); break;
	}
	return 0;
}
