/* Which rule an address of ours has: in the tables, else among the accounts; by what name. */
#include "flow/recipient-private.h"

#include <stdio.h>

const struct recipients *table_of(const struct walk *w, const struct step *s, int which)
{
	const struct config *c = w->k->config;

	if (w->k->table == NULL || (which == TABLE_COMMON && c->aliases == NULL))
		return NULL;
	return w->k->table[which == TABLE_OWN ? (size_t)(s->ours - c->domain) : c->n_domain];
}

const struct recipient_rule *table_says(
    const struct walk *w, const struct step *s, int which, struct span local)
{
	const struct recipients *t = table_of(w, s, which);
	const struct recipient_rule *rule =
	    t != NULL && local.n > 0 ? recipients_find_at(t, local, s->domain) : NULL;

	return rule != NULL || t == NULL ? rule : recipients_find(t, local);
}

const struct recipient_rule *table_say_rest(const struct walk *w, const struct step *s)
{
	const struct recipient_rule *rule = NULL;

	for (int i = 0; i < TABLE_COUNT && rule == NULL; i++) {
		const struct recipients *t = table_of(w, s, i);

		rule = t != NULL ? recipients_find_at(t, SPAN_NONE, s->domain) : NULL;
	}
	return rule;
}

struct span step_base_name(const struct step *s)
{
	ptrdiff_t at =
	    s->ours->subaddress != 0 ? span_find(s->local, (uint8_t)s->ours->subaddress) : -1;

	return at > 0 ? span_first(s->local, (size_t)at) : SPAN_NONE;
}

/* An account that is closed has no mailbox any more; one that is suspended has. */
static bool find_account(
    const struct walk *w, const struct step *s, struct span local, struct found *f)
{
	static const struct recipient_rule taken = {.action = RECIPIENT_TAKE};
	const struct account *account;
	char name[RECIPIENT_NAME_MAX];
	int n = snprintf(name, sizeof(name), "%.*s@%.*s", SPAN_ARG(local), SPAN_ARG(s->domain));

	if (n < 0 || (size_t)n != local.n + 1 + s->domain.n || (size_t)n >= sizeof(name))
		return false;
	account = accounts_find(w->k->accounts, span_of(name, (size_t)n));
	if (account == NULL || account->state == ACCOUNT_CLOSED)
		return false;
	*f = (struct found){
	    .rule = &taken, .name = span_first(account->name, local.n), .octets = local.n};
	return true;
}

static bool find_name(
    const struct walk *w, const struct step *s, struct span local, struct found *f)
{
	const struct recipient_rule *rule = table_says(w, s, TABLE_OWN, local);

	if (rule == NULL)
		rule = table_says(w, s, TABLE_COMMON, local);
	if (rule != NULL) {
		*f = (struct found){.rule = rule,
		    .name = span_first(span_str(rule->pattern), local.n),
		    .octets = local.n};
		return true;
	}
	return s->ours->recipients == RECIPIENTS_USERS && w->k->accounts != NULL &&
	       find_account(w, s, local, f);
}

bool walk_find_rule(const struct walk *w, const struct step *s, struct found *f)
{
	const struct recipients *t = table_of(w, s, TABLE_OWN);
	struct span base = step_base_name(s);

	*f = (struct found){.rule = NULL};
	if (find_name(w, s, s->local, f) || (base.n > 0 && find_name(w, s, base, f)))
		return true;
	if (t != NULL)
		f->rule = recipients_match(t, s->local);
	if (t != NULL && f->rule == NULL && base.n > 0)
		f->rule = recipients_match(t, base);
	return f->rule != NULL;
}

void walk_respell(struct walk *w, struct step *s, const struct found *f)
{
	struct span rest = span_skip(s->local, f->octets), part[2] = {f->name, rest};
	struct address a;
	struct buf quoted, addr;

	if (f->name.n == 0 || s->bare || span_eq(f->name, span_first(s->local, f->octets)))
		return;
	buf_init(&quoted, 2 * RECIPIENT_NAME_MAX);
	buf_init(&addr, 2 * RECIPIENT_NAME_MAX);
	buf_add_byte(&quoted, '"');
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < part[i].n; k++) {
			if (part[i].p[k] == '"' || part[i].p[k] == '\\')
				buf_add_byte(&quoted, '\\');
			buf_add_byte(&quoted, part[i].p[k]);
		}
	}
	buf_add_str(&quoted, "\"@");
	buf_add_span(&quoted, s->domain);
	if (address_parse(buf_view(&quoted), &a) == 0) {
		address_canonical(&a, &addr);
		s->addr = walk_keep(w, &addr);
	}
	buf_fini(&addr);
	buf_fini(&quoted);
}
