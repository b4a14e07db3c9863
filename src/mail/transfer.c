#include "mail/transfer.h"

enum {
	LINE_MAX = 76,
	PIECE = 4096,
	BLANKS_MAX = 990 /* column; RFC 5321 section 4.5.3.1.6: 998 */
};

static const char hex[] = "0123456789ABCDEF";

void transfer_begin(struct transfer *t, enum transfer_kind kind)
{
	*t = (struct transfer){.kind = kind};
}

/* ---- quoted-printable ----------------------------------------------------------------------- */

static bool is_plain(uint8_t c)
{
	return c > ' ' && c < 127 && c != '=';
}

static uint8_t *soft_break(struct transfer *t, uint8_t *to)
{
	memcpy(to, "=\r\n", 3);
	t->column = 0;
	t->dashes = 0;
	return to + 3;
}

static uint8_t *put_hex(struct transfer *t, uint8_t *to, uint8_t c)
{
	if (t->column + 3 > LINE_MAX - 1)
		to = soft_break(t, to);
	to[0] = '=';
	to[1] = (uint8_t)hex[c >> 4];
	to[2] = (uint8_t)hex[c & 15];
	t->column += 3;
	t->dashes = 0;
	return to + 3;
}

static uint8_t *put_plain(struct transfer *t, uint8_t *to, uint8_t c)
{
	if (t->column + 1 > LINE_MAX - 1)
		to = soft_break(t, to);
	if (c == '-' && t->column == 1 && t->dashes == 1)
		return put_hex(t, to, c);
	t->dashes = c == '-' && t->column == 0;
	*to = c;
	t->column++;
	return to + 1;
}

/* A blank may stand anywhere but at the end of a line. */
static uint8_t *put_blank(struct transfer *t, uint8_t *to, bool ends)
{
	if (t->n_held == 0)
		return to;
	t->n_held = 0;
	return ends ? put_hex(t, to, t->held[0]) : put_plain(t, to, t->held[0]);
}

/* At most six octets for the blank before, six for this one. */
static uint8_t *put_qp(struct transfer *t, uint8_t *to, uint8_t c)
{
	to = put_blank(t, to, false);
	if (c == ' ' || c == '\t') {
		t->held[0] = c;
		t->n_held = 1;
		return to;
	}
	return is_plain(c) ? put_plain(t, to, c) : put_hex(t, to, c);
}

/* ---- mending -------------------------------------------------------------------------------- */

static bool is_hex(uint8_t c)
{
	return ascii_isdigit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static uint8_t *put_raw(struct transfer *t, uint8_t *to, struct span s)
{
	if (t->longer && t->column + s.n > LINE_MAX - 1)
		to = soft_break(t, to);
	memcpy(to, s.p, s.n);
	t->column += (uint32_t)s.n;
	t->dashes = 0;
	return to + s.n;
}

/* "=" and what came of two digits; before a raw octet the "=" could be read with that. */
static uint8_t *put_held(struct transfer *t, uint8_t *to, bool alone)
{
	struct span held = span_of(t->held, t->n_held);

	t->n_held = 0;
	if (held.n == 0)
		return to;
	if (!alone)
		return put_raw(t, to, held);
	to = put_hex(t, to, held.p[0]);
	return put_raw(t, to, span_skip(held, 1));
}

/* Those at the end of a line mean nothing (RFC 2045 section 6.7) and would, in front of a soft
 * break: none is put among blanks while a line may be as long. */
static uint8_t *put_mended_blank(struct transfer *t, uint8_t *to, uint8_t c)
{
	if (t->column >= BLANKS_MAX)
		return put_plain(t, to, c);
	*to = c;
	t->column++;
	t->dashes = 0;
	return to + 1;
}

/* The line is as it was until something is put into it; from then on it is kept short. */
static uint8_t *put_mended(struct transfer *t, uint8_t *to, uint8_t c)
{
	if (t->n_held > 0 && is_hex(c)) {
		uint8_t triple[3] = {t->held[0], t->held[1], c};

		if (t->n_held == 2)
			to = put_raw(t, to, span_of(triple, 3));
		t->held[1] = c;
		t->n_held = t->n_held == 2 ? 0 : 2;
		return to;
	}
	t->longer = t->longer || (c & 0x80);
	to = put_held(t, to, c & 0x80);
	if (c & 0x80)
		return put_hex(t, to, c);
	if (c == '=') {
		t->held[0] = c;
		t->n_held = 1;
		return to;
	}
	if (t->longer && ascii_isblank(c))
		return put_mended_blank(t, to, c);
	return t->longer ? put_plain(t, to, c) : put_raw(t, to, span_of(&c, 1));
}

/* ---- base64 --------------------------------------------------------------------------------- */

static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint8_t *put_group(struct transfer *t, uint8_t *to, const uint8_t in[3])
{
	if (t->column == LINE_MAX) {
		memcpy(to, "\r\n", 2);
		to += 2;
		t->column = 0;
	}
	to[0] = (uint8_t)digit[in[0] >> 2];
	to[1] = (uint8_t)digit[(in[0] & 3) << 4 | in[1] >> 4];
	to[2] = (uint8_t)digit[(in[1] & 15) << 2 | in[2] >> 6];
	to[3] = (uint8_t)digit[in[2] & 63];
	t->column += 4;
	return to + 4;
}

static uint8_t *put_base64(struct transfer *t, uint8_t *to, struct span s)
{
	while (s.n > 0 && t->n_held > 0) {
		uint8_t group[3] = {t->held[0], t->held[1], s.p[0]};

		s = span_skip(s, 1);
		if (t->n_held == 1) {
			t->held[t->n_held++] = group[2];
			continue;
		}
		t->n_held = 0;
		to = put_group(t, to, group);
	}
	for (; s.n >= 3; s = span_skip(s, 3))
		to = put_group(t, to, s.p);
	for (size_t i = 0; i < s.n; i++)
		t->held[t->n_held++] = s.p[i];
	return to;
}

static void end_base64(struct transfer *t, struct buf *out)
{
	uint8_t *room = buf_room(out, 6), *to = room;
	uint8_t group[3] = {t->held[0], t->n_held > 1 ? t->held[1] : 0, 0};

	if (t->n_held == 0 || room == NULL)
		return;
	to = put_group(t, to, group);
	to[-1] = '=';
	if (t->n_held == 1)
		to[-2] = '=';
	t->n_held = 0;
	buf_commit(out, (size_t)(to - room));
}

/* ---- all ------------------------------------------------------------------------------------ */

static uint8_t *put(struct transfer *t, uint8_t *to, struct span s)
{
	if (t->kind == TRANSFER_BASE64)
		return put_base64(t, to, s);
	for (size_t i = 0; i < s.n; i++)
		to = t->kind == TRANSFER_QP ? put_qp(t, to, s.p[i]) : put_mended(t, to, s.p[i]);
	return to;
}

void transfer_add(struct transfer *t, struct span s, struct buf *out)
{
	for (; s.n > 0; s = span_skip(s, PIECE)) {
		struct span piece = span_first(s, PIECE);
		uint8_t *room = buf_room(out, 8 * piece.n + 16);

		if (room == NULL)
			return;
		buf_commit(out, (size_t)(put(t, room, piece) - room));
	}
}

static void end_line(struct transfer *t, struct buf *out)
{
	uint8_t *room = buf_room(out, 6), *to;

	if (room == NULL)
		return;
	to = t->kind == TRANSFER_QP ? put_blank(t, room, true) : put_held(t, room, false);
	buf_commit(out, (size_t)(to - room));
}

void transfer_eol(struct transfer *t, struct buf *out)
{
	if (t->kind == TRANSFER_BASE64) {
		transfer_add(t, SPAN("\r\n"), out);
		return;
	}
	end_line(t, out);
	buf_add(out, "\r\n", 2);
	t->column = 0;
	t->dashes = 0;
	t->longer = false;
}

void transfer_end(struct transfer *t, struct buf *out)
{
	if (t->kind == TRANSFER_BASE64)
		end_base64(t, out);
	else
		end_line(t, out);
}
