#include "role/proto_dns.h"

#include "base/cursor.h"

enum { SECURE = 1, CUT = 2, FLAGS = SECURE | CUT };

/* A record takes at least so much, of whatever type. */
enum { RECORD_MIN = 2 };

/* ---- the question --------------------------------------------------------------------------- */

static bool type_known(unsigned type)
{
	static const enum dns_type types[] = {
	    DNS_A, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};

	for (size_t i = 0; i < GW_ARRAY_LEN(types); i++) {
		if (types[i] == (enum dns_type)type)
			return true;
	}
	return false;
}

static bool is_lower(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ascii_lower(s.p[i]))
			return false;
	}
	return true;
}

static bool is_name(struct span s)
{
	return dns_name_good(s) && is_lower(s);
}

void proto_put_dns_ask(struct buf *b, const struct proto_dns_ask *q)
{
	put_u64(b, q->request);
	put_u16(b, (uint16_t)q->type);
	put_span16(b, q->name);
}

int proto_get_dns_ask(struct span in, struct proto_dns_ask *q)
{
	struct cursor c = cursor_of(in);
	unsigned type;

	q->request = get_u64(&c);
	type = get_u16(&c);
	q->name = get_span16(&c);
	if (!cursor_done(&c) || !type_known(type) || !is_name(q->name))
		return GW_EFORMAT;
	q->type = (enum dns_type)type;
	return 0;
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void put_record(struct buf *b, enum dns_type type, const struct dns_record *r)
{
	switch (type) {
	case DNS_A: buf_add(b, &r->address.a, sizeof(r->address.a)); break;
	case DNS_AAAA: buf_add(b, &r->address.aaaa, sizeof(r->address.aaaa)); break;
	case DNS_MX:
		put_u16(b, r->preference);
		put_span16(b, r->name);
		break;
	case DNS_PTR:
	case DNS_CNAME: put_span16(b, r->name); break;
	case DNS_TXT:
	case DNS_TLSA: put_span16(b, r->data); break;
	}
}

void proto_put_dns_answer(struct buf *b, enum dns_type type, const struct proto_dns_answer *r)
{
	const struct dns_answer *a = &r->answer;

	put_u64(b, r->request);
	put_u8(b, (uint8_t)a->status);
	put_u8(b, (uint8_t)((a->secure ? SECURE : 0) | (a->cut ? CUT : 0)));
	put_u32(b, a->ttl);
	put_span16(b, a->canonical);
	put_span16(b, span_first(a->why, DNS_WHY_MAX));
	put_u16(b, (uint16_t)a->n_record);
	for (size_t i = 0; i < a->n_record; i++)
		put_record(b, type, &a->record[i]);
}

static void get_address(struct cursor *c, void *to, size_t n)
{
	struct span s = get_bytes(c, n);

	if (s.n == n)
		memcpy(to, s.p, n);
}

static void get_record(struct cursor *c, enum dns_type type, struct dns_record *r)
{
	switch (type) {
	case DNS_A: get_address(c, &r->address.a, sizeof(r->address.a)); break;
	case DNS_AAAA: get_address(c, &r->address.aaaa, sizeof(r->address.aaaa)); break;
	case DNS_MX:
		r->preference = get_u16(c);
		r->name = get_span16(c);
		if (r->name.n > 0 && !is_name(r->name)) /* "" is the null MX */
			cursor_fail(c);
		break;
	case DNS_PTR:
	case DNS_CNAME:
		r->name = get_span16(c);
		if (!is_name(r->name))
			cursor_fail(c);
		break;
	case DNS_TXT:
	case DNS_TLSA: r->data = get_span16(c); break;
	default: cursor_fail(c);
	}
}

static int get_records(
    struct cursor *c, enum dns_type type, size_t n, struct dns_answer *a, struct arena *arena)
{
	struct dns_record *r;

	if (n > DNS_RECORDS_MAX || n * RECORD_MIN > c->rest.n)
		return GW_EFORMAT;
	if ((a->status == DNS_FOUND) != (n > 0))
		return GW_EFORMAT;
	if (n == 0)
		return 0;
	r = arena_alloc(arena, n * sizeof(*r));
	if (r == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < n; i++)
		get_record(c, type, &r[i]);
	a->record = r;
	a->n_record = n;
	return 0;
}

int proto_get_dns_answer(
    struct span in, enum dns_type type, struct proto_dns_answer *r, struct arena *arena)
{
	struct cursor c = cursor_of(in);
	struct dns_answer *a = &r->answer;
	unsigned status, flags;
	int err;

	*a = (struct dns_answer){.n_record = 0};
	r->request = get_u64(&c);
	status = get_u8(&c);
	flags = get_u8(&c);
	a->ttl = get_u32(&c);
	a->canonical = get_span16(&c);
	a->why = get_span16(&c);
	if (status > DNS_STATUS_MAX || flags & ~(unsigned)FLAGS || a->ttl > DNS_TTL_MAX ||
	    !is_name(a->canonical) || a->why.n > DNS_WHY_MAX)
		return GW_EFORMAT;
	a->status = (enum dns_status)status;
	a->secure = flags & SECURE;
	a->cut = flags & CUT;
	err = get_records(&c, type, get_u16(&c), a, arena);
	if (err < 0)
		return err;
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

uint64_t proto_dns_request(struct span in)
{
	struct cursor c = cursor_of(in);

	return get_u64(&c);
}
