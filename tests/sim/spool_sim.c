/*
 * Random histories of the spool on a disk that forgets: batches of messages,
 * parts and results, holds, retires, failing writes and flushes, a full disk, a
 * crash at any operation (also within recovery), then power cut or kill, then
 * recovery. After each recovery:
 *   - what was durable and is still needed is there, octet for octet;
 *   - what was refused is not there, now or ever;
 *   - what a finished recovery gave out counts as durable, what it did not give
 *     out as refused;
 *   - a message comes back only together with the result that ended it.
 *
 * spool_sim [histories] [first seed] [mutant]: with a mutant (a disk that lies,
 * by number) it succeeds when the lie is found.
 */
#include "sim/disk_sim.h"
#include "spool/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	BATCH = 12,
	PIECES = 3,
	MAX_ITEMS = 4000,
	MAX_BODY = 9000,
	LIVES = 6,
	SEGMENTS_OF_DISK = 24,
	NOBODY = -1,
};

enum state { NEVER, UNKNOWN, DURABLE, REFUSED };

/* Everything that was ever handed to store_commit. Number i has content made from i. */
struct item {
	enum record_type type;
	enum state state;
	uint32_t meta_n, body_n;
	struct extent meta_at, body_at;
	int message; /* RESULT: the message it ends; PART: the message that names it, or NOBODY */
	bool given;  /* by this recovery */
	bool held;
	bool open;   /* PART: of the transaction that is open */
	bool ending; /* MESSAGE: a RESULT is on its way */
	bool ended;  /* MESSAGE: a RESULT is durable */
};

static struct {
	uint64_t seed, rng, keys, crash_points, lives;
	struct disk_sim *disk;
	struct store *store;
	struct store_params params;
	struct item item[MAX_ITEMS];
	int n;
	uint8_t content[BATCH][64 + 6 * MAX_BODY];
	jmp_buf failed;
	char why[200];
} w;

static void fail(const char *fmt, ...) gw_printf(1, 2);
static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w.why, sizeof(w.why), fmt, ap);
	va_end(ap);
	longjmp(w.failed, 1);
}

static uint64_t below(uint64_t n)
{
	return sim_random(&w.rng) % n;
}

static void random_key(void *to, size_t n)
{
	uint8_t *p = to;

	while (n-- > 0)
		*p++ = (uint8_t)sim_random(&w.keys);
}

static void make_content(int i, uint8_t *to, size_t n, uint64_t salt)
{
	uint64_t x = (uint64_t)i * 1000003 + salt;

	for (size_t at = 0; at < n; at++) {
		if (at % 8 == 0)
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		to[at] = (uint8_t)(x >> (8 * (at % 8)));
	}
}

static bool alive(const struct item *it)
{
	return it->type == REC_MESSAGE && it->state == DURABLE && !it->ended;
}

static void hold(struct item *it)
{
	if (it->held)
		return;
	it->held = true;
	store_hold(w.store, it->meta_at.segment);
}

static void let_go(struct item *it)
{
	if (!it->held)
		return;
	it->held = false;
	store_release(w.store, it->meta_at.segment);
}

static void let_go_message(int m)
{
	let_go(&w.item[m]);
	for (int i = 0; i < w.n; i++) {
		if (w.item[i].type == REC_PART && w.item[i].message == m)
			let_go(&w.item[i]);
	}
}

/* ---- content is what it was ---- */

static void check_extent(int i, const struct extent *e, uint32_t n, uint64_t salt)
{
	static uint8_t have[8 * MAX_BODY], want[8 * MAX_BODY];
	struct store_read *sum = NULL;

	if (e->length != n)
		fail("item %d: length %u, not %u", i, e->length, n);
	int64_t got = store_read_at(w.store, e, 0, have, n);
	if (disk_sim_dead(w.disk))
		return;
	if (got != (int64_t)n)
		fail("item %d: cannot be read at %llu+%llu: %lld", i,
		    (unsigned long long)e->segment, (unsigned long long)e->offset, (long long)got);
	make_content(i, want, n, salt);
	if (memcmp(have, want, n) != 0)
		fail("item %d: other octets than were stored", i);
	store_sum_feed(&sum, span_of(have, n / 2));
	store_sum_feed(&sum, span_of(have + n / 2, n - n / 2));
	if (store_sum_end(&sum) != e->sum)
		fail("item %d: the extent has a wrong checksum", i);
}

static void check_item(int i)
{
	check_extent(i, &w.item[i].meta_at, w.item[i].meta_n, 1);
	check_extent(i, &w.item[i].body_at, w.item[i].body_n, 2);
}

static void check_alive(void)
{
	for (int i = 0; i < w.n && !disk_sim_dead(w.disk); i++) {
		if (w.item[i].held)
			check_item(i);
	}
}

/* ---- recovery ---- */

static void given(const struct store_record *r)
{
	uint64_t number;

	memcpy(&number, r->id.b, sizeof(number));
	if (number >= (uint64_t)w.n)
		fail("a record that was never made");
	struct item *it = &w.item[number];
	if (it->type != r->type || it->meta_n != r->meta.n || it->body_n != r->body_at.length)
		fail("item %llu: came back as something else", (unsigned long long)number);
	if (it->given)
		fail("item %llu: came back twice", (unsigned long long)number);
	if (it->state == REFUSED)
		fail("item %llu: was refused and came back", (unsigned long long)number);
	it->given = true;
	it->meta_at = r->meta_at;
	it->body_at = r->body_at;
	if (it->type != REC_RESULT)
		hold(it);
}

/* What the finished recovery says is final. */
static void judge(int i)
{
	struct item *it = &w.item[i];

	if (it->state == UNKNOWN)
		it->state = it->given ? DURABLE : REFUSED;
	if (it->type == REC_RESULT && it->given)
		w.item[it->message].ended = true;
}

static void check_presence(int i)
{
	struct item *it = &w.item[i];

	if (alive(it) && !it->given)
		fail("item %d: durable message lost", i);
	if (it->type == REC_PART && it->state == DURABLE && it->message != NOBODY &&
	    alive(&w.item[it->message]) && !it->given)
		fail("item %d: part of a durable message lost", i);
	if (it->type == REC_RESULT && it->state == DURABLE && !it->given &&
	    w.item[it->message].given)
		fail("item %d: message %d came back without it", i, it->message);
}

/* Nothing points at it: a finished message, a part of one, a part of a transaction that died. */
static bool needed(const struct item *it)
{
	if (it->type == REC_PART)
		return it->message != NOBODY && alive(&w.item[it->message]);
	return alive(it);
}

static void after_recovery(const struct store_damage *d)
{
	if (d->records || d->strangers)
		fail("recovery reports damage at %llu+%llu (%llu), strangers %llu",
		    (unsigned long long)d->segment, (unsigned long long)d->offset,
		    (unsigned long long)d->records, (unsigned long long)d->strangers);
	for (int i = 0; i < w.n; i++)
		judge(i);
	for (int i = 0; i < w.n; i++) {
		check_presence(i);
		if (!needed(&w.item[i]))
			let_go(&w.item[i]);
	}
	check_alive();
}

static bool try_open(void)
{
	char why[100] = "";
	struct store_record r;
	struct store_damage damage;
	int rc = store_open(&w.store, disk_sim_disk(w.disk), &w.params, why, sizeof(why));

	if (rc != 0) {
		if (!disk_sim_dead(w.disk) && rc == GW_EVERSION)
			fail("store_open: %s", why);
		return false;
	}
	for (int i = 0; i < w.n; i++)
		w.item[i].given = w.item[i].held = w.item[i].ending = w.item[i].open = false;
	while ((rc = store_recover(w.store, &r, &damage)) > 0)
		given(&r);
	if (rc == 0)
		after_recovery(&damage);
	return rc == 0;
}

/* ---- one life ---- */

static void end_life(void)
{
	w.crash_points++;
	disk_sim_die(w.disk);
	store_close(&w.store);
	if (below(10) < 7)
		disk_sim_power_cut(w.disk);
	else
		disk_sim_restart(w.disk);
	if (disk_sim_violation(w.disk))
		fail("the store %s", disk_sim_violation(w.disk));
}

static void no_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

	memset(p->fail_per_10000, 0, sizeof(p->fail_per_10000));
	p->nospace_per_10000 = 0;
	disk_sim_others(w.disk, 0);
}

static void some_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

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

/* Opens, with crashes within the recovery now and then. */
static void begin_life(void)
{
	w.lives++;
	for (int tries = 0;; tries++) {
		no_faults();
		if (tries < 4 && below(3) == 0)
			disk_sim_crash_after(w.disk, 1 + below(60));
		else if (tries < 4 && below(4) == 0)
			some_faults();
		if (try_open() && !disk_sim_dead(w.disk))
			return;
		if (tries >= 4)
			fail("recovery does not succeed on a good disk");
		end_life();
	}
}

static int pick(bool (*want)(const struct item *))
{
	int first = w.n ? (int)below((uint64_t)w.n) : 0;

	for (int k = 0; k < w.n; k++) {
		int i = (first + k) % w.n;

		if (want(&w.item[i]))
			return i;
	}
	return NOBODY;
}

static bool can_end(const struct item *it)
{
	return alive(it) && !it->ending;
}

static bool open_part(const struct item *it)
{
	return it->type == REC_PART && it->open && it->state == DURABLE;
}

static uint32_t body_length(void)
{
	switch (below(12)) {
	case 0: return 0;
	case 1: return (uint32_t)below(6 * MAX_BODY);
	case 2:
	case 3:
	case 4: return (uint32_t)below(MAX_BODY);
	default: return (uint32_t)below(1200);
	}
}

static void new_item(struct item *it)
{
	*it = (struct item){.type = REC_MESSAGE, .state = UNKNOWN, .message = NOBODY};
	it->meta_n = 1 + (uint32_t)below(64);
	it->body_n = body_length();
	uint64_t dice = below(10);
	if (dice < 3) {
		int m = pick(can_end);

		if (m == NOBODY)
			return;
		it->type = REC_RESULT;
		it->message = m;
		it->body_n = 0;
		w.item[m].ending = true;
	} else if (dice < 5) {
		it->type = REC_PART;
	}
}

/* A message takes the parts of the open transaction along. */
static void take_parts(int m)
{
	if (w.item[m].type != REC_MESSAGE || below(3) != 0)
		return;
	for (int i = 0; i < m; i++) {
		if (!open_part(&w.item[i]))
			continue;
		w.item[i].message = m;
		w.item[i].open = false;
	}
}

static void make_record(struct store_record *r, struct span *pieces, uint8_t *content)
{
	int i = w.n++;
	struct item *it = &w.item[i];
	uint64_t number = (uint64_t)i;

	new_item(it);
	take_parts(i);
	*r = (struct store_record){.type = it->type, .own = it->type == REC_RESULT, .owner = it};
	memcpy(r->id.b, &number, sizeof(number));
	make_content(i, content, it->meta_n, 1);
	make_content(i, content + 64, it->body_n, 2);
	r->meta = span_of(content, it->meta_n);
	r->body = pieces;
	r->n_body = (size_t)below(PIECES) + (it->body_n > 0);
	struct span rest = span_of(content + 64, it->body_n);
	for (size_t k = 0; k < r->n_body; k++) {
		size_t n = k + 1 == r->n_body ? rest.n : (size_t)below(rest.n + 1);

		pieces[k] = span_first(rest, n);
		rest = span_skip(rest, n);
	}
}

static void drop_parts_of(int m)
{
	for (int i = 0; i < w.n; i++) {
		if (w.item[i].type != REC_PART || w.item[i].message != m)
			continue;
		let_go(&w.item[i]);
		w.item[i].message = NOBODY;
	}
}

static void settled(struct item *it, enum state state)
{
	int i = (int)(it - w.item);

	it->state = state;
	if (it->type == REC_RESULT && state == DURABLE) {
		w.item[it->message].ended = true;
		let_go_message(it->message);
	}
	if (it->type == REC_RESULT && state == REFUSED)
		w.item[it->message].ending = false;
	if (it->type == REC_MESSAGE && state == REFUSED)
		drop_parts_of(i);
	if (it->type == REC_PART && state == DURABLE)
		it->open = true;
}

/* The store gave a hold with the status 0. */
static void durable(struct item *it, const struct store_record *r)
{
	it->meta_at = r->meta_at;
	it->body_at = r->body_at;
	it->held = true;
	settled(it, DURABLE);
	if (it->type == REC_RESULT)
		let_go(it);
}

/* A transaction with a part in a segment that failed is refused. */
static void abort_parts(void)
{
	for (int i = 0; i < w.n; i++) {
		struct item *it = &w.item[i];

		if (open_part(it) && it->meta_at.segment == store_failed_segment(w.store)) {
			it->open = false;
			let_go(it);
		}
	}
}

static void heal(struct store_record *r, size_t n)
{
	for (int tries = 0; tries < 8 && !disk_sim_dead(w.disk); tries++) {
		if (below(2) && store_prepare(w.store) < 0)
			disk_sim_others(w.disk, 0);
		if (tries == 6) {
			no_faults();
			disk_sim_params(w.disk)->capacity += 4 * w.params.segment_size;
		}
		if (store_heal(w.store) != 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			if (r[i].status == GW_EIO)
				settled(r[i].owner, REFUSED);
		}
		return;
	}
	if (!disk_sim_dead(w.disk))
		fail("the store does not heal on a good disk");
}

static void commit(size_t n, bool must_succeed)
{
	struct store_record r[BATCH];
	struct span pieces[BATCH][PIECES];
	enum store_outcome outcome;

	for (size_t i = 0; i < n; i++)
		make_record(&r[i], pieces[i], w.content[i]);
	outcome = store_commit(w.store, r, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t size = 80 + r[i].meta.n + ((struct item *)r[i].owner)->body_n;
		bool too_big = size > w.params.segment_size - 4096 - 88;

		if (r[i].status > 0 || (too_big ? r[i].status == 0 : r[i].status == GW_EFULL))
			fail("item of %llu octets: status %d", (unsigned long long)size,
			    r[i].status);
		if (must_succeed && r[i].status != 0 && !too_big)
			fail("status %d on a good disk", r[i].status);
		if (r[i].status == 0)
			durable(r[i].owner, &r[i]);
		else if (r[i].status != GW_EIO || outcome == STORE_DONE)
			settled(r[i].owner, REFUSED);
	}
	if (outcome == STORE_UNDECIDED)
		heal(r, n);
	abort_parts();
}

static void step(void)
{
	switch (below(16)) {
	case 0:
	case 1: store_retire(w.store); break;
	case 2:
	case 3:
		if (store_prepare(w.store) < 0)
			disk_sim_others(w.disk, 0);
		break;
	case 4: check_alive(); break;
	case 5: disk_sim_others(w.disk, below(w.params.segment_size * SEGMENTS_OF_DISK)); break;
	default: commit((size_t)(1 + below(BATCH)), false); break;
	}
}

static bool room(void)
{
	return w.n + 2 * BATCH < MAX_ITEMS;
}

static void live(void)
{
	unsigned steps = 1 + (unsigned)below(40);

	begin_life();
	some_faults();
	if (below(4))
		disk_sim_crash_after(w.disk, 1 + below(120));
	for (unsigned i = 0; i < steps && room() && !disk_sim_dead(w.disk); i++)
		step();
	if (!disk_sim_dead(w.disk)) {
		disk_sim_crash_after(w.disk, 0);
		no_faults();
		for (int i = 0; i < 3 * SEGMENTS_OF_DISK && store_prepare(w.store) > 0; i++)
			store_retire(w.store);
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
	disk_sim_crash_after(w.disk, 0);
	for (int m = 0; m < w.n; m++) {
		if (w.item[m].held)
			let_go_message(m);
	}
	store_retire(w.store);
	for (int i = 0; i < 3 * SEGMENTS_OF_DISK && store_prepare(w.store) > 0; i++)
		;
	if (room())
		commit(BATCH, true);
	store_retire(w.store);
	store_stat(w.store, &stat);
	if (stat.segments > 8 || !stat.accepting)
		fail("%u segments remain, accepting %d", stat.segments, stat.accepting);
	store_close(&w.store);
}

static bool history(uint64_t seed, enum disk_sim_mutant mutant)
{
	volatile bool good = false;

	w.seed = w.rng = w.keys = seed;
	w.n = 0;
	w.params = (struct store_params){.spares = 2, .random = random_key};
	w.params.segment_size = 16384 << below(3);
	w.params.reserve = w.params.segment_size * below(4);
	struct disk_sim_params p = {.capacity = w.params.segment_size * SEGMENTS_OF_DISK};
	p.mutant = mutant;
	w.disk = disk_sim_new(seed, &p);
	if (setjmp(w.failed) == 0) {
		for (int i = 0; i < LIVES; i++)
			live();
		last_life();
		good = true;
	} else {
		store_close(&w.store);
	}
	disk_sim_free(&w.disk);
	return good;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	int mutant = argc > 3 ? atoi(argv[3]) : MUTANT_NONE;
	double begin = seconds();

	if (mutant < 0 || mutant >= MUTANTS)
		return 2;
	for (uint64_t end = seed + n; seed < end; seed++) {
		if (history(seed, (enum disk_sim_mutant)mutant))
			continue;
		printf("spool_sim: seed %llu, mutant %d: %s\n", (unsigned long long)seed, mutant,
		    w.why);
		return mutant == MUTANT_NONE;
	}
	double took = seconds() - begin;
	printf("spool_sim: %llu histories, %llu lives, %llu crash points, %.0f histories/s%s\n",
	    (unsigned long long)n, (unsigned long long)w.lives, (unsigned long long)w.crash_points,
	    (double)n / took, mutant == MUTANT_NONE ? "" : ": the mutant was NOT found");
	return mutant != MUTANT_NONE;
}
