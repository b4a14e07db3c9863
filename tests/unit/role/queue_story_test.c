/* The queue's side of the history: everything durable is told once and in order, whoever is slow.
 */
#include "../spool/fixture.h"

#include "role/queue_story.h"

#include <stdlib.h>

struct side {
	struct world *w;
	struct loop *loop;
	struct ipc *queue, *history;
	struct story story;
	struct config config;
	char told[65536]; /* the metas that came, of this epoch */
	size_t n_told;
	unsigned frames, owed;
	uint32_t epoch;
	struct story_place at;
	bool deaf; /* answers nothing */
};

static void send_place(struct side *s, enum ipc_type type)
{
	struct proto_story p = {.epoch = s->epoch, .at = s->at};
	struct span part;
	struct buf b;

	buf_init(&b, STORY_HEAD);
	proto_put_story(&b, &p);
	part = buf_view(&b);
	assert_int_equal(ipc_send(s->history, type, &part, 1, -1), 0);
	buf_fini(&b);
}

static void answer(struct side *s)
{
	for (; s->owed > 0; s->owed--)
		send_place(s, IPC_STORY_KEPT);
}

static void on_story(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct cursor cur = cursor_of(f->payload);
	struct side *s = arg;
	enum story_type type;
	struct proto_story p;
	struct span meta;
	int more;

	(void)c;
	assert_int_equal(proto_get_story(&cur, &p), 0);
	s->frames++;
	s->owed++;
	while ((more = proto_get_story_record(&cur, &type, &meta)) == 1 && p.epoch == s->epoch) {
		memcpy(s->told + s->n_told, meta.p, meta.n);
		s->n_told += meta.n;
	}
	assert_true(more >= 0);
	if (p.epoch == s->epoch)
		s->at = p.at;
	if (!s->deaf)
		answer(s);
}

static void on_answer(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct side *s = arg;

	(void)c;
	assert_int_equal(story_frame(&s->story, f), 0);
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	(void)arg;
	(void)c;
	fail_msg("closed: %s", why);
}

/* A history that is told from this place on. */
static void connect_history(struct side *s, const struct story_place *at)
{
	struct ipc_owner q = {.frame = on_answer, .closed = on_closed, .arg = s};
	struct ipc_owner h = {.frame = on_story, .closed = on_closed, .arg = s};
	int fd[2];

	story_channel(&s->story, NULL);
	ipc_free(&s->queue);
	ipc_free(&s->history);
	assert_int_equal(ipc_pair(fd), 0);
	s->queue = ipc_new(s->loop, fd[0], ROLE_QUEUE, ROLE_HISTORY, 0, &q);
	s->history = ipc_new(s->loop, fd[1], ROLE_HISTORY, ROLE_QUEUE, 0, &h);
	s->owed = 0;
	s->at = *at;
	s->epoch++;
	story_channel(&s->story, s->queue);
	send_place(s, IPC_STORY_BEGIN);
}

static void turn(struct side *s)
{
	struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};

	for (int i = 0; i < 30; i++) {
		loop_once(s->loop, false);
		nanosleep(&pause, NULL);
	}
}

static int set_up(void **state)
{
	struct side *s = gw_calloc(1, sizeof(*s));
	void *w = NULL;
	int rc = world_set_up(&w);

	s->w = w;
	s->loop = loop_new();
	s->config.store.segment = SEGMENT;
	story_init(&s->story, s->loop, s->w->store, &s->config);
	*state = s;
	return rc;
}

static int tear_down(void **state)
{
	struct side *s = *state;
	void *w = s->w;

	timer_stop(&s->story.due);
	store_walk_free(&s->story.walk);
	buf_fini(&s->story.frame);
	ipc_free(&s->queue);
	ipc_free(&s->history);
	loop_free(&s->loop);
	free(s);
	return world_tear_down(&w);
}

/* Made durable, and said so as the queue does; told: not yet, as when the loop has not come to it.
 */
static void put(struct side *s, const char *meta, bool told)
{
	struct store_record r = world_record(meta, NULL);

	assert_int_equal(store_commit(s->w->store, &r, 1), STORE_DONE);
	assert_int_equal(r.status, 0);
	if (told)
		story_durable(&s->story, &r);
	store_release(s->w->store, r.meta_at.segment);
}

static const struct story_place nowhere;

#define TOLD(s, text) \
	do { \
		turn(s); \
		(s)->told[(s)->n_told] = '\0'; \
		assert_string_equal((s)->told, text); \
	} while (0)

static void from_the_log_and_then_live(void **state)
{
	struct side *s = *state;

	put(s, "a", true);
	put(s, "b", true);
	connect_history(s, &nowhere);
	TOLD(s, "ab");
	assert_true(s->story.live);
	put(s, "c", true);
	put(s, "d", true);
	TOLD(s, "abcd");
	assert_true(s->frames <= 3);
	assert_int_equal(s->story.under_way, 0);
}

/* Durable and read from the log already, but the loop comes to it only now. */
static void told_by_the_log_first(void **state)
{
	struct side *s = *state;
	struct store_record r = world_record("b", NULL);

	put(s, "a", true);
	assert_int_equal(store_commit(s->w->store, &r, 1), STORE_DONE);
	connect_history(s, &nowhere);
	TOLD(s, "ab");
	story_durable(&s->story, &r);
	put(s, "c", true);
	TOLD(s, "abc");
	store_release(s->w->store, r.meta_at.segment);
}

static void a_new_history_goes_on(void **state)
{
	struct side *s = *state;
	struct story_place at;

	connect_history(s, &nowhere);
	put(s, "a", true);
	TOLD(s, "a");
	at = s->at;
	put(s, "b", true);
	TOLD(s, "ab");
	/* The one that knew of b is gone. */
	connect_history(s, &at);
	put(s, "c", true);
	TOLD(s, "abbc");
}

/* Nothing is lost when it does not answer for long, and no more than its share is under way. */
static void slow_and_then_not(void **state)
{
	struct side *s = *state;
	char want[65536] = "", one[16];

	connect_history(s, &nowhere);
	TOLD(s, "");
	s->deaf = true;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(one, sizeof(one), "%u,", i);
		strcat(want, one);
		put(s, one, true);
		timer_set(&s->story.due, 0);
		loop_once(s->loop, false);
		loop_once(s->loop, false);
	}
	turn(s);
	assert_int_equal(s->story.under_way, STORY_MOST);
	assert_false(s->story.live);
	s->deaf = false;
	answer(s);
	TOLD(s, want);
	assert_true(s->story.live);
}

/* It could not keep what it was told: it is told again, and what was on its way is void. */
static void begins_again(void **state)
{
	struct side *s = *state;
	struct story_place at;

	connect_history(s, &nowhere);
	put(s, "a", true);
	TOLD(s, "a");
	at = s->at;
	s->deaf = true;
	put(s, "b", true);
	turn(s);
	s->n_told = 1;
	s->deaf = false;
	s->at = at;
	s->epoch++;
	answer(s);
	send_place(s, IPC_STORY_BEGIN);
	put(s, "c", true);
	TOLD(s, "abc");
}

static void no_memory_no_reading(void **state)
{
	struct side *s = *state;

	connect_history(s, &nowhere);
	TOLD(s, "");
	story_house(&s->story, true);
	put(s, "a", true);
	TOLD(s, "");
	story_house(&s->story, false);
	TOLD(s, "a");
}

static void what_the_log_keeps_for_it(void **state)
{
	struct side *s = *state;
	struct store_stat st;

	s->story.keep = 2;
	connect_history(s, &nowhere);
	put(s, "a", true);
	turn(s);
	s->deaf = true;
	for (int i = 0; i < 6; i++) {
		static uint8_t big[SEGMENT];
		struct span body = span_of(big, SEGMENT - SEGMENT_START - 2 * RECORD_HEADER - 64);
		struct store_record r = world_record("L", &body);

		assert_int_equal(world_put(s->w, &r), STORE_DONE);
		story_durable(&s->story, &r);
		store_release(s->w->store, r.meta_at.segment);
	}
	store_stat(s->w->store, &st);
	assert_int_equal(story_floor(&s->story), st.newest - 2);
	/* Gone, or being started again: the same. */
	story_channel(&s->story, NULL);
	assert_int_equal(story_floor(&s->story), st.newest - 2);
	s->story.room = UINT64_MAX;
	assert_true(story_floor(&s->story) == UINT64_MAX);
	s->story.room = 0;
	s->story.off = true;
	assert_true(story_floor(&s->story) == UINT64_MAX);
}

static void what_it_may_not_say(void **state)
{
	struct side *s = *state;
	struct ipc_frame f = {.type = IPC_STORY_KEPT, .payload = SPAN("too short"), .fd = -1};
	uint8_t whole[STORY_HEAD] = {0};

	connect_history(s, &nowhere);
	turn(s);
	assert_int_equal(story_frame(&s->story, &f), GW_EFORMAT);
	/* An answer to nothing. */
	f.payload = span_of(whole, sizeof(whole));
	assert_int_equal(story_frame(&s->story, &f), GW_EFORMAT);
	/* A place that is none of the log's is its begin. */
	memset(whole, 0xff, sizeof(whole));
	f.type = IPC_STORY_BEGIN;
	put(s, "a", false);
	assert_int_equal(story_frame(&s->story, &f), 0);
	s->epoch = UINT32_MAX;
	TOLD(s, "a");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(from_the_log_and_then_live),
	    T(told_by_the_log_first),
	    T(a_new_history_goes_on),
	    T(slow_and_then_not),
	    T(begins_again),
	    T(no_memory_no_reading),
	    T(what_the_log_keeps_for_it),
	    T(what_it_may_not_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
