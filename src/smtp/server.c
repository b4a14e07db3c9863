#include "smtp/server-private.h"

#include <stdio.h>

/* In server.overflow: discarding, and the last octet was a CR; AUTH: the line is of a login. */
enum { OVERFLOW_NOT, OVERFLOW_LINE, OVERFLOW_CR, OVERFLOW_AUTH = 4 };

_Static_assert(sizeof(struct server) <= 576, "idle sessions are small");
_Static_assert(SERVER_OUT_HIGH + ANSWER_TEXT_MAX * 24 + 4096 <= SERVER_OUT_MAX, "a reply fits");

void server_init(struct server *s, const struct server_config *config, int64_t now)
{
	*s = (struct server){.magic = SERVER_MAGIC, .config = config};
	s->started = now;
	s->held = -1;
	buf_init(&s->out, SERVER_OUT_MAX);
	buf_init(&s->late, LATE_MAX);
	s->now = now;
	server_ask(s, SERVER_CONNECT);
	s->deadline = config->verdict_timeout ? now + config->verdict_timeout : INT64_MAX;
}

void server_fini(struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	buf_fini(&s->out);
	buf_fini(&s->late);
	s->magic = 0;
}

/* Half a reply is never sent. */
void server_settle(struct server *s, size_t before)
{
	if (!buf_failed(&s->out))
		return;
	s->out.failed = false;
	buf_cut(&s->out, before);
	server_finish(s, "memory");
}

static void say(struct server *s, const struct reply *r, bool enhanced)
{
	size_t before = buf_len(&s->out);

	reply_format(r, enhanced, &s->out);
	server_settle(s, before);
}

void server_say_line(struct server *s, const char *code, struct span text)
{
	size_t before = buf_len(&s->out);

	buf_add_str(&s->out, code);
	buf_add_span(&s->out, text);
	buf_add_str(&s->out, "\r\n");
	server_settle(s, before);
}

void server_say_plain(struct server *s, const struct reply *r)
{
	say(s, r, false);
}

void server_say(struct server *s, const struct reply *r)
{
	say(s, r, s->config->extensions & EXT_BIT(ENHANCEDSTATUSCODES));
}

void server_say_host(struct server *s, const struct reply *r)
{
	char text[512];
	struct reply full = *r;
	int n = snprintf(
	    text, sizeof(text), "%.*s %.*s", SPAN_ARG(s->config->hostname), SPAN_ARG(r->text));

	full.text = span_first(span_of(text, sizeof(text) - 1), (size_t)n);
	server_say(s, &full);
}

struct server_event *server_ask(struct server *s, enum server_event_type type)
{
	s->pending = (struct server_event){.type = type};
	s->has_pending = s->verdict_due = true;
	s->asked = type;
	return &s->pending;
}

void server_note(struct server *s, const struct reply *r, const char *stage, const char *reason)
{
	s->pending = (struct server_event){
	    .type = SERVER_REFUSED, .reply = *r, .stage = stage, .reason = reason};
	s->has_pending = true;
}

void server_forget(struct server *s)
{
	s->reset_due |= s->open;
	s->open = false;
	s->recipients_ok = s->recipients_refused = 0;
}

void server_finish(struct server *s, const char *reason)
{
	if (s->ended)
		return;
	server_forget(s);
	s->ended = true;
	s->verdict_due = false;
	s->eom = EOM_NOT;
	s->state = SERVER_S_END;
	s->end_reason = reason;
	if (s->has_pending && s->pending.type != SERVER_REFUSED)
		s->has_pending = false;
}

void server_expel(struct server *s, const struct reply *r, const char *stage, const char *reason)
{
	server_note(s, r, stage, reason);
	if (r->code == 421)
		server_say_host(s, r);
	else
		server_say(s, r);
	server_finish(s, reason);
}

bool server_tolerate(struct server *s, const char *stage)
{
	if (++s->bad <= s->config->bad_commands)
		return true;
	server_expel(s, &REPLY(421, 4, 7, 0, "Too many errors or useless commands"), stage,
	    "too_many_errors");
	return false;
}

void server_refuse(struct server *s, const struct reply *r, const char *stage, const char *reason)
{
	if (!server_tolerate(s, stage))
		return;
	server_note(s, r, stage, reason);
	server_say(s, r);
}

/* A bare CR or LF: what follows may be meant for another reader of the same bytes. */
static void refuse_bare(struct server *s, const char *reason)
{
	server_note(s, &REPLY(500, 5, 5, 2, "Lines end with CRLF only"), "command", reason);
	server_say(s, &s->pending.reply);
	server_say_host(s, &REPLY(421, 4, 7, 0, "Closing after a bare CR or LF"));
	server_finish(s, reason);
}

/* Discards up to the CRLF and never keeps a byte; the tail of the line is no command. */
static size_t feed_overflow(struct server *s, struct span in)
{
	ptrdiff_t lf = span_find(in, '\n');
	uint8_t auth = s->overflow & OVERFLOW_AUTH;
	bool cr;

	if (lf < 0) {
		s->overflow = (in.p[in.n - 1] == '\r' ? OVERFLOW_CR : OVERFLOW_LINE) | auth;
		return in.n;
	}
	cr = lf > 0 ? in.p[lf - 1] == '\r' : (s->overflow & OVERFLOW_CR) != 0;
	s->overflow = OVERFLOW_NOT;
	if (!cr)
		refuse_bare(s, "bare_lf");
	else if (auth)
		server_auth_too_long(s);
	else
		server_refuse(s, &REPLY(500, 5, 5, 2, "Line too long"), "command", "line_too_long");
	return (size_t)lf + 1;
}

/* Lines of a login may be longer: a client may send all of a token at once. */
static bool line_of_login(const struct server *s, struct span in)
{
	return s->state == SERVER_S_AUTH ||
	       (server_mechanisms(s) != 0 && span_starts_case(in, SPAN("AUTH ")));
}

static size_t feed_line(struct server *s, struct span in)
{
	bool login = line_of_login(s, in);
	size_t max = login ? SERVER_AUTH_LINE_MAX : SERVER_LINE_MAX;
	ptrdiff_t lf = span_find(span_first(in, max), '\n');
	struct span line;

	if (lf < 0 && in.n < max)
		return 0;
	if (lf < 0 && s->state != SERVER_S_AUTH && span_starts_case(in, SPAN("BDAT"))) {
		server_chunk_lost(s);
		return in.n;
	}
	if (lf < 0) {
		s->overflow = login ? OVERFLOW_AUTH : OVERFLOW_NOT;
		return feed_overflow(s, in);
	}
	line = span_first(in, (size_t)lf);
	if (lf == 0 || line.p[lf - 1] != '\r')
		refuse_bare(s, "bare_lf");
	else if (span_find(span_first(line, line.n - 1), '\r') >= 0)
		refuse_bare(s, "bare_cr");
	else if (s->state == SERVER_S_AUTH)
		server_auth_line(s, span_first(line, line.n - 1));
	else
		server_command(s, span_first(line, line.n - 1), in.n > (size_t)lf + 1);
	return (size_t)lf + 1;
}

void server_boundary(struct server *s, int64_t now)
{
	const struct server_config *c = s->config;

	if (s->turned)
		s->deadline = INT64_MAX;
	if (s->ended || s->turned || (s->state == SERVER_S_BODY && s->eom == EOM_NOT))
		return;
	if (s->repeat > 0) {
		s->deadline = now + c->command_timeout; /* it does not read them */
		return;
	}
	if (s->verdict_due || s->eom != EOM_NOT) {
		s->deadline = c->verdict_timeout ? now + c->verdict_timeout : INT64_MAX;
		return;
	}
	s->deadline = now + c->command_timeout;
	if (s->state == SERVER_S_CHUNKS) {
		/* Inside of a message: it is let finish, if it keeps up. */
		int64_t floor = server_body_floor(s);

		s->deadline = floor < s->deadline ? floor : s->deadline;
		return;
	}
	if (s->eof) {
		server_finish(s, "eof");
	} else if (s->closing && !s->tls_due) {
		server_say_host(s, &REPLY(421, 4, 3, 2, "Service shutting down"));
		server_finish(s, "shutdown");
	}
}

size_t server_feed(struct server *s, struct span in, int64_t now)
{
	size_t n;

	gw_check_magic(s, SERVER_MAGIC);
	if (s->ended || s->verdict_due || s->has_pending || s->reset_due || s->gone_due ||
	    s->tls_due || s->turned || s->eom != EOM_NOT || s->held >= 0)
		return 0;
	s->now = now;
	if (in.n == 0 || server_is_full(s))
		return 0;
	if (s->state == SERVER_S_BODY)
		n = server_body_feed(s, in);
	else
		n = s->overflow ? feed_overflow(s, in) : feed_line(s, in);
	if (n > 0 && s->overflow == OVERFLOW_NOT)
		server_boundary(s, now);
	return n;
}

bool server_is_full(const struct server *s)
{
	return s->repeat > 0 || buf_len(&s->out) > SERVER_OUT_HIGH;
}

int server_next(struct server *s, struct server_event *ev)
{
	bool refused = s->has_pending && s->pending.type == SERVER_REFUSED;

	gw_check_magic(s, SERVER_MAGIC);
	if (s->eom != EOM_NOT && !s->has_pending && s->held < 0)
		server_chunk_eom(s);
	if (s->gone_due && !refused) {
		*ev = (struct server_event){.type = SERVER_AUTH_GONE};
		s->gone_due = false;
	} else if (s->reset_due && !refused) {
		*ev = (struct server_event){.type = SERVER_RESET};
		s->reset_due = false;
	} else if (s->has_pending) {
		*ev = s->pending;
		s->has_pending = false;
	} else if (s->ended && !s->end_given) {
		*ev = (struct server_event){.type = SERVER_END, .reason = s->end_reason};
		s->end_given = true;
	} else {
		return s->ended ? -1 : 0;
	}
	return 1;
}

struct span server_output(const struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	return buf_view(&s->out);
}

void server_sent(struct server *s, size_t n)
{
	gw_check_magic(s, SERVER_MAGIC);
	buf_drop(&s->out, n);
	buf_trim(&s->out);
	if (s->repeat == 0)
		return;
	server_repeat(s);
	server_boundary(s, s->now);
}

int64_t server_deadline(const struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	return s->ended || s->held >= 0 ? INT64_MAX : s->deadline;
}

void server_tick(struct server *s, int64_t now)
{
	if (now < server_deadline(s) || s->ended)
		return;
	if (s->tls_due) {
		server_finish(s, "timeout"); /* words in the clear are no part of a handshake */
	} else if (s->verdict_due) {
		server_say_host(s, &REPLY(421, 4, 3, 0, "No verdict in time"));
		server_finish(s, "verdict_timeout");
	} else {
		if (s->repeat == 0) /* else it would be taken for one of these */
			server_say_host(s, &REPLY(421, 4, 4, 2, "You took too long"));
		server_finish(s, "timeout");
	}
}

void server_eof(struct server *s, int64_t now)
{
	(void)now;
	gw_check_magic(s, SERVER_MAGIC);
	s->eof = true;
	if (s->state != SERVER_S_EOM && s->eom == EOM_NOT)
		server_finish(s, "eof");
}

void server_shutdown(struct server *s, int64_t now)
{
	gw_check_magic(s, SERVER_MAGIC);
	s->closing = true;
	if (s->overflow == OVERFLOW_NOT && !s->verdict_due)
		server_boundary(s, now);
}

void server_grant(struct server *s, uint32_t extensions)
{
	gw_check_magic(s, SERVER_MAGIC);
	s->granted = extensions & EXT_GRANTED;
}

void server_evict(struct server *s, const struct reply *r, const char *reason)
{
	gw_check_magic(s, SERVER_MAGIC);
	if (s->ended || s->verdict_due || s->turned)
		return;
	server_note(s, r, "command", reason);
	/* Between the replies to recipients it would be taken for one of them. */
	if (s->repeat == 0)
		server_say_host(s, r);
	server_finish(s, reason);
}

void server_early(struct server *s, int64_t now)
{
	static const struct reply no =
	    REPLY_INIT(554, 5, 5, 0, "You spoke before it was your turn");

	(void)now;
	gw_check_magic(s, SERVER_MAGIC);
	if (s->ended)
		return;
	if (s->tls_due || (s->verdict_due && s->asked == SERVER_TLS))
		server_expel(s, &no, "tls", "early_tls");
	else if (s->verdict_due && s->asked == SERVER_CONNECT)
		server_expel(s, &no, "connect", "early_talker");
	else if (s->verdict_due && s->asked == SERVER_ATRN)
		server_expel(s, &no, "turn", "early_turn");
	else if (s->verdict_due && s->asked == SERVER_DATA && !s->chunked)
		server_expel(s, &no, "data", "early_data");
}

bool server_tls_due(const struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	return s->tls_due && !s->ended;
}

void server_tls_started(struct server *s, bool binds, int64_t now)
{
	gw_check_magic(s, SERVER_MAGIC);
	if (s->ended)
		return;
	gw_assert(!s->tls);
	gw_assert(s->tls_due || (s->verdict_due && s->asked == SERVER_CONNECT));
	s->tls = true;
	s->binds = binds;
	if (!s->tls_due)
		return;
	s->tls_due = false;
	server_boundary(s, now);
}

bool server_has_tls(const struct server *s)
{
	return s->tls;
}

bool server_is_authenticated(const struct server *s)
{
	return s->authenticated;
}

void server_hold(struct server *s, bool hold, int64_t now)
{
	gw_check_magic(s, SERVER_MAGIC);
	if (hold == (s->held >= 0))
		return;
	if (!hold && now > s->held) {
		s->started += now - s->held;
		if (s->deadline != INT64_MAX)
			s->deadline += now - s->held;
	}
	s->held = hold ? now : -1;
}
