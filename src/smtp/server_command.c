#include "smtp/server-private.h"

/* The states a verb may come in, as bits. */
enum {
	IN_START = 1 << SERVER_S_START,
	IN_IDLE = 1 << SERVER_S_IDLE,
	IN_MAIL = 1 << SERVER_S_MAIL,
	IN_ANY = IN_START | IN_IDLE | IN_MAIL,
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

static void bad_argument(struct server *s, const char *stage)
{
	server_refuse(
	    s, &REPLY(501, 5, 5, 4, "Syntax error in the argument"), stage, "bad_argument");
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
		bad_argument(s, "helo");
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

static void run_helo(struct server *s, struct span args)
{
	greet(s, args, false);
}

static void run_ehlo(struct server *s, struct span args)
{
	greet(s, args, true);
}

/* "FROM:" or "TO:" and the path; blanks behind the colon are forgiven. */
static bool take_path(
    struct server *s, struct span *args, struct span word, bool reverse, struct address *address)
{
	struct reply bad = REPLY(501, 5, 1, 7, "");
	const char *stage = reverse ? "mail" : "rcpt", *why = "";

	if (!span_starts_case(*args, word)) {
		bad_argument(s, stage);
		return false;
	}
	*args = span_skip(*args, word.n);
	while (args->n && args->p[0] == ' ')
		*args = span_skip(*args, 1);
	if (address_parse_path(args, reverse, address, &why) == 0)
		return true;
	bad.esc[2] = reverse ? 7 : 3;
	bad.text = span_str(why);
	server_refuse(s, &bad, stage, "bad_address");
	return false;
}

static bool keyword_byte(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '-';
}

struct parameter {
	struct span keyword, value;
	bool has_value;
};

/*
 * The next " KEYWORD[=value]" of the rest of a MAIL or RCPT command:
 * 1, 0 at the end, GW_EFORMAT. Controls and 8-bit were refused with the line.
 */
static int take_parameter(struct span *rest, struct parameter *p)
{
	size_t n = 0;

	if (rest->n == 0)
		return 0;
	if (rest->p[0] != ' ')
		return GW_EFORMAT;
	*rest = span_trim(*rest);
	while (n < rest->n && keyword_byte(rest->p[n]))
		n++;
	p->keyword = span_first(*rest, n);
	*rest = span_skip(*rest, n);
	p->has_value = rest->n && rest->p[0] == '=';
	*rest = span_skip(*rest, p->has_value);
	for (n = 0; p->has_value && n < rest->n && rest->p[n] != ' ' && rest->p[n] != '=';)
		n++;
	p->value = span_first(*rest, n);
	*rest = span_skip(*rest, n);
	if (p->keyword.n == 0 || p->keyword.p[0] == '-' || p->has_value != (n > 0))
		return GW_EFORMAT;
	return rest->n == 0 || rest->p[0] == ' ' ? 1 : GW_EFORMAT;
}

/* RFC 1870: up to 20 digits, which may be more than we can count. */
static int mail_size(struct server_event *ev, struct span value)
{
	if (span_to_u64(value, &ev->size) == 0)
		return 0;
	for (size_t i = 0; i < value.n; i++) {
		if (!ascii_isdigit(value.p[i]))
			return GW_EFORMAT;
	}
	ev->size = UINT64_MAX;
	return value.n == 20 ? 0 : GW_EFORMAT;
}

static int mail_body(struct server_event *ev, struct span value)
{
	if (span_eq_case(value, SPAN("8BITMIME")))
		ev->body_type = BODY_8BITMIME;
	else if (!span_eq_case(value, SPAN("7BIT")))
		return GW_EFORMAT;
	return 0;
}

static const struct mail_parameter {
	const char *keyword;
	enum extension extension; /* what has to be offered for it */
	int (*take)(struct server_event *ev, struct span value);
} mail_parameters[] = {
    {"SIZE", EXT_SIZE, mail_size},
    {"BODY", EXT_EIGHTBITMIME, mail_body},
};

static const struct mail_parameter *find_parameter(const struct server *s, struct span keyword)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(mail_parameters); i++) {
		const struct mail_parameter *m = &mail_parameters[i];

		if (span_eq_case(keyword, span_str(m->keyword)) && server_offers(s, m->extension))
			return m;
	}
	return NULL;
}

static void unknown_parameter(struct server *s, const char *stage)
{
	if (s->esmtp)
		server_refuse(s, &REPLY(555, 5, 5, 4, "Parameter not known"), stage, "parameter");
	else
		server_refuse(
		    s, &REPLY(555, 5, 5, 4, "No parameters after HELO"), stage, "parameter");
}

/* True if all parameters of MAIL made sense. */
static bool mail_parameters_take(struct server *s, struct span rest, struct server_event *ev)
{
	const struct mail_parameter *m;
	struct parameter p;
	unsigned seen = 0;
	int more;

	while ((more = take_parameter(&rest, &p)) == 1) {
		m = s->esmtp ? find_parameter(s, p.keyword) : NULL;
		if (m == NULL) {
			unknown_parameter(s, "mail");
			return false;
		}
		if (seen & 1u << m->extension || !p.has_value || m->take(ev, p.value) != 0) {
			bad_argument(s, "mail");
			return false;
		}
		seen |= 1u << m->extension;
	}
	if (more < 0)
		bad_argument(s, "mail");
	return more == 0;
}

static void run_mail(struct server *s, struct span args)
{
	struct server_event ev = {0}, *ask;
	uint64_t max = s->config->message_size;

	if (s->transactions >= s->config->transactions) {
		server_expel(s, &REPLY(421, 4, 7, 0, "Too many messages in one session"), "mail",
		    "too_many_transactions");
		return;
	}
	if (!take_path(s, &args, SPAN("FROM:"), true, &ev.address) ||
	    !mail_parameters_take(s, args, &ev))
		return;
	if (max && ev.size > max) {
		server_refuse(s, &REPLY(552, 5, 3, 4, "Message too big"), "mail", "too_big");
		return;
	}
	ask = server_ask(s, SERVER_MAIL);
	ask->address = ev.address;
	ask->size = ev.size;
	ask->body_type = ev.body_type;
}

/* RFC 5321 section 4.5.3.1.10: those beyond are sent later by an honest client, so not an offence
   until there are ten times too many. */
static void too_many_recipients(struct server *s)
{
	static const struct reply no = {
	    452, {4, 5, 3}, {(const uint8_t *)"Too many recipients", 19}};

	if (++s->recipients_refused > 10 * (uint64_t)s->config->recipients + 100) {
		server_expel(
		    s, &REPLY(421, 4, 7, 0, "Too many recipients"), "rcpt", "too_many_recipients");
		return;
	}
	server_note(s, &no, "rcpt", "too_many_recipients");
	server_say(s, &no);
}

static void run_rcpt(struct server *s, struct span args)
{
	struct address address;
	struct parameter p;
	int more;

	if (!take_path(s, &args, SPAN("TO:"), false, &address))
		return;
	more = take_parameter(&args, &p);
	if (more == 1)
		unknown_parameter(s, "rcpt");
	else if (more < 0)
		bad_argument(s, "rcpt");
	else if (s->recipients_ok >= s->config->recipients)
		too_many_recipients(s);
	else
		server_ask(s, SERVER_RCPT)->address = address;
}

static void run_data(struct server *s, struct span args)
{
	(void)args;
	if (s->recipients_ok > 0)
		server_ask(s, SERVER_DATA);
	else if (s->recipients_refused > 0)
		server_refuse(
		    s, &REPLY(554, 5, 5, 1, "No valid recipients"), "data", "no_recipients");
	else
		server_refuse(s, &REPLY(503, 5, 5, 1, "RCPT first"), "data", "sequence");
}

static void run_rset(struct server *s, struct span args)
{
	(void)args;
	if (!server_tolerate(s, "command"))
		return;
	server_forget(s);
	if (s->state == SERVER_S_MAIL)
		s->state = SERVER_S_IDLE;
	server_say(s, &REPLY(250, 2, 0, 0, "Forgotten"));
}

static void run_noop(struct server *s, struct span args)
{
	(void)args;
	if (server_tolerate(s, "command"))
		server_say(s, &REPLY(250, 2, 0, 0, "Ok"));
}

static void run_help(struct server *s, struct span args)
{
	(void)args;
	if (server_tolerate(s, "command"))
		server_say(s, &REPLY(214, 2, 0, 0, "See RFC 5321"));
}

static void run_vrfy(struct server *s, struct span args)
{
	if (args.n == 0)
		bad_argument(s, "command");
	else if (server_tolerate(s, "command"))
		server_say(s, &REPLY(252, 2, 0, 0, "Send mail and see"));
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

/* What follows such a line is a chunk of content or a web form, never our commands. */
static void run_foreign(struct server *s, struct span args)
{
	(void)args;
	server_note(s, &REPLY(500, 5, 5, 1, "Command not known"), "command", "foreign");
	server_say(s, &s->pending.reply);
	server_say_host(s, &REPLY(421, 4, 7, 0, "Closing, this is not SMTP as offered"));
	server_finish(s, "foreign");
}

static const struct verb verbs[] = {
    {"HELO", "helo", run_helo, IN_ANY, false, false},
    {"EHLO", "helo", run_ehlo, IN_ANY, false, false},
    {"STARTTLS", "tls", server_run_starttls, IN_IDLE | IN_MAIL, true, false},
    {"AUTH", "auth", server_run_auth, IN_IDLE | IN_MAIL, false, false},
    {"MAIL", "mail", run_mail, IN_IDLE, false, true},
    {"RCPT", "rcpt", run_rcpt, IN_MAIL, false, true},
    {"DATA", "data", run_data, IN_MAIL, true, true},
    {"RSET", "command", run_rset, IN_ANY, true, false},
    {"NOOP", "command", run_noop, IN_ANY, false, false},
    {"QUIT", "command", run_quit, IN_ANY, true, false},
    {"VRFY", "command", run_vrfy, IN_ANY, false, true},
    {"EXPN", "command", run_expn, IN_ANY, false, true},
    {"HELP", "command", run_help, IN_ANY, false, false},
    {"BDAT", "data", run_foreign, IN_ANY, false, false},
    {"GET", "command", run_foreign, IN_ANY, false, false},
    {"PUT", "command", run_foreign, IN_ANY, false, false},
    {"POST", "command", run_foreign, IN_ANY, false, false},
    {"HEAD", "command", run_foreign, IN_ANY, false, false},
    {"OPTIONS", "command", run_foreign, IN_ANY, false, false},
    {"CONNECT", "command", run_foreign, IN_ANY, false, false},
};

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
	static const struct reply hello = {503, {5, 5, 1}, {(const uint8_t *)"EHLO first", 10}};
	static const struct reply mail = {503, {5, 5, 1}, {(const uint8_t *)"MAIL first", 10}};
	static const struct reply nested = {
	    503, {5, 5, 1}, {(const uint8_t *)"MAIL was given", 14}};
	const struct reply *r = &mail;

	if (s->state == SERVER_S_START)
		r = &hello;
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

/* Input behind such a line was not written by who will read the reply to it, or too soon. */
static bool ends_group(const struct verb *v)
{
	return v->run == run_data || v->run == server_run_starttls;
}

static void expel_early(struct server *s, const struct verb *v)
{
	if (v->run == run_data)
		server_expel(s, &REPLY(554, 5, 5, 0, "Content before it was asked for"), v->stage,
		    "early_data");
	else
		server_expel(
		    s, &REPLY(554, 5, 5, 0, "Commands behind STARTTLS"), v->stage, "early_tls");
}

/* RFC 3207 section 4. */
static bool lacks_tls(const struct server *s, const struct verb *v)
{
	return v->guarded && s->config->need_tls && !s->tls && s->state != SERVER_S_START;
}

static void run(struct server *s, const struct verb *v, struct span args)
{
	if (v->bare && args.n)
		bad_argument(s, v->stage);
	else if (lacks_tls(s, v))
		server_refuse(s, &REPLY(530, 5, 7, 0, "Must issue a STARTTLS command first"),
		    v->stage, "no_tls");
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
	else if (!server_plain(line))
		server_refuse(s, &REPLY(500, 5, 5, 2, "Octet not allowed"), "command", "octet");
	else if (v == NULL)
		server_refuse(s, &REPLY(500, 5, 5, 1, "Command not known"), "command", "unknown");
	else if (waiting && ends_group(v))
		expel_early(s, v);
	else
		run(s, v, args);
}
