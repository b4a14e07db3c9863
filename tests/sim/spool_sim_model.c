#include "sim/spool_sim_model.h"

#include "mail/envelope.h"
#include "spool/index.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct model m;

void model_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.why, sizeof(m.why), fmt, ap);
	va_end(ap);
	longjmp(m.failed, 1);
}

uint64_t model_below(uint64_t n)
{
	return sim_random(&m.rng) % n;
}

void model_reset(uint64_t seed)
{
	for (int i = 0; i < m.n; i++)
		free(m.item[i].meta);
	m.n = 0;
	m.rng = seed;
	m.now = INT64_C(1700000000000000);
}

static struct msgid id_of(int i)
{
	struct msgid id = {{0}};

	memcpy(id.b, &i, sizeof(i));
	id.b[15] = 1;
	return id;
}

static struct msgid nonce_of(int i)
{
	struct msgid id = id_of(i);

	id.b[15] = 2;
	return id;
}

static int number_of(const struct msgid *id)
{
	int i;

	memcpy(&i, id->b, sizeof(i));
	if (i < 0 || i >= m.n || !(id->b[15] == 1 || id->b[15] == 2))
		model_fail("a record that was never made");
	return i;
}

static void make_content(int i, uint8_t *to, size_t n)
{
	uint64_t x = (uint64_t)i * 1000003 + 2;

	for (size_t at = 0; at < n; at++) {
		if (at % 8 == 0)
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		to[at] = (uint8_t)(x >> (8 * (at % 8)));
	}
}

/* ---- states ---------------------------------------------------------------------------------- */

static bool is_change(const struct item *it)
{
	return it->type == REC_RESULT || it->type == REC_DEFERRED || it->ends_n > 0;
}

static bool finished(const struct item *it, const struct rcpt_state *state)
{
	for (size_t i = 0; i < it->n_rcpt; i++) {
		if (!outcome_final(state[i].outcome))
			return false;
	}
	return true;
}

bool model_alive(const struct item *it)
{
	return it->type == REC_MESSAGE && it->fate == DURABLE && !finished(it, it->truth);
}

static void merge(const struct item *change, struct rcpt_state *state)
{
	for (size_t i = 0; i < change->change.n_rcpt; i++) {
		const struct change_rcpt *c = &change->rcpt[i];
		struct rcpt_state *r = &state[c->index];

		if (change_wins(r->outcome, r->number, c->outcome, c->number))
			*r = (struct rcpt_state){c->outcome, c->number};
	}
}

static void hold(struct item *it)
{
	if (it->held)
		return;
	it->held = true;
	store_hold(m.store, it->meta_at.segment);
}

static void let_go(struct item *it)
{
	if (!it->held)
		return;
	it->held = false;
	store_release(m.store, it->meta_at.segment);
}

static void let_go_message(int message)
{
	let_go(&m.item[message]);
	for (int i = 0; i < m.n; i++) {
		if (m.item[i].type == REC_PART && m.item[i].about == message)
			let_go(&m.item[i]);
	}
}

void model_let_all_go(void)
{
	for (int i = 0; i < m.n; i++) {
		if (m.item[i].held && m.item[i].type == REC_MESSAGE)
			let_go_message(i);
	}
}

/* ---- making records -------------------------------------------------------------------------- */

static int pick(bool (*want)(const struct item *))
{
	int first = m.n ? (int)model_below((uint64_t)m.n) : 0;

	for (int k = 0; k < m.n; k++) {
		int i = (first + k) % m.n;

		if (want(&m.item[i]))
			return i;
	}
	return NOBODY;
}

static bool can_change(const struct item *it)
{
	return model_alive(it) && !it->busy;
}

static bool open_part(const struct item *it)
{
	return it->type == REC_PART && it->open && it->fate == DURABLE;
}

static void keep_meta(struct item *it, struct buf *b)
{
	gw_assert(!buf_failed(b));
	it->meta_n = buf_len(b);
	it->meta = gw_calloc(1, it->meta_n + 1);
	if (it->meta_n > 0)
		memcpy(it->meta, buf_view(b).p, it->meta_n);
	buf_fini(b);
}

/* Some recipients of that message, each with something new or, rarely, old. */
static void make_change(int i, int about, bool failed)
{
	struct item *it = &m.item[i];
	const struct item *of = &m.item[about];

	it->about = about;
	it->change = (struct change){.id = id_of(about), .when = i, .rcpt = it->rcpt};
	for (size_t k = 0; k < of->n_rcpt; k++) {
		struct change_rcpt c = {.index = (uint32_t)k, .attempts = 1};

		if (outcome_final(of->truth[k].outcome) || model_below(3) == 0)
			continue;
		c.number = model_below(12) ? of->truth[k].number + 1 : (uint32_t)model_below(3);
		c.outcome = failed           ? OUTCOME_FAILED
			    : model_below(4) ? OUTCOME_DELIVERED
					     : OUTCOME_DEFERRED;
		c.reply = SPAN("as it is");
		it->rcpt[it->change.n_rcpt++] = c;
	}
	m.item[about].busy = true;
}

static void encode_change(const struct item *it, struct buf *b)
{
	buf_init(b, 4096);
	change_encode(&it->change, b);
}

static void make_plain_change(int i, int about)
{
	struct item *it = &m.item[i];
	struct buf b;

	make_change(i, about, false);
	it->type = REC_DEFERRED;
	for (size_t k = 0; k < it->change.n_rcpt; k++) {
		if (outcome_final(it->rcpt[k].outcome))
			it->type = REC_RESULT;
	}
	encode_change(it, &b);
	keep_meta(it, &b);
}

/* The open transaction becomes this message's parts. */
static size_t take_parts(int i, struct part *part)
{
	size_t n = 0;

	if (model_below(3) != 0)
		return 0;
	for (int k = 0; k < i; k++) {
		struct item *p = &m.item[k];

		if (!open_part(p))
			continue;
		p->about = i;
		p->open = false;
		part[n++] = (struct part){
		    p->body_at.segment, p->body_at.offset, p->body_at.length, p->body_at.sum};
	}
	return n;
}

/* The place of the ends within the encoded envelope. */
static void find_ends(struct item *it, struct span ends)
{
	it->ends_n = ends.n;
	while (it->ends_at + ends.n <= it->meta_n &&
	       memcmp(it->meta + it->ends_at, ends.p, ends.n) != 0)
		it->ends_at++;
}

static void make_message(int i, int about)
{
	static struct part part[MODEL_ITEMS];
	struct item *it = &m.item[i];
	struct rcpt rcpt[MODEL_RCPT];
	struct envelope e = {.id = id_of(i), .nonce = nonce_of(i), .rcpt = rcpt, .part = part};
	struct buf ends, b;

	buf_init(&ends, 4096);
	if (about != NOBODY) {
		make_change(i, about, true);
		change_encode(&it->change, &ends);
	}
	it->type = REC_MESSAGE;
	it->accepted = e.accepted = m.now;
	it->n_rcpt = e.n_rcpt = about == NOBODY ? 1 + (size_t)model_below(MODEL_RCPT) : 1;
	for (size_t k = 0; k < e.n_rcpt; k++)
		rcpt[k] = (struct rcpt){.addr = SPAN("somebody@example.org")};
	e.from = SPAN("me@example.net");
	e.ends = buf_view(&ends);
	e.n_part = about == NOBODY ? take_parts(i, part) : 0;
	buf_init(&b, 1 << 20);
	envelope_encode(&e, &b);
	keep_meta(it, &b);
	if (e.ends.n > 0)
		find_ends(it, e.ends);
	buf_fini(&ends);
}

/* A record of a type that this program does not know, or that nobody asks for. */
static void make_other(int i)
{
	struct item *it = &m.item[i];
	uint8_t text[64];
	size_t n = 1 + (size_t)model_below(sizeof(text));
	struct buf b;

	it->type = model_below(2) ? REC_EVENT : (enum record_type)99;
	make_content(i, text, n);
	buf_init(&b, sizeof(text));
	buf_add(&b, text, n);
	keep_meta(it, &b);
}

static uint32_t body_length(void)
{
	switch (model_below(12)) {
	case 0: return 0;
	case 1: return (uint32_t)model_below(6 * MODEL_BODY);
	case 2:
	case 3:
	case 4: return (uint32_t)model_below(MODEL_BODY);
	default: return (uint32_t)model_below(1200);
	}
}

static void pass_time(void)
{
	m.now += (int64_t)model_below(4000000);
	if (model_below(40) == 0)
		m.now += (int64_t)model_below(1500) * 1000000;
}

static void new_item(int i)
{
	struct item *it = &m.item[i];
	uint64_t dice = model_below(20);
	int about = dice < 8 ? pick(can_change) : NOBODY;

	*it = (struct item){.fate = UNKNOWN, .about = NOBODY};
	pass_time();
	if (about != NOBODY && dice < 6) {
		make_plain_change(i, about);
		return;
	}
	if (dice == 19)
		make_other(i);
	else if (about == NOBODY && dice >= 16)
		it->type = REC_PART;
	else
		make_message(i, about);
	it->body_n = body_length();
	if (it->type == REC_PART)
		it->meta = gw_calloc(1, 1);
}

void model_record(struct store_record *r, struct span pieces[MODEL_PIECES], uint8_t *content)
{
	int i = m.n++;
	struct item *it = &m.item[i];

	new_item(i);
	*r = (struct store_record){.type = it->type, .own = is_change(it), .owner = it};
	r->id = it->type == REC_RESULT || it->type == REC_DEFERRED ? id_of(it->about) : id_of(i);
	make_content(i, content, it->body_n);
	r->meta = span_of(it->meta, it->meta_n);
	r->body = pieces;
	r->n_body = (size_t)model_below(MODEL_PIECES) + (it->body_n > 0);
	struct span rest = span_of(content, it->body_n);
	for (size_t k = 0; k < r->n_body; k++) {
		size_t n = k + 1 == r->n_body ? rest.n : (size_t)model_below(rest.n + 1);

		pieces[k] = span_first(rest, n);
		rest = span_skip(rest, n);
	}
}

/* ---- what became of them --------------------------------------------------------------------- */

static void take_effect(struct item *it)
{
	if (!is_change(it))
		return;
	struct item *of = &m.item[it->about];

	merge(it, of->truth);
	of->busy = false;
	if (finished(of, of->truth))
		let_go_message(it->about);
}

void model_durable(struct item *it, const struct store_record *r)
{
	it->meta_at = r->meta_at;
	it->body_at = r->body_at;
	it->fate = DURABLE;
	it->held = true;
	it->open = it->type == REC_PART;
	take_effect(it);
	if (it->type != REC_MESSAGE && it->type != REC_PART)
		let_go(it);
}

void model_refused(struct item *it)
{
	int i = (int)(it - m.item);

	it->fate = REFUSED;
	if (is_change(it))
		m.item[it->about].busy = false;
	for (int k = 0; it->type == REC_MESSAGE && k < m.n; k++) {
		struct item *p = &m.item[k];

		if (p->type != REC_PART || p->about != i)
			continue;
		let_go(p);
		p->about = NOBODY;
	}
}

void model_abort_parts(uint64_t failed_segment)
{
	for (int i = 0; i < m.n; i++) {
		struct item *it = &m.item[i];

		if (open_part(it) && it->meta_at.segment == failed_segment) {
			it->open = false;
			let_go(it);
		}
	}
}

/* ---- content is what it was ------------------------------------------------------------------ */

static void check_extent(int i, const struct extent *e, const uint8_t *want, size_t n)
{
	static uint8_t have[MODEL_CONTENT + 65536];
	struct store_read *sum = NULL;

	if (e->length != n)
		model_fail("item %d: length %u, not %zu", i, e->length, n);
	int64_t got = store_read_at(m.store, e, 0, have, n);
	if (disk_sim_dead(m.disk))
		return;
	if (got != (int64_t)n)
		model_fail("item %d: cannot be read at %llu+%llu: %lld", i,
		    (unsigned long long)e->segment, (unsigned long long)e->offset, (long long)got);
	if (n > 0 && memcmp(have, want, n) != 0)
		model_fail("item %d: other octets than were stored", i);
	store_sum_feed(&sum, span_of(have, n / 2));
	store_sum_feed(&sum, span_of(have + n / 2, n - n / 2));
	if (store_sum_end(&sum) != e->sum)
		model_fail("item %d: the extent has a wrong checksum", i);
}

static void check_item(int i)
{
	static uint8_t body[MODEL_CONTENT];
	const struct item *it = &m.item[i];

	make_content(i, body, it->body_n);
	check_extent(i, &it->meta_at, it->meta, it->meta_n);
	check_extent(i, &it->body_at, body, it->body_n);
}

void model_check_alive(void)
{
	for (int i = 0; i < m.n && !disk_sim_dead(m.disk); i++) {
		if (m.item[i].held)
			check_item(i);
	}
}

/* ---- recovery -------------------------------------------------------------------------------- */

void model_recovery_begin(void)
{
	for (int i = 0; i < m.n; i++) {
		struct item *it = &m.item[i];

		it->given = it->whole = it->nonce_given = it->held = it->busy = it->open = false;
		memset(it->seen, 0, sizeof(it->seen));
	}
	m.behind_tear = m.came_back = false;
}

static bool same_octets(struct span s, const uint8_t *p, size_t n)
{
	return s.n == n && (n == 0 || memcmp(s.p, p, n) == 0);
}

static bool same_extent(const struct extent *a, const struct extent *b)
{
	return a->segment == b->segment && a->offset == b->offset && a->length == b->length &&
	       a->sum == b->sum;
}

static void give(int i, const struct store_record *r)
{
	struct item *it = &m.item[i];

	if (it->given)
		model_fail("item %d: came back twice", i);
	if (it->fate == REFUSED)
		model_fail("item %d: was refused and came back", i);
	it->given = true;
	if (it->fate == DURABLE &&
	    (!same_extent(&r->body_at, &it->body_at) || !same_extent(&r->meta_at, &it->meta_at)))
		model_fail("item %d: came back at another place", i);
}

static void give_whole(int i, const struct store_record *r)
{
	struct item *it = &m.item[i];

	if (it->type != r->type || !same_octets(r->meta, it->meta, it->meta_n) ||
	    it->body_n != r->body_at.length)
		model_fail("item %d: came back as something else", i);
	give(i, r);
	it->whole = true;
	it->meta_at = r->meta_at;
	it->body_at = r->body_at;
}

/* By the rules of the queue: a change counts for messages that came before it. */
static void apply(const struct item *change, struct item *to)
{
	if (to->given)
		merge(change, to->seen);
}

static void given_change(const struct store_record *r)
{
	struct arena a;
	struct change c;

	arena_init(&a, 1 << 16);
	if (change_decode(&c, r->meta, &a) != 0 || c.when < 0 || c.when >= m.n)
		model_fail("a change that was never made");
	arena_reset(&a);
	int i = (int)c.when;
	struct item *it = &m.item[i];
	if (it->type != REC_MESSAGE) {
		give_whole(i, r);
	} else { /* what is left of a report that is finished */
		if (r->type != REC_RESULT ||
		    !same_octets(r->meta, it->meta + it->ends_at, it->ends_n))
			model_fail("item %d: its end came back as something else", i);
		if (it->fate != DURABLE)
			model_fail("item %d: left out, but not known to be durable", i);
	}
	apply(it, &m.item[it->about]);
}

/* A finished message whose nonce may be asked for. */
static void given_finished(int i, const struct envelope *e, struct arena *a)
{
	struct item *it = &m.item[i];
	struct change c;

	if (change_decode(&c, e->ends, a) != 0 || !msgid_eq(&c.id, &e->id) || c.n_rcpt != 1 ||
	    !outcome_final(c.rcpt[0].outcome))
		model_fail("item %d: came back as something else", i);
	if (it->fate != DURABLE || !finished(it, it->truth))
		model_fail("item %d: came back as finished, but is not", i);
	if (it->given)
		model_fail("item %d: came back twice", i);
	it->given = true;
	memcpy(it->seen, it->truth, sizeof(it->seen));
}

static void given_message(const struct store_record *r)
{
	struct arena a;
	struct envelope e;

	arena_init(&a, 1 << 20);
	if (envelope_decode(&e, r->meta, &a) != 0)
		model_fail("a message that cannot be decoded");
	int i = number_of(&e.id);
	struct item *it = &m.item[i];
	if (same_octets(r->meta, it->meta, it->meta_n)) {
		give_whole(i, r);
		if (it->ends_n > 0)
			apply(it, &m.item[it->about]);
	} else {
		given_finished(i, &e, &a);
	}
	it->nonce_given = number_of(&e.nonce) == i;
	arena_reset(&a);
}

void model_given(const struct store_record *r)
{
	switch (r->type) {
	case REC_MESSAGE: given_message(r); break;
	case REC_RESULT:
	case REC_DEFERRED: given_change(r); break;
	default: give_whole(number_of(&r->id), r); break;
	}
}

/* What the finished recovery says is final. */
static void judge(int i)
{
	struct item *it = &m.item[i];

	if (it->fate != UNKNOWN)
		return;
	it->fate = it->given ? DURABLE : REFUSED;
	if (it->given && is_change(it))
		merge(it, m.item[it->about].truth);
}

static bool segment_exists(const struct item *it)
{
	uint8_t octet;
	struct extent e = it->meta_at;

	return e.length == 0 || store_read_at(m.store, &e, 0, &octet, 1) != GW_ENOENT;
}

static void check_message(int i)
{
	const struct item *it = &m.item[i];

	if (model_alive(it) && !it->whole)
		model_fail("item %d: durable message lost", i);
	if (it->fate == DURABLE && !it->nonce_given && index_recent(it->accepted, m.now) &&
	    segment_exists(it))
		model_fail("item %d: its nonce would not be known", i);
	for (size_t k = 0; it->given && k < it->n_rcpt; k++) {
		if (it->truth[k].outcome != it->seen[k].outcome ||
		    it->truth[k].number != it->seen[k].number)
			model_fail("item %d: recipient %zu came back in another state", i, k);
	}
}

static void check_part(int i)
{
	const struct item *it = &m.item[i];

	if (it->fate == DURABLE && it->about != NOBODY && model_alive(&m.item[it->about]) &&
	    !segment_exists(it))
		model_fail("item %d: part of a durable message lost", i);
}

void model_retired(void)
{
	for (int i = 0; i < m.n; i++) {
		if (m.item[i].fate == DURABLE && !segment_exists(&m.item[i]))
			m.item[i].gone = true;
	}
}

/* Nothing points at it: a finished message, a part of one, a part of a transaction that died. */
static bool needed(const struct item *it)
{
	if (it->type == REC_PART)
		return it->fate == DURABLE && it->about != NOBODY &&
		       model_alive(&m.item[it->about]);
	return model_alive(it);
}

/* In one torn flush: lost in front, found behind. */
static void look_for_tears(void)
{
	uint64_t lost_segment = 0;

	for (int i = 0; i < m.n; i++) {
		const struct item *it = &m.item[i];

		if (it->fate != UNKNOWN)
			continue;
		if (!it->given)
			lost_segment = it->meta_at.segment;
		else if (lost_segment != 0 && lost_segment == it->meta_at.segment)
			m.behind_tear = true;
	}
}

void model_recovery_end(const struct store_damage *d)
{
	if (d->records || d->strangers)
		model_fail("recovery reports damage at %llu+%llu (%llu), strangers %llu",
		    (unsigned long long)d->segment, (unsigned long long)d->offset,
		    (unsigned long long)d->records, (unsigned long long)d->strangers);
	look_for_tears();
	for (int i = 0; i < m.n; i++)
		judge(i);
	for (int i = 0; i < m.n && !disk_sim_dead(m.disk); i++) {
		struct item *it = &m.item[i];

		if (it->type == REC_MESSAGE)
			check_message(i);
		else if (it->type == REC_PART)
			check_part(i);
		m.came_back |= it->gone && it->given;
		if (needed(it) && !disk_sim_dead(m.disk))
			hold(it);
	}
	model_check_alive();
}

static void feed(struct store_read **sum, uint64_t n)
{
	store_sum_feed(sum, span_of(&n, sizeof(n)));
}

static void feed_extent(struct store_read **sum, const struct extent *e)
{
	feed(sum, e->segment);
	feed(sum, e->offset);
	feed(sum, e->length);
	feed(sum, e->sum);
}

uint64_t model_sum(void)
{
	struct store_read *sum = NULL;

	for (int i = 0; i < m.n; i++) {
		const struct item *it = &m.item[i];

		if (!model_alive(it))
			continue;
		feed(&sum, (uint64_t)i);
		feed_extent(&sum, &it->meta_at);
		feed_extent(&sum, &it->body_at);
		for (size_t k = 0; k < it->n_rcpt; k++) {
			feed(&sum, it->seen[k].outcome);
			feed(&sum, it->seen[k].number);
		}
	}
	return store_sum_end(&sum);
}
