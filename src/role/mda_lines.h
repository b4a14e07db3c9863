/*
 * The content of a delivery as lines: what came as BINARYMIME (RFC 3030) is converted on its way
 * through the child (mail/convert.h), as mailboxes and programs know nothing else. Parts above 127
 * that are lines stay what they are.
 */
#ifndef GW_ROLE_MDA_LINES_H
#define GW_ROLE_MDA_LINES_H

#include "role/maildir.h"
#include "role/mda_content.h"

/* As content_read(), of which it is all where binary is not set. GW_EFORMAT: it cannot be made
 * lines, and *r says so. */
int content_read_lines(int fd, bool binary, int (*take)(void *arg, struct span octets), void *arg,
    struct maildir_result *r) gw_checked;
/* Octets that content of that size may become. */
uint64_t content_lines_size(bool binary, uint64_t size);

#endif
