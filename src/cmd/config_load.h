/*
 * The configuration, for a command that works by it, and what is wrong with it, for people.
 */
#ifndef GW_CMD_CONFIG_LOAD_H
#define GW_CMD_CONFIG_LOAD_H

#include "config/config.h"

/* NULL: it cannot be used. loud: why not is said on standard error. */
struct config *cmd_config_load(const char *path, bool loud) gw_checked;
/* On standard error. */
void cmd_config_print(const struct config_diags *d);

#endif
