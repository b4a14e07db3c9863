/*
 * The two tables, options.def and errors.def, as enums and rows: one source for
 * the parser, "config explain", docs/options.md and the hints. Private to config/
 * except that cmd/config.c prints what schema_explain(), _list and _docs write.
 */
#ifndef GW_CONFIG_SCHEMA_H
#define GW_CONFIG_SCHEMA_H

#include "base/buf.h"

enum option_scope {
	SCOPE_NONE,
	SCOPE_TOP,
	SCOPE_LOG,
	SCOPE_LISTEN,
	SCOPE_LIMITS,
	SCOPE_CONNECTIONS, /* not a block: the words behind "connections N" */
	SCOPE_DOMAIN,
	SCOPE_VMTA,
	SCOPE_SHAPE,
	SCOPE_SHAPE_CONNECTIONS, /* words behind "connections N" and "messages RATE" of a shape */
	SCOPE_SHAPE_MESSAGES,
	SCOPE_STORE,
	SCOPE_RESOLVER,
	SCOPE_HISTORY,
	SCOPE_DSN,
	SCOPE_SRS,
	SCOPE_PLAN,
	SCOPE_PULL,
	SCOPE_IDENTIFY,
	SCOPE_COUNT
};

enum option_type {
	TYPE_OWN,   /* words of its own grammar */
	TYPE_BLOCK, /* nothing but a block */
	TYPE_NUMBER,
	TYPE_LIMIT, /* a number or off, which is 0 */
	TYPE_SIZE,
	TYPE_DURATION,
	TYPE_RATE, /* struct rate; as a number: how many, and the seconds in the upper half. Where
		      0 is in its range it may be off */
	TYPE_YESNO,
	TYPE_ONOFF,
	TYPE_HOSTNAME, /* from here on: texts */
	TYPE_DOMAIN,
	TYPE_ADDRESS,
	TYPE_PATH,
	TYPE_SOCKET_PATH,
	TYPE_USER,
	TYPE_LANGUAGE, /* auto, or the tag of a language that reports are written in */
};

enum option_reload { RELOAD_LIVE, RELOAD_RESTART };
enum option_count { COUNT_ONCE, COUNT_MANY };

enum option_id {
#define OPTION(id, ...) OPT_##id,
#include "config/options.def"
#undef OPTION
	OPT_COUNT
};

/* The settings of a shape group stand together in the table, "domain" first. */
enum {
#define OPTION(id, scope, ...) +(SCOPE_##scope == SCOPE_SHAPE)
	SHAPE_OPTIONS = 0
#include "config/options.def"
#undef OPTION
};

struct option {
	enum option_id id;
	enum option_scope scope;
	const char *name, *args;
	enum option_type type;
	const char *fallback; /* the default, as it would be written; may be NULL */
	uint64_t min, max;
	enum option_count count;
	enum option_scope opens; /* scope of its block or of the words behind its value */
	enum option_reload reload;
	size_t field;
	const char *doc, *example, *since;
};
extern const struct option options[OPT_COUNT];

enum config_error {
#define ERROR(id, ...) CE_##id,
#include "config/errors.def"
#undef ERROR
	CE_COUNT
};

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct error_row {
	unsigned number;
	enum severity severity;
	const char *sentence, *why, *fix;
};
extern const struct error_row config_errors[CE_COUNT];

/* The row of a setting, or NULL. */
const struct option *option_find(enum option_scope scope, struct span name);
/* "limits", "shape": how messages call the inside of a block; "" for the top. */
const char *scope_name(enum option_scope scope);
/* Is this not a block but pairs of words behind a value? */
bool scope_is_tail(enum option_scope scope);
/* The nearest of n words, close enough to be what was meant, or NULL. */
const char *nearest_word(struct span word, const char *const *words, size_t n);
/* "did you mean 'x'? settings allowed here: ..." */
void schema_hint_unknown(enum option_scope scope, struct span name, struct buf *out);

/* A value with its unit, as short as it is exact: 35M, 5m, 20. */
void format_size(uint64_t octets, struct buf *out);
void format_duration(int64_t usec, struct buf *out);
/* What a rate is as one number. */
uint64_t rate_pack(uint32_t n, uint32_t seconds);
void format_rate(uint64_t packed, struct buf *out);
void format_number(enum option_type type, uint64_t value, struct buf *out);
/* What a type looks like in the documentation. */
const char *type_name(enum option_type type);

/*
 * "config explain": a setting (hostname, limits.recipients, or recipients alone) or a code
 * (E0141). 0, or GW_ENOENT with a suggestion in out.
 */
int schema_explain(struct span what, struct buf *out) gw_checked;
/* All settings, one a line. */
void schema_list(struct buf *out);
/* docs/options.md. */
void schema_docs(struct buf *out);

#endif
