/*
 * Content on its way out by DATA: dots are stuffed, lines end with CRLF, and the dot waits for
 * leave.
 */
#include "smtp/client-private.h"

/* Kept free of content, so that the end always fits: a CRLF, a dot, a CRLF. */
enum { END_ROOM = 8 };

/* Content that goes out: a dot at the start of a line is doubled (RFC 5321 section 4.5.2). */
struct stuffing {
	const uint8_t *run, *end; /* what is not copied yet */
	uint8_t *to;
};

static void copy_until(struct stuffing *s, const uint8_t *until)
{
	size_t n = (size_t)(until - s->run);

	memcpy(s->to, s->run, n);
	s->to += n;
	s->run = until;
}

/* The CR that was held back at the end of the last piece. */
static bool finish_crlf(struct client *c, struct stuffing *s)
{
	if (*s->run != '\n')
		return false;
	*s->to++ = '\r';
	c->held_cr = false;
	copy_until(s, s->run + 1);
	c->at_bol = true;
	return true;
}

/* One line, or the part of it that is here, at p: where the next begins; NULL: a bare CR or LF. */
static const uint8_t *pass_line(struct client *c, struct stuffing *s, const uint8_t *p)
{
	const uint8_t *lf = memchr(p, '\n', (size_t)(s->end - p));
	const uint8_t *stop = lf ? lf : s->end;
	const uint8_t *cr = memchr(p, '\r', (size_t)(stop - p));

	if (c->at_bol && *p == '.') {
		copy_until(s, p);
		*s->to++ = '.';
	}
	if (cr ? cr + 1 != stop : lf != NULL)
		return NULL;
	c->at_bol = lf != NULL;
	if (lf != NULL)
		return lf + 1;
	c->held_cr = cr != NULL;
	s->end = cr ? cr : s->end;
	return s->end;
}

static bool stuff(struct client *c, struct stuffing *s)
{
	const uint8_t *p;

	if (c->held_cr && !finish_crlf(c, s))
		return false;
	for (p = s->run; p < s->end;) {
		p = pass_line(c, s, p);
		if (p == NULL)
			return false;
	}
	copy_until(s, s->end);
	return true;
}

void client_bare(struct client *c)
{
	client_fail(c, REPLY(554, 5, 6, 0, "the content has a bare CR or LF"), false);
}

/* How much content surely fits: every third octet may begin a line with a dot. */
static size_t fitting(const struct client *c)
{
	size_t space = buf_space(&c->out);

	return space > END_ROOM ? (space - END_ROOM) / 4 * 3 : 0;
}

static void add_content(struct client *c, struct span data, int64_t now)
{
	bool idle = buf_len(&c->out) == 0;
	uint8_t *room = buf_room(&c->out, data.n + data.n / 3 + 2);
	struct stuffing s = {data.p, data.p + data.n, room};

	if (room == NULL) {
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
	} else if (!stuff(c, &s)) {
		client_bare(c);
	} else {
		buf_commit(&c->out, (size_t)(s.to - room));
		c->body_octets += data.n;
		client_block_begin(c, idle, now);
	}
}

void client_block_begin(struct client *c, bool was_empty, int64_t now)
{
	if (!was_empty)
		return;
	c->block_mark = c->sent;
	client_set_deadline(c, now, c->config->t_block);
}

/* RFC 5321 says how long a block of content may take, not how long all of it may. */
static int64_t content_limit(const struct client *c, int64_t now)
{
	const struct client_config *config = c->config;
	uint64_t most = (uint64_t)(INT64_MAX / 2), seconds;

	if (config->least_rate == 0)
		return INT64_MAX;
	seconds = c->txn->size / config->least_rate;
	/* Encoded it is three times as long at most, but for the marks of lines. */
	if (c->txn->size_unknown && seconds < most / 4)
		seconds *= 4;
	if (seconds > most / 1000000)
		return INT64_MAX;
	return now + config->t_block + (int64_t)(seconds * 1000000);
}

void client_body_begin(struct client *c, int64_t now)
{
	c->state = CLIENT_S_BODY;
	c->body_due = true;
	c->at_bol = true;
	c->held_cr = c->whole = false;
	c->body_octets = 0;
	c->chunk_left = c->chunks_due = 0;
	c->deadline = INT64_MAX;
	c->txn_limit = content_limit(c, now);
}

size_t client_body(struct client *c, struct span data, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state != CLIENT_S_BODY || c->excess || c->whole)
		return data.n;
	if (c->chunked)
		return client_chunk_body(c, data, now);
	gw_assert(c->txn->body_type != BODY_BINARYMIME);
	data = span_first(data, fitting(c));
	if (data.n != 0)
		add_content(c, data, now);
	return data.n;
}

void client_dot(struct client *c, int64_t now)
{
	bool idle = buf_len(&c->out) == 0;

	if (!c->chunked)
		buf_add_str(&c->out, ".\r\n");
	else if (c->at_bol)
		buf_add_str(&c->out, "BDAT 0 LAST\r\n");
	else
		buf_add_str(&c->out, "BDAT 2 LAST\r\n\r\n");
	if (buf_failed(&c->out)) {
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
		return;
	}
	c->state = CLIENT_S_EOM;
	c->eom_at = 0;
	client_block_begin(c, idle, now);
}

/* The last line of the content gets its end with the dot. */
static void finish(struct client *c, int64_t now)
{
	if (!c->at_bol && !c->chunked)
		buf_add(&c->out, "\r\n", 2);
	client_dot(c, now);
}

static void ask(struct client *c, int64_t now)
{
	c->state = CLIENT_S_ASK;
	c->ask_due = true;
	if (buf_len(&c->out) == 0)
		client_set_deadline(c, now, c->config->t_block);
}

void client_content_over(struct client *c, int64_t now)
{
	if (c->txn->ask_before_dot)
		ask(c, now);
	else
		finish(c, now);
}

void client_answer(struct client *c, bool send_dot, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state != CLIENT_S_ASK || c->ask_due)
		return;
	if (send_dot)
		finish(c, now);
	else
		client_fail(c, REPLY(451, 4, 3, 2, "no leave to end the message"), false);
}

void client_body_end(struct client *c, int64_t now)
{
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state != CLIENT_S_BODY || c->excess || c->whole)
		return;
	c->whole = true;
	if (c->held_cr)
		client_bare(c);
	else if (!c->txn->size_unknown && c->body_octets != c->txn->size)
		client_fail(c, REPLY(451, 4, 3, 0, "the content is not as long as it was"), false);
	else if (c->chunks_due == 0)
		client_content_over(c, now);
}

void client_body_refuse(struct client *c, const struct reply *r, int64_t now)
{
	(void)now;
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state == CLIENT_S_BODY || c->state == CLIENT_S_ASK)
		client_fail(c, *r, false);
}

void client_body_abort(struct client *c, int64_t now)
{
	(void)now;
	gw_check_magic(c, CLIENT_MAGIC);
	if (c->state == CLIENT_S_BODY || c->state == CLIENT_S_ASK)
		client_fail(c, REPLY(451, 4, 3, 0, "the content could not be read"), false);
}
