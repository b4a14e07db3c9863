/*
 * Addresses: any octets, as a path of MAIL and of RCPT, of SMTPUTF8 or not, and as a bare address.
 * What is taken is printable, within the limits, has the domain behind the
 * last unquoted @, as ASCII, and its canonical form is an address that means the same.
 */
#include "base/utf8.h"
#include "mail/address.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void check_parts(const struct address *a, struct span consumed, const struct buf *room)
{
	MUST(a->local.n > 0 && a->local.n <= 64);
	MUST(a->local.p > consumed.p || a->kind == ADDRESS_BARE);
	if (a->kind == ADDRESS_BARE)
		return;
	MUST(a->local.p[a->local.n] == '@');
	if (room == NULL || buf_len(room) == 0)
		MUST(a->domain.p == a->local.p + a->local.n + 1);
	else
		MUST(span_eq(a->domain, buf_view(room)) && utf8_beyond_ascii(consumed));
	MUST(span_find(a->domain, '@') < 0);
	if (a->kind == ADDRESS_LITERAL)
		MUST(address_literal_valid(a->domain));
	else
		MUST(domain_valid(a->domain));
}

static void check_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		MUST(s.p[i] >= ' ' && s.p[i] != 127);
	MUST(utf8_text(s));
}

/* The canonical form is its own canonical form and names the same mailbox. */
static void check_canonical(const struct address *a)
{
	struct buf one, two, plain_one, plain_two;
	struct address again;

	buf_init(&one, 512);
	buf_init(&two, 512);
	buf_init(&plain_one, 512);
	buf_init(&plain_two, 512);
	address_canonical(a, &one);
	MUST(!buf_failed(&one) && buf_len(&one) <= 254);
	MUST(address_parse(buf_view(&one), &again) == 0 && again.kind == a->kind);
	address_canonical(&again, &two);
	MUST(span_eq(buf_view(&one), buf_view(&two)));
	buf_add_byte(&plain_one, 'x');
	buf_add_byte(&plain_two, 'x');
	address_local_plain(a, &plain_one);
	address_local_plain(&again, &plain_two);
	if (a->kind == ADDRESS_BARE)
		MUST(span_eq_case(buf_view(&plain_one), buf_view(&plain_two)));
	else
		MUST(span_eq(buf_view(&plain_one), buf_view(&plain_two)));
	MUST(span_eq_case(a->domain, again.domain));
	buf_fini(&one);
	buf_fini(&two);
	buf_fini(&plain_one);
	buf_fini(&plain_two);
}

static void check_path(struct span in, bool reverse, struct buf *room)
{
	struct span rest = in, taken;
	struct address a;
	const char *why = NULL;

	if (address_parse_path(&rest, reverse, room, &a, &why) != 0) {
		MUST(rest.p == in.p && rest.n == in.n && why != NULL && why[0] != '\0');
		return;
	}
	MUST(rest.n < in.n);
	taken = span_first(in, in.n - rest.n);
	MUST(taken.n >= 2 && taken.n <= 256 && taken.p[0] == '<' && taken.p[taken.n - 1] == '>');
	check_printable(taken);
	MUST(room != NULL || !utf8_beyond_ascii(taken));
	MUST(reverse || a.kind != ADDRESS_NULL);
	MUST(!reverse || a.kind != ADDRESS_BARE);
	if (a.kind == ADDRESS_NULL)
		return;
	check_parts(&a, taken, room);
	check_canonical(&a);
}

/* With <> around it a bare address is a path, and the other way round. */
static void check_bare(struct span in)
{
	uint8_t path[300];
	struct span rest = span_of(path, in.n + 2);
	struct address a, b;
	const char *why;
	struct buf room[2];
	int bare, framed;

	buf_init(&room[0], 256);
	buf_init(&room[1], 256);
	bare = address_read(in, &room[0], &a);
	if (bare == 0)
		check_canonical(&a);
	if (address_parse(in, &b) == 0)
		MUST(bare == 0 && buf_len(&room[0]) == 0);
	if (in.n + 2 > sizeof(path))
		goto out;
	path[0] = '<';
	if (in.n > 0)
		memcpy(path + 1, in.p, in.n);
	path[in.n + 1] = '>';
	framed = address_parse_path(&rest, false, &room[1], &b, &why);
	if (bare == 0)
		MUST(framed == 0 && rest.n == 0 && a.kind == b.kind && a.local.n == b.local.n);
	else if (framed == 0 && rest.n == 0)
		MUST(in.p[0] == '@'); /* a source route */
out:
	buf_fini(&room[0]);
	buf_fini(&room[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	struct buf room;

	for (unsigned who = 0; who < 2; who++) {
		check_path(in, who, NULL);
		buf_init(&room, 256);
		check_path(in, who, &room);
		buf_fini(&room);
	}
	check_bare(in);
	return 0;
}
