/* What the tests of messages at rest share: looking at them, deferring, delivering, a log to start
 * from. */
#ifndef GW_TEST_FLOW_AT_REST_H
#define GW_TEST_FLOW_AT_REST_H

#include "fixture.h"

#include "base/metric.h"

/* ---- what operators see ------------------------------------------------------------------- */

static inline size_t count(const struct buf *b, const char *text)
{
	struct span s = buf_view(b);
	size_t n = 0;

	for (; s.n > 0; s = span_skip(s, 1))
		n += span_starts(s, span_str(text));
	return n;
}

static inline bool holds(const struct buf *b, const char *text)
{
	return count(b, text) > 0;
}

/* How often the text stands in what is shown of that message. */
static inline size_t shown(struct rig *r, const struct msgid *id, const char *text)
{
	struct buf out;
	size_t n;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_show(r->b, id, &out, r->now), 200);
	assert_false(buf_failed(&out));
	n = count(&out, text);
	buf_fini(&out);
	return n;
}

static inline size_t in_summary(struct rig *r, const char *text)
{
	struct buf out;
	size_t n;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	n = count(&out, text);
	buf_fini(&out);
	return n;
}

/* ---- accepted and deferred ------------------------------------------------------------------ */

static inline struct rig_mail deferred(struct rig *r, const char *to, size_t jobs)
{
	struct rig_mail m = rig_accept(r, "a@src.test", to);

	while (jobs-- > 0)
		rig_result(r, rig_take(r, EFFECT_JOB), OUTCOME_DEFERRED);
	rig_flush(r, 0);
	return m;
}

/* Every job that is there or comes is done, in its order; the ids in `order`. */
static inline size_t deliver_all(struct rig *r, struct msgid *order, size_t most)
{
	struct seen *job;
	size_t n = 0;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		assert_in_range(n, 0, most - 1);
		order[n++] = job->e.id;
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
		rig_pass(r, 1);
	}
	return n;
}

static inline void deliver_rest(struct rig *r)
{
	struct msgid order[200];

	(void)!deliver_all(r, order, GW_ARRAY_LEN(order));
}

static inline int64_t damaged(void)
{
	return metric_get(metric_page, METRIC_SPOOL_DAMAGED);
}

/* ---- retry and drop --- */

static inline void drop(struct rig *r, const struct msgid *id, uint32_t want)
{
	static uint64_t request;
	struct seen *answer;
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_drop(r->b, id, 3, ++request, &out, r->now), 0);
	rig_none(r, EFFECT_ANSWER);
	rig_flush(r, 0);
	answer = rig_take(r, EFFECT_ANSWER);
	assert_true(answer->e.peer == 3 && answer->e.number == request && answer->e.status == 200);
	assert_int_equal(answer->e.octets, want);
	buf_fini(&out);
}

static inline void retry(struct rig *r, const struct msgid *id, const char *want)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	assert_int_equal(broker_retry(r->b, id, &out, r->now), 200);
	assert_true(holds(&out, want));
	buf_fini(&out);
}

/* ---- a log to start from --- */

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

static inline int set_up_start(void **state)
{
	*state = rig_start(rig_config, 1 << 20);
	return 0;
}

static inline void recover_mail(struct rig *r, const struct rig_mail *m)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct buf b;

	rig_envelope(r, m, &b);
	assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&b), &at), 0);
	buf_fini(&b);
}

static inline struct buf change_of(const struct msgid *id, uint32_t index, uint32_t number,
    enum outcome o, int64_t due, const char *reply)
{
	struct change_rcpt said = {.index = index,
	    .number = number,
	    .attempts = number,
	    .outcome = o,
	    .due = due,
	    .code = 450,
	    .reply = span_str(reply)};
	struct change c = {.id = *id, .rcpt = &said, .n_rcpt = 1};
	struct buf b;

	buf_init(&b, 4096);
	change_encode(&c, &b);
	return b;
}

static inline void recover_change(struct rig *r, enum broker_record type, const struct msgid *id,
    uint32_t index, uint32_t number, enum outcome o, int64_t due, const char *reply)
{
	struct buf b = change_of(id, index, number, o, due, reply);

	assert_int_equal(rig_recover(r, type, buf_view(&b), &(struct part){0}), 0);
	buf_fini(&b);
}

/* A copy with the state of its first recipient, and maybe other places of its parts. */
static inline void recover_copy(struct rig *r, const struct rig_mail *m, const struct buf *state)
{
	struct part at = rig_store(r, span_of(content, sizeof(content) - 1));
	struct envelope e;
	struct arena a;
	struct buf b;

	arena_init(&a, 1 << 16);
	rig_envelope(r, m, &b);
	assert_int_equal(envelope_decode(&e, buf_view(&b), &a), 0);
	e.state = buf_view(state);
	{
		struct buf copy;

		buf_init(&copy, 1 << 16);
		envelope_encode(&e, &copy);
		assert_int_equal(rig_recover(r, BROKER_MESSAGE, buf_view(&copy), &at), 0);
		buf_fini(&copy);
	}
	buf_fini(&b);
	arena_reset(&a);
}

#endif
