#include "unit/base/helper.h"

#include "base/log.h"
#include "base/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__ /* it needs all the address space there is */
#define NEEDS_LIMITS skip()
#else
#define NEEDS_LIMITS ((void)0)
#endif

enum { RESERVE = 1 << 20, PIECE = 200 << 10, PIECES = 64 };

/* No more address space than there is now, and some octets. */
static void squeeze(size_t more)
{
	unsigned long pages = 0;
	struct rlimit r;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	r.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + more;
	r.rlim_max = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_AS, &r), 0);
}

static void relax(void)
{
	struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY};

	assert_int_equal(setrlimit(RLIMIT_AS, &r), 0);
}

static size_t take_until_spent(void **piece)
{
	size_t n = 0;

	while (!memory_is_spent() && n < PIECES)
		piece[n++] = gw_calloc(1, PIECE);
	return n;
}

static bool is_whole_soon(void)
{
	for (int i = 0; i < 100 && memory_low(); i++)
		usleep(20000);
	return !memory_low() && !memory_is_spent();
}

static size_t count_lines(int fd, const char *event)
{
	char text[4096] = "", *at = text;
	size_t n = 0;

	log_flush();
	assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
	for (; (at = strstr(at, event)) != NULL; at++)
		n++;
	return n;
}

static void test_spent_and_had_back(void **state)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	void *piece[PIECES];
	size_t n;

	(void)state;
	NEEDS_LIMITS;
	log_setup(fd, LOG_LOGFMT, "test");
	memory_reserve(RESERVE);
	assert_false(memory_low());
	squeeze(2 * PIECE);
	n = take_until_spent(piece);
	assert_true(n > 0 && n < PIECES);
	assert_true(memory_is_spent());
	assert_true(memory_low()); /* the address space is used: it cannot be had back */
	usleep(700000);
	assert_true(memory_low());
	for (size_t i = 0; i < n; i++)
		free(piece[i]);
	assert_true(is_whole_soon());
	relax();
	assert_int_equal(count_lines(fd, "ev=memory.low role=test"), 1);
	assert_int_equal(count_lines(fd, "ev=memory.normal role=test"), 1);
	log_setup(STDERR_FILENO, LOG_LOGFMT, "-");
	close(fd);
}

/* libevent and others take NULL for an answer; before that the reserve is spent for them. */
static void test_plain_functions(void **state)
{
	void *big;

	(void)state;
	NEEDS_LIMITS;
	memory_reserve(RESERVE);
	squeeze(PIECE);
	big = memory_alloc(RESERVE / 2);
	assert_non_null(big);
	assert_true(memory_is_spent());
	assert_null(memory_alloc(2 * RESERVE));
	assert_null(memory_realloc(big, 2 * RESERVE));
	free(big);
	relax();
	assert_true(is_whole_soon());
}

/* Crash-only: behind the reserve there is nothing. */
static void test_no_more(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	NEEDS_LIMITS;
	pid = fork();
	if (pid == 0) {
		struct rlimit none = {0, 0};

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		memory_reserve(RESERVE);
		squeeze(PIECE);
		(void)!freopen("/dev/null", "w", stderr);
		for (;;)
			(void)!gw_calloc(1, PIECE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spent_and_had_back),
	    cmocka_unit_test(test_plain_functions),
	    cmocka_unit_test(test_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
