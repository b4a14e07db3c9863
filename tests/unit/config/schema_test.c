#include "unit/config/helper.h"

#include "config/schema.h"

static bool explained(const char *what, struct buf *out)
{
	buf_clear(out);
	return schema_explain(span_str(what), out) == 0;
}

static bool holds(const struct buf *b, const char *text)
{
	struct span s = buf_view(b);

	return s.n > 0 && memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void test_every_option_is_explained(void **state)
{
	char name[64];
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const char *in = scope_name(options[i].scope);

		snprintf(name, sizeof(name), "%s%s%s", in, in[0] ? "." : "", options[i].name);
		assert_true(explained(name, &out));
		assert_true(holds(&out, options[i].doc));
		assert_true(holds(&out, options[i].example));
		assert_ptr_equal(
		    option_find(options[i].scope, span_str(options[i].name)), &options[i]);
	}
	assert_true(explained("connections", &out));
	assert_true(holds(&out, "limits.connections") && holds(&out, "shape.connections"));
	assert_false(explained("conections", &out));
	assert_true(holds(&out, "did you mean 'connections'?"));
	assert_false(explained("", &out));
	buf_fini(&out);
}

static void test_every_error_is_explained(void **state)
{
	char code[16];
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < CE_COUNT; i++) {
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(config_errors[i].number, config_errors[k].number);
		snprintf(code, sizeof(code), "E%04u", config_errors[i].number);
		assert_true(explained(code, &out));
		assert_true(holds(&out, config_errors[i].why) && holds(&out, config_errors[i].fix));
	}
	assert_true(explained("w0301", &out));
	assert_false(explained("E9999", &out));
	buf_fini(&out);
}

/* Examples in the documentation are accepted by the parser. */
static void test_examples_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPT_COUNT; i++) {
		struct config_diags d;
		struct config *c;
		char text[512];
		bool identify = options[i].id == OPT_IDENTIFY || options[i].scope == SCOPE_IDENTIFY;

		if (options[i].id == OPT_INCLUDE)
			continue;
		snprintf(text, sizeof(text), "%s%s%s%sdomain %s { deliver maildir /q }\n%s\n",
		    options[i].id == OPT_HOSTNAME ? "" : "hostname mx1.example.com\n",
		    options[i].id == OPT_LISTEN ? "" : "listen mx 127.0.0.1:25\n",
		    identify ? "users file /etc/godwit/users\n" : "",
		    options[i].id == OPT_PULL || options[i].scope == SCOPE_PULL
			? "domain a.example { deliver maildir /q }\ndomain b.example { deliver "
			  "maildir /q }\n"
			: "",
		    options[i].id == OPT_SRS || options[i].scope == SCOPE_SRS ? "example.com"
									      : "q.example",
		    options[i].example);
		config_diags_init(&d);
		c = parse_text(text, &d);
		if (c == NULL)
			print_diags(&d);
		assert_non_null(c);
		config_free(&c);
		config_diags_fini(&d);
	}
}

/* The printed ranges are the checked ones: one step beyond is refused. */
static void test_ranges_hold(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPT_COUNT; i++) {
		const struct option *row = &options[i];
		const char *in = scope_name(row->scope);
		struct buf text;

		if (row->type != TYPE_NUMBER || row->scope == SCOPE_CONNECTIONS)
			continue;
		assert_true(row->min < row->max);
		buf_init(&text, 1024);
		buf_addf(&text, BASE "domain q.example { deliver maildir /q }\n%s %s { %s %llu }\n",
		    in, row->scope == SCOPE_SHAPE ? "*" : "", row->name,
		    (unsigned long long)row->max + 1);
		buf_add_byte(&text, 0);
		assert_int_equal(refused_with((const char *)buf_view(&text).p), 164);
		buf_fini(&text);
	}
}

static void test_nearest(void **state)
{
	static const char *const words[] = {"hostname", "admin", "listen", "log", "trust"};

	(void)state;
	assert_string_equal(nearest_word(SPAN("hostnam"), words, 5), "hostname");
	assert_string_equal(nearest_word(SPAN("HOSTNAME"), words, 5), "hostname");
	assert_string_equal(nearest_word(SPAN("lisetn"), words, 5), "listen");
	assert_string_equal(nearest_word(SPAN("lgo"), words, 5), "log");
	assert_null(nearest_word(SPAN("zzzzzz"), words, 5));
	assert_null(nearest_word(SPAN(""), words, 5));
	assert_null(nearest_word(SPAN("x"), words, 5));
	assert_null(nearest_word(
	    SPAN("a-very-long-word-that-nobody-could-have-meant-with-any-of-these"), words, 5));
}

static void test_units(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 256);
	format_size(35 << 20, &out);
	buf_add_byte(&out, ' ');
	format_size(1000, &out);
	buf_add_byte(&out, ' ');
	format_size(0, &out);
	buf_add_byte(&out, ' ');
	format_duration(5400 * INT64_C(1000000), &out);
	buf_add_byte(&out, ' ');
	format_duration(86400 * INT64_C(1000000), &out);
	assert_memory_equal(buf_view(&out).p, "35M 1000B 0B 90m 1d", 19);
	buf_fini(&out);
}

/* docs/options.md is what the tables say ("godwit config docs" makes it). */
static void test_docs_are_current(void **state)
{
	FILE *f = fopen("docs/options.md", "rb");
	struct buf want, got;
	uint8_t part[4096];
	size_t n;

	(void)state;
	assert_non_null(f);
	buf_init(&want, 1 << 20);
	buf_init(&got, 1 << 20);
	schema_docs(&want);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&got, part, n);
	fclose(f);
	assert_true(span_eq(buf_view(&want), buf_view(&got)));
	buf_fini(&want);
	buf_fini(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_option_is_explained),
	    cmocka_unit_test(test_every_error_is_explained),
	    cmocka_unit_test(test_examples_parse),
	    cmocka_unit_test(test_ranges_hold),
	    cmocka_unit_test(test_nearest),
	    cmocka_unit_test(test_units),
	    cmocka_unit_test(test_docs_are_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
