#include "client_peer.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What transcripts (tests/wire/client) cannot show: crowds of recipients, memory,
 * and calls at the wrong moment. The content has its own, client_body_test.c.
 */

enum { CROWD = 50000 };

/* ---- a failing allocator: the nth realloc from now on, and all behind it, fail */

#if !defined(__SANITIZE_ADDRESS__)
static long fail_after = -1;

extern void *__libc_realloc(void *p, size_t n);

void *realloc(void *p, size_t n)
{
	if (fail_after == 0)
		return NULL;
	if (fail_after > 0)
		fail_after--;
	return __libc_realloc(p, n);
}
#endif

/* ---- crowds */

static struct client_rcpt *crowd(struct client_txn *txn, size_t n)
{
	struct client_rcpt *rcpt = gw_calloc(n, sizeof(*rcpt));

	for (size_t i = 0; i < n; i++)
		rcpt[i].addr = SPAN("somebody.with.a.name@some.domain.example");
	*txn = (struct client_txn){.from = SPAN("a@a.example"), .rcpt = rcpt, .n_rcpt = n};
	return rcpt;
}

static void add_replies(struct buf *b, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_str(b, text);
}

/* Every third recipient is refused; replies come while commands still leave. */
static void a_crowd_pipelined(void **state)
{
	struct client *c = greeted("250-mx\r\n250 PIPELINING\r\n");
	struct client_txn txn;
	struct client_rcpt *rcpt = crowd(&txn, CROWD);
	size_t replied = 0, left = 0;
	struct tally t;

	(void)state;
	client_send(c, &txn, 0);
	assert_true(client_output(c).n > CLIENT_OUT_MAX - 5000);
	for (size_t told = 0; replied < CROWD; replied++) {
		assert_true(client_output(c).n <= CLIENT_OUT_MAX);
		left += client_output(c).n;
		flush(c);
		if (replied == 0)
			assert_int_equal(say(c, "250 ok\r\n").told, 0);
		told += say(c, replied % 3 == 2 ? "550 no\r\n" : "250 ok\r\n").told;
		assert_int_equal(told, (replied + 1) / 3);
	}
	assert_true(left > CROWD * 2);
	assert_int_equal(say(c, "354 go\r\n").want, 1);
	client_body_end(c, 0);
	t = say(c, "250 ok\r\n");
	assert_int_equal(t.delivered, CROWD - CROWD / 3);
	assert_int_equal(t.done, 1);
	client_free(&c);
	free(rcpt);
}

static void a_crowd_with_mail_refused(void **state)
{
	struct client *c = greeted("250-mx\r\n250 PIPELINING\r\n");
	struct client_txn txn;
	struct client_rcpt *rcpt = crowd(&txn, CROWD);
	unsigned commands = 0;
	struct buf replies;
	struct tally t;

	(void)state;
	client_send(c, &txn, 0);
	client_sent(c, strlen("MAIL FROM:<a@a.example>\r\n"), 0);
	/* What is in the output may still leave when MAIL is refused, but no more is added. */
	for (size_t i = 0; i < client_output(c).n; i++)
		commands += client_output(c).p[i] == '\n';
	assert_true(commands > 1000 && commands < CROWD);
	assert_int_equal(client_feed(c, SPAN("550 5.7.1 no\r\n"), 0), 14);
	t = drain(c);
	assert_int_equal(t.told, CROWD);
	assert_int_equal(t.done, 0);
	assert_int_equal(t.last.rcpt, CROWD - 1);
	buf_init(&replies, 1000000);
	add_replies(&replies, "503 no\r\n", commands);
	buf_add_byte(&replies, 0);
	t = say(c, (const char *)buf_view(&replies).p);
	assert_int_equal(t.told, 0);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.ready, 1);
	buf_fini(&replies);
	client_free(&c);
	free(rcpt);
}

/* ---- calls at the wrong moment */

static void the_end_comes_amid_events(void **state)
{
	struct client *c = greeted("250-mx\r\n250 PIPELINING\r\n");
	struct client_txn txn;
	struct client_rcpt *rcpt = crowd(&txn, 10);
	struct client_event ev;
	struct tally t;

	(void)state;
	client_send(c, &txn, 0);
	flush(c);
	assert_int_equal(client_feed(c, SPAN("550 5.7.1 no\r\n"), 0), 14);
	assert_int_equal(client_next(c, &ev), 1);
	client_eof(c, 0);
	client_tick(c, INT64_MAX - 1);
	t = drain(c);
	assert_int_equal(t.told, 9);
	assert_int_equal(t.code, 550);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.closed, 1);
	assert_int_equal(client_next(c, &ev), -1);
	assert_int_equal(client_feed(c, SPAN("250 ok\r\n"), 0), 8);
	assert_int_equal(client_next(c, &ev), -1);
	client_free(&c);
	free(rcpt);
}

/* Text of a reply must outlast a tick that comes before its event is taken. */
static void a_tick_amid_events(void **state)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, 0);
	struct client *c = at_body(&txn);
	struct tally t;

	(void)state;
	client_body_end(c, 0);
	flush(c);
	assert_int_equal(client_feed(c, SPAN("250 2.0.0 taken\r\n"), 0), 17);
	client_tick(c, 3600000000);
	t = drain(c);
	assert_int_equal(t.delivered, 1);
	assert_int_equal(t.last.reply.text.n, 5);
	assert_memory_equal(t.last.reply.text.p, "taken", 5);
	client_free(&c);
}

static void a_message_for_a_dead_connection(void **state)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, 0);
	struct client *c = greeted("250 mx\r\n");
	struct tally t;

	(void)state;
	client_eof(c, 0);
	client_send(c, &txn, 0);
	assert_int_equal(client_output(c).n, 0);
	t = drain(c);
	assert_int_equal(t.told, 1);
	assert_int_equal(t.delivered, 0);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.closed, 1);
	client_free(&c);
}

static void nobody_to_send_to(void **state)
{
	struct client_txn txn = {.from = SPAN("a@a.example")};
	struct client *c = greeted("250 mx\r\n");
	struct tally t;

	(void)state;
	client_send(c, &txn, 0);
	assert_int_equal(client_output(c).n, 0);
	t = drain(c);
	assert_int_equal(t.told, 0);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.ready, 1);
	client_free(&c);
}

static void quit_before_the_greeting(void **state)
{
	struct client *c;
	struct tally t;

	(void)state;
	client_config_defaults(&config);
	c = client_new(&config, 0);
	client_quit(c, 0);
	assert_int_equal(client_output(c).n, 0);
	t = drain(c);
	assert_int_equal(t.closed, 1);
	assert_false(t.last.site);
	client_free(&c);
	client_free(&c);
}

static void an_address_of_any_length(void **state)
{
	static char longest[CLIENT_ADDRESS_MAX + 1];
	struct client_rcpt rcpt[2];
	struct client_txn txn = one_rcpt(rcpt, UINT64_MAX);
	struct client *c = greeted("250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n");

	(void)state;
	memset(longest, 'a', sizeof(longest));
	rcpt[0].addr = span_of(longest, CLIENT_ADDRESS_MAX + 1);
	rcpt[1].addr = span_of(longest, CLIENT_ADDRESS_MAX);
	txn.n_rcpt = 2;
	txn.from = rcpt[1].addr;
	txn.eight_bit = true;
	client_send(c, &txn, 0);
	assert_int_equal(drain(c).last.rcpt, 0);
	assert_int_equal(client_output(c).n, 11 + 1000 + 1 + 26 + 14 + 2 + 9 + 1000 + 3 + 6);
	client_free(&c);
}

/* ---- what was offered */

static void keywords(void **state)
{
	struct client *c = greeted("250-PIPELINING\r\n250-x8BITMIME\r\n250-size 5000 \r\n"
				   "250-SIZES 7\r\n250 EnhancedStatusCodes\r\n");

	(void)state;
	assert_int_equal(client_extensions(c), EXT_BIT(SIZE) | EXT_BIT(ENHANCEDSTATUSCODES));
	assert_int_equal(client_peer_size(c), 5000);
	client_free(&c);
}

static void limits(void **state)
{
	struct client *c =
	    greeted("250-mx\r\n250-LIMITS MAILMAX=20 rcptmax=999999 RCPTDOMAINMAX=1000000\r\n"
		    "250 STARTTLS\r\n");

	(void)state;
	assert_int_equal(client_peer_limits(c).mailmax, 20);
	assert_int_equal(client_peer_limits(c).rcptmax, 999999);
	assert_int_equal(client_peer_limits(c).rcptdomainmax, 0);
	client_start_over(c, 0);
	assert_int_equal(say(c, "250 mx\r\n").ready, 1);
	assert_int_equal(client_peer_limits(c).rcptmax, 0);
	client_free(&c);
}

/* A keyword far behind in a long reply counts as well. */
static void a_long_list_of_keywords(void **state)
{
	struct client *c;
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	add_replies(&b, "250-X-SOMETHING-LONG-AND-OF-NO-USE\r\n", 1000);
	buf_add_str(&b, "250 PIPELINING\r\n");
	buf_add_byte(&b, 0);
	c = greeted((const char *)buf_view(&b).p);
	assert_int_equal(client_extensions(c), EXT_BIT(PIPELINING));
	buf_fini(&b);
	client_free(&c);
}

/* ---- memory */

static void an_idle_engine_is_small(void **state)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, 0);
	struct client *c = at_body(&txn);

	(void)state;
	client_body_end(c, 0);
	assert_int_equal(say(c, "250 ok\r\n").ready, 1);
	assert_true(c->out.cap > 0);
	assert_true(client_deadline(c) < INT64_MAX);
	client_tick(c, client_deadline(c));
	assert_int_equal(c->out.cap, 0);
	assert_int_equal(c->reader.text.cap, 0);
	assert_int_equal(client_deadline(c), INT64_MAX);
	client_send(c, &txn, 0);
	assert_int_equal(say(c, "250 ok\r\n250 ok\r\n354 go\r\n").want, 1);
	client_free(&c);
}

/* As the header of the engine says. */
static void the_engine_alone_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct client) <= 800);
}

#if !defined(__SANITIZE_ADDRESS__)
/* In a process of its own, whose nth allocation fails: true if the message was delivered, else it
 * ended there and then. It never goes on with half of what it had. */
static bool delivers_with(long n)
{
	static const char *const replies[] = {"220 hi\r\n", "250-mx\r\n250 PIPELINING\r\n",
	    "250 ok\r\n250 ok\r\n354 go\r\n", "250 taken\r\n"};
	static uint8_t text[5000];
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, sizeof(text));
	struct tally sum = {0}, t;
	struct client *c;

	memset(text, 'x', sizeof(text));
	fail_after = n;
	c = client_new(&config, 0);
	for (size_t i = 0; i < GW_ARRAY_LEN(replies); i++) {
		t = say(c, replies[i]);
		sum.told += t.told;
		sum.delivered += t.delivered;
		if (i == 1 && t.ready)
			client_send(c, &txn, 0);
		if (t.want) {
			client_body(c, span_of(text, sizeof(text)), 0);
			client_body_end(c, 0);
		}
	}
	fail_after = -1;
	client_free(&c);
	return sum.delivered == 1 && sum.told == 1;
}

static bool ends_or_delivers(long n)
{
	struct rlimit no_core = {0, 0};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		_exit(delivers_with(n) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) == 0);
	return WIFEXITED(status);
}

static void out_of_memory_at_any_time(void **state)
{
	long n = 0;

	(void)state;
	client_config_defaults(&config);
	config.hostname = SPAN("me.example");
	while (!ends_or_delivers(n))
		n++;
	assert_true(n > 5);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crowd_pipelined),
		cmocka_unit_test(a_crowd_with_mail_refused),
		cmocka_unit_test(the_end_comes_amid_events),
		cmocka_unit_test(a_tick_amid_events),
		cmocka_unit_test(a_message_for_a_dead_connection),
		cmocka_unit_test(nobody_to_send_to),
		cmocka_unit_test(quit_before_the_greeting),
		cmocka_unit_test(an_address_of_any_length),
		cmocka_unit_test(keywords),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_long_list_of_keywords),
		cmocka_unit_test(an_idle_engine_is_small),
		cmocka_unit_test(the_engine_alone_is_small),
#if !defined(__SANITIZE_ADDRESS__)
		cmocka_unit_test(out_of_memory_at_any_time),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
