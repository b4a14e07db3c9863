/* The client's side of a login, against this program's own server side of the arithmetic. */
#include "auth/sasl_client.h"

#include "auth/scram.h"
#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ROOM = 8192 };

static const struct login_binding exporter = {
    "tls-exporter", "0123456789abcdef0123456789abcde", 32};

static struct login_wish wish(enum login_mechanism m)
{
	return (struct login_wish){.user = SPAN("al=ice,1"),
	    .password = SPAN("secret"),
	    .mechanism = m,
	    .binding = &exporter,
	    .random = "17 random octets."};
}

static void first(struct sasl_client *c, struct buf *b)
{
	buf_init(b, ROOM);
	assert_true(sasl_client_first(c, b));
}

static void test_plain(void **state)
{
	struct login_wish w = wish(LOGIN_PLAIN);
	struct sasl_client c;
	struct buf b;

	(void)state;
	assert_null(sasl_client_init(&c, &w));
	first(&c, &b);
	assert_true(span_eq(buf_view(&b), SPAN("\0al=ice,1\0secret")));
	assert_non_null(sasl_client_answer(&c, SPAN(""), &b)); /* there is no more to say */
	assert_true(sasl_client_proven(&c));
	buf_fini(&b);
	sasl_client_fini(&c);
}

static void test_login(void **state)
{
	struct login_wish w = wish(LOGIN_LOGIN);
	struct sasl_client c;
	struct buf b;

	(void)state;
	buf_init(&b, ROOM);
	assert_null(sasl_client_init(&c, &w));
	assert_false(sasl_client_first(&c, &b));
	assert_null(sasl_client_answer(&c, SPAN("Username:"), &b));
	assert_true(span_eq(buf_view(&b), SPAN("al=ice,1")));
	buf_clear(&b);
	assert_null(sasl_client_answer(&c, SPAN("Anything"), &b));
	assert_true(span_eq(buf_view(&b), SPAN("secret")));
	buf_clear(&b);
	assert_non_null(sasl_client_answer(&c, SPAN("Once more"), &b));
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
	sasl_client_fini(&c);
}

/* The server's first message to this first message of the client. */
static void challenge(struct span client_first, const char *rest, struct buf *out)
{
	struct span r = client_first;

	while (r.n > 2 && !span_starts(r, SPAN(",r=")))
		r = span_skip(r, 1);
	buf_init(out, ROOM);
	buf_addf(out, "r=%.*sSERVER,%s", SPAN_ARG(span_skip(r, 3)), rest);
}

static void sign(
    struct span bare, struct span server_first, struct span without, uint8_t to[SCRAM_KEY])
{
	struct scram_verifier v;
	struct buf message;

	assert_int_equal(scram_make(SPAN("secret"), SPAN("saltsaltsalt"), 4096, &v), 0);
	buf_init(&message, ROOM);
	buf_addf(
	    &message, "%.*s,%.*s,%.*s", SPAN_ARG(bare), SPAN_ARG(server_first), SPAN_ARG(without));
	scram_server_signature(&v, buf_view(&message), to);
	buf_fini(&message);
}

/* A whole exchange; right: the server knows the password. */
static bool scram(enum login_mechanism m, const char *header, bool right)
{
	struct login_wish w = wish(m);
	struct sasl_client c;
	struct buf one, two, three, four;
	struct span without;
	uint8_t signature[SCRAM_KEY];
	bool proven;

	w.tls = true;
	assert_null(sasl_client_init(&c, &w));
	first(&c, &one);
	assert_true(span_starts(buf_view(&one), span_str(header)));
	challenge(buf_view(&one), "s=c2FsdHNhbHRzYWx0,i=4096", &two);
	buf_init(&three, ROOM);
	assert_null(sasl_client_answer(&c, buf_view(&two), &three));
	assert_false(sasl_client_proven(&c));
	without = buf_view(&three);
	while (!span_starts(span_skip(buf_view(&three), without.n), SPAN(",p=")))
		without.n--;
	sign(span_skip(buf_view(&one), strlen(header)), buf_view(&two), without, signature);
	signature[0] ^= !right;
	buf_init(&four, ROOM);
	buf_add_str(&four, "v=");
	base64_encode(span_of(signature, sizeof(signature)), &four);
	buf_clear(&one);
	proven = sasl_client_answer(&c, buf_view(&four), &one) == NULL;
	assert_int_equal(proven, sasl_client_proven(&c));
	assert_int_equal(buf_len(&one), 0);
	if (proven) /* once */
		assert_non_null(sasl_client_answer(&c, buf_view(&four), &one));
	buf_fini(&one);
	buf_fini(&two);
	buf_fini(&three);
	buf_fini(&four);
	sasl_client_fini(&c);
	return proven;
}

static void test_scram(void **state)
{
	(void)state;
	assert_true(scram(LOGIN_SCRAM, "y,,", true));
	assert_false(scram(LOGIN_SCRAM, "y,,", false));
	assert_true(scram(LOGIN_SCRAM_PLUS, "p=tls-exporter,,", true));
	assert_false(scram(LOGIN_SCRAM_PLUS, "p=tls-exporter,,", false));
}

/* RFC 5802 section 6: whoever took the mechanism with binding out of the offer is found out. */
static void test_the_header(void **state)
{
	static const struct {
		bool tls, offered;
		const char *header;
	} rows[] = {{false, false, "n,,n="}, {false, true, "n,,n="}, {true, false, "y,,n="},
	    {true, true, "n,,n="}};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		struct login_wish w = wish(LOGIN_SCRAM);
		struct sasl_client c;
		struct buf b;

		w.tls = rows[i].tls;
		w.plus_offered = rows[i].offered;
		assert_null(sasl_client_init(&c, &w));
		first(&c, &b);
		assert_true(span_starts(buf_view(&b), span_str(rows[i].header)));
		buf_fini(&b);
		sasl_client_fini(&c);
	}
}

static void test_bad_challenges(void **state)
{
	static const char *const rest[] = {"s=c2FsdHNhbHRzYWx0", "s=c2FsdHNhbHRzYWx0,i=4095",
	    "s=c2FsdHNhbHRzYWx0,i=100001", "s=c2FsdHNhbHRzYWx0,i=99999999999999999999", "s=,i=4096",
	    "s=!,i=4096", "i=4096", ""};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rest); i++) {
		struct login_wish w = wish(LOGIN_SCRAM);
		struct sasl_client c;
		struct buf one, two, three;

		w.iterations = 100000;
		assert_null(sasl_client_init(&c, &w));
		first(&c, &one);
		challenge(buf_view(&one), rest[i], &two);
		buf_init(&three, ROOM);
		assert_non_null(sasl_client_answer(&c, buf_view(&two), &three));
		assert_int_equal(buf_len(&three), 0);
		assert_false(sasl_client_proven(&c));
		buf_fini(&one);
		buf_fini(&two);
		buf_fini(&three);
		sasl_client_fini(&c);
	}
}

/* Our own first message sent back, without the server's part of the nonce. */
static void test_a_mirror(void **state)
{
	struct login_wish w = wish(LOGIN_SCRAM);
	struct sasl_client c;
	struct buf one, out;

	(void)state;
	assert_null(sasl_client_init(&c, &w));
	first(&c, &one);
	buf_init(&out, ROOM);
	assert_non_null(sasl_client_answer(&c, buf_view(&one), &out));
	buf_fini(&one);
	buf_fini(&out);
	sasl_client_fini(&c);
}

static void test_what_cannot_be(void **state)
{
	struct login_wish w = wish(LOGIN_SCRAM_PLUS);
	struct login_binding none = {.name = "tls-unique"};
	struct sasl_client c;

	(void)state;
	w.binding = &none;
	assert_non_null(sasl_client_init(&c, &w));
	sasl_client_fini(&c);
	w = wish(LOGIN_PLAIN);
	w.password = SPAN("se\0cret");
	assert_non_null(sasl_client_init(&c, &w));
	sasl_client_fini(&c);
	w = wish(LOGIN_PLAIN);
	w.user = SPAN("al\0ice");
	assert_non_null(sasl_client_init(&c, &w));
	sasl_client_fini(&c);
}

static void test_which(void **state)
{
	const uint32_t all = LOGIN_BIT(LOGIN_MECHANISMS) - 1, plus = LOGIN_BIT(LOGIN_SCRAM_PLUS),
		       login = LOGIN_BIT(LOGIN_LOGIN), plain = LOGIN_BIT(LOGIN_PLAIN);

	(void)state;
	assert_int_equal(login_best(all, all, true), LOGIN_SCRAM_PLUS);
	assert_int_equal(login_best(all, all, false), LOGIN_SCRAM);
	assert_int_equal(login_best(plus, all, false), -1);
	assert_int_equal(login_best(login | plain, all, true), LOGIN_PLAIN);
	assert_int_equal(login_best(all, login, true), LOGIN_LOGIN);
	assert_int_equal(login_best(0, all, true), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_login),
	    cmocka_unit_test(test_scram),
	    cmocka_unit_test(test_the_header),
	    cmocka_unit_test(test_bad_challenges),
	    cmocka_unit_test(test_a_mirror),
	    cmocka_unit_test(test_what_cannot_be),
	    cmocka_unit_test(test_which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
