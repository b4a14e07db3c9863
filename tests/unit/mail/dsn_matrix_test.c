/* Every kind of report, read by a parser that forgives nothing. */
#include "mail/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>

#include "dsn_strict.h"
#include "mail/dsn_texts.h"

enum { REPORT_MAX = 4 << 20, HOUR = 3600 };

static struct strict strict;

/* ---- what reports are about */

static const struct change_rcpt refused = {.outcome = OUTCOME_FAILED,
    .code = 550,
    .esc = {5, 2, 2},
    .attempts = 3,
    .host = SPAN("mx.b.example (192.0.2.1)"),
    .tls = SPAN("1.3/verified"),
    .vmta = SPAN("vmta1"),
    .reply = SPAN("Postfach voll, l\xc3\xb6schen!")};
static const struct change_rcpt expired = {.outcome = OUTCOME_EXPIRED,
    .attempts = 31,
    .host = SPAN("192.0.2.7"),
    .reply = SPAN("connection timed out")};
static const struct change_rcpt late = {.outcome = OUTCOME_DEFERRED,
    .code = 451,
    .esc = {4, 7, 1},
    .attempts = 5,
    .host = SPAN("mx.c.example"),
    .tls = SPAN("none"),
    .reply = SPAN("try again later")};
static const struct change_rcpt taken = {.outcome = OUTCOME_DELIVERED,
    .code = 250,
    .esc = {2, 1, 5},
    .attempts = 1,
    .host = SPAN("[IPv6:2001:db8::1]"),
    .tls = SPAN("failed:refused"),
    .reply = SPAN("ok queued as 12345")};
static const struct change_rcpt kept = {.outcome = OUTCOME_DELIVERED, .attempts = 1};
static const struct change_rcpt expanded = {.outcome = OUTCOME_EXPANDED};
static const struct change_rcpt odd_host = {.outcome = OUTCOME_FAILED,
    .esc = {5, 4, 2},
    .host = SPAN("unix socket /run/lmtp"),
    .reply = SPAN("May have been delivered")};

#define BAER "b\xc3\xa4r+x@b\xc3\xbc.example"

static const struct dsn_rcpt kinds[] = {
    {.addr = SPAN("bob@b.example"),
	.orcpt = SPAN("rfc822;Bob@b.example"),
	.change = &refused,
	.last_attempt = INT64_C(1700000100) * 1000000,
	.class = REPLY_FULL},
    {.addr = SPAN(BAER), .orcpt = SPAN("utf-8;" BAER), .change = &expired, .class = REPLY_TIMEOUT},
    {.addr = SPAN("late@c.example"),
	.change = &late,
	.action = DSN_DELAYED,
	.class = REPLY_GREYLISTED,
	.until = INT64_C(1700400000) * 1000000},
    {.addr = SPAN("late2@c.example"), .change = &expired, .action = DSN_DELAYED},
    {.addr = SPAN("to@d.example"),
	.orcpt = SPAN("utf-8;t\\x{F6}\\x{2B}@d.example"),
	.change = &taken,
	.action = DSN_RELAYED},
    {.addr = SPAN("list@a.example"), .change = &expanded, .action = DSN_EXPANDED},
    {.addr = SPAN("box@a.example"), .change = &kept, .action = DSN_DELIVERED},
    {.addr = SPAN("\"a b\"@a.example"), .change = &taken, .action = DSN_DELIVERED},
    {.addr = SPAN("who@e.example"), .change = &odd_host, .class = REPLY_UNSURE},
};

/* ---- what comes back */

struct body {
	struct span head, content; /* content: the message comes back whole */
	bool eight_bit, binary;
};

#define ASCII_HEAD \
	"From: alice@a.example\r\nMessage-ID: <1@a.example>\r\nSubject: hi\r\n there\r\n\r\n"
#define UTF8_HEAD "From: \xc3\xa4@a.example\r\nSubject: gr\xc3\xbc\xc3\x9f\x65\r\n\r\n"

static const struct body bodies[] = {
    {.head = SPAN_NONE},
    {.head = SPAN(ASCII_HEAD)},
    {.head = SPAN(UTF8_HEAD)},
    {.head = SPAN("Subject: \xe4 \xff latin\r\n\r\n")},
    {SPAN(ASCII_HEAD), SPAN(ASCII_HEAD "text\r\n--x\r\n"), false, false},
    {SPAN(ASCII_HEAD), SPAN(ASCII_HEAD "t\xe4xt\r\n"), true, false},
    {SPAN(UTF8_HEAD), SPAN(UTF8_HEAD "text\r\n"), true, false},
    {SPAN(ASCII_HEAD), SPAN(ASCII_HEAD "a\nb\r\xff\r\n"), true, true},
};

static struct dsn sample(const struct dsn_rcpt *rcpt, size_t n)
{
	return (struct dsn){.reporting_host = SPAN("mail.a.example"),
	    .to = SPAN("alice@a.example"),
	    .envid = SPAN("QQ314159"),
	    .id = {{1}},
	    .report_id = {{2}},
	    .arrived = INT64_C(1700000000) * 1000000,
	    .now = INT64_C(1700000000) * 1000000 + INT64_C(121) * HOUR * 1000000,
	    .rcpt = rcpt,
	    .n_rcpt = n};
}

static bool beyond_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return true;
	}
	return false;
}

static struct span words(void)
{
	return span_of(strict.words, strict.n_words);
}

static bool has(struct span in, struct span what)
{
	for (; in.n >= what.n; in = span_skip(in, 1)) {
		if (span_starts(in, what))
			return true;
	}
	return false;
}

#define HAS(text, lit) \
	do { \
		if (!has(text, SPAN(lit))) \
			fail_msg("not there: %s in\n%.*s", lit, SPAN_ARG(text)); \
	} while (0)

/* Composes, with the content where it comes back, and reads it. */
static struct span make(const struct dsn *d, struct span content, struct buf *b)
{
	struct dsn_form form;
	struct span text;

	buf_init(b, dsn_room(d->n_rcpt) + content.n);
	form = dsn_write(d, b);
	assert_true(form.head > 0);
	buf_add_span(b, content);
	if (d->whole)
		dsn_back(d, b);
	text = buf_view(b);
	strict.utf8 = d->smtputf8;
	if (strict_read(&strict, text, form.head) != NULL)
		fail_msg("%s in\n%.*s", strict.wrong, SPAN_ARG(text));
	assert_int_equal(form.eight_bit, beyond_ascii(span_skip(text, form.head)));
	assert_int_equal(form.smtputf8, beyond_ascii(span_first(text, form.head)));
	assert_int_equal(strict.n_rcpt, d->n_rcpt);
	if (d->whole) {
		assert_true(strict.third.n == content.n);
		assert_memory_equal(strict.third.p, content.p, content.n);
	}
	return text;
}

static void check_actions(const struct dsn *d)
{
	static const char letter[] = {[DSN_FAILED] = 'f',
	    [DSN_DELAYED] = 't',
	    [DSN_DELIVERED] = 'd',
	    [DSN_RELAYED] = 'r',
	    [DSN_EXPANDED] = 'x'};

	for (size_t i = 0; i < d->n_rcpt; i++)
		assert_int_equal(strict.action[i], letter[d->rcpt[i].action]);
}

static void check_all_forms(const struct dsn_rcpt *rcpt, size_t n, const struct dsn_texts *texts)
{
	struct dsn d = sample(rcpt, n);
	struct buf b;

	d.texts = texts;
	for (unsigned i = 0; i < DSN_LANGUAGES * 2 * GW_ARRAY_LEN(bodies); i++) {
		const struct body *body = &bodies[i / (DSN_LANGUAGES * 2)];

		d.language = (enum dsn_language)(i % DSN_LANGUAGES);
		d.smtputf8 = i / DSN_LANGUAGES % 2 == 1;
		d.original_head = body->head;
		d.whole = body->content.n > 0;
		d.eight_bit = body->eight_bit;
		d.binary = body->binary;
		make(&d, body->content, &b);
		check_actions(&d);
		buf_fini(&b);
	}
}

static void test_every_pair_of_kinds(void **state)
{
	enum { KINDS = GW_ARRAY_LEN(kinds) };
	struct dsn_rcpt pair[2];

	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		check_all_forms(&kinds[i], 1, NULL);
		for (size_t j = 0; j < KINDS; j++) {
			pair[0] = kinds[i];
			pair[1] = kinds[j];
			check_all_forms(pair, 2, NULL);
		}
	}
	check_all_forms(kinds, KINDS, NULL);
}

static void test_every_class(void **state)
{
	struct dsn_rcpt r = kinds[0];
	struct buf b;

	(void)state;
	for (unsigned c = 0; c < REPLY_CLASSES; c++) {
		for (unsigned l = 0; l < DSN_LANGUAGES; l++) {
			struct dsn d = sample(&r, 1);

			r.class = (enum reply_class)c;
			d.language = (enum dsn_language)l;
			make(&d, SPAN_NONE, &b);
			HAS(strict.status_part, "X-Godwit-Class: ");
			assert_true(has(strict.status_part, span_str(reply_classes[c].word)));
			buf_fini(&b);
		}
	}
}

/* ---- what the worst of them is, says the subject and the first sentence */

static void check_worst(
    const struct dsn_rcpt *rcpt, size_t n, const char *subject, const char *first)
{
	struct dsn d = sample(rcpt, n);
	struct buf b;

	make(&d, SPAN_NONE, &b);
	assert_string_equal(strict.subject, subject);
	if (!has(words(), span_str(first)))
		fail_msg("not there: %s in\n%.*s", first, SPAN_ARG(words()));
	buf_fini(&b);
}

static void test_the_worst_is_said(void **state)
{
	const struct dsn_rcpt mixed[] = {kinds[6], kinds[4], kinds[2], kinds[8], kinds[0]};
	const struct dsn_rcpt gone[] = {kinds[6], kinds[4]};

	(void)state;
	check_worst(mixed, 5, "Your message could not be delivered",
	    "\r\n\r\nYour message could not be delivered to some of the recipients");
	check_worst(mixed, 4, "Your message may not have been delivered",
	    "\r\n\r\nYour message may or may not have been delivered to some");
	check_worst(mixed, 3, "Your message is delayed",
	    "\r\n\r\nYour message has not yet been delivered to some of the");
	check_worst(mixed, 2, "Your message was passed on",
	    "\r\n\r\nYour message was delivered or passed on to the recipients");
	check_worst(mixed, 1, "Your message was delivered",
	    "\r\n\r\nYour message was delivered to the recipient named below.");
	check_worst(gone, 2, "Your message was passed on", "delivered or passed on");
	check_worst(&kinds[2], 2, "Your message is delayed",
	    "\r\n\r\nYour message has not yet been delivered to the recipients");
	check_worst(&kinds[5], 1, "Your message was passed on to several addresses",
	    "This address stands for others.");
}

/* The worst stand first in the words, and each says what became of it. */
static void test_mixed_words(void **state)
{
	const struct dsn_rcpt mixed[] = {kinds[7], kinds[2], kinds[0]};
	struct dsn d = sample(mixed, 3);
	struct buf b;

	(void)state;
	make(&d, SPAN_NONE, &b);
	HAS(words(),
	    "<bob@b.example>\r\n    Not delivered.\r\n    Tried for 5 days (attempts: 3). "
	    "The last time:\r\n    The host mx.b.example (192.0.2.1) said: 550 5.2.2 "
	    "Postfach voll,\r\n      l\xc3\xb6schen!\r\n    The connection was encrypted (TLS "
	    "1.3/verified).\r\n    What it means: The mailbox is full.\r\n");
	HAS(words(), "\r\n\r\n<late@c.example>\r\n    Not delivered yet.\r\n    Tried for 5 days so"
		     " far (attempts: 5), and tried again until Sun, 19 Nov\r\n      2023 13:20:00"
		     " +0000. The last time:\r\n");
	HAS(words(),
	    "\r\n\r\n<\"a b\"@a.example>\r\n    Delivered.\r\n    The host"
	    " [IPv6:2001:db8::1] took it: 250 2.1.5 ok queued as 12345\r\n    The connection"
	    " could not be encrypted as it should be (failed:refused).\r\n\r\n");
	buf_fini(&b);
}

static void test_fields(void **state)
{
	struct dsn d = sample(&kinds[2], 1);
	struct buf b;

	(void)state;
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part,
	    "Action: delayed\r\nStatus: 4.7.1\r\nRemote-MTA: dns; mx.c.example\r\n"
	    "Diagnostic-Code: smtp; 451 4.7.1 try again later\r\n"
	    "Will-Retry-Until: Sun, 19 Nov 2023 13:20:00 +0000\r\n"
	    "X-Godwit-Attempts: 5\r\nX-Godwit-TLS: none\r\nX-Godwit-Class: greylisted\r\n");
	buf_fini(&b);
	d.rcpt = &kinds[3];
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "Status: 4.0.0\r\nRemote-MTA: dns; [192.0.2.7]\r\n");
	assert_false(has(strict.status_part, SPAN("Will-Retry-Until")));
	buf_fini(&b);
	d.rcpt = &kinds[8];
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "Remote-MTA: X-Godwit; unix socket /run/lmtp\r\n");
	buf_fini(&b);
}

/* A peer may say nothing in many ways; no field is left empty. */
static void test_blank_texts(void **state)
{
	struct change_rcpt c = {.outcome = OUTCOME_FAILED,
	    .host = SPAN(" \r\n "),
	    .reply = SPAN("\n \n"),
	    .tls = SPAN(" "),
	    .vmta = SPAN("\t")};
	struct dsn_rcpt r = {.addr = SPAN("  "), .orcpt = SPAN("rfc822; "), .change = &c};
	struct dsn d = sample(&r, 1);
	struct buf b;

	(void)state;
	d.envid = SPAN(" ");
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "\r\n\r\nFinal-Recipient: rfc822;?\r\nAction: failed\r\n"
				"Status: 5.0.0\r\nX-Godwit-Class: other\r\n");
	HAS(words(), "This system found: no answer was recorded\r\n");
	buf_fini(&b);
	c.code = 550;
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "Diagnostic-Code: smtp; 550\r\n");
	buf_fini(&b);
}

/* RFC 3834 section 3.1.5, but only an id that is one. */
static void test_threads(void **state)
{
	struct dsn d = sample(kinds, 1);
	struct buf b;
	struct span text;

	(void)state;
	d.original_head = SPAN(ASCII_HEAD);
	text = make(&d, SPAN_NONE, &b);
	HAS(text, "In-Reply-To: <1@a.example>\r\nReferences: <1@a.example>\r\n");
	buf_fini(&b);
	d.original_head = SPAN("Message-ID: <1@a.example>\r\n (x)\r\n\r\n");
	assert_false(has(make(&d, SPAN_NONE, &b), SPAN("References")));
	buf_fini(&b);
	d.original_head = SPAN("Message-ID: <a\xc3\xa4@a.example>\r\n\r\n");
	assert_false(has(make(&d, SPAN_NONE, &b), SPAN("References")));
	buf_fini(&b);
}

/* ---- RFC 6533 */

static void check_addresses(bool smtputf8, const char *want)
{
	struct dsn d = sample(&kinds[1], 1);
	struct buf b;

	d.smtputf8 = smtputf8;
	make(&d, SPAN_NONE, &b);
	if (!has(strict.status_part, span_str(want)))
		fail_msg("not there: %s in\n%.*s", want, SPAN_ARG(strict.status_part));
	/* People see the address as it is. */
	HAS(words(), "\r\n<" BAER ">\r\n");
	buf_fini(&b);
}

static void test_international_addresses(void **state)
{
	struct dsn d = sample(&kinds[4], 1);
	struct buf b;

	(void)state;
	check_addresses(true, "Original-Recipient: utf-8;" BAER "\r\nFinal-Recipient: utf-8;" BAER);
	check_addresses(false, "Original-Recipient: utf-8;b\\x{E4}r\\x{2B}x@b\\x{FC}.example\r\n"
			       "Final-Recipient: utf-8;b\\x{E4}r\\x{2B}x@b\\x{FC}.example\r\n");
	/* An ORCPT that came in its ASCII form is made whole again, or stays. */
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "Original-Recipient: utf-8;t\\x{F6}\\x{2B}@d.example\r\n");
	buf_fini(&b);
	d.smtputf8 = true;
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part, "Original-Recipient: utf-8;t\xc3\xb6+@d.example\r\n");
	buf_fini(&b);
}

/* Who reads UTF-8 gets a part of ASCII where nothing in it is beyond: then with the forms of ASCII.
 */
static void test_ascii_parts_have_ascii_forms(void **state)
{
	struct dsn_rcpt r = {.addr = SPAN("bob@b.example"),
	    .orcpt = SPAN("utf-8;a\\x{2B}b\\x{3D}@b.example"),
	    .change = &late,
	    .action = DSN_DELAYED};
	struct dsn d = sample(&r, 1);
	struct buf b;

	(void)state;
	d.smtputf8 = true;
	HAS(make(&d, SPAN_NONE, &b), "\r\nContent-Type: message/delivery-status\r\n");
	HAS(strict.status_part, "Original-Recipient: utf-8;a\\x{2B}b\\x{3D}@b.example\r\n");
	buf_fini(&b);
}

/* What cannot be seen, or ends a line, is written with its number, even for who reads UTF-8. */
static void test_hidden_characters_in_addresses(void **state)
{
	struct dsn_rcpt r = {.change = &refused};
	struct dsn d = sample(&r, 1);
	struct buf b;

	(void)state;
	r.addr = SPAN("a\xe2\x80\xae\xe2\x80\xa8\xc2\x85"
		      "b\xff@\xc3\xa4.example");
	r.orcpt = SPAN("utf-8;a\\x{0D}\\x{0A}Action: x\\x{202E}\\x{D800}\\x{E4@b");
	d.smtputf8 = true;
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part,
	    "Final-Recipient: utf-8;a\\x{202E}\\x{2028}\\x{85}b?@\xc3\xa4.example\r\n");
	HAS(strict.status_part,
	    "Original-Recipient: utf-8;a??Action: x\\x{202E}\\x{D800}\\x{E4@b\r\n");
	buf_fini(&b);
	d.smtputf8 = false;
	make(&d, SPAN_NONE, &b);
	HAS(strict.status_part,
	    "Original-Recipient: utf-8;a??Action:\\x{20}x\\x{202E}\\x{5C}x{D800}\\x{5C}x{E4@b\r\n");
	buf_fini(&b);
	r.orcpt = SPAN("a b;c");
	make(&d, SPAN_NONE, &b);
	assert_false(has(strict.status_part, SPAN("Original-Recipient")));
	buf_fini(&b);
}

/* ---- languages */

static void test_languages(void **state)
{
	static const struct {
		enum dsn_language language;
		const char *subject, *means;
	} want[] = {
	    {DSN_GERMAN, "Ihre Nachricht konnte nicht zugestellt werden",
		"Was das bedeutet: Das Postfach ist voll."},
	    {DSN_FRENCH, "Votre message n'a pas pu \xc3\xaatre remis",
		"Ce que cela veut dire\xc2\xa0: La bo\xc3\xaete aux lettres est pleine."},
	    {DSN_SPANISH, "No se ha podido entregar su mensaje",
		"Qu\xc3\xa9 significa: El buz\xc3\xb3n est\xc3\xa1 lleno."},
	};
	struct dsn d = sample(kinds, 1);
	struct buf b;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(want); i++) {
		struct span text;

		d.language = want[i].language;
		text = make(&d, SPAN_NONE, &b);
		assert_string_equal(strict.subject, want[i].subject);
		assert_true(has(words(), span_str(want[i].means)));
		assert_true(has(words(), SPAN("2023-11-14 22:13 +0000")));
		HAS(text, "Content-Type: text/plain; charset=utf-8\r\nContent-Language: ");
		buf_fini(&b);
	}
}

static void check_language(const char *head, enum dsn_language want)
{
	if (dsn_language_of_head(span_str(head)) != want)
		fail_msg("%s: not %s", head, dsn_language_tag(want));
}

static void test_language_of_the_message(void **state)
{
	(void)state;
	check_language("", DSN_ENGLISH);
	check_language("Content-Language: de-AT\r\n\r\n", DSN_GERMAN);
	check_language("Content-Language: pl, FR\r\n\r\n", DSN_FRENCH);
	check_language("Content-Language: pl\r\nAccept-Language: es\r\n\r\n", DSN_SPANISH);
	check_language(
	    "Accept-Language: pl, en;q=0.5,\r\n de;q=0.7, fr;q=0.65\r\n\r\n", DSN_GERMAN);
	check_language("Accept-Language: de;q=0, fr;q=0.001\r\n\r\n", DSN_FRENCH);
	check_language("Accept-Language: de;q=x, *, ;;,=,\r\n\r\n", DSN_ENGLISH);
	check_language("Accept-Language: deu, de_DE, d\r\n\r\n", DSN_ENGLISH);
	assert_int_equal(dsn_language_of(SPAN("")), DSN_LANGUAGES);
	assert_int_equal(dsn_language_of(SPAN("ES-mx")), DSN_SPANISH);
}

/* Every text of every language takes what the table says, all of it, and is clean. */
static unsigned values_of(enum dsn_text text, struct span s)
{
	unsigned seen = 0;
	struct span literal;
	enum dsn_value v;

	while (dsn_text_next(&s, &literal, &v) > 0) {
		if (literal.n > 0) {
			assert_int_equal(span_find(literal, '{'), -1);
		} else {
			assert_true(dsn_text_takes(text, v));
			seen |= 1u << v;
		}
	}
	return seen;
}

static void test_the_tables_fit_each_other(void **state)
{
	char key[DSN_KEY_MAX];

	(void)state;
	for (unsigned i = 0; i < DSN_TEXTS; i++) {
		enum dsn_text text = (enum dsn_text)i;
		unsigned want = values_of(text, dsn_text_ours(DSN_ENGLISH, text));

		assert_int_equal(dsn_text_of_key(span_str(dsn_text_key(text, key))), text);
		for (unsigned l = 0; l < DSN_LANGUAGES; l++) {
			struct span s = dsn_text_ours((enum dsn_language)l, text);

			assert_true(s.n > 0 && s.n <= DSN_TEXTS_ONE_MAX && utf8_text(s));
			assert_int_equal(values_of(text, s), want);
			if (l != DSN_ENGLISH && text >= DSN_CLASS_MEANS)
				assert_false(span_eq(s, dsn_text_ours(DSN_ENGLISH, text)));
		}
		for (unsigned v = 0; v < DSN_VALUES; v++)
			assert_int_equal(dsn_text_takes(text, (enum dsn_value)v), want >> v & 1);
	}
}

/* ---- bounds */

/* All that an operator and a peer can do together stays below what dsn_room() says. */
static void test_the_longest_report_has_room(void **state)
{
	enum { MANY = 60, HEAD = 100000 };
	static struct dsn_rcpt many[MANY];
	static uint8_t text[HEAD];
	static struct buf file;
	struct change_rcpt c = {.outcome = OUTCOME_EXPIRED, .code = 550, .esc = {5, 255, 255}};
	struct dsn d = sample(many, MANY);
	struct dsn_texts_error e;
	struct arena a;
	struct buf b;
	char key[DSN_KEY_MAX];

	(void)state;
	buf_init(&file, DSN_TEXTS_FILE_MAX);
	for (unsigned i = 0; i < DSN_TEXTS; i++) {
		buf_addf(&file, "%s = ", dsn_text_key((enum dsn_text)i, key));
		if (dsn_text_takes((enum dsn_text)i, DSN_VALUE_REPLY))
			buf_add_str(&file, "{reply}{reply}");
		for (unsigned k = 0; k < (DSN_TEXTS_ONE_MAX - 20) / 2; k++)
			buf_add_str(&file, "\xc3\xa4");
		buf_add_str(&file, "\n");
	}
	arena_init(&a, 1 << 20);
	d.texts = dsn_texts_parse(buf_view(&file), &a, &e);
	assert_non_null(d.texts);
	for (size_t i = 0; i < HEAD; i++)
		text[i] = i % 2 == 0 ? 0xc3 : 0xa4;
	memcpy(text, "X: ", 3);
	text[3] = 'a';
	d.original_head = span_of(text, HEAD);
	c.host = c.reply = c.tls = c.vmta = d.envid = span_of(text + 4, HEAD - 4);
	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct dsn_rcpt){.addr = c.host,
		    .orcpt = c.host,
		    .change = &c,
		    .until = d.now,
		    .last_attempt = d.now};
	make(&d, SPAN_NONE, &b);
	buf_fini(&b);
	d.smtputf8 = true;
	make(&d, SPAN_NONE, &b);
	buf_fini(&b);
	d.n_rcpt = 1;
	make(&d, SPAN_NONE, &b);
	buf_fini(&b);
	arena_reset(&a);
	buf_fini(&file);
}

/* ---- summaries */

static void test_summary(void **state)
{
	struct dsn_summary_row row[60];
	struct dsn_summary s = {.reporting_host = SPAN("mail.a.example"),
	    .to = SPAN("alice@a.example"),
	    .report_id = {{2}},
	    .since = INT64_C(1700000000) * 1000000,
	    .now = INT64_C(1700003600) * 1000000,
	    .recipients = 1234,
	    .messages = 99,
	    .row = row};
	struct buf b;

	(void)state;
	s.counts[REPLY_FULL] = 1000;
	s.counts[REPLY_BAD_MAILBOX] = 234;
	for (size_t i = 0; i < GW_ARRAY_LEN(row); i++)
		row[i] =
		    (struct dsn_summary_row){.addr = i % 2 ? SPAN("bob@b.example") : SPAN(BAER),
			.subject = i % 3 ? SPAN("Offer\r\n --=_report_02\r\n\r\nx") : SPAN_NONE,
			.msgid = {{(uint8_t)i}},
			.change = &refused,
			.class = REPLY_FULL};
	for (unsigned i = 0; i < 2 * 2 * DSN_LANGUAGES; i++) {
		struct dsn_form form;

		s.n_row = i % 2 ? GW_ARRAY_LEN(row) : 1;
		s.smtputf8 = i / 2 % 2 == 1;
		s.language = (enum dsn_language)(i / 4);
		buf_init(&b, dsn_room(s.n_row));
		form = dsn_summary_write(&s, &b);
		strict.utf8 = s.smtputf8;
		if (strict_read(&strict, buf_view(&b), form.head) != NULL)
			fail_msg("%s in\n%.*s", strict.wrong, SPAN_ARG(buf_view(&b)));
		assert_int_equal(strict.n_rcpt, s.n_row);
		assert_int_equal(strict.n_part, 2);
		HAS(strict.status_part,
		    "\r\nX-Godwit-Recipients: 1234\r\nX-Godwit-Messages: 99\r\n");
		if (i == 1) {
			assert_string_equal(
			    strict.subject, "Many of your messages could not be delivered");
			HAS(words(), "\r\n     234  There is no such mailbox at this domain.\r\n"
				     "    1000  The mailbox is full.\r\n");
			HAS(words(), "The first 50 recipients, each with its message:\r\n");
			HAS(words(),
			    "<bob@b.example>\r\n    Message: 01000000000000000000000000, subject:"
			    " Offer --=_report_02 x\r\n    The host");
		}
		buf_fini(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_pair_of_kinds),
	    cmocka_unit_test(test_every_class),
	    cmocka_unit_test(test_the_worst_is_said),
	    cmocka_unit_test(test_mixed_words),
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_blank_texts),
	    cmocka_unit_test(test_threads),
	    cmocka_unit_test(test_international_addresses),
	    cmocka_unit_test(test_ascii_parts_have_ascii_forms),
	    cmocka_unit_test(test_hidden_characters_in_addresses),
	    cmocka_unit_test(test_languages),
	    cmocka_unit_test(test_language_of_the_message),
	    cmocka_unit_test(test_the_tables_fit_each_other),
	    cmocka_unit_test(test_the_longest_report_has_room),
	    cmocka_unit_test(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
