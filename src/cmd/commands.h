/*
 * The verbs as a table: dispatch, help, and what was probably meant.
 */
#ifndef GW_CMD_COMMANDS_H
#define GW_CMD_COMMANDS_H

#include "cmd/cmd.h"

struct command {
	const char *name;
	int (*run)(const struct cmd_globals *g, int argc, char **argv);
	bool hidden;
	const char *purpose, *usage;
};

const struct command *command_find(const char *name);
/* Usage of a verb ("queue", "queue list"), or of the program for "", on standard output; CMD_OK. */
int command_help(const char *verb);
/* The whole program behind main(). */
int command_main(int argc, char **argv);

#endif
