/*
 * godwit spool import: puts what export saved into a spool. A message whose id is in the log,
 * waiting or finished, is not put there again; of the others, the recipients that are not finished.
 */
#include "cmd/spool_import.h"

#include "base/clock.h"
#include "cmd/terminal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	ARENA = 64 << 20,
	SEGMENT_DEFAULT = 64 << 20,
	PIECE_MAX = 4 << 20, /* content above this goes in pieces, as the daemon does it */
	HEALS = 20,
};

static void refuse(struct import *x, const char *name, const char *why)
{
	x->n_refused++;
	if (x->tool->g->json)
		json_array_append_new(
		    x->refused, json_pack("{s:s, s:s}", "file", name, "reason", why));
	else
		buf_addf(&x->text, "not imported: %s: %s\n", name, why);
}

/* ---- the spool ------------------------------------------------------------------------------- */

static void random_bytes(void *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t)n)
		die("no random bytes");
}

/* As large as those that are there, if the configuration does not say. */
static int choose_size(struct spool_tool *t, struct store_params *p)
{
	int code = spool_inspect(t);

	if (code != 0)
		return code;
	size_t n = inspect_count(t->inspect);
	p->segment_size = t->segment_size;
	if (p->segment_size == 0 && n > 0)
		p->segment_size = inspect_segment(t->inspect, n - 1)->size;
	if (p->segment_size < (1 << 16) || p->segment_size > UINT32_MAX)
		p->segment_size = SEGMENT_DEFAULT;
	p->segment_size -= p->segment_size % 4096;
	inspect_close(&t->inspect);
	return 0;
}

static void remember(struct import *x, const struct msgid *id)
{
	if (map_get(&x->known, msgid_span(id)) != NULL)
		return;
	struct msgid *copy = gw_calloc(1, sizeof(*copy));

	*copy = *id;
	map_put(&x->known, msgid_span(copy), copy);
}

static void remember_record(struct import *x, const struct store_record *r)
{
	struct envelope e;

	arena_reset(&x->arena);
	if (r->type == REC_MESSAGE && envelope_decode(&e, r->meta, &x->arena) == 0)
		remember(x, &e.id);
}

static int open_store(struct import *x)
{
	struct spool_tool *t = x->tool;
	char why[200] = "";
	struct store_damage damage;
	struct store_record r;
	int rc, code = choose_size(t, &x->params);

	if (code != 0)
		return code;
	x->params.reserve = t->reserve;
	x->params.random = random_bytes;
	x->params.ignore_indexes = true; /* also the finished ones are to be known */
	if (store_open(&x->store, t->disk, &x->params, why, sizeof(why)) != 0)
		return spool_error(t, "%s: %s", t->path, why);
	while ((rc = store_recover(x->store, &r, &damage)) > 0)
		remember_record(x, &r);
	if (rc < 0)
		return spool_error(t, "%s: cannot be read or written", t->path);
	if (damage.records > 0 && !t->g->quiet)
		fprintf(stderr,
		    "godwit spool import: %s has damaged records (godwit spool verify)\n", t->path);
	return 0;
}

/* The status of the first record. The store is never left undecided: what it could not say within
 * seconds, it will not say. */
static int commit(struct import *x, struct store_record *r, size_t n)
{
	enum store_outcome outcome = store_commit(x->store, r, n);

	for (int i = 0; outcome == STORE_UNDECIDED && i < HEALS; i++) {
		usleep(100 * 1000);
		if (store_heal(x->store) == 0)
			outcome = STORE_DONE;
	}
	x->broken = outcome == STORE_UNDECIDED;
	return r[0].status;
}

/* ---- storing one ----------------------------------------------------------------------------- */

static size_t piece_max(const struct import *x)
{
	return x->params.segment_size / 4 < PIECE_MAX ? (size_t)x->params.segment_size / 4
						      : PIECE_MAX;
}

static int store_piece(struct import *x, struct span s, struct part *out)
{
	struct store_record r = {.type = REC_PART, .body = &s, .n_body = 1};
	int err = commit(x, &r, 1);

	*out = (struct part){r.body_at.segment, r.body_at.offset, r.body_at.length, r.body_at.sum};
	return err;
}

/* Content that is too long for one record: what follows the head goes first, in pieces. */
static int store_pieces(struct import *x, struct incoming *in, struct span *body)
{
	struct span rest = span_skip(*body, in->e.head_length);
	size_t most = piece_max(x), n = rest.n / most + 1;
	struct part *part = arena_alloc(&x->arena, n * sizeof(*part));
	int err = part && n <= ENVELOPE_EXTENT_MAX ? 0 : GW_EFULL;

	for (n = 0; err == 0 && rest.n > 0; n++) {
		err = store_piece(x, span_first(rest, most), &part[n]);
		rest = span_skip(rest, most);
	}
	in->e.part = part;
	in->e.n_part = n;
	*body = span_first(*body, in->e.head_length);
	return err;
}

static int store_message(struct import *x, struct incoming *in)
{
	struct span body = span_of(in->content, in->n);
	struct store_record r[2] = {{.type = REC_MESSAGE, .id = in->e.id},
	    {.type = REC_DEFERRED, .id = in->e.id, .own = true}};
	int err = body.n > piece_max(x) ? store_pieces(x, in, &body) : 0;

	if (err != 0)
		return err;
	envelope_encode(&in->e, &in->meta);
	if (buf_failed(&in->meta) || buf_failed(&in->change) || buf_failed(&in->held))
		return GW_EFORMAT;
	r[0].meta = buf_view(&in->meta);
	r[0].body = &body;
	r[0].n_body = 1;
	r[1].meta = buf_view(&in->change);
	/* One without the other: at worst its attempts are forgotten. */
	return commit(x, r, buf_len(&in->change) > 0 ? 2 : 1);
}

static void take(struct import *x, const char *name, struct incoming *in)
{
	if (map_get(&x->known, msgid_span(&in->e.id)) != NULL) {
		x->present++;
		return;
	}
	if (!import_keep_open(x, in)) {
		x->finished++;
		return;
	}
	int err = store_message(x, in);
	if (err != 0) {
		refuse(x, name, gw_strerror(err));
		return;
	}
	x->imported++;
	remember(x, &in->e.id);
}

static void import_one(struct import *x, const char *name)
{
	struct incoming in = {.json = NULL};

	arena_reset(&x->arena);
	buf_init(&in.meta, ARENA);
	buf_init(&in.change, ARENA);
	buf_init(&in.held, ARENA);
	const char *why = import_read_incoming(x, name, &in);
	if (why != NULL)
		refuse(x, name, why);
	else
		take(x, name, &in);
	buf_fini(&in.meta);
	buf_fini(&in.change);
	buf_fini(&in.held);
	json_decref(in.json);
	free(in.content);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void add_name(struct import *x, const char *name)
{
	struct span s = span_str(name);

	if (s.n != MSGID_TEXT + 5 || strcmp(name + MSGID_TEXT, ".json") != 0)
		return;
	if (x->n == x->cap) {
		x->cap = x->cap ? 2 * x->cap : 256;
		x->name = gw_realloc(x->name, x->cap * sizeof(*x->name));
	}
	memcpy(x->name[x->n++], name, s.n + 1);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* In the order of their ids, which is that of time. */
static int list_names(struct import *x)
{
	struct dirent *e;

	x->dir = open(x->tool->with, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int copy = x->dir < 0 ? -1 : openat(x->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (d == NULL) {
		spool_error(x->tool, "%s: %s", x->tool->with, strerror(errno));
		return CMD_NOT_FOUND;
	}
	while ((e = readdir(d)) != NULL)
		add_name(x, e->d_name);
	closedir(d);
	if (x->n > 0)
		qsort(x->name, x->n, sizeof(*x->name), by_name);
	return 0;
}

static void import_all(struct import *x)
{
	enum progress_mode mode = progress_mode_of(x->tool->g->json, x->tool->g->quiet);
	struct progress p;
	size_t i = 0;

	progress_begin(&p, "messages read", (int64_t)x->n, mode, STDERR_FILENO, clock_now());
	for (; i < x->n && !x->broken; i++) {
		import_one(x, x->name[i]);
		progress_update(&p, (int64_t)i, clock_now());
	}
	progress_end(&p, (int64_t)i, clock_now());
}

static int report(struct import *x)
{
	struct spool_tool *t = x->tool;
	int code = x->n_refused > 0 || x->broken ? CMD_NO : CMD_OK;
	char n[4][32];

	if (x->broken)
		spool_error(t,
		    "%s: the disk fails; what was being written when it did may or may not "
		    "be there: import again when it is well",
		    t->path);
	if (t->g->json)
		return spool_print_json(
		    json_pack("{s:s, s:s, s:I, s:I, s:I, s:O}", "spool", t->path, "from", t->with,
			"imported", (json_int_t)x->imported, "present", (json_int_t)x->present,
			"finished", (json_int_t)x->finished, "refused", x->refused),
		    code);
	if (!t->g->quiet)
		buf_addf(&x->text,
		    "%s messages imported into %s; %s were there, %s are finished, %s could not be "
		    "imported\n",
		    progress_count((int64_t)x->imported, n[0], sizeof(n[0])), t->path,
		    progress_count((int64_t)x->present, n[1], sizeof(n[1])),
		    progress_count((int64_t)x->finished, n[2], sizeof(n[2])),
		    progress_count((int64_t)x->n_refused, n[3], sizeof(n[3])));
	terminal_print(&x->text);
	return code;
}

static void import_fini(struct import *x)
{
	size_t at = 0;
	void *id;

	while ((id = map_next(&x->known, &at)) != NULL)
		free(id);
	map_fini(&x->known);
	arena_reset(&x->arena);
	buf_fini(&x->text);
	json_decref(x->refused);
	free(x->name);
	if (x->dir >= 0)
		close(x->dir);
	store_close(&x->store);
}

int spool_import(struct spool_tool *t)
{
	struct import x = {.tool = t, .dir = -1};
	uint64_t seed;

	random_bytes(&seed, sizeof(seed));
	map_init(&x.known, seed);
	arena_init(&x.arena, ARENA);
	buf_init(&x.text, 1u << 30);
	x.refused = json_array();
	int code = list_names(&x);
	if (code == 0)
		code = open_store(&x);
	if (code == 0) {
		import_all(&x);
		code = report(&x);
	}
	import_fini(&x);
	return code;
}
