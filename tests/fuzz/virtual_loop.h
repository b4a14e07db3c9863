/*
 * The loop (net/loop.h) under a clock of the fuzzer's own: the same functions over poll(2), so that
 * machines with descriptors and timers run as they are, and hours pass in no time. Included by one
 * file of a fuzzer; net/loop.c is not linked then.
 */
#ifndef GW_FUZZ_VIRTUAL_LOOP_H
#define GW_FUZZ_VIRTUAL_LOOP_H

#include "net/loop.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

enum {
	VIRTUAL_WATCHES = 256,
	VIRTUAL_TIMERS = 256,
	VIRTUAL_TURNS = 20000, /* beyond it somebody runs in circles */
};

struct loop {
	int64_t now;
	struct watch *watch[VIRTUAL_WATCHES];
	struct timer *timer[VIRTUAL_TIMERS];
	size_t n_watch, n_timer;
	TAILQ_HEAD(, flush) marked;
};

static void virtual_init(struct loop *l, int64_t now)
{
	*l = (struct loop){.now = now};
	TAILQ_INIT(&l->marked);
}

int64_t loop_now(const struct loop *l)
{
	return l->now;
}

/* ---- descriptors */

void watch_start(struct watch *w, struct loop *l, int fd, void (*fn)(void *, bool, bool), void *arg)
{
	*w = (struct watch){.loop = l, .fd = fd, .fn = fn, .arg = arg};
}

static size_t watch_place(const struct loop *l, const struct watch *w)
{
	size_t i = 0;

	while (i < l->n_watch && l->watch[i] != w)
		i++;
	return i;
}

void watch_want(struct watch *w, bool read, bool write)
{
	struct loop *l = w->loop;
	size_t i = watch_place(l, w);

	w->want = (short)((read ? POLLIN : 0) | (write ? POLLOUT : 0));
	if (w->want != 0 && i == l->n_watch) {
		MUST(l->n_watch < VIRTUAL_WATCHES);
		l->watch[l->n_watch++] = w;
	} else if (w->want == 0 && i < l->n_watch) {
		l->watch[i] = l->watch[--l->n_watch];
	}
}

void watch_stop(struct watch *w)
{
	if (w->loop != NULL)
		watch_want(w, false, false);
}

/* ---- times */

void timer_start(struct timer *t, struct loop *l, void (*fn)(void *), void *arg)
{
	*t = (struct timer){.loop = l, .at = INT64_MAX, .fn = fn, .arg = arg};
}

void timer_set(struct timer *t, int64_t at)
{
	struct loop *l = t->loop;
	size_t i = 0;

	t->at = at;
	while (i < l->n_timer && l->timer[i] != t)
		i++;
	if (at != INT64_MAX && i == l->n_timer) {
		MUST(l->n_timer < VIRTUAL_TIMERS);
		l->timer[l->n_timer++] = t;
	} else if (at == INT64_MAX && i < l->n_timer) {
		l->timer[i] = l->timer[--l->n_timer];
	}
}

void timer_stop(struct timer *t)
{
	if (t->loop != NULL)
		timer_set(t, INT64_MAX);
}

/* ---- the end of a turn */

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

/* ---- turns */

static bool virtual_flush(struct loop *l)
{
	struct flush *f = TAILQ_FIRST(&l->marked);

	if (f == NULL)
		return false;
	flush_unmark(f, l);
	f->fn(f->arg);
	return true;
}

static struct timer *virtual_first(const struct loop *l)
{
	struct timer *first = NULL;

	for (size_t i = 0; i < l->n_timer; i++) {
		if (first == NULL || l->timer[i]->at < first->at)
			first = l->timer[i];
	}
	return first;
}

static bool virtual_time(struct loop *l)
{
	struct timer *t = virtual_first(l);

	if (t == NULL || t->at > l->now)
		return false;
	timer_set(t, INT64_MAX);
	t->fn(t->arg);
	return true;
}

/* One that is ready; the others may be gone when it is through. */
static bool virtual_io(struct loop *l)
{
	struct pollfd p[VIRTUAL_WATCHES];

	for (size_t i = 0; i < l->n_watch; i++)
		p[i] = (struct pollfd){.fd = l->watch[i]->fd, .events = l->watch[i]->want};
	if (l->n_watch == 0 || poll(p, l->n_watch, 0) <= 0)
		return false;
	for (size_t i = 0; i < l->n_watch; i++) {
		struct watch *w = l->watch[i];
		bool over = p[i].revents & (POLLERR | POLLHUP);

		MUST((p[i].revents & POLLNVAL) == 0);
		if (p[i].revents == 0)
			continue;
		w->fn(w->arg, (w->want & POLLIN) && (over || (p[i].revents & POLLIN)),
		    (w->want & POLLOUT) && (over || (p[i].revents & POLLOUT)));
		return true;
	}
	return false;
}

/* Until nothing more happens at this time. */
static void virtual_settle(struct loop *l)
{
	unsigned turns = 0;

	while (virtual_flush(l) || virtual_time(l) || virtual_io(l))
		MUST(++turns < VIRTUAL_TURNS);
}

/* Time passes; what is due on the way happens at its own time. */
static void virtual_forward(struct loop *l, int64_t usec)
{
	int64_t until = l->now + usec;
	struct timer *t;

	virtual_settle(l);
	while ((t = virtual_first(l)) != NULL && t->at <= until) {
		l->now = t->at > l->now ? t->at : l->now;
		virtual_settle(l);
	}
	l->now = until;
	virtual_settle(l);
}

#endif
