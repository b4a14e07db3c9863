/*
 * Does each row of options.def say the truth of what a reload does with it? A row of class live
 * differs behind one; of class restart it is named, and stays as it was; and "godwit config diff"
 * says the same. The change is the example of the row, or a sample here.
 */
#include "cmd/config_diff.h"
#include "config/config.h"
#include "config/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE "hostname mx1.example.com\nlisten mx 127.0.0.1:25\n"

enum { TEXT = 4096 };

/* Where the example of a row is the default, or what it is about another one. */
static const struct sample {
	enum option_id id;
	const char *text;
} samples[] = {
    {OPT_HOSTNAME, "hostname mx2.example.com\nlisten mx 127.0.0.1:25\n"},
    {OPT_SPOOL, "spool /var/spool/other\n"},
    {OPT_CONTROL, "control /run/other/control\n"},
    {OPT_RUN_AS, "run-as other\n"},
    {OPT_ALLOW_OPEN_RELAY, "allow-open-relay yes\n"},
    {OPT_REPLY_TIMEOUT, "reply-timeout 5m\n"},
    {OPT_STORE, "store { segment 32M; spares 5 }\n"},
    {OPT_AUTHORITIES, "authorities /etc/ssl/other.pem\n"},
    {OPT_HISTORY, "history off\n"},
    {OPT_DSN, "dsn { warn 1h }\n"},
    {OPT_SHAPE_EXPIRE, "shape * { expire 1d }\n"},
    {OPT_SEGMENT, "store { segment 32M }\n"},
    {OPT_SPARES, "store { spares 5 }\n"},
    {OPT_RESOLVER_ANCHOR, "resolver { trust-anchor off }\n"},
    {OPT_LOG_SUBJECT, "log journal { subject on }\n"},
};

/* What examples lean on. */
static const struct {
	const char *word, *text;
} contexts[] = {{"identify ", "users file /etc/godwit/users\n"},
    {"srs ", "domain example.com { deliver maildir /m/%u }\n"},
    {"pull ", "domain a.example { deliver maildir /m/%u }\n"
	      "domain b.example { deliver maildir /m/%u }\n"}};

static const char *context_of(const char *example)
{
	for (size_t i = 0; i < sizeof(contexts) / sizeof(contexts[0]); i++) {
		if (strncmp(example, contexts[i].word, strlen(contexts[i].word)) == 0)
			return contexts[i].text;
	}
	return "";
}

static const struct sample *sample_of(enum option_id id)
{
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		if (samples[i].id == id)
			return &samples[i];
	}
	return NULL;
}

static struct config *parse(const char *more)
{
	struct config_diags diags;
	struct buf bundle, said;
	struct config *c;
	char text[TEXT];

	snprintf(text, sizeof(text), "%s%s", strstr(more, "hostname ") != NULL ? "" : BASE, more);
	buf_init(&bundle, 1 << 20);
	buf_init(&said, 1 << 20);
	assert_int_equal(config_bundle_text("t.conf", span_str(text), &bundle), 0);
	config_diags_init(&diags);
	c = config_parse(buf_view(&bundle), 1, &diags);
	if (c == NULL) {
		config_diags_format(&diags, &said);
		print_error("%.*s", SPAN_ARG(buf_view(&said)));
	}
	config_diags_fini(&diags);
	buf_fini(&bundle);
	buf_fini(&said);
	return c;
}

static void show(const struct config *c, struct buf *out)
{
	buf_init(out, 4 << 20);
	config_show(c, false, false, out);
}

/* True: at least one change, and all of this class. */
static bool diff_says(const struct config *a, const struct config *b, bool restart)
{
	struct config_change *list;
	struct buf old, now;
	bool some = false;
	size_t n;

	show(a, &old);
	show(b, &now);
	n = config_diff(buf_view(&old), buf_view(&now), &list);
	for (size_t i = 0; i < n; i++)
		some = some || list[i].restart == restart;
	free(list);
	buf_fini(&old);
	buf_fini(&now);
	return some;
}

static bool same(const struct config *a, const struct config *b)
{
	struct buf x, y;
	bool eq;

	show(a, &x);
	show(b, &y);
	eq = span_eq(buf_view(&x), buf_view(&y));
	buf_fini(&x);
	buf_fini(&y);
	return eq;
}

/* NULL: it is as the row says. */
static const char *judge(const struct option *o, const char *before, const char *behind)
{
	struct config *a = parse(before), *b = parse(behind);
	const char *why = NULL;
	struct buf names;

	buf_init(&names, 1024);
	if (a == NULL || b == NULL) {
		why = "its sample does not parse";
	} else if (same(a, b)) {
		why = "its sample changes nothing";
	} else if (!diff_says(a, b, o->reload == RELOAD_RESTART)) {
		why = "config diff says otherwise";
	} else {
		config_freeze(b, a, &names);
		if ((buf_len(&names) > 0) != (o->reload == RELOAD_RESTART))
			why = "it is named, or is not";
		else if (same(a, b) != (o->reload == RELOAD_RESTART))
			why = "it is in force, or is not";
	}
	buf_fini(&names);
	config_free(&a);
	config_free(&b);
	return why;
}

static void each_row_says_the_truth(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct sample *s = sample_of(options[i].id);
		const char *context = context_of(options[i].example), *why;
		char text[TEXT];

		if (options[i].id == OPT_INCLUDE) /* what it brings is what changes */
			continue;
		snprintf(text, sizeof(text), "%s%s\n", context,
		    s != NULL ? s->text : options[i].example);
		why = judge(&options[i], context, text);
		if (why != NULL)
			print_error("%s (%s): %s\n", options[i].name, options[i].example, why);
		wrong += why != NULL;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_row_says_the_truth)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
