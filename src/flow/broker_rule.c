/*
 * Rules on replies, and operators: a group is paused or slowed for a time, a recipient is tried
 * again at another time or not at all. Each names the place of the rule it stands for.
 */
#include "flow/broker-private.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { SAID_MAX = 600 };

/* ---- places ---------------------------------------------------------------------------------- */

static void format_place(const struct place *at, char *to, size_t n)
{
	if (at == NULL || at->file == NULL)
		snprintf(to, n, "operator");
	else
		snprintf(to, n, "%s:%u", at->file, at->line);
}

void rules_init(struct broker *b)
{
	size_t n = 0;
	char text[512];

	for (size_t i = 0; i < b->config->n_shape; i++)
		n += b->config->shape[i].n_on_reply;
	b->rule_place = gw_calloc(n + 1, sizeof(*b->rule_place));
	n = 0;
	for (size_t i = 0; i < b->config->n_shape; i++) {
		const struct shape *s = &b->config->shape[i];

		for (size_t k = 0; k < s->n_on_reply; k++) {
			format_place(&s->on_reply[k].place, text, sizeof(text));
			b->rule_place[n] = gw_calloc(1, strlen(text) + 1);
			memcpy(b->rule_place[n++], text, strlen(text));
		}
	}
}

void rules_fini(struct broker *b)
{
	for (size_t i = 0; b->rule_place[i] != NULL; i++)
		free(b->rule_place[i]);
	free(b->rule_place);
	b->rule_place = NULL;
}

struct span rule_place(const struct broker *b, const struct on_reply *rule)
{
	size_t n = 0;

	for (size_t i = 0; i < b->config->n_shape; i++) {
		const struct shape *s = &b->config->shape[i];

		if (rule >= s->on_reply && rule < s->on_reply + s->n_on_reply)
			return span_str(b->rule_place[n + (size_t)(rule - s->on_reply)]);
		n += s->n_on_reply;
	}
	return SPAN_NONE;
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct rulings *rulings_of(struct group *g)
{
	if (g->rulings == NULL)
		g->rulings = gw_calloc(1, sizeof(*g->rulings));
	return g->rulings;
}

static void log_ruling(
    enum log_event ev, const struct group *g, const struct ruling *r, int64_t now)
{
	struct logline l;
	char place[300], rate[RATE_TEXT];

	format_place(&r->place, place, sizeof(place));
	log_begin(&l, ev);
	log_str(&l, "group", g->shape->name);
	if (r->rate.n > 0)
		log_str(&l, "messages", rate_text(r->rate, rate));
	if (r->until != INT64_MAX)
		log_seconds(&l, "for", r->until - now);
	log_str(&l, "rule", place);
	log_str(&l, "site", g->name);
	log_text(&l, "reply", span_str(r->why));
	log_end(&l);
}

/* Many replies of one kind are one reason: told once. True: it is new. */
static bool rule(struct ruling *r, int64_t until, const char *why, const struct place *place)
{
	static const struct place nobody;
	const struct place *at = place != NULL ? place : &nobody;
	bool same_file = (r->place.file == NULL) == (at->file == NULL) &&
			 (at->file == NULL || strncmp(r->file, at->file, sizeof(r->file) - 1) == 0);
	bool is_new = r->until == 0 || !same_file || r->place.line != at->line;

	if (!is_new && place != NULL && until < r->until)
		return false;
	r->until = until;
	r->place = *at;
	/* It may stand longer than the configuration. */
	if (at->file != NULL) {
		snprintf(r->file, sizeof(r->file), "%s", at->file);
		r->place.file = r->file;
	}
	snprintf(r->why, sizeof(r->why), "%s", why);
	return is_new;
}

void group_pause(struct broker *b, struct group *g, int64_t until, const char *why,
    const struct place *place, int64_t now)
{
	struct ruling *r = &rulings_of(g)->pause;

	if (rule(r, until, why, place))
		log_ruling(EV_SHAPE_PAUSED, g, r, now);
	limit_schedule(b, g);
}

/* What is under way counts, and that which brought the complaint. */
static void start_window(struct group *g, struct rate rate, int64_t now)
{
	struct window *w = &rulings_of(g)->window;
	const struct way *way;

	window_init(w, rate);
	window_take(w);
	window_back(w, true, now, now);
	TAILQ_FOREACH(way, &g->ways, of_group)
	{
		for (size_t i = 0; i < way->n_busy; i++)
			window_take(w);
	}
}

void group_slow(struct broker *b, struct group *g, struct rate rate, int64_t until, const char *why,
    const struct place *place, int64_t now)
{
	struct ruling *r = &rulings_of(g)->slow;
	bool other = r->until == 0 || r->rate.n != rate.n || r->rate.seconds != rate.seconds;

	if (other)
		start_window(g, rate, now);
	r->rate = rate;
	if (rule(r, until, why, place) || other)
		log_ruling(EV_SHAPE_SLOWED, g, r, now);
	limit_schedule(b, g);
}

void group_resume(struct broker *b, struct group *g, int64_t now)
{
	if (g->rulings == NULL)
		return;
	if (g->rulings->pause.until > 0)
		g->rulings->pause.until = now;
	if (g->rulings->slow.until > 0)
		g->rulings->slow.until = now;
	group_soon(b, g);
}

/* ---- replies -----------------------------------------------------------------------------------
 */

static const struct on_reply *match(
    struct broker *b, struct group *g, const char *said, size_t n, int64_t now)
{
	const struct on_reply *r = on_reply_find(g->shape, span_of(said, n));

	if (r != NULL && r->kind == ON_REPLY_PAUSE)
		group_pause(b, g, now + r->time, said, &r->place, now);
	if (r != NULL && r->kind == ON_REPLY_SLOW)
		group_slow(b, g, r->rate, now + r->time, said, &r->place, now);
	return r;
}

const struct on_reply *rule_of(
    struct broker *b, struct group *g, const struct change_rcpt *c, int64_t now)
{
	char said[SAID_MAX];
	int n;

	if (g->shape->n_on_reply == 0)
		return NULL;
	n = snprintf(said, sizeof(said), "%u %u.%u.%u %.*s", c->code, c->esc[0], c->esc[1],
	    c->esc[2], SPAN_ARG(span_first(c->reply, SAID_MAX - 32)));
	return match(b, g, said, (size_t)n, now);
}

void rule_on_greeting(struct broker *b, struct group *g, struct span why, int64_t now)
{
	char said[SAID_MAX];

	if (g->shape->n_on_reply == 0 || why.n == 0)
		return;
	span_to_cstr(span_first(why, SAID_MAX - 1), said, sizeof(said));
	(void)match(b, g, said, strlen(said), now);
}
