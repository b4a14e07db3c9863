/*
 * What a process may spend when the machine has little: memory kept aside, a place in the
 * kernel's order of whom to end first, descriptors for what it is about to start.
 */
#ifndef GW_ROLE_MEANS_H
#define GW_ROLE_MEANS_H

#include "net/ipc.h"

/* In a new process, before its jail. The queue is the last to be ended: it has what was promised.
 */
void means_take(enum role role);
/* Are so many descriptors to be had at this moment? */
bool means_descriptors(unsigned n);

#endif
