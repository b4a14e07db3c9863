/*
 * A recipient who has his mail sent on (.forward): he has ended, and where it goes takes his place
 * in a derived message. What comes from the delivery was written by the user, so an address of ours
 * that the tables do not know goes nowhere; then, and where he says so, a copy stays with him.
 *
 * RFC 3461 section 5.2.7: what the sender asked to be told of goes along; success where it is that
 * of one address: the mailbox, or the only one in its place.
 */
#include "flow/broker-private.h"

#include "base/log.h"
#include "flow/derive-private.h"
#include "mail/address.h"

#include <stdlib.h>

enum { FRONT_MAX = 1024, TARGETS_MEMORY = 4 << 20, TARGETS_MAX = RECIPIENTS_EXPAND_MAX };

struct targets {
	struct rcpt *rcpt;
	size_t n;
	bool later;       /* nobody can say now */
	const char *lost; /* why one of the addresses is not among them */
};

static bool is_there(const struct targets *t, struct span addr)
{
	for (size_t i = 0; i < t->n; i++) {
		if (span_eq(t->rcpt[i].addr, addr))
			return true;
	}
	return false;
}

static void add(struct targets *t, struct rcpt r)
{
	if (t->n == TARGETS_MAX)
		t->lost = "it stands for too many addresses";
	else if (!is_there(t, r.addr))
		t->rcpt[t->n++] = r;
}

static void log_lost(const struct queued *m, const struct queued_rcpt *r, const char *why)
{
	char id[MSGID_TEXT + 1];
	struct logline l;

	msgid_format(&m->id, id);
	log_begin(&l, EV_FORWARD_IGNORED);
	log_str(&l, "id", id);
	log_text(&l, "to", r->addr);
	log_str(&l, "reason", why);
	log_end(&l);
}

/* Those that take the place of the recipient, in the arena. */
static void find_targets(struct broker *b, const struct queued *m, const struct queued_rcpt *r,
    const struct broker_forward *f, struct arena *a, struct targets *t)
{
	for (size_t i = 0; i < f->n; i++) {
		struct resolved_to to = resolve_forward(b, f->to[i], queued_from(m, r), a);

		t->later = t->later || to.later;
		if (to.n == 0)
			t->lost = "an address in it is not known here";
		for (size_t k = 0; k < to.n; k++)
			add(t, to.rcpt[k]);
	}
	if (t->later)
		return;
	if (f->keep || t->n == 0 || t->lost != NULL)
		add(t, (struct rcpt){.addr = r->addr, .kept = true});
	if (t->lost != NULL)
		log_lost(m, r, t->lost);
}

static uint8_t notify_of(uint8_t asked)
{
	uint8_t rest = asked & (uint8_t)~NOTIFY_SUCCESS;

	return asked == 0 || rest != 0 ? rest : NOTIFY_NEVER;
}

/* He is told apart by the tables from himself: those that lead to him keep the copy, too. */
static void finish_targets(const struct queued_rcpt *r, struct span orcpt, struct targets *t)
{
	for (size_t i = 0; i < t->n; i++) {
		t->rcpt[i].orcpt = orcpt;
		t->rcpt[i].kept = span_eq(t->rcpt[i].addr, r->addr);
		/* Success is that of his own mailbox, or of the one address in its place. */
		t->rcpt[i].notify = t->rcpt[i].kept || t->n == 1 ? r->notify : notify_of(r->notify);
	}
}

/* What the sender wrote to; where he wrote no ORCPT, the address itself. */
static struct span original(const struct queued_rcpt *r, struct buf *b)
{
	if (r->orcpt.n > 0)
		return r->orcpt;
	buf_add_str(b, "rfc822;");
	buf_add_span(b, r->addr);
	return buf_view(b);
}

static void encode_end(const struct queued *m, const struct queued_rcpt *r,
    const struct change *said, struct buf *out, int64_t now)
{
	struct change_rcpt end = said->rcpt[0];
	struct change c = {.id = m->id, .when = now, .rcpt = &end, .n_rcpt = 1};

	end.number = r->number + 1;
	end.attempts = r->attempts + 1;
	end.due = 0;
	change_encode(&c, out);
}

/* 0, or GW_EIO: the content cannot be read now. */
static int write_targets(struct broker *b, struct job *j, const struct change *said,
    const struct targets *t, int64_t now)
{
	struct queued *m = j->msg;
	const struct queued_rcpt *r = &m->rcpt[said->rcpt[0].index];
	struct msgid id = own_id(b, now);
	struct append *a = derive_begin(b, m, j, &id);
	struct buf front, end, orcpt;
	struct derived d = {.content = true};
	int err;

	buf_init(&front, FRONT_MAX);
	buf_init(&end, FRONT_MAX + ENVELOPE_ARENA);
	buf_init(&orcpt, FRONT_MAX);
	finish_targets(r, original(r, &orcpt), (struct targets *)(uintptr_t)t);
	buf_addf(&front, "Delivered-To: %.*s\r\n", SPAN_ARG(r->addr));
	encode_end(m, r, said, &end, now);
	d.envelope = (struct envelope){.accepted = now,
	    .from = queued_from(m, r),
	    .rcpt = t->rcpt,
	    .n_rcpt = t->n,
	    .origin = ORIGIN_LOCAL,
	    .account = m->account,
	    .priority = (uint8_t)m->priority,
	    .envid = m->envid,
	    .ret = m->ret,
	    .smtputf8 = m->smtputf8,
	    .handling = m->handling,
	    .at_most_once = m->at_most_once};
	d.front = buf_view(&front);
	d.ends = buf_view(&end);
	err = derive_write(b, a, &d);
	if (err != 0)
		derive_cancel(b, &a);
	buf_fini(&front);
	buf_fini(&end);
	buf_fini(&orcpt);
	return err;
}

static bool may_expand(const struct broker *b, const struct job *j, unsigned worker,
    const struct broker_forward *f, const struct change *c)
{
	return j->worker == worker && b->worker[worker].kind == WORKER_MDA &&
	       msgid_eq(&j->msg->id, &c->id) && c->n_rcpt == 1 && j->task->n_rcpt == 1 &&
	       c->rcpt[0].outcome == OUTCOME_EXPANDED && c->rcpt[0].index < j->msg->n_rcpt &&
	       j->msg->rcpt[c->rcpt[0].index].task == j->task &&
	       !j->msg->rcpt[c->rcpt[0].index].kept && f->n <= BROKER_FORWARD_MAX &&
	       f->n + f->keep > 0;
}

/* Who runs as a user may say what he likes: nothing else than addresses comes out of it. */
static bool all_addresses(const struct broker_forward *f)
{
	struct address a;

	for (size_t i = 0; i < f->n; i++) {
		if (address_parse(f->to[i], &a) < 0 ||
		    (a.kind != ADDRESS_DOMAIN && a.kind != ADDRESS_LITERAL))
			return false;
	}
	return true;
}

static void expand(struct broker *b, struct job *j, const struct broker_forward *f,
    const struct change *said, int64_t now)
{
	const struct queued_rcpt *r = &j->msg->rcpt[said->rcpt[0].index];
	struct targets t = {.rcpt = gw_calloc(TARGETS_MAX, sizeof(struct rcpt))};
	struct change_rcpt later = {.index = said->rcpt[0].index,
	    .outcome = OUTCOME_DEFERRED,
	    .code = 451,
	    .esc = {4, 3, 0},
	    .reply = SPAN("It cannot be sent on at this moment")};
	struct change c = {.id = said->id, .when = said->when, .rcpt = &later, .n_rcpt = 1};
	struct arena mem;

	arena_init(&mem, TARGETS_MEMORY);
	find_targets(b, j->msg, r, f, &mem, &t);
	j->expanded = !t.later && write_targets(b, j, said, &t, now) == 0;
	j->soon = t.later;
	job_take_result(b, j, false, j->expanded ? said : &c, now);
	arena_reset(&mem);
	free(t.rcpt);
}

int broker_expanded(struct broker *b, unsigned worker, uint64_t number,
    const struct broker_forward *f, const struct change *c, int64_t now)
{
	struct job *j = map_get(&b->jobs, span_of(&number, sizeof(number)));

	if (j == NULL) /* known already */
		return broker_result(b, worker, number, false, c, now);
	blame_hand(b, &j->msg->id);
	if (j->finished)
		return j->worker == worker ? 0 : GW_EFORMAT;
	if (!may_expand(b, j, worker, f, c) || !all_addresses(f))
		return GW_EFORMAT;
	expand(b, j, f, c, now);
	return 0;
}
