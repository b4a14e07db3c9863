#include "unit/base/helper.h"

#include "base/clock.h"
#include "net/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static char order[64];
static size_t n_order;

static void note(char c)
{
	assert_in_range(n_order, 0, sizeof(order) - 2);
	order[n_order++] = c;
	order[n_order] = '\0';
}

static int set_up(void **state)
{
	n_order = 0;
	order[0] = '\0';
	*state = loop_new();
	return 0;
}

static int tear_down(void **state)
{
	struct loop *l = *state;

	loop_free(&l);
	assert_null(l);
	loop_free(&l);
	return 0;
}

struct marker {
	struct flush flush;
	struct loop *loop;
	struct marker *other;
	char name;
	int again;
};

static void marked(void *arg)
{
	struct marker *m = arg;

	note(m->name);
	if (m->other != NULL)
		flush_mark(&m->other->flush, m->loop);
	m->other = NULL;
	if (m->again-- > 0)
		flush_mark(&m->flush, m->loop);
}

/* Hooks run before the loop waits, in the order of marking, and may mark others and themselves. */
static void test_flush(void **state)
{
	struct loop *l = *state;
	struct marker a = {.loop = l, .name = 'a', .again = 2}, b = {.loop = l, .name = 'b'};
	struct marker c = {.loop = l, .name = 'c'};

	a.other = &c;
	flush_init(&a.flush, marked, &a);
	flush_init(&b.flush, marked, &b);
	flush_init(&c.flush, marked, &c);
	flush_mark(&a.flush, l);
	flush_mark(&b.flush, l);
	flush_mark(&a.flush, l); /* once */
	loop_once(l, false);
	assert_string_equal(order, "abcaa");
	flush_mark(&b.flush, l);
	flush_unmark(&b.flush, l);
	flush_unmark(&b.flush, l);
	loop_once(l, false);
	assert_string_equal(order, "abcaa");
}

static void ring(void *arg)
{
	note(*(char *)arg);
}

static void turns(struct loop *l, size_t want)
{
	for (int i = 0; i < 1000 && n_order < want; i++) {
		loop_once(l, false);
		usleep(200);
	}
}

static void test_timers(void **state)
{
	struct loop *l = *state;
	char names[] = "abc";
	struct timer t[3];
	int64_t now = loop_now(l);

	for (int i = 0; i < 3; i++)
		timer_start(&t[i], l, ring, &names[i]);
	loop_once(l, false);
	assert_string_equal(order, "");
	timer_set(&t[0], now + 20000);
	timer_set(&t[1], now - 5000000); /* long ago: at once */
	timer_set(&t[2], now + 10000);
	timer_set(&t[2], now + 10000);
	turns(l, 3);
	assert_string_equal(order, "bca");
	/* The clock of the loop is coarse: a timer may ring some milliseconds early. */
	assert_in_range(loop_now(l) - now, 12000, 2000000);
	/* It rings once; setting the same time again is a new wish. */
	timer_set(&t[0], now + 20000);
	turns(l, 4);
	assert_string_equal(order, "bcaa");
	timer_set(&t[1], loop_now(l) + 1000);
	timer_set(&t[1], INT64_MAX);
	timer_set(&t[2], loop_now(l) + 1000);
	timer_stop(&t[2]);
	usleep(3000);
	loop_once(l, false);
	assert_string_equal(order, "bcaa");
	timer_stop(&t[0]);
	timer_stop(&t[0]);
}

static int fd[2];

static void ready(void *arg, bool readable, bool writable)
{
	char c;

	(void)arg;
	if (readable && read(fd[0], &c, 1) == 1)
		note(c);
	if (writable)
		note('w');
}

static void test_watch(void **state)
{
	struct loop *l = *state;
	struct watch in, out;

	assert_int_equal(pipe(fd), 0);
	watch_start(&in, l, fd[0], ready, NULL);
	watch_start(&out, l, fd[1], ready, NULL);
	assert_int_equal(write(fd[1], "xy", 2), 2);
	loop_once(l, false);
	assert_string_equal(order, ""); /* nothing is wanted yet */
	watch_want(&in, true, false);
	watch_want(&in, true, false);
	loop_once(l, false);
	loop_once(l, false);
	loop_once(l, false);
	assert_string_equal(order, "xy");
	watch_want(&out, false, true);
	loop_once(l, false);
	assert_string_equal(order, "xyw");
	watch_want(&out, false, false);
	assert_int_equal(write(fd[1], "z", 1), 1);
	watch_stop(&in);
	loop_once(l, false);
	assert_string_equal(order, "xyw");
	watch_stop(&in);
	watch_stop(&out);
	close(fd[0]);
	close(fd[1]);
}

static void got_signal(void *arg, int sig)
{
	assert_int_equal(sig, SIGUSR1);
	note('s');
	loop_stop(arg, 42);
}

static void test_signal_and_stop(void **state)
{
	struct loop *l = *state;
	struct marker m = {.loop = l, .name = 'm'};
	struct signal_watch s;

	flush_init(&m.flush, marked, &m);
	signal_start(&s, l, SIGUSR1, got_signal, l);
	flush_mark(&m.flush, l);
	raise(SIGUSR1);
	assert_int_equal(loop_run(l), 42);
	assert_string_equal(order, "ms");
	signal_stop(&s);
}

/* The clock runs evenly and near the wall. */
static void test_clock(void **state)
{
	int64_t a = clock_now(), b = clock_now();

	(void)state;
	assert_true(b >= a);
	assert_in_range(clock_wall() - clock_now() + 5 * USEC_PER_SEC, 0, 10 * USEC_PER_SEC);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_flush),
	    LOOP_TEST(test_timers),
	    LOOP_TEST(test_watch),
	    LOOP_TEST(test_signal_and_stop),
	    cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
