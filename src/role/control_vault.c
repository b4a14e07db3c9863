/* The channel to the vault: which certificates are in force. What it said last stays. */
#include "role/control.h"

#include "base/clock.h"
#include "base/json.h"

#include <unistd.h>

static void take_pairs(struct control *c, struct span in)
{
	struct cursor cur = cursor_of(in);
	struct proto_pair p;
	int more;

	while ((more = proto_get_pair(&cur, &p)) == 1)
		;
	if (more < 0) {
		ipc_end(c->vault, "bad_payload");
		return;
	}
	buf_clear(&c->pairs);
	buf_add_span(&c->pairs, in);
}

static void on_frame(void *arg, struct ipc *ipc, struct ipc_frame *f)
{
	(void)ipc;
	if (f->type == IPC_PAIRS)
		take_pairs(arg, f->payload);
}

static void on_closed(void *arg, struct ipc *ipc, const char *why)
{
	struct control *c = arg;

	(void)ipc;
	(void)why;
	ipc_free(&c->vault);
}

void control_vault_peer(struct control *c, int fd)
{
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = c};

	ipc_free(&c->vault); /* its end was not seen yet */
	c->vault = ipc_new(c->loop, fd, ROLE_CONTROL, ROLE_VAULT, 0, &owner);
}

static void put_pair(const struct control *c, const struct proto_pair *p, struct buf *out)
{
	static const char *const words[] = {
	    [PAIR_GOOD] = "good",
	    [PAIR_REFUSED] = "refused",
	    [PAIR_KEPT] = "kept",
	    [PAIR_SELF_SIGNED] = "self-signed",
	};

	json_open(out, NULL, '{');
	json_str(out, "state", words[p->state]);
	if (p->state != PAIR_SELF_SIGNED && p->index < c->config->n_tls)
		json_str(out, "file", c->config->tls[p->index].certificate);
	json_text(out, "names", p->names);
	if (p->not_after != 0)
		json_time(out, "expires", p->not_after * USEC_PER_SEC);
	if (p->reason.n > 0)
		json_text(out, "reason", p->reason);
	json_close(out, '}');
}

void control_put_pairs(const struct control *c, struct buf *out)
{
	struct cursor cur = cursor_of(buf_view(&c->pairs));
	struct proto_pair p;

	json_open(out, "certificates", '[');
	while (proto_get_pair(&cur, &p) == 1)
		put_pair(c, &p, out);
	json_close(out, ']');
}
