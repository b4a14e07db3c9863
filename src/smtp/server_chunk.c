/* BDAT, RFC 3030: content in chunks of a stated size. */
#include "smtp/server-private.h"

/* "n [LAST]"; 20 digits are more than can be counted, and no chunk. */
static bool parse_chunk(struct span args, uint64_t *n, bool *last)
{
	ptrdiff_t blank = span_find(args, ' ');
	struct span size = blank < 0 ? args : span_first(args, (size_t)blank);
	struct span word = span_trim(span_skip(args, size.n));

	*last = span_eq_case(word, SPAN("LAST"));
	return (word.n == 0 || *last) && span_to_u64(size, n) == 0;
}

/* Where the next command starts is not known: there is none. */
static void lose_count(struct server *s, const struct reply *r, const char *reason)
{
	server_note(s, r, "data", reason);
	server_say(s, r);
	server_say_host(s, &REPLY(421, 4, 7, 0, "Closing, where this chunk ends is not known"));
	server_finish(s, reason);
}

void server_chunk_lost(struct server *s)
{
	lose_count(s, &REPLY(501, 5, 5, 4, "BDAT takes a number of octets, and LAST"), "bad_chunk");
}

/* The chunk is over, its octets were read. */
static void end_chunk(struct server *s)
{
	uint64_t max = s->config->message_size;
	bool open = !s->binary && s->body.line > 0;

	if (s->refuse == REFUSE_NOT && s->last && !s->binary && s->body.after_cr)
		server_refuse_content(s, REFUSE_BARE);
	if (s->refuse == REFUSE_NOT && s->last && open && max && s->body.facts.size + 2 > max)
		server_refuse_content(s, REFUSE_SIZE);
	if (s->refuse == REFUSE_CHUNK) {
		s->state = SERVER_S_IDLE;
		server_say_late(s, s->each > 0 ? s->each : 1);
	} else if (s->refuse != REFUSE_NOT) {
		server_body_refused(s);
	} else if (s->last) {
		s->eom = open ? EOM_LINE : EOM_DUE;
	} else {
		s->state = SERVER_S_CHUNKS;
		server_say(s, &REPLY(250, 2, 0, 0, "Chunk taken"));
	}
}

static void start_chunk(struct server *s)
{
	s->state = SERVER_S_BODY;
	if (s->left == 0)
		end_chunk(s);
}

/* The octets of this chunk are read and forgotten, then it says why. */
static void swallow(struct server *s, const struct reply *r)
{
	/* Behind the last chunk each recipient of a message is told, whatever is wrong with it. */
	s->each = s->config->lmtp && s->last ? s->recipients_ok : 0;
	server_forget(s);
	buf_clear(&s->late);
	reply_format(r, s->config->extensions & EXT_BIT(ENHANCEDSTATUSCODES), &s->late);
	s->refuse = REFUSE_CHUNK;
	s->started = s->now;
	s->received = 0;
	s->deadline = s->now + s->config->data_timeout;
	start_chunk(s);
}

/* What is wrong with a chunk of this size now; NULL: nothing. */
static const struct reply *judge(const struct server *s, const char **reason)
{
	static const struct reply no_tls =
	    REPLY_INIT(530, 5, 7, 0, "Must issue a STARTTLS command first");
	static const struct reply too_big =
	    REPLY_INIT(552, 5, 3, 4, "Message too big; EHLO names the limit");
	uint64_t max = s->config->message_size;
	uint64_t before = s->state == SERVER_S_CHUNKS ? s->body.facts.size : 0;

	*reason = "no_tls";
	if (s->config->need_tls && !s->tls)
		return &no_tls;
	if (s->state != SERVER_S_CHUNKS) {
		const struct reply *no = server_no_data(s, reason);

		if (no != NULL)
			return no;
	}
	*reason = "too_big";
	return max && (before > max || s->left > max - before) ? &too_big : NULL;
}

void server_run_bdat(struct server *s, struct span args)
{
	uint64_t most = server_swallow_max(s);
	const struct reply *no;
	const char *reason;

	if (!s->esmtp || !server_offers(s, EXT_CHUNKING)) {
		server_run_foreign(s, args);
		return;
	}
	if (!parse_chunk(args, &s->left, &s->last)) {
		server_chunk_lost(s);
		return;
	}
	s->chunked = true;
	no = judge(s, &reason);
	if (no != NULL && most && s->left > most) {
		lose_count(s, no, reason);
	} else if (no != NULL) {
		if (!server_tolerate(s, "data"))
			return;
		server_note(s, no, "data", reason);
		swallow(s, no);
	} else if (s->state == SERVER_S_MAIL) {
		server_ask(s, SERVER_DATA)->chunked = true;
	} else if (s->left > 0 || s->last || server_tolerate(s, "data")) {
		start_chunk(s);
	}
}

void server_answer_chunk(struct server *s, const struct reply *r)
{
	gw_assert(r->code == 354 || r->code >= 400);
	if (r->code == 354) {
		server_body_start(s);
		start_chunk(s);
	} else if (r->code == 421) {
		server_say(s, r);
	} else {
		swallow(s, r);
	}
}

size_t server_chunk_feed(struct server *s, struct span in)
{
	size_t n = in.n < s->left ? in.n : (size_t)s->left;

	server_content(s, span_first(in, n));
	s->left -= n;
	if (s->left == 0)
		end_chunk(s);
	return n;
}

void server_chunk_eom(struct server *s)
{
	if (s->eom == EOM_LINE) {
		server_content(s, SPAN("\r\n"));
		s->eom = EOM_DUE;
		return;
	}
	s->eom = EOM_NOT;
	s->state = SERVER_S_EOM;
	server_ask(s, SERVER_EOM)->facts = body_scan_end(&s->body);
}
