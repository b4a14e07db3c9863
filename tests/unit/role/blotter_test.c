/* What master makes of the page of a dead process, and the book of addresses: both are fed by
 * processes that may have been taken over. */
#include "role/deny.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS_FIRST = 600, RANDOM_PAGES = 20000 };

static struct blotter_addr addr_of(const char *text)
{
	return blotter_addr_parse(span_str(text));
}

/* ---- the page ----------------------------------------------------------------------------- */

static void test_written_and_read(void **state)
{
	struct blotter *page = blotter_map(), out;
	struct msgid id = {{1, 2, 3}};
	struct blotter_addr addr = addr_of("192.0.2.7");

	(void)state;
	blotter_attach(page);
	blotter_job(42, &id, "192.0.2.1:25", "writing");
	blotter_stage(BLOTTER_READING);
	blotter_read(page, &out);
	assert_true(out.kind == BLOTTER_JOB && out.number == 42 && msgid_eq(&out.id, &id));
	assert_string_equal(out.stage, BLOTTER_READING);
	assert_string_equal(out.peer, "192.0.2.1:25");
	blotter_read(page, &out); /* it is told once */
	assert_int_equal(out.kind, BLOTTER_NOTHING);
	blotter_client(&addr, 7, "read");
	blotter_clear();
	blotter_read(page, &out);
	assert_int_equal(out.kind, BLOTTER_NOTHING);
	blotter_client(&addr, 7, "a stage with a name that is too long");
	blotter_read(page, &out);
	assert_int_equal(out.kind, BLOTTER_CLIENT);
	assert_int_equal(strlen(out.stage), BLOTTER_STAGE - 1);
	blotter_detach();
}

/* A crash at each of these leaves what was in hand, seen by another process. */
static void crash_in_child(struct blotter *page, int how)
{
	struct msgid id = {{9}};

	blotter_attach(page);
	if (how >= 1)
		blotter_record(&id, 3, 4096);
	if (how >= 2)
		blotter_message(&id);
	if (how >= 3)
		blotter_clear();
	abort();
}

static void test_crash(void **state)
{
	static const enum blotter_kind want[] = {
	    BLOTTER_NOTHING, BLOTTER_RECORD, BLOTTER_MESSAGE, BLOTTER_NOTHING};
	struct blotter *page = blotter_map(), out;

	(void)state;
	for (int how = 0; how < 4; how++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			crash_in_child(page, how);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(blotter_crash(status), SIGABRT);
		blotter_read(page, &out);
		assert_int_equal(out.kind, want[how]);
		if (how == 1)
			assert_true(out.segment == 3 && out.offset == 4096 && out.id.b[0] == 9);
	}
	blotter_unmap(&page);
	assert_null(page);
}

/* Who ends a process from outside blames nothing. */
static void test_what_is_a_crash(void **state)
{
	static const int faults[] = {SIGSEGV, SIGABRT, SIGBUS, SIGSYS, SIGILL, SIGFPE};
	static const int orders[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGALRM, SIGXCPU};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(faults); i++)
		assert_int_equal(blotter_crash(faults[i]), faults[i]);
	for (size_t i = 0; i < GW_ARRAY_LEN(orders); i++)
		assert_int_equal(blotter_crash(orders[i]), 0);
	assert_int_equal(blotter_crash(0), 0);
	assert_int_equal(blotter_crash(1 << 8), 0); /* exit status 1 */
}

static void assert_clean(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	assert_true(n < size);
	for (size_t i = 0; i < n; i++)
		assert_true(text[i] > ' ' && text[i] < 0x7f);
}

static void test_hostile_page(void **state)
{
	struct blotter *page = blotter_map(), out;
	uint8_t *octet = (uint8_t *)page;

	(void)state;
	srandom(1);
	for (int i = 0; i < RANDOM_PAGES; i++) {
		char text[BLOTTER_ADDR_TEXT];

		for (size_t k = 0; k < sizeof(*page); k++)
			octet[k] = (uint8_t)random();
		if (i % 2)
			page->kind = (uint32_t)i % (BLOTTER_KINDS + 2);
		blotter_read(page, &out);
		assert_true(out.kind < BLOTTER_KINDS);
		assert_clean(out.stage, sizeof(out.stage));
		assert_clean(out.peer, sizeof(out.peer));
		blotter_addr_format(&out.addr, text);
		assert_true(strlen(text) < sizeof(text));
		for (size_t k = 0; k < sizeof(*page); k++)
			assert_int_equal(octet[k], 0);
	}
	blotter_unmap(&page);
}

/* ---- addresses ---------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	static const char *const texts[] = {"192.0.2.7", "2001:db8::7", "::1"};
	static const char *const strange[] = {"", "local", "1.2.3", "a.b.c.d",
	    "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.26.27.28.29.30"};
	char text[BLOTTER_ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) {
		struct blotter_addr a = addr_of(texts[i]);

		blotter_addr_format(&a, text);
		assert_string_equal(text, texts[i]);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(strange); i++) {
		struct blotter_addr a = addr_of(strange[i]);

		assert_true(blotter_addr_local(&a));
	}
}

/* ---- denied ------------------------------------------------------------------------------- */

static void test_denied(void **state)
{
	struct deny_table *t = gw_calloc(1, sizeof(*t));
	struct blotter_addr a = addr_of("192.0.2.7"), b = addr_of("192.0.2.8");
	int64_t now = 1000 * USEC_PER_SEC, first = SECONDS_FIRST * USEC_PER_SEC;
	const struct deny *d;

	(void)state;
	assert_null(deny_blame(t, &a, now));
	assert_null(deny_find(t, &a, now));
	d = deny_blame(t, &a, now);
	assert_non_null(d);
	assert_int_equal(d->until, now + first);
	assert_non_null(deny_find(t, &a, now + first - 1));
	assert_null(deny_find(t, &a, now + first));
	assert_null(deny_find(t, &b, now));
	d = deny_blame(t, &a, now + first); /* the third time: twice as long */
	assert_int_equal(d->until, now + 3 * first);
	for (int i = 0; i < 40; i++) /* and never longer than a day */
		d = deny_blame(t, &a, now);
	assert_int_equal(d->until, now + 86400 * USEC_PER_SEC);
	assert_null(deny_blame(t, &a, now + 3 * 86400 * USEC_PER_SEC)); /* forgotten */
	free(t);
}

/* A customer has a /64; a mapped address is IPv4, and local programs share theirs. */
static void test_networks(void **state)
{
	struct deny_table *t = gw_calloc(1, sizeof(*t));
	struct blotter_addr a = addr_of("2001:db8:1:2::1"), b = addr_of("2001:db8:1:2:ffff::9");
	struct blotter_addr other = addr_of("2001:db8:1:3::1"), local = {{0}};

	(void)state;
	assert_null(deny_blame(t, &a, 1));
	assert_non_null(deny_blame(t, &b, 1));
	assert_non_null(deny_find(t, &a, 2));
	assert_null(deny_find(t, &other, 2));
	for (int i = 0; i < 5; i++)
		assert_null(deny_blame(t, &local, 1));
	assert_int_equal(t->n, 1);
	free(t);
}

/* A receiver that lies with each of its deaths: the table does not grow, the newest lies stand. */
static void test_many_lies(void **state)
{
	struct deny_table *t = gw_calloc(1, sizeof(*t));
	struct blotter_addr a = addr_of("192.0.2.7");

	(void)state;
	for (unsigned i = 0; i < 20 * DENY_MAX; i++) {
		a.b[14] = (uint8_t)(i >> 8);
		a.b[15] = (uint8_t)i;
		assert_null(deny_blame(t, &a, i));
		assert_non_null(deny_blame(t, &a, i));
		assert_true(t->n <= DENY_MAX);
		assert_non_null(deny_find(t, &a, i));
	}
	assert_int_equal(t->n, DENY_MAX);
	free(t);
}

static void test_frames(void **state)
{
	struct deny_table *from = gw_calloc(1, sizeof(*from)), *to = gw_calloc(1, sizeof(*to));
	struct blotter_addr a = addr_of("192.0.2.7");
	const struct deny *d;
	struct buf b;

	(void)state;
	(void)!deny_blame(from, &a, 5);
	d = deny_blame(from, &a, 5);
	buf_init(&b, 64);
	deny_put(d, 5, &b);
	assert_int_equal(deny_take(to, buf_view(&b), 77), 0);
	assert_int_equal(deny_take(to, buf_view(&b), 77), 0);
	assert_int_equal(to->n, 1);
	assert_non_null(deny_find(to, &a, 77 + SECONDS_FIRST * USEC_PER_SEC - 1));
	assert_null(deny_find(to, &a, 77 + SECONDS_FIRST * USEC_PER_SEC));
	for (size_t n = 0; n < buf_len(&b); n++)
		assert_int_equal(deny_take(to, span_first(buf_view(&b), n), 77), GW_EFORMAT);
	buf_add_byte(&b, 0);
	assert_int_equal(deny_take(to, buf_view(&b), 77), GW_EFORMAT);
	buf_fini(&b);
	free(from);
	free(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_written_and_read),
	    cmocka_unit_test(test_crash),
	    cmocka_unit_test(test_what_is_a_crash),
	    cmocka_unit_test(test_hostile_page),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_denied),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_many_lies),
	    cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
