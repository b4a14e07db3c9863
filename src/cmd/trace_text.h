/*
 * What "godwit trace" shows, as text: from the answers of the API. Pure. Every name, address and
 * reply in them came from outside and is escaped for the terminal.
 */
#ifndef GW_CMD_TRACE_TEXT_H
#define GW_CMD_TRACE_TEXT_H

#include "base/buf.h"

#include <jansson.h>

/* The story of one message. */
void trace_message(const json_t *story, int64_t now, struct buf *out);
/* One line of a list of messages, about the recipient who was asked for, if any; and the line above
 * them. */
void trace_list_head(struct buf *out);
void trace_list_row(const json_t *message, int64_t now, struct span to, struct buf *out);

/*
 * What came since the last call: a line for each event of a recipient. seen: how many of each were
 * told, an array of *n numbers that grows.
 */
void trace_news(const json_t *story, unsigned **seen, size_t *n, struct buf *out);

/* Did all recipients end, and how: CMD_OK (all delivered), CMD_NEVER (one was not), CMD_NO: not
 * yet. */
int trace_outcome(const json_t *story) gw_checked;

#endif
