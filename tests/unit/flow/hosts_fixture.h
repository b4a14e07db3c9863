/*
 * A small DNS for tests of host lists, as text: lines "NAME TYPE DATA", or "NAME TYPE !WHAT" with
 * trouble, nx, cut. A name that no line has does not exist; one that has lines, but none of the
 * type, has no data. "secure" behind the type: validated.
 */
#ifndef GW_TESTS_HOSTS_FIXTURE_H
#define GW_TESTS_HOSTS_FIXTURE_H

#include "flow/hosts.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct zone_answer {
	struct dns_answer a;
	struct dns_record record[DNS_RECORDS_MAX];
	char name[DNS_RECORDS_MAX][260], canonical[260];
};

static inline bool zone_type(const char *word, enum dns_type type)
{
	return (type == DNS_MX && strcmp(word, "MX") == 0) ||
	       (type == DNS_A && strcmp(word, "A") == 0) ||
	       (type == DNS_AAAA && strcmp(word, "AAAA") == 0) || strcmp(word, "*") == 0;
}

static inline void zone_add(struct zone_answer *z, enum dns_type type, const char *data)
{
	struct dns_record *r = &z->record[z->a.n_record];
	char *name = z->name[z->a.n_record];
	unsigned preference = 0;

	if (data[0] == '!') {
		z->a.cut = z->a.cut || strcmp(data, "!cut") == 0;
		if (strcmp(data, "!trouble") == 0) {
			z->a.status = DNS_TROUBLE;
			z->a.why = SPAN("nobody answers");
		}
		return;
	}
	*r = (struct dns_record){0};
	if (type == DNS_MX) {
		name[0] = '\0';
		sscanf(data, "%u %255s", &preference, name);
		r->preference = (uint16_t)preference;
		r->name = strcmp(name, ".") == 0 ? SPAN_NONE : span_str(name);
	} else if (inet_pton(type == DNS_A ? AF_INET : AF_INET6, data, &r->address) != 1) {
		abort();
	}
	if (z->a.status != DNS_TROUBLE)
		z->a.status = DNS_FOUND;
	z->a.n_record++;
}

static inline void zone_ask(
    const char *zone, enum dns_type type, struct span name, struct zone_answer *z)
{
	char line[400], owner[260], word[20], data[300];

	*z = (struct zone_answer){.a = {.status = DNS_NXDOMAIN, .ttl = 60}};
	span_to_cstr(name, z->canonical, sizeof(z->canonical));
	for (const char *at = zone; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		if (sscanf(line, "%259s %19s %299[^\n]", owner, word, data) != 3 ||
		    strcmp(owner, z->canonical) != 0)
			continue;
		if (strcmp(word, "CNAME") == 0) {
			span_to_cstr(span_str(data), z->canonical, sizeof(z->canonical));
			at = zone; /* a line is looked at once more at most: chains are short */
			continue;
		}
		if (z->a.status == DNS_NXDOMAIN && strcmp(data, "!nx") != 0)
			z->a.status = DNS_NODATA;
		if (strcmp(word, "SECURE") == 0)
			z->a.secure = true;
		else if (zone_type(word, type))
			zone_add(z, type, data);
	}
	z->a.record = z->record;
	z->a.canonical = span_str(z->canonical);
}

/* What came of it: "mx1[10] 192.0.2.1 2001:db8::1; mx2[20] ..." or "550 5.1.2 ...". */
static inline const char *hosts_text(struct hosts *h)
{
	static char text[20000];
	const struct host *list;
	size_t n = hosts_list(h, &list), at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s[%u]", i ? "; " : "",
		    SPAN_ARG(list[i].name), list[i].preference);
		for (size_t k = 0; k < list[i].n_address; k++) {
			char ip[INET6_ADDRSTRLEN];

			inet_ntop(
			    list[i].address[k].family, list[i].address[k].bytes, ip, sizeof(ip));
			at += (size_t)snprintf(text + at, sizeof(text) - at, " %s", ip);
		}
	}
	if (n == 0 && !hosts_wait(h)) {
		struct reply r = hosts_reply(h);

		snprintf(text, sizeof(text), "%u %u.%u.%u %.*s", r.code, r.esc[0], r.esc[1],
		    r.esc[2], SPAN_ARG(r.text));
	}
	return text;
}

/* Asks until nothing is left to ask; the number of questions. */
static inline size_t hosts_run(struct hosts *h, const char *zone)
{
	struct zone_answer *z = malloc(sizeof(*z));
	struct hosts_question q;
	size_t n = 0;

	while (hosts_next(h, &q)) {
		zone_ask(zone, q.type, q.name, z);
		if (hosts_answer(h, q.number, &z->a) < 0)
			abort();
		n++;
	}
	free(z);
	return n;
}

#endif
