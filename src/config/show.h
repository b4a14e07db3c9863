/*
 * Private to config/: the pieces that the text and the JSON form of config_show()
 * share.
 */
#ifndef GW_CONFIG_SHOW_H
#define GW_CONFIG_SHOW_H

#include "config/index.h"
#include "config/value.h"

/* The field of a simple setting in its struct. */
static inline const void *show_field(const void *base, const struct option *row)
{
	return (const uint8_t *)base + row->field;
}

uint64_t show_number(const void *base, const struct option *row);
/* "maildir", "relay", ... */
const char *show_target_kind(const struct target *t);
/* HOST:PORT, [v6]:PORT or unix:PATH. */
void show_endpoint(const struct endpoint *e, struct buf *out);
/* Path, endpoint or reply, without quotes. */
void show_argument(const struct target *t, struct buf *out);

void show_json(const struct config *c, bool origin, struct buf *out);

#endif
