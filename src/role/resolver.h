/*
 * What the files of the resolver role share. resolver.c: start, and the channels to those who ask;
 * resolver_ask.c: questions, who waits for them and whose turn it is; resolver_unbound.c:
 * libunbound and how it is set.
 *
 * A question that several ask is put to libunbound once (a look-up), and its answer goes to all of
 * them. libunbound is given LOOKUPS_MAX at a time; what is beyond waits, and those who ask take
 * turns. Who has waited for the time of the configuration is told DNS_TROUBLE; the look-up goes on
 * and may still fill the cache.
 */
#ifndef GW_ROLE_RESOLVER_H
#define GW_ROLE_RESOLVER_H

#include "base/dns.h"
#include "base/map.h"
#include "role/proto_dns.h"
#include "role/role.h"

enum {
	LOOKUPS_MAX = 1024,    /* with libunbound at one time */
	WANTS_MAX = 128 << 10, /* questions that wait, of all who ask */
	ASKERS_MAX = BOOT_PEERS_MAX,
	ANSWER_MEMORY = 512 << 10,
};

struct resolver;

/* ---- libunbound ----------------------------------------------------------------------------- */

struct engine;

/* What came of a question. The packet is libunbound's and gone when the call returns. */
struct engine_answer {
	int rcode; /* not 0: there is no packet */
	struct span packet;
	bool secure, bogus;
	const char *why_bogus; /* may be NULL */
	const char *broken; /* nobody was asked, since the set-up failed; NULL or "": it did not */
};
typedef void engine_done(void *arg, const struct engine_answer *a);

/* Reads all files it will ever need. Where it cannot be set up (an anchor that cannot be read) the
 * reason is logged, and is the answer to every question: a server that needs no names goes on. */
struct engine *engine_new(struct loop *l, const struct config *c) gw_checked;
/* "done" is called exactly once, maybe before this returns. */
void engine_ask(
    struct engine *e, enum dns_type type, const char *name, engine_done *done, void *arg);

/* ---- questions ------------------------------------------------------------------------------ */

/* A channel to somebody who asks. */
struct asker {
	TAILQ_ENTRY(asker) link;
	struct resolver *resolver;
	struct ipc *ipc;
	enum role role;
	unsigned index;
	TAILQ_HEAD(want_row, want) wants; /* in the order in which they came */
	TAILQ_HEAD(, lookup) ready;       /* not with libunbound yet; this one asked first */
	size_t n_wants;
	struct timer lost; /* its channel is gone (ipc is NULL) and none has come instead */
};

struct want {
	TAILQ_ENTRY(want) of_asker, of_lookup, by_time;
	struct asker *asker;
	struct lookup *lookup;
	uint64_t request;
	int64_t asked;
};

struct lookup {
	TAILQ_ENTRY(lookup) link; /* in "ready" */
	struct resolver *resolver;
	struct asker *owner; /* in whose row it waits; NULL: libunbound has it */
	TAILQ_HEAD(, want) wants;
	struct span key; /* type and name, in this memory */
	enum dns_type type;
	struct span name;
	uint8_t bytes[2 + DNS_NAME_MAX + 1];
};

struct resolver {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct master_link master;
	struct engine *engine;
	TAILQ_HEAD(askers, asker) askers; /* the first is the next in turn */
	TAILQ_HEAD(, want) by_time;
	struct map lookups; /* by key */
	size_t n_wants, n_asked, n_askers;
	struct timer patience;
	struct arena reading;
	int64_t said; /* when trouble was logged last */
	uint64_t unsaid;
	bool pumping;
};

void ask_start(struct resolver *r);
/* GW_EFORMAT: the asker broke a rule. */
int ask_take(struct asker *a, struct span payload) gw_checked;
/* Nobody waits for its answers any more. */
void ask_forget(struct asker *a);

#endif
