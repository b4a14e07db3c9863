#include "unit/config/helper.h"

#include <arpa/inet.h>

static const struct cidr *trusts(const struct config *c, const char *ip)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	if (strchr(ip, ':') != NULL) {
		in6->sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
	} else {
		in->sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, ip, &in->sin_addr), 1);
	}
	return config_trusts(c, (struct sockaddr *)&ss);
}

static void test_trust(void **state)
{
	struct sockaddr_storage other = {.ss_family = AF_UNIX};
	struct config *c = parse_good(BASE "route to any via relay 192.0.2.1:25\n"
					   "trust 10.1.0.0/16 192.0.2.7 198.51.100.128/25 "
					   "2001:db8:1::/48 ::1\ntrust ::ffff:203.0.113.0/120\n");

	(void)state;
	assert_non_null(trusts(c, "10.1.0.0"));
	assert_non_null(trusts(c, "10.1.255.255"));
	assert_null(trusts(c, "10.0.255.255"));
	assert_null(trusts(c, "10.2.0.0"));
	assert_non_null(trusts(c, "192.0.2.7"));
	assert_null(trusts(c, "192.0.2.6"));
	assert_non_null(trusts(c, "198.51.100.128"));
	assert_non_null(trusts(c, "198.51.100.255"));
	assert_non_null(trusts(c, "198.51.100.192"));
	assert_null(trusts(c, "198.51.100.127"));
	assert_non_null(trusts(c, "2001:db8:1:ffff::1"));
	assert_null(trusts(c, "2001:db8:2::"));
	assert_non_null(trusts(c, "::1"));
	assert_null(trusts(c, "::2"));
	assert_non_null(trusts(c, "::ffff:10.1.2.3"));
	assert_null(trusts(c, "::ffff:10.2.2.3"));
	assert_null(trusts(c, "::10.1.2.3"));
	assert_non_null(trusts(c, "203.0.113.9"));
	assert_int_equal(trusts(c, "203.0.113.9")->place.line, 5);
	assert_null(trusts(c, "127.0.0.1"));
	assert_null(config_trusts(c, (struct sockaddr *)&other));
	config_free(&c);
}

static const char *domain_of(const struct config *c, const char *name)
{
	const struct domain *d = config_domain(c, span_str(name));

	return d ? d->name : "-";
}

static void test_domain(void **state)
{
	struct config *c = parse_good(BASE
	    "domain *.example { deliver maildir /1 }\n"
	    "domain *.a.example { deliver maildir /2 }\ndomain a.example { deliver maildir /3 }\n"
	    "domain b.a.example { deliver maildir /4 }\n");

	(void)state;
	assert_string_equal(domain_of(c, "example"), "-");
	assert_string_equal(domain_of(c, ".example"), "-");
	assert_string_equal(domain_of(c, "z.example"), "*.example");
	assert_string_equal(domain_of(c, "a.example"), "a.example");
	assert_string_equal(domain_of(c, "b.a.example"), "b.a.example");
	assert_string_equal(domain_of(c, "c.a.example"), "*.a.example");
	assert_string_equal(domain_of(c, "c.b.a.example"), "*.a.example");
	assert_string_equal(domain_of(c, "aexample"), "-");
	assert_string_equal(domain_of(c, "*.example"), "*.example");
	assert_string_equal(domain_of(c, ""), "-");
	assert_string_equal(domain_of(c, "."), "-");
	config_free(&c);
}

static void test_patterns(void **state)
{
	(void)state;
	assert_true(config_pattern_match("*.x.example", SPAN("a.x.example")));
	assert_true(config_pattern_match("*.x.example", SPAN("a.b.x.example")));
	assert_false(config_pattern_match("*.x.example", SPAN("x.example")));
	assert_false(config_pattern_match("*.x.example", SPAN(".x.example")));
	assert_false(config_pattern_match("*.x.example", SPAN("ax.example")));
	assert_true(config_pattern_match("x.example", SPAN("x.example")));
	assert_false(config_pattern_match("x.example", SPAN("a.x.example")));
	assert_false(config_pattern_match("x.example", SPAN("")));
}

/* ---- the tables against the obvious loops */

static const struct route *slow_route(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->n_route; i++) {
		if (c->route[i].domain == NULL || config_pattern_match(c->route[i].domain, name))
			return &c->route[i];
	}
	return NULL;
}

static const struct domain *slow_domain(const struct config *c, struct span name)
{
	const struct domain *best = NULL;

	for (size_t i = 0; i < c->n_domain; i++) {
		const char *p = c->domain[i].name;

		if (!config_pattern_match(p, name))
			continue;
		if (p[0] != '*')
			return &c->domain[i];
		if (best == NULL || strlen(p) > strlen(best->name))
			best = &c->domain[i];
	}
	return best;
}

static void random_name(unsigned *seed, char *to, size_t size)
{
	size_t n = 0;
	int labels = 1 + rand_r(seed) % 4;

	for (int i = 0; i < labels; i++)
		n += (size_t)snprintf(
		    to + n, size - n, "%s%c", i ? "." : "", 'a' + rand_r(seed) % 3);
	snprintf(to + n, size - n, ".x");
}

static void random_config(unsigned *seed, struct buf *out)
{
	char name[64];

	buf_add_str(out, BASE);
	for (int i = 0; i < 12; i++) {
		random_name(seed, name, sizeof(name));
		buf_addf(out, "route to domain %s%s via relay h%d.example:25\n",
		    rand_r(seed) % 2 ? "*." : "", name, i);
		if (rand_r(seed) % 40 == 0)
			buf_add_str(out, "route to any via relay any.example:25\n");
	}
	for (int i = 0; i < 8; i++) {
		random_name(seed, name, sizeof(name));
		buf_addf(out, "domain %s%s { deliver maildir /%d }\n", rand_r(seed) % 2 ? "*." : "",
		    name, i);
	}
	buf_add_byte(out, 0);
}

static void test_tables_equal_loops(void **state)
{
	unsigned seed = 1;
	size_t compared = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct config_diags d;
		struct config *c;
		struct buf text;
		char name[64];

		buf_init(&text, 1 << 20);
		random_config(&seed, &text);
		config_diags_init(&d);
		c = parse_text((const char *)buf_view(&text).p, &d);
		for (int i = 0; c != NULL && i < 50; i++) {
			random_name(&seed, name, sizeof(name));
			assert_ptr_equal(
			    config_route(c, &(struct route_query){.domain = span_str(name)}),
			    slow_route(c, span_str(name)));
			assert_ptr_equal(
			    config_domain(c, span_str(name)), slow_domain(c, span_str(name)));
			compared++;
		}
		config_free(&c);
		config_diags_fini(&d);
		buf_fini(&text);
	}
	assert_true(compared > 1000);
}

/* A route is called shadowed exactly if no name reaches it. */
static void test_shadow_warnings_are_true(void **state)
{
	static const struct {
		const char *first, *second;
		bool shadowed;
	} t[] = {{"*.a.x", "b.a.x", true}, {"*.a.x", "*.b.a.x", true}, {"*.a.x", "a.x", false},
	    {"b.a.x", "*.a.x", false}, {"a.x", "a.x", true}, {"*.a.x", "*.x", false},
	    {"*.x", "*.x", true}, {"a.x", "b.x", false}};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(t); i++) {
		struct config_diags d;
		struct config *c;
		char text[512];

		snprintf(text, sizeof(text),
		    BASE
		    "domain z.z { deliver maildir /z }\nroute to domain %s via relay 192.0.2.1:25\n"
		    "route to domain %s via relay 192.0.2.2:25\n",
		    t[i].first, t[i].second);
		config_diags_init(&d);
		c = parse_text(text, &d);
		assert_non_null(c);
		assert_int_equal(d.warnings, t[i].shadowed ? 1 : 0);
		config_free(&c);
		config_diags_fini(&d);
	}
}

static void test_shape(void **state)
{
	struct config *c = parse_good(
	    BASE "domain z.z { deliver maildir /z }\n"
		 "shape wide { domain *.example }\nshape one { domain a.example *.b.example }\n");

	(void)state;
	assert_string_equal(config_shape(c, SPAN("a.example"), SPAN_NONE)->name, "one");
	assert_string_equal(config_shape(c, SPAN("x.b.example"), SPAN_NONE)->name, "one");
	assert_string_equal(config_shape(c, SPAN("b.example"), SPAN_NONE)->name, "wide");
	assert_string_equal(config_shape(c, SPAN("gmail.com"), SPAN_NONE)->name, "*");
	assert_string_equal(config_shape(c, SPAN(""), SPAN_NONE)->name, "*");
	assert_string_equal(config_shape(c, SPAN("[192.0.2.1]"), SPAN_NONE)->name, "*");
	config_free(&c);
}

static void test_many_domains(void **state)
{
	enum { MANY = 20000 };
	struct config *c;
	struct buf text;
	char name[64];

	(void)state;
	buf_init(&text, 4 << 20);
	buf_add_str(&text, BASE);
	for (int i = 0; i < MANY; i++)
		buf_addf(&text, "domain d%d.example { deliver maildir /d/%d/%%u }\n", i, i);
	buf_add_byte(&text, 0);
	c = parse_good((const char *)buf_view(&text).p);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < MANY; i++) {
			snprintf(name, sizeof(name), "d%d.example", i);
			assert_ptr_equal(config_domain(c, span_str(name)), &c->domain[i]);
		}
	}
	config_free(&c);
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trust),
	    cmocka_unit_test(test_domain),
	    cmocka_unit_test(test_patterns),
	    cmocka_unit_test(test_tables_equal_loops),
	    cmocka_unit_test(test_shadow_warnings_are_true),
	    cmocka_unit_test(test_shape),
	    cmocka_unit_test(test_many_domains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
