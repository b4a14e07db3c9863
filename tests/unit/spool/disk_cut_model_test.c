/* The disk of which the power can be cut, against a model of what may be left, and under kill -9.
 */
#include "unit/spool/disk_cut_fixture.h"

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	unsetenv(DISK_CUT_ENV);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	return system(command);
}

static void assert_no_leftovers(void)
{
	char command[160];

	snprintf(command, sizeof(command),
	    "test -z \"$(ls -A %s | grep -e '^.cut-aside' -e '^.cut-moved')\"", path);
	assert_int_equal(system(command), 0);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_model, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
