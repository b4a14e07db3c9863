#include "flow/counters.h"

#include "base/cursor.h"
#include "base/json.h"

#include <stdio.h>
#include <time.h>

enum { VERSION = 1, TAG_DAY = 1, NUMBERS_MAX = 64 };

static const int64_t usec_per_day = INT64_C(86400) * 1000000;

static const char *const names[COUNTERS] = {[COUNTER_DELIVERED] = "delivered",
    [COUNTER_MAYBE] = "maybe",
    [COUNTER_GIVEN_UP] = "given_up",
    [COUNTER_SENT_AGAIN] = "sent_again",
    [COUNTER_LOST] = "lost"};

static int64_t day_of(int64_t when)
{
	return when > 0 ? when / usec_per_day : 0;
}

static struct counters_day *slot_of(struct counters *c, int64_t day)
{
	return &c->slot[day % COUNTERS_DAYS];
}

void counters_add(struct counters *c, int64_t when, enum counter what, uint64_t n)
{
	int64_t day = day_of(when);
	struct counters_day *slot = slot_of(c, day);

	if (slot->day != day)
		*slot = (struct counters_day){.day = day};
	slot->n[what] += n;
}

enum counter counters_of(const struct change_rcpt *r)
{
	if (r->outcome == OUTCOME_DELIVERED)
		return COUNTER_DELIVERED;
	if (r->outcome == OUTCOME_FAILED && change_unsure(r))
		return COUNTER_GIVEN_UP;
	/* Expired: it was deferred, and its time was over. */
	if ((r->outcome == OUTCOME_DEFERRED || r->outcome == OUTCOME_EXPIRED) && change_unsure(r))
		return COUNTER_MAYBE;
	return COUNTERS;
}

/* ---- the stored form -------------------------------------------------------------------- */

void counters_encode(const struct counters *c, struct buf *out)
{
	put_u8(out, VERSION);
	for (size_t i = 0; i < COUNTERS_DAYS; i++) {
		const struct counters_day *d = &c->slot[i];

		if (d->day == 0)
			continue;
		put_u8(out, TAG_DAY);
		put_u32(out, 4 + 8 * COUNTERS);
		put_u32(out, (uint32_t)d->day);
		for (size_t k = 0; k < COUNTERS; k++)
			put_u64(out, d->n[k]);
	}
}

static int take_day(struct counters *c, struct cursor field)
{
	size_t n = field.rest.n / 8;
	int64_t day = get_u32(&field);
	struct counters_day *slot = slot_of(c, day);

	if (!cursor_ok(&field) || field.rest.n % 8 != 0 || n > NUMBERS_MAX || day == 0 ||
	    slot->day != 0)
		return GW_EFORMAT;
	slot->day = day;
	for (size_t k = 0; k < COUNTERS && field.rest.n > 0; k++)
		slot->n[k] = get_u64(&field);
	return 0;
}

int counters_decode(struct counters *c, struct span in)
{
	struct counters fresh = {.slot = {{0}}};
	struct cursor cur = cursor_of(in);
	uint8_t version = get_u8(&cur);

	if (!cursor_ok(&cur))
		return GW_EFORMAT;
	if (version != VERSION)
		return GW_EVERSION;
	while (cursor_ok(&cur) && cur.rest.n > 0) {
		uint8_t tag = get_u8(&cur);
		struct span field = get_span32(&cur);

		if (cursor_ok(&cur) && tag == TAG_DAY && take_day(&fresh, cursor_of(field)) < 0)
			return GW_EFORMAT;
	}
	if (!cursor_ok(&cur))
		return GW_EFORMAT;
	*c = fresh;
	return 0;
}

/* ---- for people ------------------------------------------------------------------------- */

static bool is_empty(const struct counters_day *d)
{
	for (size_t k = 0; k < COUNTERS; k++) {
		if (d->n[k] != 0)
			return false;
	}
	return true;
}

static void put_day(const struct counters_day *d, struct buf *out)
{
	time_t seconds = (time_t)(d->day * 86400);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	json_open(out, NULL, '{');
	json_str(out, "day", text);
	for (size_t k = 0; k < COUNTERS; k++)
		json_number(out, names[k], (int64_t)d->n[k]);
	json_close(out, '}');
}

void counters_json(const struct counters *c, const char *key, int64_t now, struct buf *out)
{
	int64_t today = day_of(now);

	json_open(out, key, '[');
	for (int64_t day = today; day > 0 && day > today - COUNTERS_DAYS; day--) {
		const struct counters_day *d = &c->slot[day % COUNTERS_DAYS];

		if (d->day == day && !is_empty(d))
			put_day(d, out);
	}
	json_close(out, ']');
}
