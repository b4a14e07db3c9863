/*
 * Messages in the queue and their recipients: what the files of the broker know of one that is in
 * memory, and how it comes to rest (flow/parked.h) and back.
 *
 * A message goes away when no recipient is open, no append concerns it and no job runs. Its
 * addresses are in its own memory; its content is in the log, or for a while in a blob.
 */
#ifndef GW_FLOW_QUEUED_PRIVATE_H
#define GW_FLOW_QUEUED_PRIVATE_H

#include "flow/broker.h"
#include "flow/parked.h"
#include "flow/recipient.h"
#include "mail/change.h"

#include <sys/queue.h>

struct append;
struct blob;
struct site;
struct task;

struct queued_rcpt {
	struct span addr, orcpt; /* in the message's own memory */
	struct span from;        /* of its own; empty: the message's */
	uint8_t notify;
	bool warned; /* its sender was told that it is late */
	bool kept;   /* as in the envelope */
	enum outcome outcome;
	uint32_t number, attempts;
	int64_t due;
	int64_t not_before; /* waits for its release until then; 0: it does not */
	uint16_t code;
	uint8_t esc[3];
	uint8_t class;               /* what the reply means and one; 0: not judged */
	char said[96];               /* the last reply, cut; for the operator */
	char tls[32], vmta[32];      /* how it was reached then, cut */
	char rule[64];               /* the statement that decided what to make of it, cut */
	struct record_place said_at; /* the record it stands in, where it is not in memory */
	struct task *task;
	/* Of a view of a parked message: where it rests, and whether for want of room. */
	const struct site *site;
	bool crowded;
	bool by_account; /* kept back */
};

struct queued {
	uint32_t magic;
	TAILQ_ENTRY(queued) link; /* order of acceptance */
	struct msgid id;
	struct span from, envid, account;
	int64_t accepted;
	int64_t release; /* as in parked.h */
	uint64_t size;
	uint32_t head_length;
	enum body_type body_type;
	enum dsn_ret ret;
	enum priority priority;
	bool eight_bit, smtputf8, at_most_once, durable;
	struct handling handling;
	bool is_report;         /* one of our own: from nobody */
	bool by_account;        /* kept back: its account is not active (broker_account.c) */
	struct record_place at; /* its record */
	uint64_t first;         /* the oldest segment it needs */
	uint32_t octets;        /* it takes in the log, see parked_octets() */
	bool copying;           /* a copy of it is on its way to the disk */
	bool parts_held;        /* by its transaction, until its own record is durable */
	struct part body;       /* the MESSAGE record's body: head and rest */
	struct part *part;
	size_t n_part;
	struct blob *content; /* head and rest in memory, or NULL */
	struct queued_rcpt *rcpt;
	size_t n_rcpt, n_open;
	unsigned appends, tasks, jobs;
	uint8_t kills; /* workers it ended (broker_blame.c) */
	uint16_t lost; /* jobs whose workers died, until it is known who is to blame: stays awake */
	TAILQ_HEAD(task_list_head, task) task_list;
	uint8_t memory[]; /* addresses */
};

/* broker_message.c */
/* A message from an envelope that decoded; its memory is its own. Not yet in the map. */
struct queued *queued_new(const struct envelope *e);
/* It is kept until then, or a receiver said so in its envelope (broker_schedule.c). */
void queued_schedule(struct broker *b, struct queued *m, int64_t release);
/* From an envelope: on the clock of the broker, not absurdly late; 0: at once. */
int64_t release_of(const struct broker *b, const struct envelope *e) gw_checked;

/* When it begins to be late. */
static inline int64_t queued_born(const struct queued *m)
{
	return m->release > m->accepted ? m->release : m->accepted;
}

void queued_insert(struct broker *b, struct queued *m);
void queued_forget_content(struct broker *b, struct queued *m);
/* Frees the message if nothing needs it any more. */
void queued_settle(struct broker *b, struct queued *m);
/* Frees a message that never became durable. */
void queued_discard(struct broker *b, struct queued *m);

/* Takes over a newer state of a recipient; true if it changed something. */
bool queued_apply(struct broker *b, struct queued *m, const struct change_rcpt *c);
/* What was said of it last, and how it was reached. */
void queued_said(struct queued_rcpt *r, const struct change_rcpt *c);
/* From now on it lies there: its segments are held, those of its parts no longer. */
void queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body);
/* Has this recipient to be tried again? */
static inline bool queued_fileable(const struct queued_rcpt *r)
{
	return r->outcome == OUTCOME_NONE || r->outcome == OUTCOME_DEFERRED;
}

/* Where reports about a recipient go. Nothing answers what came from the null sender. */
static inline struct span queued_from(const struct queued *m, const struct queued_rcpt *r)
{
	return r->from.n > 0 && m->from.n > 0 ? r->from : m->from;
}

static inline bool held_by_limit(const struct queued_rcpt *r)
{
	return change_by_limit(r->outcome, r->code, r->esc);
}
bool parked_held_by_limit(const struct parked *p) gw_checked;

/* broker_held.c: recipients that a rule holds from the start. Is what the envelope says of them
 * what a receiver may say? */
bool held_allowed(struct broker *b, const struct envelope *e) gw_checked;
/* The message is durable: they are held from now on. */
void held_from_start(
    struct broker *b, struct append *a, const struct record_place *at, int64_t now);

/* broker_class.c: what replies mean */
/* Judges a result and counts it. 0: there is nothing to be judged; else the class and one. */
uint8_t class_judge(const struct broker *b, const struct change_rcpt *c) gw_checked;
/* The same of what is known of a recipient: of the cut reply, if nothing better is known. */
uint8_t class_of_rcpt(const struct broker *b, const struct queued_rcpt *r) gw_checked;
/* Of a change that is read back. */
uint8_t class_of_change(const struct broker *b, const struct change_rcpt *c) gw_checked;
/* Its word; "" for 0. */
const char *class_word(uint8_t class) gw_checked;

/* broker_account.c */
/* True: the account of its message keeps it back, and it was seen to: it waits, or is over. */
bool account_holds(struct broker *b, struct task *t, int64_t now);
/* Marks what is kept back in a view of a message at rest. */
void account_view(const struct parked *p, struct queued *m);

/* broker_deadline.c: DELIVERBY (RFC 2852). */
/* In memory its deadline is one of "now". */
void deadline_of_commit(struct envelope *e, int64_t now);
/* When it has to be looked at for the sake of its deadline; INT64_MAX: never. */
int64_t deadline_of_task(const struct task *t) gw_checked;
int64_t deadline_of_parked(const struct parked *p) gw_checked;
/* The deadline of this task has come, and was seen to. Mode R: its recipients have ended, and the
 * task with them. Mode N: their sender was told; t is as it was. */
enum deadline { DEADLINE_NOTHING, DEADLINE_TOLD, DEADLINE_OVER };
enum deadline deadline_meet(struct broker *b, struct task *t, int64_t now) gw_checked;
/* Is this held recipient to be told of, or to be ended, now? */
bool deadline_meets_held(
    const struct broker *b, const struct queued *m, const struct queued_rcpt *r, int64_t now);
/* Did a recipient end by it? */
bool deadline_said(const struct change_rcpt *c) gw_checked;
/* A time for the next attempt after the deadline gives way to a last one before it. */
int64_t deadline_next(const struct queued *m, int64_t due, int64_t now) gw_checked;

/* broker_parked.c: at rest, and back. */
/* Parks it if all its recipients wait (and nothing else concerns it). */
void queued_rest(struct broker *b, struct queued *m);
/* May it rest, but for its tasks? */
bool queued_at_rest(const struct broker *b, const struct queued *m);
/* Without a question: m is gone. */
struct parked *queued_put_to_rest(struct broker *b, struct queued *m);
/* The message itself, read back, or NULL: it cannot be read now and stays where it is. p is gone.
 */
struct queued *parked_revive(struct broker *b, struct parked *p, int64_t now);
/* The same, to be looked at only: in no list; free with queued_view_free. NULL: cannot be read. */
struct queued *parked_view(struct broker *b, const struct parked *p);
void queued_view_free(struct broker *b, struct queued **m);
/* The last words of its recipients, where they stand in the log only. */
void queued_load_said(struct broker *b, struct queued *m);
/* By id, read back if it is at rest. */
struct queued *queued_find(struct broker *b, const struct msgid *id, int64_t now);
bool message_known(const struct broker *b, const struct msgid *id);
void parked_schedule(struct broker *b, struct parked *p);
/* Takes over a newer state of a recipient, during recovery. */
void parked_apply(struct parked *p, const struct change_rcpt *c, const struct record_place *at);
uint32_t parked_ahead(const struct parked *p, uint64_t segment);
/* Its sites have one message more (or, by -1, less) that waits to be tried. */
void parked_count(struct parked *p, int by);

/* broker_retry.c */
/* Due now, what waits of it; how many recipients. */
size_t retry_queued(struct broker *b, struct queued *m, int64_t now);
size_t retry_parked(struct broker *b, struct parked *p, int64_t now);

#endif
