/* The disk of which the power can be cut: what it promises, piece by piece. */
#include "unit/spool/disk_cut_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	unsetenv(DISK_CUT_ENV);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	return system(command);
}

static void put(struct disk *d, int h, const char *text, uint64_t at)
{
	struct span v = span_str(text);

	assert_int_equal(d->ops->write(d, h, &v, 1, at), 0);
}

static bool reads(struct disk *d, const char *name, const char *text, uint64_t at)
{
	char have[64] = "";
	int h = d->ops->open(d, name, false);

	if (h < 0)
		return false;
	int64_t n = d->ops->read(d, h, have, strlen(text), at);
	d->ops->close(d, h);
	return n == (int64_t)strlen(text) && memcmp(have, text, strlen(text)) == 0;
}

static void assert_no_leftovers(void)
{
	char command[160];

	snprintf(command, sizeof(command),
	    "test -z \"$(ls -A %s | grep -e '^.cut-aside' -e '^.cut-moved')\"", path);
	assert_int_equal(system(command), 0);
}

/* ---- promises and lies ---------------------------------------------------------------------- */

/* Two pages, each flushed, in a file with a durable name; what of it is left after the cut? */
struct left {
	bool name, first, second;
};

static struct left after_flushes(enum disk_cut_lie lie, uint64_t seed)
{
	struct disk *d;
	struct left left;
	int h;

	assert_int_equal(set_up(NULL), 0);
	d = open_cut(lie);
	h = d->ops->open(d, "new", true);
	assert_int_equal(d->ops->allocate(d, h, 8192), 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	put(d, h, "first", 0);
	assert_int_equal(d->ops->sync(d, h), 0);
	assert_int_equal(d->ops->rename(d, "new", "name"), 0);
	assert_int_equal(d->ops->sync_dir(d), 0);
	put(d, h, "second", 4096);
	assert_int_equal(d->ops->sync(d, h), 0);
	d->ops->close(d, h);
	disk_cut_free(&d);
	cut(seed);
	d = open_cut(LIE_NONE);
	h = d->ops->open(d, "name", false);
	left.name = h >= 0;
	if (h >= 0)
		d->ops->close(d, h);
	left.first = reads(d, "name", "first", 0) || reads(d, "new", "first", 0);
	left.second = reads(d, "name", "second", 4096) || reads(d, "new", "second", 4096);
	disk_cut_free(&d);
	assert_int_equal(tear_down(NULL), 0);
	return left;
}

static void test_promises_and_lies(void **state)
{
	/* What each lie can lose, and what is always there all the same. */
	static const struct {
		bool name, first, second;
	} loses[LIES] = {
	    [LIE_NONE] = {false, false, false},
	    [LIE_FLUSH] = {false, true, true},
	    [LIE_DIR_SYNC] = {true, true, true}, /* with the file itself */
	    [LIE_HEADER] = {false, true, false},
	    [LIE_LATE] = {false, false, true},
	    [LIE_ONCE] = {false, true, true},
	};

	assert_int_equal(tear_down(state), 0);
	for (int lie = 0; lie < LIES; lie++) {
		unsigned name = 0, first = 0, second = 0;

		for (uint64_t seed = 0; seed < 30; seed++) {
			struct left left = after_flushes((enum disk_cut_lie)lie, seed);

			name += !left.name;
			first += !left.first;
			second += !left.second;
		}
		assert_int_equal(name > 0, loses[lie].name);
		assert_int_equal(first > 0, loses[lie].first);
		assert_int_equal(second > 0, loses[lie].second);
	}
	assert_int_equal(set_up(state), 0);
}

/* A spare whose first page and the rest are written at once: only the first page is lied about. */
static void test_header_lie_splits_a_write(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		char octets[3 * 4096], name[16];
		struct span v = span_of(octets, sizeof(octets));
		struct disk *d = open_cut(LIE_HEADER);

		snprintf(name, sizeof(name), "f%d", (int)seed);
		int h = d->ops->open(d, name, true);
		assert_int_equal(d->ops->sync_dir(d), 0);
		assert_int_equal(d->ops->allocate(d, h, sizeof(octets)), 0);
		assert_int_equal(d->ops->sync(d, h), 0);
		memset(octets, 'x', sizeof(octets));
		assert_int_equal(d->ops->write(d, h, &v, 1, 0), 0);
		assert_int_equal(d->ops->sync(d, h), 0);
		put(d, h, "later", 5000);
		assert_int_equal(d->ops->sync(d, h), 0);
		d->ops->close(d, h);
		disk_cut_free(&d);
		cut(seed);
		d = open_cut(LIE_NONE);
		assert_true(reads(d, name, "later", 5000));
		assert_true(reads(d, name, "xxxxxxxx", 4096));
		disk_cut_free(&d);
	}
}

/* ---- kill -9 --------------------------------------------------------------------------------- */

struct report {
	uint32_t segment, records;
};

static void report(int to, uint32_t segment, uint32_t records)
{
	struct report r = {segment, records};

	if (write(to, &r, sizeof(r)) != sizeof(r))
		_exit(0);
}

static void put_record(struct disk *d, int h, uint32_t i)
{
	char record[128];
	struct span v = span_of(record, sizeof(record));

	memset(record, 'a' + (int)(i % 26), sizeof(record));
	if (d->ops->write(d, h, &v, 1, 128 * (uint64_t)i) != 0 || d->ops->sync(d, h) != 0)
		_exit(2);
}

/* Like the store: a file with a durable name, records one by one; old ones are removed. */
_Noreturn static void live(int to, uint32_t segment)
{
	struct disk *d = open_cut(LIE_NONE);
	char name[16], old[16];

	for (;; segment++) {
		snprintf(name, sizeof(name), "seg-%u", segment);
		(void)!d->ops->remove(d, "new");
		int h = d->ops->open(d, "new", true);

		if (h < 0 || d->ops->allocate(d, h, 4096) != 0 || d->ops->sync(d, h) != 0 ||
		    d->ops->rename(d, "new", name) != 0 || d->ops->sync_dir(d) != 0)
			_exit(2);
		for (uint32_t i = 0; i < 32; i++) {
			put_record(d, h, i);
			report(to, segment, i + 1);
		}
		d->ops->close(d, h);
		snprintf(old, sizeof(old), "seg-%u", segment - 3);
		(void)!d->ops->remove(d, old);
	}
}

static struct report live_and_die(uint32_t segment, useconds_t usec)
{
	struct report last = {0}, r;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		close(fd[0]);
		live(fd[1], segment);
	}
	close(fd[1]);
	usleep(usec);
	kill(pid, SIGKILL);
	while (read(fd[0], &r, sizeof(r)) == sizeof(r))
		last = r;
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* nothing failed before */
	return last;
}

static void assert_records(const struct report *r)
{
	struct disk *d = disk_cut_new(dir_fd(), LIE_NONE);
	char name[16], record[17] = "";

	assert_non_null(d);
	snprintf(name, sizeof(name), "seg-%u", r->segment);
	for (uint32_t i = 0; i < r->records; i++) {
		memset(record, 'a' + (int)(i % 26), 16);
		assert_true(reads(d, name, record, 128 * (uint64_t)i));
		assert_true(reads(d, name, record, 128 * (uint64_t)i + 112));
	}
	disk_cut_free(&d);
}

static void test_kill(void **state)
{
	struct disk_cut_tally sum = {0};
	uint32_t segment = 1000, reported = 0;

	(void)state;
	rng = 8;
	for (int i = 0; i < 120; i++) {
		struct report last = live_and_die(segment, (useconds_t)below(9000));

		segment += 1000;
		reported += last.records;
		if (below(3) == 0) {
			/* Killed alone: all is as it was, and the next one goes on. */
			assert_records(&last);
			continue;
		}
		struct disk_cut_tally t = cut((uint64_t)i);

		sum.writes_lost += t.writes_lost + t.writes_torn;
		sum.names_lost += t.names_lost;
		assert_records(&last);
		assert_no_leftovers();
	}
	assert_true(reported > 100);
	assert_true(sum.writes_lost + sum.names_lost > 10);
}

/* ---- names and marks ------------------------------------------------------------------------- */

static void test_removed_file_comes_back_whole(void **state)
{
	unsigned back = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct disk *d = open_cut(LIE_NONE);
		char name[16];

		snprintf(name, sizeof(name), "f%d", (int)seed);
		int h = d->ops->open(d, name, true);
		put(d, h, "content", 0);
		assert_int_equal(d->ops->sync(d, h), 0);
		d->ops->close(d, h);
		assert_int_equal(d->ops->sync_dir(d), 0);
		assert_int_equal(d->ops->remove(d, name), 0);
		assert_int_equal(d->ops->open(d, name, false), GW_ENOENT);
		disk_cut_free(&d);
		cut(seed);
		d = open_cut(LIE_NONE);
		h = d->ops->open(d, name, false);
		if (h >= 0) {
			back++;
			d->ops->close(d, h);
			assert_true(reads(d, name, "content", 0));
		}
		disk_cut_free(&d);
		assert_no_leftovers();
	}
	assert_in_range(back, 1, 39);
}

/* A removed file takes room until its removal is durable, and no longer. */
static void test_removed_file_is_gone(void **state)
{
	struct disk *d = open_cut(LIE_NONE);

	(void)state;
	d->ops->close(d, d->ops->open(d, "x", true));
	d->ops->close(d, d->ops->open(d, "y", true));
	assert_int_equal(d->ops->rename(d, "x", "y"), 0);
	assert_int_equal(d->ops->remove(d, "y"), 0);
	assert_int_equal(d->ops->sync_dir(d), 0);
	assert_no_leftovers();
	disk_cut_free(&d);
}

/* Killed between the two halves of a rename onto another file: for the next process both files have
 * their names. */
static void test_half_a_rename(void **state)
{
	struct disk *d = open_cut(LIE_NONE);
	int fd = dir_fd(), h;

	(void)state;
	h = d->ops->open(d, "x", true);
	put(d, h, "x", 0);
	d->ops->close(d, h);
	h = d->ops->open(d, "y", true);
	put(d, h, "y", 0);
	d->ops->close(d, h);
	assert_int_equal(d->ops->rename(d, "x", "y"), 0);
	disk_cut_free(&d);
	assert_int_equal(renameat(fd, "y", fd, "x"), 0);
	d = open_cut(LIE_NONE);
	assert_true(reads(d, "x", "x", 0));
	assert_true(reads(d, "y", "y", 0));
	assert_no_leftovers();
	assert_int_equal(d->ops->sync_dir(d), 0);
	disk_cut_free(&d);
	close(fd);
}

/* What another put there is no business of ours: neither listed nor touched. */
static void test_names_of_its_own(void **state)
{
	struct disk *d = open_cut(LIE_NONE);
	char name[DISK_NAME_MAX];
	uint64_t at = 0;
	unsigned n = 0;
	int fd = dir_fd();

	(void)state;
	assert_int_equal(mkdirat(fd, "folder", 0700), 0);
	assert_int_equal(symlinkat("/nowhere", fd, "link"), 0);
	d->ops->close(d, d->ops->open(d, "x", true));
	assert_int_equal(d->ops->remove(d, "x"), 0);
	while (d->ops->list(d, &at, name) > 0) {
		assert_true(strcmp(name, "folder") == 0 || strcmp(name, "link") == 0);
		n++;
	}
	assert_int_equal(n, 2);
	disk_cut_free(&d);
	cut(1);
	assert_int_equal(faccessat(fd, "folder", F_OK, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(faccessat(fd, "link", F_OK, AT_SYMLINK_NOFOLLOW), 0);
	close(fd);
}

static bool chosen_is_cut(void)
{
	struct disk *d = disk_choose(dir_fd());
	int fd = dir_fd();
	bool journal;

	if (d == NULL) {
		close(fd);
		return false;
	}
	journal = faccessat(fd, ".cut-journal", F_OK, 0) == 0;
	close(fd);
	if (journal)
		disk_cut_free(&d);
	else
		disk_posix_free(&d);
	return journal;
}

/* A spool that prove did not make never gets this disk, and a daemon of which the environment asks
 * for it does not run on it. */
static void test_choice(void **state)
{
	struct disk *d;
	int fd = dir_fd();

	(void)state;
	assert_false(chosen_is_cut());
	setenv(DISK_CUT_ENV, "token", 1);
	assert_null(disk_choose(dir_fd()));
	assert_int_equal(symlinkat("/etc/passwd", fd, ".cut-mark"), 0);
	assert_null(disk_choose(dir_fd()));
	assert_int_equal(unlinkat(fd, ".cut-mark", 0), 0);
	assert_int_equal(disk_cut_mark(fd, "token", LIE_NONE), 0);
	assert_int_equal(disk_cut_mark(fd, "token", LIE_NONE), GW_EIO);
	setenv(DISK_CUT_ENV, "toke", 1);
	assert_null(disk_choose(dir_fd()));
	setenv(DISK_CUT_ENV, "", 1);
	assert_null(disk_choose(dir_fd()));
	unsetenv(DISK_CUT_ENV);
	assert_false(chosen_is_cut());
	setenv(DISK_CUT_ENV, "token", 1);
	assert_true(chosen_is_cut());
	d = disk_choose(dir_fd());
	assert_non_null(d);
	disk_cut_free(&d);
	close(fd);
}

/* A journal that was cut off anywhere is read up to its last whole entry. */
static void test_torn_journal(void **state)
{
	struct stat st;
	int fd = dir_fd();

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct disk *d = open_cut(LIE_FLUSH);
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		int h = d->ops->open(d, name, true);
		for (uint64_t k = 0; k < 5; k++)
			put(d, h, "octets", k);
		d->ops->close(d, h);
		disk_cut_free(&d);
		int journal = openat(fd, ".cut-journal", O_RDWR);
		assert_int_equal(fstat(journal, &st), 0);
		assert_int_equal(
		    ftruncate(journal, st.st_size - 1 - (off_t)(37 * (uint64_t)i % 900)), 0);
		close(journal);
		d = open_cut(LIE_NONE);
		disk_cut_free(&d);
		cut((uint64_t)i);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_promises_and_lies, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_header_lie_splits_a_write, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_kill, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_removed_file_comes_back_whole, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_removed_file_is_gone, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_half_a_rename, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_names_of_its_own, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_choice, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_torn_journal, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
