/*
 * Master: starts the processes, keeps what they need over their deaths, connects them anew,
 * ends them in order. It holds no policy about mail and reads nothing from its children but
 * the type and the eight octets of READY and SWITCHED, why one refuses a configuration, that an
 * operator wants a reload (control), and of a dead one its blotter. Private to master*.c.
 */
#ifndef GW_ROLE_MASTER_H
#define GW_ROLE_MASTER_H

#include "role/child.h"
#include "role/deny.h"
#include "role/listeners.h"
#include "role/master_files.h"
#include "role/master_reload.h"
#include "role/master_watch.h"
#include "role/role.h"

struct master;

/* What a process was told of the configuration that comes. */
enum slot_reload {
	SLOT_APART,    /* nothing: none comes, or it starts with it */
	SLOT_ASKED,    /* PREPARE */
	SLOT_AGREED,   /* said READY */
	SLOT_TOLD,     /* SWITCH */
	SLOT_SWITCHED, /* has it, or will start with it */
	SLOT_AWAITED,  /* the same, and it was told to end for that: until the next one is there */
};

/* A place for a process: it keeps its role, index, sockets and counters over restarts. */
struct slot {
	struct master *master;
	size_t number;
	enum role role;
	unsigned index;
	bool running, ready, told_to_stop;
	bool again; /* it was told to stop to be started with another configuration */
	enum slot_reload reload;
	uint64_t generation;     /* of the configuration it goes by, as it said; 0: nothing yet */
	struct timer impatience; /* with one that is to be started again */
	struct boot boot;        /* of the process that runs or starts */
	struct ipc *ipc;
	struct child child;
	int64_t started; /* loop_now() */
	unsigned restarts;
	unsigned failures; /* in a row: paces the next start */
	/* Deaths of which it is known what they were about, in the minute since then. */
	unsigned explained;
	int64_t explained_since;
	struct blotter *blotter;
	struct timer restart;
};

/* A record (place) or a message (id) that was in hand when a queue crashed. */
struct suspect {
	uint64_t segment, offset;
	struct msgid id;
	unsigned deaths;
};

/* Who ends first. */
enum stop_phase { STOP_NOT, STOP_INTAKE, STOP_WORKERS, STOP_QUEUE, STOP_DONE };

struct master {
	struct loop *loop;
	struct config *config;
	struct master_options options;
	const struct config *first; /* of the start: what no reload changes */
	struct bundle_file bundle;
	struct reloading reload;
	bool is_root;
	unsigned workers;
	struct listeners listeners;
	struct pages metrics;
	struct pages tally; /* of the receivers, by index */
	uint64_t tally_seed;
	struct metric_page *own_page;
	struct sandbox_filters *filters;
	struct file_watch files;
	int spool_dir, control_fd;
	struct slot slot[BOOT_SLOTS_MAX];
	size_t n_slot;
	bool served; /* all were ready once */
	int status;
	enum stop_phase phase;
	struct timer patience; /* of the phase */
	struct signal_watch sigterm, sigint, sighup;
	int64_t started_at; /* clock_now() */
	struct deny_table deny;
	struct suspect record[BOOT_ASIDE_MAX];
	size_t n_record;
	struct slot *feeder; /* whose frame the queue had in hand when it crashed last */
};

/* ---- master_blame.c ---- */

/* Its process ended so: reads its blotter, logs what it had in hand, tells those who can keep it
 * from happening again. True: it is known what it was, and that is being isolated. */
bool master_blame(struct slot *s, int status) gw_checked;
/* What a new process is to know of earlier crashes: in its boot data, and by its channel. */
void master_blame_boot(const struct slot *s, struct boot *b);
void master_blame_tell(struct slot *s);

/* ---- master_slot.c ---- */

/* Starts the process of this slot and connects it to those that run. */
void slot_start(struct slot *s);
/* Says STOP, once. */
void slot_stop(struct slot *s);
/* At once. */
void slot_kill(struct slot *s);
/* Ends it with what it has in hand, and starts it again. */
void slot_start_again(struct slot *s);

/* ---- master_wires.c ---- */

/* Are there descriptors for it? */
bool wires_possible(const struct slot *s) gw_checked;
/* To all that run: one end into its boot data, the other sent to them. False: for want of means. */
bool wires_connect(struct slot *s) gw_checked;
/* All files of a configuration that its role uses; and one that has changed. */
void wires_files(struct slot *s, const struct file_watch *w);
void wires_file(struct slot *s, const struct file_watch *w, const struct watched_file *f);
/* master_dovecot.c: connects a socket of Dovecot's for the vault, if the configuration names it. */
void wires_dovecot(struct slot *s, struct span wanted);

/* ---- master.c, called by slots and reloads ---- */

/* The group of Unix sockets; NULL: ours. *gid has room for it. */
const unsigned *master_group(const struct master *m, unsigned *gid) gw_checked;
void master_log_config(const struct master *m, int64_t took);
/* A file of the configuration in force has changed. */
void master_file_changed(void *master, const struct watched_file *f);

void master_ready(struct master *m, struct slot *s);
/* The process is gone (and will be started again unless we are ending). */
void master_lost(struct master *m, struct slot *s);
void master_tell_roles(struct master *m);
void master_stop(struct master *m, int status);

#endif
