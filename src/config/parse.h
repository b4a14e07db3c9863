/*
 * Private to config/: from text to a tree of statements, and the reporting of
 * errors at their place. The order: bundle.c (files and variables) -> tree.c
 * (lexer and statements) -> build.c and check.c (settings, the whole).
 *
 * Everything a reader allocates lives in its arena and ends with it; texts of the
 * tree are NUL-terminated and hold no control characters.
 */
#ifndef GW_CONFIG_PARSE_H
#define GW_CONFIG_PARSE_H

#include "config/config.h"
#include "config/schema.h"

enum {
	INCLUDE_DEPTH = 10,
	BUNDLE_FILES = 1000,
	BLOCK_DEPTH = 8,
	WORD_LENGTH = 4096,
	TREE_MEMORY = 128 << 20,
	PLACE_TEXT = 512, /* "file:line", cut */
};

struct source {
	const char *name;
	struct span text;
	size_t parent;         /* index + 1 of the file that includes this one; 0: the main file */
	unsigned line, column; /* of the include statement */
};

struct variable {
	const char *name, *value;
};

struct bundle {
	struct source *source;
	size_t n_source, cap_source;
	struct variable *variable;
	size_t n_variable, cap_variable;
	bool no_include; /* a text in memory */
};

struct word {
	struct word *next;
	const char *text; /* NULL: expansion failed and was reported */
	struct place place;
	unsigned width;
};

struct stmt {
	struct stmt *next;
	struct word *words;
	size_t n_words;
	struct stmt *block;
	bool has_block;
};

struct reader {
	struct config_diags *diags;
	struct bundle *bundle;
	struct arena arena;
	/* Where values of variables come from that the bundle does not have; NULL: nowhere. */
	const char *(*environment)(const char *name);
	bool broken; /* a structural error: what follows would only confuse */
};

void reader_init(struct reader *r, struct bundle *b, struct config_diags *d);
void reader_fini(struct reader *r);

/* ---- bundle.c */
void bundle_init(struct bundle *b);
void bundle_fini(struct bundle *b);
/* Text and name are borrowed. */
struct source *bundle_add_source(struct bundle *b, const char *name, struct span text);
void bundle_add_variable(struct bundle *b, const char *name, const char *value);
const char *bundle_variable(const struct bundle *b, const char *name);
void bundle_encode(const struct bundle *b, struct buf *out);
/* Names and values are copied to the arena, texts borrowed from the input. */
int bundle_decode(struct span in, struct arena *a, struct bundle *b) gw_checked;

/* ---- tree.c: the statements of one file, in order; errors are reported, the rest is kept. */
struct stmt *tree_read(struct reader *r, const struct source *src);
/* The same for the whole bundle, included files in place of their include statements. */
struct stmt *tree_read_all(struct reader *r);

/* Is this "include GLOB"? */
bool is_include(const struct stmt *s);

#define CREDENTIALS "CREDENTIALS_DIRECTORY" /* of systemd.exec(5) */

/* ---- builtin.c: files that are part of the program, included by such a name */
#define BUILTIN_PREFIX "builtin:"
bool is_builtin_name(const char *name);
/* "builtin:shaping": its name and text, which are there for ever. False: there is none. */
bool builtin_find(const char *name, struct source *out) gw_checked;

/* ---- expand.c: the text of a raw word (without quotes) at w's place; NULL after an error. */
const char *expand_word(struct reader *r, struct span raw, const struct word *w);

/* ---- diag.c */
/*
 * Reports at a place: width in characters, 0 without caret; hint NULL: the one of the table; args
 * end with NULL. Control characters in args are shown as '?'.
 */
void report_place(struct reader *r, enum config_error e, const struct place *at, unsigned width,
    const char *hint, const char *const *args);
#define report_at(r, e, at, width, hint, ...) \
	report_place((r), (e), (at), (width), (hint), (const char *const[]){__VA_ARGS__, NULL})
#define report(r, e, word, hint, ...) \
	report_place((r), (e), &(word)->place, (word)->width, (hint), \
	    (const char *const[]){__VA_ARGS__, NULL})
/* The length of one well-formed UTF-8 character that is safe on a terminal, or 0. */
size_t printable(struct span s);
/* Adds text, with '?' for what a terminal should not see, cut to max octets. */
void add_shown(struct buf *out, struct span s, size_t max);
/* "godwit.conf:3" in buf[PLACE_TEXT]; "the default" for no place. Returns buf. */
const char *place_text(const struct place *at, char *buf);
/* printf into the reader's arena; "" when reporting has ended. */
const char *textf(struct reader *r, const char *fmt, ...) gw_printf(2, 3);
/* Memory that was bounded when the tree was read: never NULL. */
void *must_alloc(struct arena *a, size_t n) gw_checked;
const char *must_dup(struct arena *a, struct span s) gw_checked;

#endif
