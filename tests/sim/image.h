/*
 * What a crash would leave of a simulated disk at this moment, as a disk of its own: files borrow
 * their octets from the simulated disk and are copied when something is written to them, so that
 * thousands of images can be made while a history stands still. Only recovery runs on an image:
 * a file it makes or renames is refused and noted.
 *
 * An image is valid until the next operation of the simulated disk. Its memory is kept from one
 * image to the next. In one thread.
 */
#ifndef GW_TESTS_SIM_IMAGE_H
#define GW_TESTS_SIM_IMAGE_H

#include "sim/disk_sim.h"

struct image;

struct image *image_new(void) gw_checked;
void image_free(struct image **im);
struct disk *image_disk(struct image *im);

/* The power is cut: un-flushed writes, sizes and names survive by the dice. */
void image_cut(struct image *im, const struct disk_sim *s, uint64_t *rng);
/* The process alone dies: all that programs saw is there. */
void image_kill(struct image *im, const struct disk_sim *s);
/* The same for two images that recovery cannot tell apart: names, sizes, octets of what counts. */
uint64_t image_sum(struct image *im) gw_checked;

/* What recovery did that it must not do, or NULL. */
const char *image_violation(const struct image *im) gw_checked;

/* Is something not flushed: may images of this moment differ? */
bool image_choices(const struct disk_sim *s) gw_checked;
/* Counts up with every operation that may have changed the disk. */
uint64_t image_changes(const struct disk_sim *s) gw_checked;

#endif
