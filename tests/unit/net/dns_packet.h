/*
 * DNS packets made octet by octet, and how the tests of the reader look at what it made of them.
 */
#ifndef GW_TESTS_UNIT_NET_DNS_PACKET_H
#define GW_TESTS_UNIT_NET_DNS_PACKET_H

#include "net/dnsmsg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PACKET_MAX = 65535, ARENA = 512 << 10, QUESTION_AT = 12 };
enum { OK = 0, SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5, CUT_FLAG = 0x0200 };

static uint8_t packet[PACKET_MAX];
static size_t length;
static struct arena arena;
static struct dns_answer answer;

/* ---- making packets ---------------------------------------------------------------------------
 */

static inline void put8(unsigned v)
{
	assert_true(length < PACKET_MAX);
	packet[length++] = (uint8_t)v;
}

static inline void put16(unsigned v)
{
	put8(v >> 8);
	put8(v & 255);
}

static inline void put32(uint32_t v)
{
	put16(v >> 16);
	put16(v & 65535);
}

static inline void set16(size_t at, unsigned v)
{
	packet[at] = (uint8_t)(v >> 8);
	packet[at + 1] = (uint8_t)v;
}

static inline void put_name(const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		put8((unsigned)n);
		for (size_t i = 0; i < n; i++)
			put8((uint8_t)name[i]);
		name += n + (name[n] == '.');
	}
	put8(0);
}

static inline void begin(const char *name, enum dns_type type, unsigned rcode)
{
	length = 0;
	put16(0x1234);
	put16(0x8180 | rcode);
	put16(1);
	put16(0);
	put16(0);
	put16(0);
	put_name(name);
	put16(type);
	put16(1);
}

static inline void count(unsigned section, unsigned n)
{
	set16(6 + 2 * section, n);
}

/* Everything up to the data; its length is set by end_data. */
static size_t data_at;

static inline void begin_record(const char *owner, unsigned type, uint32_t ttl)
{
	if (owner == NULL)
		put16(0xc000 | QUESTION_AT);
	else
		put_name(owner);
	put16(type);
	put16(1);
	put32(ttl);
	put16(0);
	data_at = length;
}

static inline void end_record(void)
{
	set16(data_at - 2, (unsigned)(length - data_at));
}

static inline void put_mx(const char *owner, unsigned preference, const char *host)
{
	begin_record(owner, DNS_MX, 300);
	put16(preference);
	put_name(host);
	end_record();
}

static inline void put_alias(const char *owner, const char *to, uint32_t ttl)
{
	begin_record(owner, DNS_CNAME, ttl);
	put_name(to);
	end_record();
}

static inline void put_a(const char *owner, uint32_t address, uint32_t ttl)
{
	begin_record(owner, DNS_A, ttl);
	put32(address);
	end_record();
}

static inline void put_soa(const char *owner, uint32_t ttl, uint32_t minimum)
{
	begin_record(owner, 6, ttl);
	put_name("ns.test");
	put_name("admin.test");
	for (int i = 0; i < 4; i++)
		put32(1000);
	put32(minimum);
	end_record();
}

/* ---- reading them -------------------------------------------------------------------------------
 */

static inline int look(const char *name, enum dns_type type)
{
	/* Of its own, so that a read behind the end is seen by the sanitizer. */
	uint8_t *copy = malloc(length + 1);
	int err;

	memcpy(copy, packet, length);
	arena_reset(&arena);
	arena_init(&arena, ARENA);
	err = dnsmsg_read(span_of(copy, length), type, span_str(name), &arena, &answer);
	free(copy);
	return err;
}

static inline void check(struct span s, const char *text)
{
	if (!span_eq(s, span_str(text)))
		fail_msg("\"%.*s\", not \"%s\"", SPAN_ARG(s), text);
}

static inline void is_trouble(int err, const char *why)
{
	assert_true(err == 0 || err == GW_EFORMAT);
	assert_int_equal(answer.status, DNS_TROUBLE);
	assert_int_equal(answer.n_record, 0);
	assert_int_equal(answer.ttl, 0);
	if (strstr((const char *)answer.why.p, why) == NULL)
		fail_msg("\"%.*s\" does not say \"%s\"", SPAN_ARG(answer.why), why);
}

#endif
