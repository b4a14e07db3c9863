/* What the files of "godwit user" share. */
#ifndef GW_CMD_USER_H
#define GW_CMD_USER_H

#include "cmd/flags.h"
#include "cmd/user_file.h"

struct user_options {
	struct cmd_globals g;
	const char *verb; /* "user add" */
	const char *file, *hash, *reason, *plan, *tenant;
	struct flag_list as, header_as, from;
	bool from_stdin, generate;
};

/* Opens the users file that the options name. An exit code; told. */
int user_open(const struct user_options *o, struct user_file *f, bool change) gw_checked;
/* "godwit user add: ..." on standard output, unless quiet. */
void user_say(const struct user_options *o, const char *fmt, ...) gw_printf(2, 3);
int user_fail(const struct user_options *o, int code, const char *fmt, ...) gw_printf(3, 4);

/* The account of that name with its line in the file, which is open and locked. An exit code; told.
 */
int user_find(const struct user_options *o, const struct user_file *f, const char *name,
    struct account *a) gw_checked;
/* That it is not there: the exit code. */
int user_no_such(const struct user_options *o, const char *name);
/* The account becomes that line (0: a new last one) and is saved. comment as in user_file_edit().
 */
int user_put(
    struct user_file *f, unsigned line, const struct account *a, struct span comment) gw_checked;

/* The verbs: word[0] is the name of the account. (user_add.c) */
int user_add(const struct user_options *o, char **word) gw_checked;
int user_passwd(const struct user_options *o, char **word) gw_checked;
int user_rm(const struct user_options *o, char **word) gw_checked;
/* (user_change.c) */
int user_suspend(const struct user_options *o, char **word) gw_checked;
int user_activate(const struct user_options *o, char **word) gw_checked;
int user_close(const struct user_options *o, char **word) gw_checked;
int user_plan(const struct user_options *o, char **word) gw_checked;
int user_tenant(const struct user_options *o, char **word) gw_checked;
/* The lines of a file of names and hashes become accounts. (user_import.c) */
int user_import(const struct user_options *o, const char *from) gw_checked;
/* (user_list.c) */
int user_list(const struct user_options *o) gw_checked;

#endif
