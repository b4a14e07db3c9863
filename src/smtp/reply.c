#include "smtp/reply.h"

/* RFC 5321 section 4.5.3.1.5: 512 octets with code and CRLF; 18 are kept for those. */
enum { FORMAT_TEXT_MAX = 494 };

static bool text_byte(uint8_t c)
{
	return c == '\t' || (c >= ' ' && c < 127);
}

/* What stands in front of each line: "550 5.7.1 "; the fourth octet is the separator. */
struct prefix {
	uint8_t text[16];
	size_t n;
};

static void prefix_number(struct prefix *p, unsigned v)
{
	if (v > 99)
		p->text[p->n++] = (uint8_t)('0' + v / 100 % 10);
	if (v > 9)
		p->text[p->n++] = (uint8_t)('0' + v / 10 % 10);
	p->text[p->n++] = (uint8_t)('0' + v % 10);
}

static struct prefix prefix_of(const struct reply *r, bool enhanced)
{
	struct prefix p = {.n = 0};

	prefix_number(&p, r->code);
	p.text[p.n++] = ' ';
	if (!enhanced || r->esc[0] == 0 || r->code / 100 == 3)
		return p;
	for (size_t i = 0; i < 3; i++) {
		prefix_number(&p, r->esc[i]);
		p.text[p.n++] = i < 2 ? '.' : ' ';
	}
	return p;
}

static void format_line(struct prefix *p, bool last, struct span line, struct buf *out)
{
	uint8_t *to = buf_room(out, p->n + line.n + 2);

	if (to == NULL)
		return;
	p->text[3] = last ? ' ' : '-';
	memcpy(to, p->text, p->n);
	to += p->n;
	for (size_t i = 0; i < line.n; i++)
		*to++ = text_byte(line.p[i]) ? line.p[i] : '?';
	memcpy(to, "\r\n", 2);
	buf_commit(out, p->n + line.n + 2);
}

/* A line longer than one of SMTP may be goes on in the next. */
static struct span take_line(struct span *text)
{
	ptrdiff_t lf = span_find(*text, '\n');
	size_t n = lf < 0 ? text->n : (size_t)lf;
	struct span line = span_first(*text, n < FORMAT_TEXT_MAX ? n : FORMAT_TEXT_MAX);

	*text = span_skip(*text, line.n);
	if (lf >= 0 && line.n == n)
		*text = span_skip(*text, 1);
	return line;
}

void reply_format(const struct reply *r, bool enhanced, struct buf *out)
{
	struct prefix p = prefix_of(r, enhanced);
	struct span rest = r->text, line;

	gw_assert(r->code >= 100 && r->code <= 999);
	do {
		line = take_line(&rest);
		format_line(&p, rest.n == 0, line, out);
	} while (rest.n != 0);
}

void reply_reader_init(struct reply_reader *r)
{
	*r = (struct reply_reader){0};
	buf_init(&r->text, REPLY_TOTAL_MAX);
}

void reply_reader_fini(struct reply_reader *r)
{
	buf_fini(&r->text);
}

static int fail(struct reply_reader *r, int err)
{
	r->failed = true;
	r->error = err;
	return err;
}

static void start(struct reply_reader *r)
{
	r->code = 0;
	memset(r->esc, 0, sizeof(r->esc));
	r->lines = r->total = r->column = 0;
	r->head_n = 0;
	r->after_cr = r->whole = r->headed = false;
	buf_clear(&r->text);
	buf_trim(&r->text);
}

static void keep(struct reply_reader *r, uint8_t c)
{
	size_t max = r->keep_all ? REPLY_TOTAL_MAX : REPLY_TEXT_MAX;

	if (buf_len(&r->text) < max)
		buf_add_byte(&r->text, c);
}

/* One number of an enhanced code, at most three digits and no more than 255. */
static bool esc_number(struct span *s, uint8_t *out)
{
	unsigned v = 0, digits = 0;

	while (s->n && ascii_isdigit(s->p[0]) && digits < 3) {
		v = v * 10 + (s->p[0] - '0');
		*s = span_skip(*s, 1);
		digits++;
	}
	*out = (uint8_t)v;
	return digits > 0 && v <= 255;
}

static bool esc_dot(struct span *s)
{
	bool dot = s->n && s->p[0] == '.';

	*s = span_skip(*s, dot);
	return dot;
}

/* "5.1.1 " in front of the text, of the same class as the reply: moves *s behind it. */
static bool esc_parse(struct span *s, unsigned code, uint8_t esc[3])
{
	struct span rest = *s;

	if (!esc_number(&rest, &esc[0]) || !esc_dot(&rest) || !esc_number(&rest, &esc[1]) ||
	    !esc_dot(&rest) || !esc_number(&rest, &esc[2]))
		return false;
	if (esc[0] != code / 100 || esc[0] == 3 || (rest.n && rest.p[0] != ' '))
		return false;
	*s = span_skip(rest, 1);
	return true;
}

/* The code at the start of a line; RFC 5321 section 4.2.1: the same in every line. */
static int head_code(struct reply_reader *r)
{
	const uint8_t *p = r->head;
	unsigned code;

	if (r->head_n < 3 || p[0] < '2' || p[0] > '5' || !ascii_isdigit(p[1]) ||
	    !ascii_isdigit(p[2]))
		return GW_EFORMAT;
	if (r->head_n > 3 && p[3] != ' ' && p[3] != '-')
		return GW_EFORMAT;
	code = (p[0] - '0') * 100u + (p[1] - '0') * 10u + (p[2] - '0');
	if (r->lines > 0 && code != r->code)
		return GW_EFORMAT;
	r->code = (uint16_t)code;
	return 0;
}

/* The start of a line is complete enough to be understood; what is text goes into the text. */
static int head_done(struct reply_reader *r)
{
	struct span text = span_skip(span_of(r->head, r->head_n), 4);
	uint8_t esc[3] = {0};

	r->headed = true;
	if (head_code(r) != 0)
		return fail(r, GW_EFORMAT);
	r->last = r->head_n < 4 || r->head[3] == ' ';
	if (r->lines > 0)
		keep(r, '\n');
	if (esc_parse(&text, r->code, esc) && r->lines == 0)
		memcpy(r->esc, esc, sizeof(esc));
	for (size_t i = 0; i < text.n; i++)
		keep(r, text_byte(text.p[i]) ? text.p[i] : '?');
	return 0;
}

static int put_byte(struct reply_reader *r, uint8_t c)
{
	if (++r->column > REPLY_LINE_MAX)
		return fail(r, GW_EFULL);
	if (r->headed) {
		keep(r, text_byte(c) ? c : '?');
		return 0;
	}
	r->head[r->head_n++] = c;
	return r->head_n == sizeof(r->head) ? head_done(r) : 0;
}

/* A line ends with CRLF; a lone LF is forgiven, since nothing a peer says is passed on as SMTP. */
static int end_line(struct reply_reader *r)
{
	if (!r->headed && head_done(r) != 0)
		return r->error;
	if (++r->lines > REPLY_LINES_MAX)
		return fail(r, GW_EFULL);
	r->whole = r->last;
	r->column = r->head_n = 0;
	r->headed = false;
	return 0;
}

static int take_byte(struct reply_reader *r, uint8_t c)
{
	bool cr = r->after_cr;

	if (++r->total > REPLY_TOTAL_MAX)
		return fail(r, GW_EFULL);
	r->after_cr = c == '\r';
	if (c == '\n')
		return end_line(r);
	if (cr && put_byte(r, '\r') != 0)
		return r->error;
	return c == '\r' ? 0 : put_byte(r, c);
}

ptrdiff_t reply_reader_feed(struct reply_reader *r, struct span in, bool *done, struct reply *out)
{
	size_t i = 0;

	*done = false;
	if (r->failed)
		return r->error;
	if (in.n && r->whole)
		start(r);
	while (i < in.n && !r->whole) {
		if (take_byte(r, in.p[i++]) != 0)
			return r->error;
	}
	if (buf_failed(&r->text))
		return fail(r, GW_ENOMEM);
	if (!r->whole || in.n == 0)
		return (ptrdiff_t)i;
	*done = true;
	*out = (struct reply){.code = r->code, .text = buf_view(&r->text)};
	memcpy(out->esc, r->esc, sizeof(r->esc));
	return (ptrdiff_t)i;
}
