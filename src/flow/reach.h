/*
 * Where the mail of a name may wait: the sites that the configuration sends it to, by what a site
 * is called. Sites of TARGET_MX are known by the domain of their mail; all others by their name,
 * and may have mail of other domains too. For ETRN.
 */
#ifndef GW_FLOW_REACH_H
#define GW_FLOW_REACH_H

#include "config/config.h"
#include "flow/route.h"
#include "mail/etrn.h"

enum { REACH_MAX = 64 }; /* sites that are no mx; those beyond are not found */

struct reach {
	enum etrn_kind kind; /* NODE or BELOW */
	struct span name;    /* borrowed; in lower case */
	bool shared;         /* at those sites there may be mail of others */
	char (*site)[SITE_KEY_MAX];
	size_t n;
};

void reach_init(struct reach *r, const struct config *c, enum etrn_kind kind, struct span name);
void reach_fini(struct reach *r);
/* Is it a domain that was asked for? */
bool reach_has_domain(const struct reach *r, struct span domain) gw_checked;
/* Is the site, of any kind but MX, one of those? */
bool reach_has_site(const struct reach *r, const char *site) gw_checked;

#endif
