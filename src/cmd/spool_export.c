/* godwit spool export: every message that waits, as ID.eml and ID.json. */
#include "cmd/spool.h"

#include "base/clock.h"
#include "cmd/terminal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = MSGID_TEXT + 8, ARENA = 32 << 20 };

struct export
{
	struct spool_tool *tool;
	int dir;
	struct arena arena;
	struct buf text;
	json_t *lost;
	uint64_t saved, n_lost;
	int fatal; /* an errno of the target directory */
};

/* ---- what cannot be saved -------------------------------------------------------------------- */

static void put_people(struct export *x, const struct envelope *e)
{
	buf_add_str(&x->text, " (from <");
	terminal_text(&x->text, e->from, 80);
	buf_add_str(&x->text, "> to <");
	terminal_text(&x->text, e->n_rcpt > 0 ? e->rcpt[0].addr : SPAN_NONE, 80);
	if (e->n_rcpt > 1)
		buf_addf(&x->text, "> and %zu more)", e->n_rcpt - 1);
	else
		buf_add_str(&x->text, ">)");
}

static void lose(
    struct export *x, const struct ledger_message *m, const struct envelope *e, const char *why)
{
	char id[MSGID_TEXT + 1];

	x->n_lost++;
	msgid_format(&m->id, id);
	if (x->tool->g->json) {
		json_array_append_new(
		    x->lost, json_pack("{s:s, s:s, s:o*}", "id", id, "reason", why, "envelope",
				 e ? spool_envelope_json(e) : NULL));
		return;
	}
	buf_addf(&x->text, "not saved: %s: %s", id, why);
	if (e)
		put_people(x, e);
	buf_add_byte(&x->text, '\n');
}

/* A damaged place may have held a message, and what is told of it is all there is. */
static void lose_item(void *arg, const struct inspect_item *item, const struct ledger_entry *entry)
{
	struct export *x = arg;

	if (item->kind == INSPECT_RECORD || entry->message != NULL || item->fault == FAULT_SEGMENT)
		return;
	/* A damaged PART is told with the message that needs it. */
	if (item->known && item->record.type != REC_MESSAGE)
		return;
	x->n_lost += item->kind == INSPECT_DAMAGED;
	if (x->tool->g->json) {
		json_array_append_new(x->lost, spool_describe_json(item));
		return;
	}
	buf_add_str(&x->text, item->kind == INSPECT_DAMAGED ? "not saved: " : "torn:      ");
	spool_describe(item, &x->text);
	buf_add_byte(&x->text, '\n');
}

/* ---- one message ----------------------------------------------------------------------------- */

/* The change that decides over a recipient, for its words. */
static void set_said(struct export *x, json_t *object, const struct ledger_rcpt *r, size_t index)
{
	struct spool_tool *t = x->tool;
	uint8_t *mem = malloc((size_t)r->said.length + 1);
	struct change c = {.n_rcpt = 0};
	char esc[16];

	if (mem == NULL || r->said.length == 0 ||
	    inspect_read(t->inspect, &r->said, 0, mem, r->said.length) != r->said.length ||
	    change_decode(&c, span_of(mem, r->said.length), &x->arena) != 0)
		c.n_rcpt = 0;
	for (size_t i = 0; i < c.n_rcpt; i++) {
		const struct change_rcpt *k = &c.rcpt[i];

		if (k->index != index || k->number != r->number)
			continue;
		snprintf(esc, sizeof(esc), "%u.%u.%u", k->esc[0], k->esc[1], k->esc[2]);
		json_object_set_new(object, "attempts", json_integer(k->attempts));
		json_object_set_new(object, "due", json_integer(k->due));
		json_object_set_new(object, "when", json_integer(c.when));
		json_object_set_new(object, "code", json_integer(k->code));
		json_object_set_new(object, "enhanced", json_string(esc));
		json_object_set_new(object, "host", spool_text_json(k->host));
		json_object_set_new(object, "reply", spool_text_json(k->reply));
	}
	free(mem);
}

static json_t *message_json(struct export *x, const struct ledger_message *m,
    const struct envelope *e, const struct spool_content *content)
{
	json_t *out = spool_envelope_json(e), *list = json_object_get(out, "recipients");
	struct store_read *sum = NULL;
	char hex[17];

	for (size_t i = 0; m->rcpt != NULL && i < m->n_rcpt; i++) {
		json_t *object = json_array_get(list, i);

		json_object_set_new(
		    object, "state", json_string(spool_outcomes[m->rcpt[i].outcome]));
		set_said(x, object, &m->rcpt[i], i);
	}
	store_sum_feed(&sum, span_of(content->mem, content->n));
	snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)store_sum_end(&sum));
	json_object_set_new(
	    out, "content", json_pack("{s:I, s:s}", "octets", (json_int_t)content->n, "xxh3", hex));
	json_object_set_new(out, "finished", json_boolean(m->n_open == 0));
	return out;
}

static bool write_file(struct export *x, const char *name, const void *p, size_t n)
{
	int fd = openat(x->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool good = fd >= 0;

	for (size_t at = 0; good && at < n;) {
		ssize_t wrote = write(fd, (const char *)p + at, n - at);

		if (wrote < 0 && errno == EINTR)
			continue;
		good = wrote > 0;
		at += good ? (size_t)wrote : 0;
	}
	if (!good)
		x->fatal = errno;
	if (fd >= 0 && close(fd) != 0 && good) {
		x->fatal = errno;
		good = false;
	}
	return good;
}

/* The JSON comes last: where it is, the content is. */
static void save(struct export *x, const struct ledger_message *m, const struct envelope *e,
    const struct spool_content *content)
{
	json_t *object = message_json(x, m, e, content);
	char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
	char id[MSGID_TEXT + 1], eml[NAME_SIZE], json[NAME_SIZE];

	msgid_format(&m->id, id);
	snprintf(eml, sizeof(eml), "%s.eml", id);
	snprintf(json, sizeof(json), "%s.json", id);
	if (text == NULL)
		x->fatal = ENOMEM;
	else if (write_file(x, eml, content->mem, content->n) &&
		 write_file(x, json, text, strlen(text)))
		x->saved++;
	free(text);
	json_decref(object);
}

static void export_message(struct export *x, const struct ledger_message *m)
{
	struct spool_tool *t = x->tool;
	uint8_t *meta = malloc((size_t)m->meta_at.length + 1);
	struct spool_content content = {NULL, 0};
	struct envelope e;

	arena_reset(&x->arena);
	if (meta == NULL ||
	    inspect_read(t->inspect, &m->meta_at, 0, meta, m->meta_at.length) !=
		m->meta_at.length ||
	    envelope_decode(&e, span_of(meta, m->meta_at.length), &x->arena) != 0) {
		lose(x, m, NULL, "its envelope cannot be read");
	} else if (m->content_bad) {
		lose(x, m, &e, "its content is damaged");
	} else if (spool_content(t, m, e.head_length, &content) != 0) {
		lose(x, m, &e, "a part of its content is missing or damaged");
	} else {
		save(x, m, &e, &content);
	}
	free(content.mem);
	free(meta);
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool is_empty(int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	int n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (d != NULL)
		closedir(d);
	return d != NULL && n == 0;
}

static int open_target(struct spool_tool *t)
{
	int dir;

	if (mkdir(t->with, 0700) != 0 && errno != EEXIST) {
		spool_error(t, "%s: %s", t->with, strerror(errno));
		return -1;
	}
	dir = open(t->with, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		spool_error(t, "%s: %s", t->with, strerror(errno));
	} else if (!is_empty(dir)) {
		spool_error(t, "%s is not empty: name a new directory", t->with);
		close(dir);
		dir = -1;
	}
	return dir;
}

static void export_all(struct export *x)
{
	const struct ledger *l = &x->tool->ledger;
	enum progress_mode mode = progress_mode_of(x->tool->g->json, x->tool->g->quiet);
	struct progress p;

	progress_begin(&p, "messages saved", (int64_t)l->n, mode, STDERR_FILENO, clock_now());
	for (size_t i = 0; i < l->n && x->fatal == 0; i++) {
		if (l->message[i]->n_open > 0 || x->tool->all)
			export_message(x, l->message[i]);
		progress_update(&p, (int64_t)i, clock_now());
	}
	progress_end(&p, (int64_t)l->n, clock_now());
	if (x->fatal == 0 && syncfs(x->dir) != 0)
		x->fatal = errno;
}

static int report(struct export *x, int code)
{
	struct spool_tool *t = x->tool;
	char n[2][32];

	if (t->g->json)
		return spool_print_json(
		    json_pack("{s:s, s:s, s:I, s:O}", "spool", t->path, "to", t->with, "saved",
			(json_int_t)x->saved, "lost", x->lost),
		    code);
	if (!t->g->quiet)
		buf_addf(&x->text, "%s messages saved in %s, %s could not be\n",
		    progress_count((int64_t)x->saved, n[0], sizeof(n[0])), t->with,
		    progress_count((int64_t)x->n_lost, n[1], sizeof(n[1])));
	terminal_print(&x->text);
	return code;
}

static int export_to(struct export *x)
{
	struct spool_tool *t = x->tool;

	if (spool_scan(t, lose_item, x) != 0)
		return spool_error(t, "%s: cannot be read to its end", t->path);
	export_all(x);
	if (x->fatal != 0) {
		spool_error(t, "%s: %s", t->with, strerror(x->fatal));
		return report(x, CMD_NO);
	}
	return report(x, x->n_lost > 0 ? CMD_NO : CMD_OK);
}

int spool_export(struct spool_tool *t)
{
	struct export x = {.tool = t};
	int code = spool_inspect(t);

	if (code != 0)
		return code;
	x.dir = open_target(t);
	if (x.dir < 0)
		return CMD_NO;
	arena_init(&x.arena, 2 * ARENA);
	buf_init(&x.text, 1u << 30);
	x.lost = json_array();
	code = export_to(&x);
	arena_reset(&x.arena);
	buf_fini(&x.text);
	json_decref(x.lost);
	close(x.dir);
	return code;
}
