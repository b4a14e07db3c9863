/*
 * The envelope: everything that is kept about a message beside its content.
 * All fields of the finished product are here from the first day, so that the
 * stored format need not change when the features that use them arrive.
 *
 * Stored as a version octet and tagged fields (tag u8, length u32, bytes): a
 * reader skips tags it does not know, a missing field has its zero value, a
 * field that may stand once and stands twice is an error. Decoding treats the
 * bytes as hostile: counts, enums and sizes are checked, and what goes out in
 * SMTP commands (from, addr, orcpt, envid) has no control octets. Encoding fails
 * where decoding would, so what was accepted can always be read. After
 * envelope_decode the spans point into the decoded bytes and the arrays into the
 * arena.
 */
#ifndef GW_MAIL_ENVELOPE_H
#define GW_MAIL_ENVELOPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/body.h"
#include "mail/handling.h"
#include "mail/msgid.h"

enum { ENVELOPE_RCPT_MAX = 50000, ENVELOPE_EXTENT_MAX = 65536, ENVELOPE_TAG_MAX = 64 };

enum body_type { BODY_7BIT, BODY_8BITMIME, BODY_BINARYMIME };
/* The class of a message; stored. Those of one class go before those of the next (flow/turns.h says
 * how far). */
enum priority { PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_BULK, PRIORITY_COUNT };
enum origin { ORIGIN_SMTP, ORIGIN_LOCAL, ORIGIN_API, ORIGIN_SYSTEM };
enum dsn_ret { RET_UNSET, RET_FULL, RET_HDRS };
/* NOTIFY of RFC 3461 section 4.1, as bits; 0 is unset. */
enum dsn_notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct rcpt {
	struct span addr;  /* canonical local@domain, or "postmaster" */
	struct span orcpt; /* as the client wrote it ("rfc822;..."), xtext decoded; or empty */
	uint8_t notify;
	/* Another return path than the message's, for this one alone: the owner of a list, or a
	   rewritten one (SRS). Empty: the message's. */
	struct span from;
	/* The copy that who forwards his mail keeps: his file of addresses was read already. */
	bool kept;
};

/* A piece of the content that was stored before the MESSAGE record (a PART). */
struct part {
	uint64_t segment;
	uint64_t offset;
	uint32_t length;
	uint64_t sum; /* checksum of the piece, as store.h makes it */
};

struct envelope {
	struct msgid id;
	struct msgid nonce; /* of the COMMIT that stored it: asked for after a restart */
	int64_t accepted;   /* wall-clock microseconds */
	struct span from;   /* canonical; empty is the null sender */
	const struct rcpt *rcpt;
	size_t n_rcpt;

	struct span tenant, account, ticket;
	uint8_t priority; /* enum priority */
	const struct span *tag;
	size_t n_tag;
	struct span vmta, site, idempotency_key;

	struct span envid; /* DSN, RFC 3461 */
	enum dsn_ret ret;
	enum body_type body_type;
	bool smtputf8; /* came by SMTPUTF8 (RFC 6531), and its header or an address has UTF-8 */
	bool at_most_once;
	struct handling handling;
	struct body_facts facts;

	enum origin origin;
	struct span client_ip, client_helo, listener; /* of the session that brought it */

	uint32_t head_length; /* octets of the content up to and including the empty line */
	const struct part *part;
	size_t n_part;
	struct span ends;  /* an encoded struct change: recipients of another message that end with
			      this one */
	struct span state; /* of a copy: an encoded struct change, what became of every recipient so
			      far. Marks the record as a copy (docs/spool.md, copying forward) */
	struct span held; /* an encoded struct change: recipients of this message that are held from
			     the start, and why */

	/* When limits counted it, or its place in the line of one that holds it
	   (flow/broker_limits.h); no two messages have the same. 0: limits do not concern it. The
	   queue's to set. */
	int64_t counted;
};

/* Where reports about a recipient go: nowhere, if the message came from the null sender. */
static inline struct span rcpt_from(const struct envelope *e, const struct rcpt *r)
{
	return r->from.n > 0 && e->from.n > 0 ? r->from : e->from;
}

/* Appends the stored form; a value that may not be, or the buffer's ceiling: buf_failed(). */
void envelope_encode(const struct envelope *e, struct buf *out);
/* Appends to a stored form what limits counted: of an envelope that has no such field. */
void envelope_encode_counted(int64_t counted, struct buf *out);
/* 0, GW_EFORMAT (bytes make no sense), GW_EVERSION (not our version), GW_EFULL (arena). */
int envelope_decode(struct envelope *e, struct span in, struct arena *a) gw_checked;
/* Id and client_ip alone, without judging the rest: zero and empty where they are not found. */
void envelope_glance(struct span in, struct msgid *id, struct span *client_ip);

#endif
