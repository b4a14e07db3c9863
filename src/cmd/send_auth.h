/*
 * The login of "godwit send": SASL PLAIN, LOGIN and SCRAM-SHA-256 (-PLUS where TLS gives what it is
 * bound to) as a client, RFC 4954, 4616, 5802, 7677.
 */
#ifndef GW_CMD_SEND_AUTH_H
#define GW_CMD_SEND_AUTH_H

#include "cmd/send_session.h"

/*
 * Logs in by this mechanism (enum sasl_mechanism), or with -1 by the best that is offered. True:
 * the server said 235, and with SCRAM proved that it knows the password. False: s->why has the
 * reply, or what is wrong, with code 0.
 */
bool send_auth(
    struct send_session *s, const char *user, struct span password, int mechanism) gw_checked;

#endif
