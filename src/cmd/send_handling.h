/*
 * --deliver-by, --priority and --require-tls of "godwit send": how the message is to be handled on
 * its way (mail/handling.h).
 */
#ifndef GW_CMD_SEND_HANDLING_H
#define GW_CMD_SEND_HANDLING_H

#include "cmd/send_session.h"

struct send_handling {
	const char *deliver_by, *priority; /* as given; NULL: not */
	bool require_tls;
	struct handling said;
	int32_t by_time; /* seconds */
};

/* Reads the flags. CMD_OK, or CMD_USAGE when all is said. */
int send_handling_prepare(struct send_handling *h) gw_checked;
/*
 * Behind the greeting. CMD_OK: the server keeps what has to be kept, and the user was told of what
 * else it does not know; or the exit status, after it was told why.
 */
int send_handling_check(
    const struct send_handling *h, const struct send_session *s, bool quiet) gw_checked;
void send_handling_put(const struct send_handling *h, struct client_txn *txn);

#endif
