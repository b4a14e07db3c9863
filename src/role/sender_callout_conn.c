/* A connection to a host that is asked for its recipients: MAIL, RCPT, RSET, and never content. */
#include "role/sender_callout.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

enum { IN_MAX = 64 << 10, READ_STEP = 4096, ARENA = 256 << 10, LINE_ROOM = 2048 };
#define CONNECT_PATIENCE (5 * USEC_PER_SEC)
#define ADDRESS_PATIENCE (1 * USEC_PER_SEC) /* where there is another one */

enum step { STEP_MAIL, STEP_RCPT, STEP_RSET };

struct name_question {
	struct callout_conn *conn;
	struct name_question *next;
	unsigned number;
	uint64_t asked; /* 0: answered */
};

struct callout_conn {
	TAILQ_ENTRY(callout_conn) link;
	struct callout_target *target;
	struct sender *sender;
	struct config *config;                  /* that it was opened by: a reference of its own */
	const struct recipients_lookup *lookup; /* in it */
	struct callout_question *question;      /* NULL: none */
	/* until it is connected */
	struct arena arena;
	struct hosts_params params;
	struct hosts_given given;
	struct hosts *hosts;
	struct name_question *names;
	size_t host_at, address_at;
	struct attempt attempt;
	/* then */
	struct stream stream;
	struct watch watch;
	struct client_config client;
	struct client *engine; /* NULL: not connected */
	struct buf in;
	enum step step;
	bool greeted; /* and is asked, or could be */
	bool ready;   /* for a question */
	bool dead;    /* to be dropped at the end of this turn */
	unsigned asked, unknown;
	int64_t limit; /* of the time until it has greeted, then of being idle */
	struct timer timer;
	struct proto_target way; /* for attempt_start() */
};

static int64_t now_of(const struct callout_conn *c)
{
	return loop_now(c->sender->loop);
}

/* ---- the end --------------------------------------------------------------------------------- */

void callout_conn_drop(struct callout_conn *c)
{
	struct callout_target *t = c->target;

	if (c->question != NULL)
		callout_answered(c->question, CALLOUT_AWAY, SPAN("connection given up"));
	for (struct name_question *x = c->names; x != NULL; x = x->next)
		dns_cancel(&c->sender->dns, x->asked);
	attempt_end(&c->attempt);
	timer_stop(&c->timer);
	if (c->engine != NULL)
		watch_stop(&c->watch);
	client_free(&c->engine);
	stream_close(&c->stream);
	buf_fini(&c->in);
	arena_reset(&c->arena);
	config_free(&c->config);
	TAILQ_REMOVE(&t->conns, c, link);
	t->n_conns--;
	free(c);
	callout_target_done(t);
}

/* It is of no use any more, which speaks of the target. */
static void fail(struct callout_conn *c, const char *why)
{
	struct callout_target *t = c->target;

	if (c->question != NULL)
		callout_answered(c->question, CALLOUT_AWAY, span_str(why));
	c->question = NULL;
	callout_failed(t, why);
	callout_conn_drop(c);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void say(struct callout_conn *c, enum step step, const char *before, struct span addr,
    const char *behind)
{
	struct buf line;

	buf_init(&line, LINE_ROOM);
	buf_add_str(&line, before);
	buf_add_span(&line, addr);
	buf_add_str(&line, behind);
	c->step = step;
	client_say(c->engine, buf_view(&line), now_of(c));
	buf_fini(&line);
}

/* Nothing but what is in a line may be: the receiver looked at it, and proto_get_callout() again.
 * An address beyond ASCII is unknown where nobody could send to it. */
static void say_mail(struct callout_conn *c)
{
	bool utf8 = utf8_beyond_ascii(c->question->addr);

	say(c, STEP_MAIL, "MAIL FROM:<", span_str(c->lookup->from),
	    utf8 && client_takes_utf8(c->engine) ? "> SMTPUTF8" : ">");
}

static void leave(struct callout_conn *c)
{
	c->ready = false;
	c->limit = INT64_MAX;
	client_quit(c->engine, now_of(c));
}

static void take_question(struct callout_conn *c)
{
	struct callout_question *q = callout_next(c->target);

	c->question = q;
	c->ready = q == NULL;
	if (q != NULL) {
		c->asked++;
		c->limit = INT64_MAX;
		say_mail(c);
	} else if (c->target->retired) {
		leave(c);
	} else {
		c->limit = now_of(c) + CALLOUT_IDLE;
	}
}

/* Enough was asked here, or another configuration may name somebody else: the next is asked over
 * another connection. */
static void next_or_leave(struct callout_conn *c)
{
	if (c->asked >= CALLOUT_PER_CONN || c->unknown >= CALLOUT_UNKNOWN_PER_CONN ||
	    c->config != c->target->config)
		leave(c);
	else
		take_question(c);
}

static void answer(struct callout_conn *c, const struct client_event *ev)
{
	struct callout_question *q = c->question;
	enum callout_verdict verdict = callout_judge(&ev->reply);
	char why[CALLOUT_WHY_MAX];
	struct buf text;

	buf_init(&text, sizeof(why));
	buf_addf(&text, "%u %.*s", ev->reply.code,
	    SPAN_ARG(span_first(ev->reply.text, sizeof(why) - 8)));
	c->question = NULL;
	c->unknown += verdict == CALLOUT_UNKNOWN;
	if (verdict != CALLOUT_AWAY)
		c->target->failures = 0;
	callout_answered(q, verdict, buf_view(&text));
	buf_fini(&text);
}

static void on_answer(struct callout_conn *c, const struct client_event *ev)
{
	bool good = reply_ok(&ev->reply);

	if (ev->source != CLIENT_FROM_PEER)
		return; /* CLIENT_CLOSED follows */
	switch (c->step) {
	case STEP_MAIL:
		if (good)
			say(c, STEP_RCPT, "RCPT TO:<", c->question->addr, ">");
		else
			c->dead = true; /* it speaks of us, whatever the code */
		break;
	case STEP_RCPT:
		answer(c, ev);
		say(c, STEP_RSET, "RSET", SPAN_NONE, "");
		break;
	case STEP_RSET:
		if (good)
			next_or_leave(c);
		else
			client_quit(c->engine, now_of(c));
		break;
	}
}

/* False: c is gone. */
static bool events(struct callout_conn *c)
{
	struct client_event ev;
	int r;

	while ((r = client_next(c->engine, &ev)) > 0) {
		if (ev.type == CLIENT_READY) {
			c->greeted = true;
			next_or_leave(c);
		} else if (ev.type == CLIENT_ANSWER) {
			on_answer(c, &ev);
		} else if (ev.type == CLIENT_CLOSED) {
			c->dead = true;
		}
	}
	if (r == 0 && !c->dead)
		return true;
	if (c->question != NULL || !c->greeted) {
		fail(c, c->question != NULL && c->step == STEP_MAIL ? "refused or lost at MAIL"
								    : "refused or lost");
	} else {
		struct callout_target *t = c->target;

		callout_conn_drop(c);
		callout_proceed(t);
	}
	return false;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static bool write_output(struct callout_conn *c)
{
	struct span out;

	while ((out = client_output(c->engine)).n > 0) {
		ptrdiff_t n = stream_write(&c->stream, out);

		if (n < 0)
			return n == GW_EBUSY;
		client_sent(c->engine, (size_t)n, now_of(c));
	}
	return true;
}

static void set_timer(struct callout_conn *c)
{
	int64_t at = client_deadline(c->engine);

	if (c->question != NULL && c->question->deadline < at)
		at = c->question->deadline;
	timer_set(&c->timer, c->limit < at ? c->limit : at);
}

static void process(struct callout_conn *c)
{
	size_t n;

	do {
		if (!events(c))
			return;
		if (!write_output(c))
			client_eof(c->engine, now_of(c));
		n = client_feed(c->engine, buf_view(&c->in), now_of(c));
		buf_drop(&c->in, n);
	} while (n > 0);
	if (!events(c))
		return;
	buf_trim(&c->in);
	watch_want(&c->watch, true, client_output(c->engine).n > 0);
	set_timer(c);
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct callout_conn *c = arg;
	uint8_t *to = readable ? buf_room(&c->in, READ_STEP) : NULL;
	ptrdiff_t n = to != NULL ? stream_read(&c->stream, to, READ_STEP) : GW_EBUSY;

	(void)writable;
	if (n > 0)
		buf_commit(&c->in, (size_t)n);
	else if (n != GW_EBUSY)
		client_eof(c->engine, now_of(c));
	process(c);
}

static void connected(struct callout_conn *c, int fd)
{
	client_config_defaults(&c->client);
	client_config_hurry(&c->client, c->lookup->timeout);
	c->client.lmtp = c->lookup->lmtp;
	c->client.hostname = span_str(c->config->hostname);
	stream_init(&c->stream, fd);
	c->engine = client_new(&c->client, now_of(c));
	c->limit = now_of(c) + c->lookup->timeout;
	watch_start(&c->watch, c->sender->loop, fd, on_io, c);
	watch_want(&c->watch, true, false);
	process(c);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void try_next(struct callout_conn *c);

static void on_connect(void *arg, bool readable, bool writable)
{
	struct attempt *a = arg;
	struct callout_conn *c =
	    (struct callout_conn *)(void *)((char *)a - offsetof(struct callout_conn, attempt));
	int err = attempt_result(a);

	(void)readable;
	(void)writable;
	if (err == 0) {
		connected(c, attempt_take(a));
		return;
	}
	attempt_end(a);
	try_next(c);
}

/* The next address of the hosts that are known; NULL: there is none now. */
static const struct host_address *next_address(struct callout_conn *c)
{
	const struct host *list;
	size_t n = hosts_list(c->hosts, &list);

	while (c->host_at < n && c->address_at >= list[c->host_at].n_address) {
		c->host_at++;
		c->address_at = 0;
	}
	return c->host_at < n ? &list[c->host_at].address[c->address_at++] : NULL;
}

static bool has_next(const struct callout_conn *c)
{
	const struct host *list;
	size_t n = c->hosts != NULL ? hosts_list(c->hosts, &list) : 0;

	return c->host_at + 1 < n || (c->host_at < n && c->address_at < list[c->host_at].n_address);
}

static void try_next(struct callout_conn *c)
{
	const struct endpoint *at = &c->lookup->at;
	const struct host_address *a;

	timer_set(&c->timer, now_of(c) + CONNECT_PATIENCE);
	if (at->unix_path != NULL) {
		if (c->address_at++ > 0 ||
		    attempt_start(&c->attempt, c->sender->loop, &c->way, NULL, on_connect) != 0)
			fail(c, "cannot be connected");
		return;
	}
	while ((a = next_address(c)) != NULL) {
		if (attempt_start(&c->attempt, c->sender->loop, &c->way, a, on_connect) != 0)
			continue;
		if (has_next(c))
			timer_set(&c->timer, now_of(c) + ADDRESS_PATIENCE);
		return;
	}
	if (!hosts_wait(c->hosts))
		fail(c, "cannot be connected");
}

static void on_name(void *arg, const struct dns_answer *a);

static void ask_names(struct callout_conn *c)
{
	struct hosts_question q;

	while (hosts_next(c->hosts, &q)) {
		struct name_question *x = arena_alloc(&c->arena, sizeof(*x));

		gw_assert(x != NULL); /* of one host there are two */
		*x = (struct name_question){.conn = c, .next = c->names, .number = q.number};
		c->names = x;
		x->asked = dns_ask(&c->sender->dns, q.type, q.name, on_name, x);
	}
}

static void on_name(void *arg, const struct dns_answer *a)
{
	struct name_question *x = arg;
	struct callout_conn *c = x->conn;

	x->asked = 0;
	(void)!hosts_answer(c->hosts, x->number, a); /* no room counts as trouble */
	ask_names(c);
	if (c->engine == NULL && c->attempt.fd < 0)
		try_next(c);
}

static void on_time(void *arg)
{
	struct callout_conn *c = arg;
	int64_t now = now_of(c);

	if (c->engine == NULL && c->attempt.fd >= 0 && has_next(c)) {
		attempt_end(&c->attempt);
		try_next(c);
		return;
	}
	if (c->engine == NULL) {
		fail(c, "cannot be connected in time");
		return;
	}
	if (c->question != NULL && c->question->deadline <= now) {
		fail(c, "no answer in time");
		return;
	}
	if (c->limit <= now && !c->greeted) {
		fail(c, "no greeting in time");
		return;
	}
	if (c->limit <= now && c->ready)
		leave(c);
	else if (client_deadline(c->engine) <= now)
		client_tick(c->engine, now);
	process(c);
}

void callout_conn_open(struct callout_target *t)
{
	struct callout_conn *c = gw_calloc(1, sizeof(*c));
	const struct endpoint *at = &t->lookup->at;

	c->target = t;
	c->sender = t->callouts->sender;
	c->config = config_ref(t->config);
	c->lookup = t->lookup;
	c->attempt.fd = -1;
	c->limit = INT64_MAX;
	stream_init(&c->stream, -1);
	buf_init(&c->in, IN_MAX);
	arena_init(&c->arena, ARENA);
	timer_start(&c->timer, c->sender->loop, on_time, c);
	TAILQ_INSERT_TAIL(&t->conns, c, link);
	t->n_conns++;
	if (at->unix_path != NULL) {
		c->way.path = span_str(at->unix_path);
	} else {
		c->given = (struct hosts_given){span_str(at->host), at->port};
		c->params = (struct hosts_params){.given = &c->given, .n_given = 1};
		c->hosts = hosts_start(&c->params, &c->arena);
		gw_assert(c->hosts != NULL);
		ask_names(c);
	}
	try_next(c);
}

void callout_conn_follow(struct callout_target *t)
{
	struct callout_conn *c, *next;

	for (c = TAILQ_FIRST(&t->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if ((c->config == t->config && !t->retired) || !c->ready)
			continue; /* one that is not ready looks at it when it is */
		leave(c);
		set_timer(c);
		watch_want(&c->watch, true, true);
	}
}

bool callout_conn_wake(struct callout_target *t)
{
	struct callout_conn *c;

	TAILQ_FOREACH(c, &t->conns, link)
	{
		if (c->config != t->config)
			continue;
		if (c->engine == NULL) /* it will take the first that waits */
			return true;
		/* What it said meanwhile must not be taken for an answer. */
		if (c->ready && !stream_peek(&c->stream)) {
			take_question(c);
			process(c);
			return true;
		}
	}
	return false;
}
