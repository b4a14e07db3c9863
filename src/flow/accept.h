/*
 * May this recipient be taken from this client? The fixed rule: the recipient's
 * domain is ours, or the client is in "trust"; otherwise 550 5.7.1. Nothing in
 * the configuration can widen it except "trust". The verdict names its reason
 * and the statement it rests on.
 */
#ifndef GW_FLOW_ACCEPT_H
#define GW_FLOW_ACCEPT_H

#include "config/config.h"
#include "mail/address.h"
#include "smtp/reply.h"

struct verdict {
	bool ok;
	struct reply reply; /* for the client */
	const char *reason; /* slug: "relay_denied", "local", "trusted", "fault_address" ... */
	struct place place; /* of the statement; file NULL: built in */
	int64_t delay;      /* microseconds to wait before the reply (fault addresses) */
	char text[512];     /* holds reply.text when it is not a literal */
};

/* trust: config_trusts() of the client, or NULL. */
void accept_rcpt(const struct config *c, const struct cidr *trust, const struct address *rcpt,
    struct verdict *v);

/*
 * The class a trusted client asks for in the header field X-Godwit-Class: "normal" or
 * "at-most-once". 0, or GW_EFORMAT with the refusal in *v (another word, more than one field).
 * From others the field means nothing. head: the header block.
 */
int accept_class(
    const struct cidr *trust, struct span head, bool *at_most_once, struct verdict *v) gw_checked;

/* Is the domain that of fault addresses, and what does the local part ask for? */
enum fault { FAULT_NONE, FAULT_451, FAULT_550, FAULT_SLOW, FAULT_BOUNCE, FAULT_DEFER };
enum fault accept_fault(const struct config *c, struct span local, struct span domain);

#endif
