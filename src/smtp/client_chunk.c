/* Content on its way out by BDAT (RFC 3030): chunks, and the replies that they wait for. */
#include "smtp/client-private.h"

#include <stdio.h>

/*
 * The content by BDAT (RFC 3030). How long a chunk is must be said before it: the
 * size of the content is known and kept to, so nothing has to be gathered first.
 */

enum { LINE_MAX = 32 }; /* "BDAT 131072 CRLF" */

bool client_takes_binary(const struct client *c)
{
	uint32_t both = EXT_BIT(CHUNKING) | EXT_BIT(BINARYMIME);

	return (c->extensions & both) == both && !c->chunk_unknown &&
	       c->config->chunks_from != UINT64_MAX;
}

bool client_chunks_fit(const struct client *c)
{
	if (c->txn->body_type == BODY_BINARYMIME)
		return true; /* or client_send had turned it away */
	/* LMTP peers are near and have nothing to gain by it. */
	return (c->extensions & EXT_BIT(CHUNKING)) && !c->config->lmtp && !c->chunk_unknown &&
	       !c->txn->size_unknown && c->txn->size >= c->config->chunks_from;
}

static struct chunk *oldest(struct client *c)
{
	return &c->chunk[c->chunk_at];
}

bool client_chunk_reply_due(const struct client *c)
{
	/* Of an error the peer may speak as soon as it knows how long the chunk is. */
	return c->chunks_due > 0 && c->sent >= c->chunk[c->chunk_at].line;
}

/* ---- what is sent */

/* May another chunk begin, though the replies to those before it are due? */
static bool may_begin(const struct client *c)
{
	size_t open = c->extensions & EXT_BIT(PIPELINING) ? CLIENT_CHUNKS_OPEN : 1;

	return c->chunks_due < open && buf_space(&c->out) > LINE_MAX;
}

static void begin_chunk(struct client *c)
{
	uint64_t left = c->txn->size - c->body_octets;
	struct chunk *k = &c->chunk[(c->chunk_at + c->chunks_due) % CLIENT_CHUNKS_OPEN];
	char line[LINE_MAX];

	c->chunk_left = left < c->config->chunk ? (uint32_t)left : c->config->chunk;
	snprintf(line, sizeof(line), "BDAT %u\r\n", (unsigned)c->chunk_left);
	buf_add_str(&c->out, line);
	k->line = c->sent + buf_len(&c->out);
	k->end = k->line + c->chunk_left;
	c->chunks_due++;
}

/* Octets go as they are, but only if they are lines: false for a bare CR or LF. */
static bool are_lines(struct client *c, struct span s)
{
	while (s.n > 0) {
		ptrdiff_t cr = span_find(s, '\r');
		struct span text = cr < 0 ? s : span_first(s, (size_t)cr);

		if (c->held_cr && s.p[0] != '\n')
			return false;
		c->at_bol = c->held_cr;
		text = span_skip(text, c->held_cr);
		if (span_find(text, '\n') >= 0)
			return false;
		c->at_bol = c->at_bol && text.n == 0;
		c->held_cr = cr >= 0;
		s = cr < 0 ? SPAN_NONE : span_skip(s, (size_t)cr + 1);
	}
	return true;
}

/* As much of the data as the chunk and the output have room for. */
static size_t add_to_chunk(struct client *c, struct span data)
{
	size_t space = buf_space(&c->out);

	data = span_first(data, c->chunk_left < space ? c->chunk_left : space);
	if (data.n == 0)
		return 0;
	/* at_bol stays true: nothing is missing at the end. */
	if (c->txn->body_type != BODY_BINARYMIME && !are_lines(c, data)) {
		client_bare(c);
		return 0;
	}
	buf_add_span(&c->out, data);
	c->chunk_left -= (uint32_t)data.n;
	c->body_octets += data.n;
	return data.n;
}

size_t client_chunk_body(struct client *c, struct span data, int64_t now)
{
	struct span rest = data;
	bool idle = buf_len(&c->out) == 0;
	size_t n = 1;

	if (data.n > c->txn->size - c->body_octets) {
		client_fail(c, REPLY(451, 4, 3, 0, "the content is not as long as it was"), false);
		return data.n;
	}
	while (rest.n > 0 && n > 0) {
		if (c->chunk_left == 0 && !may_begin(c))
			break;
		if (c->chunk_left == 0)
			begin_chunk(c);
		n = add_to_chunk(c, rest);
		rest = span_skip(rest, n);
	}
	if (buf_failed(&c->out))
		client_fail(c, REPLY(451, 4, 3, 0, "out of memory"), false);
	if (c->state == CLIENT_S_END)
		return data.n;
	client_block_begin(c, idle && buf_len(&c->out) > 0, now);
	return data.n - rest.n;
}

/* ---- what is said to it */

static void unknown(struct client *c, struct verdict *v)
{
	enum { QUOTED = 80 };
	int n = snprintf(c->note, sizeof(c->note),
	    "the peer offers CHUNKING and does not know BDAT: %u %.*s", (unsigned)v->reply.code,
	    SPAN_ARG(span_first(v->reply.text, QUOTED)));

	c->chunk_unknown = true;
	v->reply = (struct reply){451, {4, 5, 1}, span_of(c->note, (size_t)n)};
	v->source = CLIENT_FROM_US;
}

/* All of the transaction was said that had to be: what is left of it RSET will end. */
static void refused_over(struct client *c, int64_t now)
{
	if (c->chunks_due == 0)
		client_txn_over(c, now);
}

static void on_refusal(struct client *c, const struct reply *r, int64_t now)
{
	struct verdict v = client_from_peer(c, r);

	if (r->code / 10 == 50 && !c->chunk_taken)
		unknown(c, &v);
	if (c->chunk_left > 0 || buf_len(&c->out) > 0) {
		client_end(c, &v);
		return;
	}
	client_fan(c, &v);
	c->state = CLIENT_S_REFUSED;
	client_set_deadline(c, now, c->config->t_block);
	refused_over(c, now);
}

static void on_taken(struct client *c, int64_t now)
{
	c->chunk_taken = true;
	if (buf_len(&c->out) == 0)
		client_set_deadline(c, now, c->config->t_block);
	if (c->chunks_due > 0)
		return;
	if (buf_len(&c->out) == 0)
		c->deadline = INT64_MAX;
	if (c->whole)
		client_content_over(c, now);
}

void client_on_chunk(struct client *c, const struct reply *r, int64_t now)
{
	bool whole = c->sent >= oldest(c)->end;

	if (r->code < 400 && !(reply_ok(r) && whole)) {
		client_desync(c, r, "in reply to a chunk");
		return;
	}
	c->chunk_at = (uint8_t)((c->chunk_at + 1) % CLIENT_CHUNKS_OPEN);
	c->chunks_due--;
	if (c->state == CLIENT_S_REFUSED) {
		client_set_deadline(c, now, c->config->t_block);
		refused_over(c, now);
	} else if (reply_ok(r)) {
		on_taken(c, now);
	} else {
		on_refusal(c, r, now);
	}
}
