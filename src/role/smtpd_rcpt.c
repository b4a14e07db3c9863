/* The recipients of a message: taken, held, dropped, and what stands for others. */
#include "base/log.h"
#include "base/utf8.h"
#include "role/smtpd_callout.h"
#include "role/smtpd_limits.h"
#include "role/tables.h"
#include "smtp/xtext.h"

#include <stdio.h>
#include <stdlib.h>

/* LEAST: RFC 5321 section 4.5.3.1.8, whatever the memory. */
enum { FIRST = 4, FEW = 16, LEAST = 100, RULE_TEXT = 600, ORCPT_MAX = 600 };

/* Room for one more in an array that grows. */
static void *grow(void *list, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return list;
	*cap = *cap ? *cap * 2 : FIRST;
	return gw_realloc(list, *cap * size);
}

/* ---- who is there already -------------------------------------------------------------------- */

static void remember(struct transaction *t, size_t i)
{
	map_put(&t->addresses, t->rcpt[i].addr, t);
}

/* Most messages have few recipients: they are looked through. */
static bool is_there(struct transaction *t, struct span addr)
{
	if (t->n_rcpt >= FEW)
		return map_get(&t->addresses, addr) != NULL;
	for (size_t i = 0; i < t->n_rcpt; i++) {
		if (span_eq(t->rcpt[i].addr, addr))
			return true;
	}
	return false;
}

static void note_address(struct transaction *t)
{
	if (t->n_rcpt == FEW) {
		for (size_t i = 0; i < FEW; i++)
			remember(t, i);
	} else if (t->n_rcpt > FEW) {
		remember(t, t->n_rcpt - 1);
	}
}

/* Takes back what was added behind the first n. */
static void forget_behind(struct transaction *t, size_t n)
{
	for (size_t i = t->n_rcpt; i > 0 && t->n_rcpt >= FEW && (i > n || n < FEW); i--)
		map_del(&t->addresses, t->rcpt[i - 1].addr);
	t->n_rcpt = n;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static struct span rule_text(struct transaction *t, const char *before, struct place p)
{
	char text[RULE_TEXT];
	int n =
	    snprintf(text, sizeof(text), "%s%s:%u", before, p.file ? p.file : "built in", p.line);

	return arena_dup(
	    &t->arena, span_of(text, n < RULE_TEXT ? (size_t)n : (size_t)RULE_TEXT - 1));
}

static void hold(struct transaction *t, struct place place)
{
	t->held = grow(t->held, t->n_held, &t->cap_held, sizeof(*t->held));
	t->held[t->n_held++] = (struct change_rcpt){.index = (uint32_t)t->n_rcpt - 1,
	    .number = 1,
	    .outcome = OUTCOME_HELD,
	    .reply = rule_text(t, "Held by the rule at ", place)};
}

static void drop(struct transaction *t, const struct recipient_end *e)
{
	t->dropped = grow(t->dropped, t->n_dropped, &t->cap_dropped, sizeof(*t->dropped));
	t->dropped[t->n_dropped++] = (struct dropped){
	    .addr = arena_dup(&t->arena, e->addr), .rule = rule_text(t, "", e->place)};
}

/* False: there is no room for it. */
static bool add(
    struct transaction *t, const struct recipient_end *e, struct span orcpt, uint8_t notify)
{
	struct span addr, from;

	if (e->fate == FATE_DROPPED) {
		drop(t, e);
		return !t->arena.overflow && t->n_dropped < ENVELOPE_RCPT_MAX;
	}
	if (e->fate == FATE_REFUSED || is_there(t, e->addr))
		return true;
	addr = arena_dup(&t->arena, e->addr);
	from = e->from.n > 0 ? arena_dup(&t->arena, e->from) : SPAN_NONE;
	if (t->arena.overflow || t->n_rcpt == ENVELOPE_RCPT_MAX ||
	    (t->n_rcpt >= LEAST && txn_over_share(t)))
		return false;
	t->rcpt = grow(t->rcpt, t->n_rcpt, &t->cap_rcpt, sizeof(*t->rcpt));
	t->rcpt[t->n_rcpt++] =
	    (struct rcpt){.addr = addr, .orcpt = orcpt, .notify = notify, .from = from};
	note_address(t);
	if (e->fate == FATE_HELD)
		hold(t, e->place);
	return !t->arena.overflow;
}

/* The address of RCPT. */
static struct span as_written(struct transaction *t, const struct address *a)
{
	struct span kept;
	struct buf b;

	buf_init(&b, ORCPT_MAX);
	address_canonical(a, &b);
	kept = arena_dup(&t->arena, buf_view(&b));
	buf_fini(&b);
	return kept;
}

/* What the sender knows this recipient as, for reports to it: what the client says it is, or, as it
 * never heard of those behind an alias, the address of RCPT. */
static struct span original(struct transaction *t, const struct server_event *ev, bool as_is)
{
	struct span kept;
	struct buf b;

	if (ev->orcpt.n == 0 && as_is)
		return SPAN_NONE;
	buf_init(&b, ORCPT_MAX);
	if (ev->orcpt.n > 0) {
		if (orcpt_decode(ev->orcpt, ev->smtputf8, &b) != 0)
			buf_clear(&b); /* the engine looked at it: cannot be */
	} else {
		/* RFC 6533 section 3. */
		buf_add_str(&b, utf8_beyond_ascii(ev->address.local) ? "utf-8;" : "rfc822;");
		address_canonical(&ev->address, &b);
	}
	kept = arena_dup(&t->arena, buf_view(&b));
	buf_fini(&b);
	return kept;
}

static void log_unserved(struct transaction *t, const struct recipient_end *e)
{
	if (e->fate == FATE_REFUSED)
		session_log_reject(t->session, "alias", &e->reply, e->reason, e->place, e->addr);
}

/* All of them, or none and *v. */
static void add_all(struct transaction *t, const struct server_event *ev, const struct resolved *to,
    struct verdict *v)
{
	size_t n_rcpt = t->n_rcpt, n_held = t->n_held, n_dropped = t->n_dropped;
	struct span orcpt = original(t, ev, to->as_is);
	bool good = true;

	if (n_rcpt == 0)
		t->named = as_written(t, &ev->address);

	for (const struct recipient_end *e = to->first; good && e != NULL; e = e->next)
		good = add(t, e, orcpt, ev->notify);
	if (good) {
		txn_limits_rcpt(t, v);
	} else {
		v->ok = false;
		v->reply = REPLY(452, 4, 5, 3, "Too many recipients");
		v->reason = "too_many_recipients";
	}
	if (!v->ok) {
		forget_behind(t, n_rcpt);
		t->n_held = n_held;
		t->n_dropped = n_dropped;
		return;
	}
	t->n_named++;
	for (const struct recipient_end *e = to->first; e != NULL; e = e->next)
		log_unserved(t, e);
}

bool txn_take_rcpt(
    struct transaction *t, const struct server_event *ev, struct asked *asked, struct verdict *v)
{
	const struct smtpd *d = t->session->smtpd;
	struct known known = tables_known(t->session->listener->rules->tables, d->accounts);
	struct accept_client client;
	struct resolved to;
	struct arena mem;

	session_client(t->session, &client);
	known.from = t->from;
	known.account = client.login;
	known.elsewhere = callout_oracle;
	known.elsewhere_arg = asked;
	arena_init(&mem, RESOLVE_MEMORY);
	recipient_resolve(&known, &ev->address, &mem, &to, v);
	if (v->ok && !to.asks)
		add_all(t, ev, &to, v);
	arena_reset(&mem);
	txn_count_memory(t);
	return !to.asks;
}

/* ---- what is made of them -------------------------------------------------------------------- */

void txn_put_held(const struct transaction *t, struct buf *out)
{
	struct change c = {.id = t->id, .rcpt = t->held, .n_rcpt = t->n_held};

	if (t->n_held > 0)
		change_encode(&c, out);
}

struct span txn_only_rcpt(const struct transaction *t)
{
	return t->n_rcpt == 1 ? t->named : SPAN_NONE;
}

void txn_log_dropped(const struct transaction *t)
{
	const struct session *s = t->session;
	char id[MSGID_TEXT + 1], sid[MSGID_TEXT + 1];

	msgid_format(&t->id, id);
	msgid_format(&s->sid, sid);
	for (size_t i = 0; i < t->n_dropped; i++) {
		struct logline l;

		log_begin(&l, EV_DROPPED);
		log_str(&l, "id", id);
		log_str(&l, "sid", sid);
		log_str(&l, "listener", s->conf->name);
		log_str(&l, "ip", s->ip);
		log_text(&l, "from", t->from);
		log_text(&l, "to", t->dropped[i].addr);
		log_text(&l, "rule", t->dropped[i].rule);
		log_end(&l);
		metric_add(METRIC_DROPPED, 1);
	}
}

void txn_all_dropped(struct transaction *t)
{
	char text[MSGID_TEXT + 8] = "Ok ";
	struct reply ok = {250, {2, 0, 0}, SPAN_NONE};

	txn_log_dropped(t);
	msgid_format(&t->id, text + 3);
	ok.text = span_str(text);
	session_answer(t->session, &ok);
}

void txn_free_rcpts(struct transaction *t)
{
	map_fini(&t->addresses);
	free(t->rcpt);
	free(t->held);
	free(t->dropped);
	t->rcpt = NULL;
	t->cap_rcpt = t->cap_held = t->cap_dropped = 0;
}
