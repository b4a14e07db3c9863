/* N/TIME of "limit" and "plan": how much, and in which time. */
#include "config/words.h"

enum { COUNT_DIGITS = 12, PART_MAX = 64 };
#define OCTETS_MAX (UINT64_C(1) << 50)

/* A part of a word, at its place. */
static struct word part_of(struct builder *b, const struct word *w, size_t from, size_t n)
{
	struct word part = *w;

	part.text = textf(b->r, "%.*s", (int)(n < PART_MAX ? n : PART_MAX), w->text + from);
	part.place.column += (unsigned)from;
	part.width = (unsigned)strlen(part.text);
	part.next = NULL;
	return part;
}

/* What people write who mean "no limit" elsewhere. */
static bool is_nothing(const char *text)
{
	size_t zeros = strspn(text, "0");

	return text[0] == '-' || (zeros > 0 && (text[zeros] == '\0' || text[zeros + 1] == '\0') &&
				     strchr("kBKMGT", text[zeros]) != NULL);
}

/* "1000", "24k", "2M": thousands, as mail is counted. */
static bool read_count(struct builder *b, const struct word *w, uint64_t *n)
{
	struct span s = span_str(w->text), digits = s;
	uint64_t factor = 1;

	if (s.n > 1 && (s.p[s.n - 1] == 'k' || s.p[s.n - 1] == 'M')) {
		factor = s.p[s.n - 1] == 'k' ? 1000 : 1000000;
		digits = span_first(s, s.n - 1);
	}
	if (digits.n == 0 || digits.n > COUNT_DIGITS || span_to_u64(digits, n) < 0) {
		report(b->r, CE_LIMIT_RATE, w, NULL, w->text);
		return false;
	}
	*n *= factor;
	return true;
}

static bool read_amount(
    struct builder *b, enum limit_what what, const struct word *w, struct limit_rule *rule)
{
	static const struct option octets = {.name = "octets", .min = 1, .max = OCTETS_MAX};

	if (is_nothing(w->text)) {
		report(b->r, CE_LIMIT_ZERO, w, NULL, w->text, limit_what_word(what));
		return false;
	}
	if (what == LIMIT_OF_OCTETS)
		return value_number(&b->v, &octets, TYPE_SIZE, w, &rule->n);
	return read_count(b, w, &rule->n);
}

/* The word that was meant by "day", "month" and so on. */
static const char *unit_hint(struct builder *b, const char *text)
{
	static const struct {
		const char *text, *unit;
	} meant[] = {{"second", "s"}, {"sec", "s"}, {"minute", "m"}, {"min", "m"}, {"hour", "h"},
	    {"day", "d"}, {"week", "7d"}, {"w", "7d"}, {"months", "month"}, {"mon", "month"},
	    {"mo", "month"}, {"M", "month"}, {"year", "month"}, {"y", "month"}};

	for (size_t i = 0; i < GW_ARRAY_LEN(meant); i++) {
		if (strcmp(text, meant[i].text) == 0)
			return textf(b->r, "write /%s", meant[i].unit);
	}
	return NULL;
}

static bool read_time(struct builder *b, const struct word *w, struct limit_rule *rule)
{
	static const struct {
		char letter;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	struct span s = span_str(w->text);
	uint64_t count = 1;
	uint32_t unit = 0;

	if (words_is(w, "month")) {
		rule->calendar = LIMIT_MONTH;
		return true;
	}
	for (size_t i = 0; s.n > 0 && i < GW_ARRAY_LEN(units); i++) {
		if (s.p[s.n - 1] == units[i].letter)
			unit = units[i].seconds;
	}
	if (unit == 0 || (s.n > 1 && span_to_u64(span_first(s, s.n - 1), &count) < 0) ||
	    count == 0) {
		report(b->r, CE_LIMIT_TIME, w, unit_hint(b, w->text), w->text);
		return false;
	}
	if (count > CONFIG_LIMIT_SECONDS_MAX / unit) {
		report(b->r, CE_LIMIT_LONG, w, NULL, w->text);
		return false;
	}
	rule->seconds = (uint32_t)count * unit;
	return true;
}

/* The window as the calendar has it. */
static bool to_calendar(struct builder *b, const struct word *w, struct limit_rule *rule)
{
	if (rule->seconds == 3600)
		rule->calendar = LIMIT_HOUR;
	else if (rule->seconds == 86400)
		rule->calendar = LIMIT_DAY;
	else if (rule->seconds != 0) {
		report(b->r, CE_LIMIT_CALENDAR, w, NULL, w->text);
		return false;
	}
	rule->seconds = 0;
	return true;
}

/* A number without its time, or a word that stands behind them and is not written well. */
static void report_timeless(struct builder *b, const struct word *w)
{
	static const char *const behind[] = {"calendar", "over", "unlimited"};
	const char *near = nearest_word(span_str(w->text), behind, GW_ARRAY_LEN(behind));
	uint64_t unused;

	if (span_to_u64(span_str(w->text), &unused) == 0)
		report(b->r, CE_RATE_UNIT, w, textf(b->r, "write %s/d", w->text), w->text);
	else
		report(b->r, CE_LIMIT_RATE, w,
		    near != NULL ? textf(b->r, "did you mean '%s'?", near) : NULL, w->text);
}

bool words_limit_rate(
    struct builder *b, const struct word *w, bool calendar, struct limit_rule *rule)
{
	const char *slash = strchr(w->text, '/');
	size_t at = slash != NULL ? (size_t)(slash - w->text) : strlen(w->text);
	struct word n = part_of(b, w, 0, at), time;

	if (at == 0 || (slash != NULL && slash[1] == '\0')) {
		report(b->r, CE_LIMIT_RATE, w, NULL, w->text);
		return false;
	}
	if (slash == NULL && !is_nothing(w->text)) {
		report_timeless(b, w);
		return false;
	}
	if (!read_amount(b, rule->what, &n, rule))
		return false;
	time = part_of(b, w, at + 1, strlen(w->text) - at - 1);
	return read_time(b, &time, rule) && (!calendar || to_calendar(b, &time, rule));
}
