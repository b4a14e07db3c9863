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
	VALUE_MAX = 512,       /* bytes of one value before it is cut */
	LINE_MAX_BYTES = 8192, /* one line */
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

static void add_time(struct buf *b)
{
	int64_t wall = out.frozen ? out.frozen : clock_wall();
	time_t seconds = wall / USEC_PER_SEC;
	struct tm tm;
	char text[32];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	buf_addf(b, "%s.%03dZ", text, (int)(wall % USEC_PER_SEC / USEC_PER_MSEC));
}

static void add_json_key(struct buf *b, const char *key)
{
	buf_addf(b, "%s\"%s\":", buf_len(b) > 1 ? "," : "", key);
}

void log_begin(struct logline *l, enum log_event ev)
{
	buf_init(&l->b, LINE_MAX_BYTES);
	if (out.format == LOG_JSON) {
		buf_add_str(&l->b, "{\"time\":\"");
		add_time(&l->b);
		buf_addf(&l->b, "\",\"ev\":\"%s\"", event_names[ev]);
		return;
	}
	add_time(&l->b);
	buf_addf(&l->b, " ev=%s", event_names[ev]);
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

static void add_escaped(struct buf *b, struct span s, bool json)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c >= ' ' && c < 0x7f)
			buf_add_byte(b, c);
		else
			buf_addf(b, json ? "\\u%04x" : "\\x%02x", c);
	}
}

void log_text(struct logline *l, const char *key, struct span value)
{
	bool json = out.format == LOG_JSON;
	bool cut = value.n > VALUE_MAX;
	bool quote;

	value = span_first(value, VALUE_MAX);
	quote = json || cut || needs_quotes(value);
	if (json)
		add_json_key(&l->b, key);
	else
		buf_addf(&l->b, " %s=", key);
	if (quote)
		buf_add_byte(&l->b, '"');
	add_escaped(&l->b, value, json);
	if (cut)
		buf_add_str(&l->b, "...");
	if (quote)
		buf_add_byte(&l->b, '"');
}

void log_str(struct logline *l, const char *key, const char *value)
{
	log_text(l, key, span_str(value));
}

void log_number(struct logline *l, const char *key, int64_t value)
{
	if (out.format == LOG_JSON)
		add_json_key(&l->b, key);
	else
		buf_addf(&l->b, " %s=", key);
	buf_addf(&l->b, "%lld", (long long)value);
}

void log_seconds(struct logline *l, const char *key, int64_t usec)
{
	if (usec < 0)
		usec = 0;
	if (out.format == LOG_JSON)
		add_json_key(&l->b, key);
	else
		buf_addf(&l->b, " %s=", key);
	buf_addf(&l->b, "%lld.%03d", (long long)(usec / USEC_PER_SEC),
	    (int)(usec % USEC_PER_SEC / USEC_PER_MSEC));
}

void log_end(struct logline *l)
{
	struct span line;

	if (out.format == LOG_JSON)
		buf_add_byte(&l->b, '}');
	buf_add_byte(&l->b, '\n');
	line = buf_view(&l->b);
	if (out.format != LOG_NONE) {
		/* A line that reached its ceiling lost its end: do not print half an escape. */
		if (buf_failed(&l->b) || buf_space(&out.pending) < line.n)
			metric_add(METRIC_EVENTS_DROPPED, 1);
		else
			buf_add_span(&out.pending, line);
	}
	buf_fini(&l->b);
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
	log_str(&l, "role", out.role);
	log_str(&l, "text", text);
	log_end(&l);
}

static bool reader_keeps_up(void)
{
	struct pollfd p = {.fd = out.fd, .events = POLLOUT};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* Whole lines up to that many octets; a longer first line alone. */
static struct span whole_lines(struct span s, size_t most)
{
	size_t n = s.n < most ? s.n : most;

	while (n > 0 && s.p[n - 1] != '\n')
		n--;
	if (n == 0)
		n = (size_t)span_find(s, '\n') + 1;
	return span_first(s, n);
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
