#include "role/sender_callout.h"

#include "base/log.h"

#include <stdlib.h>

enum { FRAME = 512 };

/* ---- answers --------------------------------------------------------------------------------- */

static void tell(
    struct callouts *k, const struct callout_waiter *w, enum called called, struct span why)
{
	struct proto_called c = {.request = w->request, .called = (uint8_t)called, .why = why};
	struct callout_peer *p = &k->receiver[w->receiver];
	struct span part;
	struct buf b;

	if (p->ipc == NULL || p->number != w->channel)
		return;
	buf_init(&b, FRAME);
	proto_put_called(&b, &c);
	part = buf_view(&b);
	ipc_send(p->ipc, IPC_CALLED, &part, 1, -1);
	buf_fini(&b);
}

static int64_t now_of(const struct callouts *k)
{
	return loop_now(k->sender->loop);
}

static void set_timer(struct callout_target *t)
{
	const struct callout_question *q = TAILQ_FIRST(&t->waiting);

	timer_set(&t->timer, q != NULL ? q->deadline : INT64_MAX);
}

void callout_answered(struct callout_question *q, enum callout_verdict verdict, struct span why)
{
	static const enum called called[] = {[CALLOUT_KNOWN] = CALLED_KNOWN,
	    [CALLOUT_UNKNOWN] = CALLED_UNKNOWN,
	    [CALLOUT_AWAY] = CALLED_AWAY};
	struct callout_target *t = q->target;
	struct callouts *k = t->callouts;
	struct callout_waiter *w;

	if (verdict != CALLOUT_AWAY && !t->retired)
		callout_cache_put(k->cache, t->domain, q->addr, verdict == CALLOUT_KNOWN,
		    now_of(k) + (verdict == CALLOUT_KNOWN ? t->lookup->cache : t->lookup->negative),
		    now_of(k));
	map_del(&t->questions, q->addr);
	if (!q->asked)
		TAILQ_REMOVE(&t->waiting, q, link);
	while ((w = TAILQ_FIRST(&q->waiters)) != NULL) {
		tell(k, w, called[verdict], why);
		guesses_end(k->guesses, w->ip, verdict == CALLOUT_UNKNOWN, now_of(k));
		TAILQ_REMOVE(&q->waiters, w, link);
		free(w);
	}
	free(q);
	set_timer(t);
	callout_target_done(t);
}

/* In the end of this turn: whoever answered is not through with it. */
void callout_target_done(struct callout_target *t)
{
	if (t->retired && t->n_conns == 0 && map_len(&t->questions) == 0)
		flush_mark(&t->callouts->sweep, t->callouts->sender->loop);
}

/* ---- targets --------------------------------------------------------------------------------- */

static void log_away(const struct callout_target *t, const char *why)
{
	struct logline l;

	log_begin(&l, EV_CALLOUT_AWAY);
	log_text(&l, "domain", t->domain);
	log_str(&l, "reason", why);
	log_end(&l);
}

/* Said once, when it begins. */
void callout_failed(struct callout_target *t, const char *why)
{
	struct callouts *k = t->callouts;
	int64_t rest = CALLOUT_REST << (t->failures < 5 ? t->failures : 5);
	struct callout_question *q;

	metric_add(METRIC_CALLOUTS_AWAY, 1);
	if (t->failures++ == 0)
		log_away(t, why);
	t->rests = now_of(k) + (rest < CALLOUT_REST_MAX ? rest : CALLOUT_REST_MAX);
	while ((q = TAILQ_FIRST(&t->waiting)) != NULL)
		callout_answered(q, CALLOUT_AWAY, span_str(why));
}

struct callout_question *callout_next(struct callout_target *t)
{
	struct callout_question *q = TAILQ_FIRST(&t->waiting);

	if (q == NULL)
		return NULL;
	TAILQ_REMOVE(&t->waiting, q, link);
	q->asked = true;
	set_timer(t);
	return q;
}

void callout_proceed(struct callout_target *t)
{
	if (!TAILQ_EMPTY(&t->waiting) && !callout_conn_wake(t) && t->n_conns < CALLOUT_CONNS &&
	    !t->callouts->sender->stopping)
		callout_conn_open(t);
}

static void timed(void *arg)
{
	struct callout_target *t = arg;
	int64_t now = now_of(t->callouts);
	struct callout_question *q;

	while ((q = TAILQ_FIRST(&t->waiting)) != NULL && q->deadline <= now)
		callout_answered(q, CALLOUT_AWAY, SPAN("no turn in time"));
	set_timer(t);
}

static void use_rules(struct callout_target *t, const struct domain *d)
{
	config_free(&t->config);
	t->config = config_ref(t->callouts->sender->config);
	t->lookup = d->lookup;
	callout_conn_follow(t);
}

static struct callout_target *make_target(struct callouts *k, const struct domain *d)
{
	struct span domain = span_str(d->name);
	struct callout_target *t = gw_calloc(1, sizeof(*t) + domain.n);

	t->callouts = k;
	memcpy(t->bytes, domain.p, domain.n);
	t->domain = span_of(t->bytes, domain.n);
	map_init(&t->questions, k->targets.seed);
	TAILQ_INIT(&t->waiting);
	TAILQ_INIT(&t->conns);
	timer_start(&t->timer, k->sender->loop, timed, t);
	map_put(&k->targets, t->domain, t);
	TAILQ_INSERT_TAIL(&k->all, t, link);
	use_rules(t, d);
	return t;
}

/* NULL: the configuration knows nobody who could be asked. */
static struct callout_target *find_target(struct callouts *k, struct span domain)
{
	const struct domain *d = callout_domain(k->sender->config, domain);
	struct callout_target *t;

	if (d == NULL || d->recipients != RECIPIENTS_CALLOUT)
		return NULL;
	t = map_get(&k->targets, domain);
	return t != NULL ? t : make_target(k, d);
}

/* ---- reload ---------------------------------------------------------------------------------- */

static void sweep(void *arg)
{
	struct callouts *k = arg;
	struct callout_target *t, *next;

	for (t = TAILQ_FIRST(&k->retired); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->n_conns > 0 || map_len(&t->questions) > 0)
			continue;
		TAILQ_REMOVE(&k->retired, t, link);
		timer_stop(&t->timer);
		map_fini(&t->questions);
		config_free(&t->config);
		free(t);
	}
}

/* Who has the place of its name from now on is another one. */
static void retire(struct callout_target *t)
{
	struct callouts *k = t->callouts;

	map_del(&k->targets, t->domain);
	TAILQ_REMOVE(&k->all, t, link);
	TAILQ_INSERT_TAIL(&k->retired, t, link);
	t->retired = true;
	callout_conn_follow(t);
	callout_target_done(t);
}

void callouts_change(struct sender *s, const struct config *old)
{
	struct callouts *k = s->callouts;
	struct callout_target *t, *next;

	callout_cache_change(k->cache, old, s->config);
	for (t = TAILQ_FIRST(&k->all); t != NULL; t = next) {
		const struct domain *was = callout_domain(old, t->domain);
		const struct domain *is = callout_domain(s->config, t->domain);

		next = TAILQ_NEXT(t, link);
		if (was != NULL && is != NULL && callout_same(was, is))
			use_rules(t, is);
		else
			retire(t);
	}
}

/* ---- questions ------------------------------------------------------------------------------- */

static void line_up(struct callout_target *t, struct callout_question *q)
{
	struct callout_question *before = NULL;

	TAILQ_FOREACH_REVERSE(before, &t->waiting, callout_row, link)
	{
		if (before->deadline <= q->deadline)
			break;
	}
	if (before != NULL)
		TAILQ_INSERT_AFTER(&t->waiting, before, q, link);
	else
		TAILQ_INSERT_HEAD(&t->waiting, q, link);
	set_timer(t);
}

static struct callout_question *make_question(struct callout_target *t, struct span addr)
{
	struct callout_question *q = gw_calloc(1, sizeof(*q) + addr.n);

	memcpy(q->bytes, addr.p, addr.n);
	q->addr = span_of(q->bytes, addr.n);
	q->target = t;
	q->deadline = now_of(t->callouts) + t->lookup->timeout;
	TAILQ_INIT(&q->waiters);
	map_put(&t->questions, q->addr, q);
	line_up(t, q);
	return q;
}

/* Somebody has to be asked. */
static void wait_for(struct callout_target *t, const struct callout_waiter *who, struct span addr)
{
	struct callouts *k = t->callouts;
	struct callout_question *q = map_get(&t->questions, addr);
	struct callout_waiter *w;

	if (t->rests > now_of(k) || map_len(&t->questions) >= CALLOUT_WAITING ||
	    (q != NULL && q->n_waiters == CALLOUT_WAITERS)) {
		tell(k, who, CALLED_AWAY, SPAN("not asked now"));
		return;
	}
	if (!guesses_begin(k->guesses, who->ip, now_of(k))) {
		tell(k, who, CALLED_BUSY, SPAN("too many from there"));
		return;
	}
	if (q == NULL)
		q = make_question(t, addr);
	w = gw_calloc(1, sizeof(*w));
	*w = *who;
	TAILQ_INSERT_TAIL(&q->waiters, w, link);
	q->n_waiters++;
	callout_proceed(t);
}

static int take(struct callout_peer *p, struct span payload)
{
	struct callouts *k = p->callouts;
	struct callout_waiter who = {.receiver = p->index, .channel = p->number};
	struct callout_target *t;
	struct proto_callout c;
	bool known;

	if (proto_get_callout(payload, &c) < 0)
		return GW_EFORMAT;
	metric_add(METRIC_CALLOUTS, 1);
	who.request = c.request;
	memcpy(who.ip, c.ip, sizeof(who.ip));
	t = find_target(k, c.domain);
	if (t == NULL || k->sender->stopping)
		tell(k, &who, CALLED_AWAY, SPAN("nobody to ask"));
	else if (callout_cache_find(k->cache, c.domain, c.address, now_of(k), &known))
		tell(k, &who, known ? CALLED_KNOWN : CALLED_UNKNOWN, SPAN_NONE);
	else
		wait_for(t, &who, c.address);
	return 0;
}

/* ---- channels -------------------------------------------------------------------------------- */

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	if (f->type == IPC_CALLOUT && take(arg, f->payload) < 0)
		ipc_end(c, "bad_payload");
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct callout_peer *p = arg;

	(void)c;
	(void)why;
	ipc_free(&p->ipc);
}

void callouts_peer(struct sender *s, unsigned index, int fd)
{
	struct callout_peer *p;
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed};

	gw_assert(index < WORKERS_MAX);
	p = &s->callouts->receiver[index];
	owner.arg = p;
	if (p->ipc != NULL) /* its end was not seen yet */
		ipc_free(&p->ipc);
	p->number = ++s->callouts->channels;
	p->ipc = ipc_new(s->loop, fd, ROLE_SENDER, ROLE_SMTPD, index, &owner);
}

/* ---- start and end --------------------------------------------------------------------------- */

void callouts_start(struct sender *s, uint64_t seed)
{
	struct callouts *k = gw_calloc(1, sizeof(*k));

	s->callouts = k;
	k->sender = s;
	map_init(&k->targets, seed);
	TAILQ_INIT(&k->all);
	TAILQ_INIT(&k->retired);
	flush_init(&k->sweep, sweep, k);
	k->cache = callout_cache_new(CALLOUT_CACHED, seed);
	k->guesses = guesses_new(CALLOUT_GUESTS, seed);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		k->receiver[i] = (struct callout_peer){.callouts = k, .index = i};
}

static void stop_targets(struct callout_targets *list)
{
	struct callout_target *t;
	struct callout_conn *c;

	TAILQ_FOREACH(t, list, link)
	{
		callout_failed(t, "stopping");
		while ((c = TAILQ_FIRST(&t->conns)) != NULL)
			callout_conn_drop(c);
	}
}

void callouts_stop(struct sender *s)
{
	stop_targets(&s->callouts->all);
	stop_targets(&s->callouts->retired);
}
