/*
 * Private to config/: settings with a grammar of their own. words.c has the common parts, targets,
 * routes and shapes; words_listen.c what is about clients; words_domain.c the domains of ours.
 */
#ifndef GW_CONFIG_WORDS_H
#define GW_CONFIG_WORDS_H

#include "config/build.h"

enum { TLS_FINGERPRINTS = 16 }; /* as TLS_FINGERPRINTS_MAX of auth/tlspolicy.h */

/* Which of the words is it? False after a report that lists them. */
bool words_choose(struct builder *b, const struct word *w, const char *const *words, size_t n,
    size_t *which) gw_checked;
/* Does a value follow behind this word? Reported if not. */
bool words_next(struct builder *b, const struct option *row, const struct word *w) gw_checked;
size_t words_count(const struct word *w);
bool words_is(const struct word *w, const char *text);
/* "'x' is not one of: ..." with the nearest of them. */
void words_bad(struct builder *b, const struct word *w, const char *const *words, size_t n);
/* With this hint in its place; NULL: the nearest. */
void words_bad_hint(
    struct builder *b, const struct word *w, const char *const *words, size_t n, const char *hint);
/* A name for a group or a virtual MTA: letters, digits, '-', '_' and '.', at most 32. */
bool words_name_good(const char *s);

/* ---- words_target.c: ACTION, as behind "deliver" and "via"; false after a report */
bool words_target(struct builder *b, const struct word *w, struct target *t);
/* HOST[:PORT] of a host that mail is pulled from; false after a report. */
bool words_pull_target(struct builder *b, const struct word *w, uint16_t port, struct target *t);
/* "file:PATH" or "cred:NAME" as the login at that host; false after a report. */
bool words_secret(struct builder *b, const struct word *w, struct target *t);
/* The file of "file:PATH" or "cred:NAME"; NULL after a report, which never shows what may be a
 * password. */
const char *words_secret_path(struct builder *b, const struct word *w) gw_checked;
/* How well a channel is protected; *w is the first word, moved behind the last. */
bool words_tls_out(struct builder *b, const struct option *row, const struct word **w,
    struct tls_out *out) gw_checked;

/* ---- words_pipe.c: what stands behind "pipe" */
bool words_pipe(
    struct builder *b, const struct option *row, const struct word *w, struct target *t);

/* ---- words_route.c */
void words_route(struct builder *b, const struct option *row, const struct stmt *s);

/* ---- words_etrn.c */
void words_etrn(struct builder *b, const struct option *row, const struct stmt *s);

/* ---- words_shape.c */
void words_shape(struct builder *b, const struct option *row, const struct stmt *s);
void words_in_shape(
    struct builder *b, struct shape *g, const struct option *row, const struct word *w);
/* Patterns that the user has in a group of his own leave the built-in groups. */
void words_shapes_settle(struct builder *b);

/* ---- on_reply.c */
/* on reply REGEX ACTION */
void words_on_reply(
    struct builder *b, const struct option *row, const struct word *w, struct shape *g);

/* ---- classify.c */
/* classify CLASS REGEX */
void words_classify(struct builder *b, const struct option *row, const struct word *w);

/* ---- words_out.c: virtual MTAs, the resolver */
void words_vmta(struct builder *b, const struct option *row, const struct stmt *s);
void words_in_vmta(
    struct builder *b, struct vmta *v, const struct option *row, const struct word *w);
/* The one that the word names; NULL after a report. */
const struct vmta *words_find_vmta(struct builder *b, const struct word *w);
void words_in_resolver(struct builder *b, const struct option *row, const struct word *w);

/* ---- words_limit.c: how much mail in a time, and plans */
void words_limit(struct builder *b, const struct option *row, const struct word *w);
void words_plan(struct builder *b, const struct option *row, const struct stmt *s);
void words_in_plan(
    struct builder *b, struct plan *p, const struct option *row, const struct word *w);
/* For a word that is no setting of "limits {...}": what was meant instead; or NULL. */
const char *words_limit_instead(struct builder *b, const struct word *w);

/* ---- words_limit_rate.c: N/TIME, into the rule, whose "what" is known. False after a report. */
bool words_limit_rate(
    struct builder *b, const struct word *w, bool calendar, struct limit_rule *rule) gw_checked;

/* ---- words_pull.c */
void words_pull(struct builder *b, const struct option *row, const struct stmt *s);
void words_in_pull(
    struct builder *b, struct pull *p, const struct option *row, const struct word *w);

/* ---- words_dsn.c */
void words_in_dsn(struct builder *b, const struct option *row, const struct word *w);

/* ---- words_domain.c */
void words_domain(struct builder *b, const struct option *row, const struct stmt *s);
/* A setting inside the block of a domain. */
void words_in_domain(
    struct builder *b, struct domain *d, const struct option *row, const struct word *w);
/* srs { secret ... } */
void words_srs_secret(struct builder *b, const struct option *row, const struct word *w);

/* ---- words_recipients.c */
void words_recipients(
    struct builder *b, const struct option *row, const struct word *w, struct domain *d);
/* unix:PATH of one of Dovecot's sockets; NULL after a report. */
const char *words_dovecot(struct builder *b, const struct word *w);
/* The word, for show_out.c. */
const char *recipients_word(enum recipients_kind k);

/* ---- words_texts.c: the file of "texts FILE", which the bundle has; name is the first word. */
void words_texts(struct builder *b, const struct word *name);

/* The ranges that the words are; *n of them. */
const struct cidr *words_ranges(struct builder *b, const struct word *w, size_t *n);

/* ---- words_identify.c */
void words_identify(struct builder *b, const struct option *row, const struct stmt *s);
void words_in_identify(
    struct builder *b, struct identify *i, const struct option *row, const struct word *w);

/* ---- words_listen.c */
void words_listen(struct builder *b, const struct option *row, const struct stmt *s);
/* A setting inside the block of a listener. */
void words_in_listen(
    struct builder *b, struct listen *l, const struct option *row, const struct word *w);
void words_tls(struct builder *b, const struct option *row, const struct word *w);
void words_users(struct builder *b, const struct option *row, const struct word *w);
/* The words of the enums, by their values. */
extern const char *const tls_out_words[OUT_TLS_FINGERPRINT + 1];
extern const char *const on_reply_words[ON_REPLY_BOUNCE + 1];
/* The words, for show_in.c. */
const char *listen_kind_word(enum listen_kind k);
const char *listen_tls_word(enum listen_tls t);
const char *listen_auth_word(enum listen_auth a);
const char *check_domains_word(unsigned bits);

#endif
