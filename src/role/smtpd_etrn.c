#include "role/smtpd_etrn.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT = 512 };

/* The queue was asked. */
struct order {
	struct session *session;
	uint64_t request;
	char node[ETRN_TEXT_MAX];
};

/* ---- log ---------------------------------------------------------------------------------------
 */

static void log_etrn(const struct session *s, const struct reply *r, struct span node)
{
	struct logline l;
	char sid[MSGID_TEXT + 1];

	msgid_format(&s->sid, sid);
	log_begin(&l, EV_ETRN);
	log_str(&l, "sid", sid);
	log_str(&l, "listener", s->conf->name);
	log_str(&l, "ip", s->ip);
	log_text(&l, "node", node);
	log_number(&l, "code", r->code);
	log_text(&l, "reply", r->text);
	log_end(&l);
	metric_add(METRIC_ETRN, 1);
}

/* ---- orders ------------------------------------------------------------------------------------
 */

static void order_free(struct order *o)
{
	map_del(&o->session->smtpd->etrns, span_of(&o->request, sizeof(o->request)));
	free(o);
}

/* The session may be gone behind it. */
static void say(struct order *o, struct reply r, const char *text, int n)
{
	struct session *s = o->session;

	r.text = span_of(text, n < TEXT ? (size_t)n : TEXT - 1);
	log_etrn(s, &r, span_str(o->node));
	order_free(o);
	session_waited(s);
	session_answer(s, &r);
}

static void not_now(struct order *o, const char *why)
{
	char text[TEXT];

	say(o, REPLY(458, 4, 3, 0, ""), text,
	    snprintf(text, TEXT, "Unable to queue messages for node %s: %s", o->node, why));
}

static void late(struct session *s)
{
	not_now(s->waiting.what, "the queue does not answer now");
}

static void forget(struct session *s)
{
	order_free(s->waiting.what);
}

static struct order *order_new(struct session *s, const struct server_event *ev)
{
	struct waiting w = {
	    .until = loop_now(s->smtpd->loop) + ETRN_PATIENCE, .late = late, .forget = forget};
	struct order *o = gw_calloc(1, sizeof(*o));

	o->session = s;
	o->request = ++s->smtpd->next_etrn;
	etrn_text(ev->etrn, ev->name, o->node);
	map_put(&s->smtpd->etrns, span_of(&o->request, sizeof(o->request)), o);
	w.what = o;
	session_wait(s, &w);
	return o;
}

static int order_send(const struct order *o, struct ipc *queue, const struct etrn_ask *q)
{
	struct proto_etrn p = {.request = o->request, .kind = (uint8_t)q->kind, .name = q->name};
	struct span part;
	struct buf frame;
	int err;

	buf_init(&frame, ipc_rows[IPC_ETRN].max);
	proto_put_etrn(&frame, &p);
	part = buf_view(&frame);
	err = ipc_send(queue, IPC_ETRN, &part, 1, -1);
	buf_fini(&frame);
	return err;
}

/* ---- the client --------------------------------------------------------------------------------
 */

uint32_t etrn_granted(const struct session *s)
{
	struct accept_client client;

	session_client(s, &client);
	return accept_etrn_any(session_config(s), &client, (const struct sockaddr *)&s->addr)
		   ? EXT_BIT(ETRN)
		   : 0;
}

static void order(struct session *s, const struct server_event *ev, const struct etrn_ask *q)
{
	struct smtpd *d = s->smtpd;
	struct order *o = order_new(s, ev);

	if (d->queue.ipc == NULL || !d->has_queue)
		not_now(o, "the queue is being restarted");
	else if (order_send(o, d->queue.ipc, q) < 0)
		not_now(o, "too many ask at once");
}

void etrn_event(struct session *s, const struct server_event *ev)
{
	char node[ETRN_TEXT_MAX];
	struct etrn_ask q = {.kind = ev->etrn};
	struct accept_client client;
	struct verdict v;

	q.name = span_skip(span_str(etrn_text(ev->etrn, ev->name, node)), ev->etrn != ETRN_NODE);
	session_client(s, &client);
	accept_etrn(session_config(s), &client, (const struct sockaddr *)&s->addr, &q, &v);
	if (v.ok) {
		order(s, ev, &q);
		return;
	}
	session_log_reject(s, "etrn", &v.reply, v.reason, v.place, SPAN_NONE);
	session_say(s, &v.reply);
}

/* ---- the queue --------------------------------------------------------------------------------
 */

/* Words of an operator, or of another host: printable ASCII, whatever they are. */
static void clean(struct span why, char *to, size_t n)
{
	span_to_cstr(why, to, n);
	for (; *to != '\0'; to++) {
		if (*to < ' ' || *to > '~')
			*to = '?';
	}
}

static void paused(struct order *o, struct span why)
{
	char words[200], text[TEXT];

	clean(why, words, sizeof(words));
	snprintf(text, TEXT, "paused (%s)", words);
	not_now(o, text);
}

static void tell(struct order *o, const struct proto_etrn_answer *a)
{
	char text[TEXT];

	switch (a->status) {
	case ETRN_STARTED:
		say(o, REPLY(250, 2, 0, 0, ""), text,
		    snprintf(text, TEXT, "OK, queuing for node %s started", o->node));
		break;
	case ETRN_EMPTY:
		say(o, REPLY(251, 2, 0, 0, ""), text,
		    snprintf(text, TEXT, "OK, no messages waiting for node %s", o->node));
		break;
	case ETRN_RUNNING:
		say(o, REPLY(252, 2, 0, 0, ""), text,
		    snprintf(text, TEXT, "OK, pending messages for node %s started a moment ago",
			o->node));
		break;
	case ETRN_COUNTED:
		say(o, REPLY(253, 2, 0, 0, ""), text,
		    snprintf(text, TEXT, "OK, %u pending messages for node %s started", a->messages,
			o->node));
		break;
	case ETRN_PAUSED: paused(o, a->why); break;
	default: not_now(o, "too many ask at once");
	}
}

int etrn_answered(struct smtpd *d, struct span payload)
{
	struct proto_etrn_answer a;
	struct order *o;

	if (proto_get_etrn_answer(payload, &a) < 0 || a.status > ETRN_STATUS_MAX)
		return GW_EFORMAT;
	o = map_get(&d->etrns, span_of(&a.request, sizeof(a.request)));
	if (o != NULL)
		tell(o, &a);
	return 0;
}

void etrn_queue_gone(struct smtpd *d)
{
	struct order *o;
	size_t at = 0;

	/* From the start again: a session may have more to ask, and is answered at once. */
	for (; (o = map_next(&d->etrns, &at)) != NULL; at = 0)
		not_now(o, "the queue is being restarted");
}
