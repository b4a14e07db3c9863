/* Classes and accounts in the broker: the bound for what is urgent, and the ceiling of what is
 * ready.
 */
#include "unit/flow/yard.h"

#include "flow/turns.h"

#include <time.h>

enum { CONNECTIONS = 4, BACKLOG = 100000 };

static const char config_text[] = "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
				  "route to domain one.test via relay 127.0.0.1:2526\n"
				  "route to any via relay 127.0.0.1:2525\n"
				  "shape * { connections 4; per-connection 100; retry 1h }\n";

/* ---- what is urgent ------------------------------------------------------------------------- */

struct watch_for {
	int64_t started;
	size_t before; /* jobs that started in its group since it was accepted */
	int64_t longest;
};

static int64_t slow(struct yard *y, const struct broker_effect *e)
{
	struct watch_for *w = y->arg;
	int64_t takes = (1 + yard_random(y, 100)) * YARD_SEC / 10;

	if (w == NULL)
		return takes;
	if (span_eq(e->rcpt[0].addr, SPAN("high@dst.test")))
		w->started = y->now;
	else if (w->started == 0)
		w->before++;
	return takes;
}

/* When the first connection of the group is free. */
static int64_t first_end(const struct yard *y)
{
	return heap_min(&y->ends)->key;
}

static void backlog(struct yard *y, enum priority class, unsigned accounts)
{
	char name[32];

	for (unsigned i = 0; i < BACKLOG; i++) {
		snprintf(name, sizeof(name), "user%u", i % accounts);
		yard_accept(y, class, accounts > 1 ? name : "", "x@dst.test");
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long it waited; bound: until when it had to start. */
static int64_t accept_high(struct yard *y, struct watch_for *w, int64_t *bound)
{
	int64_t at = y->now;

	*bound = y->ends.len < CONNECTIONS ? y->now : first_end(y);
	*w = (struct watch_for){0};
	y->arg = w;
	yard_accept(y, PRIORITY_HIGH, "boss", "high@dst.test");
	for (int i = 0; i < 100 && w->started == 0; i++)
		yard_step(y, INT64_MAX);
	y->arg = NULL;
	assert_int_not_equal(w->started, 0);
	return w->started - at;
}

static void high_behind(enum priority class, unsigned accounts)
{
	int64_t waited, bound, worst = 0;
	struct watch_for w;
	struct yard y;

	yard_open(&y, config_text, 4096, 0);
	y.starts = slow;
	yard_ready(&y);
	backlog(&y, class, accounts);
	for (int i = 0; i < 50; i++) {
		waited = accept_high(&y, &w, &bound);
		/* The turn before it may have been of a lower class: then it is the one after. */
		assert_in_range(w.before, 0, class == PRIORITY_BULK ? 0 : 1);
		if (w.before == 0)
			assert_true(w.started <= bound);
		worst = waited > worst ? waited : worst;
		yard_pass(&y, 11 * YARD_SEC);
	}
	print_message("high behind %d %s of %u accounts, messages of 0.1 to 10 s on %d "
		      "connections: started after %.1f s at most\n",
	    BACKLOG, class == PRIORITY_BULK ? "bulk" : "normal", accounts, CONNECTIONS,
	    (double)worst / 1e6);
	if (class == PRIORITY_BULK)
		assert_int_equal(worst, 0);
	assert_true(y.most_at_once <= CONNECTIONS);
	yard_close(&y);
}

static void test_high_behind_bulk(void **state)
{
	(void)state;
	high_behind(PRIORITY_BULK, 1);
	high_behind(PRIORITY_BULK, 1000);
}

static void test_high_behind_normal(void **state)
{
	(void)state;
	high_behind(PRIORITY_NORMAL, 1);
	high_behind(PRIORITY_NORMAL, 1000);
}

/* Bulk alone uses all connections but one, normal mail all of them. */
static void test_one_is_kept(void **state)
{
	struct yard y;

	(void)state;
	yard_open(&y, config_text, 4096, 0);
	yard_ready(&y);
	for (int i = 0; i < 50; i++)
		yard_accept(&y, PRIORITY_BULK, "", "x@dst.test");
	assert_int_equal(y.ends.len, CONNECTIONS - 1);
	yard_accept(&y, PRIORITY_NORMAL, "", "x@dst.test");
	yard_accept(&y, PRIORITY_NORMAL, "", "x@dst.test");
	assert_int_equal(y.ends.len, CONNECTIONS);
	for (int i = 0; i < 10; i++)
		yard_accept(&y, PRIORITY_NORMAL, "", "x@one.test");
	assert_int_equal(y.ends.len, 2 * CONNECTIONS);
	yard_pass(&y, 3600 * YARD_SEC);
	assert_int_equal(y.n_done, 62);
	yard_close(&y);
}

/* Everything is due at once, as after an outage, the urgent one among them. */
static void test_high_among_many_due(void **state)
{
	struct watch_for w = {0};
	struct yard y;
	double start;
	unsigned n = 0;

	(void)state;
	yard_open(&y, config_text, 4096, 0);
	for (unsigned i = 0; i < BACKLOG; i++) {
		yard_recover(&y, PRIORITY_BULK, "", "x@dst.test");
		if (i == BACKLOG / 2)
			yard_recover(&y, PRIORITY_HIGH, "", "high@dst.test");
	}
	y.starts = slow;
	y.arg = &w;
	start = seconds();
	yard_ready(&y);
	for (n = 0; n < 1000 && w.started == 0; n++) {
		broker_tick(y.b, y.now);
		yard_run(&y);
	}
	print_message("high among %d due at once: %u turns of the loop, %.0f ms\n", BACKLOG, n,
	    (seconds() - start) * 1e3);
	assert_int_not_equal(w.started, 0);
	yard_close(&y);
}

/* ---- the ceiling of what is ready ----------------------------------------------------------- */

static size_t ready(struct yard *y)
{
	struct broker_counts n;

	broker_counts(y->b, &n);
	return n.ready;
}

static int64_t never(struct yard *y, const struct broker_effect *e)
{
	(void)y;
	(void)e;
	return 365 * 86400 * YARD_SEC;
}

/* Accounts without number, whose mail goes nowhere: what is in memory stays bounded. */
static void test_ready_of_all(void **state)
{
	enum { ACCOUNTS = 200, EACH = 60, SITE = 50, ALL = 400 };
	size_t most = 0;
	struct yard y;

	(void)state;
	yard_open(&y, config_text, SITE, ALL);
	y.starts = never;
	yard_ready(&y);
	for (int i = 0; i < EACH; i++) {
		for (unsigned k = 0; k < ACCOUNTS; k++) {
			char name[32];

			snprintf(name, sizeof(name), "user%u", k);
			yard_accept(&y, PRIORITY_NORMAL, name, "x@dst.test");
			most = ready(&y) > most ? ready(&y) : most;
		}
	}
	print_message("%d messages of %d accounts: at most %zu ready (%d of each, %d of all)\n",
	    EACH * ACCOUNTS, ACCOUNTS, most, SITE, ALL);
	assert_in_range(most, ALL / 2, 2 * ALL + ACCOUNTS);
	/* What is full of mail for one place does not keep mail from another. */
	assert_int_equal(y.ends.len, CONNECTIONS);
	yard_accept(&y, PRIORITY_NORMAL, "user1", "x@one.test");
	assert_int_equal(y.ends.len, CONNECTIONS + 1);
	yard_close(&y);
}

/* And all of it is delivered in the end, by turns. */
static void test_ceiling_loses_nothing(void **state)
{
	enum { ACCOUNTS = 30, EACH = 40 };
	struct yard y;

	(void)state;
	for (size_t site = 1; site <= 9; site += 4) {
		yard_open(&y, config_text, site, 2 * site);
		yard_ready(&y);
		for (int i = 0; i < ACCOUNTS * EACH; i++) {
			char name[32];

			snprintf(name, sizeof(name), "user%d", i % ACCOUNTS);
			yard_accept(&y, (enum priority)(i % PRIORITY_COUNT), name, "x@dst.test");
		}
		yard_pass(&y, 3000 * YARD_SEC);
		assert_int_equal(y.n_done, ACCOUNTS * EACH);
		yard_close(&y);
	}
}

/* Reading back: an account with a crowd of thousands does not keep another one's crowd waiting. */
struct served {
	size_t n[2];
};

static int64_t count_served(struct yard *y, const struct broker_effect *e)
{
	struct served *s = y->arg;

	(void)e;
	s->n[0]++;
	return YARD_SEC;
}

static void test_crowds_by_turns(void **state)
{
	struct served s = {{0}};
	struct msgid last = {{0}};
	struct buf out;
	struct yard y;

	(void)state;
	yard_open(&y, config_text, 8, 16);
	y.starts = count_served;
	y.arg = &s;
	yard_ready(&y);
	for (int i = 0; i < 3000; i++)
		yard_accept(&y, PRIORITY_NORMAL, "much", "x@dst.test");
	for (int i = 0; i < 100; i++)
		last = yard_accept(&y, PRIORITY_NORMAL, "little", "x@dst.test");
	/* Four at a time, every second one of the account that has little. */
	yard_pass(&y, (100 * 2 / CONNECTIONS + 3) * YARD_SEC);
	buf_init(&out, 1 << 16);
	assert_int_equal(broker_show(y.b, &last, &out, y.now), 404);
	buf_fini(&out);
	yard_close(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_high_behind_bulk),
	    cmocka_unit_test(test_high_behind_normal),
	    cmocka_unit_test(test_one_is_kept),
	    cmocka_unit_test(test_high_among_many_due),
	    cmocka_unit_test(test_ready_of_all),
	    cmocka_unit_test(test_ceiling_loses_nothing),
	    cmocka_unit_test(test_crowds_by_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
