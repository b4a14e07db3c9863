#include "role/history_row.h"

enum {
	FLAG_REPORTED = 1 << 7, /* beside the kind */
	SAME = 1 << 7,          /* beside the outcome: all but index and number as the one before */
	HAS_CODE = 1 << 0,
	HAS_ESC = 1 << 1,
	HAS_DUE = 1 << 2,
	HAS_HOST = 1 << 3,
	HAS_REPLY = 1 << 4,
	HAS_TLS = 1 << 5,
	HAS_VMTA = 1 << 6,
	HAS_RULE = 1 << 7,
	WORTH = 6, /* octets of a text that a number is shorter than */
};

/* ---- numbers of any length ---------------------------------------------------------------- */

/* Small numbers of either sign are short. */
static void put_signed(struct buf *b, int64_t v)
{
	put_var(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static int64_t get_signed(struct cursor *c)
{
	uint64_t v = get_var(c);

	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Milliseconds are enough for the eye. */
static void put_time(struct buf *b, int64_t when, int64_t since)
{
	put_signed(b, when / 1000 - since / 1000);
}

static int64_t get_time(struct cursor *c, int64_t since)
{
	int64_t by = get_signed(c);

	if (by > INT64_MAX / 2000 || by < -(INT64_MAX / 2000) || since < 0 ||
	    since > INT64_MAX / 2) {
		cursor_fail(c);
		return 0;
	}
	return by == 0 ? since : (since / 1000 + by) * 1000;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static void put_text(struct buf *b, struct span text, bool often, const struct row_texts *t)
{
	uint32_t number;

	if (often && text.n >= WORTH && t->number(t->arg, text, &number)) {
		put_var(b, 1);
		put_u32(b, number);
		return;
	}
	put_var(b, (uint64_t)text.n << 1);
	buf_add_span(b, text);
}

static struct span get_text(struct cursor *c, const struct row_texts *t, struct arena *a)
{
	uint64_t n = get_var(c);

	if (n == 1)
		return arena_dup(a, t->text(t->arg, get_u32(c)));
	if ((n & 1) != 0 || n >> 1 > c->rest.n) {
		cursor_fail(c);
		return SPAN_NONE;
	}
	return arena_dup(a, get_bytes(c, (size_t)(n >> 1)));
}

/* ---- recipients of a change ----------------------------------------------------------------- */

static bool is_same(const struct change_rcpt *a, const struct change_rcpt *b)
{
	return a->outcome == b->outcome && a->attempts == b->attempts && a->due == b->due &&
	       a->code == b->code && memcmp(a->esc, b->esc, sizeof(a->esc)) == 0 &&
	       span_eq(a->host, b->host) && span_eq(a->reply, b->reply) &&
	       span_eq(a->tls, b->tls) && span_eq(a->vmta, b->vmta) && span_eq(a->rule, b->rule);
}

static unsigned parts_of(const struct change_rcpt *r)
{
	return (r->code ? HAS_CODE : 0) | (r->esc[0] ? HAS_ESC : 0) | (r->due ? HAS_DUE : 0) |
	       (r->host.n ? HAS_HOST : 0) | (r->reply.n ? HAS_REPLY : 0) |
	       (r->tls.n ? HAS_TLS : 0) | (r->vmta.n ? HAS_VMTA : 0) | (r->rule.n ? HAS_RULE : 0);
}

static void put_state(
    const struct change_rcpt *r, int64_t accepted, const struct row_texts *t, struct buf *out)
{
	unsigned parts = parts_of(r);

	put_u8(out, (uint8_t)parts);
	put_var(out, r->attempts);
	if (parts & HAS_CODE)
		put_var(out, r->code);
	if (parts & HAS_ESC)
		buf_add(out, r->esc, sizeof(r->esc));
	if (parts & HAS_DUE)
		put_time(out, r->due, accepted);
	if (parts & HAS_HOST)
		put_text(out, r->host, true, t);
	/* What a host says to a message it takes has an id in it as a rule. */
	if (parts & HAS_REPLY)
		put_text(out, r->reply, r->outcome != OUTCOME_DELIVERED, t);
	if (parts & HAS_TLS)
		put_text(out, r->tls, true, t);
	if (parts & HAS_VMTA)
		put_text(out, r->vmta, true, t);
	if (parts & HAS_RULE)
		put_text(out, r->rule, true, t);
}

static void get_state(struct change_rcpt *r, struct cursor *c, int64_t accepted,
    const struct row_texts *t, struct arena *a)
{
	uint8_t parts = get_u8(c);
	struct span esc;

	r->attempts = (uint32_t)get_var(c);
	if (parts & HAS_CODE)
		r->code = (uint16_t)get_var(c);
	if (parts & HAS_ESC) {
		esc = get_bytes(c, sizeof(r->esc));
		if (esc.n > 0)
			memcpy(r->esc, esc.p, esc.n);
	}
	if (parts & HAS_DUE)
		r->due = get_time(c, accepted);
	if (parts & HAS_HOST)
		r->host = get_text(c, t, a);
	if (parts & HAS_REPLY)
		r->reply = get_text(c, t, a);
	if (parts & HAS_TLS)
		r->tls = get_text(c, t, a);
	if (parts & HAS_VMTA)
		r->vmta = get_text(c, t, a);
	if (parts & HAS_RULE)
		r->rule = get_text(c, t, a);
}

/* ---- rows ----------------------------------------------------------------------------------- */

void row_encode(
    const struct row_event *e, int64_t accepted, const struct row_texts *t, struct buf *out)
{
	uint32_t last = 0;

	put_u8(out, (uint8_t)(e->kind | (e->reported ? FLAG_REPORTED : 0)));
	put_time(out, e->when, accepted);
	if (e->reported)
		buf_add_span(out, msgid_span(&e->report));
	put_var(out, e->change.n_rcpt);
	for (size_t i = 0; i < e->change.n_rcpt; i++) {
		const struct change_rcpt *r = &e->change.rcpt[i];
		bool same = i > 0 && is_same(r, r - 1);

		put_signed(out, (int64_t)r->index - last);
		put_var(out, r->number);
		put_u8(out, (uint8_t)(r->outcome | (same ? SAME : 0)));
		if (!same)
			put_state(r, accepted, t, out);
		last = r->index;
	}
}

static bool get_rcpt(struct change *to, struct cursor *c, int64_t accepted,
    const struct row_texts *t, struct arena *a)
{
	struct change_rcpt *r = &to->rcpt[to->n_rcpt];
	int64_t step = get_signed(c), index = to->n_rcpt > 0 ? (int64_t)r[-1].index : 0;
	uint64_t number = get_var(c);
	uint8_t outcome = get_u8(c);
	bool same = (outcome & SAME) != 0;

	if (step < -CHANGE_RCPT_MAX || step > CHANGE_RCPT_MAX)
		return false;
	index += step;
	if (index < 0 || index >= CHANGE_RCPT_MAX || (outcome & ~SAME) > OUTCOME_MAX ||
	    (same && to->n_rcpt == 0))
		return false;
	if (same)
		*r = r[-1];
	r->index = (uint32_t)index;
	r->number = (uint32_t)number;
	r->outcome = (enum outcome)(outcome & ~SAME);
	if (!same)
		get_state(r, c, accepted, t, a);
	to->n_rcpt++;
	return cursor_ok(c);
}

/* Each recipient takes three octets at least: a count that lies costs no memory. */
static int get_rcpts(struct change *to, struct cursor *c, int64_t accepted,
    const struct row_texts *t, struct arena *a)
{
	uint64_t n = get_var(c);

	if (!cursor_ok(c) || n > c->rest.n / 3 || n > CHANGE_RCPT_MAX)
		return GW_EFORMAT;
	if (n > 0)
		to->rcpt = arena_alloc(a, (size_t)n * sizeof(*to->rcpt));
	while (!a->overflow && to->n_rcpt < n) {
		if (!get_rcpt(to, c, accepted, t, a))
			return GW_EFORMAT;
	}
	return a->overflow ? GW_EFULL : 0;
}

int row_decode(struct row_event *e, struct span in, int64_t accepted, const struct row_texts *t,
    struct arena *a)
{
	struct cursor c = cursor_of(in);
	uint8_t kind = get_u8(&c);
	struct span id;
	int err;

	*e = (struct row_event){.reported = (kind & FLAG_REPORTED) != 0};
	if ((kind & ~FLAG_REPORTED) > ROW_KIND_MAX)
		return GW_EFORMAT;
	e->kind = (enum row_kind)(kind & ~FLAG_REPORTED);
	e->when = get_time(&c, accepted);
	if (e->reported) {
		id = get_bytes(&c, sizeof(e->report.b));
		if (id.n > 0)
			memcpy(e->report.b, id.p, id.n);
	}
	err = get_rcpts(&e->change, &c, accepted, t, a);
	return err == 0 && !cursor_done(&c) ? GW_EFORMAT : err;
}

void row_put_rcpt(struct buf *out, struct span addr)
{
	put_var(out, addr.n);
	buf_add_span(out, addr);
}

int row_get_rcpt(struct cursor *c, struct span *addr)
{
	uint64_t n;

	if (cursor_done(c))
		return 0;
	n = get_var(c);
	*addr = n <= c->rest.n ? get_bytes(c, (size_t)n) : SPAN_NONE;
	return cursor_ok(c) && addr->n == n ? 1 : GW_EFORMAT;
}
