#include "mail/tls_required.h"

#include "unit/base/helper.h"

static void test_no(void **state)
{
	static const struct {
		const char *head;
		bool no;
	} rows[] = {{"TLS-Required: No\r\n", true}, {"tls-required:no\r\n", true},
	    {"Subject: x\r\nTLS-Required: NO \r\nTo: y\r\n", true},
	    {"TLS-Required: No\r\nTLS-Required: No\r\n", false},
	    {"TLS-Required: No\r\nTLS-Required: Yes\r\n", false}, {"TLS-Required: Yes\r\n", false},
	    {"TLS-Required: No, thanks\r\n", false}, {"TLS-Required:\r\n", false},
	    {"TLS-Required: Nobody\r\n", false}, {"X: TLS-Required: No\r\n", false},
	    {"X: y\r\n TLS-Required: No\r\n", false}, {"TLS-Requiredx: No\r\n", false},
	    {"", false}};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		if (tls_required_no(span_str(rows[i].head)) != rows[i].no)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
