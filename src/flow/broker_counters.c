/* The counts of the days: made as the broker decides, and stored in the log now and then. */
#include "flow/ask-private.h"

#include "base/metric.h"

#include <stdio.h>
#include <stdlib.h>

static void wanted(struct broker *b, int64_t now)
{
	if (b->counters_every > 0 && b->counters_due == INT64_MAX)
		b->counters_due = now + b->counters_every;
}

void counted(struct broker *b, enum counter what, uint64_t n, int64_t now)
{
	static const enum metric metrics[COUNTERS] = {[COUNTER_DELIVERED] = METRIC_COUNT,
	    [COUNTER_MAYBE] = METRIC_MAYBE,
	    [COUNTER_GIVEN_UP] = METRIC_MAYBE_GIVEN_UP,
	    [COUNTER_SENT_AGAIN] = METRIC_MAYBE_AGAIN,
	    [COUNTER_LOST] = METRIC_MAYBE_LOST};

	if (n == 0)
		return;
	counters_add(&b->counters, now, what, n);
	b->counters_ahead = true;
	if (b->recovering)
		return;
	if (metrics[what] != METRIC_COUNT)
		metric_add(metrics[what], (int64_t)n);
	wanted(b, now);
}

void counted_change(
    struct broker *b, const struct change_rcpt *before, const struct change_rcpt *c, int64_t when)
{
	enum counter what = counters_of(c);

	if (what != COUNTERS)
		counted(b, what, 1, when);
	/* It was sent before without an answer, and now again. */
	if (before->outcome == OUTCOME_DEFERRED && change_unsure(before) &&
	    (c->outcome == OUTCOME_DELIVERED || change_unsure(c)))
		counted(b, COUNTER_SENT_AGAIN, 1, when);
}

/* ---- in the log ------------------------------------------------------------------------- */

static struct append *record_new(struct broker *b)
{
	static const struct msgid nobody;
	struct append *a = append_new(b, APPEND_COUNTERS, BROKER_COUNTERS, &nobody);

	b->counters_due = INT64_MAX;
	b->counters_ahead = false;
	counters_encode(&b->counters, &a->meta);
	orders_encode(&b->orders, &a->meta);
	return a;
}

void counters_tick(struct broker *b, int64_t now)
{
	if (now < b->counters_due)
		return;
	append_send(b, record_new(b), false);
}

bool counters_order(struct broker *b, unsigned asker, uint64_t request, const char *text)
{
	struct append *a;

	if (b->counters_every == 0)
		return false;
	a = record_new(b);
	a->answer = gw_calloc(1, sizeof(*a->answer));
	a->answer->asker = asker;
	a->answer->request = request;
	snprintf(a->answer->text, sizeof(a->answer->text), "%s", text);
	append_send(b, a, true);
	return true;
}

/* The order holds now in any case; whether it outlives us is what is told. */
static void tell_operator(struct broker *b, struct append *a, int status)
{
	static const char not_stored[] =
	    "{\"type\":\"urn:godwit:problem:queue\",\"title\":\"Not stored\",\"status\":507,"
	    "\"detail\":\"this holds until the queue starts again: it could not be written\"}";
	struct broker_effect *e;

	if (a->answer == NULL)
		return;
	e = effect_add(b, EFFECT_ANSWER);
	e->peer = a->answer->asker;
	e->number = a->answer->request;
	e->status = status == 0 ? 200 : 507;
	e->data = status == 0 ? span_str(a->answer->text) : span_str(not_stored);
	effect_own(b, a->answer);
	a->answer = NULL;
}

static void stored_in(struct broker *b, uint64_t segment)
{
	if (segment == b->counters_segment)
		return;
	segment_hold(b, segment, 0);
	if (b->counters_segment != 0)
		segment_release(b, b->counters_segment, 0);
	b->counters_segment = segment;
}

/* The newest record stays; what could not be written is written with the next. */
void counters_appended(
    struct broker *b, struct append *a, int status, const struct record_place *at, int64_t now)
{
	tell_operator(b, a, status);
	if (status == 0)
		stored_in(b, at->segment);
	else
		wanted(b, now);
	append_free(b, &a);
}

/*
 * The record follows the log into a new segment, so that it keeps no old one from being used
 * again, and is there before what finished messages left in the old one is forgotten (the index).
 * A change that has to be written again comes behind a record that counts it already: another
 * record behind it puts that right.
 */
void counters_seen(struct broker *b, int status, const struct record_place *at, int64_t now)
{
	if (status != 0)
		wanted(b, now);
	else if (b->counters_segment != 0 && at->segment > b->counters_segment &&
		 b->counters_every > 0 && b->counters_due > now)
		b->counters_due = now;
}

int counters_recover(struct broker *b, struct span meta, const struct record_place *at)
{
	int err = counters_decode(&b->counters, meta);

	if (err < 0 || orders_decode(&b->orders, meta) < 0)
		return GW_EFORMAT;
	b->counters_segment = at->segment;
	b->counters_ahead = false;
	return 0;
}

void counters_recovered(struct broker *b, int64_t now)
{
	if (b->counters_segment != 0)
		segment_hold(b, b->counters_segment, 0);
	orders_recovered(b, now);
	/* Into the segment of this start: the old ones may go. */
	if ((b->counters_segment != 0 || b->counters_ahead) && b->counters_every > 0)
		b->counters_due = now;
}
