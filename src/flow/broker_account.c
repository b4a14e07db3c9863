/*
 * Accounts: mail of one that is suspended or closed is not tried. It waits, with the reason for
 * whoever looks at the queue, until the account is active again or the mail's time is over. Nothing
 * of it is in the log: who suspends an account changes no mail. Looked at where a job would be
 * made, so that it holds for mail that waited, for mail that is new, and after a restart.
 */
#include "flow/broker-private.h"

#include "flow/limits_use-private.h"

#include <stdio.h>

/* Looked at again then at the latest; when an account becomes active it is at once. */
#define LOOK_AGAIN (INT64_C(1800) * 1000000)

static bool is_blocked(const struct account *a)
{
	return a != NULL && a->state != ACCOUNT_ACTIVE;
}

/* Why the account of this message keeps it here, or NULL. Mail of an account that was removed is
 * nobody's fault: it goes. */
static const char *reason_of(const struct broker *b, const struct queued *m)
{
	const struct account *a;

	if (m->account.n == 0 || b->config->users == NULL)
		return NULL;
	if (b->accounts == NULL)
		return "The accounts are not known yet";
	a = accounts_find(b->accounts, m->account);
	if (!is_blocked(a))
		return NULL;
	return a->state == ACCOUNT_SUSPENDED
		   ? "Account suspended: not tried until it is active again"
		   : "Account closed: not tried until it is active again";
}

static void keep_back(struct queued *m, const struct task *t, const char *why, int64_t due)
{
	m->by_account = true;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (r->task != t)
			continue;
		r->by_account = true;
		r->due = due;
		snprintf(r->said, sizeof(r->said), "%s", why);
	}
}

/* What was said in its stead is forgotten. */
static void let_go(struct queued *m)
{
	m->by_account = false;
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].by_account)
			m->rcpt[i].said[0] = '\0';
		m->rcpt[i].by_account = false;
	}
}

static void expire(struct broker *b, struct task *t, const char *why, int64_t now)
{
	struct reply r = REPLY(451, 4, 7, 1, "");

	r.text = span_str(why);
	task_settle_all(b, t, NULL, OUTCOME_EXPIRED, &r, now);
}

bool account_holds(struct broker *b, struct task *t, int64_t now)
{
	struct queued *m = t->msg;
	const struct shape *shape = t->site->shape;
	int64_t end = sched_born(shape, queued_born(m), b->resumed) + shape->expire;
	const char *why = reason_of(b, m);

	if (why == NULL) {
		if (m->by_account)
			let_go(m);
		return false;
	}
	if (now >= end) {
		expire(b, t, why, now);
		return true;
	}
	end = end < now + LOOK_AGAIN ? end : now + LOOK_AGAIN;
	keep_back(m, t, why, end);
	task_wait(b, t, end);
	queued_settle(b, m);
	return true;
}

void account_view(const struct parked *p, struct queued *m)
{
	for (size_t i = 0; p->by_account && i < m->n_rcpt; i++) {
		struct queued_rcpt *r = &m->rcpt[i];

		if (r->outcome > OUTCOME_DEFERRED)
			continue;
		r->by_account = true;
		snprintf(r->said, sizeof(r->said), "%s",
		    "Account not active: not tried until it is active again");
	}
}

/* Is there an account that kept its mail back and does so no more? */
static bool lets_go(const struct accounts *before, const struct accounts *after)
{
	for (size_t i = 0; i < accounts_count(before); i++) {
		const struct account *a = accounts_at(before, i);

		if (is_blocked(a) && !is_blocked(accounts_find(after, a->name)))
			return true;
	}
	return before == NULL;
}

void broker_accounts(struct broker *b, const struct accounts *table, int64_t now)
{
	bool go = lets_go(b->accounts, table);
	struct pool_walk at = {0};
	struct queued *m;
	struct parked *p;

	b->accounts = table;
	limits_accounts(b, now);
	if (!go)
		return;
	TAILQ_FOREACH(m, &b->messages, link)
	{
		if (m->by_account)
			retry_queued(b, m, now);
	}
	while ((p = pool_next(&b->parking.pool, &at)) != NULL) {
		if (p->by_account)
			retry_parked(b, p, now);
	}
	broker_tick(b, now);
}
