#include "config/value.h"

#include "base/utf8.h"
#include "mail/address.h"
#include "mail/dsn_language.h"
#include "mail/idna.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/un.h>

enum { NAME_ROOM = WORD_LENGTH + 512, PATH_LENGTH = 1023, USER_LENGTH = 20, REPLY_LENGTH = 400 };

/* ---- numbers and switches */

struct unit {
	char letter;
	uint64_t factor;
};

static const struct unit sizes[] = {{'B', 1}, {'K', UINT64_C(1) << 10}, {'M', UINT64_C(1) << 20},
    {'G', UINT64_C(1) << 30}, {'T', UINT64_C(1) << 40}};
#define SECOND UINT64_C(1000000)
#define DAY (86400 * SECOND)
static const struct unit durations[] = {
    {'s', SECOND}, {'m', 60 * SECOND}, {'h', 3600 * SECOND}, {'d', DAY}};

static const struct unit *find_unit(const struct unit *u, size_t n, char letter)
{
	for (size_t i = 0; i < n; i++) {
		if (u[i].letter == letter)
			return &u[i];
	}
	return NULL;
}

/* "20k" has its unit in small letters, which are those of times: what was meant, or NULL. */
static const char *meant_size(struct values *v, struct span s)
{
	char letter = s.n > 1 ? (char)toupper(s.p[s.n - 1]) : '\0';
	uint64_t n;

	if (find_unit(sizes, GW_ARRAY_LEN(sizes), letter) == NULL ||
	    span_to_u64(span_first(s, s.n - 1), &n) < 0)
		return NULL;
	return textf(v->r, "write %.*s%c", SPAN_ARG(span_first(s, s.n - 1)), letter);
}

/* A number of digits only and the unit behind it. */
static bool read_united(struct values *v, const struct option *row, enum option_type type,
    const struct word *w, uint64_t *out)
{
	bool size = type == TYPE_SIZE;
	struct span s = span_str(w->text);
	const struct unit *u = NULL;

	if (span_to_u64(s, out) == 0) {
		report(v->r, CE_UNIT_MISSING, w,
		    textf(v->r, "write %s%s", w->text, size ? "M" : "s"), w->text);
		return false;
	}
	if (s.n > 1)
		u = size ? find_unit(sizes, GW_ARRAY_LEN(sizes), (char)s.p[s.n - 1])
			 : find_unit(durations, GW_ARRAY_LEN(durations), (char)s.p[s.n - 1]);
	if (u == NULL || span_to_u64(span_first(s, s.n - 1), out) < 0) {
		report(
		    v->r, size ? CE_SIZE : CE_DURATION, w, size ? meant_size(v, s) : NULL, w->text);
		return false;
	}
	/* What does not fit is out of every range. */
	*out = *out > row->max / u->factor ? row->max + 1 : *out * u->factor;
	return true;
}

/* "m", "10s": a unit of time, or so many of it; at most a day. */
static bool read_period(struct span s, uint32_t *seconds)
{
	const struct unit *u = NULL;
	uint64_t count = 1;

	if (s.n > 0)
		u = find_unit(durations, GW_ARRAY_LEN(durations), (char)s.p[s.n - 1]);
	if (u == NULL || (s.n > 1 && span_to_u64(span_first(s, s.n - 1), &count) < 0) ||
	    count == 0 || count > DAY / u->factor)
		return false;
	*seconds = (uint32_t)(count * u->factor / SECOND);
	return true;
}

/* "60/m", "5/10s": how many, a slash, and a time. */
static bool read_rate(struct values *v, const struct word *w, uint64_t *n, uint32_t *seconds)
{
	struct span s = span_str(w->text);
	ptrdiff_t slash = span_find(s, '/');

	if (span_to_u64(s, n) == 0) {
		report(v->r, CE_RATE_UNIT, w, textf(v->r, "write %s/m", w->text), w->text);
		return false;
	}
	if (slash < 0 || span_to_u64(span_first(s, (size_t)slash), n) < 0 ||
	    !read_period(span_skip(s, (size_t)slash + 1), seconds)) {
		report(v->r, CE_RATE, w, NULL, w->text);
		return false;
	}
	return true;
}

static const char *number_text(struct reader *r, enum option_type type, uint64_t n)
{
	char text[32];
	struct buf b;

	buf_init(&b, sizeof(text));
	format_number(type, n, &b);
	span_to_cstr(buf_view(&b), text, sizeof(text));
	buf_fini(&b);
	return textf(r, "%s", text);
}

bool value_number(struct values *v, const struct option *row, enum option_type type,
    const struct word *w, uint64_t *out)
{
	uint32_t seconds = 0;
	bool can_off = row->min == 0 && (type == TYPE_RATE || type == TYPE_LIMIT);
	uint64_t least = can_off ? 1 : row->min;

	if (can_off && strcmp(w->text, "off") == 0) {
		*out = 0;
		return true;
	}
	if (type == TYPE_RATE) {
		if (!read_rate(v, w, out, &seconds))
			return false;
	} else if (type == TYPE_SIZE || type == TYPE_DURATION) {
		if (!read_united(v, row, type, w, out))
			return false;
	} else if (span_to_u64(span_str(w->text), out) < 0) {
		report(v->r, CE_NUMBER, w, NULL, w->text, row->name);
		return false;
	}
	if (*out >= least && *out <= row->max) {
		*out = type == TYPE_RATE ? rate_pack((uint32_t)*out, seconds) : *out;
		return true;
	}
	type = type == TYPE_RATE ? TYPE_NUMBER : type;
	report(v->r, CE_RANGE, w, NULL, row->name, number_text(v->r, type, least),
	    number_text(v->r, type, row->max), w->text);
	return false;
}

bool value_bool(struct values *v, const struct option *row, const struct word *w, bool *out)
{
	bool yesno = row->type == TYPE_YESNO;

	*out = strcmp(w->text, "yes") == 0 || strcmp(w->text, "on") == 0;
	if (*out || strcmp(w->text, "no") == 0 || strcmp(w->text, "off") == 0)
		return true;
	report(v->r, CE_BOOLEAN, w, NULL, w->text, yesno ? "yes" : "on", yesno ? "no" : "off");
	return false;
}

/* ---- names */

static const char *keep_lower(struct values *v, const char *text)
{
	char *copy = must_alloc(v->keep, strlen(text) + 1);

	for (size_t i = 0; text[i] != '\0'; i++)
		copy[i] = (char)ascii_lower((uint8_t)text[i]);
	return copy;
}

static const char *name_hint(struct reader *r, struct span s)
{
	if (s.n > 1 && s.p[s.n - 1] == '.')
		return textf(
		    r, "write it without the last dot: %.*s", SPAN_ARG(span_first(s, s.n - 1)));
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 0x80)
			return "write it in small letters, or its ASCII form, which starts with "
			       "xn--";
		if (s.p[i] == '@')
			return "write only what stands behind the @";
		if (s.p[i] == '_')
			return "host and mail domain names have no underscore";
	}
	if (s.n > 0 && s.p[0] == '*')
		return "a pattern is *. and a domain, as in *.example.com";
	return NULL;
}

bool looks_like_address(struct span s)
{
	size_t n = s.n;

	while (n > 0 && ascii_isdigit(s.p[n - 1]))
		n--;
	return n < s.n && (n == 0 || s.p[n - 1] == '.');
}

/* text: the word, or the part behind "*." */
static bool check_domain(struct values *v, const struct word *w, const char *text)
{
	struct span s = span_str(text);

	if (!domain_valid(s)) {
		report(v->r, CE_NAME, w, name_hint(v->r, s), w->text);
		return false;
	}
	if (looks_like_address(s)) {
		report(v->r, CE_NAME_NUMERIC, w, NULL, w->text);
		return false;
	}
	return true;
}

/* The name in lower case, U-labels as A-labels; before: "" or "*.". NULL after a report. */
static const char *read_name(
    struct values *v, const struct word *w, const char *before, const char *text)
{
	const char *kept = NULL;
	struct buf b;

	buf_init(&b, NAME_ROOM);
	buf_add_str(&b, before);
	if (!utf8_beyond_ascii(span_str(text)) || domain_to_ascii(span_str(text), &b) != 0)
		buf_add_str(&b, text);
	buf_add_byte(&b, 0);
	if (buf_failed(&b))
		report(v->r, CE_NAME, w, NULL, w->text);
	else if (check_domain(v, w, (const char *)buf_view(&b).p + strlen(before)))
		kept = keep_lower(v, (const char *)buf_view(&b).p);
	buf_fini(&b);
	return kept;
}

const char *value_domain(struct values *v, const struct word *w)
{
	return read_name(v, w, "", w->text);
}

const char *value_pattern(struct values *v, const struct word *w)
{
	bool below = strncmp(w->text, "*.", 2) == 0;

	return read_name(v, w, below ? "*." : "", w->text + (below ? 2 : 0));
}

const char *value_below(struct values *v, const struct word *w)
{
	return read_name(v, w, "@", w->text + 1);
}

const char *value_address(struct values *v, const struct word *w)
{
	const char *kept = NULL;
	struct buf room, text;
	struct address a;

	buf_init(&room, NAME_ROOM);
	buf_init(&text, 2 * NAME_ROOM);
	if (address_read(span_str(w->text), &room, &a) < 0 || a.kind == ADDRESS_BARE) {
		report(v->r, CE_ADDRESS, w, NULL, w->text);
	} else {
		buf_add_span(&text, a.local);
		buf_add_byte(&text, '@');
		buf_add_span(&text, a.domain);
		kept = must_dup(v->keep, buf_view(&text));
	}
	buf_fini(&room);
	buf_fini(&text);
	return kept;
}

static const char *value_user(struct values *v, const struct word *w)
{
	struct span s = span_str(w->text);
	bool good = s.n > 0 && s.n <= USER_LENGTH && s.p[0] != '-' && !ascii_isdigit(s.p[0]);

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		good = good && ((c >= 'a' && c <= 'z') || ascii_isdigit(c) || c == '-' || c == '_');
	}
	if (!good)
		report(v->r, CE_USER, w, NULL, w->text);
	return good ? must_dup(v->keep, s) : NULL;
}

static const char *value_language(struct values *v, const struct word *w)
{
	char list[100] = "auto";

	if (strcmp(w->text, "auto") == 0 || dsn_language_of(span_str(w->text)) < DSN_LANGUAGES)
		return must_dup(v->keep, span_str(w->text));
	for (unsigned i = 0; i < DSN_LANGUAGES; i++) {
		size_t n = strlen(list);

		snprintf(list + n, sizeof(list) - n, " %s", dsn_language_tag((enum dsn_language)i));
	}
	report(v->r, CE_KEYWORD, w, NULL, w->text, list);
	return NULL;
}

/* ---- paths */

static bool has_dots(const char *path)
{
	for (const char *s = path; (s = strstr(s, "..")) != NULL; s++) {
		if ((s == path || s[-1] == '/') && (s[2] == '/' || s[2] == '\0'))
			return true;
	}
	return false;
}

static bool check_path(struct values *v, const struct word *w, const char *path, size_t max)
{
	if (path[0] != '/')
		report(v->r, CE_PATH, w, NULL, path);
	else if (has_dots(path))
		report(v->r, CE_PATH_DOTS, w, NULL, path);
	else if (strlen(path) > max)
		report(v->r, CE_PATH_LONG, w, NULL, path);
	else
		return true;
	return false;
}

const char *value_path(struct values *v, const struct word *w)
{
	if (!check_path(v, w, w->text, PATH_LENGTH))
		return NULL;
	return must_dup(v->keep, span_str(w->text));
}

const char *value_socket_path(struct values *v, const struct word *w, const char *path)
{
	if (!check_path(v, w, path, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1))
		return NULL;
	return must_dup(v->keep, span_str(path));
}

const char *value_maildir(struct values *v, const struct word *w)
{
	char bad[3] = "";

	if (!check_path(v, w, w->text, PATH_LENGTH))
		return NULL;
	for (const char *s = w->text; (s = strchr(s, '%')) != NULL; s++) {
		if (s[1] != 'u' && s[1] != 'd') {
			memcpy(bad, s, s[1] ? 2 : 1);
			report(v->r, CE_TEMPLATE, w, NULL, bad);
			return NULL;
		}
	}
	return must_dup(v->keep, span_str(w->text));
}

const char *value_text(struct values *v, const struct option *row, const struct word *w)
{
	switch (row->type) {
	case TYPE_HOSTNAME:
	case TYPE_DOMAIN: return value_domain(v, w);
	case TYPE_ADDRESS: return value_address(v, w);
	case TYPE_PATH: return value_path(v, w);
	case TYPE_SOCKET_PATH: return value_socket_path(v, w, w->text);
	case TYPE_USER: return value_user(v, w);
	case TYPE_LANGUAGE: return value_language(v, w);
	case TYPE_OWN:
	case TYPE_BLOCK:
	case TYPE_NUMBER:
	case TYPE_LIMIT:
	case TYPE_SIZE:
	case TYPE_DURATION:
	case TYPE_RATE:
	case TYPE_YESNO:
	case TYPE_ONOFF: break;
	}
	die("%s: not a setting of text", row->name);
}

/* ---- replies */

/* One to three digits at *s, moved over. */
static bool take_digits(const char **s)
{
	size_t n = strspn(*s, "0123456789");

	*s += n;
	return n >= 1 && n <= 3;
}

/* RFC 3463 section 2: class "." subject "." detail */
static bool reply_formed(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++) {
		if (s[i] < ' ' || s[i] > '~')
			return false;
	}
	if (n > REPLY_LENGTH || n < 11 || (s[0] != '4' && s[0] != '5') || s[1] < '0' ||
	    s[1] > '5' || !ascii_isdigit((uint8_t)s[2]) || s[3] != ' ' ||
	    (s[4] != '4' && s[4] != '5') || s[5] != '.')
		return false;
	s += 6;
	if (!take_digits(&s) || *s++ != '.')
		return false;
	return take_digits(&s) && s[0] == ' ' && s[1] > ' ';
}

bool reply_text_good(const char *s)
{
	return reply_formed(s) && s[0] == s[4];
}

const char *value_reply(struct values *v, const struct word *w)
{
	char code[4], enhanced[16];

	if (!reply_formed(w->text)) {
		report(v->r, CE_REPLY, w, NULL, w->text);
		return NULL;
	}
	if (w->text[0] != w->text[4]) {
		span_to_cstr(span_of(w->text, 3), code, sizeof(code));
		span_to_cstr(
		    span_of(w->text + 4, strcspn(w->text + 4, " ")), enhanced, sizeof(enhanced));
		report(v->r, CE_REPLY_CLASS, w, NULL, code, enhanced);
		return NULL;
	}
	return must_dup(v->keep, span_str(w->text));
}
