/*
 * How a record looks on disk: a header, the meta, the body, and zeros up to the
 * next multiple of eight. The header carries the random key of its segment, so
 * nothing that a client sends can pass for one, and a checksum that depends on
 * key and place, so a header that strayed or stayed behind does not count.
 * Checksums of meta and body are plain: whoever has an extent can check it.
 *
 * In every version the key stands first, magic and version octet behind it, and the checksum is the
 * last eight of 80 octets. What lies between is read by a table, one row per version: what an older
 * program wrote stays readable. A new version of records comes with a new version of segments.
 *
 * Pure: no memory, no disk. Used by the writer, by recovery, by the tools and by tests.
 */
#ifndef GW_SPOOL_RECORD_H
#define GW_SPOOL_RECORD_H

#include "spool/store.h"

enum {
	SPOOL_PAGE = 4096, /* a flush begins on a page and fills its last one with zeros */
	SPOOL_KEY = 16,
	RECORD_HEADER = 80,
	RECORD_ALIGN = 8,
	RECORD_VERSION = 1, /* the one that is written */
};

struct spool_key {
	uint8_t b[SPOOL_KEY];
};

struct record_head {
	enum record_type type;
	bool own;
	struct msgid id;
	uint32_t meta_len, body_len;
	uint64_t meta_sum, body_sum;
	/* Where the flush that wrote it began, as a page number: what lies before was durable. */
	uint32_t flush_page;
	/* Zeros between the last record before that flush and its begin. */
	uint32_t flush_pad;
};

static inline uint64_t record_align(uint64_t at)
{
	return (at + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

static inline uint64_t page_up(uint64_t at)
{
	return (at + SPOOL_PAGE - 1) & ~(uint64_t)(SPOOL_PAGE - 1);
}

static inline uint64_t page_down(uint64_t at)
{
	return at & ~(uint64_t)(SPOOL_PAGE - 1);
}

/* Octets of header, meta and body, without the zeros that follow. */
static inline uint64_t record_size(const struct record_head *h)
{
	return (uint64_t)RECORD_HEADER + h->meta_len + h->body_len;
}

uint64_t spool_sum(struct span s);

/* The header of a record that lies at this offset of the segment with this key. */
void record_encode(const struct record_head *h, const struct spool_key *key, uint64_t at,
    uint8_t out[RECORD_HEADER]);

/*
 * 0; GW_EMORE (in is shorter than a header); GW_EFORMAT (no header of this segment);
 * GW_ECORRUPT (this segment's key, but the header is damaged); GW_EVERSION.
 */
int record_decode(
    struct span in, const struct spool_key *key, uint64_t at, struct record_head *out) gw_checked;

/* The next place, a multiple of eight into s, where the key stands in full, or s.n. */
size_t record_find(struct span s, const struct spool_key *key) gw_checked;

/*
 * For tools that look at damage. record_resembles: most octets of key and magic are right here, so
 * a header was. record_guess: what a damaged header says, nothing of it checked. record_stray: a
 * header that is good in itself whatever the segment, with its key: 0 or as record_decode.
 */
bool record_resembles(struct span in, const struct spool_key *key) gw_checked;
int record_guess(struct span in, struct record_head *out) gw_checked;
int record_stray(struct span in, uint64_t at, struct spool_key *key) gw_checked;

/* The meta of a TRUNCATE: the segment ends at this offset. */
enum { TRUNCATE_META = 16 };
struct truncate {
	uint64_t segment, offset;
};
void truncate_encode(const struct truncate *t, uint8_t out[TRUNCATE_META]);
int truncate_decode(struct span meta, struct truncate *out) gw_checked;

#endif
