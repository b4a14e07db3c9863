#include "mail/mt_priority.h"

#include "mail/handling.h"
#include "unit/base/helper.h"

enum { NONE = -100 };

static const struct {
	const char *head;
	int priority;
} rows[] = {{"MT-Priority: 3\r\n", 3}, {"mt-priority:-9\r\n", -9}, {"MT-Priority: 0\r\n", 0},
    {"Subject: x\r\nMT-Priority: \t9 \r\nTo: y\r\n", 9}, {"MT-Priority:\r\n -4\r\n", -4},
    {"MT-Priority: 3 (as it was)\r\n", 3}, {"MT-Priority: 3 (\r\n", NONE},
    {"MT-Priority: (3)\r\n", NONE}, {"MT-Priority: 3) (\r\n", NONE},
    {"MT-Priority: 3\r\nMT-Priority: 3\r\n", NONE}, {"MT-Priority: 10\r\n", NONE},
    {"MT-Priority: -0\r\n", NONE}, {"MT-Priority: +1\r\n", NONE}, {"MT-Priority: 1 1\r\n", NONE},
    {"MT-Priority: -\r\n", NONE}, {"MT-Priority: --1\r\n", NONE}, {"MT-Priority: x\r\n", NONE},
    {"MT-Priority:\r\n", NONE}, {"X-MT-Priority: 1\r\n", NONE},
    {"X: y\r\n MT-Priority: 1\r\n", NONE}, {"Importance: high\r\nPriority: urgent\r\n", NONE},
    {"", NONE}};

static void test_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		unsigned want =
		    rows[i].priority == NONE ? 0 : (unsigned)(rows[i].priority + MT_PRIORITY_ZERO);

		if (mt_priority_said(span_str(rows[i].head)) != want)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
