/*
 * Private to config/: settings with a grammar of their own. words.c has the common parts, targets,
 * routes and shapes; words_listen.c what is about clients.
 */
#ifndef GW_CONFIG_WORDS_H
#define GW_CONFIG_WORDS_H

#include "config/build.h"

/* Which of the words is it? False after a report that lists them. */
bool words_choose(struct builder *b, const struct word *w, const char *const *words, size_t n,
    size_t *which) gw_checked;
/* Does a value follow behind this word? Reported if not. */
bool words_next(struct builder *b, const struct option *row, const struct word *w) gw_checked;
size_t words_count(const struct word *w);

/* ---- words_listen.c */
void words_listen(struct builder *b, const struct option *row, const struct stmt *s);
/* A setting inside the block of a listener. */
void words_in_listen(
    struct builder *b, struct listen *l, const struct option *row, const struct word *w);
void words_tls(struct builder *b, const struct option *row, const struct word *w);
void words_users(struct builder *b, const struct option *row, const struct word *w);
/* The words, for show.c. */
const char *listen_kind_word(enum listen_kind k);
const char *listen_tls_word(enum listen_tls t);
const char *listen_auth_word(enum listen_auth a);

#endif
