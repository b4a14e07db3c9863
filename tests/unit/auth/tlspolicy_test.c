/* Every demand against everything that can be seen of a host. */
#include "auth/tlspolicy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define NONE TLS_DEMAND_NONE
#define TRY TLS_DEMAND_TRY
#define ENCRYPT TLS_DEMAND_ENCRYPT
#define VERIFY TLS_DEMAND_VERIFY
#define PINS TLS_DEMAND_FINGERPRINT

/* What can be seen. */
#define ABSENT \
	{ \
		.offered = false \
	}
#define REFUSED \
	{ \
		.offered = true, .refused = true \
	}
#define BROKEN \
	{ \
		.offered = true, .why = "not_tls" \
	}
#define ANY \
	{ \
		.offered = true, .shaken = true, .why = "self_signed" \
	}
#define OTHER_NAME \
	{ \
		.offered = true, .shaken = true, .chain = true, .why = "wrong_name" \
	}
#define NAMED \
	{ \
		.offered = true, .shaken = true, .name = true, .why = "expired" \
	}
#define GOOD \
	{ \
		.offered = true, .shaken = true, .chain = true, .name = true \
	}
#define PINNED \
	{ \
		.offered = true, .shaken = true, .pinned = true, .why = "self_signed" \
	}
#define PINNED_BROKEN \
	{ \
		.offered = true, .pinned = true, .why = "closed" \
	}

static const struct {
	enum tls_demand demand;
	struct tls_seen seen;
	enum tls_verdict verdict;
	const char *result, *text;
} rows[] = {
    {NONE, ABSENT, TLS_IN_CLEAR, "none", ""},
    {NONE, REFUSED, TLS_IN_CLEAR, "none", ""},
    {NONE, BROKEN, TLS_IN_CLEAR, "none", ""},
    {TRY, ABSENT, TLS_IN_CLEAR, "none", ""},
    {TRY, REFUSED, TLS_IN_CLEAR, "failed:refused", ""},
    {TRY, BROKEN, TLS_IN_CLEAR, "failed:not_tls", ""},
    {TRY, ANY, TLS_GO_ON, "1.3", ""},
    {TRY, OTHER_NAME, TLS_GO_ON, "1.3", ""},
    {TRY, NAMED, TLS_GO_ON, "1.3", ""},
    {TRY, GOOD, TLS_GO_ON, "1.3/verified", ""},
    {ENCRYPT, ABSENT, TLS_STOP, "none",
	"TLS is required (route): the host does not offer STARTTLS"},
    {ENCRYPT, REFUSED, TLS_STOP, "failed:refused",
	"TLS is required (route): the host refuses STARTTLS"},
    {ENCRYPT, BROKEN, TLS_STOP, "failed:not_tls",
	"TLS is required (route): the handshake failed: not_tls"},
    {ENCRYPT, ANY, TLS_GO_ON, "1.3", ""},
    {ENCRYPT, GOOD, TLS_GO_ON, "1.3/verified", ""},
    {VERIFY, ABSENT, TLS_STOP, "none",
	"TLS with a verified certificate is required (route): the host does not offer STARTTLS"},
    {VERIFY, REFUSED, TLS_STOP, "failed:refused",
	"TLS with a verified certificate is required (route): the host refuses STARTTLS"},
    {VERIFY, BROKEN, TLS_STOP, "failed:not_tls",
	"TLS with a verified certificate is required (route): the handshake failed: not_tls"},
    {VERIFY, ANY, TLS_STOP, "failed:self_signed",
	"TLS with a verified certificate is required (route): the certificate is not good for "
	"mx.example: self_signed"},
    {VERIFY, OTHER_NAME, TLS_STOP, "failed:wrong_name",
	"TLS with a verified certificate is required (route): the certificate is not good for "
	"mx.example: wrong_name"},
    {VERIFY, NAMED, TLS_STOP, "failed:expired",
	"TLS with a verified certificate is required (route): the certificate is not good for "
	"mx.example: expired"},
    {VERIFY, PINNED, TLS_STOP, "failed:self_signed",
	"TLS with a verified certificate is required (route): the certificate is not good for "
	"mx.example: self_signed"},
    {VERIFY, GOOD, TLS_GO_ON, "1.3/verified", ""},
    {PINS, ABSENT, TLS_STOP, "none",
	"TLS with a known certificate is required (route): the host does not offer STARTTLS"},
    {PINS, REFUSED, TLS_STOP, "failed:refused",
	"TLS with a known certificate is required (route): the host refuses STARTTLS"},
    {PINS, ANY, TLS_STOP, "failed:wrong_fingerprint",
	"TLS with a known certificate is required (route): the certificate has none of the "
	"fingerprints"},
    {PINS, GOOD, TLS_STOP, "failed:wrong_fingerprint",
	"TLS with a known certificate is required (route): the certificate has none of the "
	"fingerprints"},
    {PINS, PINNED_BROKEN, TLS_STOP, "failed:closed",
	"TLS with a known certificate is required (route): the handshake failed: closed"},
    {PINS, PINNED, TLS_GO_ON, "1.3/fingerprint", ""},
};

static struct tls_policy policy(enum tls_demand demand)
{
	return (struct tls_policy){.demand = demand, .name = SPAN("mx.example"), .source = "route"};
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		struct tls_policy p = policy(rows[i].demand);
		char text[400] = "?", result[64];

		if (tls_judge(&p, &rows[i].seen, text, sizeof(text)) != rows[i].verdict ||
		    strcmp(text, rows[i].text) != 0)
			fail_msg("row %zu: %s", i, text);
		tls_result(&p, &rows[i].seen, "TLSv1.3", result, sizeof(result));
		if (strcmp(result, rows[i].result) != 0)
			fail_msg("row %zu: %s", i, result);
	}
}

/* Whatever was seen: plain text is for those alone who do not insist. */
static void test_nobody_who_insists_gets_plain_text(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 64; bits++) {
		struct tls_seen s = {
		    bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32, NULL};
		char text[400];

		for (int d = TLS_DEMAND_NONE; d <= TLS_DEMAND_MAX; d++) {
			struct tls_policy p = policy((enum tls_demand)d);
			enum tls_verdict v = tls_judge(&p, &s, text, sizeof(text));

			assert_true(v != TLS_IN_CLEAR || d <= TLS_DEMAND_TRY);
			assert_true(v != TLS_STOP || d >= TLS_DEMAND_ENCRYPT);
			assert_true(v != TLS_GO_ON || s.shaken);
			assert_true((v == TLS_STOP) == (text[0] != '\0'));
			if (v == TLS_GO_ON && d == TLS_DEMAND_VERIFY)
				assert_true(s.chain && s.name);
			if (v == TLS_GO_ON && d == TLS_DEMAND_FINGERPRINT)
				assert_true(s.pinned);
		}
	}
}

static void test_codes(void **state)
{
	static const struct tls_seen absent = ABSENT, refused = REFUSED, broken = BROKEN, any = ANY;

	(void)state;
	assert_int_equal(tls_failure_detail(&absent), 4);
	assert_int_equal(tls_failure_detail(&refused), 4);
	assert_int_equal(tls_failure_detail(&broken), 5);
	assert_int_equal(tls_failure_detail(&any), 5);
}

static void test_little_room(void **state)
{
	struct tls_policy p = policy(TLS_DEMAND_VERIFY);
	struct tls_seen s = ANY;
	char small[8], name[1000];

	(void)state;
	memset(name, 'n', sizeof(name));
	p.name = span_of(name, sizeof(name));
	assert_int_equal(tls_judge(&p, &s, small, sizeof(small)), TLS_STOP);
	assert_string_equal(small, "TLS wit");
	assert_string_equal(tls_result(&p, &s, "", small, sizeof(small)), "failed:");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_nobody_who_insists_gets_plain_text),
	    cmocka_unit_test(test_codes),
	    cmocka_unit_test(test_little_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
