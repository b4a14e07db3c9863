/*
 * The files that the configuration names and roles cannot open in their jails: certificates, keys,
 * accounts. Master opens them, looks now and then whether they have changed, and passes descriptors
 * in FILE frames to the roles that use them. It reads none but aliases, for the files they include
 * (config/includes.h): those go along in one piece, and are watched like the aliases themselves.
 *
 * A change is passed on when two looks found the same: not in the middle of a write. The files of a
 * group (certificate and key of a pair) go together, with one stamp, when all of them hold still.
 * A file that goes away or cannot be opened any more is said in the log, and what it held stays in
 * force; its descriptor is kept for roles that are started again.
 */
#ifndef GW_ROLE_MASTER_WATCH_H
#define GW_ROLE_MASTER_WATCH_H

#include "config/includes.h"
#include "role/role.h"

#include <stdio.h>
#include <sys/stat.h>

/* What a state of a file is told by. */
struct file_state {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
	uint64_t includes; /* what the included files are told by; 0: none */
};

struct watched_file {
	enum file_kind kind;
	uint32_t index;
	const char *path;
	const struct place *place; /* of the statement that names it */
	unsigned roles;            /* bits 1 << ROLE_... */
	bool secret;               /* nobody else may read it */
	size_t group;              /* those with one number go together */
	int fd;                    /* of the state that was passed on */
	uint64_t stamp;
	struct file_state told, seen;
	bool lost;                /* said in the log */
	struct includes includes; /* FILE_ALIASES */
};

struct file_watch {
	uint64_t generation; /* of the configuration that names them */
	struct loop *loop;
	struct watched_file *file;
	size_t n;
	uint64_t last_stamp;
	struct timer timer;
	int64_t lively_until; /* looks are frequent */
	/* A file, open for reading at offset 0: has changed, for these roles. */
	void (*changed)(void *arg, const struct watched_file *f);
	void *arg;
};

/* Opens all of them. 0; GW_EIO: `say` was told which statement names what cannot be used, and why;
 * file_watch_close() all the same. The configuration is borrowed. */
int file_watch_open(struct file_watch *w, const struct config *c, FILE *say) gw_checked;
/* Looks from now on. */
void file_watch_start(struct file_watch *w, struct loop *l,
    void (*changed)(void *arg, const struct watched_file *f), void *arg);
/* One more file, that is open and will not be looked at again; the descriptor is taken over. */
void file_watch_add(struct file_watch *w, enum file_kind kind, unsigned roles, int fd);
void file_watch_close(struct file_watch *w);
/* No looks for now; file_watch_start() or this with false goes on. */
void file_watch_rest(struct file_watch *w, bool rest);
/* The files that were added are the other one's from now on. */
void file_watch_hand_over(struct file_watch *from, struct file_watch *to);
/* One look at all files: what the timer does. True if something has changed and is not passed on
 * yet: look again soon. */
bool file_watch_look(struct file_watch *w);

#endif
