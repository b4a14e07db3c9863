/* MAIL and RCPT: paths and parameters. */
#include "smtp/server-private.h"

enum { MAIL_AUTH_MAX = 512 };

/* "FROM:" or "TO:" and the path; blanks behind the colon are forgiven. */
static bool take_path(
    struct server *s, struct span *args, struct span word, bool reverse, struct address *address)
{
	struct reply bad = REPLY(501, 5, 1, 7, "");
	const char *stage = reverse ? "mail" : "rcpt", *why = "";

	if (!span_starts_case(*args, word)) {
		server_bad_argument(s, stage);
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

static int hex_digit(uint8_t c)
{
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext, RFC 3461 section 4: "+" and two digits stand for an octet; only printable ones may come
 * out, so that nothing can be hidden in it. */
static bool xtext_decode(struct span in, struct buf *out)
{
	while (in.n > 0) {
		int c = in.p[0];

		if (c == '+') {
			int high = in.n > 2 ? hex_digit(in.p[1]) : -1;
			int low = in.n > 2 ? hex_digit(in.p[2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high * 16 + low;
			in = span_skip(in, 2);
		}
		if (c < ' ' || c > '~' || buf_add_byte(out, (uint8_t)c) != 0)
			return false;
		in = span_skip(in, 1);
	}
	return true;
}

/* RFC 4954 section 5: who sent it first, "<>" or a mailbox. Read and not believed. */
static int mail_auth(struct server_event *ev, struct span value)
{
	struct buf path;
	struct address address;
	const char *why;
	bool good;

	(void)ev;
	if (span_eq(value, SPAN("<>")))
		return 0;
	buf_init(&path, MAIL_AUTH_MAX);
	buf_add_byte(&path, '<');
	good = xtext_decode(value, &path) && buf_add_byte(&path, '>') == 0;
	if (good) {
		struct span rest = buf_view(&path);

		good = address_parse_path(&rest, true, &address, &why) == 0 && rest.n == 0;
	}
	buf_fini(&path);
	return good ? 0 : GW_EFORMAT;
}

static const struct mail_parameter {
	const char *keyword;
	enum extension extension; /* what has to be offered for it */
	int (*take)(struct server_event *ev, struct span value);
} mail_parameters[] = {
    {"SIZE", EXT_SIZE, mail_size},
    {"BODY", EXT_EIGHTBITMIME, mail_body},
    {"AUTH", EXT_AUTH, mail_auth},
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
		server_refuse(s,
		    &REPLY(
			555, 5, 5, 4, "Parameter not known; EHLO names the extensions there are"),
		    stage, "parameter");
	else
		server_refuse(
		    s, &REPLY(555, 5, 5, 4, "Parameters need EHLO, not HELO"), stage, "parameter");
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
			server_bad_argument(s, "mail");
			return false;
		}
		seen |= 1u << m->extension;
	}
	if (more < 0)
		server_bad_argument(s, "mail");
	return more == 0;
}

void server_run_mail(struct server *s, struct span args)
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
		server_refuse(s, &REPLY(552, 5, 3, 4, "Message too big; EHLO names the limit"),
		    "mail", "too_big");
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
	struct address address;
	struct parameter p;
	int more;

	if (!take_path(s, &args, SPAN("TO:"), false, &address))
		return;
	more = take_parameter(&args, &p);
	if (more == 1)
		unknown_parameter(s, "rcpt");
	else if (more < 0)
		server_bad_argument(s, "rcpt");
	else if (s->recipients_ok >= s->config->recipients)
		too_many_recipients(s);
	else
		server_ask(s, SERVER_RCPT)->address = address;
}
