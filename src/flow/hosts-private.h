/*
 * What the files of the host list share. hosts.c: questions, answers, the order; hosts_address.c:
 * the addresses of one host; hosts_mx.c: what the answer for MX means; hosts_ranges.c: private
 * addresses.
 *
 * An entry is a host as MX or the route name it; it enters the list when all of its preference are
 * known.
 */
#ifndef GW_FLOW_HOSTS_PRIVATE_H
#define GW_FLOW_HOSTS_PRIVATE_H

#include "flow/hosts.h"

#define HOSTS_MAGIC GW_MAGIC('H', 'S', 'T', 'S')

enum family { V6, V4, FAMILIES };

/* What is known of one family of a host. */
struct found {
	bool asked, waits;
	const struct host_address *address;
	size_t n;
};

struct entry {
	struct span name, canonical;
	uint16_t preference, port;
	bool secure, vouched, self;
	struct found of[FAMILIES];
};

struct hosts {
	uint32_t magic;
	struct arena *arena;
	const struct hosts_params *p;
	struct dice dice;
	bool mx_asked, mx_waits, mx_secure;
	struct entry *entry; /* by preference */
	size_t n_entry, judged;
	struct host list[HOSTS_MAX];
	size_t n_list;
	/* Why the list may stay empty. */
	enum mx_kind kind;
	bool trouble, cut_off, loops, self_cut, only_private, family_missing;
	struct span why;
};

/* Were the hosts named by the configuration? */
static inline bool hosts_given(const struct hosts *h)
{
	return h->p->n_given > 0;
}

void hosts_trouble(struct hosts *h, struct span why);

/* ---- hosts_address.c */
/* Does the source use this family? */
bool hosts_family(const struct hosts *h, enum family f);
/* The records of an answer. 0 or GW_EFULL. */
int entry_take(
    struct hosts *h, struct entry *e, enum family f, const struct dns_answer *a) gw_checked;
/* The name is an address: nothing is to be asked. */
bool entry_take_literal(struct hosts *h, struct entry *e);
/* Into the list, if it has an address. */
void entry_list(struct hosts *h, const struct entry *e);

#endif
