/*
 * DNS says anything at all: the list of hosts stays within its bounds, no address is tried twice,
 * no private one where that is not allowed, never this machine; the questions end, each is asked
 * once; and where one of the answers that decide was trouble, the
 * message is not given up.
 */
#include "flow/hosts.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

struct bytes {
	const uint8_t *p;
	size_t n;
};

static uint8_t next(struct bytes *b)
{
	if (b->n == 0)
		return 0;
	b->n--;
	return *b->p++;
}

static const char *const names[] = {
    "a.test", "b.test", "me.test", "d.test", "10.0.0.1", "c.test", "Me.Test", ""};
static const uint8_t v4[][4] = {
    {1, 0, 0, 1}, {1, 0, 0, 9}, {10, 0, 0, 1}, {127, 0, 0, 1}, {2, 2, 2, 2}, {0}, {8, 8, 8, 8}};

static void address(struct dns_record *r, enum dns_type type, uint8_t what)
{
	uint8_t *six = r->address.aaaa.s6_addr;

	*r = (struct dns_record){0};
	if (type == DNS_A) {
		memcpy(&r->address.a, v4[what % 7], 4);
	} else if (what % 3 == 0) { /* mapped */
		six[10] = six[11] = 0xff;
		memcpy(six + 12, v4[what / 3 % 7], 4);
	} else {
		six[0] = what % 3 == 1 ? 0x26 : 0xfd;
		six[15] = what / 3;
	}
}

static void make(struct bytes *b, enum dns_type type, struct dns_answer *a, struct dns_record *r)
{
	uint8_t head = next(b);

	*a = (struct dns_answer){
	    .status = head & 3, .secure = head & 4, .cut = head & 8, .record = r};
	a->why = head & 16 ? SPAN("why") : SPAN_NONE;
	a->canonical = head & 32 ? SPAN("c.test") : SPAN_NONE;
	if (a->status != DNS_FOUND)
		return;
	a->n_record = next(b) % (DNS_RECORDS_MAX + 1);
	for (size_t i = 0; i < a->n_record; i++) {
		uint8_t what = next(b);

		if (type != DNS_MX) {
			address(&r[i], type, what);
			continue;
		}
		r[i] =
		    (struct dns_record){.preference = what >> 3, .name = span_str(names[what & 7])};
	}
}

static void judge_list(struct hosts *h, const struct hosts_params *p)
{
	const struct host *list;
	size_t n = hosts_list(h, &list);

	MUST(n <= HOSTS_MAX);
	for (size_t i = 0; i < n; i++) {
		MUST(i == 0 || list[i - 1].preference <= list[i].preference);
		MUST(list[i].n_address > 0 && list[i].n_address <= HOST_ADDRESSES_MAX);
		for (size_t k = 0; k < list[i].n_address; k++) {
			const struct host_address *a = &list[i].address[k];

			MUST(a->family == AF_INET || a->family == AF_INET6);
			MUST(a->family == AF_INET ? !p->no_v4 : !p->no_v6);
			if (p->n_given > 0)
				continue;
			MUST(p->private_ok || !address_is_private(a));
			MUST(p->self == NULL || a->family != AF_INET || a->port != 25 ||
			     memcmp(a->bytes, v4[1], 4) != 0);
			MUST(p->self == NULL || !span_eq_case(list[i].name, SPAN("me.test")));
		}
	}
}

static void judge_end(struct hosts *h, bool trouble)
{
	const struct host *list;
	struct reply r;

	MUST(!hosts_wait(h));
	if (hosts_list(h, &list) > 0)
		return;
	r = hosts_reply(h);
	MUST(r.code >= 400 && r.code < 600 && r.text.n > 0);
	MUST(r.esc[0] == r.code / 100);
	MUST(!trouble || r.code < 500);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host_address own = {.family = AF_INET, .bytes = {1, 0, 0, 9}, .port = 25};
	struct hosts_self self = {SPAN("me.test"), &own, 1};
	static const struct hosts_given given[] = {
	    {SPAN("a.test"), 25}, {SPAN("10.0.0.1"), 26}, {SPAN("::1"), 27}};
	struct bytes b = {data, size};
	struct dns_record record[DNS_RECORDS_MAX];
	struct hosts_question q[HOSTS_QUESTIONS_MAX];
	uint8_t kind = next(&b);
	struct hosts_params p = {.domain = kind & 1 ? SPAN("d.test") : SPAN("me.test"),
	    .given = given,
	    .n_given = kind & 2 ? GW_ARRAY_LEN(given) : 0,
	    .port = kind & 4 ? 25 : 26,
	    .private_ok = kind & 8,
	    .no_v4 = kind & 16,
	    .no_v6 = kind & 32,
	    .wish = kind & 64 ? FAMILY_V4_FIRST : FAMILY_V6_FIRST,
	    .self = kind & 128 ? &self : NULL,
	    .seed = size};
	size_t asked = 0, open = 0;
	bool trouble = false;
	struct arena a;
	struct hosts *h;

	arena_init(&a, 1 << 20);
	h = hosts_start(&p, &a);
	MUST(h != NULL);
	while (true) {
		struct dns_answer answer;
		size_t i;

		while (open < HOSTS_QUESTIONS_MAX && hosts_next(h, &q[open])) {
			MUST(++asked <= HOSTS_QUESTIONS_MAX);
			open++;
		}
		if (!hosts_wait(h)) /* what comes after the end is decided changes nothing */
			break;
		MUST(open > 0);
		i = next(&b) % open; /* in any order */
		make(&b, q[i].type, &answer, record);
		trouble = trouble || answer.status == DNS_TROUBLE;
		MUST(hosts_answer(h, q[i].number, &answer) == 0);
		MUST(hosts_answer(h, q[i].number, &answer) == 0); /* again: ignored */
		q[i] = q[--open];
		judge_list(h, &p);
	}
	judge_end(h, trouble);
	arena_reset(&a);
	return 0;
}
