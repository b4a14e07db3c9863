/* Receivers: transactions of clients, with parts and without. */
#include "sim/peers-private.h"

#include "sim/faults.h"
#include "sim/people.h"
#include "sim/tally.h"
#include "sim/trace.h"

#include <stdlib.h>

enum {
	WINDOW = 1 << 20,
	PART = 16 << 10,
	PART_SMALL = 1500,
	WHOLE = 40 << 10,
	STORED_MAX = 1 << 20
};

/* Without an answer for so long a client is cut off (role/smtpd.h). */
#define VERDICT_MAX INT64_C(60000000)

static struct txn *txn_find(struct receiver *r, uint64_t number)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->txn[i].number == number)
			return &r->txn[i];
	}
	return NULL;
}

static void txn_end(struct receiver *r, struct txn *t)
{
	*t = r->txn[--r->n];
}

static void answer(struct world *w, struct receiver *r, struct txn *t, bool ok)
{
	sim_note("receiver %u: mail %d is %s", r->number, t->mail->index, ok ? "taken" : "refused");
	book_answered(&w->book, t->mail, ok);
	txn_end(r, t);
}

/* ---- what the queue says ------------------------------------------------------------------ */

static void push(struct receiver *r, struct receiver_frame f)
{
	if (r->n_frame == r->cap_frame) {
		r->cap_frame = r->cap_frame ? 2 * r->cap_frame : 16;
		r->frame = gw_realloc(r->frame, r->cap_frame * sizeof(*r->frame));
	}
	r->frame[r->n_frame++] = f;
}

static struct receiver *by_number(struct world *w, unsigned number)
{
	for (int i = 0; i < RECEIVERS; i++) {
		struct receiver *r = &w->peers->receiver[i];

		if (r->connected && r->number == number)
			return r;
	}
	return NULL;
}

void peers_committed(struct world *w, const struct broker_effect *e)
{
	struct receiver *r = by_number(w, e->peer);
	struct txn *t = r != NULL ? txn_find(r, e->number) : NULL;

	if (e->status == 3 && t != NULL)
		tally_refused(w, t->mail);
	if (e->status != 0 && t != NULL)
		tally_failed(t->mail);
	if (r != NULL)
		push(r, (struct receiver_frame){.txn = e->number, .status = e->status});
}

void peers_credit(struct world *w, const struct broker_effect *e)
{
	struct receiver *r = by_number(w, e->peer);
	struct receiver_frame f = {
	    .credit = true, .txn = e->number, .status = e->status, .octets = e->octets};

	if (r != NULL)
		push(r, f);
}

void peers_early(struct world *w, const struct msgid *id)
{
	for (int i = 0; i < RECEIVERS; i++) {
		struct receiver *r = &w->peers->receiver[i];

		for (size_t k = 0; k < r->n; k++) {
			if (msgid_eq(&r->txn[k].mail->id, id)) {
				answer(w, r, &r->txn[k], true);
				return;
			}
		}
	}
}

static void take_frame(struct world *w, struct receiver *r, struct receiver_frame f)
{
	struct txn *t = txn_find(r, f.txn);

	if (t == NULL)
		return;
	if (!f.credit) {
		if (!t->committed)
			sim_fail("mail %d: answered before it was committed", t->mail->index);
		answer(w, r, t, f.status == 0);
		return;
	}
	if (t->window + f.octets > WINDOW)
		sim_fail("mail %d: more credit than was used", t->mail->index);
	t->window += f.octets;
	if (f.status != 0)
		t->failed = true;
}

static void read_frames(struct world *w, struct receiver *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		take_frame(w, r, r->frame[i]);
	r->n_frame -= n;
	r->sent -= n;
	if (r->n_frame > 0)
		memmove(r->frame, r->frame + n, r->n_frame * sizeof(*r->frame));
}

bool peers_told(const struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++) {
		const struct receiver *r = &w->peers->receiver[i];

		if (r->connected && r->sent < r->n_frame)
			return false;
	}
	return true;
}

bool peers_may_ask(const struct world *w)
{
	for (int i = 0; i < RECEIVERS; i++) {
		const struct receiver *r = &w->peers->receiver[i];

		for (size_t k = 0; k < r->n; k++) {
			if (r->txn[k].committed)
				return true;
		}
	}
	return false;
}

/* ---- transactions ------------------------------------------------------------------------- */

static void begin(struct world *w, struct receiver *r)
{
	struct mail *m = book_new(&w->book, &w->rng, w->now);
	struct txn *t = &r->txn[r->n++];
	size_t body = m->size - m->head_n;

	*t = (struct txn){.mail = m, .number = r->next_txn++, .window = WINDOW};
	if (body > WHOLE)
		t->parts = body - (size_t)sim_below(&w->rng, WHOLE);
	else if (body > 0 && sim_once_in(&w->rng, 10))
		t->parts = (size_t)sim_below(&w->rng, body + 1);
	sim_note("receiver %u: mail %d begins, %zu octets, %zu in parts, %zu recipients", r->number,
	    m->index, m->size, t->parts, m->n_rcpt);
}

static void send_part(struct world *w, struct receiver *r, struct txn *t)
{
	size_t n = 1 + (size_t)sim_below(&w->rng, w->book.small ? PART_SMALL : PART);

	if (n > t->parts - t->sent)
		n = t->parts - t->sent;
	if (t->window < n)
		return;
	if (broker_part(w->broker, r->number, t->number,
		mail_content(t->mail, t->mail->head_n + t->sent, n), w->now) < 0)
		sim_fail("mail %d: a part is not allowed", t->mail->index);
	t->window -= (uint32_t)n;
	t->sent += n;
	world_run(w);
}

static void encode(const struct world *w, const struct mail *m, uint64_t dice, struct buf *out)
{
	struct rcpt rcpt[MAIL_RCPTS];
	struct buf held;
	struct envelope e = {.id = m->id,
	    .nonce = m->nonce,
	    .accepted = w->now + (dice % 16 == 0 ? 3600 * INT64_C(1000000) : 0),
	    .from = span_str(m->from),
	    .rcpt = rcpt,
	    .n_rcpt = m->n_rcpt,
	    .at_most_once = m->at_most_once,
	    .account = span_str(people_account(m)),
	    .priority = (uint8_t)m->priority,
	    .ret = m->ret,
	    .handling = {.hold_until = m->hold_until},
	    .head_length = (uint32_t)m->head_n};

	if (m->by > 0) {
		e.handling.by = BY_RETURN;
		e.handling.by_at = e.accepted + m->by;
	}
	for (size_t i = 0; i < m->n_rcpt; i++)
		rcpt[i] = (struct rcpt){.addr = span_str(m->rcpt[i].addr),
		    .notify = m->rcpt[i].notify,
		    .from = span_str(m->rcpt[i].from)};
	buf_init(&held, STORED_MAX);
	if (book_held(m, &held))
		e.held = buf_view(&held);
	envelope_encode(&e, out);
	buf_fini(&held);
}

static void commit(struct world *w, struct receiver *r, struct txn *t)
{
	const struct mail *m = t->mail;
	struct buf envelope;
	int err;

	buf_init(&envelope, STORED_MAX);
	encode(w, m, sim_random(&w->rng), &envelope);
	t->committed = true;
	t->committed_at = w->now;
	t->mail->state = MAIL_SENT;
	t->mail->by_at = w->now + m->by;
	sim_note("receiver %u: commit of mail %d", r->number, m->index);
	tally_commit(w, t->mail);
	err = broker_commit(w->broker, r->number, t->number, buf_view(&envelope),
	    mail_content(m, 0, m->head_n), mail_content(m, m->head_n + t->parts, m->size), w->now);
	buf_fini(&envelope);
	if (err < 0)
		sim_fail("mail %d: its commit is not allowed", m->index);
	world_run(w);
}

static void give_up(struct world *w, struct receiver *r, struct txn *t)
{
	uint64_t number = t->number;
	bool parts = t->sent > 0;

	answer(w, r, t, false);
	if (parts)
		broker_abort(w->broker, r->number, number);
	world_run(w);
}

static void progress(struct world *w, struct receiver *r, struct txn *t)
{
	if (t->committed && w->now - t->committed_at > VERDICT_MAX) {
		t->mail->state = MAIL_UNKNOWN;
		txn_end(r, t);
	} else if (t->wants_ask) {
		t->wants_ask = false;
		fault_count(FAULT_ASKED);
		sim_note("receiver %u: asks for mail %d", r->number, t->mail->index);
		broker_ask(w->broker, r->number, t->number, &t->mail->nonce);
		world_run(w);
	} else if (t->committed) {
		if (!w->peers->calm && sim_once_in(&w->rng, 60)) { /* closed without an answer */
			t->mail->state = MAIL_UNKNOWN;
			txn_end(r, t);
		}
	} else if (t->failed || (t->sent > 0 && sim_once_in(&w->rng, 50))) {
		give_up(w, r, t);
	} else if (t->sent < t->parts) {
		send_part(w, r, t);
	} else {
		commit(w, r, t);
	}
}

void receiver_connect(struct world *w, struct receiver *r)
{
	r->up = r->connected = true;
	r->stalled = sim_once_in(&w->rng, 3) ? (unsigned)sim_below(&w->rng, 300) : 0;
	r->number = w->peers->next_number++;
	broker_receiver_up(w->broker, r->number);
	for (size_t i = 0; i < r->n; i++)
		r->txn[i].wants_ask = r->txn[i].committed;
	world_run(w);
}

/* What was sent is still read; then the channel is at its end. */
void receiver_queue_gone(struct world *w, struct receiver *r)
{
	if (!r->connected)
		return;
	r->connected = false;
	if (r->sent < r->n_frame)
		fault_count(FAULT_ANSWERS_LOST);
	if (r->sent > 0)
		fault_count(FAULT_ANSWERS_LATE);
	r->n_frame = r->sent;
	read_frames(w, r, r->n_frame);
	for (size_t i = r->n; i > 0; i--) {
		struct txn *t = &r->txn[i - 1];

		if (t->committed) {
			if (w->bug == BUG_BLIND)
				answer(w, r, t, false);
			continue;
		}
		if (t->sent > 0) {
			answer(w, r, t, false);
		} else if (t->parts == 0 && sim_once_in(&w->rng, 4)) {
			fault_count(FAULT_COMMIT_UNREAD);
			t->committed = true; /* into the socket, and nobody read it */
			t->committed_at = w->now;
			t->mail->state = MAIL_SENT;
		}
	}
}

void receiver_die(struct world *w, struct receiver *r)
{
	sim_note("receiver %u dies", r->number);
	while (r->n > 0) {
		struct txn *t = &r->txn[r->n - 1];

		fault_count(t->committed ? FAULT_RECEIVER_DIED_WAITING : FAULT_RECEIVER_DIED);
		t->mail->state = t->committed ? MAIL_UNKNOWN : MAIL_REFUSED;
		txn_end(r, t);
	}
	r->n_frame = r->sent = 0;
	r->up = false;
	if (r->connected && world_alive(w)) {
		broker_receiver_down(w->broker, r->number);
		r->connected = false;
		world_run(w);
	}
	r->connected = false;
}

void receiver_step(struct world *w, struct receiver *r, bool new_mail)
{
	if (!r->up) {
		if (w->peers->calm || sim_once_in(&w->rng, 20))
			receiver_connect(w, r);
		return;
	}
	if (r->stalled > 0) {
		r->stalled--;
		return;
	}
	if (!w->peers->calm && sim_once_in(&w->rng, 60))
		r->stalled = (unsigned)sim_below(&w->rng, 200);
	if (!sim_once_in(&w->rng, 8))
		r->sent = r->n_frame;
	if (!w->peers->calm && sim_once_in(&w->rng, 250) && world_may(w, MAY_DIE)) {
		receiver_die(w, r);
		return;
	}
	if (r->sent > 0 && !sim_once_in(&w->rng, 4))
		read_frames(w, r, 1 + (size_t)sim_below(&w->rng, r->sent));
	else if (new_mail && r->n < TXNS && sim_once_in(&w->rng, 2))
		begin(w, r);
	else if (r->n > 0)
		progress(w, r, &r->txn[sim_below(&w->rng, r->n)]);
}
