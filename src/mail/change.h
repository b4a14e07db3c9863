/*
 * A change: what became of some recipients of one message. Senders report it,
 * the log stores it (RESULT, DEFERRED, or inside the bounce that ends the
 * recipients), recovery replays it. Merging is idempotent and does not depend
 * on the order of reading: a finished recipient is never undone, otherwise the
 * higher number wins.
 *
 * Stored as a version octet and tagged fields, like the envelope; how a recipient was reached
 * follows it in a field of its own, which older readers pass over. What encodes
 * without failing decodes to the same change.
 */
#ifndef GW_MAIL_CHANGE_H
#define GW_MAIL_CHANGE_H

#include "base/arena.h"
#include "base/buf.h"
#include "mail/msgid.h"

/* As many as an envelope has recipients at most. */
enum { CHANGE_RCPT_MAX = 50000 };

enum outcome {
	OUTCOME_NONE,      /* not tried yet, or tried and unknown */
	OUTCOME_DELIVERED, /* the next host or the mailbox took it */
	OUTCOME_DEFERRED,  /* temporary: try again at "due" */
	OUTCOME_FAILED,    /* permanent */
	OUTCOME_EXPIRED,   /* temporary for too long */
	OUTCOME_DROPPED,   /* made to vanish by a rule or an operator */
	OUTCOME_MAYBE,     /* the content was sent and no reply came: nobody knows */
	OUTCOME_HELD,      /* set aside: not tried again until it is released */
	OUTCOME_UNTOLD,    /* permanent, and its sender will hear of it in a summary at "due" */
	OUTCOME_EXPANDED,  /* others take its place: those of the message that ends it */
	OUTCOME_MAX = OUTCOME_EXPANDED,
};

static inline bool outcome_final(enum outcome o)
{
	return o == OUTCOME_DELIVERED || o == OUTCOME_FAILED || o == OUTCOME_EXPIRED ||
	       o == OUTCOME_DROPPED || o == OUTCOME_EXPANDED;
}

/* To be tried, now or later. */
static inline bool outcome_open(enum outcome o)
{
	return !outcome_final(o) && o != OUTCOME_HELD && o != OUTCOME_UNTOLD;
}

struct change_rcpt {
	uint32_t index;    /* of the recipient in the envelope */
	uint32_t number;   /* change number of this recipient, counts up */
	uint32_t attempts; /* made so far */
	enum outcome outcome;
	int64_t due;       /* microseconds, for OUTCOME_DEFERRED; for OUTCOME_MAYBE: since when */
	uint16_t code;     /* SMTP reply code, 0 if there was no reply */
	uint8_t esc[3];    /* enhanced code, {0,0,0} if none */
	struct span host;  /* the remote host (and address) that said so, may be empty */
	struct span reply; /* its words, or ours */
	struct span tls;   /* how the channel was protected (auth/tlspolicy.h), or empty */
	struct span vmta;  /* what it left from, or empty */
	struct span rule;  /* where the statement stands that made this of the reply, or empty */
	bool warned;       /* its sender was told that it is late; stays so */
};

/*
 * The content was sent and no reply came, and this is what was made of it: deferred (it is sent
 * again) or failed (at-most-once mail). Told by the codes, so that it can be told of what is
 * stored: no reply code, and x.4.2 (RFC 3463: the connection was broken).
 */
static inline bool change_unsure(const struct change_rcpt *r)
{
	return r->code == 0 && r->esc[0] != 2 && r->esc[1] == 4 && r->esc[2] == 2;
}

/*
 * Held by a limit on what comes in, until that has room again: told by the codes, so that it can be
 * told of what is stored. Nobody else holds with X.7.28 (RFC 3463 registry: mail flood detected),
 * and receivers may not.
 */
static inline bool change_by_limit(enum outcome o, uint16_t code, const uint8_t esc[3])
{
	return o == OUTCOME_HELD && code == 0 && esc[0] == 4 && esc[1] == 7 && esc[2] == 28;
}

struct change {
	struct msgid id;
	int64_t when; /* wall-clock microseconds */
	struct change_rcpt *rcpt;
	size_t n_rcpt;
	struct span counted; /* of a release: whom limits count it for (flow/broker_limits_log.c),
				at `when`; or empty */
};

/* Appends the stored form; more recipients or greater values than may be: buf_failed(). */
void change_encode(const struct change *c, struct buf *out);
/*
 * Spans point into the input, the array into the arena. 0, GW_EFORMAT,
 * GW_EVERSION (not our version), GW_EFULL (arena).
 */
int change_decode(struct change *c, struct span in, struct arena *a) gw_checked;

/*
 * Does a new state replace an old one? Finished is never undone and replaces what is
 * not, whatever the numbers; else the higher number wins.
 */
bool change_wins(enum outcome old, uint32_t old_number, enum outcome new_, uint32_t new_number);

#endif
