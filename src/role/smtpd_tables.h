/*
 * The tables of recipients in a receiver: built from the files that master passes, in force until a
 * better one comes. A file with a mistake changes nothing but a line in the log; if none was good
 * since the start, the recipients of its domain are told to come later.
 */
#ifndef GW_ROLE_SMTPD_TABLES_H
#define GW_ROLE_SMTPD_TABLES_H

#include "flow/recipient.h"
#include "role/smtpd.h"

/* The configuration names them; none is there yet. */
void smtpd_tables_start(struct smtpd *s);
/* A FILE frame; fd is ours from here on. */
void smtpd_tables_take(struct smtpd *s, const struct proto_file *f, int fd);
/* Has each file come once? Nobody is greeted before. */
bool smtpd_tables_there(const struct smtpd *s) gw_checked;
/* What is known now; valid until the next frame. */
struct known smtpd_known(const struct smtpd *s) gw_checked;

#endif
