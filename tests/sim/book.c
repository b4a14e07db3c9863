#include "sim/book.h"

#include "sim/disk_sim.h"
#include "sim/faults.h"
#include "sim/tally.h"
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

/* Members of lists, now and then two of one: reports about them go to its owner. */
static void make_owners(struct mail *m)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		if ((m->index + (int)i / 2) % 4 == 0)
			snprintf(
			    m->rcpt[i].from, sizeof(m->rcpt[i].from), "owner%zu@b.test", i / 4);
	}
}

const char *book_return_path(const struct mail *m, uint32_t index)
{
	const char *own = m->rcpt[index].from;

	return own[0] != '\0' && m->from[0] != '\0' ? own : m->from;
}

static const struct mail_rcpt blank_rcpt = {
    .report = NO_REPORT, .warning = NO_REPORT, .summary = NO_REPORT};

static uint8_t pick_notify(uint64_t *rng)
{
	if (sim_once_in(rng, 20))
		return NOTIFY_NEVER;
	if (sim_once_in(rng, 12))
		return NOTIFY_SUCCESS;
	return sim_once_in(rng, 6) ? (uint8_t)(2 * sim_below(rng, 8)) : 0;
}

/* Some send more than may be reported. */
static void make_sender(struct mail *m, uint64_t *rng)
{
	if (sim_once_in(rng, 6))
		return;
	if (sim_once_in(rng, 3))
		snprintf(m->from, sizeof(m->from), "storm@b.test");
	else
		snprintf(m->from, sizeof(m->from), "s%d@%s", m->index, pick_domain(rng));
}

static void make_rcpts(struct mail *m, uint64_t *rng)
{
	for (size_t i = 0; i < m->n_rcpt; i++) {
		struct mail_rcpt *r = &m->rcpt[i];

		*r = blank_rcpt;
		snprintf(r->addr, sizeof(r->addr), "u%d-%zu@%s", m->index, i, pick_domain(rng));
		r->notify = pick_notify(rng);
	}
	make_owners(m);
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
	make_sender(m, rng);
	m->ret = (enum dsn_ret)sim_below(rng, 3);
	m->priority = (enum priority)(m->index / 2 % PRIORITY_COUNT);
	m->by = m->index % 8 == 3 ? (1 + m->index * 37 % 7200) * INT64_C(1000000) : 0;
	m->at_most_once = sim_once_in(rng, 5);
	if (m->index % 11 == 4)
		m->hold_until = now + (1 + m->index * 7919 % 90) * INT64_C(1000000);
	m->head_n = (size_t)snprintf(m->head, sizeof(m->head),
	    "Received: by sim; %lld\r\nFrom: <%s>\r\nSubject: number %d\r\n\r\n", (long long)now,
	    m->from, m->index);
	m->salt = (size_t)sim_below(rng, POOL - MAIL_BODY_MAX);
	m->size = m->head_n + make_size(l->small, rng);
	for (size_t i = 0; sim_once_in(rng, 8) && i < m->n_rcpt; i++)
		m->rcpt[i].held = !sim_once_in(rng, 3);
	return m;
}

void book_check_release(const struct mail *m, int64_t now)
{
	if (m->hold_until == 0 || m->released)
		return;
	if (now < m->hold_until)
		sim_fail("mail %d: given out %lld s before its time", m->index,
		    (long long)((m->hold_until - now) / 1000000));
	fault_count(FAULT_SCHEDULED);
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
		each->released = each->released || each->durable;
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

/* A word behind a field of a report; returns where it ends. */
static const char *field_word(const char *at, const char *field, char *word, size_t n)
{
	size_t k = 0;

	at = strstr(at, field);
	if (at == NULL)
		return NULL;
	for (at += strlen(field); *at == ' ';)
		at++;
	for (; *at > ' ' && k + 1 < n; at++)
		word[k++] = *at;
	word[k] = '\0';
	return at;
}

static uint32_t index_of(const struct mail *about, const char *addr)
{
	for (uint32_t i = 0; i < about->n_rcpt; i++) {
		if (strcmp(about->rcpt[i].addr, addr) == 0)
			return i;
	}
	sim_fail("a report of mail %d names a stranger: %s", about->index, addr);
}

/* What the text of a report says of whom. What comes back behind it says nothing like that. */
static void read_report(const struct book *l, struct mail *m)
{
	const char *at = (const char *)m->bytes;
	char addr[64];

	while ((at = field_word(at, "\r\nFinal-Recipient: rfc822;", addr, sizeof(addr))) != NULL) {
		if (m->n_ended == MAIL_RCPTS)
			sim_fail("report %d: names too many", m->index);
		m->ended[m->n_ended] = index_of(l->mail[m->about], addr);
		at = field_word(at, "\r\nAction:", m->action[m->n_ended], sizeof(m->action[0]));
		if (at == NULL)
			sim_fail("report %d: does not say what became of %s", m->index, addr);
		m->n_ended++;
	}
	if (m->n_ended == 0)
		sim_fail("report %d: about nobody", m->index);
}

/* Of those that are untold, durably, and that this address hears of. */
static size_t sum_up(const struct book *l, const struct mail *summary)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct mail *m = l->mail[i];

		for (uint32_t k = 0; k < m->n_rcpt; k++) {
			if (!m->rcpt[k].untold || m->rcpt[k].final != OUTCOME_NONE ||
			    strcmp(book_teller(m, k), summary->rcpt[0].addr) != 0)
				continue;
			if (!book_summed(l, m, k))
				m->rcpt[k].summary = summary->index;
			n++;
		}
	}
	return n;
}

static uint64_t pieces_of(const struct envelope *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < e->n_part; i++)
		n += e->part[i].length;
	return n;
}

/* The whole content: pieces are those of the message it is about, behind its header. */
static void take_content(struct book *l, struct mail *m, const struct envelope *e, struct span body)
{
	uint64_t pieces = pieces_of(e), got = 0;
	const struct mail *about = m->about != NO_REPORT ? l->mail[m->about] : NULL;

	if (pieces > 0 && about == NULL)
		sim_fail("report %d: has pieces of nothing", m->index);
	m->size = body.n + pieces;
	m->bytes = gw_calloc(1, m->size + 1);
	memcpy(m->bytes, body.p, e->head_length);
	while (got < pieces) {
		struct span s = mail_content(about, about->head_n + got, (size_t)(pieces - got));

		if (s.n == 0)
			sim_fail("report %d: has more pieces than its message", m->index);
		memcpy(m->bytes + e->head_length + got, s.p, s.n);
		got += s.n;
	}
	memcpy(
	    m->bytes + e->head_length + pieces, body.p + e->head_length, body.n - e->head_length);
}

static void enter_report(struct book *l, const struct msgid *id, const struct envelope *e,
    const struct span body[BROKER_APPEND_SPANS])
{
	struct mail *m = add(l, id), *about = NULL;
	struct change c;

	m->is_report = true;
	m->state = MAIL_OK;
	if (e->n_rcpt != 1 || e->from.n != 0 || e->head_length > body[0].n || body[1].n > 0)
		sim_fail("report %d: a strange envelope", m->index);
	m->n_rcpt = 1;
	m->rcpt[0] = blank_rcpt;
	span_to_cstr(e->rcpt[0].addr, m->rcpt[0].addr, sizeof(m->rcpt[0].addr));
	if (e->ends.n > 0 && change_decode(&c, e->ends, &l->scratch) == 0)
		about = book_find(l, &c.id);
	if (about != NULL)
		m->about = about->index;
	take_content(l, m, e, body[0]);
	if (about == NULL) {
		if (sum_up(l, m) > 0)
			fault_count(FAULT_SUMMARY);
		return;
	}
	read_report(l, m);
	for (size_t i = 0; i < m->n_ended; i++) {
		if (strcmp(m->rcpt[0].addr, book_teller(about, m->ended[i])) != 0)
			sim_fail("report %d: to %s", m->index, m->rcpt[0].addr);
	}
	if (e->n_part > 0)
		fault_count(FAULT_PIECES_SHARED);
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

const char *book_teller(const struct mail *m, uint32_t index)
{
	if (!m->is_report)
		return book_return_path(m, index);
	return strcmp(m->rcpt[index].addr, ADMIN) == 0 ? "" : ADMIN;
}

/* RFC 3461 section 4.1 */
static bool wants_report(const struct mail *m, uint32_t index)
{
	uint8_t notify = m->rcpt[index].notify;

	return book_teller(m, index)[0] != '\0' && (notify == 0 || (notify & NOTIFY_FAILURE));
}

/* Nobody else tells: it is delivered here. */
static bool wants_success(const struct mail *m, uint32_t index)
{
	return m->from[0] != '\0' && (m->rcpt[index].notify & NOTIFY_SUCCESS);
}

static bool is_local(const struct mail *m, uint32_t index)
{
	const char *domain = strchr(m->rcpt[index].addr, '@') + 1;

	return strcmp(domain, "box.test") == 0 || strcmp(domain, "lmtp.test") == 0;
}

bool book_summed(const struct book *l, const struct mail *m, uint32_t index)
{
	const struct mail_rcpt *r = &m->rcpt[index];

	return r->untold && r->summary != NO_REPORT && l->mail[r->summary]->durable;
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

static void warned(const struct mail *m, struct mail_rcpt *r, const struct change_rcpt *c,
    const struct mail *report)
{
	if (!c->warned)
		sim_fail("report %d: a warning that is not noted", report->index);
	if (r->warning != NO_REPORT && r->warning != report->index)
		sim_fail("mail %d recipient %u: warned twice", m->index, c->index);
	if (m->priority == PRIORITY_BULK || (r->notify != 0 && !(r->notify & NOTIFY_DELAY)))
		sim_fail("mail %d recipient %u: warned unasked", m->index, c->index);
	if (r->warning == NO_REPORT)
		fault_count(FAULT_WARNED);
	r->warning = report->index;
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
		if (s->outcome == OUTCOME_UNTOLD) {
			if (!r->untold)
				fault_count(FAULT_UNTOLD);
			r->untold = true;
		}
		if (report != NULL && s->outcome == OUTCOME_DEFERRED)
			warned(m, r, s, report);
		if (!outcome_final(s->outcome))
			continue;
		if (r->final != OUTCOME_NONE) {
			if (same_end(r, s->outcome, report, recovered))
				continue;
			sim_fail("mail %d recipient %u ends twice: %d and %d", m->index, s->index,
			    r->final, s->outcome);
		}
		if (!report && book_wants_report(m, s->index, s->outcome) &&
		    !book_summed(l, m, s->index))
			sim_fail(
			    "mail %d recipient %u failed and nobody is told", m->index, s->index);
		r->final = s->outcome;
		r->report = report ? report->index : NO_REPORT;
	}
}

static bool says(const char *action, enum outcome o)
{
	switch (o) {
	case OUTCOME_FAILED:
	case OUTCOME_EXPIRED: return strcmp(action, "failed") == 0;
	case OUTCOME_DEFERRED: return strcmp(action, "delayed") == 0;
	case OUTCOME_DELIVERED:
		return strcmp(action, "delivered") == 0 || strcmp(action, "relayed") == 0;
	default: return false;
	}
}

static void check_report(struct book *l, const struct mail *report, const struct change *c)
{
	if (book_find(l, &c->id) != l->mail[report->about] || c->n_rcpt != report->n_ended)
		sim_fail("report %d: its record ends others than it names", report->index);
	for (size_t i = 0; i < c->n_rcpt; i++) {
		if (c->rcpt[i].index != report->ended[i])
			sim_fail("report %d: its record ends others than it names", report->index);
		if (!says(report->action[i], c->rcpt[i].outcome))
			sim_fail("report %d: says %s of what became %d", report->index,
			    report->action[i], c->rcpt[i].outcome);
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
	if (!m->is_report || m->about == NO_REPORT)
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
	tally_durable(l, type, id, meta);
	if (type == BROKER_MESSAGE) {
		durable_message(l, id, meta, recovered);
	} else if (type != BROKER_PART && type != BROKER_COUNTERS && type != BROKER_COUNTED) {
		if (change_decode(&c, meta, &l->scratch) != 0)
			sim_fail("a result that cannot be read");
		if (type == BROKER_PAST_DOT)
			noted(l, &c);
		ended(l, NULL, &c, recovered);
	}
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
	    wants_report(m, index) != (r->report != NO_REPORT || book_summed(l, m, index)))
		sim_fail("mail %d recipient %u: report %d", m->index, index, r->report);
	if (r->final == OUTCOME_DELIVERED && r->report != NO_REPORT && !wants_success(m, index))
		sim_fail("mail %d recipient %u: success is told unasked", m->index, index);
	if (r->final == OUTCOME_DELIVERED && r->report == NO_REPORT && wants_success(m, index) &&
	    is_local(m, index))
		sim_fail("mail %d recipient %u: success is not told", m->index, index);
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
