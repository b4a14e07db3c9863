/* The trace field of a message, from what is known of its session. */
#include "role/smtpd.h"

#include "base/clock.h"
#include "mail/received.h"

void txn_put_received(const struct transaction *t, struct buf *out)
{
	const struct session *s = t->session;
	struct received r = {.helo = buf_view(&s->helo),
	    .ip = span_str(s->ip),
	    .hostname = span_str(session_config(s)->hostname),
	    .esmtp = s->proto == PROTO_HERE ? s->engine.esmtp : s->proto == PROTO_ESMTP,
	    .lmtp = s->conf->kind == LISTEN_LMTP,
	    .smtputf8 = t->smtputf8,
	    .authenticated = server_is_authenticated(&s->engine),
	    .tls_version = span_str(stream_tls_version(&s->io)),
	    .tls_cipher = span_str(stream_tls_cipher(&s->io)),
	    .id = t->id,
	    .handling = &t->handling,
	    .wall = clock_wall()};

	/* The recipients of a message are nobody's business but their own. */
	r.only_rcpt = txn_only_rcpt(t);
	received_put(&r, out);
}
