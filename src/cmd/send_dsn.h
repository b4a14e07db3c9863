/* --notify, --ret and --envid of "godwit send": which reports are wanted (RFC 3461). */
#ifndef GW_CMD_SEND_DSN_H
#define GW_CMD_SEND_DSN_H

#include "mail/envelope.h"

struct send_dsn {
	const char *notify_flag, *ret_flag, *envid; /* as given; NULL: not */
	uint8_t notify;
	enum dsn_ret ret;
};

/* Reads the flags. CMD_OK, or CMD_USAGE when all is said. */
int send_dsn_prepare(struct send_dsn *d) gw_checked;

#endif
