/*
 * Mending: what comes out has one From that can be read, a Date, a Message-ID and none of the
 * fields that go; every other field is there in its order, as it was or longer by whole domains;
 * mended again it stays the same; and nobody who overlooks what stands in a name finds another
 * From.
 */
#include "mail/header.h"
#include "mail/mailbox.h"
#include "mail/submit.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { DOMAIN_OCTETS = 10 }; /* of "@d.example" */

static bool goes(struct span name)
{
	return span_eq_case(name, SPAN("Bcc")) || span_eq_case(name, SPAN("Resent-Bcc")) ||
	       span_eq_case(name, SPAN("Return-Path"));
}

/* known: the session knows who sends it. */
static void check_needed(struct span made, bool known)
{
	struct mailbox_walk w;
	struct mailbox box;
	size_t n = 0;
	int got;

	MUST(header_count(made, SPAN("From")) == 1);
	MUST(header_count(made, SPAN("Date")) > 0 && header_count(made, SPAN("Message-ID")) > 0);
	MUST(header_count(made, SPAN("Bcc")) + header_count(made, SPAN("Resent-Bcc")) == 0);
	MUST(header_count(made, SPAN("Return-Path")) == 0);
	w = mailbox_walk_of(header_get(made, SPAN("From")));
	while ((got = mailbox_next(&w, &box)) > 0)
		n++;
	MUST(got == 0 && n > 0);
	MUST(n == 1 || !known || header_count(made, SPAN("Sender")) > 0);
}

/* The next piece, field or not, that does not go; the whole of it. */
static bool next_piece(struct header_walk *w, struct header_field *f, struct span *piece)
{
	for (;;) {
		struct span before = w->rest;
		int got = header_next(w, f);

		if (got == 0)
			return false;
		*piece = span_first(before, before.n - w->rest.n);
		if (got < 0)
			f->name = SPAN_NONE;
		if (got < 0 || !goes(f->name))
			return true;
	}
}

static void check_kept(struct span head, struct span made, unsigned fixes)
{
	const unsigned added = SUBMIT_DATE | SUBMIT_MESSAGE_ID | SUBMIT_FROM | SUBMIT_SENDER;
	struct header_walk one = header_walk_of(head), two = header_walk_of(made);
	struct header_field a, b;
	struct span x, y;

	for (unsigned bits = fixes & added; bits != 0; bits &= bits - 1)
		MUST(next_piece(&two, &b, &y));
	while (next_piece(&one, &a, &x)) {
		MUST(next_piece(&two, &b, &y) && span_eq(a.name, b.name));
		MUST(y.n >= x.n && (y.n - x.n) % DOMAIN_OCTETS == 0);
		MUST(y.n > x.n || span_eq(x, y));
		MUST(y.n == x.n || (fixes & SUBMIT_ADDRESS) != 0);
	}
	MUST(!next_piece(&two, &b, &y) && span_eq(one.rest, two.rest));
}

/* As a reader might who skips folds, blanks and what is not ASCII before he looks for names. */
static void check_no_other_from(struct span made)
{
	struct header_walk w = header_walk_of(made);
	struct header_field f;
	struct span piece;
	size_t found = 0;

	while (next_piece(&w, &f, &piece)) {
		char name[8] = "";
		size_t n = 0;

		for (size_t i = 0; i < piece.n && piece.p[i] != ':' && n < 6; i++) {
			if (piece.p[i] > ' ' && piece.p[i] < 127)
				name[n++] = (char)ascii_lower(piece.p[i]);
		}
		found += strcmp(name, "from") == 0 && span_find(piece, ':') >= 0;
	}
	MUST(found == 1);
}

static void check(const struct submit_context *c, struct span head)
{
	struct buf once, twice;
	const char *why = NULL;
	int fixes;

	buf_init(&once, head.n * 6 + 4096);
	buf_init(&twice, head.n * 6 + 8192);
	fixes = submit_mend(c, head, &once, &why);
	MUST(fixes != GW_EFULL && (fixes >= 0 || why != NULL));
	if (fixes >= 0) {
		MUST(fixes != 0 || span_eq(buf_view(&once), head));
		check_needed(buf_view(&once), c->from.n > 0);
		check_kept(head, buf_view(&once), (unsigned)fixes);
		check_no_other_from(buf_view(&once));
		MUST(submit_mend(c, buf_view(&once), &twice, &why) == 0);
		MUST(span_eq(buf_view(&once), buf_view(&twice)));
	}
	buf_fini(&once);
	buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct submit_context c = {.hostname = SPAN("mx.example"),
	    .domain = SPAN("d.example"),
	    .from = SPAN("me@d.example"),
	    .wall = 1};
	struct span head = span_of(data, size);
	struct header_scan scan;

	header_scan_init(&scan);
	head.n = header_scan_feed(&scan, head);
	check(&c, head);
	c.from = SPAN_NONE;
	c.account = span_first(span_of(data, size), 8);
	check(&c, head);
	return 0;
}
