#include "sim/people.h"

#include "sim/faults.h"
#include "sim/trace.h"

#include <stdio.h>

static const char *const names[PEOPLE] = {"ann@src.test", "ben"};

/* Those of no account are a third; reports have none. */
static int owner(const struct mail *m)
{
	return m->is_report || m->index % (PEOPLE + 1) == PEOPLE ? -1 : m->index % (PEOPLE + 1);
}

const char *people_account(const struct mail *m)
{
	return owner(m) < 0 ? NULL : names[owner(m)];
}

struct accounts *people_table(unsigned suspended)
{
	struct accounts_error e;
	struct accounts *a;
	struct buf text;

	buf_init(&text, 1024);
	for (unsigned i = 0; i < PEOPLE; i++)
		buf_addf(&text, "%s %s *\n", names[i],
		    suspended >> i & 1 ? account_states[ACCOUNT_SUSPENDED]
				       : account_states[ACCOUNT_ACTIVE]);
	a = accounts_parse(buf_view(&text), &e);
	gw_assert(a != NULL);
	buf_fini(&text);
	return a;
}

void people_tell(struct world *w)
{
	struct accounts *old = w->accounts;

	w->accounts = people_table(w->suspended);
	sim_note("the queue hears that %u are suspended", w->suspended);
	broker_accounts(w->broker, w->accounts, w->now);
	accounts_free(&old);
	world_run(w);
}

void people_step(struct world *w)
{
	if (w->accounts != NULL && !world_may(w, MAY_SUSPEND))
		return;
	if (world_may(w, MAY_SUSPEND))
		w->suspended = (unsigned)sim_below(&w->rng, 1u << PEOPLE);
	people_tell(w);
}

void people_calm(struct world *w)
{
	w->suspended = 0;
	people_tell(w);
}

void people_check(const struct world *w, const struct mail *m)
{
	int who = owner(m);

	if (who < 0)
		return;
	if (w->accounts == NULL)
		sim_fail("mail %d: given out before its account is known", m->index);
	if (w->suspended >> who & 1)
		sim_fail("mail %d: given out while its account is suspended", m->index);
}
