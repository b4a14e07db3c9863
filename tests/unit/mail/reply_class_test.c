/* The classes of replies, and the counters that base/metrics.def must have for them. */
#include "mail/reply_class.h"

#include "base/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define FAMILY "godwit_failures_by_class_total{"

static const enum metric counters[REPLY_CLASSES] = {
#define REPLY_CLASS(id, word, permanent, means, advice) [REPLY_##id] = METRIC_CLASS_##id,
#include "mail/reply_class.def"
#undef REPLY_CLASS
};

/* Room base knows no classes, so its rows are written by hand: they have the same words, in the
 * same order. */
static void test_counters(void **state)
{
	char want[64];

	(void)state;
	for (size_t i = 0; i < REPLY_CLASSES; i++) {
		snprintf(want, sizeof(want), FAMILY "class=\"%s\"}", reply_classes[i].word);
		assert_string_equal(metric_rows[counters[i]].name, want);
		assert_int_equal(metric_rows[counters[i]].type, METRIC_COUNTER);
		assert_int_equal(counters[i], counters[0] + i);
	}
}

/* None is left of a class that is gone. */
static void test_no_others(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < METRIC_COUNT; i++)
		n += strncmp(metric_rows[i].name, FAMILY, sizeof(FAMILY) - 1) == 0;
	assert_int_equal(n, REPLY_CLASSES);
}

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < REPLY_CLASSES; i++)
		assert_int_equal(reply_class_of_word(span_str(reply_classes[i].word)), i);
	assert_int_equal(reply_class_of_word(SPAN("")), REPLY_CLASSES);
	assert_int_equal(reply_class_of_word(SPAN("ful")), REPLY_CLASSES);
	assert_int_equal(reply_class_of_word(SPAN("fuller")), REPLY_CLASSES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counters),
	    cmocka_unit_test(test_no_others),
	    cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
