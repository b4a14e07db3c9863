/* What the files of "godwit user" share. */
#ifndef GW_CMD_USER_H
#define GW_CMD_USER_H

#include "cmd/flags.h"
#include "cmd/user_file.h"

struct user_options {
	struct cmd_globals g;
	const char *verb; /* "user add" */
	const char *file, *hash, *reason;
	struct flag_list as, header_as, from;
	bool from_stdin, generate;
};

/* Opens the users file that the options name. An exit code; told. */
int user_open(const struct user_options *o, struct user_file *f, bool change) gw_checked;
/* "godwit user add: ..." on standard output, unless quiet. */
void user_say(const struct user_options *o, const char *fmt, ...) gw_printf(2, 3);
int user_fail(const struct user_options *o, int code, const char *fmt, ...) gw_printf(3, 4);

/* The lines of a file of names and hashes become accounts. (user_import.c) */
int user_import(const struct user_options *o, const char *from) gw_checked;
/* (user_list.c) */
int user_list(const struct user_options *o) gw_checked;

#endif
