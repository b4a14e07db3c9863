/*
 * Payloads of the frames between master, receivers and the vault: any octets are refused or read
 * within the ceilings; what was read can be written, and reads back the same.
 */
#include "role/proto_secret.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum { FRAME_MAX = 8 << 20 };

/* 0: read, and written to out; else refused. */
typedef int (*again)(struct span in, struct buf *out);

static void inside(struct span part, struct span all)
{
	MUST(part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n));
}

static int file(struct span in, struct buf *out)
{
	struct proto_file f;
	int err = proto_get_file(in, &f);

	if (err < 0)
		return err;
	MUST(f.kind <= FILE_KIND_MAX);
	proto_put_file(out, &f);
	return 0;
}

static int certificate(struct span in, struct buf *out)
{
	struct proto_certificate c;
	int err = proto_get_certificate(in, &c);

	if (err < 0)
		return err;
	MUST(c.n_chain > 0 && c.n_chain <= PROTO_CHAIN_MAX);
	for (size_t i = 0; i < c.n_chain; i++)
		inside(c.chain[i], in);
	proto_put_certificate(out, &c);
	return 0;
}

static int ticket_keys(struct span in, struct buf *out)
{
	struct proto_ticket_keys k;
	int err = proto_get_ticket_keys(in, &k);

	if (err < 0)
		return err;
	MUST(k.n > 0 && k.n <= TICKET_KEYS_MAX);
	proto_put_ticket_keys(out, &k);
	return 0;
}

static int pairs(struct span in, struct buf *out)
{
	struct cursor c = cursor_of(in);
	struct proto_pair p;
	int more;

	while ((more = proto_get_pair(&c, &p)) == 1) {
		MUST(p.state <= PAIR_STATE_MAX);
		inside(p.names, in);
		inside(p.reason, in);
		proto_put_pair(out, &p);
	}
	return more;
}

static int check(struct span in, struct buf *out)
{
	struct proto_check c;
	int err = proto_get_check(in, &c);

	if (err < 0)
		return err;
	MUST(c.kind <= CHECK_KIND_MAX);
	inside(c.name, in);
	inside(c.secret, in);
	inside(c.proof, in);
	proto_put_check(out, &c);
	return 0;
}

static int checked(struct span in, struct buf *out)
{
	struct proto_checked c;
	int err = proto_get_checked(in, &c);

	if (err < 0)
		return err;
	MUST(c.status <= CHECK_STATUS_MAX);
	inside(c.account, in);
	inside(c.ticket, in);
	inside(c.salt, in);
	inside(c.signature, in);
	inside(c.reason, in);
	proto_put_checked(out, &c);
	return 0;
}

static const again kinds[] = {file, certificate, ticket_keys, pairs, check, checked};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first, second;
	again fn;

	if (size < 1)
		return 0;
	fn = kinds[data[0] % GW_ARRAY_LEN(kinds)];
	buf_init(&first, FRAME_MAX);
	buf_init(&second, FRAME_MAX);
	if (fn(span_of(data + 1, size - 1), &first) == 0) {
		MUST(!buf_failed(&first));
		MUST(fn(buf_view(&first), &second) == 0);
		MUST(span_eq(buf_view(&first), buf_view(&second)));
	}
	buf_fini(&first);
	buf_fini(&second);
	return 0;
}
