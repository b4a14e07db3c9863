#include "sim/bugs.h"

#include "flow/broker-private.h"
#include "flow/derive-private.h"
#include "flow/limits-private.h"
#include "mail/envelope.h"
#include "spool/index.h"
#include "spool/reader.h"
#include "spool/store-private.h"

#include <stdlib.h>
#include <strings.h>

const struct bug_row bug_rows[BUGS] = {
    [BUG_NONE] = {"none", 0, MUTANT_NONE, "none"},
#define BUG(id, where, lie, sentence) [BUG_##id] = {#id, where, MUTANT_##lie, sentence},
#include "sim/bugs.def"
#undef BUG
};

enum bug sim_bug;

static bool recovering;

enum bug bug_by_name(const char *name)
{
	int b = BUG_NONE + 1;

	while (b < BUGS && strcasecmp(name, bug_rows[b].name) != 0)
		b++;
	return (enum bug)b;
}

/*
 * What stands before functions of the program: ld --wrap sends calls from other files to
 * __wrap_NAME, and __real_NAME is the function itself.
 */
int __real_record_decode(
    struct span in, const struct spool_key *key, uint64_t at, struct record_head *out);
int __wrap_record_decode(
    struct span in, const struct spool_key *key, uint64_t at, struct record_head *out);

int __wrap_record_decode(
    struct span in, const struct spool_key *key, uint64_t at, struct record_head *out)
{
	struct spool_key its_own;
	int err = __real_record_decode(in, key, at, out);

	if (sim_bug != BUG_KEY || err != GW_EFORMAT)
		return err;
	if (record_stray(in, at, &its_own) != 0)
		return err;
	return __real_record_decode(in, &its_own, at, out);
}

int __real_segment_reader_take(struct reader *r, const struct record_head *h, struct span *meta);
int __wrap_segment_reader_take(struct reader *r, const struct record_head *h, struct span *meta);

int __wrap_segment_reader_take(struct reader *r, const struct record_head *h, struct span *meta)
{
	int err = __real_segment_reader_take(r, h, meta);

	/* Only the body is bad when there is a meta. */
	if (sim_bug == BUG_BODY_SUM && err == GW_ECORRUPT && meta->n > 0) {
		r->holes.n--;
		return 0;
	}
	return err;
}

int __real_truncate_decode(struct span meta, struct truncate *out);
int __wrap_truncate_decode(struct span meta, struct truncate *out);

int __wrap_truncate_decode(struct span meta, struct truncate *out)
{
	return sim_bug == BUG_NO_TRUNCATE ? GW_EFORMAT : __real_truncate_decode(meta, out);
}

bool __real_change_wins(
    enum outcome old, uint32_t old_number, enum outcome new_, uint32_t new_number);
bool __wrap_change_wins(
    enum outcome old, uint32_t old_number, enum outcome new_, uint32_t new_number);

bool __wrap_change_wins(
    enum outcome old, uint32_t old_number, enum outcome new_, uint32_t new_number)
{
	if (sim_bug == BUG_OLDER && recovering && !outcome_final(old) && !outcome_final(new_) &&
	    old_number > 0)
		return new_number < old_number;
	return __real_change_wins(old, old_number, new_, new_number);
}

unsigned __real_store_retire(struct store *s);
unsigned __wrap_store_retire(struct store *s);

/* Any segment that nobody holds goes, not the oldest first. */
unsigned __wrap_store_retire(struct store *s)
{
	unsigned n = __real_store_retire(s);

	for (size_t i = 1; sim_bug == BUG_ORDER && i + 1 < s->n_segments; i++) {
		struct segment *seg = s->segments[i];

		if (seg->holds > 0)
			continue;
		memmove(s->segments + 1, s->segments, i * sizeof(seg));
		s->segments[0] = seg;
		n += __real_store_retire(s);
		i = 0;
	}
	return n;
}

bool __real_index_fits(const struct index_head *h, const struct segment *seg);
bool __wrap_index_fits(const struct index_head *h, const struct segment *seg);

bool __wrap_index_fits(const struct index_head *h, const struct segment *seg)
{
	return sim_bug == BUG_INDEX_LIFE || __real_index_fits(h, seg);
}

int __real_broker_recover(struct broker *b, enum broker_record type, struct span meta,
    const struct record_place *at, const struct part *body);
int __wrap_broker_recover(struct broker *b, enum broker_record type, struct span meta,
    const struct record_place *at, const struct part *body);

static void forget_held(struct span meta, struct buf *out)
{
	struct envelope e;
	struct arena a;

	arena_init(&a, 32 << 20);
	buf_init(out, 32 << 20);
	if (envelope_decode(&e, meta, &a) == 0) {
		e.held = SPAN_NONE;
		envelope_encode(&e, out);
	}
	arena_reset(&a);
}

int __wrap_broker_recover(struct broker *b, enum broker_record type, struct span meta,
    const struct record_place *at, const struct part *body)
{
	struct buf without;
	int err;

	buf_init(&without, 0);
	if (sim_bug == BUG_HELD && type == BROKER_MESSAGE) {
		forget_held(meta, &without);
		meta = buf_view(&without);
	}
	if (sim_bug == BUG_STATE && type == BROKER_DEFERRED)
		return 0;
	recovering = true;
	err = __real_broker_recover(b, type, meta, at, body);
	recovering = false;
	buf_fini(&without);
	return err;
}

void __real_storm_recovered(struct broker *b, const struct msgid *id, int64_t when);
void __wrap_storm_recovered(struct broker *b, const struct msgid *id, int64_t when);

void __wrap_storm_recovered(struct broker *b, const struct msgid *id, int64_t when)
{
	if (sim_bug != BUG_UNTOLD)
		__real_storm_recovered(b, id, when);
}

int __real_derive_write(struct broker *b, struct append *a, const struct derived *d);
int __wrap_derive_write(struct broker *b, struct append *a, const struct derived *d);

int __wrap_derive_write(struct broker *b, struct append *a, const struct derived *d)
{
	if (sim_bug != BUG_SUMMARY || a->summed == NULL)
		return __real_derive_write(b, a, d);
	summary_told(b, a);
	derive_cancel(b, &a);
	return 0;
}

void __real_queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body);
void __wrap_queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body);

void __wrap_queued_landed(
    struct broker *b, struct queued *m, const struct record_place *at, const struct part *body)
{
	__real_queued_landed(b, m, at, body);
	if (sim_bug != BUG_PIECES || !m->is_report || m->first == at->segment)
		return;
	segment_release_message(b, m->first, at->segment, m->octets);
	m->first = at->segment;
	segment_hold_message(b, m->first, at->segment, m->octets);
}

void __real_parked_apply(
    struct parked *p, const struct change_rcpt *c, const struct record_place *at);
void __wrap_parked_apply(
    struct parked *p, const struct change_rcpt *c, const struct record_place *at);

void __wrap_parked_apply(
    struct parked *p, const struct change_rcpt *c, const struct record_place *at)
{
	struct change_rcpt forgets = *c;

	forgets.warned = c->warned && sim_bug != BUG_WARNED;
	__real_parked_apply(p, &forgets, at);
}

bool __real_account_holds(struct broker *b, struct task *t, int64_t now);
bool __real_limit_connection(struct group *g);
bool __wrap_limit_connection(struct group *g);

bool __wrap_limit_connection(struct group *g)
{
	return sim_bug == BUG_LIMIT || __real_limit_connection(g);
}

bool __wrap_account_holds(struct broker *b, struct task *t, int64_t now);

void __real_deadline_of_commit(struct envelope *e, int64_t now);
void __wrap_deadline_of_commit(struct envelope *e, int64_t now);

void __wrap_deadline_of_commit(struct envelope *e, int64_t now)
{
	__real_deadline_of_commit(e, now);
	if (sim_bug == BUG_DEADLINE)
		e->handling.by_at += INT64_C(3600) * 1000000;
}

bool __wrap_account_holds(struct broker *b, struct task *t, int64_t now)
{
	return sim_bug != BUG_ACCOUNT && __real_account_holds(b, t, now);
}

void __real_limits_count(struct limits *l, const struct limit_ask *ask, int64_t when, int64_t now);
void __wrap_limits_count(struct limits *l, const struct limit_ask *ask, int64_t when, int64_t now);

void __wrap_limits_count(struct limits *l, const struct limit_ask *ask, int64_t when, int64_t now)
{
	if (sim_bug != BUG_COUNTED)
		__real_limits_count(l, ask, when, now);
}

void __real_limits_recover_message(
    struct broker *b, const struct envelope *e, uint64_t octets, bool held, uint64_t segment);
void __wrap_limits_recover_message(
    struct broker *b, const struct envelope *e, uint64_t octets, bool held, uint64_t segment);

/* As if its stamp were not what makes it one. */
void __wrap_limits_recover_message(
    struct broker *b, const struct envelope *e, uint64_t octets, bool held, uint64_t segment)
{
	struct envelope copy = *e;

	if (sim_bug == BUG_TWICE && e->state.n > 0 && copy.counted > 0)
		copy.counted = b->limits->whole.upto > copy.counted ? b->limits->whole.upto + 1
								    : copy.counted + 1;
	__real_limits_recover_message(b, &copy, octets, held, segment);
}

struct line *__real_line_before(struct broker *b, const struct limit_ask *ask, int64_t before,
    const struct line *but, const struct limit_rule **rule);
struct line *__wrap_line_before(struct broker *b, const struct limit_ask *ask, int64_t before,
    const struct line *but, const struct limit_rule **rule);

struct line *__wrap_line_before(struct broker *b, const struct limit_ask *ask, int64_t before,
    const struct line *but, const struct limit_rule **rule)
{
	return sim_bug == BUG_OVERTAKE ? NULL : __real_line_before(b, ask, before, but, rule);
}

/* ---- an index whose checksum is always right ---------------------------------------------------
 */

struct believer {
	struct disk base;
	struct disk *real;
};

static struct disk *behind(struct disk *d)
{
	return ((struct believer *)d)->real;
}

static int believe_open(struct disk *d, const char *name, bool create)
{
	return behind(d)->ops->open(behind(d), name, create);
}

static void believe_close(struct disk *d, int h)
{
	behind(d)->ops->close(behind(d), h);
}

static int64_t believe_size(struct disk *d, int h)
{
	return behind(d)->ops->size(behind(d), h);
}

static uint64_t actual_sum(struct disk *d, int h, uint64_t octets)
{
	uint8_t *mem = gw_calloc(1, octets + 1);
	int64_t got = d->ops->read(d, h, mem, octets, INDEX_HEAD);
	uint64_t sum = spool_sum(span_of(mem, got > 0 ? (size_t)got : 0));

	free(mem);
	return sum;
}

static int64_t believe_read(struct disk *d, int h, void *to, size_t n, uint64_t at)
{
	int64_t got = behind(d)->ops->read(behind(d), h, to, n, at);
	struct index_head head;

	if (at == 0 && got == INDEX_HEAD && index_head_decode(span_of(to, n), &head) == 0) {
		head.sum = actual_sum(behind(d), h, head.octets);
		index_head_encode(&head, to);
	}
	return got;
}

static const struct disk_ops believe_ops = {
    .open = believe_open, .close = believe_close, .size = believe_size, .read = believe_read};

int __real_index_reader_start(
    struct index_reader *r, struct disk *d, const struct index_head *h, bool nonces);
int __wrap_index_reader_start(
    struct index_reader *r, struct disk *d, const struct index_head *h, bool nonces);

int __wrap_index_reader_start(
    struct index_reader *r, struct disk *d, const struct index_head *h, bool nonces)
{
	struct believer b = {{&believe_ops}, d};
	struct index_head head = *h;
	char name[DISK_NAME_MAX];
	int handle;

	if (sim_bug != BUG_INDEX_SUM)
		return __real_index_reader_start(r, d, h, nonces);
	segment_format(name, SEGMENT_INDEX, h->generation);
	handle = d->ops->open(d, name, false);
	if (handle >= 0) {
		head.sum = actual_sum(d, handle, h->octets);
		d->ops->close(d, handle);
	}
	return __real_index_reader_start(r, &b.base, &head, nonces);
}

int64_t __real_release_of(const struct broker *b, const struct envelope *e);
int64_t __wrap_release_of(const struct broker *b, const struct envelope *e);

int64_t __wrap_release_of(const struct broker *b, const struct envelope *e)
{
	return sim_bug == BUG_SCHEDULED && b->recovering ? 0 : __real_release_of(b, e);
}
