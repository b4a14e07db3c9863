/* Recipients of one message with return paths of their own: a list's owner, a rewritten sender. */
#include "fixture.h"

struct one {
	const char *addr, *from;
};

/* A message from s@src.test to these, accepted. */
static struct msgid accept_list(struct rig *r, const char *sender, const struct one *to, size_t n)
{
	static uint64_t txn = 9000;
	struct rig_mail m = rig_mail(r, sender, "");
	struct rcpt rcpt[8];
	struct envelope e = {.id = m.id,
	    .nonce = m.nonce,
	    .accepted = r->now,
	    .from = span_str(sender),
	    .rcpt = rcpt,
	    .n_rcpt = n,
	    .head_length = (uint32_t)strlen(m.head)};
	struct buf b;

	for (size_t i = 0; i < n; i++)
		rcpt[i] = (struct rcpt){.addr = span_str(to[i].addr), .from = span_str(to[i].from)};
	buf_init(&b, 1 << 20);
	envelope_encode(&e, &b);
	assert_int_equal(
	    broker_commit(r->b, 7, ++txn, buf_view(&b), span_str(m.head), span_str(m.rest), r->now),
	    0);
	buf_fini(&b);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	return m.id;
}

static const struct one list[] = {{"a@dst.test", ""}, {"b@dst.test", "owner@list.test"},
    {"c@dst.test", ""}, {"d@dst.test", "owner@list.test"}, {"e@dst.test", "other@list.test"}};

/* One transaction for each return path, though all go to one host. */
static void test_transactions(void **state)
{
	struct rig *r = *state;
	struct seen *job[3];

	accept_list(r, "s@src.test", list, GW_ARRAY_LEN(list));
	job[0] = rig_take(r, EFFECT_JOB);
	job[1] = rig_take(r, EFFECT_JOB);
	assert_string_equal(job[0]->from, "s@src.test");
	assert_int_equal(job[0]->e.n_rcpt, 2);
	assert_string_equal(job[0]->addr[1], "c@dst.test");
	assert_string_equal(job[1]->from, "owner@list.test");
	assert_int_equal(job[1]->e.n_rcpt, 2);
	assert_int_equal(job[1]->index[1], 3);
	rig_result(r, job[0], OUTCOME_DELIVERED);
	job[2] = rig_take(r, EFFECT_JOB);
	assert_string_equal(job[2]->from, "other@list.test");
	assert_int_equal(job[2]->e.n_rcpt, 1);
}

/* What failed is told to the one it came from, as far as that host knows. */
static void test_reports(void **state)
{
	struct rig *r = *state;
	struct seen *job[2], *report;

	accept_list(r, "s@src.test", list + 1, 2);
	job[0] = rig_take(r, EFFECT_JOB);
	job[1] = rig_take(r, EFFECT_JOB);
	assert_string_equal(job[0]->from, "owner@list.test");
	rig_result(r, job[1], OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_result(r, job[0], OUTCOME_FAILED);
	rig_flush(r, 0);
	report = rig_take(r, EFFECT_JOB);
	assert_string_equal(report->addr[0], "owner@list.test");
	assert_string_equal(report->from, "");
}

/* Nothing that came from nobody gets a return path from a list: it would be answered. */
static void test_null_sender(void **state)
{
	struct rig *r = *state;
	struct seen *job;

	accept_list(r, "", list, 2);
	job = rig_take(r, EFFECT_JOB);
	assert_string_equal(job->from, "");
	assert_int_equal(job->e.n_rcpt, 2);
	rig_result(r, job, OUTCOME_FAILED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* They rest, and come back from the log as they were. */
static void test_rest(void **state)
{
	struct rig *r = *state;
	struct seen *job;
	int owners = 0;

	accept_list(r, "s@src.test", list, 4);
	for (int i = 0; i < 2; i++)
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	r->now += 10 * MIN;
	broker_tick(r->b, r->now);
	for (int i = 0; i < 2; i++) {
		job = rig_take(r, EFFECT_JOB);
		assert_int_equal(job->e.n_rcpt, 2);
		owners += strcmp(job->from, "owner@list.test") == 0;
		rig_result(r, job, OUTCOME_DELIVERED);
	}
	assert_int_equal(owners, 1);
	rig_flush(r, 0);
	rig_empty(r);
}

static int set_up(void **state)
{
	struct rig *r = rig_start(rig_config, 64 << 20);

	rig_ready(r);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_transactions, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_reports, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_null_sender, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_rest, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
