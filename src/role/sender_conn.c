/* The life of a connection: it is opened for a job, finds its host, and goes. */
#include "role/sender.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>

enum { IN_MAX = 64 << 10, IDLE_PATIENCE = 5 * 1000000 };

struct conn *conn_find(struct sender *s, uint64_t number)
{
	return map_get(&s->by_number, span_of(&number, sizeof(number)));
}

/* ---- the end ------------------------------------------------------------------------------- */

void conn_disown(struct conn *c)
{
	if (c->number != 0)
		map_del(&c->sender->by_number, span_of(&c->number, sizeof(c->number)));
	c->number = 0;
}

/* From now on a job for this number opens it again; the slot is given back with the socket, so that
 * the host never sees more connections than there are slots. */
static void leave_slot(struct conn *c)
{
	if (c->number == 0)
		return;
	c->left = c->number;
	conn_disown(c);
}

static void give_back_slot(struct conn *c)
{
	leave_slot(c);
	if (c->left != 0 && conn_find(c->sender, c->left) == NULL)
		sender_say(c->sender, IPC_CLOSED, c->left, 0);
	c->left = 0;
}

void conn_close(struct conn *c)
{
	struct sender *s = c->sender;

	gw_assert(c->job == NULL);
	walk_free(&c->walk);
	if (c->engine != NULL) {
		watch_stop(&c->watch);
		metric_add(METRIC_SENDER_CONNECTIONS, -1);
	}
	timer_stop(&c->timer);
	if (c->stream.tls)
		stream_shut(&c->stream);
	guard_free(&c->guard);
	stream_close(&c->stream);
	give_back_slot(c);
	client_free(&c->engine);
	buf_fini(&c->in);
	TAILQ_REMOVE(&s->conns, c, link);
	s->n_conns--;
	free(c);
	sender_check_stop(s);
}

void conn_nowhere(struct conn *c, const struct client_event *ev, const char *host)
{
	struct job *j = c->job;

	job_said_all(j, ev, host);
	job_finish(j);
	conn_close(c);
}

void conn_leave(struct conn *c)
{
	leave_slot(c);
	c->ready = false;
	c->limit = INT64_MAX;
	guard_leave(c);
	client_quit(c->engine, loop_now(c->sender->loop));
}

void conn_quit(struct conn *c)
{
	if (c->engine == NULL) {
		conn_close(c);
		return;
	}
	conn_leave(c);
	conn_process(c);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void set_name(struct conn *c, const struct proto_target *t)
{
	struct span helo = t->helo.n > 0 ? t->helo : span_str(c->sender->config->hostname);

	client_config_defaults(&c->config);
	client_config_hurry(&c->config, c->sender->config->reply_timeout);
	c->config.lmtp = c->lmtp;
	c->config.hostname = span_str(span_to_cstr(helo, c->helo, sizeof(c->helo)));
}

struct conn *conn_make(struct sender *s, uint64_t number, const struct proto_target *t)
{
	struct conn *c = gw_calloc(1, sizeof(*c));

	c->sender = s;
	c->number = number;
	c->most = 1;
	c->lmtp = t->kind == TARGET_LMTP;
	c->limit = INT64_MAX;
	c->patience = IDLE_PATIENCE;
	set_name(c, t);
	stream_init(&c->stream, -1);
	buf_init(&c->in, IN_MAX);
	timer_start(&c->timer, s->loop, conn_on_time, c);
	if (number != 0)
		map_put(&s->by_number, span_of(&c->number, sizeof(c->number)), c);
	TAILQ_INSERT_HEAD(&s->conns, c, link);
	s->n_conns++;
	return c;
}

struct conn *conn_open(struct sender *s, const struct job *j)
{
	struct conn *c = conn_make(s, j->conn_number, &j->order.target);

	c->most = j->order.conn_messages;
	if (j->order.idle > 0)
		c->patience = j->order.idle;
	return c;
}

void conn_speaks(struct conn *c, int fd, const struct proto_target *t)
{
	stream_init(&c->stream, fd);
	c->engine = client_new(&c->config, loop_now(c->sender->loop));
	metric_add(METRIC_SENDER_CONNECTIONS, 1);
	metric_add(METRIC_SENDER_CONNECTIONS_TOTAL, 1);
	guard_start(c, t);
	conn_watch(c);
	conn_process(c);
}

void conn_connected(struct conn *c, int fd, const struct peer *peer, bool helo_only)
{
	c->peer = *peer;
	c->config.helo_only = helo_only;
	if (clear_hosts_find(&c->sender->unchunked, peer->text, loop_now(c->sender->loop)) != NULL)
		c->config.chunks_from = UINT64_MAX;
	conn_speaks(c, fd, &c->job->order.target);
}

/* ---- another connection takes over ---------------------------------------------------------- */

static struct conn *replace(struct conn *c)
{
	struct job *j = c->job;

	c->job = NULL;
	conn_disown(c); /* the slot goes on with the new connection */
	return conn_open(c->sender, j);
}

void conn_move(struct conn *c)
{
	struct job *j = c->job;
	struct conn *fresh = replace(c);

	fresh->job = j;
	j->conn = fresh;
	fresh->walk = c->walk;
	c->walk = NULL;
	c->moving = false;
	walk_go_on(fresh->walk, fresh);
}

void conn_again(struct conn *c)
{
	struct job *j = c->job;
	struct conn *fresh = replace(c);

	conn_give(fresh, j);
}

void conn_unfit(struct conn *c, const struct reply *r, const char *stage)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = *r,
	    .source = CLIENT_FROM_US,
	    .stage = stage,
	    .site = !reply_permanent(r)};

	if (c->job != NULL && c->walk != NULL) {
		walk_note(c->walk, &ev);
		conn_move(c);
	} else if (c->job != NULL) {
		struct job *j = c->job;

		job_said_all(j, &ev, c->peer.text);
		job_finish(j);
	}
	conn_leave(c);
}

/* ---- from outside -------------------------------------------------------------------------- */

/* Nobody is called for mail that is pulled: who was there has gone. */
static void tell_gone(struct conn *c)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = REPLY(451, 4, 4, 2, "The connection over which it was pulled has ended"),
	    .source = CLIENT_FROM_US,
	    .stage = "connect",
	    .site = true};

	conn_nowhere(c, &ev, "");
}

/* Nothing new while memory is short: what is under way needs the rest. */
static void refuse_job(struct conn *c)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = REPLY(451, 4, 3, 0, "No memory for this delivery"),
	    .source = CLIENT_FROM_US,
	    .stage = "memory",
	    .site = true};
	struct job *j = c->job;

	job_said_all(j, &ev, c->peer.text);
	job_finish(j);
	conn_quit(c);
}

void conn_give(struct conn *c, struct job *j)
{
	blotter_job(j->number, &j->id, c->peer.text, "start");
	c->job = j;
	j->conn = c;
	if (j->order.target.kind != TARGET_ODMR)
		c->most = j->order.conn_messages;
	if (memory_is_spent() && memory_low()) {
		refuse_job(c);
	} else if (c->engine == NULL && j->order.target.kind == TARGET_ODMR) {
		tell_gone(c);
	} else if (c->engine == NULL) {
		walk_begin(c);
	} else if (!guard_fits(&c->guard, j)) {
		conn_again(c);
		conn_quit(c);
	} else if (c->ready) {
		conn_next_job(c);
		conn_process(c);
	}
}

void conn_pump(struct conn *c)
{
	conn_note(c, "body");
	if (c->engine != NULL)
		conn_process(c);
}

void conn_answer(struct conn *c, bool send_dot)
{
	client_answer(c->engine, send_dot, loop_now(c->sender->loop));
	conn_process(c);
}

void conn_unneeded(struct sender *s, uint64_t number)
{
	struct conn *c = conn_find(s, number);

	if (c != NULL && c->job == NULL && c->engine != NULL)
		conn_quit(c);
}
