#include "cmd/dev_show.h"

#include "cmd/terminal.h"

#include <jansson.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum {
	ADDRESS_WIDTH = 24,
	ADDRESS_SHOWN = 60,
	SUBJECT_SHOWN = 50,
	REPLY_SHOWN = 160,
	VALUE_MAX = 4096,
	SLUG_MAX = 64,
	LATER_MAX = 1 << 20
};

/* ---- values of an event --------------------------------------------------------------------- */

/*
 * The log writes each octet above 127 as one \u00XX, which JSON turns into a character of two
 * octets: back to the octets the client sent.
 */
static void put_octets(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] & 0xfc) == 0xc0 && i + 1 < s.n) {
			buf_add_byte(out, (uint8_t)(s.p[i] << 6 | (s.p[i + 1] & 0x3f)));
			i++;
		} else {
			buf_add_byte(out, s.p[i]);
		}
	}
}

static void get_text(const json_t *e, const char *key, struct buf *out)
{
	const json_t *v = json_object_get(e, key);

	buf_init(out, VALUE_MAX);
	put_octets(
	    span_first(span_of(json_string_value(v), json_string_length(v)), VALUE_MAX), out);
}

static int64_t get_number(const json_t *e, const char *key)
{
	return json_integer_value(json_object_get(e, key));
}

static bool has(const json_t *e, const char *key)
{
	return json_object_get(e, key) != NULL;
}

static bool is_event(const json_t *e, const char *name)
{
	const char *ev = json_string_value(json_object_get(e, "ev"));

	return ev != NULL && strcmp(ev, name) == 0;
}

/* ---- pieces of a line ------------------------------------------------------------------------ */

static void put_clock(const json_t *e, struct buf *out)
{
	int64_t usec = terminal_time(json_string_value(json_object_get(e, "time")));
	time_t seconds = usec < 0 ? 0 : (time_t)(usec / 1000000);
	struct tm tm;

	localtime_r(&seconds, &tm);
	buf_addf(out, "%02d:%02d:%02d  ", tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void put_address(const json_t *e, const char *key, size_t more, struct buf *out)
{
	struct buf text, shown;

	get_text(e, key, &text);
	buf_init(&shown, VALUE_MAX);
	buf_addf(&shown, "%s=", key);
	if (buf_len(&text) == 0)
		buf_add_str(&shown, "<>");
	else
		terminal_text(&shown, buf_view(&text), ADDRESS_SHOWN);
	if (more > 0)
		buf_addf(&shown, " +%zu", more);
	buf_add_span(out, buf_view(&shown));
	for (size_t n = terminal_width(buf_view(&shown)); n < ADDRESS_WIDTH + 3; n++)
		buf_add_byte(out, ' ');
	buf_add_str(out, "  ");
	buf_fini(&shown);
	buf_fini(&text);
}

static void put_subject(const json_t *e, struct buf *out)
{
	struct buf raw, text;

	if (!has(e, "subject"))
		return;
	get_text(e, "subject", &raw);
	buf_init(&text, VALUE_MAX);
	dev_decode_words(buf_view(&raw), &text);
	buf_add_byte(out, '"');
	terminal_text(out, buf_view(&text), SUBJECT_SHOWN);
	buf_add_str(out, "\"  ");
	buf_fini(&text);
	buf_fini(&raw);
}

/* "550 5.1.1 words of the server" */
static void put_reply(const json_t *e, struct buf *out)
{
	struct buf text;

	if (get_number(e, "code") != 0)
		buf_addf(out, "%d ", (int)get_number(e, "code"));
	get_text(e, "esc", &text);
	if (buf_len(&text) > 0 && !span_eq(buf_view(&text), SPAN("0.0.0"))) {
		terminal_text(out, buf_view(&text), 16);
		buf_add_byte(out, ' ');
	}
	buf_fini(&text);
	get_text(e, "reply", &text);
	terminal_text(out, buf_view(&text), REPLY_SHOWN);
	buf_fini(&text);
}

/* One of our own slugs as words: "fault_address" -> "fault address", or in capitals. */
static void put_slug(const json_t *e, const char *key, bool upper, struct buf *out)
{
	char slug[SLUG_MAX] = "";
	const char *value = json_string_value(json_object_get(e, key));

	snprintf(slug, sizeof(slug), "%s", value ? value : "");
	for (char *c = slug; *c != '\0'; c++) {
		if (*c == '_')
			*c = ' ';
		else if (upper && *c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	}
	terminal_text(out, span_str(slug), 0);
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void show_accepted(struct dev_show *d, const json_t *e, struct buf *out)
{
	int64_t rcpts = get_number(e, "rcpts");
	char size[TERMINAL_SHORT];

	d->n.accepted++;
	put_clock(e, out);
	put_address(e, "from", 0, out);
	put_address(e, "to", rcpts > 1 ? (size_t)rcpts - 1 : 0, out);
	put_subject(e, out);
	buf_addf(out, "%s\n", terminal_size(get_number(e, "size"), size));
}

/* DATA after the only recipient was refused: what matters was said before. */
static bool follows_from_others(const json_t *e)
{
	const char *reason = json_string_value(json_object_get(e, "reason"));

	return reason != NULL && strcmp(reason, "no_recipients") == 0;
}

static void show_reject(struct dev_show *d, const json_t *e, struct buf *out)
{
	if (follows_from_others(e))
		return;
	d->n.refused++;
	put_clock(e, out);
	if (has(e, "from"))
		put_address(e, "from", 0, out);
	if (has(e, "to"))
		put_address(e, "to", 0, out);
	buf_add_str(out, "refused at ");
	put_slug(e, "stage", true, out);
	buf_add_str(out, " with ");
	put_reply(e, out);
	buf_add_byte(out, '(');
	put_slug(e, "reason", false, out);
	buf_add_str(out, ")\n");
}

static void show_outcome(const json_t *e, const char *word, struct buf *out)
{
	const json_t *next = json_object_get(e, "next");

	put_clock(e, out);
	put_address(e, "to", 0, out);
	buf_add_str(out, word);
	if (next != NULL)
		buf_addf(out, ", next try in %lld s", (long long)(json_number_value(next) + 0.5));
	buf_add_str(out, ": ");
	put_reply(e, out);
	buf_add_byte(out, '\n');
}

static void show_delivered(struct dev_show *d, const json_t *e, struct buf *out)
{
	d->n.delivered++;
	/* In the catcher that is what happens to all; only what took more than one try is news. */
	if (d->forward || get_number(e, "attempt") > 1)
		show_outcome(e, "delivered", out);
}

static void show_died(const json_t *e, struct buf *out)
{
	put_clock(e, out);
	buf_add_str(out, "a process ended and is started again: ");
	put_slug(e, "role", false, out);
	if (has(e, "signal"))
		buf_addf(out, ", signal %d", (int)get_number(e, "signal"));
	buf_add_byte(out, '\n');
}

static void show_error(const json_t *e, const char *word, const char *key, struct buf *out)
{
	struct buf text;

	put_clock(e, out);
	buf_add_str(out, word);
	get_text(e, key, &text);
	terminal_text(out, buf_view(&text), 0);
	buf_add_byte(out, '\n');
	buf_fini(&text);
}

static void show_event(struct dev_show *d, const json_t *e, struct buf *out)
{
	if (is_event(e, "accepted")) {
		show_accepted(d, e, out);
	} else if (is_event(e, "reject")) {
		show_reject(d, e, out);
	} else if (is_event(e, "delivered")) {
		show_delivered(d, e, &d->later);
	} else if (is_event(e, "deferred")) {
		d->n.deferred++;
		show_outcome(e, "deferred", &d->later);
	} else if (is_event(e, "bounced") || is_event(e, "expired")) {
		d->n.bounced++;
		show_outcome(e, is_event(e, "bounced") ? "bounced" : "expired", &d->later);
	} else if (is_event(e, "role.died")) {
		show_died(e, out);
	} else if (is_event(e, "error")) {
		show_error(e, "error: ", "text", out);
	} else if (is_event(e, "spool.low") || is_event(e, "spool.failed")) {
		show_error(e, "the spool is full or damaged: ", "ev", out);
	}
}

void dev_show_init(struct dev_show *d, bool forward)
{
	*d = (struct dev_show){.forward = forward};
	buf_init(&d->later, LATER_MAX);
}

void dev_show_fini(struct dev_show *d)
{
	buf_fini(&d->later);
}

void dev_show_rest(struct dev_show *d, struct buf *out)
{
	buf_add_span(out, buf_view(&d->later));
	buf_clear(&d->later);
}

void dev_show_line(struct dev_show *d, struct span line, struct buf *out)
{
	json_t *e;

	if (line.n == 0)
		return;
	if (buf_len(&d->later) > LATER_MAX / 2)
		dev_show_rest(d, out);
	if (line.p[0] != '{') {
		/* Not of the log: last words of a process. */
		terminal_text(out, line, 0);
		buf_add_byte(out, '\n');
		return;
	}
	e = json_loadb((const char *)line.p, line.n, JSON_ALLOW_NUL, NULL);
	if (json_is_object(e))
		show_event(d, e, out);
	else
		d->n.unread++;
	json_decref(e);
}

/* ---- the end ------------------------------------------------------------------------------------
 */

static void put_some(struct buf *out, uint64_t n, const char *one, const char *many)
{
	if (n > 0)
		buf_addf(out, ", %llu %s", (unsigned long long)n, n == 1 ? one : many);
}

void dev_show_total(const struct dev_show *d, struct buf *out)
{
	buf_addf(out, "%s %llu message%s", d->forward ? "took" : "caught",
	    (unsigned long long)d->n.accepted, d->n.accepted == 1 ? "" : "s");
	put_some(out, d->n.refused, "refusal", "refusals");
	put_some(out, d->n.deferred, "deferral", "deferrals");
	put_some(out, d->n.bounced, "bounce", "bounces");
	put_some(out, d->n.unread, "damaged log line", "damaged log lines");
}

/* ---- RFC 2047
 * ------------------------------------------------------------------------------------ */

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_b(struct span s, struct buf *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	while (s.n > 0 && s.p[s.n - 1] == '=')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		int v = base64_value(s.p[i]);

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_byte(out, (uint8_t)(bits >> have));
		}
	}
	return true;
}

static int hex(uint8_t c)
{
	c = ascii_lower(c);
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i] == '_' ? ' ' : s.p[i];

		if (c == '=') {
			if (i + 2 >= s.n || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
				return false;
			c = (uint8_t)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
			i += 2;
		}
		buf_add_byte(out, c);
	}
	return true;
}

/* "=?charset?B?text?=" at the start: its length, 0 if there is none that we can read. */
static size_t decode_word(struct span s, struct buf *out)
{
	struct span charset, rest;
	size_t before = buf_len(out);
	ptrdiff_t mark;
	bool good;

	if (!span_starts(s, SPAN("=?")))
		return 0;
	charset = span_skip(s, 2);
	mark = span_find(charset, '?');
	if (mark <= 0 || (size_t)mark + 3 > charset.n || charset.p[mark + 2] != '?')
		return 0;
	rest = span_skip(charset, (size_t)mark + 3);
	charset = span_first(charset, (size_t)mark);
	if (!span_eq_case(charset, SPAN("utf-8")) && !span_eq_case(charset, SPAN("us-ascii")))
		return 0;
	mark = span_find(rest, '?');
	if (mark < 0 || (size_t)mark + 1 >= rest.n || rest.p[mark + 1] != '=')
		return 0;
	good = ascii_lower(rest.p[-2]) == 'b'   ? decode_b(span_first(rest, (size_t)mark), out)
	       : ascii_lower(rest.p[-2]) == 'q' ? decode_q(span_first(rest, (size_t)mark), out)
						: false;
	if (!good) {
		buf_cut(out, before);
		return 0;
	}
	return (size_t)(rest.p - s.p) + (size_t)mark + 2;
}

static size_t blanks(struct span s)
{
	size_t n = 0;

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '\t' || s.p[n] == '\r' || s.p[n] == '\n'))
		n++;
	return n;
}

void dev_decode_words(struct span s, struct buf *out)
{
	bool after_word = false;

	while (s.n > 0) {
		/* Blanks between two words belong to the folding. */
		size_t gap = after_word ? blanks(s) : 0;
		size_t n = decode_word(span_skip(s, gap), out);

		after_word = n > 0;
		if (n == 0)
			buf_add_byte(out, s.p[0]);
		s = span_skip(s, n > 0 ? gap + n : 1);
	}
}
