/*
 * Reads the log in its order while it is being written, from a place on that somebody kept:
 * only what is durable, and never what a failed flush took back. For followers of the log that can
 * be behind it (the history). The loop owns it and calls it; nothing here waits for the log thread.
 *
 * A place is where a record begins or the one before it ends, with a mark of its segment, so that a
 * place of another log is known for what it is.
 */
#ifndef GW_SPOOL_WALK_H
#define GW_SPOOL_WALK_H

#include "spool/store.h"

struct store_place {
	uint64_t segment, offset; /* segment 0: before all */
	uint64_t mark;
};

static inline bool place_before(const struct store_place *a, const struct store_place *b)
{
	return a->segment != b->segment ? a->segment < b->segment : a->offset < b->offset;
}

/* The place behind a record that store_commit or the walk gave out. */
struct store_place store_place_behind(
    struct store *s, const struct extent *meta, const struct extent *body);

struct store_walk;

/* The store is borrowed. It is recovered. */
struct store_walk *store_walk_new(struct store *s) gw_checked;
void store_walk_free(struct store_walk **w);

/*
 * Goes to a place. Returns the segments between it and what the log still has: 0 as a rule. A place
 * of no segment, or of another log, is the begin of this one.
 */
uint64_t store_walk_seek(struct store_walk *w, const struct store_place *at);

/*
 * 1: *r is the next good record (its meta borrowed until the next call), also of kinds nobody here
 * knows, but not the store's own; 0: nothing durable is behind; GW_EMORE: *budget, which counts
 * down octets of the log, is used up; GW_EIO; GW_ENOENT: the segment was retired meanwhile: seek.
 */
int store_walk_next(struct store_walk *w, struct store_record *r, uint64_t *budget) gw_checked;
/* Behind the last record, or where it was sought. */
struct store_place store_walk_at(const struct store_walk *w);

#endif
