/* The Sender Rewriting Scheme: vectors made with Python's hmac, and what must not come back. */
#include "auth/srs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DAY = 20000 };

static struct srs with(const char *secret)
{
	struct srs s = {.domain = SPAN("ours.test"), .age = 21};

	assert_int_equal(srs_secrets(&s, span_str(secret)), 0);
	return s;
}

static void there(const struct srs *s, const char *from, const char *want)
{
	char got[600];
	struct buf b;
	int err;

	buf_init(&b, 512);
	err = srs_forward(s, span_str(from), DAY, &b);
	if (err < 0)
		buf_add_str(&b, err == GW_EFULL ? "full" : "format");
	span_to_cstr(buf_view(&b), got, sizeof(got));
	assert_string_equal(got, want);
	buf_fini(&b);
}

static void back(
    const struct srs *s, const char *local, int64_t day, enum srs_verdict want, const char *to)
{
	char got[600];
	struct buf b;

	buf_init(&b, 512);
	assert_int_equal(srs_reverse(s, span_str(local), day, &b), want);
	span_to_cstr(buf_view(&b), got, sizeof(got));
	assert_string_equal(got, to);
	buf_fini(&b);
}

static void test_forward(void **state)
{
	struct srs s = with("not so secret\n");

	(void)state;
	there(&s, "Alice@there.test", "SRS0=HRnfKs=RA=there.test=Alice@ours.test");
	there(&s, "a=b+c@there.test", "SRS0=87OLps=RA=there.test=a=b+c@ours.test");
	there(&s, "SRS0=ABCD=TT=home.test=bob@fwd.test",
	    "SRS1=6XG2SL=fwd.test==ABCD=TT=home.test=bob@ours.test");
	/* The one in the middle is left out. */
	there(&s, "SRS1=xyzxyz=fwd.test==ABCD=TT=home.test=bob@second.test",
	    "SRS1=6XG2SL=fwd.test==ABCD=TT=home.test=bob@ours.test");
	there(&s, "\"a b\"@there.test", "\"SRS0=R93oPf=RA=there.test=a b\"@ours.test");
	there(&s, "", "format");
	there(&s, "a@[192.0.2.1]", "format");
	there(&s, "an.address.that.is.long@a.domain.that.is.long.itself.example.test", "full");
}

static void test_back(void **state)
{
	struct srs s = with("not so secret\n");

	(void)state;
	back(&s, "SRS0=HRnfKs=RA=there.test=Alice", DAY, SRS_GOOD, "Alice@there.test");
	/* A host on the way that makes all lower case does not break it. */
	back(&s, "srs0=hrnfks=ra=there.test=alice", DAY, SRS_GOOD, "alice@there.test");
	back(&s, "SRS0+HRnfKs=RA=there.test=Alice", DAY, SRS_GOOD, "Alice@there.test");
	back(&s, "SRS0=87OLps=RA=there.test=a=b+c", DAY, SRS_GOOD, "a=b+c@there.test");
	back(&s, "SRS1=6XG2SL=fwd.test==ABCD=TT=home.test=bob", DAY + 500, SRS_GOOD,
	    "SRS0=ABCD=TT=home.test=bob@fwd.test");
	back(&s, "alice", DAY, SRS_NONE, "");
	back(&s, "SRS0", DAY, SRS_NONE, "");
	back(&s, "SRS0=", DAY, SRS_NONE, "");
	back(&s, "SRS2=HRnfKs=RA=there.test=Alice", DAY, SRS_NONE, "");
	back(&s, "SRS0=x", DAY, SRS_BROKEN, "");
	back(&s, "SRS0=HRnfKs=RA=there.test", DAY, SRS_BROKEN, "");
	back(&s, "SRS0=HRnfKs=RA=there.test=", DAY, SRS_FORGED, "");
	back(&s, "SRS1=6XG2SL=fwd.test=", DAY, SRS_BROKEN, "");
}

/* Whoever has no secret sends nothing through us: each part is under the hash, all of it counts. */
static void test_forged(void **state)
{
	struct srs s = with("not so secret\n"), other = with("another one\n");

	(void)state;
	back(&other, "SRS0=HRnfKs=RA=there.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnfKs=RB=there.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnfKs=RA=victim.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnfKs=RA=there.test=Victim", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnfK=RA=there.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnf=RA=there.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS0=HRnfKsx=RA=there.test=Alice", DAY, SRS_FORGED, "");
	back(&s, "SRS1=6XG2SL=victim.test==ABCD=TT=home.test=bob", DAY, SRS_FORGED, "");
	back(&s, "SRS1=6XG2SL=fwd.test=+ABCD=TT=home.test=bob", DAY, SRS_FORGED, "");
	for (size_t i = 5; i < 11; i++) {
		char local[] = "SRS0=HRnfKs=RA=there.test=Alice";

		local[i] = local[i] == '0' ? '1' : '0';
		back(&s, local, DAY, SRS_FORGED, "");
	}
	s.n_secret = 0;
	back(&s, "SRS0=HRnfKs=RA=there.test=Alice", DAY, SRS_FORGED, "");
}

static void test_age(void **state)
{
	static const char local[] = "SRS0=HRnfKs=RA=there.test=Alice";
	struct srs s = with("not so secret\n");

	(void)state;
	back(&s, local, DAY + 21, SRS_GOOD, "Alice@there.test");
	back(&s, local, DAY + 22, SRS_OLD, "");
	back(&s, local, DAY - 1, SRS_GOOD, "Alice@there.test"); /* a clock that is behind ours */
	back(&s, local, DAY - 2, SRS_OLD, "");
	back(&s, local, DAY + 1024, SRS_GOOD, "Alice@there.test"); /* the days come round */
}

/* The new secret signs, the old one is still taken. */
static void test_secrets(void **state)
{
	struct srs s = with("\nbrand new secret\r\nnot so secret\n\n");

	(void)state;
	assert_int_equal(s.n_secret, 2);
	assert_int_equal(s.secret[0].n, 16);
	back(&s, "SRS0=HRnfKs=RA=there.test=Alice", DAY, SRS_GOOD, "Alice@there.test");
	assert_int_equal(srs_secrets(&s, SPAN("short\n")), GW_EFORMAT);
	assert_int_equal(s.n_secret, 0);
	assert_int_equal(srs_secrets(&s, SPAN("\n\n")), GW_EFORMAT);
	assert_int_equal(srs_secrets(&s, SPAN("")), GW_EFORMAT);
	assert_int_equal(srs_secrets(&s, SPAN("12345678\n12345678\n12345678\n12345678\n12345678\n"
					      "12345678\n12345678\n12345678\n12345678\n")),
	    GW_EFORMAT);
}

/* There and back, over three forwarders: the report goes to the first, and he sends it home. */
static void test_chain(void **state)
{
	struct srs one = with("secret of the first"), two = with("secret of the second"),
		   three = with("secret of the third");
	struct buf a, b, c, d, e;
	struct address x;

	(void)state;
	one.domain = SPAN("one.test");
	two.domain = SPAN("two.test");
	three.domain = SPAN("three.test");
	buf_init(&a, 512);
	buf_init(&b, 512);
	buf_init(&c, 512);
	buf_init(&d, 512);
	buf_init(&e, 512);
	assert_int_equal(srs_forward(&one, SPAN("bob@home.test"), DAY, &a), 0);
	assert_int_equal(srs_forward(&two, buf_view(&a), DAY, &b), 0);
	assert_int_equal(srs_forward(&three, buf_view(&b), DAY, &c), 0);
	assert_int_equal(address_parse(buf_view(&c), &x), 0);
	assert_int_equal(srs_reverse(&three, x.local, DAY, &d), SRS_GOOD);
	assert_true(span_eq(buf_view(&d), buf_view(&a)));
	assert_int_equal(address_parse(buf_view(&d), &x), 0);
	assert_int_equal(srs_reverse(&one, x.local, DAY, &e), SRS_GOOD);
	assert_true(span_eq(buf_view(&e), SPAN("bob@home.test")));
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&c);
	buf_fini(&d);
	buf_fini(&e);
}

/* RFC 5321 section 4.1.2: a quoted string may be empty, and so may a name. */
static void test_empty_name(void **state)
{
	struct srs s = with("first-secret");
	struct address x;
	struct buf there, back;

	(void)state;
	buf_init(&there, 512);
	buf_init(&back, 512);
	assert_int_equal(srs_forward(&s, SPAN("\"\"@home.test"), DAY, &there), 0);
	assert_int_equal(address_parse(buf_view(&there), &x), 0);
	assert_int_equal(srs_reverse(&s, x.local, DAY, &back), SRS_GOOD);
	assert_true(span_eq(buf_view(&back), SPAN("\"\"@home.test")));
	buf_fini(&there);
	buf_fini(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forward),
	    cmocka_unit_test(test_back),
	    cmocka_unit_test(test_forged),
	    cmocka_unit_test(test_age),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_empty_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
