#include "auth/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define KEY32 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define SCRAM "scram=4096,c2FsdA==," KEY32 "," KEY32
#define HASH "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA"

static struct accounts *parse(const char *text)
{
	struct accounts_error e;
	struct accounts *a = accounts_parse(span_str(text), &e);

	if (a == NULL)
		fail_msg("line %u: %s", e.line, e.text);
	return a;
}

static void all_fields(void **state)
{
	struct accounts *a = parse("# people\n\n"
				   "\tBob@Example.com  suspended\t" HASH " " SCRAM
				   " as=bob@example.com,*@b.example,*@*.c.example"
				   " header-as=* from=10.0.0.0/8,2001:db8::/32"
				   " plan=business tenant=acme # the boss\n"
				   "alice active -\n"
				   "carl@example.com closed $6$x$y#z #\xff\n"
				   "zoe@example.com active rl.3StKT.4T8M");
	const struct account *bob = accounts_find(a, SPAN("BOB@eXAMPLE.com"));

	(void)state;
	assert_int_equal(accounts_count(a), 4);
	assert_non_null(bob);
	assert_true(span_eq(bob->name, SPAN("Bob@Example.com")));
	assert_int_equal(bob->state, ACCOUNT_SUSPENDED);
	assert_true(span_eq(bob->hash, SPAN(HASH)));
	assert_int_equal(bob->scram->iterations, 4096);
	assert_true(span_eq(bob->scram->salt, SPAN("salt")));
	for (int i = 0; i < SCRAM_KEY; i++)
		assert_int_equal(bob->scram->stored_key[i] + bob->scram->server_key[i], 2 * i);
	assert_int_equal(bob->n_as, 3);
	assert_true(span_eq(bob->as[2], SPAN("*@*.c.example")));
	assert_int_equal(bob->n_header_as, 1);
	assert_int_equal(bob->n_from, 2);
	assert_true(span_eq(bob->from[1], SPAN("2001:db8::/32")));
	assert_true(span_eq(bob->plan, SPAN("business")));
	assert_true(span_eq(bob->tenant, SPAN("acme")));
	assert_int_equal(bob->line, 3);
	assert_int_equal(accounts_find(a, SPAN("alice"))->plan.n, 0);
	assert_false(accounts_find(a, SPAN("alice"))->has_hash);
	assert_ptr_equal(accounts_at(a, 0), bob);
	assert_null(accounts_at(a, 4));
	assert_null(accounts_find(a, SPAN("alic")));
	assert_null(accounts_find(a, SPAN("alice@")));
	assert_null(accounts_find(a, SPAN("zz")));
	assert_null(accounts_find(a, SPAN("")));
	accounts_free(&a);
	assert_null(a);
}

/* A line each, the line the error is in, and a piece of what is said. */
static const struct {
	const char *text;
	unsigned line;
	const char *said;
} bads[] = {
    {"alice", 1, "the state \"\""},
    {"\nalice actve -", 2, "the state \"actve\""},
    {"alice Active -", 1, "the state"},
    {"alice active", 1, "the line ends before it"},
    {"alice active #", 1, "the line ends before it"},
    {"alice active secret", 1, "begins with $"},
    {"alice active {SHA}abc", 1, "begins with $"},
    {"alice active - as", 1, "not KEY=VALUE"},
    {"alice active - as=", 1, "in a list"},
    {"alice active - as=a@b,", 1, "in a list"},
    {"alice active - as=a@b,,c@d", 1, "in a list"},
    {"alice active - as=*@", 1, "no domain"},
    {"alice active - as=*@*.", 1, "no domain"},
    {"alice active - as=*@*", 1, "no domain"},
    {"alice active - as=**", 1, "not an address"},
    {"alice active - as=*b@c", 1, NULL},
    {"alice active - as=postmaster", 1, "not an address"},
    {"alice active - as=a@b as=c@d", 1, "twice"},
    {"alice active - header-as=nobody", 1, "not an address"},
    {"alice active - from=10.0.0.0/33", 1, "prefix"},
    {"alice active - from=10.0.0.1/8", 1, "behind its prefix"},
    {"alice active - from=2001:db8::1/64", 1, "behind its prefix"},
    {"alice active - from=10.0.0.0/", 1, "prefix"},
    {"alice active - from=10.0.0.0/-1", 1, "prefix"},
    {"alice active - from=10.0.0.0/0008", 1, "prefix"},
    {"alice active - from=here", 1, "no address"},
    {"alice active - from=/8", 1, "no address"},
    {"alice active - from=1.2.3", 1, "no address"},
    {"alice active - scram=", 1, "scram"},
    {"alice active - scram=*,", 1, "scram"},
    {"alice active - scram=4095,c2FsdA==," KEY32 "," KEY32, 1, "scram"},
    {"alice active - scram=10000001,c2FsdA==," KEY32 "," KEY32, 1, "scram"},
    {"alice active - scram=4096,," KEY32 "," KEY32, 1, "scram"},
    {"alice active - scram=4096,c2FsdA==," KEY32 ",c2FsdA==", 1, "scram"},
    {"alice active - scram=4096,c2FsdA==," KEY32 "," KEY32 ",", 1, "scram"},
    {"alice active - " SCRAM " " SCRAM, 1, "twice"},
    {"alice active - " SCRAM " scram=*", 1, "twice"},
    {"alice active - shell=/bin/sh", 1, "the key \"shell\""},
    {"alice active - AS=a@b", 1, "the key \"AS\""},
    {"alice@ active -", 1, "not local@domain"},
    {"alice@a@b active -", 1, "not local@domain"},
    {"\"alice\"@b active -", 1, "not local@domain"},
    {"alice@[127.0.0.1] active -", 1, "not local@domain"},
    {"al!ce active -", 1, "a word"},
    {"-alice active -", 1, "a word"},
    {"alice active -\nbob active -\nALICE closed -", 3, "in line 1"},
    {"b active -\na active -\nb active -\n", 3, "in line 1"},
    {"alice active -\r\n", 1, "printable"},
    {"alice active - as=\xc3\xa9@b", 1, "printable"},
    {"alice active - plan=", 1, "1 to 32 letters"},
    {"alice active - plan=a,b", 1, "1 to 32 letters"},
    {"alice active - plan=a plan=b", 1, "twice"},
    {"alice active - tenant=a/b", 1, "1 to 32 letters"},
    {"alice active - tenant=123456789012345678901234567890123", 1, "1 to 32 letters"},
    {"alice active - Plan=a", 1, "the key \"Plan\""},
};

static void mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bads); i++) {
		struct accounts_error e;
		struct accounts *a = accounts_parse(span_str(bads[i].text), &e);

		if (bads[i].said == NULL) { /* odd, and allowed: "*" may stand in a local part */
			assert_non_null(a);
			accounts_free(&a);
			continue;
		}
		if (a != NULL || e.line != bads[i].line || strstr(e.text, bads[i].said) == NULL)
			fail_msg("%s: %u: %s", bads[i].text, e.line, e.text);
	}
}

/* Also not where a field was forgotten, or in the lines of another system. */
static void no_secret_in_errors(void **state)
{
	static const char *const lines[] = {"a active hunter2", "a active - scram=4096,hunter2",
	    "a $6$salt$hunter2", "a active - $6$salt$hunter2", "a active - 4096,c2FsdA==,hunter2",
	    "a active - {SSHA}hunter2==", "a@b.test:$6$salt$hunter2:::::", "a:{PLAIN}hunter2"};
	struct accounts_error e;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		assert_null(accounts_parse(span_str(lines[i]), &e));
		if (strstr(e.text, "hunter2") != NULL)
			fail_msg("%s: %s", lines[i], e.text);
	}
	assert_null(accounts_parse(SPAN("a@b.test:{PLAIN}hunter2"), &e));
	assert_non_null(strstr(e.text, "the name \"a@b.test\": a colon"));
}

static void a_nul_is_refused(void **state)
{
	struct accounts_error e;

	(void)state;
	assert_null(accounts_parse(SPAN("a\0b active -"), &e));
	assert_null(accounts_parse(SPAN("a active - from=10.0.0.1\0x"), &e));
}

static void empty_file(void **state)
{
	struct accounts *a = parse("# nobody\n  # yet");

	(void)state;
	assert_int_equal(accounts_count(a), 0);
	assert_null(accounts_find(a, SPAN("a")));
	assert_false(accounts_all_scram(a));
	accounts_free(&a);
	assert_int_equal(accounts_count(NULL), 0);
	assert_null(accounts_find(NULL, SPAN("a")));
	assert_false(accounts_all_scram(NULL));
}

static bool all_scram(const char *text)
{
	struct accounts *a = parse(text);
	struct buf b;
	bool yes = accounts_all_scram(a);

	buf_init(&b, 4096);
	accounts_public(a, &b);
	buf_add_byte(&b, '\0');
	accounts_free(&a);
	a = parse((const char *)buf_view(&b).p);
	assert_int_equal(accounts_all_scram(a), yes); /* those without secrets know it too */
	accounts_free(&a);
	buf_fini(&b);
	return yes;
}

static void scram_for_all(void **state)
{
	(void)state;
	assert_true(all_scram("a active " HASH " " SCRAM));
	assert_true(all_scram("a active - " SCRAM "\nb closed " HASH "\nc suspended " HASH));
	assert_true(all_scram("a active - " SCRAM "\nb active -"));
	assert_false(all_scram("a active " HASH " " SCRAM "\nb active " HASH));
	assert_false(all_scram("a active -"));
	assert_false(all_scram("a suspended - " SCRAM));
}

static void the_public_has_no_secrets(void **state)
{
	struct accounts *a = parse("b@x.example suspended " HASH " " SCRAM " as=*@x.example\n"
				   "A@x.example active " HASH
				   "\nc closed - from=::1 header-as=c@d tenant=t plan=home # x");
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	accounts_public(a, &b);
	buf_add_byte(&b, '\0');
	assert_string_equal((const char *)buf_view(&b).p,
	    "A@x.example active *\n"
	    "b@x.example suspended * scram=* as=*@x.example\n"
	    "c closed - header-as=c@d from=::1 plan=home tenant=t\n");
	accounts_free(&a);
	a = parse((const char *)buf_view(&b).p);
	assert_true(accounts_find(a, SPAN("B@x.example"))->has_scram);
	assert_null(accounts_find(a, SPAN("b@x.example"))->scram);
	assert_int_equal(accounts_find(a, SPAN("a@x.example"))->hash.n, 0);
	buf_fini(&b);
	accounts_free(&a);
}

static void format_is_what_was_read(void **state)
{
	const char *line =
	    "b@x.example suspended " HASH " " SCRAM
	    " as=*@x.example,b@y.example header-as=* from=10.0.0.0/8,::1 plan=p tenant=t\n";
	struct accounts *a = parse(line);
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	account_format(accounts_at(a, 0), true, &b);
	buf_add_byte(&b, '\0');
	assert_string_equal((const char *)buf_view(&b).p, line);
	buf_fini(&b);
	accounts_free(&a);
}

static void comments(void **state)
{
	(void)state;
	assert_true(span_eq(account_comment(SPAN("a active - # b # c")), SPAN("# b # c")));
	assert_true(span_eq(account_comment(SPAN("# b")), SPAN("# b")));
	assert_int_equal(account_comment(SPAN("a active $1$#b as=a#b@c")).n, 0);
}

static const struct {
	const char *keys, *from;
	bool header, may;
	const char *why;
} senders[] = {
    {"", "alice@example.com", false, true, "Alice@Example.com"},
    {"", "ALICE@EXAMPLE.COM", false, true, "Alice@Example.com"},
    {"", "\"alice\"@example.com", false, true, "Alice@Example.com"},
    {"", "alice+news@example.com", false, true, "Alice@Example.com"},
    {"", "alice+@example.com", true, true, "Alice@Example.com"},
    {"", "alicex@example.com", false, false, ""},
    {"", "alice-x@example.com", false, false, ""},
    {"", "\"alice@example.com\"@evil.example", false, false, ""},
    {"", "alice@example.com.evil.example", false, false, ""},
    {"", "alice@sub.example.com", false, false, ""},
    {"", "bob@example.com", false, false, ""},
    {"", "alice@[127.0.0.1]", false, false, ""},
    {"as=sales@b.example", "alice@example.com", false, false, ""},
    {"as=sales@b.example", "sales+x@B.example", false, true, "sales@b.example"},
    {"as=a@b,*@c.example", "x@c.example", false, true, "*@c.example"},
    {"as=*@c.example", "x@d.c.example", false, false, ""},
    {"as=*@c.example", "x@[10.0.0.1]", false, false, ""},
    {"as=*@*.c.example", "x@d.c.example", false, true, "*@*.c.example"},
    {"as=*@*.c.example", "x@e.d.C.Example", false, true, "*@*.c.example"},
    {"as=*@*.c.example", "x@c.example", false, false, ""},
    {"as=*@*.c.example", "x@evilc.example", false, false, ""},
    {"as=*", "x@[10.0.0.1]", false, true, "*"},
    {"as=x@[10.0.0.1]", "x@[10.0.0.1]", false, true, "x@[10.0.0.1]"},
    {"as=a@b header-as=*@c.example", "x@c.example", false, false, ""},
    {"as=a@b header-as=*@c.example", "x@c.example", true, true, "*@c.example"},
    {"as=a@b header-as=*@c.example", "a@b", true, false, ""},
    {"as=a@b", "a@b", true, true, "a@b"},
};

static void who_may_send(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(senders); i++) {
		char line[200];
		struct accounts *a;
		struct address from;
		struct span why;

		snprintf(line, sizeof(line), "Alice@Example.com active - %s", senders[i].keys);
		a = parse(line);
		assert_int_equal(address_parse(span_str(senders[i].from), &from), 0);
		if (account_may_send_as(accounts_at(a, 0), &from, senders[i].header, &why) !=
			senders[i].may ||
		    !span_eq(why, span_str(senders[i].why)))
			fail_msg("%s: %s", line, senders[i].from);
		accounts_free(&a);
	}
}

static void null_sender(void **state)
{
	struct accounts *a = parse("alice active - as=a@b");
	struct address null = {.kind = ADDRESS_NULL}, from;
	struct span why;

	(void)state;
	assert_true(account_may_send_as(accounts_at(a, 0), &null, false, &why));
	assert_false(account_may_send_as(accounts_at(a, 0), &null, true, &why));
	accounts_free(&a);
	a = parse("alice active -"); /* a word is nobody's address by itself */
	assert_int_equal(address_parse(SPAN("alice@example.com"), &from), 0);
	assert_false(account_may_send_as(accounts_at(a, 0), &from, false, &why));
	accounts_free(&a);
}

static const struct {
	const char *from;
	uint8_t ip[16];
	bool may;
} places[] = {
    {"", {[15] = 1}, true},
    {"from=10.0.0.0/8", {[10] = 0xff, 0xff, 10, 1, 2, 3}, true},
    {"from=10.0.0.0/8", {[10] = 0xff, 0xff, 11, 1, 2, 3}, false},
    {"from=10.0.0.0/8", {[12] = 10}, false},
    {"from=127.0.0.2", {[10] = 0xff, 0xff, 127, 0, 0, 2}, true},
    {"from=127.0.0.2", {[10] = 0xff, 0xff, 127, 0, 0, 3}, false},
    {"from=127.0.0.2/31", {[10] = 0xff, 0xff, 127, 0, 0, 3}, true},
    {"from=10.0.0.0/8,::1", {[15] = 1}, true},
    {"from=10.0.0.0/8,::1", {[15] = 2}, false},
    {"from=2001:db8::/33", {0x20, 0x01, 0x0d, 0xb8, 0x7f}, true},
    {"from=2001:db8::/33", {0x20, 0x01, 0x0d, 0xb8, 0x80}, false},
    {"from=::/0", {0x20}, true},
    {"from=::/0", {[10] = 0xff, 0xff, 10, 1, 2, 3}, false},
    {"from=0.0.0.0/0", {[10] = 0xff, 0xff, 10, 1, 2, 3}, true},
    {"from=0.0.0.0/0", {0x20}, false},
    {"from=::ffff:10.0.0.0/104", {[10] = 0xff, 0xff, 10, 1, 2, 3}, true},
};

static void where_from(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(places); i++) {
		char line[200];
		struct accounts *a;

		snprintf(line, sizeof(line), "alice active - %s", places[i].from);
		a = parse(line);
		if (account_may_come_from(accounts_at(a, 0), places[i].ip) != places[i].may)
			fail_msg("%zu: %s", i, line);
		accounts_free(&a);
	}
}

/* In any order of the file every name is found, and only once. */
static void many(void **state)
{
	enum { N = 5000 };
	struct buf b;
	struct accounts *a;
	char name[32];

	(void)state;
	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < N; i++)
		buf_addf(&b, "u%u@Example.com active -\n", i * 7919 % N);
	buf_add_byte(&b, '\0');
	a = parse((const char *)buf_view(&b).p);
	assert_int_equal(accounts_count(a), N);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "U%u@example.com", i);
		assert_non_null(accounts_find(a, span_str(name)));
	}
	accounts_free(&a);
	buf_fini(&b);
}

static void ceilings(void **state)
{
	struct accounts_error e;
	struct buf b;

	(void)state;
	buf_init(&b, 64 << 20);
	buf_add_str(&b, "alice active - as=a@b");
	for (int i = 0; i < ACCOUNT_LIST_MAX; i++)
		buf_add_str(&b, ",a@b");
	assert_null(accounts_parse(buf_view(&b), &e));
	assert_non_null(strstr(e.text, "1000 members"));
	buf_clear(&b);
	buf_add_str(&b, "alice active - as=a@b #");
	while (buf_len(&b) <= ACCOUNT_LINE_MAX)
		buf_add_byte(&b, 'x');
	assert_null(accounts_parse(buf_view(&b), &e));
	assert_non_null(strstr(e.text, "longer than"));
	buf_clear(&b);
	for (int i = 0; i <= ACCOUNTS_MAX; i++)
		buf_add_str(&b, "a active -\n");
	assert_null(accounts_parse(buf_view(&b), &e));
	assert_non_null(strstr(e.text, "more than 1000000"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_fields),
	    cmocka_unit_test(mistakes),
	    cmocka_unit_test(no_secret_in_errors),
	    cmocka_unit_test(a_nul_is_refused),
	    cmocka_unit_test(empty_file),
	    cmocka_unit_test(scram_for_all),
	    cmocka_unit_test(the_public_has_no_secrets),
	    cmocka_unit_test(format_is_what_was_read),
	    cmocka_unit_test(comments),
	    cmocka_unit_test(who_may_send),
	    cmocka_unit_test(null_sender),
	    cmocka_unit_test(where_from),
	    cmocka_unit_test(many),
	    cmocka_unit_test(ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
