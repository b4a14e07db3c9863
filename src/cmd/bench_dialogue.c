/* The source's side of SMTP: what it says next, and what a reply means for the message it is at. */
#include "cmd/bench_source.h"

/* ---- what is said    --------------------------------------------------------------------- */

/* The address of number n: %d stands for the number; each further recipient gets "-K". */
static void put_address(struct buf *b, const char *pattern, uint64_t n, uint64_t k)
{
	for (const char *p = pattern; *p; p++) {
		if (p[0] == '%' && p[1] == 'd') {
			decimal_put(b, n);
			p++;
			continue;
		}
		if (*p == '@' && k > 0) {
			buf_add_byte(b, '-');
			decimal_put(b, k);
		}
		buf_add_byte(b, (uint8_t)*p);
	}
}

static void put_mail(struct source *src, struct buf *b)
{
	buf_add_str(b, "MAIL FROM:<");
	buf_add_str(b, src->opt.from);
	buf_add_str(b, ">\r\n");
}

static void put_rcpt(struct source *src, struct buf *b, uint64_t n, uint64_t k)
{
	buf_add_str(b, "RCPT TO:<");
	put_address(b, src->opt.to, n, k);
	buf_add_str(b, ">\r\n");
}

/* Takes a number for a job and writes its MAIL, or with pipelining its whole envelope. */
static bool put_envelope(struct source *src, struct session *s, struct job *j, struct buf *b)
{
	uint64_t per = src->opt.per_session;

	if (per > 0 && s->numbers >= per)
		return false;
	j->n = source_take(src);
	if (j->n == 0)
		return false;
	s->numbers++;
	j->asked = j->taken = 0;
	j->failed = j->dotted = false;
	buf_clear(&j->why);
	put_mail(src, b);
	if (!s->pipelining)
		return true;
	for (uint64_t k = 0; k < src->opt.rcpts; k++)
		put_rcpt(src, b, j->n, k);
	buf_add_str(b, "DATA\r\n");
	return true;
}

static void put_header(struct source *src, struct buf *b, uint64_t n)
{
	struct span run = span_str(src->run);

	mark_put(b, run, n, bench_pool_sum(&src->pool, n));
	buf_add_str(b, "From: <");
	buf_add_str(b, src->opt.from);
	buf_add_str(b, ">\r\nTo: <");
	put_address(b, src->opt.to, n, 0);
	buf_add_str(b, ">\r\nSubject: bench message ");
	decimal_put(b, n);
	buf_add_str(b, "\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <");
	buf_add_span(b, run);
	buf_add_byte(b, '-');
	decimal_put(b, n);
	buf_add_str(b, "@bench.example>\r\n\r\n");
}

static void begin_next(struct source *src, struct session *s)
{
	s->state = SESSION_MAIL;
	if (put_envelope(src, s, &s->now, &s->head))
		return;
	s->state = SESSION_QUIT;
	buf_add_str(&s->head, "QUIT\r\n");
}

static void put_message(struct source *src, struct session *s)
{
	s->state = SESSION_DOT;
	put_header(src, &s->head, s->now.n);
	s->body = bench_pool_body(&src->pool, s->now.n);
	buf_add_str(&s->tail, "\r\n.\r\n");
	s->until_dot = buf_len(&s->head) + s->body.n + buf_len(&s->tail);
	if (s->pipelining && !put_envelope(src, s, &s->next, &s->tail))
		buf_add_str(&s->tail, "QUIT\r\n");
}

/* ---- what is answered -------------------------------------------------------------------- */

static void refuse(struct source *src, struct job *j, const char *stage, struct span reply)
{
	if (!j->failed) {
		buf_clear(&j->why);
		buf_add_span(&j->why, span_first(reply, JOB_WHY_MAX));
		source_trouble(src, stage, reply);
	}
	j->failed = true;
}

/* The job is refused and its replies are all in: clean the server's state, then go on. */
static void settle_refused(struct source *src, struct session *s, int64_t now)
{
	source_settle(src, &s->now, FATE_REFUSED, buf_view(&s->now.why), now);
	s->state = SESSION_RESET;
	buf_add_str(&s->head, "RSET\r\n");
}

static void on_mail(
    struct source *src, struct session *s, bool good, struct span reply, int64_t now)
{
	if (!good)
		refuse(src, &s->now, "MAIL", reply);
	s->state = SESSION_RCPT;
	if (s->pipelining)
		return;
	if (good)
		put_rcpt(src, &s->head, s->now.n, 0);
	else
		settle_refused(src, s, now);
}

static void on_rcpt(
    struct source *src, struct session *s, bool good, struct span reply, int64_t now)
{
	struct job *j = &s->now;

	j->asked++;
	j->taken += good;
	if (!good)
		source_trouble(src, "RCPT", reply);
	if (j->asked < src->opt.rcpts) {
		if (!s->pipelining)
			put_rcpt(src, &s->head, j->n, j->asked);
		return;
	}
	if (j->taken == 0)
		refuse(src, j, "RCPT", reply);
	s->state = SESSION_DATA;
	if (s->pipelining)
		return;
	if (j->failed)
		settle_refused(src, s, now);
	else
		buf_add_str(&s->head, "DATA\r\n");
}

static void on_data(struct source *src, struct session *s, int code, struct span reply, int64_t now)
{
	if (code != 354) {
		refuse(src, &s->now, "DATA", reply);
		settle_refused(src, s, now);
	} else if (s->now.failed) {
		/* The server waits for a message nobody may get: RFC 2920, section 3.1. */
		s->state = SESSION_DOT;
		buf_add_str(&s->head, ".\r\n");
	} else {
		put_message(src, s);
	}
}

static void on_dot(struct source *src, struct session *s, bool good, struct span reply, int64_t now)
{
	struct job done = s->now;

	if (s->now.failed) {
		settle_refused(src, s, now);
		return;
	}
	if (good) {
		s->acked++;
	} else {
		source_trouble(src, "end of data", reply);
	}
	source_settle(src, &s->now, good ? FATE_ACKED : FATE_REFUSED, reply, now);
	if (!s->pipelining) {
		begin_next(src, s);
		return;
	}
	done.n = 0;
	done.why = s->now.why;
	s->now = s->next;
	s->next = done;
	s->state = s->now.n ? SESSION_MAIL : SESSION_QUIT;
}

static void on_capability(struct source *src, struct session *s, struct span line)
{
	if (src->opt.pipeline && span_eq_case(span_trim(span_skip(line, 4)), SPAN("PIPELINING")))
		s->pipelining = true;
}

static void on_hello(
    struct source *src, struct session *s, bool good, struct span reply, int64_t now)
{
	char text[128];

	if (!good) {
		session_lost(src, s, now, span_to_cstr(reply, text, sizeof(text)));
	} else if (s->state == SESSION_GREETING) {
		buf_addf(&s->head, "EHLO %s\r\n", src->opt.helo);
		s->state = SESSION_EHLO;
	} else {
		src->last_good = now;
		if (src->first_sent == 0)
			src->first_sent = now;
		begin_next(src, s);
	}
}

/* One complete reply; the text is of its last line. */
static void on_reply(
    struct source *src, struct session *s, int code, struct span reply, int64_t now)
{
	bool good = code >= 200 && code < 300;

	switch (s->state) {
	case SESSION_GREETING:
	case SESSION_EHLO: on_hello(src, s, good, reply, now); break;
	case SESSION_MAIL: on_mail(src, s, good, reply, now); break;
	case SESSION_RCPT: on_rcpt(src, s, good, reply, now); break;
	case SESSION_DATA: on_data(src, s, code, reply, now); break;
	case SESSION_DOT: on_dot(src, s, good, reply, now); break;
	case SESSION_RESET: begin_next(src, s); break;
	default: session_lost(src, s, now, "the server speaks out of turn"); break;
	}
}

static int code_of(struct span line)
{
	if (line.n < 3 || !ascii_isdigit(line.p[0]) || !ascii_isdigit(line.p[1]) ||
	    !ascii_isdigit(line.p[2]))
		return -1;
	return (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
}

void session_line(struct source *src, struct session *s, struct span line, int64_t now)
{
	int code;

	while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	code = code_of(line);
	if (code < 0) {
		session_lost(src, s, now, "a reply without a code");
		return;
	}
	if (s->state == SESSION_EHLO)
		on_capability(src, s, line);
	if (line.n > 3 && line.p[3] == '-')
		return;
	if (s->state == SESSION_QUIT && s->now.n == 0)
		session_lost(src, s, now, "");
	else
		on_reply(src, s, code, line, now);
}
