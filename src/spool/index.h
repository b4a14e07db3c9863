/*
 * The index of a segment, "idx-G" beside "seg-G": what recovery needs of the
 * segment, in one piece and without bodies. It holds every record but PART,
 * TRUNCATE and SEAL, and without those messages whose recipients were all
 * finished by changes in the same segment, with these changes. Of a message
 * that is left out two things stay: the end of another message's recipients
 * (as a RESULT of its own), and for ten minutes its nonce.
 *
 * An index is an offer. It counts if its checksums are good and generation, key
 * and size are those of its segment; else the segment itself is read, with the
 * same result. It is made from flushed records only, and only if there was no
 * hole among them.
 *
 * index_compose and the reading are used by the index thread, by recovery and by
 * the tools, each with memory of its own.
 */
#ifndef GW_SPOOL_INDEX_H
#define GW_SPOOL_INDEX_H

#include "base/buf.h"
#include "spool/store-private.h"

enum {
	INDEX_VERSION = 1,
	INDEX_HEAD = 128,
	INDEX_NONCE = 40,
	INDEX_ENTRY = 48, /* and the meta, and zeros to a multiple of eight */
};

/* How long a receiver may ask what became of its COMMIT, in microseconds. */
#define INDEX_NONCES_KEPT UINT64_C(600000000)

/* Was it accepted so shortly before the newest that it may still be asked for? */
static inline bool index_recent(int64_t accepted, int64_t newest)
{
	return accepted >= newest || (uint64_t)newest - (uint64_t)accepted < INDEX_NONCES_KEPT;
}

struct index_head {
	uint64_t generation; /* 0: none */
	struct spool_key key;
	uint64_t size, previous;
	uint64_t end;             /* where the records of the segment end, a page */
	struct truncate truncate; /* its first record is this; segment 0: another record */
	int64_t newest;           /* the last acceptance among its messages */
	uint64_t n_nonces, n_entries;
	uint64_t octets, sum; /* of what follows the head */
};

void index_head_encode(const struct index_head *h, uint8_t out[INDEX_HEAD]);
/* 0, GW_EFORMAT, GW_EVERSION. */
int index_head_decode(struct span in, struct index_head *out) gw_checked;

/* What idx-<generation> says of itself: 0, GW_ENOENT, GW_ECORRUPT (also: not as long as it says),
 * GW_EVERSION, GW_EIO. */
int index_read_head(struct disk *d, uint64_t generation, struct index_head *out) gw_checked;
/* Is this the index of this segment, as far as heads can tell? */
bool index_fits(const struct index_head *h, const struct segment *seg) gw_checked;

/* Reading a whole index. The memory is used again for the next one. */
struct index_reader {
	struct index_head head;
	uint8_t *mem;
	size_t cap;
	struct span nonces, entries; /* that were not given out yet */
	struct buf made;             /* a meta of our own */
};
void index_reader_init(struct index_reader *r);
void index_reader_fini(struct index_reader *r);
/* Reads it and checks it against the head that was found before; results as index_read_head.
 * Nonces are given out only if wanted. */
int index_reader_start(
    struct index_reader *r, struct disk *d, const struct index_head *h, bool nonces) gw_checked;
/* 1: *out is the next record (meta borrowed until the next call); 0: no more. */
int index_reader_next(struct index_reader *r, struct store_record *out) gw_checked;

/*
 * The index of this segment (a copy of the list's entry, its file open) appended to *out: 0;
 * GW_ECORRUPT: there is a hole, or nothing to be indexed: none is to be written; GW_EFULL: it would
 * be larger than the segment; GW_EIO. The same segment gives the same octets.
 */
int index_compose(struct disk *d, const struct segment *seg, struct buf *out) gw_checked;
/* Writes it as new-<number>, flushes, renames to idx-G and flushes the directory: 0, GW_ENOSPC,
 * GW_EIO. */
int index_write(
    struct disk *d, uint64_t number, uint64_t generation, struct span content) gw_checked;

#endif
