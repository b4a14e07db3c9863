/*
 * Of which class is a message? That of the listener it came in by, and then what its header says:
 *
 *  - Bulk is what calls itself so: "Precedence: bulk", "list" or "junk", or a List-Id field
 *    (RFC 2919). Everybody may say that of his own mail; it is the last word.
 *  - "Priority: urgent" makes class high of class normal, "non-urgent" makes bulk of all (RFC 2156
 *    section 5.3.6, RFC 4021 section 2.1.54). Only for clients that may relay: others could pass
 *    everybody by. What came in by a listener for bulk mail stays bulk: its operator said so.
 *
 *  - MT-PRIORITY (RFC 6710), or the field of that name of a client that may relay (RFC 6758): where
 *    there is one, the header's Priority does not count. Above 0 makes high of normal, below 0
 *    makes bulk; who may say it was judged before.
 *
 * Other words, and a Priority that is there twice, mean nothing: nothing is refused for them.
 */
#ifndef GW_FLOW_PRIORITY_H
#define GW_FLOW_PRIORITY_H

#include "base/span.h"
#include "mail/envelope.h"

/* head: the header block. may_relay: the client logged in or is trusted. */
enum priority priority_of(enum priority listener, bool may_relay, const struct handling *handling,
    struct span head) gw_checked;

/* The priority this client gets for the one it said: only who may relay goes before others. */
unsigned priority_granted(unsigned mt_priority, bool may_relay);

#endif
