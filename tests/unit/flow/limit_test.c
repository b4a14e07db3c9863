/* Windows of limits, against a list of what was counted and when. */
#include "unit/flow/fixture.h"

#include "flow/limit.h"

#include <stdlib.h>
#include <time.h>

#define MS INT64_C(1000)
#define START (20000 * DAYS)

static struct limits *limits_of(const struct config *c, size_t rows)
{
	struct limits_params p = {.calendar = limit_utc, .seed = 3, .rows_max = rows};
	struct limits *l = limits_new(&p);

	limits_configure(l, c);
	return l;
}

static struct limit_ask by_account(const char *name)
{
	return (struct limit_ask){.account = span_str(name),
	    .client_ip = SPAN("192.0.2.7"),
	    .listener = SPAN("mx"),
	    .recipients = 1,
	    .octets = 100};
}

/* One rule and what it may count: plain structs, no file. */
struct paper {
	struct limit_rule rule[8];
	struct config config;
	struct limits *l;
};

static void paper_init(struct paper *p, size_t n)
{
	p->config = (struct config){.limit = p->rule, .n_limit = n};
	p->l = limits_of(&p->config, 0);
}

/* ---- the property
 * --------------------------------------------------------------------------------- */

enum { EVENTS = 4000 };

struct list {
	int64_t at[EVENTS];
	uint64_t n[EVENTS];
	size_t len;
};

/* So much of it lies in the window that ends now. */
static uint64_t in_window(const struct list *x, int64_t length, int64_t now)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < x->len; i++)
		sum += x->at[i] > now - length ? x->n[i] : 0;
	return sum;
}

/* Never more than n in any window; what is refused would have been too much a twentieth of the
 * window ago; and what is told of the time of release is true. */
static void random_history(uint64_t seed)
{
	struct dice d = {seed};
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .what = LIMIT_OF_RECIPIENTS}}};
	struct list *x = gw_calloc(1, sizeof(*x));
	uint32_t seconds =
	    (uint32_t)(1 + dice_roll(&d) % (seed % 3 ? 100 : CONFIG_LIMIT_SECONDS_MAX));
	int64_t length = seconds * SEC, now = START,
		gap = 1 + length / (int64_t)(1 + dice_roll(&d) % 200);
	bool held_back = false;
	struct limit_verdict v;

	p.rule[0].n = 1 + dice_roll(&d) % 60;
	p.rule[0].seconds = seconds;
	paper_init(&p, 1);
	while (x->len < EVENTS / 4) {
		struct limit_ask ask = by_account("a");
		struct limit_charge *c;
		uint64_t before;

		now = held_back && dice_roll(&d) % 2
			  ? v.opens
			  : now + (int64_t)(dice_roll(&d) % (uint64_t)gap);
		ask.recipients = (uint32_t)(1 + dice_roll(&d) % (1 + p.rule[0].n / 4));
		before = in_window(x, length + length / 20 + 1, now);
		held_back = held_back && now == v.opens;
		c = limits_reserve(p.l, &p.config, &ask, false, now, &v);
		if (v.rule != NULL) {
			assert_false(held_back && ask.recipients == 1);
			assert_true(before + ask.recipients > p.rule[0].n);
			assert_true(v.opens > now && v.opens <= now + length);
			held_back = true;
			continue;
		}
		held_back = false;
		if (dice_roll(&d) % 8 == 0) { /* it did not become durable */
			limits_give_back(p.l, &c);
			continue;
		}
		limits_settle(p.l, &c, now, now);
		x->at[x->len] = now;
		x->n[x->len++] = ask.recipients;
		assert_true(in_window(x, length, now) <= p.rule[0].n);
	}
	limits_free(&p.l);
	free(x);
}

static void test_never_more_than_n(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++)
		random_history(seed);
}

/* As long as there are few, a place is free to the microsecond. */
static void test_exact(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 3, .seconds = 3600}}};
	struct limit_ask ask = by_account("a");
	struct limit_verdict v;
	struct limit_charge *c;

	(void)state;
	paper_init(&p, 1);
	for (int i = 0; i < 3; i++) {
		c = limits_reserve(p.l, &p.config, &ask, false, START + i, &v);
		limits_settle(p.l, &c, START + i, START + i);
	}
	assert_null(limits_reserve(p.l, &p.config, &ask, false, START + HOURS - 1, &v));
	assert_int_equal(v.opens, START + HOURS);
	assert_int_equal(v.used, 3);
	c = limits_reserve(p.l, &p.config, &ask, false, START + HOURS, &v);
	assert_non_null(c);
	limits_settle(p.l, &c, START + HOURS, START + HOURS);
	assert_null(limits_reserve(p.l, &p.config, &ask, false, START + HOURS, &v));
	assert_int_equal(v.opens, START + HOURS + 1);
	limits_free(&p.l);
}

/* ---- several limits
 * -------------------------------------------------------------------------------- */

static void spend(struct paper *p, const char *who, int64_t now, size_t n)
{
	struct limit_ask ask = by_account(who);
	struct limit_verdict v;

	while (n-- > 0) {
		struct limit_charge *c = limits_reserve(p->l, &p->config, &ask, false, now, &v);

		assert_null(v.rule);
		limits_settle(p->l, &c, now, now);
	}
}

static struct limit_verdict refused(struct paper *p, const struct limit_ask *ask, int64_t now)
{
	struct limit_verdict v;

	assert_null(limits_reserve(p->l, &p->config, ask, false, now, &v));
	assert_non_null(v.rule);
	return v;
}

static uint64_t used(struct paper *p, size_t rule, const char *who, int64_t now)
{
	return limits_state(p->l, &p->rule[rule], span_str(who), 1, now).used;
}

/* Records that were tried again are counted behind others that are newer: each at its own time. */
static void late_history(uint64_t seed)
{
	struct dice d = {seed};
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1000, .seconds = 100}}};
	struct limit_ask ask = by_account("a");
	struct list *x = gw_calloc(1, sizeof(*x));
	int64_t now = START, length = 100 * SEC;
	unsigned most = 1 + (unsigned)(dice_roll(&d) % 200);

	paper_init(&p, 1);
	for (unsigned i = 0; i < most; i++) {
		now += (int64_t)(dice_roll(&d) % (4 * SEC));
		x->at[x->len] = now - (int64_t)(dice_roll(&d) % (30 * SEC));
		x->n[x->len] = 1;
		limits_count(p.l, &ask, x->at[x->len], now);
		x->len++;
	}
	for (int k = 0; k < 60; k++, now += 2 * SEC) {
		uint64_t used = limits_state(p.l, &p.rule[0], ask.account, 1, now).used;

		assert_true(used >= in_window(x, length, now));
		assert_true(used <= in_window(x, length + length / 20 + 1, now));
	}
	limits_free(&p.l);
	free(x);
}

static void test_late(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 300; seed++)
		late_history(seed);
}

/* All are charged or none; the one that opens last is named, of those that are strictest. */
static void test_all_or_none(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 2, .seconds = 60},
			      {.key = LIMIT_BY_ACCOUNT, .n = 4, .seconds = 86400},
			      {.key = LIMIT_BY_ALL, .n = 5, .seconds = 3600, .over = LIMIT_HOLD}}};
	struct limit_ask a = by_account("a"), b = by_account("b");

	(void)state;
	paper_init(&p, 3);
	spend(&p, "a", START, 2);
	assert_ptr_equal(refused(&p, &a, START).rule, &p.rule[0]);
	assert_int_equal(used(&p, 1, "a", START), 2);
	assert_int_equal(used(&p, 2, "", START), 2);
	spend(&p, "a", START + MIN, 2);
	assert_ptr_equal(refused(&p, &a, START + MIN).rule, &p.rule[1]);
	assert_int_equal(refused(&p, &a, START + MIN).opens, START + DAYS);
	spend(&p, "b", START + MIN, 1);
	assert_ptr_equal(refused(&p, &b, START + MIN).rule, &p.rule[2]);
	assert_ptr_equal(refused(&p, &a, START + MIN).rule, &p.rule[1]);
	limits_free(&p.l);
}

static void test_more_than_the_limit(void **state)
{
	struct paper p = {
	    .rule = {{.key = LIMIT_BY_ACCOUNT, .what = LIMIT_OF_OCTETS, .n = 99, .seconds = 60}}};
	struct limit_ask a = by_account("a");

	(void)state;
	paper_init(&p, 1);
	assert_int_equal(refused(&p, &a, START).opens, INT64_MAX);
	a.octets = 99;
	assert_non_null(a.account.p);
	p.rule[0].n = 0;
	assert_int_equal(refused(&p, &a, START).opens, INT64_MAX);
	limits_free(&p.l);
}

/* What is reserved counts against others, and is free again when it is given back. */
static void test_reserved(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1, .seconds = 60}}};
	struct limit_ask a = by_account("a");
	struct limit_verdict v;
	struct limit_charge *c;

	(void)state;
	paper_init(&p, 1);
	c = limits_reserve(p.l, &p.config, &a, false, START, &v);
	assert_int_equal(refused(&p, &a, START + DAYS).opens, START + DAYS + MIN);
	limits_give_back(p.l, &c);
	spend(&p, "a", START + DAYS, 1);
	limits_free(&p.l);
}

/* ---- subjects
 * --------------------------------------------------------------------------------------- */

static const char *subject(enum limit_key key, const struct limit_ask *ask)
{
	static char out[LIMIT_SUBJECT_MAX];

	return limit_subject(key, ask, out) ? out : NULL;
}

static void test_subjects(void **state)
{
	struct limit_ask a = {
	    .account = SPAN("Alice@Example.COM"), .client_ip = SPAN("192.0.2.77")};

	(void)state;
	assert_string_equal(subject(LIMIT_BY_ACCOUNT, &a), "alice@example.com");
	assert_string_equal(subject(LIMIT_BY_ADDRESS, &a), "192.0.2.77");
	assert_string_equal(subject(LIMIT_BY_NET, &a), "192.0.2.0/24");
	assert_string_equal(subject(LIMIT_BY_ALL, &a), "");
	assert_null(subject(LIMIT_BY_TENANT, &a));
	a.client_ip = SPAN("::ffff:192.0.2.77");
	assert_string_equal(subject(LIMIT_BY_ADDRESS, &a), "192.0.2.77");
	a.client_ip = SPAN("2001:DB8:1:2:3:4:5:6");
	assert_string_equal(subject(LIMIT_BY_NET, &a), "2001:db8:1:2::/64");
	assert_string_equal(subject(LIMIT_BY_ADDRESS, &a), "2001:db8:1:2:3:4:5:6");
	a.client_ip = SPAN("nonsense");
	assert_null(subject(LIMIT_BY_ADDRESS, &a));
}

/* Bounces that come in count for nobody; who logged in is himself whatever he writes. */
static void test_null_sender(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ALL, .n = 1, .seconds = 60},
			      {.key = LIMIT_BY_ACCOUNT, .n = 2, .seconds = 60}}};
	struct limit_ask bounce = {.client_ip = SPAN("192.0.2.1"), .null_sender = true};
	struct limit_ask own = by_account("a");
	struct limit_verdict v;
	struct limit_charge *c;

	(void)state;
	own.null_sender = true;
	paper_init(&p, 2);
	for (int i = 0; i < 5; i++) {
		assert_null(limits_reserve(p.l, &p.config, &bounce, false, START, &v));
		assert_null(v.rule);
	}
	for (int i = 0; i < 2; i++) {
		c = limits_reserve(p.l, &p.config, &own, false, START, &v);
		limits_settle(p.l, &c, START, START);
	}
	assert_ptr_equal(refused(&p, &own, START).rule, &p.rule[1]);
	assert_int_equal(used(&p, 0, "", START), 0);
	limits_free(&p.l);
}

/* ---- calendar
 * --------------------------------------------------------------------------------------- */

/* 2024-02-28 12:00 UTC. */
#define LEAP (INT64_C(1709121600) * SEC)

static void test_calendar(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1, .calendar = LIMIT_DAY},
			      {.key = LIMIT_BY_ACCOUNT, .n = 2, .calendar = LIMIT_MONTH}}};
	struct limit_ask a = by_account("a");

	(void)state;
	paper_init(&p, 2);
	spend(&p, "a", LEAP, 1);
	assert_int_equal(refused(&p, &a, LEAP + 1).opens, LEAP + 12 * HOURS);
	spend(&p, "a", LEAP + 12 * HOURS, 1); /* the 29th begins */
	assert_int_equal(refused(&p, &a, LEAP + 13 * HOURS).opens, LEAP + 36 * HOURS);
	assert_int_equal(used(&p, 0, "a", LEAP + 13 * HOURS), 1);
	assert_int_equal(used(&p, 1, "a", LEAP + 13 * HOURS), 2);
	spend(&p, "a", LEAP + 36 * HOURS, 1); /* March */
	assert_int_equal(
	    limit_utc(NULL, LIMIT_MONTH, LEAP + 36 * HOURS).end, LEAP + 36 * HOURS + 31 * DAYS);
	limits_free(&p.l);
}

/* Every month of 400 years begins where the one before ended. */
static void test_months(void **state)
{
	int64_t at = 0;

	(void)state;
	for (int i = 0; i < 4800; i++) {
		struct limit_period m = limit_utc(NULL, LIMIT_MONTH, at);

		assert_int_equal(m.begin, at);
		assert_in_range((uint64_t)((m.end - m.begin) / DAYS), 28, 31);
		assert_int_equal(limit_utc(NULL, LIMIT_MONTH, m.end - 1).begin, at);
		at = m.end;
	}
	assert_int_equal(at, INT64_C(146097) * DAYS);
}

/* The clock is set: by an hour forward and back the day stays the same day, and ends when it does.
 */
static int64_t ahead_by;

static struct limit_period wall_calendar(void *arg, enum limit_calendar unit, int64_t when)
{
	struct limit_period p = limit_utc(arg, unit, when + ahead_by);

	return (struct limit_period){p.begin - ahead_by, p.end - ahead_by};
}

static void set_clock(struct paper *p, int64_t by)
{
	ahead_by = by;
	limits_clock_set(p->l);
}

static void test_clock_is_set(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1, .calendar = LIMIT_DAY},
			      {.key = LIMIT_BY_ACCOUNT, .n = 9, .calendar = LIMIT_MONTH}}};
	struct limits_params params = {.calendar = wall_calendar, .seed = 3};
	struct limit_ask a = by_account("a");
	int64_t now = LEAP;

	(void)state;
	ahead_by = 0;
	p.config = (struct config){.limit = p.rule, .n_limit = 2};
	p.l = limits_new(&params);
	limits_configure(p.l, &p.config);
	spend(&p, "a", now, 1);
	set_clock(&p, HOURS);
	assert_int_equal(refused(&p, &a, now).opens, LEAP + 11 * HOURS);
	set_clock(&p, -HOURS);
	assert_int_equal(refused(&p, &a, now).opens, LEAP + 13 * HOURS);
	now = LEAP + 12 * HOURS; /* midnight, before it was set back */
	assert_int_equal(refused(&p, &a, now).opens, LEAP + 13 * HOURS);
	spend(&p, "a", LEAP + 13 * HOURS, 1);
	now = LEAP + 13 * HOURS + 1;
	set_clock(&p, 400 * DAYS); /* never longer than what it is now */
	assert_int_equal(refused(&p, &a, now).opens, wall_calendar(NULL, LIMIT_DAY, now).end);
	assert_int_equal(used(&p, 1, "a", now), 2);
	now = wall_calendar(NULL, LIMIT_MONTH, now).end;
	assert_int_equal(used(&p, 1, "a", now), 0);
	limits_free(&p.l);
}

/* ---- room, configuration
 * ------------------------------------------------------------------------------ */

/* A full table stops nobody; who counts nothing any more makes room. */
static void test_full(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1, .seconds = 60}}};
	struct limit_ask x = by_account("x");
	struct limit_verdict v;

	(void)state;
	paper_init(&p, 1);
	limits_free(&p.l);
	p.l = limits_of(&p.config, 2);
	spend(&p, "a", START, 1);
	spend(&p, "b", START, 1);
	for (int i = 0; i < 3; i++) {
		assert_null(limits_reserve(p.l, &p.config, &x, false, START, &v));
		assert_null(v.rule);
	}
	assert_int_equal(limits_unlimited(p.l), 3);
	spend(&p, "x", START + MIN, 1);
	refused(&p, &x, START + MIN);
	assert_int_equal(limits_unlimited(p.l), 3);
	limits_free(&p.l);
}

/* A new n or another order keeps what was counted; another window begins empty. */
/* A stranger with as many addresses as there are rows does not end the limits of accounts. */
static void test_full_of_strangers(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1, .seconds = 3600},
			      {.key = LIMIT_BY_ADDRESS, .n = 1, .seconds = 3600}}};
	struct limit_ask a = by_account("a");

	(void)state;
	p.config = (struct config){.limit = p.rule, .n_limit = 2};
	p.l = limits_of(&p.config, 100);
	for (int i = 0; i < 200; i++) {
		char ip[20];
		struct limit_ask stranger = {.client_ip = SPAN_NONE, .recipients = 1};

		snprintf(ip, sizeof(ip), "198.51.100.%d", i);
		stranger.client_ip = span_str(ip);
		limits_count(p.l, &stranger, START, START);
	}
	assert_int_equal(limits_rows(p.l), 50);
	assert_int_equal(limits_unlimited(p.l), 150);
	spend(&p, "a", START, 1);
	assert_ptr_equal(refused(&p, &a, START).rule, &p.rule[0]);
	limits_free(&p.l);
}

static void test_configured_anew(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 5, .seconds = 60},
			      {.key = LIMIT_BY_ALL, .n = 9, .seconds = 60}}};
	struct limit_rule swap;

	(void)state;
	paper_init(&p, 2);
	spend(&p, "a", START, 3);
	swap = p.rule[0];
	p.rule[0] = p.rule[1];
	p.rule[1] = swap;
	p.rule[1].n = 2;
	limits_configure(p.l, &p.config);
	assert_int_equal(used(&p, 1, "a", START), 3);
	assert_int_equal(used(&p, 0, "", START), 3);
	p.rule[1].seconds = 61;
	limits_configure(p.l, &p.config);
	assert_int_equal(used(&p, 1, "a", START), 0);
	assert_int_equal(used(&p, 0, "", START), 3);
	limits_free(&p.l);
}

/* ---- stored
 * ------------------------------------------------------------------------------------------- */

static void copy_counts(struct limits *from, struct limits *to, int64_t then, int64_t now)
{
	size_t at = 0;
	bool more = true;

	while (more) {
		struct buf piece;

		buf_init(&piece, LIMIT_PIECE);
		more = limits_encode(from, &at, then, &piece);
		assert_false(buf_failed(&piece));
		assert_int_equal(limits_decode(to, buf_view(&piece), now), 0);
		buf_fini(&piece);
	}
}

static void test_stored(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1000, .seconds = 3600},
			      {.key = LIMIT_BY_ACCOUNT, .n = 1000, .calendar = LIMIT_DAY}}};
	struct limits *again;
	char name[300];

	(void)state;
	paper_init(&p, 2);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "user-%d-%0100d", i % 5000, i % 5000);
		spend(&p, name, START + i * MS, 1);
	}
	again = limits_of(&p.config, 0);
	copy_counts(p.l, again, START + 20 * SEC, START + MIN);
	assert_int_equal(limits_rows(again), limits_rows(p.l));
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "user-%d-%0100d", i, i);
		for (int k = 0; k < 2; k++) {
			struct limit_state x =
			    limits_state(p.l, &p.rule[k], span_str(name), 998, START + MIN);
			struct limit_state y =
			    limits_state(again, &p.rule[k], span_str(name), 998, START + MIN);

			assert_int_equal(x.used, 4);
			assert_int_equal(y.used, x.used);
			assert_int_equal(y.opens, x.opens);
		}
	}
	limits_free(&again);
	limits_free(&p.l);
}

/* Nothing that is read does harm, and what was cut off is told. */
static void test_hostile(void **state)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 10, .seconds = 60},
			      {.key = LIMIT_BY_ALL, .n = 10, .calendar = LIMIT_DAY}}};
	struct dice d = {5};
	struct buf piece;
	size_t at = 0;

	(void)state;
	paper_init(&p, 2);
	spend(&p, "a", START, 3);
	spend(&p, "b", START, 3);
	buf_init(&piece, LIMIT_PIECE);
	assert_false(limits_encode(p.l, &at, START, &piece));
	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[512];
		size_t n = buf_len(&piece);
		struct limits *l = limits_of(&p.config, 0);

		assert_in_range(n, 10, sizeof(bytes));
		memcpy(bytes, buf_view(&piece).p, n);
		for (int k = 0; k < 3; k++)
			bytes[dice_roll(&d) % n] = (uint8_t)dice_roll(&d);
		n = i % 3 ? n : dice_roll(&d) % n;
		if (limits_decode(l, span_of(bytes, n), START) == 0)
			spend(&(struct paper){.rule = {{.n = 1}}, .config = p.config, .l = l}, "c",
			    START + DAYS, 0);
		assert_true(limits_state(l, &p.rule[0], SPAN("a"), 1, START).opens >= START);
		limits_free(&l);
	}
	assert_int_equal(
	    limits_decode(p.l, span_first(buf_view(&piece), buf_len(&piece) - 1), START),
	    GW_EFORMAT);
	assert_int_equal(limits_decode(p.l, SPAN("\2aaaaaaaa"), START), GW_EFORMAT);
	buf_fini(&piece);
	limits_free(&p.l);
}

/* ---- cost
 * --------------------------------------------------------------------------------------------- */

static void measure(size_t n_rules)
{
	struct paper p = {.rule = {{.key = LIMIT_BY_ACCOUNT, .n = 1000, .seconds = 3600},
			      {.key = LIMIT_BY_ACCOUNT, .n = 10000, .seconds = 86400},
			      {.key = LIMIT_BY_ACCOUNT,
				  .what = LIMIT_OF_RECIPIENTS,
				  .n = 10000,
				  .seconds = 86400},
			      {.key = LIMIT_BY_ALL, .n = 1000000000, .seconds = 1}}};
	char(*name)[40] = gw_calloc(100000, sizeof(*name));
	struct timespec a, b;
	struct dice d = {1};
	enum { N = 500000 };

	for (int i = 0; i < 100000; i++)
		snprintf(name[i], sizeof(name[i]), "user%d@example.com", i);
	paper_init(&p, n_rules);
	for (int i = 0; i < 100000; i++)
		spend(&p, name[i], START, 1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < N; i++)
		spend(&p, name[dice_roll(&d) % 100000], START + i, 1);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%zu limits, 100000 subjects, %zu rows: %.0f ns a message\n", n_rules,
	    limits_rows(p.l),
	    ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N);
	limits_free(&p.l);
	free(name);
}

static void test_cost(void **state)
{
	(void)state;
	if (getenv("GODWIT_MEASURE") == NULL)
		skip();
	measure(0);
	measure(1);
	measure(4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_never_more_than_n),
	    cmocka_unit_test(test_exact), cmocka_unit_test(test_late),
	    cmocka_unit_test(test_all_or_none), cmocka_unit_test(test_more_than_the_limit),
	    cmocka_unit_test(test_reserved), cmocka_unit_test(test_subjects),
	    cmocka_unit_test(test_null_sender), cmocka_unit_test(test_calendar),
	    cmocka_unit_test(test_months), cmocka_unit_test(test_clock_is_set),
	    cmocka_unit_test(test_full), cmocka_unit_test(test_full_of_strangers),
	    cmocka_unit_test(test_configured_anew), cmocka_unit_test(test_stored),
	    cmocka_unit_test(test_hostile), cmocka_unit_test(test_cost)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
