/*
 * Reading the flags of a verb from a table: --name value, --name=value, -- ends the flags. The
 * global flags (--json and so on) are known everywhere. Words that are no flags are moved to the
 * front of argv, in their order.
 */
#ifndef GW_CMD_FLAGS_H
#define GW_CMD_FLAGS_H

#include "cmd/cmd.h"

#include <stdio.h>

enum flag_kind {
	FLAG_ON,     /* bool */
	FLAG_TEXT,   /* const char * */
	FLAG_LIST,   /* struct flag_list: may be repeated */
	FLAG_NUMBER, /* uint64_t: 100, 20k (1000) */
	FLAG_SIZE,   /* uint64_t: octets, 10k (1024) */
	FLAG_TIME,   /* int64_t: microseconds, 5s */
};

enum { FLAG_LIST_MAX = 64 };
struct flag_list {
	const char *value[FLAG_LIST_MAX];
	size_t n;
};

struct flag {
	const char *name; /* "--limit" */
	enum flag_kind kind;
	void *to;
};

struct flags {
	const char *verb; /* as the user wrote it, for messages; "" for the program */
	const struct flag *flag;
	size_t n;
	struct cmd_globals *globals;
	bool first_word_ends; /* leave everything from the first word on alone */
};

/*
 * argv[0] is the verb; afterwards argv[1..*argc) are the words. True: go on. False: stop with *code
 * (usage error, already told; or help was asked for and printed).
 */
bool flags_read(const struct flags *f, int *argc, char **argv, int *code) gw_checked;

/* "godwit VERB: sentence" and "usage: ..." on standard error; CMD_USAGE. */
int flags_usage(const char *verb, const char *fmt, ...) gw_printf(2, 3);

/* 0, or GW_EFORMAT; k is what a "k" means. */
int flag_number(const char *text, uint64_t k, uint64_t *out) gw_checked;
int flag_time(const char *text, int64_t *out) gw_checked;

#endif
