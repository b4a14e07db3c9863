/* The domains of senders and recipients, asked of DNS. */
#include "role/smtpd_lookup.h"

#include "base/clock.h"
#include "flow/domain_check.h"
#include "role/smtpd_event.h"

#include <stdlib.h>

enum { DOMAIN_PATIENCE = 2 * SMTPD_DNS_PATIENCE }; /* of all questions: MX, A, AAAA */

struct domain_lookup {
	struct session *session;
	struct kept_event *event;
	struct domain_check check;
	bool sender;
	uint64_t question;
	lookup_next *next;
};

static void drop(struct domain_lookup *k)
{
	dns_cancel(&k->session->smtpd->dns, k->question);
	session_waited(k->session);
	kept_event_free(&k->event);
	free(k);
}

static void refuse(
    struct session *s, const struct server_event *ev, bool sender, enum domain_verdict verdict)
{
	struct verdict v = {.place = s->conf->place};

	v.reply = domain_check_reply(
	    verdict, sender, ev->address.domain, v.text, sizeof(v.text), &v.reason);
	if (sender)
		session_log_reject(s, "mail", &v.reply, v.reason, v.place, SPAN_NONE);
	else
		session_log_rcpt(s, ev, &v);
	session_say(s, &v.reply);
}

/* Whatever came of it; k is gone then, and the session may be. */
static void settle(struct domain_lookup *k)
{
	struct session *s = k->session;
	struct kept_event *e = k->event;
	enum domain_verdict verdict = k->check.verdict;
	lookup_next *next = k->next;
	bool sender = k->sender;

	k->event = NULL;
	drop(k);
	if (verdict == DOMAIN_ASK || verdict == DOMAIN_GOOD)
		next(s, &e->event);
	else
		refuse(s, &e->event, sender, verdict);
	kept_event_free(&e);
	session_resume(s);
}

static void ask(struct domain_lookup *k);

static void answered(void *arg, const struct dns_answer *a)
{
	struct domain_lookup *k = arg;

	k->question = 0;
	domain_check_answer(&k->check, a);
	if (k->check.verdict == DOMAIN_ASK)
		ask(k);
	else
		settle(k);
}

static void ask(struct domain_lookup *k)
{
	k->question = dns_ask(
	    &k->session->smtpd->dns, k->check.next, k->event->event.address.domain, answered, k);
}

static void late(struct session *s)
{
	settle(s->waiting.what);
}

static void forget(struct session *s)
{
	drop(s->waiting.what);
}

void lookup_domain(struct session *s, const struct server_event *ev, bool sender, lookup_next *next)
{
	struct domain_lookup *k;
	struct waiting w = {.until = loop_now(s->smtpd->loop) + DOMAIN_PATIENCE * USEC_PER_SEC,
	    .late = late,
	    .forget = forget};

	if (ev->address.kind != ADDRESS_DOMAIN) {
		next(s, ev);
		return;
	}
	k = gw_calloc(1, sizeof(*k));
	*k = (struct domain_lookup){.session = s,
	    .event = kept_event_of(ev),
	    .check = domain_check_begin(),
	    .sender = sender,
	    .next = next};
	w.what = k;
	session_wait(s, &w);
	ask(k);
}
