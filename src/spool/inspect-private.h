/*
 * What the two halves of the inspection share: the list of segments
 * (inspect.c) and the reading of one after the other with its damage
 * (salvage.c).
 */
#ifndef GW_SPOOL_INSPECT_PRIVATE_H
#define GW_SPOOL_INSPECT_PRIVATE_H

#include "spool/inspect.h"
#include "spool/reader.h"

struct inspect {
	uint32_t magic;
	struct disk *disk;
	bool live;
	struct store list; /* only its disk and its list of segments */
	struct inspect_segment *about;
	uint64_t *indexes;
	size_t n_indexes;
	unsigned spares;
	uint64_t truncates;

	size_t index; /* of the segment being read */
	bool in_segment;
	struct reader reader;
	uint64_t done, total;
	struct hole_list waiting; /* what was wrong in the segment that was read last */
	size_t n_damaged, at;     /* damage first, then what is torn; given out up to `at` */
	bool told_head;
	uint8_t *salvaged; /* a meta behind a damaged header */
};

/* The key of a segment whose header is damaged, from the first good record: 0, GW_ENOENT, GW_EIO.
 */
int salvage_key(struct disk *d, int handle, uint64_t size, struct spool_key *key) gw_checked;
/* Cuts a hole at the places where a header can still be made out, and appends the pieces. */
void salvage_split(struct disk *d, const struct segment *seg, const struct hole *h,
    struct hole_list *out, bool tail);
/* The type and id of a damaged record, if the octets that are left prove them. */
bool salvage_name(struct disk *d, const struct segment *seg, const struct hole *h,
    struct inspect_item *item) gw_checked;

#endif
