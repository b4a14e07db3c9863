#include "sim/sweep.h"

#include "sim/image.h"
#include "sim/judge.h"
#include "sim/trace.h"

#include <stdlib.h>

/* Images that are tried at one operation; so many in a row that are known already are enough. */
enum { TRIES = 16, KNOWN_MAX = 3, SEEN_FIRST = 1 << 12 };

struct sweep {
	struct world *w;
	struct image *image;
	struct judge *judge;
	uint64_t rng, points;
	uint64_t changes, version; /* of disk and book when the last look was taken */
	/* Pairs of image and book that were judged: an open hash table of this history. */
	uint64_t *seen;
	size_t n_seen, cap_seen;
};

struct sweep *sweep_new(void)
{
	struct sweep *s = gw_calloc(1, sizeof(*s));

	s->image = image_new();
	s->judge = judge_new();
	s->cap_seen = SEEN_FIRST;
	s->seen = gw_calloc(s->cap_seen, sizeof(*s->seen));
	return s;
}

void sweep_free(struct sweep **ps)
{
	struct sweep *s = *ps;

	if (!s)
		return;
	image_free(&s->image);
	judge_free(&s->judge);
	free(s->seen);
	free(s);
	*ps = NULL;
}

uint64_t sweep_points(const struct sweep *s)
{
	return s->points;
}

/* ---- what was judged already ------------------------------------------------------------------
 */

static bool place(uint64_t *table, size_t cap, uint64_t key)
{
	size_t i = key & (cap - 1);

	while (table[i] != 0 && table[i] != key)
		i = (i + 1) & (cap - 1);
	if (table[i] == key)
		return false;
	table[i] = key;
	return true;
}

static void grow(struct sweep *s)
{
	uint64_t *larger = gw_calloc(2 * s->cap_seen, sizeof(*larger));

	for (size_t i = 0; i < s->cap_seen; i++) {
		if (s->seen[i] != 0)
			(void)!place(larger, 2 * s->cap_seen, s->seen[i]);
	}
	free(s->seen);
	s->seen = larger;
	s->cap_seen *= 2;
}

/* Was this image never judged with this book? */
static bool is_new(struct sweep *s, bool kill)
{
	uint64_t key = image_sum(s->image) + s->w->book.version * UINT64_C(0x9E3779B97F4A7C15);

	key = (key ^ kill) | 2;
	if (2 * s->n_seen >= s->cap_seen)
		grow(s);
	if (!place(s->seen, s->cap_seen, key))
		return false;
	s->n_seen++;
	return true;
}

/* ---- looking ----------------------------------------------------------------------------------
 */

static bool look(struct sweep *s, bool kill)
{
	if (kill)
		image_kill(s->image, s->w->disk);
	else
		image_cut(s->image, s->w->disk, &s->rng);
	if (!is_new(s, kill))
		return false;
	s->points++;
	judge_image(s->judge, s->w, image_disk(s->image), kill);
	if (image_violation(s->image))
		sim_fail("recovery %s", image_violation(s->image));
	return true;
}

static void look_around(struct sweep *s)
{
	unsigned known = 0;

	(void)look(s, true);
	if (!image_choices(s->w->disk)) {
		(void)look(s, false);
		return;
	}
	for (int i = 0; i < TRIES && known < KNOWN_MAX; i++)
		known = look(s, false) ? 0 : known + 1;
}

static void at_operation(void *arg, const struct disk_sim_event *e)
{
	struct sweep *s = arg;
	uint64_t changes = image_changes(s->w->disk);

	if (e->failed || (changes == s->changes && s->w->book.version == s->version))
		return;
	s->changes = changes;
	s->version = s->w->book.version;
	look_around(s);
}

void sweep_begin(struct sweep *s, struct world *w, uint64_t seed)
{
	s->w = w;
	s->rng = seed ^ UINT64_C(0x53776565);
	s->changes = s->version = UINT64_MAX;
	s->n_seen = 0;
	memset(s->seen, 0, s->cap_seen * sizeof(*s->seen));
	judge_begin(s->judge);
	disk_sim_watch(w->disk, at_operation, s);
}
