/*
 * Payloads of the frames between processes: any octets are refused or read within
 * the ceilings; what was read can be written, and reads back the same.
 */
#include "mail/etrn.h"
#include "role/proto.h"
#include "role/proto_turn.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { ARENA_MAX = 8 << 20, FRAME_MAX = 8 << 20 };

/* 0: read, and written to out; else refused. */
typedef int (*again)(struct span in, struct arena *a, struct buf *out);

static int commit(struct span in, struct arena *a, struct buf *out)
{
	struct proto_commit c;
	int err = proto_get_commit(in, &c);

	(void)a;
	if (err < 0)
		return err;
	proto_put_commit(out, &c);
	buf_add_span(out, c.rest);
	return 0;
}

static int job(struct span in, struct arena *a, struct buf *out)
{
	struct proto_job j;
	int err = proto_get_job(in, &j, a);

	if (err < 0)
		return err;
	MUST(j.n_rcpt > 0 && j.n_rcpt <= in.n);
	proto_put_job(out, &j);
	return 0;
}

static int result(struct span in, struct arena *a, struct buf *out)
{
	struct proto_result r;
	int err = proto_get_result(in, &r, a);

	if (err < 0)
		return err;
	MUST(r.change.n_rcpt <= CHANGE_RCPT_MAX);
	proto_put_result(out, &r);
	return 0;
}

static int holding(struct span in, struct arena *a, struct buf *out)
{
	struct proto_holding h;
	int err = proto_get_holding(in, &h, a);

	if (err < 0)
		return err;
	for (size_t i = 0; i < h.n_held; i++)
		MUST(h.held[i].n_rcpt <= in.n);
	proto_put_holding(out, &h);
	return 0;
}

static int query(struct span in, struct arena *a, struct buf *out)
{
	struct proto_query q;
	int err = proto_get_query(in, &q);

	(void)a;
	if (err < 0)
		return err;
	MUST(q.op <= QUERY_MAX);
	proto_put_query(out, &q);
	return 0;
}

static int answer(struct span in, struct arena *a, struct buf *out)
{
	struct proto_answer x;
	int err = proto_get_answer(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_answer(out, &x);
	return 0;
}

static int roles(struct span in, struct arena *a, struct buf *out)
{
	struct cursor c = cursor_of(in);
	struct proto_role r;
	int more;

	(void)a;
	while ((more = proto_get_role(&c, &r)) == 1)
		proto_put_role(out, &r);
	return more;
}

static int past_dot(struct span in, struct arena *a, struct buf *out)
{
	struct proto_past_dot p;
	int err = proto_get_past_dot(in, &p, a);

	if (err < 0)
		return err;
	MUST(p.n_rcpt > 0 && p.n_rcpt <= in.n);
	proto_put_past_dot(out, &p);
	return 0;
}

static int go(struct span in, struct arena *a, struct buf *out)
{
	struct proto_go g;
	int err = proto_get_go(in, &g);

	(void)a;
	if (err < 0)
		return err;
	proto_put_go(out, &g);
	return 0;
}

static int turn(struct span in, struct arena *a, struct buf *out)
{
	struct proto_turn x = {0};
	int err = proto_get_turn(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_turn(out, &x);
	return 0;
}

static int given(struct span in, struct arena *a, struct buf *out)
{
	struct proto_given x = {0};
	int err = proto_get_given(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_given(out, &x);
	return 0;
}

static int pull(struct span in, struct arena *a, struct buf *out)
{
	struct proto_pull x = {0};
	int err = proto_get_pull(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_pull(out, &x);
	return 0;
}

static int pulled(struct span in, struct arena *a, struct buf *out)
{
	struct proto_pulled x = {0};
	int err = proto_get_pulled(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_pulled(out, &x);
	return 0;
}

static int turned(struct span in, struct arena *a, struct buf *out)
{
	enum turn_status status;
	uint64_t number;
	int err = proto_get_turned(in, &number, &status);

	(void)a;
	if (err < 0)
		return err;
	MUST(status <= TURN_MAX);
	proto_put_turned(out, number, status);
	return 0;
}

static int etrn(struct span in, struct arena *a, struct buf *out)
{
	struct proto_etrn x;
	int err = proto_get_etrn(in, &x);

	(void)a;
	if (err < 0)
		return err;
	MUST(x.kind < ETRN_KINDS && etrn_name_good((enum etrn_kind)x.kind, x.name));
	proto_put_etrn(out, &x);
	return 0;
}

static int etrn_answer(struct span in, struct arena *a, struct buf *out)
{
	struct proto_etrn_answer x;
	int err = proto_get_etrn_answer(in, &x);

	(void)a;
	if (err < 0)
		return err;
	proto_put_etrn_answer(out, &x);
	return 0;
}

static int limit(struct span in, struct arena *a, struct buf *out)
{
	struct proto_limit x;
	int err = proto_get_limit(in, &x);

	(void)a;
	if (err < 0)
		return err;
	MUST(x.plan.n <= PROTO_LIMIT_NAME && x.subject.n <= PROTO_LIMIT_NAME);
	proto_put_limit(out, &x);
	MUST(buf_len(out) <= PROTO_LIMIT_MAX);
	return 0;
}

static const again kinds[] = {commit, job, result, holding, query, answer, roles, past_dot, go,
    turn, given, pull, pulled, turned, etrn, etrn_answer, limit};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first, second;
	struct arena a;
	again fn;

	if (size < 1)
		return 0;
	fn = kinds[data[0] % GW_ARRAY_LEN(kinds)];
	arena_init(&a, ARENA_MAX);
	buf_init(&first, FRAME_MAX);
	buf_init(&second, FRAME_MAX);
	if (fn(span_of(data + 1, size - 1), &a, &first) == 0) {
		MUST(!buf_failed(&first));
		MUST(fn(buf_view(&first), &a, &second) == 0);
		MUST(span_eq(buf_view(&first), buf_view(&second)));
	}
	buf_fini(&first);
	buf_fini(&second);
	arena_reset(&a);
	return 0;
}
