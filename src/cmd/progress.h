/*
 * How all long work shows where it is: a bar with count, rate and time left on
 * a terminal; a line every 10 s elsewhere; JSON events when asked; nothing when
 * quiet. The owner calls progress_update() as often as it likes with the time;
 * drawing is limited here. Words only, no colour; the bar falls back to ASCII
 * outside UTF-8.
 *
 *	progress_begin(&p, "sent", 20000, PROGRESS_AUTO, STDERR_FILENO, clock_now());
 *	progress_update(&p, done, clock_now());
 *	progress_end(&p, done, clock_now());
 *
 * Owns nothing; the descriptor is borrowed and must stay open until the end.
 */
#ifndef GW_CMD_PROGRESS_H
#define GW_CMD_PROGRESS_H

#include "base/base.h"

enum progress_mode {
	PROGRESS_AUTO, /* a bar on a terminal, else lines */
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
	PROGRESS_QUIET,
};

struct progress {
	const char *verb; /* what has been done to the counted things: "sent" */
	int64_t total;    /* 0: not known */
	enum progress_mode mode;
	int fd;
	bool utf8, drawn;
	int64_t begun, shown; /* times */
	int64_t shown_done;
	double rate; /* per second, smoothed over what was shown */
};

/* The mode a verb with these flags wants. */
enum progress_mode progress_mode_of(bool json, bool quiet);

void progress_begin(struct progress *p, const char *verb, int64_t total, enum progress_mode mode,
    int fd, int64_t now);
void progress_update(struct progress *p, int64_t done, int64_t now);
/* Shows the last state and leaves the line. */
void progress_end(struct progress *p, int64_t done, int64_t now);

/* A count with thousands separated, as people read it: "20,000"; returns dst. */
char *progress_count(int64_t n, char *dst, size_t size);

#endif
