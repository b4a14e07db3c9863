/*
 * Payloads of the frames to and from the resolver: any octets are refused or read within the
 * ceilings; what was read can be written, and reads back the same.
 */
#include "role/proto_dns.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { FRAME_MAX = 1 << 20, ARENA_MAX = 64 << 10 };

static const enum dns_type types[] = {
    DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_TLSA, DNS_PTR, DNS_CNAME};

static int ask(struct span in, struct buf *out)
{
	struct proto_dns_ask q;
	int err = proto_get_dns_ask(in, &q);

	if (err < 0)
		return err;
	MUST(dns_name_good(q.name));
	proto_put_dns_ask(out, &q);
	return 0;
}

static int answer(enum dns_type type, struct span in, struct arena *a, struct buf *out)
{
	struct proto_dns_answer r;
	int err = proto_get_dns_answer(in, type, &r, a);

	if (err < 0)
		return err;
	MUST(r.request == proto_dns_request(in));
	MUST(r.answer.n_record <= DNS_RECORDS_MAX);
	MUST(r.answer.status <= DNS_STATUS_MAX && r.answer.ttl <= DNS_TTL_MAX);
	proto_put_dns_answer(out, type, &r);
	return 0;
}

static int once(unsigned kind, struct span in, struct arena *a, struct buf *out)
{
	kind %= GW_ARRAY_LEN(types) + 1;
	return kind == 0 ? ask(in, out) : answer(types[kind - 1], in, a, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first, second;
	struct arena a;

	if (size < 1)
		return 0;
	arena_init(&a, ARENA_MAX);
	buf_init(&first, FRAME_MAX);
	buf_init(&second, FRAME_MAX);
	if (once(data[0], span_of(data + 1, size - 1), &a, &first) == 0) {
		MUST(!buf_failed(&first));
		MUST(once(data[0], buf_view(&first), &a, &second) == 0);
		MUST(span_eq(buf_view(&first), buf_view(&second)));
	}
	buf_fini(&first);
	buf_fini(&second);
	arena_reset(&a);
	return 0;
}
