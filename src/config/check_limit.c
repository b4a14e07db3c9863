/* Limits and plans as a whole: those that never matter, and those that nobody meets. */
#include "config/show.h"
#include "config/words.h"

#include <stdio.h>

enum {
	DELAY_USEFUL = 600, /* seconds */
	CALENDAR_HOUR = 3600,
	CALENDAR_DAY = 90000,     /* in autumn one has 25 hours */
	CALENDAR_MONTH = 2682000, /* 31 days, one of them with 25 */
	RATE_WIDTH = 1,
};

static const char *rate_text(struct builder *b, const struct limit_rule *r)
{
	const char *text;
	struct buf out;

	buf_init(&out, 64);
	limit_rate_text(r, &out);
	text = textf(b->r, "%.*s", SPAN_ARG(buf_view(&out)));
	buf_fini(&out);
	return text;
}

static unsigned rate_width(struct builder *b, const struct limit_rule *r)
{
	unsigned n = (unsigned)strlen(rate_text(b, r));

	return n > 0 ? n : RATE_WIDTH;
}

/* ---- never reached ----------------------------------------------------------------------------
 */

static uint32_t longest(const struct limit_rule *r)
{
	static const uint32_t seconds[LIMIT_CALENDARS] = {[LIMIT_HOUR] = CALENDAR_HOUR,
	    [LIMIT_DAY] = CALENDAR_DAY,
	    [LIMIT_MONTH] = CALENDAR_MONTH};

	return r->seconds > 0 ? r->seconds : seconds[r->calendar];
}

/* Is every window of the second within one of the first? */
static bool covers(const struct limit_rule *a, const struct limit_rule *b)
{
	if (a->seconds > 0)
		return a->seconds >= longest(b);
	return b->seconds == 0 && a->calendar >= b->calendar;
}

/* Is everybody whom the second concerns concerned by the first too, by himself? */
static bool concerns(const struct limit_rule *a, const struct limit_rule *b)
{
	return a->key == b->key &&
	       (a->only == NULL || (b->only != NULL && strcmp(a->only, b->only) == 0));
}

static bool stands_before(const struct limit_rule *a, const struct limit_rule *b)
{
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line;
	return a->place.column < b->place.column;
}

static bool shadows(const struct limit_rule *a, const struct limit_rule *b)
{
	if (a == b || a->what != b->what || !concerns(a, b) || !covers(a, b) || a->n > b->n)
		return false;
	/* Two of the same strictness: one of them is told. */
	return a->n < b->n || !covers(b, a) || !concerns(b, a) || stands_before(a, b);
}

static bool check_shadow(
    struct builder *b, const struct limit_rule *list, size_t n, const struct limit_rule *r)
{
	char at[PLACE_TEXT];

	for (size_t i = 0; i < n; i++) {
		if (!shadows(&list[i], r))
			continue;
		report_at(b->r, CE_LIMIT_SHADOWED, &r->place, rate_width(b, r), NULL,
		    rate_text(b, &list[i]), place_text(&list[i].place, at));
		return true;
	}
	return false;
}

/* ---- one by one -------------------------------------------------------------------------------
 */

static bool can_log_in(const struct config *c)
{
	return c->users != NULL || c->users_any;
}

static void check_listener(struct builder *b, const struct limit_rule *r)
{
	for (size_t i = 0; i < b->c->n_listen; i++) {
		const char *name = b->c->listen[i].name;

		if (span_eq_case(span_str(name), span_str(r->only)))
			return;
	}
	report_at(b->r, CE_LIMIT_LISTENER, &r->place, rate_width(b, r), NULL, r->only);
}

static void check_small(struct builder *b, const struct limit_rule *r)
{
	const struct place *said = &b->x->origin[OPT_MESSAGE_SIZE];
	char at[PLACE_TEXT];
	struct buf size;

	if (r->what != LIMIT_OF_OCTETS || r->n >= b->c->limits.message_size)
		return;
	buf_init(&size, 32);
	format_size(b->c->limits.message_size, &size);
	report_at(b->r, CE_LIMIT_SMALL, &r->place, rate_width(b, r), NULL,
	    textf(b->r, "%.*s", SPAN_ARG(buf_view(&size))), place_text(said, at));
	buf_fini(&size);
}

static void check_delay(struct builder *b, const struct limit_rule *r)
{
	const char *text = rate_text(b, r), *slash = strchr(text, '/');

	if (r->over == LIMIT_DELAY && longest(r) > DELAY_USEFUL)
		report_at(b->r, CE_LIMIT_DELAY, &r->place, rate_width(b, r), NULL,
		    slash != NULL ? slash + 1 : text);
}

static void check_one(struct builder *b, const struct limit_rule *r)
{
	if (r->key == LIMIT_BY_LISTENER && r->only != NULL)
		check_listener(b, r);
	if ((r->key == LIMIT_BY_ACCOUNT || r->key == LIMIT_BY_TENANT) && r->plan == NULL &&
	    !can_log_in(b->c))
		report_at(b->r, CE_LIMIT_NOBODY, &r->place, rate_width(b, r), NULL, "");
	check_small(b, r);
	check_delay(b, r);
}

/* ---- the number of counters -------------------------------------------------------------------
 */

struct windows {
	size_t n;
	bool told;
};

static void count_window(struct builder *b, const struct limit_rule *r, struct windows *w)
{
	const char *name = textf(b->r, "%d %d %u %d", (int)r->key, (int)r->what, r->seconds,
	    r->seconds > 0 ? 0 : (int)r->calendar);
	char most[16];

	if (build_once(b, "window", name, &r->place) != NULL || ++w->n <= CONFIG_COUNTERS_MAX ||
	    w->told)
		return;
	w->told = true;
	snprintf(most, sizeof(most), "%d", CONFIG_COUNTERS_MAX);
	report_at(b->r, CE_LIMIT_WINDOWS, &r->place, rate_width(b, r), NULL, most);
}

void check_limits(struct builder *b)
{
	const struct config *c = b->c;
	struct windows windows = {0};

	for (size_t i = 0; i < c->n_limit; i++) {
		check_one(b, &c->limit[i]);
		check_shadow(b, c->limit, c->n_limit, &c->limit[i]);
		count_window(b, &c->limit[i], &windows);
	}
	for (size_t i = 0; i < c->n_plan; i++) {
		const struct plan *p = &c->plan[i];

		if (!can_log_in(c))
			report_at(
			    b->r, CE_LIMIT_NOBODY, &p->place, (unsigned)strlen(p->name), NULL, "");
		for (size_t k = 0; k < p->n_limit; k++) {
			check_one(b, &p->limit[k]);
			if (!check_shadow(b, c->limit, c->n_limit, &p->limit[k]))
				check_shadow(b, p->limit, p->n_limit, &p->limit[k]);
			count_window(b, &p->limit[k], &windows);
		}
	}
}
