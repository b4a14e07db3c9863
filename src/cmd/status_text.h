/*
 * What "godwit status" shows, as text: from the answer of the API. Pure.
 */
#ifndef GW_CMD_STATUS_TEXT_H
#define GW_CMD_STATUS_TEXT_H

#include "base/buf.h"

#include <jansson.h>

void status_text(const json_t *status, struct buf *out);
/* All processes run, and the queue answered. */
bool status_good(const json_t *status);

#endif
