/* Records that ended two queues before us: not looked at, and kept for whoever can read them. */
#include "role/queue.h"

#include "base/log.h"

static bool is_aside(const struct boot *b, const struct store_record *r)
{
	for (size_t i = 0; i < b->n_aside; i++) {
		uint64_t segment = b->aside[i].segment;

		if (segment == r->meta_at.segment && b->aside[i].offset == r->meta_at.offset)
			return true;
		if (segment == 0 && r->type == REC_MESSAGE && msgid_eq(&b->aside[i].id, &r->id))
			return true;
	}
	return false;
}

bool queue_set_aside(struct queue *q, const struct store_record *r)
{
	char id[MSGID_TEXT + 1];
	struct logline l;

	if (!is_aside(q->boot, r))
		return false;
	store_hold(q->store, r->meta_at.segment);
	metric_set(METRIC_SPOOL_ASIDE, ++q->aside);
	msgid_format(&r->id, id);
	log_begin(&l, EV_SPOOL_ASIDE);
	log_str(&l, "id", id);
	log_number(&l, "type", (int64_t)r->type);
	log_number(&l, "segment", (int64_t)r->meta_at.segment);
	log_number(&l, "offset", (int64_t)r->meta_at.offset);
	log_end(&l);
	return true;
}
