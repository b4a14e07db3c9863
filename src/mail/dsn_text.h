/*
 * The sentences of reports in all languages (dsn_text.def), and how they are filled in: "{peer}" in
 * a text stands for a value. For the composers of reports and for dsn_texts.c.
 */
#ifndef GW_MAIL_DSN_TEXT_H
#define GW_MAIL_DSN_TEXT_H

#include "mail/dsn.h"
#include "mail/fold.h"

/* Two more for every class of reply: what it means, and what to do. */
enum dsn_text {
#define TEXT(id, key, values, text) DSN_TEXT_##id,
#include "mail/dsn_text.def"
#undef TEXT
	DSN_SENTENCES,
	DSN_CLASS_MEANS = DSN_SENTENCES,
	DSN_CLASS_ADVICE = DSN_CLASS_MEANS + REPLY_CLASSES,
	DSN_TEXTS = DSN_CLASS_ADVICE + REPLY_CLASSES,
};

enum dsn_value {
	DSN_VALUE_HOST,     /* this system */
	DSN_VALUE_PEER,     /* the host that said so */
	DSN_VALUE_REPLY,    /* its words, with the codes */
	DSN_VALUE_TIME,     /* how long it was tried */
	DSN_VALUE_ATTEMPTS, /* how often */
	DSN_VALUE_DATE,
	DSN_VALUE_SINCE,
	DSN_VALUE_ID, /* of the message, here */
	DSN_VALUE_N,
	DSN_VALUE_MESSAGES,
	DSN_VALUE_TLS,
	DSN_VALUE_SUBJECT,
	DSN_VALUE_MEANS,
	DSN_VALUE_ADVICE,
	DSN_VALUES,
};

/* Where the words of one report come from. */
struct dsn_tongue {
	enum dsn_language language;
	const struct dsn_texts *texts; /* or NULL */
};

/* What is put in; an empty span where nothing is said. Borrowed. */
struct dsn_values {
	struct span v[DSN_VALUES];
};

/* The name of a text in an operator's file; of a class "bad-mailbox.means". Into name. */
enum { DSN_KEY_MAX = 40 };
const char *dsn_text_key(enum dsn_text text, char name[DSN_KEY_MAX]);
/* DSN_TEXTS: there is none of that name. */
enum dsn_text dsn_text_of_key(struct span key);
/* A sentence with its placeholders: the operator's, else ours. */
struct span dsn_text_get(const struct dsn_tongue *t, enum dsn_text text);
/* Ours, whatever the operator says. */
struct span dsn_text_ours(enum dsn_language language, enum dsn_text text);

/* DSN_VALUES: there is no such placeholder. */
enum dsn_value dsn_value_of_name(struct span name);
/* May that text have that placeholder? */
bool dsn_text_takes(enum dsn_text text, enum dsn_value value);
/*
 * Takes the next piece of a text: 1 with *literal or, where that is empty, *value; 0 at its end. A
 * brace that begins no known placeholder is an ordinary character.
 */
int dsn_text_next(struct span *text, struct span *literal, enum dsn_value *value);

/* Adds the sentence, filled in. values may be NULL if it takes none. */
void dsn_text_fold(struct fold *f, const struct dsn_tongue *t, enum dsn_text text,
    const struct dsn_values *values);
/* Appends the sentence as it stands, filled in, cleaned, on one line. */
void dsn_text_add(struct buf *out, const struct dsn_tongue *t, enum dsn_text text,
    const struct dsn_values *values);

#endif
