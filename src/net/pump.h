/*
 * A pump carries octets between two connections until one of them ends: between
 * a peer, whose TLS lives in this process and cannot be handed on, and a pair of
 * sockets whose other end another process has. It looks at nothing that it
 * carries.
 *
 * What one side said before it ended still reaches the other: its end is passed on behind the last
 * octet. Then the other side has PUMP_PATIENCE to say the rest. Embedded in its owner, who has
 * stopped whatever watched the two connections before.
 */
#ifndef GW_NET_PUMP_H
#define GW_NET_PUMP_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/stream.h"

enum {
	PUMP_BUFFER = 64 << 10,       /* octets in each direction; beyond: the source waits */
	PUMP_PATIENCE = 30 * 1000000, /* microseconds */
};

struct pump;

/* One direction of it. */
struct pump_way {
	struct stream *from, *to;
	struct buf waiting;
	uint64_t carried;
	bool from_ended; /* nothing more comes */
	bool closed;     /* and that was passed on, or "to" takes nothing more */
};

struct pump {
	struct loop *loop;
	struct stream *peer, *pair; /* borrowed; both plain or one with TLS */
	struct pump_way in, out;    /* from the peer, to the peer */
	struct watch peer_watch, pair_watch;
	struct flush again; /* there may be more to carry, without a word of the sockets */
	struct timer timer;
	void (*over)(void *arg);
	void *arg;
};

/* early: octets of the peer that were read already. over() is called once, from the loop, when
 * nothing more can be carried; the owner calls pump_stop() there, and closes both. */
void pump_start(struct pump *p, struct loop *l, struct stream *peer, struct stream *pair,
    struct span early, void (*over)(void *), void *arg);
/* Frees what is embedded; the connections stay open. */
void pump_stop(struct pump *p);

#endif
