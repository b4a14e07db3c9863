/* Workers: they take jobs and content, ask the hosts, and keep results until they are confirmed. */
#include "sim/peers-private.h"

#include "sim/faults.h"
#include "sim/people.h"
#include "sim/trace.h"

#include <limits.h>
#include <stdlib.h>

enum { WINDOW = 256 << 10, CREDIT_STEP = 48 << 10 };

static struct held *held_find(const struct sim_worker *s, uint64_t job)
{
	for (size_t i = 0; i < s->n_held; i++) {
		if (s->held[i]->job == job)
			return s->held[i];
	}
	return NULL;
}

static void held_add(struct sim_worker *s, struct held *h)
{
	if (s->n_held == s->cap_held) {
		s->cap_held = s->cap_held ? 2 * s->cap_held : 8;
		s->held = gw_realloc(s->held, s->cap_held * sizeof(struct held *));
	}
	s->held[s->n_held++] = h;
}

static bool said_final(const struct held *h, uint32_t index)
{
	for (size_t i = 0; i < h->n_said; i++) {
		if (h->said[i].index == index)
			return outcome_final(h->said[i].outcome);
	}
	return false;
}

static void let_go(struct world *w, struct held *h, size_t i)
{
	if (!h->holding[i])
		return;
	h->holding[i] = false;
	book_worker_lost(h->mail, h->index[i], said_final(h, h->index[i]),
	    w->broker != NULL ? w->life : UINT_MAX);
}

static void held_forget(struct world *w, struct sim_worker *s, struct held *h)
{
	for (size_t i = 0; i < h->n; i++)
		let_go(w, h, i);
	for (size_t i = 0; i < s->n_held; i++) {
		if (s->held[i] == h)
			s->held[i] = s->held[--s->n_held];
	}
	free(h);
}

/* ---- connections -------------------------------------------------------------------------- */

static struct line *line_find(struct sim_worker *s, uint64_t number)
{
	for (size_t i = 0; i < s->n_line; i++) {
		if (s->line[i].number == number)
			return &s->line[i];
	}
	return NULL;
}

static struct line *line_open(struct sim_worker *s, uint64_t number)
{
	if (s->n_line == s->cap_line) {
		s->cap_line = s->cap_line ? 2 * s->cap_line : 8;
		s->line = gw_realloc(s->line, s->cap_line * sizeof(*s->line));
	}
	s->line[s->n_line] = (struct line){.number = number};
	return &s->line[s->n_line++];
}

static bool line_busy(const struct sim_worker *s, uint64_t number)
{
	for (size_t i = 0; i < s->n_held; i++) {
		if (s->held[i]->conn == number && s->held[i]->state != HELD_DONE)
			return true;
	}
	return false;
}

static void line_close(struct world *w, unsigned number, struct line *l)
{
	struct sim_worker *s = &w->peers->worker[number];
	uint64_t conn = l->number;

	*l = s->line[--s->n_line];
	if (!s->connected)
		return;
	broker_conn_closed(w->broker, number, conn, w->now);
	world_run(w);
}

/* ---- what the queue says ------------------------------------------------------------------ */

static void push(struct world *w, unsigned number, struct worker_frame f)
{
	struct sim_worker *s = &w->peers->worker[number];

	if (s->n_frame == s->cap_frame) {
		s->cap_frame = s->cap_frame ? 2 * s->cap_frame : 16;
		s->frame = gw_realloc(s->frame, s->cap_frame * sizeof(*s->frame));
	}
	s->frame[s->n_frame++] = f;
	s->octets += f.octets;
	if (s->octets > MAILBOX_HIGH && !s->blocked) {
		s->blocked = true;
		broker_worker_blocked(w->broker, number, true, w->now);
	}
}

static void check_target(const struct broker_effect *e, const char *addr)
{
	const char *domain = strchr(addr, '@') + 1;
	enum target_kind want = strcmp(domain, "box.test") == 0    ? TARGET_MAILDIR
				: strcmp(domain, "lmtp.test") == 0 ? TARGET_LMTP
				: strcmp(domain, "a.test") == 0    ? TARGET_MX
								   : TARGET_RELAY;

	if (e->target->kind != want || (want == TARGET_MAILDIR) != (e->peer == MDA))
		sim_fail("%s goes the wrong way", addr);
}

static void take_rcpts(struct world *w, struct held *h, const struct broker_effect *e)
{
	if (e->n_rcpt == 0 || e->n_rcpt > MAIL_RCPTS)
		sim_fail("mail %d: %zu recipients in a job", h->mail->index, e->n_rcpt);
	for (size_t i = 0; i < e->n_rcpt; i++) {
		uint32_t index = e->rcpt[i].index;

		if (index >= h->mail->n_rcpt || (i > 0 && index <= h->index[i - 1]) ||
		    !span_eq(e->rcpt[i].addr, span_str(h->mail->rcpt[index].addr)))
			sim_fail("mail %d: a wrong recipient", h->mail->index);
		check_target(e, h->mail->rcpt[index].addr);
		if (e->at_most_once != book_at_most_once(h->mail, index))
			sim_fail("mail %d: the class of a job is wrong", h->mail->index);
		book_handed(h->mail, index, w->life);
		h->index[i] = index;
		h->attempts[i] = e->rcpt[i].attempts + 1;
		h->holding[i] = true;
		h->n++;
	}
}

static void check_all_named(const struct world *w)
{
	for (int i = 0; i < WORKERS; i++) {
		const struct sim_worker *s = &w->peers->worker[i];

		for (size_t k = 0; s->connected && !s->named && k < s->n_held; k++) {
			if (s->held[k]->old)
				sim_fail(
				    "a job starts before worker %d has named what it holds", i);
		}
	}
}

void peers_job(struct world *w, const struct broker_effect *e)
{
	struct sim_worker *s = &w->peers->worker[e->peer < WORKERS ? e->peer : 0];
	struct held *h;

	if (e->peer >= WORKERS || !s->connected || held_find(s, e->number) != NULL)
		sim_fail("job %llu to a wrong worker", (unsigned long long)e->number);
	if (w->bug != BUG_HOLDING)
		check_all_named(w);
	if (line_busy(s, e->conn))
		sim_fail("job %llu on a busy connection", (unsigned long long)e->number);
	h = gw_calloc(1, sizeof(*h));
	h->job = e->number;
	h->conn = e->conn;
	h->conn_messages = e->conn_messages;
	h->granted = WINDOW;
	h->mail = book_find(&w->book, &e->id);
	if (h->mail == NULL)
		sim_fail("a job for a message that was never made");
	people_check(w, h->mail);
	book_check_release(h->mail, w->now);
	if (h->mail->by > 0 && w->now >= h->mail->by_at)
		sim_fail("mail %d is tried after its deadline", h->mail->index);
	held_add(s, h);
	h->once = e->at_most_once;
	if (e->size != h->mail->size)
		sim_fail("mail %d: the size is wrong in a job", h->mail->index);
	take_rcpts(w, h, e);
	for (size_t i = 0; i < h->n; i++) {
		if (!span_eq(e->from, span_str(book_return_path(h->mail, h->index[i]))))
			sim_fail("mail %d: the sender is wrong in a job", h->mail->index);
	}
	sim_note("worker %u: job %llu on %llu: mail %d, %zu recipients from %u", e->peer,
	    (unsigned long long)(h->job & 0xffffff), (unsigned long long)(h->conn & 0xffffff),
	    h->mail->index, h->n, h->index[0]);
	push(w, e->peer, (struct worker_frame){.kind = FRAME_JOB, .job = h->job});
}

void peers_body(struct world *w, const struct broker_effect *e, struct span data, bool broken)
{
	struct worker_frame f = {.kind = FRAME_BODY,
	    .job = e->number,
	    .octets = (uint32_t)data.n,
	    .last = e->flag && !broken,
	    .broken = broken};
	struct sim_worker *s = &w->peers->worker[e->peer];
	struct held *h = e->peer < WORKERS ? held_find(s, e->number) : NULL;

	if (h == NULL) /* it ended before all its content was here */
		return;
	if (!h->broken && !broken)
		book_content(h->mail, h->sent, data);
	h->sent += e->octets;
	h->broken = h->broken || broken;
	if (h->sent > h->granted)
		sim_fail("mail %d: more content than was granted", h->mail->index);
	if (e->flag != (h->sent == h->mail->size))
		sim_fail("mail %d: the end of its content is wrong", h->mail->index);
	push(w, e->peer, f);
}

void peers_confirm(struct world *w, const struct broker_effect *e)
{
	struct sim_worker *s = &w->peers->worker[e->peer < WORKERS ? e->peer : 0];
	struct held *h = held_find(s, e->number);
	struct change c;

	if (!s->connected || h == NULL)
		return;
	if (h->state != HELD_DONE)
		sim_fail("job %llu is confirmed and was not ended", (unsigned long long)h->job);
	c = (struct change){.id = h->mail->id, .rcpt = h->said, .n_rcpt = h->n_said};
	if (!book_ended(h->mail, &c))
		sim_fail("mail %d: its result is confirmed and not durable", h->mail->index);
	push(w, e->peer, (struct worker_frame){.kind = FRAME_CONFIRM, .job = h->job});
}

void peers_close(struct world *w, const struct broker_effect *e)
{
	struct sim_worker *s = &w->peers->worker[e->peer < WORKERS ? e->peer : 0];

	if (e->peer >= WORKERS || !s->connected || line_busy(s, e->number))
		sim_fail("a connection at work is to be closed");
	push(w, e->peer, (struct worker_frame){.kind = FRAME_CLOSE, .job = e->number});
}

/* ---- at most once ------------------------------------------------------------------------- */

void peers_go(struct world *w, const struct broker_effect *e)
{
	struct sim_worker *s = &w->peers->worker[e->peer < WORKERS ? e->peer : 0];
	struct held *h = held_find(s, e->number);

	if (!s->connected || h == NULL || !h->asked || h->state == HELD_DONE)
		sim_fail("leave for job %llu, which did not ask", (unsigned long long)e->number);
	for (size_t i = 0; e->flag && i < h->n_named && w->bug != BUG_GO; i++) {
		if (!h->mail->rcpt[h->named[i]].noted)
			sim_fail("mail %d recipient %u: leave before PAST_DOT is durable",
			    h->mail->index, h->named[i]);
	}
	push(w, e->peer, (struct worker_frame){.kind = FRAME_GO, .job = h->job, .go = e->flag});
}

/* The peer has all but the dot; it took some of the recipients. */
static void ask(struct world *w, unsigned number, struct held *h)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->n_named == 0 || !sim_once_in(&w->rng, 5))
			h->named[h->n_named++] = h->index[i];
	}
	h->asked = true;
	sim_note("worker %u asks for leave for job %llu, %zu recipients", number,
	    (unsigned long long)(h->job & 0xffffff), h->n_named);
	if (broker_past_dot(w->broker, number, h->job, h->named, h->n_named, w->now) < 0)
		sim_fail("worker %u may not ask for leave", number);
	world_run(w);
}

static bool is_named(const struct held *h, uint32_t index)
{
	for (size_t i = 0; i < h->n_named; i++) {
		if (h->named[i] == index)
			return true;
	}
	return false;
}

/* ---- results ------------------------------------------------------------------------------ */

static void send_result(struct world *w, unsigned number, struct held *h)
{
	struct sim_worker *s = &w->peers->worker[number];
	struct change c = {.id = h->mail->id, .when = w->now, .rcpt = h->said, .n_rcpt = h->n_said};
	struct broker_effect e = {.peer = number, .number = h->job};

	if (!s->connected || !s->named)
		return;
	book_result(h->mail, &c, w->life);
	if (h->job % 2 == 0)
		broker_dsn_passed_on(w->broker, number, h->job);
	if (broker_result(w->broker, number, h->job, h->site, &c, w->now) < 0)
		sim_fail("the result of job %llu is not allowed", (unsigned long long)h->job);
	if (w->bug == BUG_CONFIRM)
		peers_confirm(w, &e);
	world_run(w);
}

static void say(struct world *w, struct held *h, size_t i, enum outcome o)
{
	static const uint16_t codes[] = {[OUTCOME_DELIVERED] = 250,
	    [OUTCOME_DEFERRED] = 451,
	    [OUTCOME_FAILED] = 550,
	    [OUTCOME_MAYBE] = 451};
	struct change_rcpt *c = &h->said[h->n_said++];

	*c = (struct change_rcpt){.index = h->index[i],
	    .attempts = h->attempts[i],
	    .outcome = o,
	    .code = codes[o],
	    .esc = {(uint8_t)(codes[o] / 100), 1, 1},
	    .host = SPAN("host.test"),
	    .reply = SPAN("as the dice fell")};
	if (!h->may_send &&
	    (o == OUTCOME_DELIVERED || (o == OUTCOME_MAYBE && sim_once_in(&w->rng, 2))))
		book_taken(h->mail, h->index[i], o == OUTCOME_DELIVERED);
}

static enum outcome roll_outcome(struct world *w)
{
	uint64_t dice = sim_below(&w->rng, w->peers->calm ? 85 : 100);

	return dice < 75 ? OUTCOME_DELIVERED : dice < 85 ? OUTCOME_FAILED : OUTCOME_DEFERRED;
}

static enum outcome roll_end(struct world *w)
{
	return !w->peers->calm && sim_once_in(&w->rng, 12) ? OUTCOME_MAYBE : roll_outcome(w);
}

/* The dot of at-most-once mail is sent: the host takes it for these recipients, or does not. */
static void send_dot(struct world *w, struct held *h)
{
	h->may_send = true;
	for (size_t i = 0; i < h->n; i++) {
		if (!is_named(h, h->index[i]))
			continue;
		h->fate[i] = roll_end(w);
		if (h->fate[i] == OUTCOME_DELIVERED ||
		    (h->fate[i] == OUTCOME_MAYBE && sim_once_in(&w->rng, 2)))
			book_taken(h->mail, h->index[i], false);
	}
}

/* What the host says of a recipient; before the dot it takes nobody. */
static enum outcome outcome_for(struct world *w, unsigned number, const struct held *h, size_t i)
{
	bool whole = h->last && h->got == h->mail->size && !h->broken;
	enum outcome o = h->site || h->broken ? OUTCOME_DEFERRED : roll_outcome(w);

	if (h->n_named > 0 && !is_named(h, h->index[i]))
		return OUTCOME_FAILED; /* it was refused before the content was sent */
	if (h->may_send)
		return h->fate[i];
	if (!whole || h->once)
		return o == OUTCOME_DELIVERED ? OUTCOME_DEFERRED : o;
	return number == MDA || h->site ? o : roll_end(w);
}

/* The host has spoken about all recipients, or does not speak at all. */
static void finish(struct world *w, unsigned number, struct held *h)
{
	struct sim_worker *s = &w->peers->worker[number];
	struct line *l = line_find(s, h->conn);

	h->site = number != MDA && !w->peers->calm && sim_once_in(&w->rng, 15);
	for (size_t i = 0; i < h->n; i++) {
		enum outcome o = outcome_for(w, number, h, i);

		/* What it does not speak of was not tried, or the dot was sent and nobody knows. */
		if ((o != OUTCOME_DEFERRED && o != OUTCOME_MAYBE) || !sim_once_in(&w->rng, 8))
			say(w, h, i, o);
	}
	h->state = HELD_DONE;
	for (size_t i = 0; i < h->n; i++) {
		if (!said_final(h, h->index[i]))
			let_go(w, h, i);
	}
	sim_note("worker %u: job %llu is done%s", number, (unsigned long long)(h->job & 0xffffff),
	    h->site ? ", the host is away" : "");
	if (l != NULL)
		l->messages++;
	send_result(w, number, h);
	l = line_find(s, h->conn);
	if (l == NULL || !world_alive(w))
		return;
	if (number == MDA)
		*l = s->line[--s->n_line];
	else if (h->site || h->broken || l->messages >= h->conn_messages)
		line_close(w, number, l);
}

/* ---- a turn of a worker ------------------------------------------------------------------- */

static bool is_limited(const struct held *h)
{
	const char *at = strchr(h->mail->rcpt[h->index[0]].addr, '@');

	return at != NULL && strcmp(at, "@a.test") == 0;
}

/* Never more connections than the shape allows, whoever holds them and whichever queue asked. */
static void check_limit(const struct world *w)
{
	size_t n = 0;

	for (int i = 0; i < WORKERS; i++) {
		const struct sim_worker *s = &w->peers->worker[i];

		for (size_t k = 0; k < s->n_line; k++)
			n += s->line[k].limited;
	}
	if (n > LIMIT_OF_ONE && !w->book.small)
		sim_fail("%zu connections to a.test", n);
}

static void take_frame(struct world *w, unsigned number, const struct worker_frame *f)
{
	struct sim_worker *s = &w->peers->worker[number];
	struct held *h = held_find(s, f->job);

	s->octets -= f->octets;
	if (f->kind == FRAME_CLOSE && line_find(s, f->job) != NULL && !line_busy(s, f->job))
		line_close(w, number, line_find(s, f->job));
	if (h == NULL || f->kind == FRAME_CLOSE)
		return;
	if (f->kind == FRAME_JOB) {
		h->state = HELD_RUNNING;
		if (line_find(s, h->conn) == NULL)
			line_open(s, h->conn)->limited = is_limited(h);
		check_limit(w);
	} else if (f->kind == FRAME_BODY && h->state == HELD_RUNNING) {
		h->got += f->octets;
		h->used += f->octets;
		h->last = h->last || f->last;
	} else if (f->kind == FRAME_GO && h->state == HELD_RUNNING) {
		h->may_not = !f->go;
		if (f->go)
			send_dot(w, h);
	} else if (f->kind == FRAME_CONFIRM && h->state == HELD_DONE) {
		held_forget(w, s, h);
	}
}

static void read_frames(struct world *w, unsigned number, size_t n)
{
	struct sim_worker *s = &w->peers->worker[number];

	for (size_t i = 0; i < n; i++)
		take_frame(w, number, &s->frame[i]);
	s->n_frame -= n;
	s->sent -= n;
	if (s->n_frame > 0)
		memmove(s->frame, s->frame + n, s->n_frame * sizeof(*s->frame));
	if (s->blocked && s->octets < MAILBOX_LOW && s->connected) {
		s->blocked = false;
		broker_worker_blocked(w->broker, number, false, w->now);
		world_run(w);
	}
}

static void work(struct world *w, unsigned number, struct held *h)
{
	if (h->state == HELD_DONE) {
		if (sim_once_in(&w->rng, 10)) /* said once more */
			send_result(w, number, h);
		return;
	}
	if (h->state == HELD_COMING)
		return;
	if (h->used >= CREDIT_STEP && w->peers->worker[number].connected) {
		h->granted += h->used;
		if (broker_body_credit(w->broker, number, h->job, (uint32_t)h->used) < 0)
			sim_fail("credit is not allowed");
		h->used = 0;
		world_run(w);
		return;
	}
	if (h->once && h->last && !h->broken && h->got == h->mail->size && !h->may_send &&
	    !h->may_not && (w->peers->calm || !sim_once_in(&w->rng, 30))) {
		if (!h->asked && w->peers->worker[number].connected &&
		    w->peers->worker[number].named)
			ask(w, number, h);
		return;
	}
	if (h->last || h->broken || (!w->peers->calm && sim_once_in(&w->rng, 25)))
		finish(w, number, h);
}

static void name_all(struct world *w, unsigned number)
{
	struct sim_worker *s = &w->peers->worker[number];

	for (size_t i = 0; i < s->n_held && w->bug != BUG_HOLDING; i++) {
		const struct held *h = s->held[i];

		if (broker_holding(
			w->broker, number, h->job, h->conn, &h->mail->id, h->index, h->n) < 0 &&
		    world_alive(w))
			sim_fail("worker %u may not say what it holds", number);
	}
	if (!world_alive(w))
		return;
	s->named = true;
	sim_note("worker %u has named %zu jobs", number, s->n_held);
	broker_holding_done(w->broker, number, w->now);
	world_run(w);
	for (size_t i = 0; i < s->n_held && world_alive(w); i++) {
		if (s->held[i]->state == HELD_DONE)
			send_result(w, number, s->held[i]);
	}
}

static void come(struct world *w, unsigned number)
{
	struct sim_worker *s = &w->peers->worker[number];

	sim_note("worker %u comes", number);
	s->up = s->connected = true;
	s->named = s->blocked = false;
	broker_worker_up(w->broker, number, number == MDA ? WORKER_MDA : WORKER_SENDER);
}

void worker_meet(struct world *w, unsigned number)
{
	if (w->peers->worker[number].up)
		come(w, number);
}

void worker_die(struct world *w, unsigned number)
{
	struct sim_worker *s = &w->peers->worker[number];

	sim_note("worker %u dies", number);
	if (s->n_frame > 0)
		fault_count(FAULT_WORKER_DIED_UNREAD);
	while (s->n_held > 0) {
		fault_count(
		    s->held[0]->state == HELD_DONE ? FAULT_WORKER_DIED_DONE : FAULT_WORKER_DIED);
		held_forget(w, s, s->held[0]);
	}
	s->n_line = s->n_frame = s->sent = s->octets = 0;
	s->up = false;
	if (s->connected && world_alive(w)) {
		s->connected = false;
		broker_worker_down(w->broker, number, w->now);
		world_run(w);
	}
	s->connected = false;
}

/* Nobody gives leave any more: it is not sent, and the next queue is told so. */
static void give_up(struct world *w, struct held *h)
{
	for (size_t i = 0; i < h->n; i++) {
		say(w, h, i, OUTCOME_DEFERRED);
		let_go(w, h, i);
	}
	h->state = HELD_DONE;
}

/* Jobs whose content is not all here can never be finished; the others go on. */
void worker_queue_gone(struct world *w, struct sim_worker *s)
{
	unsigned number = (unsigned)(s - w->peers->worker);

	if (!s->connected)
		return;
	s->connected = false;
	s->n_frame = s->sent;
	read_frames(w, number, s->n_frame);
	s->octets = 0;
	for (size_t i = s->n_held; i > 0; i--) {
		struct held *h = s->held[i - 1];

		h->old = true;
		if (h->state == HELD_RUNNING && h->once && h->asked && !h->may_send) {
			give_up(w, h);
			continue;
		}
		if (h->state == HELD_RUNNING && h->once && !h->may_send) {
			held_forget(w, s, h);
			continue;
		}
		if (h->state == HELD_COMING || (h->state == HELD_RUNNING && !h->last))
			held_forget(w, s, h);
	}
	for (size_t i = s->n_line; i > 0; i--) {
		if (!line_busy(s, s->line[i - 1].number))
			s->line[i - 1] = s->line[--s->n_line];
	}
}

void worker_step(struct world *w, unsigned number)
{
	struct sim_worker *s = &w->peers->worker[number];

	if (!s->up) {
		if (w->peers->calm || sim_once_in(&w->rng, 20))
			come(w, number);
		return;
	}
	if (!sim_once_in(&w->rng, 8))
		s->sent = s->n_frame;
	if (!w->peers->calm && sim_once_in(&w->rng, 300) && world_may(w, MAY_DIE)) {
		worker_die(w, number);
		return;
	}
	if (!s->named && sim_once_in(&w->rng, 4)) {
		name_all(w, number);
		return;
	}
	if (s->sent > 0 && !sim_once_in(&w->rng, 3)) {
		read_frames(w, number, 1 + (size_t)sim_below(&w->rng, s->sent));
		return;
	}
	if (s->n_held > 0)
		work(w, number, s->held[sim_below(&w->rng, s->n_held)]);
	if (world_alive(w) && s->n_line > 0 && sim_once_in(&w->rng, 40)) {
		struct line *l = &s->line[sim_below(&w->rng, s->n_line)];

		if (number != MDA && !line_busy(s, l->number))
			line_close(w, number, l);
	}
}
