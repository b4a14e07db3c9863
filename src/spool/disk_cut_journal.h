/*
 * The journal of disk_cut: what was done and not flushed, and how to undo it. Private to
 * disk_cut*.c; disk_cut.c writes it, disk_cut_power.c plays it back.
 *
 * An entry is written whole before its operation begins, so that a process that is killed between
 * the two leaves an entry that undoes nothing. An entry that was torn by the kill was of an
 * operation that never began. The format is that of the machine: journals are not carried about.
 */
#ifndef GW_SPOOL_DISK_CUT_JOURNAL_H
#define GW_SPOOL_DISK_CUT_JOURNAL_H

#include "spool/disk.h"

enum cut_kind {
	CUT_WRITE = 1, /* octets of a file; the old ones follow */
	CUT_SIZE,
	CUT_CREATE, /* `to` */
	CUT_RENAME, /* `from`, `to`; aside: a file that had the name `to` lies there */
	CUT_REMOVE, /* `from`; aside: the file lies there */
	/* What takes entries out again: */
	CUT_SYNC,     /* of the file, up to number `upto` */
	CUT_SYNC_DIR, /* of the names, up to number `upto` */
	CUT_CANCEL,   /* entry `upto`: its operation failed and did nothing */
	CUT_GONE,     /* everything of the file: it exists no more */
};

struct cut_entry {
	uint64_t magic, number;
	uint32_t kind, not_first; /* CUT_SYNC: what lies in the first page stays */
	uint64_t file;            /* inode number */
	uint64_t at, n;           /* CUT_WRITE */
	uint64_t old_size;        /* of the file; CUT_WRITE, CUT_SIZE */
	uint64_t old_n;           /* octets behind this entry: what lay there */
	uint64_t old_at;          /* in the journal; set when it is read */
	uint64_t upto;
	uint64_t aside; /* number of the file that was put aside, 0: none */
	char from[DISK_NAME_MAX], to[DISK_NAME_MAX];
};

enum { CUT_FIRST_PAGE = 4096 };

#define CUT_JOURNAL ".cut-journal"
#define CUT_MARK ".cut-mark"
#define CUT_ASIDE ".cut-aside-"

/* The entries that count, by number. */
struct cut_journal {
	int fd;
	struct cut_entry *live;
	size_t n, cap;
	uint64_t next;
	uint64_t end; /* of what was written whole */
};

static inline bool cut_is_name(const struct cut_entry *e)
{
	return e->kind == CUT_CREATE || e->kind == CUT_RENAME || e->kind == CUT_REMOVE;
}

/* Opens or makes the journal in the directory and reads it. 0 or GW_EIO with errno. */
int cut_journal_open(struct cut_journal *j, int dir_fd) gw_checked;
/* Ends what a killed process had begun, for the next one. 0, GW_EIO, GW_ENOSPC. */
int cut_journal_mend(struct cut_journal *j, int dir_fd) gw_checked;
void cut_journal_close(struct cut_journal *j);

/*
 * Gives the entry the next number, writes it with its old octets and lets it take effect. 0,
 * GW_EIO, GW_ENOSPC: then it is as if it had never been.
 */
int cut_journal_put(struct cut_journal *j, struct cut_entry *e, const void *old) gw_checked;
/* The operation of that entry failed: to undo it would undo what never was. Leaves errno alone. */
void cut_journal_cancel(struct cut_journal *j, uint64_t number);
/* Would this entry take out any other? */
bool cut_journal_matters(const struct cut_journal *j, const struct cut_entry *e);
/* Forgets the file's content if nothing in it counts. */
void cut_journal_trim(struct cut_journal *j);
/* Forgets all entries. 0 or GW_EIO. */
int cut_journal_reset(struct cut_journal *j) gw_checked;

void cut_aside_name(char name[DISK_NAME_MAX], uint64_t number);
/* The inode number of a name, 0 if there is no such plain file. */
uint64_t cut_file_of(int dir_fd, const char *name);

/* The plain files of the directory, those put aside among them, without mark and journal. */
struct cut_name {
	char name[DISK_NAME_MAX];
	uint64_t file;
};
struct cut_names {
	struct cut_name *e;
	size_t n, cap;
};
int cut_names_read(struct cut_names *l, int dir_fd) gw_checked;
void cut_names_fini(struct cut_names *l);
struct cut_name *cut_names_find(const struct cut_names *l, const char *name);
struct cut_name *cut_names_of(const struct cut_names *l, uint64_t file);
/* A name is taken over from the file that had it. */
void cut_names_set(struct cut_names *l, const char *name, uint64_t file);
/* Only if it is this file's. */
void cut_names_unset(struct cut_names *l, const char *name, uint64_t file);
bool cut_name_is_aside(const char *name);

#endif
