/*
 * Where does mail for a destination go? Pure and resumable: says which DNS question is next, is
 * given the answer, ends with the list of hosts in the order in which they are to be tried, or with
 * what is to be said to the sender (RFC 5321 section 5.1, RFC 7505, RFC 3974).
 *
 *	h = hosts_start(params, arena)
 *	while (hosts_next(h, &q)) ask for q.type of q.name		again after each answer
 *	hosts_answer(h, q.number, answer)				in any order
 *	hosts_list(h, &list)						grows from its front on
 *	when hosts_wait(h) is false and the list is empty: hosts_reply(h)
 *
 * Rules: MX by preference, equal ones in random order; without MX the domain itself; a null MX and
 * a name that does not exist end the message at once; what DNS cannot say defers it, never more.
 * A host of the list that is this machine is dropped, with all of its preference and worse; if that
 * was the best one, mail loops back: 5.4.6; if better ones have no address, the message waits for
 * them. Private addresses are passed over unless that is allowed. At most HOSTS_MAX hosts and
 * HOST_ADDRESSES_MAX addresses of each are looked at. Hosts that are given (a relay) keep their
 * order and are not compared with this machine.
 *
 * A host enters the list when all of its preference are known, so that one whose name servers are
 * dead holds up only those behind it.
 */
#ifndef GW_FLOW_HOSTS_H
#define GW_FLOW_HOSTS_H

#include "base/dns.h"
#include "config/config.h"
#include "flow/sched.h"
#include "smtp/reply.h"

enum { HOSTS_MAX = 16, HOST_ADDRESSES_MAX = 16 };

struct host_address {
	sa_family_t family;
	uint8_t bytes[16];
	uint16_t port;
};

struct host {
	struct span name;      /* as in MX, or of the route; what TLS is to verify */
	struct span canonical; /* behind CNAMEs */
	uint16_t preference, port;
	bool secure;  /* MX, and the addresses, were validated */
	bool vouched; /* that it is the domain's: its MX was validated, or it has the same name */
	/* The families take turns, the one that is wished for begins. */
	const struct host_address *address;
	size_t n_address;
};

/* What this machine is called and which addresses it listens on; borrowed. */
struct hosts_self {
	struct span name;                   /* lower case */
	const struct host_address *address; /* port 0: on every port */
	size_t n_address;
};

struct hosts_given {
	struct span name; /* or an address */
	uint16_t port;
};

struct hosts_params {
	struct span domain; /* of the recipient, canonical; "[192.0.2.1]" is that address. Looked
			       at only if there is no host given */
	const struct hosts_given *given;
	size_t n_given;
	uint16_t port;                 /* of MX hosts */
	bool private_ok;               /* MX: private addresses too */
	enum family_wish wish;         /* of the source */
	bool no_v4, no_v6;             /* families that this source has not */
	const struct hosts_self *self; /* NULL: nothing is cut */
	uint64_t seed;                 /* of the order among equals */
};

struct hosts_question {
	unsigned number; /* below HOSTS_QUESTIONS_MAX */
	enum dns_type type;
	struct span name;
};
enum { HOSTS_QUESTIONS_MAX = 1 + 2 * HOSTS_MAX };

struct hosts;

/* Everything lives in the arena, which the caller keeps until it is done with the list; the
 * parameters, and all they point to, are borrowed as long. NULL: no room. */
struct hosts *hosts_start(const struct hosts_params *p, struct arena *a) gw_checked;
/* One more question, each once. */
bool hosts_next(struct hosts *h, struct hosts_question *q) gw_checked;
/* The answer is copied as far as it is needed. 0, also for a question that is not open, or GW_EFULL
 * (the arena; the answer counts as trouble). */
int hosts_answer(struct hosts *h, unsigned number, const struct dns_answer *a) gw_checked;
/* May the list still grow? */
bool hosts_wait(const struct hosts *h);
/* How many there are, at most HOSTS_MAX; what is in the list stays as it is. */
size_t hosts_list(const struct hosts *h, const struct host **list);
/* Why there is no host: 5xx only where DNS was sure, and never for hosts that were given. Text in
 * the arena. */
struct reply hosts_reply(struct hosts *h);

/* ---- the names alone, for the group a destination belongs to (the queue asks no more) ---------
 */

/* What the answer to the MX question means. */
enum mx_kind { MX_HOSTS, MX_IMPLICIT, MX_NULL, MX_NO_DOMAIN, MX_TROUBLE };
enum mx_kind mx_kind_of(const struct dns_answer *a);
/* What is said to a recipient where nothing can be done: MX_NULL 556 5.1.10, MX_NO_DOMAIN
 * 550 5.1.2, MX_TROUBLE 451 4.4.3; text is static or in `text`. */
struct reply mx_reply(enum mx_kind kind, struct span domain, struct span why, char *text, size_t n);

/* Addresses that are nobody's on the Internet: loopback, private, link-local, shared,
 * documentation, multicast, and IPv6 forms that hold such IPv4 ones (RFC 6890, 6598, 6052, 3056).
 */
bool address_is_private(const struct host_address *a);

#endif
