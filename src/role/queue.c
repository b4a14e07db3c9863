/*
 * The queue: the only process that writes the spool. It moves frames and
 * records; what is done with them is decided in flow/broker.
 */
#include "role/queue.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "spool/disk_cut.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum {
	HOUSE_EVERY = 1000000, /* microseconds between looks at the store */
	COPY_EVERY = 100000,   /* while messages are copied forward */
	QUESTIONS_END =
	    60000000, /* a receiver may ask so long what the queue before us made durable */
	STOP_PATIENCE = 3000000, /* for jobs under way when the program ends */
	MEMORY_MAX = 64 << 20,
	TRIM_EVERY = 10000000,
	TRIM_WORTH = 8 << 20, /* free octets in the heap */
	COUNTERS_EVERY = 10000000,
	READY_MAX = 4096,
};

static void random_bytes(void *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t)n)
		die("queue: no random bytes");
}

static void look_at_store(struct queue *q);

void queue_run(struct queue *q)
{
	struct broker_effect e;

	while (broker_next(q->broker, &e) == 1)
		queue_carry_out(q, &e);
	if (memory_is_spent() && !q->starved) {
		q->starved = true; /* look_at_store comes here again */
		look_at_store(q);
		return;
	}
	timer_set(&q->tick, broker_deadline(q->broker));
	if (q->stopping)
		flush_mark(&q->stop_check, q->loop);
}

static void tick(void *arg)
{
	struct queue *q = arg;

	broker_tick(q->broker, loop_now(q->loop));
	queue_run(q);
	blotter_clear();
}

/* ---- the log ------------------------------------------------------------------------------ */

static void record_done(void *arg, const struct store_record *r)
{
	struct queue *q = arg;
	const struct extent *body = &r->body_at;
	struct part at = {body->segment, body->offset, body->length, body->sum};
	struct record_place place = {r->meta_at.segment, r->meta_at.offset};
	uint64_t segment = r->meta_at.segment;
	int status = r->status;

	if (status != 0)
		metric_add(METRIC_COMMIT_FAILURES, 1);
	else
		story_durable(&q->story, r);
	broker_appended(q->broker, r->owner, status, &place, &at, loop_now(q->loop));
	queue_run(q);
	if (status == 0) /* what is still needed was held by the broker */
		store_release(q->store, segment);
	blotter_clear();
}

static void log_spool_failed(uint64_t segment, const char *state)
{
	struct logline l;

	log_begin(&l, EV_SPOOL_FAILED);
	log_str(&l, "state", state);
	if (segment > 0)
		log_number(&l, "segment", (int64_t)segment);
	log_end(&l);
}

static void batch_done(void *arg)
{
	struct queue *q = arg;
	uint64_t segment = store_failed_segment(q->store);

	if (segment == q->failed_segment)
		return;
	q->failed_segment = segment;
	log_spool_failed(segment, "ended");
	broker_segment_failed(q->broker, segment);
	queue_run(q);
}

static void undecided(void *arg, bool is)
{
	struct queue *q = arg;

	q->undecided = is;
	if (is) /* nothing of the batch may be said until its end is on the disk */
		log_spool_failed(0, "undecided");
	look_at_store(q);
}

/* ---- housekeeping ------------------------------------------------------------------------- */

static void log_space(const struct store_stat *st, bool low)
{
	struct logline l;

	log_begin(&l, low ? EV_SPOOL_LOW : EV_SPOOL_NORMAL);
	log_number(&l, "free", (int64_t)st->free_bytes);
	log_end(&l);
}

static void look_at_store(struct queue *q)
{
	struct store_stat st;
	struct broker_counts n;

	store_stat(q->store, &st);
	if (st.accepting == q->low && !q->undecided) {
		q->low = !st.accepting;
		log_space(&st, q->low);
	}
	q->starved = memory_low();
	broker_store_state(q->broker, st.accepting && !q->undecided && !q->stopping && !q->starved,
	    !q->undecided, loop_now(q->loop));
	queue_run(q);
	broker_counts(q->broker, &n);
	metric_set(METRIC_QUEUE_MESSAGES, (int64_t)n.messages);
	metric_set(METRIC_QUEUE_RECIPIENTS, (int64_t)n.recipients);
	metric_set(METRIC_QUEUE_HELD, (int64_t)n.held);
	metric_set(METRIC_QUEUE_UNTOLD, (int64_t)n.untold);
	metric_set(METRIC_SPOOL_SEGMENTS, st.segments);
	metric_set(METRIC_SPOOL_FREE_BYTES, (int64_t)st.free_bytes);
	metric_set(METRIC_SPOOL_BYTES, (int64_t)st.bytes_written);
}

/* A COMMITTED that a receiver has not read yet may be asked for again by nonce, from the log. */
static bool all_told(struct queue *q)
{
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role == ROLE_SMTPD && !ipc_push(c->ipc))
			return false;
	}
	return true;
}

/* True: more messages are to be copied forward. */
static bool compact(struct queue *q)
{
	struct broker_log_size size = {.segment = q->config->store.segment};
	struct store_stat st;
	bool more;

	store_stat(q->store, &st);
	size.oldest = st.oldest;
	size.newest = st.newest;
	size.octets = st.log_bytes;
	more = broker_compact(q->broker, &size, loop_now(q->loop));
	queue_run(q);
	return more;
}

/* What a wave of mail took is given back when it is over, also from the middle of the heap. */
static void give_memory_back(struct queue *q)
{
	struct mallinfo2 m;

	if (loop_now(q->loop) < q->trim_at)
		return;
	q->trim_at = loop_now(q->loop) + TRIM_EVERY;
	m = mallinfo2();
	if (m.fordblks > TRIM_WORTH)
		malloc_trim(0);
}

static void house(void *arg)
{
	struct queue *q = arg;
	bool more;

	queue_clock_look(q);
	if (all_told(q) && loop_now(q->loop) >= q->retire_from)
		store_retire_before(q->store, story_floor(&q->story));
	look_at_store(q);
	story_house(&q->story, q->starved || q->undecided);
	give_memory_back(q);
	more = !q->low && !q->starved && !q->stopping && compact(q);
	timer_set(&q->house, loop_now(q->loop) + (more ? COPY_EVERY : HOUSE_EVERY));
}

/* ---- start and end ------------------------------------------------------------------------ */

static void give_record(struct queue *q, const struct store_record *r, uint64_t *strange)
{
	struct part at = {r->body_at.segment, r->body_at.offset, r->body_at.length, r->body_at.sum};
	struct record_place place = {r->meta_at.segment, r->meta_at.offset};
	enum broker_record type = queue_record_type(r->type);

	if (type == BROKER_RECORDS || type == BROKER_PART)
		return;
	if (broker_recover(q->broker, type, r->meta, &place, &at) < 0)
		++*strange;
}

static void log_recovered(struct queue *q, const struct store_damage *d, uint64_t records,
    uint64_t strange, int64_t start)
{
	int64_t latest = broker_latest(q->broker);
	struct broker_counts n;
	struct logline l;

	broker_counts(q->broker, &n);
	log_begin(&l, EV_SPOOL_RECOVERED);
	log_number(&l, "records", (int64_t)records);
	log_number(&l, "messages", (int64_t)n.messages);
	log_number(&l, "recipients", (int64_t)n.recipients);
	log_number(&l, "damaged", (int64_t)(d->records + strange));
	log_number(&l, "torn_bytes", (int64_t)d->truncated);
	log_number(&l, "strangers", (int64_t)d->strangers);
	log_number(&l, "indexed", (int64_t)d->indexed);
	log_seconds(&l, "took", clock_now() - start);
	if (latest > 0)
		log_number(&l, "silent", queue_clock_seconds(start - latest));
	log_end(&l);
	if (latest > 0)
		queue_clock_recovered(start - latest);
	metric_add(METRIC_SPOOL_DAMAGED, (int64_t)(d->records + strange));
}

static void recover(struct queue *q)
{
	struct store_damage damage = {0};
	struct store_record r;
	int64_t start = clock_now();
	uint64_t records = 0, strange = 0;
	int more;

	while ((more = store_recover(q->store, &r, &damage)) == 1) {
		records++;
		if (queue_set_aside(q, &r))
			continue;
		blotter_record(&r.id, r.meta_at.segment, r.meta_at.offset);
		give_record(q, &r, &strange);
		blotter_clear();
	}
	if (more < 0)
		die("the spool cannot be read: %s", gw_strerror(more));
	broker_recovered(q->broker, loop_now(q->loop));
	blotter_clear();
	log_recovered(q, &damage, records, strange, start);
}

static void open_store(struct queue *q)
{
	struct store_params p = {.segment_size = q->config->store.segment,
	    .reserve = q->config->store.reserve,
	    .spares = q->config->store.spares,
	    .random = random_bytes};
	char why[256] = "";

	q->disk = disk_choose(q->boot->spool_dir);
	if (q->disk == NULL)
		die("the spool %s is no scratch spool of \"godwit prove\", and " DISK_CUT_ENV
		    " is set",
		    q->config->spool);
	if (store_open(&q->store, q->disk, &p, why, sizeof(why)) < 0)
		die("the spool %s cannot be opened: %s", q->config->spool, why);
	if (q->config->n_limit + q->config->n_plan > 0) /* until the broker says more */
		store_index_below(q->store, 0);
}

static void make_broker(struct queue *q)
{
	struct broker_params p = {.config = q->config,
	    .first_number = (uint64_t)clock_now() << 8,
	    .memory_max = MEMORY_MAX,
	    .counters_every = COUNTERS_EVERY,
	    .ready_max = READY_MAX,
	    .hand = blotter_message,
	    .calendar = queue_calendar,
	    .calendar_arg = q};

	tzset(); /* read before the jail closes */
	body_log(q->reader, &p.log);
	random_bytes(&p.seed, sizeof(p.seed));
	q->broker = broker_new(&p);
}

/* Stopped: jobs under way may end, then the last records are flushed. */
static void stop_check(void *arg)
{
	struct queue *q = arg;
	struct broker_counts n;

	broker_counts(q->broker, &n);
	if (n.active > 0 && loop_now(q->loop) < q->stop_at)
		return;
	queue_log_hurry(q->log);
	if (queue_log_idle(q->log)) {
		story_end(&q->story);
		master_link_done(&q->master);
	}
}

static void stop(void *arg)
{
	struct queue *q = arg;

	q->stopping = true;
	q->stop_at = loop_now(q->loop) + STOP_PATIENCE;
	broker_stop(q->broker);
	pulls_stop(&q->pulls);
	look_at_store(q);
}

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct queue *q = arg;

	if (role == ROLE_RESOLVER) {
		dns_link_peer(&q->dns, fd);
		return;
	}
	queue_add_channel(q, role, index, fd);
	queue_run(q);
}

static void take_blame(void *arg, struct span payload)
{
	queue_take_blame(arg, payload);
}

/* Who gets reports to addresses here, and what users forward. */
static void take_file(void *arg, const struct proto_file *f, int fd)
{
	struct queue *q = arg;

	tables_take(q->tables, f, fd);
}

static void give_tables(struct queue *q)
{
	struct known known;

	q->tables = tables_new(q->config, false);
	known = tables_known(q->tables, NULL);
	broker_tables(q->broker, &known);
}

/* ---- reload ------------------------------------------------------------------------------- */

static void change(void *arg, struct reload *r, struct config *old)
{
	struct queue *q = arg;
	struct tables *tables = q->tables;

	(void)r;
	(void)old;
	give_tables(q);
	tables_free(&tables);
	broker_reconfigure(q->broker, q->config, loop_now(q->loop));
	pulls_change(&q->pulls, q->config);
}

/* What is due now is given out when the tables are there. */
static void changed(void *arg)
{
	struct queue *q = arg;

	broker_tick(q->broker, loop_now(q->loop));
	queue_run(q);
	blotter_clear();
}

static void start_log(struct queue *q, struct sandbox *box)
{
	struct queue_log_owner owner = {
	    .done = record_done, .batch_done = batch_done, .undecided = undecided, .arg = q};

	q->log = queue_log_new(q->loop, q->store, &owner);
	sandbox_confine(box);
	queue_log_threads(q->log);
	sandbox_seal(box);
}

int role_queue(struct loop *l, struct boot *b)
{
	struct queue *q = gw_calloc(1, sizeof(*q));
	struct sandbox box;

	q->loop = l;
	q->boot = b;
	q->config = boot_config(b);
	boot_sandbox(b, q->config, &box);
	TAILQ_INIT(&q->channels);
	timer_start(&q->tick, l, tick, q);
	timer_start(&q->house, l, house, q);
	flush_init(&q->stop_check, stop_check, q);
	open_store(q);
	q->reader = body_reader_new(q->store);
	make_broker(q);
	give_tables(q);
	q->wall_ahead = clock_wall() - loop_now(l);
	start_log(q, &box);
	dns_link_start(&q->dns, l, b);
	story_init(&q->story, l, q->store, q->config);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role != ROLE_RESOLVER) /* the link has it */
			queue_add_channel(q, b->peer[i].role, b->peer[i].index, b->peer[i].fd);
	}
	recover(q);
	if (b->n_peer > 0) /* receivers that knew the queue before us */
		q->retire_from = loop_now(l) + QUESTIONS_END;
	queue_run(q);
	pulls_start(&q->pulls, q);
	q->master = (struct master_link){.peer = new_peer,
	    .stop = stop,
	    .blame = take_blame,
	    .file = take_file,
	    .config = &q->config,
	    .change = change,
	    .changed = changed,
	    .arg = q};
	master_link_start(&q->master, l, b);
	house(q);
	return 0;
}
