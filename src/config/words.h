/*
 * Private to config/: settings with a grammar of their own. words.c has the common parts, targets,
 * routes and shapes; words_listen.c what is about clients; words_domain.c the domains of ours.
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
bool words_is(const struct word *w, const char *text);
/* KIND ARGUMENT, as behind "deliver" and "via". */
bool words_target(
    struct builder *b, const struct option *row, const struct word *w, struct target *t);

/* ---- words_domain.c */
void words_domain(struct builder *b, const struct option *row, const struct stmt *s);
/* A setting inside the block of a domain. */
void words_in_domain(
    struct builder *b, struct domain *d, const struct option *row, const struct word *w);
/* The word, for show.c. */
const char *recipients_word(enum recipients_kind k);

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
