/*
 * What the configuration and its users file say of each other: plans of accounts that are not
 * there, accounts and tenants of statements that the file does not have. All of it is a warning:
 * either may come later.
 */
#ifndef GW_CMD_CONFIG_ACCOUNTS_H
#define GW_CMD_CONFIG_ACCOUNTS_H

#include "auth/accounts.h"
#include "config/config.h"

/* all: those of c->users. */
void config_accounts_judge(
    const struct config *c, const struct accounts *all, struct config_diags *d);

#endif
