/*
 * Who is near a limit, for receivers: so that a client hears at MAIL or RCPT what its COMMIT would
 * be told. Advice only. A row begins when an eighth of a limit or less is left; it is told again
 * when half of that is gone, when nothing is left, and when there is more again; the last word of a
 * row is that there is room. At most TOLD_ROWS_MAX rows: the oldest is taken back.
 */
#include "flow/limits-private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static size_t told_key(const struct limit_rule *rule, const char *subject, char to[TOLD_KEY_MAX])
{
	struct span plan = rule->plan != NULL ? span_str(rule->plan) : SPAN_NONE;
	size_t n = strlen(subject) + 1;

	memset(to, 0, TOLD_SUBJECT);
	to[0] = (char)rule->key;
	to[1] = (char)rule->what;
	to[2] = (char)(rule->seconds > 0 ? 0 : rule->calendar);
	memcpy(to + 3, &rule->seconds, sizeof(rule->seconds));
	memcpy(to + 7, &rule->n, sizeof(rule->n));
	memcpy(to + TOLD_SUBJECT, subject, n);
	plan = span_first(plan, TOLD_KEY_MAX - TOLD_SUBJECT - n - 1);
	if (plan.n > 0)
		memcpy(to + TOLD_SUBJECT + n, plan.p, plan.n);
	to[TOLD_SUBJECT + n + plan.n] = '\0';
	return TOLD_SUBJECT + n + plan.n + 1;
}

static const char *told_subject(const struct told *t)
{
	return t->key + TOLD_SUBJECT;
}

static const char *told_plan(const struct told *t)
{
	return told_subject(t) + strlen(told_subject(t)) + 1;
}

struct broker_limit *broker_limit_new(
    const struct limit_rule *rule, const char *subject, uint64_t used, int64_t opens_in)
{
	struct broker_limit *x = gw_calloc(1, sizeof(*x));

	x->key = rule->key;
	x->what = rule->what;
	x->seconds = rule->seconds;
	x->calendar = rule->seconds > 0 ? LIMIT_HOUR : rule->calendar;
	x->n = rule->n;
	x->used = used;
	x->opens_in = opens_in;
	snprintf(x->subject, sizeof(x->subject), "%s", subject);
	snprintf(x->plan, sizeof(x->plan), "%s", rule->plan != NULL ? rule->plan : "");
	return x;
}

/* receiver: -1: all of them. */
static void tell(struct broker *b, int receiver, const struct told *t,
    const struct limit_state *state, int64_t now)
{
	struct broker_effect *e = effect_add(b, EFFECT_LIMIT);
	struct broker_limit *x = broker_limit_new(
	    &t->rule, told_subject(t), state->used, state->opens > now ? state->opens - now : 0);

	snprintf(x->plan, sizeof(x->plan), "%s", told_plan(t));
	e->peer = receiver < 0 ? 0 : (unsigned)receiver;
	e->flag = receiver < 0;
	e->limit = x;
	effect_own(b, x);
}

static struct limit_state state_of(struct broker *b, const struct told *t, int64_t now)
{
	return limits_state(b->limits->counts, &t->rule, span_str(told_subject(t)), 1, now);
}

static uint64_t left_of(const struct limit_rule *rule, const struct limit_state *state)
{
	return state->used < rule->n ? rule->n - state->used : 0;
}

static void told_free(struct broker *b, struct told *t)
{
	heap_del(&b->limits->told_due, &t->node);
	TAILQ_REMOVE(&b->limits->told_order, t, link);
	map_del(&b->limits->told, span_of(t->key, t->key_length));
	free(t);
}

void told_forget(struct broker *b)
{
	struct told *t;

	while ((t = TAILQ_FIRST(&b->limits->told_order)) != NULL)
		told_free(b, t);
}

void told_again(struct broker *b)
{
	struct told *t;

	TAILQ_FOREACH(t, &b->limits->told_order, link)
	{
		t->left = UINT64_MAX;
		heap_set(&b->limits->told_due, &t->node, b->now);
	}
}

static void take_back(struct broker *b, struct told *t, int64_t now)
{
	const struct limit_state none = {0, now};

	tell(b, -1, t, &none, now);
	told_free(b, t);
}

void told_take_back(struct broker *b, int64_t now)
{
	while (!TAILQ_EMPTY(&b->limits->told_order))
		take_back(b, TAILQ_FIRST(&b->limits->told_order), now);
}

static struct told *told_new(
    struct broker *b, const struct limit_rule *rule, struct span key, int64_t now)
{
	struct broker_limits *l = b->limits;
	struct told *t = gw_calloc(1, sizeof(*t) + key.n);

	if (map_len(&l->told) >= TOLD_ROWS_MAX)
		take_back(b, TAILQ_FIRST(&l->told_order), now);
	t->rule = *rule;
	t->rule.only = t->rule.plan = NULL;
	t->rule.place = (struct place){.file = NULL};
	limits_place(&rule->place, t->place);
	t->left = UINT64_MAX;
	t->key_length = key.n;
	memcpy(t->key, key.p, key.n);
	map_put(&l->told, span_of(t->key, key.n), t);
	TAILQ_INSERT_TAIL(&l->told_order, t, link);
	return t;
}

/* When it may have more left than now, and no sooner than a receiver cares. */
static void look_later(struct broker *b, struct told *t, uint64_t left, int64_t now)
{
	struct limit_state next =
	    limits_state(b->limits->counts, &t->rule, span_str(told_subject(t)), left + 1, now);
	int64_t at = next.opens == INT64_MAX ? now + TOLD_LATER : next.opens;

	heap_set(&b->limits->told_due, &t->node, at > now + TOLD_SOON ? at : now + TOLD_SOON);
}

/* Recipients are counted one by one while a client names them: it is told as soon as it changes. */
static bool is_news(const struct told *t, uint64_t left, bool grown)
{
	if (t->left == UINT64_MAX || (t->rule.what == LIMIT_OF_RECIPIENTS && left != t->left))
		return true;
	return (left == 0 && t->left > 0) || left < t->left / 2 || (grown && left > t->left);
}

static int64_t window_of(const struct limit_rule *rule)
{
	static const int64_t seconds[LIMIT_CALENDARS] = {
	    [LIMIT_HOUR] = 3600, [LIMIT_DAY] = 86400, [LIMIT_MONTH] = 2592000};

	return (rule->seconds > 0 ? rule->seconds : seconds[rule->calendar]) * USEC_PER_SEC;
}

/* Somebody sends as much as he may: that is told once in a window, not for each message. */
static void log_hit(struct told *t, int64_t now)
{
	char text[LIMIT_TEXT];
	struct logline l;

	if (t->hit_at > 0 && now - t->hit_at < window_of(&t->rule))
		return;
	t->hit_at = now;
	log_begin(&l, EV_LIMIT_HIT);
	log_str(&l, "limit", limit_text(&t->rule, text));
	log_str(&l, "subject", told_subject(t));
	if (told_plan(t)[0] != '\0')
		log_str(&l, "plan", told_plan(t));
	log_str(&l, "rule", t->place);
	log_end(&l);
}

/* grown: there is more again. */
static void told_update(struct broker *b, struct told *t, int64_t now, bool grown)
{
	struct limit_state state = state_of(b, t, now);
	uint64_t left = left_of(&t->rule, &state);

	if (!limit_is_near(&t->rule, left)) {
		take_back(b, t, now);
		return;
	}
	if (is_news(t, left, grown)) {
		if (left == 0)
			log_hit(t, now);
		t->left = left;
		tell(b, -1, t, &state, now);
		TAILQ_REMOVE(&b->limits->told_order, t, link);
		TAILQ_INSERT_TAIL(&b->limits->told_order, t, link);
	}
	look_later(b, t, left, now);
}

static void look_at(
    struct broker *b, const struct limit_rule *rule, const char *subject, int64_t now)
{
	struct limit_state state = limits_state(b->limits->counts, rule, span_str(subject), 1, now);
	char room[TOLD_KEY_MAX];
	struct span key = span_of(room, told_key(rule, subject, room));
	struct told *t = map_get(&b->limits->told, key);

	if (t == NULL && limit_is_near(rule, left_of(rule, &state)))
		t = told_new(b, rule, key, now);
	if (t != NULL)
		told_update(b, t, now, false);
}

void told_look(struct broker *b, const struct limit_ask *ask, int64_t now)
{
	char subject[LIMIT_SUBJECT_MAX];
	const struct limit_rule *rule;
	size_t at = 0;

	while ((rule = limit_next(b->config, ask->plan, &at)) != NULL) {
		if (limit_applies(rule, ask) && limit_subject(rule->key, ask, subject))
			look_at(b, rule, subject, now);
	}
}

void told_tick(struct broker *b, int64_t now)
{
	struct heap_node *n;

	while ((n = heap_min(&b->limits->told_due)) != NULL && n->key <= now)
		told_update(b, (struct told *)((char *)n - offsetof(struct told, node)), now, true);
}

void limits_tell(struct broker *b, unsigned receiver)
{
	int64_t now = b->now;
	const struct told *t;

	TAILQ_FOREACH(t, &b->limits->told_order, link)
	{
		struct limit_state state = state_of(b, t, now);

		tell(b, (int)receiver, t, &state, now);
	}
}
