/*
 * RFC 2033 section 4.2: behind the end of a message LMTP has one reply for each recipient that was
 * taken, in the order of RCPT. Ours are alike, as the message is taken for all of them or for none.
 * A thousand replies do not fit into the output at once: they follow as the client reads.
 */
#include "smtp/server-private.h"

void server_repeat(struct server *s)
{
	if (s->repeat == 0)
		return;
	while (s->repeat > 0 && buf_len(&s->out) <= SERVER_OUT_HIGH) {
		size_t before = buf_len(&s->out);

		s->repeat--;
		buf_add_span(&s->out, buf_view(&s->late));
		if (buf_failed(&s->out))
			s->repeat = 0;
		server_settle(s, before);
	}
	if (s->repeat == 0)
		buf_fini(&s->late);
}

void server_say_late(struct server *s, uint32_t n)
{
	if (buf_failed(&s->late)) { /* half a reply is never sent */
		server_finish(s, "memory");
		return;
	}
	s->repeat = n;
	server_repeat(s);
}

void server_say_each(struct server *s, const struct reply *r)
{
	if (!s->config->lmtp || s->each < 2) {
		server_say(s, r);
		return;
	}
	buf_clear(&s->late);
	reply_format(r, s->config->extensions & EXT_BIT(ENHANCEDSTATUSCODES), &s->late);
	server_say_late(s, s->each);
}
