/* godwit spool verify: reads everything and names what is wrong. */
#include "cmd/spool.h"

#include "cmd/terminal.h"

#include <stdlib.h>

struct verdict {
	struct spool_tool *tool;
	struct buf text; /* a line for each finding */
	json_t *damaged, *torn, *messages, *indexes;
	uint64_t good, n_damaged, n_torn, n_index, n_message;
};

static void note_item(void *arg, const struct inspect_item *item, const struct ledger_entry *entry)
{
	struct verdict *v = arg;
	bool damaged = item->kind == INSPECT_DAMAGED;

	(void)entry;
	if (item->kind == INSPECT_RECORD) {
		v->good++;
		return;
	}
	v->n_damaged += damaged;
	v->n_torn += !damaged;
	if (v->tool->g->json) {
		json_array_append_new(damaged ? v->damaged : v->torn, spool_describe_json(item));
		return;
	}
	buf_add_str(&v->text, damaged ? "damaged: " : "torn:    ");
	spool_describe(item, &v->text);
	buf_add_byte(&v->text, '\n');
}

/* ---- content in pieces ----------------------------------------------------------------------- */

static void note_message(struct verdict *v, const struct ledger_message *m, const char *what)
{
	char id[MSGID_TEXT + 1];

	v->n_message++;
	msgid_format(&m->id, id);
	if (v->tool->g->json)
		json_array_append_new(
		    v->messages, json_pack("{s:s, s:s}", "id", id, "fault", what));
	else
		buf_addf(&v->text, "message: %s: %s\n", id, what);
}

static int check_part(struct spool_tool *t, const struct part *p)
{
	struct extent e = {p->segment, p->offset, p->length, p->sum};
	struct store_read *sum = NULL;
	uint8_t *mem = malloc((size_t)p->length + 1);
	int err = mem ? 0 : GW_ENOMEM;

	if (err == 0 && inspect_read(t->inspect, &e, 0, mem, p->length) != (int64_t)p->length)
		err = GW_EIO;
	if (err == 0) {
		store_sum_feed(&sum, span_of(mem, p->length));
		err = store_sum_end(&sum) == p->sum ? 0 : GW_ECORRUPT;
	}
	free(mem);
	return err;
}

/* A message that waits needs its parts; while the daemon works they may just be going. */
static void check_messages(struct verdict *v)
{
	const struct ledger *l = &v->tool->ledger;

	for (size_t i = 0; i < l->n && !v->tool->live; i++) {
		const struct ledger_message *m = l->message[i];
		bool bad = false;

		for (size_t k = 0; k < m->n_part && m->n_open > 0 && !bad; k++)
			bad = check_part(v->tool, &m->part[k]) != 0;
		if (bad)
			note_message(v, m, "a part of its content is missing or damaged");
	}
}

/* ---- indexes --------------------------------------------------------------------------------- */

static void note_index(struct verdict *v, uint64_t generation, const char *what)
{
	char name[32];

	v->n_index++;
	snprintf(name, sizeof(name), "idx-%016llx", (unsigned long long)generation);
	if (v->tool->g->json)
		json_array_append_new(
		    v->indexes, json_pack("{s:s, s:s}", "index", name, "fault", what));
	else
		buf_addf(&v->text, "index:   %s: %s; the segment is read instead\n", name, what);
}

static void check_indexes(struct verdict *v)
{
	struct inspect *p = v->tool->inspect;

	for (size_t i = 0; i < inspect_count(p) && !v->tool->live; i++) {
		uint64_t generation = inspect_segment(p, i)->generation;

		switch (inspect_check_index(p, i)) {
		case INDEX_BAD: note_index(v, generation, "damaged"); break;
		case INDEX_OTHER: note_index(v, generation, "not that of its segment"); break;
		default: break;
		}
	}
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static int print_json(struct verdict *v, int code)
{
	const struct spool_tool *t = v->tool;

	return spool_print_json(
	    json_pack("{s:s, s:b, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "spool", t->path, "good",
		code == CMD_OK, "live", t->live, "segments", (json_int_t)inspect_count(t->inspect),
		"records", (json_int_t)v->good, "damaged", v->damaged, "torn", v->torn, "messages",
		v->messages, "indexes", v->indexes),
	    code);
}

static int print_text(struct verdict *v, int code)
{
	const struct spool_tool *t = v->tool;
	char n[3][32];

	if (!t->g->quiet)
		buf_addf(&v->text, "%s: %s good records in %zu segments, %s damaged%s%s%s%s\n",
		    t->path, progress_count((int64_t)v->good, n[0], sizeof(n[0])),
		    inspect_count(t->inspect),
		    progress_count((int64_t)v->n_damaged, n[1], sizeof(n[1])),
		    v->n_torn ? ", " : "",
		    v->n_torn ? progress_count((int64_t)v->n_torn, n[2], sizeof(n[2])) : "",
		    v->n_torn ? " torn (never acknowledged)" : "",
		    t->live ? "; the server is running" : "");
	terminal_print(&v->text);
	return code;
}

int spool_verify(struct spool_tool *t)
{
	struct verdict v = {.tool = t};
	int code = spool_inspect(t);

	if (code != 0)
		return code;
	buf_init(&v.text, 1u << 30);
	v.damaged = json_array();
	v.torn = json_array();
	v.messages = json_array();
	v.indexes = json_array();
	if (spool_scan(t, note_item, &v) != 0) {
		code = spool_error(t, "%s: cannot be read to its end", t->path);
	} else {
		check_messages(&v);
		check_indexes(&v);
		code = v.n_damaged + v.n_message + v.n_index > 0 ? CMD_NO : CMD_OK;
	}
	code = t->g->json ? print_json(&v, code) : print_text(&v, code);
	if (!t->g->json) {
		json_decref(v.damaged);
		json_decref(v.torn);
		json_decref(v.messages);
		json_decref(v.indexes);
	}
	buf_fini(&v.text);
	return code;
}
