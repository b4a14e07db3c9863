/* The book: what receivers, workers and the queue are seen to do. */
#include "sim/book.h"

#include "sim/faults.h"
#include "sim/tally.h"
#include "sim/trace.h"

void book_answered(struct book *l, struct mail *m, bool ok)
{
	if (!ok)
		tally_failed(m);
	l->version++;
	if (!ok && m->handed)
		sim_fail("mail %d is refused and was handed to a worker", m->index);
	if (!ok && m->durable)
		sim_fail("mail %d is refused and durable", m->index);
	m->state = ok ? MAIL_OK : MAIL_REFUSED;
}

void book_handed(struct mail *m, uint32_t index, unsigned life)
{
	struct mail_rcpt *r = &m->rcpt[index];

	if (m->state == MAIL_REFUSED)
		sim_fail("mail %d was refused and is handed to a worker", m->index);
	if (!m->durable)
		sim_fail("mail %d is handed to a worker before it is durable", m->index);
	if (r->final != OUTCOME_NONE)
		sim_fail("mail %d recipient %u has ended (%d) and is handed out again", m->index,
		    index, r->final);
	if (r->held)
		sim_fail("mail %d recipient %u is held and handed out", m->index, index);
	if (r->untold)
		sim_fail(
		    "mail %d recipient %u has failed, and is handed out again", m->index, index);
	if (r->life == life)
		sim_fail("mail %d recipient %u is handed out by a queue that knows its end",
		    m->index, index);
	if (r->holders > 0)
		sim_fail(
		    "mail %d recipient %u is handed out while a worker has it", m->index, index);
	m->handed = true;
	r->noted = false;
	r->holders++;
}

void book_result(struct mail *m, const struct change *c, unsigned life)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (outcome_final(c->rcpt[i].outcome))
			m->rcpt[c->rcpt[i].index].life = life;
	}
}

/* c.test is at-most-once by its shape; a Maildir needs nothing, it knows what it has. */
bool book_at_most_once(const struct mail *m, uint32_t index)
{
	const char *domain = strchr(m->rcpt[index].addr, '@') + 1;

	return strcmp(domain, "box.test") != 0 &&
	       (m->at_most_once || strcmp(domain, "c.test") == 0);
}

void book_taken(struct mail *m, uint32_t index, bool said)
{
	struct mail_rcpt *r = &m->rcpt[index];

	r->delivered++;
	r->doubts += !said;
	if (book_at_most_once(m, index) && r->delivered > 1)
		sim_fail("mail %d recipient %u: at most once, and delivered %u times", m->index,
		    index, r->delivered);
}

/* The result is lost if neither log nor queue nor another worker knows it. */
void book_worker_lost(struct mail *m, uint32_t index, bool final, unsigned life)
{
	struct mail_rcpt *r = &m->rcpt[index];

	r->holders--;
	if (final && r->final == OUTCOME_NONE && r->life != life && r->holders == 0)
		r->excuses++;
}

void book_queue_lost(struct book *l, unsigned life)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mail *m = l->mail[i];

		for (size_t k = 0; k < m->n_rcpt; k++) {
			struct mail_rcpt *r = &m->rcpt[k];

			if (r->final == OUTCOME_NONE && r->life == life && r->holders == 0)
				r->excuses++;
			r->life = 0;
		}
	}
}

bool book_ended(const struct mail *m, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct mail_rcpt *r = &m->rcpt[c->rcpt[i].index];

		if (outcome_final(c->rcpt[i].outcome) && r->final == OUTCOME_NONE && !r->untold)
			return false;
	}
	return true;
}
