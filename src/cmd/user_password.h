/* Where a new password comes from, and what is kept of it. */
#ifndef GW_CMD_USER_PASSWORD_H
#define GW_CMD_USER_PASSWORD_H

#include "auth/accounts.h"
#include "auth/passhash.h"

enum { MADE_UP = 32 };
enum { PASSWORD_MIN = 8, PASSWORD_MAX = 1024, SALT = 16, ITERATIONS = 4096 };

struct user_secret {
	char hash[PASSHASH_MAX];
	struct scram_verifier scram;
	uint8_t salt[SALT];
	bool has_scram;
	char made_up[MADE_UP]; /* the password itself, to be shown once it is in force; or "" */
};

struct user_password_options {
	const char *verb, *name;
	bool from_stdin, generate;
	const char *hash; /* as it is; NULL: made from a password */
};

/* An exit code; told. */
int user_secret_make(const struct user_password_options *o, struct user_secret *s) gw_checked;
void user_secret_wipe(struct user_secret *s);

#endif
