/*
 * Tickets: the proof of a login that travels with a message. The vault makes it and the vault alone
 * can tell a true one: HMAC-SHA-256 over who logged in, how, and when. Rights are looked up later,
 * as of that time. The key must outlive the message (it is a file of the spool); with another key
 * all earlier tickets are void.
 *
 * Text: "1." LOGIN-TIME "." MAC, microseconds in decimal and 64 hexadecimal digits. The account and
 * the origin stand beside it in the envelope and are not repeated.
 */
#ifndef GW_AUTH_TICKET_H
#define GW_AUTH_TICKET_H

#include "base/span.h"

enum { TICKET_KEY = 32, TICKET_TEXT = 96 };

struct ticket {
	struct span tenant; /* none yet: empty */
	struct span account;
	struct span origin; /* "login" */
	int64_t at;         /* wall clock, microseconds */
};

/* A C string. */
void ticket_make(const uint8_t key[TICKET_KEY], const struct ticket *t, char text[TICKET_TEXT]);
/* Is it true of this tenant, account and origin? Then t->at is the time it says; else GW_EPERM. In
 * constant time. */
int ticket_verify(const uint8_t key[TICKET_KEY], struct span text, struct ticket *t) gw_checked;

#endif
