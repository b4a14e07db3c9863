/*
 * What the files of "godwit spool import" share: spool_import.c goes through all messages and puts
 * them into the spool, spool_incoming.c reads one and says what of it is to go there.
 */
#ifndef GW_CMD_SPOOL_IMPORT_H
#define GW_CMD_SPOOL_IMPORT_H

#include "cmd/spool.h"

enum { IMPORT_NAME_SIZE = MSGID_TEXT + 8 };

struct import {
	struct spool_tool *tool;
	struct store *store;
	struct store_params params;
	struct map known; /* ids in the log */
	struct arena arena;
	struct buf text;
	json_t *refused;
	int dir;
	char (*name)[IMPORT_NAME_SIZE];
	size_t n, cap;
	uint64_t imported, present, finished, n_refused;
	bool broken; /* the spool takes nothing more */
};

/* The message being imported. */
struct incoming {
	json_t *json;
	struct envelope e;
	uint8_t *content;
	size_t n;
	struct buf meta, change, held;
};

/* ---- spool_incoming.c */

/* Its envelope and its content, from NAME and the .eml beside it; in is the caller's to free, also
 * then. What is wrong, or NULL. */
const char *import_read_incoming(
    struct import *x, const char *name, struct incoming *in) gw_checked;
/* Leaves the recipients that are not finished; what was tried of them becomes one change. False:
 * all are finished. */
bool import_keep_open(struct import *x, struct incoming *in) gw_checked;

#endif
