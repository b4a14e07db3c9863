/*
 * Who gets mail for an address of ours: the tables of the domains (config/recipients.h), the
 * accounts, the catch-all and postmaster. Asked for each RCPT that accept_rcpt() permits. What is
 * not known is refused there and then, so that nobody ever has to be sent a bounce for it.
 *
 * The order: a line of the recipients file for exactly this name, an alias, an account, the
 * same for the name without its subaddress, a pattern, postmaster, the catch-all, unknown.
 * A target of an alias is looked up in the same way, in its own domain; one that is in none of our
 * domains goes where the routes say. A name among its own targets is taken as it is.
 */
#ifndef GW_FLOW_RECIPIENT_H
#define GW_FLOW_RECIPIENT_H

#include "auth/accounts.h"
#include "config/recipients.h"
#include "flow/accept.h"

/* What a receiver knows besides its configuration. */
struct known {
	const struct config *config;
	const struct recipients *const *table; /* one a domain, in the order of the configuration;
						  NULL: it has none */
	const struct accounts *accounts;       /* NULL: none */
};

enum recipient_fate {
	FATE_TAKEN,
	FATE_HELD,
	FATE_DROPPED,
	FATE_REFUSED, /* a target of an alias that cannot be served; others can */
};

/* One address that the recipient stands for. */
struct recipient_end {
	struct recipient_end *next;
	enum recipient_fate fate;
	struct span addr;   /* canonical */
	struct place place; /* of the rule; file NULL: built in. The table's: valid as long as it */
	const char *reason; /* FATE_REFUSED: a slug */
	struct reply reply; /* the same: text is a literal or the table's */
};

struct resolved {
	struct recipient_end *first;
	size_t n, n_taken; /* taken: also held */
	bool as_is;        /* it stands for itself: there is one end with its own address */
};

/* The ceiling of the arena for one recipient. */
enum { RESOLVE_MEMORY = 1 << 20 };

/*
 * What becomes of the recipient. v->ok: it may be answered 250, and out has where it goes (at least
 * one end that is not FATE_REFUSED); else the refusal is in *v. The list lives in the arena.
 */
void recipient_resolve(const struct known *k, const struct address *rcpt, struct arena *a,
    struct resolved *out, struct verdict *v);

#endif
