/*
 * Who gets mail for an address of ours: the tables of the domains (config/recipients.h), the
 * accounts, the catch-all and postmaster. Asked for each RCPT that accept_rcpt() permits. What is
 * not known is refused there and then, so that nobody ever has to be sent a bounce for it.
 *
 * The order: a line of the recipients file for exactly this name, an alias, an account, the
 * same for the name without its subaddress, a pattern, postmaster, the catch-all, unknown.
 * An alias of the whole address (info@example.com) goes before that of the name, the aliases of the
 * domain before those of all domains, @example.com: before the catch-all of the configuration.
 * Where somebody else knows the recipients (callout, Dovecot) he is asked behind the patterns.
 * A target of an alias is looked up in the same way, in its own domain; one that is in none of our
 * domains goes where the routes say. A name among its own targets is taken as it is.
 *
 * Where NAME has an owner-NAME beside it, reports about the members of NAME go to that address: it
 * is their return path. What leaves our domains by an alias and came from somebody else's domain
 * gets one of ours (auth/srs.h), and reports to such an address go back to where it came from.
 */
#ifndef GW_FLOW_RECIPIENT_H
#define GW_FLOW_RECIPIENT_H

#include "auth/accounts.h"
#include "auth/srs.h"
#include "config/recipients.h"
#include "flow/accept.h"

/* What whoever has the mailboxes says of an address. */
enum elsewhere {
	ELSEWHERE_KNOWN,
	ELSEWHERE_UNKNOWN,
	ELSEWHERE_AWAY, /* nobody answers: the domain says what then */
	ELSEWHERE_BUSY, /* this client asked for too many that are not there: 451, whatever it says
			 */
	ELSEWHERE_ASK   /* it has to be asked first; the verdict is void */
};

/* What a receiver knows besides its configuration. */
struct known {
	const struct config *config;
	const struct recipients *const *table; /* one a domain, in the order of the configuration;
						  NULL: it has none; behind them that of
						  all domains */
	bool forwards;                   /* the address is one that a user sends his mail on to */
	const struct srs *srs;           /* NULL: nothing is rewritten */
	int64_t day;                     /* since 1970, for srs */
	const struct accounts *accounts; /* NULL: none */
	/* Domains whose recipients somebody else knows; NULL: nobody can be asked, all are taken.
	   The address is canonical. */
	enum elsewhere (*elsewhere)(void *arg, const struct domain *d, struct span addr);
	void *elsewhere_arg;
	/* Of the message, for the routes of aliases that lead elsewhere: its sender, canonical, and
	   the account that its client logged in with. */
	struct span from, account;
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
	struct span from;   /* the return path, where it is not the message's; else empty */
	struct place place; /* of the rule; file NULL: built in. The table's: valid as long as it */
	const char *reason; /* FATE_REFUSED: a slug */
	struct reply reply; /* the same: text is a literal or the table's */
};

struct resolved {
	struct recipient_end *first;
	size_t n, n_taken; /* taken: also held */
	bool asks;  /* ELSEWHERE_ASK was said of one at least: resolve again with the answers */
	bool as_is; /* it stands for itself: there is one end with its own address */
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
