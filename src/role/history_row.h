/*
 * How a row of the history holds what happened: the change of one record as a few octets, and the
 * recipients of a message as one text. Texts that come again and again (hosts, refusals) are
 * numbers; whoever encodes says which, whoever decodes gives them back. Pure: no database here.
 *
 * The database is ours alone, but it may be damaged, or somebody's else: decoding is checked.
 */
#ifndef GW_ROLE_HISTORY_ROW_H
#define GW_ROLE_HISTORY_ROW_H

#include "base/cursor.h"
#include "mail/change.h"

/* What kind of record it was; numbers in the database. */
enum row_kind {
	ROW_CHANGE,   /* an attempt, or an operator's drop */
	ROW_HELD,     /* from the start, by a rule of the recipient */
	ROW_RELEASED, /* by an operator */
	ROW_PAST_DOT, /* about to get its dot, at most once */
	ROW_COPY,     /* the state that a copy carries, whose message was not known */
	ROW_KIND_MAX = ROW_COPY,
};

/* A text by its number. */
struct row_texts {
	/* The number of a text that is worth one; false: it stands in the row. */
	bool (*number)(void *arg, struct span text, uint32_t *number);
	/* The text of a number: borrowed until the next call; empty if it is not known. */
	struct span (*text)(void *arg, uint32_t number);
	void *arg;
};

struct row_event {
	enum row_kind kind;
	int64_t when;         /* microseconds */
	bool reported;        /* a report went to the sender: */
	struct msgid report;  /* its id */
	struct change change; /* its id and "when" are not kept in the row */
};

/* accepted: of the message, which the times are counted from. */
void row_encode(
    const struct row_event *e, int64_t accepted, const struct row_texts *t, struct buf *out);
/* Texts are copied into the arena. 0, GW_EFORMAT, GW_EFULL. */
int row_decode(struct row_event *e, struct span in, int64_t accepted, const struct row_texts *t,
    struct arena *a) gw_checked;

/* Recipients, one after the other. */
void row_put_rcpt(struct buf *out, struct span addr);
/* 1: the next; 0: the end; GW_EFORMAT. */
int row_get_rcpt(struct cursor *c, struct span *addr) gw_checked;

#endif
