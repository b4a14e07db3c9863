/* Questions: who waits for which, whose turn it is, and what they are told. */
#include "role/resolver.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/dnsmsg.h"

#include <stdlib.h>
#include <sys/random.h>

enum { ANSWER_FRAME = 80 << 10 };

/* Lines about trouble: one, then one in this time with the number of those that were not written.
 */
#define SAY_EVERY (10 * USEC_PER_SEC)

/* ---- who waits ------------------------------------------------------------------------------ */

static void set_timer(struct resolver *r)
{
	const struct want *w = TAILQ_FIRST(&r->by_time);

	timer_set(&r->patience, w != NULL ? w->asked + r->config->resolver.timeout : INT64_MAX);
}

static void add_want(struct asker *a, struct lookup *k, uint64_t request)
{
	struct want *w = gw_calloc(1, sizeof(*w));
	struct resolver *r = a->resolver;

	w->asker = a;
	w->lookup = k;
	w->request = request;
	w->asked = loop_now(r->loop);
	TAILQ_INSERT_TAIL(&a->wants, w, of_asker);
	TAILQ_INSERT_TAIL(&k->wants, w, of_lookup);
	TAILQ_INSERT_TAIL(&r->by_time, w, by_time);
	a->n_wants++;
	r->n_wants++;
	if (TAILQ_FIRST(&r->by_time) == w)
		set_timer(r);
}

static void drop_want(struct want *w)
{
	struct asker *a = w->asker;
	struct resolver *r = a->resolver;

	TAILQ_REMOVE(&a->wants, w, of_asker);
	TAILQ_REMOVE(&w->lookup->wants, w, of_lookup);
	TAILQ_REMOVE(&r->by_time, w, by_time);
	a->n_wants--;
	r->n_wants--;
	free(w);
}

/* ---- look-ups ------------------------------------------------------------------------------- */

static void leave_row(struct lookup *k)
{
	if (k->owner != NULL)
		TAILQ_REMOVE(&k->owner->ready, k, link);
	k->owner = NULL;
}

static void drop_lookup(struct lookup *k)
{
	gw_assert(TAILQ_EMPTY(&k->wants));
	leave_row(k);
	map_del(&k->resolver->lookups, k->key);
	free(k);
}

/* One who waited for it is gone: it waits in the row of another, or nobody needs it. */
static void lookup_orphaned(struct lookup *k)
{
	struct want *w = TAILQ_FIRST(&k->wants);

	if (k->owner == NULL)
		return;
	if (w == NULL) {
		drop_lookup(k);
		return;
	}
	leave_row(k);
	k->owner = w->asker;
	TAILQ_INSERT_TAIL(&k->owner->ready, k, link);
}

static struct lookup *make_lookup(struct resolver *r, enum dns_type type, struct span name)
{
	struct lookup *k = gw_calloc(1, sizeof(*k));

	gw_assert(name.n <= DNS_NAME_MAX);
	k->resolver = r;
	k->type = type;
	k->bytes[0] = (uint8_t)((unsigned)type >> 8);
	k->bytes[1] = (uint8_t)type;
	memcpy(k->bytes + 2, name.p, name.n);
	k->key = span_of(k->bytes, 2 + name.n);
	k->name = span_of(k->bytes + 2, name.n);
	TAILQ_INIT(&k->wants);
	return k;
}

/* ---- answers -------------------------------------------------------------------------------- */

static void tell(struct asker *a, uint64_t request, enum dns_type type, const struct dns_answer *x)
{
	struct proto_dns_answer r = {.request = request, .answer = *x};
	struct span part;
	struct buf b;

	if (a->ipc == NULL)
		return;
	buf_init(&b, ANSWER_FRAME);
	proto_put_dns_answer(&b, type, &r);
	gw_assert(!buf_failed(&b));
	part = buf_view(&b);
	ipc_send(a->ipc, IPC_DNS_ANSWER, &part, 1, -1);
	buf_fini(&b);
}

static void log_trouble(struct resolver *r, const struct dns_answer *a)
{
	struct logline l;

	if (r->said != 0 && loop_now(r->loop) - r->said < SAY_EVERY) {
		r->unsaid++;
		return;
	}
	r->said = loop_now(r->loop);
	log_begin(&l, EV_DNS_TROUBLE);
	if (r->unsaid > 0)
		log_number(&l, "more", (int64_t)r->unsaid);
	log_text(&l, "why", a->why);
	log_end(&l);
	r->unsaid = 0;
}

static void count(struct resolver *r, const struct dns_answer *a)
{
	static const enum metric by_status[] = {
	    [DNS_FOUND] = METRIC_DNS_FOUND,
	    [DNS_NODATA] = METRIC_DNS_NONE,
	    [DNS_NXDOMAIN] = METRIC_DNS_NONE,
	    [DNS_TROUBLE] = METRIC_DNS_TROUBLE,
	};

	metric_add(by_status[a->status], 1);
	if (a->status == DNS_TROUBLE)
		log_trouble(r, a);
}

/* Trouble for one who waited; the others go on waiting. */
static void give_up(struct want *w, const char *words)
{
	struct asker *a = w->asker;
	struct lookup *k = w->lookup;
	struct resolver *r = a->resolver;
	struct dns_answer x;

	if (dnsmsg_trouble(&r->reading, k->name, &x, "%s %.*s", words, SPAN_ARG(k->name)) == 0) {
		count(r, &x);
		tell(a, w->request, k->type, &x);
	}
	arena_clear(&r->reading);
	drop_want(w);
}

static void timed(void *arg)
{
	struct resolver *r = arg;
	int64_t before = loop_now(r->loop) - r->config->resolver.timeout;
	struct want *w;

	while ((w = TAILQ_FIRST(&r->by_time)) != NULL && w->asked <= before) {
		struct lookup *k = w->lookup;

		give_up(w, "no server answers in time for");
		if (TAILQ_EMPTY(&k->wants))
			lookup_orphaned(k);
	}
	set_timer(r);
}

/* The answer as libunbound gave it. Whatever is not plainly an answer is trouble. */
static int read_answer(struct lookup *k, const struct engine_answer *e, struct dns_answer *out)
{
	struct arena *a = &k->resolver->reading;
	int err;

	if (e->bogus)
		metric_add(METRIC_DNS_BOGUS, 1);
	if (e->bogus)
		return dnsmsg_trouble(a, k->name, out,
		    "the answer for %.*s is not validly signed: %s", SPAN_ARG(k->name),
		    e->why_bogus != NULL ? e->why_bogus : "no reason given");
	if (e->broken != NULL && e->broken[0] != '\0')
		return dnsmsg_trouble(a, k->name, out, "%s", e->broken);
	if (e->rcode != 0)
		return dnsmsg_trouble(a, k->name, out,
		    "no server gives a useful answer for %.*s (error %d)", SPAN_ARG(k->name),
		    e->rcode);
	err = dnsmsg_read(e->packet, k->type, k->name, a, out);
	if (err == GW_EFORMAT)
		err = 0;
	out->secure = e->secure && out->status != DNS_TROUBLE;
	return err;
}

static void pump(struct resolver *r);

static void lookup_done(void *arg, const struct engine_answer *e)
{
	struct lookup *k = arg;
	struct resolver *r = k->resolver;
	struct dns_answer a;
	struct want *w;

	if (read_answer(k, e, &a) < 0)
		die("resolver: an answer of %zu octets needs too much memory", e->packet.n);
	while ((w = TAILQ_FIRST(&k->wants)) != NULL) {
		count(r, &a);
		tell(w->asker, w->request, k->type, &a);
		metric_add(METRIC_DNS_USEC, loop_now(r->loop) - w->asked);
		drop_want(w);
	}
	arena_clear(&r->reading);
	drop_lookup(k);
	r->n_asked--;
	set_timer(r);
	pump(r);
}

/* ---- turns ---------------------------------------------------------------------------------- */

/* The next look-up: those who ask take turns. */
static struct lookup *next_lookup(struct resolver *r)
{
	struct asker *a;

	TAILQ_FOREACH(a, &r->askers, link)
	{
		struct lookup *k = TAILQ_FIRST(&a->ready);

		if (k == NULL)
			continue;
		TAILQ_REMOVE(&r->askers, a, link);
		TAILQ_INSERT_TAIL(&r->askers, a, link);
		return k;
	}
	return NULL;
}

/* libunbound may answer at once, which comes here again. */
static void pump(struct resolver *r)
{
	struct lookup *k;

	if (r->pumping)
		return;
	r->pumping = true;
	while (r->n_asked < LOOKUPS_MAX && (k = next_lookup(r)) != NULL) {
		leave_row(k);
		r->n_asked++;
		metric_add(METRIC_DNS_LOOKUPS, 1);
		engine_ask(r->engine, k->type, (const char *)k->name.p, lookup_done, k);
	}
	r->pumping = false;
	metric_set(METRIC_DNS_OPEN, (int64_t)r->n_asked);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Where all has been given out, everybody has a right to his share. */
static bool too_many(const struct asker *a)
{
	const struct resolver *r = a->resolver;

	return r->n_wants >= WANTS_MAX && a->n_wants >= WANTS_MAX / r->n_askers;
}

int ask_take(struct asker *a, struct span payload)
{
	struct resolver *r = a->resolver;
	struct proto_dns_ask q;
	struct lookup *k, *made;

	if (proto_get_dns_ask(payload, &q) < 0)
		return GW_EFORMAT;
	metric_add(METRIC_DNS_QUERIES, 1);
	made = make_lookup(r, q.type, q.name);
	k = map_get(&r->lookups, made->key);
	if (k != NULL) {
		free(made);
	} else {
		k = made;
		k->owner = a;
		map_put(&r->lookups, k->key, k);
		TAILQ_INSERT_TAIL(&a->ready, k, link);
	}
	add_want(a, k, q.request);
	if (too_many(a)) {
		give_up(TAILQ_LAST(&a->wants, want_row), "too many questions at once to ask for");
		if (TAILQ_EMPTY(&k->wants))
			lookup_orphaned(k);
	}
	pump(r);
	return 0;
}

void ask_forget(struct asker *a)
{
	struct lookup *k;
	struct want *w;

	while ((w = TAILQ_FIRST(&a->wants)) != NULL) {
		k = w->lookup;
		drop_want(w);
		if (k->owner == a || TAILQ_EMPTY(&k->wants))
			lookup_orphaned(k);
	}
	set_timer(a->resolver);
}

void ask_start(struct resolver *r)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("resolver: no random bytes");
	map_init(&r->lookups, seed);
	arena_init(&r->reading, ANSWER_MEMORY);
	TAILQ_INIT(&r->by_time);
	timer_start(&r->patience, r->loop, timed, r);
}
