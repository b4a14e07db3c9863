/* One pass over a spool that no server has: what is in it, as the queue would find it. */
#include "cmd/spool.h"

#include "base/clock.h"
#include "cmd/terminal.h"

#include <stdlib.h>
#include <unistd.h>

/* A MESSAGE of which only the content is bad still tells whose it is. */
static bool add_item(struct ledger *l, const struct inspect_item *item, struct ledger_entry *e)
{
	bool content_bad = item->kind != INSPECT_RECORD;

	*e = (struct ledger_entry){.kind = LEDGER_OTHER};
	if (content_bad &&
	    (item->fault != FAULT_BODY || item->kind == INSPECT_TORN || item->record.meta.n == 0))
		return false;
	ledger_add(l, &item->record, e);
	if (content_bad && e->message &&
	    e->message->meta_at.offset == item->record.meta_at.offset &&
	    e->message->meta_at.segment == item->segment)
		e->message->content_bad = true;
	return true;
}

int spool_scan(struct spool_tool *t, spool_item_fn *fn, void *arg)
{
	enum progress_mode mode = progress_mode_of(t->g->json, t->g->quiet);
	struct inspect_item item;
	struct ledger_entry entry;
	struct progress p;
	int rc;

	progress_begin(&p, "MiB read", (int64_t)(inspect_total(t->inspect) >> 20), mode,
	    STDERR_FILENO, clock_now());
	while ((rc = inspect_next(t->inspect, &item)) > 0) {
		(void)add_item(&t->ledger, &item, &entry);
		if (fn)
			fn(arg, &item, &entry);
		progress_update(&p, (int64_t)(inspect_done(t->inspect) >> 20), clock_now());
	}
	progress_end(&p, (int64_t)(inspect_done(t->inspect) >> 20), clock_now());
	return rc;
}

void spool_describe(const struct inspect_item *item, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	buf_addf(out, "seg-%016llx, offset %llu, %llu octets: %s",
	    (unsigned long long)item->segment, (unsigned long long)item->offset,
	    (unsigned long long)item->octets, inspect_fault_name(item->fault));
	if (!item->known)
		return;
	msgid_format(&item->record.id, id);
	buf_addf(out, " of %s %s", inspect_type_name(item->record.type), id);
}

json_t *spool_describe_json(const struct inspect_item *item)
{
	char id[MSGID_TEXT + 1], segment[32];

	snprintf(segment, sizeof(segment), "seg-%016llx", (unsigned long long)item->segment);
	msgid_format(&item->record.id, id);
	return json_pack("{s:s, s:I, s:I, s:s, s:s?, s:s?}", "segment", segment, "offset",
	    (json_int_t)item->offset, "octets", (json_int_t)item->octets, "fault",
	    inspect_fault_name(item->fault), "type",
	    item->known ? inspect_type_name(item->record.type) : NULL, "id",
	    item->known ? id : NULL);
}

int spool_print_json(json_t *object, int code)
{
	bool good = object != NULL && json_dumpf(object, stdout, JSON_COMPACT) == 0;

	if (good)
		putchar('\n');
	json_decref(object);
	return good && fflush(stdout) == 0 ? code : CMD_NO;
}

/* ---- content --------------------------------------------------------------------------------- */

static int read_piece(
    struct spool_tool *t, const struct extent *e, uint8_t *to, struct store_read **sum)
{
	int64_t got = inspect_read(t->inspect, e, 0, to, e->length);

	if (got != (int64_t)e->length)
		return got == GW_ENOENT ? GW_ENOENT : GW_EIO;
	store_sum_feed(sum, span_of(to, e->length));
	return store_sum_end(sum) == e->sum ? 0 : GW_ECORRUPT;
}

static int read_parts(struct spool_tool *t, const struct ledger_message *m, uint8_t *to)
{
	struct store_read *sum = NULL;
	int err = 0;

	for (size_t i = 0; i < m->n_part && err == 0; i++) {
		const struct part *p = &m->part[i];
		struct extent e = {p->segment, p->offset, p->length, p->sum};

		err = read_piece(t, &e, to, &sum);
		to += p->length;
	}
	return err;
}

/* Head, parts, rest: the parts stand behind the head, which is the front of the record's body. */
int spool_content(struct spool_tool *t, const struct ledger_message *m, uint32_t head_length,
    struct spool_content *out)
{
	struct store_read *sum = NULL;
	size_t parts = 0, body = m->body_at.length;

	for (size_t i = 0; i < m->n_part; i++)
		parts += m->part[i].length;
	*out = (struct spool_content){.n = body + parts};
	if (head_length > body)
		return GW_EFORMAT;
	out->mem = malloc(out->n + 1);
	if (out->mem == NULL)
		return GW_ENOMEM;
	int err = read_piece(t, &m->body_at, out->mem, &sum);
	memmove(out->mem + head_length + parts, out->mem + head_length, body - head_length);
	if (err == 0)
		err = read_parts(t, m, out->mem + head_length);
	if (err == 0)
		return 0;
	free(out->mem);
	out->mem = NULL;
	return err;
}
