#include "flow/recipient-private.h"

#include "flow/route.h"

#include <stdio.h>

enum {
	VISITS_MAX = 2 * RECIPIENTS_EXPAND_MAX, /* of names on the way; each may have a table */
	DEPTH_MAX = 2 * RECIPIENTS_DEPTH_MAX    /* through all domains */
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
	*e = (struct recipient_end){
	    .fate = fate, .addr = addr, .from = path_of(w, s), .place = place};
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

struct span walk_keep(struct walk *w, struct buf *b)
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
	    .owner = from != NULL ? from->lead_owner : SPAN_NONE,
	    .lead_owner = from != NULL ? from->lead_owner : SPAN_NONE,
	    .bare = a->kind == ADDRESS_BARE};
	buf_init(&addr, RECIPIENT_NAME_MAX);
	buf_init(&local, RECIPIENT_NAME_MAX);
	address_canonical(a, &addr);
	address_local_plain(a, &local);
	s->addr = walk_keep(w, &addr);
	s->local = walk_keep(w, &local);
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

/* ---- where it leads -------------------------------------------------------------------------- */

static void walk_step(struct walk *w, struct step *s);

enum met { MET_NOT, MET_SELF, MET_LOOP };

/* Is the address the one that led here, or one before it? */
static enum met meets(const struct step *s)
{
	const struct step *from = s->from;

	if (span_eq_case(s->addr, from->addr))
		return MET_SELF;
	if (from->name.n > 0 && span_eq(s->domain, from->domain) &&
	    span_eq_case(s->local, from->name))
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
	case MET_SELF: /* it is among its own members */
		s = *from;
		s.owner = from->lead_owner;
		add_end(w, FATE_TAKEN, &s, place);
		break;
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

	buf_init(&whole, 2 * RECIPIENT_NAME_MAX);
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
		walk_respell(w, s, f);
	switch (rule->action) {
	case RECIPIENT_TAKE: add_end(w, FATE_TAKEN, s, rule->place); break;
	case RECIPIENT_HOLD: add_end(w, FATE_HELD, s, rule->place); break;
	case RECIPIENT_DROP: add_end(w, FATE_DROPPED, s, rule->place); break;
	case RECIPIENT_REJECT:
		add_refused(w, s, rule->place, route_reply(rule->reply), "recipient_rejects");
		break;
	case RECIPIENT_EXPAND:
		s->name = f->name;
		s->lead_owner = path_owner(w, s, rule);
		for (size_t i = 0; i < rule->n_to && !w->too_many; i++)
			lead_to(w, s, rule->to[i], rule->place);
		break;
	}
}

static enum route_fate fate_of(struct walk *w, const struct step *s, const struct route **r)
{
	struct span own = path_of(w, s);
	struct route_ask ask = {
	    .addr = s->addr, .from = own.n > 0 ? own : w->k->from, .account = w->k->account};

	return route_fate(w->k->config, &ask, r);
}

static bool is_elsewhere(const struct domain *d)
{
	return d->recipients == RECIPIENTS_CALLOUT || d->recipients == RECIPIENTS_DOVECOT;
}

/* RFC 5321 section 4.5.1: somebody reads it. The administrator, unless he cannot be reached. */
static void to_postmaster(struct walk *w, struct step *s)
{
	const struct route *r;
	struct address a;
	struct step admin;
	struct found f;
	bool known = w->k->config->admin != NULL &&
		     address_parse(span_str(w->k->config->admin), &a) == 0 &&
		     step_init(w, &admin, s, &a) && meets(&admin) == MET_NOT;

	if (known && admin.ours == NULL)
		known = fate_of(w, &admin, &r) != ROUTE_MISSING;
	else if (known && admin.ours->recipients != RECIPIENTS_ANY && !is_elsewhere(admin.ours))
		known = walk_find_rule(w, &admin, &f);
	if (known)
		walk_step(w, &admin);
	else
		add_end(w, FATE_TAKEN, s, s->ours->place);
}

/* What whoever has the mailboxes says. Dovecot knows users, and no subaddresses. */
static enum elsewhere ask_elsewhere(struct walk *w, const struct step *s)
{
	struct span base = step_base_name(s);
	struct step plain = *s;
	struct found f = {.name = base, .octets = s->local.n};

	if (w->k->elsewhere == NULL)
		return ELSEWHERE_KNOWN;
	if (base.n > 0 && s->ours->recipients == RECIPIENTS_DOVECOT)
		walk_respell(w, &plain, &f);
	return w->too_many ? ELSEWHERE_AWAY
			   : w->k->elsewhere(w->k->elsewhere_arg, s->ours, plain.addr);
}

/* False: it is not known there. */
static bool judge_elsewhere(struct walk *w, struct step *s)
{
	const struct domain *d = s->ours;
	enum elsewhere is = ask_elsewhere(w, s);

	if (is == ELSEWHERE_UNKNOWN)
		return false;
	w->out->asks = w->out->asks || is == ELSEWHERE_ASK;
	if (is == ELSEWHERE_BUSY)
		add_refused(w, s, d->recipients_place,
		    REPLY(451, 4, 7, 1,
			"Too many recipients from here were unknown; try again later"),
		    "recipients_guessed");
	else if (is == ELSEWHERE_AWAY && !d->lookup->away_accepts)
		add_refused(w, s, d->recipients_place,
		    REPLY(451, 4, 3, 0, "Who is known here cannot be asked now; try again later"),
		    "recipients_away");
	else
		add_end(w, FATE_TAKEN, s, d->recipients_place);
	return true;
}

static void not_found(struct walk *w, struct step *s)
{
	const struct domain *d = s->ours;
	const struct recipient_rule *rest = table_say_rest(w, s);

	if (is_elsewhere(d) && judge_elsewhere(w, s))
		return;
	if (rest != NULL && (d->recipients == RECIPIENTS_ANY || !is_postmaster(s)))
		apply(w, s, &(struct found){.rule = rest});
	else if (d->recipients == RECIPIENTS_ANY)
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
	const struct route *r;
	enum route_fate fate = fate_of(w, s, &r);

	if (fate == ROUTE_MISSING)
		add_refused(w, s, (struct place){0},
		    REPLY(550, 5, 4, 4, "An alias leads to a domain without a route"), "no_route");
	else if (fate == ROUTE_REJECTS)
		add_refused(w, s, r->target.place, route_reply(r->target.reply), "route_rejects");
	else
		add_end(w, FATE_TAKEN, s, r != NULL ? r->place : (struct place){0});
}

/* A receiver that has not been told yet, or only nonsense, must not call anybody unknown. */
static bool is_blind(const struct walk *w, const struct step *s)
{
	const struct domain *d = s->ours;

	return ((d->recipients_file != NULL || d->aliases != NULL) &&
		   table_of(w, s, TABLE_OWN) == NULL) ||
	       (w->k->config->aliases != NULL && table_of(w, s, TABLE_COMMON) == NULL) ||
	       (d->recipients == RECIPIENTS_USERS && w->k->accounts == NULL);
}

/* ---- return paths that were made here -------------------------------------------------------- */

/* A report to the sender of what was forwarded. Whoever else had such an address, from the mail
 * that he got, could send to that sender through us. */
static void walk_srs(struct walk *w, struct step *s)
{
	enum srs_verdict verdict;
	struct address a;
	struct buf home;

	if (w->k->from.n > 0) {
		add_refused(w, s, w->k->config->srs.secret_place,
		    REPLY(
			550, 5, 7, 1, "This return path takes reports alone, from the null sender"),
		    "srs_sender");
		return;
	}
	buf_init(&home, RECIPIENT_NAME_MAX);
	verdict = srs_reverse(w->k->srs, s->local, w->k->day, &home);
	if (verdict == SRS_GOOD && address_parse(buf_view(&home), &a) == 0)
		lead(w, s, &a, w->k->config->srs.secret_place);
	else
		add_refused(
		    w, s, w->k->config->srs.secret_place, path_refusal(verdict), "srs_refused");
	buf_fini(&home);
}

static void walk_step(struct walk *w, struct step *s)
{
	struct found f;

	if (s->ours == NULL) {
		walk_foreign(w, s);
		return;
	}
	if (path_is_srs(w, s)) {
		walk_srs(w, s);
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
	else if (walk_find_rule(w, s, &f))
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
	if (out->asks)
		return;
	if (!any_served(out)) {
		all_refused(&w, &s, v);
		return;
	}
	out->as_is = out->n == 1 && span_eq(out->first->addr, s.addr);
	v->place = out->first->place.file != NULL ? out->first->place : v->place;
}
