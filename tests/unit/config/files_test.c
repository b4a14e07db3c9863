#include "unit/config/helper.h"

#include "config/files.h"

static const char all[] =
    BASE "tls file /1.crt /1.key\ntls file /2.crt /2.key\nusers file /users\n"
	 "domain a.example { deliver maildir /a }\n"
	 "domain b.example { deliver maildir /b; aliases /b.aliases }\n"
	 "domain c.example { deliver maildir /c; recipients file /c.rcpt; aliases /c.aliases }\n"
	 "domain d.example { deliver maildir /d; recipients users }\n"
	 "domain e.example { deliver relay 192.0.2.1 auth file:/login tls verify }\n"
	 "route to domain f.example via relay 192.0.2.1 auth cred:partner tls verify\n"
	 "route to any via relay 192.0.2.2 auth file:/login tls verify\n";

static void test_all_in_order(void **state)
{
	static const struct {
		enum config_file_kind kind;
		uint32_t index;
		const char *path;
	} want[] = {
	    {CONFIG_FILE_CERTIFICATE, 0, "/1.crt"},
	    {CONFIG_FILE_KEY, 0, "/1.key"},
	    {CONFIG_FILE_CERTIFICATE, 1, "/2.crt"},
	    {CONFIG_FILE_KEY, 1, "/2.key"},
	    {CONFIG_FILE_USERS, 0, "/users"},
	    {CONFIG_FILE_ALIASES, 1, "/b.aliases"},
	    {CONFIG_FILE_RECIPIENTS, 2, "/c.rcpt"},
	    {CONFIG_FILE_ALIASES, 2, "/c.aliases"},
	    {CONFIG_FILE_SECRET, 0, "/login"},
	    {CONFIG_FILE_SECRET, 1, "/run/credentials/godwit.service/partner"},
	};
	struct config *c = parse_good(all);
	struct config_file f;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(want); i++) {
		assert_true(config_files(c, i, &f));
		assert_int_equal(f.kind, want[i].kind);
		assert_int_equal(f.index, want[i].index);
		assert_string_equal(f.path, want[i].path);
		assert_true(f.place.line > 0);
	}
	assert_false(config_files(c, GW_ARRAY_LEN(want), &f));
	config_free(&c);
}

static void test_none(void **state)
{
	struct config *c = parse_good(BASE "domain a.example { deliver maildir /a }\n");
	struct config_file f;

	(void)state;
	assert_false(config_files(c, 0, &f));
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_in_order),
	    cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
