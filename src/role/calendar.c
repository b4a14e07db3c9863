#include "role/calendar.h"

#include "base/clock.h"

#include <time.h>

/* The first moment of a local day, its fields normal or not. Where the clocks go back over midnight
 * there are two midnights, and where they go forward there may be none: mktime() then takes
 * whichever it likes, so each way to read it is tried, and the earliest that is that day counts. */
static time_t day_begins(int year, int month, int mday)
{
	struct tm noon = {.tm_year = year, .tm_mon = month, .tm_mday = mday, .tm_hour = 12};
	time_t first = -1;

	noon.tm_isdst = -1;
	(void)mktime(&noon); /* 32 October is 1 November */
	for (int dst = -1; dst <= 1; dst++) {
		struct tm t = {.tm_year = noon.tm_year,
		    .tm_mon = noon.tm_mon,
		    .tm_mday = noon.tm_mday,
		    .tm_isdst = dst};
		time_t at = mktime(&t);

		if (at != -1 && t.tm_mday == noon.tm_mday && (first == -1 || at < first))
			first = at;
	}
	return first;
}

/* Hours are counted from the full hour by the seconds: the one that comes twice in autumn is two.
 */
static struct limit_period hour_of(time_t seconds, const struct tm *local)
{
	time_t begin = seconds - local->tm_min * 60 - local->tm_sec;

	return (struct limit_period){begin, begin + 3600};
}

static struct limit_period day_of(const struct tm *local)
{
	return (struct limit_period){day_begins(local->tm_year, local->tm_mon, local->tm_mday),
	    day_begins(local->tm_year, local->tm_mon, local->tm_mday + 1)};
}

static struct limit_period month_of(const struct tm *local)
{
	return (struct limit_period){day_begins(local->tm_year, local->tm_mon, 1),
	    day_begins(local->tm_year, local->tm_mon + 1, 1)};
}

bool calendar_period(enum limit_calendar unit, int64_t wall, struct limit_period *p)
{
	time_t seconds = (time_t)(wall / USEC_PER_SEC);
	struct tm local;

	if (wall < 0 || localtime_r(&seconds, &local) == NULL)
		return false;
	*p = unit == LIMIT_HOUR  ? hour_of(seconds, &local)
	     : unit == LIMIT_DAY ? day_of(&local)
				 : month_of(&local);
	p->begin *= USEC_PER_SEC;
	p->end *= USEC_PER_SEC;
	return p->begin <= wall && wall < p->end;
}
