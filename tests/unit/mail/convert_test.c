#include "mail/convert.h"

#include "mail/encoded_word.h"
#include "unit/mail/leaves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OUT_MAX = 64 << 20 };

/* ---- converting ------------------------------------------------------------------------------ */

struct result {
	struct buf out;
	enum convert_verdict verdict;
	const char *why;
	bool changed;
};

static struct result convert_in(struct span m, unsigned mode, size_t piece)
{
	struct result r;
	struct convert c;

	convert_init(&c, mode);
	buf_init(&r.out, OUT_MAX);
	while (m.n > 0) {
		size_t n = convert_feed(&c, span_first(m, piece));

		m = span_skip(m, n);
		buf_add_span(&r.out, buf_view(&c.out));
		buf_drop(&c.out, buf_len(&c.out));
	}
	convert_end(&c);
	buf_add_span(&r.out, buf_view(&c.out));
	r.verdict = c.verdict;
	r.why = c.why;
	r.changed = c.changed;
	convert_fini(&c);
	return r;
}

static void check_fit(struct span out, unsigned mode)
{
	size_t line = 0;

	assert_false((mode & CONVERT_7BIT) && has_high(out));
	for (size_t i = 0; i < out.n && (mode & CONVERT_BINARY); i++) {
		assert_int_not_equal(out.p[i], 0);
		line = out.p[i] == '\n' ? 0 : line + 1;
		if (out.p[i] == '\n')
			assert_true(i > 0 && out.p[i - 1] == '\r');
		if (i > 0 && out.p[i - 1] == '\r')
			assert_int_equal(out.p[i], '\n');
		assert_true(line <= CONVERT_LINE + 1);
	}
}

static void check_leaves(struct span in, struct span out)
{
	struct buf a, b;

	buf_init(&a, OUT_MAX);
	buf_init(&b, OUT_MAX);
	assert_int_equal(read_leaves(in, &a), read_leaves(out, &b));
	if (!span_eq(buf_view(&a), buf_view(&b)))
		fail_msg("other leaves:\n%.*s\n---- of\n%.*s", SPAN_ARG(span_first(out, 2000)),
		    SPAN_ARG(span_first(in, 2000)));
	buf_fini(&a);
	buf_fini(&b);
}

/* Converted as a whole and in pieces of many lengths: the same each time, and with equal leaves. */
static struct result convert(struct span m, unsigned mode)
{
	static const size_t pieces[] = {1, 2, 3, 5, 7, 64, 999, 4097};
	struct result r = convert_in(m, mode, m.n + 1);

	for (size_t i = 0; i < GW_ARRAY_LEN(pieces); i++) {
		struct result k;

		if (pieces[i] < 64 && m.n > 300000)
			continue;
		k = convert_in(m, mode, pieces[i]);
		assert_int_equal(r.verdict, k.verdict);
		if (r.verdict == CONVERT_FINE && !span_eq(buf_view(&r.out), buf_view(&k.out)))
			fail_msg("in pieces of %zu:\n%.*s\n---- not\n%.*s", pieces[i],
			    SPAN_ARG(buf_view(&k.out)), SPAN_ARG(buf_view(&r.out)));
		buf_fini(&k.out);
	}
	if (r.verdict == CONVERT_FINE) {
		check_fit(buf_view(&r.out), mode);
		check_leaves(m, buf_view(&r.out));
		assert_int_equal(r.changed, !span_eq(m, buf_view(&r.out)));
	}
	return r;
}

static void expect(unsigned mode, struct span in, struct span want)
{
	struct result r = convert(in, mode);

	if (r.verdict != CONVERT_FINE)
		fail_msg("impossible (%s):\n%.*s", r.why, SPAN_ARG(in));
	if (!span_eq(buf_view(&r.out), want))
		fail_msg("got\n%.*s\n---- not\n%.*s", SPAN_ARG(buf_view(&r.out)), SPAN_ARG(want));
	buf_fini(&r.out);
}
#define TO_7BIT(in, want) expect(CONVERT_7BIT, SPAN(in), SPAN(want))
#define SAME_7BIT(in) TO_7BIT(in, in)
#define TO_LINES(in, want) expect(CONVERT_BINARY, SPAN(in), SPAN(want))
#define SAME_LINES(in) TO_LINES(in, in)
#define TO_ASCII(in, want) expect(CONVERT_HEADER, SPAN(in), SPAN(want))

static void impossible(unsigned mode, struct span in, const char *why)
{
	struct result r = convert(in, mode);

	if (r.verdict != CONVERT_IMPOSSIBLE)
		fail_msg("possible:\n%.*s", SPAN_ARG(buf_view(&r.out)));
	assert_non_null(strstr(r.why, why));
	buf_fini(&r.out);
}

#define UE "\xc3\xbc"
#define EURO "\xe2\x82\xac"
#define CTE(x) "Content-Transfer-Encoding: " x "\r\n"
#define TYPE(x) "Content-Type: " x "\r\n"
#define MIXED(b) TYPE("multipart/mixed; boundary=" b)

/* ---- single parts -----------------------------------------------------------------------------
 */

static void test_text(void **state)
{
	(void)state;
	TO_7BIT("MIME-Version: 1.0\r\n" TYPE("text/plain; charset=utf-8") CTE("8bit") "\r\n"
										      "gr" UE
										      "n\r\n",
	    "MIME-Version: 1.0\r\n" TYPE("text/plain; charset=utf-8")
		CTE("quoted-printable") "\r\ngr=C3=BCn\r\n");
	/* without a label, without anything */
	TO_7BIT(TYPE("text/plain") "\r\n" UE " = 1 \r\n\t\r\n.\r\n",
	    TYPE("text/plain") "MIME-Version: 1.0\r\n" CTE(
		"quoted-printable") "\r\n"
				    "=C3=BC =3D 1=20\r\n=09\r\n.\r\n");
	TO_7BIT("Subject: x\r\n\r\n" UE "\r\n",
	    "Subject: x\r\nMIME-Version: 1.0\r\n" TYPE("text/plain; charset=utf-8")
		CTE("quoted-printable") "\r\n=C3=BC\r\n");
	TO_7BIT("Subject: x\r\n\r\n\xfc\r\n",
	    "Subject: x\r\nMIME-Version: 1.0\r\n" TYPE("text/plain; charset=unknown-8bit")
		CTE("quoted-printable") "\r\n=FC\r\n");
	/* a label that promised too much or too little */
	TO_7BIT(TYPE("text/html") CTE("8BIT (why)") "\r\nplain\r\n",
	    TYPE("text/html") CTE("7bit") "\r\nplain\r\n");
	TO_7BIT("MIME-Version: 1.0\r\n" CTE("8-bit") TYPE("text/html") "\r\n" UE,
	    "MIME-Version: 1.0\r\n" CTE("quoted-printable") TYPE("text/html") "\r\n=C3=BC=\r\n");
	SAME_7BIT("Subject: x\r\n\r\nplain = 1 \r\n--\r\n--x--\r\n");
	SAME_7BIT("");
	SAME_7BIT("\r\n");
	SAME_7BIT("Subject: x");
	SAME_7BIT("Subject: x\r\n\r\nno end");
}

static void test_other_types(void **state)
{
	(void)state;
	TO_7BIT(TYPE("application/octet-stream") CTE("binary") "\r\na" UE "b",
	    TYPE("application/octet-stream") CTE("base64") "\r\nYcO8Yg==\r\n");
	TO_7BIT(TYPE("image/x") CTE("8bit") "\r\n" UE "\r\n",
	    TYPE("image/x") CTE("base64") "\r\nw7wNCg==\r\n");
	/* text of bare line ends is no text */
	TO_7BIT(TYPE("text/plain") CTE("binary") "\r\n" UE "\n",
	    TYPE("text/plain") CTE("base64") "\r\nw7wK\r\n");
	TO_7BIT(TYPE("message/delivery-status") "\r\n"
						"X: " UE "\r\n",
	    TYPE("message/delivery-status") "MIME-Version: 1.0\r\n" CTE(
		"quoted-printable") "\r\nX: =C3=BC\r\n");
	TO_7BIT(TYPE("message/global") CTE("8bit") "\r\nX: " UE "\r\n",
	    TYPE("message/global") CTE("base64") "\r\nWDogw7wNCg==\r\n");
}

#define C5 "ccccc"
#define C25 C5 C5 C5 C5 C5
#define C30 C25 C5
#define C40 C30 C5 C5

static void test_encoded_already(void **state)
{
	(void)state;
	SAME_7BIT(TYPE("text/plain") CTE("base64") "\r\nYWJj\r\n");
	TO_7BIT(TYPE("text/plain") CTE("base64") "\r\nYW" UE "Jj\r\n",
	    TYPE("text/plain") CTE("base64") "\r\nYW??Jj\r\n");
	SAME_7BIT(TYPE("text/plain") CTE("quoted-printable") "\r\na=3Db=\r\n c \r\n");
	TO_7BIT(TYPE("text/plain") CTE("quoted-printable") "\r\na=3D" UE "=\r\nc=" UE "\r\n",
	    TYPE("text/plain") CTE("quoted-printable") "\r\na=3D=C3=BC=\r\nc=3D=C3=BC\r\n");
	/* what stands behind the word does not take it along */
	TO_7BIT(TYPE("text/plain") CTE("quoted-printable;" UE) "\r\na=3Db\r\n",
	    TYPE("text/plain") CTE("quoted-printable; =?utf-8?Q?=C3=BC?=") "\r\na=3Db\r\n");
	/* blanks at the end mean nothing, however far they go; others are told from them */
	TO_7BIT(TYPE("text/plain") CTE("quoted-printable") "\r\n" UE C40 "\t\t\t\t" C30
							   "   \r\nx\r\n",
	    TYPE("text/plain") CTE("quoted-printable") "\r\n=C3=BC" C40 "\t\t\t\t" C25 "=\r\n" C5
						       "   \r\nx\r\n");
	TO_7BIT(TYPE("text/plain") CTE("quoted-printable") "\r\n" UE C40 C25 "          \r\nx\r\n",
	    TYPE("text/plain") CTE("quoted-printable") "\r\n=C3=BC" C40 C25 "          \r\nx\r\n");
	impossible(
	    CONVERT_7BIT, SPAN(TYPE("text/plain") CTE("x-uuencode") "\r\n" UE "\r\n"), "not known");
	SAME_7BIT(TYPE("text/plain") CTE("x-uuencode") "\r\nbegin\r\n");
}

/* ---- parts ------------------------------------------------------------------------------------
 */

static void test_parts(void **state)
{
	(void)state;
	TO_7BIT("MIME-Version: 1.0\r\n" MIXED("b")
		    CTE("8bit") "\r\n"
				"pre" UE "amble\r\n"
				"--b\r\n" TYPE("text/plain; charset=utf-8")
				    CTE("8bit") "\r\n" UE "\r\n\r\n"
						"--b \t\r\n\r\nplain\r\n"
						"--b\r\n" TYPE("image/png")
						    CTE("8bit") "\r\n" UE "\r\n"
								"--b--\r\nepilogue\r\n",
	    "MIME-Version: 1.0\r\n" MIXED("b")
		CTE("7bit") "\r\n"
			    "pre??amble\r\n"
			    "--b\r\n" TYPE("text/plain; charset=utf-8")
				CTE("quoted-printable") "\r\n=C3=BC\r\n\r\n"
							"--b \t\r\n\r\nplain\r\n"
							"--b\r\n" TYPE("image/png")
							    CTE("base64") "\r\nw7w=\r\n"
									  "--b--\r\nepilogue\r\n");
	/* nested, an inner one ended by the outer */
	TO_7BIT(MIXED("a") "\r\n--a\r\n" MIXED("b") "\r\n--b\r\n\r\n" UE "\r\n--a\r\n\r\n" UE,
	    MIXED("a") "\r\n--a\r\n" MIXED("b") "\r\n--b\r\n" TYPE("text/plain; charset=utf-8")
		CTE("quoted-printable") "\r\n=C3=BC\r\n--a\r\n" TYPE("text/plain; charset=utf-8")
		    CTE("quoted-printable") "\r\n=C3=BC=\r\n");
	/* empty parts; a part of a header alone */
	SAME_7BIT(MIXED("a") "\r\n--a\r\n\r\n--a\r\n\r\n\r\n--a\r\n--a\r\nX: y\r\n--a--");
}

static void test_messages(void **state)
{
	(void)state;
	TO_7BIT(MIXED("a") "\r\n--a\r\n" TYPE("message/rfc822")
		    CTE("8bit") "\r\n"
				"Subject: f" UE "r\r\n" CTE("8bit") "\r\n" UE "\r\n--a--\r\n",
	    MIXED("a") "\r\n--a\r\n" TYPE("message/rfc822")
		CTE("7bit") "\r\n"
			    "Subject: =?utf-8?Q?f=C3=BCr?=\r\n" CTE(
				"quoted-printable") "\r\n=C3=BC\r\n--a--\r\n");
	TO_7BIT(TYPE("multipart/digest; boundary=a") "\r\n--a\r\n\r\nSubject: x\r\n\r\n" UE,
	    TYPE("multipart/digest; boundary=a") "\r\n--a\r\n\r\nSubject: x\r\n"
						 "MIME-Version: 1.0\r\n" TYPE(
						     "text/plain; charset=utf-8")
						     CTE("quoted-printable") "\r\n=C3=BC=\r\n");
	impossible(
	    CONVERT_7BIT, SPAN(TYPE("message/partial; id=1") "\r\n" UE), "part of a message");
	impossible(CONVERT_7BIT, SPAN(TYPE("message/external-body") "\r\n" UE), "elsewhere");
	SAME_7BIT(TYPE("message/partial; id=1") "\r\nX: y\r\n");
}

static void test_what_is_sealed(void **state)
{
	static const char *const types[] = {"multipart/signed; boundary=s",
	    "multipart/encrypted; boundary=s", "application/pkcs7-mime", "Multipart/Signed"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(types); i++) {
		static const char *const bodies[] = {
		    "--s\r\n" CTE("8bit") "\r\n%s\r\n--s\r\n\r\nsignature\r\n--s--\r\n",
		    "--s\r\n" MIXED("i") "\r\n--i\r\n\r\n%s--i--\r\n--s--\r\n",
		    "--s\r\nX: %s\r\n\r\n--s--\r\n"};

		for (size_t k = 0; k < GW_ARRAY_LEN(bodies); k++) {
			char in[1000], want[1000], body[500];

			snprintf(body, sizeof(body), bodies[k], "plain text  ");
			snprintf(in, sizeof(in), "Subject: " UE "\r\n" TYPE("%s") "\r\n%s",
			    types[i], body);
			snprintf(want, sizeof(want),
			    "Subject: =?utf-8?Q?=C3=BC?=\r\n" TYPE("%s") "\r\n%s", types[i], body);
			expect(CONVERT_7BIT, span_str(in), span_str(want));
			snprintf(body, sizeof(body), bodies[k], UE);
			snprintf(in, sizeof(in), TYPE("%s") "\r\n%s", types[i], body);
			impossible(CONVERT_7BIT, span_str(in), "signed or encrypted");
		}
	}
	/* around it the rest is converted */
	TO_7BIT(MIXED("a") "\r\n--a\r\n" TYPE(
		    "multipart/signed; boundary=s") "\r\n--s\r\n\r\nx\r\n"
						    "--s\r\n\r\ny\r\n--s--\r\n--a\r\n" TYPE(
							"text/plain") "\r\n" UE "\r\n--a--\r\n",
	    MIXED("a") "\r\n--a\r\n" TYPE(
		"multipart/signed; boundary=s") "\r\n--s\r\n\r\nx\r\n"
						"--s\r\n\r\ny\r\n--s--\r\n--a\r\n" TYPE(
						    "text/plain")
						    CTE("quoted-printable") "\r\n=C3=BC\r\n--a--"
									    "\r\n");
}

static void test_what_is_no_mime(void **state)
{
	(void)state;
	/* no part where parts should be */
	TO_7BIT(MIXED("b") "\r\n" UE "\r\n--c\r\n--b--\r\n",
	    MIXED("b") "MIME-Version: 1.0\r\n" CTE(
		"quoted-printable") "\r\n=C3=BC\r\n-=2Dc\r\n-=2Db--\r\n");
	TO_7BIT(TYPE("multipart/mixed") "\r\n" UE "\r\n",
	    TYPE("multipart/mixed") "MIME-Version: 1.0\r\n" CTE(
		"quoted-printable") "\r\n=C3=BC\r\n");
	TO_7BIT(TYPE("nonsense") "\r\n" UE "\r\n",
	    TYPE("nonsense") "MIME-Version: 1.0\r\n" CTE("quoted-printable") "\r\n=C3=BC\r\n");
	/* an encoding of what says it has parts: none where there are some, one where there are
	 * none */
	TO_7BIT(MIXED("b") CTE("quoted-printable") "\r\n=bb" UE "\r\n",
	    MIXED("b") CTE("quoted-printable") "\r\n=bb=C3=BC\r\n");
	TO_7BIT(MIXED("b") CTE("base64") "\r\nYW" UE "Jj\r\n",
	    MIXED("b") CTE("base64") "\r\nYW??Jj\r\n");
	TO_7BIT(MIXED("b") CTE("base64") "\r\nYW" UE "\r\n--b\r\n\r\nx\r\n",
	    MIXED("b") CTE("base64") "\r\nYW??\r\n--b\r\n\r\nx\r\n");
	/* without a slash it is no type: text */
	TO_7BIT(TYPE("multipart; boundary=b") "\r\n--b\r\n\r\n" UE "\r\n",
	    TYPE("multipart; boundary=b") "MIME-Version: 1.0\r\n" CTE(
		"quoted-printable") "\r\n-=2Db\r\n\r\n=C3=BC\r\n");
	/* a line that is no field: what is added stands in front of it */
	TO_7BIT("Subject: x\r\nno field\r\n\r\n" UE "\r\n",
	    "Subject: x\r\nMIME-Version: 1.0\r\n" TYPE("text/plain; charset=utf-8")
		CTE("quoted-printable") "no field\r\n\r\n=C3=BC\r\n");
	/* what is no boundary does not become one: not by a fold, not by what stands for octets */
	TO_7BIT(MIXED("a") "\r\n--a\r\n--a" C40 UE "\r\n--a                                    " UE
			   "\r\n--a: " UE "\r\n\r\nx\r\n",
	    MIXED("a") "\r\n--a\r\n--a" C40
		       "\x1a\x1a\r\n--a                                    \x1a\x1a"
		       "\r\n--a: \x1a\x1a\r\n\r\nx\r\n");
	/* two labels: the first is believed, one is left */
	TO_7BIT(TYPE("text/plain") CTE("8bit") CTE("base64") "\r\n" UE "\r\n",
	    TYPE("text/plain") CTE("quoted-printable") "\r\n=C3=BC\r\n");
}

/* The boundary of an outer level is no other's: the inner one has no parts. */
static void test_one_boundary_twice(void **state)
{
	(void)state;
	TO_7BIT(MIXED("b") "\r\n--b\r\n" MIXED("b") "\r\n" UE "\r\n--b\r\n\r\nx\r\n--b--\r\n",
	    MIXED("b") "\r\n--b\r\n" MIXED("b")
		CTE("quoted-printable") "\r\n=C3=BC\r\n--b\r\n\r\nx\r\n--b--\r\n");
}

/* A soft break must not make a boundary of what was none. */
static void test_a_boundary_out_of_a_long_line(void **state)
{
	struct buf in;

	(void)state;
	for (size_t n = 60; n < 90; n++) {
		struct result r;

		buf_init(&in, 4096);
		buf_addf(&in, MIXED("b") "\r\n--b\r\n" CTE("8bit") "\r\n" UE);
		for (size_t i = 0; i < n; i++)
			buf_add_byte(&in, 'x');
		buf_add_str(&in, "--b\r\n" TYPE("text/evil") "\r\n\r\n--b--\r\n");
		r = convert(buf_view(&in), CONVERT_7BIT);
		assert_int_equal(r.verdict, CONVERT_FINE);
		buf_fini(&r.out);
		buf_fini(&in);
	}
}

/* ---- lengths ----------------------------------------------------------------------------------
 */

static void add_many(struct buf *b, const char *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_add_str(b, what);
}

static void test_long_lines(void **state)
{
	struct buf in;
	struct result r;

	(void)state;
	for (size_t n = 995; n < 1002; n++) {
		buf_init(&in, 1 << 20);
		buf_add_str(&in, MIXED("b") "\r\n--b\r\n\r\n");
		add_many(&in, "x", n);
		buf_add_str(&in, "\r\n--b\r\n\r\n" UE "\r\n--b--\r\n");
		r = convert(buf_view(&in), CONVERT_7BIT);
		assert_int_equal(r.verdict, CONVERT_FINE);
		/* longer ones than 998 are cut by the encoding */
		assert_int_equal(
		    memmem(buf_view(&r.out).p, buf_len(&r.out), "=\r\n", 3) != NULL, n > 998);
		buf_fini(&r.out);
		buf_fini(&in);
	}
}

static void test_around_the_window(void **state)
{
	static const char *const ends[] = {
	    "", UE, "\r\n" UE, "\r\n--b\r\n\r\n" UE "\r\n--b--\r\n", "\r\n--b--\r\n" UE};

	(void)state;
	for (size_t n = CONVERT_WINDOW - 6; n < CONVERT_WINDOW + 4; n++) {
		for (size_t i = 0; i < GW_ARRAY_LEN(ends); i++) {
			struct buf in;
			struct result r;

			buf_init(&in, 1 << 20);
			buf_add_str(&in, MIXED("b") "\r\n--b\r\n\r\n");
			add_many(&in,
			    "12345678901234567890123456789012345678901234567890123456789012\r\n",
			    n / 64);
			add_many(&in, "x", n % 64);
			buf_add_str(&in, ends[i]);
			r = convert(buf_view(&in), CONVERT_7BIT);
			assert_int_equal(r.verdict, CONVERT_FINE);
			buf_fini(&r.out);
			buf_fini(&in);
		}
	}
}

static void test_long_preambles(void **state)
{
	(void)state;
	for (int high = 0; high < 3; high++) {
		struct buf in;
		struct result r;

		buf_init(&in, 1 << 20);
		buf_add_str(&in, MIXED("b") "\r\n");
		buf_add_str(&in, high == 1 ? UE : "x");
		add_many(&in, "line\r\n", CONVERT_WINDOW / 5);
		buf_add_str(&in, high == 2 ? UE "\r\n" : "\r\n");
		buf_add_str(&in, "--b\r\n\r\n" UE "\r\n--b--\r\n");
		r = convert_in(buf_view(&in), CONVERT_7BIT, 1000);
		/* text as a whole, parts, or nobody can say */
		assert_int_equal(r.verdict, high == 2 ? CONVERT_IMPOSSIBLE : CONVERT_FINE);
		if (high < 2)
			assert_int_equal(
			    memmem(buf_view(&r.out).p, buf_len(&r.out), "-=2Db", 5) != NULL, high);
		buf_fini(&r.out);
		buf_fini(&in);
	}
}

static void test_long_headers(void **state)
{
	(void)state;
	for (size_t n = CONVERT_HEAD - 20; n < CONVERT_HEAD + 3; n++) {
		for (int high = 0; high < 2; high++) {
			struct buf in;
			struct result r;

			buf_init(&in, 1 << 20);
			add_many(&in,
			    "X: 2345678901234567890123456789012345678901234567890123456789012\r\n",
			    n / 64);
			add_many(&in, "x", n % 64);
			buf_add_str(&in, "\r\n\r\nbody");
			buf_add_str(&in, high ? UE : "");
			r = convert(buf_view(&in), CONVERT_7BIT);
			if (!high)
				assert_int_equal(r.verdict, CONVERT_FINE);
			buf_fini(&r.out);
			buf_fini(&in);
		}
	}
}

static void test_depth(void **state)
{
	struct buf in;
	struct result r;

	(void)state;
	buf_init(&in, 1 << 20);
	for (unsigned i = 0; i < CONVERT_DEPTH + 2; i++)
		buf_addf(&in, TYPE("multipart/mixed; boundary=%u") "\r\n--%u\r\n", i, i);
	buf_add_str(&in, "\r\nplain\r\n");
	r = convert_in(buf_view(&in), CONVERT_7BIT, 100);
	assert_int_equal(r.verdict, CONVERT_FINE);
	assert_true(span_eq(buf_view(&r.out), buf_view(&in)));
	buf_fini(&r.out);
	buf_add_str(&in, UE "\r\n");
	r = convert_in(buf_view(&in), CONVERT_7BIT, 100);
	assert_int_equal(r.verdict, CONVERT_IMPOSSIBLE);
	buf_fini(&r.out);
	buf_fini(&in);
}

/* ---- binary -----------------------------------------------------------------------------------
 */

static void test_binary(void **state)
{
	(void)state;
	TO_LINES(MIXED("b") CTE("binary") "\r\n--b\r\n" TYPE("image/png")
		     CTE("binary") "\r\n\0\n" UE "\r\n--b\r\n" TYPE("text/plain")
			 CTE("8bit") "\r\n" UE "\r\n--b--\r\n",
	    MIXED("b") CTE("8bit") "\r\n--b\r\n" TYPE("image/png")
		CTE("base64") "\r\nAArDvA==\r\n--b\r\n" TYPE("text/plain")
		    CTE("8bit") "\r\n" UE "\r\n--b--\r\n");
	/* lines after all */
	TO_LINES(TYPE("text/plain") CTE("binary") "\r\n" UE "\r\n",
	    TYPE("text/plain") CTE("8bit") "\r\n" UE "\r\n");
	TO_LINES(TYPE("text/plain") CTE("binary") "\r\nx\r\n",
	    TYPE("text/plain") CTE("7bit") "\r\nx\r\n");
	/* not what it says it is */
	TO_LINES(TYPE("text/plain") CTE("8bit") "\r\nx\ny\r\n",
	    TYPE("text/plain") CTE("base64") "\r\neAp5DQo=\r\n");
	SAME_LINES(TYPE("multipart/signed; boundary=s") "\r\n--s\r\n\r\n" UE "\r\n--s--\r\n");
	impossible(CONVERT_BINARY,
	    SPAN(TYPE("multipart/signed; boundary=s") "\r\n--s\r\n\r\n" UE "\n\r\n--s--\r\n"),
	    "signed or encrypted");
	impossible(CONVERT_BINARY,
	    SPAN(TYPE("multipart/signed; boundary=s") "\r\n--s\r\n\r\n\0\r\n--s--\r\n"),
	    "signed or encrypted");
	impossible(
	    CONVERT_BINARY, SPAN("X: a\nContent-Transfer-Encoding: base64\r\n\r\nx"), "header");
	/* a boundary stands behind a CRLF, nothing less */
	TO_LINES(MIXED("b") "\r\n--b\r\n" TYPE("a/b") CTE("binary") "\r\nx\n--b\r\n--b--\r\n",
	    MIXED("b") "\r\n--b\r\n" TYPE("a/b") CTE("base64") "\r\neAotLWI=\r\n--b--\r\n");
}

/* ---- headers ----------------------------------------------------------------------------------
 */

#define HEAD(in, want) TO_ASCII(in "\r\n\r\n", want "\r\n\r\n")

static void test_text_fields(void **state)
{
	(void)state;
	HEAD("Subject: plain  text", "Subject: plain  text");
	HEAD("Subject: f" UE "r dich", "Subject: =?utf-8?Q?f=C3=BCr?= dich");
	HEAD("Subject:f" UE "r", "Subject: =?utf-8?Q?f=C3=BCr?=");
	HEAD("Subject: a " UE "  " UE " b", "Subject: a =?utf-8?Q?=C3=BC__=C3=BC?= b");
	HEAD("Subject: " UE "\r\n " UE, "Subject: =?utf-8?Q?=C3=BC_=C3=BC?=");
	/* raw octets of some charset */
	HEAD("Subject: f\xfcr", "Subject: =?unknown-8bit?Q?f=FCr?=");
	HEAD("Subject: \xed\xa0\x80", "Subject: =?unknown-8bit?Q?=ED=A0=80?=");
	/* neighbours that are encoded: the blank between would go */
	HEAD("Subject: =?utf-8?Q?a?= " UE " =?utf-8?Q?b?= c",
	    "Subject: =?utf-8?Q?a?= =?utf-8?Q?_=C3=BC_?= =?utf-8?Q?b?= c");
	HEAD("Subject: " EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO
		 EURO EURO EURO,
	    "Subject: =?utf-8?B?4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs4oKs?=\r\n"
	    " =?utf-8?B?4oKs4oKs4oKs4oKs4oKs?=");
	HEAD("Subject: 1234567890123456789012345678901234567890 " UE "1234567890123456789012345",
	    "Subject: 1234567890123456789012345678901234567890\r\n"
	    " =?utf-8?Q?=C3=BC1234567890123456789012345?=");
	HEAD("X-Empty:\r\nX: " UE, "X-Empty:\r\nX: =?utf-8?Q?=C3=BC?=");
}

static void test_addresses(void **state)
{
	(void)state;
	HEAD("From: J" UE "rgen M" UE "ller <j@x.example>, Bob <bob@x.example>",
	    "From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <j@x.example>, Bob <bob@x.example>");
	HEAD("To: \"M" UE "ller, J.\" <j@x.example>",
	    "To: =?utf-8?Q?M=C3=BCller=2C_J=2E?= <j@x.example>");
	HEAD("To: J. \"M\\\"" UE "\" Smith<j@x.example>",
	    "To: J. =?utf-8?Q?M=22=C3=BC?= Smith<j@x.example>");
	HEAD("To: " UE "<j@x.example>", "To: =?utf-8?Q?=C3=BC?= <j@x.example>");
	HEAD("Cc: j@x.example (J" UE "rgen (der) M)",
	    "Cc: j@x.example (=?utf-8?Q?J=C3=BCrgen?= (der) M)");
	/* no ASCII form: a group that shows it */
	HEAD("From: J <j" UE "@x.example>", "From: J =?utf-8?Q?j=C3=BC=40x=2Eexample?= :;");
	HEAD("To: a@b.example, j" UE "@x.example , c@d.example",
	    "To: a@b.example, =?utf-8?Q?j=C3=BC=40x=2Eexample?= :;, c@d.example");
	HEAD("To: Fr" UE "nde: a@b.example, \"" UE "\"@x.example;, z@z.example",
	    "To: =?utf-8?Q?Fr=C3=BCnde?= : a@b.example, (=?utf-8?Q?=22=C3=BC=22=40x=2Ee?=\r\n"
	    " =?utf-8?Q?xample?=);, "
	    "z@z.example");
	HEAD("To: undisclosed " UE ":;", "To: undisclosed =?utf-8?Q?=C3=BC?= :;");
	HEAD("Message-ID: <" UE "@x>", "Downgraded-Message-ID: =?utf-8?Q?=3C=C3=BC=40x=3E?=");
	HEAD("Received: from x (h" UE ") by y for <" UE "@x>; Mon",
	    "Received: from x (=?utf-8?Q?h=C3=BC?=) by y ; Mon");
}

static void test_parameters(void **state)
{
	(void)state;
	HEAD("Content-Disposition: attachment; filename=\"f" UE "r dich.pdf\"; size=3",
	    "Content-Disposition: attachment;\r\n filename*=utf-8''f%C3%BCr%20dich.pdf; size=3");
	HEAD("Content-Type: a/b;\r\n name=" UE " x", "Content-Type: a/b; name*=utf-8''%C3%BC%20x");
	HEAD("Content-Type: a/b; name=\"\xfc\"", "Content-Type: a/b; name*=unknown-8bit''%FC");
	HEAD(
	    "Content-Type: a/b (" UE "); name=x", "Content-Type: a/b (=?utf-8?Q?=C3=BC?=); name=x");
	HEAD("Content-Type: a/b; name*0=\"a b\"; name*1=\"" UE "\"",
	    "Content-Type: a/b; name*0*=utf-8''a%20b; name*1*=%C3%BC");
	HEAD("Content-Type: a/b; name*=utf-8''%20" UE, "Content-Type: a/b; name*=utf-8''%20%C3%BC");
	HEAD("Content-Type: a/b; n=\"" UE UE UE UE UE UE UE UE UE UE UE UE "\"",
	    "Content-Type: a/b;\r\n"
	    " n*0*=utf-8''%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3%BC%C3;\r\n"
	    " n*1*=%BC%C3%BC%C3%BC");
	HEAD("Content-Type: multipart/x; boundary=" UE,
	    "Content-Type: multipart/x; boundary*=utf-8''%C3%BC");
	/* Else the second one would be the boundary, of parts that nobody saw before. */
	HEAD("Content-Type: multipart/x; boundary=" UE "; boundary=i",
	    "Content-Type: multipart/x; boundary=__; boundary=i");
	HEAD("Content-Type: multipart/x; boundary (c)=" UE "; boundary=i",
	    "Content-Type: multipart/x; boundary (c)=__; boundary=i");
	HEAD("Content-Type: multipart/x; n=" UE "a\"b; boundary=i\"",
	    "Content-Type: multipart/x; n=__a\"b; boundary=i\"");
}

/* Whatever stands in a header, nothing above 127 is left, and no line is made too long. */
static void test_headers_of_rubbish(void **state)
{
	static const char *const names[] = {
	    "From", "To", "Content-Type", "Received", "Subject", "Message-ID", "no field"};
	static const char bits[] = "\xc3\xbc\xff\"\\()<>@,;:= \t*x.0";
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct buf in;
		struct result r;
		unsigned n = (unsigned)rand_r(&seed) % 60;

		buf_init(&in, 4096);
		buf_add_str(&in, names[(unsigned)round % GW_ARRAY_LEN(names)]);
		buf_add_str(&in, ": ");
		for (unsigned i = 0; i < n; i++)
			buf_add_byte(
			    &in, (uint8_t)bits[(unsigned)rand_r(&seed) % (sizeof(bits) - 1)]);
		buf_add_str(&in, "\r\n\r\n");
		r = convert_in(buf_view(&in), CONVERT_7BIT, 1000);
		assert_int_equal(r.verdict, CONVERT_FINE);
		if (has_high(buf_view(&r.out)))
			fail_msg("%.*s", SPAN_ARG(buf_view(&r.out)));
		buf_fini(&r.out);
		buf_fini(&in);
	}
}

/* ---- figures ----------------------------------------------------------------------------------
 */

static double measure(struct span m, unsigned mode)
{
	struct timespec a, b;
	struct result r;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	r = convert_in(m, mode, 65536);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	buf_fini(&r.out);
	return (double)m.n / 1e6 /
	       ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
}

static void test_speed(void **state)
{
	static const char *const heads[] = {TYPE("text/plain") CTE("8bit") "\r\n",
	    TYPE("image/png") CTE("8bit") "\r\n", TYPE("text/plain") CTE("quoted-printable") "\r\n",
	    TYPE("text/plain") CTE("base64") "\r\n", TYPE("multipart/signed; boundary=x") "\r\n"};
	static const char *const words[] = {
	    "to quoted-printable", "to base64", "mended", "base64 as it is", "sealed"};

	(void)state;
	if (getenv("GODWIT_MEASURE") == NULL)
		skip();
	for (size_t i = 0; i < GW_ARRAY_LEN(heads); i++) {
		struct buf in;

		buf_init(&in, OUT_MAX);
		buf_add_str(&in, heads[i]);
		while (buf_len(&in) < OUT_MAX / 4)
			buf_add_str(
			    &in, i < 2 ? "Gr" UE UE "e aus M" UE "nchen, wie besprochen\r\n"
				       : "R3LDvMOfZSBhdXMgTcO8bmNoZW4sIHdpZSBiZXNwcm9jaGVuCg\r\n");
		printf("%-20s %6.0f MB/s\n", words[i], measure(buf_view(&in), CONVERT_7BIT));
		buf_fini(&in);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_other_types),
	    cmocka_unit_test(test_encoded_already),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_what_is_sealed),
	    cmocka_unit_test(test_what_is_no_mime),
	    cmocka_unit_test(test_one_boundary_twice),
	    cmocka_unit_test(test_a_boundary_out_of_a_long_line),
	    cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_around_the_window),
	    cmocka_unit_test(test_long_preambles),
	    cmocka_unit_test(test_long_headers),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_binary),
	    cmocka_unit_test(test_text_fields),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_parameters),
	    cmocka_unit_test(test_headers_of_rubbish),
	    cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
