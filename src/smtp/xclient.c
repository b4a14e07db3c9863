#include "smtp/xclient.h"

#include "smtp/xtext.h"

const char *const xclient_names[XCLIENT_COUNT] = {[XCLIENT_NAME] = "NAME",
    [XCLIENT_ADDR] = "ADDR",
    [XCLIENT_PORT] = "PORT",
    [XCLIENT_PROTO] = "PROTO",
    [XCLIENT_HELO] = "HELO",
    [XCLIENT_LOGIN] = "LOGIN",
    [XCLIENT_DESTADDR] = "DESTADDR",
    [XCLIENT_DESTPORT] = "DESTPORT"};

struct span xclient_address(struct span value, bool *six)
{
	const struct span prefix = SPAN("IPV6:");

	*six = span_starts_case(value, prefix);
	return span_skip(value, *six ? prefix.n : 0);
}

static bool port_good(struct span text)
{
	uint64_t n;

	return span_to_u64(text, &n) == 0 && n <= UINT16_MAX;
}

/* No blanks, nor what would be punctuation in a Received field: as for the argument of EHLO. */
static bool name_good(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (strchr(" <>()\"\\;,@", text.p[i]))
			return false;
	}
	return true;
}

static bool value_good(enum xclient_attribute a, struct span text)
{
	if (text.n > XCLIENT_VALUE_MAX)
		return false;
	switch (a) {
	case XCLIENT_PORT:
	case XCLIENT_DESTPORT: return port_good(text);
	case XCLIENT_PROTO:
		return span_eq_case(text, SPAN("SMTP")) || span_eq_case(text, SPAN("ESMTP"));
	case XCLIENT_NAME:
	case XCLIENT_HELO: return name_good(text);
	case XCLIENT_ADDR:
	case XCLIENT_DESTADDR:
	case XCLIENT_LOGIN:
	case XCLIENT_COUNT: break;
	}
	return true;
}

static bool unavailable(enum xclient_attribute a, struct span text)
{
	return a != XCLIENT_PROTO && (span_eq_case(text, SPAN("[UNAVAILABLE]")) ||
					 span_eq_case(text, SPAN("[TEMPUNAVAIL]")));
}

/* NAME=value */
static int take(struct span word, struct buf *text, struct xclient *x)
{
	ptrdiff_t equals = span_find(word, '=');
	struct span name = span_first(word, equals < 0 ? 0 : (size_t)equals), value;
	size_t before = buf_len(text);

	for (unsigned a = 0; a < XCLIENT_COUNT; a++) {
		if (!span_eq_case(name, span_str(xclient_names[a])))
			continue;
		if (x->said >> a & 1 || xtext_decode(span_skip(word, name.n + 1), text) < 0 ||
		    buf_failed(text))
			return GW_EFORMAT;
		x->said |= 1u << a;
		value = span_skip(buf_view(text), before);
		if (value.n == 0)
			return GW_EFORMAT;
		if (unavailable((enum xclient_attribute)a, value))
			return 0;
		x->value[a] = value;
		return value_good((enum xclient_attribute)a, value) ? 0 : GW_EFORMAT;
	}
	return GW_EFORMAT;
}

int xclient_decode(struct span args, struct buf *text, struct xclient *x)
{
	*x = (struct xclient){.said = 0};
	buf_clear(text);
	/* One piece: the values point into it. */
	if (args.n == 0 || args.n > XCLIENT_TEXT_MAX || buf_room(text, args.n) == NULL)
		return GW_EFORMAT;
	while (args.n > 0) {
		ptrdiff_t blank = span_find(args, ' ');
		struct span word = span_first(args, blank < 0 ? args.n : (size_t)blank);

		args = span_skip(args, word.n + (blank >= 0));
		if (word.n > 0 && take(word, text, x) < 0)
			return GW_EFORMAT;
	}
	return 0;
}
