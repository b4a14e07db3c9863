/* MAIL and RCPT. */
#include "smtp/server-private.h"

#include "base/utf8.h"

/* "FROM:" or "TO:" and the path; blanks behind the colon are forgiven. */
static bool take_path(
    struct server *s, struct span *args, struct span word, bool reverse, struct address *address)
{
	bool utf8 = s->esmtp && server_offers(s, EXT_SMTPUTF8);
	struct reply bad = REPLY(501, 5, 1, 7, "");
	const char *stage = reverse ? "mail" : "rcpt", *why = "";

	if (!span_starts_case(*args, word)) {
		server_bad_argument(s, stage);
		return false;
	}
	*args = span_skip(*args, word.n);
	while (args->n && args->p[0] == ' ')
		*args = span_skip(*args, 1);
	buf_clear(&s->late);
	buf_trim(&s->late);
	if (address_parse_path(args, reverse, utf8 ? &s->late : NULL, address, &why) == 0)
		return true;
	bad.esc[2] = reverse ? 7 : 3;
	bad.text = span_str(why);
	server_refuse(s, &bad, stage, "bad_address");
	return false;
}

/* RFC 6531 section 3.5. path: with whatever stands behind it. */
static bool lacks_utf8(
    struct server *s, const struct server_event *ev, struct span path, const char *stage)
{
	if (ev->smtputf8 || !utf8_beyond_ascii(path))
		return false;
	server_refuse(s, &REPLY(553, 5, 6, 7, "Addresses beyond ASCII need SMTPUTF8 behind MAIL"),
	    stage, "no_smtputf8");
	return true;
}

/* RFC 2852 section 4: what has to be returned sooner than we promise is not taken. */
static bool too_soon(struct server *s, const struct server_event *ev)
{
	if (ev->handling.by != BY_RETURN || (uint32_t)ev->by_time >= s->config->by_least)
		return false;
	server_refuse(s,
	    &REPLY(555, 5, 5, 4, "BY with R needs more time here; EHLO names the least"), "mail",
	    "bad_argument");
	return true;
}

/* It would come back before it may go: nobody means that. */
static bool over_before_release(struct server *s, const struct server_event *ev)
{
	int64_t over = s->now + s->config->wall_ahead + ev->by_time * INT64_C(1000000);

	if (ev->handling.by != BY_RETURN || ev->handling.hold_until < over)
		return false;
	server_refuse(s, &REPLY(501, 5, 5, 4, "BY with R is over before the message is released"),
	    "mail", "bad_argument");
	return true;
}

void server_run_mail(struct server *s, struct span args)
{
	struct server_event ev = {.type = SERVER_MAIL};
	uint64_t max = s->config->message_size;
	struct span line = args;

	if (s->transactions >= s->config->transactions) {
		server_expel(s, &REPLY(421, 4, 7, 0, "Too many messages in one session"), "mail",
		    "too_many_transactions");
		return;
	}
	if (!take_path(s, &args, SPAN("FROM:"), true, &ev.address) ||
	    !server_take_parameters(s, args, &ev) || lacks_utf8(s, &ev, line, "mail"))
		return;
	if (max && ev.size > max) {
		server_refuse(s, &REPLY(552, 5, 3, 4, "Message too big; EHLO names the limit"),
		    "mail", "too_big");
		return;
	}
	if (too_soon(s, &ev) || over_before_release(s, &ev))
		return;
	s->smtputf8 = ev.smtputf8;
	s->binary = ev.body_type == BODY_BINARYMIME;
	*server_ask(s, SERVER_MAIL) = ev;
}

/* RFC 5321 section 4.5.3.1.10: those beyond are sent later by an honest client, so not an offence
   until there are ten times too many. */
static void too_many_recipients(struct server *s)
{
	static const struct reply no =
	    REPLY_INIT(452, 4, 5, 3, "Too many recipients; send the rest in another message");

	if (++s->recipients_refused > 10 * (uint64_t)s->config->recipients + 100) {
		server_expel(
		    s, &REPLY(421, 4, 7, 0, "Too many recipients"), "rcpt", "too_many_recipients");
		return;
	}
	server_note(s, &no, "rcpt", "too_many_recipients");
	server_say(s, &no);
}

void server_run_rcpt(struct server *s, struct span args)
{
	struct server_event ev = {.type = SERVER_RCPT, .smtputf8 = s->smtputf8};
	struct span line = args;

	if (!take_path(s, &args, SPAN("TO:"), false, &ev.address) ||
	    lacks_utf8(s, &ev, span_first(line, line.n - args.n), "rcpt") ||
	    !server_take_parameters(s, args, &ev))
		return;
	if (s->recipients_ok >= s->config->recipients)
		too_many_recipients(s);
	else
		*server_ask(s, SERVER_RCPT) = ev;
}
