/*
 * Who gets mail for an address of ours, in the processes that decide it: receivers at RCPT, the
 * queue for reports and for mail that users forward. The tables are built from the files that
 * master passes, in force until a better one comes. A file with a mistake changes nothing but a
 * line in the log; while none was good since the start, the recipients of its domain are told to
 * come later.
 */
#ifndef GW_ROLE_TABLES_H
#define GW_ROLE_TABLES_H

#include "flow/recipient.h"
#include "role/proto_secret.h"

struct tables;

/* Those that the configuration names; none is there yet. loud: says in the log what it made of
 * them; one process of all does. The configuration is borrowed. */
struct tables *tables_new(const struct config *c, bool loud) gw_checked;
/* What was known by them is void. */
void tables_free(struct tables **t);
/* A FILE frame of FILE_RECIPIENTS, FILE_ALIASES or FILE_SRS; fd is ours from here on. */
void tables_take(struct tables *t, const struct proto_file *f, int fd);
/* Has each file come once? */
bool tables_there(const struct tables *t) gw_checked;
/* What is known now; valid until the next frame. The accounts are the caller's. */
struct known tables_known(const struct tables *t, const struct accounts *accounts) gw_checked;

#endif
