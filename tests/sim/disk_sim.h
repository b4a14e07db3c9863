/*
 * A disk in memory that forgets like a real one (struct disk of spool/disk.h).
 * One seed is one repeatable history. For tests in one thread.
 *
 * What it remembers: per file what programs see (the page cache), what is
 * durable, and the writes between the two; per directory the names programs see
 * and the changes that were not flushed.
 *
 * Power cut: each un-flushed write is dropped, kept, or torn (any sector of 512
 * octets, any octet within one write); a size that was not flushed may be the old
 * or the new one, and octets that were never flushed may show what removed files
 * left behind. Un-flushed changes of the directory survive as a prefix, or each
 * for itself. Renames are atomic.
 *
 * Failures: a failed write leaves part of itself; a failed sync makes a random
 * part durable and forgets the rest, which programs still see, and a later sync
 * says 0 without it, as Linux does. A failed sync_dir keeps its changes for the
 * next one. Writing to or syncing a file again after its sync failed, without a
 * restart in between, is noted as a violation.
 *
 * A test goes: disk_sim_new, then any number of lives: use the disk; when
 * disk_sim_dead() says so (or after disk_sim_die()) every call fails; close the
 * store; disk_sim_power_cut() or disk_sim_restart(); open the store again.
 */
#ifndef GW_TESTS_SIM_DISK_SIM_H
#define GW_TESTS_SIM_DISK_SIM_H

#include "spool/disk.h"

struct disk_sim;

enum disk_sim_op {
	SIM_OPEN,
	SIM_ALLOCATE,
	SIM_WRITE,
	SIM_READ,
	SIM_SYNC,
	SIM_RENAME,
	SIM_REMOVE,
	SIM_SYNC_DIR,
	SIM_OPS,
};

/* Lies that a disk may tell: planted bugs, to prove that a test would notice them. */
enum disk_sim_mutant {
	MUTANT_NONE,
	MUTANT_NO_SYNC,      /* sync does nothing */
	MUTANT_NO_SYNC_DIR,  /* sync_dir does nothing */
	MUTANT_SYNC_ONCE,    /* only the first sync of a file does something */
	MUTANT_HIDE_ERROR,   /* a failed sync says 0 */
	MUTANT_LATE_RENAME,  /* sync_dir leaves the last change out */
	MUTANT_LOSE_FIRST,   /* what is written to the second page of a file is never durable */
	MUTANT_TRUNCATE,     /* sync of a segment that begins with a TRUNCATE does nothing */
	MUTANT_RENAME_FIRST, /* what is made under another name is flushed after it is renamed */
	MUTANT_LOG,          /* sync of a file of the log does nothing */
	MUTANT_DEAF,         /* writes are forgotten */
	MUTANTS,
};

struct disk_sim_params {
	uint64_t capacity;                /* octets of the file system */
	unsigned fail_per_10000[SIM_OPS]; /* GW_EIO by chance */
	unsigned nospace_per_10000;       /* GW_ENOSPC from a write or sync by chance */
	enum disk_sim_mutant mutant;
};

struct disk_sim *disk_sim_new(uint64_t seed, const struct disk_sim_params *p) gw_checked;
void disk_sim_free(struct disk_sim **s);
struct disk *disk_sim_disk(struct disk_sim *s);
/* May be changed at any time. */
struct disk_sim_params *disk_sim_params(struct disk_sim *s);

/* Operations so far (all calls but close, size, list and space). */
uint64_t disk_sim_ops(const struct disk_sim *s);
/* The n-th operation from now (1: the next) is interrupted half-way, all later calls fail. 0:
 * never. */
void disk_sim_crash_after(struct disk_sim *s, uint64_t n);
void disk_sim_die(struct disk_sim *s);
bool disk_sim_dead(const struct disk_sim *s);
/* The power is back: what survived is all there is. */
void disk_sim_power_cut(struct disk_sim *s);
/* The process alone died: the page cache survives. */
void disk_sim_restart(struct disk_sim *s);

/* The n-th operation of this kind from now (1: the next) fails with err. */
void disk_sim_fail(struct disk_sim *s, enum disk_sim_op op, unsigned n, int err);
/* Octets that others use of the file system. */
void disk_sim_others(struct disk_sim *s, uint64_t octets);
/* Damages an octet of a file where it lies; GW_ENOENT. */
int disk_sim_flip(struct disk_sim *s, const char *name, uint64_t at);
/* Reading of octets around this place fails from now on; GW_ENOENT. */
int disk_sim_bad_page(struct disk_sim *s, const char *name, uint64_t at);
/* What programs see of a file; borrowed until something is done to it. Empty if there is none. */
struct span disk_sim_peek(const struct disk_sim *s, const char *name);
/* The names that programs see: 1: name filled, 0: no more. Takes no notice of a dead disk. */
int disk_sim_name(const struct disk_sim *s, size_t i, char name[DISK_NAME_MAX]);

/* Tells of each operation before it is carried out, for tests that count where crashes fall. */
struct disk_sim_event {
	enum disk_sim_op op;
	bool create, crash;      /* it opens a new file; it will be interrupted */
	bool failed;             /* told once more, after it failed: a write or a flush of a file */
	const char *name, *to;   /* to: of a rename */
	const struct span *data; /* of a write */
	size_t n_data;
	uint64_t at; /* place, or size of an allocation */
};
void disk_sim_watch(
    struct disk_sim *s, void (*fn)(void *arg, const struct disk_sim_event *e), void *arg);

/* What the program under test did wrong, or NULL. */
const char *disk_sim_violation(const struct disk_sim *s);

/* From now on its dice begin here. */
void disk_sim_reseed(struct disk_sim *s, uint64_t seed);

/* The generator behind it, for the test's own choices. */
uint64_t sim_random(uint64_t *state);

#endif
