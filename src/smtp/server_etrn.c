/* ETRN, RFC 1985. */
#include "smtp/server-private.h"

void server_run_etrn(struct server *s, struct span args)
{
	struct server_event ev = {.type = SERVER_ETRN};

	if (!(s->config->extensions & EXT_BIT(ETRN)))
		server_refuse(
		    s, &REPLY(502, 5, 5, 1, "ETRN is not offered here"), "etrn", "not_offered");
	else if (etrn_parse(args, &ev.etrn, &ev.name) < 0)
		server_refuse(s,
		    &REPLY(501, 5, 5, 4, "ETRN takes a domain, @ and a domain, or # and a name"),
		    "etrn", "bad_argument");
	else
		*server_ask(s, SERVER_ETRN) = ev;
}

/* What set the queue going is no offence, nor is it progress of a message: who only asks again and
 * again is sent away. */
void server_answer_etrn(struct server *s, const struct reply *r)
{
	server_say(s, r);
	if (r->code != 250 && r->code != 253)
		s->bad++;
}
