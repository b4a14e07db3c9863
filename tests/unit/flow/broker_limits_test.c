/* Limits in the queue: refused, held in order, released, counted over restarts. */
#include "at_rest.h"

#include "flow/limit.h"

#define RIG_LIMITS(x) \
	"hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 127.0.0.1\n" \
	"domain box.test { deliver maildir /var/mail/%u }\n" \
	"users file /tmp/none\nroute to any via relay 127.0.0.1:2525\n" \
	"shape * { connections 2; per-connection 100; retry 5m; expire 4d }\n" x "\n"

static const char refuse3[] = RIG_LIMITS("limit account messages 3/h");
static const char hold2[] = RIG_LIMITS("limit account messages 2/h over hold");

static uint64_t next_txn = 5000;
static struct accounts *nobody; /* an empty table */

/* A COMMIT of this account; its effects are not looked at. */
static struct rig_mail commit(struct rig *r, const char *account)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "x@dst.test");

	m.account = account;
	assert_int_equal(rig_send(r, 7, ++next_txn, &m), 0);
	return m;
}

static int answer_of(struct rig *r)
{
	return rig_take(r, EFFECT_COMMITTED)->e.status;
}

/* 0: taken and durable; 3: over a limit. */
static int try_one(struct rig *r, const char *account)
{
	commit(r, account);
	rig_flush(r, 0);
	return answer_of(r);
}

static struct rig *begin(const char *config)
{
	struct rig *r = rig_start(config, 1 << 20);

	rig_ready(r);
	broker_accounts(r->b, nobody, r->now);
	return r;
}

static void deliver_now(struct rig *r)
{
	struct seen *job;

	rig_flush(r, 0);
	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
}

/* A record that cannot be read back behind the next start; 0: none. */
static size_t unreadable;

/* The same log under a new queue: all records that were durable, in their order. */
static struct rig *again(struct rig *r, const char *config)
{
	struct rig *next = rig_start(config, 1 << 20);

	next->now = r->now;
	next->next_id = r->next_id + 1000;
	for (size_t i = 0; i < r->n_stored; i++) {
		struct part at = {.length = 0};

		if (buf_len(&r->stored[i]) > 0)
			at = rig_store(next, buf_view(&r->stored[i]));
		if (r->kind[i] != BROKER_PART)
			assert_int_equal(
			    rig_recover(next, r->kind[i], buf_view(&r->metas[i]), &at), 0);
	}
	next->lost_record[unreadable] = unreadable > 0;
	rig_free(r);
	rig_ready(next);
	return next;
}

static struct rig *restart(struct rig *r, const char *config)
{
	struct rig *next;

	rig_flush(r, 0);
	next = again(r, config);
	broker_accounts(next->b, nobody, next->now);
	rig_pass(next, 0);
	return next;
}

/* ---- refused
 * ------------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
	struct rig *r = begin(refuse3);
	struct seen *s;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	r->now += MIN;
	commit(r, "Alice");
	rig_run(r);
	s = NULL;
	for (size_t i = 0; i < r->n; i++) {
		if (r->seen[i]->e.type == EFFECT_COMMITTED && !r->seen[i]->taken)
			s = r->seen[i];
	}
	assert_non_null(s);
	assert_int_equal(s->e.status, 3);
	assert_int_equal(try_one(r, "bob"), 3); /* the one above */
	rig_take(r, EFFECT_COMMITTED);
	r->now += 59 * MIN - 1;
	assert_int_equal(try_one(r, "alice"), 3);
	r->now += 1;
	assert_int_equal(try_one(r, "alice"), 0);
	rig_free(r);
}

/* Eight at once: what is on its way to the disk counts, and is given back if it fails. */
static void test_under_way(void **state)
{
	struct rig *r = begin(refuse3);
	struct rig_mail m[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		m[i] = commit(r, "alice");
	for (int i = 0; i < 5; i++) {
		commit(r, "alice");
		assert_int_equal(answer_of(r), 3);
	}
	rig_appended(r, rig_append_of(r, &m[0].id), GW_EIO);
	assert_int_equal(answer_of(r), 1);
	m[0] = commit(r, "alice");
	for (int i = 0; i < 3; i++) {
		rig_appended(r, rig_append_of(r, &m[i].id), 0);
		assert_int_equal(answer_of(r), 0);
	}
	assert_int_equal(try_one(r, "alice"), 3);
	rig_free(r);
}

/* ---- restarts
 * ------------------------------------------------------------------------------------- */

/* Counted, delivered, gone: the count stays; from the messages, and from the checkpoint. */
static void test_restart(void **state)
{
	struct rig *r = begin(refuse3);

	(void)state;
	assert_int_equal(try_one(r, "alice"), 0);
	assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	for (int i = 0; i < 4; i++) {
		r = restart(r, refuse3);
		r->segment++;
		deliver_now(r);
		rig_pass(r, SEC);
		rig_flush(r, 0);
	}
	assert_int_equal(try_one(r, "alice"), 0);
	assert_int_equal(try_one(r, "alice"), 3);
	r = restart(r, refuse3);
	assert_int_equal(try_one(r, "alice"), 3);
	assert_int_equal(try_one(r, "bob"), 0);
	rig_free(r);
}

/* A checkpoint with a message under way, whichever of them becomes durable. */
static void test_checkpoint_between(void **state)
{
	for (int lost = 0; lost < 2; lost++) {
		struct rig *r = begin(refuse3);
		struct rig_mail m, other;

		(void)state;
		assert_int_equal(try_one(r, "alice"), 0);
		assert_int_equal(try_one(r, "alice"), 0);
		deliver_now(r);
		m = commit(r, "alice");
		r->segment++;
		other = commit(r, "bob"); /* into a new segment: a checkpoint is due */
		rig_appended(r, rig_append_of(r, &other.id), 0);
		assert_int_equal(answer_of(r), 0);
		rig_pass(r, 0);
		rig_appended(r, rig_append_of(r, &m.id), lost ? GW_EIO : 0);
		assert_int_equal(answer_of(r), lost);
		rig_flush(r, 0);
		r = restart(r, refuse3);
		assert_int_equal(try_one(r, "alice"), lost ? 0 : 3);
		assert_int_equal(try_one(r, "alice"), 3);
		rig_free(r);
	}
}

/* Every piece fills a segment. How many were written until nothing more is. */
static size_t write_pieces(struct rig *r, size_t most)
{
	struct seen *s;
	size_t n = 0;

	for (int idle = 0; idle < 5; idle++) {
		while ((s = rig_any(r, EFFECT_APPEND)) != NULL) {
			bool piece = s->e.record == BROKER_COUNTED;

			idle = 0;
			rig_appended(r, s, 0);
			r->segment += piece;
			n += piece;
			assert_in_range(n, 0, most);
		}
		rig_pass(r, MIN / 10);
	}
	return n;
}

static void name_of(char name[250], int i)
{
	memset(name, 'a', 249);
	name[249] = '\0';
	name[snprintf(name, 249, "%d", i)] = 'a';
}

enum { LARGE_MAIL = 100000 };

static void commit_large(struct rig *r, const char *account)
{
	struct rig_mail m = rig_mail(r, "a@src.test", "x@dst.test");
	char *text = gw_calloc(1, LARGE_MAIL);

	memset(text, 'x', LARGE_MAIL);
	m.account = account;
	m.big = span_of(text, LARGE_MAIL);
	assert_int_equal(rig_send(r, 7, ++next_txn, &m), 0);
	free(text);
}

/* A checkpoint that is larger than a segment is not followed by another one for that alone, nor for
 * each segment of mail behind it; and it is whole. */
static void test_large_checkpoint(void **state)
{
	struct rig *r = begin(refuse3);
	char name[250];
	size_t n, more = 0, octets = 0;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		name_of(name, i);
		for (int k = 0; k < (i == 1499 ? 3 : 1); k++)
			commit(r, name);
		rig_flush(r, 0);
	}
	r->segment++;
	commit(r, "bob");
	n = write_pieces(r, 8);
	assert_int_equal(n, 2);
	for (; more == 0; octets += LARGE_MAIL) {
		name_of(name, 2000 + (int)(octets / LARGE_MAIL));
		r->segment++;
		commit_large(r, name);
		more += write_pieces(r, 8);
	}
	assert_int_equal(more, n);
	assert_in_range(octets, 4 * (n - 1) * LIMIT_PIECE, 5 * n * LIMIT_PIECE);
	name_of(name, 1499);
	r = restart(r, refuse3);
	assert_int_equal(try_one(r, name), 3);
	rig_free(r);
}

/* ---- held
 * ------------------------------------------------------------------------------------------ */

static struct rig_mail held(struct rig *r, const char *account)
{
	struct rig_mail m = commit(r, account);

	rig_flush(r, 0);
	assert_int_equal(answer_of(r), 0);
	assert_int_equal(shown(r, &m.id, "\"limited\""), 1);
	return m;
}

static struct msgid next_job(struct rig *r)
{
	struct seen *job = rig_take(r, EFFECT_JOB);

	rig_result(r, job, OUTCOME_DELIVERED);
	rig_flush(r, 0);
	return job->e.id;
}

/* In the order of acceptance, two an hour, and who comes when the window is open stands behind. */
static void test_held_in_order(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m[6];
	struct msgid id;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	for (int i = 0; i < 5; i++) {
		m[i] = held(r, "alice");
		r->now += SEC;
	}
	rig_none(r, EFFECT_JOB);
	r->now += HOURS - 5 * SEC; /* open, and nobody looked yet */
	m[5] = held(r, "alice");
	for (int i = 0; i < 6; i++) {
		rig_pass(r, i % 2 ? 0 : 1);
		rig_flush(r, 0);
		rig_pass(r, 0);
		id = next_job(r);
		assert_true(msgid_eq(&id, &m[i].id));
		if (i % 2) {
			rig_none(r, EFFECT_JOB);
			rig_pass(r, HOURS);
			rig_flush(r, 0);
		}
	}
	assert_int_equal(rig_counts(r).messages, 0);
	rig_free(r);
}

/* Who is held because of mail that is not durable in the end goes when that is known. */
static void test_room_given_back(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		m[i] = commit(r, "alice");
	rig_appended(r, rig_append_of(r, &m[2].id), 0);
	rig_pass(r, 0);
	assert_int_equal(shown(r, &m[2].id, "\"limited\""), 1);
	rig_appended(r, rig_append_of(r, &m[0].id), GW_EIO);
	assert_true(broker_deadline(r->b) <= r->now);
	rig_pass(r, 0);
	rig_appended(r, rig_append_of(r, &m[2].id), 0);
	assert_int_equal(shown(r, &m[2].id, "\"limited\""), 0);
	rig_free(r);
}

/* One that cannot be read keeps nobody waiting where those stand that no limit holds any more. */
static void test_unreadable(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m[3];
	struct msgid id;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	unreadable = r->n_stored;
	for (int i = 0; i < 3; i++)
		m[i] = held(r, "alice");
	r = restart(r, RIG_LIMITS(""));
	rig_flush(r, 0);
	for (int i = 1; i < 3; i++) {
		id = next_job(r);
		assert_true(msgid_eq(&id, &m[i].id));
	}
	r->lost_record[unreadable] = false;
	unreadable = 0;
	rig_pass(r, 5 * MIN);
	rig_flush(r, 0);
	id = next_job(r);
	assert_true(msgid_eq(&id, &m[0].id));
	rig_free(r);
}

/* The clock was a year ahead, and stamps still are: neither a deadline nor the time to be tried is
 * counted by them. */
static void test_clock_was_ahead(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m;
	struct msgid id;

	(void)state;
	r->now += 365 * DAYS;
	assert_int_equal(try_one(r, "carol"), 0);
	deliver_now(r);
	r->now -= 365 * DAYS;
	r = restart(r, hold2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = rig_mail(r, "a@src.test", "x@dst.test");
	m.account = "bob";
	m.by = BY_RETURN;
	m.by_at = r->now + HOURS;
	assert_int_equal(rig_send(r, 7, ++next_txn, &m), 0);
	rig_flush(r, 0);
	assert_int_equal(answer_of(r), 0);
	r = restart(r, hold2);
	id = next_job(r);
	assert_true(msgid_eq(&id, &m.id));
	m = held(r, "alice");
	rig_pass(r, HOURS);
	rig_flush(r, 0);
	rig_pass(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	for (int i = 0; i < 49; i++) {
		struct seen *job;

		rig_pass(r, 2 * HOURS);
		while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
			rig_result(r, job, OUTCOME_DEFERRED);
			rig_flush(r, 0);
		}
		rig_flush(r, 0);
	}
	assert_int_equal(shown(r, &m.id, "\"expired\""), 1); /* after four days */
	rig_free(r);
}

/* The limit has room, and its deadline has come: which of the two is seen to first must not matter.
 * What is over needs no room. */
static void test_over_when_there_is_room(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = rig_mail(r, "a@src.test", "x@dst.test");
	m.account = "alice";
	m.by = BY_RETURN;
	m.by_at = r->now + HOURS;
	assert_int_equal(rig_send(r, 7, ++next_txn, &m), 0);
	rig_flush(r, 0);
	assert_int_equal(answer_of(r), 0);
	assert_int_equal(shown(r, &m.id, "\"limited\""), 1);
	rig_pass(r, 2 * HOURS);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).held, 0);
	deliver_now(r);
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	rig_free(r);
}

/* Nothing of it is tried before the record of its release is durable. */
static void test_release_is_durable_first(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = held(r, "alice");
	rig_pass(r, HOURS);
	rig_none(r, EFFECT_JOB);
	rig_appended(r, rig_append_of(r, &m.id), 0);
	assert_non_null(rig_any(r, EFFECT_JOB));
	rig_free(r);
}

/* Held messages, their order, and what was released of them, over restarts at every point. */
static void test_held_over_restarts(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m[5];
	struct msgid id;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	for (int i = 0; i < 5; i++)
		m[i] = held(r, "alice");
	for (int i = 0; i < 5; i++) {
		if (i % 2 == 0)
			r->now += HOURS + 10; /* stamps differ by a microsecond */
		r = restart(r, hold2);
		rig_flush(r, 0);
		rig_pass(r, 0);
		id = next_job(r);
		assert_true(msgid_eq(&id, &m[i].id));
		if (i % 2 == 0 && i < 4) {
			id = next_job(r);
			assert_true(msgid_eq(&id, &m[++i].id));
		}
		rig_none(r, EFFECT_JOB);
	}
	assert_int_equal(rig_counts(r).messages, 0);
	assert_int_equal(try_one(r, "alice"), 0); /* one of two in this hour */
	held(r, "alice");
	rig_free(r);
}

/* Accounts that come while one is on its way out do not put it in line again: it would be released,
 * and counted, once more. */
static void test_on_the_way_out(void **state)
{
	struct rig *r = begin(hold2);
	struct seen *release;
	struct rig_mail m;
	struct msgid id;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = held(r, "alice");
	r = restart(r, hold2);
	rig_pass(r, HOURS);
	release = rig_append_of(r, &m.id);
	broker_accounts(r->b, nobody, r->now);
	rig_pass(r, 0);
	rig_none(r, EFFECT_APPEND);
	rig_appended(r, release, 0);
	rig_pass(r, 0);
	id = next_job(r);
	assert_true(msgid_eq(&id, &m.id));
	assert_int_equal(try_one(r, "alice"), 0); /* one of two */
	held(r, "alice");
	rig_free(r);
}

/* An operator lets one go: it counts, over the limit, and the others wait the longer. */
static void test_operator(void **state)
{
	struct rig *r = begin(hold2);
	struct rig_mail m[2];
	struct msgid id;
	struct buf out;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	for (int i = 0; i < 2; i++)
		m[i] = held(r, "alice");
	rig_pass(r, 30 * MIN);
	buf_init(&out, 4096);
	assert_int_equal(broker_release(r->b, &m[1].id, 5, 99, &out, r->now), 0);
	rig_flush(r, 0);
	rig_pass(r, 0);
	id = next_job(r);
	assert_true(msgid_eq(&id, &m[1].id));
	r = restart(r, hold2);
	rig_pass(r, 30 * MIN + SEC); /* the first two are over; one is counted */
	rig_flush(r, 0);
	id = next_job(r);
	assert_true(msgid_eq(&id, &m[0].id));
	held(r, "alice"); /* two are */
	buf_clear(&out);
	assert_int_equal(broker_drop(r->b, NULL, 5, 98, &out, r->now), 0);
	rig_pass(r, 0);
	rig_flush(r, 0);
	rig_pass(r, 0);
	assert_int_equal(rig_counts(r).messages, 0);
	buf_fini(&out);
	rig_free(r);
}

/* It was held for longer than mail is tried: who lets it go wants it to be tried. */
static void test_operator_after_days(void **state)
{
	static const char config[] = RIG_LIMITS("limit account messages 1/30d over hold");
	struct rig *r = begin(config);
	struct rig_mail m;
	struct buf out;

	(void)state;
	assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = held(r, "alice");
	rig_pass(r, 10 * DAYS);
	rig_flush(r, 0);
	buf_init(&out, 4096);
	assert_int_equal(broker_release(r->b, &m.id, 5, 99, &out, r->now), 0);
	buf_fini(&out);
	rig_flush(r, 0);
	rig_pass(r, 0);
	rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(shown(r, &m.id, "\"deferred\""), 1);
	rig_free(r);
}

/* A window of days is longer than the life of mail: that begins when it is released. */
static void test_life_begins_with_release(void **state)
{
	static const char config[] = RIG_LIMITS("limit account messages 1/10d over hold");
	struct rig *r = begin(config);
	struct rig_mail m;
	struct seen *job;

	(void)state;
	assert_int_equal(try_one(r, "alice"), 0);
	deliver_now(r);
	m = held(r, "alice");
	rig_pass(r, 10 * DAYS);
	rig_flush(r, 0);
	job = rig_take(r, EFFECT_JOB);
	assert_true(msgid_eq(&job->e.id, &m.id));
	rig_result(r, job, OUTCOME_DEFERRED);
	r = restart(r, config);
	rig_pass(r, HOURS);
	assert_non_null(rig_any(r, EFFECT_JOB));
	rig_free(r);
}

/* ---- who is near
 * ------------------------------------------------------------------------------------- */

static const struct broker_limit *told(struct rig *r)
{
	static struct broker_limit copy;
	struct broker_effect e;
	bool any = false;

	while (broker_next(r->b, &e) == 1) {
		if (e.type != EFFECT_LIMIT)
			continue;
		copy = *e.limit;
		any = true;
	}
	return any ? &copy : NULL;
}

static void test_told(void **state)
{
	struct rig *r = begin(refuse3);
	const struct broker_limit *x;

	(void)state;
	for (int i = 0; i < 3; i++)
		commit(r, "alice");
	x = told(r);
	assert_non_null(x);
	assert_string_equal(x->subject, "alice");
	assert_int_equal(x->used, 3);
	assert_int_equal(x->opens_in, HOURS);
	broker_receiver_up(r->b, 8);
	assert_int_equal(told(r)->used, 3);
	r->now += 2 * HOURS; /* nothing became durable: it is free at once when that is known */
	rig_free(r);
}

/* Behind another configuration nobody is told any more how it stood before. */
static void test_told_over_a_reload(void **state)
{
	struct rig *r = begin(refuse3);
	struct config *next = parse_good(refuse3), *old = r->config;
	const struct broker_limit *x;

	(void)state;
	for (int i = 0; i < 3; i++)
		commit(r, "alice");
	assert_int_equal(told(r)->used, 3);
	broker_reconfigure(r->b, next, r->now);
	r->config = next;
	x = told(r);
	assert_non_null(x);
	assert_int_equal(x->used, 0);
	assert_int_equal(x->opens_in, 0);
	rig_free(r);
	config_free(&old);
}

/* Who asks may be hostile: his number is not what memory is taken for. */
static void test_query(void **state)
{
	struct rig *r = begin(refuse3);
	struct buf out;

	(void)state;
	assert_int_equal(try_one(r, "alice"), 0);
	buf_init(&out, 1 << 20);
	assert_int_equal(broker_limits(r->b, SPAN_NONE, UINT32_MAX, &out, r->now), 200);
	assert_true(holds(&out, "\"subject\":\"alice\""));
	buf_fini(&out);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_under_way), cmocka_unit_test(test_restart),
	    cmocka_unit_test(test_checkpoint_between), cmocka_unit_test(test_large_checkpoint),
	    cmocka_unit_test(test_held_in_order), cmocka_unit_test(test_room_given_back),
	    cmocka_unit_test(test_unreadable), cmocka_unit_test(test_clock_was_ahead),
	    cmocka_unit_test(test_over_when_there_is_room),
	    cmocka_unit_test(test_release_is_durable_first),
	    cmocka_unit_test(test_held_over_restarts), cmocka_unit_test(test_on_the_way_out),
	    cmocka_unit_test(test_operator), cmocka_unit_test(test_operator_after_days),
	    cmocka_unit_test(test_life_begins_with_release), cmocka_unit_test(test_told),
	    cmocka_unit_test(test_told_over_a_reload), cmocka_unit_test(test_query)};

	struct accounts_error e;
	int failed;

	nobody = accounts_parse(SPAN(""), &e);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	accounts_free(&nobody);
	return failed;
}
