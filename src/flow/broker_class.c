/* What the replies of other hosts mean: for the log, the counters and those who ask. */
#include "flow/broker-private.h"

#include "base/metric.h"
#include "config/classify.h"

/* A class without a row in metrics.def does not compile. */
static const enum metric counters[REPLY_CLASSES] = {
#define REPLY_CLASS(id, word, permanent, means, advice) [REPLY_##id] = METRIC_CLASS_##id,
#include "mail/reply_class.def"
#undef REPLY_CLASS
};

static bool is_judged(enum outcome o)
{
	return o == OUTCOME_DEFERRED || o == OUTCOME_FAILED || o == OUTCOME_EXPIRED ||
	       o == OUTCOME_UNTOLD;
}

uint8_t class_of_change(const struct broker *b, const struct change_rcpt *c)
{
	if (!is_judged(c->outcome) || (c->code == 0 && c->reply.n == 0))
		return 0;
	return (uint8_t)(classify_reply(b->config, c->code, c->esc, c->reply) + 1);
}

uint8_t class_judge(const struct broker *b, const struct change_rcpt *c)
{
	uint8_t class = class_of_change(b, c);

	if (class != 0)
		metric_add(counters[class - 1], 1);
	return class;
}

uint8_t class_of_rcpt(const struct broker *b, const struct queued_rcpt *r)
{
	struct change_rcpt c = {.outcome = r->outcome,
	    .code = r->code,
	    .esc = {r->esc[0], r->esc[1], r->esc[2]},
	    .reply = span_str(r->said)};

	return r->class != 0 ? r->class : class_of_change(b, &c);
}

const char *class_word(uint8_t class)
{
	return class != 0 ? reply_classes[class - 1].word : "";
}
