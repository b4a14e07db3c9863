/*
 * What the files of the spool share: the store object, its list of segments
 * and its spares. `lock` guards the part that is marked so; the rest belongs to
 * one thread (log, index) or to recovery, which runs before the threads do.
 */
#ifndef GW_SPOOL_STORE_PRIVATE_H
#define GW_SPOOL_STORE_PRIVATE_H

#include "spool/segment.h"

#include <pthread.h>

struct segment {
	uint64_t generation, size, previous;
	struct spool_key key;
	int handle;
	unsigned holds;
	bool failed;    /* a write or flush failed: the file is never used again */
	bool own_only;  /* taken from the reserve: no mail until there is room again */
	bool has_index; /* a file idx-G lies there; recovery found it good, or we wrote it */
	unsigned index_tries;
	/* Where it ends (a TRUNCATE, an index, or its size), and whether everything before that is
	 * known to have been flushed; left: by a SEAL, or full. */
	uint64_t end;
	bool proven, left;
	uint64_t last_end; /* behind the last record that recovery read; 0: not known */
	bool headless;     /* the tools': its header page is damaged */
};

/* A file that is not in the log: ready for use, or retired and still under its old name. */
struct unused {
	char name[DISK_NAME_MAX];
	int handle;
	bool good;           /* right size, no failure: may become a segment */
	uint64_t generation; /* retired: whose index goes with it */
};

struct unused_list {
	struct unused *item;
	size_t n, cap;
};

/* The batch that is being put together for one segment. */
struct chunk {
	struct span *v;
	uint8_t *heads;
	size_t n_v, cap_v, n_heads, cap_heads;
	struct store_record **records;
	size_t n_records, cap_records;
	uint64_t start, at; /* in the active segment */
	uint32_t pad;       /* zeros before start */
};

struct recovery;

struct store {
	uint32_t magic;
	struct disk *disk;
	struct store_params p;

	pthread_mutex_t lock;      /* guards from here ... */
	struct segment **segments; /* by generation */
	size_t n_segments, cap_segments;
	struct unused_list spares, retired;
	uint64_t next_number; /* of new and spare files */
	uint64_t failed_segment;
	struct segment *active;
	uint64_t active_at;
	uint32_t active_pad; /* zeros before active_at: the log thread's */
	bool undecided;
	uint64_t index_below;                     /* segments before this one may have an index */
	uint64_t bytes_written, commits, records; /* ... to here */

	uint64_t next_generation; /* the log thread's, from here on */
	struct segment *fresh;    /* installed, not in the list yet */
	struct truncate pending;  /* segment 0: none */
	struct chunk chunk;

	struct recovery *recovery; /* NULL when done */
	uint64_t strangers;
	bool ready;
};

enum { STORE_MAGIC = (int)GW_MAGIC('s', 't', 'o', 'r') };

/* The segment of that generation or NULL. The lock is held. */
struct segment *store_find(struct store *s, uint64_t generation) gw_checked;
/* Puts a segment at the end of the list. The lock is held. */
void store_append(struct store *s, struct segment *seg);
/* Puts a segment with this header into the list; the file, of this size, is its own from now on. */
struct segment *store_adopt(
    struct store *s, int handle, const struct segment_head *h, int64_t size);
/* Octets that new segments may take: free space and spares. 0 or GW_EIO. */
int store_room(struct store *s, uint64_t *room) gw_checked;

/* A new segment with a durable header and name, not in the list yet. 0, GW_ENOSPC, GW_EIO. */
int segment_take(struct store *s, uint64_t previous, bool own, struct segment **out) gw_checked;
/* Gives up a segment that is not in the list: closes it and removes the file if it can. */
void segment_drop(struct store *s, struct segment **seg);
void unused_push(struct unused_list *l, const struct unused *u);
void unused_fini(struct store *s, struct unused_list *l);

void chunk_fini(struct chunk *c);
struct recovery *recovery_new(void);
void recovery_free(struct recovery **r);
/* What the first record of a segment says: where another one ends, or that it was left in order. 0
 * or GW_EIO. */
int recovery_first_record(
    struct store *s, const struct segment *seg, uint64_t *truncates) gw_checked;

/* Writes the index of one segment that has none. As store_prepare. */
int store_write_index(struct store *s) gw_checked;
uint64_t store_take_number(struct store *s);

#endif
