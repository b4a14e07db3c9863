/*
 * Private to config/: config_show(). Its text is in show.c, show_in.c (who comes in), show_out.c
 * (where mail goes) and show_text.c (words of statements); first the pieces that the text and the
 * JSON form share.
 */
#ifndef GW_CONFIG_SHOW_H
#define GW_CONFIG_SHOW_H

#include "config/build.h"
#include "config/value.h"

/* The field of a simple setting in its struct. */
static inline const void *show_field(const void *base, const struct option *row)
{
	return (const uint8_t *)base + row->field;
}

uint64_t show_number(const void *base, const struct option *row);
/* HOST:PORT, [v6]:PORT or unix:PATH. */
void show_endpoint(const struct endpoint *e, struct buf *out);
/* The same with the port only where it is not the usual one of servers for names. */
void show_server(const struct endpoint *e, struct buf *out);
/* A fingerprint as it is written: hexadecimal digits. */
void show_fingerprint(const uint8_t print[32], struct buf *out);
/* The addresses of a vmta; "" if it has none of the family. text[SHOW_SOURCE]. */
enum { SHOW_SOURCE = 48 };
const char *show_source(const struct vmta *v, bool v6, char *text);
/* Is this rule the first of those that are built in? */
static inline bool show_builtin_here(const struct config *c, size_t rule)
{
	return is_builtin(&c->classify[rule].place) &&
	       (rule == 0 || !is_builtin(&c->classify[rule - 1].place));
}
/* Are the waits of all classes the same? */
bool show_retries_same(const struct shape *g);

/* ---- show.c: the text as a whole */
struct text {
	struct buf *out;
	bool origin;
	size_t line; /* where the current line begins in out */
};

/* A line: what it begins with, in front of its words; what stands behind them. */
void text_begin(struct text *t, const char *indent, const char *name);
void text_end(struct text *t, const struct place *at);
/* A simple setting, unless it is a text that nobody set. */
void text_simple(struct text *t, const char *indent, const void *base, const struct option *row,
    const struct place *at);

/* ---- show_out.c: statements about where mail goes */
void text_domain(struct text *t, const struct domain *d);
void text_route(struct text *t, const struct route *r);
void text_pulls(struct text *t, const struct config *c);
void text_vmtas(struct text *t, const struct config *c);
/* origin: of its settings, in the order of their rows. */
void text_shape(struct text *t, const struct shape *g, const struct place *origin);

/* ---- show_in.c: statements about who comes in */
void text_listen(struct text *t, const struct listen *l);
void text_identify(struct text *t, const struct identify *who);
void text_tls(struct text *t, const struct tls_pair *p);
void text_users(struct text *t, const struct config *c);
void text_limits(struct text *t, const char *indent, const struct limit_rule *r, size_t n);
void text_plan(struct text *t, const struct plan *p);

/* ---- show_text.c: the words of statements, with a blank in front */
/* A word, in quotes where the grammar needs them. */
void text_word(struct buf *out, struct span s);
void text_target(struct buf *out, const struct target *t);
void text_tls_out(struct buf *out, const struct tls_out *t);
void text_conditions(struct buf *out, const struct route *r);
void text_reply_rule(struct buf *out, const struct on_reply *rule);
void text_retry(struct buf *out, const struct shape *g, enum priority class);
/* What stands behind the word "limit". */
void text_limit(struct buf *out, const struct limit_rule *r);
/* Whom it is for, and who may ask. */
void text_etrn(struct buf *out, const struct etrn_rule *e);
/* What is in the braces of a vmta. */
void text_vmta(struct buf *out, const struct vmta *v);
/* What stands behind "pull". */
void text_pull(struct buf *out, const struct pull *p);

/* ---- show_json.c */
void show_json(const struct config *c, bool origin, struct buf *out);

#endif
