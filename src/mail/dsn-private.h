/*
 * Private to the composers of reports: the frame (header, parts, encodings), the fields of one
 * recipient, the words of one recipient.
 */
#ifndef GW_MAIL_DSN_PRIVATE_H
#define GW_MAIL_DSN_PRIVATE_H

#include "mail/dsn_text.h"

enum {
	DSN_REPLY_MAX = 1024,  /* octets shown of a reply */
	DSN_ADDRESS_MAX = 512, /* of an address, a host name */
	DSN_VALUE_MAX = 900,   /* of what may not be folded, in its longest form */
	DSN_LISTED_MAX = 50,   /* recipients explained in words; all stand in the second part */
	DSN_HEAD_MAX =
	    61440, /* of the copied header; with what folding adds it stays below 64 kB */
};

/* ---- dsn_frame.c */
struct dsn_frame {
	struct buf *out;
	struct span host, to;
	const struct msgid *id;
	int64_t now;
	struct dsn_tongue tongue;
	bool smtputf8;
};

/* Appends the header of the report, with the empty line. about: a Message-ID, or empty. eight_bit,
 * binary: what stands in its parts. */
struct dsn_header {
	enum dsn_text subject;
	struct span about;
	bool generated; /* not an answer to one message */
	bool eight_bit, binary;
};
void dsn_frame_head(const struct dsn_frame *f, const struct dsn_header *h);
/* Is there UTF-8 in that header? */
bool dsn_frame_utf8(const struct dsn_frame *f);
/* The delimiter and the header of a part, with the empty line. encoding: NULL is 7bit. */
void dsn_frame_part(
    const struct dsn_frame *f, const char *type, enum dsn_text what, const char *encoding);
/* A part of text that was written as UTF-8: as it is if that is ASCII, else as quoted-printable. */
void dsn_frame_words(const struct dsn_frame *f, struct span text);
/* The second part, as it is. */
void dsn_frame_status(const struct dsn_frame *f, struct span status);
void dsn_frame_end(const struct dsn_frame *f);
/* Appends text of CRLF lines as quoted-printable; no line of it begins with a hyphen. */
void dsn_add_quoted(struct buf *out, struct span text);

/* ---- dsn_status.c */
/* The status to report: as the host gave it, in the class that fits the action. */
struct dsn_status {
	uint8_t class, subject, detail;
};
struct dsn_status dsn_status_of(const struct dsn_rcpt *r);
/* Appends "550 5.1.1 words" as the host said it; without codes if it gave none. */
void dsn_add_reply(struct buf *out, const struct change_rcpt *c);
/* The second part. utf8: addresses and replies beyond ASCII as they are. */
void dsn_add_status(const struct dsn *d, bool utf8, struct buf *out);
/* Its groups: of the report; of a recipient, about a message of ours or NULL. */
void dsn_add_reporter(struct buf *out, struct span host);
void dsn_add_rcpt(const struct dsn_rcpt *r, const struct msgid *about, bool utf8, struct buf *out);

/* ---- dsn_address.c: "rfc822;bob@b.example", "utf-8;..." (RFC 6533 section 3). */
void dsn_add_address(struct buf *out, const char *name, struct span addr, bool utf8);
/* Of an ORCPT, "type;address"; nothing where it is none. */
void dsn_add_original(struct buf *out, struct span orcpt, bool utf8);

/* ---- dsn_head.c: copies well-formed fields; none begins like a boundary. */
void dsn_copy_head(struct span head, struct buf *out);

/* ---- dsn_words.c */
/* What became of a recipient, the worst first. */
enum dsn_fate {
	DSN_FATE_FAILED,
	DSN_FATE_UNSURE,
	DSN_FATE_DELAYED,
	DSN_FATE_RELAYED,
	DSN_FATE_EXPANDED,
	DSN_FATE_DELIVERED,
	DSN_FATES,
};
enum dsn_fate dsn_fate_of(const struct dsn_rcpt *r);
/* The worst of all. */
enum dsn_fate dsn_worst(const struct dsn *d);

/* What the words are made with; values are kept in it from one sentence to the next. */
struct dsn_words {
	struct buf *out;
	struct dsn_tongue tongue;
	struct dsn_values values;
	struct buf time, date, since, reply;
	char n[24], attempts[24], messages[24], id[MSGID_TEXT + 1];
};
void dsn_words_init(struct dsn_words *w, struct buf *out, const struct dsn_tongue *t);
void dsn_words_fini(struct dsn_words *w);
void dsn_words_number(struct dsn_words *w, enum dsn_value value, uint64_t n);
void dsn_words_date(struct dsn_words *w, enum dsn_value value, int64_t when);
void dsn_words_id(struct dsn_words *w, const struct msgid *id);
/* A sentence on lines of its own: at the margin, or below a recipient. */
void dsn_words_say(struct dsn_words *w, enum dsn_text text);
void dsn_words_below(struct dsn_words *w, enum dsn_text text);
/* "<bob@b.example>" on a line. */
void dsn_words_address(struct dsn_words *w, struct span addr);
/* Who said what of a recipient. */
void dsn_words_said(struct dsn_words *w, const struct dsn_rcpt *r);
/* The first part. */
void dsn_add_words(const struct dsn *d, struct buf *out);

#endif
