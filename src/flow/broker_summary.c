/*
 * Summaries of storms: one message of our own tells of all recipients that a window has kept
 * untold, and when it is durable they end, some in each turn of the loop.
 */
#include "flow/storm-private.h"

#include "base/metric.h"
#include "flow/derive-private.h"

#include <stdlib.h>

enum {
	PENDING_MAX = 1000, /* ends on their way to the disk */
	ROWS_MAX = 50,      /* recipients that a summary names; the others are counted */
	ROWS_ARENA = 4 << 20,
};

/* Messages that a summary tells of. */
struct summed {
	TAILQ_ENTRY(summed) link;
	struct ids ids;
	int64_t when;   /* it was written */
	size_t pending; /* ends on their way to the disk */
	bool durable;   /* the summary is */
	size_t length;
	char address[];
};

static void summed_free(struct broker *b, struct summed *s)
{
	TAILQ_REMOVE(&b->storm.summed, s, link);
	ids_free(&s->ids);
	free(s);
}

void summary_fini(struct broker *b)
{
	while (!TAILQ_EMPTY(&b->storm.summed))
		summed_free(b, TAILQ_FIRST(&b->storm.summed));
}

/* ---- what stands in one ---------------------------------------------------------------------- */

/* The recipients a summary is about; spans in the arena. */
struct rows {
	struct dsn_summary_row row[ROWS_MAX];
	struct change_rcpt change[ROWS_MAX];
	size_t n, all, messages;
	uint64_t counts[REPLY_CLASSES];
	struct arena arena;
	int64_t first; /* acceptance of the oldest message */
	bool smtputf8;
};

static bool is_told_here(
    const struct broker *b, const struct queued *m, uint32_t i, struct span address)
{
	return m->rcpt[i].outcome == OUTCOME_UNTOLD &&
	       span_eq_case(storm_listener(b, m, i), address);
}

/* Its last words, as a change. */
static struct change_rcpt words_of(const struct queued_rcpt *r)
{
	return (struct change_rcpt){.outcome = OUTCOME_FAILED,
	    .attempts = r->attempts,
	    .code = r->code,
	    .esc = {r->esc[0], r->esc[1], r->esc[2]},
	    .reply = span_str(r->said)};
}

static void add_row(struct rows *to, const struct queued *m, const struct queued_rcpt *r,
    const struct change_rcpt *said, enum reply_class class)
{
	struct change_rcpt *c = &to->change[to->n];

	*c = *said;
	c->reply = arena_dup(&to->arena, said->reply);
	to->row[to->n++] = (struct dsn_summary_row){.addr = arena_dup(&to->arena, r->addr),
	    .orcpt = arena_dup(&to->arena, r->orcpt),
	    .msgid = m->id,
	    .change = c,
	    .class = class};
}

static void add_queued(
    struct broker *b, struct rows *to, struct queued *m, const struct storm_window *w)
{
	queued_load_said(b, m);
	for (uint32_t i = 0; i < m->n_rcpt; i++) {
		struct change_rcpt said = words_of(&m->rcpt[i]);
		enum reply_class class;

		if (!is_told_here(b, m, i, span_of(w->address, w->length)))
			continue;
		class = report_class(b, &said);
		to->counts[class]++;
		to->all++;
		if (to->n < ROWS_MAX)
			add_row(to, m, &m->rcpt[i], &said, class);
	}
	to->smtputf8 = to->smtputf8 || m->smtputf8;
}

/* Not read back: its recipients are counted by what is known of them. */
static void add_parked(struct broker *b, struct rows *to, struct parked *p)
{
	const struct resting *r = parked_rest(p);

	for (uint32_t i = 0; i < p->n_open; i++) {
		struct change_rcpt said = {
		    .code = r[i].code, .esc = {r[i].esc[0], r[i].esc[1], r[i].esc[2]}};

		if (r[i].outcome != OUTCOME_UNTOLD)
			continue;
		to->counts[report_class(b, &said)]++;
		to->all++;
	}
}

static void note_oldest(struct rows *to, int64_t accepted)
{
	to->messages++;
	if (to->first == 0 || accepted < to->first)
		to->first = accepted;
}

/* What this message brings to the summary. False: what is to be told of it is not durable yet. */
static bool take_message(
    struct broker *b, struct rows *to, const struct msgid *id, const struct storm_window *w)
{
	struct queued *m = map_get(&b->ids, msgid_span(id)), *view = NULL;
	struct parked *p = m == NULL ? parking_find(&b->parking, id) : NULL;

	if (m != NULL && m->appends > 0)
		return false;
	if (m == NULL && p == NULL)
		return true; /* an operator dropped it */
	note_oldest(to, m != NULL ? m->accepted : p->accepted);
	if (m == NULL && to->n < ROWS_MAX)
		m = view = parked_view(b, p);
	if (m != NULL)
		add_queued(b, to, m, w);
	else
		add_parked(b, to, p);
	if (view != NULL)
		queued_view_free(b, &view);
	return true;
}

static struct summed *summed_new(struct broker *b, const struct storm_window *w, int64_t now)
{
	struct summed *s = gw_calloc(1, sizeof(*s) + w->length);

	s->when = now;
	s->length = w->length;
	memcpy(s->address, w->address, w->length);
	TAILQ_INSERT_TAIL(&b->storm.summed, s, link);
	return s;
}

static struct dsn_form compose(struct broker *b, const struct rows *rows, struct span to,
    const struct msgid *id, int64_t now, struct buf *out)
{
	struct dsn_summary s = {.reporting_host = span_str(b->config->hostname),
	    .to = to,
	    .report_id = *id,
	    .since = rows->first + b->wall_ahead,
	    .now = now + b->wall_ahead,
	    .recipients = rows->all,
	    .messages = rows->messages,
	    .row = rows->row,
	    .n_row = rows->n,
	    .language = report_language(b, SPAN_NONE),
	    .texts = b->config->dsn.texts,
	    .smtputf8 = rows->smtputf8};

	memcpy(s.counts, rows->counts, sizeof(s.counts));
	return dsn_summary_write(&s, out);
}

static void write_summary(struct broker *b, const struct rows *rows, struct summed *s, int64_t now)
{
	struct rcpt to = {.addr = span_of(s->address, s->length)};
	struct derived d = {.envelope = {.accepted = now,
				.rcpt = &to,
				.n_rcpt = 1,
				.origin = ORIGIN_SYSTEM,
				.priority = PRIORITY_NORMAL}};
	struct msgid id = own_id(b, now);
	struct append *a = derive_begin(b, NULL, NULL, &id);
	struct dsn_form form;
	struct buf content;

	buf_init(&content, dsn_room(rows->n));
	form = compose(b, rows, to.addr, &id, now, &content);
	gw_assert(form.head > 0);
	d.head_length = form.head;
	d.envelope.smtputf8 = form.smtputf8;
	d.envelope.facts.eight_bit = form.eight_bit;
	d.envelope.body_type = form.eight_bit ? BODY_8BITMIME : BODY_7BIT;
	d.front = buf_view(&content);
	a->summed = s;
	gw_assert(derive_write(b, a, &d) == 0);
	buf_fini(&content);
	report_log(&id, NULL, to.addr, "summary", rows->all);
	metric_add(METRIC_REPORT_SUMMARIES, 1);
}

/* None of them can be read, or none is told here any more: who is, is looked up soon. */
static void keep_unread(struct broker *b, struct storm_window *w, struct summed *s, int64_t now)
{
	for (size_t i = 0; i < s->ids.n; i++) {
		if (message_known(b, &s->ids.v[i]))
			storm_recovered(b, &s->ids.v[i], now + STORM_READ_AGAIN);
	}
	if (w->untold.n > 0)
		heap_set(&b->storm.ends, &w->node, now + STORM_READ_AGAIN);
	summed_free(b, s);
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct msgid));
}

/* One that failed bit by bit stands there more than once. */
static void each_once(struct ids *l)
{
	size_t n = 0;

	if (l->n == 0)
		return;
	qsort(l->v, l->n, sizeof(*l->v), by_id);
	for (size_t i = 1; i < l->n; i++) {
		if (!msgid_eq(&l->v[i], &l->v[n]))
			l->v[++n] = l->v[i];
	}
	l->n = n + 1;
}

void summary_send(struct broker *b, struct storm_window *w, int64_t now)
{
	struct rows *rows = gw_calloc(1, sizeof(*rows));
	struct summed *s = summed_new(b, w, now);
	struct ids all = w->untold;

	w->untold = (struct ids){.n = 0};
	each_once(&all);
	arena_init(&rows->arena, ROWS_ARENA);
	for (size_t i = 0; i < all.n; i++)
		ids_add(take_message(b, rows, &all.v[i], w) ? &s->ids : &w->untold, &all.v[i]);
	storm_window_begin(b, w, now + storm_period(b));
	if (rows->n > 0) {
		w->sent = 1;
		write_summary(b, rows, s, now);
	} else {
		keep_unread(b, w, s, now);
	}
	ids_free(&all);
	arena_reset(&rows->arena);
	free(rows);
}

/* ---- the end of those that were told --------------------------------------------------------- */

void summary_told(struct broker *b, struct append *a)
{
	struct summed *s = a->summed;

	if (a->kind == APPEND_DERIVED)
		s->durable = true;
	else
		s->pending--;
	if (s->pending == 0 && s->ids.at == s->ids.n)
		summed_free(b, s);
}

/* The same words as before: they failed, and now it was told. */
static struct change_rcpt end_of(const struct queued_rcpt *r, uint32_t index)
{
	return (struct change_rcpt){.index = index,
	    .number = r->number + 1,
	    .attempts = r->attempts,
	    .outcome = OUTCOME_FAILED,
	    .code = r->code,
	    .esc = {r->esc[0], r->esc[1], r->esc[2]},
	    .reply = span_str(r->said),
	    .tls = span_str(r->tls),
	    .vmta = span_str(r->vmta),
	    .rule = span_str(r->rule)};
}

static void append_ends(
    struct broker *b, struct queued *m, const struct change *c, struct summed *s)
{
	struct append *a = append_new(b, APPEND_CHANGE, BROKER_RESULT, &m->id);

	change_encode(c, &a->meta);
	a->about = m;
	a->summed = s;
	m->appends++;
	s->pending++;
	append_send(b, a, false);
}

/* Those that it told of. What failed since is told by the next one, and with it the whole message:
 * twice is better than not at all. */
static void put_ends(struct broker *b, struct queued *m, const struct summed *s, struct change *c)
{
	struct span address = span_of(s->address, s->length);
	bool since = false, untold = false;

	queued_load_said(b, m);
	for (uint32_t i = 0; i < m->n_rcpt; i++) {
		untold = untold || m->rcpt[i].outcome == OUTCOME_UNTOLD;
		if (!is_told_here(b, m, i, address))
			continue;
		since = since || m->rcpt[i].due > s->when;
		c->rcpt[c->n_rcpt++] = end_of(&m->rcpt[i], i);
	}
	if (since && storm_waits(b, address, &m->id))
		c->n_rcpt = 0;
	else if (untold && c->n_rcpt == 0) /* it is told to somebody else by now */
		storm_recovered(b, &m->id, s->when);
}

static void end_queued(struct broker *b, struct queued *m, struct summed *s, int64_t now)
{
	struct change c = {.id = m->id, .when = now};
	struct change_rcpt before;

	c.rcpt = gw_calloc(m->n_rcpt, sizeof(*c.rcpt));
	put_ends(b, m, s, &c);
	if (c.n_rcpt > 0)
		append_ends(b, m, &c, s);
	for (size_t i = 0; i < c.n_rcpt; i++) {
		before = (struct change_rcpt){.outcome = OUTCOME_UNTOLD};
		counted_change(b, &before, &c.rcpt[i], now);
		queued_apply(b, m, &c.rcpt[i]);
	}
	free(c.rcpt);
	queued_settle(b, m);
}

static void end_one(struct broker *b, struct summed *s, const struct msgid *id, int64_t now)
{
	struct queued *m = queued_find(b, id, now);

	if (m != NULL)
		end_queued(b, m, s, now);
	else if (message_known(b, id)) /* it cannot be read now: it is told once more */
		storm_recovered(b, id, now + STORM_READ_AGAIN);
}

/* The first whose summary is durable, if more may be done of it now. */
static struct summed *to_be_ended(const struct broker *b)
{
	struct summed *s = TAILQ_FIRST(&b->storm.summed);

	while (s != NULL && (!s->durable || s->ids.at == s->ids.n))
		s = TAILQ_NEXT(s, link);
	return s != NULL && s->pending < PENDING_MAX ? s : NULL;
}

bool summary_waits(const struct broker *b)
{
	return to_be_ended(b) != NULL;
}

void summary_end_some(struct broker *b, int64_t now)
{
	struct summed *s = to_be_ended(b);

	for (int i = 0; s != NULL && i < STORM_PORTION && s->ids.at < s->ids.n; i++)
		end_one(b, s, &s->ids.v[s->ids.at++], now);
	if (s != NULL && s->pending == 0 && s->ids.at == s->ids.n)
		summed_free(b, s);
}
