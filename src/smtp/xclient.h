/*
 * The arguments of XCLIENT (Postfix's XCLIENT_README): what a proxy says of the client whose
 * session it passes on. Pure. Every value is xtext, so that nothing in it can end a line; each
 * attribute is said once. Who may say any of it is not decided here, nor whether an address is one.
 */
#ifndef GW_SMTP_XCLIENT_H
#define GW_SMTP_XCLIENT_H

#include "base/buf.h"

/* ADDR and LOGIN decide what the client may do. */
enum xclient_attribute {
	XCLIENT_NAME,
	XCLIENT_ADDR,
	XCLIENT_PORT,
	XCLIENT_PROTO,
	XCLIENT_HELO,
	XCLIENT_LOGIN,
	XCLIENT_DESTADDR,
	XCLIENT_DESTPORT,
	XCLIENT_COUNT
};
extern const char *const xclient_names[XCLIENT_COUNT];
#define XCLIENT_BIT(id) (1u << XCLIENT_##id)

enum { XCLIENT_TEXT_MAX = 2048, XCLIENT_VALUE_MAX = 255 };

struct xclient {
	unsigned said;                    /* bits 1 << XCLIENT_... */
	struct span value[XCLIENT_COUNT]; /* decoded; n == 0: [UNAVAILABLE], or not said */
};

/* text holds the values; its ceiling is XCLIENT_TEXT_MAX. 0, or GW_EFORMAT: one makes no sense. */
int xclient_decode(struct span args, struct buf *text, struct xclient *x) gw_checked;

/* ADDR and DESTADDR: the address to be read, and whether it is one of IPv6. */
struct span xclient_address(struct span value, bool *six);

#endif
