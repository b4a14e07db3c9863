/*
 * Who listens on a TCP port of this machine: for the message that says why we cannot.
 */
#ifndef GW_ROLE_PORT_OWNER_H
#define GW_ROLE_PORT_OWNER_H

#include "base/base.h"

/* "master (pid 812)" into text: true; false if it cannot be seen. */
bool port_owner(uint16_t port, char *text, size_t size) gw_checked;

#endif
