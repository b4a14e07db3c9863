#include "mail/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>

#include "mail/header.h"

enum { REPORT_MAX = 1 << 20, HOUR = 3600 };

static const struct change_rcpt failed = {.outcome = OUTCOME_FAILED,
    .code = 550,
    .esc = {5, 1, 1},
    .attempts = 1,
    .host = SPAN("mx.b.example (192.0.2.1)"),
    .reply = SPAN("No such user\nSee https://b.example/help")};
static const struct change_rcpt expired = {.outcome = OUTCOME_EXPIRED,
    .attempts = 31,
    .host = SPAN("mx.c.example"),
    .reply = SPAN("connection timed out")};

static const struct dsn_rcpt two[] = {
    {.addr = SPAN("bob@b.example"),
	.orcpt = SPAN("rfc822;Bob@b.example"),
	.change = &failed,
	.last_attempt = INT64_C(1700000100) * 1000000,
	.class = REPLY_BAD_MAILBOX},
    {.addr = SPAN("eve@c.example"), .change = &expired, .class = REPLY_TIMEOUT},
};

static struct dsn sample(void)
{
	return (struct dsn){
	    .reporting_host = SPAN("mail.a.example"),
	    .to = SPAN("alice@a.example"),
	    .envid = SPAN("QQ314159"),
	    .original_head = SPAN("From: alice@a.example\r\nSubject: hi\r\n there\r\n\r\n"),
	    .id = {{1}},
	    .report_id = {{2}},
	    .arrived = INT64_C(1700000000) * 1000000,
	    .now = INT64_C(1700000000) * 1000000 + INT64_C(121) * HOUR * 1000000,
	    .rcpt = two,
	    .n_rcpt = 2,
	};
}

#define BOUNDARY "=_report_02000000000000000000000000"

static struct span find(struct span in, struct span what)
{
	for (; in.n >= what.n; in = span_skip(in, 1)) {
		if (span_starts(in, what))
			return in;
	}
	return SPAN_NONE;
}

static size_t count(struct span in, struct span what)
{
	size_t n = 0;

	for (in = find(in, what); in.p != NULL; in = find(span_skip(in, 1), what))
		n++;
	return n;
}

#define HAS(text, lit) \
	do { \
		if (find(text, SPAN(lit)).p == NULL) \
			fail_msg("not there: %s in\n%.*s", lit, SPAN_ARG(text)); \
	} while (0)

/* True of every report: CRLF lines of at most 998 octets, 7-bit, no control but tab. */
static void check_octets(struct span text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c == '\r') {
			assert_true(i + 1 < text.n && text.p[i + 1] == '\n');
			assert_true(column <= 998);
			column = 0;
			i++;
			continue;
		}
		assert_true(c == '\t' || (c >= ' ' && c < 127));
		column++;
	}
	assert_int_equal(column, 0);
}

/* n parts: n delimiters and one end; nothing else at the start of a line looks like one. */
static void check_boundaries(struct span text, size_t n)
{
	assert_int_equal(count(text, SPAN("\r\n--")), n + 1);
	assert_int_equal(count(text, SPAN("\r\n--" BOUNDARY "\r\n")), n);
	assert_int_equal(count(text, SPAN("\r\n--" BOUNDARY "--\r\n")), 1);
	assert_int_equal(
	    find(text, SPAN("\r\n--" BOUNDARY "--")).n, SPAN("\r\n--" BOUNDARY "--\r\n").n);
}

static struct span compose(struct buf *b, const struct dsn *d)
{
	struct span text;
	size_t head;

	buf_init(b, REPORT_MAX);
	buf_add_str(b, "x");
	head = dsn_compose(d, b);
	text = span_skip(buf_view(b), 1);
	assert_false(buf_failed(b));
	assert_true(head > 4 && head < text.n);
	assert_memory_equal(text.p + head - 4, "\r\n\r\n", 4);
	assert_ptr_equal(find(text, SPAN("\r\n\r\n")).p, text.p + head - 4);
	check_octets(text);
	check_boundaries(text, d->original_head.n ? 3 : 2);
	return text;
}

static void test_head(void **state)
{
	static const struct {
		const char *name, *value;
	} want[] = {
	    {"From", "Mail Delivery System <MAILER-DAEMON@mail.a.example>"},
	    {"To", "<alice@a.example>"},
	    {"Subject", "Your message could not be delivered"},
	    {"Date", "Sun, 19 Nov 2023 23:13:20 +0000"},
	    {"Message-ID", "<02000000000000000000000000@mail.a.example>"},
	    {"Auto-Submitted", "auto-replied"},
	    {"MIME-Version", "1.0"},
	    {"Content-Type", "multipart/report; report-type=delivery-status;\r\n"
			     "\tboundary=\"" BOUNDARY "\""},
	};
	struct dsn d = sample();
	struct buf b;
	struct span text = compose(&b, &d);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(want); i++) {
		assert_int_equal(header_count(text, span_str(want[i].name)), 1);
		assert_true(
		    span_eq(header_get(text, span_str(want[i].name)), span_str(want[i].value)));
	}
	buf_fini(&b);
}

static void test_words(void **state)
{
	struct dsn d = sample();
	struct buf b;
	struct span text = compose(&b, &d);

	(void)state;
	HAS(text, "Content-Type: text/plain; charset=us-ascii\r\n");
	HAS(text, "This is the mail system at mail.a.example.\r\n");
	HAS(text, "could not be delivered to the recipients named below");
	HAS(text, "<bob@b.example>\r\n    The host mx.b.example (192.0.2.1) said: 550 5.1.1 No such"
		  " user See\r\n      https://b.example/help\r\n    What it means: There is no such"
		  " mailbox at this domain.\r\n    What to do: Check the spelling");
	HAS(text, "<eve@c.example>\r\n    Tried for 5 days (attempts: 31), then given up. The last"
		  " time:\r\n    The host mx.c.example was tried: connection timed out\r\n"
		  "    What it means: The recipient's mail system did not answer in time.\r\n");
	HAS(text, "Your message had the id 01000000000000000000000000 here. It arrived at Tue,\r\n"
		  "14 Nov 2023 22:13:20 +0000.\r\n");
	buf_fini(&b);
}

static void test_status_part(void **state)
{
	struct dsn d = sample();
	struct buf b;
	struct span text = compose(&b, &d);

	(void)state;
	HAS(text, "Content-Type: message/delivery-status\r\n"
		  "Content-Description: Delivery report\r\n\r\n"
		  "Original-Envelope-Id: QQ314159\r\n"
		  "Reporting-MTA: dns; mail.a.example\r\n"
		  "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
		  "X-Godwit-Message: 01000000000000000000000000\r\n"
		  "\r\n"
		  "Original-Recipient: rfc822;Bob@b.example\r\n"
		  "Final-Recipient: rfc822;bob@b.example\r\n"
		  "Action: failed\r\n"
		  "Status: 5.1.1\r\n"
		  "Remote-MTA: dns; mx.b.example (192.0.2.1)\r\n"
		  "Diagnostic-Code: smtp; 550 5.1.1 No such user See https://b.example/help\r\n"
		  "Last-Attempt-Date: Tue, 14 Nov 2023 22:15:00 +0000\r\n"
		  "X-Godwit-Attempts: 1\r\n"
		  "X-Godwit-Class: bad-mailbox\r\n"
		  "\r\n"
		  "Final-Recipient: rfc822;eve@c.example\r\n"
		  "Action: failed\r\n"
		  "Status: 4.4.7\r\n"
		  "Remote-MTA: dns; mx.c.example\r\n"
		  "Diagnostic-Code: X-Godwit; connection timed out\r\n"
		  "X-Godwit-Attempts: 31\r\n"
		  "X-Godwit-Class: timeout\r\n"
		  "\r\n--" BOUNDARY "\r\n");
	HAS(text, "Content-Type: text/rfc822-headers\r\n"
		  "Content-Description: Header of the message\r\n\r\n"
		  "From: alice@a.example\r\nSubject: hi\r\n there\r\n\r\n--" BOUNDARY "--\r\n");
	buf_fini(&b);
}

/* What its sender asked of the time comes back to him. */
static void test_times_asked_for(void **state)
{
	struct dsn d = sample();
	struct buf b;

	(void)state;
	d.deliver_by = d.now;
	d.hold_until = d.now;
	HAS(compose(&b, &d), "Deliver-By-Date: Sun, 19 Nov 2023 23:13:20 +0000\r\n"
			     "Future-Release-Request: until; 2023-11-19T23:13:20Z\r\n");
	buf_fini(&b);
}

/* Nobody knows: the report says so, and does not say that it failed. */
static void test_unsure(void **state)
{
	struct change_rcpt c = {.outcome = OUTCOME_FAILED,
	    .esc = {5, 4, 2},
	    .host = SPAN("mx.b.example"),
	    .reply = SPAN("May have been delivered")};
	struct dsn_rcpt r[2] = {{.addr = SPAN("bob@b.example"), .change = &c}, two[0]};
	struct dsn d = sample();
	struct span text;
	struct buf b;

	(void)state;
	d.rcpt = r;
	d.n_rcpt = 1;
	text = compose(&b, &d);
	HAS(text, "Subject: Your message may not have been delivered\r\n");
	HAS(text,
	    "Your message may or may not have been delivered to the recipient named\r\nbelow. It");
	HAS(text, "The host mx.b.example was tried: May have been delivered\r\n");
	HAS(text, "Status: 5.4.2\r\n");
	HAS(text, "Diagnostic-Code: X-Godwit; May have been delivered\r\n");
	buf_fini(&b);
	/* Together with one that failed, the head speaks of failure. */
	d.n_rcpt = 2;
	text = compose(&b, &d);
	HAS(text, "Subject: Your message could not be delivered\r\n");
	HAS(text, "The connection broke before the recipient's");
	buf_fini(&b);
	/* An answer with the same code is an answer. */
	c.code = 554;
	d.n_rcpt = 1;
	text = compose(&b, &d);
	HAS(text, "Subject: Your message could not be delivered\r\n");
	buf_fini(&b);
}

static void check_status(enum outcome o, const uint8_t esc[3], const char *want)
{
	struct change_rcpt c = {
	    .outcome = o, .code = 550, .esc = {esc[0], esc[1], esc[2]}, .reply = SPAN("x")};
	struct dsn_rcpt r = {.addr = SPAN("a@b"), .change = &c};
	struct dsn d = sample();
	struct buf b;
	struct span text;

	d.rcpt = &r;
	d.n_rcpt = 1;
	text = compose(&b, &d);
	if (!span_starts(find(text, SPAN("\r\nStatus: ")), span_str(want)))
		fail_msg("not %s", want);
	HAS(text, "delivered to the recipient named below");
	buf_fini(&b);
}

static void test_statuses(void **state)
{
	(void)state;
	check_status(OUTCOME_FAILED, (const uint8_t[]){5, 7, 255}, "\r\nStatus: 5.7.255\r\n");
	check_status(OUTCOME_FAILED, (const uint8_t[]){0, 0, 0}, "\r\nStatus: 5.0.0\r\n");
	check_status(OUTCOME_FAILED, (const uint8_t[]){4, 2, 2}, "\r\nStatus: 5.2.2\r\n");
	check_status(OUTCOME_FAILED, (const uint8_t[]){2, 0, 0}, "\r\nStatus: 5.0.0\r\n");
	check_status(OUTCOME_EXPIRED, (const uint8_t[]){0, 0, 0}, "\r\nStatus: 4.4.7\r\n");
	check_status(OUTCOME_EXPIRED, (const uint8_t[]){4, 2, 2}, "\r\nStatus: 4.2.2\r\n");
	check_status(OUTCOME_EXPIRED, (const uint8_t[]){9, 9, 9}, "\r\nStatus: 4.4.7\r\n");
}

#define EVIL \
	"x\r\n--" BOUNDARY "\r\nContent-Type: text/html\r\n\r\n<script>\r\n--" BOUNDARY "--\r\n" \
	"\n--" BOUNDARY "\n\r--" BOUNDARY "\r\0\x1b[2J\xff\xc3\xa4"

/* The peer knows the boundary and writes all it can: no line of the report is its own. */
static void test_peers_cannot_write_lines(void **state)
{
	struct change_rcpt c = {.outcome = OUTCOME_FAILED,
	    .code = 550,
	    .host = SPAN(EVIL),
	    .reply = SPAN("no\nAction: delivered\nStatus: 2.0.0\n\n" EVIL)};
	struct dsn_rcpt r = {.addr = SPAN(EVIL), .orcpt = SPAN(EVIL), .change = &c};
	struct dsn d = sample();
	struct buf b;
	struct span text;

	(void)state;
	d.to = SPAN("alice@a.example>\r\nBcc: <all@a.example");
	d.envid = SPAN(EVIL);
	d.reporting_host = SPAN("mail\r\nX: y");
	d.original_head = SPAN("Subject: " EVIL "\r\nTo: b\r\n" EVIL "\r\n");
	d.rcpt = &r;
	d.n_rcpt = 1;
	text = compose(&b, &d);
	assert_int_equal(header_count(text, SPAN("Bcc")), 0);
	assert_int_equal(header_count(text, SPAN("X")), 0);
	HAS(text, "To: undisclosed-recipients:;\r\n");
	assert_int_equal(count(text, SPAN("\r\nAction:")), 1);
	assert_int_equal(count(text, SPAN("\r\nStatus:")), 1);
	assert_int_equal(count(text, SPAN("\r\n\r\nFinal-Recipient:")), 0);
	buf_fini(&b);
}

static void test_copied_header_is_tame(void **state)
{
	struct dsn d = sample();
	struct buf b;
	struct span text;

	(void)state;
	d.original_head = SPAN("From me\r\n"
			       "Subject: \xc3\xa4 \0 \x01\ttab\r\n"
			       "--" BOUNDARY ": x\r\n"
			       "--" BOUNDARY "--: x\r\n"
			       "X-Fold:\r\n one\r\n \t \r\n two\r\n"
			       "X-Bare: a\rb\nc\r\n"
			       "To: c\r\n\r\nBody: y\r\n");
	text = compose(&b, &d);
	HAS(text, "headers; charset=utf-8\r\nContent-Description: Header of the message\r\n"
		  "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		  "Subject: =C3=A4 ? ?\ttab\r\n"
		  "X-Fold:\r\n one\r\n two\r\n"
		  "X-Bare: a?b?c\r\n"
		  "To: c\r\n\r\n--" BOUNDARY "--\r\n");
	buf_fini(&b);
}

static struct span copied_of(struct span text)
{
	struct span at = find(text, SPAN("text/rfc822-headers"));

	return span_skip(find(at, SPAN("\r\n\r\n")), 4);
}

/* fill: what the large header is made of, again and again. */
static void check_large_head(const char *start, const char *fill)
{
	enum { SIZE = 400000 };
	uint8_t *head = malloc(SIZE);
	size_t n = strlen(start), step = strlen(fill);
	struct dsn d = sample();
	struct buf b;
	struct span copied;

	assert_non_null(head);
	memcpy(head, start, n);
	for (; n + step <= SIZE; n += step)
		memcpy(head + n, fill, step);
	d.original_head = span_of(head, n);
	copied = copied_of(compose(&b, &d));
	assert_true(copied.n < 65536 && copied.n > 50000);
	buf_fini(&b);
	free(head);
}

static void test_large_headers_are_cut(void **state)
{
	(void)state;
	check_large_head("", "X-Field: value\r\n");
	check_large_head("X: ", "0123456789");
	check_large_head("X: ", "01234567890123456789012345678901234567 ");
	check_large_head("X: ", "\xff");
	check_large_head("X:\r\n ", "\r\r\n x");
	check_large_head("X: a", "\r\n bb");
	check_large_head("", "A:\r\n");
}

static void test_blank_headers_leave_no_blank_lines(void **state)
{
	enum { SIZE = 5000 };
	static uint8_t head[SIZE];
	struct dsn d = sample();
	struct buf b;

	(void)state;
	memset(head, ' ', sizeof(head));
	memcpy(head, "X:\r\n", 4);
	memcpy(head + SIZE - 6, "\r\n\r\v\r\n", 6);
	head[SIZE - 4] = ' ';
	d.original_head = span_of(head, sizeof(head));
	assert_true(span_starts(copied_of(compose(&b, &d)), SPAN("X:\r\n\r\n--" BOUNDARY "--")));
	buf_fini(&b);
}

/* A line of any length near the limit of 998 comes out within it. */
static void test_long_lines_are_broken(void **state)
{
	uint8_t head[1200];
	struct dsn d = sample();
	struct buf b;

	(void)state;
	memset(head, 'x', sizeof(head));
	memcpy(head, "X:\r\n ", 6);
	for (size_t n = 880; n <= sizeof(head); n++) {
		d.original_head = span_of(head, n);
		compose(&b, &d);
		buf_fini(&b);
	}
}

static void test_many_recipients(void **state)
{
	enum { MANY = 1000 };
	static struct dsn_rcpt many[MANY];
	struct dsn d = sample();
	struct buf b;
	struct span text;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		many[i] = two[0];
	d.rcpt = many;
	d.n_rcpt = MANY;
	d.original_head = SPAN_NONE;
	text = compose(&b, &d);
	HAS(text, "... and 950 more: the second part of this report names them.\r\n");
	assert_int_equal(count(text, SPAN("\r\n\r\nOriginal-Recipient: ")), MANY);
	assert_int_equal(count(text, SPAN("text/rfc822-headers")), 0);
	buf_fini(&b);
}

static void test_long_texts(void **state)
{
	static uint8_t text[70000];
	struct change_rcpt c = {.outcome = OUTCOME_FAILED, .code = 550};
	struct dsn_rcpt r = {.change = &c};
	struct dsn d = sample();
	struct buf b;

	(void)state;
	memset(text, 'x', sizeof(text));
	c.host = c.reply = r.addr = r.orcpt = d.envid = d.reporting_host =
	    span_of(text, sizeof(text));
	d.rcpt = &r;
	d.n_rcpt = 1;
	assert_true(compose(&b, &d).n < 20000);
	buf_fini(&b);
}

static void test_a_full_buffer_gives_nothing(void **state)
{
	struct dsn d = sample();
	struct buf whole, small;
	size_t n = compose(&whole, &d).n;

	(void)state;
	for (size_t max = 0; max < n; max += 13) {
		buf_init(&small, max);
		assert_int_equal(dsn_compose(&d, &small), 0);
		buf_fini(&small);
	}
	buf_fini(&whole);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_head),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_unsure),
	    cmocka_unit_test(test_status_part),
	    cmocka_unit_test(test_times_asked_for),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_peers_cannot_write_lines),
	    cmocka_unit_test(test_copied_header_is_tame),
	    cmocka_unit_test(test_large_headers_are_cut),
	    cmocka_unit_test(test_blank_headers_leave_no_blank_lines),
	    cmocka_unit_test(test_long_lines_are_broken),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_long_texts),
	    cmocka_unit_test(test_a_full_buffer_gives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
