#include "mail/change.h"

#include "base/cursor.h"
#include "mail/envelope.h"

_Static_assert((int)CHANGE_RCPT_MAX == (int)ENVELOPE_RCPT_MAX, "a change may name every recipient");

enum { VERSION = 1 };
enum tag { TAG_ID = 1, TAG_WHEN = 2, TAG_RCPT = 3, TAG_VIA = 4, TAG_WARNED = 5, TAG_COUNTED = 6 };
/* Octets of a recipient, and of how it was reached, beside the texts. */
enum { RCPT_FIXED = 4 + 4 + 4 + 1 + 8 + 2 + 3 + 2 + 2, VIA_FIXED = 2 + 2 + 2 };

static bool rcpt_sane(const struct change_rcpt *r)
{
	return r->index < CHANGE_RCPT_MAX && (int)r->outcome >= 0 && r->outcome <= OUTCOME_MAX;
}

static void encode_rcpt(const struct change_rcpt *r, struct buf *out)
{
	if (!rcpt_sane(r))
		out->failed = true;
	put_u8(out, TAG_RCPT);
	put_u32(out, (uint32_t)(RCPT_FIXED + r->host.n + r->reply.n));
	put_u32(out, r->index);
	put_u32(out, r->number);
	put_u32(out, r->attempts);
	put_u8(out, (uint8_t)r->outcome);
	put_u64(out, (uint64_t)r->due);
	put_u16(out, r->code);
	buf_add(out, r->esc, sizeof(r->esc));
	put_span16(out, r->host);
	put_span16(out, r->reply);
}

/* How it was reached, behind the recipient it is about. */
static void encode_via(const struct change_rcpt *r, struct buf *out)
{
	if (r->tls.n + r->vmta.n + r->rule.n == 0)
		return;
	put_u8(out, TAG_VIA);
	put_u32(out, (uint32_t)(VIA_FIXED + r->tls.n + r->vmta.n + r->rule.n));
	put_span16(out, r->tls);
	put_span16(out, r->vmta);
	put_span16(out, r->rule);
}

/* Likewise. */
static void encode_warned(const struct change_rcpt *r, struct buf *out)
{
	if (!r->warned)
		return;
	put_u8(out, TAG_WARNED);
	put_u32(out, 0);
}

void change_encode(const struct change *c, struct buf *out)
{
	if (c->n_rcpt > CHANGE_RCPT_MAX)
		out->failed = true;
	put_u8(out, VERSION);
	put_u8(out, TAG_ID);
	put_span32(out, msgid_span(&c->id));
	put_u8(out, TAG_WHEN);
	put_u32(out, 8);
	put_u64(out, (uint64_t)c->when);
	for (size_t i = 0; i < c->n_rcpt && !buf_failed(out); i++) {
		encode_rcpt(&c->rcpt[i], out);
		encode_via(&c->rcpt[i], out);
		encode_warned(&c->rcpt[i], out);
	}
	if (c->counted.n > 0) {
		put_u8(out, TAG_COUNTED);
		put_span32(out, c->counted);
	}
}

static bool decode_rcpt(struct change_rcpt *r, struct cursor c)
{
	struct span esc;

	r->index = get_u32(&c);
	r->number = get_u32(&c);
	r->attempts = get_u32(&c);
	r->outcome = (enum outcome)get_u8(&c);
	r->due = (int64_t)get_u64(&c);
	r->code = get_u16(&c);
	esc = get_bytes(&c, sizeof(r->esc));
	if (esc.n == sizeof(r->esc))
		memcpy(r->esc, esc.p, esc.n);
	r->tls = r->vmta = r->rule = SPAN_NONE;
	r->warned = false;
	r->host = get_span16(&c);
	r->reply = get_span16(&c);
	return cursor_done(&c) && rcpt_sane(r);
}

static bool decode_via(struct change_rcpt *r, struct cursor c)
{
	r->tls = get_span16(&c);
	r->vmta = get_span16(&c);
	r->rule = get_span16(&c);
	return cursor_done(&c) && r->tls.n + r->vmta.n + r->rule.n > 0;
}

/* One pass: without an array the recipients are counted only. */
static int walk(struct change *c, struct cursor in)
{
	bool id = false, when = false, via = true, warned = true;

	c->n_rcpt = 0;
	c->counted = SPAN_NONE;
	while (cursor_ok(&in) && in.rest.n > 0) {
		uint8_t tag = get_u8(&in);
		struct cursor field = cursor_of(get_span32(&in));
		bool ok = true;

		if (tag == TAG_ID) {
			ok = !id && field.rest.n == sizeof(c->id.b);
			if (ok)
				memcpy(c->id.b, field.rest.p, sizeof(c->id.b));
			id = true;
		} else if (tag == TAG_WHEN) {
			c->when = (int64_t)get_u64(&field);
			ok = !when && cursor_done(&field);
			when = true;
		} else if (tag == TAG_RCPT) {
			ok = c->n_rcpt < CHANGE_RCPT_MAX &&
			     (c->rcpt == NULL || decode_rcpt(&c->rcpt[c->n_rcpt], field));
			c->n_rcpt++;
			via = warned = false;
		} else if (tag == TAG_VIA) {
			ok =
			    !via && (c->rcpt == NULL || decode_via(&c->rcpt[c->n_rcpt - 1], field));
			via = true;
		} else if (tag == TAG_WARNED) {
			ok = !warned && field.rest.n == 0;
			if (ok && c->rcpt != NULL)
				c->rcpt[c->n_rcpt - 1].warned = true;
			warned = true;
		} else if (tag == TAG_COUNTED) {
			ok = c->counted.n == 0 && field.rest.n > 0;
			c->counted = field.rest;
		}
		if (!ok)
			return GW_EFORMAT;
	}
	return cursor_ok(&in) && id ? 0 : GW_EFORMAT;
}

int change_decode(struct change *c, struct span in, struct arena *a)
{
	struct cursor cur = cursor_of(in);
	uint8_t version = get_u8(&cur);
	int err;

	*c = (struct change){.n_rcpt = 0};
	if (!cursor_ok(&cur))
		return GW_EFORMAT;
	if (version != VERSION)
		return GW_EVERSION;
	err = walk(c, cur);
	if (err != 0 || c->n_rcpt == 0)
		return err;
	c->rcpt = arena_alloc(a, c->n_rcpt * sizeof(*c->rcpt));
	if (c->rcpt == NULL)
		return GW_EFULL;
	return walk(c, cur);
}

bool change_wins(enum outcome old, uint32_t old_number, enum outcome new_, uint32_t new_number)
{
	if (outcome_final(old))
		return false;
	/* Copies and results may be read in any order: a final outcome counts whatever its number.
	 */
	return outcome_final(new_) || new_number > old_number;
}
