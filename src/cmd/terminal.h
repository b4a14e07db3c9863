/*
 * What goes to a terminal. Text of unknown origin (addresses, replies, subjects) passes
 * terminal_text(): well-formed, visible UTF-8 stays, everything else becomes \xNN, so that no
 * sender can move the cursor, ring the bell or turn the writing round. Widths are counted in
 * characters.
 */
#ifndef GW_CMD_TERMINAL_H
#define GW_CMD_TERMINAL_H

#include "base/buf.h"

/* Appends at most max characters (0: no limit); what is cut ends with "...". */
void terminal_text(struct buf *out, struct span s, size_t max);
/* The same, filled up with blanks to exactly width characters. */
void terminal_left(struct buf *out, struct span s, size_t width);
/* What ends a line of `used` characters: two blanks, and as much as the columns (0: no limit) leave
 * of it, but 20 characters at least. Nothing for nothing. */
void terminal_last(struct buf *out, struct span s, size_t columns, size_t used);
/* Characters of text that terminal_text made. */
size_t terminal_width(struct span s);
/* Columns of standard output; 0 when it is not a terminal. */
size_t terminal_columns(void);
/* Writes and flushes; a reader that is gone is no error of ours. */
void terminal_print(struct buf *b);

/* Short forms for people. Each fills to[TERMINAL_SHORT] and returns it. */
enum { TERMINAL_SHORT = 32 };
const char *terminal_count(int64_t n, char *to);     /* "41,220", from 10,000 on "31.2k" */
const char *terminal_size(int64_t octets, char *to); /* "812 B", "18 kB", "1.2 MB" */
const char *terminal_age(int64_t usec, char *to);    /* "31s", "2m11s", "1h05", "3d04h" */

/* Microseconds of an RFC 3339 time in UTC, as the API writes it, or -1. */
int64_t terminal_time(const char *text);

/* Asks on the terminal: false for everything but y; without a terminal false. */
bool terminal_confirm(const char *question);

#endif
