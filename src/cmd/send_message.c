#include "cmd/send_message.h"

#include "base/clock.h"

#include <time.h>

enum {
	/* RFC 2047 section 2: an encoded word has at most 75 characters, 45 octets fit in one. */
	WORD_OCTETS = 45,
};

/* ---- RFC 2047, for the subject ------------------------------------------------------------- */

static void put_base64(struct buf *out, struct span s)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)s.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (left > 2)
			v |= s.p[i + 2];
		buf_add_byte(out, (uint8_t)digits[v >> 18]);
		buf_add_byte(out, (uint8_t)digits[v >> 12 & 63]);
		buf_add_byte(out, (uint8_t)(left > 1 ? digits[v >> 6 & 63] : '='));
		buf_add_byte(out, (uint8_t)(left > 2 ? digits[v & 63] : '='));
	}
}

/* Octets for one word: no character is cut in two. */
static size_t word_length(struct span s)
{
	size_t n = s.n < WORD_OCTETS ? s.n : WORD_OCTETS;

	while (n < s.n && n > 1 && (s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	}
	return s.n < 900 && memmem(s.p, s.n, "=?", 2) == NULL;
}

static void put_subject(struct buf *out, struct span s)
{
	buf_add_str(out, "Subject: ");
	if (is_plain(s)) {
		buf_add_span(out, s);
		s.n = 0;
	}
	for (bool first = true; s.n > 0; first = false) {
		size_t n = word_length(s);

		buf_add_str(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
		put_base64(out, span_first(s, n));
		buf_add_str(out, "?=");
		s = span_skip(s, n);
	}
	buf_add_str(out, "\r\n");
}

/* ---- the header ---------------------------------------------------------------------------- */

static void put_date(struct buf *out, int64_t when)
{
	time_t seconds = (time_t)(when / USEC_PER_SEC);
	char text[64];
	struct tm tm;
	size_t n;

	localtime_r(&seconds, &tm);
	n = strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S %z", &tm);
	buf_addf(out, "Date: %.*s\r\n", (int)n, text);
}

static void put_recipients(struct buf *out, const struct send_message *m)
{
	buf_add_str(out, "To: ");
	for (size_t i = 0; i < m->n_to; i++)
		buf_addf(out, "%s%s", i > 0 ? ",\r\n\t" : "", m->to[i]);
	buf_add_str(out, "\r\n");
}

static bool has_eight_bit(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((uint8_t)*text > 127)
			return true;
	}
	return false;
}

static void put_header(struct buf *out, const struct send_message *m)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&m->id, id);
	put_date(out, m->when);
	buf_addf(out, "From: %s\r\n", m->from[0] != '\0' ? m->from : "MAILER-DAEMON");
	put_recipients(out, m);
	put_subject(out, span_str(m->subject));
	buf_addf(out, "Message-ID: <%s@%s>\r\n", id, m->host);
	buf_addf(out,
	    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: %s\r\n",
	    has_eight_bit(m->text) ? "8bit" : "7bit");
	if (m->class != NULL)
		buf_addf(out, "X-Godwit-Class: %s\r\n", m->class);
	for (size_t i = 0; i < m->n_header; i++)
		buf_addf(out, "%s\r\n", m->header[i]);
	buf_add_str(out, "\r\n");
}

bool send_header_valid(const char *text)
{
	const char *c = text;

	while (*c > ' ' && *c < 0x7f && *c != ':')
		c++;
	return c > text && *c == ':' && strpbrk(text, "\r\n") == NULL;
}

/* ---- the body ------------------------------------------------------------------------------ */

void send_lines(struct span s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
			n++;
		buf_add_span(out, span_first(s, n));
		buf_add_str(out, "\r\n");
		s = span_skip(s, n);
		s = span_skip(s, span_starts(s, SPAN("\r\n")) ? 2 : 1);
	}
}

static void fill(struct buf *out, size_t start, uint64_t size)
{
	static const char line[] =
	    "The quick brown fox jumps over the lazy dog while the queue is flushed.\r\n";

	while (buf_len(out) - start < size && !buf_failed(out)) {
		size_t left = (size_t)(size - (buf_len(out) - start));

		if (left >= sizeof(line) - 1) {
			buf_add(out, line, sizeof(line) - 1);
			continue;
		}
		buf_add(out, line, left > 2 ? left - 2 : 0);
		buf_add_str(out, "\r\n");
	}
}

void send_message_build(const struct send_message *m, struct buf *out)
{
	size_t start = buf_len(out);

	put_header(out, m);
	send_lines(span_str(m->text), out);
	fill(out, start, m->size);
}
