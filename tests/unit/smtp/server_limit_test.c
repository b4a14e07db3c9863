#include "unit/smtp/session.h"

static void long_lines_are_discarded(void **state)
{
	static char line[100000];

	(void)state;
	for (size_t piece = 1; piece < sizeof(line); piece = piece * 7 + 1) {
		struct session t;

		session_start(&t, &config);
		say(&t, "EHLO c\r\n");
		replies(&t);
		memset(line, 'A', sizeof(line));
		memcpy(line + sizeof(line) - 7, " QUIT\r\n", 7);
		for (size_t at = 0; at < sizeof(line); at += piece)
			say_span(&t, span_first(span_of(line + at, sizeof(line) - at), piece));
		assert_string_equal(t.log, "CHx");
		assert_string_equal(t.reason, "line_too_long");
		assert_string_equal(replies(&t), "500 5.5.2 Line too long\r\n");
		assert_int_equal(buf_len(&t.in), 0);
		say(&t, "NOOP\r\n");
		assert_string_equal(replies(&t), "250 2.0.0 Ok\r\n");
		session_end(&t);
	}
}

static void bad_commands_end_the_session(void **state)
{
	static const char *const lines[] = {"NOOP", "RSET", "HELP", "VRFY x", "EXPN x", "FOO",
	    "EHLO c", "HELO c", "MAIL FROM:<", "RCPT TO:<a@b.test>", "DATA",
	    "MAIL FROM:<a@b.test> SIZE=99999", "\x01", "QUIT now"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		struct session t;

		session_start(&t, &config);
		say(&t, "EHLO c\r\n");
		for (int k = 0; k < 5; k++) {
			assert_false(t.ended);
			say(&t, lines[i]);
			say(&t, "\r\n");
		}
		assert_true(t.ended);
		assert_string_equal(t.reason, "too_many_errors");
		session_end(&t);
	}
}

/* An owner that refuses every sender does not make us talk for ever either. */
static void refused_senders_count(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	t.refuse_type = SERVER_MAIL;
	t.refuse_with = 550;
	say(&t, "EHLO c\r\n");
	for (int i = 0; i < 10; i++)
		say(&t, "MAIL FROM:<a@b.test>\r\n");
	assert_true(t.ended);
	assert_string_equal(t.reason, "too_many_errors");
	session_end(&t);
}

static void recipients_are_limited(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, "EHLO c\r\nMAIL FROM:<a@b.test>\r\n");
	for (int i = 0; i < 8; i++)
		say(&t, "RCPT TO:<c@d.test>\r\n");
	assert_string_equal(t.log, "CHMRRRRRxxx");
	assert_string_equal(t.last.stage, "rcpt");
	assert_non_null(strstr(replies(&t), "452 4.5.3"));
	for (int i = 0; i < 1000 && !t.ended; i++)
		say(&t, "RCPT TO:<c@d.test>\r\n");
	assert_true(t.ended);
	session_end(&t);
}

/* A client that never reads our replies cannot make us keep more than the ceiling. */
static void output_has_a_ceiling(void **state)
{
	struct server_config c = config;
	struct server s;
	struct server_event ev;
	unsigned taken = 0;

	(void)state;
	c.bad_commands = UINT32_MAX;
	server_init(&s, &c, SECOND);
	assert_int_equal(server_next(&s, &ev), 1);
	server_answer(&s, &REPLY(220, 0, 0, 0, ""), SECOND);
	while (server_feed(&s, SPAN("HELP\r\n"), SECOND) > 0)
		taken++;
	assert_true(taken > 100 && server_output(&s).n <= SERVER_OUT_MAX);
	assert_int_equal(server_next(&s, &ev), 0);
	server_sent(&s, server_output(&s).n);
	assert_int_equal(server_feed(&s, SPAN("HELP\r\n"), SECOND), 6);
	server_fini(&s);
}

/* The longest and oddest verdict fits behind the fullest output. */
static void a_verdict_always_fits(void **state)
{
	struct server_config c = config;
	struct server s;
	struct server_event ev;
	char text[5000];

	(void)state;
	c.bad_commands = UINT32_MAX;
	memset(text, '\n', sizeof(text));
	server_init(&s, &c, SECOND);
	assert_int_equal(server_next(&s, &ev), 1);
	server_answer(&s, &REPLY(220, 0, 0, 0, ""), SECOND);
	while (server_output(&s).n < SERVER_OUT_HIGH - 20)
		assert_true(server_feed(&s, SPAN("NOOP\r\n"), SECOND) > 0);
	assert_true(server_feed(&s, SPAN("EHLO c\r\n"), SECOND) > 0);
	assert_int_equal(server_next(&s, &ev), 1);
	server_answer(&s, &(struct reply){554, {5, 255, 255}, span_of(text, sizeof(text))}, SECOND);
	assert_int_equal(server_next(&s, &ev), 0);
	assert_true(server_output(&s).n > SERVER_OUT_HIGH);
	server_fini(&s);
}

/* Out of memory for a reply: half a reply is never sent. */
static void no_memory_ends_the_session(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, ENVELOPE);
	replies(&t);
	t.server.out.max = 12;
	say(&t, "NOOP\r\n");
	assert_string_equal(t.log, "CHMRr.");
	assert_string_equal(t.reason, "memory");
	assert_string_equal(replies(&t), "");
	session_end(&t);
}

static void idle_sessions_are_small(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	say(&t, "EHLO c\r\n");
	assert_null(t.server.out.mem);
	assert_true(sizeof(t.server) <= 576);
	session_end(&t);
}

static void swallowing_has_an_end(void **state)
{
	struct session t;
	static char megabyte[1 << 20];

	(void)state;
	to_data(&t, &config);
	memset(megabyte, 'x', sizeof(megabyte));
	for (int i = 0; i < 1000 && !t.ended; i++)
		say_span(&t, span_of(megabyte, sizeof(megabyte)));
	assert_true(t.ended);
	assert_string_equal(t.log, "CHMRDxr.");
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(long_lines_are_discarded),
	    cmocka_unit_test(bad_commands_end_the_session),
	    cmocka_unit_test(refused_senders_count),
	    cmocka_unit_test(recipients_are_limited),
	    cmocka_unit_test(output_has_a_ceiling),
	    cmocka_unit_test(a_verdict_always_fits),
	    cmocka_unit_test(no_memory_ends_the_session),
	    cmocka_unit_test(idle_sessions_are_small),
	    cmocka_unit_test(swallowing_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
