/* The table of verbs, in which state each may come, and the small ones. */
#include "smtp/server-private.h"

#include "base/utf8.h"

/* The states a verb may come in, as bits. */
enum {
	IN_START = 1 << SERVER_S_START,
	IN_IDLE = 1 << SERVER_S_IDLE,
	IN_MAIL = 1 << SERVER_S_MAIL,
	IN_CHUNKS = 1 << SERVER_S_CHUNKS,
	IN_ANY = IN_START | IN_IDLE | IN_MAIL | IN_CHUNKS,
};

enum { NAME_MAX_OCTETS = 255 };

struct verb {
	const char *name;
	const char *stage;
	void (*run)(struct server *s, struct span args);
	unsigned states;
	bool bare;    /* takes no argument */
	bool guarded; /* not before TLS, where that is asked for */
};

void server_bad_argument(struct server *s, const char *stage)
{
	server_refuse(s, &REPLY(501, 5, 5, 4, "The argument is not of the form this command takes"),
	    stage, "bad_argument");
}

/* Anything printable but what would be punctuation in a Received field. */
static bool name_valid(struct span name)
{
	if (name.n == 0 || name.n > NAME_MAX_OCTETS)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (strchr(" <>()\"\\;,@", name.p[i]))
			return false;
	}
	return true;
}

static void greet(struct server *s, struct span name, bool esmtp)
{
	struct server_event *ev;

	if (!name_valid(name)) {
		server_bad_argument(s, "helo");
		return;
	}
	if (s->state != SERVER_S_START) {
		if (!server_tolerate(s, "helo"))
			return;
		server_forget(s);
		s->state = SERVER_S_IDLE;
	}
	ev = server_ask(s, SERVER_HELO);
	ev->name = name;
	ev->esmtp = s->asked_esmtp = esmtp;
}

/* RFC 2033 section 4.1: a server of the one protocol is never taken for one of the other. */
static bool wrong_protocol(struct server *s, bool lmtp)
{
	static const struct reply is_lmtp = REPLY_INIT(500, 5, 5, 1, "This is LMTP: LHLO"),
				  is_smtp = REPLY_INIT(500, 5, 5, 1, "This is SMTP: EHLO");

	if (s->config->lmtp == lmtp)
		return false;
	server_refuse(s, lmtp ? &is_smtp : &is_lmtp, "helo", "wrong_protocol");
	return true;
}

static void run_helo(struct server *s, struct span args)
{
	if (!wrong_protocol(s, false))
		greet(s, args, false);
}

static void run_ehlo(struct server *s, struct span args)
{
	if (!wrong_protocol(s, false))
		greet(s, args, true);
}

static void run_lhlo(struct server *s, struct span args)
{
	if (!wrong_protocol(s, true))
		greet(s, args, true);
}

const struct reply *server_no_data(const struct server *s, const char **reason)
{
	static const struct reply none = REPLY_INIT(554, 5, 5, 1, "No valid recipients");
	/* RFC 2033 section 4.2 */
	static const struct reply none_lmtp = REPLY_INIT(503, 5, 5, 1, "No valid recipients");
	static const struct reply rcpt = REPLY_INIT(503, 5, 5, 1, "RCPT first");
	static const struct reply mail = REPLY_INIT(503, 5, 5, 1, "MAIL first");

	*reason = "sequence";
	if (s->state != SERVER_S_MAIL)
		return &mail;
	if (s->recipients_ok > 0)
		return NULL;
	if (s->recipients_refused == 0)
		return &rcpt;
	*reason = "no_recipients";
	return s->config->lmtp ? &none_lmtp : &none;
}

static void run_data(struct server *s, struct span args)
{
	const char *reason;
	const struct reply *no = server_no_data(s, &reason);

	(void)args;
	s->chunked = false;
	/* RFC 3030 section 3: octets that are no lines have no end that a line could say. */
	if (no == NULL && s->binary)
		server_refuse(
		    s, &REPLY(503, 5, 5, 1, "BODY=BINARYMIME needs BDAT"), "data", "sequence");
	else if (no != NULL)
		server_refuse(s, no, "data", reason);
	else
		server_ask(s, SERVER_DATA);
}

static void run_rset(struct server *s, struct span args)
{
	(void)args;
	if (!server_tolerate(s, "command"))
		return;
	server_forget(s);
	if (s->state != SERVER_S_START)
		s->state = SERVER_S_IDLE;
	server_say(s, &REPLY(250, 2, 0, 0, "Forgotten"));
}

static void run_noop(struct server *s, struct span args)
{
	(void)args;
	if (server_tolerate(s, "command"))
		server_say(s, &REPLY(250, 2, 0, 0, "Ok"));
}

static void run_vrfy(struct server *s, struct span args)
{
	if (args.n == 0)
		server_bad_argument(s, "command");
	else if (server_tolerate(s, "command"))
		server_say(s, &REPLY(252, 2, 0, 0, "Not told; send mail and see"));
}

static void run_expn(struct server *s, struct span args)
{
	(void)args;
	server_refuse(s, &REPLY(502, 5, 5, 1, "Lists are not shown"), "command", "expn");
}

static void run_quit(struct server *s, struct span args)
{
	(void)args;
	server_say_host(s, &REPLY(221, 2, 0, 0, "Bye"));
	server_finish(s, "quit");
}

void server_run_foreign(struct server *s, struct span args)
{
	(void)args;
	server_note(s, &REPLY(500, 5, 5, 1, "Command not known; HELP lists those that are"),
	    "command", "foreign");
	server_say(s, &s->pending.reply);
	server_say_host(s, &REPLY(421, 4, 7, 0, "Closing, this is not SMTP as offered"));
	server_finish(s, "foreign");
}

static void run_help(struct server *s, struct span args);

static const struct verb verbs[] = {
    {"HELO", "helo", run_helo, IN_ANY, false, false},
    {"EHLO", "helo", run_ehlo, IN_ANY, false, false},
    {"LHLO", "helo", run_lhlo, IN_ANY, false, false},
    {"STARTTLS", "tls", server_run_starttls, IN_ANY & ~IN_START, true, false},
    {"AUTH", "auth", server_run_auth, IN_ANY & ~IN_START, false, false},
    {"MAIL", "mail", server_run_mail, IN_IDLE, false, true},
    {"RCPT", "rcpt", server_run_rcpt, IN_MAIL, false, true},
    {"DATA", "data", run_data, IN_MAIL, true, true},
    {"RSET", "command", run_rset, IN_ANY, true, false},
    {"NOOP", "command", run_noop, IN_ANY, false, false},
    {"QUIT", "command", run_quit, IN_ANY, true, false},
    {"VRFY", "command", run_vrfy, IN_ANY, false, true},
    {"EXPN", "command", run_expn, IN_ANY, false, true},
    {"HELP", "command", run_help, IN_ANY, false, false},
    {"BDAT", "data", server_run_bdat, IN_ANY, false, false},
    {"ETRN", "etrn", server_run_etrn, IN_IDLE, false, true},
    {"ATRN", "turn", server_run_atrn, IN_ANY, false, true},
    {"XCLIENT", "xclient", server_run_xclient, IN_ANY, false, false},
    /* A balancer that is not known as one: what follows is not its own session. */
    {"PROXY", "command", server_run_foreign, IN_ANY, false, false},
    {"GET", "command", server_run_foreign, IN_ANY, false, false},
    {"PUT", "command", server_run_foreign, IN_ANY, false, false},
    {"POST", "command", server_run_foreign, IN_ANY, false, false},
    {"HEAD", "command", server_run_foreign, IN_ANY, false, false},
    {"OPTIONS", "command", server_run_foreign, IN_ANY, false, false},
    {"CONNECT", "command", server_run_foreign, IN_ANY, false, false},
};

static bool is_listed(const struct server *s, const struct verb *v)
{
	if (v->run == server_run_starttls)
		return server_offers(s, EXT_STARTTLS);
	if (v->run == server_run_auth)
		return server_offers(s, EXT_AUTH);
	if (v->run == server_run_bdat)
		return server_offers(s, EXT_CHUNKING);
	if (v->run == server_run_etrn)
		return server_offers(s, EXT_ETRN);
	if (v->run == server_run_atrn)
		return server_offers(s, EXT_ATRN);
	if (v->run == server_run_xclient)
		return server_awaits_xclient(s);
	if (v->run == run_lhlo || v->run == run_helo || v->run == run_ehlo)
		return s->config->lmtp == (v->run == run_lhlo);
	return v->run != server_run_foreign && v->run != run_expn;
}

/* The commands that would be understood now. */
static void run_help(struct server *s, struct span args)
{
	struct reply r = REPLY(214, 2, 0, 0, "");
	struct buf text;

	(void)args;
	if (!server_tolerate(s, "command"))
		return;
	buf_init(&text, 512);
	buf_add_str(&text, "Commands:");
	for (size_t i = 0; i < GW_ARRAY_LEN(verbs); i++) {
		if (is_listed(s, &verbs[i]))
			buf_addf(&text, " %s", verbs[i].name);
	}
	r.text = buf_view(&text);
	server_say(s, &r);
	buf_fini(&text);
}

static const struct verb *find_verb(struct span name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(verbs); i++) {
		if (span_eq_case(name, span_str(verbs[i].name)))
			return &verbs[i];
	}
	return NULL;
}

static void out_of_sequence(struct server *s, const char *stage)
{
	static const struct reply hello = REPLY_INIT(503, 5, 5, 1, "EHLO first");
	static const struct reply lhlo = REPLY_INIT(503, 5, 5, 1, "LHLO first");
	static const struct reply mail = REPLY_INIT(503, 5, 5, 1, "MAIL first");
	static const struct reply nested = REPLY_INIT(503, 5, 5, 1, "MAIL was given");
	static const struct reply chunks =
	    REPLY_INIT(503, 5, 5, 1, "A message is under way: BDAT or RSET");
	const struct reply *r = &mail;

	if (s->state == SERVER_S_CHUNKS)
		r = &chunks;
	else if (s->state == SERVER_S_START)
		r = s->config->lmtp ? &lhlo : &hello;
	else if (s->state == SERVER_S_MAIL)
		r = &nested;
	server_refuse(s, r, stage, "sequence");
}

bool server_plain(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < ' ' || line.p[i] > '~')
			return false;
	}
	return true;
}

/* RFC 6531 sections 3.3 and 3.7.4.2: where addresses may stand. Which characters they may be of
 * is seen there; controls are none. */
static bool well_formed(const struct server *s, const struct verb *v, struct span line)
{
	bool takes = v != NULL && (v->run == server_run_mail || v->run == server_run_rcpt ||
				      v->run == run_vrfy || v->run == run_expn);

	if (!takes || !s->esmtp || !server_offers(s, EXT_SMTPUTF8))
		return server_plain(line);
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < ' ' || line.p[i] == 127)
			return false;
	}
	return utf8_valid(line);
}

/* Input behind such a line was not written by who will read the reply to it, or too soon. */
static bool ends_group(const struct server *s, const struct verb *v)
{
	return v->run == run_data || v->run == server_run_starttls ||
	       (v->run == server_run_atrn && s->config->turns);
}

static void expel_early(struct server *s, const struct verb *v)
{
	if (v->run == run_data)
		server_expel(s, &REPLY(554, 5, 5, 0, "Content before it was asked for"), v->stage,
		    "early_data");
	else if (v->run == server_run_atrn)
		server_expel(
		    s, &REPLY(554, 5, 5, 0, "Commands behind ATRN"), v->stage, "early_turn");
	else
		server_expel(
		    s, &REPLY(554, 5, 5, 0, "Commands behind STARTTLS"), v->stage, "early_tls");
}

/* RFC 3207 section 4. */
static bool lacks_tls(const struct server *s, const struct verb *v)
{
	return v->guarded && s->config->need_tls && !s->tls && s->state != SERVER_S_START;
}

/* RFC 2645 section 5: of what is about mail nothing is taken where it is given out. */
static bool is_for_mail(const struct verb *v)
{
	return v->run == server_run_mail || v->run == server_run_rcpt || v->run == run_data ||
	       v->run == run_vrfy || v->run == run_expn;
}

static void run(struct server *s, const struct verb *v, struct span args)
{
	if (v->bare && args.n)
		server_bad_argument(s, v->stage);
	else if (lacks_tls(s, v))
		server_refuse(s, &REPLY(530, 5, 7, 0, "Must issue a STARTTLS command first"),
		    v->stage, "no_tls");
	else if (s->config->turns && is_for_mail(v))
		server_refuse(s, &REPLY(502, 5, 5, 1, "No mail is taken here; ATRN gives it out"),
		    v->stage, "not_offered");
	else if (!(v->states & 1u << s->state))
		out_of_sequence(s, v->stage);
	else
		v->run(s, args);
}

void server_command(struct server *s, struct span line, bool waiting)
{
	ptrdiff_t blank = span_find(line, ' ');
	struct span name = span_first(line, blank < 0 ? line.n : (size_t)blank);
	struct span args = span_trim(span_skip(line, name.n));
	const struct verb *v = find_verb(name);

	if (s->bad > s->config->bad_commands)
		server_tolerate(s, v ? v->stage : "command");
	else if (span_starts_case(line, SPAN("BDAT")) && (v == NULL || !server_plain(line)))
		server_chunk_lost(s);
	else if (!well_formed(s, v, line))
		server_refuse(s, &REPLY(500, 5, 5, 2, "Commands are of printable ASCII only"),
		    "command", "octet");
	else if (v == NULL)
		server_refuse(s,
		    &REPLY(500, 5, 5, 1, "Command not known; HELP lists those that are"), "command",
		    "unknown");
	else if (waiting && ends_group(s, v))
		expel_early(s, v);
	else
		run(s, v, args);
}
