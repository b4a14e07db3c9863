/*
 * Content as it comes in by DATA: its end is CRLF.CRLF and nothing else, its size and pace are
 * judged.
 */
#include "smtp/server-private.h"

/*
 * Where the content stands. Only CRLF . CRLF ends it: a dot counts at the start
 * of a line, a line starts behind CRLF or behind the DATA command, and the dot
 * must be followed by CRLF (RFC 5321 section 4.1.1.4).
 */
enum dot {
	DOT_LINE,  /* a line starts */
	DOT_TEXT,  /* in a line */
	DOT_CR,    /* in a line, behind a CR */
	DOT_SEEN,  /* the dot that starts a line was taken */
	DOT_ENDCR, /* and the CR behind it */
};

enum { SWALLOW_FACTOR = 16, SWALLOW_MORE = 1 << 22 };

void server_body_start(struct server *s)
{
	s->state = SERVER_S_BODY;
	s->dot = DOT_LINE;
	s->refuse = REFUSE_NOT;
	s->eom = EOM_NOT;
	s->each = s->recipients_ok;
	s->received = 0;
	s->started = s->now;
	s->deadline = s->now + s->config->data_timeout;
	body_scan_init(&s->body);
}

static const struct reply refusals[] = {
    [REFUSE_SIZE] = REPLY_INIT(552, 5, 3, 4, "Message too big; EHLO names the limit"),
    [REFUSE_NUL] = REPLY_INIT(550, 5, 6, 0, "NUL in the content; send it encoded"),
    [REFUSE_BARE] = REPLY_INIT(550, 5, 6, 11, "Bare CR or LF in the content; lines end with CRLF"),
};
static const char *const reasons[] = {
    [REFUSE_SIZE] = "too_big", [REFUSE_NUL] = "nul", [REFUSE_BARE] = "bare_lf"};

/* The owner hears of it at once and can drop what it has; the client behind its end of data. */
void server_refuse_content(struct server *s, enum server_refuse why)
{
	if (why <= s->refuse)
		return;
	if (s->refuse == REFUSE_NOT) {
		server_note(s, &refusals[why], "eom", reasons[why]);
		server_forget(s);
	}
	s->refuse = (uint8_t)why;
}

static enum server_refuse judge(const struct server *s)
{
	const struct body_facts *f = &s->body.facts;

	if (!s->binary && (f->bare_cr || f->bare_lf))
		return REFUSE_BARE;
	if (!s->binary && f->nul)
		return REFUSE_NUL;
	return s->config->message_size && f->size > s->config->message_size ? REFUSE_SIZE
									    : REFUSE_NOT;
}

void server_content(struct server *s, struct span piece)
{
	if (s->refuse >= REFUSE_BARE || piece.n == 0)
		return;
	body_scan_feed(&s->body, piece);
	server_refuse_content(s, judge(s));
	if (s->refuse != REFUSE_NOT)
		return;
	s->pending = (struct server_event){.type = SERVER_BODY, .data = piece};
	s->has_pending = true;
}

void server_body_refused(struct server *s)
{
	s->state = SERVER_S_IDLE;
	/* A chunk before the last one has one reply, whoever the message is for. */
	if (s->chunked && !s->last)
		server_say(s, &refusals[s->refuse]);
	else
		server_say_each(s, &refusals[s->refuse]);
	if (s->refuse != REFUSE_SIZE)
		server_finish(s, reasons[s->refuse]);
}

static void end_of_data(struct server *s)
{
	if (s->refuse != REFUSE_NOT) {
		server_body_refused(s);
		return;
	}
	s->state = SERVER_S_EOM;
	server_ask(s, SERVER_EOM)->facts = body_scan_end(&s->body);
}

/* The content up to a dot that starts a line; leaves s->dot as it stands behind it. */
static size_t run(struct server *s, struct span in)
{
	const uint8_t *p = in.p, *end = in.p + in.n, *lf;
	bool cr;

	while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		cr = lf > in.p ? lf[-1] == '\r' : s->dot == DOT_CR;
		p = lf + 1;
		if (p == end || (cr && *p == '.')) {
			s->dot = cr ? DOT_LINE : DOT_TEXT;
			return (size_t)(p - in.p);
		}
	}
	s->dot = end[-1] == '\r' ? DOT_CR : DOT_TEXT;
	return in.n;
}

/* Takes one octet of ". CR LF", or none when it turns out to be content. */
static size_t take_dot(struct server *s, uint8_t c)
{
	if (s->dot == DOT_LINE || (s->dot == DOT_SEEN && c == '\r')) {
		s->dot = s->dot == DOT_LINE ? DOT_SEEN : DOT_ENDCR;
		return 1;
	}
	if (s->dot == DOT_SEEN) {
		s->dot = DOT_TEXT; /* the dot was stuffing */
		return 0;
	}
	if (c == '\n') {
		end_of_data(s);
		return 1;
	}
	server_refuse_content(s, REFUSE_BARE);
	s->dot = DOT_CR;
	return 0;
}

static size_t step(struct server *s, struct span in)
{
	size_t n;

	if (s->dot >= DOT_SEEN || (s->dot == DOT_LINE && in.p[0] == '.'))
		return take_dot(s, in.p[0]);
	n = run(s, in);
	server_content(s, span_first(in, n));
	return n;
}

int64_t server_body_floor(const struct server *s)
{
	const struct server_config *c = s->config;

	if (c->data_rate == 0)
		return INT64_MAX;
	return s->started + c->data_timeout + (int64_t)(s->received / c->data_rate * 1000000);
}

/* Time of the content: a pause may last data_timeout, and the average must keep up with data_rate.
 */
static void clock_content(struct server *s)
{
	int64_t pause = s->now + s->config->data_timeout, floor = server_body_floor(s);

	s->deadline = floor < pause ? floor : pause;
}

uint64_t server_swallow_max(const struct server *s)
{
	uint64_t max = s->config->message_size;

	return max == 0 || max > UINT64_MAX / SWALLOW_FACTOR - SWALLOW_MORE
		   ? 0
		   : SWALLOW_FACTOR * (max + SWALLOW_MORE);
}

/* Refused content is swallowed up to its end, so that the client reads our reply; but not for ever.
 */
static void limit_swallow(struct server *s)
{
	uint64_t max = server_swallow_max(s);

	if (max && s->refuse && s->refuse != REFUSE_CHUNK && s->received > max) {
		server_say(s, &refusals[s->refuse]);
		server_finish(s, reasons[s->refuse]);
	}
}

size_t server_body_feed(struct server *s, struct span in)
{
	size_t n = 0;

	if (s->chunked)
		n = server_chunk_feed(s, in);
	/* At least one octet: who feeds us stops when nothing is taken. */
	while (!s->chunked && (n == 0 || (n < in.n && s->state == SERVER_S_BODY &&
					     !s->has_pending && !s->reset_due)))
		n += step(s, span_skip(in, n));
	s->received += n;
	if (s->state != SERVER_S_BODY)
		return n;
	clock_content(s);
	limit_swallow(s);
	return n;
}
