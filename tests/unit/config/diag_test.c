/* What is wrong with the files that a configuration names, in the form of all other diagnostics. */
#include "unit/config/helper.h"

static void test_named_files(void **state)
{
	static const struct place statement = {"godwit.conf", 7, 3}, line = {"/etc/aliases", 12, 5};
	static const char want[] =
	    "godwit.conf:7:3: error: /etc/aliases cannot be used: Permission denied [E0130]\n"
	    "       = hint: check the name and the permissions\n"
	    "/etc/aliases:12:5: error: not usable: programs are not run?[2J from aliases [E0131]\n"
	    "       = hint: mend this line: godwit.conf(5) has the form of the file\n";
	struct config_diags d;
	struct buf out;

	(void)state;
	config_diags_init(&d);
	buf_init(&out, 4096);
	config_diags_unusable(&d, &statement, "/etc/aliases", "Permission denied");
	config_diags_content(&d, &line, "programs are not run\033[2J from aliases");
	assert_int_equal(d.errors, 2);
	config_diags_format(&d, &out);
	assert_int_equal(buf_len(&out), strlen(want));
	assert_memory_equal(buf_view(&out).p, want, strlen(want));
	buf_fini(&out);
	config_diags_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_named_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
