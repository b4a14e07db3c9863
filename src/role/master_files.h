/*
 * What master prepares in memory and on disk before the first process: the sealed configuration,
 * the spool directory with its lock.
 */
#ifndef GW_ROLE_MASTER_FILES_H
#define GW_ROLE_MASTER_FILES_H

#include "base/metric.h"
#include "base/span.h"
#include "role/pages.h"

/* A configuration with the memory file that has its text, which nobody can change any more. */
struct bundle_file {
	struct span text; /* a view of it */
	int fd;           /* -1: none */
};
/* 0; GW_EIO: errno says why. */
int master_seal(struct span bundle, struct bundle_file *out) gw_checked;
void master_unseal(struct bundle_file *b);

/*
 * The spool directory: made if missing (0700), handed to uid if not NULL (with the files in it
 * that belonged to its previous owner), locked for this process and its children. A descriptor,
 * or GW_EBUSY: standard error says why.
 */
int master_spool(const char *path, const unsigned *uid, const unsigned *gid) gw_checked;

/* The directory of the history, likewise. 0, or GW_EIO: standard error says why. */
int master_history(const char *path, const unsigned *uid, const unsigned *gid) gw_checked;

/*
 * The key of the tickets (auth/ticket.h), a file of the spool that is made at the first start: what
 * was proven before a restart must be provable after it. It is root's, or ours: the queue may not
 * read it. A descriptor to read it by, or GW_EIO: standard error says why.
 */
int master_ticket_key(int spool_dir, const char *spool) gw_checked;

/* In a child: the page of its counters, and with all_out the others' too, which cannot be written
 * then. Master's view is given up. */
struct metric_page *metric_pages_take(
    struct pages *p, size_t own, const struct metric_page **all_out);

#endif
