#include "role/queue_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAL_EVERY_NS = 500 * 1000 * 1000, PREPARE_EVERY_S = 1 };

struct entry {
	struct store_record record;
	struct span body[QUEUE_SPANS];
};

struct batch {
	struct entry *entry;
	struct store_record *record; /* as the store wants them */
	size_t n, cap;
	size_t urgent;
	int64_t oldest;
};

struct queue_log {
	struct loop *loop;
	struct store *store;
	struct queue_log_owner owner;
	struct batch filling, at_disk;
	bool busy, hurry, told_undecided;
	size_t last_urgent; /* of the batch before: was there company? */
	struct flush flush;
	struct timer lazy;
	struct watch wake;
	int wake_fd;
	bool threads;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t work;
	bool has_work, heal_only, finished, undecided;
	pthread_cond_t prepare;
	bool wants_prepare;
};

static void flush_turn(void *arg);
static void lazy_over(void *arg);
static void woken(void *arg, bool readable, bool writable);

/* Its waits are not to change when somebody sets the clock. */
static void init_prepare(struct queue_log *q)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->prepare, &attr);
	pthread_condattr_destroy(&attr);
}

struct queue_log *queue_log_new(
    struct loop *l, struct store *s, const struct queue_log_owner *owner)
{
	struct queue_log *q = gw_calloc(1, sizeof(*q));

	q->loop = l;
	q->store = s;
	q->owner = *owner;
	q->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (q->wake_fd < 0)
		die("queue: no eventfd");
	flush_init(&q->flush, flush_turn, q);
	timer_start(&q->lazy, l, lazy_over, q);
	watch_start(&q->wake, l, q->wake_fd, woken, q);
	watch_want(&q->wake, true, false);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->work, NULL);
	init_prepare(q);
	return q;
}

/* ---- the threads ------------------------------------------------------------------------ */

static void wake_loop(struct queue_log *q)
{
	uint64_t one = 1;

	/* It can only fail when it is signalled already. */
	if (write(q->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void say_undecided(struct queue_log *q)
{
	pthread_mutex_lock(&q->lock);
	q->undecided = true;
	pthread_mutex_unlock(&q->lock);
	wake_loop(q);
}

static void heal(struct queue_log *q)
{
	struct timespec pause = {.tv_nsec = HEAL_EVERY_NS};

	say_undecided(q);
	while (store_heal(q->store) != 0)
		nanosleep(&pause, NULL);
	pthread_mutex_lock(&q->lock);
	q->undecided = false;
	pthread_mutex_unlock(&q->lock);
}

static void *log_thread(void *arg)
{
	struct queue_log *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		bool heal_only;

		while (!q->has_work)
			pthread_cond_wait(&q->work, &q->lock);
		q->has_work = false;
		heal_only = q->heal_only;
		pthread_mutex_unlock(&q->lock);
		if (heal_only ||
		    store_commit(q->store, q->at_disk.record, q->at_disk.n) == STORE_UNDECIDED)
			heal(q);
		pthread_mutex_lock(&q->lock);
		q->finished = true;
		q->wants_prepare = true;
		pthread_cond_signal(&q->prepare);
		wake_loop(q);
	}
	return NULL;
}

static void *index_thread(void *arg)
{
	struct queue_log *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PREPARE_EVERY_S;
		if (!q->wants_prepare)
			pthread_cond_timedwait(&q->prepare, &q->lock, &until);
		q->wants_prepare = false;
		pthread_mutex_unlock(&q->lock);
		while (store_prepare(q->store) == 1)
			continue;
		pthread_mutex_lock(&q->lock);
	}
	return NULL;
}

static void start_thread(void *(*fn)(void *), struct queue_log *q, const char *name)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, q) != 0)
		die("queue: cannot start its %s thread", name);
	pthread_detach(t);
}

void queue_log_threads(struct queue_log *q)
{
	start_thread(log_thread, q, "log");
	start_thread(index_thread, q, "index");
	q->threads = true;
}

/* ---- the loop's side --------------------------------------------------------------------- */

static void batch_add(struct batch *b, const struct entry *e)
{
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		b->entry = gw_realloc(b->entry, b->cap * sizeof(*b->entry));
	}
	b->entry[b->n++] = *e;
}

void queue_log_add(struct queue_log *q, enum record_type type, const struct msgid *id, bool own,
    bool urgent, struct span meta, const struct span body[QUEUE_SPANS], void *token)
{
	struct batch *b = &q->filling;
	struct entry e = {
	    .record = {.type = type, .id = *id, .own = own, .meta = meta, .owner = token}};

	memcpy(e.body, body, sizeof(e.body));
	while (e.record.n_body < QUEUE_SPANS && body[e.record.n_body].n > 0)
		e.record.n_body++;
	if (b->n == 0)
		b->oldest = loop_now(q->loop);
	b->urgent += urgent;
	batch_add(b, &e);
	flush_mark(&q->flush, q->loop);
}

/* Entries move while a batch grows, so what points into them is set when it is full. */
static void batch_seal(struct batch *b)
{
	b->record = gw_realloc(b->record, b->cap * sizeof(*b->record));
	for (size_t i = 0; i < b->n; i++) {
		b->record[i] = b->entry[i].record;
		b->record[i].body = b->entry[i].body;
	}
}

static void count_batch(size_t n, int64_t usec)
{
	metric_add(METRIC_COMMITS, 1);
	metric_add(METRIC_COMMIT_RECORDS, (int64_t)n);
	metric_add(METRIC_COMMIT_USEC, usec);
}

static void tell_done(struct queue_log *q)
{
	struct batch *b = &q->at_disk;

	for (size_t i = 0; i < b->n; i++)
		q->owner.done(q->owner.arg, &b->record[i]);
	q->last_urgent = b->urgent;
	b->n = b->urgent = 0;
	q->busy = false;
	q->owner.batch_done(q->owner.arg);
	if (q->filling.n > 0)
		flush_mark(&q->flush, q->loop);
}

static void hand_over(struct queue_log *q, bool heal_only)
{
	pthread_mutex_lock(&q->lock);
	q->has_work = true;
	q->heal_only = heal_only;
	pthread_cond_signal(&q->work);
	pthread_mutex_unlock(&q->lock);
}

static void write_inline(struct queue_log *q)
{
	int64_t start = clock_now();

	if (store_commit(q->store, q->at_disk.record, q->at_disk.n) == STORE_UNDECIDED) {
		hand_over(q, true);
		return;
	}
	count_batch(q->at_disk.n, clock_now() - start);
	tell_done(q);
}

/* Somebody waits, or the oldest record waited long enough. */
static bool is_due(struct queue_log *q)
{
	int64_t at = q->filling.oldest + QUEUE_LAZY;

	if (q->filling.urgent > 0 || q->hurry || loop_now(q->loop) >= at)
		return true;
	timer_set(&q->lazy, at);
	return false;
}

static void flush_turn(void *arg)
{
	struct queue_log *q = arg;
	struct batch spare = q->at_disk;

	if (q->busy || q->filling.n == 0 || !is_due(q))
		return;
	q->at_disk = q->filling;
	q->filling = spare;
	q->filling.n = q->filling.urgent = 0;
	q->busy = true;
	timer_set(&q->lazy, INT64_MAX);
	batch_seal(&q->at_disk);
	if (!q->threads || (q->at_disk.urgent <= 1 && q->last_urgent <= 1))
		write_inline(q);
	else
		hand_over(q, false);
}

static void lazy_over(void *arg)
{
	struct queue_log *q = arg;

	flush_mark(&q->flush, q->loop);
}

static void woken(void *arg, bool readable, bool writable)
{
	struct queue_log *q = arg;
	bool finished, undecided;
	uint64_t count;

	(void)readable;
	(void)writable;
	if (read(q->wake_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&q->lock);
	finished = q->finished;
	undecided = q->undecided;
	q->finished = false;
	pthread_mutex_unlock(&q->lock);
	if (undecided != q->told_undecided) {
		q->told_undecided = undecided;
		q->owner.undecided(q->owner.arg, undecided);
	}
	if (finished) {
		count_batch(q->at_disk.n, 0);
		tell_done(q);
	}
}

bool queue_log_idle(const struct queue_log *q)
{
	return !q->busy && q->filling.n == 0;
}

void queue_log_hurry(struct queue_log *q)
{
	q->hurry = true;
	flush_mark(&q->flush, q->loop);
}
