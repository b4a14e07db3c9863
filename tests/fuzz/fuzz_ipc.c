/*
 * Frames of a channel: any octets from any role to any role are refused, or are
 * frames the permit table allows, within the input. What more octets would change
 * is only whether a frame is complete.
 */
#include "net/ipc.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { HEADER = 8 };

static void check_frame(
    struct span in, ptrdiff_t n, const struct ipc_frame *f, enum role from, enum role to)
{
	const struct ipc_row *row;

	MUST(f->type > IPC_NONE && f->type < IPC_COUNT);
	row = &ipc_rows[f->type];
	MUST((row->from >> from & 1) && (row->to >> to & 1));
	MUST((size_t)n <= in.n && f->payload.n + HEADER == (size_t)n);
	MUST(f->payload.n >= row->min && f->payload.n <= row->max);
	MUST(f->payload.n == 0 || f->payload.p == in.p + HEADER);
	MUST((f->fd >= 0) == (row->fds == 1));
}

/* Cut short, the same octets are incomplete, or refused for the same reason. */
static void check_prefixes(struct span in, ptrdiff_t n, enum role from, enum role to)
{
	struct ipc_frame f;

	for (size_t cut = 0; cut < in.n && cut < 64; cut++) {
		ptrdiff_t got = ipc_decode(span_first(in, cut), from, to, &f);

		MUST(n < 0 ? got == 0 || got == n : got == (cut < (size_t)n ? 0 : n));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	enum role from, to;
	struct ipc_frame f;
	ptrdiff_t n;

	if (size < 2)
		return 0;
	from = (enum role)(data[0] % ROLE_COUNT);
	to = (enum role)(data[1] % ROLE_COUNT);
	in = span_skip(in, 2);
	while ((n = ipc_decode(in, from, to, &f)) > 0) {
		check_frame(in, n, &f, from, to);
		check_prefixes(in, n, from, to);
		in = span_skip(in, (size_t)n);
	}
	MUST(n == 0 || n == GW_EFORMAT);
	check_prefixes(in, n == 0 ? (ptrdiff_t)in.n + 1 : n, from, to);
	return 0;
}
