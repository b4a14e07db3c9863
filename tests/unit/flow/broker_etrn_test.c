/* ETRN in the queue: what is counted, what goes, and how fast the answer is. */
#include "at_rest.h"
#include "resolving.h"

static const char config[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
    "domain lmtp.test { deliver lmtp unix:/run/lmtp }\n"
    "route to domain own.test via relay 127.0.0.1:2525\n"
    "route to domain shared.test via relay 127.0.0.1:2526\n"
    "route to domain other.test via relay 127.0.0.1:2526\n"
    "route to domain *.wild.test via relay 127.0.0.1:2527\n"
    "route to domain one.pair.test from domain src.test via relay 127.0.0.1:2528\n"
    "route to domain one.pair.test via relay 127.0.0.1:2529\n"
    "route to any via mx\n"
    "shape night { domain night.test; retry 1h }\n"
    "shape * { connections 2; per-connection 100; retry 1h; expire 4d }\n"
    "dsn { warn 0s }\n";

static struct broker_etrn said;

static enum etrn_status etrn(struct rig *r, const char *what)
{
	enum etrn_kind kind;
	struct span name;

	assert_int_equal(etrn_parse(span_str(what), &kind, &name), 0);
	broker_etrn(r->b, kind, name, &said, r->now);
	return said.status;
}

/* A message that waits since the start. */
static struct msgid recovered(struct rig *r, const char *to, enum outcome o)
{
	struct rig_mail m = rig_mail(r, "a@src.test", to);

	recover_mail(r, &m);
	recover_change(r, o == OUTCOME_HELD ? BROKER_HELD : BROKER_DEFERRED, &m.id, 0, 1, o,
	    r->now + HOURS, "no");
	return m.id;
}

static size_t delivered(struct rig *r)
{
	struct msgid order[200];
	size_t n;

	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	n = deliver_all(r, order, GW_ARRAY_LEN(order));
	return n;
}

static void test_counts_and_goes(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 5; i++)
		recovered(r, "bob@x.test", OUTCOME_DEFERRED);
	recovered(r, "bob@deep.x.test", OUTCOME_DEFERRED);
	recovered(r, "bob@xx.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "nobody.test"), ETRN_EMPTY);
	assert_int_equal(etrn(r, "test"), ETRN_EMPTY);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(etrn(r, "x.test"), ETRN_COUNTED);
	assert_int_equal(said.messages, 5);
	rig_pass(r, 0);
	resolve(r, "x.test", MX_HOSTS, "mx.x.test", 60);
	assert_int_equal(delivered(r), 5);
	assert_int_equal(etrn(r, "x.test"), ETRN_EMPTY);
	assert_int_equal(etrn(r, "@x.test"), ETRN_COUNTED);
	assert_int_equal(said.messages, 1);
	rig_pass(r, 0);
	resolve(r, "deep.x.test", MX_HOSTS, "mx.x.test", 60);
	assert_int_equal(delivered(r), 1);
	assert_int_equal(rig_counts(r).messages, 1);
	rig_pass(r, HOURS);
	resolve(r, "xx.test", MX_HOSTS, "mx.xx.test", 60);
	assert_int_equal(delivered(r), 1);
	rig_empty(r);
}

/* What an operator holds is neither counted nor woken. */
static void test_held(void **state)
{
	struct rig *r = *state;
	struct buf out;

	recovered(r, "bob@own.test", OUTCOME_HELD);
	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "own.test"), ETRN_COUNTED);
	assert_int_equal(said.messages, 1);
	assert_int_equal(delivered(r), 1);
	rig_pass(r, 2 * MIN);
	assert_int_equal(etrn(r, "own.test"), ETRN_EMPTY);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(rig_counts(r).held, 1);
	buf_init(&out, 1 << 16);
	(void)!broker_release(r->b, NULL, 3, 1, &out, r->now);
	buf_fini(&out);
	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	rig_flush(r, 0);
	assert_int_equal(delivered(r), 1);
	rig_empty(r);
}

static void test_once_a_minute(void **state)
{
	struct rig *r = *state;

	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "own.test"), ETRN_COUNTED);
	while (broker_deadline(r->b) <= r->now)
		rig_pass(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_pass(r, 59 * SEC);
	assert_int_equal(etrn(r, "own.test"), ETRN_RUNNING);
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB);
	rig_pass(r, SEC);
	assert_int_equal(etrn(r, "own.test"), ETRN_COUNTED);
	assert_int_equal(delivered(r), 1);
	rig_empty(r);
}

/* A place where others have mail too: neither how much nor whether. */
static void test_shared(void **state)
{
	struct rig *r = *state;

	recovered(r, "bob@other.test", OUTCOME_DEFERRED);
	recovered(r, "bob@a.wild.test", OUTCOME_DEFERRED);
	recovered(r, "bob@one.pair.test", OUTCOME_DEFERRED);
	recovered(r, "bob@lmtp.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "b.wild.test"), ETRN_STARTED);
	assert_int_equal(delivered(r), 1);
	assert_int_equal(etrn(r, "shared.test"), ETRN_STARTED);
	assert_int_equal(delivered(r), 1);
	assert_int_equal(etrn(r, "shared.test"), ETRN_STARTED);
	assert_int_equal(etrn(r, "one.pair.test"), ETRN_COUNTED);
	assert_int_equal(delivered(r), 1);
	assert_int_equal(etrn(r, "lmtp.test"), ETRN_COUNTED);
	assert_int_equal(delivered(r), 1);
	assert_int_equal(etrn(r, "one.pair.test"), ETRN_EMPTY);
	assert_int_equal(etrn(r, "@wild.test"), ETRN_EMPTY);
	rig_empty(r);
}

static void test_group(void **state)
{
	struct rig *r = *state;

	recovered(r, "bob@night.test", OUTCOME_DEFERRED);
	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "#all"), ETRN_EMPTY);
	assert_int_equal(etrn(r, "#night"), ETRN_COUNTED);
	assert_int_equal(said.messages, 1);
	rig_pass(r, 0);
	resolve(r, "night.test", MX_HOSTS, "mx.night.test", 60);
	assert_int_equal(delivered(r), 1);
	rig_pass(r, HOURS);
	assert_int_equal(delivered(r), 1);
	rig_empty(r);
}

static void order(struct rig *r, bool resume)
{
	struct broker_order o = {
	    .group = SPAN("all"), .who = SPAN("root"), .reason = SPAN("maintenance"), .request = 7};
	struct buf out;

	buf_init(&out, 1 << 16);
	(void)!(
	    resume ? broker_resume(r->b, &o, &out, r->now) : broker_order(r->b, &o, &out, r->now));
	buf_fini(&out);
}

static void test_paused(void **state)
{
	struct rig *r = *state;

	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	rig_ready(r);
	order(r, false);
	assert_int_equal(etrn(r, "own.test"), ETRN_PAUSED);
	assert_string_equal(said.why, "root: maintenance");
	assert_int_equal(etrn(r, "nobody.test"), ETRN_EMPTY);
	rig_pass(r, 0);
	rig_none(r, EFFECT_JOB);
	order(r, true);
	rig_pass(r, SEC);
	assert_int_equal(etrn(r, "own.test"), ETRN_COUNTED);
	assert_int_equal(delivered(r), 1);
	rig_empty(r);
}

/* Two names while the walk is on: both get theirs. */
static void test_two_walks(void **state)
{
	struct rig *r = *state;

	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	for (int i = 0; i < 1500; i++)
		recovered(r, "bob@far.test", OUTCOME_DEFERRED);
	recovered(r, "bob@lmtp.test", OUTCOME_DEFERRED);
	recovered(r, "bob@own.test", OUTCOME_DEFERRED);
	rig_ready(r);
	assert_int_equal(etrn(r, "own.test"), ETRN_COUNTED);
	assert_int_equal(etrn(r, "lmtp.test"), ETRN_COUNTED);
	assert_int_equal(delivered(r), 3);
}

/* The table of names does not grow without end. */
static void test_many_names(void **state)
{
	struct rig *r = *state;
	char name[64];
	size_t busy = 0;

	for (int i = 0; i < 1100; i++) {
		snprintf(name, sizeof(name), "bob@d%d.test", i);
		recovered(r, name, OUTCOME_DEFERRED);
	}
	rig_ready(r);
	for (int i = 0; i < 1100; i++) {
		snprintf(name, sizeof(name), "d%d.test", i);
		busy += etrn(r, name) == ETRN_BUSY;
	}
	assert_int_equal(busy, 1100 - 1024);
	rig_pass(r, MIN);
	assert_int_not_equal(etrn(r, "d1099.test"), ETRN_BUSY);
}

static int set_up(void **state)
{
	*state = rig_start(config, 1 << 20);
	return 0;
}

#define ETRN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    ETRN_TEST(test_counts_and_goes),
	    ETRN_TEST(test_held),
	    ETRN_TEST(test_once_a_minute),
	    ETRN_TEST(test_shared),
	    ETRN_TEST(test_group),
	    ETRN_TEST(test_paused),
	    ETRN_TEST(test_two_walks),
	    ETRN_TEST(test_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
