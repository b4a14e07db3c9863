/* What each route of the control socket does. */
#include "role/control.h"

#include "base/clock.h"
#include "base/json.h"
#include "role/control_metrics.h"
#include "role/version.h"

#include <jansson.h>
#include <stdio.h>

/* ---- the queue ---------------------------------------------------------------------------- */

void control_queue_away(struct request *r)
{
	struct control_problem p;

	control_problem_set(&p, 503, "queue-away", "The queue is not available",
	    "try again in a second; godwit status shows the processes",
	    "the queue is being restarted, or has too many questions before it");
	request_problem(r, &p);
}

void control_no_answer(struct request *r)
{
	struct control_problem p;

	control_problem_set(&p, 504, "queue-silent", "The queue does not answer",
	    "what was asked for may still be done: look before you repeat it",
	    "no answer within 10 seconds");
	request_problem(r, &p);
}

static void pass_on(struct request *r, int status, struct span json)
{
	request_json(r, status, json);
}

static void ask(struct request *r, enum query_op op)
{
	if (!control_ask_queue(r, op, pass_on))
		control_queue_away(r);
}

/* ---- status ------------------------------------------------------------------------------- */

/* As the wall clock counts now: nobody was up for twenty years because it was set. */
static int64_t on_wall(int64_t at)
{
	return at == 0 ? 0 : at + clock_wall() - clock_now();
}

static int64_t started_at(const struct control *c)
{
	for (size_t i = 0; i < c->n_role; i++) {
		if (c->role[i].role == ROLE_MASTER)
			return on_wall(c->role[i].started);
	}
	return 0;
}

static void put_processes(const struct control *c, struct buf *out)
{
	json_open(out, "processes", '[');
	for (size_t i = 0; i < c->n_role; i++) {
		const struct proto_role *x = &c->role[i];

		json_open(out, NULL, '{');
		json_str(out, "role", role_names[x->role]);
		json_number(out, "index", x->index);
		json_bool(out, "up", x->pid != 0);
		json_number(out, "pid", x->pid);
		json_number(out, "restarts", x->restarts);
		json_number(out, "generation", (int64_t)x->generation);
		json_time(out, "started", on_wall(x->started));
		json_close(out, '}');
	}
	json_close(out, ']');
}

static void put_denied(const struct control *c, struct buf *out)
{
	int64_t now = loop_now(c->loop);
	char text[BLOTTER_ADDR_TEXT];

	json_open(out, "denied", '[');
	for (size_t i = 0; i < c->deny.n; i++) {
		const struct deny *d = &c->deny.row[i];

		if (d->until <= now)
			continue;
		blotter_addr_format(&d->net, text);
		json_open(out, NULL, '{');
		json_str(out, "ip", text);
		json_number(out, "crashes", d->crashes);
		json_time(out, "until", clock_wall() + d->until - now);
		json_close(out, '}');
	}
	json_close(out, ']');
}

static void put_spool(const struct control *c, struct buf *out)
{
	const struct metric_page *const *page = c->boot->all_metrics;
	size_t n = c->boot->n_metrics;

	json_open(out, "spool", '{');
	json_str(out, "directory", c->config->spool);
	json_number(out, "free_bytes", control_metric_sum(page, n, METRIC_SPOOL_FREE_BYTES));
	json_number(out, "segments", control_metric_sum(page, n, METRIC_SPOOL_SEGMENTS));
	json_number(out, "aside", control_metric_sum(page, n, METRIC_SPOOL_ASIDE));
	json_close(out, '}');
}

static void put_number(struct buf *out, const json_t *from, const char *key)
{
	json_number(out, key, json_integer_value(json_object_get(from, key)));
}

/* The counts of the days, as the queue has them; an empty list if it did not answer. */
static void put_days(const json_t *days, struct buf *out)
{
	const char *key;
	json_t *n;

	json_open(out, "days", '[');
	for (size_t i = 0; i < json_array_size(days); i++) {
		json_t *day = json_array_get(days, i);

		json_open(out, NULL, '{');
		json_object_foreach(day, key, n)
		{
			if (json_is_string(n))
				json_str(out, key, json_string_value(n));
			else
				json_number(out, key, json_integer_value(n));
		}
		json_close(out, '}');
	}
	json_close(out, ']');
}

/* The sums of the queue's summary, without its sites; nothing if it did not answer. */
static void put_queue(struct span json, struct buf *out)
{
	json_t *q = json_loadb((const char *)json.p, json.n, 0, NULL);
	const json_t *oldest = json_object_get(q, "oldest");

	if (!json_is_object(q)) {
		json_none(out, "queue");
		json_decref(q);
		return;
	}
	json_open(out, "queue", '{');
	put_number(out, q, "messages");
	put_number(out, q, "recipients");
	put_number(out, q, "held");
	put_number(out, q, "limited");
	put_number(out, q, "limits_full");
	put_number(out, q, "active");
	json_bool(out, "accepting", json_is_true(json_object_get(q, "accepting")));
	if (json_is_string(oldest))
		json_str(out, "oldest", json_string_value(oldest));
	json_close(out, '}');
	put_days(json_object_get(q, "days"), out);
	json_decref(q);
}

static void put_listeners(const struct config *c, struct buf *out)
{
	char at[300];

	json_open(out, "listen", '[');
	for (size_t i = 0; i < c->n_listen; i++) {
		const struct endpoint *e = &c->listen[i].at;

		if (e->unix_path != NULL)
			snprintf(at, sizeof(at), "unix:%s", e->unix_path);
		else
			snprintf(at, sizeof(at), strchr(e->host, ':') ? "[%s]:%u" : "%s:%u",
			    e->host, e->port);
		json_str(out, NULL, at);
	}
	json_close(out, ']');
}

static void put_status(const struct control *c, struct span queue, struct buf *out)
{
	json_open(out, NULL, '{');
	json_str(out, "version", GW_VERSION);
	json_str(out, "hostname", c->config->hostname);
	json_number(out, "generation", (int64_t)c->config->generation);
	json_time(out, "now", clock_wall());
	if (started_at(c) != 0)
		json_time(out, "started", started_at(c));
	put_listeners(c->config, out);
	put_processes(c, out);
	put_denied(c, out);
	control_put_pairs(c, out);
	control_put_names(c, out);
	put_queue(queue, out);
	put_spool(c, out);
	json_open(out, "counters", '{');
	control_metrics_json(c->boot->all_metrics, c->boot->n_metrics, out);
	json_close(out, '}');
	json_close(out, '}');
}

static void reply_status(struct request *r, int status, struct span queue)
{
	struct buf out;

	buf_init(&out, 256 << 10);
	put_status(r->control, status == 200 ? queue : SPAN_NONE, &out);
	request_json(r, 200, buf_view(&out));
	buf_fini(&out);
}

static void act_status(struct request *r)
{
	/* The status is wanted most when something is away. */
	if (!control_ask_queue(r, QUERY_STATUS, reply_status))
		reply_status(r, 503, SPAN_NONE);
}

/* ---- the small ones ----------------------------------------------------------------------- */

static void act_metrics(struct request *r)
{
	const struct control *c = r->control;
	struct control_facts facts = {
	    .version = GW_VERSION, .started = started_at(c), .generation = c->config->generation};
	struct buf out;

	buf_init(&out, 256 << 10);
	control_metrics_text(c->boot->all_metrics, c->boot->n_metrics, &facts, &out);
	request_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&out));
	buf_fini(&out);
}

static void act_health(struct request *r)
{
	request_reply(r, 200, "text/plain", SPAN("ok\n"));
}

static bool all_up(const struct control *c)
{
	for (size_t i = 0; i < c->n_role; i++) {
		if (c->role[i].pid == 0)
			return false;
	}
	return c->n_role > 0 && c->queue.ipc != NULL;
}

static void act_ready(struct request *r)
{
	struct control_problem p;

	if (all_up(r->control)) {
		request_reply(r, 200, "text/plain", SPAN("ready\n"));
		return;
	}
	control_problem_set(&p, 503, "not-ready", "Not ready", "godwit status shows which",
	    "a process is being restarted");
	request_problem(r, &p);
}

/* ---- the table ---------------------------------------------------------------------------- */

void control_act(struct request *r)
{
	switch (r->ask.route->action) {
	case ACTION_QUEUE: ask(r, QUERY_SUMMARY); break;
	case ACTION_MESSAGES: ask(r, QUERY_LIST); break;
	case ACTION_MESSAGE: ask(r, QUERY_SHOW); break;
	case ACTION_RETRY: ask(r, QUERY_RETRY); break;
	case ACTION_DROP: ask(r, QUERY_DROP); break;
	case ACTION_RELEASE: ask(r, QUERY_RELEASE); break;
	case ACTION_HOLD: ask(r, QUERY_HOLD); break;
	case ACTION_PAUSE: ask(r, QUERY_PAUSE); break;
	case ACTION_SLOW: ask(r, QUERY_SLOW); break;
	case ACTION_RESUME: ask(r, QUERY_RESUME); break;
	case ACTION_RULES: ask(r, QUERY_RULES); break;
	case ACTION_HOSTS: ask(r, QUERY_HOSTS); break;
	case ACTION_FORGET: ask(r, QUERY_FORGET); break;
	case ACTION_LIMITS: ask(r, QUERY_LIMITS); break;
	case ACTION_FIND: control_find(r); break;
	case ACTION_TRACE: control_trace(r); break;
	case ACTION_STATUS: act_status(r); break;
	case ACTION_METRICS: act_metrics(r); break;
	case ACTION_HEALTH: act_health(r); break;
	case ACTION_READY: act_ready(r); break;
	case ACTION_PULLS: ask(r, QUERY_PULLS); break;
	case ACTION_PULL: ask(r, QUERY_PULL); break;
	case ACTION_CONFIG: control_config(r); break;
	case ACTION_RELOAD:
	case ACTION_KEEP: control_reload(r); break;
	case ACTION_COUNT: die("control: no such action");
	}
}
