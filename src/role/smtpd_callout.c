#include "role/smtpd_callout.h"

#include "base/clock.h"
#include "role/proto_callout.h"

#include <stdlib.h>

enum { FRAME = 2048, GRACE = USEC_PER_SEC / 2 };

/* A channel to a sender. */
struct callout_link {
	struct smtpd *smtpd;
	struct ipc *ipc; /* NULL: not there now */
};

struct callouts {
	struct callout_link sender[WORKERS_MAX];
	unsigned n_sender;
	struct map open; /* struct asked_one by request */
	uint64_t last;
};

/* ---- answers --------------------------------------------------------------------------------- */

/* The last one was answered, or it is late: the recipient is judged by what is known. */
static void settle(struct asked *a)
{
	struct session *s = a->session;
	struct kept_event *e = a->event;

	a->event = NULL;
	session_waited(s);
	session_rcpt_again(s, &e->event, a);
	kept_event_free(&e);
	session_resume(s);
}

static void close_one(struct asked_one *one, enum elsewhere answer)
{
	struct asked *a = one->asked;

	map_del(&a->session->smtpd->callouts->open, span_of(&one->request, sizeof(one->request)));
	one->request = 0;
	one->answer = answer;
	a->n_open--;
}

static enum elsewhere meaning(unsigned called)
{
	switch (called) {
	case CALLED_KNOWN: return ELSEWHERE_KNOWN;
	case CALLED_UNKNOWN: return ELSEWHERE_UNKNOWN;
	case CALLED_BUSY: return ELSEWHERE_BUSY;
	default: return ELSEWHERE_AWAY;
	}
}

int callout_called(struct smtpd *d, struct span payload)
{
	struct asked_one *one;
	struct proto_called c;

	if (proto_get_called(payload, &c) < 0)
		return GW_EFORMAT;
	one = map_get(&d->callouts->open, span_of(&c.request, sizeof(c.request)));
	if (one == NULL)
		return 0; /* its session is gone, or did not wait */
	close_one(one, meaning(c.called));
	if (one->asked->n_open == 0)
		settle(one->asked);
	return 0;
}

static void late(struct session *s)
{
	struct asked *a = s->waiting.what;
	struct asked_one *one;

	TAILQ_FOREACH(one, &a->all, link)
	{
		if (one->request != 0)
			close_one(one, ELSEWHERE_AWAY);
	}
	settle(a);
}

static void forget(struct session *s)
{
	struct asked *a = s->waiting.what;

	session_waited(s);
	asked_free(&a);
}

/* ---- channels -------------------------------------------------------------------------------- */

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct callout_link *l = arg;

	if (f->type == IPC_CALLED && callout_called(l->smtpd, f->payload) < 0)
		ipc_end(c, "bad_payload");
}

/* What it was asked is late in time. */
static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct callout_link *l = arg;

	(void)c;
	(void)why;
	ipc_free(&l->ipc);
}

void callout_sender_peer(struct smtpd *d, unsigned index, int fd)
{
	struct callout_link *l;
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed};

	gw_assert(index < WORKERS_MAX);
	l = &d->callouts->sender[index];
	owner.arg = l;
	if (l->ipc != NULL) /* its end was not seen yet */
		ipc_free(&l->ipc);
	l->ipc = ipc_new(d->loop, fd, ROLE_SMTPD, ROLE_SENDER, index, &owner);
	if (index >= d->callouts->n_sender)
		d->callouts->n_sender = index + 1;
}

void callout_start(struct smtpd *d, uint64_t seed)
{
	d->callouts = gw_calloc(1, sizeof(*d->callouts));
	map_init(&d->callouts->open, seed);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		d->callouts->sender[i].smtpd = d;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The same for all receivers: FNV-1a of where it is. */
static unsigned target_hash(const struct endpoint *at)
{
	const char *s = at->unix_path != NULL ? at->unix_path : at->host;
	uint32_t h = 2166136261u ^ at->port;

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h;
}

static struct ipc *channel_to(struct smtpd *d, const struct domain *domain)
{
	struct callouts *c = d->callouts;

	if (domain->recipients == RECIPIENTS_DOVECOT)
		return d->vault;
	return c->n_sender > 0 ? c->sender[target_hash(&domain->lookup->at) % c->n_sender].ipc
			       : NULL;
}

/* Whose guesses are limited. Not those of hosts of ours, which bring mail for many (by LMTP their
 * trust is no right to relay); whom a proxy cannot name is one client with all others of those. */
static void client_ip(const struct session *s, uint8_t ip[16])
{
	static const uint8_t unnamed[16] = {[10] = 0xff, [11] = 0xff};
	struct accept_client client;

	session_client(s, &client);
	if (accept_may_relay(&client) || s->trust != NULL || s->addr.ss_family == AF_UNIX)
		memset(ip, 0, 16);
	else
		memcpy(ip, s->nameless ? unnamed : s->from.b, 16);
}

static bool send_callout(struct asked_one *one, struct ipc *ipc, const struct domain *domain)
{
	struct proto_callout c = {
	    .request = one->request, .domain = span_str(domain->name), .address = one->addr};
	struct span part;
	struct buf b;
	bool sent;

	client_ip(one->asked->session, c.ip);
	buf_init(&b, FRAME);
	proto_put_callout(&b, &c);
	part = buf_view(&b);
	sent = !buf_failed(&b) && ipc_send(ipc, IPC_CALLOUT, &part, 1, -1) == 0;
	buf_fini(&b);
	return sent;
}

static void put(struct asked_one *one, const struct domain *domain)
{
	struct asked *a = one->asked;
	struct smtpd *d = a->session->smtpd;
	struct ipc *ipc = channel_to(d, domain);
	int64_t until = loop_now(d->loop) + domain->lookup->timeout + GRACE;

	one->request = ++d->callouts->last;
	if (ipc == NULL || !send_callout(one, ipc, domain)) {
		one->request = 0;
		one->answer = ELSEWHERE_AWAY;
		return;
	}
	one->answer = ELSEWHERE_ASK;
	map_put(&d->callouts->open, span_of(&one->request, sizeof(one->request)), one);
	a->n_open++;
	a->until = until > a->until ? until : a->until;
}

enum elsewhere callout_oracle(void *arg, const struct domain *d, struct span addr)
{
	struct asked *a = arg;
	struct asked_one *one;

	TAILQ_FOREACH(one, &a->all, link)
	{
		if (span_eq(one->addr, addr))
			return one->answer;
	}
	if (a->n == ASKED_MAX || a->rounds == ASKED_ROUNDS || addr.n > CALLOUT_ADDRESS_MAX)
		return ELSEWHERE_AWAY;
	one = gw_calloc(1, sizeof(*one) + addr.n);
	memcpy(one->bytes, addr.p, addr.n);
	one->addr = span_of(one->bytes, addr.n);
	one->asked = a;
	TAILQ_INSERT_TAIL(&a->all, one, link);
	a->n++;
	put(one, d);
	return one->answer;
}

struct asked *asked_new(struct session *s)
{
	struct asked *a = gw_calloc(1, sizeof(*a));

	a->session = s;
	TAILQ_INIT(&a->all);
	return a;
}

void asked_free(struct asked **pa)
{
	struct asked *a = *pa;
	struct asked_one *one;

	if (a == NULL)
		return;
	while ((one = TAILQ_FIRST(&a->all)) != NULL) {
		if (one->request != 0)
			close_one(one, ELSEWHERE_AWAY);
		TAILQ_REMOVE(&a->all, one, link);
		free(one);
	}
	kept_event_free(&a->event);
	free(a);
	*pa = NULL;
}

void asked_wait(struct asked *a, const struct server_event *ev)
{
	struct waiting w = {.until = a->until, .late = late, .forget = forget, .what = a};

	gw_assert(a->n_open > 0);
	a->rounds++;
	a->event = kept_event_of(ev);
	session_wait(a->session, &w);
}
