/*
 * Random histories of the spool on a disk that forgets: batches of messages,
 * parts, changes and reports, holds, retires, indexes, failing writes and
 * flushes, a full disk, a crash at any operation (also within recovery), then
 * power cut or kill, then harm to indexes, then recovery. After each recovery:
 *   - what was durable and is still needed is there, octet for octet, each
 *     recipient in its state, also after reading by index;
 *   - what was refused is not there, now or ever;
 *   - what a finished recovery gave out counts as durable, what it did not give
 *     out as refused;
 *   - a message comes back only together with what ended it;
 *   - the nonces of the last ten minutes are known;
 *   - reading by index and reading the segments leave the same alive.
 *
 * spool_sim [histories] [first seed] [bug]: with a planted bug (a
 * name of bugs.def) it succeeds when the bug is found. Without, it prints how often each
 * step and state of docs/spool.md was reached, and a run of COVER_MIN histories or
 * more fails if one never was. "markdown" as the last word: prints it as a table.
 */
#include "sim/bugs.h"
#include "sim/spool_sim_cover.h"
#include "sim/spool_sim_model.h"

#include "spool/index.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 12, LIVES = 6, SEGMENTS_OF_DISK = 24, COVER_MIN = 1000 };

static struct {
	uint64_t keys, crash_points, lives;
	uint8_t content[BATCH][MODEL_CONTENT];
} w;

static uint64_t below(uint64_t n)
{
	return model_below(n);
}

static void random_key(void *to, size_t n)
{
	uint8_t *p = to;

	while (n-- > 0)
		*p++ = (uint8_t)sim_random(&w.keys);
}

/* ---- starting -------------------------------------------------------------------------------- */

static bool try_open(void)
{
	char why[100] = "";
	struct store_record r;
	struct store_damage damage;

	cover_phase(PHASE_OPEN);
	int rc = store_open(&m.store, disk_sim_disk(m.disk), &m.params, why, sizeof(why));

	if (rc != 0) {
		if (!disk_sim_dead(m.disk) && rc == GW_EVERSION)
			model_fail("store_open: %s", why);
		return false;
	}
	cover_phase(PHASE_RECOVER);
	model_recovery_begin();
	while ((rc = store_recover(m.store, &r, &damage)) > 0)
		model_given(&r);
	if (rc == 0)
		model_recovery_end(&damage);
	if (rc == 0 && m.behind_tear)
		cover_count(COVER_S14);
	if (rc == 0 && m.came_back)
		cover_count(COVER_S16);
	cover_phase(PHASE_RUN);
	return rc == 0;
}

static void no_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(m.disk);

	memset(p->fail_per_10000, 0, sizeof(p->fail_per_10000));
	p->nospace_per_10000 = 0;
	disk_sim_others(m.disk, 0);
}

static void some_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(m.disk);

	no_faults();
	if (below(3) == 0)
		return;
	for (int op = 0; op < SIM_OPS; op++) {
		if (op != SIM_READ && below(2))
			p->fail_per_10000[op] = (unsigned)below(400);
	}
	if (below(3) == 0)
		p->nospace_per_10000 = (unsigned)below(300);
}

/* The name of some index, or false. */
static bool pick_index(char name[DISK_NAME_MAX])
{
	char all[256][DISK_NAME_MAX];
	size_t n = 0;

	for (size_t i = 0; n < 256 && disk_sim_name(m.disk, i, all[n]); i++)
		n += strncmp(all[n], "idx-", 4) == 0;
	if (n == 0)
		return false;
	memcpy(name, all[below(n)], DISK_NAME_MAX);
	return true;
}

/* The index `other` tells of the segment that `name` is of, and says so with good checksums. */
static void other_life(const char *name, const char *other)
{
	struct disk *d = disk_sim_disk(m.disk);
	uint8_t raw[INDEX_HEAD];
	struct span v = span_of(raw, sizeof(raw));
	struct index_head head;
	unsigned long long generation;

	if (index_head_decode(disk_sim_peek(m.disk, other), &head) != 0 ||
	    sscanf(name, "idx-%llx", &generation) != 1 || d->ops->rename(d, other, name) != 0)
		return;
	head.generation = generation;
	index_head_encode(&head, raw);
	int h = d->ops->open(d, name, false);
	if (h < 0)
		return;
	(void)!d->ops->write(d, h, &v, 1, 0);
	(void)!d->ops->sync(d, h);
	d->ops->close(d, h);
}

/* What no crash does: an index is damaged, or stands beside another segment, or alone. */
static void harm_index(void)
{
	struct disk *d = disk_sim_disk(m.disk);
	char name[DISK_NAME_MAX], other[DISK_NAME_MAX] = "idx-00000000000fffff";

	if (!pick_index(name))
		return;
	uint64_t n = disk_sim_peek(m.disk, name).n, at = below(3) ? below(n) : below(128);
	switch (below(6)) {
	case 0:
	case 1: (void)!disk_sim_flip(m.disk, name, at); break;
	case 2: (void)!disk_sim_bad_page(m.disk, name, at); break;
	case 3:
		if (pick_index(other))
			other_life(name, other);
		break;
	case 4: (void)!pick_index(other); /* fall through */
	default: (void)!d->ops->rename(d, name, other); break;
	}
}

static void end_life(void)
{
	w.crash_points++;
	disk_sim_die(m.disk);
	store_close(&m.store);
	if (below(10) < 7)
		disk_sim_power_cut(m.disk);
	else
		disk_sim_restart(m.disk);
	if (disk_sim_violation(m.disk))
		model_fail("the store %s", disk_sim_violation(m.disk));
}

/* Both ways of reading leave the same alive. */
static void compare_readings(void)
{
	uint64_t before = model_sum();

	disk_sim_crash_after(m.disk, 0);
	no_faults();
	store_close(&m.store);
	disk_sim_restart(m.disk);
	m.params.ignore_indexes = !m.params.ignore_indexes;
	if (!try_open())
		model_fail("it cannot be read once more");
	if (model_sum() != before)
		model_fail("read by index and by segment, the log is not the same");
	m.params.ignore_indexes = false;
}

/* Opens, with crashes within the recovery now and then. */
static void begin_life(void)
{
	w.lives++;
	for (int tries = 0;; tries++) {
		no_faults();
		if (below(4) == 0)
			harm_index();
		cover_phase(PHASE_OPEN);
		cover_files();
		if (tries < 4 && below(3) == 0)
			disk_sim_crash_after(m.disk, 1 + below(60));
		else if (tries < 4 && below(4) == 0)
			some_faults();
		m.params.ignore_indexes = below(8) == 0;
		if (try_open() && !disk_sim_dead(m.disk))
			break;
		if (tries >= 4)
			model_fail("recovery does not succeed on a good disk");
		end_life();
	}
	if (below(3) == 0)
		compare_readings();
	m.params.ignore_indexes = false;
}

/* ---- one life -------------------------------------------------------------------------------- */

static void heal(struct store_record *r, size_t n)
{
	for (int tries = 0; tries < 8 && !disk_sim_dead(m.disk); tries++) {
		if (below(2) && store_prepare(m.store) < 0)
			disk_sim_others(m.disk, 0);
		if (tries == 6) {
			no_faults();
			disk_sim_params(m.disk)->capacity += 4 * m.params.segment_size;
		}
		if (store_heal(m.store) != 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (r[i].status == GW_EIO)
				model_refused(r[i].owner);
		}
		return;
	}
	if (!disk_sim_dead(m.disk))
		model_fail("the store does not heal on a good disk");
}

static void check_status(const struct store_record *r, bool must_succeed)
{
	uint64_t size = 80 + r->meta.n + ((struct item *)r->owner)->body_n;
	bool too_big = size > m.params.segment_size - 4096 - 88;

	if (r->status > 0 || (too_big ? r->status == 0 : r->status == GW_EFULL))
		model_fail("item of %llu octets: status %d", (unsigned long long)size, r->status);
	if (must_succeed && r->status != 0 && !too_big)
		model_fail("status %d on a good disk", r->status);
}

static void commit(size_t n, bool must_succeed)
{
	struct store_record r[BATCH];
	struct span pieces[BATCH][MODEL_PIECES];
	enum store_outcome outcome;

	for (size_t i = 0; i < n; i++)
		model_record(&r[i], pieces[i], w.content[i]);
	outcome = store_commit(m.store, r, n);
	for (size_t i = 0; i < n; i++) {
		struct item *it = r[i].owner;

		check_status(&r[i], must_succeed);
		it->meta_at = r[i].meta_at;
		if (r[i].status == 0)
			model_durable(it, &r[i]);
		else if (r[i].status != GW_EIO || outcome == STORE_DONE)
			model_refused(it);
	}
	if (outcome == STORE_UNDECIDED)
		heal(r, n);
	model_abort_parts(store_failed_segment(m.store));
}

static bool retire(void)
{
	if (store_retire(m.store) == 0)
		return false;
	model_retired();
	return true;
}

/* Of all operations few are those that count: a crash in them comes by order. */
static void crash_soon(uint64_t one_in, uint64_t within)
{
	if (below(one_in) == 0)
		disk_sim_crash_after(m.disk, 1 + below(within));
}

static void prepare(void)
{
	if (store_prepare(m.store) < 0)
		disk_sim_others(m.disk, 0);
}

static void step(void)
{
	switch (below(20)) {
	case 0:
	case 1:
		if (!retire())
			break;
		crash_soon(4, 8);
		prepare();
		prepare();
		break;
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
		crash_soon(30, 8);
		prepare();
		break;
	case 7: model_check_alive(); break;
	case 8: disk_sim_others(m.disk, below(m.params.segment_size * SEGMENTS_OF_DISK)); break;
	default:
		crash_soon(40, 2);
		commit((size_t)(1 + below(BATCH)), false);
		break;
	}
}

static bool room(void)
{
	return m.n + 2 * BATCH < MODEL_ITEMS;
}

static void prepare_all(void)
{
	for (int i = 0; i < 4 * SEGMENTS_OF_DISK && store_prepare(m.store) > 0; i++)
		(void)retire();
}

static void live(void)
{
	unsigned steps = 1 + (unsigned)below(40);

	begin_life();
	some_faults();
	if (below(4))
		disk_sim_crash_after(m.disk, 1 + below(120));
	for (unsigned i = 0; i < steps && room() && !disk_sim_dead(m.disk); i++)
		step();
	if (!disk_sim_dead(m.disk)) {
		disk_sim_crash_after(m.disk, 0);
		no_faults();
		prepare_all();
		if (room())
			commit(BATCH, false);
	}
	end_life();
}

/* All is ended: the log must shrink to its newest segments. */
static void last_life(void)
{
	struct store_stat stat;

	begin_life();
	no_faults();
	disk_sim_crash_after(m.disk, 0);
	model_let_all_go();
	(void)retire();
	prepare_all();
	if (room())
		commit(BATCH, true);
	(void)retire();
	store_stat(m.store, &stat);
	if (stat.segments > 8 || !stat.accepting)
		model_fail("%u segments remain, accepting %d", stat.segments, stat.accepting);
	store_close(&m.store);
}

static bool history(uint64_t seed)
{
	volatile bool good = false;

	w.keys = seed;
	model_reset(seed);
	m.params = (struct store_params){.spares = 2, .random = random_key};
	m.params.segment_size = 16384 << below(3);
	m.params.reserve = m.params.segment_size * below(4);
	struct disk_sim_params p = {.capacity = m.params.segment_size * SEGMENTS_OF_DISK};
	p.mutant = bug_rows[sim_bug].lie;
	m.disk = disk_sim_new(seed, &p);
	cover_start(m.disk);
	if (setjmp(m.failed) == 0) {
		for (int i = 0; i < LIVES; i++)
			live();
		last_life();
		good = true;
	} else {
		store_close(&m.store);
	}
	disk_sim_free(&m.disk);
	return good;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* False: a long run that left something out. */
static bool covered(uint64_t histories, bool markdown)
{
	unsigned never = cover_print(markdown);

	if (never == 0 || histories < COVER_MIN)
		return true;
	printf("spool_sim: %u steps or states were never reached\n", never);
	return false;
}

int main(int argc, char **argv)
{
	bool markdown = argc > 1 && strcmp(argv[argc - 1], "markdown") == 0;
	int words = argc - markdown;
	uint64_t n = words > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t seed = words > 2 ? strtoull(argv[2], NULL, 10) : 1;
	double begin = seconds();

	sim_bug = words > 3 ? bug_by_name(argv[3]) : BUG_NONE;
	if (sim_bug == BUGS)
		return 2;
	for (uint64_t end = seed + n; seed < end; seed++) {
		if (history(seed))
			continue;
		printf("spool_sim: seed %llu, planted bug %s: %s\n", (unsigned long long)seed,
		    bug_rows[sim_bug].name, m.why);
		return sim_bug == BUG_NONE;
	}
	double took = seconds() - begin;
	bool good = sim_bug != BUG_NONE || covered(n, markdown);
	printf("spool_sim: %llu histories, %llu lives, %llu crash points, %.0f histories/s%s\n",
	    (unsigned long long)n, (unsigned long long)w.lives, (unsigned long long)w.crash_points,
	    (double)n / took, sim_bug == BUG_NONE ? "" : ": the planted bug was NOT found");
	return sim_bug != BUG_NONE || !good;
}
