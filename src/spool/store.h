/*
 * The store of records: one append-only log of segments (docs/spool.md). It
 * knows bytes, extents and durability, never mail. The queue role is its only
 * user; the same calls fit a database later.
 *
 * Threads. store_commit, store_heal and store_prepare block on the disk: commit and heal
 * belong to the log thread (or inline, when nothing else waits), prepare to the
 * index thread. Everything else is called by the loop and returns quickly
 * (reads come from the page cache as a rule). Internally a mutex guards the
 * list of segments; nothing is held during a flush.
 */
#ifndef GW_SPOOL_STORE_H
#define GW_SPOOL_STORE_H

#include "mail/msgid.h"
#include "base/buf.h"
#include "spool/disk.h"

/* Types on disk: numbers are for ever. */
enum record_type {
	REC_MESSAGE = 1, /* meta: envelope; body: head and the rest of the content */
	REC_PART = 2,    /* body: a piece of content of a transaction that is not committed yet */
	REC_RESULT = 3,  /* meta: a change */
	REC_DEFERRED = 4,
	REC_EXPANDED = 5,
	REC_HELD = 6,
	REC_RELEASED = 7,
	REC_MOVED = 8,
	REC_PAST_DOT = 9,
	REC_LIMIT = 10,
	REC_EVENT = 11,
	REC_TRUNCATE = 12, /* the store's own: a segment ends before its last bytes */
	REC_SEAL = 13,     /* the store's own: the last record of a full segment */
	REC_COUNTED = 14,  /* meta: what limits have counted */
};

/* Where bytes lie: in the segment of that generation. */
struct extent {
	uint64_t segment, offset;
	uint32_t length;
	uint64_t sum; /* checksum of these bytes */
};

struct store_record {
	enum record_type type;
	struct msgid id;
	bool own;                /* ours (result, bounce): may use the reserve of space */
	struct span meta;        /* small: envelope, change */
	const struct span *body; /* the content, in pieces */
	size_t n_body;

	int status; /* out: 0 durable, or GW_EIO, GW_ENOSPC (not stored), GW_EFULL (too big) */
	struct extent meta_at, body_at; /* out */
	void *owner;                    /* the caller's */
};

struct store_params {
	uint64_t segment_size; /* octets, a multiple of 4096; a record must fit into one */
	uint64_t reserve;      /* octets of free space that only "own" records may use */
	unsigned spares;       /* written-once segments kept ready; up to twice as many are kept */
	void (*random)(void *to, size_t n); /* unpredictable bytes: segment keys */
	bool ignore_indexes; /* recovery reads the segments themselves, and gives all records out */
};

struct store;
struct store_read;

/*
 * Opens the directory: names and segment headers are looked at, half-made files removed, no record
 * is read yet. The disk is borrowed and must outlive the store. 0, GW_EIO, GW_EVERSION. *why: a
 * sentence for the log.
 */
int store_open(struct store **s, struct disk *disk, const struct store_params *p, char *why,
    size_t why_size) gw_checked;
void store_close(struct store **s);

/*
 * Recovery: after store_open call until 0 comes back. Everything that is to be
 * read is flushed before the first record is given out. 1: *r is the next record
 * (meta borrowed until the next call; body not in memory, only body_at); 0: the
 * end, the store takes commits now (in a new segment); GW_EIO: the disk cannot be
 * read or flushed, the store can only be closed. Damaged records are skipped and reported in
 * *damage, which is settled segment by segment. The caller takes holds (store_hold) as it goes.
 * Types this program does not know are given out like all others.
 *
 * Of a segment with a good index, the index is read instead (docs/spool.md). It leaves PARTs out,
 * and messages that were finished within the segment together with the changes that did it. Of
 * those, what ended other messages comes as a RESULT; and while a receiver may still ask for the
 * nonce, the message comes without content, with an envelope whose "ends" finishes its own only
 * recipient.
 */
struct store_damage {
	uint64_t records;         /* so far */
	uint64_t segment, offset; /* of the last one */
	uint64_t truncated; /* bytes of torn, never flushed records (as far as seen): not damage */
	uint64_t truncates; /* segments that a TRUNCATE ended */
	uint64_t strangers; /* segment files without a good header: left alone, never read */
	uint64_t indexed;   /* segments of which the index was read */
	uint64_t bad_indexes; /* damaged or of another segment: not used, written anew later */
};
int store_recover(struct store *s, struct store_record *r, struct store_damage *damage) gw_checked;

/*
 * Appends and flushes; each record's status says what became of it. Returns
 *   STORE_DONE       every status is final: 0 may be acknowledged, the others refused
 *   STORE_UNDECIDED  a flush failed and the TRUNCATE that takes the batch back is not
 *                    durable yet: records with status GW_EIO may be neither acknowledged
 *                    nor refused, and store_commit must not be called until store_heal gives 0.
 * The log thread owns the array until it returns.
 *
 * Each record whose status became 0 comes with one hold on its segment (as by store_hold), so that
 * nothing can retire it before the loop has seen the status. The loop gives it back with
 * store_release(s, r->meta_at.segment): when the message is finished, or for records that nothing
 * points at (RESULT and the like) as soon as it has seen the status.
 */
enum store_outcome { STORE_DONE, STORE_UNDECIDED };
enum store_outcome store_commit(struct store *s, struct store_record *r, size_t n) gw_checked;
/* Tries again to get the TRUNCATE down: 0 when it is durable. Call about once a second. */
int store_heal(struct store *s) gw_checked;
/* The generation of the last segment that was ended by a failure, 0 if none: open transactions
 * with a PART in it are refused. */
uint64_t store_failed_segment(const struct store *s);

/*
 * Reading a stored body or meta: any n bytes from an offset within the extent.
 * Returns octets read, GW_EIO, GW_ENOENT (segment gone: a bug of the caller).
 */
int64_t store_read_at(
    struct store *s, const struct extent *e, uint64_t from, void *to, size_t n) gw_checked;
/*
 * A whole record by the place of its meta (store_record.meta_at), with its checksums judged: the
 * meta goes into the buffer, which is emptied before; *out as recovery gives it. 0, GW_EIO,
 * GW_ENOENT (no such segment), GW_ECORRUPT (no good record of this segment there), GW_EFULL.
 */
int store_read_record(struct store *s, uint64_t segment, uint64_t meta_at, struct store_record *out,
    struct buf *meta) gw_checked;
/* Checksum as in extents, over pieces in order: *state starts as NULL, end frees it. */
void store_sum_feed(struct store_read **state, struct span data);
uint64_t store_sum_end(struct store_read **state);

/* Segments live as long as somebody needs a record in them: messages alive, bodies being read,
 * transactions with parts. A segment that is not there (lost, or its header is damaged) cannot be
 * held; reading from it gives GW_ENOENT. */
void store_hold(struct store *s, uint64_t segment);
void store_release(struct store *s, uint64_t segment);
/* Takes the oldest segments that nobody holds out of the log: oldest first, never past a held one,
 * never the newest. Returns how many. Quick: store_prepare does the renaming and flushing. */
unsigned store_retire(struct store *s);
/* The same, but not this generation and what follows it. */
unsigned store_retire_before(struct store *s, uint64_t generation);

/* Only segments before this one get an index from now on (at first: all that can have one): what
 * the index of another would leave out is still wanted. */
void store_index_below(struct store *s, uint64_t generation);

/* The index thread's work, one piece at a time: makes a spare of a retired segment (or removes it
 * if there are enough), else makes a new spare if there are too few, else writes the index of a
 * segment that was left. What cannot be done does not keep the others from being done. 1: did
 * something, 0: nothing to do, GW_ENOSPC/GW_EIO: try again in a while. */
int store_prepare(struct store *s) gw_checked;

struct store_stat {
	uint64_t free_bytes, total_bytes; /* of the file system */
	uint64_t bytes_written, commits, records;
	unsigned segments, spares, indexes;
	uint64_t oldest, newest; /* generations in the log; 0: none */
	uint64_t log_bytes;      /* octets of its files */
	bool accepting;          /* room for new mail above the reserve, and not undecided */
};
void store_stat(struct store *s, struct store_stat *out);

#endif
