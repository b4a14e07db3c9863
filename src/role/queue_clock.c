/* Somebody sets the wall clock: the log shows it once, and reports have the new dates. */
#include "role/queue.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/calendar.h"

/* Microseconds by which it is set, if that is worth a line. */
#define CLOCK_JUMP USEC_PER_SEC

int64_t queue_clock_seconds(int64_t usec)
{
	return (usec + (usec < 0 ? -USEC_PER_SEC : USEC_PER_SEC) / 2) / USEC_PER_SEC;
}

static void log_jump(int64_t by)
{
	struct logline l;

	log_begin(&l, EV_CLOCK_JUMPED);
	log_number(&l, "by", queue_clock_seconds(by));
	log_end(&l);
}

void queue_clock_look(struct queue *q)
{
	int64_t ahead = clock_wall() - loop_now(q->loop), by = ahead - q->wall_ahead;

	q->wall_ahead = ahead;
	broker_wall(q->broker, ahead);
	if (by > CLOCK_JUMP || by < -CLOCK_JUMP)
		log_jump(by);
}

void queue_clock_recovered(int64_t silent)
{
	if (silent < -CLOCK_JUMP)
		log_jump(silent);
}

struct limit_period queue_calendar(void *arg, enum limit_calendar unit, int64_t when)
{
	const struct queue *q = arg;
	struct limit_period p;

	if (!calendar_period(unit, when + q->wall_ahead, &p))
		return limit_utc(NULL, unit, when);
	p.begin -= q->wall_ahead;
	p.end -= q->wall_ahead;
	return p;
}
