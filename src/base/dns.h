/*
 * What DNS says, in a form that everybody can use: questions, and answers as records. The resolver
 * makes answers (net/dnsmsg reads the packets), role/dns_link carries them, pure evaluators
 * (flow/hosts) judge them. Nothing here asks anybody.
 *
 * Names are lower case, without the last dot, in the letters of the wire (RFC 5890 A-labels stay);
 * a name with octets that cannot stand in a host name is never handed out.
 */
#ifndef GW_BASE_DNS_H
#define GW_BASE_DNS_H

#include "base/arena.h"

#include <netinet/in.h>

/* The numbers of the registry. */
enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52,
};

enum {
	DNS_NAME_MAX = 253, /* as text (RFC 1035 section 2.3.4) */
	DNS_RECORDS_MAX =
	    128, /* of one answer; what is beyond is left out and the answer says so */
	DNS_TTL_MAX = 86400,
	DNS_WHY_MAX = 160,
};

enum dns_status {
	DNS_FOUND,    /* there are records */
	DNS_NODATA,   /* the name is there, records of this type are not */
	DNS_NXDOMAIN, /* there is no such name: the only status that may end a message */
	DNS_TROUBLE,  /* nobody could say, or what was said cannot be believed: try again later */
	DNS_STATUS_MAX = DNS_TROUBLE,
};

struct dns_record {
	uint16_t preference; /* MX */
	struct span name;    /* MX, PTR: a host name; MX "" is the null MX (RFC 7505) */
	union {
		struct in_addr a;
		struct in6_addr aaaa;
	} address;
	struct span data; /* TXT: the strings put together; TLSA: usage, selector, type, octets */
};

struct dns_answer {
	enum dns_status status;
	bool secure;  /* validated by DNSSEC (RFC 4033), from an anchor down; says so of
			 NODATA and NXDOMAIN too */
	bool cut;     /* records were left out: too many, too long, or with a name that cannot be */
	uint32_t ttl; /* seconds this may be used, at most DNS_TTL_MAX */
	struct span
	    canonical; /* the owner of the records, behind CNAMEs; else the name asked for */
	const struct dns_record *record;
	size_t n_record;
	struct span why; /* TROUBLE: in words, for logs and reports */
};

/* Can the name be asked for: labels of 1 to 63 letters, digits, - and _, 253 octets at most? */
bool dns_name_good(struct span name);

#endif
