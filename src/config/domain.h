/*
 * Which way mail goes, by its recipient: the domains that are ours, with who is known there, the
 * routes that stand before them, and who may ask for what waits (ETRN).
 */
#ifndef GW_CONFIG_DOMAIN_H
#define GW_CONFIG_DOMAIN_H

#include "config/target.h"

#include <stdbool.h>
#include <stddef.h>

/* Which local parts of a domain are known at RCPT (config/recipients.h has the tables). */
enum recipients_kind {
	RECIPIENTS_ANY,   /* all */
	RECIPIENTS_USERS, /* the accounts of the users file with that name */
	RECIPIENTS_FILE,  /* those the file lists */
	/* Those that somebody else knows: */
	RECIPIENTS_CALLOUT, /* the server that has the mailboxes, by RCPT */
	RECIPIENTS_DOVECOT  /* Dovecot's userdb */
};

/* Who knows the recipients of a domain, where that is somebody else. */
struct recipients_lookup {
	struct endpoint at;
	bool lmtp;                        /* CALLOUT: else SMTP */
	const char *from;                 /* CALLOUT: of MAIL; "" for <> */
	int64_t cache, negative, timeout; /* microseconds; negative: for "unknown" */
	bool away_accepts;                /* while nobody answers: taken, else 451 */
};

/* How full a mailbox may be. */
struct quota {
	uint64_t octets, messages; /* 0: no limit */
	bool defer;                /* a full mailbox is tried again instead of being refused */
};

/* Does mail to alice+lists go to the folder lists of her mailbox? */
enum folder_wish { FOLDER_OFF, FOLDER_EXISTING, FOLDER_MAKE };
const char *folder_word(enum folder_wish wish);

struct domain {
	const char *name; /* lower case; "*.example" matches every name below it */
	struct target deliver;
	struct quota quota;
	enum folder_wish folder;
	enum recipients_kind recipients;
	const char *recipients_file;            /* RECIPIENTS_FILE */
	const struct recipients_lookup *lookup; /* RECIPIENTS_CALLOUT and _DOVECOT */
	const char *aliases;                    /* a file, or NULL */
	const char *catch_all; /* who gets what nobody else is known for, or NULL */
	const char *forward;   /* the users' own files of addresses, %u and %d; or NULL */
	char subaddress;       /* alice+x is alice; 0: off */
	struct place place;
	struct place recipients_place, aliases_place, catch_all_place; /* no file: not said */
};

/* All conditions that were written must hold; what is NULL or 0 was not written. */
struct route {
	bool any;            /* "to any" */
	const char *domain;  /* of the recipient; "*.x" as in domain */
	const char *address; /* the recipient */
	const char *from_domain, *from_address, *from_account;
	uint64_t larger_than; /* octets of the message */
	struct target target;
	struct place place;
};

/* Who may ask, with ETRN, for the mail of whom. */
struct etrn_rule {
	const char *const *name; /* domains, "*.x" as in domain, "#group" */
	size_t n_name;
	const struct cidr *from; /* who asks: a client from there, or ... */
	size_t n_from;
	const char *const *account; /* ... one that logged in with that name */
	size_t n_account;
	struct place place;
};

#endif
