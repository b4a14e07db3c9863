/*
 * The event loop: descriptors, timers, and outputs that are written once per
 * turn. A thin layer over libevent, so that libraries which bring their own
 * libevent hooks (libunbound, evhttp) share it: loop_base().
 *
 * One turn: run the flush hooks that were marked, write the log, wait for events. Hooks
 * may mark others (and themselves); the loop waits only when none is marked.
 * Structs are embedded in their owners, who stop them before they go away.
 */
#ifndef GW_NET_LOOP_H
#define GW_NET_LOOP_H

#include "base/base.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

struct loop;

struct loop *loop_new(void) gw_checked;
void loop_free(struct loop **l);
/* Runs until loop_stop(); returns what was given there. */
int loop_run(struct loop *l);
/* One turn; wait: block until something happens. For tests. */
void loop_once(struct loop *l, bool wait);
void loop_stop(struct loop *l, int status);
struct event_base *loop_base(struct loop *l);
/* The time, microseconds, as timers count it (clock_now). */
int64_t loop_now(const struct loop *l);

/* ---- a descriptor; not owned ---- */
struct watch {
	struct event ev;
	struct loop *loop;
	int fd;
	short want;
	void (*fn)(void *arg, bool readable, bool writable);
	void *arg;
};
void watch_start(
    struct watch *w, struct loop *l, int fd, void (*fn)(void *, bool, bool), void *arg);
/* What to wait for; neither: the watch sleeps. */
void watch_want(struct watch *w, bool read, bool write);
void watch_stop(struct watch *w);

/* ---- a point in time ---- */
struct timer {
	struct event ev;
	struct loop *loop;
	int64_t at; /* INT64_MAX: not set */
	void (*fn)(void *arg);
	void *arg;
};
void timer_start(struct timer *t, struct loop *l, void (*fn)(void *), void *arg);
/* at: as loop_now(); INT64_MAX clears it. Setting the same time again costs nothing. */
void timer_set(struct timer *t, int64_t at);
void timer_stop(struct timer *t);

/* ---- work for the end of this turn ---- */
struct flush {
	TAILQ_ENTRY(flush) link;
	bool marked;
	void (*fn)(void *arg);
	void *arg;
};
void flush_init(struct flush *f, void (*fn)(void *), void *arg);
void flush_mark(struct flush *f, struct loop *l);
void flush_unmark(struct flush *f, struct loop *l);

/* ---- a signal ---- */
struct signal_watch {
	struct event ev;
	void (*fn)(void *arg, int sig);
	void *arg;
};
void signal_start(
    struct signal_watch *s, struct loop *l, int sig, void (*fn)(void *, int), void *arg);
void signal_stop(struct signal_watch *s);

#endif
