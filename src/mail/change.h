/*
 * A change: what became of some recipients of one message. Senders report it,
 * the log stores it (RESULT, DEFERRED, or inside the bounce that ends the
 * recipients), recovery replays it. Merging is idempotent and does not depend
 * on the order of reading: a finished recipient is never undone, otherwise the
 * higher number wins.
 *
 * Stored as a version octet and tagged fields, like the envelope. What encodes
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
	OUTCOME_MAX = OUTCOME_HELD,
};

static inline bool outcome_final(enum outcome o)
{
	return o == OUTCOME_DELIVERED || o == OUTCOME_FAILED || o == OUTCOME_EXPIRED ||
	       o == OUTCOME_DROPPED;
}

/* To be tried, now or later. */
static inline bool outcome_open(enum outcome o)
{
	return !outcome_final(o) && o != OUTCOME_HELD;
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

struct change {
	struct msgid id;
	int64_t when; /* wall-clock microseconds */
	struct change_rcpt *rcpt;
	size_t n_rcpt;
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
