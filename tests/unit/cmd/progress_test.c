#include "cmd/progress.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct shown {
	int fds[2];
	char text[4096];
};

static const char *read_shown(struct shown *s)
{
	ssize_t n;

	close(s->fds[1]);
	n = read(s->fds[0], s->text, sizeof(s->text) - 1);
	s->text[n > 0 ? n : 0] = '\0';
	close(s->fds[0]);
	return s->text;
}

/* A minute of work at 100 a second, looked at ten times a second. */
static const char *run(struct shown *s, enum progress_mode mode, int64_t total)
{
	struct progress p;

	assert_int_equal(pipe(s->fds), 0);
	progress_begin(&p, "sent", total, mode, s->fds[1], 0);
	for (int64_t i = 1; i <= 600; i++)
		progress_update(&p, i * 10, i * 100 * USEC_PER_MSEC);
	progress_end(&p, 6000, 60 * USEC_PER_SEC);
	return read_shown(s);
}

static size_t lines_in(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void lines_every_ten_seconds(void **state)
{
	struct shown s;
	const char *text = run(&s, PROGRESS_AUTO, 12000);

	(void)state;
	assert_int_equal(lines_in(text), 7);
	assert_non_null(strstr(text, "sent  1,000 / 12,000   100/s   1m50s left\n"));
	assert_non_null(strstr(text, "sent  6,000 / 12,000   100/s   1m00s left\n"));
	assert_null(strchr(text, '\r'));
}

static void unknown_totals_promise_nothing(void **state)
{
	struct shown s;
	const char *text = run(&s, PROGRESS_LINES, 0);

	(void)state;
	assert_non_null(strstr(text, "sent  1,000   100/s\n"));
	assert_null(strstr(text, "left"));
}

static void json_every_second(void **state)
{
	struct shown s;
	const char *text = run(&s, PROGRESS_JSON, 12000);

	(void)state;
	assert_true(strncmp(text,
			"{\"event\":\"progress\",\"what\":\"sent\",\"done\":100,\"total\":12000,"
			"\"rate\":100.0,\"seconds\":1.000}\n",
			50) == 0);
	assert_true(lines_in(text) >= 40);
}

static void quiet_is_quiet(void **state)
{
	struct shown s;

	(void)state;
	assert_string_equal(run(&s, PROGRESS_QUIET, 100), "");
}

static void a_bar_fills(void **state)
{
	struct progress p;
	struct shown s;
	const char *text;

	(void)state;
	setenv("LC_ALL", "C", 1);
	assert_int_equal(pipe(s.fds), 0);
	progress_begin(&p, "sent", 200, PROGRESS_BAR, s.fds[1], 0);
	progress_update(&p, 100, 100 * USEC_PER_MSEC);
	/* Too early for another, and a total that proved too low. */
	progress_update(&p, 120, 110 * USEC_PER_MSEC);
	progress_update(&p, 300, 300 * USEC_PER_MSEC);
	progress_end(&p, 300, 400 * USEC_PER_MSEC);
	text = read_shown(&s);
	assert_non_null(
	    strstr(text, "\rsent  ##########..........  100 / 200   1,000/s   0 s left"));
	assert_null(strstr(text, "120"));
	assert_non_null(strstr(text, "####################  300 / 200"));
	assert_int_equal(lines_in(text), 1);
}

static void short_work_shows_nothing(void **state)
{
	struct progress p;
	struct shown s;

	(void)state;
	assert_int_equal(pipe(s.fds), 0);
	progress_begin(&p, "sent", 10, PROGRESS_LINES, s.fds[1], 0);
	progress_update(&p, 10, USEC_PER_SEC);
	progress_end(&p, 10, USEC_PER_SEC);
	assert_string_equal(read_shown(&s), "");
}

static void counts_with_commas(void **state)
{
	char n[32];

	(void)state;
	assert_string_equal(progress_count(0, n, sizeof(n)), "0");
	assert_string_equal(progress_count(999, n, sizeof(n)), "999");
	assert_string_equal(progress_count(1000, n, sizeof(n)), "1,000");
	assert_string_equal(progress_count(-1234567, n, sizeof(n)), "-1,234,567");
	assert_string_equal(progress_count(INT64_MAX, n, sizeof(n)), "9,223,372,036,854,775,807");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_every_ten_seconds),
	    cmocka_unit_test(unknown_totals_promise_nothing),
	    cmocka_unit_test(json_every_second),
	    cmocka_unit_test(quiet_is_quiet),
	    cmocka_unit_test(a_bar_fills),
	    cmocka_unit_test(short_work_shows_nothing),
	    cmocka_unit_test(counts_with_commas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
