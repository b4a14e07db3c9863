#include "mail/header.h"

static bool is_space(uint8_t c)
{
	return ascii_isblank(c) || c == '\r' || c == '\n';
}

/* The octets of the first line with its CRLF; all if there is no CRLF. */
static size_t line_length(struct span s)
{
	size_t at = 0;

	for (;;) {
		ptrdiff_t lf = span_find(span_skip(s, at), '\n');

		if (lf < 0)
			return s.n;
		at += (size_t)lf + 1;
		if (at >= 2 && s.p[at - 2] == '\r')
			return at;
	}
}

/* A line and the lines that continue it. */
static size_t folded_length(struct span s)
{
	size_t n = line_length(s);

	while (n < s.n && ascii_isblank(s.p[n]))
		n += line_length(span_skip(s, n));
	return n;
}

static bool ends_in_crlf(struct span s)
{
	return s.n >= 2 && s.p[s.n - 2] == '\r' && s.p[s.n - 1] == '\n';
}

struct span header_line(struct span *rest)
{
	struct span line = span_first(*rest, line_length(*rest));

	*rest = span_skip(*rest, line.n);
	if (ends_in_crlf(line))
		line.n -= 2;
	return line;
}

/* RFC 5322 section 3.6.8, and 4.5.x: blanks before the colon are obsolete but tolerated. */
static bool name_valid(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] > 126)
			return false;
	}
	return name.n > 0;
}

struct header_walk header_walk_of(struct span block)
{
	return (struct header_walk){block};
}

int header_next(struct header_walk *w, struct header_field *f)
{
	struct span whole;
	ptrdiff_t colon;

	if (w->rest.n == 0 || span_starts(w->rest, SPAN("\r\n")))
		return 0;
	whole = span_first(w->rest, folded_length(w->rest));
	w->rest = span_skip(w->rest, whole.n);
	colon = span_find(whole, ':');
	if (colon < 0 || ascii_isblank(whole.p[0]))
		return GW_EFORMAT;
	f->name = span_trim(span_first(whole, (size_t)colon));
	f->value = span_skip(whole, (size_t)colon + 1);
	if (ends_in_crlf(f->value))
		f->value.n -= 2;
	f->whole = whole;
	return name_valid(f->name) ? 1 : GW_EFORMAT;
}

static struct span trim_folds(struct span s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span header_get(struct span block, struct span name)
{
	struct header_walk w = header_walk_of(block);
	struct header_field f;
	int got;

	while ((got = header_next(&w, &f)) != 0) {
		if (got > 0 && span_eq_case(f.name, name))
			return trim_folds(f.value);
	}
	return SPAN_NONE;
}

size_t header_count(struct span block, struct span name)
{
	struct header_walk w = header_walk_of(block);
	struct header_field f;
	size_t n = 0;
	int got;

	while ((got = header_next(&w, &f)) != 0)
		n += got > 0 && span_eq_case(f.name, name);
	return n;
}

static size_t plain_run(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
		n++;
	return n;
}

void header_unfold(struct span value, struct buf *out)
{
	while (value.n > 0) {
		size_t n = plain_run(value);

		buf_add_span(out, span_first(value, n));
		value = span_skip(value, n);
		if (value.n == 0)
			return;
		if (value.n >= 3 && ends_in_crlf(span_first(value, 2)) &&
		    ascii_isblank(value.p[2])) {
			value = span_skip(value, 2);
		} else {
			buf_add_byte(out, ' ');
			value = span_skip(value, 1);
		}
	}
}

void header_scan_init(struct header_scan *s)
{
	*s = (struct header_scan){.matched = 2};
}

size_t header_scan_feed(struct header_scan *s, struct span data)
{
	size_t at = 0;

	while (at < data.n && !s->done) {
		if (s->matched == 0) {
			ptrdiff_t cr = span_find(span_skip(data, at), '\r');

			if (cr < 0)
				return data.n;
			at += (size_t)cr;
		}
		if (data.p[at] == "\r\n\r\n"[s->matched])
			s->matched++;
		else
			s->matched = data.p[at] == '\r';
		s->done = s->matched == 4;
		at++;
	}
	return at;
}

struct date {
	int64_t year;
	int month, day; /* month from 0, day from 1 */
};

/* Days since 1970 to a date, by whole 400-year eras that begin on 1 March. */
static struct date date_of_days(int64_t days)
{
	int64_t shifted = days + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t doe = shifted - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t month = (5 * doy + 2) / 153; /* from March */
	struct date d = {.day = (int)(doy - (153 * month + 2) / 5) + 1};

	d.month = (int)(month < 10 ? month + 2 : month - 10);
	d.year = yoe + era * 400 + (d.month < 2);
	return d;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

void header_date(int64_t wall, struct buf *out)
{
	static const char *const day[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char *const month[] = {
	    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t seconds = floor_div(wall, 1000000);
	int64_t days = floor_div(seconds, 86400);
	int clock = (int)(seconds - days * 86400);
	struct date d = date_of_days(days);

	buf_addf(out, "%s, %d %s %04lld %02d:%02d:%02d +0000", day[(days % 7 + 7) % 7], d.day,
	    month[d.month], (long long)d.year, clock / 3600, clock / 60 % 60, clock % 60);
}

void header_date_numbers(int64_t wall, struct buf *out)
{
	int64_t seconds = floor_div(wall, 1000000);
	int64_t days = floor_div(seconds, 86400);
	int minutes = (int)((seconds - days * 86400) / 60);
	struct date d = date_of_days(days);

	buf_addf(out, "%04lld-%02d-%02d %02d:%02d +0000", (long long)d.year, d.month + 1, d.day,
	    minutes / 60, minutes % 60);
}
