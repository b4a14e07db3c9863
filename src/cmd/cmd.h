/*
 * What the verbs of the program share. main() reads the flags that stand before the verb, then
 * calls the verb's function (commands.def) with the verb as argv[0]; it returns the exit code.
 */
#ifndef GW_CMD_CMD_H
#define GW_CMD_CMD_H

#include "base/base.h"

struct cmd_globals {
	const char *config; /* --config, or NULL */
	bool json, quiet, no_color, yes;
	int64_t timeout; /* microseconds; 0: the verb's own */
};

/* One scheme for all verbs; the numbers above 63 are those of sysexits. */
enum cmd_exit {
	CMD_OK = 0,
	CMD_NO = 1,    /* not for now, or partly done, or checks failed */
	CMD_NEVER = 2, /* not for good: would bounce */
	CMD_USAGE = 64,
	CMD_NOT_FOUND = 66,
	CMD_AWAY = 69, /* the server cannot be reached */
	CMD_LATER = 75,
	CMD_DENIED = 77,
	CMD_INTERRUPTED = 130,
};

#define CMD_DEFAULT_CONFIG "/etc/godwit/godwit.conf"

#define COMMAND(name, function, hidden, purpose, usage) \
	int function(const struct cmd_globals *g, int argc, char **argv);
#include "cmd/commands.def"
#undef COMMAND

#endif
