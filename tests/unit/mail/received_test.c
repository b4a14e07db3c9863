#include "mail/received.h"

#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define DATE "Thu, 1 Jan 1970 00:00:00 +0000\r\n"
#define ID "00000000000000000000000000"

static struct received plain(void)
{
	return (struct received){.helo = SPAN("client.example"),
	    .ip = SPAN("192.0.2.1"),
	    .hostname = SPAN("mx.example"),
	    .esmtp = true};
}

static void expect(const struct received *r, const char *want)
{
	struct buf out;

	buf_init(&out, 4096);
	received_put(r, &out);
	if (!span_eq(buf_view(&out), span_str(want)))
		fail_msg("%.*s, not %s", SPAN_ARG(buf_view(&out)), want);
	buf_fini(&out);
}

static void test_the_usual(void **state)
{
	struct received r = plain();

	(void)state;
	r.only_rcpt = SPAN("bob@example.org");
	expect(&r, "Received: from client.example ([192.0.2.1]) by mx.example with ESMTP\r\n"
		   "\tid " ID " for <bob@example.org>;\r\n"
		   "\t" DATE);
	r.only_rcpt = SPAN_NONE;
	r.ip = SPAN("2001:db8::1");
	r.helo = SPAN("[IPv6:2001:db8::1]");
	expect(&r, "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
		   "\tby mx.example with ESMTP id " ID ";\r\n"
		   "\t" DATE);
	r.tls_version = SPAN("TLSv1.3");
	r.tls_cipher = SPAN("TLS_AES_256_GCM_SHA384");
	expect(&r, "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
		   "\tby mx.example with ESMTPS (version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384)\r\n"
		   "\tid " ID "; " DATE);
}

static void expect_keyword(bool esmtp, bool tls, bool authenticated, const char *want)
{
	struct received r = plain();
	struct buf out, flat, looked_for;

	r.esmtp = esmtp;
	r.authenticated = authenticated;
	r.tls_version = tls ? SPAN("TLSv1.2") : SPAN_NONE;
	buf_init(&out, 4096);
	buf_init(&flat, 4096);
	buf_init(&looked_for, 100);
	received_put(&r, &out);
	header_unfold(buf_view(&out), &flat);
	buf_addf(&looked_for, " with %s ", want);
	buf_add_byte(&flat, '\0');
	buf_add_byte(&looked_for, '\0');
	for (size_t i = 0; i < buf_len(&flat); i++) {
		if (flat.mem[i] == '\t')
			flat.mem[i] = ' ';
	}
	assert_non_null(strstr((char *)flat.mem, (char *)looked_for.mem));
	buf_fini(&out);
	buf_fini(&flat);
	buf_fini(&looked_for);
}

/* RFC 3848. */
static void test_keywords(void **state)
{
	(void)state;
	expect_keyword(false, false, false, "SMTP");
	expect_keyword(false, true, false, "SMTP");
	expect_keyword(true, false, false, "ESMTP");
	expect_keyword(true, true, false, "ESMTPS");
	expect_keyword(true, false, true, "ESMTPA");
	expect_keyword(true, true, true, "ESMTPSA");
}

/* However long the client made its words: one field, no line beyond RFC 5322 section 2.1.1. */
static void test_hostile_words(void **state)
{
	char helo[2048], rcpt[256];
	struct received r = plain();

	(void)state;
	memset(helo, 'h', sizeof(helo));
	memset(rcpt, 'r', sizeof(rcpt));
	memcpy(helo + 10, "\r\nBcc: x\r\n\x01\xff", 12);
	for (size_t n = 0; n <= sizeof(helo); n += 7) {
		struct header_field f;
		struct header_walk w;
		struct span rest;
		struct buf out;

		r.helo = span_of(helo, n);
		r.only_rcpt = span_of(rcpt, n % sizeof(rcpt));
		buf_init(&out, 4096);
		received_put(&r, &out);
		assert_false(buf_failed(&out));
		w = header_walk_of(buf_view(&out));
		assert_int_equal(header_next(&w, &f), 1);
		assert_int_equal(f.whole.n, buf_len(&out));
		for (rest = f.whole; rest.n > 0;)
			assert_in_range(header_line(&rest).n, 1, n < 50 ? 76 : 998);
		buf_fini(&out);
	}
}

/* A line that is broken inside a quoted string would say another address. */
static void test_a_recipient_with_blanks(void **state)
{
	struct received r = plain();

	(void)state;
	r.only_rcpt = SPAN("\"a  b                                    c\"@example.org");
	expect(&r, "Received: from client.example ([192.0.2.1]) by mx.example with ESMTP\r\n"
		   "\tid " ID "\r\n"
		   "\tfor <\"a  b                                    c\"@example.org>;\r\n"
		   "\t" DATE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_usual),
	    cmocka_unit_test(test_keywords),
	    cmocka_unit_test(test_hostile_words),
	    cmocka_unit_test(test_a_recipient_with_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
