#include "smtp/sasl.h"

#include "base/base64.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
static const uint8_t nonce[SASL_NONCE + 1] = NONCE;
static const struct sasl_binding none = {SPAN_NONE, SPAN_NONE, false};

static void start(struct sasl *s, enum sasl_mechanism m, const struct sasl_binding *b)
{
	sasl_init(s, m, b, nonce);
}

/* What one message alone leads to. */
static enum sasl_step one(enum sasl_mechanism m, const struct sasl_binding *b, struct span message)
{
	enum sasl_step step;
	struct sasl s;

	start(&s, m, b);
	step = sasl_feed(&s, message);
	if (step == SASL_MALFORMED || step == SASL_REFUSED)
		assert_true(strlen(sasl_why(&s)) > 0);
	sasl_fini(&s);
	return step;
}

#define SAY(s, text) sasl_feed(s, span_str(text))
#define PLAIN_OF(text) one(SASL_PLAIN, &none, SPAN(text))
#define SCRAM_OF(text) one(SASL_SCRAM_SHA_256, &none, SPAN(text))

static void plain(void **state)
{
	struct sasl s;

	(void)state;
	start(&s, SASL_PLAIN, &none);
	assert_int_equal(sasl_start(&s), SASL_CHALLENGE);
	assert_int_equal(sasl_message(&s).n, 0);
	assert_int_equal(sasl_feed(&s, SPAN("\0tim\0tanstaaftanstaaf")), SASL_ASK_PASSWORD);
	assert_true(span_eq(sasl_name(&s), SPAN("tim")));
	assert_true(span_eq(sasl_secret(&s), SPAN("tanstaaftanstaaf")));
	assert_int_equal(SAY(&s, "more"), SASL_MALFORMED);
	sasl_fini(&s);
	assert_int_equal(PLAIN_OF("Tim\0tim\0x"), SASL_ASK_PASSWORD);
	assert_int_equal(PLAIN_OF("Ursel\0Kurt\0xipj3plmq"), SASL_REFUSED);
	assert_int_equal(PLAIN_OF("\0gr\xc3\xbc\xc3\x9f\0x"), SASL_ASK_PASSWORD);
	assert_int_equal(PLAIN_OF("\0a\0pass\xff word"), SASL_ASK_PASSWORD);
}

static void plain_malformed(void **state)
{
	static char big[4097];

	(void)state;
	assert_int_equal(PLAIN_OF(""), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("a"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0\0x"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\0"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\0b\0c"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\nb\0x"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\x7f\0x"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\xc0\xaf\0x"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\xed\xa0\x80\0x"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\0a\xc3"), SASL_MALFORMED);
	assert_int_equal(PLAIN_OF("\n\0a\0x"), SASL_MALFORMED);
	memset(big, 'a', sizeof(big));
	big[0] = big[257] = 0;
	assert_int_equal(one(SASL_PLAIN, &none, span_of(big, 300)), SASL_MALFORMED);
	big[256] = 0;
	big[257] = 'a';
	assert_int_equal(one(SASL_PLAIN, &none, span_of(big, 300)), SASL_ASK_PASSWORD);
	assert_int_equal(one(SASL_PLAIN, &none, span_of(big, 257 + 1024)), SASL_ASK_PASSWORD);
	assert_int_equal(one(SASL_PLAIN, &none, span_of(big, 257 + 1025)), SASL_MALFORMED);
	assert_int_equal(one(SASL_PLAIN, &none, span_of(big, sizeof(big))), SASL_MALFORMED);
}

static void login(void **state)
{
	struct sasl s;

	(void)state;
	for (int initial = 0; initial < 2; initial++) {
		start(&s, SASL_LOGIN, &none);
		if (!initial) {
			assert_int_equal(sasl_start(&s), SASL_CHALLENGE);
			assert_true(span_eq(sasl_message(&s), SPAN("Username:")));
		}
		assert_int_equal(SAY(&s, "alice"), SASL_CHALLENGE);
		assert_true(span_eq(sasl_message(&s), SPAN("Password:")));
		assert_int_equal(SAY(&s, "se cret"), SASL_ASK_PASSWORD);
		assert_true(span_eq(sasl_name(&s), SPAN("alice")));
		assert_true(span_eq(sasl_secret(&s), SPAN("se cret")));
		sasl_fini(&s);
	}
	assert_int_equal(one(SASL_LOGIN, &none, SPAN_NONE), SASL_MALFORMED);
	assert_int_equal(one(SASL_LOGIN, &none, SPAN("a\0b")), SASL_MALFORMED);
	start(&s, SASL_LOGIN, &none);
	assert_int_equal(SAY(&s, "alice"), SASL_CHALLENGE);
	assert_int_equal(SAY(&s, ""), SASL_MALFORMED);
	sasl_fini(&s);
}

/* ---- RFC 7677 section 3 -------------------------------------------------------------------- */

#define FIRST "n=user,r=rOprNGfwEbeRWgbNEkqO"
#define BOTH "rOprNGfwEbeRWgbNEkqO" NONCE
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SERVER_FIRST "r=" BOTH ",s=" SALT ",i=4096"
#define BARE_FINAL "c=biws,r=" BOTH
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void hmac(const void *key, struct span data, uint8_t out[32])
{
	unsigned n = 32;

	assert_non_null(HMAC(EVP_sha256(), key, 32, data.p, data.n, out, &n));
}

/* The client's side of the arithmetic: its proof, and the signature it expects. */
static void compute(struct span salt, struct span evidence, uint8_t proof[32], uint8_t sign[32])
{
	uint8_t salted[32], client[32], stored[32], server[32];

	PKCS5_PBKDF2_HMAC("pencil", 6, salt.p, (int)salt.n, 4096, EVP_sha256(), 32, salted);
	hmac(salted, SPAN("Client Key"), client);
	SHA256(client, 32, stored);
	hmac(stored, evidence, proof);
	for (int i = 0; i < 32; i++)
		proof[i] ^= client[i];
	hmac(salted, SPAN("Server Key"), server);
	hmac(server, evidence, sign);
}

static void to_salt(struct sasl *s)
{
	struct buf salt;

	buf_init(&salt, 100);
	assert_int_equal(base64_decode(SPAN(SALT), &salt), 0);
	assert_int_equal(sasl_salt(s, buf_view(&salt), 4096), SASL_CHALLENGE);
	buf_fini(&salt);
}

static void known_answer(void **state)
{
	uint8_t proof[32], sign[32];
	struct buf salt;
	struct sasl s;

	(void)state;
	buf_init(&salt, 100);
	assert_int_equal(base64_decode(SPAN(SALT), &salt), 0);
	start(&s, SASL_SCRAM_SHA_256, &none);
	assert_int_equal(SAY(&s, "n,," FIRST), SASL_ASK_SALT);
	assert_true(span_eq(sasl_name(&s), SPAN("user")));
	to_salt(&s);
	assert_true(span_eq(sasl_message(&s), SPAN(SERVER_FIRST)));
	assert_int_equal(SAY(&s, BARE_FINAL ",p=" PROOF), SASL_ASK_PROOF);
	assert_true(span_eq(sasl_secret(&s), SPAN(FIRST "," SERVER_FIRST "," BARE_FINAL)));
	compute(buf_view(&salt), sasl_secret(&s), proof, sign);
	assert_true(span_eq(sasl_proof(&s), span_of(proof, 32)));
	assert_int_equal(sasl_signature(&s, span_of(sign, 32)), SASL_CHALLENGE);
	assert_true(span_eq(sasl_message(&s), SPAN("v=" SIGNATURE)));
	assert_int_equal(SAY(&s, ""), SASL_DONE);
	assert_int_equal(SAY(&s, ""), SASL_MALFORMED);
	sasl_fini(&s);
	buf_fini(&salt);
}

static void scram_first_messages(void **state)
{
	(void)state;
	assert_int_equal(SCRAM_OF("n,,n=user,r=x"), SASL_ASK_SALT);
	assert_int_equal(SCRAM_OF("y,,n=user,r=x"), SASL_ASK_SALT);
	assert_int_equal(SCRAM_OF("n,a=user,n=user,r=x"), SASL_ASK_SALT);
	assert_int_equal(SCRAM_OF("n,a=USER,n=user,r=x,a=b,z=c"), SASL_ASK_SALT);
	assert_int_equal(SCRAM_OF("n,a=root,n=user,r=x"), SASL_REFUSED);
	assert_int_equal(SCRAM_OF("n,,m=ext,n=user,r=x"), SASL_REFUSED);
	assert_int_equal(SCRAM_OF("p=tls-unique,,n=user,r=x"), SASL_REFUSED);
}

static void scram_first_malformed(void **state)
{
	static const char *const bad[] = {"", "n", "n,", "n,,", "n,,n=user", "n,,r=x,n=user",
	    "n,,n=,r=x", "n,,n=user,r=", "n,,n=user,r=a b", "x,,n=user,r=x", "N,,n=user,r=x",
	    ",,n=user,r=x", "n,n=user,r=x", "n,,n=us=er,r=x", "n,,n=us=2c,r=x", "n,,n=us=2,r=x",
	    "n,,n=us\ner,r=x", "n,,n=user,r=x,", "n,,n=user,r=x,a",
	    "n,,n=user,r=x,a=", "n,,n=user,r=x,1=b", "n,,n=user,r=x,m=b", "n,,n=us\xff,r=x",
	    "nn,,n=user,r=x", "n,, n=user,r=x"};
	static char big[4000];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(one(SASL_SCRAM_SHA_256, &none, span_str(bad[i])), SASL_MALFORMED);
	assert_int_equal(SCRAM_OF("n,,n=us\0er,r=x"), SASL_MALFORMED);
	memset(big, 'x', sizeof(big));
	memcpy(big, "n,,n=user,r=", 12);
	assert_int_equal(one(SASL_SCRAM_SHA_256, &none, span_of(big, 12 + 512)), SASL_ASK_SALT);
	assert_int_equal(one(SASL_SCRAM_SHA_256, &none, span_of(big, 12 + 513)), SASL_MALFORMED);
	memcpy(big, "n,,n=xxxxxxx", 12);
	assert_int_equal(one(SASL_SCRAM_SHA_256, &none, span_of(big, 1000)), SASL_MALFORMED);
}

static void names_are_unescaped(void **state)
{
	struct sasl s;

	(void)state;
	start(&s, SASL_SCRAM_SHA_256, &none);
	assert_int_equal(SAY(&s, "n,a=a=2Cb=3D3D,n=a=2Cb=3D3D,r=x"), SASL_ASK_SALT);
	assert_true(span_eq(sasl_name(&s), SPAN("a,b=3D")));
	sasl_fini(&s);
}

static void final_messages(void **state)
{
	static const struct {
		const char *message;
		enum sasl_step step;
	} cases[] = {
	    {BARE_FINAL ",p=" PROOF, SASL_ASK_PROOF}, {BARE_FINAL ",x=y,p=" PROOF, SASL_ASK_PROOF},
	    {"c=eSws,r=" BOTH ",p=" PROOF, SASL_REFUSED}, /* y,, */
	    {"c=,r=" BOTH ",p=" PROOF, SASL_REFUSED}, {"c=biw,r=" BOTH ",p=" PROOF, SASL_REFUSED},
	    {"c=biws,r=" BOTH "x,p=" PROOF, SASL_REFUSED},
	    {"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF, SASL_REFUSED},
	    {"c=biws,r=,p=" PROOF, SASL_REFUSED}, {BARE_FINAL, SASL_MALFORMED},
	    {"", SASL_MALFORMED}, {",p=", SASL_MALFORMED},
	    {"r=" BOTH ",c=biws,p=" PROOF, SASL_MALFORMED}, {BARE_FINAL ",p=", SASL_MALFORMED},
	    {BARE_FINAL ",p=Zm9v", SASL_MALFORMED}, {BARE_FINAL ",p=" PROOF ",x=y", SASL_MALFORMED},
	    {BARE_FINAL ",m=y,p=" PROOF, SASL_MALFORMED},
	    {BARE_FINAL ",p=AAAA,p=" PROOF,
		SASL_ASK_PROOF}, /* "p" as an extension: in the evidence */
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		struct sasl s;

		start(&s, SASL_SCRAM_SHA_256, &none);
		assert_int_equal(SAY(&s, "n,," FIRST), SASL_ASK_SALT);
		to_salt(&s);
		assert_int_equal(SAY(&s, cases[i].message), cases[i].step);
		sasl_fini(&s);
	}
}

/* ---- channel binding --------------------------------------------------------------------------
 */

static void downgrades(void **state)
{
	struct sasl_binding b = {SPAN("0123456789abcdef0123456789abcdef"), SPAN_NONE, true};

	(void)state;
	/* -PLUS was in our list, and the client saw none: somebody took it out. */
	assert_int_equal(one(SASL_SCRAM_SHA_256, &b, SPAN("y,,n=user,r=x")), SASL_REFUSED);
	assert_int_equal(one(SASL_SCRAM_SHA_256, &b, SPAN("n,,n=user,r=x")), SASL_ASK_SALT);
	assert_int_equal(
	    one(SASL_SCRAM_SHA_256, &b, SPAN("p=tls-exporter,,n=user,r=x")), SASL_REFUSED);
	assert_int_equal(one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("n,,n=user,r=x")), SASL_REFUSED);
	assert_int_equal(one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("y,,n=user,r=x")), SASL_REFUSED);
	assert_int_equal(
	    one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("p=tls-unique,,n=user,r=x")), SASL_REFUSED);
	assert_int_equal(
	    one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("p=tls-server-end-point,,n=user,r=x")),
	    SASL_REFUSED);
	assert_int_equal(
	    one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("p=tls-exporter,,n=user,r=x")), SASL_ASK_SALT);
	assert_int_equal(one(SASL_SCRAM_SHA_256_PLUS, &b, SPAN("p=,,n=user,r=x")), SASL_REFUSED);
}

/* The final message of a client bound to `to`, as the server sees it. */
static enum sasl_step bound(const char *kind, struct span ours, struct span theirs)
{
	bool exporter = strcmp(kind, "tls-exporter") == 0;
	struct sasl_binding b = {exporter ? ours : SPAN_NONE, exporter ? SPAN_NONE : ours, true};
	struct buf c, text;
	enum sasl_step step;
	struct sasl s;

	buf_init(&c, 1000);
	buf_init(&text, 1000);
	buf_addf(&c, "p=%s,,", kind);
	buf_add_span(&text, buf_view(&c));
	buf_add_str(&text, FIRST);
	buf_add_span(&c, theirs);
	start(&s, SASL_SCRAM_SHA_256_PLUS, &b);
	assert_int_equal(sasl_feed(&s, buf_view(&text)), SASL_ASK_SALT);
	to_salt(&s);
	buf_clear(&text);
	buf_add_str(&text, "c=");
	base64_encode(buf_view(&c), &text);
	buf_add_str(&text, ",r=" BOTH ",p=" PROOF);
	step = sasl_feed(&s, buf_view(&text));
	sasl_fini(&s);
	buf_fini(&c);
	buf_fini(&text);
	return step;
}

static void the_binding_is_checked(void **state)
{
	(void)state;
	assert_int_equal(bound("tls-exporter", SPAN("one"), SPAN("one")), SASL_ASK_PROOF);
	assert_int_equal(bound("tls-unique", SPAN("one"), SPAN("one")), SASL_ASK_PROOF);
	assert_int_equal(bound("tls-exporter", SPAN("one"), SPAN("two")), SASL_REFUSED);
	assert_int_equal(bound("tls-unique", SPAN("one"), SPAN("one, and more")), SASL_REFUSED);
	assert_int_equal(bound("tls-unique", SPAN("one"), SPAN("")), SASL_REFUSED);
}

static void secrets_are_overwritten(void **state)
{
	struct sasl s;
	uint8_t zero[sizeof(s)] = {0};

	(void)state;
	start(&s, SASL_PLAIN, &none);
	assert_int_equal(sasl_feed(&s, SPAN("\0a\0secret")), SASL_ASK_PASSWORD);
	sasl_fini(&s);
	assert_memory_equal(&s, zero, sizeof(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain),
	    cmocka_unit_test(plain_malformed),
	    cmocka_unit_test(login),
	    cmocka_unit_test(known_answer),
	    cmocka_unit_test(scram_first_messages),
	    cmocka_unit_test(scram_first_malformed),
	    cmocka_unit_test(names_are_unescaped),
	    cmocka_unit_test(final_messages),
	    cmocka_unit_test(downgrades),
	    cmocka_unit_test(the_binding_is_checked),
	    cmocka_unit_test(secrets_are_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
