/* One end of a connection that is turned round goes from the process that has it to one of the
 * other kind. */
#include "role/queue.h"

#include "role/proto_turn.h"

#include <unistd.h>

static void say_turned(struct channel *c, uint64_t number, enum turn_status status)
{
	struct span part;
	struct buf b;

	buf_init(&b, 16);
	proto_put_turned(&b, number, status);
	part = buf_view(&b);
	ipc_send(c->ipc, IPC_TURNED, &part, 1, -1);
	buf_fini(&b);
}

static int give(struct channel *to, const struct proto_given *g, int fd)
{
	struct span part;
	struct buf b;
	int err;

	buf_init(&b, 1024);
	proto_put_given(&b, g);
	part = buf_view(&b);
	err = ipc_send(to->ipc, IPC_GIVEN, &part, 1, fd);
	buf_fini(&b);
	return err;
}

/* ---- a customer of ours -----------------------------------------------------------------------
 */

/* The names between commas; the engine of the receiver has judged them, which is not believed. */
static size_t split(struct span list, struct span *name, size_t most)
{
	size_t n = 0;

	while (list.n > 0 && n < most) {
		ptrdiff_t comma = span_find(list, ',');

		name[n] = comma < 0 ? list : span_first(list, (size_t)comma);
		list = comma < 0 ? SPAN_NONE : span_skip(list, (size_t)comma + 1);
		n++;
	}
	return list.n > 0 ? most + 1 : n;
}

static enum turn_status status_of(enum broker_turned t)
{
	static const enum turn_status status[] = {[BROKER_TURN_OK] = TURN_OK,
	    [BROKER_TURN_NO_MAIL] = TURN_NO_MAIL,
	    [BROKER_TURN_BUSY] = TURN_BUSY,
	    [BROKER_TURN_REFUSED] = TURN_REFUSED};

	return status[t];
}

/* The connection comes to the sender before the jobs that are on their way out behind it. */
static enum turn_status serve(
    struct channel *c, const struct proto_turn *t, struct broker_turn *turn, int fd)
{
	struct queue *q = c->queue;
	struct proto_given g = {.peer = t->peer};
	enum turn_status status = status_of(broker_turn(q->broker, turn, loop_now(q->loop)));
	struct channel *to;

	if (status != TURN_OK)
		return status;
	to = queue_channel(q, true, turn->worker);
	g.number = turn->conn;
	if (to != NULL && give(to, &g, fd) == 0)
		return TURN_OK;
	broker_conn_closed(q->broker, turn->worker, turn->conn, loop_now(q->loop));
	return TURN_BUSY;
}

static int turn_customer(struct channel *c, const struct proto_turn *t, int fd)
{
	struct span name[PULL_DOMAINS_MAX + 1];
	struct broker_turn turn = {.account = t->account, .domain = name};

	turn.n_domain = split(t->domains, name, PULL_DOMAINS_MAX);
	if (t->account.n == 0 || turn.n_domain > PULL_DOMAINS_MAX)
		return GW_EFORMAT;
	say_turned(c, t->number, serve(c, t, &turn, fd));
	return 0;
}

/* ---- we are the customer ----------------------------------------------------------------------
 */

/* The receivers in turn. */
static struct channel *a_receiver(struct queue *q)
{
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role != ROLE_SMTPD)
			continue;
		TAILQ_REMOVE(&q->channels, c, link);
		TAILQ_INSERT_TAIL(&q->channels, c, link);
		return c;
	}
	return NULL;
}

static int turn_pull(struct channel *c, const struct proto_turn *t, int fd)
{
	struct queue *q = c->queue;
	struct proto_given g = {.number = t->number, .pull = t->pull, .peer = t->peer};
	struct channel *to = a_receiver(q);

	say_turned(c, t->number,
	    !q->stopping && to != NULL && give(to, &g, fd) == 0 ? TURN_OK : TURN_BUSY);
	return 0;
}

int queue_take_turn(struct channel *c, const struct ipc_frame *f)
{
	struct proto_turn t;
	int err = proto_get_turn(f->payload, &t);

	if (err == 0)
		err =
		    c->role == ROLE_SENDER ? turn_pull(c, &t, f->fd) : turn_customer(c, &t, f->fd);
	close(f->fd);
	return err;
}
