/* A customer's connection: one end of a pair of sockets, whose other end its receiver has. */
#include "role/sender.h"

#include "role/proto_turn.h"

#include <unistd.h>

/* A customer that wants its mail has its greeting at hand. */
#define GREETING_PATIENCE INT64_C(60000000)

int turn_given(struct sender *s, const struct ipc_frame *f)
{
	static const struct proto_target pair = {
	    .kind = TARGET_ODMR, .path = SPAN("odmr"), .tls = TLS_DEMAND_NONE};
	struct proto_given g;
	struct conn *c;

	if (proto_get_given(f->payload, &g) < 0 || g.number == 0 || conn_find(s, g.number)) {
		close(f->fd);
		return GW_EFORMAT;
	}
	c = conn_make(s, g.number, &pair);
	c->most = UINT32_MAX;
	if (c->config.t_greeting > GREETING_PATIENCE)
		c->config.t_greeting = GREETING_PATIENCE;
	span_to_cstr(g.peer, c->peer.text, sizeof(c->peer.text));
	conn_speaks(c, f->fd, &pair);
	return 0;
}
