/*
 * The table of accounts without its secrets, as the vault sends it (ACCOUNTS) to receivers and to
 * the queue.
 */
#ifndef GW_ROLE_ACCOUNTS_FRAME_H
#define GW_ROLE_ACCOUNTS_FRAME_H

#include "auth/accounts.h"
#include "net/ipc.h"

/* Puts what the frame brings into *table, in the place of what is there. Closes its descriptor. A
 * text that cannot be read changes nothing and is logged; GW_EFORMAT. */
int accounts_frame_take(const struct ipc_frame *f, struct accounts **table);

#endif
