/* SCRAM-SHA-256: the exchange of RFC 7677 section 3, proofs that are nearly right, and SASLprep. */
#include "auth/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* RFC 7677 section 3: user "user", password "pencil". */
static const char auth_message[] =
    "n=user,r=rOprNGfwEbeRWgbNEkqO,"
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const char salt64[] = "W22ZaJ0SNY7soEsUEjb6gQ==";
static const char proof64[] = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
static const char signature64[] = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/* Octets without the padding. */
static size_t decode(const char *text, uint8_t *out)
{
	size_t n = strlen(text);
	int got = EVP_DecodeBlock(out, (const uint8_t *)text, (int)n);

	assert_true(got > 0);
	while (n > 0 && text[--n] == '=')
		got--;
	return (size_t)got;
}

static void make(const char *password, struct scram_verifier *v)
{
	static uint8_t salt[64];
	size_t n = decode(salt64, salt);

	assert_int_equal(scram_make(span_str(password), span_of(salt, n), 4096, v), 0);
}

static void the_exchange_of_the_rfc(void **state)
{
	uint8_t proof[64], signature[SCRAM_KEY], want[64];
	struct scram_verifier v;
	size_t n = decode(proof64, proof);

	(void)state;
	make("pencil", &v);
	assert_true(scram_verify(&v, span_str(auth_message), span_of(proof, n)));
	scram_server_signature(&v, span_str(auth_message), signature);
	assert_int_equal(decode(signature64, want), SCRAM_KEY);
	assert_memory_equal(signature, want, SCRAM_KEY);
}

static void nearly_right_is_wrong(void **state)
{
	struct scram_verifier v;
	uint8_t proof[64];
	size_t n = decode(proof64, proof);

	(void)state;
	make("pencil", &v);
	for (size_t bit = 0; bit < n * 8; bit++) {
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(scram_verify(&v, span_str(auth_message), span_of(proof, n)));
		proof[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < n; len++)
		assert_false(scram_verify(&v, span_str(auth_message), span_of(proof, len)));
	assert_false(scram_verify(&v, span_str(auth_message), SPAN_NONE));
	/* For another exchange, which another nonce makes. */
	assert_false(scram_verify(
	    &v, span_first(span_str(auth_message), sizeof(auth_message) - 2), span_of(proof, n)));
	make("Pencil", &v);
	assert_false(scram_verify(&v, span_str(auth_message), span_of(proof, n)));
}

/* Who stole the verifiers can pretend to be the server, but not log in: the stored key is no proof.
 */
static void the_verifier_is_no_password(void **state)
{
	struct scram_verifier v;
	uint8_t mac[SCRAM_KEY];
	unsigned n = SCRAM_KEY;

	(void)state;
	make("pencil", &v);
	assert_false(
	    scram_verify(&v, span_str(auth_message), span_of(v.stored_key, sizeof(v.stored_key))));
	HMAC(EVP_sha256(), v.stored_key, SCRAM_KEY, (const uint8_t *)auth_message,
	    sizeof(auth_message) - 1, mac, &n);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		mac[i] ^= v.stored_key[i];
	assert_false(scram_verify(&v, span_str(auth_message), span_of(mac, SCRAM_KEY)));
	/* A verifier that is none. */
	v = (struct scram_verifier){0};
	assert_false(scram_verify(&v, span_str(auth_message), span_of(mac, SCRAM_KEY)));
}

static bool same_key(const char *a, const char *b)
{
	struct scram_verifier x, y;

	make(a, &x);
	make(b, &y);
	return memcmp(x.stored_key, y.stored_key, SCRAM_KEY) == 0;
}

/* RFC 4013 section 3, and what it forbids. */
static void passwords_are_prepared(void **state)
{
	static const char *const bad[] = {"", "\x07",
	    "\xd8\xa7"
	    "1",
	    "tab\there", "\xff\xfe", "\xc0\xaf", "nul\x7f"};
	struct scram_verifier v;

	(void)state;
	assert_true(same_key("IX", "I\xc2\xadX"));   /* a soft hyphen is nothing */
	assert_true(same_key("a", "\xc2\xaa"));      /* a feminine ordinal is an a */
	assert_true(same_key("IX", "\xe2\x85\xa8")); /* a Roman nine is two letters */
	assert_true(same_key("a b", "a\xc2\xa0"
				    "b")); /* any blank is a blank */
	assert_false(same_key("user", "USER"));
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(
		    scram_make(span_str(bad[i]), SPAN("saltsaltsaltsalt"), 4096, &v), GW_EFORMAT);
	assert_int_equal(scram_make(SPAN("a\0b"), SPAN("saltsaltsaltsalt"), 4096, &v), GW_EFORMAT);
}

static void salts_of_nobody(void **state)
{
	uint8_t secret[32] = {1}, other[32] = {2}, a[16], b[16];

	(void)state;
	scram_fake_salt(secret, SPAN("nobody@example.com"), a);
	scram_fake_salt(secret, SPAN("NoBody@Example.COM"), b);
	assert_memory_equal(a, b, sizeof(a));
	scram_fake_salt(secret, SPAN("nobody2@example.com"), b);
	assert_memory_not_equal(a, b, sizeof(a));
	scram_fake_salt(other, SPAN("nobody@example.com"), b);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_exchange_of_the_rfc),
	    cmocka_unit_test(nearly_right_is_wrong), cmocka_unit_test(the_verifier_is_no_password),
	    cmocka_unit_test(passwords_are_prepared), cmocka_unit_test(salts_of_nobody)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
