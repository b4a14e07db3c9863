/* What the tests of copying forward share: a log of large segments, messages in it, who holds what.
 */
#ifndef GW_TEST_FLOW_COPYING_H
#define GW_TEST_FLOW_COPYING_H

#include "fixture.h"

static const char content[] = "Subject: test\r\n\r\nHello\r\n";

/* A log of large segments: little of them is alive. */
static inline bool compact(struct rig *r, uint64_t oldest)
{
	struct broker_log_size size = {.oldest = oldest,
	    .newest = r->segment,
	    .octets = (r->segment - oldest + 1) << 20,
	    .segment = 1 << 20};
	bool more = broker_compact(r->b, &size, r->now);

	rig_run(r);
	return more;
}

/* Nothing more is copied: it says so soon. */
static inline void nothing_more(struct rig *r, uint64_t oldest)
{
	for (int i = 0; compact(r, oldest); i++) {
		assert_in_range(i, 0, 2);
		rig_none(r, EFFECT_APPEND);
	}
}

static inline bool shows(struct rig *r, const struct msgid *id, const char *text)
{
	struct buf out;
	bool is;

	buf_init(&out, 1 << 20);
	assert_int_equal(broker_show(r->b, id, &out, r->now), 200);
	is = rig_has(buf_view(&out), text);
	buf_fini(&out);
	return is;
}

/* Accepted in this segment and deferred there. */
static inline struct rig_mail deferred(struct rig *r, const char *to)
{
	struct rig_mail m = rig_accept(r, "a@src.test", to);
	struct seen *job;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL)
		rig_result(r, job, OUTCOME_DEFERRED);
	rig_flush(r, 0);
	assert_int_equal(rig_counts(r).active, 0);
	return m;
}

/* A message with its parts in the segments before that of its record. */
static inline struct rig_mail with_parts(struct rig *r, size_t n, const char *to)
{
	struct rig_mail m = rig_mail(r, "a@src.test", to);
	char part[48];

	for (size_t i = 0; i < n; i++) {
		snprintf(part, sizeof(part), "This is part %zu.\r\n", i);
		assert_int_equal(broker_part(r->b, 7, 99, span_str(part), r->now), 0);
		rig_flush(r, 0);
		r->segment++;
	}
	assert_int_equal(rig_send(r, 7, 99, &m), 0);
	rig_flush(r, 0);
	assert_int_equal(rig_take(r, EFFECT_COMMITTED)->e.status, 0);
	return m;
}

/* All holds are on these segments. */
static inline void held(struct rig *r, uint64_t first, uint64_t second)
{
	rig_run(r);
	for (uint64_t i = 0; i < GW_ARRAY_LEN(r->holds); i++)
		assert_int_equal(r->holds[i], i > 0 && (i == first || i == second));
}

static inline void deliver_all(struct rig *r)
{
	struct seen *job;

	while ((job = rig_any(r, EFFECT_JOB)) != NULL) {
		rig_result(r, job, OUTCOME_DELIVERED);
		rig_flush(r, 0);
	}
}

static inline void wake(struct rig *r)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_int_equal(broker_retry(r->b, NULL, &out, r->now), 200);
	buf_fini(&out);
}

/* The next append is a part, or the message. */
static inline struct seen *next_append(struct rig *r, enum broker_record record)
{
	struct seen *s = rig_take(r, EFFECT_APPEND);

	assert_int_equal(s->e.record, record);
	return s;
}

#endif
