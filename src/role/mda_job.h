/*
 * One delivery as the mda sees it: content that arrives under credit, the child that takes it,
 * the result. Owned by mda.c.
 */
#ifndef GW_ROLE_MDA_JOB_H
#define GW_ROLE_MDA_JOB_H

#include "role/child.h"
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
	/* More content may come. */
	void (*credit)(void *arg, struct mda_job *j, uint32_t octets);
	/* The child is gone and the result is there. */
	void (*done)(void *arg, struct mda_job *j);
	void *arg;
};

struct mda_job {
	TAILQ_ENTRY(mda_job) link;
	const struct mda_place *place;
	enum mda_job_state state;
	uint64_t number, conn, size;
	struct msgid id;
	uint32_t index, attempts;
	const char *template; /* the configuration's */
	char subaddress;
	struct span from, rcpt;
	bool fresh;
	bool whole;      /* all content is here */
	bool forgotten;  /* the queue does not know it any more */
	struct buf body; /* chunks for the child, as maildir.h frames them */
	uint32_t credit, received;
	int to_child, from_child;
	struct watch watch;
	struct child child;
	struct maildir_result result;
	bool crashed; /* its child ended by a fault of its own */
	int64_t when; /* wall clock, of the result */
	struct arena mem;
};

struct mda_job *mda_job_new(const struct mda_place *place, const struct proto_job *p,
    const char *template, char subaddress, bool fresh) gw_checked;
void mda_job_free(struct mda_job **j);
/* Content: 0; GW_EFULL: more than there was credit for. */
int mda_job_body(struct mda_job *j, struct span content, bool last) gw_checked;
/* The content cannot be completed: nothing of it is to be seen. */
void mda_job_cut(struct mda_job *j);
/* Starts its child. */
void mda_job_start(struct mda_job *j);
/* The payload of the RESULT frame. */
void mda_job_result(const struct mda_job *j, struct buf *out);

#endif
