/*
 * Writing JSON into a buf, without a tree. The caller keeps the nesting right;
 * commas are put where they belong by looking at the last byte written.
 */
#ifndef GW_BASE_JSON_H
#define GW_BASE_JSON_H

#include "base/buf.h"

void json_open(struct buf *b, const char *key, char bracket); /* '{' or '['; key NULL in arrays */
void json_close(struct buf *b, char bracket);
/* key NULL: an element of an array. Bytes that are not UTF-8 are written as U+FFFD. */
void json_text(struct buf *b, const char *key, struct span value);
void json_str(struct buf *b, const char *key, const char *value);
void json_number(struct buf *b, const char *key, int64_t value);
void json_bool(struct buf *b, const char *key, bool value);
void json_none(struct buf *b, const char *key);
/* Microseconds since 1970 as RFC 3339 in UTC with milliseconds. */
void json_time(struct buf *b, const char *key, int64_t usec);

#endif
