/* The class of a message: how it stands among others when they all want to go (flow/turns.h). */
#include "role/smtpd.h"

#include "flow/priority.h"

void txn_classify(struct transaction *t)
{
	const struct session *s = t->session;
	struct accept_client client;

	session_client(s, &client);
	t->priority = priority_of(
	    s->conf->priority, accept_may_relay(&client), &t->handling, buf_view(&t->head));
}

void txn_log_class(const struct transaction *t, struct logline *l)
{
	log_str(l, "class", priority_word(t->priority));
}
