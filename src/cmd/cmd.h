/*
 * What the verbs of the program share. main() reads the flags that stand before
 * the verb, then calls one of these with the verb as argv[0]; each returns the
 * exit code (the scheme is in docs of the command line: 0, 1, 2, 64, 66, 69 ...).
 */
#ifndef GW_CMD_CMD_H
#define GW_CMD_CMD_H

#include "base/base.h"

struct cmd_globals {
	const char *config; /* --config, or NULL */
	bool json, quiet, no_color, yes;
};

int cmd_bench(const struct cmd_globals *g, int argc, char **argv);

#endif
