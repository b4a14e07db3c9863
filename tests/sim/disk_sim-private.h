/* What the files of the simulated disk share: files with what is seen and what is durable. */
#ifndef GW_TESTS_SIM_DISK_SIM_PRIVATE_H
#define GW_TESTS_SIM_DISK_SIM_PRIVATE_H

#include "sim/disk_sim.h"

enum { SECTOR = 512, MAX_HANDLES = 256, NO_PAGE = -1 };

struct pending {
	uint64_t at;
	size_t n;
	uint8_t *data;
};

struct file {
	struct file *next;
	uint8_t *seen, *durable; /* `size` octets each */
	uint64_t size, durable_size, cap;
	struct pending *pending;
	size_t n_pending, cap_pending;
	int64_t bad_page;
	unsigned syncs;
	bool sync_failed;
	bool lost;     /* a failed flush lost octets that are still seen */
	bool told_end; /* MUTANT_TRUNCATE: it begins with a TRUNCATE that is not flushed yet */
	uint64_t sum;  /* of the durable octets; 0: not known */
};

struct dir_entry {
	char name[DISK_NAME_MAX];
	struct file *file;
};

struct dir {
	struct dir_entry *e;
	size_t n, cap;
};

/* An un-flushed change: `from` goes away (if it is still this file), `to` appears. */
struct name_change {
	struct file *file;
	char from[DISK_NAME_MAX], to[DISK_NAME_MAX];
};

struct disk_sim {
	struct disk base;
	struct disk_sim_params p;
	uint64_t rng, ops, changes, crash_at, others;
	bool dead;
	struct file *files;
	struct file *handle[MAX_HANDLES];
	struct dir seen, durable;
	struct name_change *change;
	size_t n_change, cap_change;
	struct {
		unsigned countdown;
		int err;
	} script[SIM_OPS];
	uint8_t *grave; /* what removed files held */
	uint64_t grave_n;
	const char *violation;
	void (*watch)(void *arg, const struct disk_sim_event *e);
	void *watch_arg;
};

void dir_apply(struct dir *d, const struct name_change *c);
void dir_copy(struct dir *to, const struct dir *from);

/*
 * What a power cut, or a failed flush, leaves of the un-flushed: some of it, by the dice, is put
 * into `durable`, which has room for the size that programs see.
 */
void cut_writes(const struct disk_sim *s, const struct file *f, uint64_t *rng, uint8_t *durable);
/* The size afterwards. Octets between the old and the new one that nobody wrote may be stale. */
uint64_t cut_size(const struct disk_sim *s, const struct file *f, uint64_t *rng, uint8_t *durable);
/* The un-flushed changes of the directory: applied as a prefix, or each for itself. */
void cut_names(const struct disk_sim *s, uint64_t *rng, struct dir *durable);
/* Octets [from, to) of a write become durable, if the planted bug lets them. */
void keep_range(
    const struct disk_sim *s, uint8_t *durable, const struct pending *p, size_t from, size_t to);

#endif
