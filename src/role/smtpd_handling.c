#include "role/smtpd_handling.h"

#include "flow/priority.h"
#include "mail/mt_priority.h"
#include "mail/tls_required.h"

static bool may_relay(const struct transaction *t)
{
	struct accept_client client;

	session_client(t->session, &client);
	return accept_may_relay(&client);
}

/* RFC 6710 section 4: the priority that this client may have; true if it is another one. */
static bool lower_priority(struct transaction *t)
{
	unsigned said = t->handling.mt_priority;

	t->handling.mt_priority = priority_granted(said, may_relay(t));
	return t->handling.mt_priority != said;
}

struct reply txn_grant(struct transaction *t)
{
	if (lower_priority(t))
		return REPLY(250, 2, 3, 6, "0 is the new priority: log in to have a higher one");
	return REPLY(250, 2, 1, 0, "Ok");
}

void txn_read_handling(struct transaction *t)
{
	/* RFC 6758 section 3.1: where MAIL said none, and of a client that is trusted. */
	if (t->handling.mt_priority == 0 && may_relay(t))
		t->handling.mt_priority = mt_priority_said(buf_view(&t->head));
	/* RFC 8689 section 3: REQUIRETLS goes before it. */
	t->handling.tls_optional = !t->handling.require_tls && tls_required_no(buf_view(&t->head));
}
