/*
 * Where does a recipient go? A local domain to its deliver statement, anything
 * else to the first route that matches. The answer names the site (the group of
 * deliveries that share connections and limits) and the statement that decided.
 */
#ifndef GW_FLOW_ROUTE_H
#define GW_FLOW_ROUTE_H

#include "config/config.h"
#include "smtp/reply.h"

enum { SITE_KEY_MAX = 400 };

struct routed {
	struct target target;
	const struct shape *shape;
	struct place place;
	char site[SITE_KEY_MAX]; /* "relay 127.0.0.1:25", "lmtp unix:/path", "maildir", "reject ..."
				  */
};

/* addr: canonical recipient. Without any route: a reject target of 550 5.4.4. */
void route_of(const struct config *c, struct span addr, struct routed *out);

/* "550 5.1.1 text" as checked by the configuration; text borrowed. Malformed: 550 5.0.0. */
struct reply route_reply(const char *text);

#endif
