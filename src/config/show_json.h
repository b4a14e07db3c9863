/*
 * Private to config/: writing JSON for "config show --json". Sizes are octets, durations seconds.
 * The pieces that all share are in show_json_write.c, where mail goes in show_json_out.c, the rest
 * and the whole in show_json.c. jansson has the names that begin with json_.
 */
#ifndef GW_CONFIG_SHOW_JSON_H
#define GW_CONFIG_SHOW_JSON_H

#include "config/show.h"

struct json {
	struct buf *out;
	bool origin, comma;
};

/* ---- show_json_write.c */
void js_string(struct json *j, struct span s);
/* Before each value of a list. */
void js_next(struct json *j);
void js_key(struct json *j, const char *name);
void js_open(struct json *j, char bracket);
void js_close(struct json *j, char bracket);
/* Members of an object. */
void js_text(struct json *j, const char *name, struct span value);
void js_number(struct json *j, const char *name, uint64_t n);
void js_flag(struct json *j, const char *name, bool on);
void js_rate(struct json *j, const char *name, uint64_t packed);
void js_strings(struct json *j, const char *name, const char *const *list, size_t n);
void js_endpoint(struct json *j, const char *name, const struct endpoint *e);
/* "origin", if it is wanted. */
void js_origin(struct json *j, const struct place *at);
void js_list(struct json *j, const char *name,
    void (*items)(struct json *j, const struct config *c), const struct config *c);
/* A setting of a simple type; all of them in a block. */
void js_simple(struct json *j, const void *base, const struct option *row);
void js_scope(struct json *j, const void *base, enum option_scope s);

/* ---- show_json_out.c */
void js_target(struct json *j, const char *name, const struct target *t);
/* The values of the lists. */
void js_routes(struct json *j, const struct config *c);
void js_etrns(struct json *j, const struct config *c);
void js_vmtas(struct json *j, const struct config *c);
void js_pulls(struct json *j, const struct config *c);
void js_shapes(struct json *j, const struct config *c);
void js_classes(struct json *j, const struct config *c);
void js_servers(struct json *j, const struct config *c);

/* ---- show_json_limit.c */
void js_limits(struct json *j, const struct config *c);
void js_plans(struct json *j, const struct config *c);

#endif
