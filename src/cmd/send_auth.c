#include "cmd/send_auth.h"

#include "base/base64.h"
#include "cmd/send_scram.h"
#include "smtp/sasl.h"

#include <sys/random.h>

enum { LINE_BYTES = 12288, MESSAGE_BYTES = 8192 };

static bool wrong(struct send_session *s, const char *why)
{
	s->why.code = 0;
	snprintf(s->why.text, sizeof(s->why.text), "%s", why);
	return false;
}

/* A message in base64, behind the command if there is one; the dialogue shows only that. */
static unsigned say(struct send_session *s, const char *command, struct span message)
{
	char shown[64];
	struct buf line;
	unsigned code;

	buf_init(&line, LINE_BYTES);
	(void)!buf_room(&line, LINE_BYTES);
	if (command != NULL)
		buf_addf(&line, "%s ", command);
	base64_encode(message, &line);
	snprintf(shown, sizeof(shown), "%s%s(hidden)", command ? command : "", command ? " " : "");
	code = send_session_say(s, buf_view(&line), shown);
	buf_wipe(&line);
	return code;
}

/* ---- PLAIN and LOGIN --------------------------------------------------------------------------
 */

static bool login_plain(struct send_session *s, const char *user, struct span password)
{
	struct buf message;
	unsigned code;

	buf_init(&message, MESSAGE_BYTES);
	(void)!buf_room(&message, MESSAGE_BYTES);
	buf_add_byte(&message, 0);
	buf_add_str(&message, user);
	buf_add_byte(&message, 0);
	buf_add_span(&message, password);
	code = say(s, "AUTH PLAIN", buf_view(&message));
	buf_wipe(&message);
	return code == 235;
}

static bool login_login(struct send_session *s, const char *user, struct span password)
{
	if (send_session_say(s, SPAN("AUTH LOGIN"), NULL) != 334)
		return false;
	return say(s, NULL, span_str(user)) == 334 && say(s, NULL, password) == 235;
}

/* ---- SCRAM ------------------------------------------------------------------------------------
 */

static void make_nonce(char nonce[SCRAM_CLIENT_NONCE + 1])
{
	uint8_t random[SCRAM_CLIENT_NONCE / 4 * 3];
	struct buf text;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		die("no random bytes");
	buf_init(&text, SCRAM_CLIENT_NONCE);
	base64_encode(span_of(random, sizeof(random)), &text);
	span_to_cstr(buf_view(&text), nonce, SCRAM_CLIENT_NONCE + 1);
	buf_fini(&text);
}

/* The text of the answer, decoded; false: it is not base64. */
static bool decode(const struct send_session *s, struct buf *to)
{
	buf_clear(to);
	return base64_decode(span_trim(buf_view(&s->answer)), to) == 0;
}

/* The server's proof comes with a 334 (RFC 4954 section 4), to which the answer is empty. */
static bool finish(struct send_session *s, struct scram_client *c, struct buf *in)
{
	if (!decode(s, in) || !scram_client_check(c, buf_view(in)))
		return wrong(s, "the server does not prove that it knows the password");
	return send_session_say(s, SPAN(""), NULL) == 235;
}

static bool scram_steps(struct send_session *s, struct scram_client *c, const char *command,
    struct buf *in, struct buf *out)
{
	const char *fault;

	scram_client_first(c, out);
	if (say(s, command, buf_view(out)) != 334)
		return false;
	if (!decode(s, in))
		return wrong(s, "the server's challenge is not base64");
	buf_clear(out);
	fault = scram_client_proof(c, buf_view(in), out);
	if (fault != NULL)
		return wrong(s, fault);
	if (say(s, NULL, buf_view(out)) == 235)
		return wrong(s, "the server does not prove that it knows the password");
	return s->answer_code == 334 && !s->closed && finish(s, c, in);
}

/* RFC 5802 section 6: "y" tells a server that offered the binding that its offer did not arrive. */
static void gs2_header(const struct send_session *s, bool plus, const char *binding, char to[32])
{
	bool offered = client_mechanisms(s->engine) & SASL_BIT(SCRAM_SHA_256_PLUS);

	if (plus)
		snprintf(to, 32, "p=%s,,", binding);
	else
		snprintf(to, 32, "%s,,", s->tls != NULL && !offered ? "y" : "n");
}

static bool login_scram(struct send_session *s, const char *user, struct span password, bool plus)
{
	char nonce[SCRAM_CLIENT_NONCE + 1], gs2[32];
	uint8_t octets[SEND_TLS_BINDING];
	const char *binding = "";
	struct scram_client c;
	struct buf in, out;
	size_t n = 0;
	bool good;

	if (plus && s->tls != NULL)
		n = send_tls_binding(s->tls, &binding, octets);
	if (plus && n == 0)
		return wrong(s, "SCRAM-SHA-256-PLUS needs TLS to be bound to");
	buf_init(&in, SEND_ANSWER_MAX);
	buf_init(&out, MESSAGE_BYTES);
	make_nonce(nonce);
	gs2_header(s, plus, binding, gs2);
	scram_client_init(&c, span_str(user), password, gs2, span_of(octets, n), nonce);
	good =
	    scram_steps(s, &c, plus ? "AUTH SCRAM-SHA-256-PLUS" : "AUTH SCRAM-SHA-256", &in, &out);
	scram_client_fini(&c);
	buf_fini(&in);
	buf_wipe(&out);
	return good;
}

/* ---- which ------------------------------------------------------------------------------------
 */

/* The first of sasl.def that is offered, and possible. */
static int best(const struct send_session *s)
{
	uint32_t offered = client_mechanisms(s->engine);

	for (int m = 0; m < SASL_COUNT; m++) {
		if ((offered & UINT32_C(1) << m) &&
		    (m != SASL_SCRAM_SHA_256_PLUS || s->tls != NULL))
			return m;
	}
	return -1;
}

bool send_auth(struct send_session *s, const char *user, struct span password, int mechanism)
{
	uint32_t offered = client_mechanisms(s->engine);

	if (mechanism < 0)
		mechanism = best(s);
	if (mechanism < 0 || !(offered & UINT32_C(1) << mechanism))
		return wrong(s, offered == 0 ? "the server offers no login that godwit send knows"
					     : "the server does not offer this mechanism");
	switch ((enum sasl_mechanism)mechanism) {
	case SASL_PLAIN: return login_plain(s, user, password);
	case SASL_LOGIN: return login_login(s, user, password);
	case SASL_SCRAM_SHA_256: return login_scram(s, user, password, false);
	case SASL_SCRAM_SHA_256_PLUS: return login_scram(s, user, password, true);
	case SASL_COUNT: break;
	}
	return false;
}
