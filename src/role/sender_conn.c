/* A connection to a remote host: socket, engine, and the job it carries. */
#include "role/sender.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	IN_MAX = 64 << 10,
	READ_STEP = 16 << 10,
	CONNECT_PATIENCE = 30 * 1000000, /* microseconds */
	IDLE_PATIENCE = 5 * 1000000,
};

static void on_io(void *arg, bool readable, bool writable);
static void on_time(void *arg);
static void process(struct conn *c);

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

static void give_back_slot(struct conn *c)
{
	uint64_t number = c->number;

	conn_disown(c);
	if (number != 0)
		sender_say(c->sender, IPC_CLOSED, number, 0);
}

static void conn_free(struct conn *c)
{
	struct sender *s = c->sender;

	gw_assert(c->job == NULL);
	give_back_slot(c);
	watch_stop(&c->watch);
	timer_stop(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	client_free(&c->engine);
	buf_fini(&c->in);
	TAILQ_REMOVE(&s->conns, c, link);
	s->n_conns--;
	metric_add(METRIC_SENDER_CONNECTIONS, -1);
	free(c);
	if (s->stopping && s->n_conns == 0)
		master_link_done(&s->master);
}

/* The connection could not be used at all: what waits for it failed with the host. */
static void fail(struct conn *c, const struct reply *r, const char *stage)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = *r,
	    .source = CLIENT_FROM_US,
	    .stage = stage,
	    .site = true};

	if (c->job != NULL) {
		struct job *j = c->job;

		job_said_all(j, &ev, c->name);
		job_finish(j);
	}
	conn_free(c);
}

static void fail_errno(struct conn *c, int err)
{
	char text[400];
	struct reply r = {451, {4, 4, 1}, {0}};

	snprintf(text, sizeof(text), "Cannot connect to %s: %s", c->name, strerror(err));
	r.text = span_str(text);
	fail(c, &r, "connect");
}

/* ---- opening ------------------------------------------------------------------------------- */

static socklen_t make_address(const struct proto_target *t, struct sockaddr_storage *sa)
{
	struct sockaddr_un *un = (struct sockaddr_un *)sa;
	struct sockaddr_in *in = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)sa;
	char host[INET6_ADDRSTRLEN];

	memset(sa, 0, sizeof(*sa));
	if (t->path.n > 0) {
		un->sun_family = AF_UNIX;
		span_to_cstr(t->path, un->sun_path, sizeof(un->sun_path));
		return t->path.n < sizeof(un->sun_path) ? sizeof(*un) : 0;
	}
	span_to_cstr(t->host, host, sizeof(host));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(t->port);
		return sizeof(*in);
	}
	if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(t->port);
	return sizeof(*six);
}

static void name_conn(struct conn *c, const struct proto_target *t)
{
	if (t->path.n > 0)
		snprintf(c->name, sizeof(c->name), "unix:%.*s", SPAN_ARG(span_first(t->path, 256)));
	else
		snprintf(c->name, sizeof(c->name), "%.*s:%u", SPAN_ARG(span_first(t->host, 256)),
		    t->port);
}

/* The error, 0 when connected, EINPROGRESS. */
static int start_connect(struct conn *c, const struct proto_target *t)
{
	struct sockaddr_storage sa;
	socklen_t len = make_address(t, &sa);
	int on = 1;

	if (len == 0)
		return EADDRNOTAVAIL; /* a name: the resolver comes with its issue */
	c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errno;
	if (sa.ss_family != AF_UNIX)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return connect(c->fd, (struct sockaddr *)&sa, len) == 0 ? 0 : errno;
}

static void connected(struct conn *c, bool lmtp)
{
	c->connecting = false;
	c->limit = INT64_MAX;
	c->engine =
	    client_new(lmtp ? &c->sender->lmtp : &c->sender->smtp, loop_now(c->sender->loop));
}

struct conn *conn_open(struct sender *s, const struct job *j)
{
	struct conn *c = gw_calloc(1, sizeof(*c));

	c->sender = s;
	c->number = j->conn_number;
	c->most = j->order.conn_messages;
	c->target.kind = j->order.target.kind;
	c->fd = -1;
	c->connecting = true;
	c->limit = loop_now(s->loop) + CONNECT_PATIENCE;
	buf_init(&c->in, IN_MAX);
	timer_start(&c->timer, s->loop, on_time, c);
	name_conn(c, &j->order.target);
	map_put(&s->by_number, span_of(&c->number, sizeof(c->number)), c);
	TAILQ_INSERT_HEAD(&s->conns, c, link);
	s->n_conns++;
	metric_add(METRIC_SENDER_CONNECTIONS, 1);
	metric_add(METRIC_SENDER_CONNECTIONS_TOTAL, 1);
	return c;
}

static void begin(struct conn *c, const struct proto_target *t)
{
	int err = start_connect(c, t);

	if (err != 0 && err != EINPROGRESS) {
		fail_errno(c, err);
		return;
	}
	watch_start(&c->watch, c->sender->loop, c->fd, on_io, c);
	watch_want(&c->watch, false, true);
	timer_set(&c->timer, c->limit);
}

/* ---- events of the engine ------------------------------------------------------------------ */

static void next_job(struct conn *c)
{
	uint32_t mailmax = client_peer_limits(c->engine).mailmax;

	c->ready = true;
	if (mailmax != 0 && mailmax < c->most)
		c->most = mailmax;
	if (c->job != NULL) {
		c->ready = false;
		c->limit = INT64_MAX;
		c->messages++;
		client_send(c->engine, &c->job->txn, loop_now(c->sender->loop));
		return;
	}
	if (c->messages >= c->most || c->sender->stopping || c->number == 0) {
		c->ready = false;
		give_back_slot(c);
		client_quit(c->engine, loop_now(c->sender->loop));
		return;
	}
	c->limit = loop_now(c->sender->loop) + IDLE_PATIENCE;
}

/* A reused connection that the peer had closed meanwhile says nothing of this message. */
static bool is_stale(const struct conn *c, const struct client_event *ev)
{
	return c->messages > 1 && !c->job->body_started && ev->site &&
	       ev->source == CLIENT_FROM_US && strcmp(ev->stage, "mail") == 0;
}

static void on_rcpt(struct conn *c, const struct client_event *ev)
{
	if (c->job == NULL || c->job->order.n_rcpt <= ev->rcpt || is_stale(c, ev))
		return;
	job_said(c->job, ev->rcpt, ev, c->name);
}

static void on_done(struct conn *c)
{
	struct job *j = c->job;

	c->wants_body = false;
	if (j == NULL)
		return;
	for (size_t i = 0; i < j->order.n_rcpt; i++) {
		if (!j->rcpt[i].known)
			return; /* stale: it starts again on a new connection */
	}
	job_finish(j);
}

/* Nobody waits for it any more: the connection was given up by its queue. */
static void on_before_dot(struct conn *c)
{
	if (c->job != NULL)
		job_ask_go(c->job);
}

static void on_event(struct conn *c, const struct client_event *ev)
{
	switch (ev->type) {
	case CLIENT_READY: next_job(c); break;
	case CLIENT_WANT_BODY: c->wants_body = true; break;
	case CLIENT_BEFORE_DOT: on_before_dot(c); break;
	case CLIENT_RCPT: on_rcpt(c, ev); break;
	case CLIENT_DONE: on_done(c); break;
	case CLIENT_ANSWER: break; /* nothing is said between transactions */
	case CLIENT_CLOSED: break;
	}
}

/* The engine is through. A job that is left over gets its reason, or another connection. */
static void closed(struct conn *c, const struct client_event *last)
{
	struct job *j = c->job;
	struct sender *s = c->sender;

	if (j != NULL && c->messages > 1 && !j->body_started && !j->rcpt[0].known) {
		struct conn *fresh;

		c->job = NULL;
		conn_disown(c); /* the slot goes on with the new connection */
		fresh = conn_open(s, j);
		conn_free(c);
		conn_give(fresh, j);
		return;
	}
	if (j != NULL) {
		struct client_event ev = *last;

		ev.site = true;
		if (reply_ok(&ev.reply))
			ev.reply =
			    REPLY(451, 4, 4, 2, "The connection ended before the message was sent");
		job_said_all(j, &ev, c->name);
		job_finish(j);
	}
	conn_free(c);
}

/* ---- bytes --------------------------------------------------------------------------------- */

static void write_output(struct conn *c)
{
	struct span out;

	while ((out = client_output(c->engine)).n > 0) {
		ssize_t n = send(c->fd, out.p, out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				client_eof(c->engine, loop_now(c->sender->loop));
			return;
		}
		client_sent(c->engine, (size_t)n, loop_now(c->sender->loop));
	}
}

/* False: the engine is through and c is gone. */
static bool take_events(struct conn *c)
{
	struct client_event ev,
	    last = {.reply = REPLY(451, 4, 4, 2, "The connection ended"), .stage = "idle"};
	int more;

	while ((more = client_next(c->engine, &ev)) == 1) {
		on_event(c, &ev);
		last = ev;
	}
	if (more == 0)
		return true;
	closed(c, &last);
	return false;
}

static void set_timer(struct conn *c)
{
	int64_t at = client_deadline(c->engine);

	timer_set(&c->timer, c->limit < at ? c->limit : at);
}

/* Feeds, writes and pumps until nothing moves. */
static void process(struct conn *c)
{
	int64_t now = loop_now(c->sender->loop);
	size_t before, moved;

	do {
		if (!take_events(c))
			return;
		before = client_output(c->engine).n;
		blotter_stage("writing");
		if (c->wants_body && c->job != NULL)
			job_feed_engine(c->job, c->engine, now);
		if (!take_events(c))
			return;
		write_output(c);
		if (!take_events(c))
			return;
		blotter_stage(BLOTTER_READING);
		moved = client_feed(c->engine, buf_view(&c->in), now);
		buf_drop(&c->in, moved);
	} while (moved > 0 || (before > 0 && client_output(c->engine).n == 0) ||
		 (c->wants_body && c->job != NULL && buf_len(&c->job->body) > 0 &&
		     client_output(c->engine).n == 0));
	buf_trim(&c->in);
	watch_want(&c->watch, true, client_output(c->engine).n > 0);
	set_timer(c);
}

static void read_input(struct conn *c)
{
	uint8_t *to = buf_room(&c->in, READ_STEP);
	ssize_t n = to ? recv(c->fd, to, READ_STEP, 0) : 0;

	if (n > 0)
		buf_commit(&c->in, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != EWOULDBLOCK))
		client_eof(c->engine, loop_now(c->sender->loop));
}

static void finish_connect(struct conn *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err != 0) {
		fail_errno(c, err);
		return;
	}
	connected(c, c->target.kind == TARGET_LMTP);
	watch_want(&c->watch, true, false);
	process(c);
}

/* What a crash from here on is to be blamed on. */
static void note_job(const struct conn *c, const char *stage)
{
	if (c->job != NULL)
		blotter_job(c->job->number, &c->job->id, c->name, stage);
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct conn *c = arg;

	(void)writable;
	note_job(c, BLOTTER_READING);
	if (c->connecting) {
		finish_connect(c);
	} else {
		if (readable)
			read_input(c);
		process(c);
	}
	blotter_clear();
}

static void time_passed(struct conn *c)
{
	int64_t now = loop_now(c->sender->loop);

	if (c->connecting) {
		fail_errno(c, ETIMEDOUT);
		return;
	}
	if (c->limit <= now && c->ready && c->job == NULL) {
		conn_quit(c);
		return;
	}
	if (client_deadline(c->engine) <= now)
		client_tick(c->engine, now);
	process(c);
}

static void on_time(void *arg)
{
	note_job(arg, "time");
	time_passed(arg);
	blotter_clear();
}

/* ---- from outside -------------------------------------------------------------------------- */

/* Nothing new while memory is short: what is under way needs the rest. */
static void refuse_job(struct conn *c)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = REPLY(451, 4, 3, 0, "No memory for this delivery"),
	    .source = CLIENT_FROM_US,
	    .stage = "memory",
	    .site = true};
	struct job *j = c->job;

	job_said_all(j, &ev, c->name);
	job_finish(j);
	conn_quit(c);
}

void conn_give(struct conn *c, struct job *j)
{
	blotter_job(j->number, &j->id, c->name, "start");
	c->job = j;
	j->conn = c;
	c->most = j->order.conn_messages;
	if (memory_is_spent() && memory_low()) {
		refuse_job(c);
		return;
	}
	if (c->fd < 0)
		begin(c, &j->order.target);
	else if (c->ready) {
		next_job(c);
		process(c);
	}
}

void conn_pump(struct conn *c)
{
	note_job(c, "body");
	if (!c->connecting && c->engine != NULL)
		process(c);
}

void conn_answer(struct conn *c, bool send_dot)
{
	client_answer(c->engine, send_dot, loop_now(c->sender->loop));
	process(c);
}

void conn_quit(struct conn *c)
{
	if (c->connecting) {
		conn_free(c);
		return;
	}
	give_back_slot(c);
	c->ready = false;
	c->limit = INT64_MAX;
	client_quit(c->engine, loop_now(c->sender->loop));
	process(c);
}
