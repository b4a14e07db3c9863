/*
 * Which segments of the log the living need, and how much of them. However many
 * messages lie in a segment, its owner is asked to hold it once.
 */
#include "flow/broker-private.h"

#include <stdlib.h>

struct needed {
	uint64_t segment;
	size_t n;        /* messages, parts, records on their way */
	uint64_t octets; /* of messages whose oldest segment this is */
};

static struct span key_of(const uint64_t *segment)
{
	return span_of(segment, sizeof(*segment));
}

void segment_hold(struct broker *b, uint64_t segment, uint64_t octets)
{
	struct needed *s = map_get(&b->segments, key_of(&segment));

	if (s == NULL) {
		s = gw_calloc(1, sizeof(*s));
		s->segment = segment;
		map_put(&b->segments, key_of(&s->segment), s);
		effect_add(b, EFFECT_HOLD)->segment = segment;
	}
	s->n++;
	s->octets += octets;
	b->live += octets;
}

void segment_release(struct broker *b, uint64_t segment, uint64_t octets)
{
	struct needed *s = map_get(&b->segments, key_of(&segment));

	gw_assert(s != NULL && s->octets >= octets);
	s->octets -= octets;
	b->live -= octets;
	if (--s->n > 0)
		return;
	map_del(&b->segments, key_of(&s->segment));
	free(s);
	effect_add(b, EFFECT_RELEASE)->segment = segment;
}

void segment_hold_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets)
{
	segment_hold(b, first, octets);
	if (segment != first)
		segment_hold(b, segment, 0);
}

void segment_release_message(struct broker *b, uint64_t first, uint64_t segment, uint64_t octets)
{
	segment_release(b, first, octets);
	if (segment != first)
		segment_release(b, segment, 0);
}

uint64_t segment_live(const struct broker *b, uint64_t segment)
{
	const struct needed *s = map_get(&b->segments, key_of(&segment));

	return s != NULL ? s->octets : 0;
}
