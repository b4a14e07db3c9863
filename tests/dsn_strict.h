/*
 * A reader of delivery status notifications that forgives nothing: every MUST of RFC 3464, 6522 and
 * 6533 (and of RFC 2045, 2047, 5322 as far as reports use them) that can be seen in the bytes. It
 * shares no code with the composer. For unit tests and the fuzzer.
 *
 * strict_read(): NULL, or what is wrong. What stands in the report that ours never has (a field of
 * another name, a line before the first part) is wrong, too: it came from outside.
 */
#ifndef GW_TESTS_DSN_STRICT_H
#define GW_TESTS_DSN_STRICT_H

#include "base/span.h"
#include "base/utf8.h"

#include <stdio.h>

enum { STRICT_RCPT = 2000, STRICT_WORDS = 1 << 20 };

struct strict {
	bool utf8; /* in: who gets it reads UTF-8 */

	const char *wrong;
	char note[200];
	struct span boundary;
	struct span part[3]; /* with their headers */
	size_t n_part;
	bool outer_8bit, outer_binary;
	size_t n_rcpt;
	char action[STRICT_RCPT]; /* 'f' failed, 't' delayed, 'd' delivered, 'r' relayed, 'x'
				     expanded */
	struct span status_part, third, third_type;
	uint8_t words[STRICT_WORDS]; /* the first part, decoded */
	size_t n_words;
	char subject[2000]; /* decoded */
};

static bool strict_no(struct strict *s, const char *what, struct span at)
{
	if (s->wrong == NULL) {
		snprintf(s->note, sizeof(s->note), "%s: %.100s", what,
		    at.n > 0 ? (const char *)at.p : "");
		s->wrong = s->note;
	}
	return false;
}

/* ---- lines and fields */

static struct span strict_line(struct span *rest)
{
	ptrdiff_t lf = span_find(*rest, '\n');
	struct span line = lf < 0 ? *rest : span_first(*rest, (size_t)lf + 1);

	*rest = span_skip(*rest, line.n);
	return line;
}

/* CRLF, nothing but text in it, 998 octets at most. */
static bool strict_octets(struct strict *s, struct span text, bool eight_bit)
{
	while (text.n > 0) {
		struct span line = strict_line(&text);

		if (line.n < 2 || line.p[line.n - 1] != '\n' || line.p[line.n - 2] != '\r')
			return strict_no(s, "a line without CRLF", line);
		if (line.n > 1000)
			return strict_no(s, "a line too long", line);
		for (size_t i = 0; i < line.n - 2; i++) {
			uint8_t c = line.p[i];

			if (c != '\t' && (c < ' ' || c == 127 || (c > 127 && !eight_bit)))
				return strict_no(s, "an octet that may not be", line);
		}
		if (eight_bit && !utf8_valid(line))
			return strict_no(s, "no UTF-8", line);
	}
	return true;
}

struct strict_field {
	struct span name, value; /* the value with its folds, trimmed */
};

/* The next field of a block; false at its end or a mistake. */
static bool strict_field(struct strict *s, struct span *rest, struct strict_field *f)
{
	struct span line = strict_line(rest), from = line;
	ptrdiff_t colon;

	if (line.n <= 2)
		return line.n == 0 ? false : strict_no(s, "an empty line among fields", line);
	colon = span_find(line, ':');
	if (colon <= 0)
		return strict_no(s, "no field", line);
	f->name = span_first(line, (size_t)colon);
	for (size_t i = 0; i < f->name.n; i++) {
		if (f->name.p[i] <= ' ' || f->name.p[i] > 126)
			return strict_no(s, "a name that is none", line);
	}
	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
		struct span more = strict_line(rest);

		if (span_trim(span_first(more, more.n - 2)).n == 0)
			return strict_no(s, "a fold that is blank", from);
		from.n += more.n;
	}
	f->value =
	    span_trim(span_first(span_skip(from, (size_t)colon + 1), from.n - (size_t)colon - 3));
	return true;
}

/* "a; b": what stands before the first semicolon is an atom, and something stands behind it. */
static bool strict_typed(struct strict *s, struct span value, struct span *type, struct span *rest)
{
	ptrdiff_t at = span_find(value, ';');

	if (at <= 0)
		return strict_no(s, "no type", value);
	*type = span_first(value, (size_t)at);
	*rest = span_trim(span_skip(value, (size_t)at + 1));
	for (size_t i = 0; i < type->n; i++) {
		if (!ascii_isalpha(type->p[i]) && !ascii_isdigit(type->p[i]) && type->p[i] != '-')
			return strict_no(s, "a type that is no atom", value);
	}
	return rest->n > 0 || strict_no(s, "nothing behind the type", value);
}

/* "Tue, 14 Nov 2023 22:13:20 +0000". */
static bool strict_date(struct strict *s, struct span v)
{
	char text[64], day[4], month[4];
	int d, y, h, m, sec, end = 0;

	span_to_cstr(v, text, sizeof(text));
	if (sscanf(text, "%3[A-Za-z], %d %3[A-Za-z] %d %2d:%2d:%2d +0000%n", day, &d, month, &y, &h,
		&m, &sec, &end) != 7 ||
	    (size_t)end != v.n || d < 1 || d > 31 || h > 23 || m > 59 || sec > 60 || y < 1000)
		return strict_no(s, "no date", v);
	return true;
}

/* ---- RFC 2047 */

static int strict_hex(uint8_t c)
{
	return ascii_isdigit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One encoded word into out; its length, 0 if it is none. */
static size_t strict_encoded(struct span text, char *out, size_t room, size_t *n)
{
	ptrdiff_t end;
	size_t begin = *n;

	if (!span_starts(text, SPAN("=?utf-8?Q?")))
		return 0;
	for (end = 10; (size_t)end < text.n && text.p[end] != '?'; end++) {
		uint8_t c = text.p[end];

		if (c == '=' && (size_t)end + 2 < text.n && strict_hex(text.p[end + 1]) >= 0 &&
		    strict_hex(text.p[end + 2]) >= 0 && *n < room) {
			out[(*n)++] =
			    (char)(strict_hex(text.p[end + 1]) << 4 | strict_hex(text.p[end + 2]));
			end += 2;
		} else if ((ascii_isalpha(c) || ascii_isdigit(c) || c == '_') && *n < room) {
			out[(*n)++] = (char)(c == '_' ? ' ' : c);
		} else {
			return 0;
		}
	}
	if (!span_starts(span_skip(text, (size_t)end), SPAN("?=")) || end + 2 > 75 ||
	    !utf8_text(span_of(out + begin, *n - begin)))
		return 0;
	return (size_t)end + 2;
}

/* Text for people: all of it encoded words with folds between them, or plain. */
static bool strict_people(struct strict *s, struct span value, char *out, size_t room)
{
	size_t n = 0;

	if (span_find(value, '=') < 0 || !span_starts(value, SPAN("=?"))) {
		span_to_cstr(value, out, room);
		return true;
	}
	while (value.n > 0) {
		size_t used = strict_encoded(value, out, room - 1, &n);

		if (used == 0)
			return strict_no(s, "a bad encoded word", value);
		value = span_skip(value, used);
		if (value.n == 0)
			break;
		if (!span_starts(value, SPAN("\r\n ")))
			return strict_no(s, "encoded words on one line", value);
		value = span_skip(value, 3);
	}
	out[n] = '\0';
	return true;
}

/* ---- the header of the report */

struct strict_once {
	const char *name;
	bool must;
	unsigned seen;
};

static bool strict_count(struct strict *s, struct strict_once *list, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq_case(name, span_str(list[i].name)))
			return ++list[i].seen == 1 || strict_no(s, "a field twice", name);
	}
	return strict_no(s, "a field of that name does not belong here", name);
}

static bool strict_all(struct strict *s, const struct strict_once *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].must && list[i].seen == 0)
			return strict_no(s, "a field is missing", span_str(list[i].name));
	}
	return true;
}

static bool strict_multipart(struct strict *s, struct span v)
{
	static const char start[] =
	    "multipart/report; report-type=delivery-status;\r\n\tboundary=\"";

	if (!span_starts(v, span_str(start)) || v.p[v.n - 1] != '"')
		return strict_no(s, "no multipart/report", v);
	s->boundary = span_skip(v, sizeof(start) - 1);
	s->boundary.n--;
	return (s->boundary.n > 0 && s->boundary.n <= 70 && span_find(s->boundary, '"') < 0) ||
	       strict_no(s, "a bad boundary", v);
}

static bool strict_encoding(struct strict *s, struct span v)
{
	s->outer_8bit = span_eq(v, SPAN("8bit"));
	s->outer_binary = span_eq(v, SPAN("binary"));
	return s->outer_8bit || s->outer_binary || strict_no(s, "an encoding of the whole", v);
}

static bool strict_from(struct strict *s, struct span v)
{
	struct span name = v;
	char out[2000];

	for (name.n = 0; name.n < v.n && v.p[name.n] != '<'; name.n++)
		if (strchr("\"(),:;@[\\]", v.p[name.n]) != NULL)
			return strict_no(s, "From is no phrase", v);
	if (!span_starts(span_skip(v, name.n), SPAN("<MAILER-DAEMON@")) || v.p[v.n - 1] != '>')
		return strict_no(s, "From", v);
	while (name.n > 0 && name.p[name.n - 1] <= ' ')
		name.n--;
	return strict_people(s, name, out, sizeof(out));
}

static bool strict_head_field(struct strict *s, const struct strict_field *f)
{
	struct span v = f->value;

	if (span_eq(f->name, SPAN("From")))
		return strict_from(s, v);
	if (span_eq(f->name, SPAN("Subject")))
		return strict_people(s, v, s->subject, sizeof(s->subject)) &&
		       (s->subject[0] != '\0' || strict_no(s, "no subject", v));
	if (span_eq(f->name, SPAN("To")))
		return span_eq(v, SPAN("undisclosed-recipients:;")) ||
		       (v.n > 2 && v.p[0] == '<' && v.p[v.n - 1] == '>' &&
			   span_find(span_skip(v, 1), '<') < 0 &&
			   span_find(v, '>') == (ptrdiff_t)v.n - 1) ||
		       strict_no(s, "To", v);
	if (span_eq(f->name, SPAN("Date")))
		return strict_date(s, v);
	if (span_eq(f->name, SPAN("MIME-Version")))
		return span_eq(v, SPAN("1.0")) || strict_no(s, "MIME-Version", v);
	/* RFC 3834 section 5 */
	if (span_eq(f->name, SPAN("Auto-Submitted")))
		return span_eq(v, SPAN("auto-replied")) || span_eq(v, SPAN("auto-generated")) ||
		       strict_no(s, "Auto-Submitted", v);
	if (span_eq(f->name, SPAN("Content-Type")))
		return strict_multipart(s, v);
	if (span_eq(f->name, SPAN("Content-Transfer-Encoding")))
		return strict_encoding(s, v);
	return (v.n > 3 && v.p[0] == '<' && v.p[v.n - 1] == '>' && span_find(v, ' ') < 0) ||
	       strict_no(s, "an id", v);
}

static bool strict_head(struct strict *s, struct span head)
{
	struct strict_once list[] = {{"From", true, 0}, {"To", true, 0}, {"Subject", true, 0},
	    {"Date", true, 0}, {"Message-ID", true, 0}, {"MIME-Version", true, 0},
	    {"Content-Type", true, 0}, {"Auto-Submitted", true, 0}, {"In-Reply-To", false, 0},
	    {"References", false, 0}, {"Content-Transfer-Encoding", false, 0}};
	struct strict_field f;

	while (strict_field(s, &head, &f)) {
		if (!strict_count(s, list, GW_ARRAY_LEN(list), f.name) || !strict_head_field(s, &f))
			return false;
	}
	return s->wrong == NULL && strict_all(s, list, GW_ARRAY_LEN(list));
}

/* ---- parts */

/* Where the first empty line ends, 0: there is none. */
static size_t strict_empty(struct span text)
{
	struct span rest = text;

	while (rest.n > 0) {
		if (strict_line(&rest).n == 2)
			return text.n - rest.n;
	}
	return 0;
}

/* Parts begin behind "--boundary", and nothing else begins like one. */
static bool strict_split(struct strict *s, struct span body)
{
	const uint8_t *begin = NULL;
	bool ended = false;

	while (body.n > 0) {
		struct span at = body, line = strict_line(&body),
			    text = span_first(line, line.n - 2);
		bool ours = text.n >= s->boundary.n + 2 && span_starts(text, SPAN("--")) &&
			    span_starts(span_skip(text, 2), s->boundary);
		struct span tail = ours ? span_skip(text, 2 + s->boundary.n) : SPAN_NONE;

		if (ended)
			return strict_no(s, "something behind the end", line);
		if (!ours && begin == NULL && text.n > 0)
			return strict_no(s, "something before the first part", line);
		if (!ours)
			continue;
		if (tail.n > 0 && !span_eq(tail, SPAN("--")))
			return strict_no(s, "a line like a boundary", line);
		if (begin != NULL) {
			if (s->n_part == 3)
				return strict_no(s, "too many parts", line);
			/* The CRLF before the delimiter belongs to it. */
			s->part[s->n_part++] = span_of(begin, (size_t)(at.p - begin) - 2);
		}
		begin = body.p;
		ended = tail.n > 0;
	}
	return (ended && s->n_part >= 2) || strict_no(s, "parts are missing", SPAN_NONE);
}

struct strict_part {
	struct span type, encoding, body;
};

static bool strict_part(struct strict *s, struct span part, struct strict_part *p)
{
	struct strict_once list[] = {{"Content-Type", true, 0}, {"Content-Description", true, 0},
	    {"Content-Language", false, 0}, {"Content-Transfer-Encoding", false, 0}};
	size_t n = strict_empty(part);
	struct span head = span_first(part, n < 2 ? 0 : n - 2);
	struct strict_field f;
	char out[2000];

	if (n == 0)
		return strict_no(s, "a part without an empty line", part);
	*p = (struct strict_part){.encoding = SPAN("7bit"), .body = span_skip(part, n)};
	while (strict_field(s, &head, &f)) {
		if (!strict_count(s, list, GW_ARRAY_LEN(list), f.name))
			return false;
		if (span_eq(f.name, SPAN("Content-Type")))
			p->type = f.value;
		else if (span_eq(f.name, SPAN("Content-Transfer-Encoding")))
			p->encoding = f.value;
		else if (!strict_people(s, f.value, out, sizeof(out)))
			return false;
		if (utf8_beyond_ascii(f.value))
			return strict_no(s, "UTF-8 in the header of a part", f.value);
	}
	return s->wrong == NULL && strict_all(s, list, GW_ARRAY_LEN(list));
}

/* RFC 2045 section 6.7 into s->words. */
static bool strict_quoted(struct strict *s, struct span text)
{
	s->n_words = 0;
	while (text.n > 0) {
		struct span line = strict_line(&text);

		if (line.n > 78)
			return strict_no(s, "a quoted line too long", line);
		for (size_t i = 0; i < line.n; i++) {
			if (s->n_words == STRICT_WORDS)
				return strict_no(s, "too many words", line);
			if (line.p[i] == '=' && i + 3 == line.n)
				break;
			if (line.p[i] != '=') {
				if (line.p[i] == ' ' && line.p[i + 1] == '\r')
					return strict_no(s, "a blank at the end", line);
				s->words[s->n_words++] = line.p[i];
				continue;
			}
			if (i + 2 >= line.n || strict_hex(line.p[i + 1]) < 0 ||
			    strict_hex(line.p[i + 2]) < 0)
				return strict_no(s, "bad quoting", line);
			s->words[s->n_words++] =
			    (uint8_t)(strict_hex(line.p[i + 1]) << 4 | strict_hex(line.p[i + 2]));
			i += 2;
		}
	}
	return true;
}

/* Whatever it was decoded from: lines of visible text. */
static bool strict_visible(struct strict *s, struct span text)
{
	while (text.n > 0) {
		struct span line = strict_line(&text);

		if (line.n < 2 || line.p[line.n - 2] != '\r')
			return strict_no(s, "words without CRLF", line);
		line.n -= 2;
		for (size_t i = 0; i < line.n; i++) {
			if (line.p[i] == '\t')
				line = span_skip(line, i + 1), i = 0;
		}
		if (!utf8_text(line))
			return strict_no(s, "words nobody sees", line);
	}
	return true;
}

static bool strict_words(struct strict *s)
{
	struct strict_part p;

	if (!strict_part(s, s->part[0], &p))
		return false;
	if (span_eq(p.type, SPAN("text/plain; charset=us-ascii"))) {
		if (!span_eq(p.encoding, SPAN("7bit")) || p.body.n > STRICT_WORDS)
			return strict_no(s, "the first part", p.type);
		memcpy(s->words, p.body.p, p.body.n);
		s->n_words = p.body.n;
	} else if (!span_eq(p.type, SPAN("text/plain; charset=utf-8")) ||
		   !span_eq(p.encoding, SPAN("quoted-printable"))) {
		return strict_no(s, "the first part", p.type);
	} else if (!strict_octets(s, p.body, false) || !strict_quoted(s, p.body)) {
		return false;
	}
	return strict_visible(s, span_of(s->words, s->n_words));
}

/* ---- the second part */

/* RFC 6533 section 3: QCHAR, or a character as hexadecimal of at least two digits. */
static bool strict_xtext(struct strict *s, struct span v)
{
	while (v.n > 0) {
		size_t n = 1;

		if (span_starts(v, SPAN("\\x{"))) {
			for (n = 3; n < v.n && strict_hex(v.p[n]) >= 0; n++)
				;
			if (n < 5 || n > 9 || n >= v.n || v.p[n] != '}' || (n > 5 && v.p[3] == '0'))
				return strict_no(s, "a bad character in an address", v);
			n++;
		} else if (v.p[0] <= ' ' || v.p[0] > 126 || strchr("\\+=", v.p[0]) != NULL) {
			return strict_no(s, "not xtext", v);
		}
		v = span_skip(v, n);
	}
	return true;
}

static bool strict_address(struct strict *s, struct span v, bool global)
{
	struct span type, addr;

	if (!strict_typed(s, v, &type, &addr))
		return false;
	if (span_find(addr, '\n') >= 0)
		return strict_no(s, "an address that is folded", v);
	if (span_eq_case(type, SPAN("utf-8")))
		return global ? utf8_text(addr) || strict_no(s, "not seen", v)
			      : strict_xtext(s, addr);
	return !utf8_beyond_ascii(addr) || strict_no(s, "not of that type", v);
}

/* A domain or an address in brackets; perhaps a comment. */
static bool strict_mta(struct strict *s, struct span v)
{
	struct span type, name, rest;

	if (!strict_typed(s, v, &type, &name))
		return false;
	if (!span_eq(type, SPAN("dns")))
		return true;
	for (rest = name; rest.n > 0 && rest.p[0] > ' '; rest = span_skip(rest, 1)) {
		if (!ascii_isalpha(rest.p[0]) && !ascii_isdigit(rest.p[0]) &&
		    strchr("-.[]:", rest.p[0]) == NULL)
			return strict_no(s, "no host", v);
	}
	while (rest.n > 0 && rest.p[0] <= ' ')
		rest = span_skip(rest, 1);
	if (rest.n == 0)
		return true;
	for (size_t i = 1; i + 1 < rest.n; i++) {
		if (strchr("()\\", rest.p[i]) != NULL)
			return strict_no(s, "a bad comment", v);
	}
	return (rest.n > 2 && rest.p[0] == '(' && rest.p[rest.n - 1] == ')') ||
	       strict_no(s, "something behind a host", v);
}

static bool strict_status(struct strict *s, struct span v, struct span action)
{
	const char *classes = span_eq(action, SPAN("failed"))    ? "45"
			      : span_eq(action, SPAN("delayed")) ? "4"
								 : "2";
	unsigned dots = 0, digits = 0;

	if (v.n == 0 || strchr(classes, v.p[0]) == NULL)
		return strict_no(s, "a status that does not go with the action", v);
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '.') {
			dots++;
			digits = 0;
		} else if (!ascii_isdigit(v.p[i]) || ++digits > (dots == 0 ? 1 : 3)) {
			return strict_no(s, "a status that is none", v);
		}
	}
	return (dots == 2 && digits > 0) || strict_no(s, "a status that is none", v);
}

static bool strict_is_ours(struct span name)
{
	return span_starts(name, SPAN("X-Godwit-"));
}

static bool strict_group(struct strict *s, struct span group, bool global)
{
	struct strict_once list[] = {{"Final-Recipient", true, 0}, {"Action", true, 0},
	    {"Status", true, 0}, {"Original-Recipient", false, 0}, {"Remote-MTA", false, 0},
	    {"Diagnostic-Code", false, 0}, {"Last-Attempt-Date", false, 0},
	    {"Will-Retry-Until", false, 0}, {"X-Godwit-Message", false, 0},
	    {"X-Godwit-Attempts", false, 0}, {"X-Godwit-TLS", false, 0},
	    {"X-Godwit-Source", false, 0}, {"X-Godwit-Class", false, 0}};
	struct span action = SPAN_NONE, status = SPAN_NONE, type, rest;
	struct strict_field f;
	bool until = false;

	while (strict_field(s, &group, &f)) {
		bool good = strict_count(s, list, GW_ARRAY_LEN(list), f.name);

		if (span_eq(f.name, SPAN("Action")))
			action = f.value;
		else if (span_eq(f.name, SPAN("Status")))
			status = f.value;
		else if (span_eq(f.name, SPAN("Final-Recipient")) ||
			 span_eq(f.name, SPAN("Original-Recipient")))
			good = good && strict_address(s, f.value, global);
		else if (span_eq(f.name, SPAN("Remote-MTA")))
			good = good && strict_mta(s, f.value);
		else if (span_eq(f.name, SPAN("Diagnostic-Code")))
			good = good && strict_typed(s, f.value, &type, &rest);
		else if (!strict_is_ours(f.name))
			good = good && strict_date(s, f.value);
		until = until || span_eq(f.name, SPAN("Will-Retry-Until"));
		if (!good)
			return false;
	}
	if (s->wrong != NULL || !strict_all(s, list, GW_ARRAY_LEN(list)))
		return false;
	if (!span_eq(action, SPAN("failed")) && !span_eq(action, SPAN("delayed")) &&
	    !span_eq(action, SPAN("delivered")) && !span_eq(action, SPAN("relayed")) &&
	    !span_eq(action, SPAN("expanded")))
		return strict_no(s, "an action that is none", action);
	if (until && !span_eq(action, SPAN("delayed")))
		return strict_no(s, "it is not tried again", action);
	if (s->n_rcpt == STRICT_RCPT)
		return strict_no(s, "too many", action);
	s->action[s->n_rcpt++] = (char)(span_eq(action, SPAN("delayed"))    ? 't'
					: span_eq(action, SPAN("expanded")) ? 'x'
									    : action.p[0]);
	return strict_status(s, status, action);
}

static bool strict_about(struct strict *s, struct span group)
{
	struct strict_once list[] = {{"Reporting-MTA", true, 0}, {"Original-Envelope-Id", false, 0},
	    {"Arrival-Date", false, 0}, {"X-Godwit-Message", false, 0},
	    {"X-Godwit-Recipients", false, 0}, {"X-Godwit-Messages", false, 0}};
	struct strict_field f;
	struct span type, rest;

	while (strict_field(s, &group, &f)) {
		if (!strict_count(s, list, GW_ARRAY_LEN(list), f.name))
			return false;
		if (span_eq(f.name, SPAN("Reporting-MTA")) &&
		    !strict_typed(s, f.value, &type, &rest))
			return false;
		if (span_eq(f.name, SPAN("Arrival-Date")) && !strict_date(s, f.value))
			return false;
	}
	return s->wrong == NULL && strict_all(s, list, GW_ARRAY_LEN(list));
}

/* RFC 3464 section 2.1: groups with one empty line between them, the first about the message. */
static bool strict_second(struct strict *s)
{
	struct strict_part p;
	bool global, first = true;

	if (!strict_part(s, s->part[1], &p))
		return false;
	global = span_eq(p.type, SPAN("message/global-delivery-status"));
	if (!global && !span_eq(p.type, SPAN("message/delivery-status")))
		return strict_no(s, "the second part", p.type);
	if (!span_eq(p.encoding, global ? SPAN("8bit") : SPAN("7bit")) ||
	    (global && (!s->utf8 || !(s->outer_8bit || s->outer_binary))))
		return strict_no(s, "its encoding", p.encoding);
	if (!strict_octets(s, p.body, global))
		return false;
	s->status_part = p.body;
	while (p.body.n > 0) {
		size_t n = strict_empty(p.body);
		struct span group = n > 0 ? span_first(p.body, n - 2) : p.body;

		if (group.n == 0)
			return strict_no(s, "an empty group", p.body);
		p.body = span_skip(p.body, n > 0 ? n : group.n);
		if (!(first ? strict_about(s, group) : strict_group(s, group, global)))
			return false;
		first = false;
		if (n > 0 && p.body.n == 0)
			return strict_no(s, "an empty line at the end", group);
	}
	return s->n_rcpt > 0 || strict_no(s, "no recipient", s->part[1]);
}

/* ---- the third part */

static bool strict_headers(struct strict *s, struct span head)
{
	struct strict_field f;

	while (strict_field(s, &head, &f)) {
		if (span_starts(f.name, SPAN("--")))
			return strict_no(s, "a field like a boundary", f.name);
	}
	return s->wrong == NULL;
}

static bool strict_third(struct strict *s)
{
	struct strict_part p;
	bool eight = false;

	if (s->n_part < 3)
		return true;
	if (!strict_part(s, s->part[2], &p))
		return false;
	s->third = p.body;
	s->third_type = p.type;
	eight = span_eq(p.encoding, SPAN("8bit"));
	if ((eight && !s->outer_8bit && !s->outer_binary) ||
	    (span_eq(p.encoding, SPAN("binary")) && !s->outer_binary))
		return strict_no(s, "the whole does not say what is in it", p.encoding);
	if (span_eq(p.type, SPAN("message/rfc822")))
		return true;
	if (span_eq(p.type, SPAN("message/global")))
		return s->utf8 || strict_no(s, "the receiver cannot read that", p.type);
	if (!strict_octets(s, p.body, eight))
		return false;
	if (span_eq(p.type, SPAN("text/rfc822-headers")))
		return !eight && strict_headers(s, p.body);
	if (span_eq(p.type, SPAN("message/global-headers")))
		return (eight && s->utf8 && strict_headers(s, p.body)) ||
		       strict_no(s, "global headers", p.type);
	if (!span_eq(p.type, SPAN("text/rfc822-headers; charset=utf-8")) ||
	    !span_eq(p.encoding, SPAN("quoted-printable")))
		return strict_no(s, "the third part", p.type);
	{
		/* The words are judged already: their room is free, but not what was read of them.
		 */
		size_t n = s->n_words;
		bool good =
		    strict_quoted(s, p.body) && strict_headers(s, span_of(s->words, s->n_words));

		s->n_words = n;
		return good && strict_words(s);
	}
}

/* message: what comes back whole, or empty: its lines are its author's. */
static const char *strict_read(struct strict *s, struct span text, size_t head_length)
{
	struct span head = span_first(text, head_length < 2 ? 0 : head_length - 2);

	s->wrong = NULL;
	s->n_part = s->n_rcpt = s->n_words = 0;
	s->outer_8bit = s->outer_binary = false;
	if (head_length < 4 || strict_empty(text) != head_length)
		strict_no(s, "the header ends elsewhere", text);
	else if (strict_octets(s, head, s->utf8) && strict_head(s, head) &&
		 strict_split(s, span_skip(text, head_length)) && strict_words(s) &&
		 strict_second(s) && strict_third(s) && !s->outer_8bit && !s->outer_binary)
		strict_octets(s, text, false);
	return s->wrong;
}

#endif
