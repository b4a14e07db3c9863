/*
 * One event, one line: logfmt (or JSON) with our fields first and what the
 * peer chose last, so that no peer can imitate a field. All text passes one
 * escaper: quotes where needed, control and 8-bit bytes as \xNN, capped length.
 *
 *	struct logline l;
 *	log_begin(&l, EV_REJECT);
 *	log_text(&l, "ip", ip);
 *	log_number(&l, "code", 550);
 *	log_text(&l, "from", from);	(peer-controlled: last)
 *	log_end(&l);
 *
 * Lines collect in memory and are written by log_flush(), once per loop turn.
 * A reader that does not keep up costs lines, which are counted, not time.
 */
#ifndef GW_BASE_LOG_H
#define GW_BASE_LOG_H

#include "base/buf.h"

enum log_event {
#define EVENT(id, name, class, doc) EV_##id,
#include "base/events.def"
#undef EVENT
	EV_COUNT
};

enum log_format { LOG_LOGFMT, LOG_JSON, LOG_NONE };

/* What a pipe takes in one piece (PIPE_BUF). */
enum { LOG_LINE_MAX = 4096 };

struct logline { /* on the caller's stack; its own business */
	size_t n;
	bool full;
	char text[LOG_LINE_MAX];
};

/* Where lines go: a descriptor (borrowed), a format, and the role named in error lines. */
void log_setup(int fd, enum log_format format, const char *role);
/* Lines also hold the time they were made; tests freeze it (microseconds, 0: real time). */
void log_freeze_time(int64_t wall);

void log_begin(struct logline *l, enum log_event ev);
void log_text(struct logline *l, const char *key, struct span value);
void log_str(struct logline *l, const char *key, const char *value);
void log_number(struct logline *l, const char *key, int64_t value);
/* Microseconds as seconds with three decimals. */
void log_seconds(struct logline *l, const char *key, int64_t usec);
void log_end(struct logline *l);

/* Which role says it, for lines that every role may write. */
void log_role(struct logline *l);

/* An EV_ERROR line with one printf-made text. */
void log_error(const char *fmt, ...) gw_printf(1, 2);

/* Writes what was collected. */
void log_flush(void);

#endif
