/*
 * The reader of DNS messages (RFC 1035 section 4): pure, bounded, hostile to what it reads. From
 * the answer section it follows the CNAME chain from the question and takes the records of the type
 * asked for; everything else is skipped. Compression pointers go backwards only and are counted, so
 * that no packet costs more than its length squared allows.
 *
 * A record whose name cannot be a host name is left out, and the answer says "cut". Where that
 * leaves nothing the answer is DNS_TROUBLE: a domain that names hosts we cannot use is not one
 * without hosts. Only a PTR that is no name counts for none.
 */
#ifndef GW_NET_DNSMSG_H
#define GW_NET_DNSMSG_H

#include "base/dns.h"

enum {
	DNSMSG_CHAIN_MAX = 8,     /* CNAMEs from the question to the records */
	DNSMSG_DATA_MAX = 4096,   /* octets of a TXT or TLSA record; longer ones are left out */
	DNSMSG_NEGATIVE_TTL = 60, /* seconds, of a "no" without an SOA (RFC 2308 section 5) */
};

/*
 * Fills all of *out but "secure"; TROUBLE has a ttl of 0. Of more than DNS_RECORDS_MAX MX the most
 * preferred are kept. Spans and records are in the arena. 0, or GW_EFORMAT: not an answer to this
 * question (the answer is then DNS_TROUBLE with a reason, and may be used); GW_EFULL: the arena.
 */
int dnsmsg_read(struct span packet, enum dns_type type, struct span name, struct arena *a,
    struct dns_answer *out) gw_checked;

/* DNS_TROUBLE for this name, as a printf would say it, cut to DNS_WHY_MAX. 0 or GW_EFULL. */
int dnsmsg_trouble(struct arena *a, struct span name, struct dns_answer *out, const char *fmt, ...)
    gw_printf(4, 5) gw_checked;

#endif
