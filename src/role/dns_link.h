/*
 * The channel to the resolver, as those who ask it have one. An answer always comes, once: what
 * nobody answered in time, or what was asked while no resolver ran for that long, is DNS_TROUBLE.
 * Questions that waited when the resolver died are asked again when it is back.
 *
 * Embedded in its role, lives as long as the process.
 */
#ifndef GW_ROLE_DNS_LINK_H
#define GW_ROLE_DNS_LINK_H

#include "base/dns.h"
#include "base/map.h"
#include "role/role.h"

enum {
	DNS_PATIENCE = 30, /* seconds until a question is given up */
	DNS_QUESTIONS_MAX = 65536,
	DNS_ANSWER_MEMORY = 256 << 10, /* of one answer that is being read */
};

/* The answer and all it points to are borrowed until the call returns. */
typedef void dns_done(void *arg, const struct dns_answer *a);

struct dns_link {
	struct ipc *ipc; /* NULL: no resolver now */
	struct loop *loop;
	enum role self;
	uint64_t last;    /* number of a question */
	int64_t patience; /* microseconds; of the questions asked from now on */
	struct map open;  /* by number */
	struct timer timer;
	struct arena reading;
	TAILQ_HEAD(dns_questions, dns_question)
	questions, /* in the order in which they were asked */
	    known; /* the answer is known without asking */
};

/* Takes the channel from the boot's peers if it is there already. */
void dns_link_start(struct dns_link *d, struct loop *l, const struct boot *b);
/* What master_link.peer says of a ROLE_RESOLVER; fd is owned. */
void dns_link_peer(struct dns_link *d, int fd);
/* A number for dns_cancel, never 0. "done" is never called before this returns; it may ask and
 * cancel. Capitals in names are made small. A name that cannot be asked for is DNS_NXDOMAIN; too
 * many questions: DNS_TROUBLE. */
uint64_t dns_ask(
    struct dns_link *d, enum dns_type type, struct span name, dns_done *done, void *arg);
/* "done" will not be called. 0 and numbers that are answered are ignored. */
void dns_cancel(struct dns_link *d, uint64_t number);

#endif
