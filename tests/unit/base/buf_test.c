#include "unit/base/helper.h"

#include "base/buf.h"

#include <sys/wait.h>
#include <unistd.h>

/* For the build with AddressSanitizer: an allocation that cannot be is to answer NULL there too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void test_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_len(&b), 0);
	assert_null(buf_view(&b).p); /* never a pointer into nothing */
	assert_int_equal(buf_view(&b).n, 0);
	assert_int_equal(buf_space(&b), 10);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_int_equal(buf_add_span(&b, SPAN_NONE), 0);
	buf_drop(&b, 0);
	buf_trim(&b);
	buf_fini(&b);
	buf_fini(&b);
}

static void test_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_add_str(&b, "12345678"), 0);
	assert_int_equal(buf_add_str(&b, "abc"), GW_EFULL); /* nothing of it */
	assert_true(span_eq(buf_view(&b), SPAN("12345678")));
	assert_true(buf_failed(&b));
	assert_int_equal(buf_add_byte(&b, 'x'), GW_EFULL); /* sticky */
	buf_clear(&b);
	assert_false(buf_failed(&b));
	assert_int_equal(buf_add_str(&b, "1234567890"), 0);
	assert_int_equal(buf_space(&b), 0);
	buf_drop(&b, 4);
	assert_int_equal(buf_space(&b), 4);
	assert_int_equal(buf_add_str(&b, "abcd"), 0);
	assert_true(span_eq(buf_view(&b), SPAN("567890abcd")));
	buf_cut(&b, 3);
	assert_true(span_eq(buf_view(&b), SPAN("567")));
	buf_fini(&b);
}

/* A length that would wrap round is a length too great. */
static void test_huge(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_add_str(&b, "x"), 0);
	assert_null(buf_room(&b, SIZE_MAX));
	buf_clear(&b);
	assert_int_equal(buf_add_str(&b, "x"), 0);
	assert_null(buf_room(&b, SIZE_MAX - 1));
	buf_fini(&b);
	buf_init(&b, 0);
	assert_int_equal(buf_add_byte(&b, 1), GW_EFULL);
	buf_fini(&b);
}

static void test_printf(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(buf_addf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(buf_addf(&b, "%s", ""), 0);
	assert_true(span_eq(buf_view(&b), SPAN("42-x")));
	assert_int_equal(buf_addf(&b, "%100d", 1), GW_EFULL);
	assert_true(span_eq(buf_view(&b), SPAN("42-x")));
	buf_fini(&b);
}

/* Whatever room is there when it prints: all of it, once. */
static void test_printf_grows(void **state)
{
	(void)state;
	for (size_t before = 0; before < 600; before++) {
		struct buf b;
		struct span s;

		buf_init(&b, 1000);
		for (size_t i = 0; i < before; i++)
			assert_int_equal(buf_add_byte(&b, 'a'), 0);
		assert_int_equal(buf_addf(&b, "<%0100d>", 7), 0);
		assert_int_equal(buf_add_byte(&b, 'z'), 0);
		s = buf_view(&b);
		assert_int_equal(s.n, before + 103);
		for (size_t i = 0; i < before; i++)
			assert_int_equal(s.p[i], 'a');
		s = span_skip(s, before);
		assert_true(span_starts(s, SPAN("<000")));
		assert_true(span_eq(span_skip(s, 99), SPAN("07>z")));
		buf_fini(&b);
	}
}

/* Before the printing, too, the buffer may have failed. */
static void test_printf_full(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 256);
	assert_int_equal(buf_add_str(&b, "x"), 0);
	assert_null(buf_room(&b, 256));
	assert_int_equal(buf_addf(&b, "y"), GW_EFULL);
	assert_true(span_eq(buf_view(&b), SPAN("x")));
	buf_fini(&b);
}

static void test_room(void **state)
{
	struct buf b;
	uint8_t *to;

	(void)state;
	buf_init(&b, 1000);
	to = buf_room(&b, 500);
	assert_non_null(to);
	memcpy(to, "hello", 5);
	buf_commit(&b, 5);
	assert_true(span_eq(buf_view(&b), SPAN("hello")));
	buf_drop(&b, 5);
	buf_trim(&b);
	assert_null(buf_view(&b).p);
	assert_int_equal(buf_add_str(&b, "again"), 0);
	buf_fini(&b);
}

/* Against a model: many additions and drops keep every octet in order. */
static void test_model(void **state)
{
	uint64_t rng = 5;
	uint8_t in = 0, out = 0;
	struct buf b;

	(void)state;
	buf_init(&b, 5000);
	for (int i = 0; i < 20000; i++) {
		size_t n = helper_random(&rng, 300);

		if (n <= buf_space(&b) && helper_random(&rng, 2)) {
			for (size_t k = 0; k < n; k++)
				assert_int_equal(buf_add_byte(&b, in++), 0);
			continue;
		}
		if (n > buf_len(&b))
			n = buf_len(&b);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(buf_view(&b).p[k], out++);
		buf_drop(&b, n);
		if (helper_random(&rng, 20) == 0)
			buf_trim(&b);
	}
	assert_int_equal((uint8_t)(in - out), (uint8_t)buf_len(&b));
	buf_fini(&b);
}

/* What no machine has: below the ceiling, but beyond memory. */
static const size_t beyond_memory = (size_t)1 << 46;

static void test_soft(void **state)
{
	struct buf b;

	(void)state;
	buf_init_soft(&b, beyond_memory);
	assert_int_equal(buf_add_str(&b, "kept"), 0);
	assert_null(buf_room(&b, beyond_memory - 100));
	assert_true(buf_failed(&b));
	assert_int_equal(buf_add_str(&b, "x"), GW_EFULL);
	assert_true(span_eq(buf_view(&b), SPAN("kept")));
	buf_fini(&b); /* it stays soft */
	assert_null(buf_room(&b, beyond_memory - 100));
	buf_fini(&b);
}

/* Where nobody may look at the answer, content must not go on with a hole in it. */
static void test_hard(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct buf b;

		(void)!freopen("/dev/null", "w", stderr);
		buf_init(&b, beyond_memory);
		(void)!buf_room(&b, beyond_memory - 100);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_ceiling),
	    cmocka_unit_test(test_huge),
	    cmocka_unit_test(test_printf),
	    cmocka_unit_test(test_printf_grows),
	    cmocka_unit_test(test_printf_full),
	    cmocka_unit_test(test_room),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_soft),
	    cmocka_unit_test(test_hard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
