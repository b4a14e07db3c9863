/* The steps and states of docs/spool.md are those that the simulator counts, each listed once. */
#include "base/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const wanted[] = {
#define STEP(id, text) #id,
#define STATE(id, text) #id,
#include "sim/spool_sim_cover.def"
#undef STEP
#undef STATE
};

static unsigned listed[GW_ARRAY_LEN(wanted)], counted[GW_ARRAY_LEN(wanted)];

/* The name in the first cell of a table's row, a capital and digits; or an empty span. */
static struct span name_of(struct span line)
{
	struct span cell = span_skip(line, 1);
	ptrdiff_t end = span_find(cell, '|');

	if (line.n == 0 || line.p[0] != '|' || end < 0)
		return SPAN_NONE;
	cell = span_trim(span_first(cell, (size_t)end));
	if (cell.n < 2 || cell.p[0] < 'A' || cell.p[0] > 'Z')
		return SPAN_NONE;
	for (size_t i = 1; i < cell.n; i++) {
		if (!ascii_isdigit(cell.p[i]))
			return SPAN_NONE;
	}
	return cell;
}

static void take(struct span name, unsigned *to)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(wanted); i++) {
		if (span_eq(name, span_str(wanted[i]))) {
			to[i]++;
			return;
		}
	}
	fail_msg("docs/spool.md lists %.*s, the simulator does not", SPAN_ARG(name));
}

static void test_names(void **state)
{
	FILE *f = fopen("docs/spool.md", "r");
	char line[4096];
	bool coverage = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct span name = name_of(span_str(line));

		coverage = coverage || strstr(line, "<!-- coverage -->") != NULL;
		if (name.n > 0)
			take(name, coverage ? counted : listed);
	}
	fclose(f);
	for (size_t i = 0; i < GW_ARRAY_LEN(wanted); i++) {
		if (listed[i] != 1 || counted[i] != 1)
			fail_msg("docs/spool.md lists %s %u times, and counts it %u times",
			    wanted[i], listed[i], counted[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
