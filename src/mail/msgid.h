/*
 * The id of a message: 128 bits, time-ordered (48 bits of milliseconds since
 * 1970, 80 random bits), shown as 26 characters of Crockford base32. It is made
 * by the receiver, stands in the 250 reply, in Received and in every log line,
 * and is never reused.
 */
#ifndef GW_MAIL_MSGID_H
#define GW_MAIL_MSGID_H

#include "base/cursor.h"

enum { MSGID_TEXT = 26, MSGID_RANDOM = 10 };

struct msgid {
	uint8_t b[16];
};

/* now in microseconds; random: MSGID_RANDOM bytes. */
struct msgid msgid_make(int64_t now, const uint8_t random[MSGID_RANDOM]);
/* text has room for MSGID_TEXT + 1. */
void msgid_format(const struct msgid *id, char *text);
/* Accepts lower case and the look-alikes i, l, o: 0 or GW_EFORMAT. */
int msgid_parse(struct span text, struct msgid *id) gw_checked;

static inline bool msgid_eq(const struct msgid *a, const struct msgid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline struct span msgid_span(const struct msgid *id)
{
	return span_of(id->b, sizeof(id->b));
}

/* Its octets, in frames and records. Where there are not so many, the cursor has failed, and the id
 * is all zero. */
static inline void put_msgid(struct buf *b, const struct msgid *id)
{
	buf_add(b, id->b, sizeof(id->b));
}

static inline struct msgid get_msgid(struct cursor *c)
{
	struct span s = get_bytes(c, sizeof(struct msgid));
	struct msgid id = {{0}};

	if (s.n > 0)
		memcpy(id.b, s.p, sizeof(id.b));
	return id;
}

#endif
