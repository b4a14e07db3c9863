#include "cmd/terminal.h"

#include "base/clock.h"
#include "cmd/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SHORT_FROM = 10000, ESCAPED = 4, DOTS = 3, LAST_MIN = 20 };

/* ---- text of unknown origin ----------------------------------------------------------------- */

/* Length and code point of the well-formed character at the start (RFC 3629); 0: none. */
static size_t decode(struct span s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t c = s.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 0 || n > s.n)
		return 0;
	*code = n == 1 ? c : c & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s.p[i] & 0x3f);
	}
	if (*code < least[n] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return n;
}

static bool in_range(uint32_t c, uint32_t from, uint32_t to)
{
	return c >= from && c <= to;
}

/* Controls, what turns the direction of writing, and what cannot be seen. */
static bool is_visible(uint32_t c)
{
	if (c < 0x20 || in_range(c, 0x7f, 0xa0) || c == 0xad || c == 0x61c || c == 0x180e)
		return false;
	if (in_range(c, 0x200b, 0x200f) || in_range(c, 0x2028, 0x202e) ||
	    in_range(c, 0x2060, 0x206f) || c == 0x3164 || c == 0x115f || c == 0x1160)
		return false;
	return !in_range(c, 0xe000, 0xf8ff) && !in_range(c, 0xfff0, 0xfffb) && c != 0xfeff &&
	       !in_range(c, 0xfe00, 0xfe0f) && c < 0xe0000;
}

/* One character as it is shown: octets taken from the input, columns used. */
static size_t put_one(struct buf *out, struct span s, size_t *columns)
{
	uint32_t code = 0;
	size_t n = decode(s, &code);

	if (n > 0 && is_visible(code) && code != '\\') {
		buf_add(out, s.p, n);
		*columns += 1;
		return n;
	}
	n = n ? n : 1;
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "\\x%02x", s.p[i]);
	*columns += n * ESCAPED;
	return n;
}

static size_t put_text(struct buf *out, struct span s, size_t max)
{
	size_t columns = 0, fits = 0, keep = buf_len(out);

	while (s.n > 0 && !buf_failed(out)) {
		s = span_skip(s, put_one(out, s, &columns));
		if (max == 0 || columns + DOTS <= max) {
			fits = columns;
			keep = buf_len(out);
		}
		if (max > 0 && columns > max) {
			buf_cut(out, keep);
			buf_add_str(out, "...");
			return fits + DOTS;
		}
	}
	return columns;
}

void terminal_text(struct buf *out, struct span s, size_t max)
{
	put_text(out, s, max);
}

static void blanks(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_add_byte(out, ' ');
}

void terminal_left(struct buf *out, struct span s, size_t width)
{
	size_t used = put_text(out, s, width);

	blanks(out, used < width ? width - used : 0);
}

void terminal_last(struct buf *out, struct span s, size_t columns, size_t used)
{
	size_t room = columns > used + LAST_MIN ? columns - used : columns ? LAST_MIN : 0;

	if (s.n == 0)
		return;
	buf_add_str(out, "  ");
	terminal_text(out, span_first(s, 1024), room);
}

size_t terminal_width(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

/* ---- the terminal --------------------------------------------------------------------------- */

size_t terminal_columns(void)
{
	struct winsize ws;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		return ws.ws_col;
	return 80;
}

void terminal_print(struct buf *b)
{
	struct span s = buf_view(b);

	if (s.n > 0)
		fwrite(s.p, 1, s.n, stdout);
	fflush(stdout);
	buf_clear(b);
}

bool terminal_confirm(const char *question)
{
	char line[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return false;
	fprintf(stderr, "%s [y/N] ", question);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return false;
	return line[0] == 'y' || line[0] == 'Y';
}

/* ---- numbers for people --------------------------------------------------------------------- */

/* Three digits that matter: 31.2k, 312k, 3.1M. */
static void scaled(int64_t n, int64_t unit, const char *name, char *to)
{
	int64_t tenths = n / (unit / 10);

	if (tenths < 1000)
		snprintf(to, TERMINAL_SHORT, "%lld.%lld%s", (long long)(tenths / 10),
		    (long long)(tenths % 10), name);
	else
		snprintf(to, TERMINAL_SHORT, "%lld%s", (long long)(tenths / 10), name);
}

const char *terminal_count(int64_t n, char *to)
{
	if (n < SHORT_FROM)
		return progress_count(n, to, TERMINAL_SHORT);
	if (n < 1000000)
		scaled(n, 1000, "k", to);
	else
		scaled(n, 1000000, "M", to);
	return to;
}

const char *terminal_size(int64_t octets, char *to)
{
	if (octets < 1000)
		snprintf(to, TERMINAL_SHORT, "%lld B", (long long)octets);
	else if (octets < 1000000)
		snprintf(to, TERMINAL_SHORT, "%lld kB", (long long)((octets + 500) / 1000));
	else if (octets < INT64_C(1000000000))
		scaled(octets, 1000000, " MB", to);
	else
		scaled(octets, 1000000000, " GB", to);
	return to;
}

const char *terminal_age(int64_t usec, char *to)
{
	long long s = usec > 0 ? (long long)(usec / USEC_PER_SEC) : 0;

	if (s < 60)
		snprintf(to, TERMINAL_SHORT, "%llds", s);
	else if (s < 3600)
		snprintf(to, TERMINAL_SHORT, "%lldm%02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(to, TERMINAL_SHORT, "%lldh%02lldm", s / 3600, s / 60 % 60);
	else
		snprintf(to, TERMINAL_SHORT, "%lldd%02lldh", s / 86400, s / 3600 % 24);
	return to;
}

int64_t terminal_time(const char *text)
{
	struct tm tm = {0};
	int millis = 0;

	if (text == NULL || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d", &tm.tm_year, &tm.tm_mon,
				&tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &millis) < 6)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) * USEC_PER_SEC + millis * USEC_PER_MSEC;
}
