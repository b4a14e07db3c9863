#include "sim/history.h"

#include "sim/people.h"

#include "sim/faults.h"
#include "sim/peers.h"
#include "sim/sweep.h"
#include "sim/tally.h"
#include "sim/trace.h"

#include <stdio.h>

enum {
	LIVES_SMALL = 3,
	STEPS_SMALL = 160,
	MAILS_SMALL = 20,
	DRAIN_MAX = 200000,
	/* Dice that are no step's. */
	DICE_START = 1 << 20,
	DICE_LAST,
};

static struct world w;
static struct config **in_force; /* NULL: that of the start */
static const struct script *plan;
static struct ending *ending;

static const char domains[] = "hostname mx.test\n"
			      "admin " ADMIN "\n"
			      "dsn { warn 20s; per-sender 2/m; copy bad-mailbox }\n"
			      /* Those that are built in take most of the time of a sweep. */
			      "classify bad-mailbox \"^550 5.1.1\"\n"
			      "classify other \"^\"\n"
			      "listen mx 127.0.0.1:2525\n"
			      "trust 127.0.0.1\n"
			      "users file /users\n"
			      "domain box.test { deliver maildir /var/mail/%u }\n"
			      "domain no.test { deliver reject \"550 5.1.1 nobody\" }\n"
			      "domain later.test { deliver reject \"451 4.3.0 later\" }\n"
			      "route to domain a.test via mx\n";

/* What a reload changes: the hosts of two domains, another way to the third, other shapes. */
enum { VARIANTS = 3 };
static const char *const variants[VARIANTS] = {
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "route to domain b.test via relay 127.0.0.1:2602\n"
    "route to domain c.test via relay 127.0.0.1:2602\n",
    "domain lmtp.test { deliver lmtp unix:/run/other }\n"
    "vmta second { helo second.test }\n"
    "route to domain b.test via relay 127.0.0.1:2603\n"
    "route to domain c.test via relay 127.0.0.1:2602 vmta second\n",
    "vmta second { helo other.test }\n"
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "route to any via relay 127.0.0.1:2602 vmta second\n",
};

/* A sweep asks for all jobs at once (see shapes_small). */
static const struct {
	const char *of_long, *of_small;
} new_shapes[VARIANTS] = {
    {"", ""},
    {"shape new { domain b.test; connections 1; messages 5/10s; retry 2s; expire 5m }\n",
	"shape new { domain b.test; connections 500; per-connection 2; retry 2s; expire 10m }\n"},
    {"shape new { domain lmtp.test; connections 4 total 4; retry 1s; expire 5m }\n",
	"shape new { domain lmtp.test; connections 400 total 400; retry 1s; expire 10m }\n"},
};

static const char shapes_long[] =
    "shape once { domain c.test; connections 2; at-most-once yes; retry 1s 5s; expire 5m }\n"
    "shape one { domain a.test; connections 2; per-connection 3; retry 1s 5s; expire 3m }\n"
    "shape * { connections 3; per-connection 5; retry 1s 5s 30s; expire 5m }\n";

/* A sweep asks for all jobs at once, and wants none to expire. */
static const char shapes_small[] =
    "shape once { domain c.test; connections 500; at-most-once yes; retry 1s 5s; expire 10m }\n"
    "shape one { domain a.test; connections 500; per-connection 3; retry 1s 5s; expire 10m }\n"
    "shape * { connections 500; per-connection 5; retry 1s 5s 30s; expire 10m }\n";

static struct config *variant(bool small, unsigned number)
{
	struct config_diags d;
	struct config *c;
	struct buf bundle;
	char text[2000];

	snprintf(text, sizeof(text), "%s%s%s%s", domains, variants[number],
	    small ? new_shapes[number].of_small : new_shapes[number].of_long,
	    small ? shapes_small : shapes_long);
	if (!small)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), TALLY_LIMITS);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	config_diags_init(&d);
	gw_assert(config_bundle_text("sim.conf", span_str(text), &bundle) == 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	if (c == NULL) {
		struct buf out;

		buf_init(&out, 1 << 20);
		config_diags_format(&d, &out);
		die("%.*s", SPAN_ARG(buf_view(&out)));
	}
	config_diags_fini(&d);
	buf_fini(&bundle);
	return c;
}

struct config *history_config(bool small)
{
	return variant(small, 0);
}

void script_init(struct script *p, uint64_t seed, bool small, enum bug bug)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->small = small;
	p->bug = bug;
	p->mails = small ? MAILS_SMALL : HISTORY_MAILS;
	p->lives = (1U << (small ? LIVES_SMALL : HISTORY_LIVES)) - 1;
}

/* Each step has dice of its own: they stay the same when others are left out. */
static void take_dice(unsigned life, unsigned step)
{
	uint64_t state = plan->seed ^ (uint64_t)life << 40 ^ (uint64_t)step << 16;

	ending->life = life;
	ending->step = step;
	w.rng = sim_random(&state);
	disk_sim_reseed(w.disk, sim_random(&state));
}

/* ---- faults ------------------------------------------------------------------------------- */

static void no_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

	memset(p->fail_per_10000, 0, sizeof(p->fail_per_10000));
	p->nospace_per_10000 = 0;
	disk_sim_others(w.disk, 0);
}

static void some_errors(struct disk_sim_params *p)
{
	for (int op = 0; op < SIM_OPS; op++) {
		if (op != SIM_READ && sim_once_in(&w.rng, 2))
			p->fail_per_10000[op] = (unsigned)sim_below(&w.rng, 500);
	}
	if (sim_once_in(&w.rng, 3))
		p->fail_per_10000[SIM_SYNC] = 4000;
}

static void some_faults(void)
{
	struct disk_sim_params *p = disk_sim_params(w.disk);

	no_faults();
	if (sim_once_in(&w.rng, 2))
		return;
	if (world_may(&w, MAY_ERROR))
		some_errors(p);
	if (world_may(&w, MAY_NOSPACE) && sim_once_in(&w.rng, 3))
		p->nospace_per_10000 = (unsigned)sim_below(&w.rng, 300);
}

/* ---- lives -------------------------------------------------------------------------------- */

/* Power cut: everything dies. Else the queue alone is gone, its peers see that. */
static void end_life(void)
{
	bool power = sim_below(&w.rng, 10) < 6;

	power = (power && world_may(&w, MAY_CUT)) || !world_may(&w, MAY_KILL);
	ending->ends++;
	sim_note(power ? "power cut" : "the queue is killed");
	disk_sim_die(w.disk);
	if (power)
		peers_power_gone(&w);
	else
		peers_queue_gone(&w);
	world_bury(&w);
	if (power) {
		disk_sim_power_cut(w.disk);
	} else {
		fault_count(FAULT_QUEUE_KILLED);
		disk_sim_restart(w.disk);
	}
	if (disk_sim_violation(w.disk))
		sim_fail("the store %s", disk_sim_violation(w.disk));
}

static void begin_life(void)
{
	for (int tries = 0;; tries++) {
		no_faults();
		if (tries < 4 && sim_once_in(&w.rng, 4) && world_may(&w, MAY_START_CRASH))
			disk_sim_crash_after(w.disk, 1 + sim_below(&w.rng, 60));
		if (world_start(&w))
			return;
		if (!disk_sim_dead(w.disk))
			sim_fail("recovery does not succeed on a good disk");
		fault_count(FAULT_START_CUT);
		end_life();
	}
}

static void let_time_pass(void)
{
	int64_t next = world_deadline(&w);

	if (sim_once_in(&w.rng, 12) && next > w.now && next < w.now + INT64_C(60000000))
		w.now = next;
	else
		w.now += (int64_t)sim_below(&w.rng, sim_once_in(&w.rng, 50) ? 400000 : 1500);
}

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

/* To read one takes longer than most of what happens between two. But in good histories it is to
 * be seen who still looks at the one before. */
static bool keeps(void)
{
	return !SANITIZED || plan->bug != BUG_NONE;
}

/* Two of each: the next one is never the one in force. */
static struct config **another_variant(unsigned number)
{
	static struct config *kept[2][VARIANTS][2];
	struct config **pair = kept[plan->small][number];
	struct config **c = &pair[in_force == &pair[0]];

	if (*c == NULL) {
		*c = variant(plan->small, number);
		(*c)->generation = 2;
	}
	return c;
}

static void put_away(struct config **c)
{
	if (!keeps() && c != NULL)
		config_free(c);
}

static void reload(void)
{
	struct config **old = in_force;

	in_force = another_variant((unsigned)sim_below(&w.rng, VARIANTS));
	world_reload(&w, *in_force);
	put_away(old);
}

static void step(bool new_mail)
{
	let_time_pass();
	world_turn(&w);
	if (world_alive(&w) && sim_once_in(&w.rng, 12) && world_may(&w, MAY_PREPARE))
		world_prepare(&w);
	if (world_alive(&w) && sim_once_in(&w.rng, 150) && world_may(&w, MAY_FULL))
		disk_sim_others(w.disk, sim_below(&w.rng, disk_sim_params(w.disk)->capacity));
	if (world_alive(&w))
		peers_step(&w, new_mail);
	if (world_alive(&w) && sim_once_in(&w.rng, 60) && world_may(&w, MAY_RELOAD))
		reload();
}

static void live(unsigned life)
{
	unsigned steps;

	take_dice(life, DICE_START);
	steps = 20 + (unsigned)sim_below(&w.rng, plan->small ? STEPS_SMALL : HISTORY_STEPS - 20);
	begin_life();
	some_faults();
	if (!sim_once_in(&w.rng, 4) && world_may(&w, MAY_CRASH))
		disk_sim_crash_after(w.disk, 1 + sim_below(&w.rng, 150));
	for (unsigned i = 0; i < steps && world_alive(&w); i++) {
		if (plan->skip[life][i])
			continue;
		take_dice(life, i);
		step(w.book.n < plan->mails && !sim_once_in(&w.rng, 3));
	}
	end_life();
}

static bool drained(void)
{
	struct broker_counts n;

	broker_counts(w.broker, &n);
	return n.messages == 0 && world_idle(&w) && peers_idle(&w);
}

static void check_empty_log(void)
{
	struct store_stat st;

	if (w.now < w.retire_from)
		w.now = w.retire_from;
	for (int i = 0; i < 20; i++) { /* the counts of the days follow into the newest segment */
		w.now += 1000000;
		world_turn(&w);
	}
	store_stat(w.store, &st);
	if (st.segments > 1)
		sim_fail("%u segments remain of an empty queue", st.segments);
}

/* A good disk and willing hosts: the queue empties, and the log shrinks. */
static void last_life(void)
{
	take_dice(HISTORY_LIVES, DICE_LAST);
	disk_sim_crash_after(w.disk, 0);
	disk_sim_watch(w.disk, NULL, NULL);
	no_faults();
	/* Somebody makes room: a small disk that is full of tries has none for their end. */
	disk_sim_params(w.disk)->capacity *= 2;
	if (!world_start(&w))
		sim_fail("the last start does not succeed");
	peers_calm(&w, true);
	people_calm(&w);
	for (unsigned i = 0; !drained(); i++) {
		int64_t next = world_deadline(&w);

		if (i == DRAIN_MAX)
			sim_fail("the queue does not empty");
		if (next > w.now && (i % 40 == 0 || (world_idle(&w) && peers_idle(&w))))
			w.now = next;
		w.now += (int64_t)sim_below(&w.rng, 3000);
		world_turn(&w);
		if (sim_once_in(&w.rng, 12))
			world_prepare(&w);
		peers_step(&w, false);
	}
	book_final(&w.book);
	check_empty_log();
}

void history_run(
    const struct script *p, const struct config *c, struct sweep *sweep, struct ending *out)
{
	plan = p;
	ending = out;
	*out = (struct ending){.good = false};
	sim_notes_clear();
	world_init(&w, p->seed, c, p->bug, p->small);
	w.without = p->without;
	if (sweep != NULL)
		sweep_begin(sweep, &w, p->seed);
	if (setjmp(sim_failed) == 0) {
		for (unsigned i = 0; i < HISTORY_LIVES; i++) {
			if (p->lives >> i & 1)
				live(i);
		}
		last_life();
		out->good = true;
	} else {
		snprintf(out->why, sizeof(out->why), "%s", sim_why());
		out->check = sim_check();
	}
	world_fini(&w);
	put_away(in_force);
	in_force = NULL;
}
