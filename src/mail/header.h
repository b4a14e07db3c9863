/*
 * Walking the header of a message (RFC 5322 section 2.2): fields one by one,
 * forward, without copying. Nothing is allocated; spans point into the input.
 */
#ifndef GW_MAIL_HEADER_H
#define GW_MAIL_HEADER_H

#include "base/buf.h"

struct header_field {
	struct span name;  /* before the colon, without trailing blanks */
	struct span value; /* behind the colon up to the last CRLF, folds included */
	struct span whole; /* name to final CRLF */
};

struct header_walk {
	struct span rest;
};

/* block: the header, with or without the empty line at its end. */
struct header_walk header_walk_of(struct span block);
/*
 * 1: *f is the next field; 0: the end; GW_EFORMAT: the next line is no field
 * (a later call goes on behind it).
 */
int header_next(struct header_walk *w, struct header_field *f) gw_checked;

/* The value of the first field of that name, blanks trimmed; an empty span with p == NULL if none.
 */
struct span header_get(struct span block, struct span name);
/* Takes the first line of *rest, without its CRLF; a line without one goes to the end. */
struct span header_line(struct span *rest);

/* How many fields have that name. */
size_t header_count(struct span block, struct span name);
/* Appends a value with its folds replaced as RFC 5322 section 2.2.3 says. */
void header_unfold(struct span value, struct buf *out);

/*
 * Finds the end of the header in data that comes in pieces. Feed returns the
 * number of bytes of this piece that belong to the header including the empty
 * line, and sets done when that was seen. A first line that is no header field
 * (no colon) still belongs to the header block; the caller judges it.
 */
struct header_scan {
	uint8_t matched; /* of CRLF CRLF; starts as 2: an empty line may come first */
	bool done;
};
void header_scan_init(struct header_scan *s);
size_t header_scan_feed(struct header_scan *s, struct span data);

/* Appends an RFC 5322 date-time of that wall-clock time (microseconds), in UTC ("+0000"). */
void header_date(int64_t wall, struct buf *out);
/* The same time for people of any language: "2023-11-19 23:13 +0000". */
void header_date_numbers(int64_t wall, struct buf *out);

#endif
