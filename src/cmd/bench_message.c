#include "cmd/bench_message.h"

#include <stdlib.h>

/* ---- making ------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill_line(char *line, uint64_t *state, bool dotted)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

	for (size_t i = 0; i < POOL_LINE - 2; i++)
		line[i] = letters[next_random(state) >> 58];
	/* Every server on the way must undo and redo the doubling. */
	if (dotted)
		line[0] = line[1] = '.';
	line[POOL_LINE - 2] = '\r';
	line[POOL_LINE - 1] = '\n';
}

void bench_pool_init(struct bench_pool *p, size_t size)
{
	size_t lines = (size + (size_t)POOL_OFFSETS * POOL_LINE) / POOL_LINE + 1;
	uint64_t state = 0x9e3779b97f4a7c15;

	*p = (struct bench_pool){.window = size - 2};
	/* A body may end between any two letters, but not inside a CRLF or a doubled dot. */
	if (p->window % POOL_LINE == POOL_LINE - 1 || p->window % POOL_LINE == 1)
		p->window--;
	p->text = gw_calloc(lines, POOL_LINE);
	for (size_t i = 0; i < lines; i++)
		fill_line(p->text + i * POOL_LINE, &state, i % 16 == 7);
}

void bench_pool_fini(struct bench_pool *p)
{
	free(p->text);
	*p = (struct bench_pool){0};
}

struct span bench_pool_body(const struct bench_pool *p, uint64_t n)
{
	return span_of(p->text + n % POOL_OFFSETS * POOL_LINE, p->window);
}

static XXH3_state_t *hash_new(void)
{
	XXH3_state_t *hash = XXH3_createState();

	if (hash == NULL)
		die("out of memory");
	return hash;
}

uint64_t bench_pool_sum(struct bench_pool *p, uint64_t n)
{
	size_t i = n % POOL_OFFSETS;
	struct span body = bench_pool_body(p, n);
	XXH3_state_t *hash;

	if (p->have_sum[i])
		return p->sum[i];
	hash = hash_new();
	XXH3_64bits_reset(hash);
	XXH3_64bits_update(hash, body.p, body.n);
	XXH3_64bits_update(hash, "\r\n", 2);
	p->sum[i] = XXH3_64bits_digest(hash);
	p->have_sum[i] = true;
	XXH3_freeState(hash);
	return p->sum[i];
}

struct span decimal(uint64_t n, char digits[DECIMAL])
{
	size_t at = DECIMAL;

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return span_of(digits + at, DECIMAL - at);
}

void decimal_put(struct buf *b, uint64_t n)
{
	char digits[DECIMAL];

	buf_add_span(b, decimal(n, digits));
}

static const char mark_name[] = "X-Godwit-Bench: ";

void mark_put(struct buf *b, struct span run, uint64_t n, uint64_t sum)
{
	static const char hex[] = "0123456789abcdef";
	char digits[16];

	for (int i = 15; i >= 0; i--, sum >>= 4)
		digits[i] = hex[sum & 15];
	buf_add(b, mark_name, sizeof(mark_name) - 1);
	buf_add_span(b, run);
	buf_add_byte(b, '-');
	decimal_put(b, n);
	buf_add_byte(b, ' ');
	buf_add(b, digits, sizeof(digits));
	buf_add_str(b, "\r\n");
}

/* ---- the mark line ----------------------------------------------------------------------- */

static int hex_parse(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n != 16)
		return GW_EFORMAT;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (ascii_isdigit(c))
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return GW_EFORMAT;
	}
	*out = v;
	return 0;
}

/* "RUN-NUMBER SUM" */
static void mark_parse(struct mark *m, struct span value)
{
	ptrdiff_t dash = span_find(value, '-'), space = span_find(value, ' ');
	uint64_t n, sum;

	if (dash < 1 || dash > RUN_MAX || space < dash)
		return;
	if (span_to_u64(span_of(value.p + dash + 1, (size_t)(space - dash - 1)), &n) < 0)
		return;
	if (hex_parse(span_skip(value, (size_t)space + 1), &sum) < 0)
		return;
	memcpy(m->run, value.p, (size_t)dash);
	m->run_len = (uint8_t)dash;
	m->n = n;
	m->sum = sum;
	m->found = true;
}

/* ---- header, by lines -------------------------------------------------------------------- */

void scan_init(struct scan *s)
{
	*s = (struct scan){.hash = hash_new()};
}

void scan_fini(struct scan *s)
{
	XXH3_freeState(s->hash);
	s->hash = NULL;
}

void scan_begin(struct scan *s, bool everywhere)
{
	s->mark = (struct mark){0};
	s->in_body = false;
	s->everywhere = everywhere;
	s->after_crlf = true;
	s->match = 2; /* the blank line's CRLF counts for the dot after it */
	s->held = 0;
	s->line_len = 0;
	XXH3_64bits_reset(s->hash);
}

/* A line and its LF. True at the end of the message. */
static bool take_line(struct scan *s, struct span line)
{
	bool crlf = line.n >= 2 && line.p[line.n - 2] == '\r';
	struct span name = span_of(mark_name, sizeof(mark_name) - 1);

	if (line.n == 3 && crlf && line.p[0] == '.' && s->after_crlf)
		return true;
	s->after_crlf = crlf;
	if (line.n == 2 && crlf)
		s->in_body = !s->everywhere;
	else if (crlf && !s->mark.found && span_starts_case(line, name))
		mark_parse(&s->mark, span_skip(span_of(line.p, line.n - 2), name.n));
	return false;
}

/* Longer lines than a mark can be are cut: their last two bytes are kept for the CRLF. */
static void keep_part(struct scan *s, struct span part)
{
	for (size_t i = 0; i < part.n; i++) {
		if (s->line_len == SCAN_LINE_MAX) {
			s->line[SCAN_LINE_MAX - 2] = s->line[SCAN_LINE_MAX - 1];
			s->line_len--;
		}
		s->line[s->line_len++] = (char)part.p[i];
	}
}

static size_t feed_line(struct scan *s, struct span in, bool *done)
{
	ptrdiff_t lf = span_find(in, '\n');
	struct span part = span_first(in, lf < 0 ? in.n : (size_t)lf + 1);

	if (lf >= 0 && s->line_len == 0) {
		*done = take_line(s, part);
		return part.n;
	}
	keep_part(s, part);
	if (lf >= 0) {
		struct span line = span_of(s->line, s->line_len);

		s->line_len = 0;
		*done = take_line(s, line);
	}
	return part.n;
}

/* ---- body, at the speed of memory -------------------------------------------------------- */

static const char dot_line[] = "\r\n.\r\n";
enum { DOT_LEN = 5 };

static uint8_t match_step(uint8_t match, uint8_t c)
{
	if (c == (uint8_t)dot_line[match])
		return match + 1;
	return c == '\r';
}

/* Dots are rarer than line ends: looking for them is several times as fast as memmem(). */
static const uint8_t *find_dot_line(struct span in)
{
	const uint8_t *at = in.p, *end = in.p + in.n;

	while (at < end && (at = memchr(at, '.', (size_t)(end - at))) != NULL) {
		if (at - in.p >= 2 && end - at >= 3 && memcmp(at - 2, dot_line, DOT_LEN) == 0)
			return at - 2;
		at++;
	}
	return NULL;
}

/* How many bytes of in end the message, or -1; s->match follows. */
static ptrdiff_t find_end(struct scan *s, struct span in)
{
	size_t i = 0;
	const uint8_t *at;

	while (i < in.n && s->match > 0 && s->match < DOT_LEN)
		s->match = match_step(s->match, in.p[i++]);
	if (s->match == DOT_LEN)
		return (ptrdiff_t)i;
	if (i == in.n)
		return -1;
	at = find_dot_line(span_skip(in, i));
	if (at != NULL)
		return at - in.p + DOT_LEN;
	if (in.n - i >= DOT_LEN)
		i = in.n - (DOT_LEN - 1);
	while (i < in.n)
		s->match = match_step(s->match, in.p[i++]);
	return -1;
}

static void hash_content(struct scan *s, const uint8_t *p, size_t n)
{
	if (s->held)
		XXH3_64bits_update(s->hash, dot_line + 2, s->held);
	if (n)
		XXH3_64bits_update(s->hash, p, n);
	s->held = 0;
}

static size_t feed_body(struct scan *s, struct span in, bool *done)
{
	ptrdiff_t end = find_end(s, in);
	size_t held = s->match > 2 ? (size_t)s->match - 2 : 0;

	*done = end >= 0;
	if (*done) {
		/* If the dot came in an earlier piece, all of this piece is the dot line's. */
		if (end >= 3)
			hash_content(s, in.p, (size_t)end - 3);
		return (size_t)end;
	}
	if (held <= in.n)
		hash_content(s, in.p, in.n - held);
	s->held = (uint8_t)held;
	return in.n;
}

size_t scan_feed(struct scan *s, struct span in, bool *done)
{
	size_t taken = 0;

	*done = false;
	while (taken < in.n && !*done) {
		struct span rest = span_skip(in, taken);

		taken += s->in_body ? feed_body(s, rest, done) : feed_line(s, rest, done);
	}
	return taken;
}

bool scan_intact(const struct scan *s)
{
	return s->mark.found && XXH3_64bits_digest(s->hash) == s->mark.sum;
}
