/*
 * A segment: one file of fixed size. Its first page is the header; records
 * follow from the second page on. The file name tells the state: "new-N" is in
 * the making, "spare-N" is written once and waits, "seg-G" is part of the log
 * as generation G. The header is durable before the name becomes seg-G. Beside it may lie "idx-G",
 * its index (index.h).
 *
 * The header page has its checksum in the last eight octets and magic and version in front, in
 * every version; a table of readers knows the rest.
 */
#ifndef GW_SPOOL_SEGMENT_H
#define GW_SPOOL_SEGMENT_H

#include "spool/record.h"

enum {
	SEGMENT_START = SPOOL_PAGE, /* where records begin */
	SEGMENT_VERSION = 1,        /* the one that is written */
	SEGMENT_MIN = 4 * SPOOL_PAGE,
};

enum segment_name { SEGMENT_NEW, SEGMENT_SPARE, SEGMENT_LOG, SEGMENT_INDEX };

struct segment_head {
	uint64_t generation, size;
	/* The segment this one follows without a restart in between, or 0. A record here shows that
	 * it was left after its last flush returned 0. */
	uint64_t previous;
	struct spool_key key;
};

void segment_encode(const struct segment_head *h, uint8_t page[SPOOL_PAGE]);
/* 0, GW_EFORMAT (not a segment, or damaged), GW_EVERSION (good, but of a later version). */
int segment_decode(struct span page, struct segment_head *out) gw_checked;

void segment_format(char name[DISK_NAME_MAX], enum segment_name kind, uint64_t number);
int segment_parse(const char *name, enum segment_name *kind, uint64_t *number) gw_checked;

/* Makes the file "new-<number>" with its blocks allocated: a handle, GW_EIO, GW_ENOSPC. */
int segment_create(struct disk *d, uint64_t number, uint64_t size) gw_checked;
/* Writes every block once, one MiB and one flush at a time, so that nobody waits long for us. */
int segment_write_once(struct disk *d, int handle, uint64_t size) gw_checked;
/* Takes an unused file into the log: header, flush, name, directory flush. 0, GW_EIO, GW_ENOSPC. */
int segment_install(
    struct disk *d, int handle, const char *name, const struct segment_head *h) gw_checked;

#endif
