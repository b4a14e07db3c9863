/*
 * What ps shows of a process.
 */
#ifndef GW_ROLE_TITLE_H
#define GW_ROLE_TITLE_H

#include "base/base.h"

/* The command line becomes this text. What main was given in argv is gone then. */
void title_set(const char *fmt, ...) gw_printf(1, 2);

#endif
