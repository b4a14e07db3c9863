/* The three threads of the queue role on the real disk: log, index, loop. Made for ThreadSanitizer,
 * but it also fails by itself when a hold is lost. */
#include "spool/store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <cmocka.h>

enum { BATCHES = 300, PER_BATCH = 8, BODY = 3000, LIVE = 64 };

static struct {
	struct store *store;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct store_record batch[PER_BATCH];
	bool full, stop;
} w;

static uint8_t body[BODY];

static void random_octets(void *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t)n)
		abort();
}

static void *log_thread(void *arg)
{
	pthread_mutex_lock(&w.lock);
	for (;;) {
		while (!w.full && !w.stop)
			pthread_cond_wait(&w.done, &w.lock);
		if (!w.full)
			break;
		pthread_mutex_unlock(&w.lock);
		if (store_commit(w.store, w.batch, PER_BATCH) != STORE_DONE)
			abort();
		pthread_mutex_lock(&w.lock);
		w.full = false;
		pthread_cond_broadcast(&w.done);
	}
	pthread_mutex_unlock(&w.lock);
	return arg;
}

static void *index_thread(void *arg)
{
	bool stop = false;

	while (!stop) {
		if (store_prepare(w.store) <= 0)
			usleep(500);
		pthread_mutex_lock(&w.lock);
		stop = w.stop;
		pthread_mutex_unlock(&w.lock);
	}
	return arg;
}

/* The loop goes on reading and retiring while the log thread works. */
static void run_batch(struct extent live[LIVE], unsigned *at)
{
	struct span v = span_of(body, sizeof(body));
	uint8_t have[BODY];

	pthread_mutex_lock(&w.lock);
	for (int i = 0; i < PER_BATCH; i++) {
		w.batch[i] = (struct store_record){.type = REC_MESSAGE, .body = &v, .n_body = 1};
		w.batch[i].meta = SPAN("meta");
	}
	w.full = true;
	pthread_cond_broadcast(&w.done);
	while (w.full) {
		pthread_mutex_unlock(&w.lock);
		struct extent *e = &live[rand() % LIVE];
		if (e->segment != 0) {
			assert_int_equal(store_read_at(w.store, e, 0, have, BODY), BODY);
			assert_memory_equal(have, body, BODY);
		}
		(void)store_retire(w.store);
		pthread_mutex_lock(&w.lock);
	}
	pthread_mutex_unlock(&w.lock);
	/* Results are seen late: until then the store's own holds protect the records. */
	(void)store_retire(w.store);
	for (int i = 0; i < PER_BATCH; i++) {
		struct extent *e = &live[(*at)++ % LIVE];

		assert_int_equal(w.batch[i].status, 0);
		if (e->segment != 0)
			store_release(w.store, e->segment);
		*e = w.batch[i].body_at;
	}
}

static void test_threads(void **state)
{
	struct store_params p = {.segment_size = 1 << 18, .spares = 2, .random = random_octets};
	struct extent live[LIVE] = {{0}};
	struct store_damage damage;
	struct store_record r;
	char path[] = "/tmp/spool-test-XXXXXX", why[80], name[DISK_NAME_MAX];
	pthread_t log, index;
	unsigned at = 0;

	(void)state;
	memset(body, 'b', sizeof(body));
	assert_non_null(mkdtemp(path));
	struct disk *d = disk_posix_new(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_int_equal(store_open(&w.store, d, &p, why, sizeof(why)), 0);
	assert_int_equal(store_recover(w.store, &r, &damage), 0);
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.done, NULL);
	pthread_create(&log, NULL, log_thread, NULL);
	pthread_create(&index, NULL, index_thread, NULL);
	for (int i = 0; i < BATCHES; i++)
		run_batch(live, &at);
	pthread_mutex_lock(&w.lock);
	w.stop = true;
	pthread_cond_broadcast(&w.done);
	pthread_mutex_unlock(&w.lock);
	pthread_join(log, NULL);
	pthread_join(index, NULL);
	store_close(&w.store);
	for (uint64_t l = 0; d->ops->list(d, &l, name) > 0;)
		(void)!d->ops->remove(d, name);
	disk_posix_free(&d);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
