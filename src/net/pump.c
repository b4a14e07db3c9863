#include "net/pump.h"

#include <sys/socket.h>

enum { READ_STEP = 16 << 10, ROUNDS = 16 /* in one turn of the loop: others wait, too */ };

static void way_init(struct pump_way *w, struct stream *from, struct stream *to)
{
	*w = (struct pump_way){.from = from, .to = to};
	buf_init(&w->waiting, PUMP_BUFFER);
}

/* True if something moved. */
static bool fill(struct pump_way *w)
{
	uint8_t *to;
	ptrdiff_t n;

	if (w->from_ended || buf_space(&w->waiting) < READ_STEP)
		return false;
	to = buf_room(&w->waiting, READ_STEP);
	if (to == NULL)
		return false;
	n = stream_read(w->from, to, READ_STEP);
	if (n == GW_EBUSY)
		return false;
	if (n > 0)
		buf_commit(&w->waiting, (size_t)n);
	else
		w->from_ended = true;
	return true;
}

/* Nobody takes it any more. */
static void give_up(struct pump_way *w)
{
	buf_clear(&w->waiting);
	w->closed = w->from_ended = true;
}

static bool drain(struct pump_way *w)
{
	bool moved = false;
	ptrdiff_t n;

	while (!w->closed && buf_len(&w->waiting) > 0) {
		n = stream_write(w->to, buf_view(&w->waiting));
		if (n == GW_EBUSY)
			return moved;
		moved = true;
		if (n < 0) {
			give_up(w);
			return true;
		}
		buf_drop(&w->waiting, (size_t)n);
		w->carried += (uint64_t)n;
	}
	buf_trim(&w->waiting);
	return moved;
}

/* The end of what comes is passed on behind it. With TLS that is the end of both directions. */
static bool pass_end(struct pump_way *w)
{
	if (w->closed || !w->from_ended || buf_len(&w->waiting) > 0)
		return false;
	w->closed = true;
	if (w->to->tls)
		stream_shut(w->to);
	else
		shutdown(w->to->fd, SHUT_WR);
	return true;
}

static bool way_moves(struct pump_way *w)
{
	bool filled = fill(w), drained = drain(w), ended = pass_end(w);

	return filled || drained || ended;
}

static void wait_for(struct watch *w, const struct pump_way *in, const struct pump_way *out)
{
	bool reads = !in->from_ended && buf_space(&in->waiting) >= READ_STEP;
	bool writes = (!out->closed && buf_len(&out->waiting) > 0) || in->from->wants_write;

	watch_want(w, reads, writes);
}

static void step(struct pump *p)
{
	bool more = true;

	for (int i = 0; more && i < ROUNDS; i++) {
		bool in = way_moves(&p->in), out = way_moves(&p->out);

		more = in || out;
	}
	if (p->in.closed && p->out.closed) {
		p->over(p->arg);
		return;
	}
	if ((p->in.from_ended || p->out.from_ended) && p->timer.at == INT64_MAX)
		timer_set(&p->timer, loop_now(p->loop) + PUMP_PATIENCE);
	if (more)
		flush_mark(&p->again, p->loop);
	wait_for(&p->peer_watch, &p->in, &p->out);
	wait_for(&p->pair_watch, &p->out, &p->in);
}

static void moved(void *arg, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	step(arg);
}

static void late(void *arg)
{
	struct pump *p = arg;

	give_up(&p->in);
	give_up(&p->out);
	p->over(p->arg);
}

static void again(void *arg)
{
	step(arg);
}

void pump_start(struct pump *p, struct loop *l, struct stream *peer, struct stream *pair,
    struct span early, void (*over)(void *), void *arg)
{
	*p = (struct pump){.loop = l, .peer = peer, .pair = pair, .over = over, .arg = arg};
	way_init(&p->in, peer, pair);
	way_init(&p->out, pair, peer);
	if (buf_add_span(&p->in.waiting, early) < 0)
		give_up(&p->in);
	watch_start(&p->peer_watch, l, peer->fd, moved, p);
	watch_start(&p->pair_watch, l, pair->fd, moved, p);
	timer_start(&p->timer, l, late, p);
	/* The first step is one of the loop's: over() is never called from within. */
	flush_init(&p->again, again, p);
	flush_mark(&p->again, l);
}

void pump_stop(struct pump *p)
{
	watch_stop(&p->peer_watch);
	watch_stop(&p->pair_watch);
	timer_stop(&p->timer);
	flush_unmark(&p->again, p->loop);
	buf_fini(&p->in.waiting);
	buf_fini(&p->out.waiting);
}
