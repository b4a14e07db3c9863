#include "unit/smtp/session.h"

static const struct spelling {
	struct span end;
	uint16_t code; /* 250: it is harmless content */
} spellings[] = {
#define SPELL(code, lit) \
	{ \
		{(const uint8_t *)(lit), sizeof(lit) - 1}, code \
	}
    SPELL(550, "\n.\n"),
    SPELL(550, "\n.\r\n"),
    SPELL(550, "\r\n.\n"),
    SPELL(550, "\r.\r"),
    SPELL(550, "\r.\r\n"),
    SPELL(550, "\r\n.\r"),
    SPELL(550, "\n.\r"),
    SPELL(550, "\r.\n"),
    SPELL(550, "\r\n\0.\r\n"),
    SPELL(550, "\r\n.\0\r\n"),
    SPELL(550, "\r\0\n.\r\n"),
    SPELL(550, "\r\n.\r\0\n"),
    SPELL(550, "\r\n.\r\r\n"),
    SPELL(550, "\r\r\n.\r\r\n"),
    SPELL(550, "\r\r\n.\r\n\r"),
    SPELL(550, "\n\n.\n\n"),
    SPELL(550, "\n\n.\r\n"),
    SPELL(550, "\r\r.\r\r"),
    SPELL(550, "\r\r.\r\n"),
    SPELL(550, "\n\r.\n\r"),
    SPELL(550, "\n\r\n.\n\r\n"),
    SPELL(550, "\r\n.\n\r\n"),
    SPELL(550, "\r\n..\r.\r\n"),
    SPELL(250, "\xc2\x85.\xc2\x85"),
    SPELL(250, "\xe2\x80\xa8.\xe2\x80\xa8"),
    SPELL(250, "\x0b.\x0b"),
    SPELL(250, "\x0c.\x0c"),
    SPELL(250, "\r\n .\r\n"),
    SPELL(250, "\r\n. \r\n"),
    SPELL(250, "\r\n..\r\n"),
    SPELL(250, "\r\n.\t\r\n"),
#undef SPELL
};

/* The spelling, commands behind it, the real end, and QUIT; cut in two at one place, or in bytes.
 */
static void smuggle(const struct spelling *sp, size_t cut)
{
	struct session t;
	struct buf all;
	bool real_end;

	to_data(&t, &config);
	buf_init(&all, 4096);
	buf_add_str(&all, "Subject: x\r\n\r\nhello");
	buf_add_span(&all, sp->end);
	buf_add_str(&all, EVIL ".\r\nQUIT\r\n");
	if (cut > 0)
		say_span(&t, span_first(buf_view(&all), cut));
	for (size_t i = cut; cut == 0 && i < buf_len(&all); i++)
		say_span(&t, span_first(span_skip(buf_view(&all), i), 1));
	if (cut > 0)
		say_span(&t, span_skip(buf_view(&all), cut));
	buf_fini(&all);
	real_end = sp->end.n >= 5 && memcmp(sp->end.p + sp->end.n - 5, "\r\n.\r\n", 5) == 0;
	assert_false(real_end);
	assert_true(t.ended);
	if (sp->code == 250) {
		assert_string_equal(t.log, "CHMRDbE.");
		assert_string_equal(replies(&t), "250 2.0.0 words\r\n221 2.0.0 mx.test Bye\r\n");
	} else {
		assert_int_equal(t.accepted, 0);
		assert_true(strcmp(t.log, "CHMRDbxr.") == 0 || strcmp(t.log, "CHMRDxr.") == 0);
		assert_int_equal(strncmp(replies(&t), "550 5.6.", 8), 0);
		assert_int_equal(buf_len(&t.content), 0);
	}
	session_end(&t);
}

static void smuggling(void **state)
{
	size_t length = strlen("Subject: x\r\n\r\nhello") + strlen(EVIL ".\r\nQUIT\r\n");

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(spellings); i++) {
		for (size_t cut = 0; cut <= length + spellings[i].end.n; cut++)
			smuggle(&spellings[i], cut);
	}
}

/* The first octets of the content stand behind a CRLF that is not part of it. */
static void smuggling_at_the_start(void **state)
{
	static const char *const starts[] = {
	    "\n.\r\n", "\r.\r\n", ".\n", ".\r\r\n", "\r\r\n.\r\n", ".\n.\r\n"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(starts); i++) {
		struct session t;

		to_data(&t, &config);
		say(&t, starts[i]);
		say(&t, "MAIL FROM:<evil@b.test>\r\n.\r\n");
		assert_string_equal(t.log, "CHMRDxr.");
		assert_string_equal(t.reason, "bare_lf");
		session_end(&t);
	}
}

/* The owner hears of a refusal at once, the client at the end of its data. */
static void refused_content_is_dropped_at_once(void **state)
{
	struct session t;

	(void)state;
	to_data(&t, &config);
	say(&t, "first\r\n");
	assert_int_equal(buf_len(&t.content), 7);
	say(&t, "a\nb\r\n");
	assert_string_equal(t.log, "CHMRDbxr");
	assert_string_equal(t.last.type == SERVER_RESET ? "reset" : "", "reset");
	assert_string_equal(replies(&t), "");
	say(&t, "more\n.\r\n\n.\n\r.\r\r\n.\n");
	assert_string_equal(replies(&t), "");
	say(&t, "\r\n.\r\n");
	assert_string_equal(t.log, "CHMRDbxr.");
	assert_string_equal(
	    replies(&t), "550 5.6.11 Bare CR or LF in the content; lines end with CRLF\r\n");
	session_end(&t);
}

/* Content is cut at any place: what comes out is the same. */
static void cuts_do_not_matter(void **state)
{
	struct span in = SPAN("..a\r\n.b\r\n\r\nc.\r\n...\r\n. \r\n.\r\n");
	struct span want = SPAN(".a\r\nb\r\n\r\nc.\r\n..\r\n \r\n");

	(void)state;
	for (size_t a = 0; a <= in.n; a++) {
		for (size_t b = a; b <= in.n; b++) {
			struct session t;

			to_data(&t, &config);
			say_span(&t, span_first(in, a));
			say_span(&t, span_first(span_skip(in, a), b - a));
			say_span(&t, span_skip(in, b));
			assert_string_equal(t.log, "CHMRDbE");
			assert_true(span_eq(buf_view(&t.content), want));
			session_end(&t);
		}
	}
}

static void body_points_into_the_input(void **state)
{
	struct session t;
	struct server_event ev;
	struct span in = SPAN("0123456789\r\n.1234\r\n.\r\n");

	(void)state;
	to_data(&t, &config);
	assert_int_equal(server_feed(&t.server, in, t.now), 12);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_ptr_equal(ev.data.p, in.p);
	assert_int_equal(ev.data.n, 12);
	in = span_skip(in, 12);
	assert_int_equal(server_feed(&t.server, in, t.now), 7);
	assert_int_equal(server_next(&t.server, &ev), 1);
	assert_ptr_equal(ev.data.p, in.p + 1);
	assert_int_equal(ev.data.n, 6);
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(smuggling),
	    cmocka_unit_test(smuggling_at_the_start),
	    cmocka_unit_test(refused_content_is_dropped_at_once),
	    cmocka_unit_test(cuts_do_not_matter),
	    cmocka_unit_test(body_points_into_the_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
