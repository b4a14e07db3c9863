/*
 * The languages of reports (mail/dsn_text.def) and which of them one is written in: the one that is
 * set, or that of the message it is about.
 */
#ifndef GW_MAIL_DSN_LANGUAGE_H
#define GW_MAIL_DSN_LANGUAGE_H

#include "base/span.h"

enum dsn_language {
	DSN_ENGLISH,
	DSN_GERMAN,
	DSN_FRENCH,
	DSN_SPANISH,
	DSN_LANGUAGES,
};

/* "en"; "" for what is no language. */
const char *dsn_language_tag(enum dsn_language language);
/* The language of a tag (RFC 5646: "de-AT" is German); DSN_LANGUAGES: none of ours. */
enum dsn_language dsn_language_of(struct span tag);
/* What a setting chose: "auto" is that of the header, or a tag of ours. */
enum dsn_language dsn_language_chosen(const char *setting, struct span head);
/*
 * The first of ours in Content-Language, else the most wished for in Accept-Language (RFC 3282) of
 * a header; else English.
 */
enum dsn_language dsn_language_of_head(struct span head);

#endif
