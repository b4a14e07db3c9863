/* A resolver of paper for the broker, and what operators are told. */
#ifndef GW_TEST_FLOW_RESOLVING_H
#define GW_TEST_FLOW_RESOLVING_H

#include "unit/flow/fixture.h"

/* The next question that was not looked at yet; its domain is in "from". */
static inline struct seen *question(struct rig *r)
{
	return rig_any(r, EFFECT_RESOLVE);
}

static inline void assert_question(struct rig *r, const char *domain)
{
	struct seen *s = question(r);

	assert_non_null(s);
	assert_string_equal(s->from, domain);
}

static inline void take_question(struct rig *r, const char *domain)
{
	rig_run(r);
	for (size_t i = 0; i < r->n; i++) {
		struct seen *s = r->seen[i];

		if (s->e.type == EFFECT_RESOLVE && strcmp(s->from, domain) == 0)
			s->taken = true;
	}
}

/* hosts: names with blanks between them. */
static inline void resolve(
    struct rig *r, const char *domain, enum mx_kind kind, const char *hosts, uint32_t ttl)
{
	struct span host[20], in = span_str(hosts);
	struct broker_mx mx = {.kind = kind, .host = host, .ttl = ttl};

	take_question(r, domain);
	if (kind == MX_TROUBLE)
		mx.why = in;
	while (kind == MX_HOSTS && in.n > 0) {
		ptrdiff_t end = span_find(in, ' ');

		host[mx.n_host] = end < 0 ? in : span_first(in, (size_t)end);
		in = span_skip(in, host[mx.n_host++].n + 1);
	}
	broker_resolved(r->b, span_str(domain), &mx, r->now);
	rig_run(r);
}

static inline bool buf_has(struct buf *b, const char *text)
{
	bool has = rig_has(buf_view(b), text);

	buf_fini(b);
	return has;
}

static inline bool summary_has(struct rig *r, const char *text)
{
	struct buf out;

	buf_init(&out, 16 << 20);
	assert_int_equal(broker_summary(r->b, &out, r->now), 200);
	return buf_has(&out, text);
}

static inline bool list_has(struct rig *r, const char *text)
{
	static const struct msgid first;
	struct buf out;

	buf_init(&out, 16 << 20);
	assert_int_equal(broker_list(r->b, SPAN_NONE, &first, 1000, &out, r->now), 200);
	return buf_has(&out, text);
}

#endif
