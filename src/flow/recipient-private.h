/*
 * Between recipient.c, which walks from an address to all that it stands for, recipient_find.c,
 * which finds the rule that an address has, and recipient_path.c, which knows to whom reports of
 * each of them go. Everything lives in the arena of the walk.
 */
#ifndef GW_FLOW_RECIPIENT_PRIVATE_H
#define GW_FLOW_RECIPIENT_PRIVATE_H

#include "flow/recipient.h"

enum { RECIPIENT_NAME_MAX = 512 }; /* octets of an address, or of a part of it */

/* An address that is being looked up, and those that led to it. */
struct step {
	const struct step *from;
	unsigned depth;
	struct span addr;          /* canonical */
	struct span domain;        /* within addr, or the host name; lower case */
	struct span local;         /* as it is meant */
	struct span owner;         /* of the list that led here, or of one before it; or empty */
	const struct domain *ours; /* NULL: somebody else's */
	struct span name;          /* what the rule that led on is called, or empty */
	struct span lead_owner;    /* of those it leads to */
	bool bare;                 /* postmaster without a domain */
};

struct walk {
	const struct known *k;
	struct arena *arena;
	struct resolved *out;
	struct recipient_end **end;
	size_t visits;
	bool too_many;
};

/* What was found, and how its owner spells the name: mailboxes are told apart by their case. */
struct found {
	const struct recipient_rule *rule;
	struct span name; /* n == 0: as the client does */
	size_t octets;    /* of the name in the local part; what follows is the subaddress */
};

/* ---- recipient.c */
/* A copy of what is in the buffer, which is given back; empty: the walk has become too large. */
struct span walk_keep(struct walk *w, struct buf *b) gw_checked;

/* ---- recipient_find.c */
/* The tables for an address of ours: that of its domain, that of all domains. NULL: none. */
enum { TABLE_OWN, TABLE_COMMON, TABLE_COUNT };
const struct recipients *table_of(const struct walk *w, const struct step *s, int which) gw_checked;
/* What a table says of a name: of the whole address first. NULL: nothing. */
const struct recipient_rule *table_says(
    const struct walk *w, const struct step *s, int which, struct span local) gw_checked;
/* What stands for all that is not known there. */
const struct recipient_rule *table_say_rest(const struct walk *w, const struct step *s) gw_checked;
/* The name without its subaddress; empty if it has none. */
struct span step_base_name(const struct step *s) gw_checked;
/* In the order of flow/recipient.h, up to the patterns. False: there is none. */
bool walk_find_rule(const struct walk *w, const struct step *s, struct found *f) gw_checked;
/* The address as its owner spells the name: alice+x for ALICE+x. */
void walk_respell(struct walk *w, struct step *s, const struct found *f);

/* ---- recipient_path.c */
/* The return path of its own; empty: the message's. What came from nobody is answered to nobody. */
struct span path_of(struct walk *w, const struct step *s) gw_checked;
/* owner-NAME, where there is one beside the alias NAME; else the owner so far. Owners have none
 * themselves. */
struct span path_owner(
    struct walk *w, const struct step *s, const struct recipient_rule *rule) gw_checked;
/* Is it a return path that was made here? */
bool path_is_srs(const struct walk *w, const struct step *s) gw_checked;
struct reply path_refusal(enum srs_verdict v) gw_checked;

#endif
