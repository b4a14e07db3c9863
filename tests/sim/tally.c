#include "sim/tally.h"

#include "sim/faults.h"
#include "sim/people.h"
#include "sim/trace.h"

#include "mail/envelope.h"

#include <string.h>

#define SECOND INT64_C(1000000)
/* Two stamps are never the same: one may be this much later than its event. */
#define MOMENT INT64_C(1000)

static const struct tally_rule {
	const char *account;
	unsigned n;
	int64_t window;
} rules[] = {{"ann@src.test", 6, 5 * SECOND}, {"ben", 4, 3 * SECOND}};

static const struct tally_rule *rule_of(const struct world *w, const struct mail *m)
{
	const char *who = m->is_report ? NULL : people_account(m);

	for (size_t i = 0; w->config->n_limit > 0 && who != NULL && i < GW_ARRAY_LEN(rules); i++) {
		if (strcmp(rules[i].account, who) == 0)
			return &rules[i];
	}
	return NULL;
}

/* So many of the same account count in the window of this length that ends then. */
static unsigned in_window(
    const struct world *w, const struct tally_rule *rule, int64_t end, int64_t window)
{
	unsigned n = 0;

	for (size_t i = 0; i < w->book.n; i++) {
		const struct mail *m = w->book.mail[i];

		n += m->tally.counts && rule_of(w, m) == rule && m->tally.at > end - window &&
		     m->tally.at <= end;
	}
	return n;
}

/* So many were judged whose records wait for their parts: the queue has counted them, perhaps. */
static unsigned in_doubt(const struct world *w, const struct mail *but)
{
	const struct tally_rule *rule = rule_of(w, but);
	unsigned n = 0;

	for (size_t i = 0; i < w->book.n; i++) {
		const struct mail *m = w->book.mail[i];

		n += m != but && m->tally.judged > w->now - rule->window && rule_of(w, m) == rule;
	}
	return n;
}

static bool is_open(const struct mail *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (!outcome_final(m->rcpt[i].final))
			return true;
	}
	return false;
}

/* Is there somebody in front of this one? A message that could not be read steps aside. */
static void check_order(const struct world *w, const struct mail *m, const char *what)
{
	for (size_t i = 0; w->unread == 0 && i < w->book.n; i++) {
		const struct mail *x = w->book.mail[i];

		if (x->tally.waits && !x->tally.leaves && x->tally.place < m->tally.place &&
		    rule_of(w, x) == rule_of(w, m) && is_open(x))
			sim_fail("mail %d is %s before mail %d, which waits in front of it",
			    m->index, what, x->index);
	}
}

/* A record may be asked for long after its message was judged: then it is one more in the windows
 * of those that were judged behind it, too. */
static void check_windows(const struct world *w, const struct tally_rule *rule, int64_t from)
{
	for (size_t i = 0; i < w->book.n; i++) {
		const struct mail *m = w->book.mail[i];

		if (!m->tally.counts || m->tally.forced || rule_of(w, m) != rule ||
		    m->tally.at < from || m->tally.at >= from + rule->window)
			continue;
		if (in_window(w, rule, m->tally.at, rule->window - MOMENT) > rule->n)
			sim_fail("mail %d is one too many of %s", m->index, rule->account);
	}
}

static void count(
    struct world *w, struct mail *m, const struct tally_rule *rule, int64_t at, bool forced)
{
	if (m->tally.counts)
		sim_fail("mail %d is counted twice", m->index);
	if (at > w->now + MOMENT)
		sim_fail("mail %d counts as of a time to come", m->index);
	m->tally.counts = true;
	m->tally.forced = forced;
	m->tally.at = at;
	check_windows(w, rule, at);
	sim_note("mail %d counts, number %u of %s%s", m->index,
	    in_window(w, rule, at, rule->window), rule->account,
	    forced ? ", let go by an operator" : "");
}

void tally_commit(struct world *w, struct mail *m)
{
	m->tally.place = ++w->book.places;
	m->tally.judged = w->now;
}

void tally_refused(struct world *w, const struct mail *m)
{
	const struct tally_rule *rule = rule_of(w, m);

	if (rule == NULL)
		sim_fail("mail %d is refused for a limit it does not have", m->index);
	fault_count(FAULT_OVER_LIMIT);
	if (in_window(w, rule, w->now + MOMENT, rule->window + rule->window / 20) + in_doubt(w, m) <
	    rule->n)
		sim_fail("mail %d is refused though there is room", m->index);
}

static bool by_limit(const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (change_by_limit(c->rcpt[i].outcome, c->rcpt[i].code, c->rcpt[i].esc))
			return true;
	}
	return false;
}

static bool holds(const struct envelope *e, struct arena *a)
{
	struct change c;

	return e->held.n > 0 && change_decode(&c, e->held, a) == 0 && by_limit(&c);
}

/* Does nothing but a limit hold it? */
static bool goes_somewhere(const struct mail *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (!m->rcpt[i].held)
			return true;
	}
	return false;
}

static void asked_message(struct world *w, struct mail *m, struct span meta, struct arena *a)
{
	const struct tally_rule *rule = rule_of(w, m);
	int64_t judged = m->tally.judged;
	struct envelope e;

	gw_assert(envelope_decode(&e, meta, a) == 0);
	if (rule == NULL || e.state.n > 0) /* a copy */
		return;
	m->tally.judged = 0;
	if (holds(&e, a)) {
		fault_count(FAULT_LIMIT_HOLDS);
		return;
	}
	if (goes_somewhere(m))
		check_order(w, m, "taken");
	if (e.counted < judged)
		sim_fail("mail %d counts as of a time before it was there", m->index);
	count(w, m, rule, e.counted, false);
}

static void asked_release(struct world *w, struct mail *m, struct span meta, struct arena *a)
{
	struct change c;
	bool forced;

	gw_assert(change_decode(&c, meta, a) == 0);
	if (c.counted.n == 0)
		return;
	forced = span_eq(c.rcpt[0].reply, SPAN("Released by an operator"));
	if (!forced)
		check_order(w, m, "released");
	if (!m->tally.leaves)
		count(w, m, rule_of(w, m), c.when, forced);
	m->tally.leaves = true;
}

void tally_asked(struct world *w, const struct broker_effect *e)
{
	struct mail *m = book_find(&w->book, &e->id);
	struct arena a;

	if (m == NULL || w->config->n_limit == 0)
		return;
	arena_init(&a, 32 << 20);
	if (e->record == BROKER_MESSAGE && !e->own)
		asked_message(w, m, e->meta, &a);
	else if (e->record == BROKER_RELEASED)
		asked_release(w, m, e->meta, &a);
	arena_reset(&a);
}

void tally_durable(
    struct book *l, enum broker_record type, const struct msgid *id, struct span meta)
{
	struct mail *m = book_find(l, id);
	struct envelope e;
	struct change c;
	struct arena a;

	if (m == NULL || m->is_report)
		return;
	arena_init(&a, 32 << 20);
	if (type == BROKER_MESSAGE && !m->tally.there) {
		gw_assert(envelope_decode(&e, meta, &a) == 0);
		m->tally.waits = holds(&e, &a);
		m->tally.there = true;
		if (!m->tally.waits && m->tally.at != 0) /* found by a recovery, perhaps */
			m->tally.counts = m->tally.sure = true;
	} else if (type == BROKER_RELEASED && change_decode(&c, meta, &a) == 0 && c.counted.n > 0) {
		m->tally.waits = false;
		m->tally.counts = m->tally.sure = true;
	}
	arena_reset(&a);
}

void tally_failed(struct mail *m)
{
	m->tally.judged = 0;
	m->tally.counts = m->tally.counts && m->tally.sure;
}

void tally_unwritten(struct book *l, const struct msgid *id)
{
	struct mail *m = book_find(l, id);

	if (m != NULL)
		tally_failed(m);
}

void tally_lost(struct book *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mail *m = l->mail[i];

		tally_failed(m);
		m->tally.leaves = m->tally.leaves && m->tally.sure;
	}
}
