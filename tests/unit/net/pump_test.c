/* The pump: whatever one side says reaches the other, behind it its end, and no more is kept than
 * there is room for. */
#include "net/pump.h"

#include "unit/net/tls_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

enum { MUCH = 3 << 20, PIECE = 40000 };

struct world {
	struct loop *loop;
	struct stream peer, pair;
	int client, process; /* the far ends */
	struct pump pump;
	unsigned over;
};

static void over(void *arg)
{
	struct world *w = arg;

	w->over++;
	pump_stop(&w->pump);
	stream_close(&w->peer);
	stream_close(&w->pair);
}

static void begin(struct world *w, struct span early)
{
	int a[2], b[2];

	*w = (struct world){.loop = loop_new()};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
	stream_init(&w->peer, a[0]);
	stream_init(&w->pair, b[0]);
	w->client = a[1];
	w->process = b[1];
	pump_start(&w->pump, w->loop, &w->peer, &w->pair, early, over, w);
	assert_int_equal(w->over, 0);
}

static void end(struct world *w)
{
	if (w->over == 0)
		over(w);
	if (w->client >= 0)
		close(w->client);
	if (w->process >= 0)
		close(w->process);
	loop_free(&w->loop);
}

static void turn(struct world *w)
{
	for (int i = 0; i < 4; i++)
		loop_once(w->loop, false);
}

static void tell(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void hears(struct world *w, int fd, const char *text)
{
	char got[256] = "";
	ssize_t n;

	turn(w);
	n = read(fd, got, sizeof(got) - 1);
	assert_int_equal(n, (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

static void test_to_and_fro(void **state)
{
	struct world w;

	(void)state;
	begin(&w, SPAN("250-early\r\n"));
	hears(&w, w.process, "250-early\r\n");
	tell(w.client, "220 here\r\n");
	hears(&w, w.process, "220 here\r\n");
	tell(w.process, "EHLO x\r\n");
	hears(&w, w.client, "EHLO x\r\n");
	assert_int_equal(w.pump.in.carried, 21);
	assert_int_equal(w.pump.out.carried, 8);
	end(&w);
}

/* The last words come before the end, from either side, and the other may still answer. */
static void test_ends(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct world w;
		int from, to;

		(void)state;
		begin(&w, SPAN_NONE);
		from = side ? w.client : w.process;
		to = side ? w.process : w.client;
		tell(from, "last words");
		shutdown(from, SHUT_WR);
		hears(&w, to, "last words");
		hears(&w, to, "");
		assert_int_equal(w.over, 0);
		tell(to, "farewell");
		hears(&w, from, "farewell");
		close(to);
		*(side ? &w.process : &w.client) = -1;
		turn(&w);
		assert_int_equal(w.over, 1);
		end(&w);
	}
}

static void test_gone(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct world w;

		(void)state;
		begin(&w, SPAN_NONE);
		tell(w.client, "x");
		tell(w.process, "y");
		close(w.client);
		close(w.process);
		w.client = w.process = -1;
		turn(&w);
		assert_int_equal(w.over, 1);
		end(&w);
	}
}

/* Who does not read is waited for: what is kept has its ceiling, and all of it arrives. */
static void test_much(void **state)
{
	static uint8_t piece[PIECE], got[PIECE];
	size_t sent = 0, came = 0;
	struct world w;

	(void)state;
	begin(&w, SPAN_NONE);
	while (came < MUCH) {
		ssize_t n = 0;

		for (size_t i = 0; i < PIECE; i++)
			piece[i] = (uint8_t)((sent + i) % 251);
		if (sent < MUCH)
			n = write(w.client, piece, PIECE < MUCH - sent ? PIECE : MUCH - sent);
		sent += n > 0 ? (size_t)n : 0;
		turn(&w);
		assert_true(buf_len(&w.pump.in.waiting) <= PUMP_BUFFER);
		if (n > 0)
			continue; /* until nothing more goes in */
		n = read(w.process, got, sizeof(got));
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(got[i], (came + (size_t)i) % 251);
		came += (size_t)n;
	}
	assert_int_equal(w.pump.in.carried, MUCH);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_to_and_fro),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_gone),
	    cmocka_unit_test(test_much),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
