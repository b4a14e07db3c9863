/*
 * godwit spool: tools that read a spool without the daemon (verify, stats,
 * export) and one that puts messages into it (import). They hold the lock of the
 * directory, which the daemon holds while it runs, so they never meet; with
 * --read-only, verify and stats look at a spool that is in use.
 *
 * spool.c opens, spool_scan.c reads through it, spool_envelope.c knows the JSON
 * form of an envelope; one file per tool, and a second one of import (spool_import.h).
 */
#ifndef GW_CMD_SPOOL_H
#define GW_CMD_SPOOL_H

#include "cmd/cmd.h"
#include "cmd/progress.h"
#include "mail/envelope.h"
#include "spool/inspect.h"
#include "spool/ledger.h"

#include <jansson.h>
#include <stdio.h>

struct spool_tool {
	const struct cmd_globals *g;
	const char *verb; /* "spool verify" */
	const char *path; /* of the spool */
	const char *with; /* the directory of export and import */
	bool read_only, all;
	bool live;                      /* somebody else has the lock */
	bool makes;                     /* a spool that is not there yet */
	uint64_t segment_size, reserve; /* as configured; 0: not known */
	int dir_fd;
	struct disk *disk; /* owns dir_fd */
	struct inspect *inspect;
	struct ledger ledger;
};

/* Each is given the spool locked (or live), and for the first three inspected; the exit code. */
int spool_verify(struct spool_tool *t);
int spool_stats(struct spool_tool *t);
int spool_export(struct spool_tool *t);
int spool_import(struct spool_tool *t);

/* "godwit spool verify: sentence" on standard error; CMD_NO. */
int spool_error(const struct spool_tool *t, const char *fmt, ...) gw_printf(2, 3);
int spool_inspect(struct spool_tool *t) gw_checked; /* 0, or the exit code: it was told why */

/*
 * Reads through the whole spool with progress and keeps the ledger. For each item the function is
 * called (it may be NULL), with the ledger's word on it. 0 or GW_EIO.
 */
typedef void spool_item_fn(
    void *arg, const struct inspect_item *item, const struct ledger_entry *entry);
int spool_scan(struct spool_tool *t, spool_item_fn *fn, void *arg) gw_checked;

/* "seg-0000000000000003, offset 8192: body of MESSAGE 01ABC...", for people. */
void spool_describe(const struct inspect_item *item, struct buf *out);
json_t *spool_describe_json(const struct inspect_item *item);
/* Prints the object in one line and drops it; the exit code. */
int spool_print_json(json_t *object, int code);

/* The content of a message as it lies in the spool, checked against its checksums. */
struct spool_content {
	uint8_t *mem;
	size_t n;
};
int spool_content(struct spool_tool *t, const struct ledger_message *m, uint32_t head_length,
    struct spool_content *out) gw_checked;

/* The JSON form: everything but parts and ends. NULL if memory ran out. */
json_t *spool_envelope_json(const struct envelope *e);
/* The arrays are in the arena, the texts in the object. 0, or GW_EFORMAT with the name of what is
 * wrong in *what. */
int spool_envelope_read(
    const json_t *object, struct arena *a, struct envelope *e, const char **what) gw_checked;
/* Text that is no UTF-8 becomes {"hex": "..."}. */
json_t *spool_text_json(struct span s);
bool spool_text_read(const json_t *value, struct arena *a, struct span *out) gw_checked;
extern const char *const spool_outcomes[OUTCOME_MAX + 1];

#endif
