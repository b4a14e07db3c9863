/*
 * Reload, as master goes through it: what it keeps of one (struct reloading, in struct master),
 * what the other files of master call, and what its own four files share:
 *
 *   master_reload.c           the course: asking, switching in steps, what may come between
 *   master_reload_next.c      the configuration that comes: read, and opened what belongs to it
 *   master_reload_tell.c      the frames to the processes
 *   master_reload_operator.c  who wants it, what he is answered, and what goes back
 *
 * Private to master*.c. How a reload goes is said in master_reload.c.
 */
#ifndef GW_ROLE_MASTER_RELOAD_H
#define GW_ROLE_MASTER_RELOAD_H

#include "role/listeners.h"
#include "role/master_files.h"
#include "role/master_watch.h"
#include "role/proto_reload.h"
#include "role/role.h"

struct master;
struct slot;

/* Of what is said to the operator. */
enum { RELOAD_SAID_MAX = 48 << 10 };

enum reload_phase {
	RELOAD_IDLE,
	RELOAD_OWED,      /* somebody has not answered the one before yet */
	RELOAD_ASKING,    /* all are asked whether they can */
	RELOAD_SWITCHING, /* in steps: those mail goes to before those it comes from */
	RELOAD_SETTLING   /* in force; some are being started again with it */
};

/* The reload that is under way, and what may go back. */
struct reloading {
	enum reload_phase phase;
	unsigned step;
	/* ASKING: the one that comes, and what is open for it; SWITCHING: the one before. */
	struct config *config;
	struct bundle_file bundle;
	struct file_watch files;
	struct listeners listeners;
	struct buf said;      /* what there is to say of the files, for the operator */
	int64_t since, waits; /* microseconds for the answers */
	struct timer patience;
	bool asked; /* by an operator, who waits for an answer to this: */
	uint64_t request;
	int64_t confirm; /* microseconds in which it is to be confirmed; 0: it stays */
	bool back;       /* it is the one before: nobody confirmed the other */
	bool once_more;  /* SIGHUP came meanwhile */
	/* The last one that nobody doubts, while another one is in force for a time. */
	struct bundle_file kept;
	struct timer unconfirmed;
	int64_t goes_back; /* loop_now(); 0: it does not */
	bool back_waits;   /* it is time, and another one is under way */
};

/* ---- what master calls: master_reload.c, master_reload_operator.c ---- */

void reload_start(struct master *m);
void reload_end(struct master *m);
/* SIGHUP. */
void reload_hangup(struct master *m);
/* All processes were ready once. */
void reload_served(struct master *m);
/* A frame of a process that has been ready before; false: it is none of a reload. */
bool reload_answer(struct slot *s, struct ipc_frame *f) gw_checked;
/* This process is ready now, or has ended. */
void reload_ready(struct slot *s);
void reload_died(struct slot *s);

/* ---- master_restart.c: what a process cannot take behind the walls of its jail ---- */

/* Has it to be started again for this configuration? */
bool reload_restarts(
    enum role role, const struct config *old, const struct config *next) gw_checked;

/* ---- what the four share ---- */

/* In the loop's time. */
int64_t reload_now(const struct master *m) gw_checked;
/* Reads what is to come, and asks all for it. */
void reload_begin(struct master *m);
/* master_reload_next.c: the configuration and what is opened for it, into m->reload; false: said
 * there why not. */
bool reload_read(struct master *m) gw_checked;
/* It is closed and forgotten. */
void reload_forget_next(struct master *m);
/* master_reload_tell.c: one frame that has a generation only. */
void reload_say(struct slot *s, enum ipc_type type, uint64_t generation);
/* CONFIG to PREPARE, if it can be asked now. */
void reload_ask(struct slot *s);
/* To all that were told of that generation. */
void reload_tell_abandoned(struct master *m, uint64_t generation);
/* master_reload_operator.c: RELOAD of control's; the answer to one. */
void reload_wanted(struct master *m, const struct proto_reload *p);
void reload_tell_operator(
    struct master *m, uint64_t request, enum reload_status status, struct span text);
void reload_log_refused(const struct master *m, struct span why);
/* Another one is in force: has it to be confirmed? r->bundle is that of the one before. */
void reload_note_confirm(struct master *m);
/* A timer: nobody confirmed it. */
void reload_go_back(void *master);
/* One is over: what waited for that. */
void reload_next(struct master *m);

#endif
