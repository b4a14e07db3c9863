/* Mail of accounts that are suspended, closed, removed, or not known yet. */
#include "at_rest.h"

static const char config_users[] = "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n"
				   "users file /etc/godwit/users\n"
				   "route to any via relay 127.0.0.1:2525\n"
				   "shape * { connections 2; retry 5m 15m; expire 4d }\n";

enum { ACTIVE, SUSPENDED, CLOSED, REMOVED };

struct people {
	struct rig *r;
	struct accounts *table;
};

static int set_up_people(void **state)
{
	struct people *p = gw_calloc(1, sizeof(*p));

	p->r = rig_start(config_users, 1 << 20);
	*state = p;
	return 0;
}

static int tear_down_people(void **state)
{
	struct people *p = *state;

	rig_free(p->r);
	accounts_free(&p->table);
	free(p);
	return 0;
}

static void tell(struct people *p, int ann)
{
	static const char *const texts[] = {"ann active *\nben active *\n",
	    "ann suspended *\nben active *\n", "ann closed *\nben active *\n", "ben active *\n"};
	struct accounts *old = p->table;
	struct accounts_error e;

	p->table = accounts_parse(span_str(texts[ann]), &e);
	assert_non_null(p->table);
	broker_accounts(p->r->b, p->table, p->r->now);
	accounts_free(&old);
	rig_run(p->r);
}

static struct rig_mail accept_from_account(struct rig *r, const char *account, const char *to)
{
	static uint64_t txn = 1;
	struct rig_mail m = rig_mail(r, "a@src.test", to);

	m.account = account;
	assert_int_equal(rig_send(r, 7, ++txn, &m), 0);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	return m;
}

static size_t listed(struct rig *r, const char *filter, const char *text)
{
	static const struct msgid none;
	struct buf out;
	size_t n;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_list(r->b, span_str(filter), &none, 100, &out, r->now), 200);
	n = count(&out, text);
	buf_fini(&out);
	return n;
}

/* Delivered, and nothing remains. */
static void deliver(struct rig *r, const struct msgid *id)
{
	struct seen *job = rig_take(r, EFFECT_JOB);

	assert_true(msgid_eq(&job->e.id, id));
	assert_int_equal(shown(r, id, "suspended"), 0);
	assert_int_equal(shown(r, id, "not tried"), 0);
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
}

static void new_mail_waits(void **state)
{
	struct people *p = *state;
	struct rig_mail m;

	rig_ready(p->r);
	tell(p, SUSPENDED);
	m = accept_from_account(p->r, "Ann", "x@dst.test y@dst.test");
	rig_none(p->r, EFFECT_JOB);
	assert_int_equal(rig_counts(p->r).parked, 1);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"suspended\""), 2);
	assert_int_equal(shown(p->r, &m.id, "not tried until it is active again"), 2);
	assert_int_equal(listed(p->r, "state:suspended", "\"id\""), 1);
	rig_pass(p->r, 3 * HOURS);
	rig_none(p->r, EFFECT_JOB);
	assert_int_equal(rig_counts(p->r).parked, 1);
	tell(p, ACTIVE);
	deliver(p->r, &m.id);
	rig_empty(p->r);
}

static void others_go(void **state)
{
	struct people *p = *state;
	struct rig_mail ben, nobody;

	rig_ready(p->r);
	tell(p, SUSPENDED);
	ben = accept_from_account(p->r, "ben", "x@dst.test");
	deliver(p->r, &ben.id);
	nobody = rig_accept(p->r, "a@src.test", "x@dst.test");
	deliver(p->r, &nobody.id);
	rig_empty(p->r);
}

static void closed_and_removed(void **state)
{
	struct people *p = *state;
	struct rig_mail m;

	rig_ready(p->r);
	tell(p, CLOSED);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	rig_none(p->r, EFFECT_JOB);
	tell(p, CLOSED);
	tell(p, SUSPENDED);
	rig_none(p->r, EFFECT_JOB);
	tell(p, REMOVED); /* it was taken from her when she might send */
	deliver(p->r, &m.id);
	rig_empty(p->r);
}

/* After a start the mail that is there waits until the vault has said who is suspended. */
static void not_known_yet(void **state)
{
	struct people *p = *state;
	struct rig_mail m = rig_mail(p->r, "a@src.test", "x@dst.test");

	m.account = "ann";
	recover_mail(p->r, &m);
	rig_ready(p->r);
	rig_none(p->r, EFFECT_JOB);
	tell(p, SUSPENDED);
	rig_none(p->r, EFFECT_JOB);
	tell(p, ACTIVE);
	deliver(p->r, &m.id);
	rig_empty(p->r);
}

/* Nobody hears of accounts where the configuration has none: mail of old ones goes. */
static void no_accounts_any_more(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct rig_mail m;

	(void)state;
	rig_ready(r);
	m = accept_from_account(r, "ann", "x@dst.test");
	deliver(r, &m.id);
	rig_free(r);
}

static void between_tries(void **state)
{
	struct people *p = *state;
	struct rig_mail m;

	rig_ready(p->r);
	tell(p, ACTIVE);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	rig_result(p->r, rig_take(p->r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(p->r, 0);
	tell(p, SUSPENDED);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"deferred\""), 1);
	rig_pass(p->r, HOURS);
	rig_none(p->r, EFFECT_JOB);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"suspended\""), 1);
	assert_int_equal(shown(p->r, &m.id, "\"attempts\":1"), 1);
	tell(p, ACTIVE);
	deliver(p->r, &m.id);
	rig_empty(p->r);
}

/* It had its turn before; when the connection is free its account is suspended. */
static void in_line(void **state)
{
	struct people *p = *state;
	struct rig_mail first, second, m;
	struct seen *a, *b;

	rig_ready(p->r);
	tell(p, ACTIVE);
	first = accept_from_account(p->r, "ben", "x@dst.test");
	second = accept_from_account(p->r, "ben", "x@dst.test");
	a = rig_take(p->r, EFFECT_JOB);
	b = rig_take(p->r, EFFECT_JOB);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	rig_none(p->r, EFFECT_JOB);
	tell(p, SUSPENDED);
	rig_result(p->r, a, OUTCOME_DELIVERED);
	rig_result(p->r, b, OUTCOME_DELIVERED);
	rig_flush(p->r, 0);
	rig_none(p->r, EFFECT_JOB);
	tell(p, ACTIVE);
	deliver(p->r, &m.id);
	rig_empty(p->r);
	(void)first;
	(void)second;
}

/* What a worker has in hand is finished; its next try waits. */
static void under_way(void **state)
{
	struct people *p = *state;
	struct rig_mail m;
	struct seen *job;

	rig_ready(p->r);
	tell(p, ACTIVE);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	job = rig_take(p->r, EFFECT_JOB);
	tell(p, SUSPENDED);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"active\""), 1);
	rig_result(p->r, job, OUTCOME_DELIVERED);
	rig_flush(p->r, 0);
	rig_empty(p->r);
}

/* Neither lost nor bounced before its time is over; then its sender is told. */
static void time_is_over(void **state)
{
	struct people *p = *state;
	struct rig_mail m;
	struct seen *report, *body;
	bool said = false;

	rig_ready(p->r);
	tell(p, SUSPENDED);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	rig_pass(p->r, 4 * DAYS - SEC);
	assert_int_equal(rig_flush(p->r, 0), 0);
	rig_none(p->r, EFFECT_READ_HEAD);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"suspended\""), 1);
	rig_pass(p->r, 2 * SEC);
	report = rig_take(p->r, EFFECT_READ_HEAD);
	broker_head(p->r->b, report->e.token, span_str(m.head), p->r->now);
	rig_flush(p->r, 0);
	report = rig_take(p->r, EFFECT_JOB);
	assert_string_equal(report->from, "");
	assert_string_equal(report->addr[0], "a@src.test");
	while (!said && (body = rig_any(p->r, EFFECT_BODY)) != NULL)
		said = holds(&body->body, "Account suspended");
	assert_true(said);
	rig_result(p->r, report, OUTCOME_DELIVERED);
	rig_flush(p->r, 0);
	rig_empty(p->r);
}

static void operators(void **state)
{
	struct people *p = *state;
	struct rig_mail m;

	rig_ready(p->r);
	tell(p, SUSPENDED);
	m = accept_from_account(p->r, "ann", "x@dst.test");
	retry(p->r, &m.id, "\"retried\":1");
	rig_none(p->r, EFFECT_JOB);
	retry(p->r, NULL, "\"retried\":1");
	rig_none(p->r, EFFECT_JOB);
	assert_int_equal(shown(p->r, &m.id, "\"state\":\"suspended\""), 1);
	drop(p->r, &m.id, 1);
	rig_empty(p->r);
}

/* Many wait; when their account is active again all of them go. */
static void many(void **state)
{
	enum { N = 150 };
	struct people *p = *state;
	struct msgid order[N + 1];

	rig_ready(p->r);
	tell(p, SUSPENDED);
	for (int i = 0; i < N; i++)
		(void)accept_from_account(p->r, i % 3 == 0 ? "ben" : "ann", "x@dst.test");
	assert_int_equal(deliver_all(p->r, order, N), N / 3);
	assert_int_equal(rig_counts(p->r).parked, N - N / 3);
	tell(p, ACTIVE);
	assert_int_equal(deliver_all(p->r, order, N), N - N / 3);
	rig_empty(p->r);
}

static void act_on(struct rig *r, enum broker_verb verb, const char *filter)
{
	struct broker_command c = {
	    .verb = verb, .filter = span_str(filter), .asker = 3, .request = 1};
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_act(r->b, &c, &out, r->now), 0);
	rig_pass(r, 0);
	rig_flush(r, 0);
	rig_take(r, EFFECT_ANSWER);
	buf_fini(&out);
}

/* What an operator releases may send the message behind it to rest: hers, which was ready. */
static void behind_what_is_released(void **state)
{
	struct people *p = *state;
	struct rig_mail one, two;

	rig_ready(p->r);
	tell(p, ACTIVE);
	one = accept_from_account(p->r, "ben", "x@dst.test");
	two = accept_from_account(p->r, "ben", "x@dst.test");
	(void)accept_from_account(p->r, "ann", "x@dst.test");
	(void)accept_from_account(p->r, "ben", "x@dst.test y@dst.test");
	(void)accept_from_account(p->r, "ann", "x@dst.test");
	act_on(p->r, BROKER_HOLD, "to:y@dst.test");
	assert_int_equal(rig_counts(p->r).held, 1);
	tell(p, SUSPENDED);
	assert_int_equal(rig_counts(p->r).parked, 0);
	act_on(p->r, BROKER_RELEASE, "state:held");
	assert_int_equal(rig_counts(p->r).held, 0);
	assert_int_equal(rig_counts(p->r).parked, 2);
	tell(p, ACTIVE);
	deliver(p->r, &one.id);
	deliver(p->r, &two.id);
	for (int i = 0; i < 4; i++) {
		rig_result(p->r, rig_take(p->r, EFFECT_JOB), OUTCOME_DELIVERED);
		rig_flush(p->r, 0);
	}
	rig_empty(p->r);
}

/* What is listed as suspended can be dropped as such. */
static void dropped_by_state(void **state)
{
	struct people *p = *state;

	rig_ready(p->r);
	tell(p, SUSPENDED);
	(void)accept_from_account(p->r, "ann", "x@dst.test y@dst.test");
	assert_int_equal(listed(p->r, "state:suspended", "\"id\""), 1);
	act_on(p->r, BROKER_DROP, "state:suspended");
	rig_empty(p->r);
}

#define TEST(x) cmocka_unit_test_setup_teardown(x, set_up_people, tear_down_people)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(new_mail_waits),
	    TEST(others_go),
	    TEST(behind_what_is_released),
	    TEST(dropped_by_state),
	    TEST(closed_and_removed),
	    TEST(not_known_yet),
	    cmocka_unit_test(no_accounts_any_more),
	    TEST(between_tries),
	    TEST(in_line),
	    TEST(under_way),
	    TEST(time_is_over),
	    TEST(operators),
	    TEST(many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
