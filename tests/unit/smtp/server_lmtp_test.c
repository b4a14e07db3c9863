/* LMTP: the replies behind the end of a message, one for each recipient, when they are too many for
 * the output at once and something else happens before the client has read them. */
#include "unit/smtp/session.h"

enum { RECIPIENTS = 1000 };

/* The message is taken, and of the replies more are due than fit. */
static void to_replies(struct session *t, struct server_config *c)
{
	static char words[400];
	struct reply yes = REPLY(250, 2, 0, 0, "");
	struct server_event ev;

	*c = config;
	c->lmtp = true;
	c->recipients = RECIPIENTS;
	session_start(t, c);
	say(t, "LHLO c\r\nMAIL FROM:<a@b.test>\r\n");
	for (int i = 0; i < RECIPIENTS; i++)
		say(t, "RCPT TO:<c@d.test>\r\n");
	say(t, "DATA\r\n");
	say(t, "x\r\n");
	buf_clear(&t->out);
	assert_int_equal(server_feed(&t->server, SPAN(".\r\n"), t->now), 3);
	assert_int_equal(server_next(&t->server, &ev), 1);
	assert_int_equal(ev.type, SERVER_EOM);
	memset(words, 'w', sizeof(words));
	yes.text = span_of(words, sizeof(words));
	server_answer(&t->server, &yes, t->now);
	assert_true(server_is_full(&t->server));
	assert_int_equal(server_feed(&t->server, SPAN("NOOP\r\n"), t->now), 0);
}

/* All that the client reads from here on. */
static size_t lines_with(struct session *t, const char *code)
{
	struct span out;
	size_t n = 0;

	while (server_output(&t->server).n > 0)
		take_output(t);
	for (out = buf_view(&t->out); out.n > 0;
	     out = span_skip(out, (size_t)span_find(out, '\n') + 1))
		n += span_starts(out, span_str(code));
	return n;
}

static void finish(struct session *t)
{
	struct server_event ev;

	assert_int_equal(lines_with(t, "250 2.0.0 w"), RECIPIENTS);
	assert_int_equal(lines_with(t, "421"), 0);
	while (server_next(&t->server, &ev) == 1)
		t->ended = t->ended || ev.type == SERVER_END;
	assert_true(t->ended);
	session_end(t);
}

static void who_has_to_go_hears_them_all(void **state)
{
	struct server_config c;
	struct session t;

	(void)state;
	to_replies(&t, &c);
	server_evict(&t.server, &REPLY(421, 4, 3, 2, "Go away"), "pressure");
	finish(&t);
}

static void who_reads_slowly_hears_them_all(void **state)
{
	struct server_config c;
	struct session t;

	(void)state;
	to_replies(&t, &c);
	t.now = server_deadline(&t.server);
	assert_true(t.now < INT64_MAX);
	server_tick(&t.server, t.now);
	finish(&t);
}

/* 421 comes behind them. */
static void the_end_of_the_server_waits_for_them(void **state)
{
	struct server_config c;
	struct session t;

	(void)state;
	to_replies(&t, &c);
	server_shutdown(&t.server, t.now);
	assert_int_equal(lines_with(&t, "250 2.0.0 w"), RECIPIENTS);
	assert_int_equal(lines_with(&t, "421"), 1);
	assert_true(span_eq(span_skip(buf_view(&t.out), buf_len(&t.out) - 41),
	    SPAN("421 4.3.2 mx.test Service shutting down\r\n")));
	session_end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_has_to_go_hears_them_all),
	    cmocka_unit_test(who_reads_slowly_hears_them_all),
	    cmocka_unit_test(the_end_of_the_server_waits_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
