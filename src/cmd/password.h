/*
 * Where a command gets a password from: a file, the environment, or the terminal, where it is typed
 * unseen. Never a flag: those are in everybody's list of processes.
 */
#ifndef GW_CMD_PASSWORD_H
#define GW_CMD_PASSWORD_H

#include "base/buf.h"

enum { PASSWORD_BYTES = 1024 };

/*
 * file: its first line ("-": standard input), or NULL; then the variable; then the terminal, where
 * the prompt stands. 0, or GW_ENOENT: there is none, and why was said as "godwit VERB: ...". The
 * owner of *out wipes it.
 */
int password_get(const char *verb, const char *file, const char *variable, const char *prompt,
    struct buf *out) gw_checked;

#endif
