#include "cmd/send_login.h"

#include "cmd/flags.h"
#include "cmd/password.h"
#include "cmd/send_auth.h"
#include "cmd/terminal.h"
#include "smtp/sasl.h"

enum { PORT_SMTP = 25, PORT_SUBMISSION = 587, PORT_SUBMISSIONS = 465 };

/* ---- flags ------------------------------------------------------------------------------------
 */

static int take_when(struct send_login *l)
{
	static const char *const words[] = {"off", "opportunistic", "require", "implicit"};

	l->when = l->user != NULL || l->verify ? SEND_TLS_REQUIRE : SEND_TLS_OPPORTUNISTIC;
	if (l->tls == NULL)
		return CMD_OK;
	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (strcmp(l->tls, words[i]) == 0) {
			/* Where TLS is a must, trying for it is not enough. */
			if (i != SEND_TLS_OPPORTUNISTIC)
				l->when = (enum send_tls_when)i;
			return CMD_OK;
		}
	}
	return flags_usage(
	    "send", "--tls is off, opportunistic, require or implicit, not '%s'", l->tls);
}

static int take_mechanism(struct send_login *l)
{
	l->mechanism = -1;
	if (l->mech == NULL)
		return CMD_OK;
	if (l->user == NULL)
		return flags_usage("send", "--auth-mech needs --auth USER");
	l->mechanism = sasl_find(span_str(l->mech));
	if (l->mechanism < 0)
		return flags_usage("send",
		    "--auth-mech '%s' is not known: PLAIN, LOGIN, SCRAM-SHA-256, "
		    "SCRAM-SHA-256-PLUS",
		    l->mech);
	return CMD_OK;
}

static int check(const struct send_login *l)
{
	if (l->verify && l->insecure)
		return flags_usage("send", "--tls-verify and --tls-insecure exclude each other");
	if (l->when == SEND_TLS_OFF && (l->verify || l->insecure || l->ca_file != NULL))
		return flags_usage("send", "without TLS there is no certificate");
	if (l->user == NULL && l->password_file != NULL)
		return flags_usage("send", "--password-file needs --auth USER");
	if (l->user != NULL && (*l->user == '\0' || strlen(l->user) > SASL_NAME_MAX))
		return flags_usage("send", "--auth takes a name of 1 to %d octets", SASL_NAME_MAX);
	return CMD_OK;
}

static int take_password(struct send_login *l)
{
	char prompt[SASL_NAME_MAX + 32];

	if (l->user == NULL)
		return CMD_OK;
	snprintf(prompt, sizeof(prompt), "Password of %s: ", l->user);
	return password_get("send", l->password_file, "GODWIT_PASSWORD", prompt, &l->password) < 0
		   ? CMD_NOT_FOUND
		   : CMD_OK;
}

int send_login_prepare(struct send_login *l)
{
	int code = take_when(l);

	if (code == CMD_OK)
		code = take_mechanism(l);
	if (code == CMD_OK)
		code = check(l);
	return code == CMD_OK ? take_password(l) : code;
}

void send_login_fini(struct send_login *l)
{
	buf_wipe(&l->password);
}

uint16_t send_login_port(const struct send_login *l)
{
	if (l->when == SEND_TLS_IMPLICIT)
		return PORT_SUBMISSIONS;
	return l->user != NULL ? PORT_SUBMISSION : PORT_SMTP;
}

/* ---- the connection ---------------------------------------------------------------------------
 */

static int tls_failed(const struct send_session *s)
{
	fprintf(stderr, "godwit send: %s\n", s->why.text);
	return CMD_AWAY;
}

static int not_logged_in(const struct send_login *l, const struct send_session *s)
{
	struct buf b;

	buf_init(&b, 8192);
	buf_addf(&b, "godwit send: no login as %s: ", l->user);
	if (s->why.code != 0)
		buf_addf(&b, "%u ", s->why.code);
	terminal_text(&b, span_str(s->why.text), 0);
	fprintf(stderr, "%.*s\n", SPAN_ARG(buf_view(&b)));
	buf_fini(&b);
	return s->why.code / 100 == 4 ? CMD_NO : CMD_NEVER;
}

static int start_tls(
    const struct send_login *l, struct send_session *s, const struct send_tls_wish *wish)
{
	bool offered = client_extensions(s->engine) & EXT_BIT(STARTTLS);

	if (l->when == SEND_TLS_OFF || l->when == SEND_TLS_IMPLICIT)
		return CMD_OK;
	if (offered && !send_session_starttls(s, wish))
		return tls_failed(s);
	if (s->tls != NULL || l->when == SEND_TLS_OPPORTUNISTIC)
		return CMD_OK;
	fprintf(stderr, "godwit send: the server %s\n",
	    offered ? "does not start TLS now" : "offers no TLS");
	return CMD_AWAY;
}

/* A port that wants TLS first waits for us, as we for it. */
static int not_greeted(const struct send_session *s, const char *host, uint16_t port)
{
	if (s->tls == NULL && !s->heard)
		fprintf(stderr,
		    "godwit send: %s port %u says nothing; --tls implicit is for ports that want "
		    "TLS from the first octet\n",
		    host, port);
	return CMD_OK;
}

int send_login_greet(const struct send_login *l, struct send_session *s, const char *host,
    uint16_t port, int64_t timeout)
{
	struct send_tls_wish wish = {.host = host,
	    .ca_file = l->ca_file,
	    .verify = l->verify || (l->user != NULL && !l->insecure),
	    .timeout = timeout};
	bool implicit =
	    l->when == SEND_TLS_IMPLICIT || (l->tls == NULL && port == PORT_SUBMISSIONS);
	int code;

	if (implicit && !send_session_tls(s, &wish))
		return tls_failed(s);
	if (!send_session_greet(s))
		return not_greeted(s, host, port);
	code = s->tls == NULL ? start_tls(l, s, &wish) : CMD_OK;
	if (code != CMD_OK || l->user == NULL)
		return code;
	if (!send_auth(s, l->user, buf_view(&l->password), l->mechanism))
		return not_logged_in(l, s);
	return CMD_OK;
}
