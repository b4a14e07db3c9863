/*
 * One address that is tried: a socket bound to the source and being connected. Embedded in the
 * walk.
 */
#ifndef GW_ROLE_SENDER_TRY_H
#define GW_ROLE_SENDER_TRY_H

#include "role/sender.h"

/* Which address of which host. */
struct spot {
	size_t host, address;
};

struct attempt {
	struct watch watch; /* while fd >= 0 */
	struct walk *walk;
	int fd; /* -1: this one is free */
	int64_t started;
	struct spot spot;
};

/* Who it is, in words; address NULL: the Unix socket at path. */
void peer_name(
    struct peer *p, const struct host *h, const struct host_address *a, struct span path);
/* 0: connecting or connected, fn(t) is called when it is known; else errno, and nothing is open. */
int attempt_start(struct attempt *t, struct loop *l, const struct proto_target *target,
    const struct host_address *a, void (*fn)(void *, bool, bool)) gw_checked;
/* What came of it: 0 or errno. */
int attempt_result(const struct attempt *t);
/* Gives the socket away. */
int attempt_take(struct attempt *t);
/* Closes it if it is open. */
void attempt_end(struct attempt *t);

#endif
