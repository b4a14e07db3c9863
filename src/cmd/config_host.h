/*
 * What the configuration says of this machine and the machine does not have: addresses to leave
 * from, programs and their users, files that come with other packages. Warnings: all of it may be
 * there when the server starts.
 */
#ifndef GW_CMD_CONFIG_HOST_H
#define GW_CMD_CONFIG_HOST_H

#include "config/config.h"

void config_host_judge(const struct config *c, struct config_diags *d);

#endif
