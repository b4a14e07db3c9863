/* STARTTLS (RFC 3207) and AUTH (RFC 4954). */
#include "smtp/server-private.h"

#include "smtp/sasl.h"

void server_run_starttls(struct server *s, struct span args)
{
	(void)args;
	if (s->tls)
		server_refuse(s, &REPLY(503, 5, 5, 1, "TLS is on already"), "tls", "sequence");
	else if (!server_offers(s, EXT_STARTTLS))
		server_refuse(
		    s, &REPLY(502, 5, 5, 1, "STARTTLS is not offered here"), "tls", "not_offered");
	else
		server_ask(s, SERVER_TLS);
}

void server_answer_tls(struct server *s, const struct reply *r)
{
	static const struct reply go = REPLY_INIT(220, 2, 0, 0, "Ready to start TLS");

	gw_assert(r->code == 220 || r->code >= 400);
	server_say(s, r->code == 220 && r->text.n == 0 ? &go : r);
	if (r->code != 220 || s->ended)
		return;
	/* Section 4.2: nothing that was said in the clear counts from here on. */
	server_forget(s);
	s->tls_due = true;
	s->esmtp = s->authenticated = false;
	s->granted = 0;
	s->state = SERVER_S_START;
}

/* Why there can be no login now, whatever the mechanism; NULL if there can. */
static const struct reply *cannot(const struct server *s, const char **reason)
{
	static const struct reply never =
	    REPLY_INIT(502, 5, 5, 1, "No logins here; mail programs use port 465 or 587");
	static const struct reply hello = REPLY_INIT(503, 5, 5, 1, "EHLO first");
	static const struct reply twice = REPLY_INIT(503, 5, 5, 1, "You are logged in already");
	static const struct reply message =
	    REPLY_INIT(503, 5, 5, 1, "No login inside of a message; RSET first");
	static const struct reply clear =
	    REPLY_INIT(538, 5, 7, 11, "Logins need TLS; STARTTLS first");
	static const struct reply none =
	    REPLY_INIT(454, 4, 7, 0, "No logins at present; please try later");
	const struct server_config *c = s->config;

	*reason = "not_offered";
	if (c->auth == SERVER_AUTH_NEVER || !(c->extensions & EXT_BIT(AUTH)))
		return &never;
	*reason = "sequence";
	if (!s->esmtp)
		return &hello;
	if (s->authenticated)
		return &twice;
	if (s->state != SERVER_S_IDLE)
		return &message;
	*reason = "no_tls";
	if (c->auth == SERVER_AUTH_TLS && !s->tls)
		return &clear;
	*reason = "no_mechanism";
	return server_mechanisms(s) == 0 ? &none : NULL;
}

/* Names those there are: a program that guesses wrong is set right by whoever reads its log. */
static void unknown_mechanism(struct server *s)
{
	struct reply no = REPLY(504, 5, 5, 4, "Mechanism not known"), list = no;
	struct buf text;

	if (!server_tolerate(s, "auth"))
		return;
	buf_init(&text, 256);
	buf_addf(&text, "%.*s; there are:", SPAN_ARG(no.text));
	server_list_mechanisms(s, &text);
	list.text = buf_view(&text);
	server_note(s, &no, "auth", "mechanism");
	server_say(s, &list);
	buf_fini(&text);
}

/* "AUTH mechanism [initial-response]"; "=" is an empty one (section 4). */
void server_run_auth(struct server *s, struct span args)
{
	const char *reason;
	const struct reply *no = cannot(s, &reason);
	ptrdiff_t blank = span_find(args, ' ');
	struct span name = blank < 0 ? args : span_first(args, (size_t)blank);
	struct span initial = span_trim(span_skip(args, name.n));
	int mechanism = sasl_find(name);
	struct server_event *ev;

	if (no != NULL) {
		server_refuse(s, no, "auth", reason);
	} else if (name.n == 0 || span_find(initial, ' ') >= 0) {
		server_refuse(s, &REPLY(501, 5, 5, 4, "AUTH takes a mechanism and one response"),
		    "auth", "bad_argument");
	} else if (mechanism < 0 || !(server_mechanisms(s) & UINT32_C(1) << mechanism)) {
		unknown_mechanism(s);
	} else {
		ev = server_ask(s, SERVER_AUTH);
		ev->mechanism = mechanism;
		ev->has_initial = initial.n > 0;
		ev->data = span_eq(initial, SPAN("=")) ? SPAN_NONE : initial;
	}
}

/* The exchange is over by our own word. */
static void cancel(struct server *s, const struct reply *r, const char *reason)
{
	s->state = SERVER_S_IDLE;
	s->gone_due = true;
	s->bad_logins++;
	server_refuse(s, r, "auth", reason);
}

void server_auth_line(struct server *s, struct span line)
{
	if (span_eq(line, SPAN("*")))
		cancel(s, &REPLY(501, 5, 7, 0, "Login cancelled"), "cancelled");
	else if (!server_plain(line))
		cancel(s, &REPLY(501, 5, 5, 2, "Not base64; login cancelled"), "octet");
	else
		server_ask(s, SERVER_AUTH_LINE)->data = line;
}

void server_auth_too_long(struct server *s)
{
	static const struct reply no = REPLY_INIT(500, 5, 5, 6, "Line too long for a login");

	if (s->state == SERVER_S_AUTH)
		cancel(s, &no, "line_too_long");
	else
		server_refuse(s, &no, "auth", "line_too_long");
}

void server_answer_auth(struct server *s, const struct reply *r)
{
	gw_assert(r->code == 334 || r->code == 235 || r->code >= 400);
	if (r->code == 334) {
		gw_assert(r->text.n <= SERVER_CHALLENGE_MAX && server_plain(r->text));
		s->state = SERVER_S_AUTH;
		server_say_line(s, "334 ", r->text);
		return;
	}
	s->state = SERVER_S_IDLE;
	s->authenticated = r->code == 235;
	s->bad_logins = s->authenticated ? 0 : s->bad_logins + 1;
	server_say(s, r);
}
