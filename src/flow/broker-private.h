/*
 * What the files of the broker share: messages in the queue, tasks, sites,
 * connections, jobs, transactions and appends, and who owns them.
 *
 *   broker -- map ids --> queued (a message) -- owns --> recipients, tasks
 *   task: the recipients of one message that go to one site together; it is waiting
 *         (in the heap, by due time), ready (in its site's list) or active (has a job)
 *   site: a destination with its limits; owns its connections
 *   job:  a task under way on a connection of a worker
 *   append: a record on its way to the disk, with what is to happen then
 *
 * A message goes away when no recipient is open, no append concerns it and no job runs.
 */
#ifndef GW_FLOW_BROKER_PRIVATE_H
#define GW_FLOW_BROKER_PRIVATE_H

#include "base/heap.h"
#include "base/map.h"
#include "flow/broker.h"
#include "flow/counters.h"
#include "flow/parked.h"
#include "flow/route.h"
#include "flow/sched.h"

#include <sys/queue.h>

enum {
	BODY_CHUNK = 64 << 10,    /* one BODY frame at most */
	BODY_WINDOW = 256 << 10,  /* content a worker takes without having asked */
	PART_WINDOW = 1 << 20,    /* content a receiver sends without having been granted */
	TASK_RCPT_MAX = 100,      /* recipients of one transaction (RFC 5321 section 4.5.3.1.8) */
	TXN_MAX = 4096,           /* open transactions with parts, per receiver */
	HEAD_COPY_MAX = 64 << 10, /* of the original's header in a report */
	ENVELOPE_ARENA = 32 << 20,
	UNSURE_TEXT = 400, /* what is said of a message that may have been delivered */
};

/* Content in memory, counted. */
struct blob {
	uint32_t refs;
	size_t n;
	uint8_t bytes[];
};

struct queued_rcpt {
	struct span addr, orcpt; /* in the message's own memory */
	uint8_t notify;
	enum outcome outcome;
	uint32_t number, attempts;
	int64_t due;
	uint16_t code;
	uint8_t esc[3];
	char said[96];               /* the last reply, cut; for the operator */
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
	uint64_t size;
	uint32_t head_length;
	enum body_type body_type;
	bool eight_bit, at_most_once, durable;
	bool by_account;        /* kept back: its account is not active (broker_account.c) */
	struct record_place at; /* its record */
	uint64_t first;         /* the oldest segment it needs */
	uint64_t octets;        /* it takes in the log */
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

enum task_state { TASK_WAITING, TASK_READY, TASK_ACTIVE };

struct task {
	struct heap_node node;  /* waiting: due; ready: end of its life */
	TAILQ_ENTRY(task) link; /* in its site's ready list */
	TAILQ_ENTRY(task) of_msg;
	struct queued *msg;
	struct site *site;
	enum task_state state;
	size_t n_rcpt;
	struct job *job;
};

struct conn {
	TAILQ_ENTRY(conn) link;
	uint64_t number;
	unsigned worker;
	struct site *site;
	unsigned jobs; /* 0: idle; more than one only after HOLDING: one runs, others are done */
	uint32_t messages;
};

struct site {
	uint32_t magic;
	struct heap_node rest; /* suspended until */
	char key[SITE_KEY_MAX + 64];
	struct target target;
	const struct shape *shape;
	TAILQ_HEAD(ready_list, task) ready;
	TAILQ_HEAD(, conn) conns;
	size_t n_ready, n_waiting, n_active, n_conns;
	size_t n_parked;            /* recipients at rest */
	TAILQ_HEAD(, parked) crowd; /* messages that wait for room among the ready ones */
	TAILQ_ENTRY(site) hungry;   /* among those that have room again */
	bool is_hungry;
	unsigned failures; /* of the site itself, in a row */
	int64_t rest_until;
	bool
	    suspected; /* a worker died on the way there and nothing arrived since: one at a time */
	bool paused;   /* rests for that reason */
	char said[160]; /* the last temporary or permanent reply */
	size_t row;     /* while a summary is made */
};

struct job {
	uint64_t number;
	struct task *task;
	struct queued *msg;
	struct conn *conn;
	unsigned worker, appends;
	uint64_t sent, credit;
	bool finished;  /* the result is in; waiting for its records to be durable */
	bool adopted;   /* came by HOLDING: no content is to be sent */
	bool poison;    /* its delivery crashed, and not for the first time: to be held */
	bool once;      /* at-most-once mail: asks before the dot ... */
	bool asked, go; /* ... has asked (PAST_DOT), and may send it (that is durable) */
};

struct txn {
	uint64_t number;
	unsigned receiver, pending; /* parts on their way to the disk */
	bool dead, failed, committing;
	int status; /* why it failed */
	struct part *part;
	size_t n_part, cap;
	uint64_t octets;
	/* the COMMIT, when it came before the last part was durable */
	struct append *commit;
	uint8_t key[sizeof(uint64_t) + sizeof(unsigned)];
};

enum append_kind {
	APPEND_PART,
	APPEND_ACCEPT,
	APPEND_CHANGE,
	APPEND_REPORT,
	APPEND_PAST_DOT,
	APPEND_COUNTERS,
	APPEND_COPY_PART,
	APPEND_COPY,
};

struct append {
	TAILQ_ENTRY(append) link; /* among those to be tried again */
	TAILQ_ENTRY(append) all;
	enum append_kind kind;
	enum broker_record record;
	struct msgid id;
	struct buf meta;
	struct blob *blob;
	struct span body[BROKER_APPEND_SPANS];
	struct queued *msg; /* ACCEPT, REPORT: the message it stores */
	struct queued
	    *about;          /* CHANGE, REPORT, PAST_DOT: the message whose recipients it changes */
	struct job *job;     /* CHANGE, REPORT: to be confirmed when all is durable */
	struct txn *txn;     /* PART */
	int receiver;        /* ACCEPT: -1 when it is gone */
	uint64_t number;     /* ACCEPT: its transaction; PAST_DOT: its job */
	struct asked *asked; /* CHANGE: an operator waits, or NULL */
	struct copy *copy;   /* COPY, COPY_PART */
	size_t index;        /* COPY_PART: which */
	bool held;           /* ACCEPT: some of its recipients are held from the start */
};

/* An operator is answered when all records of the command are durable. */
struct asked {
	unsigned asker;
	uint64_t request;
	size_t pending, dropped;
	bool release; /* else they were dropped */
};

/* What is known of a death: of a worker's slot, the jobs it had and what master said; of sites, how
 * many messages ended a worker on their way there since something arrived. */
enum { BLAME_SITES_MAX = 64 };
struct blame {
	struct blame_worker {
		struct lost_job **lost;
		size_t n_lost, cap_lost;
		bool is_said;
		struct broker_crash said;
	} worker[BROKER_WORKERS_MAX];
	struct blame_site {
		char key[SITE_KEY_MAX + 64];
		int64_t when;
		unsigned kills;
	} site[BLAME_SITES_MAX];
	size_t n_site;
};

/* COMMITs that were in the log, to be asked for: sorted when recovery is over. */
struct nonce {
	struct msgid id;
	int64_t accepted;
};
struct nonces {
	struct nonce *v;
	size_t n, cap;
	bool sorted;
};

/* Copying forward: which segment is being emptied, and where the search for its messages is. */
struct compaction {
	uint64_t segment; /* 0: none */
	struct pool_walk at;
	size_t under_way;
	uint64_t before; /* messages copied when this walk began */
	TAILQ_HEAD(, copy) copies;
	uint64_t budget; /* octets for now */
	uint64_t stuck;  /* a segment that could not be emptied */
	int64_t stuck_until;
};

/* An operator's command that goes over all messages at rest, a part at a time. */
struct sweep {
	struct asked *asked; /* NULL: none */
	struct pool_walk at;
};

struct worker {
	bool up, named, blocked;
	enum broker_worker_kind kind;
	size_t conns;
};

struct effect_slot {
	struct broker_effect e;
	struct blob *blob; /* released when the effect was carried out */
	void *memory;      /* freed likewise */
	struct effect_slot *next;
};

struct broker {
	uint32_t magic;
	const struct config *config;
	struct broker_log log;
	struct dice dice;
	uint64_t next_number;
	size_t memory, memory_max, ready_max;
	struct map ids, sites, jobs, conns, txns;
	struct nonces nonces;
	TAILQ_HEAD(queued_list, queued) messages; /* those in `ids`: something is under way */
	struct parking parking;                   /* all others */
	struct heap due, resting;
	TAILQ_HEAD(, site) hungry;
	struct map segments; /* what living messages need, see broker_segment.c */
	uint64_t live, copied;
	struct compaction compaction;
	struct sweep sweep;
	int64_t now; /* of the last call that brought the time along */
	struct worker worker[BROKER_WORKERS_MAX];
	bool recovering, frozen, intake, may_start, stopping;
	size_t n_rcpt, n_active, n_conns, n_held;
	TAILQ_HEAD(, append) appends; /* all that are not durable yet */
	TAILQ_HEAD(, append) again;   /* refused for lack of space: tried again */
	int64_t again_at, forget_nonces_at;
	int64_t latest,
	    resumed;        /* of the log: its latest time, the end of a silence (sched_born) */
	int64_t wall_ahead; /* of "now": somebody set the wall clock since the program started */
	bool had_past_dot;  /* recovery met one */
	/* Messages that may be past their dot, until all workers named theirs. */
	struct msgid *doubt;
	size_t n_doubt;
	struct counters counters;
	int64_t counters_every, counters_due;
	uint64_t counters_segment; /* of their newest record, which is held; 0: there is none */
	bool counters_ahead;       /* of that record */
	struct effect_slot *first, **last, *shown;
	struct arena scratch, reading;
	int read_error;         /* of the last message that could not be read back */
	unsigned read_failures; /* in a row */
	struct blame blame;
	const struct accounts *accounts; /* NULL: not told yet */
	void (*hand)(const struct msgid *id);
};

enum {
	BROKER_MAGIC = GW_MAGIC(0x62, 0x72, 0x6b, 0x31),
	QUEUED_MAGIC = GW_MAGIC(0x71, 0x6d, 0x73, 0x31),
	SITE_MAGIC = GW_MAGIC(0x73, 0x69, 0x74, 0x31),
};

/* broker.c */
struct broker_effect *effect_add(struct broker *b, enum broker_effect_type type);
void effect_hold_blob(struct broker *b, struct blob *blob); /* for the effect added last */
void effect_own(struct broker *b, void *memory);
struct blob *blob_new(struct broker *b, size_t n);
void blob_drop(struct broker *b, struct blob **blob);
struct append *append_new(
    struct broker *b, enum append_kind kind, enum broker_record record, const struct msgid *id);
/* A change of some recipients, written: RESULT or DEFERRED. j: is confirmed then, or NULL. */
void append_change(struct broker *b, struct queued *m, struct job *j, const struct change *c);
/* Asks for it to be written; urgent: somebody waits for the flush. */
void append_send(struct broker *b, struct append *a, bool urgent);
void append_free(struct broker *b, struct append **a);

void effect_forget_all(struct broker *b);
void nonces_forget(struct broker *b);
/* broker_recover.c: was a COMMIT with this nonce in the log? */
bool nonce_known(struct broker *b, const struct msgid *nonce);

/* broker_account.c */
/* True: the account of its message keeps it back, and it was seen to: it waits, or is over. */
bool account_holds(struct broker *b, struct task *t, int64_t now);
/* Marks what is kept back in a view of a message at rest. */
void account_view(const struct parked *p, struct queued *m);

/* broker_action.c */
/* Due now, what waits of it; how many recipients. */
size_t retry_queued(struct broker *b, struct queued *m, int64_t now);
size_t retry_parked(struct broker *b, struct parked *p, int64_t now);

/* broker_message.c */
/* A message from an envelope that decoded; its memory is its own. Not yet in the map. */
struct queued *queued_new(const struct envelope *e);
void queued_insert(struct broker *b, struct queued *m);
void queued_forget_content(struct broker *b, struct queued *m);
/* Frees the message if nothing needs it any more. */
void queued_settle(struct broker *b, struct queued *m);
/* Frees a message that never became durable. */
void queued_discard(struct broker *b, struct queued *m);
/* Takes over a newer state of a recipient; true if it changed something. */
bool queued_apply(struct broker *b, struct queued *m, const struct change_rcpt *c);
/* From now on it lies there: its segments are held, those of its parts no longer. */
void queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body);
/* Has this recipient to be tried again? */
static inline bool queued_fileable(const struct queued_rcpt *r)
{
	return r->outcome == OUTCOME_NONE || r->outcome == OUTCOME_DEFERRED;
}

/* broker_held.c: recipients that a rule holds from the start. Is what the envelope says of them
 * what a receiver may say? */
bool held_allowed(struct broker *b, const struct envelope *e) gw_checked;
/* The message is durable: they are held from now on. */
void held_from_start(
    struct broker *b, struct append *a, const struct record_place *at, int64_t now);

/* broker_segment.c: what the living need of the log. */
void segment_hold(struct broker *b, uint64_t segment, uint64_t octets);
void segment_release(struct broker *b, uint64_t segment, uint64_t octets);
/* Of a message: the oldest segment it needs and that of its record. */
void segment_hold_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets);
void segment_release_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets);
uint64_t segment_live(const struct broker *b, uint64_t segment);

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

/* broker_crowd.c: what waits for room, or for its time. */
/* A new message: parks it if the sites it is for have enough to do. True: m is gone. */
bool queued_crowd(struct broker *b, struct queued *m);
void crowd_leave(struct parked *p);
bool site_crowded(const struct broker *b, const struct site *s);
/* Has it room for some of its crowd? Then they are read back in the next turn. */
void site_hungry(struct broker *b, struct site *s);
/* Those whose time has come, and those their site has room for: some at a time. */
void parked_wake(struct broker *b, int64_t now);
int64_t parked_deadline(const struct broker *b);

/* broker_copy.c */
void copy_part_done(struct broker *b, struct append *a, int status, const struct part *body);
void copy_done(struct broker *b, struct append *a, int status, const struct record_place *at,
    const struct part *body);
void copies_free(struct broker *b);

/* broker_action.c */
void asked_settle(struct broker *b, struct asked *asked);
/* A change that an operator waits for. */
void asked_append(struct broker *b, struct queued *m, enum broker_record record,
    const struct change *c, struct asked *asked);
void sweep_go_on(struct broker *b, int64_t now);

/* broker_query.c: problems as JSON (RFC 9457), and one message. */
int query_problem(
    struct buf *out, int status, const char *title, const char *detail, const char *hint);
int query_not_found(struct buf *out);
void query_put_message(const struct broker *b, const struct queued *m, struct buf *out);
void query_put_unreadable(const struct broker *b, const struct parked *p, struct buf *out);
size_t query_message_room(const struct queued *m);
const char *query_rcpt_state(const struct queued_rcpt *r);

/* broker_site.c */
struct site *site_get(struct broker *b, const struct routed *r);
void site_release(struct broker *b, struct site *s); /* frees it if empty */
void task_ready(struct broker *b, struct task *t);
void task_wait(struct broker *b, struct task *t, int64_t due);
void task_free(struct broker *b, struct task *t); /* its recipients are filed nowhere then */
/* Files the recipients that are open and in no task: by route, due at once or at their time. */
void queued_file(struct broker *b, struct queued *m, int64_t now);
void site_pump(struct broker *b, struct site *s, int64_t now);
void site_pump_all(struct broker *b, int64_t now);
void site_failed(struct broker *b, struct site *s, int64_t now);
void conn_idle(struct broker *b, struct conn *c);
void conn_free(struct broker *b, struct conn *c);

/* An empty waiting task beside this one: same message, same site. */
struct task *task_like(struct task *t);
/* A worker goes on with a job of the queue before us, on that connection. */
void job_adopt(struct broker *b, struct task *t, unsigned worker, uint64_t job, uint64_t conn);

struct conn *conn_by_number(struct broker *b, uint64_t number);

/* broker_settle.c */
/* What became of the recipients of a task: records, reports, schedule. j may be NULL (no worker).
 */
void task_settle(
    struct broker *b, struct task *t, struct job *j, const struct change *c, int64_t now);
/* The same outcome for every recipient of a task. */
void task_settle_all(struct broker *b, struct task *t, struct job *j, enum outcome o,
    const struct reply *r, int64_t now);

/* broker_job.c */
void job_resume(struct broker *b, struct task *t, struct conn *c, uint64_t number);
void job_start(struct broker *b, struct task *t, struct conn *c);
void job_send_body(struct broker *b, struct job *j);
void job_confirm(struct broker *b, struct job *j);
/* The worker is gone or gave the job back: its recipients are due again. */
void job_lost(struct broker *b, struct job *j, int64_t now);

/* broker_worker.c: takes the named recipients out of the tasks they are in, into one task of their
 * own, as far as no later job than this one has them. NULL: none is left. */
struct task *task_carve(
    struct broker *b, struct queued *m, uint64_t job, const uint32_t *rcpt, size_t n);

/* broker_blame.c */
/* A job is lost with its worker: until when its recipients wait for the verdict. */
int64_t blame_lost(struct broker *b, const struct job *j, int64_t now);
void blame_worker_up(struct broker *b, unsigned worker);
void blame_worker_down(struct broker *b, unsigned worker, int64_t now);
/* The result of a delivery that crashed too often. */
void blame_settle(
    struct broker *b, struct task *t, struct job *j, const struct change *c, int64_t now);
/* A dialogue with it came to its end: it is not the site. */
void blame_site_works(struct broker *b, struct site *s);
void blame_site_wakes(struct site *s);
/* A site under suspicion tries the newest first, and those that ended no worker: what stands at
 * the front came together, and may be more of the same. */
struct task *blame_next_task(const struct site *s);
/* Releases what is held of the message; how many recipients. */
size_t blame_release(struct broker *b, struct queued *m, struct asked *asked, int64_t now);
/* Says what is worked on now: a crash is blamed on it. */
void blame_hand(const struct broker *b, const struct msgid *id);
void blame_fini(struct broker *b);
/* broker_once.c: mail that may have been delivered, and at-most-once mail. */
bool once_wanted(const struct queued *m, const struct site *s);
/* What a worker did not know is decided: deferred or failed, in these words. */
void once_judge(const struct task *t, struct change_rcpt *c, char text[UNSURE_TEXT]);
/* Before a result is settled: what it cannot know is left to a worker that has not spoken yet. */
void once_set_aside(struct broker *b, struct task *t, const struct change *c, int64_t now);
void once_appended(struct broker *b, struct append *a, int status);
/* The worker of this active task died; true: its recipients are settled, and the task with them. */
bool once_lost(struct broker *b, struct task *t, bool past_dot, int64_t now);
/* A message that is open after recovery; then, when no worker can name it any more. */
void once_recovered(struct broker *b, struct parked *p);
void once_thaw(struct broker *b, int64_t now);

/* broker_counters.c: the counts of the days. */
void counted(struct broker *b, enum counter what, uint64_t n, int64_t now);
/* A recipient's new state; before: outcome and codes until then. */
void counted_change(
    struct broker *b, const struct change_rcpt *before, const struct change_rcpt *c, int64_t when);
void counters_tick(struct broker *b, int64_t now);
void counters_appended(
    struct broker *b, struct append *a, int status, const struct record_place *at, int64_t now);
/* Any other record was written, or was not. */
void counters_seen(struct broker *b, int status, const struct record_place *at, int64_t now);
int counters_recover(struct broker *b, struct span meta, const struct record_place *at) gw_checked;
void counters_recovered(struct broker *b, int64_t now);

/* broker_txn.c: an append of APPEND_PART was carried out. */
void txn_part_done(struct broker *b, struct append *a, int status, const struct part *at);

/* broker_report.c: the message to the sender about recipients that failed. */
void report_failed(
    struct broker *b, struct queued *m, const struct change *c, struct job *j, int64_t now);

#endif
