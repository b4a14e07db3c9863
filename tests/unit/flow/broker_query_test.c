/* What operators see and do: JSON that parses, pages, retry, drop. */
#include "fixture.h"

/* ---- a small checker of JSON --------------------------------------------------------------- */

static bool json_value(struct span *s);

static bool eat(struct span *s, char c)
{
	if (s->n == 0 || s->p[0] != (uint8_t)c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

static bool json_string(struct span *s)
{
	if (!eat(s, '"'))
		return false;
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] < ' ' || (s->p[0] == '\\' && s->n < 2))
			return false;
		*s = span_skip(*s, s->p[0] == '\\' ? 2 : 1);
	}
	return eat(s, '"');
}

static bool json_members(struct span *s, bool object, char end)
{
	if (eat(s, end))
		return true;
	do {
		if (object && (!json_string(s) || !eat(s, ':')))
			return false;
		if (!json_value(s))
			return false;
	} while (eat(s, ','));
	return eat(s, end);
}

static bool json_word(struct span *s)
{
	size_t n = 0;

	while (n < s->n && strchr("truefalsn-0123456789", s->p[n]) != NULL)
		n++;
	*s = span_skip(*s, n);
	return n > 0;
}

static bool json_value(struct span *s)
{
	if (eat(s, '{'))
		return json_members(s, true, '}');
	if (eat(s, '['))
		return json_members(s, false, ']');
	return s->n > 0 && s->p[0] == '"' ? json_string(s) : json_word(s);
}

static void check_json(const struct buf *b)
{
	struct span s = buf_view(b);

	assert_false(buf_failed(b));
	if (!json_value(&s) || s.n != 0)
		fail_msg("no JSON: %.*s", SPAN_ARG(span_first(buf_view(b), 2000)));
}

static size_t count(const struct buf *b, const char *text)
{
	struct span s = buf_view(b);
	size_t n = 0;

	for (; s.n > 0; s = span_skip(s, 1))
		n += span_starts(s, span_str(text));
	return n;
}

static bool holds(const struct buf *b, const char *text)
{
	return count(b, text) > 0;
}

/* ---- seeing ------------------------------------------------------------------------------- */

static void show(struct rig *r, const struct rig_mail *m, int status, struct buf *out)
{
	buf_clear(out);
	assert_int_equal(broker_show(r->b, &m->id, out, r->now), status);
	check_json(out);
}

static void test_show(void **state)
{
	struct rig *r = *state;
	struct rig_mail m =
	    rig_accept(r, "a@src.test", "b@dst.test \"quo\\\"ted\"@one.test c@no.test");
	struct rig_mail pending = rig_mail(r, "x@src.test", "y@dst.test");
	char id[MSGID_TEXT + 1];
	struct buf out;

	buf_init(&out, 1 << 20);
	show(r, &m, 200, &out);
	msgid_format(&m.id, id);
	assert_true(holds(&out, id));
	assert_int_equal(count(&out, "\"state\":\"active\""), 2);
	assert_int_equal(count(&out, "\"state\":\"failed\""), 1);
	assert_true(holds(&out, "\"reply\":\"nobody here\""));
	assert_true(holds(&out, "\\\"quo\\\\\\\"ted\\\"@one.test"));
	assert_true(holds(&out, "\"site\":\"relay 127.0.0.1:2525\""));
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	show(r, &m, 200, &out);
	assert_int_equal(count(&out, "\"due\":\""), 1);
	assert_int_equal(count(&out, "\"code\":450"), 1);
	/* What is not durable is not there. */
	assert_int_equal(rig_send(r, 7, 1, &pending), 0);
	show(r, &pending, 404, &out);
	rig_flush(r, 0);
	show(r, &pending, 200, &out);
	buf_fini(&out);
}

static void test_summary(void **state)
{
	struct rig *r = *state;
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	check_json(&out);
	assert_true(holds(&out, "\"messages\":0") && holds(&out, "\"sites\":[]"));
	for (int i = 0; i < 4; i++)
		rig_accept(r, "a@src.test", "b@dst.test c@later.test");
	buf_clear(&out);
	r->now += 3 * HOURS;
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	check_json(&out);
	assert_true(holds(&out,
	    "\"messages\":4,\"recipients\":8,\"held\":0,\"held_by_limits\":0,\"limited\":0,"
	    "\"limits_full\":0,\"untold\":0,"
	    "\"active\":2,\"accepting\":true"));
	assert_true(holds(&out, "\"state\":\"limited\""));
	assert_true(holds(&out, "\"under_8h\":4"));
	assert_true(holds(&out, "\"ready\":2,\"waiting\":0,\"held\":0,\"untold\":0,"
				"\"active\":2,\"connections\":2"));
	assert_true(holds(&out, "\"last_reply\":\"451 4.3.0 later\""));
	buf_fini(&out);
}

static size_t list(
    struct rig *r, const char *filter, const struct msgid *after, uint32_t limit, struct buf *out)
{
	static const struct msgid none;

	buf_clear(out);
	assert_int_equal(
	    broker_list(r->b, span_str(filter), after ? after : &none, limit, out, r->now), 200);
	check_json(out);
	return count(out, "\"size\":");
}

static void test_filter(void **state)
{
	struct rig *r = *state;
	struct buf out;

	buf_init(&out, 1 << 20);
	rig_accept(r, "ann@src.test", "bob@one.test");
	rig_accept(r, "ann@src.test", "bob@DST.test carl@dst.test");
	rig_accept(r, "Eve@src.test", "dan@later.test");
	rig_accept(r, "eve@src.test", "bob@one.test");
	assert_int_equal(list(r, "", NULL, 0, &out), 4);
	assert_true(holds(&out, "\"next\":null"));
	assert_int_equal(list(r, "to:bob", NULL, 0, &out), 3);
	assert_int_equal(list(r, "from:EVE", NULL, 0, &out), 2);
	assert_int_equal(list(r, "  from:eve   to:bob ", NULL, 0, &out), 1);
	assert_int_equal(list(r, "domain:dst.test", NULL, 0, &out), 1);
	assert_int_equal(list(r, "domain:st.test", NULL, 0, &out), 0);
	assert_int_equal(list(r, "group:one", NULL, 0, &out), 2);
	assert_int_equal(list(r, "state:active", NULL, 0, &out), 2);
	assert_int_equal(list(r, "state:ready", NULL, 0, &out), 1);
	assert_int_equal(list(r, "state:deferred", NULL, 0, &out), 1);
	buf_fini(&out);
}

static void test_bad_filter(void **state)
{
	static const char *const bad[] = {
	    "bob", "to:", ":x", "to:a color:red", "to:a group:", "a b"};
	struct rig *r = *state;
	static const struct msgid none;
	struct buf out;

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		buf_clear(&out);
		assert_int_equal(broker_list(r->b, span_str(bad[i]), &none, 5, &out, r->now), 400);
		check_json(&out);
		assert_true(holds(&out, "\"status\":400"));
	}
	buf_clear(&out);
	assert_int_equal(
	    broker_list(r->b, SPAN("to:a \xff\"\n\x01:b"), &none, 5, &out, r->now), 400);
	check_json(&out);
	assert_true(holds(&out, "column 6"));
	buf_fini(&out);
}

/* All pages together show every message once, also when messages vanish between them. */
static void test_pages(void **state)
{
	struct rig *r = *state;
	struct rig_mail m[10];
	struct buf out;

	buf_init(&out, 1 << 20);
	for (int i = 0; i < 10; i++) {
		r->now += SEC;
		m[i] = rig_accept(r, "a@src.test", "b@later.test");
	}
	rig_flush(r, 0);
	assert_int_equal(list(r, "", NULL, 4, &out), 4);
	assert_false(holds(&out, "\"next\":null"));
	assert_int_equal(list(r, "", &m[3].id, 4, &out), 4);
	assert_int_equal(broker_drop(r->b, &m[7].id, 1, 1, &out, r->now), 0);
	rig_flush(r, 0);
	assert_int_equal(list(r, "", &m[7].id, 4, &out), 2);
	assert_true(holds(&out, "\"next\":null"));
	assert_int_equal(list(r, "", &m[9].id, 4, &out), 0);
	assert_int_equal(list(r, "", NULL, UINT32_MAX, &out), 9);
	buf_fini(&out);
}

/* An answer has a ceiling: the next page begins where it was reached, nothing is left out. */
static void test_page_full(void **state)
{
	struct rig *r = *state;
	static char to[300 * 24];
	struct rig_mail m[6];
	size_t n = 0, seen = 0;
	const struct msgid *after = NULL;
	struct buf out;

	for (int i = 0; i < 300; i++)
		n += (size_t)snprintf(to + n, sizeof(to) - n, "%suser%d@dst.test", i ? " " : "", i);
	for (int i = 0; i < 6; i++)
		m[i] = rig_accept(r, "a@src.test", to);
	buf_init(&out, 220 << 10);
	while (seen < 6) {
		n = list(r, "", after, 100, &out);
		assert_in_range(n, 1, 5);
		assert_int_equal(count(&out, "\"to\":"), n * 300);
		seen += n;
		assert_int_equal(holds(&out, "\"next\":null"), seen == 6);
		after = &m[seen - 1].id;
	}
	assert_int_equal(seen, 6);
	buf_fini(&out);
	/* One message that is larger than an answer may be: cut, and said so. */
	buf_init(&out, 16 << 10);
	show(r, &m[0], 200, &out);
	assert_true(holds(&out, "\"recipients_omitted\":"));
	assert_in_range(count(&out, "\"to\":"), 1, 299);
	buf_fini(&out);
	buf_init(&out, 16 << 10);
	assert_int_equal(list(r, "", NULL, 100, &out), 1);
	assert_false(holds(&out, "\"next\":null"));
	buf_fini(&out);
}

/* ---- doing -------------------------------------------------------------------------------- */

static void test_retry(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@one.test");
	struct rig_mail other = rig_accept(r, "a@src.test", "c@dst.test"), none = {.id = rig_id(r)};
	struct buf out;

	buf_init(&out, 1 << 20);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	rig_none(r, EFFECT_JOB);
	assert_int_equal(broker_retry(r->b, &m.id, &out, r->now), 200);
	assert_true(span_eq(buf_view(&out), SPAN("{\"retried\":1}")));
	assert_string_equal(rig_take(r, EFFECT_JOB)->addr[0], "b@one.test");
	rig_none(r, EFFECT_JOB);
	buf_clear(&out);
	/* What is under way is not retried. */
	assert_int_equal(broker_retry(r->b, NULL, &out, r->now), 200);
	assert_true(span_eq(buf_view(&out), SPAN("{\"retried\":1}")));
	assert_string_equal(rig_take(r, EFFECT_JOB)->addr[0], "c@dst.test");
	buf_clear(&out);
	assert_int_equal(broker_retry(r->b, &none.id, &out, r->now), 404);
	check_json(&out);
	(void)other;
	buf_fini(&out);
}

/* A retry wakes a site that rests. */
static void test_retry_wakes(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@one.test");
	struct seen *job = rig_take(r, EFFECT_JOB);
	struct buf out;

	assert_int_equal(rig_result_as(r, job, job->e.peer, OUTCOME_DEFERRED, 421, true), 0);
	broker_conn_closed(r->b, job->e.peer, job->e.conn, r->now);
	rig_accept(r, "a@src.test", "c@one.test");
	rig_none(r, EFFECT_JOB);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_retry(r->b, &m.id, &out, r->now), 200);
	assert_string_equal(rig_take(r, EFFECT_JOB)->addr[0], "c@one.test");
	buf_fini(&out);
}

static void test_drop(void **state)
{
	struct rig *r = *state;
	struct rig_mail m = rig_accept(r, "a@src.test", "b@later.test c@dst.test");
	struct seen *s, *job = rig_take(r, EFFECT_JOB);
	struct buf out;

	rig_flush(r, 0);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_drop(r->b, &m.id, 3, 55, &out, r->now), 0);
	s = rig_take(r, EFFECT_APPEND);
	assert_true(s->e.record == BROKER_RESULT && s->e.flag && s->e.own);
	rig_none(r, EFFECT_ANSWER); /* not before it is durable */
	rig_appended(r, s, GW_EIO);
	rig_none(r, EFFECT_ANSWER);
	rig_pass(r, SEC);
	rig_appended(r, rig_take(r, EFFECT_APPEND), 0);
	s = rig_take(r, EFFECT_ANSWER);
	assert_true(s->e.peer == 3 && s->e.number == 55 && s->e.status == 200 && s->e.octets == 1);
	/* The one that is under way goes on. */
	assert_int_equal(rig_counts(r).recipients, 1);
	assert_int_equal(broker_drop(r->b, &m.id, 3, 56, &out, r->now), 200);
	assert_true(span_eq(buf_view(&out), SPAN("{\"dropped\":0}")));
	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	buf_clear(&out);
	assert_int_equal(broker_drop(r->b, &m.id, 3, 57, &out, r->now), 404);
	check_json(&out);
	buf_fini(&out);
	rig_empty(r);
}

/* Dropping all: answered when the last record is durable, in whatever order that happens. */
static void test_drop_all(void **state)
{
	struct rig *r = *state;
	struct seen *s[3];
	struct buf out;

	for (int i = 0; i < 3; i++)
		rig_accept(r, "a@src.test", "b@later.test c@later.test");
	rig_flush(r, 0);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_drop(r->b, NULL, 3, 55, &out, r->now), 0);
	rig_pass(r, 0);
	for (int i = 0; i < 3; i++)
		s[i] = rig_take(r, EFFECT_APPEND);
	rig_appended(r, s[2], 0);
	rig_none(r, EFFECT_ANSWER);
	rig_appended(r, s[0], GW_ENOSPC);
	rig_appended(r, s[1], 0);
	rig_none(r, EFFECT_ANSWER);
	rig_pass(r, SEC);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_ANSWER)->e.octets, 6);
	rig_none(r, EFFECT_ANSWER);
	buf_fini(&out);
	rig_empty(r);
}

/* Before the workers have spoken nobody knows what is under way. */
static void test_drop_not_ready(void **state)
{
	struct rig *r = rig_start(rig_config, 1 << 20);
	struct buf out;

	(void)state;
	broker_worker_up(r->b, 0, WORKER_SENDER);
	broker_recovered(r->b, r->now);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_drop(r->b, NULL, 3, 55, &out, r->now), 503);
	check_json(&out);
	broker_holding_done(r->b, 0, r->now);
	buf_clear(&out);
	assert_int_equal(broker_drop(r->b, NULL, 3, 55, &out, r->now), 200);
	buf_fini(&out);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    RIG_TEST(test_show),
	    RIG_TEST(test_summary),
	    RIG_TEST(test_filter),
	    RIG_TEST(test_bad_filter),
	    RIG_TEST(test_pages),
	    RIG_TEST(test_page_full),
	    RIG_TEST(test_retry),
	    RIG_TEST(test_retry_wakes),
	    RIG_TEST(test_drop),
	    RIG_TEST(test_drop_all),
	    cmocka_unit_test(test_drop_not_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
