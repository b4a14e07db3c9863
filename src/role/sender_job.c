/* A message on its way out, and what became of its recipients. */
#include "role/sender.h"

#include <stdlib.h>

enum { JOB_ARENA = 2 << 20, TEXT_MAX_OCTETS = 512, HOLDING_BATCH = 64 };

static struct job *job_find(struct sender *s, uint64_t number)
{
	return map_get(&s->jobs, span_of(&number, sizeof(number)));
}

void job_free(struct job *j)
{
	pull_free(&j->pull);
	if (j->number != 0)
		map_del(&j->sender->jobs, span_of(&j->number, sizeof(j->number)));
	arena_reset(&j->arena);
	buf_fini(&j->body);
	job_unconvert(j);
	free(j);
}

/* ---- taking -------------------------------------------------------------------------------- */

static int set_up_txn(struct job *j)
{
	struct client_rcpt *to = arena_alloc(&j->arena, j->order.n_rcpt * sizeof(*to));

	j->rcpt = arena_alloc(&j->arena, j->order.n_rcpt * sizeof(*j->rcpt));
	if (to == NULL || j->rcpt == NULL)
		return GW_EFULL;
	for (size_t i = 0; i < j->order.n_rcpt; i++)
		to[i] = (struct client_rcpt){.addr = j->order.rcpt[i].addr,
		    .orcpt = j->order.rcpt[i].orcpt,
		    .notify = j->order.rcpt[i].notify};
	j->txn = (struct client_txn){.from = j->order.from,
	    .envid = j->order.envid,
	    .ret = (enum dsn_ret)j->order.ret,
	    /* Where no octet is above 127 its addresses alone can need it, and speak for
	       themselves. */
	    .smtputf8 = j->order.smtputf8 && j->order.eight_bit,
	    .rcpt = to,
	    .n_rcpt = j->order.n_rcpt,
	    .size = j->order.size,
	    .body_type = (enum body_type)j->order.body_type,
	    .eight_bit = j->order.eight_bit,
	    .handling = j->order.handling,
	    .final = j->order.target.kind == TARGET_LMTP || j->order.target.path.n > 0,
	    .ask_before_dot = j->order.at_most_once};
	return 0;
}

static struct job *job_new(struct sender *s, struct span payload)
{
	struct job *j = gw_calloc(1, sizeof(*j));
	struct span copy;

	j->sender = s;
	arena_init(&j->arena, JOB_ARENA + 4 * payload.n);
	buf_init(&j->body, SENDER_BODY_MAX);
	copy = arena_dup(&j->arena, payload);
	if (copy.n == 0 || proto_get_job(copy, &j->order, &j->arena) < 0 || set_up_txn(j) < 0) {
		arena_reset(&j->arena);
		free(j);
		return NULL;
	}
	j->number = j->order.job;
	j->conn_number = j->order.conn;
	j->id = j->order.id;
	return j;
}

int job_take(struct sender *s, struct span payload)
{
	struct job *j = job_new(s, payload);
	struct conn *c;

	if (j == NULL)
		return GW_EFORMAT;
	if (job_find(s, j->number) != NULL) {
		arena_reset(&j->arena);
		free(j);
		return GW_EFORMAT;
	}
	map_put(&s->jobs, span_of(&j->number, sizeof(j->number)), j);
	c = conn_find(s, j->conn_number);
	if (c == NULL)
		c = conn_open(s, j);
	if (c->job != NULL)
		return GW_EFORMAT;
	conn_give(c, j);
	return 0;
}

int job_body(struct sender *s, struct span payload)
{
	struct cursor c = cursor_of(payload);
	struct job *j = job_find(s, get_u64(&c));
	uint8_t flags = get_u8(&c);

	if (j == NULL || j->done)
		return 0; /* it ended before its content was here */
	if (buf_add_span(&j->body, c.rest) < 0)
		return GW_EFORMAT; /* more than was granted */
	j->body_last = j->body_last || (flags & BODY_LAST);
	j->body_broken = j->body_broken || (flags & BODY_BROKEN);
	if (j->conn != NULL)
		conn_pump(j->conn);
	return 0;
}

static size_t feed_as_is(struct job *j, struct client *engine, int64_t now)
{
	size_t n, given = 0;

	while (buf_len(&j->body) > 0 && (n = client_body(engine, buf_view(&j->body), now)) > 0) {
		buf_drop(&j->body, n);
		j->used += (uint32_t)n;
		given += n;
	}
	if (j->ended || buf_len(&j->body) > 0)
		return given;
	if (j->body_broken) {
		j->ended = true;
		client_body_abort(engine, now);
	} else if (j->body_last) {
		j->ended = true;
		client_body_end(engine, now);
	}
	return given;
}

size_t job_feed_engine(struct job *j, struct client *engine, int64_t now)
{
	size_t given;

	j->body_started = true;
	given =
	    j->convert != NULL ? job_feed_converted(j, engine, now) : feed_as_is(j, engine, now);
	if (j->used >= SENDER_CREDIT_STEP && !j->body_last) {
		sender_say(j->sender, IPC_BODY_CREDIT, j->number, j->used);
		j->used = 0;
	}
	return given;
}

/* ---- at most once -------------------------------------------------------------------------- */

void job_ask_go(struct job *j)
{
	uint32_t *index = gw_calloc(j->order.n_rcpt, sizeof(*index));
	struct proto_past_dot p = {.job = j->number, .rcpt = index};
	struct buf b;
	struct span part;

	/* Those whom the peer refused are known by now. */
	for (size_t i = 0; i < j->order.n_rcpt; i++) {
		if (!j->rcpt[i].known)
			index[p.n_rcpt++] = j->order.rcpt[i].index;
	}
	buf_init(&b, 65536);
	proto_put_past_dot(&b, &p);
	part = buf_view(&b);
	gw_assert(!buf_failed(&b) && p.n_rcpt > 0);
	j->asked = true;
	if (j->sender->queue.ipc != NULL)
		ipc_send(j->sender->queue.ipc, IPC_PAST_DOT, &part, 1, -1);
	buf_fini(&b);
	free(index);
}

int job_go(struct sender *s, struct span payload)
{
	struct proto_go g;
	struct job *j;

	if (proto_get_go(payload, &g) < 0)
		return GW_EFORMAT;
	j = job_find(s, g.job);
	if (j == NULL || j->done)
		return 0; /* the peer did not wait for it */
	if (!j->asked || j->may_send_dot || j->conn == NULL)
		return GW_EFORMAT;
	j->may_send_dot = g.go;
	conn_answer(j->conn, g.go);
	return 0;
}

/* ---- results ------------------------------------------------------------------------------- */

static struct span keep_text(struct job *j, struct span text)
{
	struct span s = arena_dup(&j->arena, span_first(text, TEXT_MAX_OCTETS));
	uint8_t *p = (uint8_t *)(uintptr_t)s.p;

	for (size_t i = 0; i < s.n; i++) {
		if (p[i] == '\n')
			p[i] = ' ';
	}
	return s;
}

/* What a reply means for a recipient: a failure of the host is never the recipient's end; where
 * none came behind the dot, nobody knows. */
static enum outcome outcome_of(const struct client_event *ev)
{
	if (reply_ok(&ev->reply))
		return OUTCOME_DELIVERED;
	if (ev->past_dot)
		return OUTCOME_MAYBE;
	return reply_permanent(&ev->reply) && !ev->site ? OUTCOME_FAILED : OUTCOME_DEFERRED;
}

/* The extensions of the host that has it. */
static uint32_t offered(const struct job *j)
{
	return j->conn != NULL && j->conn->engine != NULL ? client_extensions(j->conn->engine) : 0;
}

/* What the host was told and says or does itself: RFC 3461 section 5.2.1, RFC 2852 section 4.1. */
static void note_passed_on(struct job *j)
{
	j->dsn = j->dsn || (offered(j) & EXT_BIT(DSN));
	j->time = j->time || (offered(j) & EXT_BIT(DELIVERBY));
}

void job_said(struct job *j, size_t rcpt, const struct client_event *ev, const char *host)
{
	struct job_rcpt *r = &j->rcpt[rcpt];

	if (r->known)
		return;
	r->known = true;
	r->said = (struct change_rcpt){.index = j->order.rcpt[rcpt].index,
	    .attempts = j->order.rcpt[rcpt].attempts + 1,
	    .outcome = outcome_of(ev),
	    .code = ev->reply.code,
	    .host = keep_text(j, span_str(host)),
	    .reply = keep_text(j, ev->reply.text)};
	memcpy(r->said.esc, ev->reply.esc, sizeof(r->said.esc));
	r->said.vmta = j->order.target.vmta;
	r->said.tls = keep_text(
	    j, span_str(j->conn != NULL && j->conn->guard.result[0] != '\0' ? j->conn->guard.result
									    : j->tls));
	j->site = j->site || ev->site;
	if (r->said.outcome == OUTCOME_DELIVERED)
		note_passed_on(j);
}

void job_said_all(struct job *j, const struct client_event *ev, const char *host)
{
	if (j->pull != NULL)
		pull_said(j, ev, host);
	for (size_t i = 0; i < j->order.n_rcpt; i++)
		job_said(j, i, ev, host);
}

bool job_untouched(const struct job *j)
{
	for (size_t i = 0; i < j->order.n_rcpt; i++) {
		if (j->rcpt[i].known)
			return false;
	}
	return !j->body_started;
}

static struct proto_tried *tried_at(struct job *j, struct span address)
{
	for (size_t i = 0; i < j->n_tried; i++) {
		if (span_eq(j->tried[i].address, address))
			return &j->tried[i];
	}
	if (j->tried == NULL)
		j->tried = arena_alloc(&j->arena, PROTO_TRIED_MAX * sizeof(*j->tried));
	if (j->tried == NULL || j->n_tried == PROTO_TRIED_MAX)
		return NULL;
	j->tried[j->n_tried].address = arena_dup(&j->arena, address);
	return &j->tried[j->n_tried++];
}

void job_tried(struct job *j, const char *address, bool good, struct span why)
{
	struct proto_tried *t = address[0] != '\0' ? tried_at(j, span_str(address)) : NULL;

	if (t == NULL)
		return;
	t->good = good;
	t->why = keep_text(j, why);
}

static void tell_result(struct job *j)
{
	struct change_rcpt *said = gw_calloc(j->order.n_rcpt, sizeof(*said));
	struct proto_result r = {.job = j->number,
	    .site = j->site,
	    .dsn = j->dsn,
	    .time = j->time,
	    .refused = j->refused,
	    .n_tried = j->n_tried,
	    .change = {.id = j->id, .rcpt = said, .n_rcpt = j->order.n_rcpt}};
	struct buf b;
	struct span part;

	for (size_t i = 0; i < j->order.n_rcpt; i++)
		said[i] = j->rcpt[i].said;
	if (j->n_tried > 0)
		memcpy(r.tried, j->tried, j->n_tried * sizeof(*j->tried));
	buf_init(&b, IPC_COMMIT_MAX);
	proto_put_result(&b, &r);
	part = buf_view(&b);
	gw_assert(!buf_failed(&b));
	if (j->sender->queue.ipc != NULL)
		ipc_send(j->sender->queue.ipc, IPC_RESULT, &part, 1, -1);
	buf_fini(&b);
	free(said);
}

void job_finish(struct job *j)
{
	if (j->pull != NULL) {
		pull_finish(j);
		return;
	}
	if (j->conn != NULL)
		j->conn->job = NULL;
	j->conn = NULL;
	j->done = true;
	buf_fini(&j->body);
	job_unconvert(j);
	tell_result(j);
}

void job_confirmed(struct sender *s, uint64_t number)
{
	struct job *j = job_find(s, number);

	if (j != NULL && j->done)
		job_free(j);
}

bool job_goes_on(const struct job *j)
{
	return j->body_last && (!j->order.at_most_once || j->may_send_dot);
}

void job_give_up(struct job *j)
{
	struct client_event ev = {.type = CLIENT_RCPT,
	    .reply = REPLY(451, 4, 3, 2, "The queue was restarted before the message was sent"),
	    .source = CLIENT_FROM_US,
	    .stage = "body"};

	if (j->asked) {
		job_said_all(j, &ev, j->conn->peer.text);
		job_finish(j);
		return;
	}
	if (j->conn != NULL)
		j->conn->job = NULL;
	job_free(j);
}

/* ---- a new queue --------------------------------------------------------------------------- */

static void send_holding(struct sender *s, const struct proto_held *held, size_t n, bool more)
{
	struct proto_holding h = {.more = more, .held = held, .n_held = n};
	struct buf b;
	struct span part;

	buf_init(&b, 65536);
	proto_put_holding(&b, &h);
	part = buf_view(&b);
	gw_assert(!buf_failed(&b));
	ipc_send(s->queue.ipc, IPC_HOLDING, &part, 1, -1);
	buf_fini(&b);
}

static void name_job(struct job *j)
{
	uint32_t *index = gw_calloc(j->order.n_rcpt, sizeof(*index));
	struct proto_held held = {.job = j->number,
	    .conn = j->conn_number,
	    .id = j->id,
	    .rcpt = index,
	    .n_rcpt = j->order.n_rcpt};

	for (size_t i = 0; i < j->order.n_rcpt; i++)
		index[i] = j->order.rcpt[i].index;
	send_holding(j->sender, &held, 1, true);
	free(index);
}

void jobs_name_all(struct sender *s)
{
	struct job *j;
	size_t at = 0;

	while ((j = map_next(&s->jobs, &at)) != NULL)
		name_job(j);
	send_holding(s, NULL, 0, false);
	at = 0;
	while ((j = map_next(&s->jobs, &at)) != NULL) {
		if (j->done)
			tell_result(j);
	}
}
