/*
 * Addresses: any octets, as a path of MAIL and of RCPT and as a bare address.
 * What is taken is printable, within the limits, has the domain behind the
 * last unquoted @, and its canonical form is an address that means the same.
 */
#include "mail/address.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void check_parts(const struct address *a, struct span consumed)
{
	MUST(a->local.n > 0 && a->local.n <= 64);
	MUST(a->local.p > consumed.p || a->kind == ADDRESS_BARE);
	if (a->kind == ADDRESS_BARE)
		return;
	MUST(a->local.p[a->local.n] == '@' && a->domain.p == a->local.p + a->local.n + 1);
	MUST(span_find(a->domain, '@') < 0);
	if (a->kind == ADDRESS_LITERAL)
		MUST(address_literal_valid(a->domain));
	else
		MUST(domain_valid(a->domain));
}

static void check_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		MUST(s.p[i] >= ' ' && s.p[i] < 127);
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

static void check_path(struct span in, bool reverse)
{
	struct span rest = in, taken;
	struct address a;
	const char *why = NULL;

	if (address_parse_path(&rest, reverse, &a, &why) != 0) {
		MUST(rest.p == in.p && rest.n == in.n && why != NULL && why[0] != '\0');
		return;
	}
	MUST(rest.n < in.n);
	taken = span_first(in, in.n - rest.n);
	MUST(taken.n >= 2 && taken.n <= 256 && taken.p[0] == '<' && taken.p[taken.n - 1] == '>');
	check_printable(taken);
	MUST(reverse || a.kind != ADDRESS_NULL);
	MUST(!reverse || a.kind != ADDRESS_BARE);
	if (a.kind == ADDRESS_NULL)
		return;
	check_parts(&a, taken);
	check_canonical(&a);
}

/* With <> around it a bare address is a path, and the other way round. */
static void check_bare(struct span in)
{
	uint8_t path[300];
	struct span rest = span_of(path, in.n + 2);
	struct address a, b;
	const char *why;
	int bare = address_parse(in, &a), framed;

	if (bare == 0)
		check_canonical(&a);
	if (in.n + 2 > sizeof(path))
		return;
	path[0] = '<';
	if (in.n > 0)
		memcpy(path + 1, in.p, in.n);
	path[in.n + 1] = '>';
	framed = address_parse_path(&rest, false, &b, &why);
	if (bare == 0)
		MUST(framed == 0 && rest.n == 0 && a.kind == b.kind && a.local.n == b.local.n);
	else if (framed == 0 && rest.n == 0)
		MUST(in.p[0] == '@'); /* a source route */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	check_path(in, true);
	check_path(in, false);
	check_bare(in);
	return 0;
}
