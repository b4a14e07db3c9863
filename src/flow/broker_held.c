/* Recipients that a rule of their domain holds from the start (config/recipients.h). */
#include "flow/broker-private.h"

#include "base/log.h"

/*
 * A receiver says of whom and why, and nothing else: not of another message, nothing final, and
 * each once. The numbers leave room for what comes later, such as the release.
 */
static bool allowed(const struct envelope *e, const struct change *c)
{
	uint32_t next = 0;

	if (!msgid_eq(&c->id, &e->id) || c->n_rcpt == 0)
		return false;
	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct change_rcpt *r = &c->rcpt[i];

		if (r->index < next || r->index >= e->n_rcpt || r->outcome != OUTCOME_HELD ||
		    r->number != 1 || r->attempts != 0 || r->due != 0 ||
		    change_by_limit(r->outcome, r->code, r->esc))
			return false;
		next = r->index + 1;
	}
	return true;
}

bool held_allowed(struct broker *b, const struct envelope *e)
{
	struct change c;

	if (e->held.n == 0)
		return true;
	return change_decode(&c, e->held, &b->scratch) == 0 && allowed(e, &c);
}

static void log_held(const struct queued *m, const struct change_rcpt *c)
{
	struct logline l;
	char id[MSGID_TEXT + 1];

	msgid_format(&m->id, id);
	log_begin(&l, EV_HELD);
	log_str(&l, "id", id);
	log_number(&l, "rcpt", c->index);
	log_number(&l, "attempt", 0);
	log_text(&l, "to", m->rcpt[c->index].addr);
	log_text(&l, "reply", c->reply);
	log_end(&l);
}

void held_from_start(struct broker *b, struct append *a, const struct record_place *at, int64_t now)
{
	struct queued *m = a->msg;
	struct envelope e;
	struct change c;

	arena_clear(&b->scratch);
	gw_assert(envelope_decode(&e, buf_view(&a->meta), &b->scratch) == 0 &&
		  change_decode(&c, e.held, &b->scratch) == 0);
	for (size_t i = 0; i < c.n_rcpt; i++) {
		static const struct change_rcpt before;

		if (!queued_apply(b, m, &c.rcpt[i]))
			continue; /* an operator was faster and dropped it */
		counted_change(b, &before, &c.rcpt[i], now);
		m->rcpt[c.rcpt[i].index].said_at = *at;
		log_held(m, &c.rcpt[i]);
	}
}
