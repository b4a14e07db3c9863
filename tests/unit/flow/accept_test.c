/* May this recipient be taken from this client? Every row is a case an attacker or a customer
 * tries. */
#include "unit/config/helper.h"

#include "flow/accept.h"

static const char text[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 10.1.0.0/16\n"
    "domain our.test { deliver maildir /var/mail/%u }\n"
    "domain *.wild.test { deliver maildir /var/mail/%u }\n"
    "domain send.wild.test { deliver reject \"550 5.1.1 send-only domain\" }\n"
    "domain busy.test { deliver reject \"450 4.2.0 come back\" }\n"
    "route to domain closed.test via reject \"554 5.7.1 not there\"\n"
    "route to domain there.test via relay 10.0.0.1:25\n"
    "route to domain *.there.test via relay 10.0.0.1:25\n"
    "faults fail.test\n"
    "users file /etc/godwit/users\n";

/* There are warnings, and they are right. */
static struct config *parse_warned(const char *config)
{
	struct config_diags d;
	struct config *c;

	config_diags_init(&d);
	c = parse_text(config, &d);
	assert_non_null(c);
	config_diags_fini(&d);
	return c;
}

enum who { STRANGER, TRUSTED, LOGGED_IN };

static const struct listen mx = {.kind = LISTEN_MX};
static const struct accept_client stranger = {.listen = &mx};

static struct accept_client client_of(enum who who, const struct cidr *trust)
{
	return (struct accept_client){.listen = &mx,
	    .trust = who == TRUSTED ? trust : NULL,
	    .login = who == LOGGED_IN ? SPAN("alice") : SPAN_NONE};
}

struct row {
	enum who who;
	const char *addr;
	bool ok;
	unsigned code;
	const char *esc, *reason;
	unsigned line; /* of the statement it rests on, 0: built in */
};

static const struct row rows[] = {
    {STRANGER, "bob@our.test", true, 250, "2.1.5", "local", 4},
    {TRUSTED, "bob@our.test", true, 250, "2.1.5", "local", 4},
    {STRANGER, "BOB@OUR.Test", true, 250, "2.1.5", "local", 4},
    {STRANGER, "bob@a.wild.test", true, 250, "2.1.5", "local", 5},
    {STRANGER, "bob@a.b.wild.test", true, 250, "2.1.5", "local", 5},
    {STRANGER, "bob@wild.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "bob@notwild.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "bob@send.wild.test", false, 550, "5.1.1", "domain_rejects", 6},
    {TRUSTED, "bob@send.wild.test", false, 550, "5.1.1", "domain_rejects", 6},
    {STRANGER, "bob@busy.test", false, 450, "4.2.0", "domain_rejects", 7},
    {STRANGER, "bob@there.test", false, 550, "5.7.1", "relay_denied", 0},
    {TRUSTED, "bob@there.test", true, 250, "2.1.5", "trusted", 3},
    {TRUSTED, "bob@x.there.test", true, 250, "2.1.5", "trusted", 3},
    {TRUSTED, "bob@xthere.test", false, 550, "5.4.4", "no_route", 3},
    {TRUSTED, "bob@closed.test", false, 554, "5.7.1", "route_rejects", 8},
    {STRANGER, "bob@closed.test", false, 550, "5.7.1", "relay_denied", 0},
    {TRUSTED, "bob@else.test", false, 550, "5.4.4", "no_route", 3},
    {STRANGER, "bob@our.test.evil.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "bob@xour.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "bob@[127.0.0.1]", false, 550, "5.7.1", "relay_denied", 0},
    {TRUSTED, "bob@[127.0.0.1]", false, 550, "5.4.4", "no_route", 3},
    /* The old relay tricks are local parts of a foreign domain, or of ours. */
    {STRANGER, "victim%there.test@else.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "\"bob@our.test\"@else.test", false, 550, "5.7.1", "relay_denied", 0},
    {STRANGER, "victim%there.test@our.test", true, 250, "2.1.5", "local", 4},
    {STRANGER, "postmaster", true, 250, "2.1.5", "postmaster", 0},
    {STRANGER, "PostMaster", true, 250, "2.1.5", "postmaster", 0},
    {STRANGER, "postmaster@else.test", false, 550, "5.7.1", "relay_denied", 0},
    {TRUSTED, "postmaster", false, 550, "5.4.4", "no_route", 3},
    {LOGGED_IN, "bob@our.test", true, 250, "2.1.5", "local", 4},
    {LOGGED_IN, "bob@there.test", true, 250, "2.1.5", "logged_in", 12},
    {LOGGED_IN, "bob@closed.test", false, 554, "5.7.1", "route_rejects", 8},
    {LOGGED_IN, "bob@else.test", false, 550, "5.4.4", "no_route", 12},
    {STRANGER, "451@fail.test", false, 451, "4.3.0", "fault_address", 0},
    {STRANGER, "550@fail.test", false, 550, "5.1.1", "fault_address", 0},
    {STRANGER, "bounce@FAIL.test", true, 250, "2.1.5", "fault_address", 0},
    {STRANGER, "DEFER@fail.test", true, 250, "2.1.5", "fault_address", 0},
    {STRANGER, "other@fail.test", false, 550, "5.7.1", "relay_denied", 0},
};

static void check_row(const struct config *c, const struct cidr *trust, const struct row *row)
{
	struct accept_client client = client_of(row->who, trust);
	struct verdict v;
	struct address a;
	char esc[20];

	if (address_parse(span_str(row->addr), &a) != 0)
		fail_msg("%s: no address", row->addr);
	accept_rcpt(c, &client, &a, &v);
	snprintf(esc, sizeof(esc), "%u.%u.%u", v.reply.esc[0], v.reply.esc[1], v.reply.esc[2]);
	if (v.ok != row->ok || v.reply.code != row->code || strcmp(esc, row->esc) != 0 ||
	    strcmp(v.reason, row->reason) != 0 || v.place.line != row->line)
		fail_msg("%s from %s: %s %u %s %s line %u", row->addr,
		    (const char *[]){"stranger", "trusted", "logged in"}[row->who],
		    v.ok ? "taken" : "refused", v.reply.code, esc, v.reason, v.place.line);
	assert_true(v.reply.text.n > 0);
	assert_int_equal(v.delay, 0);
}

static void test_rows(void **state)
{
	struct config *c = parse_warned(text);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		check_row(c, &c->trust[0], &rows[i]);
	config_free(&c);
}

/* The words are the configuration's, and the client's own domain comes back harmless. */
static void test_words(void **state)
{
	struct config *c = parse_warned(text);
	struct verdict v;
	struct address a;
	char longest[400] = "a@";

	(void)state;
	assert_int_equal(address_parse(SPAN("x@send.wild.test"), &a), 0);
	accept_rcpt(c, &stranger, &a, &v);
	assert_true(span_eq(v.reply.text, SPAN("send-only domain")));
	for (int i = 0; i < 20; i++)
		strcat(longest, "abcdefghij.");
	strcat(longest, "test");
	assert_int_equal(address_parse(span_str(longest), &a), 0);
	accept_rcpt(c, &stranger, &a, &v);
	assert_false(v.ok);
	assert_true(v.reply.text.p == (const uint8_t *)v.text);
	assert_true(v.reply.text.n == strlen(v.text));
	config_free(&c);
}

/* Whose mail it is decides too; of a size that is not known nothing is held against anybody. */
static void test_sender(void **state)
{
	static const char by_sender[] =
	    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 10.1.0.0/16\nusers file /u\n"
	    "domain our.test { deliver maildir /m }\n"
	    "route from domain spam.test via reject \"550 5.7.1 not from there\"\n"
	    "route from account alice larger-than 5M via relay 10.0.0.1\n"
	    "route from account alice via reject \"552 5.3.4 alice sends large mail alone\"\n"
	    "route from address ok@else.test via relay 10.0.0.1\n"
	    "route to address one@there.test via relay 10.0.0.1\n";
	static const struct {
		enum who who;
		const char *from, *addr, *reason;
	} senders[] = {
	    {TRUSTED, "x@spam.test", "one@there.test", "route_rejects"},
	    {TRUSTED, "x@spam.test", "bob@our.test", "local"},
	    {LOGGED_IN, "a@our.test", "two@there.test", "logged_in"},
	    {LOGGED_IN, "x@spam.test", "two@there.test", "route_rejects"},
	    {TRUSTED, "OK@else.test", "two@there.test", "trusted"},
	    {TRUSTED, "ok2@else.test", "two@there.test", "no_route"},
	    {TRUSTED, "", "two@there.test", "no_route"},
	    {TRUSTED, "", "ONE@There.test", "trusted"},
	    {STRANGER, "ok@else.test", "one@there.test", "relay_denied"},
	};
	struct config *c = parse_warned(by_sender);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(senders); i++) {
		struct accept_client client = client_of(senders[i].who, &c->trust[0]);
		struct verdict v;
		struct address a;

		client.from = span_str(senders[i].from);
		assert_int_equal(address_parse(span_str(senders[i].addr), &a), 0);
		accept_rcpt(c, &client, &a, &v);
		if (strcmp(v.reason, senders[i].reason) != 0)
			fail_msg("%s from %s: %s", senders[i].addr, senders[i].from, v.reason);
	}
	config_free(&c);
}

/* At the end of data the size is known. */
static void test_size(void **state)
{
	static const char by_size[] =
	    "hostname mx.test\nlisten mx 127.0.0.1:25\ntrust 10.1.0.0/16\n"
	    "domain our.test { deliver maildir /m }\n"
	    "route to domain slow.test larger-than 5M via reject \"552 5.3.4 too large for "
	    "there\"\n"
	    "route to domain large.test larger-than 5M via relay 10.0.0.1\n"
	    "route to domain *.fast.test via relay 10.0.0.1\n"
	    "route to domain slow.test via relay 10.0.0.1\n";
	static const struct {
		const char *rcpt[3];
		uint64_t size;
		const char *reason; /* NULL: taken */
		unsigned code;
	} rows_[] = {
	    {{"x@slow.test"}, 5 << 20, NULL, 0},
	    {{"x@slow.test"}, (5 << 20) + 1, "route_rejects", 552},
	    {{"x@slow.test", "y@slow.test"}, 6 << 20, "route_rejects", 552},
	    {{"x@slow.test", "y@fast.test"}, 6 << 20, "route_rejects", 552},
	    {{"x@slow.test", "y@z.fast.test"}, 6 << 20, NULL, 0},
	    {{"x@slow.test", "y@our.test"}, 6 << 20, NULL, 0},
	    {{"x@slow.test", "postmaster"}, 6 << 20, NULL, 0},
	    {{"x@large.test"}, 6 << 20, NULL, 0},
	    {{"x@large.test"}, 5 << 20, "no_route", 550},
	    {{"x@large.test", "x@slow.test"}, 6 << 20, NULL, 0},
	};
	struct config *c = parse_warned(by_size);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows_); i++) {
		struct accept_client client = client_of(TRUSTED, &c->trust[0]);
		struct rcpt rcpt[3] = {{.addr = SPAN_NONE}};
		struct verdict v;
		size_t n = 0;

		for (; n < 3 && rows_[i].rcpt[n] != NULL; n++)
			rcpt[n].addr = span_str(rows_[i].rcpt[n]);
		accept_size(c, &client, rcpt, n, rows_[i].size, &v);
		if (v.ok != (rows_[i].reason == NULL) ||
		    (!v.ok && (strcmp(v.reason, rows_[i].reason) != 0 ||
				  v.reply.code != rows_[i].code || v.reply.text.n == 0)))
			fail_msg("row %zu: %s", i, v.ok ? "taken" : v.reason);
	}
	config_free(&c);
}

static void test_faults(void **state)
{
	struct config *c = parse_warned(text), *plain;
	struct verdict v;
	struct address a;

	(void)state;
	assert_int_equal(accept_fault(c, SPAN("slow"), SPAN("fail.test")), FAULT_SLOW);
	assert_int_equal(accept_fault(c, SPAN("slow"), SPAN("our.test")), FAULT_NONE);
	assert_int_equal(accept_fault(c, SPAN("slower"), SPAN("fail.test")), FAULT_NONE);
	assert_int_equal(accept_fault(c, SPAN_NONE, SPAN_NONE), FAULT_NONE);
	assert_int_equal(address_parse(SPAN("slow@fail.test"), &a), 0);
	accept_rcpt(c, &stranger, &a, &v);
	assert_true(v.ok && v.delay == 5000000);
	config_free(&c);
	/* Without the statement these are addresses like all others. */
	plain = parse_good("hostname mx.test\nlisten mx 127.0.0.1:25\n"
			   "domain our.test { deliver maildir /var/mail/%u }\n");
	accept_rcpt(plain, &stranger, &a, &v);
	assert_false(v.ok);
	assert_string_equal(v.reason, "relay_denied");
	config_free(&plain);
}

/* A bare postmaster where the host name is a local domain. */
static void test_postmaster_local(void **state)
{
	struct config *c = parse_good("hostname mx.test\nlisten mx 127.0.0.1:25\n"
				      "domain mx.test { deliver maildir /var/mail/%u }\n");
	struct verdict v;
	struct address a;

	(void)state;
	assert_int_equal(address_parse(SPAN("postmaster"), &a), 0);
	accept_rcpt(c, &stranger, &a, &v);
	assert_true(v.ok);
	assert_string_equal(v.reason, "local");
	config_free(&c);
}

/* Who may choose the class of a message, and in which words. */
static void test_class(void **state)
{
	static const struct {
		enum who who;
		const char *head;
		int err;
		bool once;
		const char *reason;
	} classes[] = {
	    {TRUSTED, "Subject: x\r\n\r\n", 0, false, NULL},
	    {TRUSTED, "", 0, false, NULL},
	    {TRUSTED, "X-Godwit-Class: at-most-once\r\n\r\n", 0, true, NULL},
	    {TRUSTED, "Subject: x\r\nx-GODWIT-class :\tAt-Most-Once \r\n\r\n", 0, true, NULL},
	    {TRUSTED, "X-Godwit-Class: normal\r\n\r\n", 0, false, NULL},
	    {TRUSTED, "X-Godwit-Class:\r\n\r\n", GW_EFORMAT, false, "class_unknown"},
	    {TRUSTED, "X-Godwit-Class: at-most-twice\r\n\r\n", GW_EFORMAT, false, "class_unknown"},
	    {TRUSTED, "X-Godwit-Class: at-most-once normal\r\n\r\n", GW_EFORMAT, false,
		"class_unknown"},
	    {TRUSTED, "X-Godwit-Class: normal\r\nX-Godwit-Class: at-most-once\r\n\r\n", GW_EFORMAT,
		false, "class_twice"},
	    {LOGGED_IN, "X-Godwit-Class: at-most-once\r\n\r\n", 0, true, NULL},
	    {STRANGER, "X-Godwit-Class: at-most-once\r\n\r\n", 0, false, NULL},
	    {STRANGER, "X-Godwit-Class: nonsense\r\n\r\n", 0, false, NULL},
	};
	static const struct cidr trust;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(classes); i++) {
		struct accept_client client = client_of(classes[i].who, &trust);
		struct verdict v;
		bool once = !classes[i].once;

		assert_int_equal(
		    accept_class(&client, span_str(classes[i].head), &once, &v), classes[i].err);
		if (classes[i].err != 0) {
			assert_string_equal(v.reason, classes[i].reason);
			assert_true(v.reply.code == 550 && v.reply.esc[1] == 6);
		} else {
			assert_int_equal(once, classes[i].once);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_class),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_sender),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_postmaster_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
