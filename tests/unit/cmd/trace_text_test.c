/* What godwit trace shows: the story by recipient, in order, and nothing that moves the cursor. */
#include "cmd/cmd.h"
#include "cmd/trace_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;

static const char *end(void)
{
	buf_add_byte(&out, '\0');
	assert_false(buf_failed(&out));
	return (const char *)buf_view(&out).p;
}

static json_t *parse(const char *json)
{
	json_t *j = json_loads(json, 0, NULL);

	assert_non_null(j);
	return j;
}

#define NOON INT64_C(1795345200000000)

static const char story[] =
    "{\"id\":\"01M813BMFSFGYV8SGE94RHJ8VX\",\"from\":\"a@x.test\",\"size\":18231,"
    "\"accepted\":\"2026-11-22T11:00:00.000Z\",\"listener\":\"mx\",\"client_ip\":\"192.0.2.1\","
    "\"account\":\"acme\",\"final\":false,\"recipients\":["
    "{\"to\":\"b@y.test\",\"state\":\"delivered\",\"attempts\":1},"
    "{\"to\":\"\\u001b[31mc@z.test\",\"state\":\"deferred\",\"attempts\":1}],\"events\":["
    "{\"time\":\"2026-11-22T11:00:00.260Z\",\"event\":\"deferred\",\"rcpt\":1,\"attempt\":1,"
    "\"code\":451,\"esc\":\"4.7.1\",\"host\":\"mx.z.test [198.51.100.4]\",\"tls\":\"TLS 1.3\","
    "\"rule\":\"godwit.conf:52\",\"reply\":\"come\\u001b[2J back\"},"
    "{\"time\":\"2026-11-22T11:00:00.540Z\",\"event\":\"delivered\",\"rcpt\":0,\"attempt\":1,"
    "\"code\":250,\"esc\":\"2.0.0\",\"reply\":\"Ok\"}],"
    "\"queue\":{\"recipients\":[{\"to\":\"b@y.test\",\"state\":\"delivered\"},"
    "{\"to\":\"\\u001b[31mc@z.test\",\"state\":\"deferred\",\"attempts\":1,"
    "\"due\":\"2026-11-22T11:05:00.000Z\",\"site\":\"mx z.test\"}]}}";

static void by_recipient(void **state)
{
	json_t *j = parse(story);
	const char *text;

	(void)state;
	buf_clear(&out);
	trace_message(j, NOON + 60 * INT64_C(1000000), &out);
	text = end();
	assert_non_null(strstr(text, "01M813BMFSFGYV8SGE94RHJ8VX  from a@x.test"));
	assert_non_null(strstr(text, "login acme"));
	assert_non_null(strstr(text, "+0.540  delivered"));
	assert_non_null(strstr(text, "rule       godwit.conf:52"));
	assert_non_null(strstr(text, "TLS 1.3  451 4.7.1 come"));
	assert_non_null(strstr(text, "attempt 2 in 4m"));
	/* The first recipient's story stands before the second's, whatever the order was. */
	assert_true(strstr(text, "delivered") < strstr(text, "deferred"));
	assert_null(strchr(text, '\x1b'));
	json_decref(j);
}

static void only_what_is_new(void **state)
{
	json_t *j = parse(story);
	unsigned *seen = NULL;
	size_t n = 0;

	(void)state;
	buf_clear(&out);
	trace_news(j, &seen, &n, &out);
	assert_non_null(strstr(end(), "delivered"));
	buf_clear(&out);
	trace_news(j, &seen, &n, &out);
	assert_string_equal(end(), "");
	json_array_append_new(json_object_get(j, "events"),
	    parse("{\"time\":\"2026-11-22T11:05:00.000Z\",\"event\":\"bounced\",\"rcpt\":1}"));
	buf_clear(&out);
	trace_news(j, &seen, &n, &out);
	assert_non_null(strstr(end(), "+5m00"));
	assert_null(strstr(end(), "delivered"));
	free(seen);
	json_decref(j);
}

/* An answer of another server, or of nobody's. */
static void any_answer(void **state)
{
	static const char *const odd[] = {"{}", "[]", "{\"id\":7,\"events\":{}}",
	    "{\"id\":\"x\",\"recipients\":[1,null,{}],\"events\":[null,{\"rcpt\":-5},{\"rcpt\":"
	    "1e18}]}",
	    "{\"id\":\"x\",\"events\":[{\"rcpt\":9223372036854775807}],\"queue\":[]}",
	    "{\"queue\":{\"recipients\":[{}]},\"events\":[]}"};
	unsigned *seen = NULL;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(odd); i++) {
		json_t *j = parse(odd[i]);

		buf_clear(&out);
		trace_message(j, NOON, &out);
		trace_news(j, &seen, &n, &out);
		trace_list_row(j, NOON, SPAN_NONE, &out);
		end();
		json_decref(j);
	}
	assert_true(n <= 50000);
	free(seen);
}

static const char *row_of(const char *to)
{
	json_t *j = parse(story);

	buf_clear(&out);
	trace_list_row(j, NOON, span_str(to), &out);
	json_decref(j);
	return end();
}

/* "delivered" for a message that one of its recipients does not have would be a lie. */
static void about_whom(void **state)
{
	(void)state;
	assert_non_null(strstr(row_of("B@y.test"), "delivered  a@x.test -> b@y.test and 1 more"));
	assert_non_null(strstr(row_of(""), "deferred   a@x.test -> "));
	assert_non_null(
	    strstr(row_of("other@y.test"), "delivered  a@x.test -> b@y.test and 1 more"));
}

static void outcome_of(const char *json, int want)
{
	json_t *j = parse(json);

	assert_int_equal(trace_outcome(j), want);
	json_decref(j);
}

static void outcomes(void **state)
{
	(void)state;
	outcome_of(story, CMD_NO);
	outcome_of("{\"final\":true,\"recipients\":[{\"state\":\"delivered\"}]}", CMD_OK);
	outcome_of(
	    "{\"final\":true,\"recipients\":[{\"state\":\"delivered\"},{\"state\":\"bounced\"}]}",
	    CMD_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(by_recipient),
	    cmocka_unit_test(only_what_is_new),
	    cmocka_unit_test(any_answer),
	    cmocka_unit_test(about_whom),
	    cmocka_unit_test(outcomes),
	};

	buf_init(&out, 1 << 20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
