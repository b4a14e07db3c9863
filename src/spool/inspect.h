/*
 * Looking at a spool without opening it: for tools. Nothing is written, nothing
 * removed, indexes are not believed. All records come in the order of the log,
 * and behind those of a segment every place of it that is damaged, as many and as
 * exactly as can be told. A segment with a damaged header is read too: each
 * record repeats the key.
 *
 * With `live` the daemon may be at work in the directory: what it writes
 * meanwhile is left out, and a segment that it takes away while it is read is not
 * called damaged.
 */
#ifndef GW_SPOOL_INSPECT_H
#define GW_SPOOL_INSPECT_H

#include "spool/store.h"

struct inspect;

enum inspect_index {
	INDEX_NONE,
	INDEX_GOOD,
	INDEX_BAD,
	INDEX_OTHER /* not what its segment says */
};

struct inspect_segment {
	uint64_t generation, size;
	uint64_t used;    /* octets up to its last record; known when it was read */
	bool headless;    /* its header is damaged */
	bool unknown;     /* and no record tells its key: it is not read */
	bool left;        /* left in order */
	bool truncated;   /* a TRUNCATE ends it */
	uint64_t torn;    /* octets of flushes that never ended; known when it was read */
	uint64_t records; /* good ones */
};

enum inspect_kind {
	INSPECT_RECORD,  /* a good record */
	INSPECT_DAMAGED, /* octets that were flushed and are not what they were */
	INSPECT_TORN, /* octets of a flush that never ended, or damage in the last flush of a life
		       */
};

enum inspect_fault {
	FAULT_NONE,
	FAULT_SEGMENT, /* the header of the whole segment */
	FAULT_HEAD,
	FAULT_META,
	FAULT_BODY, /* meta is good */
	FAULT_TAIL, /* the end of the segment is missing */
};

struct inspect_item {
	enum inspect_kind kind;
	enum inspect_fault fault;
	uint64_t segment, offset, octets;
	bool known; /* type and id are */
	struct store_record
	    record; /* FAULT_NONE, FAULT_BODY: all of it; else type and id if known */
};

/* The disk is borrowed. 0, GW_EIO, GW_EVERSION; *why: a sentence. */
int inspect_open(
    struct inspect **out, struct disk *d, bool live, char *why, size_t why_size) gw_checked;
void inspect_close(struct inspect **p);

size_t inspect_count(const struct inspect *p);
const struct inspect_segment *inspect_segment(const struct inspect *p, size_t i);
unsigned inspect_spares(const struct inspect *p);

/* 1: *item is the next (its meta borrowed until the next call); 0: the end; GW_EIO. */
int inspect_next(struct inspect *p, struct inspect_item *item) gw_checked;
/* Octets looked at, of how many. */
uint64_t inspect_done(const struct inspect *p);
uint64_t inspect_total(const struct inspect *p);

/* Octets of a stored meta or body, as store_read_at. */
int64_t inspect_read(
    struct inspect *p, const struct extent *e, uint64_t from, void *to, size_t n) gw_checked;

/* Compares the index of segment i with the segment. */
enum inspect_index inspect_check_index(struct inspect *p, size_t i) gw_checked;
/* Index files without a segment. */
unsigned inspect_lone_indexes(const struct inspect *p);

const char *inspect_type_name(enum record_type type);
const char *inspect_fault_name(enum inspect_fault fault);

#endif
