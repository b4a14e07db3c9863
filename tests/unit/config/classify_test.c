/* What replies mean: the order of rules, what patterns see, what codes say, and what it costs. */
#include "unit/config/helper.h"

#include "config/classify.h"

#include <time.h>

static struct classified ask(const struct config *c, const char *line)
{
	struct classified k;
	struct span text;
	uint16_t code;
	uint8_t esc[3];

	classify_split(span_str(line), &code, esc, &text);
	classify_explain(c, code, esc, text, &k);
	assert_int_equal(k.class, classify_reply(c, code, esc, text));
	return k;
}

static void check(const struct config *c, const char *line, enum reply_class want, unsigned at)
{
	struct classified k = ask(c, line);

	if (k.class != want)
		fail_msg("%s: %s", line, reply_classes[k.class].word);
	assert_true((k.rule != NULL) == (k.by == CLASSIFIED_RULE));
	if (at > 0) {
		assert_non_null(k.rule);
		assert_int_equal(k.rule->place.line, at);
		assert_string_equal(k.rule->place.file, "t.conf");
	}
}

#define OWN BASE "domain our.test { deliver maildir /m }\n"
enum { FIRST = 4 }; /* the line behind OWN */

static void test_first_decides(void **state)
{
	struct config *c = parse_good(OWN "classify policy \"no post on sundays\"\n"
					  "classify full \"no post\"\n"
					  "classify moved \"^5.. 5\\.1\\.9 \"\n"
					  "classify rate \"^4.*enough$\"\n");

	(void)state;
	check(c, "550 5.7.1 We take NO   POST on Sundays", REPLY_POLICY, FIRST);
	check(c, "550 5.7.1 no post", REPLY_FULL, FIRST + 1);
	check(c, "550 5.1.9 something", REPLY_MOVED, FIRST + 2);
	check(c, "450 That is enough", REPLY_RATE, FIRST + 3);
	check(c, "550 That is enough", REPLY_OTHER, 0);
	/* Those of the program stand behind. */
	check(c, "552 5.2.2 Mailbox full", REPLY_FULL, 0);
	assert_string_equal(ask(c, "552 5.2.2 Mailbox full").rule->place.file, "builtin:replies");
	config_free(&c);
}

static void test_place_of_what_is_built_in(void **state)
{
	struct config *c =
	    parse_good(OWN "include builtin:replies\nclassify policy \"full|whale\"\n");

	(void)state;
	check(c, "552 5.2.2 Mailbox full", REPLY_FULL, 0);
	check(c, "550 a whale", REPLY_POLICY, FIRST + 1);
	config_free(&c);
}

/* Who a message is for decides nothing; nor do blanks, line ends and the case of letters. */
static void test_what_patterns_see(void **state)
{
	struct config *c = parse_good(OWN "classify virus \"whale\"\n"
					  "classify loop \"^550 0\\.0\\.0 <@> in <@>, a b c$\"\n"
					  "classify tls \"^000 0\\.0\\.0 ours\"\n"
					  "classify dns \"gr\\?\\?n\"\n");

	(void)state;
	check(c, "550 <whale@example.com>: hm", REPLY_OTHER, 0);
	check(c, "550 whale@whale.example: hm", REPLY_OTHER, 0);
	check(c, "550 <@whale> hm", REPLY_OTHER, 0);
	check(c, "550 wHAle <x@example.com>", REPLY_VIRUS, FIRST);
	check(c, "550 <x+y@example.com> IN\t<a@b>,  a\r\n b \n\nC", REPLY_LOOP, FIRST + 1);
	check(c, "Ours", REPLY_TLS, FIRST + 2);
	check(c, "550 gr??n", REPLY_DNS, FIRST + 3);
	check(c, "550 a@@b @ c@", REPLY_OTHER, 0);
	config_free(&c);
}

static void test_codes(void **state)
{
	static const struct {
		const char *line;
		enum reply_class class;
		enum classified_by by;
	} said[] = {
	    {"550 5.1.1 zz", REPLY_BAD_MAILBOX, CLASSIFIED_STATUS},
	    {"556 5.1.10 zz", REPLY_BAD_DOMAIN, CLASSIFIED_STATUS},
	    {"550 5.7.20 zz", REPLY_AUTHENTICATION, CLASSIFIED_RULE},
	    {"550 5.7.27 zz", REPLY_SENDER, CLASSIFIED_STATUS},
	    {"550 5.7.30 zz", REPLY_TLS, CLASSIFIED_STATUS},
	    {"552 4.2.2 zz", REPLY_FULL, CLASSIFIED_STATUS},
	    {"550 5.7.250 zz", REPLY_POLICY, CLASSIFIED_STATUS},
	    {"550 5.7.999 zz", REPLY_POLICY, CLASSIFIED_STATUS},
	    /* Where it stands elsewhere, and where there is none. */
	    {"550 zz (#5.1.1)", REPLY_BAD_MAILBOX, CLASSIFIED_STATUS},
	    {"550 zz [5.7.1] zz", REPLY_POLICY, CLASSIFIED_STATUS},
	    {"550 zz 5.7.1.9", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"550 zz 15.7.1", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"550 zz 5.7.1234", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"550 zz 5.7.", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"550 zz v5.7.1", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"550 5.0.0 zz", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"553 5.0.0 zz", REPLY_BAD_ADDRESS, CLASSIFIED_CODE},
	    {"556 zz", REPLY_BAD_DOMAIN, CLASSIFIED_CODE},
	    {"421 zz", REPLY_SYSTEM, CLASSIFIED_CODE},
	    {"550", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"250 2.1.5 zz", REPLY_OTHER, CLASSIFIED_NOTHING},
	    {"", REPLY_OTHER, CLASSIFIED_NOTHING},
	};
	struct config *c = parse_good(OWN);

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(said); i++) {
		struct classified k = ask(c, said[i].line);

		if (k.class != said[i].class || k.by != said[i].by)
			fail_msg("%s: %s, by %d", said[i].line, reply_classes[k.class].word, k.by);
	}
	config_free(&c);
}

/* No reply came to the end of the content: no words can make anything else of it. */
static void test_unsure(void **state)
{
	struct config *c = parse_good(OWN "classify full \".\"\n");
	struct classified k;

	(void)state;
	classify_explain(c, 0, (uint8_t[]){4, 4, 2}, SPAN("mailbox full"), &k);
	assert_int_equal(k.class, REPLY_UNSURE);
	assert_int_equal(k.by, CLASSIFIED_OURSELVES);
	assert_int_equal(classify_reply(c, 0, (uint8_t[]){5, 4, 2}, SPAN_NONE), REPLY_UNSURE);
	assert_int_equal(classify_reply(c, 451, (uint8_t[]){4, 4, 2}, SPAN_NONE), REPLY_FULL);
	config_free(&c);
}

static void test_split(void **state)
{
	static const struct {
		const char *line;
		uint16_t code;
		uint8_t esc[3];
		const char *text;
	} lines[] = {
	    {"550 5.1.1 a b", 550, {5, 1, 1}, "a b"},
	    {" 550-5.1.1 a ", 550, {5, 1, 1}, "a"},
	    {"450 a", 450, {0, 0, 0}, "a"},
	    {"5.7.26 a", 0, {5, 7, 26}, "a"},
	    {"550", 550, {0, 0, 0}, ""},
	    {"5501 a", 0, {0, 0, 0}, "5501 a"},
	    {"650 a", 0, {0, 0, 0}, "650 a"},
	    {"550 5.1.999 a", 550, {0, 0, 0}, "5.1.999 a"},
	};
	struct span text;
	uint16_t code;
	uint8_t esc[3];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(lines); i++) {
		classify_split(span_str(lines[i].line), &code, esc, &text);
		assert_int_equal(code, lines[i].code);
		if (memcmp(esc, lines[i].esc, 3) != 0 || !span_eq(text, span_str(lines[i].text)))
			fail_msg("%s: %u.%u.%u %.*s", lines[i].line, esc[0], esc[1], esc[2],
			    SPAN_ARG(text));
	}
}

/* ---- what it costs --------------------------------------------------------------------------- */

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void test_speed(void **state)
{
	static const char *const lines[] = {
	    "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in table",
	    "452 4.2.2 The recipient's inbox is out of storage space. Please direct the recipient",
	    "550 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.example",
	    "451 4.3.0 zz", "421 4.4.2 example.com connection timed out while talking to zz"};
	struct config *c = parse_good(OWN);
	double begin = cpu(), each;
	enum { TURNS = 2000 };

	(void)state;
	for (size_t i = 0; i < TURNS; i++) {
		uint8_t esc[3] = {4, 0, 0};

		(void)classify_reply(c, 450, esc, span_str(lines[i % GW_ARRAY_LEN(lines)]));
	}
	each = (cpu() - begin) / TURNS;
	print_message("%.1f us for a reply\n", each);
	assert_true(each < 500); /* sanitizers and all */
	begin = cpu();
	for (int i = 0; i < 10; i++) {
		struct config *again = parse_good(OWN "include builtin:replies\n");

		config_free(&again);
	}
	print_message("%.1f ms to read the rules\n", (cpu() - begin) / 1e4);
	config_free(&c);
}

/* Texts that hold much of what the rules look for, over and over. */
static void test_hostile(void **state)
{
	static const char *const units[] = {"a", " ", "@", "a@", "mailbox ", "the user ",
	    "not user mailbox ", "5.1.", "5.7.1.", "1.2.3.4 ", "\xff\xfe", "\xc3\xa4", "(((((",
	    "recipient address account user mailbox is not has been no longer ",
	    "message size mail content exceeds too many connection limit sender ip host ",
	    "temporarily due to your server domain spam relay policy error certificate "};
	struct config *c = parse_good(OWN);
	static char text[1 << 20];
	double worst = 0;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(units); i++) {
		size_t n = strlen(units[i]);
		double begin;

		for (size_t k = 0; k < sizeof(text); k++)
			text[k] = units[i][k % n];
		begin = cpu();
		(void)classify_reply(c, 550, (uint8_t[]){0, 0, 0}, span_of(text, sizeof(text)));
		if (cpu() - begin > worst)
			worst = cpu() - begin;
	}
	memset(text, 0, sizeof(text));
	assert_int_equal(
	    classify_reply(c, 552, (uint8_t[]){5, 2, 2}, span_of(text, sizeof(text))), REPLY_FULL);
	print_message("%.2f ms for the worst of texts\n", worst / 1e3);
	assert_true(worst < 300e3);
	config_free(&c);
}

/* Rules that nobody should write, as many as there may be: so many are tried, and no more. */
static void test_hostile_rules(void **state)
{
	struct config *c;
	char text[512];
	struct buf b;
	double begin;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_add_str(&b, OWN);
	for (int i = 0; i < 1000; i++)
		buf_add_str(&b, "classify full \"(a+)+(a|a)*(.*)*[0-9]z\"\n");
	buf_add_byte(&b, 0);
	c = parse_good((const char *)buf_view(&b).p);
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 'z';
	begin = cpu();
	assert_int_equal(classify_reply(c, 552, (uint8_t[]){5, 2, 3}, span_of(text, sizeof(text))),
	    REPLY_TOO_LARGE);
	print_message("%.1f ms with the worst of rules\n", (cpu() - begin) / 1e3);
	assert_true(cpu() - begin < 5e6);
	buf_fini(&b);
	config_free(&c);
}

static void test_ceiling(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_add_str(&b, OWN);
	for (int i = 0; i <= CLASSIFY_RULES; i++)
		buf_add_str(&b, "classify full aaaa\n");
	buf_add_byte(&b, 0);
	assert_int_equal(refused_with((const char *)buf_view(&b).p), 193);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_decides),
	    cmocka_unit_test(test_place_of_what_is_built_in),
	    cmocka_unit_test(test_what_patterns_see),
	    cmocka_unit_test(test_codes),
	    cmocka_unit_test(test_unsure),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_speed),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_hostile_rules),
	    cmocka_unit_test(test_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
