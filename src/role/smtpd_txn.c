/* One message on its way to the queue: addresses, header, content, COMMIT. */
#include "role/smtpd_auth.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/accept.h"
#include "mail/address.h"

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

struct transaction *txn_new(struct session *s, const struct server_event *mail)
{
	struct transaction *t = gw_calloc(1, sizeof(*t));
	const struct config *c = s->smtpd->config;

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

static int check_class(struct transaction *t, struct reply *r, const char **reason)
{
	struct accept_client client;
	struct verdict v;

	session_client(t->session, &client);
	if (accept_class(&client, buf_view(&t->head), &t->at_most_once, &v) == 0)
		return 0;
	*r = v.reply;
	*reason = v.reason;
	return GW_EFORMAT;
}

/* The text of a refusal is the transaction's. */
static int check_from(struct transaction *t, struct reply *r, const char **reason)
{
	struct accept_client client;
	struct verdict v;

	session_client(t->session, &client);
	accept_from(t->session->smtpd->config, &client, buf_view(&t->head), &v);
	if (v.ok)
		return 0;
	*r = v.reply;
	r->text = arena_dup(&t->arena, v.reply.text);
	*reason = v.reason;
	return GW_EPERM;
}

/* What nobody's mail client makes. */
static int check_structure(const struct transaction *t, struct reply *r, const char **reason)
{
	uint32_t hops = t->session->smtpd->config->limits.hops;

	if (header_count(buf_view(&t->head), SPAN("Received")) >= hops) {
		*r = REPLY(554, 5, 4, 6, "Too many hops: this message is going in circles");
		*reason = "mail_loop";
	} else if (t->mime.verdict == MIME_TOO_DEEP) {
		*r = REPLY(554, 5, 6, 0, "The MIME parts of this message nest too deep");
		*reason = "mime_too_deep";
	} else if (t->mime.verdict == MIME_TOO_MANY) {
		*r = REPLY(554, 5, 6, 0, "This message has too many MIME parts");
		*reason = "mime_too_many";
	} else {
		return 0;
	}
	return GW_EFORMAT;
}

static int check_content(struct transaction *t, struct reply *r, const char **reason)
{
	if (t->too_big_header) {
		*r = REPLY(552, 5, 3, 4, "The header of this message is too large");
		*reason = "header_too_large";
		return GW_EFULL;
	}
	if (t->parts_failed && t->status == GW_ENOSPC) {
		*r = REPLY(452, 4, 3, 1, "No room for this message now; please try again later");
		*reason = "no_space";
		return GW_ENOSPC;
	}
	if (t->parts_failed) {
		*r = REPLY(451, 4, 3, 0, "The message could not be stored; please try again");
		*reason = "not_stored";
		return GW_EIO;
	}
	if (check_structure(t, r, reason) < 0 || check_class(t, r, reason) < 0)
		return GW_EFORMAT;
	/* From is judged as it goes out. */
	return txn_mend(t, r, reason) < 0 ? GW_EFORMAT : check_from(t, r, reason);
}

static void put_envelope(const struct transaction *t, const struct body_facts *facts,
    size_t head_length, struct buf *out)
{
	const struct session *s = t->session;
	const struct login *who = s->login;
	struct buf held;
	struct envelope e = {.id = t->id,
	    .nonce = t->id,
	    .accepted = clock_now(),
	    .from = t->from,
	    .rcpt = t->rcpt,
	    .n_rcpt = t->n_rcpt,
	    .body_type = t->body_type,
	    .at_most_once = t->at_most_once,
	    .facts = *facts,
	    .account = who != NULL ? who->account : SPAN_NONE,
	    .ticket = who != NULL ? who->ticket : SPAN_NONE,
	    .origin = ORIGIN_SMTP,
	    .client_ip = span_str(s->ip),
	    .client_helo = buf_view(&s->helo),
	    .listener = span_str(s->conf->name),
	    .head_length = (uint32_t)head_length};

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
	if (t->session->smtpd->config->log_subject)
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
	if (check_content(t, r, reason) < 0)
		return false;
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
	log_seconds(&l, "commit", loop_now(s->smtpd->loop) - t->committed_at);
	if (server_has_tls(&s->engine))
		log_str(&l, "tls", stream_tls_version(&s->io));
	txn_log_fixes(t, &l);
	if (s->login != NULL)
		log_text(&l, "login", s->login->account);
	log_text(&l, "from", t->from);
	log_text(&l, "to", t->rcpt[0].addr);
	log_text(&l, "msgid", t->msgid);
	if (t->session->smtpd->config->log_subject)
		log_text(&l, "subject", t->subject);
	log_end(&l);
}

void txn_committed(struct transaction *t, enum commit_status status)
{
	struct session *s = t->session;
	struct reply ok = {250, {2, 0, 0}, SPAN_NONE};
	char text[MSGID_TEXT + 8] = "Ok ";

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
