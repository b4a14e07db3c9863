/* An operator's own texts of reports. */
#include "mail/dsn_texts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena arena;

static const struct dsn_texts *good(const char *file)
{
	struct dsn_texts_error e = {0};
	struct dsn_texts *t = dsn_texts_parse(span_str(file), &arena, &e);

	if (t == NULL)
		fail_msg("%u:%u: %s", e.line, e.column, e.text);
	return t;
}

static void is(const struct dsn_texts *t, enum dsn_language l, enum dsn_text text, const char *want)
{
	struct span got = dsn_texts_get(t, l, text);

	if (!span_eq(got, span_str(want)))
		fail_msg("'%.*s', not '%s'", SPAN_ARG(got), want);
}

static void bad(struct span file, unsigned line, unsigned column, const char *text)
{
	struct dsn_texts_error e = {0};

	assert_null(dsn_texts_parse(file, &arena, &e));
	if (e.line != line || e.column != column || strcmp(e.text, text) != 0)
		fail_msg("%u:%u: %s; not %u:%u: %s", e.line, e.column, e.text, line, column, text);
}
#define BAD(lit, line, column, text) bad(SPAN(lit), line, column, text)

static void test_languages(void **state)
{
	const struct dsn_texts *t = good("# ours\r\nfrom=Acme\r\n\r\n  [de-AT]  \n"
					 "from = Firma\nfull.advice =  Rufen Sie an.  \n[en]\n"
					 "bad-mailbox.means = Nobody of that name.");

	(void)state;
	is(t, DSN_ENGLISH, DSN_TEXT_FROM, "Acme");
	is(t, DSN_FRENCH, DSN_TEXT_FROM, "Acme");
	is(t, DSN_GERMAN, DSN_TEXT_FROM, "Firma");
	is(t, DSN_GERMAN, (enum dsn_text)(DSN_CLASS_ADVICE + REPLY_FULL), "Rufen Sie an.");
	is(t, DSN_FRENCH, (enum dsn_text)(DSN_CLASS_ADVICE + REPLY_FULL), "");
	is(t, DSN_ENGLISH, (enum dsn_text)(DSN_CLASS_MEANS + REPLY_BAD_MAILBOX),
	    "Nobody of that name.");
	is(t, DSN_ENGLISH, DSN_TEXT_INTRO, "");
}

static void test_mistakes(void **state)
{
	(void)state;
	BAD("from Acme\n", 1, 1, "this is no line of the form 'key = text'");
	BAD("\n\n  form = x\n", 3, 3, "no text is called 'form'");
	BAD("full = x\n", 1, 1, "no text is called 'full'");
	BAD("= x\n", 1, 1, "no text is called ''");
	BAD("from =\n", 1, 1, "a text has 1 to 500 octets");
	BAD("from = a\nfrom = b\n", 2, 1, "'from' stands twice");
	BAD("[xx]\n", 1, 2, "no reports are written in the language 'xx'");
	BAD("[de\n", 1, 1, "a '[' without its ']'");
	BAD("[", 1, 1, "a '[' without its ']'");
	BAD("intro = {host} {peer}\n", 1, 16, "no '{peer}' is known for this text");
	BAD("intro = {host\n", 1, 9, "a '{' without its '}'");
	BAD("intro = {}\n", 1, 9, "no '{}' is known for this text");
	BAD("from = {host}\n", 1, 8, "no '{host}' is known for this text");
	/* What nobody sees, or would end a line, is refused: it goes into headers. */
	BAD("from = a\rb\n", 1, 1, "this line is not UTF-8, or has characters that nobody sees");
	BAD("from = a\xe2\x80\xae\n", 1, 1,
	    "this line is not UTF-8, or has characters that nobody sees");
	BAD("from = a\xff\n", 1, 1, "this line is not UTF-8, or has characters that nobody sees");
	BAD("from = a\0b\n", 1, 1, "this line is not UTF-8, or has characters that nobody sees");
}

/* A key of any length is shown cut, and never as a format. */
static void test_mistakes_are_short(void **state)
{
	static char line[100000];
	struct dsn_texts_error e;

	(void)state;
	memset(line, '%', sizeof(line) - 2);
	memcpy(line, "%s%n", 4);
	line[sizeof(line) - 2] = '=';
	assert_null(dsn_texts_parse(span_of(line, sizeof(line) - 1), &arena, &e));
	assert_true(strlen(e.text) < 80);
}

static void test_ceilings(void **state)
{
	static uint8_t file[DSN_TEXTS_FILE_MAX + 1];
	struct dsn_texts_error e;
	struct arena small;
	const struct dsn_texts *t;
	char line[600] = "from = ";

	(void)state;
	memset(file, '\n', sizeof(file));
	assert_null(dsn_texts_parse(span_of(file, sizeof(file)), &arena, &e));
	assert_string_equal(e.text, "the file is too large");
	assert_non_null(dsn_texts_parse(span_of(file, sizeof(file) - 1), &arena, &e));
	memset(line + 7, 'x', 500);
	t = good(line);
	assert_int_equal(dsn_texts_get(t, DSN_ENGLISH, DSN_TEXT_FROM).n, 500);
	line[507] = 'x';
	assert_null(dsn_texts_parse(span_str(line), &arena, &e));
	/* Memory ends at any place: a mistake, and nothing else. */
	for (size_t max = 0; max < 20000; max += 1000) {
		arena_init(&small, max);
		t = dsn_texts_parse(SPAN("from = a\nintro = b\n"), &small, &e);
		assert_true(t != NULL || e.text[0] != '\0');
		arena_reset(&small);
	}
}

static int enter(void **state)
{
	(void)state;
	arena_init(&arena, 4 << 20);
	return 0;
}

static int leave(void **state)
{
	(void)state;
	arena_reset(&arena);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_languages),
	    cmocka_unit_test(test_mistakes),
	    cmocka_unit_test(test_mistakes_are_short),
	    cmocka_unit_test(test_ceilings),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
