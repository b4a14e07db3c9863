#include "auth/scram_client.h"

#include "auth/scram.h"
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NONCE "rOprNGfwEbeRWgbNEkqO----"
#define SERVER_NONCE NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="

static struct scram_client client;
static struct buf out;

static struct span text(void)
{
	return buf_view(&out);
}

static void start(const char *user, const char *password, const char *gs2, const char *binding)
{
	scram_client_init(
	    &client, span_str(user), span_str(password), gs2, span_str(binding), NONCE);
	buf_init(&out, 8192);
}

static int teardown(void **state)
{
	(void)state;
	scram_client_fini(&client);
	buf_fini(&out);
	return 0;
}

static const char *prove(const char *server_first)
{
	buf_clear(&out);
	return scram_client_proof(&client, span_str(server_first), &out);
}

/* RFC 7677 section 3; its nonce is shorter than ours. */
static void the_example_of_the_rfc(void **state)
{
	const char *first =
	    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" SALT ",i=4096";

	(void)state;
	start("user", "pencil", "n,,", "");
	buf_clear(&client.first);
	buf_add_str(&client.first, "n=user,r=rOprNGfwEbeRWgbNEkqO");
	memcpy(client.nonce, "rOprNGfwEbeRWgbNEkqO%hvY", sizeof(client.nonce));
	assert_null(prove(first));
	assert_true(
	    span_eq(text(), SPAN("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
				 "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")));
	assert_true(
	    scram_client_check(&client, SPAN("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
	assert_false(
	    scram_client_check(&client, SPAN("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
	assert_false(scram_client_check(&client, SPAN("v=")));
	assert_false(scram_client_check(&client, SPAN("e=invalid-proof")));
	assert_false(scram_client_check(&client, SPAN("")));
}

static void commas_and_equals_in_names(void **state)
{
	(void)state;
	start("a=b,c", "x", "y,,", "");
	scram_client_first(&client, &out);
	assert_true(span_eq(text(), SPAN("y,,n=a=3Db=2Cc,r=" NONCE)));
}

/* What the server's own arithmetic makes of it, with and without a binding. */
static void agrees_with_the_server(const char *gs2, const char *binding, const char *bound)
{
	const char *first = "r=" SERVER_NONCE ",s=" SALT ",i=4096";
	struct scram_verifier v;
	struct buf salt, proof, message;
	uint8_t signature[SCRAM_KEY];
	ptrdiff_t at;

	start("user", "p\xc3\xa9ncil", gs2, binding);
	assert_null(prove(first));
	buf_init(&salt, 64);
	buf_init(&proof, 64);
	buf_init(&message, 4096);
	assert_int_equal(base64_decode(SPAN(SALT), &salt), 0);
	assert_int_equal(scram_make(SPAN("p\xc3\xa9ncil"), buf_view(&salt), 4096, &v), 0);
	assert_true(span_starts(text(), span_str(bound)));
	at = (ptrdiff_t)strlen(bound) + (ptrdiff_t)strlen(",r=" SERVER_NONCE ",p=");
	assert_int_equal(base64_decode(span_skip(text(), (size_t)at), &proof), 0);
	buf_addf(&message, "n=user,r=" NONCE ",%s,%s,r=", first, bound);
	buf_add_str(&message, SERVER_NONCE);
	assert_true(scram_verify(&v, buf_view(&message), buf_view(&proof)));
	scram_server_signature(&v, buf_view(&message), signature);
	buf_clear(&out);
	buf_add_str(&out, "v=");
	base64_encode(span_of(signature, sizeof(signature)), &out);
	assert_true(scram_client_check(&client, text()));
	buf_fini(&salt);
	buf_fini(&proof);
	buf_fini(&message);
}

static void without_binding(void **state)
{
	(void)state;
	agrees_with_the_server("n,,", "", "c=biws");
}

static void with_binding(void **state)
{
	(void)state;
	agrees_with_the_server("p=tls-unique,,", "abc", "c=cD10bHMtdW5pcXVlLCxhYmM=");
}

static void hostile_challenges(void **state)
{
	static const char *const bad[] = {
	    "",
	    "r=" SERVER_NONCE ",s=" SALT,
	    "r=" NONCE ",s=" SALT ",i=4096",             /* nothing of its own */
	    "r=other" SERVER_NONCE ",s=" SALT ",i=4096", /* not ours */
	    "r=" SERVER_NONCE ",i=4096",
	    "r=" SERVER_NONCE ",s=,i=4096",
	    "r=" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ,i=4096",
	    "r=" SERVER_NONCE ",s=" SALT ",i=1",          /* cheap to guess from */
	    "r=" SERVER_NONCE ",s=" SALT ",i=4294967296", /* would take hours */
	    "r=" SERVER_NONCE ",s=" SALT ",i=-4096",
	    "e=unknown-user",
	};

	(void)state;
	start("user", "pencil", "n,,", "");
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		assert_non_null(prove(bad[i]));
		assert_int_equal(buf_len(&out), 0);
	}
}

static void passwords_that_cannot_be(void **state)
{
	(void)state;
	start("user", "bell\a", "n,,", "");
	assert_non_null(prove("r=" SERVER_NONCE ",s=" SALT ",i=4096"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(the_example_of_the_rfc, teardown),
	    cmocka_unit_test_teardown(commas_and_equals_in_names, teardown),
	    cmocka_unit_test_teardown(without_binding, teardown),
	    cmocka_unit_test_teardown(with_binding, teardown),
	    cmocka_unit_test_teardown(hostile_challenges, teardown),
	    cmocka_unit_test_teardown(passwords_that_cannot_be, teardown),
	};

	return cmocka_run_group_tests_name("scram_client", tests, NULL, NULL);
}
