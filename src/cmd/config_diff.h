/*
 * What a reload would change: the effective settings of the running server against those of a file,
 * as "config show --origin" writes both. Pure: texts in, changes out.
 */
#ifndef GW_CMD_CONFIG_DIFF_H
#define GW_CMD_CONFIG_DIFF_H

#include "base/buf.h"

enum change_kind { CHANGE_ADDED = '+', CHANGE_REMOVED = '-', CHANGE_OTHER = '~' };

struct config_change {
	enum change_kind kind;
	struct span block;      /* "shape google", or empty: at the top */
	struct span old, now;   /* the line, without its place; empty where there is none */
	struct span was_at, at; /* places */
	bool restart;           /* takes effect when the server is started again */
};

/* Changes in the order of the file, what is gone behind them; the spans are in the texts. How many;
 * *out is the caller's, to be freed. */
size_t config_diff(struct span running, struct span file, struct config_change **out) gw_checked;
/* One a line, and what it comes to. */
void config_diff_text(const struct config_change *list, size_t n, struct buf *out);

#endif
