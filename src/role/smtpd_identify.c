/* Which account is a host that says EHLO (flow/identify.h): looked at then, as the name is known
 * then. */
#include "role/smtpd_etrn.h"

#include "base/clock.h"

struct identify_ask session_ask(const struct session *s)
{
	bool unknown = s->nameless || s->conf->kind == LISTEN_LMTP;

	return (struct identify_ask){.addr = unknown ? NULL : (const struct sockaddr *)&s->addr,
	    .helo = buf_view(&s->helo),
	    .dns = (enum identify_dns)s->name_dns};
}

static void settle(struct session *s)
{
	struct identify_ask a = session_ask(s);

	s->identified = identify_find(session_config(s), &a);
	server_grant(&s->engine, etrn_granted(s));
	session_say(s, &REPLY(250, 0, 0, 0, "Ok"));
}

static void settle_later(struct session *s, enum identify_dns dns)
{
	session_waited(s);
	s->name_question = 0;
	s->name_dns = (uint8_t)dns;
	settle(s);
	session_resume(s);
}

static void answered(void *arg, const struct dns_answer *answer)
{
	struct session *s = arg;

	settle_later(s, identify_judge(answer, (const struct sockaddr *)&s->addr));
}

static void late(struct session *s)
{
	dns_cancel(&s->smtpd->dns, s->name_question);
	settle_later(s, IDENTIFY_TROUBLE);
}

static void forget(struct session *s)
{
	dns_cancel(&s->smtpd->dns, s->name_question);
	session_waited(s);
}

void session_identify(struct session *s)
{
	struct smtpd *d = s->smtpd;
	struct waiting w = {.until = loop_now(d->loop) + SMTPD_DNS_PATIENCE * USEC_PER_SEC,
	    .late = late,
	    .forget = forget};
	struct identify_ask a;
	enum dns_type type;

	s->identified = NULL;
	s->name_dns = IDENTIFY_UNASKED;
	a = session_ask(s);
	if (!identify_asks_dns(session_config(s), &a, &type)) {
		settle(s);
		return;
	}
	session_wait(s, &w);
	s->name_question = dns_ask(&d->dns, type, a.helo, answered, s);
}

struct span session_account(const struct session *s)
{
	struct accept_client client;

	session_client(s, &client);
	return client.login;
}
