/* So many reports to one address, and beyond that one summary: nobody is flooded, nobody is
 * forgotten. */
#include "reporting.h"

static int set_up(void **state)
{
	*state = reporting_start("dsn { warn 4h; per-sender 2/m }");
	return 0;
}

static int tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

#define STORM_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* One message that fails; what became of it is durable. */
static struct rig_mail fail_one(struct rig *r, const char *from)
{
	struct parcel p = {.from = from, .to = "b@dst.test"};
	struct rig_mail m = parcel_send(r, &p);
	struct seen *job = rig_take(r, EFFECT_JOB);

	assert_true(msgid_eq(&job->e.id, &m.id));
	rig_result(r, job, OUTCOME_FAILED);
	give_heads(r);
	rig_flush(r, 0);
	return m;
}

/* Reports that are under way arrive. */
static size_t take_reports(struct rig *r, const char *to)
{
	struct seen *job;
	size_t n = 0;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		assert_true(strcasecmp(job->addr[0], to) == 0);
		assert_string_equal(job->from, "");
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
		n++;
	}
	return n;
}

/* Two of five are told at once. */
static void storm(struct rig *r, struct rig_mail m[5])
{
	for (int i = 0; i < 5; i++) {
		m[i] = fail_one(r, i % 2 ? "a@src.test" : "A@SRC.test");
		(void)take_reports(r, i % 2 ? "a@src.test" : "A@SRC.test");
	}
	assert_int_equal(rig_counts(r).messages, 3);
	assert_int_equal(rig_counts(r).untold, 3);
	assert_int_equal(rig_counts(r).parked, 3);
}

static struct seen *summary_of(struct rig *r)
{
	struct seen *s;
	struct envelope e;
	struct arena a;

	s = next_report(r);
	assert_non_null(s);
	report_envelope(s, &e, &a);
	assert_int_equal(e.ends.n, 0);
	arena_reset(&a);
	return s;
}

static void test_summary(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[5];
	struct seen *s;

	storm(r, m);
	assert_int_equal(shown(r, &m[2].id, "\"state\":\"untold\""), 1);
	assert_int_equal(shown(r, &m[2].id, "\"told\":"), 1);
	assert_int_equal(in_summary(r, "\"untold\":3"), 2); /* all, and its group */
	rig_pass(r, MIN - SEC);
	rig_none(r, EFFECT_APPEND);
	rig_pass(r, SEC);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed ");
	assert_true(strcasecmp(addressee(s), "a@src.test") == 0);
	/* Before it is durable nothing ends, however long that takes. */
	rig_pass(r, 10 * MIN);
	rig_none(r, EFFECT_APPEND);
	rig_appended(r, s, GW_ENOSPC);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_int_equal(rig_counts(r).untold, 3);
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	assert_int_equal(rig_flush(r, 0), 3);
	rig_pass(r, 1);
	assert_int_equal(rig_counts(r).untold, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	rig_pass(r, 2 * MIN); /* the window is forgotten */
	fail_one(r, "a@src.test");
	assert_int_equal(take_reports(r, "a@src.test"), 1);
	rig_empty(r);
}

/* The summary is one of the reports of the next window. */
static void test_goes_on(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[5];

	storm(r, m);
	rig_pass(r, MIN);
	rig_flush(r, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	assert_int_equal(take_reports(r, "a@src.test"), 1);
	fail_one(r, "a@src.test");
	assert_int_equal(take_reports(r, "a@src.test"), 1);
	assert_int_equal(rig_counts(r).untold, 0);
	fail_one(r, "a@src.test");
	assert_int_equal(rig_counts(r).untold, 1);
	/* Others are not concerned. */
	fail_one(r, "c@src.test");
	assert_int_equal(rig_counts(r).untold, 1);
}

/* It has failed: nothing tries it again but who drops it. */
static void test_operators(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[5];
	struct buf out;

	storm(r, m);
	retry(r, &m[2].id, "\"retried\":0");
	retry(r, NULL, "\"retried\":0");
	buf_init(&out, 1 << 16);
	assert_int_equal(broker_release(r->b, &m[2].id, 3, 9, &out, r->now), 200);
	assert_true(holds(&out, "\"released\":0"));
	buf_clear(&out);
	assert_int_equal(broker_act(r->b,
			     &(struct broker_command){
				 .verb = BROKER_HOLD, .id = &m[3].id, .asker = 3, .request = 10},
			     &out, r->now),
	    200);
	assert_true(holds(&out, "\"held\":0"));
	buf_clear(&out);
	assert_int_equal(
	    broker_list(r->b, SPAN("state:untold"), &(struct msgid){{0}}, 10, &out, r->now), 200);
	assert_int_equal(count(&out, "\"state\":\"untold\""), 3);
	buf_fini(&out);
	rig_none(r, EFFECT_JOB);
	for (int i = 2; i < 5; i++)
		drop(r, &m[i].id, 1);
	rig_empty(r);
	rig_pass(r, MIN); /* nobody is left to tell of */
	rig_none(r, EFFECT_APPEND);
}

/* What is not durable yet is told in the next one. */
static void test_not_durable(void **state)
{
	struct rig *r = *state;
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test"};
	struct rig_mail m[5];
	struct seen *late, *s;

	storm(r, m);
	parcel_send(r, &p);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
	late = rig_take(r, EFFECT_APPEND);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed ");
	rig_appended(r, late, 0);
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).untold, 1);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed ");
}

/* A log that cannot be read for a while: they are told when it can. */
static void test_unreadable(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[5];
	struct seen *s;

	storm(r, m);
	r->blind = true;
	rig_pass(r, MIN);
	rig_none(r, EFFECT_APPEND);
	r->blind = false;
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed ");
	rig_appended(r, s, 0);
	r->blind = true;
	rig_pass(r, 1);
	rig_none(r, EFFECT_APPEND);
	r->blind = false;
	rig_pass(r, 5 * MIN); /* told twice, since they are still there */
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed ");
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).untold, 0);
}

/* Warnings count and stop too; who was not warned is warned when there is room. */
static void test_delays(void **state)
{
	struct rig *r = *state;
	struct parcel p = {.from = "a@src.test", .to = "b@solo.test"};
	struct seen *job;
	size_t told = 0;

	for (int i = 0; i < 4; i++)
		parcel_send(r, &p);
	for (int i = 0; i < 4; i++) {
		job = rig_take(r, EFFECT_JOB);
		if (i == 0)
			rig_pass(r, 4 * HOURS);
		rig_result(r, job, OUTCOME_DEFERRED);
		for (struct seen *s; (s = next_report(r)) != NULL;) {
			assert_string_equal(actions(s), "delayed ");
			rig_appended(r, s, 0);
			told++;
		}
	}
	assert_int_equal(told, 2);
	assert_int_equal(rig_counts(r).untold, 0);
}

/* Two of four are told at once. */
static void fail_reports(struct rig *r)
{
	struct seen *job;

	for (int i = 0; i < 4; i++) {
		char from[40];

		snprintf(from, sizeof(from), "a%d@src.test", i);
		fail_one(r, from);
		job = rig_take(r, EFFECT_JOB);
		assert_string_equal(job->addr[0], from);
		rig_result(r, job, OUTCOME_FAILED);
		give_heads(r);
		rig_flush(r, 0);
		if (i < 2) {
			job = rig_take(r, EFFECT_JOB);
			assert_string_equal(job->addr[0], "postmaster@mx.test");
			rig_result(r, job, OUTCOME_DELIVERED);
			rig_flush(r, 0);
		}
		rig_none(r, EFFECT_JOB);
	}
	assert_int_equal(rig_counts(r).untold, 2);
}

/* Reports that fail are told to the administrator within the same bounds. */
static void test_admin(void **state)
{
	struct rig *r = *state;

	fail_reports(r);
	rig_pass(r, MIN);
	assert_string_equal(addressee(summary_of(r)), "postmaster@mx.test");
}

/* Recipients of one message that fail one after the other, others in between: each is told once. */
static void test_one_message_twice(void **state)
{
	struct rig *r = *state;
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test c@solo.test"};
	struct seen *one, *two, *s;
	struct rig_mail m[5];

	storm(r, m);
	parcel_send(r, &p);
	one = rig_take(r, EFFECT_JOB);
	two = rig_take(r, EFFECT_JOB);
	rig_result(r, one, OUTCOME_FAILED);
	rig_flush(r, 0);
	fail_one(r, "a@src.test");
	rig_result(r, two, OUTCOME_FAILED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).untold, 6);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_int_equal(count(&s->body, "Action: failed"), 6);
	assert_true(rig_has(buf_view(&s->body), "X-Godwit-Recipients: 6\r\n"));
	assert_true(rig_has(buf_view(&s->body), "X-Godwit-Messages: 5\r\n"));
}

/* What fails between a summary and its being durable was not told by it. */
static void test_failed_since(void **state)
{
	struct rig *r = *state;
	struct parcel p = {.from = "a@src.test", .to = "b@dst.test c@solo.test"};
	struct seen *one, *two, *s;
	struct rig_mail m[5];

	storm(r, m);
	parcel_send(r, &p);
	one = rig_take(r, EFFECT_JOB);
	two = rig_take(r, EFFECT_JOB);
	rig_result(r, one, OUTCOME_FAILED);
	rig_flush(r, 0);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed failed ");
	fail_one(r, "a@src.test");
	assert_int_equal(take_reports(r, "a@src.test"), 1);
	rig_result(r, two, OUTCOME_FAILED);
	rig_flush(r, 0);
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	assert_int_equal(take_reports(r, "a@src.test"), 1);
	assert_int_equal(rig_counts(r).untold, 2);
	rig_pass(r, MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed ");
	assert_true(rig_has(buf_view(&s->body), "c@solo.test"));
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).untold, 0);
}

static void reload(struct rig *r, const char *text)
{
	struct config *old = r->config;

	r->config = parse_good(text);
	broker_reconfigure(r->b, r->config, r->now);
	config_free(&old);
	rig_pass(r, 0);
}

/* What the summary to the one before says, or would have said, is told to the one of now. */
static void test_another_admin(void **state)
{
	static const char next[] = "hostname mx.test\nlisten mx 127.0.0.1:25\nadmin new@mx.test\n"
				   "route to any via relay 127.0.0.1:2525\n"
				   "dsn { warn 4h; per-sender 2/m }\n";

	for (int under_way = 0; under_way < 2; under_way++) {
		struct rig *r;
		struct seen *s = NULL;

		assert_int_equal(set_up((void **)&r), 0);
		fail_reports(r);
		if (under_way) {
			rig_pass(r, MIN);
			s = summary_of(r);
		}
		reload(r, next);
		if (under_way)
			rig_appended(r, s, 0);
		for (int i = 0; i < 10 && rig_counts(r).untold > 0; i++) {
			rig_pass(r, MIN);
			s = next_report(r);
			if (s == NULL)
				continue;
			assert_string_equal(addressee(s), "new@mx.test");
			rig_appended(r, s, 0);
			rig_pass(r, 1);
			rig_flush(r, 0);
		}
		assert_int_equal(rig_counts(r).untold, 0);
		rig_free(r);
	}
	(void)state;
}

/* Many recipients in a summary: some are named, all are ended. */
static void test_many(void **state)
{
	struct rig *r = *state;
	struct parcel p = {.from = "a@src.test",
	    .to = "b0@d.test b1@d.test b2@d.test b3@d.test b4@d.test b5@d.test b6@d.test "
		  "b7@d.test b8@d.test b9@d.test c0@d.test c1@d.test"};
	struct seen *s;
	size_t n = 0;

	for (int i = 0; i < 42; i++) {
		parcel_send(r, &p);
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_FAILED);
		give_heads(r);
		rig_flush(r, 0);
		while ((s = rig_any(r, EFFECT_JOB)) != NULL) {
			rig_result(r, s, OUTCOME_DELIVERED);
			rig_flush(r, 0);
		}
	}
	assert_int_equal(rig_counts(r).untold, 480);
	rig_pass(r, MIN);
	s = summary_of(r);
	n = count(&s->body, "Action: failed");
	assert_in_range(n, 10, 100);
	rig_appended(r, s, 0);
	for (int i = 0; i < 10; i++) {
		rig_pass(r, 1);
		rig_flush(r, 0);
	}
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
}

/* ---- after a start ----------------------------------------------------------------------------
 */

static void test_after_a_start(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct rig_mail m = rig_mail(r, "a@src.test", "b@dst.test c@dst.test"),
			n = rig_mail(r, "a@src.test", "d@dst.test");
	struct seen *s;

	(void)state;
	recover_mail(r, &m);
	recover_mail(r, &n);
	recover_change(
	    r, BROKER_DEFERRED, &m.id, 0, 1, OUTCOME_UNTOLD, r->now + 10 * MIN, "no one");
	recover_change(r, BROKER_RESULT, &m.id, 1, 1, OUTCOME_DELIVERED, 0, "");
	/* A clock that was set back keeps nobody waiting for years. */
	recover_change(
	    r, BROKER_DEFERRED, &n.id, 0, 1, OUTCOME_UNTOLD, r->now + 900 * DAYS, "no two");
	rig_ready(r);
	assert_int_equal(rig_counts(r).untold, 2);
	rig_none(r, EFFECT_JOB);
	/* Whoever fails meanwhile is told with them. */
	fail_one(r, "a@src.test");
	assert_int_equal(rig_counts(r).untold, 3);
	rig_pass(r, 10 * MIN);
	s = summary_of(r);
	assert_string_equal(actions(s), "failed failed failed ");
	assert_true(rig_has(buf_view(&s->body), "no one"));
	rig_appended(r, s, 0);
	rig_pass(r, 1);
	rig_flush(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DELIVERED);
	rig_flush(r, 0);
	rig_empty(r);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORM_TEST(test_summary),
	    STORM_TEST(test_goes_on),
	    STORM_TEST(test_operators),
	    STORM_TEST(test_not_durable),
	    STORM_TEST(test_unreadable),
	    STORM_TEST(test_delays),
	    STORM_TEST(test_admin),
	    STORM_TEST(test_one_message_twice),
	    STORM_TEST(test_failed_since),
	    cmocka_unit_test(test_another_admin),
	    STORM_TEST(test_many),
	    cmocka_unit_test(test_after_a_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
