/* CALLOUT and CALLED frames: any octets are refused, or pass through a frame unchanged. The first
 * octet says which of them. */
#include "role/proto_callout.h"

#include <stdlib.h>
#include <string.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static void callout(struct span in)
{
	struct proto_callout a, b;
	struct buf out;

	if (proto_get_callout(in, &a) < 0)
		return;
	MUST(a.address.n > 0 && a.address.n <= CALLOUT_ADDRESS_MAX);
	MUST(span_find(a.address, '\n') < 0 && span_find(a.domain, '\n') < 0);
	buf_init(&out, 4096);
	proto_put_callout(&out, &a);
	MUST(proto_get_callout(buf_view(&out), &b) == 0);
	MUST(a.request == b.request && memcmp(a.ip, b.ip, sizeof(a.ip)) == 0);
	MUST(span_eq(a.domain, b.domain) && span_eq(a.address, b.address));
	buf_fini(&out);
}

static void called(struct span in)
{
	struct proto_called a, b;
	struct buf out;

	if (proto_get_called(in, &a) < 0)
		return;
	MUST(a.called <= CALLED_MAX && a.why.n <= CALLOUT_WHY_MAX);
	buf_init(&out, 4096);
	proto_put_called(&out, &a);
	MUST(proto_get_called(buf_view(&out), &b) == 0);
	MUST(a.request == b.request && a.called == b.called && span_eq(a.why, b.why));
	buf_fini(&out);
}

/* What a server said may be anything: its answer arrives all the same. */
static void said(struct span in)
{
	struct proto_called a = {.request = 1, .called = CALLED_UNKNOWN, .why = in}, b;
	struct buf out;

	buf_init(&out, 4096);
	proto_put_called(&out, &a);
	MUST(proto_get_called(buf_view(&out), &b) == 0 && b.called == CALLED_UNKNOWN);
	MUST(b.why.n == (in.n < CALLOUT_WHY_MAX ? in.n : CALLOUT_WHY_MAX));
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	said(span_of(data, size));
	if (data[0] & 1)
		callout(span_of(data + 1, size - 1));
	else
		called(span_of(data + 1, size - 1));
	return 0;
}
