#include "cmd/send_auth.h"

#include "auth/sasl_client.h"
#include "base/base64.h"
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

/* ---- the exchange ------------------------------------------------------------------------------
 */

static const enum sasl_mechanism names[LOGIN_MECHANISMS] = {
    [LOGIN_SCRAM_PLUS] = SASL_SCRAM_SHA_256_PLUS,
    [LOGIN_SCRAM] = SASL_SCRAM_SHA_256,
    [LOGIN_PLAIN] = SASL_PLAIN,
    [LOGIN_LOGIN] = SASL_LOGIN};

/* The text of the answer, decoded; false: it is not base64. What LOGIN asks with means nothing, and
 * some servers do not encode it. */
static bool decode(const struct send_session *s, const struct sasl_client *c, struct buf *to)
{
	buf_clear(to);
	return c->mechanism == LOGIN_LOGIN ||
	       base64_decode(span_trim(buf_view(&s->answer)), to) == 0;
}

static bool go_on(struct send_session *s, struct sasl_client *c, struct buf *in, struct buf *out)
{
	const char *fault;

	while (!s->closed && s->answer_code == 334) {
		if (!decode(s, c, in))
			return wrong(s, "the server's challenge is not base64");
		buf_clear(out);
		fault = sasl_client_answer(c, buf_view(in), out);
		if (fault != NULL)
			return wrong(s, fault);
		(void)say(s, NULL, buf_view(out));
	}
	if (s->closed || s->answer_code != 235)
		return false;
	return sasl_client_proven(c) ||
	       wrong(s, "the server does not prove that it knows the password");
}

static bool begin(struct send_session *s, struct sasl_client *c, struct buf *in, struct buf *out)
{
	char command[64];

	snprintf(command, sizeof(command), "AUTH %s", login_name(c->mechanism));
	(void)!buf_room(out, MESSAGE_BYTES);
	if (sasl_client_first(c, out))
		(void)say(s, command, buf_view(out));
	else
		(void)!send_session_say(s, span_str(command), NULL);
	return go_on(s, c, in, out);
}

static bool exchange(struct send_session *s, const struct login_wish *w)
{
	struct sasl_client c;
	struct buf in, out;
	const char *fault = sasl_client_init(&c, w);
	bool good;

	buf_init(&in, SEND_ANSWER_MAX);
	buf_init(&out, MESSAGE_BYTES);
	good = fault == NULL ? begin(s, &c, &in, &out) : wrong(s, fault);
	sasl_client_fini(&c);
	buf_fini(&in);
	buf_wipe(&out);
	return good;
}

/* ---- which ------------------------------------------------------------------------------------
 */

static uint32_t offers(const struct send_session *s)
{
	uint32_t offered = client_mechanisms(s->engine), all = 0;

	for (int m = 0; m < LOGIN_MECHANISMS; m++) {
		if (offered & UINT32_C(1) << names[m])
			all |= LOGIN_BIT(m);
	}
	return all;
}

static uint32_t wanted(int mechanism)
{
	for (int m = 0; m < LOGIN_MECHANISMS; m++) {
		if ((int)names[m] == mechanism)
			return LOGIN_BIT(m);
	}
	return UINT32_MAX;
}

bool send_auth(struct send_session *s, const char *user, struct span password, int mechanism)
{
	uint32_t offered = offers(s);
	struct login_binding binding = {.n = 0};
	struct login_wish w = {.user = span_str(user),
	    .password = password,
	    .tls = s->tls != NULL,
	    .plus_offered = offered & LOGIN_BIT(LOGIN_SCRAM_PLUS),
	    .binding = &binding};
	int best;

	if (s->tls != NULL)
		binding.n = send_tls_binding(s->tls, &binding.name, binding.octets);
	/* Who asks for the one with binding is told what it lacks. */
	best = login_best(offered, wanted(mechanism), mechanism >= 0 || binding.n > 0);
	if (best < 0)
		return wrong(s, offered == 0 ? "the server offers no login that godwit send knows"
					     : "the server does not offer this mechanism");
	w.mechanism = (enum login_mechanism)best;
	if (getrandom(w.random, sizeof(w.random), 0) != (ssize_t)sizeof(w.random))
		die("no random bytes");
	return exchange(s, &w);
}
