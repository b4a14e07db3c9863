/*
 * Messages that the queue makes from others: reports, summaries, mail that a user forwards. Who
 * gets them, and the one record that has the new message and what it changes of the other.
 */
#ifndef GW_FLOW_DERIVE_PRIVATE_H
#define GW_FLOW_DERIVE_PRIVATE_H

#include "flow/broker-private.h"

/* broker_derive.c: messages that are made from others: reports, forwarded mail. */
struct derived {
	/* Sender, recipients, origin, class; id as of derive_begin(). What follows from the content
	   is filled in: size, length of the header, pieces, body_type, ends. */
	struct envelope envelope;
	struct span front, back; /* octets before and behind the content */
	size_t head_length;      /* of the header in front; 0: front is the first of the other's */
	bool content;            /* that of the other message stands between them */
	struct span ends;        /* an encoded change of the other's recipients, or empty */
};
/* An id of our own making. */
struct msgid own_id(struct broker *b, int64_t now) gw_checked;
/* A new message with that id is to be made from `m` (NULL: from none): m stays until it is durable,
 * and the job is not confirmed before. */
struct append *derive_begin(
    struct broker *b, struct queued *m, struct job *j, const struct msgid *id) gw_checked;
/* It is written: message and change are one record. GW_EIO: the content of the other cannot be read
 * back; nothing was done. */
int derive_write(struct broker *b, struct append *a, const struct derived *d) gw_checked;
/* Nothing comes of it. */
void derive_cancel(struct broker *b, struct append **a);

/* broker_resolve.c: who gets mail that the queue itself sends to an address, in an arena. */
struct resolved_to {
	struct rcpt *rcpt;
	size_t n;
	bool later; /* the tables are not there yet */
};
/* Mail from `from` (empty: a report) to addr: those that it stands for by the tables of now, or the
 * address itself where they have no better answer. */
struct resolved_to resolve_to(
    struct broker *b, struct span addr, struct span from, struct arena *a);
/* The same for where a user forwards his mail: n == 0: nobody takes it there. */
struct resolved_to resolve_forward(
    struct broker *b, struct span addr, struct span from, struct arena *a);

#endif
