/*
 * What a user says of where his mail goes on to. An even first octet: the rest is his file. It is
 * refused with one line of ASCII, or it is addresses, each once, none of them his own; written down
 * again they are the same, and the parent reads what the child tells of them. An odd one: the rest
 * is what a hostile child tells.
 */
#include "mail/address.h"
#include "role/mda_forward.h"

#include <stdlib.h>

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_line(const char *why)
{
	for (; *why != '\0'; why++)
		check(*why >= ' ' && *why < 0x7f);
}

static void check_addresses(const struct forward *f)
{
	check(f->n <= FORWARD_MAX);
	for (size_t i = 0; i < f->n; i++) {
		struct address a;

		check(address_parse(f->to[i], &a) == 0);
		check(a.kind == ADDRESS_DOMAIN || a.kind == ADDRESS_LITERAL);
	}
}

static void check_same(const struct forward *a, const struct forward *b)
{
	check(a->n == b->n && a->keep == b->keep);
	for (size_t i = 0; i < a->n; i++)
		check(span_eq(a->to[i], b->to[i]));
}

static void tell(const struct mda_forward *f)
{
	struct mda_forward *told = gw_calloc(1, sizeof(*told));
	struct arena mem;
	struct cursor c;
	struct buf b;

	arena_init(&mem, MDA_FORWARD_ROOM);
	buf_init(&b, MDA_FORWARD_ROOM);
	mda_forward_put(&b, f);
	check(!buf_failed(&b));
	c = cursor_of(buf_view(&b));
	check(mda_forward_get(&c, told, &mem) == 0 && cursor_done(&c) && told->kind == f->kind);
	check_same(&f->to, &told->to);
	buf_fini(&b);
	arena_reset(&mem);
	free(told);
}

/* In brackets, as a name may begin with '#' or '/'. */
static void write_down(const struct forward *f, struct buf *out)
{
	if (f->keep)
		buf_add_str(out, "\\bob\n");
	for (size_t i = 0; i < f->n; i++) {
		buf_add_str(out, i % 2 == 0 ? "\n<" : ", <");
		buf_add_span(out, f->to[i]);
		buf_add_str(out, ">");
	}
}

static void check_file(struct span text, struct span own)
{
	struct mda_forward *f = gw_calloc(2, sizeof(*f));
	struct arena mem;
	struct buf again;

	arena_init(&mem, MDA_FORWARD_ROOM);
	buf_init(&again, FORWARD_OCTETS);
	mda_forward_judge(text, own, '+', &f[0], &mem);
	if (f[0].kind == MDA_FORWARD_IGNORED) {
		check(f[0].to.n == 0 && !f[0].to.keep && f[0].to.why[0] != '\0');
		check_line(f[0].to.why);
	} else {
		check((f[0].kind == MDA_FORWARD_GOES) == (f[0].to.n > 0));
		check_addresses(&f[0].to);
		for (size_t i = 0; i < f[0].to.n; i++)
			check(!span_eq_case(f[0].to.to[i], own));
		write_down(&f[0].to, &again);
		check(forward_parse(buf_view(&again), own, '+', &f[1].to, &mem) == 0);
		check_same(&f[0].to, &f[1].to);
	}
	if (f[0].kind == MDA_FORWARD_GOES)
		tell(&f[0]);
	buf_fini(&again);
	arena_reset(&mem);
	free(f);
}

static void check_told(struct span told)
{
	struct mda_forward *f = gw_calloc(1, sizeof(*f));
	struct cursor c = cursor_of(told);
	struct arena mem;

	arena_init(&mem, MDA_FORWARD_ROOM);
	if (mda_forward_get(&c, f, &mem) == 0) {
		check(f->kind <= MDA_FORWARD_GOES);
		check((f->kind == MDA_FORWARD_GOES) == (f->to.n > 0));
		check_line(f->to.why);
		check_addresses(&f->to);
	}
	arena_reset(&mem);
	free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);

	if (in.n == 0)
		return 0;
	if (data[0] % 2 == 1)
		check_told(span_skip(in, 1));
	else
		check_file(span_skip(in, 1),
		    data[0] % 4 == 0 ? SPAN("bob@ours.test") : SPAN("bob+x@ours.test"));
	return 0;
}
