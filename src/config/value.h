/*
 * Private to config/: the types of values. Each function reads one word, reports
 * what is wrong with it and answers whether it is good. Texts are copied to the
 * snapshot's arena, names in lower case.
 */
#ifndef GW_CONFIG_VALUE_H
#define GW_CONFIG_VALUE_H

#include "config/parse.h"

struct values {
	struct reader *r;
	struct arena *keep;
};

/* TYPE_NUMBER, TYPE_SIZE, TYPE_DURATION, within the row's range. */
bool value_number(struct values *v, const struct option *row, enum option_type type,
    const struct word *w, uint64_t *out) gw_checked;
/* yes|no and on|off. */
bool value_bool(
    struct values *v, const struct option *row, const struct word *w, bool *out) gw_checked;
/* The types that are text; NULL after a report. */
const char *value_text(struct values *v, const struct option *row, const struct word *w) gw_checked;

/* The last label of a name is never a number; that of a mistyped 192.0.2.256 is one. */
bool looks_like_address(struct span s);

const char *value_domain(struct values *v, const struct word *w) gw_checked;
/* A domain, or "*." and a domain. */
const char *value_pattern(struct values *v, const struct word *w) gw_checked;
/* "@" and a domain: it and all below it. */
const char *value_below(struct values *v, const struct word *w) gw_checked;
/* In its canonical form. */
const char *value_address(struct values *v, const struct word *w) gw_checked;
const char *value_path(struct values *v, const struct word *w) gw_checked;
/* path: the word or the part of it that is the path. */
const char *value_socket_path(struct values *v, const struct word *w, const char *path) gw_checked;
/* An absolute path with %u and %d. */
const char *value_maildir(struct values *v, const struct word *w) gw_checked;
/* "550 5.1.1 text". */
const char *value_reply(struct values *v, const struct word *w) gw_checked;

/* Is this "550 5.1.1 text", with two codes of one class? */
bool reply_text_good(const char *s);

/* SERVER: an address, port 53 if none is said. RELAY: port 25 if none is said. */
enum endpoint_use {
	ENDPOINT_LISTEN,
	ENDPOINT_RELAY,
	ENDPOINT_LMTP,
	ENDPOINT_SERVER,
	ENDPOINT_LISTEN_LMTP /* or a Unix socket */
};
bool value_endpoint(
    struct values *v, const struct word *w, enum endpoint_use use, struct endpoint *out) gw_checked;
/* IPv4-mapped ranges come out as IPv4. */
bool value_cidr(struct values *v, const struct word *w, struct cidr *out) gw_checked;
/* The range as it would be written, into text[CIDR_TEXT]. Returns text. */
enum { CIDR_TEXT = 64 };
const char *cidr_text(const struct cidr *c, char *text);

#endif
