/*
 * Private to config/: regular expressions (PCRE2) that are looked for in what other hosts say.
 *
 * A host chooses what it says, so it chooses how long the search takes. Only the beginning of a
 * reply is looked at, and from each place of it a pattern may take so many steps; a pattern that
 * needs more does not match. The just-in-time compiler of PCRE2 is not used: in the jail no memory
 * can be made executable.
 */
#ifndef GW_CONFIG_PATTERN_H
#define GW_CONFIG_PATTERN_H

#include "config/build.h"

enum { PATTERN_LOOKED_AT = 512 }; /* octets of a reply */

struct reply_pattern;

/* The word as a pattern, which config_free() frees; NULL after a report. */
const struct reply_pattern *pattern_compile(struct builder *b, const struct word *w, bool any_case);
void patterns_free(struct config_index *x);

/* Memory of one or more searches. False: there was none, and nothing is found. */
struct pattern_search {
	void *context, *data;
};
bool pattern_search_init(struct pattern_search *s) gw_checked;
void pattern_search_fini(struct pattern_search *s);
/* The text has PATTERN_LOOKED_AT octets at most. */
bool pattern_found(const struct pattern_search *s, const struct reply_pattern *p, struct span text);

#endif
