/*
 * Walks over the records of one segment as recovery finds it: steps over tears
 * to the next header with the segment's key, and keeps count of the holes. A
 * hole is damage if what lies there is known to have been flushed, else it is
 * the remains of a flush that never ended.
 */
#ifndef GW_SPOOL_READER_H
#define GW_SPOOL_READER_H

#include "spool/store-private.h"

enum hole_kind {
	HOLE_HEAD,  /* no header where one should be, or a damaged one: may be several records */
	HOLE_META,  /* the head is good */
	HOLE_BODY,  /* head and meta are good */
	HOLE_SHORT, /* the head is good, the record ends behind its segment */
	HOLE_TAIL,  /* the records end before the segment does */
};

struct hole {
	uint64_t at, bytes;
	enum hole_kind kind;
	struct record_head head; /* unless HOLE_HEAD, HOLE_TAIL */
};

struct hole_list {
	struct hole *v;
	size_t n, cap;
};

struct reader {
	struct disk *disk;
	const struct segment *seg;
	uint64_t at; /* of the header found, or where to look next */

	uint8_t *mem; /* a window on the segment */
	uint64_t window_at;
	size_t window_n, window_cap;
	uint8_t *meta;
	size_t meta_cap;

	struct hole_list holes;  /* not known yet to be damage */
	struct hole_list damage; /* known to be */

	uint64_t last_flush, last_end; /* octets: begin of the last flush, end of the last record */
	bool sealed;
	bool patient; /* pages that cannot be read are zeros, however many they are */
};

void segment_reader_init(struct reader *r, struct disk *d);
void segment_reader_fini(struct reader *r);
/* Starts at the first record of this segment; reads up to seg->end. */
void segment_reader_start(struct reader *r, const struct segment *seg);

/* 1: *h is the head of the record at r->at; 0: the end; GW_EIO. Follow with skip or body. */
int segment_reader_next(struct reader *r, struct record_head *h) gw_checked;
/* Goes on behind this record without looking at it. */
void segment_reader_skip(struct reader *r, const struct record_head *h);
/* Checks meta and body and goes on behind the record: 0 and *meta (borrowed until the next call);
 * GW_ECORRUPT: noted as a hole, *meta is empty unless only the body is bad; GW_EIO. */
int segment_reader_take(
    struct reader *r, const struct record_head *h, struct span *meta) gw_checked;
/* What callers of the store are given of a record at that place; meta is lent. */
void segment_reader_record(struct store_record *r, const struct segment *seg, uint64_t at,
    const struct record_head *h, struct span meta);
/* At the end of a segment: holes become damage, or remain holes: torn octets (the result). */
uint64_t segment_reader_settle(struct reader *r) gw_checked;

#endif
