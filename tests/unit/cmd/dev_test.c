#include "cmd/dev_setup.h"
#include "cmd/dev_show.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct dev_show show;
static struct buf out;

static const char *end(void)
{
	buf_add_byte(&out, '\0');
	return (const char *)buf_view(&out).p;
}

static const char *line_of(const char *in, size_t n)
{
	buf_clear(&out);
	dev_show_line(&show, span_of(in, n), &out);
	dev_show_rest(&show, &out);
	return end();
}

#define LINE(lit) line_of(lit, sizeof(lit) - 1)
#define T "{\"time\":\"2026-11-21T22:13:47.608Z\",\"ev\":"

static void arrivals(void **state)
{
	(void)state;
	assert_string_equal(LINE(T "\"accepted\",\"id\":\"x\",\"size\":18231,\"rcpts\":3,\"from\":"
				   "\"shop@example.com\","
				   "\"to\":\"bob@example.net\",\"subject\":\"Your order 1042\"}"),
	    "22:13:47  from=shop@example.com        to=bob@example.net +2        "
	    "\"Your order 1042\"  18 kB\n");
	assert_string_equal(
	    LINE(T "\"accepted\",\"size\":5,\"rcpts\":1,\"from\":\"\",\"to\":\"b\"}"),
	    "22:13:47  from=<>                      to=b                         5 B\n");
	assert_int_equal(show.n.accepted, 2);
}

static void refusals(void **state)
{
	(void)state;
	assert_string_equal(
	    LINE(T "\"reject\",\"stage\":\"rcpt\",\"code\":451,\"esc\":\"4.3.0\","
		   "\"reason\":\"fault_address\",\"from\":\"a@x\",\"to\":\"451@any.test\"}"),
	    "22:13:47  from=a@x                     to=451@any.test              "
	    "refused at RCPT with 451 4.3.0 (fault address)\n");
	assert_string_equal(
	    LINE(T "\"reject\",\"stage\":\"data\",\"code\":554,\"reason\":\"no_recipients\"}"), "");
	assert_int_equal(show.n.refused, 1);
}

static void outcomes(void **state)
{
	(void)state;
	assert_string_equal(
	    LINE(T "\"deferred\",\"code\":451,\"esc\":\"4.3.0\",\"attempt\":1,\"next\":5.300,"
		   "\"to\":\"defer@any.test\",\"reply\":\"later\"}"),
	    "22:13:47  to=defer@any.test            deferred, next try in 5 s: 451 4.3.0 later\n");
	assert_string_equal(LINE(T "\"delivered\",\"attempt\":1,\"code\":250,\"to\":\"a@b\"}"), "");
	assert_non_null(strstr(
	    LINE(T "\"delivered\",\"attempt\":2,\"code\":250,\"to\":\"a@b\"}"), "delivered: 250"));
	show.forward = true;
	assert_non_null(strstr(
	    LINE(T "\"delivered\",\"attempt\":1,\"code\":250,\"to\":\"a@b\"}"), "delivered: 250"));
	show.forward = false;
	assert_int_equal(show.n.delivered, 3);
	assert_non_null(strstr(LINE(T "\"bounced\",\"code\":550,\"to\":\"a@b\"}"), "bounced: 550"));
}

/* What became of a message stands behind its arrival, however the processes wrote. */
static void arrival_comes_first(void **state)
{
	(void)state;
	buf_clear(&out);
	dev_show_line(&show, SPAN(T "\"deferred\",\"code\":451,\"to\":\"a@b\"}"), &out);
	assert_int_equal(buf_len(&out), 0);
	dev_show_line(&show, SPAN(T "\"accepted\",\"to\":\"a@b\"}"), &out);
	dev_show_rest(&show, &out);
	assert_true(strstr(end(), "from=<>") < strstr(end(), "deferred"));
}

static void roles_only_when_they_die(void **state)
{
	(void)state;
	assert_string_equal(LINE(T "\"role.started\",\"role\":\"smtpd\",\"index\":0}"), "");
	assert_string_equal(LINE(T "\"config.loaded\"}"), "");
	assert_string_equal(LINE(T "\"role.died\",\"role\":\"smtpd\",\"index\":0,\"signal\":31}"),
	    "22:13:47  a process ended and is started again: smtpd, signal 31\n");
}

/* One line in, at most one line out, and nothing a terminal obeys. */
static void check_harmless(const char *text)
{
	size_t lines = 0;

	for (const char *c = text; *c != '\0'; c++) {
		lines += *c == '\n';
		assert_true(*c == '\n' || (uint8_t)*c >= ' ');
		assert_true((uint8_t)*c != 0x7f && (uint8_t)*c != 0x9b);
	}
	assert_true(lines <= 1);
}

static void hostile_lines(void **state)
{
	(void)state;
	check_harmless(
	    LINE(T "\"accepted\",\"from\":\"\\u001b[2J\\u000a22:00:00 fake\","
		   "\"to\":\"\\u0000\\u0007\",\"subject\":\"\\u009b31m\\u00e2\\u0080\\u00ae\"}"));
	assert_non_null(strstr(end(), "\\x1b[2J\\x0a22:00:00 fake"));
	check_harmless(LINE("godwit: died of \x1b[31m\r\x9b"));
	check_harmless(LINE(T "\"error\",\"text\":\"\\u001b]0;x\\u0007\"}"));
	check_harmless(LINE(
	    T "\"reject\",\"stage\":\"\\u001b\",\"reason\":\"\\u000a_\",\"esc\":\"\\u001b\"}"));
	check_harmless(LINE(T "\"role.died\",\"role\":\"\\u000a\"}"));
	check_harmless(LINE("{"));
	check_harmless(LINE("{}"));
	check_harmless(LINE("{\"ev\":7}"));
	check_harmless(
	    LINE("{\"ev\":\"accepted\",\"from\":{},\"to\":[],\"size\":\"x\",\"rcpts\":-5}"));
	check_harmless(LINE("{\"ev\":\"deferred\",\"next\":\"x\",\"code\":1e300}"));
	check_harmless(LINE("{\"ev\":\"accepted\"}{\"ev\":\"accepted\"}"));
	check_harmless(LINE("{\"a\":\"\xff\xfe\"}"));
	assert_string_equal(LINE(""), "");
	assert_int_equal(show.n.unread, 3);
}

static void long_values_are_cut(void **state)
{
	static char line[20000];
	size_t n = (size_t)snprintf(line, sizeof(line), T "\"accepted\",\"subject\":\"");

	(void)state;
	memset(line + n, 'x', 16000);
	memcpy(line + n + 16000, "\"}", 2);
	assert_true(strlen(line_of(line, n + 16002)) < 200);
	for (size_t i = 0; i + 6 <= 16000; i += 6)
		memcpy(line + n + i, "\\u001b", 6);
	check_harmless(line_of(line, n + 16002));
	assert_true(buf_len(&out) < 400);
}

/* ---- RFC 2047 ------------------------------------------------------------------------------ */

static const char *words(const char *in)
{
	buf_clear(&out);
	dev_decode_words(span_str(in), &out);
	return end();
}

static void words_are_decoded(void **state)
{
	(void)state;
	assert_string_equal(words("plain =?= ?= text"), "plain =?= ?= text");
	assert_string_equal(words("=?UTF-8?B?R3LDvMOfZQ==?="), "Gr\u00fc\u00dfe");
	assert_string_equal(words("=?utf-8?q?Gr=C3=BC=C3=9Fe_x?= y"), "Gr\u00fc\u00dfe x y");
	assert_string_equal(words("=?utf-8?B?YQ==?= =?utf-8?B?Yg==?= c"), "ab c");
	assert_string_equal(words("=?utf-8?B?YQ==?=\r\n\t=?utf-8?B?Yg==?="), "ab");
	assert_string_equal(words("=?iso-8859-1?Q?=E4?="), "=?iso-8859-1?Q?=E4?=");
	assert_string_equal(words("=?utf-8?B?!?="), "=?utf-8?B?!?=");
	assert_string_equal(words("=?utf-8?Q?=4?="), "=?utf-8?Q?=4?=");
	assert_string_equal(words("=?utf-8?X?a?="), "=?utf-8?X?a?=");
	assert_string_equal(words("=?utf-8?B?YQ=="), "=?utf-8?B?YQ==");
	assert_string_equal(words("=?utf-8?B"), "=?utf-8?B");
	assert_string_equal(words("=?"), "=?");
	assert_string_equal(words("=?"
				  "?"
				  "?="),
	    "=?"
	    "?"
	    "?=");
	assert_string_equal(words("=?utf-8?Q?"
				  "?="),
	    "");
}

static void total(void **state)
{
	(void)state;
	show.n = (struct dev_counts){.accepted = 1, .refused = 2, .bounced = 1};
	buf_clear(&out);
	dev_show_total(&show, &out);
	assert_string_equal(end(), "caught 1 message, 2 refusals, 1 bounce");
}

/* ---- set-up -------------------------------------------------------------------------------- */

static void listeners(void **state)
{
	static const char *const bad[] = {"", "x", "x:y", "300.1.1.1", "1.2.3.4:0", "1.2.3.4:99999",
	    "[::1", "[]:25", "99999", "127.0.0.1:25 route", "127.0.0.1:25\nroute", "a.example:25",
	    "1.2.3.4:", "::g", "1.2.3.4:25}"};
	char at[DEV_AT_MAX];
	bool loopback;

	(void)state;
	assert_int_equal(dev_listen_parse("127.0.0.1", at, &loopback), 0);
	assert_string_equal(at, "127.0.0.1:2525");
	assert_true(loopback);
	assert_int_equal(dev_listen_parse("2600", at, &loopback), 0);
	assert_string_equal(at, "127.0.0.1:2600");
	assert_int_equal(dev_listen_parse("0.0.0.0:26", at, &loopback), 0);
	assert_string_equal(at, "0.0.0.0:26");
	assert_false(loopback);
	assert_int_equal(dev_listen_parse("::1", at, &loopback), 0);
	assert_string_equal(at, "[::1]:2525");
	assert_true(loopback);
	assert_int_equal(dev_listen_parse("[::]:26", at, &loopback), 0);
	assert_false(loopback);
	assert_int_equal(dev_listen_parse("localhost:26", at, &loopback), 0);
	assert_string_equal(at, "127.0.0.1:26");
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(dev_listen_parse(bad[i], at, &loopback), GW_EFORMAT);
}

static void paths(void **state)
{
	char longest[101];

	(void)state;
	assert_true(dev_path_usable("/tmp/a b#c;d{e}"));
	assert_false(dev_path_usable("/tmp/a\"b"));
	assert_false(dev_path_usable("/tmp/a\nroute to any"));
	assert_false(dev_path_usable("/tmp/${HOME}"));
	assert_false(dev_path_usable("/tmp/%u"));
	memset(longest, 'a', 100);
	longest[0] = '/';
	longest[100] = '\0';
	assert_false(dev_path_usable(longest));
	longest[99] = '\0';
	assert_true(dev_path_usable(longest));
}

static struct config *parse(const struct dev_setup *s)
{
	struct config_diags d;
	struct config *c = NULL;
	struct buf bundle;

	buf_clear(&out);
	dev_config(s, &out);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	config_diags_init(&d);
	if (config_bundle_text("dev", buf_view(&out), &bundle) == 0)
		c = config_parse(buf_view(&bundle), 1, &d);
	config_diags_fini(&d);
	buf_fini(&bundle);
	return c;
}

static void configuration_is_good(void **state)
{
	struct dev_setup s = {.dir = "/tmp/a b#c;d{e}",
	    .listen = {"127.0.0.1:2525"},
	    .n_listen = 1,
	    .run_as = "nobody"};
	struct config *c = parse(&s);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->control, "/tmp/a b#c;d{e}/control");
	assert_string_equal(c->route[0].target.path, "/tmp/a b#c;d{e}/Maildir");
	assert_true(c->log_json && c->log_subject && !c->allow_open_relay);
	assert_int_equal(c->n_trust, 2);
	config_free(&c);
	s.open = true;
	c = parse(&s);
	assert_non_null(c);
	assert_int_equal(c->n_trust, 4);
	config_free(&c);
	/* What is sent on must not be open to everybody. */
	s.forward = "127.0.0.1:25";
	c = parse(&s);
	assert_non_null(c);
	assert_int_equal(c->n_trust, 2);
	assert_int_equal(c->route[0].target.kind, TARGET_RELAY);
	config_free(&c);
}

static int set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	buf_init(&out, 1 << 20);
	dev_show_init(&show, false);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dev_show_fini(&show);
	buf_fini(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(arrivals, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(refusals, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(outcomes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(arrival_comes_first, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(roles_only_when_they_die, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(hostile_lines, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(long_values_are_cut, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(words_are_decoded, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(total, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(listeners, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(paths, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(configuration_is_good, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
