#include "sim/book.h"

#include "sim/disk_sim.h"
#include "sim/faults.h"
#include "sim/trace.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH = 8 << 20, POOL = 1 << 20, TEXT = 1 << 20 };

static uint8_t pool[POOL];

void book_init(struct book *l)
{
	uint64_t seed = 42;

	memset(l, 0, sizeof(*l));
	map_init(&l->by_id, 7);
	arena_init(&l->scratch, SCRATCH);
	for (size_t i = 0; pool[0] == 0 && i < POOL; i++)
		pool[i] = (uint8_t)(sim_random(&seed) | 1);
}

void book_fini(struct book *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->mail[i]->bytes);
		free(l->mail[i]);
	}
	free(l->mail);
	map_fini(&l->by_id);
	arena_reset(&l->scratch);
}

static struct mail *add(struct book *l, const struct msgid *id)
{
	struct mail *m = gw_calloc(1, sizeof(*m));

	l->version++;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->mail = gw_realloc(l->mail, l->cap * sizeof(struct mail *));
	}
	m->index = (int)l->n;
	m->id = *id;
	m->about = NO_REPORT;
	l->mail[l->n++] = m;
	map_put(&l->by_id, msgid_span(&m->id), m);
	return m;
}

struct mail *book_find(const struct book *l, const struct msgid *id)
{
	return map_get(&l->by_id, msgid_span(id));
}

/* ---- making ------------------------------------------------------------------------------- */

static const char *pick_domain(uint64_t *rng)
{
	static const char *const often[] = {
	    "a.test", "b.test", "c.test", "lmtp.test", "box.test", "box.test"};
	static const char *const seldom[] = {"no.test", "later.test", "nowhere.test"};

	if (sim_once_in(rng, 12))
		return seldom[sim_below(rng, GW_ARRAY_LEN(seldom))];
	return often[sim_below(rng, GW_ARRAY_LEN(often))];
}

static size_t make_rcpt_count(bool small, uint64_t *rng)
{
	if (small)
		return sim_once_in(rng, 4) ? 1 + sim_below(rng, 4) : 1;
	return sim_once_in(rng, 4) ? 1 + sim_below(rng, MAIL_RCPTS) : 1 + sim_below(rng, 3);
}

static void make_rcpts(struct mail *m, uint64_t *rng)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct mail_rcpt *r = &m->rcpt[i];

		*r = (struct mail_rcpt){.report = NO_REPORT};
		snprintf(r->addr, sizeof(r->addr), "u%d-%zu@%s", m->index, i, pick_domain(rng));
		if (sim_once_in(rng, 20))
			r->notify = NOTIFY_NEVER;
		else if (sim_once_in(rng, 20))
			r->notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	}
	if (!sim_once_in(rng, 6))
		snprintf(m->from, sizeof(m->from), "s%d@%s", m->index, pick_domain(rng));
}

static size_t make_size(bool small, uint64_t *rng)
{
	if (small)
		return sim_once_in(rng, 6) ? (size_t)sim_below(rng, MAIL_SMALL_MAX)
					   : (size_t)sim_below(rng, 300);
	switch (sim_below(rng, 16)) {
	case 0: return 0;
	case 1: return (size_t)sim_below(rng, MAIL_BODY_MAX);
	case 2:
	case 3: return (size_t)sim_below(rng, MAIL_BODY_MAX / 4);
	case 4:
	case 5: return (size_t)sim_below(rng, 20000);
	default: return (size_t)(100 + sim_below(rng, 1500));
	}
}

struct mail *book_new(struct book *l, uint64_t *rng, int64_t now)
{
	uint8_t random[MSGID_RANDOM] = {0};
	struct msgid id;
	struct mail *m;

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)sim_random(rng);
	id = msgid_make(now, random);
	m = add(l, &id);
	random[0] ^= 0xff;
	m->nonce = msgid_make(now + 1000000, random);
	m->n_rcpt = make_rcpt_count(l->small, rng);
	make_rcpts(m, rng);
	m->at_most_once = sim_once_in(rng, 5);
	m->head_n = (size_t)snprintf(m->head, sizeof(m->head),
	    "Received: by sim; %lld\r\nFrom: <%s>\r\nSubject: number %d\r\n\r\n", (long long)now,
	    m->from, m->index);
	m->salt = (size_t)sim_below(rng, POOL - MAIL_BODY_MAX);
	m->size = m->head_n + make_size(l->small, rng);
	for (size_t i = 0; sim_once_in(rng, 8) && i < m->n_rcpt; i++)
		m->rcpt[i].held = !sim_once_in(rng, 3);
	return m;
}

static struct change held_of(const struct mail *m, struct change_rcpt *list)
{
	struct change c = {.id = m->id, .rcpt = list};

	for (uint32_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].held)
			list[c.n_rcpt++] = (struct change_rcpt){.index = i,
			    .number = 1,
			    .outcome = OUTCOME_HELD,
			    .reply = SPAN("held by a rule")};
	}
	return c;
}

bool book_held(const struct mail *m, struct buf *out)
{
	struct change_rcpt list[MAIL_RCPTS];
	struct change c = held_of(m, list);

	if (c.n_rcpt > 0)
		change_encode(&c, out);
	return c.n_rcpt > 0;
}

void book_release(struct book *l, struct mail *m)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mail *each = l->mail[i];

		if (m != NULL && each != m)
			continue;
		for (size_t k = 0; k < each->n_rcpt; k++) {
			if (each->rcpt[k].held && each->durable)
				fault_count(FAULT_RELEASED);
			each->rcpt[k].held = each->rcpt[k].held && !each->durable;
		}
	}
}

struct span mail_content(const struct mail *m, uint64_t from, size_t n)
{
	if (from >= m->size)
		return SPAN_NONE;
	if (n > m->size - from)
		n = (size_t)(m->size - from);
	if (m->bytes != NULL)
		return span_of(m->bytes + from, n);
	if (from < m->head_n)
		return span_first(span_of(m->head + from, m->head_n - (size_t)from), n);
	return span_of(pool + m->salt + (from - m->head_n), n);
}

void book_content(const struct mail *m, uint64_t from, struct span data)
{
	while (data.n > 0) {
		struct span want = mail_content(m, from, data.n);

		if (want.n == 0)
			sim_fail("mail %d: %zu octets more than it has", m->index, data.n);
		if (memcmp(want.p, data.p, want.n) != 0)
			sim_fail("mail %d: other content than was accepted, near octet %llu",
			    m->index, (unsigned long long)from);
		from += want.n;
		data = span_skip(data, want.n);
	}
}

/* ---- records ------------------------------------------------------------------------------ */

/* The recipients that the text of a report names. */
static void read_report(struct book *l, struct mail *m)
{
	static const char field[] = "\r\nFinal-Recipient: rfc822;";
	const char *at = (const char *)m->bytes;
	unsigned about, index;

	while ((at = strstr(at, field)) != NULL) {
		at += strlen(field);
		if (sscanf(at, "u%u-%u@", &about, &index) != 2 || about >= l->n ||
		    m->n_ended == MAIL_RCPTS)
			sim_fail("report %d: names a stranger: %.40s", m->index, at);
		if (m->about != NO_REPORT && m->about != (int)about)
			sim_fail("report %d: about two messages", m->index);
		m->about = (int)about;
		m->ended[m->n_ended++] = index;
	}
	if (m->about == NO_REPORT)
		sim_fail("report %d: about nobody", m->index);
}

static void enter_report(struct book *l, const struct msgid *id, const struct envelope *e,
    const struct span body[BROKER_APPEND_SPANS])
{
	struct mail *m = add(l, id);

	m->is_report = true;
	m->state = MAIL_OK;
	m->size = body[0].n + body[1].n;
	m->bytes = gw_calloc(1, m->size + 1);
	memcpy(m->bytes, body[0].p, body[0].n);
	if (body[1].n > 0)
		memcpy(m->bytes + body[0].n, body[1].p, body[1].n);
	if (e->n_rcpt != 1 || e->from.n != 0 || e->head_length > m->size)
		sim_fail("report %d: a strange envelope", m->index);
	m->n_rcpt = 1;
	m->rcpt[0].report = NO_REPORT;
	span_to_cstr(e->rcpt[0].addr, m->rcpt[0].addr, sizeof(m->rcpt[0].addr));
	read_report(l, m);
	if (strcmp(m->rcpt[0].addr, l->mail[m->about]->from) != 0)
		sim_fail("report %d: to %s", m->index, m->rcpt[0].addr);
}

void book_asked(struct book *l, enum broker_record type, bool own, const struct msgid *id,
    struct span meta, const struct span *body)
{
	struct envelope e;

	if (type != BROKER_MESSAGE || !own || book_find(l, id) != NULL)
		return;
	arena_reset(&l->scratch);
	if (envelope_decode(&e, meta, &l->scratch) != 0)
		sim_fail("a report whose envelope cannot be read");
	enter_report(l, id, &e, body);
}

/* RFC 3461 section 4.1 */
static bool wants_report(const struct mail *m, uint32_t index)
{
	uint8_t notify = m->rcpt[index].notify;

	return m->from[0] != '\0' && (notify == 0 || (notify & NOTIFY_FAILURE));
}

bool book_wants_report(const struct mail *m, uint32_t index, enum outcome o)
{
	return (o == OUTCOME_FAILED || o == OUTCOME_EXPIRED) && wants_report(m, index);
}

bool book_has_host(const struct mail *m, uint32_t index)
{
	const char *domain = strchr(m->rcpt[index].addr, '@') + 1;

	return strcmp(domain, "no.test") != 0 && strcmp(domain, "later.test") != 0 &&
	       strcmp(domain, "nowhere.test") != 0;
}

/* The index of a segment keeps the end of a recipient when the report of it has gone its way. */
static bool same_end(
    const struct mail_rcpt *r, enum outcome o, const struct mail *report, bool recovered)
{
	return r->final == o &&
	       (r->report == (report ? report->index : NO_REPORT) || (recovered && !report));
}

static void ended(struct book *l, const struct mail *report, const struct change *c, bool recovered)
{
	struct mail *m = book_find(l, &c->id);

	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct change_rcpt *s = &c->rcpt[i];
		struct mail_rcpt *r;

		if (m == NULL || s->index >= m->n_rcpt)
			sim_fail("a result for nobody");
		r = &m->rcpt[s->index];
		if (s->number > r->number) {
			r->number = s->number;
			r->attempts = s->attempts;
		}
		if (!outcome_final(s->outcome))
			continue;
		if (r->final != OUTCOME_NONE) {
			if (same_end(r, s->outcome, report, recovered))
				continue;
			sim_fail("mail %d recipient %u ends twice: %d and %d", m->index, s->index,
			    r->final, s->outcome);
		}
		if (!report && book_wants_report(m, s->index, s->outcome))
			sim_fail(
			    "mail %d recipient %u failed and nobody is told", m->index, s->index);
		r->final = s->outcome;
		r->report = report ? report->index : NO_REPORT;
	}
}

static void check_report(struct book *l, const struct mail *report, const struct change *c)
{
	if (book_find(l, &c->id) != l->mail[report->about] || c->n_rcpt != report->n_ended)
		sim_fail("report %d: its record ends others than it names", report->index);
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (c->rcpt[i].index != report->ended[i])
			sim_fail("report %d: its record ends others than it names", report->index);
	}
}

/* What a copy says of recipients was in the log before. */
static void check_copy(const struct mail *m, const struct change *c)
{
	for (size_t i = 0; i < c->n_rcpt; i++) {
		const struct change_rcpt *s = &c->rcpt[i];

		if (s->index >= m->n_rcpt)
			sim_fail("mail %d: a copy tells of a stranger", m->index);
		if (outcome_final(s->outcome) && m->rcpt[s->index].final != s->outcome)
			sim_fail("mail %d recipient %u: a copy says %d, the log %d", m->index,
			    s->index, s->outcome, m->rcpt[s->index].final);
	}
}

/* All that has ended must be said by a copy: the records that said so may go. */
static void check_whole(const struct mail *m, const struct change *c)
{
	for (uint32_t k = 0; k < m->n_rcpt; k++) {
		bool told = m->rcpt[k].final == OUTCOME_NONE;

		for (size_t i = 0; i < c->n_rcpt; i++)
			told = told || c->rcpt[i].index == k;
		if (!told)
			sim_fail("mail %d recipient %u: its end is not in the copy", m->index, k);
	}
}

static void durable_copy(struct book *l, struct mail *m, const struct envelope *e, bool recovered)
{
	struct change c;

	if (!m->durable)
		sim_fail("mail %d: a copy of what was not durable", m->index);
	if (change_decode(&c, e->state, &l->scratch) != 0 || !msgid_eq(&c.id, &m->id))
		sim_fail("mail %d: a copy whose state cannot be read", m->index);
	check_copy(m, &c);
	if (!recovered) /* later, more may have ended behind it */
		check_whole(m, &c);
	m->copies++;
	fault_count(FAULT_COPIED);
}

static void durable_message(
    struct book *l, const struct msgid *id, struct span meta, bool recovered)
{
	struct mail *m = book_find(l, id);
	struct envelope e;
	struct change c;

	if (m == NULL)
		sim_fail("a message that was never made");
	if (m->state == MAIL_REFUSED)
		sim_fail("mail %d was refused and is in the log", m->index);
	if (envelope_decode(&e, meta, &l->scratch) != 0)
		sim_fail("mail %d: its envelope cannot be read", m->index);
	if (e.state.n > 0) {
		durable_copy(l, m, &e, recovered);
		return;
	}
	m->durable = true;
	if (e.held.n > 0 && change_decode(&c, e.held, &l->scratch) != 0)
		sim_fail("mail %d: who is held cannot be read", m->index);
	if (e.held.n > 0)
		ended(l, NULL, &c, recovered);
	if (e.held.n > 0 && !recovered)
		fault_count(FAULT_HELD);
	if (!m->is_report)
		return;
	if (e.ends.n == 0 || change_decode(&c, e.ends, &l->scratch) != 0)
		sim_fail("report %d: its record cannot be read", m->index);
	if (recovered && msgid_eq(&c.id, id))
		return; /* its own end: all that is kept of it is the nonce */
	check_report(l, m, &c);
	ended(l, m, &c, recovered);
}

static void noted(struct book *l, const struct change *c)
{
	struct mail *m = book_find(l, &c->id);

	for (size_t i = 0; m != NULL && i < c->n_rcpt; i++)
		m->rcpt[c->rcpt[i].index].noted = true;
}

void book_durable(struct book *l, enum broker_record type, const struct msgid *id, struct span meta,
    bool recovered)
{
	struct change c;

	arena_reset(&l->scratch);
	l->version++;
	if (type == BROKER_MESSAGE) {
		durable_message(l, id, meta, recovered);
	} else if (type != BROKER_PART && type != BROKER_COUNTERS) {
		if (change_decode(&c, meta, &l->scratch) != 0)
			sim_fail("a result that cannot be read");
		if (type == BROKER_PAST_DOT)
			noted(l, &c);
		ended(l, NULL, &c, recovered);
	}
}

/* ---- events ------------------------------------------------------------------------------- */

void book_answered(struct book *l, struct mail *m, bool ok)
{
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
		if (outcome_final(c->rcpt[i].outcome) &&
		    m->rcpt[c->rcpt[i].index].final == OUTCOME_NONE)
			return false;
	}
	return true;
}

/* ---- the whole ---------------------------------------------------------------------------- */

bool book_has_open(const struct mail *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if (m->rcpt[i].final == OUTCOME_NONE)
			return true;
	}
	return false;
}

void book_after_recovery(struct book *l, struct broker *b, int64_t now)
{
	struct buf out;

	buf_init(&out, TEXT);
	for (size_t i = 0; i < l->n; i++) {
		const struct mail *m = l->mail[i];
		bool owed = m->is_report ? m->durable : m->state == MAIL_OK || m->durable;

		buf_clear(&out);
		if (owed && book_has_open(m) && broker_show(b, &m->id, &out, now) != 200) {
			buf_fini(&out);
			sim_fail("mail %d (%s) is lost", m->index,
			    m->is_report ? "a report" : "acknowledged or durable");
		}
	}
	buf_fini(&out);
}

static void check_rcpt(const struct book *l, const struct mail *m, uint32_t index)
{
	const struct mail_rcpt *r = &m->rcpt[index];
	unsigned once = r->final == OUTCOME_DELIVERED;

	if (r->final == OUTCOME_NONE)
		sim_fail("mail %d recipient %u never ended", m->index, index);
	if (r->delivered > once + r->excuses + r->doubts)
		sim_fail("mail %d recipient %u: %u deliveries, %u excuses, end %d", m->index, index,
		    r->delivered, r->excuses, r->final);
	if (r->final == OUTCOME_DELIVERED && r->delivered == 0)
		sim_fail("mail %d recipient %u: said to be delivered and was not", m->index, index);
	if ((r->final == OUTCOME_FAILED || r->final == OUTCOME_EXPIRED) &&
	    wants_report(m, index) != (r->report != NO_REPORT))
		sim_fail("mail %d recipient %u: report %d", m->index, index, r->report);
	if (r->report != NO_REPORT && !l->mail[r->report]->durable)
		sim_fail("mail %d recipient %u: its report is nowhere", m->index, index);
}

void book_final(const struct book *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct mail *m = l->mail[i];

		if (!m->durable && (m->is_report || m->state != MAIL_OK))
			continue;
		for (uint32_t k = 0; k < m->n_rcpt; k++)
			check_rcpt(l, m, k);
	}
}
