#include "smtp/sasl-private.h"

#include "base/utf8.h"

enum { SASL_MAGIC = GW_MAGIC('S', 'a', 's', 'l') };

const struct sasl_row sasl_rows[SASL_COUNT] = {
#define MECHANISM(id, name, rfc, doc) [SASL_##id] = {name, rfc, doc},
#include "smtp/sasl.def"
#undef MECHANISM
};

int sasl_find(struct span name)
{
	for (int i = 0; i < SASL_COUNT; i++) {
		if (span_eq_case(name, span_str(sasl_rows[i].name)))
			return i;
	}
	return -1;
}

static struct span bind_copy(uint8_t to[SASL_BINDING_MAX], struct span from)
{
	gw_assert(from.n <= SASL_BINDING_MAX);
	if (from.n)
		memcpy(to, from.p, from.n);
	return span_of(to, from.n);
}

void sasl_init(struct sasl *s, enum sasl_mechanism m, const struct sasl_binding *b,
    const uint8_t nonce[SASL_NONCE])
{
	*s = (struct sasl){.magic = SASL_MAGIC, .mechanism = m, .offered = b->offered, .why = ""};
	s->exporter = bind_copy(s->binding[0], b->exporter);
	s->unique = bind_copy(s->binding[1], b->unique);
	memcpy(s->nonce, nonce, SASL_NONCE);
	buf_init(&s->name, SASL_NAME_MAX);
	buf_init(&s->secret, SASL_EVIDENCE_MAX);
	buf_init(&s->proof, SASL_BINDING_MAX);
	buf_init(&s->message, SASL_MESSAGE_MAX);
	buf_init(&s->bare, SASL_MESSAGE_MAX);
	buf_init(&s->bind, SASL_MESSAGE_MAX + SASL_BINDING_MAX);
}

void sasl_fini(struct sasl *s)
{
	gw_check_magic(s, SASL_MAGIC);
	buf_wipe(&s->name);
	buf_wipe(&s->secret);
	buf_wipe(&s->proof);
	buf_wipe(&s->message);
	buf_wipe(&s->bare);
	buf_wipe(&s->bind);
	explicit_bzero(s, sizeof(*s));
}

enum sasl_step sasl_end(struct sasl *s, enum sasl_step step, const char *why)
{
	s->state = SASL_S_OVER;
	s->why = why;
	return step;
}

bool sasl_keep(struct buf *b, struct span octets, size_t max)
{
	if (octets.n > max)
		return false;
	buf_clear(b);
	if (buf_room(b, max) == NULL)
		return false;
	return buf_add_span(b, octets) == 0;
}

bool sasl_text(struct span s)
{
	uint32_t point;

	for (size_t n; s.n > 0; s = span_skip(s, n)) {
		n = utf8_take(s, &point);
		if (n == 0 || point < ' ' || point == 0x7f)
			return false;
	}
	return true;
}

static enum sasl_step challenge(struct sasl *s, struct span text, enum sasl_state next)
{
	s->state = next;
	return sasl_keep(&s->message, text, SASL_MESSAGE_MAX)
		   ? SASL_CHALLENGE
		   : sasl_end(s, SASL_MALFORMED, "Too long");
}

static bool keep_name(struct sasl *s, struct span name)
{
	return name.n > 0 && sasl_text(name) && sasl_keep(&s->name, name, SASL_NAME_MAX);
}

static enum sasl_step ask_password(struct sasl *s, struct span password)
{
	if (password.n == 0 || span_find(password, 0) >= 0 ||
	    !sasl_keep(&s->secret, password, SASL_SECRET_MAX))
		return sasl_end(s, SASL_MALFORMED, "Not a password");
	return sasl_end(s, SASL_ASK_PASSWORD, "");
}

/* [authzid] NUL authcid NUL passwd, RFC 4616 section 2. */
static enum sasl_step plain(struct sasl *s, struct span message)
{
	ptrdiff_t nul = span_find(message, 0);
	struct span authzid, name, rest;

	if (nul < 0)
		return sasl_end(s, SASL_MALFORMED, "Not of the form of PLAIN");
	authzid = span_first(message, (size_t)nul);
	rest = span_skip(message, authzid.n + 1);
	nul = span_find(rest, 0);
	if (nul < 0)
		return sasl_end(s, SASL_MALFORMED, "Not of the form of PLAIN");
	name = span_first(rest, (size_t)nul);
	if (!sasl_text(authzid) || !keep_name(s, name))
		return sasl_end(s, SASL_MALFORMED, "Not a name");
	if (authzid.n > 0 && !span_eq_case(authzid, name))
		return sasl_end(s, SASL_REFUSED, "A login is for oneself only");
	return ask_password(s, span_skip(rest, name.n + 1));
}

static enum sasl_step login_name(struct sasl *s, struct span message)
{
	if (!keep_name(s, message))
		return sasl_end(s, SASL_MALFORMED, "Not a name");
	return challenge(s, SPAN("Password:"), SASL_S_LOGIN_SECRET);
}

enum sasl_step sasl_start(struct sasl *s)
{
	gw_check_magic(s, SASL_MAGIC);
	gw_assert(s->state == SASL_S_FIRST);
	return challenge(
	    s, s->mechanism == SASL_LOGIN ? SPAN("Username:") : SPAN_NONE, SASL_S_FIRST);
}

static enum sasl_step first(struct sasl *s, struct span message)
{
	switch (s->mechanism) {
	case SASL_PLAIN: return plain(s, message);
	case SASL_LOGIN: return login_name(s, message);
	default: return scram_first(s, message);
	}
}

enum sasl_step sasl_feed(struct sasl *s, struct span message)
{
	gw_check_magic(s, SASL_MAGIC);
	if (message.n > SASL_MESSAGE_MAX)
		return sasl_end(s, SASL_MALFORMED, "Too long");
	switch ((enum sasl_state)s->state) {
	case SASL_S_FIRST: return first(s, message);
	case SASL_S_LOGIN_SECRET: return ask_password(s, message);
	case SASL_S_SCRAM_FINAL: return scram_final(s, message);
	case SASL_S_SCRAM_HEARD:
		return message.n == 0 ? sasl_end(s, SASL_DONE, "")
				      : sasl_end(s, SASL_MALFORMED, "More than was asked for");
	default: return sasl_end(s, SASL_MALFORMED, "Out of turn");
	}
}

struct span sasl_message(const struct sasl *s)
{
	return buf_view(&s->message);
}

struct span sasl_name(const struct sasl *s)
{
	return buf_view(&s->name);
}

struct span sasl_secret(const struct sasl *s)
{
	return buf_view(&s->secret);
}

struct span sasl_proof(const struct sasl *s)
{
	return buf_view(&s->proof);
}

const char *sasl_why(const struct sasl *s)
{
	return s->why;
}
