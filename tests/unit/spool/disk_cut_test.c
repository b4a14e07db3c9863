/* The disk of which the power can be cut, against a model of what may be left, and under kill -9.
 */
#include "spool/disk_cut.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];
static uint64_t rng;

static uint64_t below(uint64_t n)
{
	uint64_t z = (rng += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (z ^ (z >> 31)) % n;
}

static int dir_fd(void)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct disk *open_cut(enum disk_cut_lie lie)
{
	struct disk *d = disk_cut_new(dir_fd(), lie);

	assert_non_null(d);
	return d;
}

static struct disk_cut_tally cut(uint64_t seed)
{
	struct disk_cut_tally t = {0};
	int fd = dir_fd();

	assert_int_equal(disk_cut_power_cut(fd, seed, &t), 0);
	close(fd);
	return t;
}

static int set_up(void **state)
{
	(void)state;
	/* In memory if possible: hundreds of flushes, and no power is cut here. */
	snprintf(path, sizeof(path), "%s/disk-cut-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(path) ? 0 : -1;
}

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

/* ---- against a model ------------------------------------------------------------------------ */

enum { FILES = 64, NAMES = 6, SIZE = 6000, PENDING = 400, STEPS = 60 };

struct pending {
	size_t at, n;
	uint8_t octet;
};

struct model_file {
	ino_t ino;
	bool alive;
	uint8_t base[SIZE], now[SIZE];
	size_t base_size, size;
	struct pending w[PENDING];
	size_t n_w;
	unsigned had;   /* bits: names it had since the last flush of the directory; NAMES: none */
	bool displaced; /* by a rename that was not flushed */
};

struct model {
	struct model_file file[FILES];
	int name[NAMES]; /* file or -1: what programs see */
	bool names_pending;
};

static struct model m;
/* How often something was left that only a true undoing can leave. */
static unsigned shrunk, came_back;

static const char *name_of(int i)
{
	static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};

	return names[i];
}

static int new_file(void)
{
	for (int i = 0; i < FILES; i++) {
		if (!m.file[i].alive) {
			m.file[i] = (struct model_file){.alive = true};
			return i;
		}
	}
	fail();
	return -1;
}

static void step_create(struct disk *d, int name)
{
	int h = d->ops->open(d, name_of(name), true);
	struct stat st;
	int f;

	if (m.name[name] >= 0) {
		assert_int_equal(h, GW_EIO);
		return;
	}
	assert_true(h >= 0);
	f = new_file();
	assert_int_equal(fstat(h, &st), 0);
	m.file[f].ino = st.st_ino;
	m.file[f].had = 1u << NAMES | 1u << name;
	m.name[name] = f;
	d->ops->close(d, h);
}

static void step_write(struct disk *d, int name)
{
	struct model_file *f = &m.file[m.name[name]];
	struct pending w = {.at = below(SIZE - 1), .octet = (uint8_t)(1 + below(255))};
	uint8_t octets[SIZE];
	struct span v[2];
	int h = d->ops->open(d, name_of(name), false);

	if (f->size == 0 || w.at > f->size) /* without holes: what they hold is another question */
		w.at = f->size;
	w.n = 1 + below(SIZE - w.at > 1 ? SIZE - w.at - 1 : 1);
	if (w.at + w.n > SIZE || f->n_w == PENDING) {
		d->ops->close(d, h);
		return;
	}
	memset(octets, w.octet, w.n);
	v[0] = span_of(octets, w.n / 2);
	v[1] = span_of(octets, w.n - w.n / 2);
	assert_int_equal(d->ops->write(d, h, v, 2, w.at), 0);
	d->ops->close(d, h);
	memset(f->now + w.at, w.octet, w.n);
	f->w[f->n_w++] = w;
	if (w.at + w.n > f->size)
		f->size = w.at + w.n;
}

static void step_allocate(struct disk *d, int name)
{
	struct model_file *f = &m.file[m.name[name]];
	int h = d->ops->open(d, name_of(name), false);

	assert_int_equal(d->ops->allocate(d, h, SIZE), 0);
	d->ops->close(d, h);
	f->size = SIZE;
}

static void step_sync(struct disk *d, int name)
{
	struct model_file *f = &m.file[m.name[name]];
	int h = d->ops->open(d, name_of(name), false);

	assert_int_equal(d->ops->sync(d, h), 0);
	d->ops->close(d, h);
	memcpy(f->base, f->now, SIZE);
	f->base_size = f->size;
	f->n_w = 0;
}

static void step_rename(struct disk *d, int from, int to)
{
	if (from == to)
		return;
	assert_int_equal(d->ops->rename(d, name_of(from), name_of(to)), 0);
	if (m.name[to] >= 0) {
		m.file[m.name[to]].had |= 1u << NAMES;
		m.file[m.name[to]].displaced = true;
	}
	m.name[to] = m.name[from];
	m.name[from] = -1;
	m.file[m.name[to]].had |= 1u << to;
}

static void step_remove(struct disk *d, int name)
{
	assert_int_equal(d->ops->remove(d, name_of(name)), 0);
	m.file[m.name[name]].had |= 1u << NAMES;
	m.name[name] = -1;
}

static void step_sync_dir(struct disk *d)
{
	assert_int_equal(d->ops->sync_dir(d), 0);
	for (int i = 0; i < FILES; i++)
		m.file[i].had = 1u << NAMES;
	for (int i = 0; i < NAMES; i++) {
		if (m.name[i] >= 0)
			m.file[m.name[i]].had = 1u << i;
	}
	for (int i = 0; i < FILES; i++)
		m.file[i].alive = m.file[i].alive && m.file[i].had != 1u << NAMES;
}

static void step(struct disk **d)
{
	int name = (int)below(NAMES);

	switch (below(16)) {
	case 0: step_sync_dir(*d); return;
	case 1: /* the process is killed alone */
		disk_cut_free(d);
		*d = open_cut(LIE_NONE);
		return;
	case 2:
	case 3: step_create(*d, name); return;
	default: break;
	}
	if (m.name[name] < 0) {
		assert_int_equal((*d)->ops->open(*d, name_of(name), false), GW_ENOENT);
		assert_int_equal((*d)->ops->remove(*d, name_of(name)), GW_ENOENT);
		return;
	}
	switch (below(12)) {
	case 0: step_remove(*d, name); break;
	case 1:
	case 2: step_rename(*d, name, (int)below(NAMES)); break;
	case 3:
	case 4: step_sync(*d, name); break;
	case 5: step_allocate(*d, name); break;
	default: step_write(*d, name); break;
	}
}

static void check_seen(struct disk *d)
{
	uint8_t have[SIZE];

	for (int i = 0; i < NAMES; i++) {
		int h = d->ops->open(d, name_of(i), false);

		assert_int_equal(h >= 0, m.name[i] >= 0);
		if (h < 0)
			continue;
		assert_int_equal(d->ops->size(d, h), m.file[m.name[i]].size);
		int64_t n = d->ops->read(d, h, have, SIZE, 0);
		assert_int_equal(n, m.file[m.name[i]].size);
		assert_memory_equal(have, m.file[m.name[i]].now, n);
		d->ops->close(d, h);
	}
}

/* Each octet is the durable one or of a write that was not flushed. */
static void check_content(struct model_file *f, const uint8_t *have, size_t n)
{
	assert_true(n == f->base_size || n == f->size);
	shrunk += n < f->size;
	for (size_t i = 0; i < n; i++) {
		bool explained = have[i] == (i < f->base_size ? f->base[i] : 0);

		for (size_t k = 0; k < f->n_w && !explained; k++)
			explained = i >= f->w[k].at && i - f->w[k].at < f->w[k].n &&
				    have[i] == f->w[k].octet;
		assert_true(explained);
	}
	memset(f->now, 0, SIZE);
	memcpy(f->now, have, n);
	memcpy(f->base, f->now, SIZE);
	f->size = f->base_size = n;
	f->n_w = 0;
}

static int file_with(ino_t ino)
{
	for (int i = 0; i < FILES; i++) {
		if (m.file[i].alive && m.file[i].ino == ino)
			return i;
	}
	fail();
	return -1;
}

/* What is there now can be explained, and becomes the model's. */
static void check_left(struct disk *d)
{
	bool found[FILES] = {false};
	uint8_t have[SIZE];
	struct stat st;

	for (int i = 0; i < NAMES; i++) {
		int h = d->ops->open(d, name_of(i), false);

		m.name[i] = -1;
		if (h < 0)
			continue;
		assert_int_equal(fstat(h, &st), 0);
		int f = file_with(st.st_ino);
		assert_true(m.file[f].had & 1u << i);
		assert_false(found[f]);
		found[f] = true;
		int64_t n = d->ops->read(d, h, have, SIZE, 0);
		assert_int_equal(n, st.st_size);
		check_content(&m.file[f], have, (size_t)n);
		m.name[i] = f;
		m.file[f].had = 1u << i;
		came_back += m.file[f].displaced;
		m.file[f].displaced = false;
		d->ops->close(d, h);
	}
	for (int f = 0; f < FILES; f++) {
		/* It may be without a name only if it once was, or another took its place. */
		assert_true(found[f] || !m.file[f].alive || (m.file[f].had & 1u << NAMES));
		m.file[f].alive = found[f];
	}
}

static void test_model(void **state)
{
	struct disk_cut_tally sum = {0};

	(void)state;
	for (int i = 0; i < NAMES; i++)
		m.name[i] = -1;
	rng = 4;
	for (uint64_t round = 0; round < 500; round++) {
		struct disk *d = open_cut(LIE_NONE);
		struct disk_cut_tally t;

		check_seen(d);
		for (int i = 0; i < STEPS; i++)
			step(&d);
		check_seen(d);
		disk_cut_free(&d);
		t = cut(round);
		sum.writes_lost += t.writes_lost;
		sum.writes_torn += t.writes_torn;
		sum.writes_kept += t.writes_kept;
		sum.names_lost += t.names_lost;
		sum.names_kept += t.names_kept;
		assert_no_leftovers();
		d = open_cut(LIE_NONE);
		check_left(d);
		disk_cut_free(&d);
	}
	assert_true(sum.writes_lost > 100 && sum.writes_torn > 100 && sum.writes_kept > 100);
	assert_true(sum.names_lost > 100 && sum.names_kept > 100);
	assert_true(shrunk > 50 && came_back > 20);
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
	    cmocka_unit_test_setup_teardown(test_model, set_up, tear_down),
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
