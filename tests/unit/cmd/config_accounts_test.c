/* Names of accounts, tenants and plans that the configuration and the users file do not share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cmd/config_accounts.h"

#include "base/buf.h"

#define HASH \
	"$argon2id$v=19$m=19456,t=2,p=1$lg6lLKBAAskI53Icsnw9Kg$" \
	"h/OcHSnqkJ0qstbJq99BLDIGxAwLWKUXIdaqt34u9CI"

static const char text[] =
    "hostname mx.test\nlisten submission 127.0.0.1:587 { auth plaintext }\n"
    "users file /users\nplan home { limit messages 10/d }\n"
    "limit account Ann@x.test messages 9/d\nlimit account gone messages 8/d\n"
    "limit account messages 7/h\nlimit tenant ACME messages 6/d\n"
    "limit tenant nobody messages 5/d\n"
    "domain a.test { deliver odmr account ann@x.test }\n"
    "domain b.test { deliver odmr account lost }\n"
    "identify i { ip 192.0.2.1; account away }\n"
    "etrn c.test account bob@x.test off\n"
    "route to domain d.test from account missing via mx\n"
    "route from account bob@x.test via odmr account forgotten\nroute to any via mx\n";

/* The line of the statement, and the name; each once. */
static const struct {
	unsigned line;
	const char *says;
} wanted[] = {{2, "account bob@x.test has the plan 'hom'"}, {6, "no account gone in /users"},
    {9, "tenant 'nobody'"}, {11, "no account lost"}, {12, "no account away"},
    {13, "no account off"}, {14, "no account missing"}, {15, "no account forgotten"}};

static void test_names(void **state)
{
	static const char users[] = "ann@x.test active " HASH " plan=home tenant=acme\n"
				    "bob@x.test active " HASH " plan=hom\n";
	struct accounts_error e;
	struct accounts *all = accounts_parse(span_str(users), &e);
	struct config_diags d;
	struct config *c;
	struct buf bundle;
	size_t before;

	(void)state;
	assert_non_null(all);
	config_diags_init(&d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	assert_int_equal(config_bundle_text("test.conf", span_str(text), &bundle), 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	buf_fini(&bundle);
	assert_non_null(c);
	before = d.n;
	config_accounts_judge(c, all, &d);
	assert_int_equal(d.errors, 0);
	assert_int_equal(d.n - before, GW_ARRAY_LEN(wanted));
	for (size_t i = 0; i < GW_ARRAY_LEN(wanted); i++) {
		size_t found = 0;

		for (size_t k = before; k < d.n; k++)
			found += d.d[k].place.line == wanted[i].line &&
				 strstr(d.d[k].text, wanted[i].says) != NULL;
		if (found != 1)
			fail_msg("%u, %s: %zu times", wanted[i].line, wanted[i].says, found);
	}
	accounts_free(&all);
	config_free(&c);
	config_diags_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
