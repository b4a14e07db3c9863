#include "net/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>
#include <unistd.h>

/* How long the kernel may be short of memory before that ends the process: 5 x 10 ms. */
enum { WATCH_TRIES = 5, WATCH_PAUSE = 10000 };

TAILQ_HEAD(flush_list, flush);

struct loop {
	struct event_base *base;
	struct flush_list marked;
	bool stopped;
	int status;
};

struct loop *loop_new(void)
{
	struct loop *l = gw_calloc(1, sizeof(*l));
	struct event_config *cfg;

	event_set_mem_functions(memory_alloc, memory_realloc, free);
	cfg = event_config_new();
	if (cfg == NULL)
		die("libevent: no memory");
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL)
		die("libevent: no event base");
	TAILQ_INIT(&l->marked);
	return l;
}

void loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	event_base_free((*l)->base);
	free(*l);
	*l = NULL;
}

static void flush_outputs(struct loop *l)
{
	struct flush *f;

	while ((f = TAILQ_FIRST(&l->marked)) != NULL) {
		TAILQ_REMOVE(&l->marked, f, link);
		f->marked = false;
		f->fn(f->arg);
	}
	log_flush();
}

void loop_once(struct loop *l, bool wait)
{
	flush_outputs(l);
	if (l->stopped)
		return;
	if (event_base_loop(l->base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK)) < 0)
		die("libevent: the loop failed");
}

int loop_run(struct loop *l)
{
	while (!l->stopped)
		loop_once(l, true);
	flush_outputs(l);
	return l->status;
}

void loop_stop(struct loop *l, int status)
{
	l->stopped = true;
	l->status = status;
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

int64_t loop_now(const struct loop *l)
{
	(void)l;
	return clock_now();
}

static void watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	w->fn(w->arg, what & EV_READ, what & EV_WRITE);
}

void watch_start(struct watch *w, struct loop *l, int fd, void (*fn)(void *, bool, bool), void *arg)
{
	*w = (struct watch){.loop = l, .fd = fd, .fn = fn, .arg = arg};
}

/* A process that ends takes all that is under way with it, so it is worth to wait a moment. */
static int add_patiently(struct event *ev)
{
	for (int i = 1; event_add(ev, NULL) < 0; i++) {
		if (i == WATCH_TRIES)
			return GW_ENOMEM;
		usleep(WATCH_PAUSE);
	}
	return 0;
}

void watch_want(struct watch *w, bool read, bool write)
{
	short want = (short)((read ? EV_READ : 0) | (write ? EV_WRITE : 0));

	if (want == w->want)
		return;
	if (w->want)
		event_del(&w->ev);
	w->want = want;
	if (want == 0)
		return;
	event_assign(&w->ev, w->loop->base, w->fd, (short)(want | EV_PERSIST), watch_ready, w);
	if (add_patiently(&w->ev) < 0)
		die("libevent: cannot watch descriptor %d", w->fd);
}

void watch_stop(struct watch *w)
{
	if (w->loop != NULL && w->want)
		event_del(&w->ev);
	w->want = 0;
}

static void timer_ready(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;

	(void)fd;
	(void)what;
	t->at = INT64_MAX;
	t->fn(t->arg);
}

void timer_start(struct timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	*t = (struct timer){.loop = l, .at = INT64_MAX, .fn = fn, .arg = arg};
	event_assign(&t->ev, l->base, -1, 0, timer_ready, t);
}

void timer_set(struct timer *t, int64_t at)
{
	int64_t in = at - loop_now(t->loop);
	struct timeval tv;

	if (at == t->at)
		return;
	t->at = at;
	if (at == INT64_MAX) {
		event_del(&t->ev);
		return;
	}
	if (in < 0)
		in = 0;
	tv = (struct timeval){.tv_sec = in / USEC_PER_SEC, .tv_usec = in % USEC_PER_SEC};
	if (event_add(&t->ev, &tv) < 0)
		die("libevent: no memory for a timer");
}

void timer_stop(struct timer *t)
{
	if (t->loop != NULL)
		event_del(&t->ev);
	t->at = INT64_MAX;
}

void flush_init(struct flush *f, void (*fn)(void *), void *arg)
{
	*f = (struct flush){.fn = fn, .arg = arg};
}

void flush_mark(struct flush *f, struct loop *l)
{
	if (f->marked)
		return;
	f->marked = true;
	TAILQ_INSERT_TAIL(&l->marked, f, link);
}

void flush_unmark(struct flush *f, struct loop *l)
{
	if (!f->marked)
		return;
	f->marked = false;
	TAILQ_REMOVE(&l->marked, f, link);
}

static void signal_ready(evutil_socket_t sig, short what, void *arg)
{
	struct signal_watch *s = arg;

	(void)what;
	s->fn(s->arg, (int)sig);
}

void signal_start(
    struct signal_watch *s, struct loop *l, int sig, void (*fn)(void *, int), void *arg)
{
	*s = (struct signal_watch){.fn = fn, .arg = arg};
	event_assign(&s->ev, l->base, sig, EV_SIGNAL | EV_PERSIST, signal_ready, s);
	if (event_add(&s->ev, NULL) < 0)
		die("libevent: cannot watch signal %d", sig);
}

void signal_stop(struct signal_watch *s)
{
	event_del(&s->ev);
}
