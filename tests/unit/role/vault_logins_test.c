/* What is remembered of logins: how long, how much, and that no two of them are taken for one. */
#include "role/vault_logins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { MOST = 100, PROVEN = 60, DISPROVEN = 3600 };

static int find(const struct logins *l, const char *name, const char *password, int64_t now)
{
	uint8_t digest[LOGIN_DIGEST];

	logins_digest(l, span_str(name), span_str(password), digest);
	return logins_find(l, digest, now);
}

static void add(struct logins *l, const char *name, const char *password, bool right, int64_t now)
{
	uint8_t digest[LOGIN_DIGEST];

	logins_digest(l, span_str(name), span_str(password), digest);
	logins_add(l, digest, right, now);
}

static void known_for_a_while(void **state)
{
	struct logins *l = logins_new(MOST, PROVEN, DISPROVEN);

	(void)state;
	assert_int_equal(find(l, "alice", "x", 0), GW_ENOENT);
	add(l, "alice", "x", true, 0);
	add(l, "alice", "y", false, 0);
	assert_int_equal(find(l, "Alice", "x", PROVEN - 1), 1);
	assert_int_equal(find(l, "ALICE", "y", PROVEN), 0);
	assert_int_equal(find(l, "alice", "x", PROVEN), GW_ENOENT);
	assert_int_equal(find(l, "alice", "X", 0), GW_ENOENT);
	assert_int_equal(find(l, "alicex", "", 0), GW_ENOENT);
	assert_int_equal(find(l, "alic", "ex", 0), GW_ENOENT);
	assert_int_equal(find(l, "alice", "y", DISPROVEN), GW_ENOENT);
	add(l, "alice", "x", true, 100);
	add(l, "alice", "x", true, 150);
	assert_int_equal(find(l, "alice", "x", 150 + PROVEN - 1), 1);
	logins_clear(l);
	assert_int_equal(find(l, "alice", "x", 150), GW_ENOENT);
	assert_int_equal(logins_len(l), 0);
	logins_free(&l);
	assert_null(l);
}

static void a_flood_of_wrong_ones(void **state)
{
	struct logins *l = logins_new(MOST, PROVEN, DISPROVEN);

	(void)state;
	add(l, "alice", "x", true, 0);
	for (int i = 0; i < 10 * MOST; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		add(l, "mallory", text, false, 1);
	}
	assert_int_equal(find(l, "alice", "x", 2), 1);
	assert_int_equal(find(l, "mallory", "999", 2), 0);
	assert_int_equal(find(l, "mallory", "0", 2), GW_ENOENT);
	assert_true(logins_len(l) <= 2 * MOST);
	logins_free(&l);
}

static void kept_for_another_time(void **state)
{
	struct logins *l = logins_new(MOST, PROVEN, DISPROVEN);
	uint8_t digest[LOGIN_DIGEST];

	(void)state;
	logins_digest(l, SPAN("alice"), SPAN("x"), digest);
	logins_add(l, digest, false, 0);
	logins_keep(l, PROVEN, DISPROVEN / 2);
	assert_int_equal(logins_find(l, digest, DISPROVEN - 1), 0);
	logins_add(l, digest, false, 0);
	assert_int_equal(logins_find(l, digest, DISPROVEN / 2), GW_ENOENT);
	logins_free(&l);
}

/* The digests of one process are of no use to another. */
static void another_key_each_time(void **state)
{
	struct logins *a = logins_new(MOST, PROVEN, DISPROVEN);
	struct logins *b = logins_new(MOST, PROVEN, DISPROVEN);
	uint8_t x[LOGIN_DIGEST], y[LOGIN_DIGEST];

	(void)state;
	logins_digest(a, SPAN("alice"), SPAN("x"), x);
	logins_digest(b, SPAN("alice"), SPAN("x"), y);
	assert_memory_not_equal(x, y, sizeof(x));
	logins_free(&a);
	logins_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(known_for_a_while),
	    cmocka_unit_test(a_flood_of_wrong_ones), cmocka_unit_test(another_key_each_time),
	    cmocka_unit_test(kept_for_another_time)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
