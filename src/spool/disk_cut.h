/*
 * A disk of which the power can be cut: the real one (disk_posix) with a journal of everything that
 * was not flushed, kept in the same directory. kill -9 alone proves nothing about flushing, because
 * the page cache survives it; after disk_cut_power_cut() the directory holds what a real power cut
 * could have left. Only "godwit prove" uses it, for a spool that it made itself.
 *
 * Before a write, a change of size or a change of a name reaches the page cache, its undoing is in
 * the journal: the old octets, the old size, the old name. sync and sync_dir take entries out when
 * they returned 0. Removed files are kept aside under another name until sync_dir. The journal
 * belongs to the directory and not to the process: a queue that was killed alone goes on with the
 * one it finds.
 *
 * The files of its own (journal, removed files, mark) have names that begin with a dot, which list
 * leaves out. Calls may come from two threads, as disk.h says.
 */
#ifndef GW_SPOOL_DISK_CUT_H
#define GW_SPOOL_DISK_CUT_H

#include "spool/disk.h"

/* Lies that the disk may tell: with each of them a server that trusts it must lose mail. */
enum disk_cut_lie {
	LIE_NONE,
	LIE_FLUSH,    /* sync does nothing */
	LIE_DIR_SYNC, /* sync_dir does nothing */
	LIE_HEADER,   /* the first page of a file is never flushed */
	LIE_LATE,     /* sync leaves out the last write to the file */
	LIE_ONCE,     /* only the first sync of a file does something */
	LIES,
};

/* The names for the command line: "flush" and so on; LIE_NONE is "none". */
extern const char *const disk_cut_lies[LIES];

/* The environment variable that wants this disk; its value is the token of the mark. */
#define DISK_CUT_ENV "GODWIT_PROVE_CUT"
enum { DISK_CUT_TOKEN_MAX = 64 };

/* Marks a new, empty directory as one whose power may be cut. 0 or GW_EIO with errno. */
int disk_cut_mark(int dir_fd, const char *token, enum disk_cut_lie lie) gw_checked;

/*
 * The disk below a directory descriptor, which it owns from now on: disk_posix, or this one if the
 * environment asks for it. NULL if it asks for it and the directory has no mark with that token:
 * then this is somebody's real spool.
 */
struct disk *disk_choose(int dir_fd) gw_checked;

/* The disk whatever the environment says; NULL (with errno) if its journal cannot be opened. */
struct disk *disk_cut_new(int dir_fd, enum disk_cut_lie lie) gw_checked;
void disk_cut_free(struct disk **d);

/* What became of all that was not flushed. */
struct disk_cut_tally {
	uint64_t writes_lost, writes_torn, writes_kept;
	uint64_t names_lost, names_kept;
};

/*
 * The power is cut: each un-flushed write is lost, torn or kept, each un-flushed change of a name
 * or size lost or kept, by chance from seed. No process may have the directory in use. The
 * descriptor is borrowed. Adds to *tally. 0, or GW_EIO with errno.
 */
int disk_cut_power_cut(int dir_fd, uint64_t seed, struct disk_cut_tally *tally) gw_checked;

#endif
