/* The tables of the routes against the obvious loop; what is called unreachable is; and the speed.
 */
#include "unit/config/helper.h"

#include "config/index.h"

#include <time.h>

/* ---- the obvious loop ------------------------------------------------------------------------ */

static bool is_domain(const char *pattern, const char *name)
{
	return pattern == NULL || config_pattern_match(pattern, span_str(name));
}

static bool is_address(const char *want, const char *local, const char *domain)
{
	char address[64];

	snprintf(address, sizeof(address), "%s@%s", local, domain);
	return want == NULL || strcasecmp(want, address) == 0;
}

struct message {
	char local[4], domain[32], from_local[4], from_domain[32], account[4];
	uint64_t size;
};

static bool slow_match(const struct route *r, const struct message *m)
{
	return is_domain(r->domain, m->domain) && is_address(r->address, m->local, m->domain) &&
	       is_domain(r->from_domain, m->from_domain) &&
	       is_address(r->from_address, m->from_local, m->from_domain) &&
	       (r->from_account == NULL || strcasecmp(r->from_account, m->account) == 0) &&
	       (r->larger_than == 0 || m->size > r->larger_than);
}

static const struct route *slow_route(const struct config *c, const struct message *m)
{
	for (size_t i = 0; i < c->n_route; i++) {
		if (slow_match(&c->route[i], m))
			return &c->route[i];
	}
	return NULL;
}

static const struct route *fast_route(const struct config *c, const struct message *m)
{
	char to[64], from[64];
	struct route_query q = {.domain = span_str(m->domain),
	    .from_domain = span_str(m->from_domain),
	    .account = span_str(m->account),
	    .size = m->size};

	snprintf(to, sizeof(to), "%s@%s", m->local, m->domain);
	snprintf(from, sizeof(from), "%s@%s", m->from_local, m->from_domain);
	q.address = span_str(to);
	q.from = span_str(from);
	return config_route(c, &q);
}

/* ---- few names, so that much meets ----------------------------------------------------------- */

static void random_name(unsigned *seed, char *to, size_t size)
{
	size_t n = 0;
	int labels = 1 + rand_r(seed) % 3;

	for (int i = 0; i < labels; i++)
		n += (size_t)snprintf(
		    to + n, size - n, "%s%c", i ? "." : "", 'a' + rand_r(seed) % 2);
	snprintf(to + n, size - n, ".x");
}

static void random_message(unsigned *seed, struct message *m)
{
	snprintf(m->local, sizeof(m->local), "%c", "pPq"[rand_r(seed) % 3]);
	snprintf(m->from_local, sizeof(m->from_local), "%c", "pPq"[rand_r(seed) % 3]);
	snprintf(m->account, sizeof(m->account), "%c", "kKl"[rand_r(seed) % 3]);
	random_name(seed, m->domain, sizeof(m->domain));
	random_name(seed, m->from_domain, sizeof(m->from_domain));
	m->size = (uint64_t)(rand_r(seed) % 4) << 20;
}

static void random_side(unsigned *seed, const char *side, struct buf *out)
{
	char name[64];

	random_name(seed, name, sizeof(name));
	if (rand_r(seed) % 2)
		buf_addf(out, " %s domain %s%s", side, rand_r(seed) % 2 ? "*." : "", name);
	else
		buf_addf(out, " %s address %c@%s", side, "pPq"[rand_r(seed) % 3], name);
}

static void random_route(unsigned *seed, struct buf *out)
{
	int what = rand_r(seed) % 16;

	buf_add_str(out, "route");
	if (what & 1)
		random_side(seed, "to", out);
	if (what & 2)
		random_side(seed, "from", out);
	if (what & 4)
		buf_addf(out, " from account %c", "kKl"[rand_r(seed) % 3]);
	if (what & 8)
		buf_addf(out, " larger-than %dK", 512 << rand_r(seed) % 3);
	if (what == 0)
		buf_add_str(out, rand_r(seed) % 8 ? " to address z@z.z" : " to any");
	buf_add_str(out, " via mx\n");
}

static struct config *random_config(unsigned *seed, struct config_diags *d)
{
	struct config *c;
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_add_str(&text, BASE "domain our.test { deliver maildir /m }\n");
	for (int i = 0; i < 15; i++)
		random_route(seed, &text);
	buf_add_byte(&text, 0);
	c = parse_text((const char *)buf_view(&text).p, d);
	buf_fini(&text);
	assert_non_null(c);
	return c;
}

/* A route that is called shadowed decides about no message; each one that decides about all that
 * another could is found. */
static void check_shadows(const struct config *c, const size_t *decided)
{
	for (size_t i = 0; i < c->n_route; i++) {
		const struct route *by = index_shadow(c, &c->route[i]);

		assert_true(by == NULL || by < &c->route[i]);
		if (by != NULL && decided[i] > 0)
			fail_msg("line %u is not shadowed", c->route[i].place.line);
		for (size_t k = 0; k < i; k++) {
			if (c->route[k].any)
				assert_true(by != NULL && by <= &c->route[k]);
		}
	}
}

static void test_tables_equal_loops(void **state)
{
	unsigned seed = 1;
	size_t found = 0, shadows = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct config_diags d;
		struct config *c;
		size_t decided[15] = {0};

		config_diags_init(&d);
		c = random_config(&seed, &d);
		for (int i = 0; i < 300; i++) {
			struct message m;
			const struct route *r;

			random_message(&seed, &m);
			r = slow_route(c, &m);
			assert_ptr_equal(fast_route(c, &m), r);
			found += r != NULL;
			if (r != NULL)
				decided[r - c->route]++;
		}
		check_shadows(c, decided);
		shadows += d.warnings;
		config_free(&c);
		config_diags_fini(&d);
	}
	assert_true(found > 10000 && shadows > 100);
}

/* Where is the answer the same whatever the size will be? */
static void test_sure(void **state)
{
	unsigned seed = 7;
	size_t sure = 0, unsure = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct config_diags d;
		struct config *c;

		config_diags_init(&d);
		c = random_config(&seed, &d);
		for (int i = 0; i < 50; i++) {
			struct message m;
			const struct route *first;
			bool same = true;

			random_message(&seed, &m);
			m.size = 0;
			first = slow_route(c, &m);
			for (m.size = 1; m.size < (8 << 20); m.size += 256 << 10)
				same = same && slow_route(c, &m) == first;
			if (!same) {
				struct route_query q = {.domain = span_str(m.domain),
				    .from_domain = span_str(m.from_domain),
				    .account = span_str(m.account)};
				char to[64], from[64];

				snprintf(to, sizeof(to), "%s@%s", m.local, m.domain);
				snprintf(from, sizeof(from), "%s@%s", m.from_local, m.from_domain);
				q.address = span_str(to);
				q.from = span_str(from);
				assert_false(config_route_sure(c, &q));
				unsure++;
			} else {
				sure++;
			}
		}
		config_free(&c);
		config_diags_fini(&d);
	}
	assert_true(sure > 1000 && unsure > 100);
}

/* ---- speed ----------------------------------------------------------------------------------- */

enum { MANY = 10000, ASKED = 200000 };

static double seconds_of(const struct config *c, bool by_account)
{
	struct timespec a, b;
	char name[64], address[80];

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < ASKED; i++) {
		struct route_query q = {.from = SPAN("s@sender.test"),
		    .from_domain = SPAN("sender.test"),
		    .size = 5000};
		const struct route *r;
		int k = (int)((unsigned)i * 7919 % MANY);

		snprintf(name, sizeof(name), by_account ? "gmail.test" : "x.d%d.test", k);
		snprintf(address, sizeof(address), "bob@%s", name);
		q.domain = span_str(name);
		q.address = span_str(address);
		snprintf(address + 40, sizeof(address) - 40, "a%d", k);
		q.account = by_account ? span_str(address + 40) : SPAN("alice");
		r = config_route(c, &q);
		assert_ptr_equal(r, &c->route[k]);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void check_speed(bool by_account)
{
	struct config *c;
	struct buf text;
	double took;

	buf_init(&text, 4 << 20);
	buf_add_str(&text, BASE "trust 10.1.0.0/16\n");
	for (int i = 0; i < MANY; i++) {
		if (by_account)
			buf_addf(&text,
			    "route to domain gmail.test from account a%d via relay 10.0.0.1\n", i);
		else
			buf_addf(&text, "route to domain *.d%d.test via relay 10.0.0.1\n", i);
	}
	buf_add_str(&text, "route to any via mx\n");
	buf_add_byte(&text, 0);
	c = parse_good((const char *)buf_view(&text).p);
	took = seconds_of(c, by_account);
	/* A list that is walked to its end would take 10,000 times as long as a look into a table.
	 */
	if (took > ASKED * 20e-6)
		fail_msg("%.0f ns each", took / ASKED * 1e9);
	print_message("%d routes %s: %.0f ns each\n", MANY, by_account ? "by account" : "by domain",
	    took / ASKED * 1e9);
	config_free(&c);
	buf_fini(&text);
}

static void test_many(void **state)
{
	(void)state;
	check_speed(false);
	check_speed(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tables_equal_loops),
	    cmocka_unit_test(test_sure),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
