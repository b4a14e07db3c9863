/* BDAT in the engine. */
#include "unit/smtp/session.h"

static void to_mail(struct session *t, const struct server_config *c)
{
	session_start(t, c);
	say(t, ENVELOPE);
	replies(t);
	t->logged = 0;
	memset(t->log, 0, sizeof(t->log));
}

static void chunks(void **state)
{
	static const char all[] = "BDAT 10\r\nSubject: x"
				  "BDAT 0\r\n"
				  "BDAT 4\r\n\r\n\r\n"
				  "bdat 7 last\r\nBDAT\r\n."
				  "NOOP\r\n";

	(void)state;
	for (size_t piece = 1; piece <= sizeof(all); piece++) {
		struct session t;

		to_mail(&t, &config);
		for (size_t at = 0; at < sizeof(all) - 1; at += piece)
			say_span(&t, span_first(span_of(all + at, sizeof(all) - 1 - at), piece));
		assert_string_equal(t.log, "DbE");
		assert_true(span_eq(buf_view(&t.content), SPAN("Subject: x\r\n\r\nBDAT\r\n.\r\n")));
		assert_int_equal(t.last.facts->size, buf_len(&t.content));
		assert_false(t.last.facts->open_end);
		assert_string_equal(replies(&t),
		    "250 2.0.0 Chunk taken\r\n250 2.0.0 Chunk taken\r\n250 2.0.0 Chunk taken\r\n"
		    "250 2.0.0 words\r\n250 2.0.0 Ok\r\n");
		session_end(&t);
	}
}

static void the_last_chunk_may_be_empty(void **state)
{
	struct session t;

	(void)state;
	to_mail(&t, &config);
	say(&t, "BDAT 3\r\nx\r\nBDAT 0 LAST\r\n");
	assert_string_equal(t.log, "DbE");
	assert_true(span_eq(buf_view(&t.content), SPAN("x\r\n")));
	session_end(&t);
	to_mail(&t, &config);
	say(&t, "BDAT 0 LAST\r\n");
	assert_string_equal(t.log, "DE");
	assert_int_equal(t.last.facts->size, 0);
	session_end(&t);
}

/* A CRLF may be parted by chunks, a lone CR or LF may not hide there. */
static void line_ends_across_chunks(void **state)
{
	static const struct {
		const char *input, *log, *reason;
	} cases[] = {
	    {"BDAT 2\r\nx\rBDAT 1 LAST\r\n\n", "DbE", NULL},
	    {"BDAT 2\r\nx\rBDAT 2 LAST\r\ny\n", "Dbxr.", "bare_lf"},
	    {"BDAT 2 LAST\r\nx\r", "Dxr.", "bare_lf"},
	    {"BDAT 2\r\nx\rBDAT 0 LAST\r\n", "Dbxr.", "bare_lf"},
	    {"BDAT 2 LAST\r\nx\n", "Dxr.", "bare_lf"},
	    {"BDAT 2\r\nx\nBDAT 1 LAST\r\nx", "Dxr.", "bare_lf"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		struct session t;

		to_mail(&t, &config);
		say(&t, cases[i].input);
		assert_string_equal(t.log, cases[i].log);
		if (cases[i].reason)
			assert_string_equal(t.reason, cases[i].reason);
		assert_int_equal(t.accepted, cases[i].reason == NULL);
		session_end(&t);
	}
}

static void sizes_that_are_none(void **state)
{
	static const char *const sizes[] = {"", " ", " -1", " +1", " 0x10", " 10x", " LAST", " 1 2",
	    " 1 LAST LAST", " 1LAST", " 1,000", " 18446744073709551616", " 18446744073709551615",
	    " 99999999999999999999", " 340282366920938463463374607431768211456", " 1 LASTS",
	    " 1.0"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(sizes); i++) {
		struct session t;

		to_mail(&t, &config);
		say(&t, "BDAT");
		say(&t, sizes[i]);
		say(&t, "\r\nRSET\r\n" EVIL);
		assert_true(t.ended);
		assert_string_equal(t.log, "xr.");
		assert_string_equal(t.reason, "bad_chunk");
		assert_true(strncmp(replies(&t), "501 5.5.4 ", 10) == 0);
		session_end(&t);
	}
}

/* Lines that are refused for another reason than their number. */
static void lines_that_are_no_chunk(void **state)
{
	static const char *const lines[] = {"BDAT\t5", "BDAT 5\x80", "BDATA 5", "bdat\x01"};
	static char blanks[3000];

	(void)state;
	memset(blanks, ' ', sizeof(blanks) - 1);
	for (size_t i = 0; i <= GW_ARRAY_LEN(lines); i++) {
		struct session t;

		to_mail(&t, &config);
		say(&t, i < GW_ARRAY_LEN(lines) ? lines[i] : "BDAT 5 ");
		say(&t, i < GW_ARRAY_LEN(lines) ? "" : blanks);
		say(&t, "\r\nRSET\r\n" EVIL);
		assert_true(t.ended);
		assert_string_equal(t.log, "xr.");
		session_end(&t);
	}
}

/* A chunk is content whatever becomes of it. */
static void a_refused_chunk_is_swallowed(void **state)
{
	static const struct {
		const char *before, *code;
	} cases[] = {
	    {"EHLO c\r\n", "503 5.5.1 MAIL"},
	    {"EHLO c\r\nMAIL FROM:<a@b.test>\r\n", "503 5.5.1 RCPT"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		struct session t;

		session_start(&t, &config);
		say(&t, cases[i].before);
		replies(&t);
		say(&t, "BDAT 12 LAST\r\nRSET\r\n");
		assert_string_equal(replies(&t), "");
		say(&t, "NOOP\r\nHELP\r\n");
		assert_true(strncmp(t.said = replies(&t), cases[i].code, 14) == 0);
		assert_non_null(strstr(t.said, "\r\n214 "));
		assert_null(strstr(t.said, "250 "));
		session_end(&t);
	}
}

static void the_verdict_on_the_first_chunk(void **state)
{
	struct session t;

	(void)state;
	session_start(&t, &config);
	t.refuse_type = SERVER_DATA;
	t.refuse_with = 452;
	say(&t, ENVELOPE);
	replies(&t);
	say(&t, "BDAT 6\r\nRSET");
	assert_string_equal(replies(&t), "");
	say(&t, "\r\nBDAT 6 LAST\r\nRSET\r\nNOOP\r\n");
	assert_string_equal(t.log, "CHMRDrx");
	assert_string_equal(
	    replies(&t), "452 4.0.0 words\r\n503 5.5.1 MAIL first\r\n250 2.0.0 Ok\r\n");
	session_end(&t);
	session_start(&t, &config);
	t.refuse_type = SERVER_DATA;
	t.refuse_with = 421;
	say(&t, ENVELOPE "BDAT 6\r\nRSET");
	assert_true(t.ended);
	assert_string_equal(t.log, "CHMRDr.");
	session_end(&t);
}

static void what_is_too_big(void **state)
{
	static char big[10001];
	struct session t;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	to_mail(&t, &config); /* said at once */
	say(&t, "BDAT 10001 LAST\r\n");
	assert_string_equal(t.log, "xr");
	say(&t, big);
	assert_string_equal(replies(&t), "");
	say(&t, "x");
	assert_string_equal(replies(&t), "552 5.3.4 Message too big; EHLO names the limit\r\n");
	say(&t, "MAIL FROM:<>\r\n");
	assert_string_equal(replies(&t), "250 2.0.0 words\r\n");
	session_end(&t);
	to_mail(&t, &config); /* the sum of the chunks */
	say(&t, "BDAT 5000\r\n");
	say_span(&t, span_of(big, 5000));
	say(&t, "BDAT 5001 LAST\r\n");
	assert_string_equal(t.log, "Dbxr");
	say_span(&t, span_of(big, 5001));
	assert_string_equal(replies(&t),
	    "250 2.0.0 Chunk taken\r\n552 5.3.4 Message too big; EHLO names the limit\r\n");
	session_end(&t);
	to_mail(&t, &config); /* with the CRLF that it lacks */
	say(&t, "BDAT 9999 LAST\r\n");
	say_span(&t, span_of(big, 9999));
	assert_string_equal(t.log, "Dxr");
	assert_int_equal(t.accepted, 0);
	session_end(&t);
	to_mail(&t, &config); /* not worth reading */
	say(&t, "BDAT 4294967296\r\nQUIT\r\n");
	assert_true(t.ended);
	assert_string_equal(replies(&t),
	    "552 5.3.4 Message too big; EHLO names the limit\r\n421 4.7.0 mx.test Closing, "
	    "where this chunk ends is not known\r\n");
	session_end(&t);
}

static void what_may_come_between_chunks(void **state)
{
	struct server_config c = config;
	struct session t;

	(void)state;
	c.bad_commands = 10;
	to_mail(&t, &c);
	say(&t, "BDAT 3\r\na\r\nNOOP\r\n");
	replies(&t);
	say(&t, "DATA\r\n");
	assert_string_equal(replies(&t), "503 5.5.1 A message is under way: BDAT or RSET\r\n");
	say(&t, "MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n");
	assert_string_equal(replies(&t), "503 5.5.1 A message is under way: BDAT or RSET\r\n"
					 "503 5.5.1 A message is under way: BDAT or RSET\r\n");
	say(&t, "RSET\r\nBDAT 3 LAST\r\nb\r\n");
	assert_string_equal(t.log, "Dbxxxrx");
	assert_string_equal(replies(&t), "250 2.0.0 Forgotten\r\n503 5.5.1 MAIL first\r\n");
	session_end(&t);
}

static void an_unfinished_message_is_nothing(void **state)
{
	static const char *const inputs[] = {"BDAT 10 LAST\r\nSubject: x", "BDAT 3\r\nx\r\n",
	    "BDAT 3\r\nx\r\nQUIT\r\n", "BDAT 3\r\nx\r\nEHLO c\r\n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(inputs); i++) {
		struct session t;
		struct span in = span_str(inputs[i]);

		to_mail(&t, &config);
		in.n -= i == 0;
		say_span(&t, in);
		server_eof(&t.server, t.now);
		take_events(&t);
		assert_true(t.ended);
		assert_int_equal(t.accepted, 0);
		assert_non_null(strchr(t.log, 'r'));
		session_end(&t);
	}
}

static void nul_is_refused(void **state)
{
	struct session t;

	(void)state;
	to_mail(&t, &config);
	say_span(&t, SPAN("BDAT 4\r\nx\0\r\nBDAT 3 LAST\r\ny\r\nNOOP\r\n"));
	assert_string_equal(t.log, "Dxr.");
	assert_string_equal(replies(&t), "550 5.6.0 NUL in the content; send it encoded\r\n");
	session_end(&t);
}

/* One octet, one chunk, one minute: the average counts over the whole message. */
static void dripping_chunks_run_out_of_time(void **state)
{
	struct session t;
	int chunks_taken = 0;

	(void)state;
	to_mail(&t, &config);
	while (!t.ended && chunks_taken < 1000) {
		say(&t, "BDAT 1\r\nx");
		chunks_taken++;
		t.now += 60 * INT64_C(1000000);
		server_tick(&t.server, t.now);
		take_events(&t);
	}
	assert_true(t.ended && chunks_taken <= 6);
	assert_string_equal(t.reason, "timeout");
	session_end(&t);
}

static void empty_chunks_are_no_progress(void **state)
{
	struct session t;

	(void)state;
	to_mail(&t, &config);
	for (int i = 0; i < 100 && !t.ended; i++)
		say(&t, "BDAT 0\r\n");
	assert_true(t.ended);
	assert_string_equal(t.reason, "too_many_errors");
	session_end(&t);
}

/* What comes behind the last octet is not lost, and the message is not ended while it is held. */
static void held_at_the_end(void **state)
{
	struct session t;
	struct server_event ev;

	(void)state;
	to_mail(&t, &config);
	say(&t, "BDAT 3 LAST\r\nx\r");
	assert_int_equal(server_feed(&t.server, SPAN("\nNOOP\r\n"), t.now), 1);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_int_equal(ev.type, SERVER_BODY);
	server_hold(&t.server, true, t.now);
	assert_int_equal(server_next(&t.server, &ev), 0);
	assert_int_equal(server_feed(&t.server, SPAN("NOOP\r\n"), t.now), 0);
	server_hold(&t.server, false, t.now + SECOND);
	assert_int_equal(server_feed(&t.server, SPAN("NOOP\r\n"), t.now), 0);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_int_equal(ev.type, SERVER_EOM);
	assert_int_equal(server_deadline(&t.server), INT64_MAX);
	answer(&t, 250);
	assert_int_equal(server_feed(&t.server, SPAN("NOOP\r\n"), t.now), 6);
	session_end(&t);
}

static void not_offered_is_foreign(void **state)
{
	struct server_config c = config;
	struct session t;

	(void)state;
	c.extensions &= ~EXT_BIT(CHUNKING);
	to_mail(&t, &c);
	say(&t, "BDAT 6 LAST\r\nRSET\r\n");
	assert_string_equal(t.reason, "foreign");
	session_end(&t);
	session_start(&t, &config);
	say(&t, "HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nBDAT 6 LAST\r\nRSET\r\n");
	assert_string_equal(t.reason, "foreign");
	session_end(&t);
}

static void a_chunk_needs_tls_too(void **state)
{
	struct server_config c = config;
	struct session t;

	(void)state;
	c.need_tls = true;
	session_start(&t, &c);
	say(&t, "EHLO c\r\n");
	replies(&t);
	say(&t, "BDAT 6 LAST\r\nRSET\r\nNOOP\r\n");
	assert_string_equal(
	    replies(&t), "530 5.7.0 Must issue a STARTTLS command first\r\n250 2.0.0 Ok\r\n");
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(the_last_chunk_may_be_empty),
	    cmocka_unit_test(line_ends_across_chunks),
	    cmocka_unit_test(sizes_that_are_none),
	    cmocka_unit_test(lines_that_are_no_chunk),
	    cmocka_unit_test(a_refused_chunk_is_swallowed),
	    cmocka_unit_test(the_verdict_on_the_first_chunk),
	    cmocka_unit_test(what_is_too_big),
	    cmocka_unit_test(what_may_come_between_chunks),
	    cmocka_unit_test(an_unfinished_message_is_nothing),
	    cmocka_unit_test(nul_is_refused),
	    cmocka_unit_test(dripping_chunks_run_out_of_time),
	    cmocka_unit_test(empty_chunks_are_no_progress),
	    cmocka_unit_test(held_at_the_end),
	    cmocka_unit_test(not_offered_is_foreign),
	    cmocka_unit_test(a_chunk_needs_tls_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
