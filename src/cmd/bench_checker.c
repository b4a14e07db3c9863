/*
 * The ledgers of sources and sinks against each other: what was promised and did not come, what
 * came twice.
 */
#include "cmd/bench_check.h"

#include "cmd/bench_message.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { KILLS_MAX = 10000, LINE_BYTES = 16384 };
enum { NONE, ACKED, REFUSED, UNKNOWN, UNSENT };

/* What is known of one number. */
struct number {
	uint8_t fate;
	uint16_t ok;       /* recipients accepted */
	uint16_t distinct; /* recipients reached */
	uint16_t bounced;
};

struct kill {
	int64_t begin, end;
};

struct checker {
	char run[RUN_MAX + 1];
	uint64_t first, messages;
	struct number *numbers;
	bool complete; /* the source ended by itself */
	struct kill *kills;
	size_t n_kills;
	int64_t window;
	struct seen seen;
	struct verdict v;
};

struct checker *checker_new(void)
{
	struct checker *c = gw_calloc(1, sizeof(*c));

	c->window = 1000000;
	return c;
}

void checker_free(struct checker **cp)
{
	struct checker *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	free(c->numbers);
	free(c->kills);
	seen_fini(&c->seen);
	free(c);
}

void checker_window(struct checker *c, int64_t usec)
{
	c->window = usec;
}

/* ---- lines ------------------------------------------------------------------------------- */

static int64_t time_in(const json_t *o, const char *key)
{
	return (int64_t)(json_number_value(json_object_get(o, key)) * 1e6 + 0.5);
}

static uint64_t number_in(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static const char *text_in(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

typedef int line_fn(struct checker *c, const json_t *line);

/* A killed writer leaves its last line torn: one without an end is not judged. */
static int each_line(struct checker *c, const char *path, line_fn *fn)
{
	FILE *f = fopen(path, "r");
	char *line = f ? gw_calloc(1, LINE_BYTES) : NULL;
	int err = f ? 0 : GW_EIO;

	while (err == 0 && fgets(line, LINE_BYTES, f) != NULL) {
		size_t n = strlen(line);
		json_t *o;

		if (n == 0 || line[n - 1] != '\n')
			break;
		o = json_loadb(line, n, 0, NULL);
		if (json_is_object(o))
			err = fn(c, o);
		else
			c->v.bad_lines++;
		json_decref(o);
	}
	if (f != NULL)
		fclose(f);
	free(line);
	return err;
}

static struct number *number_of(struct checker *c, uint64_t n)
{
	if (n < c->first || n - c->first >= c->messages)
		return NULL;
	return &c->numbers[n - c->first];
}

/* ---- the source -------------------------------------------------------------------------- */

static int source_begin(struct checker *c, const json_t *o)
{
	if (c->numbers != NULL)
		return GW_EFORMAT;
	c->first = number_in(o, "first");
	c->messages = number_in(o, "messages");
	if (c->messages == 0 || strlen(text_in(o, "run")) > RUN_MAX)
		return GW_EFORMAT;
	if (c->messages > SEEN_MAX)
		return GW_EFULL;
	snprintf(c->run, sizeof(c->run), "%s", text_in(o, "run"));
	c->numbers = gw_calloc(c->messages, sizeof(*c->numbers));
	return 0;
}

static uint8_t fate_of(const char *name)
{
	static const char *const names[] = {"", "acked", "refused", "unknown", "unsent"};

	for (uint8_t i = ACKED; i <= UNSENT; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return NONE;
}

static int source_line(struct checker *c, const json_t *o)
{
	struct number *num;

	if (json_object_get(o, "ledger") != NULL)
		return strcmp(text_in(o, "ledger"), "source") == 0 ? source_begin(c, o)
								   : GW_EFORMAT;
	if (c->numbers == NULL)
		return GW_EFORMAT;
	if (json_is_true(json_object_get(o, "end"))) {
		c->complete = true;
		return 0;
	}
	num = number_of(c, number_in(o, "n"));
	/* A number has one fate: a second line for it is a fault of the source. */
	if (num == NULL || num->fate != NONE || fate_of(text_in(o, "s")) == NONE) {
		c->v.bad_lines++;
		return 0;
	}
	num->fate = fate_of(text_in(o, "s"));
	num->ok = (uint16_t)number_in(o, "ok");
	return 0;
}

int checker_source(struct checker *c, const char *path)
{
	int err = each_line(c, path, source_line);

	return err == 0 && c->numbers == NULL ? GW_EFORMAT : err;
}

/* ---- kills ------------------------------------------------------------------------------- */

static int kill_line(struct checker *c, const json_t *o)
{
	struct kill *k;

	if (c->n_kills == KILLS_MAX)
		return GW_EFULL;
	if (c->kills == NULL)
		c->kills = gw_calloc(KILLS_MAX, sizeof(*c->kills));
	k = &c->kills[c->n_kills++];
	k->begin = time_in(o, "begin");
	k->end = json_object_get(o, "end") ? time_in(o, "end") : k->begin;
	return 0;
}

int checker_kills(struct checker *c, const char *path)
{
	return each_line(c, path, kill_line);
}

/*
 * The server may have died before it could write down that this delivery was done; what a killed
 * sender had in its socket may also arrive a little later.
 */
static bool is_excused(const struct checker *c, int64_t arrived)
{
	for (size_t i = 0; i < c->n_kills; i++)
		if (c->kills[i].begin <= arrived + c->window &&
		    c->kills[i].end + c->window >= arrived)
			return true;
	return false;
}

/* ---- sinks ------------------------------------------------------------------------------- */

static int delivery(struct checker *c, const json_t *o, struct number *num, uint64_t n)
{
	uint64_t key = seen_key(span_str(c->run), n, span_str(text_in(o, "to")));
	int64_t first;
	int fresh = seen_add(&c->seen, key, time_in(o, "t"), &first);

	if (fresh < 0)
		return fresh;
	if (!json_is_true(json_object_get(o, "ok")))
		c->v.corrupt++;
	if (fresh == 0) {
		if (is_excused(c, first))
			c->v.dup_excused++;
		else
			c->v.dup_unexcused++;
		return 0;
	}
	c->v.delivered++;
	num->distinct++;
	return 0;
}

static int sink_line(struct checker *c, const json_t *o)
{
	uint64_t n = number_in(o, "n");
	struct number *num = number_of(c, n);

	if (json_object_get(o, "ledger") != NULL)
		return strcmp(text_in(o, "ledger"), "sink") == 0 ? 0 : GW_EFORMAT;
	if (num == NULL || strcmp(text_in(o, "run"), c->run) != 0) {
		c->v.stray++;
		return 0;
	}
	if (json_is_true(json_object_get(o, "bounce"))) {
		num->bounced++;
		return 0;
	}
	return delivery(c, o, num, n);
}

int checker_sink(struct checker *c, const char *path)
{
	return each_line(c, path, sink_line);
}

/* ---- judgement --------------------------------------------------------------------------- */

static void judge_acked(struct checker *c, const struct number *num, uint64_t n)
{
	struct verdict *v = &c->v;
	uint64_t known = (uint64_t)num->distinct + num->bounced;

	v->acked++;
	v->bounced += num->bounced;
	/* More recipients than were accepted: some of the refused ones got it. */
	if (num->distinct > num->ok)
		v->refused_seen += num->distinct - num->ok;
	if (known >= num->ok)
		return;
	v->lost += num->ok - known;
	if (v->n_lost_first < GW_ARRAY_LEN(v->lost_first))
		v->lost_first[v->n_lost_first++] = n;
}

static void judge(struct checker *c, const struct number *num, uint64_t n)
{
	struct verdict *v = &c->v;
	uint8_t fate = num->fate;

	/* A source that was killed does not know what it had on its way. */
	if (fate == NONE)
		fate = c->complete ? UNSENT : UNKNOWN;
	switch (fate) {
	case ACKED: judge_acked(c, num, n); break;
	case REFUSED:
		v->refused++;
		v->refused_seen += num->distinct;
		break;
	case UNSENT:
		v->unsent++;
		v->unsent_seen += num->distinct;
		break;
	default:
		v->unknown++;
		v->unknown_seen += num->distinct > 0;
		v->unknown_gone += num->distinct == 0;
		break;
	}
}

struct verdict checker_verdict(struct checker *c)
{
	for (uint64_t i = 0; i < c->messages; i++)
		judge(c, &c->numbers[i], c->first + i);
	return c->v;
}

bool verdict_good(const struct verdict *v, bool kills)
{
	if (v->lost || v->refused_seen || v->unsent_seen || v->corrupt || v->stray || v->bad_lines)
		return false;
	return !kills || v->dup_unexcused == 0;
}
