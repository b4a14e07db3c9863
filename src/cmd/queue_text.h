/*
 * What "godwit queue" shows, as text: from the answers of the API. Pure. Every name, address and
 * reply in them came from outside and is escaped for the terminal.
 */
#ifndef GW_CMD_QUEUE_TEXT_H
#define GW_CMD_QUEUE_TEXT_H

#include "base/buf.h"

#include <jansson.h>

/* The table by destination and age; columns: of the terminal, 0 for no limit. */
void queue_table(const json_t *summary, size_t columns, struct buf *out);
/* What stands ("rules"), and bad hosts. */
void queue_rules_table(const json_t *answer, int64_t now, size_t columns, struct buf *out);
void queue_hosts_table(const json_t *answer, int64_t now, size_t columns, struct buf *out);
/* The head line of a list, and one message of it: a line for each recipient. */
void queue_list_head(struct buf *out);
void queue_list_row(const json_t *message, int64_t now, size_t columns, struct buf *out);
/* One message, in full. */
void queue_message(const json_t *message, int64_t now, struct buf *out);

/* Recipients of a message that are not finished. */
size_t queue_open_recipients(const json_t *message);

/*
 * The look-up of an id by its first characters: canonical (upper case, without look-alikes) into
 * to[27]; 0, or GW_EFORMAT: too short, too long, or not of an id. first: an id before all that
 * match (26 characters and NUL).
 */
enum { QUEUE_PREFIX_MIN = 10 };
int queue_prefix(const char *text, char *prefix, char *first) gw_checked;
bool queue_prefix_matches(const char *prefix, const char *id);

#endif
