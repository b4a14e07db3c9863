/*
 * The processes. Each role is one function, role_NAME(loop, boot): take the
 * configuration and the descriptors, enter the jail, register with the loop and
 * return; the caller runs the loop. With --one-process all roles share one loop over
 * the same socketpairs.
 *
 * Role files never include each other; what two of them must agree on is in
 * role/proto.h (payloads of IPC frames).
 */
#ifndef GW_ROLE_ROLE_H
#define GW_ROLE_ROLE_H

#include "base/metric.h"
#include "config/config.h"
#include "net/ipc.h"
#include "net/loop.h"
#include "role/blotter.h"
#include "role/proto_secret.h"
#include "role/reload.h"
#include "role/sandbox.h"
#include "role/tally.h"

enum { BOOT_PEERS_MAX = 2 * 16 + 8, BOOT_LISTEN_MAX = CONFIG_LISTEN_MAX, WORKERS_MAX = 16 };
/* Processes at most: smtpd and sender by number of processors, the others once, master. */
enum { BOOT_SLOTS_MAX = 2 * WORKERS_MAX + 7 };
enum { BOOT_ASIDE_MAX = 64 };

struct boot_peer {
	enum role role;
	unsigned index;
	int fd; /* the role owns it */
};

/* What master gives a new process. */
struct boot {
	enum role role;
	unsigned index;     /* among the processes of this role */
	int master_fd;      /* channel to master */
	struct span bundle; /* the configuration (mapped from the sealed memfd) */
	uint64_t generation;
	struct boot_peer peer[BOOT_PEERS_MAX];
	size_t n_peer;
	/* What of it no reload changes; borrowed from master. NULL: it is the first one. */
	const struct config *running;
	struct {
		int fd;                    /* listening, non-blocking; owned by master's table */
		uint32_t socket;           /* its number (LISTEN) */
		const struct listen *conf; /* set by boot_config */
		size_t conf_index;         /* in the configuration's listen list */
	} listen[BOOT_LISTEN_MAX];
	size_t n_listen;
	unsigned workers; /* processes that take mail */
	/* smtpd: the socket to the vault, vault: those to the receivers; owned by the role */
	struct {
		unsigned index;
		int fd;
	} signer[WORKERS_MAX];
	size_t n_signer;
	int spool_dir;               /* queue: directory descriptor, -1 elsewhere */
	int control_fd;              /* control: listening Unix socket, -1 elsewhere */
	struct metric_page *metrics; /* this process's page */
	/* control: the pages of all processes, read-only, to be added up */
	const struct metric_page *all_metrics[BOOT_SLOTS_MAX];
	size_t n_metrics;
	struct tally tally; /* smtpd: who is connected, here and to the others */
	/* queue: what ended two queues before it and is passed over: the record at this place, or
	 * (segment 0) the one with this message */
	struct {
		uint64_t segment, offset;
		struct msgid id;
	} aside[BOOT_ASIDE_MAX];
	size_t n_aside;
	struct blotter *blotter;               /* this process's page */
	const struct sandbox_filters *filters; /* of all jails */
	bool jail;                             /* false: one process, sanitizers */
	bool one_process;
	bool is_root;
};

int role_smtpd(struct loop *l, struct boot *b) gw_checked;
int role_queue(struct loop *l, struct boot *b) gw_checked;
int role_sender(struct loop *l, struct boot *b) gw_checked;
int role_mda(struct loop *l, struct boot *b) gw_checked;
int role_control(struct loop *l, struct boot *b) gw_checked;
int role_vault(struct loop *l, struct boot *b) gw_checked;
int role_resolver(struct loop *l, struct boot *b) gw_checked;
int role_history(struct loop *l, struct boot *b) gw_checked;

/* Master: starts everything described by the bundle and runs until told to stop. Returns the exit
 * status of the program. ready_fd: gets one byte when all listeners are served, or -1. */
struct master_options {
	bool one_process;
	bool jail;
	int ready_fd;
	const char *config_path; /* for reload; NULL: the bundle is all there is */
	/* For reload: reads and checks the files anew, as at the start, into `bundle`; what there
	 * is to say goes into `said`. False: it cannot be used. */
	bool (*load)(const char *path, struct buf *bundle, struct buf *said);
};
int master_run(struct span bundle, const struct master_options *o) gw_checked;

/* Shared by the roles: the configuration from the bundle (die if it does not parse: master checked
 * it), log set up as it says. */
struct config *boot_config(struct boot *b) gw_checked;

/*
 * The jail of this process as the configuration wants it. The strings are the configuration's. A
 * role does, in this order: boot_config(), open and load what it needs from outside,
 * boot_sandbox(), sandbox_confine(), start threads, sandbox_seal(), ipc_new() for its peers,
 * master_link_start(), and returns.
 */
void boot_sandbox(const struct boot *b, const struct config *c, struct sandbox *s);

/* What decides on the walls of a sender and of the mda: are there targets that have a path; and are
 * all directories of mailboxes of one configuration those of another? */
bool boot_sends_to_path(const struct config *c) gw_checked;
bool boot_trees_have(const struct config *old, const struct config *next) gw_checked;

/* The channel to master, with the frames every role treats alike (STOP, master gone): the role is
 * told of new peers and configurations only. */
struct master_link {
	struct ipc *ipc;
	struct loop *loop;
	void (*peer)(void *arg, enum role role, unsigned index, int fd);
	void (*stop)(void *arg);                       /* NULL: end at once */
	void (*roles)(void *arg, struct span payload); /* control */
	void (*blame)(void *arg, struct span payload); /* queue */
	void (*deny)(void *arg, struct span payload);  /* smtpd, control */
	/* smtpd, vault: the socket between this receiver and the vault; the callee owns fd */
	void (*signer)(void *arg, unsigned index, int fd);
	/* smtpd, vault, sender, queue: a file of the configuration in force; the callee owns fd */
	void (*file)(void *arg, const struct proto_file *f, int fd);
	/* vault: a connection to a socket of Dovecot; the callee owns fd */
	void (*dovecot)(void *arg, struct span payload, int fd);
	/* control: what came of a RELOAD */
	void (*reloaded)(void *arg, struct span payload);
	/*
	 * Reload, with the role's configuration at `config`. check: can what is being prepared be
	 * put in force here? Why not goes into r->why; NULL: always. change: it is in force
	 * (*config), the one before is given back behind this. changed: its files were given to
	 * file(), too.
	 */
	struct config **config;
	bool (*check)(void *arg, struct reload *r);
	void (*change)(void *arg, struct reload *r, struct config *old);
	void (*changed)(void *arg);
	void *arg;
	bool one_process;
	struct reload next; /* reload.c */
};
/* The callbacks, config and arg are set; m lives as long as the process. Tells master READY in this
 * turn.
 */
void master_link_start(struct master_link *m, struct loop *l, struct boot *b);
/* Stopped, and finished with what was in hand: ends the process (with --one-process: this role). */
void master_link_done(struct master_link *m);

#endif
