/* The messages of SCRAM, RFC 5802 section 7. What is computed over them is not known here. */
#include "smtp/sasl-private.h"

#include "base/base64.h"

enum { PROOF_OCTETS = 32, NONCE_MAX = 512, SALT_MAX = 256 };

static enum sasl_step malformed(struct sasl *s)
{
	return sasl_end(s, SASL_MALFORMED, "Not of the form of SCRAM");
}

/* Up to the next comma, which is taken too; false: there is none. */
static bool take_part(struct span *rest, struct span *part)
{
	ptrdiff_t comma = span_find(*rest, ',');

	if (comma < 0)
		return false;
	*part = span_first(*rest, (size_t)comma);
	*rest = span_skip(*rest, (size_t)comma + 1);
	return true;
}

static struct span up_to_comma(struct span s)
{
	ptrdiff_t comma = span_find(s, ',');

	return comma < 0 ? s : span_first(s, (size_t)comma);
}

/* The value of "k=value"; false: it is another attribute. */
static bool attribute(struct span part, uint8_t key, struct span *value)
{
	if (part.n < 2 || part.p[0] != key || part.p[1] != '=')
		return false;
	*value = span_skip(part, 2);
	return true;
}

/* saslname: "=2C" and "=3D" stand for a comma and an equals sign, no other "=" may stand there. */
static bool unescape_name(struct span in, struct buf *out)
{
	buf_clear(out);
	if (in.n == 0 || !sasl_text(in))
		return false;
	while (in.n > 0) {
		struct span code = span_first(in, 3);
		bool comma = span_eq(code, SPAN("=2C")), equals = span_eq(code, SPAN("=3D"));

		if (in.p[0] == '=' && !comma && !equals)
			return false;
		if (buf_add_byte(out, comma ? ',' : (equals ? '=' : in.p[0])) != 0)
			return false;
		in = span_skip(in, comma || equals ? 3 : 1);
	}
	return true;
}

static bool printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ',')
			return false;
	}
	return s.n > 0;
}

/* Extensions behind what we know are attributes of some kind: ignored, but for "m", which says that
 * they may not be (section 5.1). */
static bool extensions_valid(struct span rest)
{
	while (rest.n > 0) {
		struct span part = up_to_comma(span_skip(rest, 1));

		if (rest.p[0] != ',' || part.n < 3 || !ascii_isalpha(part.p[0]) ||
		    part.p[0] == 'm' || part.p[1] != '=' || !sasl_text(part))
			return false;
		rest = span_skip(rest, 1 + part.n);
	}
	return true;
}

/* The binding of that kind; n == 0: we have none. */
static struct span binding_of(const struct sasl *s, struct span kind)
{
	if (span_eq(kind, SPAN("tls-exporter")))
		return s->exporter;
	if (span_eq(kind, SPAN("tls-unique")))
		return s->unique;
	return SPAN_NONE;
}

/*
 * gs2-cbind-flag, section 6. "y": the client could bind but saw no -PLUS; if it was in our list,
 * somebody took it out. SASL_CHALLENGE: it is all right, and *binding is what c= ends with.
 */
static enum sasl_step judge_flag(struct sasl *s, struct span flag, struct span *binding)
{
	bool plus = s->mechanism == SASL_SCRAM_SHA_256_PLUS;
	struct span kind;

	*binding = SPAN_NONE;
	if (attribute(flag, 'p', &kind)) {
		if (!plus)
			return sasl_end(s, SASL_REFUSED, "A binding is for -PLUS");
		*binding = binding_of(s, kind);
		return binding->n > 0
			   ? SASL_CHALLENGE
			   : sasl_end(s, SASL_REFUSED, "No channel binding of that kind");
	}
	if (!span_eq(flag, SPAN("n")) && !span_eq(flag, SPAN("y")))
		return malformed(s);
	if (plus)
		return sasl_end(s, SASL_REFUSED, "-PLUS needs a channel binding");
	if (flag.p[0] == 'y' && s->offered)
		return sasl_end(s, SASL_REFUSED, "-PLUS was offered; was it hidden from you?");
	return SASL_CHALLENGE;
}

/* "n=user,r=nonce" and extensions; the nonce goes in front of ours into the message. */
static enum sasl_step take_bare(struct sasl *s, struct span bare)
{
	struct span part, nonce, name, rest = bare;

	if (span_starts(bare, SPAN("m=")))
		return sasl_end(s, SASL_REFUSED, "No extension is known");
	if (!take_part(&rest, &part) || !attribute(part, 'n', &name))
		return malformed(s);
	if (!unescape_name(name, &s->name))
		return sasl_end(s, SASL_MALFORMED, "Not a name");
	part = up_to_comma(rest);
	rest = span_skip(rest, part.n);
	if (!attribute(part, 'r', &nonce) || nonce.n > NONCE_MAX || !printable(nonce) ||
	    !extensions_valid(rest))
		return malformed(s);
	s->nonces = nonce.n + SASL_NONCE;
	buf_clear(&s->message);
	buf_add_str(&s->message, "r=");
	buf_add_span(&s->message, nonce);
	buf_add(&s->message, s->nonce, SASL_NONCE);
	return sasl_keep(&s->bare, bare, SASL_MESSAGE_MAX) ? SASL_ASK_SALT : malformed(s);
}

/* "a=name" of the GS2 header: empty, or who logs in. */
static bool authzid_good(struct sasl *s, struct span authzid)
{
	struct span name;
	struct buf plain;
	bool good;

	if (authzid.n == 0)
		return true;
	buf_init(&plain, SASL_NAME_MAX);
	good = attribute(authzid, 'a', &name) && unescape_name(name, &plain) &&
	       span_eq_case(buf_view(&plain), buf_view(&s->name));
	buf_fini(&plain);
	return good;
}

enum sasl_step scram_first(struct sasl *s, struct span message)
{
	struct span flag, authzid, binding, rest = message;
	enum sasl_step step;

	if (!take_part(&rest, &flag) || !take_part(&rest, &authzid))
		return malformed(s);
	step = judge_flag(s, flag, &binding);
	if (step != SASL_CHALLENGE)
		return step;
	step = take_bare(s, rest);
	if (step != SASL_ASK_SALT)
		return step;
	if (!authzid_good(s, authzid))
		return sasl_end(s, SASL_REFUSED, "A login is for oneself only");
	buf_clear(&s->bind);
	buf_add_span(&s->bind, span_first(message, message.n - rest.n));
	buf_add_span(&s->bind, binding);
	s->state = SASL_S_SCRAM_SALT;
	return SASL_ASK_SALT;
}

enum sasl_step sasl_salt(struct sasl *s, struct span salt, uint32_t iterations)
{
	gw_assert(s->state == SASL_S_SCRAM_SALT && salt.n <= SALT_MAX);
	buf_add_str(&s->message, ",s=");
	base64_encode(salt, &s->message);
	buf_addf(&s->message, ",i=%u", iterations);
	gw_assert(!buf_failed(&s->message));
	s->state = SASL_S_SCRAM_FINAL;
	return SASL_CHALLENGE;
}

/* "c=base64" has to be what the first message said, and the binding of this connection. */
static bool binding_good(const struct sasl *s, struct span value)
{
	struct buf octets;
	bool good;

	buf_init(&octets, SASL_MESSAGE_MAX + SASL_BINDING_MAX);
	good = base64_decode(value, &octets) == 0 && span_eq(buf_view(&octets), buf_view(&s->bind));
	buf_wipe(&octets);
	return good;
}

/* AuthMessage, section 3: both first messages and this one without its proof. */
static bool keep_evidence(struct sasl *s, struct span without_proof)
{
	buf_clear(&s->secret);
	buf_add_span(&s->secret, buf_view(&s->bare));
	buf_add_byte(&s->secret, ',');
	buf_add_span(&s->secret, buf_view(&s->message));
	buf_add_byte(&s->secret, ',');
	return buf_add_span(&s->secret, without_proof) == 0;
}

static bool keep_proof(struct sasl *s, struct span value)
{
	buf_clear(&s->proof);
	return base64_decode(value, &s->proof) == 0 && buf_len(&s->proof) == PROOF_OCTETS;
}

/* Where ",p=" stands, which is the last attribute; -1. */
static ptrdiff_t find_proof(struct span message)
{
	for (size_t i = message.n; i >= 3; i--) {
		if (span_eq(span_of(message.p + i - 3, 3), SPAN(",p=")))
			return (ptrdiff_t)i - 3;
	}
	return -1;
}

enum sasl_step scram_final(struct sasl *s, struct span message)
{
	ptrdiff_t at = find_proof(message);
	struct span rest, part, c, nonce, ours;

	if (at < 0)
		return malformed(s);
	rest = span_first(message, (size_t)at);
	if (!take_part(&rest, &part) || !attribute(part, 'c', &c))
		return malformed(s);
	part = up_to_comma(rest);
	if (!attribute(part, 'r', &nonce) || !extensions_valid(span_skip(rest, part.n)))
		return malformed(s);
	if (!binding_good(s, c))
		return sasl_end(s, SASL_REFUSED, "Another channel binding");
	ours = span_first(span_skip(buf_view(&s->message), 2), s->nonces);
	if (!span_eq(nonce, ours))
		return sasl_end(s, SASL_REFUSED, "Another nonce");
	if (!keep_proof(s, span_skip(message, (size_t)at + 3)))
		return sasl_end(s, SASL_MALFORMED, "Not a proof");
	if (!keep_evidence(s, span_first(message, (size_t)at)))
		return malformed(s);
	s->state = SASL_S_SCRAM_SIGN;
	return SASL_ASK_PROOF;
}

enum sasl_step sasl_signature(struct sasl *s, struct span signature)
{
	gw_assert(s->state == SASL_S_SCRAM_SIGN && signature.n <= SASL_BINDING_MAX);
	buf_clear(&s->message);
	buf_add_str(&s->message, "v=");
	base64_encode(signature, &s->message);
	s->state = SASL_S_SCRAM_HEARD;
	return SASL_CHALLENGE;
}
