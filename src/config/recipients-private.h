/*
 * What recipients.c (the table and its look-ups), recipients_read.c (the grammar of the recipients
 * file) and recipients_aliases.c (that of aliases(5)) share.
 */
#ifndef GW_CONFIG_RECIPIENTS_PRIVATE_H
#define GW_CONFIG_RECIPIENTS_PRIVATE_H

#include "base/map.h"
#include "config/recipients.h"

/* Octets of included files, all together: a file may be read for many names. */
enum { INCLUDED_MAX = 128 << 20, INCLUDED_LEAST = 1024 };

struct entry {
	struct recipient_rule rule;
	bool whole; /* its name is local@domain, or @domain */
	enum { ENTRY_NEW, ENTRY_OPEN, ENTRY_DONE } state;
	unsigned depth;     /* of the names behind it */
	size_t addresses;   /* it stands for */
	struct entry *next; /* of all entries, or of all patterns */
};

struct recipients {
	struct arena arena;
	struct map names, aliases, whole;
	struct entry *all, **all_end;
	struct entry *patterns, **patterns_end;
	size_t n_patterns;
	uint64_t included; /* octets of included files, each as often as it was read */
};

/* A text being read: the first mistake ends it. */
struct table_reader {
	struct recipients *r;
	const char *file;
	struct recipients_error *e;
	unsigned line;
	const uint8_t *line_start; /* for columns */
	bool failed;
	struct span files;    /* of the aliases and what they include, or empty */
	const char *included; /* the file that is being read, in `files`; NULL: the first */
	unsigned depth;       /* of includes */
};

/* Notes the mistake; at NULL: the line as a whole. False, for "return". */
bool table_fail(struct table_reader *t, const uint8_t *at, const char *fmt, ...) gw_printf(3, 4);
/* Memory of the table; NULL after a mistake was noted (it is too large). */
void *table_alloc(struct table_reader *t, size_t n) gw_checked;
/* Files the entry under its name or pattern; false: it is there already. */
bool table_add(struct table_reader *t, struct entry *x, bool pattern, const uint8_t *at) gw_checked;

/* ---- recipients_read.c */
void table_read(struct table_reader *t, struct span text);

struct token {
	struct span text; /* without its quotes */
	const uint8_t *at;
	bool quoted;
};

/* What is behind one name. */
struct targets {
	const char *list[RECIPIENTS_EXPAND_MAX];
	size_t n;
};

/* The next line without its end; false at the end of the text. */
bool table_next_line(struct table_reader *t, struct span *text, struct span *line) gw_checked;
/* No longer than a line may be, and text. */
bool table_line_good(struct table_reader *t, struct span line) gw_checked;
/* A word up to a blank or one of the octets in stops. False: there is none, or a mistake. */
bool table_take_word(
    struct table_reader *t, struct span *rest, const char *stops, struct token *w) gw_checked;
/* The word as an address, or a name of the same domain, behind the others. */
bool table_add_target(struct table_reader *t, struct targets *to, const struct token *w) gw_checked;
/* They are what the entry leads to. */
bool table_set_targets(
    struct table_reader *t, struct entry *x, const struct targets *to) gw_checked;
/* One with this name and no rule yet; NULL after a mistake. It is not filed. */
struct entry *table_new_entry(
    struct table_reader *t, const struct token *name, bool alias) gw_checked;

/* ---- recipients_aliases.c */
void aliases_read(struct table_reader *t, struct span text);

#endif
