/*
 * Lists of addresses: mailboxes come in order and lie inside the value; each of them read alone is
 * the same mailbox; a bare one can be given a domain where it stands, and nothing else changes;
 * what becomes an address of the envelope is one of characters that show.
 */
#include "mail/mailbox.h"

#include "base/utf8.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void check_alone(const struct mailbox *m)
{
	struct mailbox_walk w = mailbox_walk_of(m->addr);
	struct mailbox again;

	MUST(mailbox_next(&w, &again) == 1);
	MUST(again.addr.p == m->addr.p && again.addr.n == m->addr.n);
	MUST(again.local.n == m->local.n && again.domain.n == m->domain.n);
	MUST(mailbox_next(&w, &again) == 0);
}

static void check_address(const struct mailbox *m, struct buf *room)
{
	struct address a;

	if (mailbox_address(m, room, &a) < 0)
		return;
	MUST(a.kind == (m->domain.n == 0           ? ADDRESS_BARE
			   : m->domain.p[0] == '[' ? ADDRESS_LITERAL
						   : ADDRESS_DOMAIN));
	MUST(utf8_text(buf_view(room)));
}

/* The same list, or the same up to where it ends being one. */
static void check_same(struct span one, struct span two)
{
	struct mailbox_walk a = mailbox_walk_of(one), b = mailbox_walk_of(two);
	struct mailbox x, y;
	int got;

	do {
		got = mailbox_next(&a, &x);
		MUST(mailbox_next(&b, &y) == got);
		if (got <= 0)
			return;
		MUST(span_eq(x.local, y.local));
		if (x.domain.n > 0)
			MUST(span_eq(x.domain, y.domain));
		else
			MUST(span_eq(y.domain, SPAN("q.example")));
	} while (got > 0);
}

static bool qualify(struct span value, struct buf *out)
{
	struct mailbox_walk w = mailbox_walk_of(value);
	const uint8_t *done = value.p;
	struct mailbox m;
	int got;

	buf_clear(out);
	while ((got = mailbox_next(&w, &m)) > 0) {
		const uint8_t *end = m.local.p + m.local.n;

		if (m.domain.n > 0)
			continue;
		buf_add_span(out, span_of(done, (size_t)(end - done)));
		buf_add_str(out, "@q.example");
		done = end;
	}
	buf_add_span(out, span_of(done, (size_t)(value.p + value.n - done)));
	return got == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span value = span_of(data, size);
	struct mailbox_walk w = mailbox_walk_of(value);
	const uint8_t *at = data;
	struct buf room, out;
	struct mailbox m;
	int got;

	buf_init(&room, 512);
	buf_init(&out, size * 12 + 64);
	while ((got = mailbox_next(&w, &m)) > 0) {
		MUST(m.addr.p >= at && m.addr.n > 0 && m.addr.p == m.local.p && m.local.n > 0);
		at = m.addr.p + m.addr.n;
		MUST(at <= w.rest.p && w.rest.p + w.rest.n == data + size);
		MUST(m.domain.n == 0 || m.domain.p + m.domain.n == at);
		check_alone(&m);
		check_address(&m, &room);
	}
	MUST(mailbox_next(&w, &m) == 0);
	if (size > 0 && qualify(value, &out))
		check_same(value, buf_view(&out));
	buf_fini(&room);
	buf_fini(&out);
	return 0;
}
