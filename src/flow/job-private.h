/*
 * Jobs: tasks under way, each on a connection of a worker. How one begins and is fed with content,
 * what becomes of its recipients, and what is known when the worker dies first.
 */
#ifndef GW_FLOW_JOB_PRIVATE_H
#define GW_FLOW_JOB_PRIVATE_H

#include "flow/task-private.h"

enum {
	BODY_WINDOW = 256 << 10, /* content a worker takes without having asked */
	UNSURE_TEXT = 400,       /* what is said of a message that may have been delivered */
};

struct job {
	uint64_t number;
	struct task *task;
	struct queued *msg;
	struct conn *conn;
	unsigned worker, appends;
	uint64_t sent, credit;
	int64_t started;
	bool refused;   /* the host does not want more of us now */
	bool soon;      /* but it has others of ours: it is tried again soon */
	bool finished;  /* the result is in; waiting for its records to be durable */
	bool adopted;   /* came by HOLDING: no content is to be sent */
	bool expanded;  /* its recipient's end is written, with the message that takes its place */
	bool poison;    /* its delivery crashed, and not for the first time: to be held */
	bool dsn;       /* the host was told what its sender wants to hear */
	bool time;      /* the host keeps the time it is to be delivered in */
	bool once;      /* at-most-once mail: asks before the dot ... */
	bool asked, go; /* ... has asked (PAST_DOT), and may send it (that is durable) */
};

struct worker {
	bool up, named, blocked;
	enum broker_worker_kind kind;
	size_t conns;
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
		char key[WAY_MARK_MAX];
		int64_t when;
		unsigned kills;
	} site[BLAME_SITES_MAX];
	size_t n_site;
};

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
void job_start(struct broker *b, struct task *t, struct conn *c, int64_t now);
void job_send_body(struct broker *b, struct job *j);
void job_confirm(struct broker *b, struct job *j);
/* The worker is gone or gave the job back: its recipients are due again. */
void job_lost(struct broker *b, struct job *j, int64_t now);

/* A result that makes sense. */
void job_take_result(
    struct broker *b, struct job *j, bool site_is_down, const struct change *c, int64_t now);

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
void blame_way_works(struct broker *b, struct way *w);
void blame_way_wakes(struct way *w);
/* A site under suspicion tries the newest first, and those that ended no worker: what stands at
 * the front came together, and may be more of the same. */
struct task *blame_next_task(const struct site *s);
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

#endif
