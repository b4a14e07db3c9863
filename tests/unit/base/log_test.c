/* One event, one line, whatever the peer says; whole lines, and a slow reader costs no time. */
#include "unit/base/helper.h"

#include "base/log.h"
#include "base/metric.h"

#include <fcntl.h>
#include <unistd.h>

static int pipe_fd[2];
static char got[4 << 20];

static int set_up(void **state)
{
	(void)state;
	log_freeze_time(INT64_C(1700000000123456));
	return pipe(pipe_fd) | fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
}

static int tear_down(void **state)
{
	(void)state;
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return 0;
}

static size_t drain(char *to, size_t room)
{
	size_t n = 0;
	ssize_t some;

	while ((some = read(pipe_fd[0], to + n, room - n)) > 0)
		n += (size_t)some;
	return n;
}

static const char *written(void)
{
	log_flush();
	got[drain(got, sizeof(got) - 1)] = '\0';
	return got;
}

static void one_line(enum log_format format, struct span value, const char *want)
{
	struct logline l;

	log_setup(pipe_fd[1], format, "test");
	log_begin(&l, EV_REJECT);
	log_number(&l, "code", -5);
	log_seconds(&l, "took", 1234567);
	log_text(&l, "from", value);
	log_end(&l);
	assert_string_equal(written(), want);
}

static void test_logfmt(void **state)
{
	(void)state;
#define LINE "2023-11-14T22:13:20.123Z ev=reject code=-5 took=1.234 from="
	one_line(LOG_LOGFMT, SPAN("plain@x.test"), LINE "plain@x.test\n");
	one_line(LOG_LOGFMT, SPAN_NONE, LINE "\"\"\n");
	one_line(LOG_LOGFMT, SPAN("two words"), LINE "\"two words\"\n");
	/* A field cannot be imitated, nor a line. */
	one_line(LOG_LOGFMT, SPAN("x code=250"), LINE "\"x code=250\"\n");
	one_line(LOG_LOGFMT, SPAN("a=b"), LINE "\"a=b\"\n");
	one_line(LOG_LOGFMT, SPAN("x\" code=\"250"), LINE "\"x\\\" code=\\\"250\"\n");
	one_line(LOG_LOGFMT, SPAN("x\r\nev=accepted"), LINE "\"x\\x0d\\x0aev=accepted\"\n");
	one_line(LOG_LOGFMT, SPAN("\\"), LINE "\"\\\\\"\n");
	one_line(LOG_LOGFMT, SPAN("\x1b[2J\x7f\0\xff"), LINE "\"\\x1b[2J\\x7f\\x00\\xff\"\n");
#undef LINE
}

static void test_json(void **state)
{
	(void)state;
#define LINE \
	"{\"time\":\"2023-11-14T22:13:20.123Z\",\"ev\":\"reject\",\"code\":-5,\"took\":1.234," \
	"\"from\":"
	one_line(LOG_JSON, SPAN("plain"), LINE "\"plain\"}\n");
	one_line(LOG_JSON, SPAN_NONE, LINE "\"\"}\n");
	one_line(LOG_JSON, SPAN("\",\"ev\":\"x\n\xff"),
	    LINE "\"\\\",\\\"ev\\\":\\\"x\\u000a\\u00ff\"}\n");
#undef LINE
}

static void test_none(void **state)
{
	(void)state;
	one_line(LOG_NONE, SPAN("x"), "");
}

/* Long values are cut; a line full of them is written all the same, in one piece. */
static void long_line(enum log_format format, uint8_t octet)
{
	static uint8_t big[100000];
	struct logline l;
	const char *text;
	size_t n;

	memset(big, octet, sizeof(big));
	log_setup(pipe_fd[1], format, "test");
	log_begin(&l, EV_REJECT);
	for (int i = 0; i < 6; i++)
		log_text(&l, "value", span_of(big, sizeof(big)));
	log_number(&l, "last", 7);
	log_end(&l);
	text = written();
	n = strlen(text);
	assert_in_range(n, 6 * 512, 4096);
	assert_int_equal(text[n - 1], '\n');
	assert_non_null(
	    strstr(text, format == LOG_JSON ? "...\",\"last\":7}\n" : "...\" last=7\n"));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
}

static void test_long(void **state)
{
	(void)state;
	long_line(LOG_LOGFMT, 'x');
	long_line(LOG_LOGFMT, 0xff);
	long_line(LOG_LOGFMT, '"');
	long_line(LOG_JSON, 'x');
	long_line(LOG_JSON, 0xff);
}

/* Beyond the ceiling of a line nothing half is written, and it is counted. */
static void test_too_long(void **state)
{
	int64_t before = metric_get(metric_page, METRIC_EVENTS_DROPPED);
	static char big[600];
	struct logline l;

	(void)state;
	memset(big, 'x', sizeof(big));
	log_setup(pipe_fd[1], LOG_LOGFMT, "test");
	log_begin(&l, EV_REJECT);
	for (int i = 0; i < 12; i++)
		log_text(&l, "value", span_of(big, sizeof(big)));
	log_end(&l);
	assert_string_equal(written(), "");
	assert_int_equal(metric_get(metric_page, METRIC_EVENTS_DROPPED), before + 1);
	log_error("%s and %d", "still here", 5);
	assert_string_equal(written(),
	    "2023-11-14T22:13:20.123Z ev=error role=test text=\"still here "
	    "and 5\"\n");
}

/* Nobody reads: the lines wait, then they are lost and counted, and nothing blocks. */
static void test_slow_reader(void **state)
{
	int64_t before = metric_get(metric_page, METRIC_EVENTS_DROPPED), lost;
	size_t n = 0, lines = 0;
	struct logline l;

	(void)state;
	log_setup(pipe_fd[1], LOG_LOGFMT, "test");
	for (int i = 0; i < 40000; i++) {
		log_begin(&l, EV_REJECT);
		log_number(&l, "number", i);
		log_end(&l);
		if (i % 100 == 0)
			log_flush();
	}
	lost = metric_get(metric_page, METRIC_EVENTS_DROPPED) - before;
	assert_in_range(lost, 1000, 39000);
	for (int i = 0; i < 1000; i++) {
		size_t some = drain(got + n, sizeof(got) - n);

		if (some > 0) /* what a reader finds ends with a line */
			assert_int_equal(got[n + some - 1], '\n');
		n += some;
		log_flush();
	}
	for (size_t i = 0; i < n; i++)
		lines += got[i] == '\n';
	assert_int_equal((int64_t)lines, 40000 - lost);
}

/* The reader is gone for good. */
static void test_closed_reader(void **state)
{
	struct logline l;

	(void)state;
	log_setup(-1, LOG_LOGFMT, "test");
	log_begin(&l, EV_REJECT);
	log_end(&l);
	log_flush();
	log_setup(pipe_fd[1], LOG_LOGFMT, "test");
	assert_string_equal(written(), "2023-11-14T22:13:20.123Z ev=reject\n");
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOG_TEST(test_logfmt),
	    LOG_TEST(test_json),
	    LOG_TEST(test_none),
	    LOG_TEST(test_long),
	    LOG_TEST(test_too_long),
	    LOG_TEST(test_slow_reader),
	    LOG_TEST(test_closed_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
