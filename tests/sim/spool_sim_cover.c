#include "sim/spool_sim_cover.h"

#include "spool/index.h"
#include "spool/reader.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *id, *text;
	bool step;
} rows[] = {
#define STEP(id, text) {#id, text, true},
#define STATE(id, text) {#id, text, false},
#include "sim/spool_sim_cover.def"
#undef STEP
#undef STATE
};

static uint64_t reached[COVER_COUNT], crashed[COVER_COUNT];

static struct {
	struct disk_sim *disk;
	enum cover_phase phase;
	enum cover last_name; /* the step whose change of a name waits for the directory's flush */
	enum cover last_write;
	bool failing; /* a flush of records failed, and none was tried since */
	bool flushed; /* in recovery: the directory was flushed */
} c;

static void step(enum cover what, const struct disk_sim_event *e)
{
	reached[what]++;
	crashed[what] += e->crash;
}

void cover_count(enum cover what)
{
	reached[what]++;
}

static bool starts(const char *name, const char *prefix)
{
	return name && strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool has_magic(struct span s, const char *magic)
{
	return span_starts(s, span_str(magic));
}

/* The last record of that type among the pieces of one write. */
static bool writes_type(const struct disk_sim_event *e, enum record_type type)
{
	for (size_t i = 0; i < e->n_data; i++) {
		struct span s = e->data[i];

		if (s.n >= RECORD_HEADER && s.n < RECORD_HEADER + RECORD_ALIGN &&
		    s.p[s.n - RECORD_HEADER + SPOOL_KEY + 5] == type)
			return true;
	}
	return false;
}

static enum cover step_of_write(const struct disk_sim_event *e)
{
	if (e->n_data == 1 && e->at == 0 && has_magic(e->data[0], "GODWITSG"))
		return COVER_T3;
	if (e->n_data == 1 && e->at == 0 && has_magic(e->data[0], "GODWITIX"))
		return COVER_I2;
	if (starts(e->name, "new-"))
		return COVER_T2;
	if (writes_type(e, REC_TRUNCATE))
		return COVER_F2;
	return writes_type(e, REC_SEAL) ? COVER_C2 : COVER_C1;
}

static enum cover step_of_rename(const struct disk_sim_event *e)
{
	if (starts(e->to, "idx-"))
		return COVER_I3;
	if (starts(e->to, "seg-"))
		return COVER_T4;
	return starts(e->name, "seg-") ? COVER_R2 : COVER_T2;
}

static enum cover step_of_remove(const struct disk_sim_event *e)
{
	if (starts(e->name, "idx-"))
		return COVER_R1;
	return starts(e->name, "seg-") ? COVER_R2 : COVER_COUNT;
}

static enum cover step_of_directory(void)
{
	switch (c.last_name) {
	case COVER_T4: return COVER_T5;
	case COVER_I3: return COVER_I4;
	case COVER_R2: return COVER_R3;
	default: return COVER_COUNT;
	}
}

static enum cover running_step(const struct disk_sim_event *e)
{
	enum cover what = COVER_COUNT;

	switch (e->op) {
	case SIM_OPEN: return e->create ? COVER_T1 : COVER_COUNT;
	case SIM_ALLOCATE:
		return e->at % SPOOL_PAGE == 0 && e->at >= SEGMENT_MIN ? COVER_T1 : COVER_I1;
	case SIM_WRITE: return c.last_write = step_of_write(e);
	case SIM_SYNC: return c.last_write;
	case SIM_RENAME: return c.last_name = step_of_rename(e);
	case SIM_REMOVE:
		what = step_of_remove(e);
		if (what == COVER_R2)
			c.last_name = what;
		return what;
	case SIM_SYNC_DIR: return step_of_directory();
	default: return what;
	}
}

static enum cover starting_step(const struct disk_sim_event *e)
{
	switch (e->op) {
	case SIM_REMOVE: return COVER_V1;
	case SIM_WRITE:
	case SIM_SYNC: return COVER_V3;
	case SIM_SYNC_DIR: c.flushed = true; return COVER_V4;
	case SIM_READ: return c.flushed ? COVER_V5 : COVER_V2;
	default: return COVER_COUNT;
	}
}

static void watch(void *arg, const struct disk_sim_event *e)
{
	(void)arg;
	if (e->failed) {
		c.failing |= c.phase == PHASE_RUN && starts(e->name, "seg-");
		return;
	}
	enum cover what = c.phase == PHASE_RUN ? running_step(e) : starting_step(e);

	if (what == COVER_COUNT)
		return;
	step(what, e);
	if (c.failing && (what == COVER_T3 || what == COVER_T4 || what == COVER_T5))
		step(COVER_F1, e);
	if (what == COVER_C1 || what == COVER_C2)
		c.failing = false;
}

void cover_start(struct disk_sim *s)
{
	memset(&c, 0, sizeof(c));
	c.disk = s;
	c.last_name = c.last_write = COVER_COUNT;
	disk_sim_watch(s, watch, NULL);
}

void cover_phase(enum cover_phase p)
{
	if (p == PHASE_OPEN) {
		c.flushed = false;
		c.last_name = c.last_write = COVER_COUNT;
	}
	c.phase = p;
}

/* ---- states of the files --------------------------------------------------------------------- */

struct found {
	struct segment seg;
	bool any, sealed, torn, good_index, bad_index;
	struct truncate truncate; /* of its first record */
};

struct files {
	struct found *v;
	size_t n;
};

static struct found *find_generation(const struct files *f, uint64_t generation)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].seg.generation == generation)
			return &f->v[i];
	}
	return NULL;
}

static void walk(struct disk *d, struct found *f)
{
	struct reader r;
	struct record_head h;
	struct span meta;

	segment_reader_init(&r, d);
	segment_reader_start(&r, &f->seg);
	while (segment_reader_next(&r, &h) > 0) {
		if (h.type == REC_SEAL)
			f->sealed = true;
		if (segment_reader_take(&r, &h, &meta) == 0 && h.type == REC_TRUNCATE && !f->any)
			(void)!truncate_decode(meta, &f->truncate);
		f->any = true;
	}
	f->torn = segment_reader_settle(&r) > 0;
	segment_reader_fini(&r);
}

static void look_at_index(struct disk *d, struct found *f)
{
	struct index_head h;
	struct index_reader r;
	int err = index_read_head(d, f->seg.generation, &h);

	if (err == GW_ENOENT)
		return;
	index_reader_init(&r);
	f->good_index =
	    err == 0 && index_fits(&h, &f->seg) && index_reader_start(&r, d, &h, true) == 0;
	f->bad_index = !f->good_index;
	index_reader_fini(&r);
}

static void add_segment(struct files *files, const char *name)
{
	struct disk *d = disk_sim_disk(c.disk);
	struct segment_head h;
	struct found *f = &files->v[files->n];

	if (segment_decode(span_first(disk_sim_peek(c.disk, name), SPOOL_PAGE), &h) != 0)
		return;
	files->n++;
	*f = (struct found){.seg = {.generation = h.generation, .previous = h.previous}};
	f->seg.size = f->seg.end = h.size;
	f->seg.key = h.key;
	f->seg.handle = d->ops->open(d, name, false);
	walk(d, f);
	look_at_index(d, f);
	d->ops->close(d, f->seg.handle);
}

static void count_segment(const struct files *files, const struct found *f)
{
	bool left = f->sealed, truncated = false;

	for (size_t i = 0; i < files->n; i++) {
		const struct found *o = &files->v[i];

		truncated |= o->truncate.segment == f->seg.generation;
		left |= o->any && o->truncate.segment == 0 && o->seg.previous == f->seg.generation;
	}
	if (!f->any)
		cover_count(COVER_S6);
	if (f->truncate.segment != 0)
		cover_count(COVER_S7);
	if (f->bad_index)
		cover_count(COVER_S18);
	if (truncated) {
		cover_count(COVER_S12);
	} else if (left) {
		cover_count(f->good_index ? COVER_S9 : COVER_S8);
	} else if (f->any) {
		cover_count(f->good_index ? COVER_S11 : COVER_S10);
		if (f->torn)
			cover_count(COVER_S13);
	}
}

static void count_other(const struct files *files, const char *name)
{
	struct span content = disk_sim_peek(c.disk, name);
	enum segment_name kind;
	struct segment_head h;
	uint64_t number;

	if (segment_parse(name, &kind, &number) != 0)
		return;
	if (kind == SEGMENT_NEW)
		cover_count(has_magic(content, "GODWITSG")   ? COVER_S2
			    : has_magic(content, "GODWITIX") ? COVER_S3
							     : COVER_S1);
	if (kind == SEGMENT_INDEX && !find_generation(files, number))
		cover_count(COVER_S17);
	if (kind != SEGMENT_SPARE)
		return;
	bool to_come = segment_decode(span_first(content, SPOOL_PAGE), &h) == 0;
	for (size_t i = 0; i < files->n; i++)
		to_come = to_come && files->v[i].seg.generation < h.generation;
	cover_count(to_come ? COVER_S5 : COVER_S4);
}

void cover_files(void)
{
	struct files files = {.n = 0};
	char name[DISK_NAME_MAX];
	size_t n = 0;

	while (disk_sim_name(c.disk, n, name))
		n++;
	files.v = gw_calloc(n + 1, sizeof(*files.v));
	for (size_t i = 0; i < n && disk_sim_name(c.disk, i, name); i++) {
		if (starts(name, "seg-"))
			add_segment(&files, name);
	}
	for (size_t i = 0; i < files.n; i++)
		count_segment(&files, &files.v[i]);
	for (size_t i = 0; i < n && disk_sim_name(c.disk, i, name); i++)
		count_other(&files, name);
	if (c.failing)
		cover_count(COVER_S15);
	c.failing = false;
	free(files.v);
}

unsigned cover_print(bool markdown)
{
	unsigned never = 0;

	if (markdown)
		printf("| | step or state | reached | crashed in |\n|---|---|---|---|\n");
	for (size_t i = 0; i < COVER_COUNT; i++) {
		bool missing = reached[i] == 0 || (rows[i].step && crashed[i] == 0);
		char crashes[24] = "";

		if (rows[i].step)
			snprintf(crashes, sizeof(crashes), "%llu", (unsigned long long)crashed[i]);
		never += missing;
		printf(markdown ? "| %s | %s | %llu | %s |\n" : "%-4s %-52s %10llu %8s", rows[i].id,
		    rows[i].text, (unsigned long long)reached[i], crashes);
		if (!markdown)
			printf("%s\n", missing ? "  never" : "");
	}
	return never;
}
