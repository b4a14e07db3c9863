/* The power cut: what becomes of un-flushed writes, sizes and names. */
#include "sim/disk_sim-private.h"

#include "sim/faults.h"

static uint64_t cut_below(uint64_t *rng, uint64_t n)
{
	return n ? sim_random(rng) % n : 0;
}

void keep_range(
    const struct disk_sim *s, uint8_t *durable, const struct pending *p, size_t from, size_t to)
{
	/* The planted bug: this page is never written. */
	if (s->p.mutant == MUTANT_LOSE_FIRST && p->at + from >= 4096 && p->at + from < 8192)
		return;
	memcpy(durable + p->at + from, p->data + from, to - from);
}

/* One write torn: at an octet (what follows is lost), or sector by sector. */
static void keep_torn(
    const struct disk_sim *s, uint8_t *durable, const struct pending *p, uint64_t *rng)
{
	size_t cut = cut_below(rng, 2) ? (size_t)cut_below(rng, p->n + 1) : p->n;
	unsigned chance = (unsigned)cut_below(rng, 5);
	bool dropped = false, reordered = false;

	for (size_t from = 0; from < cut;) {
		size_t to = from + SECTOR - (size_t)((p->at + from) % SECTOR);

		if (to > cut)
			to = cut;
		if (cut_below(rng, 4) < chance) {
			keep_range(s, durable, p, from, to);
			reordered = reordered || dropped;
		} else {
			dropped = true;
		}
		from = to;
	}
	fault_count(reordered ? FAULT_WRITES_REORDERED : FAULT_WRITE_TORN);
}

enum fate { FATE_DROP, FATE_KEEP, FATE_MIXED, FATES };

void cut_writes(const struct disk_sim *s, const struct file *f, uint64_t *rng, uint8_t *durable)
{
	enum fate all = f->n_pending ? (enum fate)cut_below(rng, FATES) : FATE_DROP;
	bool dropped = false;

	for (size_t i = 0; i < f->n_pending; i++) {
		enum fate one = all == FATE_MIXED ? (enum fate)cut_below(rng, FATES) : all;

		if (one == FATE_KEEP) {
			keep_range(s, durable, &f->pending[i], 0, f->pending[i].n);
			fault_count(dropped ? FAULT_WRITES_REORDERED : FAULT_WRITE_KEPT);
		} else if (one == FATE_MIXED) {
			keep_torn(s, durable, &f->pending[i], rng);
		} else {
			dropped = true;
			fault_count(FAULT_WRITE_DROPPED);
		}
	}
}

/* Space that was taken but not flushed: absent, zeros, or what a removed file left there. */
uint64_t cut_size(const struct disk_sim *s, const struct file *f, uint64_t *rng, uint8_t *durable)
{
	bool stale, was_stale = false;

	if (f->durable_size == f->size)
		return f->size;
	stale = cut_below(rng, 3) == 0;
	if (cut_below(rng, 2)) {
		fault_count(FAULT_SIZE_OLD);
		return f->durable_size;
	}
	for (uint64_t i = f->durable_size; stale && i < f->size && i < s->grave_n; i++) {
		if (durable[i] == 0) {
			durable[i] = s->grave[i];
			was_stale = was_stale || durable[i] != 0;
		}
	}
	if (was_stale)
		fault_count(FAULT_SIZE_STALE);
	return f->size;
}

void cut_names(const struct disk_sim *s, uint64_t *rng, struct dir *durable)
{
	bool prefix = cut_below(rng, 2), dropped = false;
	size_t n = prefix ? (size_t)cut_below(rng, s->n_change + 1) : s->n_change;

	for (size_t i = 0; i < n; i++) {
		if (prefix || cut_below(rng, 2)) {
			dir_apply(durable, &s->change[i]);
			fault_count(dropped ? FAULT_NAMES_REORDERED : FAULT_NAME_KEPT);
		} else {
			dropped = true;
		}
	}
	if (dropped || n < s->n_change)
		fault_count(FAULT_NAME_DROPPED);
}
