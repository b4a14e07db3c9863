/*
 * What recipients.c (the table and its look-ups) and recipients_read.c (the two grammars) share.
 */
#ifndef GW_CONFIG_RECIPIENTS_PRIVATE_H
#define GW_CONFIG_RECIPIENTS_PRIVATE_H

#include "base/map.h"
#include "config/recipients.h"

struct entry {
	struct recipient_rule rule;
	bool alias; /* of the aliases file */
	enum { ENTRY_NEW, ENTRY_OPEN, ENTRY_DONE } state;
	unsigned depth;     /* of the names behind it */
	size_t addresses;   /* it stands for */
	struct entry *next; /* of all entries, or of all patterns */
};

struct recipients {
	struct arena arena;
	struct map names, aliases;
	struct entry *all, **all_end;
	struct entry *patterns, **patterns_end;
	size_t n_patterns;
};

/* A text being read: the first mistake ends it. */
struct table_reader {
	struct recipients *r;
	const char *file;
	struct recipients_error *e;
	unsigned line;
	const uint8_t *line_start; /* for columns */
	bool failed;
};

/* Notes the mistake; at NULL: the line as a whole. False, for "return". */
bool table_fail(struct table_reader *t, const uint8_t *at, const char *fmt, ...) gw_printf(3, 4);
/* Memory of the table; NULL after a mistake was noted (it is too large). */
void *table_alloc(struct table_reader *t, size_t n) gw_checked;
/* Files the entry under its name or pattern; false: it is there already. */
bool table_add(struct table_reader *t, struct entry *x, bool pattern, const uint8_t *at) gw_checked;

/* recipients_read.c */
void table_read(struct table_reader *t, struct span text);
void aliases_read(struct table_reader *t, struct span text);

#endif
