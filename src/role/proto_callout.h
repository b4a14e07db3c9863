/*
 * Payloads of CALLOUT and CALLED: is a recipient known to whoever a domain names for it? Decoding
 * treats the bytes as hostile, as in role/proto.h.
 */
#ifndef GW_ROLE_PROTO_CALLOUT_H
#define GW_ROLE_PROTO_CALLOUT_H

#include "base/buf.h"

enum { CALLOUT_ADDRESS_MAX = 1000, CALLOUT_WHY_MAX = 200 };

struct proto_callout {
	uint64_t request; /* chosen by the receiver */
	uint8_t ip[16];   /* of the client, whose guesses are limited; all 0: nobody's are */
	struct span domain, address; /* of the statement; canonical */
};
void proto_put_callout(struct buf *b, const struct proto_callout *c);
int proto_get_callout(struct span in, struct proto_callout *c) gw_checked;

enum called {
	CALLED_KNOWN,
	CALLED_UNKNOWN,
	CALLED_AWAY, /* nobody could say */
	CALLED_BUSY, /* the client asked for too many that are unknown, or for too many at once */
	CALLED_MAX = CALLED_BUSY,
};
struct proto_called {
	uint64_t request;
	uint8_t called;
	struct span why; /* for the log; put as one line, cut to CALLOUT_WHY_MAX */
};
void proto_put_called(struct buf *b, const struct proto_called *c);
int proto_get_called(struct span in, struct proto_called *c) gw_checked;

#endif
