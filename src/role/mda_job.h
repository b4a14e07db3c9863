/*
 * One delivery as the mda sees it: content that arrives under credit, the child that takes it,
 * the result. Owned by mda.c.
 */
#ifndef GW_ROLE_MDA_JOB_H
#define GW_ROLE_MDA_JOB_H

#include "role/child.h"
#include "role/launcher.h"
#include "role/maildir.h"
#include "role/proto.h"

#include <sys/queue.h>

/* What the queue may send of a job without asking. */
enum { MDA_WINDOW = 256 << 10 };

enum mda_job_state { MDA_WAITING, MDA_RUNNING, MDA_DONE };

struct mda_job;

/* What all jobs share. */
struct mda_place {
	struct loop *loop;
	bool is_root, jail;
	const struct sandbox_filters *filters; /* for the child in its jail */
	unsigned uid, gid;                     /* of mailboxes below directories of root */
	struct launcher launcher;
	/* More content may come. */
	void (*credit)(void *arg, struct mda_job *j, uint32_t octets);
	/* At-most-once: all content is here; its end follows when the queue says so. */
	void (*ask_go)(void *arg, const struct mda_job *j);
	/* The child is gone and the result is there. */
	void (*done)(void *arg, struct mda_job *j);
	void *arg;
};

struct mda_job {
	TAILQ_ENTRY(mda_job) link;
	struct mda_place *place;
	enum mda_job_state state;
	uint64_t number, conn, size;
	struct msgid id;
	uint32_t index, attempts;
	struct config *config;       /* a reference of its own */
	const struct target *target; /* the configuration's */
	const struct domain *domain; /* of the recipient, or NULL: a route */
	struct span from, rcpt;
	bool fresh, binary;
	bool once;       /* at-most-once: its end waits for the queue's leave */
	bool asked;      /* for that */
	bool went;       /* and has it: a program may have begun its work */
	bool started;    /* there was a child */
	bool whole;      /* all content is here */
	bool forgotten;  /* the queue does not know it any more */
	struct buf body; /* chunks for the child, as maildir.h frames them */
	uint32_t credit, received;
	int to_child, from_child;
	struct watch watch;
	struct child child;
	struct maildir_result result;
	bool kept; /* the copy of who forwards his mail: his file is not read again */
	/* OUTCOME_EXPANDED: where it goes on to. */
	bool keep;
	struct span *forward;
	size_t n_forward;
	bool crashed; /* its child ended by a fault of its own */
	int64_t when; /* wall clock, of the result */
	struct arena mem;
};

struct mda_job *mda_job_new(struct mda_place *place, const struct proto_job *p,
    const struct target *target, const struct domain *domain, bool fresh) gw_checked;
void mda_job_free(struct mda_job **j);
/* Content: 0; GW_EFULL: more than there was credit for. */
int mda_job_body(struct mda_job *j, struct span content, bool last) gw_checked;
/* The queue's answer to ask_go: the end may be passed on, or must not. */
void mda_job_go(struct mda_job *j, bool go);
/* Its child at the launcher ended; status as from waitpid. */
void mda_job_ended(struct mda_job *j, int status);
/* The content cannot be completed: nothing of it is to be seen. */
void mda_job_cut(struct mda_job *j);
/* Starts its child. */
void mda_job_start(struct mda_job *j);
/* The payload of the RESULT frame. */
void mda_job_result(const struct mda_job *j, struct buf *out);

#endif
