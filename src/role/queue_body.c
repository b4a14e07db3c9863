/* Content that is no longer in memory: read from the log, its checksum judged as it goes. */
#include "role/queue.h"

#include "base/map.h"

#include <stdlib.h>

enum { CHUNK = 64 << 10, META_MAX = 32 << 20 };

/* The checksums of one job: over the record's own body, and over the part being sent. */
struct sums {
	uint64_t job;
	struct store_read *body, *part;
	bool broken;
};

struct body_reader {
	struct store *store;
	struct map sums; /* by job */
	struct buf meta; /* of the record that was read last */
	uint8_t buffer[CHUNK];
};

struct body_reader *body_reader_new(struct store *s)
{
	struct body_reader *r = gw_calloc(1, sizeof(*r));

	r->store = s;
	map_init(&r->sums, (uint64_t)(uintptr_t)r);
	buf_init(&r->meta, META_MAX);
	return r;
}

static struct sums *sums_of(struct body_reader *r, uint64_t job)
{
	struct sums *s = map_get(&r->sums, span_of(&job, sizeof(job)));

	if (s != NULL)
		return s;
	s = gw_calloc(1, sizeof(*s));
	s->job = job;
	map_put(&r->sums, span_of(&s->job, sizeof(s->job)), s);
	return s;
}

void body_forget(struct body_reader *r, uint64_t job)
{
	struct sums *s = map_del(&r->sums, span_of(&job, sizeof(job)));

	if (s == NULL)
		return;
	if (s->body != NULL)
		(void)store_sum_end(&s->body);
	if (s->part != NULL)
		(void)store_sum_end(&s->part);
	free(s);
}

static struct extent extent_of(const struct part *p)
{
	return (struct extent){p->segment, p->offset, p->length, p->sum};
}

/* Content of a job that began in memory cannot be judged from its middle. */
static bool judge(struct sums *s, const struct broker_effect *e, struct span data)
{
	struct store_read **sum = e->is_part ? &s->part : &s->body;

	if (!e->piece_start && *sum == NULL)
		return true;
	store_sum_feed(sum, data);
	return !e->piece_end || store_sum_end(sum) == e->piece.sum;
}

static bool read_piece(struct body_reader *r, const struct broker_effect *e)
{
	struct extent at = extent_of(&e->piece);
	struct sums *s = sums_of(r, e->number);

	if (store_read_at(r->store, &at, e->from_octet, r->buffer, e->octets) != (int64_t)e->octets)
		return false;
	return judge(s, e, span_of(r->buffer, e->octets));
}

bool body_send(struct body_reader *r, struct ipc *to, const struct broker_effect *e)
{
	struct buf head;
	struct span part[2];
	struct span data = e->data;
	bool good = true;

	if (data.p == NULL && e->octets > 0) {
		good = read_piece(r, e);
		data = span_of(r->buffer, good ? e->octets : 0);
	}
	buf_init(&head, 16);
	put_u64(&head, e->number);
	put_u8(&head, !good ? BODY_BROKEN : e->flag ? BODY_LAST : 0);
	part[0] = buf_view(&head);
	part[1] = data;
	ipc_send(to, IPC_BODY, part, 2, -1);
	buf_fini(&head);
	return good;
}

struct span body_head(struct body_reader *r, const struct broker_effect *e)
{
	struct extent at = extent_of(&e->piece);
	size_t n = e->octets < CHUNK ? e->octets : CHUNK;
	int64_t got = store_read_at(r->store, &at, 0, r->buffer, n);

	return got > 0 ? span_of(r->buffer, (size_t)got) : SPAN_NONE;
}

/* ---- for the broker -------------------------------------------------------------------------- */

static const enum record_type record_types[BROKER_RECORDS] = {[BROKER_MESSAGE] = REC_MESSAGE,
    [BROKER_PART] = REC_PART,
    [BROKER_RESULT] = REC_RESULT,
    [BROKER_DEFERRED] = REC_DEFERRED,
    [BROKER_PAST_DOT] = REC_PAST_DOT,
    [BROKER_HELD] = REC_HELD,
    [BROKER_RELEASED] = REC_RELEASED,
    [BROKER_COUNTERS] = REC_LIMIT,
    [BROKER_COUNTED] = REC_COUNTED};

enum record_type queue_stored_type(enum broker_record type)
{
	return record_types[type];
}

enum broker_record queue_record_type(enum record_type type)
{
	int i = 0;

	while (i < BROKER_RECORDS && record_types[i] != type)
		i++;
	return (enum broker_record)i;
}

static int log_record(void *arg, const struct record_place *at, enum broker_record *type,
    struct span *meta, struct part *body)
{
	struct body_reader *r = arg;
	struct store_record found;
	int err = store_read_record(r->store, at->segment, at->offset, &found, &r->meta);

	if (err != 0)
		return err;
	*type = queue_record_type(found.type);
	*meta = found.meta;
	*body = (struct part){
	    found.body_at.segment, found.body_at.offset, found.body_at.length, found.body_at.sum};
	return 0;
}

static int log_content(void *arg, const struct part *piece, uint8_t *to)
{
	struct body_reader *r = arg;
	struct extent at = extent_of(piece);
	struct store_read *sum = NULL;

	if (piece->length > 0 &&
	    store_read_at(r->store, &at, 0, to, piece->length) != (int64_t)piece->length)
		return GW_EIO;
	store_sum_feed(&sum, span_of(to, piece->length));
	return store_sum_end(&sum) == piece->sum ? 0 : GW_ECORRUPT;
}

void body_log(struct body_reader *r, struct broker_log *out)
{
	*out = (struct broker_log){.record = log_record, .content = log_content, .arg = r};
}
