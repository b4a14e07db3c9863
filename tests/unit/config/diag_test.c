/* What is wrong with the files and the machine that a configuration names, in the form of all other
 * diagnostics. */
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

/* What the machine does not have is a warning: it may have it when the server starts. */
static void test_machine(void **state)
{
	static const struct place statement = {"godwit.conf", 7, 6};
	static const char want[] =
	    "godwit.conf:7:6: warning: vmta corp leaves from 192.0.2.10, which this machine does "
	    "not "
	    "have [W0314]\n"
	    "       = hint: add the address to an interface, or write one that is there\n"
	    "configuration: warning: /x, the file of 'authorities', cannot be read: gone [W0315]\n"
	    "       = hint: install what brings it (Debian: ca-certificates, dns-root-data), or "
	    "name "
	    "another file\n"
	    "/etc/users:3:1: warning: account ann has the plan 'gold', which the configuration "
	    "does not "
	    "have [W0334]\n"
	    "       = hint: add: plan NAME { ... }; or: godwit user plan ACCOUNT NAME\n"
	    "godwit.conf:7:6: warning: the program of example.com cannot be run: there is no user "
	    "ann [W0316]\n"
	    "       = hint: write: deliver pipe user NAME /PATH/PROGRAM, with a user and a program "
	    "of this machine\n"
	    "godwit.conf:7:6: warning: there is no account bob in /etc/users [W0335]\n"
	    "       = hint: correct the name, or: godwit user add NAME\n"
	    "godwit.conf:7:6: warning: no account in /etc/users belongs to the tenant 'acme' "
	    "[W0336]\n"
	    "       = hint: correct the name, or: godwit user tenant ACCOUNT NAME\n";
	static const struct place account = {"/etc/users", 3, 1};
	struct config_diags d;
	struct buf out;

	(void)state;
	config_diags_init(&d);
	buf_init(&out, 4096);
	config_diags_elsewhere(&d, &statement, "corp", "192.0.2.10");
	config_diags_unread(&d, "authorities", "/x", "gone");
	config_diags_plan(&d, &account, "ann", "gold");
	config_diags_pipe(&d, &statement, "example.com", "there is no user ann");
	config_diags_account(&d, &statement, "bob", "/etc/users");
	config_diags_tenant(&d, &statement, "acme", "/etc/users");
	assert_int_equal(d.errors, 0);
	assert_int_equal(d.warnings, 6);
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
	    cmocka_unit_test(test_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
