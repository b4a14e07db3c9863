/* What the tests of config/ share: parse a text held in memory. */
#ifndef GW_TEST_CONFIG_HELPER_H
#define GW_TEST_CONFIG_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>

#define BASE "hostname mx1.example.com\nlisten mx 127.0.0.1:25\n"

static inline struct config *parse_bundle(struct buf *bundle, struct config_diags *d)
{
	struct config *c = config_parse(buf_view(bundle), 7, d);

	buf_fini(bundle);
	return c;
}

static inline struct config *parse_text(const char *text, struct config_diags *d)
{
	struct buf bundle;

	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	assert_int_equal(config_bundle_text("t.conf", span_str(text), &bundle), 0);
	return parse_bundle(&bundle, d);
}

static inline void print_diags(struct config_diags *d)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	config_diags_format(d, &out);
	if (buf_len(&out) > 0)
		fprintf(stderr, "%.*s", SPAN_ARG(buf_view(&out)));
	buf_fini(&out);
}

/* The text must be accepted without a word. */
static inline struct config *parse_good(const char *text)
{
	struct config_diags d;
	struct config *c;

	config_diags_init(&d);
	c = parse_text(text, &d);
	if (c == NULL || d.warnings > 0)
		print_diags(&d);
	assert_non_null(c);
	config_diags_fini(&d);
	return c;
}

/* The text must be refused; the code of its first error. */
static inline unsigned refused_with(const char *text)
{
	struct config_diags d;
	struct config *c;
	unsigned code;

	config_diags_init(&d);
	c = parse_text(text, &d);
	assert_null(c);
	assert_true(d.n > 0 && d.errors > 0);
	code = d.d[0].code;
	config_diags_fini(&d);
	return code;
}

#endif
