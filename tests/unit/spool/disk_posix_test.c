#include "spool/disk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];

static int set_up(void **state)
{
	snprintf(path, sizeof(path), "/tmp/disk-test-XXXXXX");
	if (!mkdtemp(path))
		return -1;
	*state = disk_posix_new(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return 0;
}

static int tear_down(void **state)
{
	struct disk *d = *state;
	char name[DISK_NAME_MAX];
	uint64_t at = 0;

	while (d->ops->list(d, &at, name) > 0)
		(void)!d->ops->remove(d, name);
	disk_posix_free(&d);
	assert_null(d);
	return rmdir(path);
}

static void test_open(void **state)
{
	struct disk *d = *state;
	struct stat st;
	int h = d->ops->open(d, "a", true);

	assert_true(h >= 0);
	assert_int_equal(fstat(h, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(h, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(d->ops->open(d, "a", true), GW_EIO);
	assert_int_equal(d->ops->open(d, "b", false), GW_ENOENT);
	d->ops->close(d, h);
}

/* A link that somebody put there is not followed, neither to open nor to create. */
static void test_symbolic_link(void **state)
{
	struct disk *d = *state;
	int dir = open(path, O_RDONLY | O_DIRECTORY);

	assert_int_equal(symlinkat("/etc/passwd", dir, "seg-0000000000000001"), 0);
	assert_int_equal(symlinkat("elsewhere", dir, "new-0000000000000001"), 0);
	assert_int_equal(d->ops->open(d, "seg-0000000000000001", false), GW_EIO);
	assert_int_equal(d->ops->open(d, "new-0000000000000001", true), GW_EIO);
	close(dir);
}

/* More spans than one system call takes, some of them empty. */
static void test_many_spans(void **state)
{
	enum { N = 5000 };
	struct disk *d = *state;
	struct span v[N];
	uint8_t want[N * 4], have[sizeof(want) + 10];
	size_t n = 0;
	int h = d->ops->open(d, "a", true);

	for (size_t i = 0; i < N; i++) {
		v[i] = span_of(want + n, i % 4);
		memset(want + n, (int)i, i % 4);
		n += i % 4;
	}
	assert_int_equal(d->ops->write(d, h, v, N, 100), 0);
	assert_int_equal(d->ops->size(d, h), 100 + n);
	assert_int_equal(d->ops->read(d, h, have, n, 100), n);
	assert_memory_equal(have, want, n);
	assert_int_equal(d->ops->read(d, h, have, 20, 100 + n - 5), 5);
	assert_int_equal(d->ops->read(d, h, have, 20, 200 + n), 0);
	assert_int_equal(d->ops->write(d, h, v, 0, 0), 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	d->ops->close(d, h);
}

static void test_allocate(void **state)
{
	struct disk *d = *state;
	struct stat st;
	uint64_t free_bytes, total;
	int h = d->ops->open(d, "a", true);

	assert_int_equal(d->ops->allocate(d, h, 1 << 20), 0);
	assert_int_equal(d->ops->size(d, h), 1 << 20);
	assert_int_equal(fstat(h, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 >= 1 << 20);
	assert_int_equal(d->ops->space(d, &free_bytes, &total), 0);
	assert_true(free_bytes > 0 && free_bytes <= total);
	d->ops->close(d, h);
}

static void test_names(void **state)
{
	struct disk *d = *state;
	char name[DISK_NAME_MAX];
	uint64_t at = 0;
	int n = 0;

	d->ops->close(d, d->ops->open(d, "a", true));
	d->ops->close(d, d->ops->open(d, "b", true));
	assert_int_equal(d->ops->rename(d, "a", "c"), 0);
	assert_int_equal(d->ops->rename(d, "a", "c"), GW_ENOENT);
	assert_int_equal(d->ops->remove(d, "b"), 0);
	assert_int_equal(d->ops->remove(d, "b"), GW_ENOENT);
	assert_int_equal(d->ops->sync_dir(d), 0);
	for (; d->ops->list(d, &at, name) > 0; n++)
		assert_string_equal(name, "c");
	assert_int_equal(n, 1);
	/* A listing that was left half-way does not spoil the next. */
	at = 0;
	assert_int_equal(d->ops->list(d, &at, name), 1);
	at = 0;
	assert_int_equal(d->ops->list(d, &at, name), 1);
	assert_int_equal(d->ops->list(d, &at, name), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_symbolic_link, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_many_spans, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_allocate, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
