#include "cmd/progress.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	BAR_CELLS = 20,
	LINE_MAX_BYTES = 512,
	PLAIN_WIDTH = 80,
};

static const int64_t bar_every = 100 * USEC_PER_MSEC;
static const int64_t line_every = 10 * USEC_PER_SEC;
static const int64_t json_every = USEC_PER_SEC;

enum progress_mode progress_mode_of(bool json, bool quiet)
{
	if (quiet)
		return PROGRESS_QUIET;
	return json ? PROGRESS_JSON : PROGRESS_AUTO;
}

static bool locale_is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
		const char *value = getenv(names[i]);

		if (value != NULL && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

void progress_begin(struct progress *p, const char *verb, int64_t total, enum progress_mode mode,
    int fd, int64_t now)
{
	*p = (struct progress){.verb = verb, .total = total, .mode = mode, .fd = fd};
	p->begun = p->shown = now;
	if (mode == PROGRESS_AUTO)
		p->mode = isatty(fd) ? PROGRESS_BAR : PROGRESS_LINES;
	p->utf8 = locale_is_utf8();
}

char *progress_count(int64_t n, char *dst, size_t size)
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)(n < 0 ? -n : n));
	size_t at = 0;

	if (n < 0 && at + 1 < size)
		dst[at++] = '-';
	for (size_t i = 0; i < len && at + 2 < size; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			dst[at++] = ',';
		dst[at++] = digits[i];
	}
	if (size)
		dst[at] = '\0';
	return dst;
}

static void put_bar(struct buf *b, const struct progress *p, int64_t done)
{
	int64_t full = done >= p->total ? BAR_CELLS : done * BAR_CELLS / p->total;

	for (int64_t i = 0; i < BAR_CELLS; i++) {
		if (p->utf8)
			buf_add_str(b, i < full ? "\u2588" : "\u2591");
		else
			buf_add_str(b, i < full ? "#" : ".");
	}
	buf_add_str(b, "  ");
}

static void put_left(struct buf *b, const struct progress *p, int64_t done)
{
	int64_t left;

	if (p->total == 0 || p->rate <= 0 || done > p->total)
		return;
	left = (int64_t)((double)(p->total - done) / p->rate + 0.5);
	if (left >= 3600)
		buf_addf(b, "   %lldh%02lldm left", (long long)(left / 3600),
		    (long long)(left / 60 % 60));
	else if (left >= 60)
		buf_addf(b, "   %lldm%02llds left", (long long)(left / 60), (long long)(left % 60));
	else
		buf_addf(b, "   %lld s left", (long long)left);
}

static int width_of(int fd)
{
	struct winsize ws;

	if (ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		return ws.ws_col;
	return PLAIN_WIDTH;
}

static void put_text(struct buf *b, const struct progress *p, int64_t done, bool bar)
{
	char n[32];

	buf_addf(b, "%s  ", p->verb);
	if (bar && p->total > 0)
		put_bar(b, p, done);
	buf_addf(b, "%s", progress_count(done, n, sizeof(n)));
	if (p->total > 0)
		buf_addf(b, " / %s", progress_count(p->total, n, sizeof(n)));
	buf_addf(b, "   %s/s", progress_count((int64_t)(p->rate + 0.5), n, sizeof(n)));
	put_left(b, p, done);
}

/* The bar goes first when the terminal is too narrow for both. */
static void put_bar_line(struct buf *b, const struct progress *p, int64_t done)
{
	int width = width_of(p->fd);
	size_t begin;

	buf_add_str(b, "\r");
	begin = buf_len(b);
	put_text(b, p, done, width >= PLAIN_WIDTH);
	if (width < PLAIN_WIDTH && buf_len(b) - begin > (size_t)width - 1)
		buf_cut(b, begin + (size_t)width - 1);
	buf_add_str(b, "\x1b[K");
}

static void put_json(struct buf *b, const struct progress *p, int64_t done, int64_t now)
{
	buf_addf(
	    b, "{\"event\":\"progress\",\"what\":\"%s\",\"done\":%lld", p->verb, (long long)done);
	if (p->total > 0)
		buf_addf(b, ",\"total\":%lld", (long long)p->total);
	buf_addf(b, ",\"rate\":%.1f,\"seconds\":%.3f}\n", p->rate,
	    (double)(now - p->begun) / (double)USEC_PER_SEC);
}

static void show(struct progress *p, int64_t done, int64_t now)
{
	double seconds = (double)(now - p->shown) / (double)USEC_PER_SEC;
	double rate = seconds > 0 ? (double)(done - p->shown_done) / seconds : p->rate;
	struct buf b;

	p->rate = p->drawn ? 0.7 * p->rate + 0.3 * rate : rate;
	buf_init(&b, LINE_MAX_BYTES);
	if (p->mode == PROGRESS_JSON) {
		put_json(&b, p, done, now);
	} else if (p->mode == PROGRESS_BAR) {
		put_bar_line(&b, p, done);
	} else {
		put_text(&b, p, done, false);
		buf_add_str(&b, "\n");
	}
	/* A terminal that is gone costs the display, not the work. */
	if (write(p->fd, buf_view(&b).p, buf_len(&b)) < 0)
		p->mode = PROGRESS_QUIET;
	buf_fini(&b);
	p->drawn = true;
	p->shown = now;
	p->shown_done = done;
}

static int64_t interval(enum progress_mode mode)
{
	if (mode == PROGRESS_BAR)
		return bar_every;
	return mode == PROGRESS_JSON ? json_every : line_every;
}

void progress_update(struct progress *p, int64_t done, int64_t now)
{
	if (p->mode == PROGRESS_QUIET || now - p->shown < interval(p->mode))
		return;
	show(p, done, now);
}

void progress_end(struct progress *p, int64_t done, int64_t now)
{
	/* Work shorter than one interval needs no line of its own. */
	if (p->mode == PROGRESS_QUIET || !p->drawn)
		return;
	p->shown = p->begun;
	p->shown_done = 0;
	p->drawn = false;
	show(p, done, now);
	if (p->mode == PROGRESS_BAR && write(p->fd, "\n", 1) < 0)
		p->mode = PROGRESS_QUIET;
}
