#include "base/rfc3339.h"

enum { DAY = 86400, FRACTION = 6 };
#define SECOND INT64_C(1000000)

/* Days from 1970-01-01 to that day of the calendar; years count from March. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
	int64_t year = y - (m <= 2), era = year / 400, of_era = year - era * 400;
	int64_t day = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719468;
}

static unsigned month_length(unsigned y, unsigned m)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

/* That many digits. False: they are not there. */
static bool take_number(struct span *s, size_t digits, unsigned *n)
{
	*n = 0;
	if (s->n < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (!ascii_isdigit(s->p[i]))
			return false;
		*n = *n * 10 + (unsigned)(s->p[i] - '0');
	}
	*s = span_skip(*s, digits);
	return true;
}

static bool take_mark(struct span *s, char mark)
{
	if (s->n == 0 || (char)ascii_lower(s->p[0]) != mark)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* Digits behind the sixth say nothing to us. */
static bool take_fraction(struct span *s, int64_t *usec)
{
	size_t n = 0;

	*usec = 0;
	if (!take_mark(s, '.'))
		return true;
	for (; n < s->n && ascii_isdigit(s->p[n]); n++) {
		if (n < FRACTION)
			*usec = *usec * 10 + (s->p[n] - '0');
	}
	for (size_t i = n; i < FRACTION; i++)
		*usec *= 10;
	*s = span_skip(*s, n);
	return n > 0;
}

/* Minutes east of UTC. */
static bool take_offset(struct span *s, int *minutes)
{
	bool west = s->n > 0 && s->p[0] == '-';
	unsigned h, m;

	*minutes = 0;
	if (take_mark(s, 'z'))
		return true;
	if (!take_mark(s, '+') && !take_mark(s, '-'))
		return false;
	if (!take_number(s, 2, &h) || !take_mark(s, ':') || !take_number(s, 2, &m) || h > 23 ||
	    m > 59)
		return false;
	*minutes = (west ? -1 : 1) * (int)(h * 60 + m);
	return true;
}

static bool take_day(struct span *s, int64_t *days)
{
	unsigned y, m, d;

	if (!take_number(s, 4, &y) || !take_mark(s, '-') || !take_number(s, 2, &m) ||
	    !take_mark(s, '-') || !take_number(s, 2, &d))
		return false;
	if (m < 1 || m > 12 || d < 1 || d > month_length(y, m))
		return false;
	*days = days_of(y, m, d);
	return true;
}

/* A leap second is the first of the next minute. */
static bool take_time(struct span *s, int64_t *seconds)
{
	unsigned h, m, sec;

	if (!take_number(s, 2, &h) || !take_mark(s, ':') || !take_number(s, 2, &m) ||
	    !take_mark(s, ':') || !take_number(s, 2, &sec))
		return false;
	*seconds = (int64_t)h * 3600 + m * 60 + sec;
	return h <= 23 && m <= 59 && sec <= 60;
}

int rfc3339_parse(struct span s, int64_t *usec)
{
	int64_t days, seconds, part;
	int minutes;

	if (!take_day(&s, &days) || !take_mark(&s, 't') || !take_time(&s, &seconds) ||
	    !take_fraction(&s, &part) || !take_offset(&s, &minutes) || s.n > 0)
		return GW_EFORMAT;
	*usec = (days * DAY + seconds - minutes * 60) * SECOND + part;
	return 0;
}

void rfc3339_put(struct buf *out, int64_t usec)
{
	int64_t seconds = usec / SECOND - (usec % SECOND < 0);
	int64_t days = seconds / DAY - (seconds % DAY < 0), left = seconds - days * DAY;
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097,
		of_era = z - era * 146097;
	int64_t yoe = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t doy = of_era - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	int64_t m = mp < 10 ? mp + 3 : mp - 9;

	buf_addf(out, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ",
	    (long long)(yoe + era * 400 + (m <= 2)), (long long)m,
	    (long long)(doy - (153 * mp + 2) / 5 + 1), (long long)(left / 3600),
	    (long long)(left / 60 % 60), (long long)(left % 60));
}
