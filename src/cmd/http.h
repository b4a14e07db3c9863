/*
 * The client of the control socket, for the verbs that talk to a running server. Whatever goes
 * wrong is told on standard error in one sentence, with what to do next, and comes back as an exit
 * code of cmd.h.
 */
#ifndef GW_CMD_HTTP_H
#define GW_CMD_HTTP_H

#include "base/buf.h"
#include "cmd/cmd.h"

#include <jansson.h>

struct http;

/*
 * Finds the socket: --config's, else the environment's GODWIT_CONTROL, else that of the default
 * configuration, else /run/godwit/control. Does not connect yet. CMD_OK, or an exit code.
 */
int http_open(struct http **h, const char *verb, const struct cmd_globals *g) gw_checked;
/* The same for a socket that is known. */
struct http *http_new(const char *verb, const char *socket, int64_t timeout) gw_checked;
void http_free(struct http **h);

/*
 * CMD_OK with *answer (the caller's, json_decref) if the server says 2xx; else an exit code, and
 * *answer is NULL.
 */
int http_get(struct http *h, const char *path, json_t **answer) gw_checked;
/* Steals body. */
int http_post(struct http *h, const char *path, json_t *body, json_t **answer) gw_checked;

/* Appends "name=value" to a path, with "?" or "&" before it and the value escaped. */
void http_parameter(struct buf *path, const char *name, const char *value);

#endif
