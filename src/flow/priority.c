#include "flow/priority.h"

#include "mail/header.h"

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n'; /* folds are in it */
}

/* The first word of a value, without what is behind it: blanks, a comment. */
static struct span first_word(struct span value)
{
	size_t n = 0;

	while (value.n > 0 && is_blank(value.p[0]))
		value = span_skip(value, 1);
	while (n < value.n && (ascii_isalpha(value.p[n]) || value.p[n] == '-'))
		n++;
	return span_first(value, n);
}

static bool is_bulk(const struct header_field *f)
{
	struct span word;

	if (span_eq_case(f->name, SPAN("List-Id")))
		return true;
	if (!span_eq_case(f->name, SPAN("Precedence")))
		return false;
	word = first_word(f->value);
	return span_eq_case(word, SPAN("bulk")) || span_eq_case(word, SPAN("list")) ||
	       span_eq_case(word, SPAN("junk"));
}

static enum priority wished(enum priority p, struct span word)
{
	if (span_eq_case(word, SPAN("non-urgent")))
		return PRIORITY_BULK;
	if (span_eq_case(word, SPAN("urgent")) && p == PRIORITY_NORMAL)
		return PRIORITY_HIGH;
	return p;
}

static enum priority by_number(enum priority p, int number)
{
	if (number < 0)
		return PRIORITY_BULK;
	return number > 0 && p == PRIORITY_NORMAL ? PRIORITY_HIGH : p;
}

unsigned priority_granted(unsigned mt_priority, bool may_relay)
{
	return mt_priority > MT_PRIORITY_ZERO && !may_relay ? MT_PRIORITY_ZERO : mt_priority;
}

enum priority priority_of(
    enum priority listener, bool may_relay, const struct handling *handling, struct span head)
{
	struct header_walk walk = header_walk_of(head);
	struct header_field f;
	struct span wish = SPAN_NONE;
	unsigned wishes = 0;
	int got;

	while ((got = header_next(&walk, &f)) != 0) {
		if (got < 0)
			continue;
		if (is_bulk(&f))
			return PRIORITY_BULK;
		if (!span_eq_case(f.name, SPAN("Priority")))
			continue;
		wish = first_word(f.value);
		wishes++;
	}
	if (handling->mt_priority != 0)
		return by_number(listener, handling_priority(handling));
	return may_relay && wishes == 1 ? wished(listener, wish) : listener;
}
