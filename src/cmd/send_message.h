/*
 * The message that "godwit send" makes. Pure: time and random octets are given.
 */
#ifndef GW_CMD_SEND_MESSAGE_H
#define GW_CMD_SEND_MESSAGE_H

#include "base/buf.h"
#include "mail/msgid.h"

struct send_message {
	const char *from; /* address, canonical; "" for <> */
	const char *const *to;
	size_t n_to;
	const char *host;    /* right side of the Message-ID */
	const char *subject; /* UTF-8 */
	const char *text;
	const char *class;         /* of X-Godwit-Class; NULL: none */
	const char *const *header; /* "Name: value" */
	size_t n_header;
	uint64_t size; /* octets to fill up to, 0: as it comes */
	int64_t when;  /* wall clock, microseconds */
	struct msgid id;
};

/* Appends the whole message, lines ending with CRLF. */
void send_message_build(const struct send_message *m, struct buf *out);
/* A header field from the command line: a name, a colon, and no line end. */
bool send_header_valid(const char *text);
/* Appends text with CR, LF and CRLF made CRLF, and one at the end. */
void send_lines(struct span text, struct buf *out);

#endif
