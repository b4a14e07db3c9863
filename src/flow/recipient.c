#include "flow/recipient.h"

#include "flow/route.h"

#include <stdio.h>

enum {
	NAME_OCTETS = 512,
	VISITS_MAX = 2 * RECIPIENTS_EXPAND_MAX, /* of names on the way; each may have a table */
	DEPTH_MAX = 2 * RECIPIENTS_DEPTH_MAX    /* through all domains */
};

/* An address that is being looked up, and those that led to it. */
struct step {
	const struct step *from;
	unsigned depth;
	struct span addr;          /* canonical */
	struct span domain;        /* within addr, or the host name; lower case */
	struct span local;         /* as it is meant */
	const struct domain *ours; /* NULL: somebody else's */
	const char *name;          /* what the rule that led on is called, or NULL */
	bool bare;                 /* postmaster without a domain */
};

struct walk {
	const struct known *k;
	struct arena *arena;
	struct resolved *out;
	struct recipient_end **end;
	size_t visits;
	bool too_many;
};

/* ---- ends ------------------------------------------------------------------------------------ */

static struct recipient_end *add_end(
    struct walk *w, enum recipient_fate fate, const struct step *s, struct place place)
{
	struct recipient_end *e = arena_alloc(w->arena, sizeof(*e));
	struct span addr = arena_dup(w->arena, s->addr);

	if (e == NULL || addr.p == NULL || w->out->n == RECIPIENTS_EXPAND_MAX) {
		w->too_many = true;
		return NULL;
	}
	*e = (struct recipient_end){.fate = fate, .addr = addr, .place = place};
	*w->end = e;
	w->end = &e->next;
	w->out->n++;
	w->out->n_taken += fate == FATE_TAKEN || fate == FATE_HELD;
	return e;
}

static void add_refused(struct walk *w, const struct step *s, struct place place,
    struct reply reply, const char *reason)
{
	struct recipient_end *e = add_end(w, FATE_REFUSED, s, place);

	if (e == NULL)
		return;
	e->reply = reply;
	e->reason = reason;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct span keep(struct walk *w, struct buf *b)
{
	struct span kept = buf_failed(b) ? SPAN_NONE : arena_dup(w->arena, buf_view(b));

	buf_fini(b);
	w->too_many = w->too_many || kept.p == NULL;
	return kept;
}

static bool step_init(
    struct walk *w, struct step *s, const struct step *from, const struct address *a)
{
	const struct config *c = w->k->config;
	struct buf addr, local;

	*s = (struct step){.from = from,
	    .depth = from != NULL ? from->depth + 1 : 0,
	    .bare = a->kind == ADDRESS_BARE};
	buf_init(&addr, NAME_OCTETS);
	buf_init(&local, NAME_OCTETS);
	address_canonical(a, &addr);
	address_local_plain(a, &local);
	s->addr = keep(w, &addr);
	s->local = keep(w, &local);
	if (w->too_many)
		return false;
	/* The canonical form has the domain in lower case. */
	s->domain = s->bare ? span_str(c->hostname) : span_skip(s->addr, s->addr.n - a->domain.n);
	s->ours = config_domain(c, s->domain);
	return true;
}

static bool is_postmaster(const struct step *s)
{
	return span_eq_case(s->local, SPAN("postmaster"));
}

/* ---- what the tables say --------------------------------------------------------------------- */

static const struct recipients *table_of(const struct walk *w, const struct step *s)
{
	return w->k->table != NULL ? w->k->table[s->ours - w->k->config->domain] : NULL;
}

/* The name without its subaddress; empty if it has none. */
static struct span base_name(const struct step *s)
{
	ptrdiff_t at =
	    s->ours->subaddress != 0 ? span_find(s->local, (uint8_t)s->ours->subaddress) : -1;

	return at > 0 ? span_first(s->local, (size_t)at) : SPAN_NONE;
}

/* What was found, and how its owner spells the name: mailboxes are told apart by their case. */
struct found {
	const struct recipient_rule *rule;
	struct span name; /* n == 0: as the client does */
	size_t octets;    /* of the name in the local part; what follows is the subaddress */
};

/* An account that is closed has no mailbox any more; one that is suspended has. */
static bool find_account(
    const struct walk *w, const struct step *s, struct span local, struct found *f)
{
	static const struct recipient_rule taken = {.action = RECIPIENT_TAKE};
	const struct account *account;
	char name[NAME_OCTETS];
	int n = snprintf(name, sizeof(name), "%.*s@%.*s", SPAN_ARG(local), SPAN_ARG(s->domain));

	if (n < 0 || (size_t)n != local.n + 1 + s->domain.n || (size_t)n >= sizeof(name))
		return false;
	account = accounts_find(w->k->accounts, span_of(name, (size_t)n));
	if (account == NULL || account->state == ACCOUNT_CLOSED)
		return false;
	*f = (struct found){&taken, span_first(account->name, local.n), local.n};
	return true;
}

static bool find_name(
    const struct walk *w, const struct step *s, struct span local, struct found *f)
{
	const struct recipients *t = table_of(w, s);
	const struct recipient_rule *rule = t != NULL ? recipients_find(t, local) : NULL;

	if (rule != NULL) {
		*f = (struct found){rule, span_str(rule->pattern), local.n};
		return true;
	}
	return s->ours->recipients == RECIPIENTS_USERS && w->k->accounts != NULL &&
	       find_account(w, s, local, f);
}

static bool find_rule(const struct walk *w, const struct step *s, struct found *f)
{
	const struct recipients *t = table_of(w, s);
	struct span base = base_name(s);

	*f = (struct found){.rule = NULL};
	if (find_name(w, s, s->local, f) || (base.n > 0 && find_name(w, s, base, f)))
		return true;
	if (t != NULL)
		f->rule = recipients_match(t, s->local);
	if (t != NULL && f->rule == NULL && base.n > 0)
		f->rule = recipients_match(t, base);
	return f->rule != NULL;
}

/* alice+x for ALICE+x. */
static void respell(struct walk *w, struct step *s, const struct found *f)
{
	struct span rest = span_skip(s->local, f->octets), part[2] = {f->name, rest};
	struct address a;
	struct buf quoted, addr;

	if (f->name.n == 0 || s->bare || span_eq(f->name, span_first(s->local, f->octets)))
		return;
	buf_init(&quoted, 2 * NAME_OCTETS);
	buf_init(&addr, 2 * NAME_OCTETS);
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
		s->addr = keep(w, &addr);
	}
	buf_fini(&addr);
	buf_fini(&quoted);
}

/* ---- where it leads -------------------------------------------------------------------------- */

static void walk_step(struct walk *w, struct step *s);

enum met { MET_NOT, MET_SELF, MET_LOOP };

/* Is the address the one that led here, or one before it? */
static enum met meets(const struct step *s)
{
	const struct step *from = s->from;

	if (span_eq_case(s->addr, from->addr))
		return MET_SELF;
	if (from->name != NULL && span_eq(s->domain, from->domain) &&
	    span_eq_case(s->local, span_str(from->name)))
		return MET_SELF; /* alice+x, whose rule is that of alice */
	for (from = from->from; from != NULL; from = from->from) {
		if (span_eq_case(s->addr, from->addr))
			return MET_LOOP;
	}
	return s->depth > DEPTH_MAX ? MET_LOOP : MET_NOT;
}

static void lead(struct walk *w, struct step *from, const struct address *a, struct place place)
{
	struct step s;

	if (w->too_many || ++w->visits > VISITS_MAX || !step_init(w, &s, from, a)) {
		w->too_many = true;
		return;
	}
	switch (meets(&s)) {
	case MET_SELF: add_end(w, FATE_TAKEN, from, place); break;
	case MET_LOOP:
		add_refused(w, &s, place,
		    REPLY(550, 5, 4, 6, "The aliases of this address lead back to themselves"),
		    "alias_loop");
		break;
	case MET_NOT: walk_step(w, &s); break;
	}
}

/* A target as the tables have it: an address, or a local part of the same domain. */
static void lead_to(struct walk *w, struct step *from, const char *to, struct place place)
{
	struct span text = span_str(to);
	struct address a;
	struct buf whole;
	bool bare = text.p[text.n - 1] == '"' || span_find(text, '@') < 0;

	buf_init(&whole, 2 * NAME_OCTETS);
	buf_add_span(&whole, text);
	if (bare) {
		buf_add_byte(&whole, '@');
		buf_add_span(&whole, from->domain);
	}
	if (address_parse(buf_view(&whole), &a) == 0)
		lead(w, from, &a, place);
	else /* with its domain it is longer than an address may be */
		add_refused(w, from, place,
		    REPLY(550, 5, 1, 3, "An alias of this address is no address"), "alias_address");
	buf_fini(&whole);
}

static void apply(struct walk *w, struct step *s, const struct found *f)
{
	const struct recipient_rule *rule = f->rule;

	if (rule->action == RECIPIENT_TAKE || rule->action == RECIPIENT_HOLD)
		respell(w, s, f);
	switch (rule->action) {
	case RECIPIENT_TAKE: add_end(w, FATE_TAKEN, s, rule->place); break;
	case RECIPIENT_HOLD: add_end(w, FATE_HELD, s, rule->place); break;
	case RECIPIENT_DROP: add_end(w, FATE_DROPPED, s, rule->place); break;
	case RECIPIENT_REJECT:
		add_refused(w, s, rule->place, route_reply(rule->reply), "recipient_rejects");
		break;
	case RECIPIENT_EXPAND:
		s->name = rule->pattern;
		for (size_t i = 0; i < rule->n_to && !w->too_many; i++)
			lead_to(w, s, rule->to[i], rule->place);
		break;
	}
}

/* RFC 5321 section 4.5.1: somebody reads it. The administrator, unless he cannot be reached. */
static void to_postmaster(struct walk *w, struct step *s)
{
	struct address a;
	struct step admin;
	struct found f;
	bool known = w->k->config->admin != NULL &&
		     address_parse(span_str(w->k->config->admin), &a) == 0 &&
		     step_init(w, &admin, s, &a) && meets(&admin) == MET_NOT;

	if (known && admin.ours == NULL)
		known = config_route(w->k->config, admin.domain) != NULL;
	else if (known && admin.ours->recipients != RECIPIENTS_ANY)
		known = find_rule(w, &admin, &f);
	if (known)
		walk_step(w, &admin);
	else
		add_end(w, FATE_TAKEN, s, s->ours->place);
}

static void not_found(struct walk *w, struct step *s)
{
	const struct domain *d = s->ours;

	if (d->recipients == RECIPIENTS_ANY)
		add_end(w, FATE_TAKEN, s, d->place);
	else if (is_postmaster(s))
		to_postmaster(w, s);
	else if (d->catch_all != NULL)
		lead_to(w, s, d->catch_all, d->catch_all_place);
	else
		add_refused(w, s, d->recipients_place,
		    REPLY(550, 5, 1, 1, "An alias leads to an address that is not known here"),
		    "unknown_user");
}

static void walk_foreign(struct walk *w, struct step *s)
{
	const struct route *r = config_route(w->k->config, s->domain);

	if (r == NULL)
		add_refused(w, s, (struct place){0},
		    REPLY(550, 5, 4, 4, "An alias leads to a domain without a route"), "no_route");
	else if (r->target.kind == TARGET_REJECT)
		add_refused(w, s, r->target.place, route_reply(r->target.reply), "route_rejects");
	else
		add_end(w, FATE_TAKEN, s, r->place);
}

/* A receiver that has not been told yet, or only nonsense, must not call anybody unknown. */
static bool is_blind(const struct walk *w, const struct step *s)
{
	const struct domain *d = s->ours;

	return ((d->recipients_file != NULL || d->aliases != NULL) && table_of(w, s) == NULL) ||
	       (d->recipients == RECIPIENTS_USERS && w->k->accounts == NULL);
}

static void walk_step(struct walk *w, struct step *s)
{
	struct found f;

	if (s->ours == NULL) {
		walk_foreign(w, s);
		return;
	}
	if (s->ours->deliver.kind == TARGET_REJECT) {
		add_refused(w, s, s->ours->deliver.place, route_reply(s->ours->deliver.reply),
		    "domain_rejects");
		return;
	}
	if (is_blind(w, s))
		add_refused(w, s, s->ours->place,
		    REPLY(451, 4, 3, 0, "The recipients here cannot be looked up now; try again"),
		    "table_missing");
	else if (find_rule(w, s, &f))
		apply(w, s, &f);
	else
		not_found(w, s);
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static void refuse(struct verdict *v, struct reply r, const char *reason, struct place place)
{
	v->ok = false;
	v->reply = r;
	v->reason = reason;
	v->place = place;
}

static void unknown(const struct step *s, struct place place, struct verdict *v)
{
	int n = snprintf(v->text, sizeof(v->text), "<%.*s> is not known here: is it spelled right?",
	    SPAN_ARG(span_first(s->addr, 400)));

	refuse(
	    v, (struct reply){550, {5, 1, 1}, span_of(v->text, (size_t)n)}, "unknown_user", place);
}

/* Nothing is left of it but refusals: the first one is the answer. */
static void all_refused(const struct walk *w, const struct step *s, struct verdict *v)
{
	const struct recipient_end *e = w->out->first;

	if (strcmp(e->reason, "unknown_user") == 0 && span_eq(e->addr, s->addr))
		unknown(s, e->place, v);
	else
		refuse(v, e->reply, e->reason, e->place);
}

static bool any_served(const struct resolved *out)
{
	for (const struct recipient_end *e = out->first; e != NULL; e = e->next) {
		if (e->fate != FATE_REFUSED)
			return true;
	}
	return false;
}

void recipient_resolve(const struct known *k, const struct address *rcpt, struct arena *a,
    struct resolved *out, struct verdict *v)
{
	struct walk w = {.k = k, .arena = a, .out = out, .end = &out->first};
	struct step s;

	*out = (struct resolved){.n = 0};
	if (step_init(&w, &s, NULL, rcpt)) {
		if (s.ours != NULL)
			walk_step(&w, &s);
		else /* accept_rcpt() has judged it */
			add_end(&w, FATE_TAKEN, &s, v->place);
	}
	if (w.too_many) {
		refuse(v,
		    REPLY(451, 4, 3, 5, "This address stands for too many others; tell postmaster"),
		    "alias_too_large", s.ours != NULL ? s.ours->aliases_place : (struct place){0});
		return;
	}
	if (!any_served(out)) {
		all_refused(&w, &s, v);
		return;
	}
	out->as_is = out->n == 1 && span_eq(out->first->addr, s.addr);
	v->place = out->first->place.file != NULL ? out->first->place : v->place;
}
