/*
 * What ETRN (RFC 1985) asks for: the mail of a domain ("x.test"), of a domain and all names below
 * it ("@x.test"), or of a group of destinations of this server ("#bulk"). Grammar alone; a name
 * that is none is known as that before anybody looks for it.
 */
#ifndef GW_MAIL_ETRN_H
#define GW_MAIL_ETRN_H

#include "base/span.h"

enum etrn_kind { ETRN_NODE, ETRN_BELOW, ETRN_GROUP, ETRN_KINDS };

enum {
	ETRN_NAME_MAX = 255,              /* of a domain */
	ETRN_GROUP_MAX = 32,              /* as shapes are named */
	ETRN_TEXT_MAX = ETRN_NAME_MAX + 2 /* with its mark and a NUL */
};

/* What the queue makes of it. */
enum etrn_status {
	ETRN_STARTED, /* no count is told */
	ETRN_EMPTY,
	ETRN_RUNNING, /* a run began less than a minute ago, and there is still something */
	ETRN_COUNTED,
	ETRN_PAUSED, /* why says by whom */
	ETRN_BUSY,
	ETRN_STATUS_MAX = ETRN_BUSY
};

/* The argument of the command: name points into it, as written. 0 or GW_EFORMAT. */
int etrn_parse(struct span args, enum etrn_kind *kind, struct span *name) gw_checked;
/* Is this such a name, as etrn_parse() would give it out? */
bool etrn_name_good(enum etrn_kind kind, struct span name) gw_checked;
/* As it was asked for, a domain in lower case. Returns to. */
const char *etrn_text(enum etrn_kind kind, struct span name, char to[ETRN_TEXT_MAX]);

#endif
