/*
 * The log of a process, as the configuration says; for boot.c and master.
 */
#ifndef GW_ROLE_BOOT_LOG_H
#define GW_ROLE_BOOT_LOG_H

#include "config/config.h"

/* Opens the log file, or takes standard error. 0, or GW_EIO with errno. */
int boot_log(const struct config *c, const char *role) gw_checked;

#endif
