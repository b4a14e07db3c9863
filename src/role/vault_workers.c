#include "role/vault_workers.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

struct vault_workers {
	unsigned n, busy; /* busy: as the loop knows it */
	void (*done)(void *, struct vault_job *);
	void *arg;
	struct watch woken;
	int wake_fd;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t work;
	struct vault_job *todo[THREADS_MAX], *finished[THREADS_MAX];
	size_t n_todo, n_finished;
};

static void wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		die("vault: the loop cannot be woken");
}

static void *run(void *arg)
{
	struct vault_workers *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct vault_job *j;

		while (w->n_todo == 0)
			pthread_cond_wait(&w->work, &w->lock);
		j = w->todo[--w->n_todo];
		pthread_mutex_unlock(&w->lock);
		j->answer = passhash_check(j->hash, j->password);
		pthread_mutex_lock(&w->lock);
		w->finished[w->n_finished++] = j;
		wake(w->wake_fd);
	}
	return NULL;
}

static void on_wake(void *arg, bool readable, bool writable)
{
	struct vault_workers *w = arg;
	struct vault_job *list[THREADS_MAX];
	uint64_t count;
	size_t n;

	(void)readable;
	(void)writable;
	if (read(w->wake_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&w->lock);
	n = w->n_finished;
	memcpy(list, w->finished, n * sizeof(list[0]));
	w->n_finished = 0;
	pthread_mutex_unlock(&w->lock);
	w->busy -= (unsigned)n;
	for (size_t i = 0; i < n; i++)
		w->done(w->arg, list[i]);
}

struct vault_workers *vault_workers_new(
    unsigned n, void (*done)(void *, struct vault_job *), void *arg)
{
	struct vault_workers *w = gw_calloc(1, sizeof(*w));

	gw_assert(n > 0 && n <= THREADS_MAX);
	w->n = n;
	w->done = done;
	w->arg = arg;
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0)
		die("vault: no eventfd");
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	for (unsigned i = 0; i < n; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, run, w) != 0)
			die("vault: no thread");
		pthread_detach(t);
	}
	return w;
}

void vault_workers_start(struct vault_workers *w, struct loop *l)
{
	watch_start(&w->woken, l, w->wake_fd, on_wake, w);
	watch_want(&w->woken, true, false);
}

bool vault_workers_idle(const struct vault_workers *w)
{
	return w->busy < w->n;
}

void vault_workers_give(struct vault_workers *w, struct vault_job *j)
{
	gw_assert(vault_workers_idle(w));
	w->busy++;
	pthread_mutex_lock(&w->lock);
	w->todo[w->n_todo++] = j;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}
