/* When which host is asked for mail, by whom, and what came of it. */
#include "role/queue.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "role/proto_turn.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { FIRST_WITHIN = 60, DOUBLES = 3, TEXT_MAX_OCTETS = 300, NO_WORKER = -1 };

struct puller {
	const struct pull *pull; /* of the configuration */
	uint64_t number;         /* that is under way; 0: none */
	int worker;
	int64_t due, started;
	unsigned failures; /* in a row */
	/* The last one. */
	uint64_t last; /* its number; 0: there was none */
	uint8_t status;
	uint16_t code;
	uint64_t octets;
	int64_t ended, took;
	char host[TEXT_MAX_OCTETS];
	char said[TEXT_MAX_OCTETS];
};

/* ---- time -------------------------------------------------------------------------------------
 */

static uint32_t roll(uint32_t n)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		die("queue: no random bytes");
	return n > 0 ? r % n : 0;
}

/* A tenth more or less, so that many customers of one host do not come together. */
static int64_t jitter(int64_t time)
{
	int64_t tenth = time / 10;

	return time - tenth + (int64_t)((double)roll(1000) / 1000 * 2 * (double)tenth);
}

static void plan(struct puller *x, int64_t now)
{
	unsigned doubles = x->failures < DOUBLES ? x->failures : DOUBLES;

	x->due = x->pull->every > 0 ? now + jitter(x->pull->every << doubles) : INT64_MAX;
}

static void set_timer(struct pulls *p)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < p->n; i++) {
		if (p->puller[i].number == 0 && p->puller[i].due < at)
			at = p->puller[i].due;
	}
	timer_set(&p->timer, at);
}

/* ---- what came of it --------------------------------------------------------------------------
 */

static const char *const outcomes[] = {
    [PULLED_OK] = "done", [PULLED_NO_MAIL] = "no_mail", [PULLED_FAILED] = "failed"};

static void begin_line(struct logline *l, enum log_event event, const struct puller *x)
{
	log_begin(l, event);
	log_str(l, "pull", x->pull->name);
	log_str(l, "kind", pull_kind_word(x->pull->kind));
}

static void log_outcome(const struct puller *x, const struct proto_pulled *r, int64_t now)
{
	struct logline l;

	begin_line(&l, r->status == PULLED_FAILED ? EV_PULL_FAILED : EV_PULL_DONE, x);
	log_str(&l, "result", outcomes[r->status]);
	if (r->code != 0)
		log_number(&l, "code", r->code);
	log_number(&l, "octets", (int64_t)r->octets);
	log_seconds(&l, "took", now - x->started);
	if (x->due != INT64_MAX)
		log_seconds(&l, "next", x->due - now);
	log_text(&l, "host", r->host);
	log_text(&l, "reply", r->text);
	log_end(&l);
}

static void over(struct pulls *p, struct puller *x, const struct proto_pulled *r)
{
	int64_t now = loop_now(p->queue->loop);

	x->last = x->number;
	x->number = 0;
	x->worker = NO_WORKER;
	x->code = r->code;
	x->octets = r->octets;
	x->took = now - x->started;
	span_to_cstr(span_first(r->host, sizeof(x->host) - 1), x->host, sizeof(x->host));
	x->failures = r->status == PULLED_FAILED ? x->failures + 1 : 0;
	x->status = r->status;
	x->ended = clock_wall();
	span_to_cstr(span_first(r->text, sizeof(x->said) - 1), x->said, sizeof(x->said));
	plan(x, now);
	metric_add(r->status == PULLED_FAILED ? METRIC_PULLS_FAILED : METRIC_PULLS, 1);
	log_outcome(x, r, now);
	set_timer(p);
}

static void failed(struct pulls *p, struct puller *x, const char *why)
{
	over(p, x, &(struct proto_pulled){.status = PULLED_FAILED, .text = span_str(why)});
}

int queue_take_pulled(struct channel *c, struct span in)
{
	struct pulls *p = &c->queue->pulls;
	struct proto_pulled r;

	if (proto_get_pulled(in, &r) < 0)
		return GW_EFORMAT;
	for (size_t i = 0; i < p->n; i++) {
		struct puller *x = &p->puller[i];

		if (x->number != 0 && x->number == r.number && x->worker == (int)c->number) {
			over(p, x, &r);
			break;
		}
	}
	return 0;
}

void pulls_worker_gone(struct pulls *p, unsigned worker)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->puller[i].number != 0 && p->puller[i].worker == (int)worker)
			failed(p, &p->puller[i], "The process that asked ended");
	}
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* The senders in turn. */
static struct channel *a_sender(struct queue *q)
{
	struct channel *c;

	TAILQ_FOREACH(c, &q->channels, link)
	{
		if (c->role != ROLE_SENDER)
			continue;
		TAILQ_REMOVE(&q->channels, c, link);
		TAILQ_INSERT_TAIL(&q->channels, c, link);
		return c;
	}
	return NULL;
}

static int send_pull(struct channel *to, const struct proto_pull *m)
{
	struct span part;
	struct buf b;
	int err;

	buf_init(&b, 65536);
	proto_put_pull(&b, m);
	part = buf_view(&b);
	err = ipc_send(to->ipc, IPC_PULL, &part, 1, -1);
	buf_fini(&b);
	return err;
}

static void begin(struct pulls *p, struct puller *x)
{
	struct queue *q = p->queue;
	struct channel *to = a_sender(q);
	struct proto_pull m = {.number = p->next_number++,
	    .pull = pull_number(x->pull),
	    .target = queue_target(&x->pull->target, NULL)};
	struct logline l;

	x->started = loop_now(q->loop);
	x->number = m.number;
	begin_line(&l, EV_PULL_STARTED, x);
	log_str(&l, "host", x->pull->target.host[0].host);
	log_end(&l);
	if (to == NULL || send_pull(to, &m) < 0) {
		failed(p, x, "No sender is free");
		return;
	}
	x->worker = (int)to->number;
	set_timer(p);
}

static void due(void *arg)
{
	struct pulls *p = arg;
	int64_t now = loop_now(p->queue->loop);

	for (size_t i = 0; i < p->n; i++) {
		if (p->puller[i].number == 0 && p->puller[i].due <= now)
			begin(p, &p->puller[i]);
	}
	set_timer(p);
}

static struct puller *find(struct pulls *p, struct span name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (span_eq(span_str(p->puller[i].pull->name), name))
			return &p->puller[i];
	}
	return NULL;
}

/* RFC 9457, with the names there are. */
static int no_pull(const struct pulls *p, struct buf *out)
{
	struct buf names;

	buf_init(&names, 2048);
	for (size_t i = 0; i < p->n && buf_len(&names) < 1024; i++)
		buf_addf(&names, "%s%.300s", i > 0 ? ", " : "there are: ", p->puller[i].pull->name);
	json_open(out, NULL, '{');
	json_str(out, "type", "urn:godwit:problem:no-such-pull");
	json_str(out, "title", "No such pull");
	json_number(out, "status", 404);
	json_str(out, "detail", "no pull statement of the configuration has this name");
	json_text(out, "hint", buf_view(&names));
	json_close(out, '}');
	buf_fini(&names);
	return 404;
}

int pulls_ask(struct pulls *p, struct span name, struct buf *out)
{
	struct puller *x = find(p, name);

	if (x == NULL)
		return no_pull(p, out);
	if (p->queue->stopping)
		return 503;
	if (x->number == 0)
		begin(p, x);
	json_open(out, NULL, '{');
	json_str(out, "name", x->pull->name);
	json_number(out, "number", (int64_t)(x->number != 0 ? x->number : x->last));
	json_close(out, '}');
	return 200;
}

/* ---- life -------------------------------------------------------------------------------------
 */

void pulls_start(struct pulls *p, struct queue *q)
{
	const struct config *c = q->config;
	int64_t now = loop_now(q->loop);

	*p = (struct pulls){
	    .queue = q, .n = c->n_pull, .next_number = (uint64_t)clock_now() << 8 | 1};
	p->puller = gw_calloc(c->n_pull + 1, sizeof(*p->puller));
	timer_start(&p->timer, q->loop, due, p);
	for (size_t i = 0; i < p->n; i++) {
		int64_t first = FIRST_WITHIN * USEC_PER_SEC, every = c->pull[i].every;

		first = every < first ? every : first;
		p->puller[i] = (struct puller){.pull = &c->pull[i], .worker = NO_WORKER};
		p->puller[i].due = every > 0 ? now + (int64_t)roll((uint32_t)first) : INT64_MAX;
	}
	set_timer(p);
}

static struct puller *puller_named(struct pulls *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->puller[i].pull->name, name) == 0)
			return &p->puller[i];
	}
	return NULL;
}

/* What is known of those that stay stays; their time is that of now, if it changed. Of one that has
 * gone nobody waits for the end. */
void pulls_change(struct pulls *p, const struct config *c)
{
	int64_t now = loop_now(p->queue->loop);
	struct puller *next = gw_calloc(c->n_pull + 1, sizeof(*next));

	for (size_t i = 0; i < c->n_pull; i++) {
		struct puller *old = puller_named(p, c->pull[i].name);
		bool same = old != NULL && old->pull->every == c->pull[i].every;

		if (old != NULL)
			next[i] = *old;
		else
			next[i].worker = NO_WORKER;
		next[i].pull = &c->pull[i];
		if (!same)
			plan(&next[i], now);
	}
	free(p->puller);
	p->puller = next;
	p->n = c->n_pull;
	set_timer(p);
}

void pulls_stop(struct pulls *p)
{
	timer_stop(&p->timer);
}

static void put_last(const struct puller *x, struct buf *out)
{
	json_number(out, "last", (int64_t)x->last);
	json_str(out, "result", outcomes[x->status]);
	json_time(out, "ended", x->ended);
	json_number(out, "milliseconds", x->took / 1000);
	json_number(out, "octets", (int64_t)x->octets);
	if (x->code != 0)
		json_number(out, "code", x->code);
	json_str(out, "from", x->host);
	json_str(out, "reply", x->said);
}

int pulls_list(const struct pulls *p, struct buf *out)
{
	json_open(out, NULL, '{');
	json_open(out, "pulls", '[');
	for (size_t i = 0; i < p->n; i++) {
		const struct puller *x = &p->puller[i];

		json_open(out, NULL, '{');
		json_str(out, "name", x->pull->name);
		json_str(out, "kind", pull_kind_word(x->pull->kind));
		json_str(out, "host", x->pull->target.host[0].host);
		json_str(out, "state", x->number != 0 ? "active" : "waiting");
		json_number(out, "failures", x->failures);
		if (x->number == 0 && x->due != INT64_MAX)
			json_time(out, "due", x->due + p->queue->wall_ahead);
		if (x->last != 0)
			put_last(x, out);
		json_close(out, '}');
	}
	json_close(out, ']');
	json_close(out, '}');
	return 200;
}
