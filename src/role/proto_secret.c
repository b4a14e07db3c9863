#include "role/proto_secret.h"

#include "base/map.h"

/* ---- FILE ------------------------------------------------------------------------------------ */

void proto_put_file(struct buf *b, const struct proto_file *f)
{
	put_u8(b, f->kind);
	put_u32(b, f->index);
	put_u64(b, f->stamp);
	put_u64(b, f->generation);
}

int proto_get_file(struct span in, struct proto_file *f)
{
	struct cursor c = cursor_of(in);

	f->kind = get_u8(&c);
	f->index = get_u32(&c);
	f->stamp = get_u64(&c);
	f->generation = get_u64(&c);
	return cursor_done(&c) && f->kind <= FILE_KIND_MAX ? 0 : GW_EFORMAT;
}

uint32_t secret_number(const char *path)
{
	return (uint32_t)map_hash(span_str(path), 1);
}

/* ---- CERTIFICATE -------------------------------------------------------------------------------
 */

void proto_put_certificate(struct buf *b, const struct proto_certificate *p)
{
	put_u64(b, p->generation);
	put_u32(b, p->index);
	put_u32(b, p->key);
	for (size_t i = 0; i < p->n_chain; i++)
		put_span32(b, p->chain[i]);
}

int proto_get_certificate(struct span in, struct proto_certificate *p)
{
	struct cursor c = cursor_of(in);

	p->generation = get_u64(&c);
	p->index = get_u32(&c);
	p->key = get_u32(&c);
	p->n_chain = 0;
	while (cursor_ok(&c) && c.rest.n > 0) {
		if (p->n_chain == PROTO_CHAIN_MAX)
			return GW_EFORMAT;
		p->chain[p->n_chain++] = get_span32(&c);
	}
	return cursor_ok(&c) && p->n_chain > 0 ? 0 : GW_EFORMAT;
}

void proto_put_certificates(struct buf *b, const struct proto_certificates *p)
{
	put_u64(b, p->generation);
	put_u32(b, p->n);
}

int proto_get_certificates(struct span in, struct proto_certificates *p)
{
	struct cursor c = cursor_of(in);

	p->generation = get_u64(&c);
	p->n = get_u32(&c);
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

/* ---- TICKET_KEYS -------------------------------------------------------------------------------
 */

void proto_put_ticket_keys(struct buf *b, const struct proto_ticket_keys *k)
{
	put_u64(b, k->n);
	for (size_t i = 0; i < k->n; i++)
		buf_add(b, &k->key[i], sizeof(k->key[i]));
}

int proto_get_ticket_keys(struct span in, struct proto_ticket_keys *k)
{
	struct cursor c = cursor_of(in);
	uint64_t n = get_u64(&c);

	if (n == 0 || n > TICKET_KEYS_MAX)
		return GW_EFORMAT;
	k->n = (size_t)n;
	for (size_t i = 0; i < k->n; i++) {
		struct span s = get_bytes(&c, sizeof(k->key[i]));

		if (s.n > 0)
			memcpy(&k->key[i], s.p, sizeof(k->key[i]));
	}
	return cursor_done(&c) ? 0 : GW_EFORMAT;
}

/* ---- PAIRS ------------------------------------------------------------------------------------
 */

void proto_put_pair(struct buf *b, const struct proto_pair *p)
{
	put_u32(b, p->index);
	put_u8(b, p->state);
	put_u64(b, (uint64_t)p->not_after);
	put_span16(b, p->names);
	put_span16(b, p->reason);
}

int proto_get_pair(struct cursor *c, struct proto_pair *p)
{
	if (cursor_ok(c) && c->rest.n == 0)
		return 0;
	p->index = get_u32(c);
	p->state = get_u8(c);
	p->not_after = (int64_t)get_u64(c);
	p->names = get_span16(c);
	p->reason = get_span16(c);
	return cursor_ok(c) && p->state <= PAIR_STATE_MAX ? 1 : GW_EFORMAT;
}

/* ---- CHECK and CHECKED -------------------------------------------------------------------------
 */

void proto_put_check(struct buf *b, const struct proto_check *p)
{
	put_u64(b, p->request);
	put_u8(b, p->kind);
	buf_add(b, p->ip, sizeof(p->ip));
	put_span16(b, p->name);
	put_span16(b, p->secret);
	put_span16(b, p->proof);
}

int proto_get_check(struct span in, struct proto_check *p)
{
	struct cursor c = cursor_of(in);
	struct span ip;

	p->request = get_u64(&c);
	p->kind = get_u8(&c);
	ip = get_bytes(&c, sizeof(p->ip));
	p->name = get_span16(&c);
	p->secret = get_span16(&c);
	p->proof = get_span16(&c);
	if (!cursor_done(&c) || p->kind > CHECK_KIND_MAX)
		return GW_EFORMAT;
	memcpy(p->ip, ip.p, sizeof(p->ip));
	return 0;
}

void proto_put_checked(struct buf *b, const struct proto_checked *p)
{
	put_u64(b, p->request);
	put_u8(b, p->status);
	put_u32(b, p->iterations);
	put_span16(b, p->account);
	put_span16(b, p->ticket);
	put_span16(b, p->salt);
	put_span16(b, p->signature);
	put_span16(b, p->reason);
}

int proto_get_checked(struct span in, struct proto_checked *p)
{
	struct cursor c = cursor_of(in);

	p->request = get_u64(&c);
	p->status = get_u8(&c);
	p->iterations = get_u32(&c);
	p->account = get_span16(&c);
	p->ticket = get_span16(&c);
	p->salt = get_span16(&c);
	p->signature = get_span16(&c);
	p->reason = get_span16(&c);
	return cursor_done(&c) && p->status <= CHECK_STATUS_MAX ? 0 : GW_EFORMAT;
}
