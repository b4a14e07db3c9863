#include "base/log.h"

#include "base/clock.h"
#include "base/metric.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	VALUE_MAX = 512, /* octets of one value, as it is written, before it is cut */
	FILE_WRITE = 64 << 10,
	PIPE_WRITE = 4096,     /* PIPE_BUF */
	PENDING_MAX = 1 << 20, /* lines that wait for their reader */
};

static const char *const event_names[] = {
#define EVENT(id, name, class, doc) name,
#include "base/events.def"
#undef EVENT
};

static struct {
	int fd;
	enum log_format format;
	const char *role;
	int64_t frozen;
	bool is_file;
	struct buf pending;
} out = {.fd = STDERR_FILENO, .format = LOG_LOGFMT, .role = "-", .pending = {.max = PENDING_MAX}};

void log_setup(int fd, enum log_format format, const char *role)
{
	struct stat st;

	out.fd = fd;
	out.is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	out.format = format;
	out.role = role;
}

void log_freeze_time(int64_t wall)
{
	out.frozen = wall;
}

/* ---- one line, made where the caller put it: lines are made by the ten thousand a second ---- */

static void add(struct logline *l, const void *p, size_t n)
{
	if (n > sizeof(l->text) - l->n) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void add_str(struct logline *l, const char *s)
{
	add(l, s, strlen(s));
}

static void add_digits(struct logline *l, uint64_t v, size_t least)
{
	char digits[24];
	size_t n = 0;

	do {
		digits[sizeof(digits) - ++n] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0 || n < least);
	add(l, digits + sizeof(digits) - n, n);
}

/* The date and time of a second are made once for all its lines. */
static void add_time(struct logline *l)
{
	static time_t made_for = -1;
	static char text[32];
	int64_t wall = out.frozen ? out.frozen : clock_wall();
	time_t seconds = wall / USEC_PER_SEC;

	if (seconds != made_for) {
		struct tm tm;

		gmtime_r(&seconds, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm);
		made_for = seconds;
	}
	add_str(l, text);
	add_digits(l, (uint64_t)(wall % USEC_PER_SEC / USEC_PER_MSEC), 3);
	add(l, "Z", 1);
}

void log_begin(struct logline *l, enum log_event ev)
{
	bool json = out.format == LOG_JSON;

	l->n = 0;
	l->full = false;
	if (json)
		add_str(l, "{\"time\":\"");
	add_time(l);
	add_str(l, json ? "\",\"ev\":\"" : " ev=");
	add_str(l, event_names[ev]);
	if (json)
		add(l, "\"", 1);
}

static void add_key(struct logline *l, const char *key)
{
	bool json = out.format == LOG_JSON;

	add_str(l, json ? ",\"" : " ");
	add_str(l, key);
	add_str(l, json ? "\":" : "=");
}

static bool is_plain(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

static bool needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_plain(s.p[i]))
			return true;
	}
	return s.n == 0;
}

static void add_escaped_byte(struct logline *l, uint8_t c, bool json)
{
	static const char hex[] = "0123456789abcdef";
	char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	if (json) {
		add(l, escape, sizeof(escape));
		return;
	}
	escape[3] = 'x';
	escape[2] = '\\';
	add(l, escape + 2, sizeof(escape) - 2);
}

/* Cut where the line would grow too long, so that nobody can make a line of his vanish. */
static void add_escaped(struct logline *l, struct span s, bool json)
{
	size_t end = l->n + VALUE_MAX;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (l->n >= end) {
			add_str(l, "...");
			return;
		}
		if (c == '"' || c == '\\')
			add(l, "\\", 1);
		if (c >= ' ' && c < 0x7f)
			add(l, &c, 1);
		else
			add_escaped_byte(l, c, json);
	}
}

void log_text(struct logline *l, const char *key, struct span value)
{
	bool json = out.format == LOG_JSON;

	add_key(l, key);
	if (!json && value.n <= VALUE_MAX && !needs_quotes(value)) {
		add(l, value.p, value.n);
		return;
	}
	add(l, "\"", 1);
	add_escaped(l, value, json);
	add(l, "\"", 1);
}

void log_str(struct logline *l, const char *key, const char *value)
{
	log_text(l, key, span_str(value));
}

void log_number(struct logline *l, const char *key, int64_t value)
{
	add_key(l, key);
	if (value < 0)
		add(l, "-", 1);
	add_digits(l, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
}

void log_seconds(struct logline *l, const char *key, int64_t usec)
{
	if (usec < 0)
		usec = 0;
	add_key(l, key);
	add_digits(l, (uint64_t)(usec / USEC_PER_SEC), 1);
	add(l, ".", 1);
	add_digits(l, (uint64_t)(usec % USEC_PER_SEC / USEC_PER_MSEC), 3);
}

void log_end(struct logline *l)
{
	add_str(l, out.format == LOG_JSON ? "}\n" : "\n");
	if (out.format == LOG_NONE)
		return;
	/* A line that reached its ceiling lost its end: do not print half an escape. */
	if (l->full || buf_add(&out.pending, l->text, l->n) < 0)
		metric_add(METRIC_EVENTS_DROPPED, 1);
	out.pending.failed = false;
}

void log_role(struct logline *l)
{
	log_str(l, "role", out.role);
}

void log_error(const char *fmt, ...)
{
	struct logline l;
	char text[VALUE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_begin(&l, EV_ERROR);
	log_role(&l);
	log_str(&l, "text", text);
	log_end(&l);
}

static bool reader_keeps_up(void)
{
	struct pollfd p = {.fd = out.fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Whole lines up to that many octets; no line is longer. */
static struct span whole_lines(struct span s, size_t most)
{
	size_t n = s.n < most ? s.n : most;

	while (n > 0 && s.p[n - 1] != '\n')
		n--;
	return span_first(s, n > 0 ? n : s.n);
}

void log_flush(void)
{
	while (buf_len(&out.pending) > 0 && reader_keeps_up()) {
		/* All processes write to one place: a line goes out in one piece. A pipe that is
		   writable takes PIPE_BUF octets without blocking and without mixing. */
		struct span part =
		    whole_lines(buf_view(&out.pending), out.is_file ? FILE_WRITE : PIPE_WRITE);
		ssize_t n = write(out.fd, part.p, part.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf_drop(&out.pending, (size_t)n);
	}
	buf_trim(&out.pending);
}
