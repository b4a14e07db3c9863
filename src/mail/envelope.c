#include "mail/envelope.h"

#include "base/cursor.h"

enum { VERSION = 1 };

/* Numbers on disk: never change one, never use one again. */
enum tag {
	TAG_ID = 1,
	TAG_NONCE = 2,
	TAG_ACCEPTED = 3,
	TAG_FROM = 4,
	TAG_RCPT = 5, /* repeated */
	TAG_TENANT = 6,
	TAG_ACCOUNT = 7,
	TAG_TICKET = 8,
	TAG_PRIORITY = 9,
	TAG_TAG = 10, /* repeated */
	TAG_VMTA = 11,
	TAG_SITE = 12,
	TAG_IDEMPOTENCY_KEY = 13,
	TAG_ENVID = 14,
	TAG_RET = 15,
	TAG_BODY_TYPE = 16,
	TAG_SMTPUTF8 = 17,
	TAG_REQUIRE_TLS = 18,
	TAG_AT_MOST_ONCE = 19,
	TAG_FACTS = 20,
	TAG_ORIGIN = 21,
	TAG_CLIENT_IP = 22,
	TAG_CLIENT_HELO = 23,
	TAG_LISTENER = 24,
	TAG_HEAD_LENGTH = 25,
	TAG_PART = 26, /* repeated */
	TAG_ENDS = 27,
	TAG_STATE = 28,
	TAG_HELD = 29,
	TAG_BY_AT = 30,
	TAG_BY = 31,
	TAG_BY_TRACE = 32,
	TAG_TLS_OPTIONAL = 33,
	TAG_MT_PRIORITY = 34,
	TAG_HOLD_UNTIL = 35,

	/* limits */
	TAG_COUNTED = 38,
	TAG_END = 64, /* the seen ones fit a 64-bit set */
};

enum kind {
	KIND_NONE,
	KIND_SPAN,
	KIND_TEXT,
	KIND_ID,
	KIND_I64,
	KIND_U32,
	KIND_U8,
	KIND_BOOL,
	KIND_ENUM
};

/* The fields that are one value each, by tag. KIND_TEXT goes out in commands: no control octets. */
struct row {
	enum kind kind;
	size_t at;
	unsigned max; /* KIND_ENUM */
};

#define AT(field) offsetof(struct envelope, field)
static const struct row rows[TAG_END] = {
    [TAG_ID] = {KIND_ID, AT(id), 0},
    [TAG_NONCE] = {KIND_ID, AT(nonce), 0},
    [TAG_ACCEPTED] = {KIND_I64, AT(accepted), 0},
    [TAG_FROM] = {KIND_TEXT, AT(from), 0},
    [TAG_TENANT] = {KIND_SPAN, AT(tenant), 0},
    [TAG_ACCOUNT] = {KIND_SPAN, AT(account), 0},
    [TAG_TICKET] = {KIND_SPAN, AT(ticket), 0},
    [TAG_PRIORITY] = {KIND_U8, AT(priority), 0},
    [TAG_VMTA] = {KIND_SPAN, AT(vmta), 0},
    [TAG_SITE] = {KIND_SPAN, AT(site), 0},
    [TAG_IDEMPOTENCY_KEY] = {KIND_SPAN, AT(idempotency_key), 0},
    [TAG_ENVID] = {KIND_TEXT, AT(envid), 0},
    [TAG_RET] = {KIND_ENUM, AT(ret), RET_HDRS},
    [TAG_BODY_TYPE] = {KIND_ENUM, AT(body_type), BODY_BINARYMIME},
    [TAG_SMTPUTF8] = {KIND_BOOL, AT(smtputf8), 0},
    [TAG_REQUIRE_TLS] = {KIND_BOOL, AT(handling.require_tls), 0},
    [TAG_AT_MOST_ONCE] = {KIND_BOOL, AT(at_most_once), 0},
    [TAG_ORIGIN] = {KIND_ENUM, AT(origin), ORIGIN_SYSTEM},
    [TAG_CLIENT_IP] = {KIND_SPAN, AT(client_ip), 0},
    [TAG_CLIENT_HELO] = {KIND_SPAN, AT(client_helo), 0},
    [TAG_LISTENER] = {KIND_SPAN, AT(listener), 0},
    [TAG_HEAD_LENGTH] = {KIND_U32, AT(head_length), 0},
    [TAG_ENDS] = {KIND_SPAN, AT(ends), 0},
    [TAG_STATE] = {KIND_SPAN, AT(state), 0},
    [TAG_HELD] = {KIND_SPAN, AT(held), 0},
    [TAG_BY_AT] = {KIND_I64, AT(handling.by_at), 0},
    [TAG_BY] = {KIND_ENUM, AT(handling.by), BY_NOTIFY},
    [TAG_BY_TRACE] = {KIND_BOOL, AT(handling.by_trace), 0},
    [TAG_TLS_OPTIONAL] = {KIND_BOOL, AT(handling.tls_optional), 0},
    [TAG_MT_PRIORITY] = {KIND_ENUM, AT(handling.mt_priority), MT_PRIORITY_STORED},
    [TAG_HOLD_UNTIL] = {KIND_I64, AT(handling.hold_until), 0},
    [TAG_COUNTED] = {KIND_I64, AT(counted), 0},
};
#undef AT

_Static_assert(sizeof(enum dsn_ret) == sizeof(unsigned), "enums are read through the table");
_Static_assert(sizeof(enum body_type) == sizeof(unsigned), "enums are read through the table");
_Static_assert(sizeof(enum deliver_by) == sizeof(unsigned), "enums are read through the table");
_Static_assert(sizeof(enum origin) == sizeof(unsigned), "enums are read through the table");

enum { FACT_EIGHT_BIT = 1, FACT_NUL = 2, FACT_BARE_CR = 4, FACT_BARE_LF = 8, FACT_OPEN_END = 16 };
enum { FACT_MAX = 31, NOTIFY_MAX = 15 };
enum {
	FACTS_SIZE = 8 + 4 + 4 + 1,
	PART_SIZE = 8 + 8 + 4 + 8,
	RCPT_FIXED = 2 + 2 + 1,
	RCPT_FROM = 2,
	RCPT_KEPT = 1
};

/* What may be stored is asked in both directions, so that what is accepted can be read. */

static bool text_sane(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] == 127)
			return false;
	}
	return true;
}

static bool rcpt_sane(const struct rcpt *r)
{
	return r->notify <= NOTIFY_MAX && text_sane(r->addr) && text_sane(r->orcpt) &&
	       text_sane(r->from);
}

static bool counts_sane(const struct envelope *e)
{
	return e->n_rcpt <= ENVELOPE_RCPT_MAX && e->n_tag <= ENVELOPE_TAG_MAX &&
	       e->n_part <= ENVELOPE_EXTENT_MAX;
}

static bool row_sane(const struct row *row, const void *field)
{
	if (row->kind == KIND_TEXT)
		return text_sane(*(const struct span *)field);
	if (row->kind == KIND_ENUM)
		return *(const unsigned *)field <= row->max;
	return true;
}

static void put_field(struct buf *out, enum tag tag, struct span s)
{
	put_u8(out, (uint8_t)tag);
	put_span32(out, s);
}

static void put_number(struct buf *out, enum tag tag, uint64_t v, uint32_t width)
{
	uint8_t bytes[8];

	if (v == 0)
		return;
	for (size_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	put_field(out, tag, span_of(bytes, width));
}

static bool id_is_zero(const struct msgid *id)
{
	return msgid_eq(id, &(struct msgid){0});
}

static void encode_row(enum tag tag, const void *field, struct buf *out)
{
	const struct row *row = &rows[tag];

	if (!row_sane(row, field))
		out->failed = true;
	switch (row->kind) {
	case KIND_NONE: break;
	case KIND_SPAN:
	case KIND_TEXT:
		if (((const struct span *)field)->n > 0)
			put_field(out, tag, *(const struct span *)field);
		break;
	case KIND_ID:
		if (!id_is_zero(field))
			put_field(out, tag, msgid_span(field));
		break;
	case KIND_I64: put_number(out, tag, (uint64_t) * (const int64_t *)field, 8); break;
	case KIND_U32: put_number(out, tag, *(const uint32_t *)field, 4); break;
	case KIND_U8: put_number(out, tag, *(const uint8_t *)field, 1); break;
	case KIND_BOOL: put_number(out, tag, *(const bool *)field, 1); break;
	case KIND_ENUM: put_number(out, tag, *(const unsigned *)field, 1); break;
	}
}

static uint8_t fact_bits(const struct body_facts *f)
{
	return (uint8_t)((f->eight_bit ? FACT_EIGHT_BIT : 0) | (f->nul ? FACT_NUL : 0) |
			 (f->bare_cr ? FACT_BARE_CR : 0) | (f->bare_lf ? FACT_BARE_LF : 0) |
			 (f->open_end ? FACT_OPEN_END : 0));
}

static void encode_facts(const struct body_facts *f, struct buf *out)
{
	put_u8(out, TAG_FACTS);
	put_u32(out, FACTS_SIZE);
	put_u64(out, f->size);
	put_u32(out, f->lines);
	put_u32(out, f->longest_line);
	put_u8(out, fact_bits(f));
}

/* Fields at the end that older versions did not write. */
static bool has_from(const struct rcpt *r)
{
	return r->from.n > 0 || r->kept;
}

static void encode_rcpt(const struct rcpt *r, struct buf *out)
{
	if (!rcpt_sane(r))
		out->failed = true;
	put_u8(out, TAG_RCPT);
	put_u32(
	    out, (uint32_t)(RCPT_FIXED + r->addr.n + r->orcpt.n +
			    (has_from(r) ? RCPT_FROM + r->from.n : 0) + (r->kept ? RCPT_KEPT : 0)));
	put_span16(out, r->addr);
	put_span16(out, r->orcpt);
	put_u8(out, r->notify);
	if (has_from(r))
		put_span16(out, r->from);
	if (r->kept)
		put_u8(out, 1);
}

static void encode_part(const struct part *p, struct buf *out)
{
	put_u8(out, TAG_PART);
	put_u32(out, PART_SIZE);
	put_u64(out, p->segment);
	put_u64(out, p->offset);
	put_u32(out, p->length);
	put_u64(out, p->sum);
}

void envelope_encode_counted(int64_t counted, struct buf *out)
{
	if (counted != 0)
		put_number(out, TAG_COUNTED, (uint64_t)counted, 8);
}

void envelope_encode(const struct envelope *e, struct buf *out)
{
	if (!counts_sane(e))
		out->failed = true;
	put_u8(out, VERSION);
	for (int tag = 0; tag < TAG_END; tag++)
		encode_row((enum tag)tag, (const uint8_t *)e + rows[tag].at, out);
	encode_facts(&e->facts, out);
	for (size_t i = 0; i < e->n_rcpt && !buf_failed(out); i++)
		encode_rcpt(&e->rcpt[i], out);
	for (size_t i = 0; i < e->n_tag && !buf_failed(out); i++)
		put_field(out, TAG_TAG, e->tag[i]);
	for (size_t i = 0; i < e->n_part && !buf_failed(out); i++)
		encode_part(&e->part[i], out);
}

static bool decode_row(const struct row *row, void *field, struct cursor c)
{
	struct span all = c.rest;
	uint8_t byte;

	switch (row->kind) {
	case KIND_NONE: return true; /* of a later version */
	case KIND_SPAN:
	case KIND_TEXT: *(struct span *)field = all; return row_sane(row, field);
	case KIND_ID:
		if (all.n != sizeof(struct msgid))
			return false;
		memcpy(field, all.p, all.n);
		return true;
	case KIND_I64: *(int64_t *)field = (int64_t)get_u64(&c); return cursor_done(&c);
	case KIND_U32: *(uint32_t *)field = get_u32(&c); return cursor_done(&c);
	case KIND_U8: *(uint8_t *)field = get_u8(&c); return cursor_done(&c);
	case KIND_BOOL:
		byte = get_u8(&c);
		*(bool *)field = byte != 0;
		return cursor_done(&c) && byte <= 1;
	case KIND_ENUM:
		*(unsigned *)field = get_u8(&c);
		return cursor_done(&c) && row_sane(row, field);
	}
	return false;
}

static bool decode_facts(struct body_facts *f, struct cursor c)
{
	uint8_t bits;

	f->size = get_u64(&c);
	f->lines = get_u32(&c);
	f->longest_line = get_u32(&c);
	bits = get_u8(&c);
	f->eight_bit = bits & FACT_EIGHT_BIT;
	f->nul = bits & FACT_NUL;
	f->bare_cr = bits & FACT_BARE_CR;
	f->bare_lf = bits & FACT_BARE_LF;
	f->open_end = bits & FACT_OPEN_END;
	return cursor_done(&c) && bits <= FACT_MAX;
}

static bool decode_rcpt(struct rcpt *r, struct cursor c)
{
	r->addr = get_span16(&c);
	r->orcpt = get_span16(&c);
	r->notify = get_u8(&c);
	r->from = c.rest.n > 0 ? get_span16(&c) : SPAN_NONE;
	r->kept = c.rest.n > 0;
	return (!r->kept || get_u8(&c) == 1) && cursor_done(&c) && rcpt_sane(r);
}

static bool decode_part(struct part *p, struct cursor c)
{
	p->segment = get_u64(&c);
	p->offset = get_u64(&c);
	p->length = get_u32(&c);
	p->sum = get_u64(&c);
	return cursor_done(&c);
}

static bool decode_single(struct envelope *e, uint8_t tag, struct cursor field)
{
	if (tag == TAG_FACTS)
		return decode_facts(&e->facts, field);
	if (tag >= TAG_END)
		return true;
	return decode_row(&rows[tag], (uint8_t *)e + rows[tag].at, field);
}

/* The arrays being filled; NULL in the first pass, which counts them and reads all else. */
struct arrays {
	bool second;
	struct rcpt *rcpt;
	struct span *tag;
	struct part *part;
};

static bool decode_field(
    struct envelope *e, const struct arrays *to, uint8_t tag, struct cursor field)
{
	size_t at;

	switch (tag) {
	case TAG_RCPT: at = e->n_rcpt++; return !to->rcpt || decode_rcpt(&to->rcpt[at], field);
	case TAG_PART: at = e->n_part++; return !to->part || decode_part(&to->part[at], field);
	case TAG_TAG:
		at = e->n_tag++;
		if (to->tag)
			to->tag[at] = field.rest;
		return true;
	default: return to->second || decode_single(e, tag, field);
	}
}

static bool is_repeated(uint8_t tag)
{
	return tag == TAG_RCPT || tag == TAG_TAG || tag == TAG_PART;
}

static int decode_pass(struct envelope *e, const struct arrays *to, struct cursor in)
{
	uint64_t seen = 0;

	e->n_rcpt = e->n_tag = e->n_part = 0;
	while (cursor_ok(&in) && in.rest.n > 0) {
		uint8_t tag = get_u8(&in);
		struct cursor field = cursor_of(get_span32(&in));
		uint64_t bit = tag < TAG_END && !is_repeated(tag) ? UINT64_C(1) << tag : 0;

		if (!cursor_ok(&in) || (seen & bit) != 0)
			return GW_EFORMAT;
		seen |= bit;
		if (!decode_field(e, to, tag, field) || !counts_sane(e))
			return GW_EFORMAT;
	}
	return cursor_ok(&in) ? 0 : GW_EFORMAT;
}

static int make_arrays(struct envelope *e, struct arrays *to, struct arena *a)
{
	to->second = true;
	if (e->n_rcpt > 0)
		e->rcpt = to->rcpt = arena_alloc(a, e->n_rcpt * sizeof(*to->rcpt));
	if (e->n_tag > 0)
		e->tag = to->tag = arena_alloc(a, e->n_tag * sizeof(*to->tag));
	if (e->n_part > 0)
		e->part = to->part = arena_alloc(a, e->n_part * sizeof(*to->part));
	return a->overflow ? GW_EFULL : 0;
}

int envelope_decode(struct envelope *e, struct span in, struct arena *a)
{
	struct cursor cur = cursor_of(in);
	uint8_t version = get_u8(&cur);
	struct arrays to = {0};
	int err;

	*e = (struct envelope){.n_rcpt = 0};
	if (!cursor_ok(&cur))
		return GW_EFORMAT;
	if (version != VERSION)
		return GW_EVERSION;
	err = decode_pass(e, &to, cur);
	if (err == 0)
		err = make_arrays(e, &to, a);
	return err != 0 ? err : decode_pass(e, &to, cur);
}

void envelope_glance(struct span in, struct msgid *id, struct span *client_ip)
{
	struct cursor c = cursor_of(in);

	*id = (struct msgid){{0}};
	*client_ip = SPAN_NONE;
	get_u8(&c);
	while (cursor_ok(&c) && c.rest.n > 0) {
		uint8_t tag = get_u8(&c);
		struct span field = get_span32(&c);

		if (tag == TAG_ID && field.n == sizeof(id->b))
			memcpy(id->b, field.p, sizeof(id->b));
		if (tag == TAG_CLIENT_IP)
			*client_ip = field;
		if (tag >= TAG_CLIENT_IP)
			return;
	}
}
