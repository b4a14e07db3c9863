/* STARTTLS and AUTH in the engine. */
#include "unit/smtp/session.h"

#include "smtp/sasl.h"

static struct server_config secure(void)
{
	struct server_config c = config;

	c.starttls = true;
	c.auth = SERVER_AUTH_TLS;
	c.mechanisms = SASL_BIT(PLAIN) | SASL_BIT(LOGIN) | SASL_BIT(SCRAM_SHA_256) |
		       SASL_BIT(SCRAM_SHA_256_PLUS);
	return c;
}

static void tls(struct session *t, bool binds)
{
	say(t, "STARTTLS\r\n");
	assert_true(server_tls_due(&t->server));
	server_tls_started(&t->server, binds, t->now);
	assert_false(server_tls_due(&t->server));
	assert_true(server_has_tls(&t->server));
	replies(t);
}

/* A session under TLS, greeted again. */
static void tls_session(struct session *t, const struct server_config *c)
{
	session_start(t, c);
	say(t, "EHLO c\r\n");
	tls(t, true);
	say(t, "EHLO c\r\n");
	replies(t);
	t->logged = 0;
	memset(t->log, 0, sizeof(t->log));
}

static void a_login_step(struct session *t, uint16_t code, const char *line)
{
	t->auth_code = code;
	say(t, line);
}

static void what_is_offered(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	session_start(&t, &c);
	replies(&t);
	say(&t, "EHLO c\r\n");
	assert_non_null(strstr(t.said = replies(&t), "\r\n250 STARTTLS\r\n"));
	assert_null(strstr(t.said, "AUTH"));
	tls(&t, false);
	say(&t, "EHLO c\r\n");
	t.said = replies(&t);
	assert_null(strstr(t.said, "STARTTLS"));
	assert_non_null(strstr(t.said, "\r\n250 AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"));
	session_end(&t);
	tls_session(&t, &c);
	say(&t, "EHLO c\r\n");
	assert_non_null(
	    strstr(replies(&t), "\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n"));
	session_end(&t);
	c.auth = SERVER_AUTH_ALWAYS;
	c.starttls = false;
	session_start(&t, &c);
	say(&t, "EHLO c\r\n");
	assert_non_null(strstr(replies(&t), "\r\n250 AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"));
	session_end(&t);
}

static void implicit_tls(void **state)
{
	struct server_config c = secure();
	struct server s;
	struct server_event ev;

	(void)state;
	server_init(&s, &c, SECOND);
	assert_int_equal(server_next(&s, &ev), 1);
	server_tls_started(&s, true, SECOND);
	assert_true(server_has_tls(&s) && !server_tls_due(&s));
	server_answer(&s, &REPLY(220, 0, 0, 0, ""), SECOND);
	assert_true(span_eq(server_output(&s), SPAN("220 mx.test ESMTP\r\n")));
	server_fini(&s);
}

/* RFC 3207 section 4.2: name, transaction, login, all is forgotten. */
static void tls_forgets(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	c.auth = SERVER_AUTH_ALWAYS;
	session_start(&t, &c);
	say(&t, "EHLO c\r\n");
	a_login_step(&t, 235, "AUTH PLAIN AGEAYg==\r\n");
	assert_true(server_is_authenticated(&t.server));
	say(&t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n");
	replies(&t);
	say(&t, "STARTTLS\r\n");
	assert_string_equal(replies(&t), "220 2.0.0 words\r\n");
	assert_string_equal(t.log, "CHAMRTr");
	assert_false(server_is_authenticated(&t.server));
	assert_int_equal(server_feed(&t.server, SPAN("EHLO c\r\n"), t.now), 0);
	server_tls_started(&t.server, false, t.now);
	say(&t, "MAIL FROM:<a@b.test>\r\nDATA\r\n");
	assert_string_equal(replies(&t), "503 5.5.1 EHLO first\r\n503 5.5.1 EHLO first\r\n");
	say(&t, "EHLO c\r\n");
	replies(&t);
	say(&t, "STARTTLS\r\n");
	assert_string_equal(replies(&t), "503 5.5.1 TLS is on already\r\n");
	session_end(&t);
}

/* Who sits on the line adds a command behind STARTTLS: it must not run under TLS, nor before. */
static void injected_commands(void **state)
{
	struct server_config c = secure();
	struct session t;
	struct server_event ev;

	(void)state;
	session_start(&t, &c);
	say(&t, "EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@b.test>\r\n");
	assert_true(t.ended);
	assert_string_equal(t.reason, "early_tls");
	assert_non_null(strstr(replies(&t), "554 5.5.0"));
	assert_string_equal(t.log, "CHx.");
	session_end(&t);
	/* It came while the verdict was due, or behind our 220. */
	for (int late = 0; late < 2; late++) {
		session_start(&t, &c);
		say(&t, "EHLO c\r\n");
		assert_int_equal(server_feed(&t.server, SPAN("STARTTLS\r\n"), t.now), 10);
		assert_int_equal(server_next(&t.server, &ev), 1);
		assert_int_equal(ev.type, SERVER_TLS);
		if (late)
			server_answer(&t.server, &REPLY(220, 2, 0, 0, ""), t.now);
		server_early(&t.server, t.now);
		take_events(&t);
		assert_true(t.ended && !server_tls_due(&t.server));
		session_end(&t);
	}
}

static void a_refused_handshake_leaves_the_session(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	session_start(&t, &c);
	t.refuse_type = SERVER_TLS;
	t.refuse_with = 454;
	say(&t, ENVELOPE "STARTTLS\r\n");
	say(&t, "RCPT TO:<c@d.test>\r\n");
	assert_string_equal(t.log, "CHMRTR");
	session_end(&t);
}

/* What is neither TLS nor awaited must not be said between 220 and the handshake. */
static void nothing_is_said_before_the_handshake(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	session_start(&t, &c);
	say(&t, "EHLO c\r\nSTARTTLS\r\n");
	replies(&t);
	server_shutdown(&t.server, t.now);
	take_events(&t);
	assert_string_equal(replies(&t), "");
	t.now = server_deadline(&t.server);
	server_tick(&t.server, t.now);
	take_events(&t);
	assert_string_equal(replies(&t), "");
	assert_true(t.ended);
	session_end(&t);
	session_start(&t, &c);
	say(&t, "EHLO c\r\nSTARTTLS\r\n");
	server_shutdown(&t.server, t.now);
	replies(&t);
	server_tls_started(&t.server, true, t.now);
	take_events(&t);
	assert_non_null(strstr(replies(&t), "421 4.3.2"));
	session_end(&t);
}

static void a_login(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	tls_session(&t, &c);
	a_login_step(&t, 334, "auth login\r\n");
	assert_int_equal(t.last.mechanism, SASL_LOGIN);
	assert_false(t.last.has_initial);
	assert_string_equal(replies(&t), "334 words\r\n");
	say(&t, "dGVzdA==\r\n");
	assert_true(span_eq(t.last.data, SPAN("dGVzdA==")));
	a_login_step(&t, 235, "cGFzcw==\r\n");
	assert_string_equal(t.log, "Aaa");
	assert_true(server_is_authenticated(&t.server));
	replies(&t);
	say(&t, "AUTH PLAIN AGEAYg==\r\n");
	assert_string_equal(replies(&t), "503 5.5.1 You are logged in already\r\n");
	session_end(&t);
}

static void initial_responses(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	tls_session(&t, &c);
	a_login_step(&t, 535, "AUTH PLAIN =\r\n");
	assert_true(t.last.has_initial && t.last.data.n == 0);
	a_login_step(&t, 535, "AUTH  PLAIN   AGEAYg== \r\n");
	assert_true(t.last.has_initial && span_eq(t.last.data, SPAN("AGEAYg==")));
	replies(&t);
	say(&t, "AUTH PLAIN AGEA Yg==\r\nAUTH\r\n");
	assert_string_equal(t.log, "AAxx");
	assert_string_equal(replies(&t), "501 5.5.4 AUTH takes a mechanism and one response\r\n"
					 "501 5.5.4 AUTH takes a mechanism and one response\r\n");
	session_end(&t);
}

/* A challenge is one line, however long, and an exchange may take long lines. */
static void long_lines(void **state)
{
	static char text[12289], challenge[SERVER_CHALLENGE_MAX + 1],
	    want[SERVER_CHALLENGE_MAX + 100];
	struct server_config c = secure();
	struct session t;

	(void)state;
	tls_session(&t, &c);
	memset(challenge, 'A', SERVER_CHALLENGE_MAX);
	t.auth_text = challenge;
	a_login_step(&t, 334, "AUTH LOGIN\r\n");
	snprintf(want, sizeof(want), "334 %s\r\n", challenge);
	assert_string_equal(replies(&t), want);
	memset(text, 'B', 12288);
	say(&t, text);
	say(&t, "\r\n");
	assert_int_equal(t.last.data.n, 12288);
	assert_string_equal(t.log, "Aa");
	t.auth_text = "";
	replies(&t);
	say(&t, text);
	say(&t, "B\r\n");
	assert_string_equal(t.log, "Aaxg");
	assert_string_equal(replies(&t), "500 5.5.6 Line too long for a login\r\n");
	say(&t, "AUTH PLAIN ");
	say(&t, text);
	say(&t, "\r\n");
	assert_string_equal(replies(&t), "500 5.5.6 Line too long for a login\r\n");
	assert_string_equal(t.log, "Aaxgx");
	session_end(&t);
}

/* Without logins an AUTH line is a line as any other. */
static void long_lines_without_logins(void **state)
{
	static char text[3000];
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, "EHLO c\r\nAUTH ");
	replies(&t);
	memset(text, 'B', sizeof(text) - 1);
	say(&t, text);
	say(&t, "\r\n");
	assert_string_equal(replies(&t), "500 5.5.2 Line too long\r\n");
	session_end(&t);
}

static void an_exchange_is_cancelled(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	tls_session(&t, &c);
	a_login_step(&t, 334, "AUTH LOGIN\r\n");
	replies(&t);
	say(&t, "*\r\nMAIL FROM:<a@b.test>\r\n");
	assert_string_equal(t.log, "AxgM");
	assert_string_equal(replies(&t), "501 5.7.0 Login cancelled\r\n250 2.0.0 words\r\n");
	session_end(&t);
	tls_session(&t, &c);
	a_login_step(&t, 334, "AUTH LOGIN\r\n");
	replies(&t);
	say(&t, "\x80\r\n");
	assert_string_equal(t.log, "Axg");
	assert_string_equal(replies(&t), "501 5.5.2 Not base64; login cancelled\r\n");
	a_login_step(&t, 334, "AUTH LOGIN\r\n");
	say(&t, "QUIT\n");
	assert_true(t.ended);
	session_end(&t);
}

/* Other commands between the tries do not buy more of them. */
static void guessing_ends(void **state)
{
	static const char *const lines[] = {"AUTH PLAIN AGEAYg==\r\n",
	    "AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.test>\r\nEHLO c\r\n", "AUTH LOGIN\r\n*\r\n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		struct server_config c = secure();
		struct session t;
		unsigned tries = 0;

		tls_session(&t, &c);
		t.auth_code = i == 2 ? 334 : 535;
		while (!t.ended && tries++ < 100)
			say(&t, lines[i]);
		assert_true(t.ended && tries <= config.bad_commands + 2);
		assert_string_equal(t.reason, "too_many_errors");
		session_end(&t);
	}
}

static void why_there_is_no_login(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, "EHLO c\r\n");
	replies(&t);
	say(&t, "AUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n");
	assert_string_equal(replies(&t),
	    "502 5.5.1 No logins here; mail programs use port 465 or 587\r\n"
	    "502 5.5.1 STARTTLS is not offered here\r\n");
	session_end(&t);
	session_start(&t, &c);
	replies(&t);
	say(&t, "AUTH PLAIN AGEAYg==\r\nHELO c\r\nAUTH PLAIN AGEAYg==\r\nEHLO c\r\n");
	say(&t, "AUTH PLAIN AGEAYg==\r\n");
	assert_non_null(strstr(t.said = replies(&t), "503 5.5.1 EHLO first\r\n250 mx.test\r\n503"));
	assert_non_null(strstr(t.said, "538 5.7.11 Logins need TLS; STARTTLS first"));
	session_end(&t);
	tls_session(&t, &c);
	say(&t, "AUTH CRAM-MD5\r\nMAIL FROM:<>\r\nAUTH PLAIN AGEAYg==\r\n");
	assert_string_equal(replies(&t),
	    "504 5.5.4 Mechanism not known; there are: SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN "
	    "LOGIN\r\n250 2.0.0 words\r\n"
	    "503 5.5.1 No login inside of a message; RSET first\r\n");
	session_end(&t);
	c.mechanisms = 0;
	tls_session(&t, &c);
	say(&t, "AUTH PLAIN AGEAYg==\r\n");
	assert_string_equal(replies(&t), "454 4.7.0 No logins at present; please try later\r\n");
	session_end(&t);
}

static void plus_needs_a_binding(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	session_start(&t, &c);
	say(&t, "EHLO c\r\n");
	tls(&t, false);
	say(&t, "EHLO c\r\nAUTH SCRAM-SHA-256-PLUS\r\n");
	assert_non_null(
	    strstr(replies(&t), "504 5.5.4 Mechanism not known; there are: SCRAM-SHA-256 PLAIN"));
	session_end(&t);
}

static void tls_can_be_demanded(void **state)
{
	struct server_config c = secure();
	struct session t;

	(void)state;
	c.need_tls = true;
	session_start(&t, &c);
	say(&t, "MAIL FROM:<>\r\nEHLO c\r\n");
	assert_non_null(strstr(replies(&t), "503 5.5.1 EHLO first"));
	say(&t, "MAIL FROM:<>\r\nVRFY x\r\nNOOP\r\n");
	assert_string_equal(replies(&t), "530 5.7.0 Must issue a STARTTLS command first\r\n"
					 "530 5.7.0 Must issue a STARTTLS command first\r\n"
					 "250 2.0.0 Ok\r\n");
	tls(&t, false);
	say(&t, "EHLO c\r\nMAIL FROM:<>\r\n");
	assert_non_null(strstr(replies(&t), "250 2.0.0 words"));
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_offered),
	    cmocka_unit_test(implicit_tls),
	    cmocka_unit_test(tls_forgets),
	    cmocka_unit_test(injected_commands),
	    cmocka_unit_test(a_refused_handshake_leaves_the_session),
	    cmocka_unit_test(nothing_is_said_before_the_handshake),
	    cmocka_unit_test(a_login),
	    cmocka_unit_test(initial_responses),
	    cmocka_unit_test(long_lines),
	    cmocka_unit_test(long_lines_without_logins),
	    cmocka_unit_test(an_exchange_is_cancelled),
	    cmocka_unit_test(guessing_ends),
	    cmocka_unit_test(why_there_is_no_login),
	    cmocka_unit_test(plus_needs_a_binding),
	    cmocka_unit_test(tls_can_be_demanded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
