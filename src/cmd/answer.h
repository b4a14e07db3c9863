/*
 * Reading the server's answers: what is missing or of another type reads as
 * empty or 0, so that an older program can show a newer server's answer.
 */
#ifndef GW_CMD_ANSWER_H
#define GW_CMD_ANSWER_H

#include "base/span.h"

#include <jansson.h>

/* Borrowed from the answer. */
struct span answer_text(const json_t *from, const char *key);
int64_t answer_number(const json_t *from, const char *key);
/* RFC 3339 as microseconds; 0 if there is none. */
int64_t answer_time(const json_t *from, const char *key);

#endif
