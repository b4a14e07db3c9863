/*
 * What "godwit dev" prepares: where it listens, its directories, its configuration.
 */
#ifndef GW_CMD_DEV_SETUP_H
#define GW_CMD_DEV_SETUP_H

#include "base/buf.h"
#include "cmd/flags.h"

#include <limits.h>

enum { DEV_LISTEN_MAX = 16, DEV_AT_MAX = 80 };

struct dev_setup {
	/* Asked for. */
	const char *data;    /* --data, or NULL */
	const char *forward; /* HOST:PORT, or NULL */
	struct flag_list listen_flags;
	/* Found. */
	char dir[PATH_MAX];
	bool temporary;
	char listen[DEV_LISTEN_MAX][DEV_AT_MAX];
	size_t n_listen;
	bool open; /* listens beyond loopback */
	const char *run_as;
};

/* ADDR, ADDR:PORT, PORT, [v6]:PORT -> "ADDR:PORT" as the configuration writes it; *loopback: only
 * this machine reaches it. 0 or GW_EFORMAT. */
int dev_listen_parse(const char *text, char at[DEV_AT_MAX], bool *loopback) gw_checked;
/* A path that can stand in the configuration and has room for a socket's name behind it. */
bool dev_path_usable(const char *path);
/* The configuration as text. */
void dev_config(const struct dev_setup *s, struct buf *out);

/* Chooses listeners: busy ports are named on standard error and left out. CMD_OK or an exit code.
 */
int dev_choose_listeners(struct dev_setup *s) gw_checked;
/* Makes the directories. CMD_OK or an exit code. */
int dev_make_dirs(struct dev_setup *s) gw_checked;
/* Removes a temporary directory with all that is in it. */
void dev_remove_dirs(const struct dev_setup *s);

#endif
