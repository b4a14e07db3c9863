/* Password hashes: known answers of every method, what is no hash, and what it costs. */
#include "auth/passhash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

/* From the tests of the reference code of argon2, and where OpenSSL and libxcrypt agree. */
static const struct known {
	const char *hash, *password;
} known[] = {
    {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"password"},
    {"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
	"password"},
    {"$1$saltstri$YMyguxXMBpd2TEZ.vS/3q1", "Hello world!"},
    {"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"},
    {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI"
     "68u4OTLiBFdcbYEdFCoEOfaS35inz1",
	"Hello world!"},
    {"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vO"
     "uZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
	"Hello world!"},
    {"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
    {"$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
    {"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$xepEX7DgsiGhAJPJyekJSrQ8hX9NhEaSi66Ij4USOM2", "test"},
    {"$gy$j9T$F5Jx5fExrKuPp53xLKQ..1$d.HZx5jc/tevH2zexKbmMJ4ujuF9VUGduvE8ZdHAwt4", "test"},
    {"$7$CU..../....2Q9obwLhin8qvQl6sisAO/$MdWZ9/dkgGwORbaDajWhj575Z.BsmZPl9Fh7FU8wPv2", "test"},
};

static bool right(const char *hash, const char *password)
{
	return passhash_verify(span_str(hash), span_str(password));
}

static void known_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
		char wrong[64];

		assert_true(passhash_known(span_str(known[i].hash)));
		assert_true(right(known[i].hash, known[i].password));
		snprintf(wrong, sizeof(wrong), "%s ", known[i].password);
		assert_false(right(known[i].hash, wrong));
		assert_false(right(known[i].hash, ""));
		assert_int_equal(
		    passhash_check(span_str(known[i].hash), SPAN("other")), PASSHASH_WRONG);
	}
}

static void what_is_made_is_right(void **state)
{
	char a[PASSHASH_MAX], b[PASSHASH_MAX];
	uint8_t odd[] = {'a', 0, 'b', 0xff};

	(void)state;
	assert_int_equal(passhash_make(SPAN("correct horse"), a), 0);
	assert_int_equal(passhash_make(SPAN("correct horse"), b), 0);
	assert_string_not_equal(a, b);
	assert_memory_equal(a, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
	assert_null(strpbrk(a, " \t\r\n"));
	assert_true(passhash_known(span_str(a)));
	assert_true(right(a, "correct horse") && right(b, "correct horse"));
	assert_false(right(a, "correct hors") || right(a, "Correct horse"));
	/* All octets count, also those behind a NUL. */
	assert_int_equal(passhash_make(span_of(odd, sizeof(odd)), a), 0);
	assert_true(passhash_verify(span_str(a), span_of(odd, sizeof(odd))));
	assert_false(passhash_verify(span_str(a), span_of(odd, 1)));
	odd[3] = 0xfe;
	assert_false(passhash_verify(span_str(a), span_of(odd, sizeof(odd))));
}

/* crypt(3) ends a password at its NUL: one with a NUL is never right there. */
static void no_nul_reaches_crypt(void **state)
{
	(void)state;
	assert_false(passhash_verify(span_str(known[3].hash), SPAN("Hello world!\0tail")));
	assert_false(passhash_verify(span_str(known[3].hash), SPAN("\0")));
}

static void what_is_no_hash(void **state)
{
	static const char *const bad[] = {"", "secret", "ab", "abJnggxhB/yWI", "*", "!", "x", "*0",
	    "$", "$$", "$9$abc$def", "$6$", "$6$salt", "$6$salt$", "$6$salt$tooshort",
	    /* cut off */
	    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/"
	    "O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFC",
	    "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
	    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
	    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1",
	    /* of another kind or version */
	    "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	    "$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$"
	    "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	    /* what nobody can pay */
	    "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$"
	    "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	    "$argon2id$v=19$m=65536,t=4000000000,p=1$c29tZXNhbHQ$"
	    "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZ",
	    "$argon2id$v=19$m=0,t=0,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	    "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
	    "$6$rounds=999999999$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/"
	    "Urjm"
	    "M0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		if (passhash_known(span_str(bad[i])))
			print_error("taken for a hash: %s\n", bad[i]);
		assert_false(passhash_known(span_str(bad[i])));
		assert_false(right(bad[i], "secret"));
		assert_false(right(bad[i], bad[i]));
	}
}

/* Every prefix of a hash, and every hash with one character changed: never right, never a crash. */
static void mangled_hashes(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(known); i++) {
		char text[PASSHASH_MAX];
		size_t n = strlen(known[i].hash);

		/* The cheap ones alone: each is tried a hundred times. */
		if (strstr(known[i].hash, "m=65536") != NULL ||
		    strstr(known[i].hash, "rounds") != NULL ||
		    strchr("y7g", known[i].hash[1]) != NULL)
			continue;
		for (size_t k = 0; k < n; k++)
			assert_false(passhash_verify(
			    span_of(known[i].hash, k), span_str(known[i].password)));
		for (size_t k = n - 12; k < n - 2; k++) {
			snprintf(text, sizeof(text), "%s", known[i].hash);
			text[k] = text[k] == 'a' ? 'b' : 'a';
			assert_false(right(text, known[i].password));
		}
	}
}

static int64_t usec_of(const char *hash)
{
	struct timespec a, b;
	int64_t best = INT64_MAX;

	for (int i = 0; i < 5; i++) {
		int64_t took;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		assert_false(right(hash, "some password"));
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		took = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
		best = took < best ? took : best;
	}
	return best;
}

/* A name that does not exist costs what one costs that does. */
static void nobody_costs_the_same(void **state)
{
	char made[PASSHASH_MAX];
	int64_t real, nobody;

	(void)state;
	assert_int_equal(passhash_make(SPAN("x"), made), 0);
	assert_true(passhash_known(span_str(passhash_nobody())));
	assert_int_equal(strncmp(made, passhash_nobody(), 31), 0);
	real = usec_of(made);
	nobody = usec_of(passhash_nobody());
	print_message("a hash: %lld us, nobody's: %lld us\n", (long long)real, (long long)nobody);
	assert_true(real > 1000 && nobody > real * 2 / 3 && nobody < real * 3 / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(known_answers),
	    cmocka_unit_test(what_is_made_is_right), cmocka_unit_test(no_nul_reaches_crypt),
	    cmocka_unit_test(what_is_no_hash), cmocka_unit_test(mangled_hashes),
	    cmocka_unit_test(nobody_costs_the_same)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
