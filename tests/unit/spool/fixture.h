/* A store on a simulated disk, for the unit tests of the spool. */
#ifndef GW_TESTS_SPOOL_FIXTURE_H
#define GW_TESTS_SPOOL_FIXTURE_H

#include "sim/disk_sim.c"
#include "sim/disk_sim_cut.c"
#include "sim/faults.c"

#include "spool/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEGMENT = 65536 };

struct world {
	struct disk_sim *disk;
	struct store *store;
	struct store_params params;
	struct store_damage damage;
	/* What the last recovery gave out. */
	struct store_record found[200];
	char text[200][8]; /* the front of its meta */
	int n_found;
};

static uint64_t world_keys = 99;

static void world_random(void *to, size_t n)
{
	for (uint8_t *p = to; n > 0; n--)
		*p++ = (uint8_t)sim_random(&world_keys);
}

static inline struct store_record world_record(const char *meta, const struct span *body)
{
	struct store_record r = {.type = REC_MESSAGE, .meta = span_str(meta), .body = body};

	r.n_body = body ? 1 : 0;
	return r;
}

static inline enum store_outcome world_put(struct world *w, struct store_record *r)
{
	return store_commit(w->store, r, 1);
}

/* Opens and recovers; the result of the last store_recover. */
static inline int world_open(struct world *w)
{
	struct store_record r;
	char why[80];
	int rc = store_open(&w->store, disk_sim_disk(w->disk), &w->params, why, sizeof(why));

	w->n_found = 0;
	if (rc != 0)
		return rc;
	while ((rc = store_recover(w->store, &r, &w->damage)) > 0) {
		assert_in_range(w->n_found, 0, 199);
		span_to_cstr(r.meta, w->text[w->n_found], sizeof(w->text[0]));
		w->found[w->n_found++] = r;
	}
	return rc;
}

/* The process dies, with the power or without, and starts again. */
static inline void world_again(struct world *w, bool power_cut)
{
	disk_sim_die(w->disk);
	store_close(&w->store);
	if (power_cut)
		disk_sim_power_cut(w->disk);
	else
		disk_sim_restart(w->disk);
	assert_int_equal(world_open(w), 0);
}

static inline int world_set_up(void **state)
{
	struct world *w = gw_calloc(1, sizeof(*w));
	struct disk_sim_params p = {.capacity = 64 * SEGMENT};

	w->params = (struct store_params){.segment_size = SEGMENT, .random = world_random};
	w->disk = disk_sim_new(7, &p);
	*state = w;
	return world_open(w);
}

static inline int world_tear_down(void **state)
{
	struct world *w = *state;

	store_close(&w->store);
	disk_sim_free(&w->disk);
	free(w);
	return 0;
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

#endif
