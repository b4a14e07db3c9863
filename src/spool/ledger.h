/*
 * What became of the messages in a run of records, by the rules of the queue's
 * own recovery: the first MESSAGE of an id counts, a copy of it moves it (with the state it
 * brings), a change counts for messages
 * that stand before it in the log, and a finished recipient is never undone
 * (change_wins). The index of a segment is made with it, and the tools read a
 * whole log with it.
 *
 * Give the records in the order of the log. Messages live as long as the ledger.
 * Memory: about 150 octets a message and 48 a recipient that is not finished.
 */
#ifndef GW_SPOOL_LEDGER_H
#define GW_SPOOL_LEDGER_H

#include "base/map.h"
#include "mail/change.h"
#include "mail/envelope.h"
#include "spool/store.h"

struct ledger_rcpt {
	enum outcome outcome;
	uint32_t number;
	struct extent said; /* the change that says so; length 0: none */
};

struct ledger_message {
	struct msgid id, nonce;
	int64_t accepted;
	struct extent meta_at, body_at;
	size_t n_rcpt, n_open;
	struct ledger_rcpt *rcpt; /* NULL when all are finished and `keep_finished` is not set */
	struct part *part;        /* pieces of the content in other records; likewise */
	size_t n_part;
	bool copied;      /* a copy was met: the original may be in the log, too */
	bool content_bad; /* the tools': the body is damaged */
};

struct ledger {
	struct map ids;
	struct ledger_message **message; /* in the order of the log */
	size_t n, cap;
	bool keep_finished;
	struct arena scratch;
};

enum ledger_kind {
	LEDGER_OTHER,   /* no message, no change */
	LEDGER_STRANGE, /* a MESSAGE or a change that makes no sense: the queue sets it aside */
	LEDGER_MESSAGE,
	LEDGER_CHANGE,
};

struct ledger_entry {
	enum ledger_kind kind;
	struct ledger_message *message; /* MESSAGE: the first of this id */
	bool ends;                      /* it ends recipients of `about` */
	struct msgid about;             /* CHANGE, or a MESSAGE with ends */
	struct extent ends_at; /* where that change is stored; its checksum is not filled in */
	struct span change;    /* in the meta that was given */
};

void ledger_init(struct ledger *l, uint64_t seed);
void ledger_fini(struct ledger *l);
/* One record, with its meta in memory. *out may be NULL. */
void ledger_add(struct ledger *l, const struct store_record *r, struct ledger_entry *out);
struct ledger_message *ledger_find(const struct ledger *l, const struct msgid *id);
/* All its recipients are finished. False for NULL. */
bool ledger_finished(const struct ledger_message *m) gw_checked;

#endif
