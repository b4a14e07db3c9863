/*
 * The log of a process, as the configuration says; for boot.c and master.
 */
#ifndef GW_ROLE_BOOT_LOG_H
#define GW_ROLE_BOOT_LOG_H

#include "config/config.h"

/* Opens the log file, or takes standard error. Dies when it cannot be opened. */
void boot_log(const struct config *c, const char *role);

#endif
