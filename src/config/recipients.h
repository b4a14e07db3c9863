/*
 * The recipients of a domain that are known at RCPT: one immutable table from the text of the
 * domain's recipients file and its aliases file. Pure: text in, table or the place of the mistake
 * out. Receivers build it from files that master opened; "config check" and master's start judge
 * the same files.
 *
 * recipients file, one a line, '#' starts a comment:
 *
 *	alice                           taken
 *	"john doe"                      the same; in quotes nothing is a pattern
 *	sales-*                         a pattern: '*' any octets, '?' one; the first that fits
 *	bob     reject "550 5.1.6 moved to bob@example.net"
 *	trap    drop                    250, and nothing is delivered
 *	legal   hold                    taken, and held until it is released
 *	info    to alice@example.com bob        these get it instead
 *
 * aliases file: aliases(5): NAME: ADDRESS, ADDRESS ... with continuation lines; NAME@DOMAIN: and
 * @DOMAIN: for one of several domains; :include:/PATH for the addresses in that file, whose text
 * comes along (config/includes.h). Programs and files are refused: this is a table of addresses.
 * owner-NAME: reports about the members of NAME go there.
 *
 * A name that is among its own targets gets its copy itself. Names that lead back to themselves
 * through others, stand for more than RECIPIENTS_EXPAND_MAX addresses or are more than
 * RECIPIENTS_DEPTH_MAX deep are mistakes, too. What leads through other domains is seen at RCPT
 * only (flow/accept.h).
 */
#ifndef GW_CONFIG_RECIPIENTS_H
#define GW_CONFIG_RECIPIENTS_H

#include "config/config.h"

enum {
	RECIPIENTS_TEXT_MAX = 64 << 20, /* octets of one file */
	RECIPIENTS_PATTERN_MAX = 1000,  /* patterns of one table: each unknown name tries all */
	RECIPIENTS_EXPAND_MAX = 1000,   /* addresses behind one name */
	RECIPIENTS_DEPTH_MAX = 10       /* names behind names */
};

enum recipient_action {
	RECIPIENT_TAKE,
	RECIPIENT_REJECT, /* reply */
	RECIPIENT_DROP,
	RECIPIENT_HOLD,
	RECIPIENT_EXPAND, /* to */
};

struct recipient_rule {
	enum recipient_action action;
	const char *pattern;   /* or the name, in lower case and without quotes */
	const char *reply;     /* "550 5.1.1 text" */
	const char *const *to; /* canonical local@domain, or a local part of the same domain */
	size_t n_to;
	bool alias; /* of the aliases file: it may have an owner */
	struct place place;
};

struct recipients;
struct recipients_error {
	unsigned line, column;
	char text[200];
	const char *file; /* an included one, in the text of the aliases; NULL: see which */
};

/* Either text may be empty with a name of NULL; aliases may be what includes_gather() made. NULL:
 * *e, and *which says whose line it is. */
struct recipients *recipients_parse(struct span table, const char *table_name, struct span aliases,
    const char *aliases_name, struct recipients_error *e, const char **which) gw_checked;
void recipients_free(struct recipients **r);
/* How many names the recipients file has, and how many the aliases. */
size_t recipients_count(const struct recipients *r);
size_t recipients_alias_count(const struct recipients *r);

/* local: without quotes; compared without regard to case. NULL: not there. The recipients file
 * goes before the aliases. */
const struct recipient_rule *recipients_find(const struct recipients *r, struct span local);
/* The alias of the whole address; with an empty local part what is for all that nobody else is
 * known for there. domain: in lower case. */
const struct recipient_rule *recipients_find_at(
    const struct recipients *r, struct span local, struct span domain);
/* The first pattern that fits. */
const struct recipient_rule *recipients_match(const struct recipients *r, struct span local);

#endif
