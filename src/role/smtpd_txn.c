/* One message on its way to the queue: addresses, header, content, COMMIT. */
#include "role/smtpd_auth.h"
#include "role/smtpd_handling.h"
#include "role/smtpd_limits.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rfc3339.h"
#include "base/utf8.h"
#include "flow/accept.h"
#include "mail/address.h"
#include "smtp/xtext.h"

#include <stdlib.h>

enum { ARENA_MAX = 1 << 20, ENVELOPE_MAX = 4 << 20, TRACE_MAX = 8192, LOGGED_MAX = 1024 };

static struct span canonical(struct transaction *t, const struct address *a)
{
	struct buf b;
	struct span s;

	buf_init(&b, 1024);
	address_canonical(a, &b);
	s = arena_dup(&t->arena, buf_view(&b));
	buf_fini(&b);
	return s;
}

/* The engine looked at it: it can be decoded. */
static struct span envid_of(struct transaction *t, struct span sent)
{
	struct buf b;
	struct span s = SPAN_NONE;

	buf_init(&b, XTEXT_ENVID_MAX);
	if (sent.n > 0 && xtext_decode(sent, &b) == 0)
		s = arena_dup(&t->arena, buf_view(&b));
	buf_fini(&b);
	return s;
}

struct transaction *txn_new(struct session *s, const struct server_event *mail)
{
	struct transaction *t = gw_calloc(1, sizeof(*t));
	const struct config *c = session_config(s);

	t->session = s;
	t->number = s->smtpd->next_txn++;
	t->id = smtpd_new_id(s->smtpd);
	arena_init(&t->arena, ARENA_MAX);
	buf_init_soft(&t->head, c->limits.header_size + SMTPD_IN_MAX);
	buf_init_soft(&t->rest, SMTPD_WHOLE_MAX + c->limits.header_size + SMTPD_IN_MAX);
	mime_scan_init(&t->mime, c->limits.mime_depth, c->limits.mime_parts);
	header_scan_init(&t->scan);
	t->window = SMTPD_PART_WINDOW;
	t->body_type = mail->body_type;
	t->from = canonical(t, &mail->address);
	t->envid = envid_of(t, mail->envid);
	t->ret = mail->ret;
	t->smtputf8 = mail->smtputf8;
	t->handling = mail->handling;
	if (mail->handling.by != BY_NONE)
		t->handling.by_at = clock_now() + mail->by_time * USEC_PER_SEC;
	map_init(&t->addresses, s->smtpd->txns.seed);
	map_put(&s->smtpd->txns, span_of(&t->number, sizeof(t->number)), t);
	return t;
}

static void abort_parts(struct transaction *t)
{
	struct smtpd *d = t->session->smtpd;
	struct span part = span_of(&t->number, sizeof(t->number));

	d->parts_in_flight -= SMTPD_PART_WINDOW - t->window;
	if (t->in_parts > 0 && !t->committed && d->queue.ipc != NULL)
		ipc_send(d->queue.ipc, IPC_ABORT, &part, 1, -1);
}

void txn_free(struct transaction **pt)
{
	struct transaction *t = *pt;

	if (t == NULL)
		return;
	abort_parts(t);
	map_del(&t->session->smtpd->txns, span_of(&t->number, sizeof(t->number)));
	arena_reset(&t->arena);
	txn_free_rcpts(t);
	txn_forget_content(t);
	free(t);
	*pt = NULL;
}

/* ---- the end of data ----------------------------------------------------------------------- */

/* What was announced as binary and is lines all the same can go everywhere as it is. */
static enum body_type body_type_of(const struct transaction *t, const struct body_facts *f)
{
	enum { LINE_OCTETS = 998 }; /* RFC 5322 section 2.1.1 */

	if (t->body_type != BODY_BINARYMIME || f->nul || f->bare_cr || f->bare_lf || f->open_end ||
	    f->longest_line > LINE_OCTETS)
		return t->body_type;
	return f->eight_bit ? BODY_8BITMIME : BODY_7BIT;
}

/* Is there anything that SMTPUTF8 was said for? */
static bool has_utf8(const struct transaction *t)
{
	bool has = utf8_beyond_ascii(buf_view(&t->head)) || utf8_beyond_ascii(t->from);

	for (size_t i = 0; i < t->n_rcpt && !has; i++)
		has = utf8_beyond_ascii(t->rcpt[i].addr) || utf8_beyond_ascii(t->rcpt[i].orcpt);
	return has;
}

static void put_envelope(const struct transaction *t, const struct body_facts *facts,
    size_t head_length, struct buf *out)
{
	const struct session *s = t->session;
	const struct login *who = s->login;
	struct accept_client client;
	struct buf held;
	struct envelope e = {.id = t->id,
	    .nonce = t->id,
	    .accepted = clock_now(),
	    .from = t->from,
	    .rcpt = t->rcpt,
	    .n_rcpt = t->n_rcpt,
	    .envid = t->envid,
	    .ret = t->ret,
	    .body_type = body_type_of(t, facts),
	    .smtputf8 = t->smtputf8 && has_utf8(t),
	    .at_most_once = t->at_most_once,
	    .handling = t->handling,
	    .priority = (uint8_t)t->priority,
	    .facts = *facts,
	    .account = session_account(s),
	    .ticket = who != NULL ? who->ticket : SPAN_NONE,
	    .origin = ORIGIN_SMTP,
	    .client_ip = span_str(s->ip),
	    .client_helo = buf_view(&s->helo),
	    .listener = span_str(s->conf->name),
	    .head_length = (uint32_t)head_length};

	session_client(s, &client);
	if (client.account != NULL)
		e.tenant = client.account->tenant;
	buf_init_soft(&held, ENVELOPE_MAX);
	txn_put_held(t, &held);
	e.held = buf_view(&held);
	envelope_encode(&e, out);
	out->failed = out->failed || buf_failed(&held);
	buf_fini(&held);
}

static bool send_commit(struct transaction *t, const struct body_facts *facts, struct span head)
{
	struct smtpd *d = t->session->smtpd;
	struct proto_commit m = {.txn = t->number, .head = head};
	struct buf envelope, frame;
	struct span part[2];
	bool sent;

	buf_init_soft(&envelope, ENVELOPE_MAX);
	buf_init_soft(&frame, IPC_COMMIT_MAX);
	put_envelope(t, facts, head.n, &envelope);
	m.envelope = buf_view(&envelope);
	proto_put_commit(&frame, &m);
	part[0] = buf_view(&frame);
	part[1] = buf_view(&t->rest);
	sent = !buf_failed(&envelope) && !buf_failed(&frame) &&
	       part[0].n + part[1].n <= IPC_COMMIT_MAX &&
	       ipc_send(d->queue.ipc, IPC_COMMIT, part, 2, -1) == 0;
	buf_fini(&envelope);
	buf_fini(&frame);
	return sent;
}

static bool commit(struct transaction *t, const struct body_facts *facts)
{
	struct buf head;
	bool sent;

	buf_init_soft(&head, buf_len(&t->head) + TRACE_MAX);
	txn_put_received(t, &head);
	buf_add_span(&head, buf_view(&t->head));
	if (t->headless)
		buf_add_str(&head, "\r\n");
	sent = !buf_failed(&head) && send_commit(t, facts, buf_view(&head));
	buf_fini(&head);
	return sent;
}

static struct span keep_value(struct transaction *t, struct span name)
{
	struct span value = header_get(buf_view(&t->head), name), kept;
	struct buf b;

	buf_init(&b, LOGGED_MAX);
	header_unfold(span_first(value, LOGGED_MAX), &b);
	kept = arena_dup(&t->arena, buf_view(&b));
	buf_fini(&b);
	return kept;
}

/* What the log is to show when the content is gone. */
static void keep_for_log(struct transaction *t)
{
	t->msgid = keep_value(t, SPAN("Message-ID"));
	if (session_config(t->session)->log_subject)
		t->subject = keep_value(t, SPAN("Subject"));
}

static void commit_unavailable(struct reply *r, const char **reason)
{
	*r = REPLY(451, 4, 3, 0, "The queue is not available; please try again");
	*reason = "queue_away";
}

/* Hands it over. False: it cannot be. */
static bool hand_over(struct transaction *t)
{
	if (t->session->smtpd->queue.ipc == NULL || !commit(t, &t->facts))
		return false;
	keep_for_log(t);
	t->waiting = false;
	t->committed = true;
	t->committed_at = loop_now(t->session->smtpd->loop);
	txn_forget_content(t);
	return true;
}

bool txn_end(
    struct transaction *t, const struct body_facts *facts, struct reply *r, const char **reason)
{
	struct smtpd *d = t->session->smtpd;
	const struct reply *refusal = smtpd_refusal(d);

	t->facts = *facts;
	txn_body_end(t);
	if (txn_check_content(t, r, reason) < 0)
		return false;
	txn_read_handling(t);
	txn_classify(t);
	if (t->n_rcpt == 0) {
		txn_all_dropped(t);
		return true;
	}
	if (t->in_parts == 0 && refusal != NULL) {
		*r = *refusal;
		*reason = "not_accepting";
		return false;
	}
	t->waiting = d->queue.ipc != NULL && ipc_full(d->queue.ipc);
	if (t->waiting || hand_over(t))
		return true;
	commit_unavailable(r, reason);
	return false;
}

/* It waited for the queue in vain. */
static void give_up(struct transaction *t)
{
	struct session *s = t->session;
	struct reply r;
	const char *reason;

	t->waiting = false;
	commit_unavailable(&r, &reason);
	session_log_reject(s, "eom", &r, reason, (struct place){0}, SPAN_NONE);
	session_answer(s, &r);
}

void txn_queue_drained(struct transaction *t)
{
	if (t->waiting && !ipc_full(t->session->smtpd->queue.ipc) && !hand_over(t))
		give_up(t);
}

/* ---- what the queue says ------------------------------------------------------------------- */

static void log_release(const struct transaction *t, struct logline *l)
{
	struct buf text;

	if (t->handling.hold_until == 0)
		return;
	buf_init(&text, 64);
	rfc3339_put(&text, t->handling.hold_until);
	log_text(l, "until", buf_view(&text));
	buf_fini(&text);
}

static void log_accepted(const struct transaction *t)
{
	const struct session *s = t->session;
	struct logline l;
	char id[MSGID_TEXT + 1], sid[MSGID_TEXT + 1];

	msgid_format(&t->id, id);
	msgid_format(&s->sid, sid);
	log_begin(&l, EV_ACCEPTED);
	log_str(&l, "id", id);
	log_str(&l, "sid", sid);
	log_str(&l, "listener", s->conf->name);
	log_str(&l, "ip", s->ip);
	log_number(&l, "size", (int64_t)s->engine.body.facts.size);
	log_number(&l, "rcpts", (int64_t)t->n_rcpt);
	txn_log_class(t, &l);
	log_release(t, &l);
	log_seconds(&l, "commit", loop_now(s->smtpd->loop) - t->committed_at);
	if (server_has_tls(&s->engine))
		log_str(&l, "tls", stream_tls_version(&s->io));
	txn_log_fixes(t, &l);
	if (s->identified != NULL && s->login == NULL)
		log_str(&l, "identified", s->identified->name);
	if (session_account(s).n > 0)
		log_text(&l, "login", session_account(s));
	log_text(&l, "from", t->from);
	log_text(&l, "to", t->rcpt[0].addr);
	log_text(&l, "msgid", t->msgid);
	if (session_config(t->session)->log_subject)
		log_text(&l, "subject", t->subject);
	log_end(&l);
}

/* Over a limit: which, and until when. */
static void refuse_limited(struct transaction *t, struct span why)
{
	struct session *s = t->session;
	struct verdict v;

	txn_limits_committed(t, why, &v);
	session_log_reject(s, "eom", &v.reply, v.reason, v.place, SPAN_NONE);
	session_answer(s, &v.reply);
}

void txn_committed(struct transaction *t, enum commit_status status, struct span why)
{
	struct session *s = t->session;
	struct reply ok = {250, {2, 0, 0}, SPAN_NONE};
	char text[MSGID_TEXT + 8] = "Ok ";

	if (status == COMMIT_LIMIT) {
		refuse_limited(t, why);
		return;
	}
	if (status == COMMIT_OK) {
		metric_add(METRIC_MESSAGES_RECEIVED, 1);
		metric_add(METRIC_RECEIVED_BYTES, (int64_t)s->engine.body.facts.size);
		log_accepted(t);
		txn_log_dropped(t);
		msgid_format(&t->id, text + 3);
		ok.text = span_str(text);
	} else if (status == COMMIT_FULL) {
		ok = REPLY(452, 4, 3, 1, "No room for this message now; please try again later");
	} else {
		ok = REPLY(451, 4, 3, 0, "The message could not be stored; please try again");
	}
	if (status != COMMIT_OK)
		session_log_reject(s, "eom", &ok, status == COMMIT_FULL ? "no_space" : "not_stored",
		    (struct place){0}, SPAN_NONE);
	session_answer(s, &ok);
}

void txn_queue_changed(struct transaction *t)
{
	struct smtpd *d = t->session->smtpd;
	struct span part[2] = {span_of(&t->number, sizeof(t->number)), msgid_span(&t->id)};

	if (t->committed) {
		if (ipc_send(d->queue.ipc, IPC_ASK, part, 2, -1) < 0)
			session_abandon(t->session);
		return;
	}
	if (t->in_parts > 0) {
		t->parts_failed = true;
		t->status = GW_EIO;
	}
	txn_credit(t, SMTPD_PART_WINDOW, COMMIT_OK);
}

void txn_queue_gone(struct transaction *t)
{
	if (t->waiting) {
		give_up(t);
		return;
	}
	if (t->in_parts > 0 && !t->committed) {
		t->parts_failed = true;
		t->status = GW_EIO;
		txn_send_parts(t);
	}
}
