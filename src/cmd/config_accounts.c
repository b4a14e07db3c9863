#include "cmd/config_accounts.h"

#include "base/span.h"

struct both {
	const struct config *config;
	const struct accounts *all;
	struct config_diags *diags;
};

/* Accounts that have a plan which is not there. */
static void judge_plans(const struct both *x)
{
	for (size_t i = 0; i < accounts_count(x->all); i++) {
		const struct account *a = accounts_at(x->all, i);
		char name[ACCOUNT_NAME_MAX + 1], plan[ACCOUNT_WORD_MAX + 1];

		if (a->plan.n == 0 || config_has_plan(x->config, a->plan))
			continue;
		span_to_cstr(a->name, name, sizeof(name));
		span_to_cstr(a->plan, plan, sizeof(plan));
		config_diags_plan(
		    x->diags, &(struct place){x->config->users, a->line, 1}, name, plan);
	}
}

static void judge_account(const struct both *x, const char *name, const struct place *at)
{
	if (name != NULL && accounts_find(x->all, span_str(name)) == NULL)
		config_diags_account(x->diags, at, name, x->config->users);
}

static void judge_tenant(const struct both *x, const char *name, const struct place *at)
{
	for (size_t i = 0; i < accounts_count(x->all); i++) {
		if (span_eq_case(accounts_at(x->all, i)->tenant, span_str(name)))
			return;
	}
	config_diags_tenant(x->diags, at, name, x->config->users);
}

static void judge_target(const struct both *x, const struct target *t)
{
	if (t->kind == TARGET_ODMR)
		judge_account(x, t->path, &t->place);
}

static void judge_limits(const struct both *x)
{
	for (size_t i = 0; i < x->config->n_limit; i++) {
		const struct limit_rule *r = &x->config->limit[i];

		if (r->key == LIMIT_BY_ACCOUNT)
			judge_account(x, r->only, &r->place);
		else if (r->key == LIMIT_BY_TENANT && r->only != NULL)
			judge_tenant(x, r->only, &r->place);
	}
}

static void judge_etrn(const struct both *x, const struct etrn_rule *e)
{
	for (size_t i = 0; i < e->n_account; i++)
		judge_account(x, e->account[i], &e->place);
}

void config_accounts_judge(
    const struct config *c, const struct accounts *all, struct config_diags *d)
{
	const struct both x = {c, all, d};

	judge_plans(&x);
	judge_limits(&x);
	for (size_t i = 0; i < c->n_domain; i++)
		judge_target(&x, &c->domain[i].deliver);
	for (size_t i = 0; i < c->n_route; i++) {
		judge_target(&x, &c->route[i].target);
		judge_account(&x, c->route[i].from_account, &c->route[i].place);
	}
	for (size_t i = 0; i < c->n_identify; i++)
		judge_account(&x, c->identify[i].account, &c->identify[i].place);
	for (size_t i = 0; i < c->n_etrn; i++)
		judge_etrn(&x, &c->etrn[i]);
}
