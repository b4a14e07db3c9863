/*
 * A broker with a log in memory and workers that take a while for each message, under a clock that
 * jumps from one event to the next: for tests with a great deal of mail, all of it delivered unless
 * the test says otherwise.
 */
#ifndef GW_TEST_FLOW_YARD_H
#define GW_TEST_FLOW_YARD_H

#include "unit/config/helper.h"

#include "base/heap.h"
#include "base/log.h"
#include "flow/broker.h"

#include <unistd.h>

#define YARD_SEC INT64_C(1000000)

enum { YARD_RECEIVER = 7, YARD_HEAD = 17, YARD_CONNS = 256 };

struct yard_job {
	struct heap_node end;
	uint64_t job, conn;
	unsigned worker;
	struct msgid id;
	uint32_t index[100];
	size_t n;
};

struct yard {
	struct config *config;
	struct broker *b;
	int64_t now;
	uint64_t rng, next_id, txn;
	struct heap ends; /* of what is under way */
	struct buf *meta; /* of the records, by place */
	size_t n_meta, cap_meta;
	size_t n_started, n_done, most_at_once;
	struct yard_conn {
		uint64_t number; /* 0: none */
		uint32_t left;
	} conn[YARD_CONNS];
	/* Called for each job; how long it takes. */
	int64_t (*starts)(struct yard *y, const struct broker_effect *e);
	void *arg;
};

static inline uint32_t yard_random(struct yard *y, uint32_t below)
{
	y->rng = y->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(y->rng >> 33) % below;
}

static inline int yard_record(void *arg, const struct record_place *at, enum broker_record *type,
    struct span *meta, struct part *body)
{
	const struct yard *y = arg;

	assert_in_range(at->offset, 1, y->n_meta);
	*type = BROKER_MESSAGE;
	*meta = buf_view(&y->meta[at->offset - 1]);
	*body = (struct part){.segment = 1, .offset = at->offset, .length = YARD_HEAD};
	return 0;
}

static inline int yard_content(void *arg, const struct part *piece, uint8_t *to)
{
	(void)arg;
	memset(to, 'x', piece->length);
	return 0;
}

static inline void yard_open(struct yard *y, const char *config, size_t ready_max, size_t ready_all)
{
	struct broker_params p = {.seed = 1,
	    .first_number = 1000,
	    .memory_max = 1 << 20,
	    .ready_max = ready_max,
	    .ready_all = ready_all,
	    .log = {.record = yard_record, .content = yard_content, .arg = y}};

	log_setup(STDERR_FILENO, LOG_NONE, "test");
	*y = (struct yard){.rng = 3, .now = 1000000 * YARD_SEC};
	heap_init(&y->ends);
	y->config = parse_good(config);
	p.config = y->config;
	y->b = broker_new(&p);
}

/* A record in the log; its body is YARD_HEAD octets. */
static inline struct record_place yard_store(struct yard *y, struct span meta, struct part *body)
{
	if (y->n_meta == y->cap_meta) {
		y->cap_meta = y->cap_meta ? 2 * y->cap_meta : 1024;
		y->meta = gw_realloc(y->meta, y->cap_meta * sizeof(*y->meta));
	}
	buf_init(&y->meta[y->n_meta], SIZE_MAX / 2);
	buf_add_span(&y->meta[y->n_meta++], meta);
	*body = (struct part){.segment = 1, .offset = y->n_meta, .length = YARD_HEAD};
	return (struct record_place){.segment = 1, .offset = y->n_meta};
}

static inline void yard_append(struct yard *y, const struct broker_effect *e)
{
	struct part body;
	struct record_place at =
	    yard_store(y, e->record == BROKER_MESSAGE ? e->meta : SPAN_NONE, &body);

	broker_appended(y->b, e->token, 0, &at, &body, y->now);
}

/* A connection carries one message more; used up, it is closed after it. */
static inline void yard_use(struct yard *y, const struct broker_effect *e)
{
	struct yard_conn *free_one = NULL;

	for (size_t i = 0; i < YARD_CONNS; i++) {
		struct yard_conn *c = &y->conn[i];

		if (c->number == e->conn) {
			c->left--;
			return;
		}
		if (c->number == 0)
			free_one = c;
	}
	assert_non_null(free_one);
	*free_one = (struct yard_conn){e->conn, e->conn_messages - 1};
}

static inline void yard_close_used(struct yard *y, uint64_t number, unsigned worker)
{
	for (size_t i = 0; i < YARD_CONNS; i++) {
		struct yard_conn *c = &y->conn[i];

		if (c->number != number || c->left > 0)
			continue;
		*c = (struct yard_conn){0};
		broker_conn_closed(y->b, worker, number, y->now);
	}
}

static inline void yard_job(struct yard *y, const struct broker_effect *e)
{
	struct yard_job *j = gw_calloc(1, sizeof(*j));

	*j = (struct yard_job){
	    .job = e->number, .conn = e->conn, .worker = e->peer, .id = e->id, .n = e->n_rcpt};
	for (size_t i = 0; i < e->n_rcpt; i++)
		j->index[i] = e->rcpt[i].index;
	yard_use(y, e);
	y->n_started++;
	heap_set(&y->ends, &j->end, y->now + (y->starts ? y->starts(y, e) : YARD_SEC));
	if (y->ends.len > y->most_at_once)
		y->most_at_once = y->ends.len;
}

static inline void yard_run(struct yard *y)
{
	struct broker_effect e;

	while (broker_next(y->b, &e) == 1) {
		if (e.type == EFFECT_APPEND)
			yard_append(y, &e);
		if (e.type == EFFECT_JOB)
			yard_job(y, &e);
	}
}

static inline void yard_ready(struct yard *y)
{
	broker_worker_up(y->b, 0, WORKER_SENDER);
	broker_recovered(y->b, y->now);
	broker_holding_done(y->b, 0, y->now);
	broker_receiver_up(y->b, YARD_RECEIVER);
	yard_run(y);
}

static inline struct msgid yard_id(struct yard *y)
{
	uint8_t random[MSGID_RANDOM] = {0};

	y->next_id++;
	memcpy(random, &y->next_id, sizeof(y->next_id));
	return msgid_make(y->now, random);
}

/* The envelope of a message to one recipient. */
static inline struct msgid yard_envelope(
    struct yard *y, enum priority class, const char *account, const char *to, struct buf *meta)
{
	struct rcpt rcpt = {.addr = span_str(to)};
	struct envelope e = {.id = yard_id(y),
	    .nonce = yard_id(y),
	    .accepted = y->now,
	    .from = SPAN("a@src.test"),
	    .account = span_str(account),
	    .priority = (uint8_t) class,
	    .rcpt = &rcpt,
	    .n_rcpt = 1,
	    .head_length = YARD_HEAD};

	buf_init(meta, SIZE_MAX / 2);
	envelope_encode(&e, meta);
	return e.id;
}

static inline struct msgid yard_accept(
    struct yard *y, enum priority class, const char *account, const char *to)
{
	struct buf meta;
	struct msgid id = yard_envelope(y, class, account, to, &meta);

	assert_int_equal(broker_commit(y->b, YARD_RECEIVER, ++y->txn, buf_view(&meta),
			     SPAN("Subject: test\r\n\r\n"), SPAN_NONE, y->now),
	    0);
	buf_fini(&meta);
	yard_run(y);
	return id;
}

/* The same, from the log, before yard_ready(). */
static inline struct msgid yard_recover(
    struct yard *y, enum priority class, const char *account, const char *to)
{
	struct record_place at;
	struct part body;
	struct buf meta;
	struct msgid id = yard_envelope(y, class, account, to, &meta);

	y->now++;
	at = yard_store(y, buf_view(&meta), &body);
	assert_int_equal(broker_recover(y->b, BROKER_MESSAGE, buf_view(&meta), &at, &body), 0);
	buf_fini(&meta);
	return id;
}

static inline void yard_end(struct yard *y, struct yard_job *j, enum outcome o)
{
	struct change_rcpt said[100];
	struct change c = {.id = j->id, .rcpt = said, .n_rcpt = j->n};

	for (size_t i = 0; i < j->n; i++)
		said[i] = (struct change_rcpt){.index = j->index[i],
		    .outcome = o,
		    .code = o == OUTCOME_DELIVERED ? 250 : 450,
		    .esc = {o == OUTCOME_DELIVERED ? 2 : 4, 0, 0}};
	heap_del(&y->ends, &j->end);
	assert_int_equal(broker_result(y->b, j->worker, j->job, false, &c, y->now), 0);
	yard_close_used(y, j->conn, j->worker);
	free(j);
	y->n_done++;
	yard_run(y);
}

/* The next thing that happens, at `until` at the latest; false: nothing before that. */
static inline bool yard_step(struct yard *y, int64_t until)
{
	struct yard_job *j = (struct yard_job *)heap_min(&y->ends);
	int64_t due = broker_deadline(y->b);

	if (due <= until && (j == NULL || due <= j->end.key)) {
		y->now = due > y->now ? due : y->now;
		broker_tick(y->b, y->now);
		yard_run(y);
		return true;
	}
	y->now = j != NULL && j->end.key <= until ? j->end.key : until;
	if (j == NULL || j->end.key > until)
		return false;
	yard_end(y, j, OUTCOME_DELIVERED);
	return true;
}

static inline void yard_pass(struct yard *y, int64_t usec)
{
	int64_t until = y->now + usec;

	while (yard_step(y, until))
		continue;
}

static inline void yard_close(struct yard *y)
{
	struct heap_node *n;

	while ((n = heap_min(&y->ends)) != NULL) {
		heap_del(&y->ends, n);
		free(n);
	}
	heap_fini(&y->ends);
	broker_free(&y->b);
	for (size_t i = 0; i < y->n_meta; i++)
		buf_fini(&y->meta[i]);
	free(y->meta);
	config_free(&y->config);
}

#endif
