/*
 * DNS messages: any octets are an answer within the ceilings, or trouble; names that are handed out
 * can be asked for, and the answer passes through a frame unchanged. The input: the type, the
 * length of the name asked for and the name, then the packet.
 */
#include "net/dnsmsg.h"

#include "role/proto_dns.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { ARENA_MAX = 512 << 10, FRAME_MAX = 65 << 10 };

static const enum dns_type types[] = {
    DNS_A, DNS_AAAA, DNS_MX, DNS_TXT, DNS_TLSA, DNS_PTR, DNS_CNAME};

static void inside(struct span name)
{
	MUST(dns_name_good(name));
	for (size_t i = 0; i < name.n; i++)
		MUST(name.p[i] == ascii_lower(name.p[i]));
}

static void check(enum dns_type type, int err, const struct dns_answer *a)
{
	MUST(a->status <= DNS_STATUS_MAX && a->ttl <= DNS_TTL_MAX && a->why.n <= DNS_WHY_MAX);
	MUST(a->n_record <= DNS_RECORDS_MAX && !a->secure);
	MUST((a->status == DNS_FOUND) == (a->n_record > 0));
	MUST((a->status == DNS_TROUBLE) == (a->why.n > 0));
	MUST(err == 0 || a->status == DNS_TROUBLE);
	inside(a->canonical);
	for (size_t i = 0; i < a->n_record; i++) {
		MUST(a->record[i].data.n <= DNSMSG_DATA_MAX);
		if (type == DNS_PTR || type == DNS_CNAME ||
		    (type == DNS_MX && a->record[i].name.n > 0))
			inside(a->record[i].name);
	}
}

static void through_a_frame(enum dns_type type, const struct dns_answer *a, struct arena *arena)
{
	struct proto_dns_answer r = {.request = 7, .answer = *a}, back;
	struct buf b, again;

	buf_init(&b, FRAME_MAX);
	buf_init(&again, FRAME_MAX);
	proto_put_dns_answer(&b, type, &r);
	MUST(!buf_failed(&b));
	MUST(proto_get_dns_answer(buf_view(&b), type, &back, arena) == 0);
	proto_put_dns_answer(&again, type, &back);
	MUST(span_eq(buf_view(&b), buf_view(&again)));
	buf_fini(&b);
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer answer;
	uint8_t lower[256];
	enum dns_type type;
	struct span name;
	struct arena a;
	int err;

	if (size < 3 || data[1] >= size - 2 || size > 65535)
		return 0;
	type = types[data[0] % GW_ARRAY_LEN(types)];
	name = span_of(lower, data[1]);
	for (size_t i = 0; i < name.n; i++)
		lower[i] = ascii_lower(data[2 + i]);
	if (!dns_name_good(name))
		return 0;
	arena_init(&a, ARENA_MAX);
	err = dnsmsg_read(span_of(data + 2 + name.n, size - 2 - name.n), type, name, &a, &answer);
	MUST(err != GW_EFULL);
	check(type, err, &answer);
	through_a_frame(type, &answer, &a);
	arena_reset(&a);
	return 0;
}
