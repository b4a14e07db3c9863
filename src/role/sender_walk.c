/*
 * From a target to a connected host. Names are asked for; as soon as the first hosts are known
 * their addresses are tried, one after the other. An address that does not answer at once is
 * overtaken by the next of the same preference (RFC 8305), so that a family which leads nowhere
 * costs less than a second; a host of worse preference is tried only when no better one is left.
 */
#include "role/sender_walk.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIND_PATIENCE = 420 * 1000000, /* microseconds, for all hosts, what they say included */
	CONNECT_PATIENCE = 30 * 1000000,
	CONNECT_SHORT = 10 * 1000000, /* while there are others to be tried */
	OVERTAKE_FAMILY = 300 * 1000, /* by the other family */
	SHORT_OF_SOCKETS = 250 * 1000,
	OVERTAKE_SAME = 2 * 1000000, /* by an address of the same family */
	WALK_ARENA = 512 << 10,
	BEFORE_MAX = 300,
};

/* ---- what came of it ------------------------------------------------------------------------ */

static void describe(struct walk *w, const struct spot *s)
{
	const struct host *h;
	const struct host_address *a = walk_address(w, s, &h);

	peer_name(&w->peer, h, a, walk_target(w)->path);
}

/* The words of the last failure join those before it. */
static void make_history(struct walk *w)
{
	struct span text = span_first(w->why.reply.text, 80);
	ptrdiff_t line = span_find(text, '\n');

	if (w->failures == 0 || buf_len(&w->before) >= BEFORE_MAX)
		return;
	if (line >= 0)
		text = span_first(text, (size_t)line);
	buf_addf(&w->before, "%s%s: %.*s", buf_len(&w->before) > 0 ? ", " : "", w->why_host,
	    SPAN_ARG(text));
}

static void failed(struct walk *w, const struct client_event *ev, struct span why)
{
	job_tried(w->conn->job, w->peer.address, false, why);
	if (w->failures > 0 && !w->why.site)
		return; /* a verdict on the message stands */
	make_history(w);
	w->failures++;
	w->why = *ev;
	w->why.reply.text = arena_dup(&w->arena, ev->reply.text);
	w->why_host = (const char *)arena_dup(&w->arena, span_str(w->peer.text)).p;
	if (w->why_host == NULL)
		w->why_host = "";
}

static void failed_errno(struct walk *w, const struct spot *s, int err)
{
	struct client_event ev = {.type = CLIENT_CLOSED,
	    .reply = {451, {4, 4, 1}, {0}},
	    .source = CLIENT_FROM_US,
	    .stage = "connect",
	    .site = true};
	char text[SENDER_NAME + 100];

	describe(w, s);
	snprintf(text, sizeof(text), "Cannot connect to %s: %s", w->peer.text, strerror(err));
	ev.reply.text = span_str(text);
	failed(w, &ev, span_str(strerror(err)));
}

void walk_note(struct walk *w, const struct client_event *ev)
{
	struct job *j = w->conn->job;
	char why[200];

	w->peer = w->conn->peer;
	if (ev == NULL) {
		job_tried(j, w->peer.address, true, SPAN_NONE);
		return;
	}
	snprintf(why, sizeof(why), "%s: %u %.*s", ev->stage, ev->reply.code,
	    SPAN_ARG(span_first(ev->reply.text, 160)));
	failed(w, ev, span_str(why));
	if (ev->source == CLIENT_FROM_PEER)
		w->away_v6 = w->away_v6 || w->peer.family == AF_INET6;
}

/* What the recipients are told: the last reason, and in short those before it. */
static void tell(struct walk *w)
{
	struct client_event ev = w->why;
	struct buf text;

	buf_init(&text, REPLY_TEXT_MAX + 2 * BEFORE_MAX + SENDER_NAME);
	buf_add_span(&text, ev.reply.text);
	if (buf_len(&w->before) > 0 && ev.site) {
		buf_add_str(&text, "; before that ");
		buf_add_span(&text, buf_view(&w->before));
	}
	ev.reply.text = buf_view(&text);
	conn_nowhere(w->conn, &ev, w->why_host); /* and with it w */
	buf_fini(&text);
}

static void nowhere(struct walk *w)
{
	struct client_event ev = {
	    .type = CLIENT_CLOSED, .source = CLIENT_FROM_US, .stage = "dns", .site = true};

	if (w->failures > 0) {
		tell(w);
		return;
	}
	if (w->sender->shortage != 0) {
		ev.reply = REPLY(451, 4, 3, 0, "No socket for this delivery");
		ev.site = false;
		conn_nowhere(w->conn, &ev, "");
		return;
	}
	ev.reply = w->hosts == NULL || hosts_wait(w->hosts)
		       ? REPLY(451, 4, 4, 3, "The mail hosts could not be found in time")
		       : hosts_reply(w->hosts);
	ev.site = !reply_permanent(&ev.reply);
	conn_nowhere(w->conn, &ev, "");
}

/* ---- connecting ----------------------------------------------------------------------------- */

static size_t running(const struct walk *w)
{
	size_t n = 0;

	for (size_t i = 0; i < WALK_ATTEMPTS; i++)
		n += w->attempt[i].fd >= 0;
	return n;
}

static void set_done(struct walk *w, const struct spot *s, bool done)
{
	uint16_t bit = (uint16_t)(1u << s->address);

	w->done[s->host] = (uint16_t)(done ? w->done[s->host] | bit : w->done[s->host] & ~bit);
}

static void stop_attempts(struct walk *w)
{
	for (size_t i = 0; i < WALK_ATTEMPTS; i++) {
		struct attempt *t = &w->attempt[i];

		if (t->fd >= 0)
			set_done(w, &t->spot, false); /* it was not found wanting */
		attempt_end(t);
	}
}

static void won(struct walk *w, struct attempt *t)
{
	int fd = attempt_take(t);

	describe(w, &t->spot);
	w->last = t->spot;
	stop_attempts(w);
	w->busy = true;
	w->sessions++;
	timer_set(&w->timer, INT64_MAX);
	conn_connected(w->conn, fd, &w->peer, w->helo);
}

static void on_ready(void *arg, bool readable, bool writable)
{
	struct attempt *t = arg;
	struct walk *w = t->walk;
	int err = attempt_result(t);

	(void)readable;
	(void)writable;
	gw_check_magic(w, WALK_MAGIC);
	conn_note(w->conn, "connect");
	if (err == 0) {
		won(w, t);
	} else {
		attempt_end(t);
		failed_errno(w, &t->spot, err);
		w->next_start = walk_now(w);
		walk_step(w);
	}
	blotter_clear();
}

/* Where we have no socket left nobody else is to blame. */
static bool is_shortage(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* False: there was no socket for it. */
static bool start(struct walk *w, const struct spot *s)
{
	const struct host *h;
	const struct host_address *a = walk_address(w, s, &h);
	struct attempt *t = w->attempt;
	int err;

	w->helo = w->helo_next;
	w->again = w->helo_next = false;
	set_done(w, s, true);
	while (t->fd >= 0)
		t++;
	t->spot = *s;
	err = attempt_start(t, w->sender->loop, walk_target(w), a, on_ready);
	sender_shortage(w->sender, is_shortage(err) ? err : 0);
	if (is_shortage(err)) {
		w->again = w->helo;
		set_done(w, s, false);
		return false;
	}
	w->tries++;
	if (err != 0)
		failed_errno(w, s, err);
	return true;
}

/* May "next" overtake what is being connected, and when? INT64_MAX: it waits for its failure. */
static int64_t overtakes_at(const struct walk *w, const struct spot *next)
{
	const struct host *a, *b;
	const struct host_address *to = walk_address(w, next, &a), *from;
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < WALK_ATTEMPTS; i++) {
		const struct attempt *t = &w->attempt[i];
		int64_t then;

		if (t->fd < 0)
			continue;
		from = walk_address(w, &t->spot, &b);
		if (to == NULL || from == NULL || a->preference != b->preference || w->helo)
			return INT64_MAX;
		then = t->started + (to->family != from->family ? OVERTAKE_FAMILY : OVERTAKE_SAME);
		at = at == INT64_MAX || then > at ? then : at;
	}
	return at;
}

/* How long this one may still take. */
static int64_t limit_of(const struct attempt *t, bool others)
{
	return t->started + (others ? CONNECT_SHORT : CONNECT_PATIENCE);
}

static void set_timer(struct walk *w, bool others)
{
	int64_t at = w->deadline < w->next_start ? w->deadline : w->next_start;

	for (size_t i = 0; i < WALK_ATTEMPTS; i++) {
		const struct attempt *t = &w->attempt[i];

		if (t->fd >= 0 && limit_of(t, others) < at)
			at = limit_of(t, others);
	}
	timer_set(&w->timer, at);
}

/* The job waits for a socket as it would wait for its turn; a connection that has nothing to do
 * makes room. */
static void wait_for_socket(struct walk *w)
{
	sender_make_room(w->sender);
	w->next_start = walk_now(w) + SHORT_OF_SOCKETS;
	set_timer(w, true);
}

void walk_step(struct walk *w)
{
	struct spot next;
	enum found f;

	for (;;) {
		f = walk_pick(w, &next);
		w->next_start = INT64_MAX;
		if (f != FOUND_ONE)
			break;
		if (running(w) > 0) {
			w->next_start =
			    running(w) < WALK_ATTEMPTS ? overtakes_at(w, &next) : INT64_MAX;
			if (w->next_start > walk_now(w))
				break;
		}
		if (!start(w, &next)) {
			wait_for_socket(w);
			return;
		}
	}
	if (f == FOUND_NONE && running(w) == 0)
		nowhere(w);
	else
		set_timer(w, f == FOUND_ONE);
}

static void on_time(void *arg)
{
	struct walk *w = arg;
	struct spot next;
	bool others = walk_pick(w, &next) == FOUND_ONE;

	conn_note(w->conn, "connect");
	for (size_t i = 0; i < WALK_ATTEMPTS; i++) {
		struct attempt *t = &w->attempt[i];

		if (t->fd < 0 || (limit_of(t, others) > walk_now(w) && w->deadline > walk_now(w)))
			continue;
		attempt_end(t);
		failed_errno(w, &t->spot, ETIMEDOUT);
	}
	if (w->deadline <= walk_now(w))
		nowhere(w);
	else
		walk_step(w);
	blotter_clear();
}

/* ---- from outside --------------------------------------------------------------------------- */

void walk_begin(struct conn *c)
{
	struct walk *w = gw_calloc(1, sizeof(*w));

	*w = (struct walk){.magic = WALK_MAGIC, .conn = c, .sender = c->sender};
	c->walk = w;
	arena_init(&w->arena, WALK_ARENA);
	buf_init(&w->before, BEFORE_MAX + 2 * SENDER_NAME);
	timer_start(&w->timer, w->sender->loop, on_time, w);
	w->deadline = walk_now(w) + FIND_PATIENCE;
	for (size_t i = 0; i < WALK_ATTEMPTS; i++) {
		w->attempt[i].fd = -1;
		w->attempt[i].walk = w;
	}
	walk_names(w);
	walk_step(w);
}

void walk_go_on(struct walk *w, struct conn *c)
{
	gw_check_magic(w, WALK_MAGIC);
	w->conn = c;
	w->busy = false;
	if (w->deadline <= walk_now(w))
		nowhere(w);
	else
		walk_step(w);
}

bool walk_with_helo(struct walk *w)
{
	if (w->helo)
		return false;
	w->again = w->helo_next = true;
	return true;
}

void walk_same(struct walk *w)
{
	w->again = true;
	w->helo_next = w->helo;
}

void walk_free(struct walk **wp)
{
	struct walk *w = *wp;

	if (w == NULL)
		return;
	gw_check_magic(w, WALK_MAGIC);
	for (struct question *x = w->questions; x != NULL; x = x->next)
		dns_cancel(&w->sender->dns, x->asked);
	stop_attempts(w);
	timer_stop(&w->timer);
	buf_fini(&w->before);
	arena_reset(&w->arena);
	w->magic = 0;
	free(w);
	*wp = NULL;
}
