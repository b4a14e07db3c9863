#include "role/sender_tls.h"

#include "base/log.h"
#include "config/config.h"
#include "role/sender.h"
#include "role/sender_auth.h"

#include <stdio.h>
#include <stdlib.h>

#define SHAKE_PATIENCE INT64_C(60000000) /* microseconds */

enum { TEXT_MAX_OCTETS = 512, KEY_MAX = 400 };

/* ---- hosts without ----------------------------------------------------------------------------
 */

struct clear_host {
	TAILQ_ENTRY(clear_host) link;
	int64_t until;
	char why[32];
	size_t n;
	char key[];
};

void clear_hosts_init(struct clear_hosts *h, uint64_t seed, int64_t keep)
{
	h->keep = keep;
	map_init(&h->by_key, seed);
	TAILQ_INIT(&h->list);
}

static void forget(struct clear_hosts *h, struct clear_host *x)
{
	map_del(&h->by_key, span_of(x->key, x->n));
	TAILQ_REMOVE(&h->list, x, link);
	free(x);
}

void clear_hosts_add(struct clear_hosts *h, const char *key, const char *why, int64_t now)
{
	struct clear_host *x = map_get(&h->by_key, span_str(key));

	if (x != NULL)
		forget(h, x);
	if (map_len(&h->by_key) >= CLEAR_HOSTS_MAX)
		forget(h, TAILQ_FIRST(&h->list));
	x = gw_calloc(1, sizeof(*x) + strlen(key) + 1);
	x->n = strlen(key);
	memcpy(x->key, key, x->n);
	snprintf(x->why, sizeof(x->why), "%s", why);
	x->until = now + h->keep;
	map_put(&h->by_key, span_of(x->key, x->n), x);
	TAILQ_INSERT_TAIL(&h->list, x, link);
}

const char *clear_hosts_find(struct clear_hosts *h, const char *key, int64_t now)
{
	struct clear_host *x = map_get(&h->by_key, span_str(key));

	if (x == NULL || now < x->until)
		return x != NULL ? x->why : NULL;
	forget(h, x);
	return NULL;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static int64_t now_of(const struct conn *c)
{
	return loop_now(c->sender->loop);
}

static void expect_handshake(struct conn *c)
{
	int64_t most = c->sender->config->reply_timeout;

	c->guard.state = GUARD_SHAKING;
	c->guard.limit = now_of(c) + (most < SHAKE_PATIENCE ? most : SHAKE_PATIENCE);
}

/*
 * RFC 8689 section 4.2.1: is TLS demanded for the sake of this message? Not on the last step into a
 * mailbox, nor of a customer who came for it and logged in, and not of reports, which rather arrive
 * in the clear than not at all (section 5).
 */
static bool requires_tls(const struct job *j)
{
	const struct proto_target *t = &j->order.target;

	return j->order.handling.require_tls && j->order.from.n > 0 && t->kind != TARGET_LMTP &&
	       t->kind != TARGET_ODMR && t->path.n == 0;
}

static void demand_required(struct guard *g, const struct proto_target *t)
{
	g->required = true;
	if (t->kind == TARGET_MX)
		span_to_cstr(t->domain, g->domain, sizeof(g->domain));
	if (g->policy.demand >= TLS_DEMAND_VERIFY)
		return;
	g->policy.demand = TLS_DEMAND_VERIFY;
	g->policy.source = "REQUIRETLS";
}

void guard_start(struct conn *c, const struct proto_target *t)
{
	struct guard *g = &c->guard;

	*g = (struct guard){.login = t->login, .secret = t->secret};
	span_to_cstr(span_str(c->peer.name), g->name, sizeof(g->name));
	g->policy = (struct tls_policy){
	    .demand = (enum tls_demand)t->tls, .name = span_str(g->name), .source = "route"};
	span_to_cstr(span_first(t->vmta, sizeof(g->source) - 1), g->source, sizeof(g->source));
	g->local = t->path.n > 0;
	if (g->local)
		g->policy.demand = TLS_DEMAND_NONE;
	if (t->pins.n > 0) {
		g->pin = gw_calloc(1, t->pins.n);
		memcpy(g->pin, t->pins.p, t->pins.n);
		g->policy.fingerprint = g->pin;
		g->policy.n_fingerprint = t->pins.n / TLS_FINGERPRINT;
	}
	if (c->job != NULL && requires_tls(c->job))
		demand_required(g, t);
	g->implicit = t->kind == TARGET_RELAY && t->path.n == 0 && c->peer.port == SMTPS_PORT &&
		      g->policy.demand != TLS_DEMAND_NONE;
	/* There is no plain text to fall back to. */
	if (g->implicit && g->policy.demand == TLS_DEMAND_TRY)
		g->policy.demand = TLS_DEMAND_ENCRYPT;
	g->seen.offered = g->implicit;
	if (g->implicit)
		expect_handshake(c);
}

void guard_free(struct guard *g)
{
	login_free(&g->exchange);
	free(g->pin);
	g->pin = NULL;
}

/* A host that is vouched for is so for that domain alone. */
static bool is_for(const struct guard *g, const struct proto_target *t)
{
	return t->kind != TARGET_MX || span_eq_case(span_str(g->domain), t->domain);
}

bool guard_fits(const struct guard *g, const struct job *j)
{
	const struct proto_target *t = &j->order.target;
	struct span pins = span_of(g->pin, g->policy.n_fingerprint * TLS_FINGERPRINT);

	if (g->login != t->login || (g->login && g->secret != t->secret) ||
	    (requires_tls(j) && !(g->required && is_for(g, t))))
		return false;
	return t->path.n > 0 || (g->policy.demand >= t->tls && span_eq(pins, t->pins));
}

/* ---- verdicts ---------------------------------------------------------------------------------
 */

static void note_result(struct conn *c)
{
	struct guard *g = &c->guard;

	if (!g->local)
		tls_result(&g->policy, &g->seen, stream_tls_version(&c->stream), g->result,
		    sizeof(g->result));
	if (c->job != NULL)
		snprintf(c->job->tls, sizeof(c->job->tls), "%s", g->result);
}

static void log_failed(const struct conn *c)
{
	const struct guard *g = &c->guard;
	struct logline l;

	log_begin(&l, EV_TLS_OUT_FAILED);
	log_str(&l, "reason", g->seen.why != NULL ? g->seen.why : "bad_handshake");
	log_str(&l, "result", g->policy.demand == TLS_DEMAND_TRY ? "plain_text" : "deferred");
	log_str(&l, "host", c->peer.text);
	log_end(&l);
}

static void end_unfit(struct conn *c, const char *text)
{
	struct reply r = {
	    .code = 451, .esc = {4, 7, tls_failure_detail(&c->guard.seen)}, .text = span_str(text)};

	/* Who must have TLS and will not get it here is told at once. */
	if (c->guard.required && !c->guard.seen.offered)
		r = (struct reply){.code = 550, .esc = {5, 7, 10}, .text = r.text};
	conn_unfit(c, &r, "starttls");
}

/* It was to be TLS and is not. */
static void handshake_failed(struct conn *c, const char *why)
{
	struct guard *g = &c->guard;
	char text[TEXT_MAX_OCTETS];

	snprintf(g->why, sizeof(g->why), "%s", why);
	g->seen.why = g->why;
	g->state = GUARD_DONE;
	metric_add(METRIC_SENDER_TLS_FAILED, 1);
	note_result(c);
	log_failed(c);
	if (tls_judge(&g->policy, &g->seen, text, sizeof(text)) == TLS_STOP) {
		end_unfit(c, text);
		return;
	}
	clear_hosts_add(&c->sender->clear, c->peer.text, why, now_of(c));
	if (c->job != NULL && c->walk != NULL) {
		walk_same(c->walk);
		conn_move(c);
	}
	conn_leave(c);
}

/* ---- the handshake ----------------------------------------------------------------------------
 */

/* Sessions are for the next connection of this kind to the same place, and no other. */
static struct span session_key(const struct conn *c, char text[KEY_MAX])
{
	int n = snprintf(text, KEY_MAX, "%s|%u|%s", c->peer.text, (unsigned)c->guard.policy.demand,
	    c->guard.source);

	return span_of(text, n < KEY_MAX ? (size_t)n : KEY_MAX - 1);
}

static void begin_handshake(struct conn *c)
{
	struct guard *g = &c->guard;
	char key[KEY_MAX];
	struct tls_client_wish w = {.host = g->policy.name,
	    .session = session_key(c, key),
	    .pin = g->policy.fingerprint,
	    .n_pin = g->policy.n_fingerprint};

	if (stream_start_tls_client(&c->stream, c->sender->tls, &w) < 0)
		c->stream.over = true; /* the first step says so */
}

static void take_outcome(struct conn *c)
{
	struct guard *g = &c->guard;
	struct tls_client_result r;

	stream_tls_verified(&c->stream, &r);
	g->seen.shaken = true;
	g->seen.chain = r.chain;
	g->seen.name = r.name;
	g->seen.pinned = r.pinned;
	snprintf(g->why, sizeof(g->why), "%s", r.why);
	g->seen.why = g->why[0] != '\0' ? g->why : NULL;
	metric_add(METRIC_SENDER_TLS, 1);
	if (stream_tls_resumed(&c->stream))
		metric_add(METRIC_SENDER_TLS_RESUMED, 1);
	note_result(c);
}

static void shaken(struct conn *c)
{
	struct guard *g = &c->guard;
	char text[TEXT_MAX_OCTETS];

	take_outcome(c);
	g->state = GUARD_SHAKEN;
	if (tls_judge(&g->policy, &g->seen, text, sizeof(text)) == TLS_STOP) {
		log_failed(c);
		end_unfit(c, text);
		return;
	}
	if (!g->implicit)
		client_start_over(c->engine, now_of(c));
	else
		g->state = GUARD_NEW; /* the greeting comes now */
}

/* 1, 0, or GW_EIO and why. */
static int step_on(struct conn *c, const char **why)
{
	if (c->guard.injected) {
		*why = "out_of_step";
		return GW_EIO;
	}
	if (!c->stream.tls)
		begin_handshake(c);
	return stream_handshake(&c->stream, why);
}

void guard_shake(struct conn *c)
{
	const char *why = "closed";
	int step = step_on(c, &why);

	if (step == 0 && c->guard.limit <= now_of(c)) {
		step = GW_EIO;
		why = "too_slow";
	}
	if (step == 0) {
		watch_want(&c->watch, true, c->stream.wants_write);
		timer_set(&c->timer, c->guard.limit);
		return;
	}
	if (step == 1)
		shaken(c);
	else
		handshake_failed(c, why);
	conn_process(c);
}

/* There is no word of farewell in the midst of a handshake: the engine finds the connection lost.
 */
void guard_leave(struct conn *c)
{
	if (!guard_shaking(&c->guard))
		return;
	c->guard.state = GUARD_DONE;
	c->stream.over = true;
}

/* ---- between greeting and mail ----------------------------------------------------------------
 */

/* Without TLS: is that good enough? False: it is not, and c is leaving. */
static bool in_clear(struct conn *c)
{
	char text[TEXT_MAX_OCTETS];

	note_result(c);
	if (tls_judge(&c->guard.policy, &c->guard.seen, text, sizeof(text)) != TLS_STOP)
		return true;
	end_unfit(c, text);
	return false;
}

/* RFC 8689 section 4.2.1: a certificate says who it is; that this is a host of the domain only a
 * signed MX does, and without one the host's name itself. And it has to promise the same for the
 * rest of the way. */
static bool promises(struct conn *c)
{
	const struct guard *g = &c->guard;
	char text[TEXT_MAX_OCTETS];
	struct reply r = {.code = 550, .esc = {5, 7, 30}};

	if (!g->required)
		return true;
	if (g->domain[0] != '\0' && !c->peer.vouched)
		snprintf(text, sizeof(text),
		    "REQUIRETLS: that %.200s is a host of %.200s is not signed (DNSSEC)",
		    c->peer.name, g->domain);
	else if (!(client_extensions(c->engine) & EXT_BIT(REQUIRETLS)))
		snprintf(text, sizeof(text), "REQUIRETLS support required: %s does not offer it",
		    c->peer.text);
	else
		return true;
	r.text = span_str(text);
	conn_unfit(c, &r, "starttls");
	return false;
}

static bool log_in(struct conn *c)
{
	struct guard *g = &c->guard;

	if (!promises(c))
		return false;
	g->state = g->login ? GUARD_LOGIN : GUARD_DONE;
	if (g->login)
		login_begin(c);
	return !g->login;
}

/* The first READY: STARTTLS if it is there to be had. */
static bool first_ready(struct conn *c)
{
	struct guard *g = &c->guard;
	const char *bad = NULL;

	g->seen.offered = client_extensions(c->engine) & UINT32_C(1) << EXT_STARTTLS;
	if (g->policy.demand == TLS_DEMAND_TRY)
		bad = clear_hosts_find(&c->sender->clear, c->peer.text, now_of(c));
	if (bad != NULL) {
		snprintf(g->why, sizeof(g->why), "%s", bad);
		g->seen.why = g->why;
	}
	if (g->policy.demand == TLS_DEMAND_NONE || !g->seen.offered || bad != NULL)
		return in_clear(c) && log_in(c);
	g->state = GUARD_STARTTLS;
	client_say(c->engine, SPAN("STARTTLS"), now_of(c));
	return false;
}

bool guard_ready(struct conn *c)
{
	switch (c->guard.state) {
	case GUARD_NEW: return c->stream.tls ? log_in(c) : first_ready(c);
	case GUARD_SHAKEN: return log_in(c);
	case GUARD_DONE: return true;
	case GUARD_STARTTLS:
	case GUARD_SHAKING:
	case GUARD_LOGIN: break;
	}
	gw_assert(!"ready while something is under way");
	return false;
}

/* RFC 3207 section 4, and CVE-2021-38371: what stands behind the 220 was not said under TLS. */
static bool nothing_behind(const struct conn *c)
{
	return buf_len(&c->in) == 0 && client_quiet(c->engine);
}

static void starttls_answer(struct conn *c, const struct reply *r)
{
	struct guard *g = &c->guard;

	if (r->code == 220) { /* the first step is made when the engine's events are through */
		g->injected = !nothing_behind(c);
		expect_handshake(c);
		return;
	}
	g->state = GUARD_NEW;
	g->seen.refused = true;
	if (in_clear(c) && log_in(c))
		conn_next_job(c);
}

/* Where STARTTLS was said and no answer came that makes sense, it is TLS that failed. */
bool guard_lost(struct conn *c, const struct client_event *last)
{
	if (c->guard.state != GUARD_STARTTLS || c->job == NULL || last->reply.code == 421)
		return false;
	handshake_failed(c, c->hung_up ? "closed" : "out_of_step");
	return true;
}

void guard_answer(struct conn *c, const struct client_event *ev)
{
	if (c->guard.state == GUARD_STARTTLS)
		starttls_answer(c, &ev->reply);
	else if (c->guard.state == GUARD_LOGIN)
		login_answer(c, &ev->reply);
}
