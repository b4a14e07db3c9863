/* --at and --in of "godwit send": when the server is to send the message on (RFC 4865). */
#ifndef GW_CMD_SEND_RELEASE_H
#define GW_CMD_SEND_RELEASE_H

#include "base/span.h"

struct send_release {
	const char *at;     /* as given; NULL: not */
	int64_t in;         /* microseconds; 0: not given */
	char parameter[64]; /* of MAIL; "" without either flag */
};

/* Reads the flags. CMD_OK, or CMD_USAGE when all is said. */
int send_release_prepare(struct send_release *r) gw_checked;
/* Does the server of this session keep mail? Else all is said, and nothing may be sent to it. */
struct client;
bool send_release_offered(const struct send_release *r, const struct client *c) gw_checked;

#endif
