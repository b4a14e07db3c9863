/* What may stand behind the path of MAIL and RCPT: the parameters of the extensions. */
#include "smtp/server-private.h"

#include "base/rfc3339.h"
#include "mail/mt_priority.h"
#include "smtp/xtext.h"

enum { MAIL_AUTH_MAX = 512, HOLDFOR_DIGITS = 9, BY_DIGITS = 9 };

struct parameter {
	struct span keyword, value;
	bool has_value;
};

static bool keyword_byte(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c) || c == '-';
}

/*
 * The next " KEYWORD[=value]" of the rest of a MAIL or RCPT command:
 * 1, 0 at the end, GW_EFORMAT. Controls were refused with the line.
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

/* ---- one function for each: NULL, or what it has to be ----------------------------------------
 */

/* RFC 1870: up to 20 digits, which may be more than we can count. */
static const char *take_size(const struct server *s, struct server_event *ev, struct span value)
{
	static const char wrong[] = "SIZE is a number of octets";

	(void)s;
	if (span_to_u64(value, &ev->size) == 0)
		return NULL;
	for (size_t i = 0; i < value.n; i++) {
		if (!ascii_isdigit(value.p[i]))
			return wrong;
	}
	ev->size = UINT64_MAX;
	return value.n == 20 ? NULL : wrong;
}

static const char *take_body(const struct server *s, struct server_event *ev, struct span value)
{
	if (span_eq_case(value, SPAN("8BITMIME")))
		ev->body_type = BODY_8BITMIME;
	else if (span_eq_case(value, SPAN("BINARYMIME")) && server_offers(s, EXT_BINARYMIME))
		ev->body_type = BODY_BINARYMIME;
	else if (!span_eq_case(value, SPAN("7BIT")))
		return "BODY is 7BIT, 8BITMIME, or BINARYMIME where EHLO names it";
	return NULL;
}

/* RFC 4954 section 5: who sent it first, "<>" or a mailbox. Read and not believed. */
static const char *take_auth(const struct server *s, struct server_event *ev, struct span value)
{
	struct buf path;
	struct address address;
	const char *why;
	bool good;

	(void)s;
	(void)ev;
	if (span_eq(value, SPAN("<>")))
		return NULL;
	buf_init(&path, MAIL_AUTH_MAX);
	buf_add_byte(&path, '<');
	good = xtext_decode(value, &path) == 0 && buf_add_byte(&path, '>') == 0;
	if (good) {
		struct span rest = buf_view(&path);

		good = address_parse_path(&rest, true, NULL, &address, &why) == 0 && rest.n == 0;
	}
	buf_fini(&path);
	return good ? NULL : "AUTH is <> or an address, in xtext";
}

static const char *take_ret(const struct server *s, struct server_event *ev, struct span value)
{
	(void)s;
	if (span_eq_case(value, SPAN("FULL")))
		ev->ret = RET_FULL;
	else if (span_eq_case(value, SPAN("HDRS")))
		ev->ret = RET_HDRS;
	else
		return "RET is FULL or HDRS";
	return NULL;
}

static const char *take_envid(const struct server *s, struct server_event *ev, struct span value)
{
	struct buf text;
	bool good;

	(void)s;
	buf_init(&text, XTEXT_ENVID_MAX);
	good = value.n <= XTEXT_ENVID_MAX && xtext_decode(value, &text) == 0;
	buf_fini(&text);
	ev->envid = value;
	return good ? NULL : "ENVID is xtext of 100 octets at most";
}

static uint8_t notify_bit(struct span word)
{
	static const struct {
		struct span word;
		uint8_t bit;
	} words[] = {{{(const uint8_t *)"NEVER", 5}, NOTIFY_NEVER},
	    {{(const uint8_t *)"SUCCESS", 7}, NOTIFY_SUCCESS},
	    {{(const uint8_t *)"FAILURE", 7}, NOTIFY_FAILURE},
	    {{(const uint8_t *)"DELAY", 5}, NOTIFY_DELAY}};

	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (span_eq_case(word, words[i].word))
			return words[i].bit;
	}
	return 0;
}

/* RFC 3461 section 4.1: NEVER stands alone. A word that stands twice says nothing new. */
static const char *take_notify(const struct server *s, struct server_event *ev, struct span value)
{
	static const char wrong[] = "NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY";

	(void)s;
	for (;;) {
		ptrdiff_t comma = span_find(value, ',');
		uint8_t bit = notify_bit(comma < 0 ? value : span_first(value, (size_t)comma));

		if (bit == 0 || (ev->notify != 0 && ((ev->notify | bit) & NOTIFY_NEVER)))
			return wrong;
		ev->notify |= bit;
		if (comma < 0)
			return NULL;
		value = span_skip(value, (size_t)comma + 1);
	}
}

static const char *take_orcpt(const struct server *s, struct server_event *ev, struct span value)
{
	struct buf text;
	bool good;

	buf_init(&text, XTEXT_ORCPT_MAX);
	good = value.n <= XTEXT_ORCPT_MAX && orcpt_decode(value, s->smtputf8, &text) == 0;
	buf_fini(&text);
	ev->orcpt = value;
	return good ? NULL : "ORCPT is a type, a semicolon and xtext, of 500 octets at most";
}

static const char *take_smtputf8(const struct server *s, struct server_event *ev, struct span value)
{
	(void)s;
	ev->smtputf8 = true;
	return value.n == 0 ? NULL : "SMTPUTF8 takes no value";
}

/* RFC 6710 section 3: -9 to 9, without a plus, and "-0" is none. */
static const char *take_priority(const struct server *s, struct server_event *ev, struct span value)
{
	(void)s;
	ev->handling.mt_priority = mt_priority_parse(value);
	return ev->handling.mt_priority != 0 ? NULL : "MT-PRIORITY is a number from -9 to 9";
}

/* RFC 2852 section 4: seconds of up to nine digits, which may be gone already. */
static bool by_time(struct span text, int32_t *seconds)
{
	bool less = text.n > 0 && text.p[0] == '-';
	uint64_t n;

	text = span_skip(text, less || (text.n > 0 && text.p[0] == '+'));
	if (text.n > BY_DIGITS || span_to_u64(text, &n) < 0)
		return false;
	*seconds = less ? -(int32_t)n : (int32_t)n;
	return true;
}

static enum deliver_by by_mode(struct span letters)
{
	if (letters.n == 2 && !span_eq_case(span_skip(letters, 1), SPAN("T")))
		return BY_NONE;
	if (letters.n != 1 && letters.n != 2)
		return BY_NONE;
	letters = span_first(letters, 1);
	if (span_eq_case(letters, SPAN("R")))
		return BY_RETURN;
	return span_eq_case(letters, SPAN("N")) ? BY_NOTIFY : BY_NONE;
}

static const char *take_by(const struct server *s, struct server_event *ev, struct span value)
{
	ptrdiff_t semicolon = span_find(value, ';');
	struct span letters = span_skip(value, (size_t)(semicolon + 1));

	(void)s;
	ev->handling.by = semicolon < 0 ? BY_NONE : by_mode(letters);
	if (ev->handling.by == BY_NONE ||
	    !by_time(span_first(value, (size_t)semicolon), &ev->by_time))
		return "BY is seconds, a semicolon, R or N, and perhaps T";
	ev->handling.by_trace = letters.n == 2;
	if (ev->handling.by == BY_RETURN && ev->by_time <= 0)
		return "BY with R needs time that is not over";
	return NULL;
}

static const char *take_requiretls(
    const struct server *s, struct server_event *ev, struct span value)
{
	(void)s;
	ev->handling.require_tls = true;
	return value.n == 0 ? NULL : "REQUIRETLS takes no value";
}

/* RFC 4865 section 4: the time of release, on the wall clock. One parameter says it. */
static const char *hold_until(const struct server *s, struct server_event *ev, int64_t until)
{
	int64_t now = s->now + s->config->wall_ahead;

	if (ev->handling.hold_until != 0)
		return "HOLDFOR and HOLDUNTIL are one parameter";
	if (until <= now)
		return "HOLDUNTIL is over already";
	if (until - now > s->config->future_release)
		return "No message is kept for so long; EHLO names the limit";
	ev->handling.hold_until = until;
	return NULL;
}

static const char *take_holdfor(const struct server *s, struct server_event *ev, struct span value)
{
	uint64_t n;

	if (value.n > HOLDFOR_DIGITS || value.p[0] == '0' || span_to_u64(value, &n) < 0)
		return "HOLDFOR is a number of seconds, from 1 to 999999999";
	return hold_until(s, ev, s->now + s->config->wall_ahead + (int64_t)n * 1000000);
}

static const char *take_holduntil(
    const struct server *s, struct server_event *ev, struct span value)
{
	int64_t until;

	if (rfc3339_parse(value, &until) < 0)
		return "HOLDUNTIL is a time as 2026-11-22T15:00:00Z";
	return hold_until(s, ev, until);
}

static const struct row {
	const char *keyword;
	enum extension extension; /* what has to be offered for it */
	enum server_event_type command;
	const char *(*take)(const struct server *s, struct server_event *ev, struct span value);
	bool alone; /* it takes no value */
} rows[] = {
    {"SIZE", EXT_SIZE, SERVER_MAIL, take_size, false},
    {"BODY", EXT_EIGHTBITMIME, SERVER_MAIL, take_body, false},
    {"AUTH", EXT_AUTH, SERVER_MAIL, take_auth, false},
    {"RET", EXT_DSN, SERVER_MAIL, take_ret, false},
    {"ENVID", EXT_DSN, SERVER_MAIL, take_envid, false},
    {"SMTPUTF8", EXT_SMTPUTF8, SERVER_MAIL, take_smtputf8, true},
    {"REQUIRETLS", EXT_REQUIRETLS, SERVER_MAIL, take_requiretls, true},
    {"MT-PRIORITY", EXT_MT_PRIORITY, SERVER_MAIL, take_priority, false},
    {"HOLDFOR", EXT_FUTURERELEASE, SERVER_MAIL, take_holdfor, false},
    {"HOLDUNTIL", EXT_FUTURERELEASE, SERVER_MAIL, take_holduntil, false},
    {"BY", EXT_DELIVERBY, SERVER_MAIL, take_by, false},
    {"NOTIFY", EXT_DSN, SERVER_RCPT, take_notify, false},
    {"ORCPT", EXT_DSN, SERVER_RCPT, take_orcpt, false},
};

static const struct row *find_row(
    const struct server *s, struct span keyword, enum server_event_type command)
{
	for (size_t i = 0; s->esmtp && i < GW_ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		if (r->command == command && span_eq_case(keyword, span_str(r->keyword)) &&
		    server_offers(s, r->extension))
			return r;
	}
	return NULL;
}

static void unknown(struct server *s, const char *stage)
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

static void refuse(struct server *s, const char *stage, const char *why)
{
	struct reply r = REPLY(501, 5, 5, 4, "");

	r.text = span_str(why);
	server_refuse(s, &r, stage, "bad_argument");
}

/* One parameter; seen: bits of the rows that were there before. */
static bool take(struct server *s, const struct parameter *p, struct server_event *ev,
    const char *stage, unsigned *seen)
{
	const struct row *r = find_row(s, p->keyword, ev->type);
	const char *why;

	if (r == NULL) {
		unknown(s, stage);
		return false;
	}
	if (*seen & 1u << (r - rows))
		why = "A parameter stands twice";
	else if (!p->has_value && !r->alone)
		why = "This parameter needs a value";
	else
		why = r->take(s, ev, p->value);
	*seen |= 1u << (r - rows);
	if (why != NULL)
		refuse(s, stage, why);
	return why == NULL;
}

bool server_take_parameters(struct server *s, struct span rest, struct server_event *ev)
{
	const char *stage = ev->type == SERVER_MAIL ? "mail" : "rcpt";
	struct parameter p;
	unsigned seen = 0;
	int more;

	while ((more = take_parameter(&rest, &p)) == 1) {
		if (!take(s, &p, ev, stage, &seen))
			return false;
	}
	if (more < 0)
		server_bad_argument(s, stage);
	return more == 0;
}
