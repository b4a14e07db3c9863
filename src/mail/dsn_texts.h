/*
 * An operator's own texts of reports, a file of lines (UTF-8):
 *
 *	# what stands before a language is for all of them
 *	from = Mail system of Example Ltd
 *	[de]
 *	intro = Hier ist das Mailsystem {host} der Beispiel AG.
 *	full.advice = Rufen Sie an.
 *
 * The keys and the placeholders of each are those of dsn_text.def, and for every class of reply its
 * word with ".means" and ".advice". A key or placeholder that is not known, a key that stands twice
 * for a language, text that is not UTF-8 or would not be seen: a mistake with its line. Pure.
 */
#ifndef GW_MAIL_DSN_TEXTS_H
#define GW_MAIL_DSN_TEXTS_H

#include "base/arena.h"
#include "mail/dsn_text.h"

enum {
	DSN_TEXTS_FILE_MAX = 256 << 10, /* octets of the file */
	DSN_TEXTS_ONE_MAX = 500,        /* of one text */
};

struct dsn_texts_error {
	unsigned line, column; /* from 1; the column counts octets */
	char text[200];        /* a sentence without its full stop */
};

/* NULL: *e. The texts are copied to the arena; GW_EFULL of it is told as a mistake of the file. */
struct dsn_texts *dsn_texts_parse(
    struct span file, struct arena *a, struct dsn_texts_error *e) gw_checked;
/* Empty: there is none of their own. Borrowed. */
struct span dsn_texts_get(
    const struct dsn_texts *t, enum dsn_language language, enum dsn_text text);

#endif
