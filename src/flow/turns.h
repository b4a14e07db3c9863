/*
 * Who goes next among those that share connections and limits: classes by a fixed measure, in a
 * class the accounts one after the other, of an account its entries one after the other. A turn is
 * one message (one transaction at the most). Pure, and of one size per turn: neither the number of
 * accounts nor that of entries matters.
 *
 * What is promised, for whoever has something to send all the time:
 *
 *  - Of any 16 turns in a row, class high has at least 12, normal 3, bulk 1; what one of them does
 *    not use goes to the others, high before normal before bulk.
 *  - Before a message of class high at most one turn goes to a lower class: the turns that belong
 * to lower classes are never neighbours.
 *  - In a class no account has a second turn before every other account had one, whatever the
 * number of its entries; of an account, no entry before every other one of it.
 *
 * A class that is left out for now (turns_next) may lose turns that belong to it.
 *
 * Entries are embedded in their owners. The accounts are found by a map that many of these rings
 * share, so that a ring costs nothing while it is empty.
 */
#ifndef GW_FLOW_TURNS_H
#define GW_FLOW_TURNS_H

#include "base/map.h"
#include "mail/envelope.h"

#include <sys/queue.h>

enum {
	TURNS_ROUND = 16,
	TURNS_NORMAL_SHARE = 3,
	TURNS_BULK_SHARE = 1,
	TURNS_HIGH_SHARE = TURNS_ROUND - TURNS_NORMAL_SHARE - TURNS_BULK_SHARE,
	TURNS_ACCOUNT_MAX = 256, /* octets of an account's name that tell it from others */
	TURNS_ALL = (1 << PRIORITY_COUNT) - 1
};

struct turns_account;

/* All zero: in no ring. */
struct turn {
	TAILQ_ENTRY(turn) link;
	struct turns_account *account; /* NULL: in no ring */
};

struct turns {
	struct map *book;
	TAILQ_HEAD(turns_class, turns_account) class[PRIORITY_COUNT];
	unsigned at; /* in the round */
};

/* The book is borrowed for the ring's life. An empty ring needs no end. */
void turns_init(struct turns *t, struct map *book);

/* At the end of its account's row; an account that had nothing stands behind all others. */
void turns_join(struct turns *t, struct turn *e, enum priority class, struct span account);
/* No effect if it is in no ring. */
void turns_leave(struct turns *t, struct turn *e);
static inline bool turn_is_in(const struct turn *e)
{
	return e->account != NULL;
}

/* Whose turn it is among the classes of the mask (1 << class), or NULL: they have nothing. The
 * answer stays the same until turns_taken() or a change. */
struct turn *turns_next(const struct turns *t, unsigned classes) gw_checked;
/* It had its turn: it and its account stand at the end of their rows. Before it leaves. */
void turns_taken(struct turns *t, struct turn *e);

/* The classes that have something, as a mask. */
unsigned turns_classes(const struct turns *t) gw_checked;

#endif
