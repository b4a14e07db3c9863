/*
 * The accounts: who may log in, in which state, and as whom they may send. One immutable table
 * from the text of the users file; the vault has it with its secrets, receivers and the queue
 * without (accounts_public). Pure: text in, table or the place of the mistake out.
 *
 * The file has one account a line, fields parted by blanks; '#' at the start of a field begins a
 * comment:
 *
 *	NAME STATE HASH [key=value]...
 *	alice@example.com active $argon2id$v=19$... scram=4096,SALT,STORED,SERVER from=10.0.0.0/8
 *
 * NAME: local@domain or a word; compared without regard to case. STATE: active, suspended,
 * closed. HASH: argon2id, anything crypt(3) reads; "-": none; "*": one that is not told here.
 * scram: the verifier, its octets in base64; "*": one that is not told here.
 * as: the senders this account may use, in the envelope and in From, comma separated: an address
 * (and its subaddresses), *@DOMAIN, *@*.DOMAIN (every domain below it), or * for any. Without it:
 * its own name. header-as: the same for From alone, if it differs.
 * from: the ranges of addresses where it may log in from, comma separated.
 * plan: the name of the plan whose limits hold for it; without it: the plan called default.
 * tenant: whose account it is; limits on tenants count all accounts of one together.
 */
#ifndef GW_AUTH_ACCOUNTS_H
#define GW_AUTH_ACCOUNTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/address.h"

enum account_state { ACCOUNT_ACTIVE, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, ACCOUNT_STATES };
extern const char *const account_states[ACCOUNT_STATES];

enum {
	SCRAM_KEY = 32,
	SCRAM_SALT_MAX = 64,
	SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
	SCRAM_ITERATIONS_MAX = 10000000,
	ACCOUNT_NAME_MAX = 255,
	ACCOUNT_HASH_MAX = 255,
	ACCOUNT_LINE_MAX = 16384,
	ACCOUNT_WORD_MAX = 32,   /* the name of a plan or a tenant */
	ACCOUNT_LIST_MAX = 1000, /* patterns or ranges of one account */
	ACCOUNTS_MAX = 1000000,
	ACCOUNTS_TEXT_MAX = 512 << 20,
};

/* A SCRAM-SHA-256 verifier (RFC 5802 section 3). */
struct scram_verifier {
	uint32_t iterations;
	struct span salt;
	uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

struct account {
	struct span name;                   /* as the file has it */
	struct span hash;                   /* n == 0: none, or not told */
	const struct scram_verifier *scram; /* NULL: none, or not told */
	const struct span *as, *header_as;  /* patterns; n 0: see above */
	const struct span *from;            /* CIDR ranges, as text that was judged */
	struct span plan, tenant;           /* n 0: not said */
	uint16_t n_as, n_header_as, n_from;
	bool has_hash, has_scram; /* also when they are not told */
	enum account_state state;
	uint32_t line;
};

struct accounts;

/* What is wrong with a users file. */
struct accounts_error {
	unsigned line; /* 0: with all of it */
	char text[200];
};

/* text is copied. NULL: *e says where and why. */
struct accounts *accounts_parse(struct span text, struct accounts_error *e) gw_checked;
/* Overwrites the secrets. */
void accounts_free(struct accounts **a);
/* Of NULL: 0, NULL, false. */
size_t accounts_count(const struct accounts *a);
const struct account *accounts_at(const struct accounts *a, size_t i); /* in the file's order */
/* Any case; NULL if there is none. */
const struct account *accounts_find(const struct accounts *a, struct span name);
/* Every account that is active and can log in has a SCRAM verifier, and there is one at least. */
bool accounts_all_scram(const struct accounts *a);
/* Appends the table as a users file without hashes and verifiers: what accounts_parse takes. */
void accounts_public(const struct accounts *a, struct buf *out);

/* Appends the line of one account, with its LF and with its secrets or "*" for them. */
void account_format(const struct account *a, bool secrets, struct buf *out);
/* Is it a name that an account can have? A sentence fragment, or NULL: yes. */
const char *account_name_fault(struct span name);
const char *account_pattern_fault(struct span pattern);
const char *account_range_fault(struct span range);
const char *account_hash_fault(struct span hash);
/* Is it a name that a plan or a tenant can have? */
const char *account_word_fault(struct span word);
/* The comment of a line from its '#' on; empty if it has none. */
struct span account_comment(struct span line);

/* May this account use that address as envelope sender (header: in From)? The null sender always.
 * *why: the pattern that permitted it, or none. */
bool account_may_send_as(
    const struct account *a, const struct address *from, bool header, struct span *why);
/* May it log in from there? ip as in struct proto_check. */
bool account_may_come_from(const struct account *a, const uint8_t ip[16]);

#endif
