#include "base/json.h"

#include <time.h>

static void separate(struct buf *b, const char *key)
{
	struct span s = buf_view(b);

	if (s.n > 0 && strchr("{[", s.p[s.n - 1]) == NULL)
		buf_add_byte(b, ',');
	if (key != NULL)
		buf_addf(b, "\"%s\":", key);
}

void json_open(struct buf *b, const char *key, char bracket)
{
	if (buf_len(b) > 0)
		separate(b, key);
	buf_add_byte(b, (uint8_t)bracket);
}

void json_close(struct buf *b, char bracket)
{
	buf_add_byte(b, (uint8_t)bracket);
}

/* Length of the well-formed UTF-8 sequence at the start (RFC 3629), 0 if there is none. */
static size_t utf8_length(struct span s)
{
	uint8_t c = s.p[0];
	size_t n = c < 0x80                ? 1
		   : c >= 0xc2 && c < 0xe0 ? 2
		   : (c & 0xf0) == 0xe0    ? 3
		   : c >= 0xf0 && c < 0xf5 ? 4
					   : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f))
		return 0;
	if ((c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
		return 0;
	return n;
}

static void add_string(struct buf *b, struct span s)
{
	buf_add_byte(b, '"');
	while (s.n > 0) {
		size_t n = utf8_length(s);

		if (n == 0)
			buf_add_str(b, "\\ufffd");
		else if (n == 1 && (s.p[0] == '"' || s.p[0] == '\\'))
			buf_addf(b, "\\%c", s.p[0]);
		else if (n == 1 && (s.p[0] < ' ' || s.p[0] == 0x7f))
			buf_addf(b, "\\u%04x", s.p[0]);
		else
			buf_add(b, s.p, n);
		s = span_skip(s, n ? n : 1);
	}
	buf_add_byte(b, '"');
}

void json_text(struct buf *b, const char *key, struct span value)
{
	separate(b, key);
	add_string(b, value);
}

void json_str(struct buf *b, const char *key, const char *value)
{
	json_text(b, key, span_str(value));
}

void json_number(struct buf *b, const char *key, int64_t value)
{
	separate(b, key);
	buf_addf(b, "%lld", (long long)value);
}

void json_bool(struct buf *b, const char *key, bool value)
{
	separate(b, key);
	buf_add_str(b, value ? "true" : "false");
}

void json_none(struct buf *b, const char *key)
{
	separate(b, key);
	buf_add_str(b, "null");
}

void json_time(struct buf *b, const char *key, int64_t usec)
{
	int64_t part = usec % 1000000 + (usec % 1000000 < 0 ? 1000000 : 0);
	time_t seconds = (time_t)((usec - part) / 1000000);
	struct tm tm;
	char text[40];
	size_t n;

	gmtime_r(&seconds, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	separate(b, key);
	buf_addf(b, "\"%.*s.%03dZ\"", (int)n, text, (int)(part / 1000));
}
