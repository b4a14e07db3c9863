/* godwit spool stats: what is in a spool, and how much of it is still needed. */
#include "cmd/spool.h"

#include "base/clock.h"
#include "cmd/terminal.h"

#include <stdlib.h>
#include <time.h>

enum { AGES = 5 };
static const struct {
	const char *name;
	int64_t less; /* microseconds */
} ages[AGES] = {{"minutes", 3600 * USEC_PER_SEC}, {"hours", 86400 * USEC_PER_SEC},
    {"days", 3 * 86400 * USEC_PER_SEC}, {"week", 7 * 86400 * USEC_PER_SEC}, {"older", INT64_MAX}};

struct stats {
	struct spool_tool *tool;
	uint64_t *live; /* octets that are needed, by segment */
	uint64_t octets, used, needed;
	uint64_t messages, recipients, deferred, finished;
	uint64_t by_age[AGES];
	int64_t oldest, newest, now;
	uint64_t damaged;
};

static void note_item(void *arg, const struct inspect_item *item, const struct ledger_entry *entry)
{
	struct stats *s = arg;

	(void)entry;
	s->damaged += item->kind == INSPECT_DAMAGED;
}

static void add_needed(struct stats *s, uint64_t segment, uint64_t octets)
{
	const struct inspect *p = s->tool->inspect;
	size_t low = 0, high = inspect_count(p);

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (inspect_segment(p, mid)->generation < segment)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < inspect_count(p) && inspect_segment(p, low)->generation == segment)
		s->live[low] += octets;
}

static size_t age_of(const struct stats *s, int64_t accepted)
{
	size_t i = 0;

	while (i + 1 < AGES && s->now - accepted >= ages[i].less)
		i++;
	return i;
}

static void add_message(struct stats *s, const struct ledger_message *m)
{
	enum { HEADER = 80 };

	if (m->n_open == 0) {
		s->finished++;
		return;
	}
	s->messages++;
	s->recipients += m->n_open;
	for (size_t i = 0; i < m->n_rcpt; i++)
		s->deferred += m->rcpt[i].outcome == OUTCOME_DEFERRED;
	if (s->oldest == 0 || m->accepted < s->oldest)
		s->oldest = m->accepted;
	if (m->accepted > s->newest)
		s->newest = m->accepted;
	s->by_age[age_of(s, m->accepted)]++;
	add_needed(s, m->meta_at.segment, HEADER + (uint64_t)m->meta_at.length + m->body_at.length);
	for (size_t i = 0; i < m->n_part; i++)
		add_needed(s, m->part[i].segment, HEADER + (uint64_t)m->part[i].length);
}

static void add_up(struct stats *s)
{
	const struct ledger *l = &s->tool->ledger;
	const struct inspect *p = s->tool->inspect;

	s->live = gw_calloc(inspect_count(p) + 1, sizeof(*s->live));
	for (size_t i = 0; i < l->n; i++)
		add_message(s, l->message[i]);
	for (size_t i = 0; i < inspect_count(p); i++) {
		s->octets += inspect_segment(p, i)->size;
		s->used += inspect_segment(p, i)->used;
		s->needed += s->live[i];
	}
}

static const char *state_of(const struct inspect_segment *g)
{
	if (g->headless)
		return g->unknown ? "unreadable" : "damaged header";
	if (g->truncated)
		return "ended by a failure";
	return g->left ? "full" : "last of its life";
}

static uint64_t dead(const struct stats *s, size_t i)
{
	uint64_t used = inspect_segment(s->tool->inspect, i)->used;

	return used > s->live[i] ? used - s->live[i] : 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

static json_t *segment_json(const struct stats *s, size_t i)
{
	const struct inspect_segment *g = inspect_segment(s->tool->inspect, i);
	char name[32];

	snprintf(name, sizeof(name), "seg-%016llx", (unsigned long long)g->generation);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "segment", name, "state",
	    state_of(g), "octets", (json_int_t)g->size, "used", (json_int_t)g->used, "live",
	    (json_int_t)s->live[i], "dead", (json_int_t)dead(s, i), "records",
	    (json_int_t)g->records, "torn", (json_int_t)g->torn);
}

static int print_json(const struct stats *s)
{
	const struct inspect *p = s->tool->inspect;
	json_t *list = json_array(), *age = json_object();

	for (size_t i = 0; i < inspect_count(p); i++)
		json_array_append_new(list, segment_json(s, i));
	for (size_t i = 0; i < AGES; i++)
		json_object_set_new(age, ages[i].name, json_integer((json_int_t)s->by_age[i]));
	return spool_print_json(
	    json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, "
		      "s:o}",
		"spool", s->tool->path, "live", s->tool->live, "messages", (json_int_t)s->messages,
		"recipients", (json_int_t)s->recipients, "deferred", (json_int_t)s->deferred,
		"finished", (json_int_t)s->finished, "oldest", (json_int_t)s->oldest, "newest",
		(json_int_t)s->newest, "damaged", (json_int_t)s->damaged, "ages", age, "octets",
		(json_int_t)s->octets, "used", (json_int_t)s->used, "needed", (json_int_t)s->needed,
		"dead", (json_int_t)(s->used > s->needed ? s->used - s->needed : 0), "spares",
		(json_int_t)inspect_spares(p), "segments", list),
	    CMD_OK);
}

static void put_segment(const struct stats *s, size_t i, struct buf *out)
{
	const struct inspect_segment *g = inspect_segment(s->tool->inspect, i);
	char used[TERMINAL_SHORT], live[TERMINAL_SHORT], gone[TERMINAL_SHORT];

	buf_addf(out, "seg-%016llx  %10s %10s %10s  %8llu  %s\n", (unsigned long long)g->generation,
	    terminal_size((int64_t)g->used, used), terminal_size((int64_t)s->live[i], live),
	    terminal_size((int64_t)dead(s, i), gone), (unsigned long long)g->records, state_of(g));
}

static void put_ages(const struct stats *s, struct buf *out)
{
	char age[TERMINAL_SHORT];

	if (s->messages == 0)
		return;
	buf_addf(out, "oldest %s; ", terminal_age(s->now - s->oldest, age));
	for (size_t i = 0; i < AGES; i++)
		buf_addf(out, "%s%s %llu", i ? ", " : "", ages[i].name,
		    (unsigned long long)s->by_age[i]);
	buf_add_byte(out, '\n');
}

static int print_text(const struct stats *s)
{
	const struct inspect *p = s->tool->inspect;
	char n[4][32], size[2][TERMINAL_SHORT];
	struct buf out;

	buf_init(&out, 64u << 20);
	buf_addf(&out, "%s: %s messages wait for %s recipients (%s deferred); %s finished ones\n",
	    s->tool->path, progress_count((int64_t)s->messages, n[0], sizeof(n[0])),
	    progress_count((int64_t)s->recipients, n[1], sizeof(n[1])),
	    progress_count((int64_t)s->deferred, n[2], sizeof(n[2])),
	    progress_count((int64_t)s->finished, n[3], sizeof(n[3])));
	put_ages(s, &out);
	buf_addf(&out, "%zu segments (%s, %s needed), %u spares\n", inspect_count(p),
	    terminal_size((int64_t)s->octets, size[0]), terminal_size((int64_t)s->needed, size[1]),
	    inspect_spares(p));
	if (inspect_count(p) > 0)
		buf_addf(&out, "%-20s  %10s %10s %10s  %8s\n", "segment", "used", "live", "dead",
		    "records");
	for (size_t i = 0; i < inspect_count(p); i++)
		put_segment(s, i, &out);
	if (s->damaged > 0)
		buf_addf(&out, "%llu places are damaged: godwit spool verify names them\n",
		    (unsigned long long)s->damaged);
	terminal_print(&out);
	buf_fini(&out);
	return CMD_OK;
}

int spool_stats(struct spool_tool *t)
{
	struct stats s = {.tool = t, .now = clock_wall()};
	int code = spool_inspect(t);

	if (code != 0)
		return code;
	if (spool_scan(t, note_item, &s) != 0)
		return spool_error(t, "%s: cannot be read to its end", t->path);
	add_up(&s);
	code = t->g->json ? print_json(&s) : print_text(&s);
	free(s.live);
	return code;
}
