#include "cmd/dev_show.h"
#include "cmd/send_message.h"
#include "cmd/send_session.h"
#include "cmd/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;

static const char *end(void)
{
	buf_add_byte(&out, '\0');
	return (const char *)buf_view(&out).p;
}

static struct send_message message(void)
{
	static const char *const to[] = {"a@x.example", "b@y.example"};

	return (struct send_message){.from = "me@here.example",
	    .to = to,
	    .n_to = 2,
	    .host = "here.example",
	    .subject = "Test",
	    .text = "one\ntwo\n",
	    .when = INT64_C(1795299227) * 1000000};
}

static const char *build(const struct send_message *m)
{
	buf_clear(&out);
	send_message_build(m, &out);
	return end();
}

static void message_is_as_written(void **state)
{
	struct send_message m = message();
	static const char *const header[] = {"X-Test: yes"};

	(void)state;
	m.header = header;
	m.n_header = 1;
	assert_string_equal(build(&m), "Date: Sat, 21 Nov 2026 22:13:47 +0000\r\n"
				       "From: me@here.example\r\n"
				       "To: a@x.example,\r\n\tb@y.example\r\n"
				       "Subject: Test\r\n"
				       "Message-ID: <00000000000000000000000000@here.example>\r\n"
				       "MIME-Version: 1.0\r\n"
				       "Content-Type: text/plain; charset=utf-8\r\n"
				       "Content-Transfer-Encoding: 7bit\r\n"
				       "X-Test: yes\r\n"
				       "\r\n"
				       "one\r\ntwo\r\n");
}

static void eight_bit_is_declared(void **state)
{
	struct send_message m = message();

	(void)state;
	m.text = "h\xc3\xa9";
	assert_non_null(strstr(build(&m), "Content-Transfer-Encoding: 8bit\r\n"));
}

static void check_whole_characters(struct span line)
{
	struct buf text, seen;

	buf_init(&text, 8192);
	buf_init(&seen, 65536);
	dev_decode_words(line, &text);
	terminal_text(&seen, buf_view(&text), 0);
	assert_true(span_eq(buf_view(&text), buf_view(&seen)));
	buf_fini(&text);
	buf_fini(&seen);
}

/* The subject comes back as it was, in lines that are short, with no character cut. */
static void check_subject(const char *subject, bool whole)
{
	struct send_message m = message();
	char field[8192];
	const char *from, *to;
	struct buf again;

	m.subject = subject;
	from = strstr(build(&m), "Subject: ") + 9;
	to = strstr(from, "Message-ID: ");
	snprintf(field, sizeof(field), "%.*s", (int)(to - from - 2), from);
	for (const char *line = field; line != NULL; line = strstr(line, "\r\n")) {
		line += line[0] == '\r' ? 2 : 0;
		assert_true(strcspn(line, "\r") <= 76);
		if (whole)
			check_whole_characters(span_of(line, strcspn(line, "\r")));
	}
	buf_init(&again, 8192);
	dev_decode_words(span_str(field), &again);
	assert_true(span_eq(buf_view(&again), span_str(subject)));
	buf_fini(&again);
}

static void subjects(void **state)
{
	(void)state;
	check_subject("plain", true);
	check_subject("Gr\u00fc\u00dfe", true);
	check_subject("=?utf-8?Q?looks_encoded?=", true);
	check_subject(
	    "\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c"
	    "\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5"
	    "\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e",
	    true);
	check_subject(
	    "a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5"
	    "\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9"
	    "\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426a"
	    "\u00e9\u65e5\U0001f426a\u00e9\u65e5\U0001f426",
	    true);
	check_subject("\xff\xfe\x01", false);
}

static void sizes(void **state)
{
	struct send_message m = message();

	(void)state;
	for (m.size = 400; m.size < 700; m.size++) {
		build(&m);
		/* The last line may need its end. */
		assert_true(buf_len(&out) - 1 >= m.size && buf_len(&out) - 1 <= m.size + 1);
		assert_memory_equal(buf_view(&out).p + buf_len(&out) - 3, "\r\n", 2);
	}
}

static const char *lines(const char *in, size_t n)
{
	buf_clear(&out);
	send_lines(span_of(in, n), &out);
	return end();
}

#define LINES(lit) lines(lit, sizeof(lit) - 1)

static void line_ends(void **state)
{
	(void)state;
	assert_string_equal(LINES(""), "");
	assert_string_equal(LINES("a"), "a\r\n");
	assert_string_equal(LINES("a\nb\r\nc\rd"), "a\r\nb\r\nc\r\nd\r\n");
	assert_string_equal(LINES("\n\n"), "\r\n\r\n");
	assert_string_equal(LINES("\r\r\n"), "\r\n\r\n");
	assert_string_equal(LINES("a\r"), "a\r\n");
	LINES("a\0b");
	assert_memory_equal(buf_view(&out).p, "a\0b\r\n", 5);
}

static void headers(void **state)
{
	(void)state;
	assert_true(send_header_valid("X: y"));
	assert_true(send_header_valid("X:"));
	assert_false(send_header_valid(""));
	assert_false(send_header_valid(": y"));
	assert_false(send_header_valid("X"));
	assert_false(send_header_valid("X Y: z"));
	assert_false(send_header_valid("X: y\r\nBcc: z@x.example"));
	assert_false(send_header_valid("X: y\n"));
	assert_false(send_header_valid("\xc3\xa9: y"));
}

static void servers(void **state)
{
	static const char *const bad[] = {
	    "", ":25", "h:", "h:0", "h:65536", "h:2x", "[::1", "[::1]x", "[]:25", "h:25:25", "::1"};
	char host[32];
	uint16_t port;

	(void)state;
	assert_int_equal(send_server_parse("h", host, sizeof(host), &port), 0);
	assert_string_equal(host, "h");
	assert_int_equal(port, 0);
	assert_int_equal(send_server_parse("mx.example:587", host, sizeof(host), &port), 0);
	assert_string_equal(host, "mx.example");
	assert_int_equal(port, 587);
	assert_int_equal(send_server_parse("[::1]:26", host, sizeof(host), &port), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 26);
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(send_server_parse(bad[i], host, sizeof(host), &port), GW_EFORMAT);
	assert_int_equal(send_server_parse("a-name-that-is-longer-than-its-place.example", host,
			     sizeof(host), &port),
	    GW_EFORMAT);
}

static int set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	buf_init(&out, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(message_is_as_written),
	    cmocka_unit_test(eight_bit_is_declared),
	    cmocka_unit_test(subjects),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(line_ends),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(servers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
