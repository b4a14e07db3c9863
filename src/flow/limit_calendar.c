/* Hours, days and months of UTC: for who has no time zone. */
#include "flow/limit.h"

#define SECOND INT64_C(1000000)

static int64_t floor_to(int64_t when, int64_t step)
{
	int64_t rest = when % step;

	return when - (rest < 0 ? rest + step : rest);
}

/* Days from 1970 to the first of a month; years begin in March, so that leap days are at their end.
 */
static int64_t first_day(int64_t year, int64_t month)
{
	int64_t y = month < 3 ? year - 1 : year, m = month < 3 ? month + 9 : month - 3;
	int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5;

	return days - 719468;
}

static struct limit_period month_of(int64_t when)
{
	int64_t day = floor_to(when, 86400 * SECOND) / (86400 * SECOND);
	int64_t year = 1970 + day / 366, month = 1;

	while (first_day(year + 1, 1) <= day)
		year++;
	while (month < 12 && first_day(year, month + 1) <= day)
		month++;
	return (struct limit_period){first_day(year, month) * 86400 * SECOND,
	    first_day(month < 12 ? year : year + 1, month < 12 ? month + 1 : 1) * 86400 * SECOND};
}

struct limit_period limit_utc(void *arg, enum limit_calendar unit, int64_t when)
{
	int64_t step = (unit == LIMIT_HOUR ? 3600 : 86400) * SECOND, begin;

	(void)arg;
	if (when < 0)
		when = 0;
	if (unit == LIMIT_MONTH)
		return month_of(when);
	begin = floor_to(when, step);
	return (struct limit_period){begin, begin + step};
}
