/*
 * Texts without which a regular expression cannot match, and a quick look
 * whether a text may hold them. Most rules have nothing to do with most replies; this finds it out
 * for some nanoseconds each, and the search is made for the rest alone.
 *
 * It errs on one side only: what it turns away cannot match. Where a pattern is not understood it
 * says nothing, and such a rule is always tried.
 */
#ifndef GW_CONFIG_LITERAL_H
#define GW_CONFIG_LITERAL_H

#include "base/arena.h"
#include "base/span.h"

/* Three octets in a row, hashed: which of them are in a text. */
enum { GRAM = 3, GRAM_BITS = 4096, GRAMS_OF_ONE = 3 };
struct gram_set {
	uint64_t word[GRAM_BITS / 64];
};
void gram_set_fill(struct gram_set *s, struct span lower);

struct literal {
	uint16_t gram[GRAMS_OF_ONE];
};
/* One of each set must be there; n == 0: nothing is known. */
enum { LITERAL_SETS = 2 };
struct literals {
	struct literal_set {
		const struct literal *one;
		size_t n;
	} set[LITERAL_SETS];
};
/* Of a pattern that is compared without regard to case; memory of the arena. */
struct literals literals_of(const char *pattern, struct arena *a);
bool literals_may(const struct literals *l, const struct gram_set *s);

#endif
