#include "unit/smtp/session.h"

static void a_message(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	say(&t, "Subject: x\r\n\r\n..dot\r\n.\r\n");
	assert_string_equal(t.log, "CHMRDbE");
	assert_true(span_eq(buf_view(&t.content), SPAN("Subject: x\r\n\r\n.dot\r\n")));
	assert_int_equal(t.last.facts->size, buf_len(&t.content));
	assert_int_equal(t.last.facts->lines, 3);
	assert_string_equal(replies(&t), "250 2.0.0 words\r\n");
	say(&t, "QUIT\r\n");
	assert_string_equal(t.log, "CHMRDbE.");
	assert_string_equal(t.reason, "quit");
	session_end(&t);
}

static void greeting_and_hello(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	assert_string_equal(replies(&t), "220 mx.test ESMTP\r\n");
	say(&t, "EHLO c.test\r\n");
	assert_true(span_eq(t.last.name, SPAN("c.test")) && t.last.esmtp);
	assert_string_equal(replies(&t),
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 10000\r\n"
	    "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n"
	    "250-BINARYMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250-MT-PRIORITY\r\n250-DELIVERBY\r\n"
	    "250 LIMITS MAILMAX=3 RCPTMAX=5\r\n");
	say(&t, "HELO c.test\r\n");
	assert_false(t.last.esmtp);
	assert_string_equal(replies(&t), "250 mx.test\r\n");
	session_end(&t);
}

/* What is not offered is neither announced nor understood. */
static void extensions_off(void **state)
{
	struct server_config bare = config;
	struct session t;

	(void)state;
	bare.extensions = 0;
	session_start(&t, &bare);
	replies(&t);
	say(&t, "EHLO c\r\n");
	assert_string_equal(replies(&t), "250 mx.test\r\n");
	say(&t, "MAIL FROM:<a@b.test> SIZE=10\r\n");
	assert_string_equal(
	    replies(&t), "555 Parameter not known; EHLO names the extensions there are\r\n");
	say(&t, "MAIL FROM:<a@b.test> BODY=7BIT\r\n");
	assert_string_equal(
	    replies(&t), "555 Parameter not known; EHLO names the extensions there are\r\n");
	say(&t, "NOOP\r\n");
	assert_string_equal(replies(&t), "250 Ok\r\n");
	session_end(&t);
}

static void mail_and_its_parameters(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, "EHLO c\r\nMAIL FROM:<\"a b\"@B.test> body=8bitmime SIZE=00010000\r\n");
	assert_int_equal(t.last.type, SERVER_MAIL);
	assert_int_equal(t.last.size, 10000);
	assert_int_equal(t.last.body_type, BODY_8BITMIME);
	assert_int_equal(t.last.address.kind, ADDRESS_DOMAIN);
	assert_true(span_eq(t.last.address.local, SPAN("\"a b\"")));
	assert_true(span_eq(t.last.address.domain, SPAN("B.test")));
	say(&t, "RSET\r\nMAIL FROM:<>\r\n");
	assert_int_equal(t.last.address.kind, ADDRESS_NULL);
	assert_int_equal(t.last.size, 0);
	assert_int_equal(t.last.body_type, BODY_7BIT);
	assert_string_equal(t.log, "CHMrM");
	session_end(&t);
}

static void nothing_is_taken_before_the_greeting(void **state)
{
	struct server s;
	struct server_event ev;

	(void)state;
	server_init(&s, &config, SECOND);
	assert_int_equal(server_feed(&s, SPAN("EHLO c\r\n"), SECOND), 0);
	assert_int_equal(server_next(&s, &ev), 1);
	assert_int_equal(server_feed(&s, SPAN("EHLO c\r\n"), SECOND), 0);
	server_early(&s, SECOND);
	assert_int_equal(server_next(&s, &ev), 1);
	assert_int_equal(ev.type, SERVER_REFUSED);
	assert_string_equal(ev.stage, "connect");
	assert_string_equal(ev.reason, "early_talker");
	assert_int_equal(server_next(&s, &ev), 1);
	assert_int_equal(ev.type, SERVER_END);
	assert_int_equal(server_next(&s, &ev), -1);
	assert_true(span_starts(server_output(&s), SPAN("554 5.5.0 ")));
	server_answer(&s, &REPLY(220, 0, 0, 0, ""), SECOND);
	assert_int_equal(server_feed(&s, SPAN("EHLO c\r\n"), SECOND), 0);
	server_fini(&s);
}

/* Whatever would become of DATA, what is already behind it is never run. */
static void early_data(void **state)
{
	static const char *const before[] = {
	    "", "EHLO c\r\n", "EHLO c\r\nMAIL FROM:<a@b.test>\r\n", ENVELOPE};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(before); i++) {
		struct session t;

		session_start(&t, &config);
		say(&t, before[i]);
		say(&t, "DATA\r\nRSET\r\n" EVIL ".\r\n");
		assert_true(t.ended);
		assert_int_equal(t.accepted, 0);
		assert_string_equal(t.reason, "early_data");
		assert_non_null(strstr(replies(&t), "554 5.5.0"));
		assert_null(strchr(t.log, 'D'));
		session_end(&t);
	}
}

/* Content that came while the owner thought about DATA. */
static void early_data_while_the_verdict_is_due(void **state)
{
	struct session t;
	struct server_event ev;

	(void)state;
	session_start(&t, &config);
	say(&t, ENVELOPE);
	assert_int_equal(server_feed(&t.server, SPAN("DATA\r\n"), t.now), 6);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_int_equal(ev.type, SERVER_DATA);
	assert_int_equal(server_feed(&t.server, SPAN("RSET\r\n"), t.now), 0);
	server_early(&t.server, t.now);
	take_events(&t);
	assert_true(t.ended);
	assert_string_equal(t.log, "CHMRxr.");
	session_end(&t);
}

static void bare_line_ends_end_the_session(void **state)
{
	static const char *const lines[] = {
	    "NOOP\n", "\n", "NO\nOP\r\n", "\rNOOP\r\n", "NOOP\r\r\n", "NO\rOP\r\n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		struct session t;

		session_start(&t, &config);
		say(&t, ENVELOPE);
		replies(&t);
		say(&t, lines[i]);
		say(&t, "RCPT TO:<evil@d.test>\r\n");
		assert_string_equal(t.log, "CHMRxr.");
		assert_string_equal(replies(&t),
		    "500 5.5.2 Lines end with CRLF only\r\n"
		    "421 4.7.0 mx.test Closing after a bare CR or LF\r\n");
		session_end(&t);
	}
}

static void a_verdict_of_421_ends(void **state)
{
	static const enum server_event_type types[] = {
	    SERVER_CONNECT, SERVER_HELO, SERVER_MAIL, SERVER_RCPT, SERVER_DATA, SERVER_EOM};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(types); i++) {
		struct session t = {.now = SECOND};

		buf_init(&t.in, 10000);
		buf_init(&t.out, 10000);
		buf_init(&t.content, 10000);
		server_init(&t.server, &config, t.now);
		t.refuse_type = types[i];
		t.refuse_with = 421;
		say(&t, ENVELOPE);
		say(&t, "DATA\r\n");
		say(&t, "x\r\n.\r\n");
		assert_true(t.ended);
		assert_string_equal(t.reason, "refused");
		session_end(&t);
	}
}

/* A transaction the owner knows of ends once: by EOM or by RESET. */
static void every_transaction_ends_once(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, ENVELOPE "EHLO c\r\n");
	assert_string_equal(t.log, "CHMRrH");
	say(&t, "MAIL FROM:<>\r\nRSET\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n");
	say(&t, "DATA\r\n");
	say(&t, ".\r\nQUIT\r\n");
	assert_string_equal(t.log, "CHMRrHMrMRDE.");
	session_end(&t);
	session_start(&t, &config);
	say(&t, ENVELOPE "QUIT\r\n");
	assert_string_equal(t.log, "CHMRr.");
	session_end(&t);
}

static void a_refused_message_leaves_the_session(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	t.refuse_type = SERVER_EOM;
	t.refuse_with = 451;
	say(&t, "x\r\n.\r\nMAIL FROM:<>\r\n");
	assert_string_equal(t.log, "CHMRDbEM");
	assert_string_equal(replies(&t), "451 4.0.0 words\r\n250 2.0.0 words\r\n");
	session_end(&t);
}

static void a_refused_data_leaves_the_transaction(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	t.refuse_type = SERVER_DATA;
	t.refuse_with = 452;
	say(&t, ENVELOPE "DATA\r\n");
	t.refuse_with = 0;
	say(&t, "DATA\r\n");
	say(&t, ".\r\n");
	assert_string_equal(t.log, "CHMRDDE");
	session_end(&t);
}

static void end_of_input(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	say(&t, "Subject: x\r\n\r\nhalf");
	server_eof(&t.server, t.now);
	take_events(&t);
	assert_string_equal(t.log, "CHMRDbr.");
	assert_string_equal(t.reason, "eof");
	session_end(&t);
	session_start(&t, &config);
	say(&t, "EHLO");
	server_eof(&t.server, t.now);
	take_events(&t);
	assert_string_equal(t.log, "C.");
	session_end(&t);
}

/* The message is whole, its verdict due, and the client only closed its own side. */
static void end_of_input_before_the_verdict(void **state)
{
	struct session t;
	struct server_event ev;

	(void)state;
	to_data(&t, &config);
	assert_int_equal(server_feed(&t.server, SPAN(".\r\n"), t.now), 3);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_int_equal(ev.type, SERVER_EOM);
	server_eof(&t.server, t.now);
	assert_int_equal(server_next(&t.server, &ev), 0);
	answer(&t, 250);
	take_events(&t);
	assert_string_equal(t.log, "CHMRD.");
	assert_string_equal(replies(&t), "250 2.0.0 words\r\n");
	session_end(&t);
}

static void shutdown_waits_for_the_message(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	say(&t, "x\r\n");
	server_shutdown(&t.server, t.now);
	take_events(&t);
	assert_false(t.ended);
	say(&t, ".\r\nMAIL FROM:<>\r\n");
	assert_string_equal(t.log, "CHMRDbE.");
	assert_string_equal(
	    replies(&t), "250 2.0.0 words\r\n421 4.3.2 mx.test Service shutting down\r\n");
	session_end(&t);
	session_start(&t, &config);
	say(&t, ENVELOPE);
	server_shutdown(&t.server, t.now);
	take_events(&t);
	assert_string_equal(t.log, "CHMRr.");
	assert_string_equal(t.reason, "shutdown");
	session_end(&t);
}

/* 421 in the middle of a line that is being discarded would be read as the reply to it. */
static void shutdown_waits_for_the_line(void **state)
{
	static char line[5000];
	struct session t;

	(void)state;
	session_start(&t, &config);
	memset(line, 'A', sizeof(line));
	say_span(&t, span_of(line, sizeof(line)));
	server_shutdown(&t.server, t.now);
	take_events(&t);
	assert_false(t.ended);
	say(&t, "\r\n");
	assert_string_equal(t.log, "Cx.");
	session_end(&t);
}

static void commands_have_a_total_deadline(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	for (int i = 0; i < 300; i++) {
		assert_false(t.ended);
		say(&t, "A");
		t.now += SECOND;
		if (t.now >= server_deadline(&t.server))
			server_tick(&t.server, t.now);
		take_events(&t);
	}
	assert_true(t.ended);
	assert_string_equal(t.reason, "timeout");
	assert_non_null(strstr(replies(&t), "421 4.4.2"));
	session_end(&t);
}

static void content_has_a_rate(void **state)
{
	struct session t;
	int seconds = 0;

	(void)state;
	to_data(&t, &config);
	while (!t.ended && seconds < 10000) {
		say(&t, "A");
		t.now += SECOND;
		seconds++;
		server_tick(&t.server, t.now);
		take_events(&t);
	}
	assert_int_equal(seconds, 303);
	assert_string_equal(t.log, "CHMRDbr.");
	session_end(&t);
}

/* A burst does not buy an endless pause. */
static void content_may_not_pause(void **state)
{
	struct server_config c = config;
	struct session t;
	static char burst[1 << 20];

	(void)state;
	c.message_size = 1 << 24;
	to_data(&t, &c);
	memset(burst, 'x', sizeof(burst));
	say_span(&t, span_of(burst, sizeof(burst)));
	assert_int_equal(server_deadline(&t.server), t.now + c.data_timeout);
	t.now += c.data_timeout;
	server_tick(&t.server, t.now);
	take_events(&t);
	assert_true(t.ended);
	session_end(&t);
}

static void the_owner_has_its_own_time(void **state)
{
	struct server_config c = config;
	struct server s;
	struct server_event ev;

	(void)state;
	server_init(&s, &c, SECOND);
	assert_int_equal(server_deadline(&s), INT64_MAX);
	server_tick(&s, INT64_MAX - 1);
	assert_int_equal(server_next(&s, &ev), 1);
	assert_int_equal(server_next(&s, &ev), 0);
	server_fini(&s);
	c.verdict_timeout = 10 * SECOND;
	server_init(&s, &c, SECOND);
	assert_int_equal(server_deadline(&s), 11 * SECOND);
	server_tick(&s, 11 * SECOND);
	assert_int_equal(server_next(&s, &ev), 1);
	assert_string_equal(ev.reason, "verdict_timeout");
	server_fini(&s);
}

/* While the owner holds the content back, the client is not to blame. */
static void held_time_does_not_count(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	say(&t, "x\r\n");
	server_hold(&t.server, true, t.now);
	assert_int_equal(server_deadline(&t.server), INT64_MAX);
	assert_int_equal(server_feed(&t.server, SPAN("y\r\n"), t.now), 0);
	t.now += 10000 * INT64_C(1000000);
	server_tick(&t.server, t.now);
	server_hold(&t.server, false, t.now);
	server_tick(&t.server, t.now);
	assert_int_equal(server_deadline(&t.server), t.now + config.data_timeout);
	say(&t, "z\r\n");
	assert_int_equal(server_deadline(&t.server), t.now + config.data_timeout);
	say(&t, ".\r\n");
	assert_string_equal(t.log, "CHMRDbE");
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_message),
	    cmocka_unit_test(greeting_and_hello),
	    cmocka_unit_test(extensions_off),
	    cmocka_unit_test(mail_and_its_parameters),
	    cmocka_unit_test(nothing_is_taken_before_the_greeting),
	    cmocka_unit_test(early_data),
	    cmocka_unit_test(early_data_while_the_verdict_is_due),
	    cmocka_unit_test(bare_line_ends_end_the_session),
	    cmocka_unit_test(a_verdict_of_421_ends),
	    cmocka_unit_test(every_transaction_ends_once),
	    cmocka_unit_test(a_refused_message_leaves_the_session),
	    cmocka_unit_test(a_refused_data_leaves_the_transaction),
	    cmocka_unit_test(end_of_input),
	    cmocka_unit_test(end_of_input_before_the_verdict),
	    cmocka_unit_test(shutdown_waits_for_the_message),
	    cmocka_unit_test(shutdown_waits_for_the_line),
	    cmocka_unit_test(commands_have_a_total_deadline),
	    cmocka_unit_test(content_has_a_rate),
	    cmocka_unit_test(content_may_not_pause),
	    cmocka_unit_test(the_owner_has_its_own_time),
	    cmocka_unit_test(held_time_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
