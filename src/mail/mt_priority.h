/*
 * The header field MT-Priority (RFC 6758): the priority of RFC 6710 of a message that came through
 * servers which have no MT-PRIORITY. Pure.
 */
#ifndef GW_MAIL_MT_PRIORITY_H
#define GW_MAIL_MT_PRIORITY_H

#include "base/span.h"

/* As in struct handling; 0 where the field is not there, is there twice, or is no such number. */
unsigned mt_priority_said(struct span head) gw_checked;

/* "-9" to "9", as MAIL says it (RFC 6710 section 3): the same, or 0. */
unsigned mt_priority_parse(struct span text) gw_checked;

#endif
