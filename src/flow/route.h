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
	struct span domain;      /* of the recipient, in its address */
	char site[SITE_KEY_MAX]; /* "relay 127.0.0.1:25", "mx example.com", "lmtp unix:/path",
				    "maildir", "reject ..."; a source that is not the default behind
				    it */
};

/* Of what is to be routed: all in canonical form. */
struct route_ask {
	struct span addr, from, account;
	uint64_t size;
};
/*
 * What the routes say of an address at somebody else's domain while its message is not there yet:
 * is it sure that they would refuse it? While the size is unknown (0) that is not sure where a
 * route asks for it; what is taken then and refused later goes back to its sender.
 */
enum route_fate {
	ROUTE_TAKES, /* or may do so */
	ROUTE_MISSING,
	ROUTE_REJECTS
};
/* *r: the route that matches now, or NULL. */
enum route_fate route_fate(
    const struct config *c, const struct route_ask *q, const struct route **r);
/* What the site is called that this target leads to; of any kind but MX. */
void route_site(const struct config *c, const struct target *t, char to[SITE_KEY_MAX]);
/* Without any route: a reject target of 550 5.4.4. */
void route_of(const struct config *c, const struct route_ask *q, struct routed *out);

/* "550 5.1.1 text" as checked by the configuration; text borrowed. Malformed: 550 5.0.0. */
struct reply route_reply(const char *text);

#endif
