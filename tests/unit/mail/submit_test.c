#include "mail/submit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>

/* A header that needs nothing. */
#define WHOLE "Date: x\r\nMessage-ID: <x@y>\r\nFrom: a@b\r\n"
#define DATE "Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
#define ID "Message-ID: <00000000000000000000000007@mx.example>\r\n"

static const struct submit_context user = {
    .hostname = {(const uint8_t *)"mx.example", 10},
    .domain = {(const uint8_t *)"d.example", 9},
    .from = {(const uint8_t *)"me@d.example", 12},
    .id = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}},
    .wall = 1000000,
};

static void expect_as(const struct submit_context *c, struct span head, const char *want, int fixes)
{
	const char *why = NULL;
	struct buf out;
	int got;

	buf_init(&out, 1 << 16);
	buf_add_str(&out, "before");
	got = submit_mend(c, head, &out, &why);
	if (got < 0) {
		assert_int_equal(got, fixes);
		if (why == NULL || !span_eq(span_str(why), span_str(want)))
			fail_msg("%s, not %s", why, want);
	} else {
		struct span made = span_skip(buf_view(&out), 6);

		assert_int_equal(got, fixes);
		if (!span_eq(made, span_str(want)))
			fail_msg("\"%.*s\", not \"%s\"", SPAN_ARG(made), want);
	}
	buf_fini(&out);
}

static void expect(struct span head, const char *want, int fixes)
{
	expect_as(&user, head, want, fixes);
}

static void unchanged(struct span head)
{
	char text[4096];

	expect(head, span_to_cstr(head, text, sizeof(text)), 0);
}

static void refused(struct span head, const char *why)
{
	expect(head, why, GW_EFORMAT);
}

static void test_nothing_to_do(void **state)
{
	(void)state;
	unchanged(SPAN(WHOLE "\r\n"));
	unchanged(SPAN(WHOLE));
	unchanged(SPAN(WHOLE "Subject: x"));
	unchanged(
	    SPAN(WHOLE "To: a@b,\r\n c@d (Bcc: e)\r\nCC: x@y\r\nX-Bcc: z\r\nbody line\r\n\r\n"));
	unchanged(SPAN("FROM : a@b, c@d\r\n\t, e@f\r\nsender:\r\nmessage-id:\r\nDATE:\r\n"));
}

/* Who has such an address (RFC 6531) may be an author. */
static void test_authors_beyond_ascii(void **state)
{
	(void)state;
	unchanged(
	    SPAN("From: J\xc3\xbcrgen <j\xc3\xbc@m\xc3\xbcller.test>\r\nMessage-ID:\r\nDate:\r\n"));
	refused(SPAN("From: j\xfc@b\r\nMessage-ID:\r\nDate:\r\n"),
	    "The From field is not a list of addresses as RFC 5322 has them");
}

static void test_missing_fields_are_added_in_front(void **state)
{
	(void)state;
	expect(SPAN(""), DATE ID "From: me@d.example\r\n",
	    SUBMIT_DATE | SUBMIT_MESSAGE_ID | SUBMIT_FROM);
	expect(SPAN("\r\n"), DATE ID "From: me@d.example\r\n\r\n",
	    SUBMIT_DATE | SUBMIT_MESSAGE_ID | SUBMIT_FROM);
	expect(SPAN("Subject: x\r\nbroken\r\nTo: a@b\r\n\r\n"),
	    DATE ID "From: me@d.example\r\nSubject: x\r\nbroken\r\nTo: a@b\r\n\r\n",
	    SUBMIT_DATE | SUBMIT_MESSAGE_ID | SUBMIT_FROM);
	expect(SPAN("Date: x\r\nFrom: a@b\r\n"), ID "Date: x\r\nFrom: a@b\r\n", SUBMIT_MESSAGE_ID);
	expect(SPAN("Message-Id: x\r\nFrom: a@b\r\n"), DATE "Message-Id: x\r\nFrom: a@b\r\n",
	    SUBMIT_DATE);
	/* Those of a message that was sent on are not its own. */
	expect(SPAN("Resent-Date: x\r\nResent-Message-ID: y\r\nResent-From: z@z\r\nFrom: a@b\r\n"),
	    DATE ID "Resent-Date: x\r\nResent-Message-ID: y\r\nResent-From: z@z\r\nFrom: a@b\r\n",
	    SUBMIT_DATE | SUBMIT_MESSAGE_ID);
}

static void test_who_the_author_is(void **state)
{
	struct submit_context c = user;

	(void)state;
	c.from = SPAN_NONE;
	c.account = SPAN("joe@x.example");
	expect_as(&c, SPAN("Date: x\r\nMessage-ID: y\r\n"),
	    "From: joe@x.example\r\nDate: x\r\nMessage-ID: y\r\n", SUBMIT_FROM);
	c.account = SPAN("joe");
	expect_as(&c, SPAN("Date: x\r\nMessage-ID: y\r\n"),
	    "From: joe@d.example\r\nDate: x\r\nMessage-ID: y\r\n", SUBMIT_FROM);
	c.account = SPAN("joe\r\nX");
	expect_as(&c, SPAN(""), "There is no From field, and no envelope sender to make it of",
	    GW_EFORMAT);
	c.account = SPAN_NONE;
	expect_as(&c, SPAN(""), "There is no From field, and no envelope sender to make it of",
	    GW_EFORMAT);
	expect_as(&c, SPAN("Date: x\r\nMessage-ID: y\r\nFrom: a@b, c@d\r\n"),
	    "Date: x\r\nMessage-ID: y\r\nFrom: a@b, c@d\r\n", 0);
}

/* RFC 5322 section 3.6.2. */
static void test_several_authors_need_a_sender(void **state)
{
	(void)state;
	expect(SPAN("Date: x\r\nMessage-ID: y\r\nFrom: a@b, c@d\r\n"),
	    "Sender: me@d.example\r\nDate: x\r\nMessage-ID: y\r\nFrom: a@b, c@d\r\n",
	    SUBMIT_SENDER);
	expect(SPAN("Date: x\r\nMessage-ID: y\r\nFrom: us: a@b, c@d;\r\n"),
	    "Sender: me@d.example\r\nDate: x\r\nMessage-ID: y\r\nFrom: us: a@b, c@d;\r\n",
	    SUBMIT_SENDER);
	unchanged(SPAN("Sender: c@d\r\nDate: x\r\nMessage-ID: y\r\nFrom: a@b, c@d\r\n"));
}

static void test_fields_that_go(void **state)
{
	(void)state;
	expect(SPAN(WHOLE "Bcc: x@y\r\nTo: a@b\r\n\r\n"), WHOLE "To: a@b\r\n\r\n", SUBMIT_BCC);
	expect(SPAN("bCC :x@y,\r\n z@z,\r\n\tw@w\r\n \r\n" WHOLE), WHOLE, SUBMIT_BCC);
	expect(SPAN(WHOLE "Bcc:\r\nResent-Bcc: x\r\nBcc: y"), WHOLE, SUBMIT_BCC);
	expect(SPAN("Return-Path: <>\r\n" WHOLE "\r\n"), WHOLE "\r\n", SUBMIT_RETURN_PATH);
	expect(SPAN(WHOLE "broken\r\nBcc: x@y\r\n\r\n"), WHOLE "broken\r\n\r\n", SUBMIT_BCC);
	/* Behind the empty line it is content. */
	unchanged(SPAN(WHOLE "\r\nBcc: x@y\r\n"));
}

static void test_bare_addresses(void **state)
{
	(void)state;
	expect(SPAN(WHOLE "To: root, Ann (x)\r\n <ann (y)>\r\n\t, b@c, \"q q\" ; \r\n\r\n"),
	    WHOLE "To: root@d.example, Ann (x)\r\n <ann@d.example (y)>\r\n\t, b@c, \"q "
		  "q\"@d.example ; \r\n\r\n",
	    SUBMIT_ADDRESS);
	expect(SPAN("Date:\r\nMessage-ID:\r\nFrom: root (Cron)\r\nReply-To: a\r\nSender: b\r\n"
		    "CC:c\r\nResent-To: f"),
	    "Date:\r\nMessage-ID:\r\nFrom: root@d.example (Cron)\r\nReply-To: a@d.example\r\n"
	    "Sender: b@d.example\r\nCC:c@d.example\r\nResent-To: f@d.example",
	    SUBMIT_ADDRESS);
	/* What is no list of addresses stays, bare address or not, and so does what is none. */
	unchanged(SPAN(WHOLE "To: root, two words\r\nCc: root, <\r\n"));
	unchanged(SPAN(WHOLE "Subject: root\r\nX-To: root\r\nErrors-To: root\r\n"));
	unchanged(SPAN(WHOLE "To: =?utf-8?Q?x,_y?= <a@b>\r\n"));
}

static void test_no_domain_no_change(void **state)
{
	struct submit_context c = user;

	(void)state;
	c.domain = SPAN_NONE;
	expect_as(&c, SPAN(WHOLE "To: root\r\n"), WHOLE "To: root\r\n", 0);
}

/* RFC 5322 section 2.1.1: a line that was fine is not made longer than a line may be. */
static void test_lines_do_not_become_too_long(void **state)
{
	char head[2048], want[2048];

	(void)state;
	for (int n = 970; n <= 1010; n++) {
		/* The last line is " (n digits), b", and gets ten octets more. */
		bool fits = n + 6 + 10 <= 998 || n + 6 > 998;

		snprintf(head, sizeof(head), WHOLE "To: root\r\n (%0*d), b\r\n", n, 0);
		snprintf(want, sizeof(want), WHOLE "To: root@d.example\r\n (%0*d), b@d.example\r\n",
		    n, 0);
		expect(span_str(head), fits ? want : head, fits ? SUBMIT_ADDRESS : 0);
	}
}

static void test_what_is_refused(void **state)
{
	static const char unreadable[] =
	    "The From field is not a list of addresses as RFC 5322 has them";

	(void)state;
	refused(SPAN(WHOLE "From: a@b\r\n"), "The header has more than one From field");
	refused(SPAN(WHOLE "broken\r\nfrom\t: a@b\r\n"), "The header has more than one From field");
	refused(SPAN(" From: a@b\r\n"), "The first line of the header is not a field");
	refused(SPAN("From: a b\r\n"), unreadable);
	refused(SPAN("From: x@y <a@b>\r\n"), unreadable);
	refused(SPAN("From:\r\n"), "The From field has no address");
	refused(SPAN("From: nobody:;\r\n"), "The From field has no address");
	refused(SPAN(WHOLE "From\r\n : x@y\r\n"), "The name of the From field is not correct");
	refused(SPAN(WHOLE "F\x01rom\xff : x@y\r\n"), "The name of the From field is not correct");
	refused(SPAN(WHOLE "F r o m: x@y\r\n"), "The name of the From field is not correct");
	unchanged(SPAN(WHOLE "From me Thu Jan  1 10:00:00 1970\r\n"));
	unchanged(SPAN(WHOLE "From\r\n"));
	unchanged(SPAN(WHOLE "From me\r\nFr: x\r\nFromm : y\r\nF om: x\r\n"));
}

/* One octet less than it needs, for every ceiling. */
static void test_the_ceiling(void **state)
{
	static const struct span head = SPAN("Bcc: x\r\nTo: a, b, c\r\nbroken\r\n\r\n");
	const char *why;
	struct buf out;
	size_t need;

	(void)state;
	buf_init(&out, 4096);
	assert_true(submit_mend(&user, head, &out, &why) > 0);
	need = buf_len(&out);
	buf_fini(&out);
	for (size_t max = 0; max <= need; max++) {
		int got;

		buf_init(&out, max);
		got = submit_mend(&user, head, &out, &why);
		assert_true(max < need ? got == GW_EFULL : got > 0);
		buf_fini(&out);
	}
}

static void expect_words(unsigned fixes, const char *want)
{
	struct buf out;

	buf_init(&out, 100);
	submit_fix_words(fixes, &out);
	assert_true(span_eq(buf_view(&out), span_str(want)));
	buf_fini(&out);
}

static void test_words(void **state)
{
	(void)state;
	expect_words(0, "");
	expect_words(SUBMIT_BCC, "bcc");
	expect_words(SUBMIT_DATE | SUBMIT_RETURN_PATH, "date,return-path");
	expect_words(~0u, "date,message-id,from,sender,bcc,address,return-path");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_to_do),
	    cmocka_unit_test(test_authors_beyond_ascii),
	    cmocka_unit_test(test_missing_fields_are_added_in_front),
	    cmocka_unit_test(test_who_the_author_is),
	    cmocka_unit_test(test_several_authors_need_a_sender),
	    cmocka_unit_test(test_fields_that_go),
	    cmocka_unit_test(test_bare_addresses),
	    cmocka_unit_test(test_no_domain_no_change),
	    cmocka_unit_test(test_lines_do_not_become_too_long),
	    cmocka_unit_test(test_what_is_refused),
	    cmocka_unit_test(test_the_ceiling),
	    cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
