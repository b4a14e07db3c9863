/*
 * The files that a configuration names, judged as the server will judge them: "config check" and
 * the start say the same of them. What is wrong stands at its own line and column.
 */
#ifndef GW_CMD_CONFIG_FILES_H
#define GW_CMD_CONFIG_FILES_H

#include "config/config.h"

/* False: at least one cannot be used; *d says which and why. */
bool config_files_good(const struct config *c, struct config_diags *d) gw_checked;

#endif
