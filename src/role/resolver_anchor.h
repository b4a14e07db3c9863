/*
 * Which names have a trust anchor, and what that means for servers named in the configuration: what
 * a stub says is validated where a chain of signatures can reach it without leaving what was named.
 * A domain that is served inside only (or otherwise than outside) is not in the signed tree of the
 * world, whose proof that it does not exist would make all of it bogus.
 */
#ifndef GW_ROLE_RESOLVER_ANCHOR_H
#define GW_ROLE_RESOLVER_ANCHOR_H

#include "config/config.h"

enum { ANCHORS_MAX = 64 };

struct anchors {
	char *name[ANCHORS_MAX]; /* lower case, with the last dot */
	size_t n;
};

/* The owner names of the records of a file in zone format. 0, or GW_EIO: see errno. */
int anchors_read(struct anchors *a, const char *path) gw_checked;
void anchors_free(struct anchors *a);

/* Is the name the same as the other one, or below it? Both with their last dot. */
bool anchors_below(const char *name, const char *other);
/* Is there an anchor from which this stub can be validated: at or below its domain, or above it
 * within another stub? */
bool anchors_reach(const struct anchors *a, const struct config *c, const char *domain);

#endif
