/*
 * The accounts: who may log in, in which state, and as whom they may send. One immutable table
 * from the text of the users file; the vault has it with its secrets, receivers and the queue
 * without (accounts_public). Pure: text in, table or the place of the mistake out.
 *
 * The file has one account a line, fields parted by blanks, '#' starts a comment:
 *
 *	NAME STATE HASH [key=value]...
 *	alice@example.com active $argon2id$v=19$... scram=4096,SALT,STORED,SERVER as=*@example.com
 *from=10.0.0.0/8
 *
 * NAME is compared without regard to case. STATE: active, suspended, closed. HASH: argon2id,
 * anything crypt(3) reads, or "-": none. as: envelope and header senders this account may use,
 *comma separated: an address, *@DOMAIN, *@*.DOMAIN, or * for any; without it: its own name, with
 *and without a subaddress. header-as: the same for From alone, if it differs. from: where it may
 *log in from.
 */
#ifndef GW_AUTH_ACCOUNTS_H
#define GW_AUTH_ACCOUNTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/address.h"

enum account_state { ACCOUNT_ACTIVE, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED };
extern const char *const account_states[];

enum { SCRAM_KEY = 32, SCRAM_SALT_MAX = 64, ACCOUNT_NAME_MAX = 255 };

/* A SCRAM-SHA-256 verifier (RFC 5802 section 3); iterations 0: none. */
struct scram_verifier {
	uint32_t iterations;
	struct span salt;
	uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

struct account {
	struct span name; /* as the file has it */
	enum account_state state;
	struct span hash; /* n == 0: none, or not shown to us */
	struct scram_verifier scram;
	const struct span *as, *header_as; /* patterns; n 0: see above */
	size_t n_as, n_header_as;
	const struct span *from; /* CIDR ranges, as text that was judged */
	size_t n_from;
	unsigned line;
};

struct accounts;

/* What is wrong with a users file. */
struct accounts_error {
	unsigned line;
	char text[200];
};

/* text is copied. NULL: *e says where and why. */
struct accounts *accounts_parse(struct span text, struct accounts_error *e) gw_checked;
void accounts_free(struct accounts **a);
size_t accounts_count(const struct accounts *a);
const struct account *accounts_at(const struct accounts *a, size_t i);
/* Any case; NULL if there is none. */
const struct account *accounts_find(const struct accounts *a, struct span name);
/* Every account that can log in has a SCRAM verifier, and there is one at least. */
bool accounts_all_scram(const struct accounts *a);
/* Appends the table as a users file without hashes and verifiers: what accounts_parse takes. */
void accounts_public(const struct accounts *a, struct buf *out);

/* May this account use that address as envelope sender (header: in From)? The null sender always.
 * *why: the pattern that permitted it, or NULL. */
bool account_may_send_as(
    const struct account *a, const struct address *from, bool header, struct span *why);
/* May it log in from there? ip as in struct proto_check. */
bool account_may_come_from(const struct account *a, const uint8_t ip[16]);

#endif
