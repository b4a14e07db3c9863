/*
 * Limits on guessing: how many wrong ones there are before a wait, for whom, for how long, and that
 * neither a flood of names nor one of addresses makes the tables grow or a guesser free.
 */
#include "auth/guess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEC INT64_C(1000000)
#define START (INT64_C(1700000000) * SEC)

static const struct guess_limits limits = {.per_address = 20,
    .per_account = 100,
    .forget = 180 * SEC,
    .first_wait = 30 * SEC,
    .last_wait = 3600 * SEC,
    .account_wait = 300 * SEC,
    .addresses = 1000,
    .accounts = 1000};

struct world {
	struct guess *g;
	int64_t now;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->g = guess_new(&limits, 42);
	w->now = START;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	guess_free(&w->g);
	free(w);
	return 0;
}

/* ::ffff:10.0.x.y */
static void v4(uint8_t ip[16], unsigned n)
{
	memset(ip, 0, 16);
	ip[10] = ip[11] = 0xff;
	ip[12] = 10;
	ip[13] = (uint8_t)(n >> 16);
	ip[14] = (uint8_t)(n >> 8);
	ip[15] = (uint8_t)n;
}

/* 2001:db8:0:NET::HOST */
static void v6(uint8_t ip[16], unsigned net, unsigned host)
{
	static const uint8_t head[4] = {0x20, 0x01, 0x0d, 0xb8};

	memset(ip, 0, 16);
	memcpy(ip, head, sizeof(head));
	ip[7] = (uint8_t)net;
	ip[15] = (uint8_t)host;
}

static void wrong(struct world *w, const uint8_t ip[16], const char *name, unsigned times)
{
	while (times-- > 0)
		guess_wrong(w->g, ip, span_str(name), w->now);
}

static enum guess_verdict ask(struct world *w, const uint8_t ip[16], const char *name)
{
	return guess_ask(w->g, ip, span_str(name), w->now);
}

static void twenty_wrong_ones_and_then_a_wait(void **state)
{
	struct world *w = *state;
	uint8_t here[16];

	v4(here, 1);
	wrong(w, here, "alice", 19);
	assert_int_equal(ask(w, here, "alice"), GUESS_GO);
	wrong(w, here, "alice", 1);
	assert_int_equal(ask(w, here, "alice"), GUESS_ADDRESS_LIMIT);
	/* With another name it is the same address. */
	assert_int_equal(ask(w, here, "bob"), GUESS_ADDRESS_LIMIT);
	w->now += 30 * SEC - 1;
	assert_int_equal(ask(w, here, "alice"), GUESS_ADDRESS_LIMIT);
	w->now += 1;
	assert_int_equal(ask(w, here, "alice"), GUESS_GO);
}

/* Each further one doubles it, up to the last, for ever. */
static void waits_grow_and_stop_growing(void **state)
{
	struct world *w = *state;
	int64_t before = 0, wait;
	uint8_t here[16];

	v4(here, 1);
	wrong(w, here, "alice", 20);
	for (int i = 0; i < 40; i++) {
		wait = 0;
		while (ask(w, here, "alice") != GUESS_GO && wait <= 3600) {
			w->now += SEC;
			wait++;
		}
		assert_true(wait >= before && wait <= 3600);
		before = wait;
		/* More than an hour of waiting forgives. */
		wrong(w, here, "alice", 25);
	}
	assert_int_equal(before, 3600);
}

static void time_forgives(void **state)
{
	struct world *w = *state;
	uint8_t here[16];

	v4(here, 1);
	wrong(w, here, "alice", 20);
	w->now += 20 * 180 * SEC;
	wrong(w, here, "alice", 19);
	assert_int_equal(ask(w, here, "alice"), GUESS_GO);
	/* One each three minutes is never too many. */
	for (int i = 0; i < 500; i++) {
		w->now += 181 * SEC;
		assert_int_equal(ask(w, here, "alice"), GUESS_GO);
		wrong(w, here, "alice", 1);
	}
}

/* A clock that goes back counts nothing twice and forgives nothing. */
static void time_goes_back(void **state)
{
	struct world *w = *state;
	uint8_t here[16];

	v4(here, 1);
	wrong(w, here, "alice", 10);
	w->now -= 1000 * SEC;
	wrong(w, here, "alice", 10);
	assert_int_equal(ask(w, here, "alice"), GUESS_ADDRESS_LIMIT);
}

/* One that tries all day, as soon as it may again: only it has to wait. */
static void one_guesser_locks_nobody_out(void **state)
{
	struct world *w = *state;
	uint8_t here[16], elsewhere[16];
	unsigned tries = 0;

	v4(here, 1);
	v4(elsewhere, 2);
	for (int64_t second = 0; second < 86400; second++, w->now += SEC) {
		if (ask(w, here, "alice") == GUESS_GO) {
			wrong(w, here, "alice", 1);
			tries++;
		}
		assert_int_equal(ask(w, elsewhere, "alice"), GUESS_GO);
	}
	assert_in_range(tries, 20, 600);
}

/* From a thousand places at one account: the places wait, and the owner does not. */
static void owner_elsewhere_is_not_locked_out(void **state)
{
	struct world *w = *state;
	uint8_t home[16], there[16], office[16];

	v4(home, 1);
	v4(office, 2);
	guess_right(w->g, home, SPAN("alice@example.com"), w->now);
	for (unsigned i = 100; i < 600; i++) {
		v4(there, i);
		wrong(w, there, "Alice@Example.com", 1);
		w->now += SEC;
	}
	v4(there, 9999);
	assert_int_equal(ask(w, there, "alice@example.com"), GUESS_ACCOUNT_LIMIT);
	assert_int_equal(ask(w, home, "ALICE@example.com"), GUESS_GO);
	assert_true(guess_knows(w->g, home, SPAN("alice@example.com")));
	/* Where she never was she has to wait too: nobody can tell her from them. */
	assert_int_equal(ask(w, office, "alice@example.com"), GUESS_ACCOUNT_LIMIT);
	/* Others are none of theirs. */
	assert_int_equal(ask(w, there, "bob@example.com"), GUESS_GO);
}

/* Knowing one account must be of no use for the others. */
static void own_login_takes_nothing_back(void **state)
{
	struct world *w = *state;
	uint8_t here[16];

	v4(here, 1);
	for (int i = 0; i < 20; i++) {
		wrong(w, here, "victim", 1);
		guess_right(w->g, here, SPAN("mallory"), w->now);
	}
	assert_int_equal(ask(w, here, "victim"), GUESS_ADDRESS_LIMIT);
	assert_int_equal(ask(w, here, "mallory"), GUESS_ADDRESS_LIMIT);
	assert_false(guess_knows(w->g, here, SPAN("victim")));
}

static void a_network_of_ipv6_is_one_address(void **state)
{
	struct world *w = *state;
	uint8_t ip[16];

	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		v6(ip, 1, i);
		snprintf(name, sizeof(name), "user%u", i);
		wrong(w, ip, name, 1);
	}
	v6(ip, 1, 200);
	assert_int_equal(ask(w, ip, "alice"), GUESS_ADDRESS_LIMIT);
	v6(ip, 2, 200);
	assert_int_equal(ask(w, ip, "alice"), GUESS_GO);
	/* IPv4 addresses share their first 64 bits and nothing else. */
	v4(ip, 1);
	wrong(w, ip, "x", 20);
	v4(ip, 2);
	assert_int_equal(ask(w, ip, "y"), GUESS_GO);
}

/* A flood of names and addresses: tables stay small, and what is under attack stays in them. */
static void ceilings_hold_and_the_attacked_stays(void **state)
{
	struct world *w = *state;
	uint8_t there[16];
	char name[32];

	for (unsigned i = 0; i < 100; i++) {
		v4(there, 1 + i % 5);
		wrong(w, there, "alice", 1);
	}
	v4(there, 1);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t from[16];

		v4(from, 1000 + i);
		snprintf(name, sizeof(name), "nobody%u", i);
		wrong(w, from, name, 1);
		guess_right(w->g, from, span_str(name), w->now);
		/* The guesser goes on asking and is refused. */
		if (i % 100 == 0) {
			assert_int_equal(ask(w, there, "alice"), GUESS_ADDRESS_LIMIT);
			v4(from, 999999);
			assert_int_equal(ask(w, from, "alice"), GUESS_ACCOUNT_LIMIT);
		}
	}
	assert_true(guess_len(w->g) <= 3000);
	assert_int_equal(ask(w, there, "alice"), GUESS_ADDRESS_LIMIT);
}

/* Names of any length and any octets are only hashed. */
static void hostile_names(void **state)
{
	struct world *w = *state;
	uint8_t ip[16], name[70000];

	v4(ip, 1);
	memset(name, 0xff, sizeof(name));
	guess_wrong(w->g, ip, span_of(name, sizeof(name)), w->now);
	guess_wrong(w->g, ip, SPAN_NONE, w->now);
	guess_right(w->g, ip, span_of(name, sizeof(name)), w->now);
	assert_true(guess_knows(w->g, ip, span_of(name, sizeof(name))));
	assert_false(guess_knows(w->g, ip, SPAN_NONE));
	assert_int_equal(guess_ask(w->g, ip, SPAN_NONE, w->now), GUESS_GO);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(twenty_wrong_ones_and_then_a_wait),
	    TEST(waits_grow_and_stop_growing), TEST(time_forgives), TEST(time_goes_back),
	    TEST(one_guesser_locks_nobody_out), TEST(owner_elsewhere_is_not_locked_out),
	    TEST(own_login_takes_nothing_back), TEST(a_network_of_ipv6_is_one_address),
	    TEST(ceilings_hold_and_the_attacked_stays), TEST(hostile_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
