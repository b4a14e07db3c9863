/*
 * Crash sweeps: a history of a world stands still before every operation of its disk, and what a
 * crash would leave at this point is looked at: as many surviving images as the dice find, each
 * given to the real recovery (store_open, store_recover) and to a real new broker, whose workers
 * then ask for all there is to do. Then the images are forgotten and the history goes on.
 *
 * Of each image is checked, against the book of the world:
 *   - every message that was acknowledged or is known to be durable is there, or has ended;
 *   - nothing is there that was refused, or never committed;
 *   - a recipient that has ended durably has ended here, in the same way; no state is older than
 *     the one that was durable; a failure comes with its report;
 *   - the new broker hands out every open recipient once and nobody else, with the content that
 *     was accepted, octet for octet;
 *   - after the death of the queue alone: a receiver that asks is told what the log says.
 *
 * A crash point is counted once for each pair of an image and a state of the book that recovery
 * ran for: two images that recovery cannot tell apart are one (image_sum).
 */
#ifndef GW_TESTS_SIM_SWEEP_H
#define GW_TESTS_SIM_SWEEP_H

#include "sim/world.h"

struct sweep;

struct sweep *sweep_new(void) gw_checked;
void sweep_free(struct sweep **s);
/* A history begins; from now on its disk is watched. */
void sweep_begin(struct sweep *s, struct world *w, uint64_t seed);
/* Crash points that were judged, over all histories. */
uint64_t sweep_points(const struct sweep *s) gw_checked;

#endif
