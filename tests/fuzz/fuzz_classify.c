/*
 * What replies mean. The input is a pattern, a line end, and a reply: the pattern becomes the first
 * rule, if it is one. Invariants: no reply is beyond the classes; what decided is told; the quick
 * look for needed texts never spares a search that would have found something; the same reply is
 * judged the same way twice; and line by line as a whole.
 */
#include "config/classify.h"
#include "config/literal.h"
#include "config/pattern.h"

#include <stdlib.h>

static void check(bool good)
{
	if (!good)
		abort();
}

static struct config *config_of(struct span pattern)
{
	struct config *c;
	struct config_diags d;
	struct buf text, bundle;

	buf_init(&text, 1 << 20);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	buf_add_str(&text, "hostname a.example\nlisten mx 127.0.0.1:25\n"
			   "domain a.example { deliver maildir /m }\nclassify moved \"");
	buf_add_span(&text, span_first(pattern, 3000));
	buf_add_str(&text, "\"\n");
	config_diags_init(&d);
	check(config_bundle_text("f", buf_view(&text), &bundle) == 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	check((c != NULL) == (d.errors == 0));
	config_diags_fini(&d);
	buf_fini(&bundle);
	buf_fini(&text);
	return c;
}

/* The built-in rules, without one of ours: parsed once. */
static const struct config *builtin(void)
{
	static struct config *c;

	if (c == NULL)
		c = config_of(SPAN("nothing is like this"));
	check(c != NULL);
	return c;
}

/* What the look spares must not be found. */
static void check_spared(const struct config *c, struct span reply)
{
	const struct classify_rule *rule = &c->classify[0];
	struct pattern_search s;
	struct gram_set grams;
	uint8_t lower[PATTERN_LOOKED_AT];

	reply = span_first(reply, sizeof(lower));
	for (size_t i = 0; i < reply.n; i++)
		lower[i] = ascii_lower(reply.p[i]);
	gram_set_fill(&grams, span_of(lower, reply.n));
	check(pattern_search_init(&s));
	if (!literals_may(&rule->needs, &grams))
		check(!pattern_found(&s, rule->compiled, span_of(lower, reply.n)));
	pattern_search_fini(&s);
}

static void check_reply(const struct config *c, struct span reply)
{
	struct classified k;
	struct span text;
	uint16_t code;
	uint8_t esc[3];

	classify_split(reply, &code, esc, &text);
	check(text.n <= reply.n && code < 600);
	classify_explain(c, code, esc, text, &k);
	check(k.class < REPLY_CLASSES && classify_reply(c, code, esc, text) == k.class);
	check((k.rule != NULL) == (k.by == CLASSIFIED_RULE));
	check(k.by != CLASSIFIED_NOTHING || k.class == REPLY_OTHER);
	if (k.rule != NULL)
		check(k.rule->place.file != NULL && k.rule->class == k.class);
	classify_explain(c, 0, (const uint8_t[]){4, 4, 2}, reply, &k);
	check(k.class == REPLY_UNSURE && k.by == CLASSIFIED_OURSELVES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), reply = in;
	ptrdiff_t end = span_find(in, '\n');
	struct config *c = NULL;

	check_reply(builtin(), in);
	if (end >= 0) {
		reply = span_skip(in, (size_t)end + 1);
		c = config_of(span_first(in, (size_t)end));
	}
	if (c != NULL) {
		check_spared(c, reply);
		if (size % 64 == 0) /* this one reads all rules that are built in */
			check_reply(c, reply);
	}
	config_free(&c);
	return 0;
}
