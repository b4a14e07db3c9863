/*
 * The built-in patterns against tests/corpus: refusals as mail hosts say them. From replies.txt the
 * patterns were written, from replies_held_out.txt they were not: what they make of that part is
 * what they will make of the hosts out there. The figures and what was missed are printed.
 */
#include "unit/config/helper.h"

#include "config/classify.h"

#include <string.h>

enum { LINE = 4096, PARTS = 2, TOTAL = 360, EACH = 5 };

struct tally {
	size_t asked, right;
	size_t of[REPLY_CLASSES];
};

/* "\n" in the file is the end of a line, as a reply of many lines has it. */
static size_t unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		bool end = from[0] == '\\' && from[1] == 'n';

		*to++ = end ? '\n' : *from;
		from += end;
	}
	*to = '\0';
	return (size_t)(to - text);
}

static enum reply_class judge(const struct config *c, struct span reply, struct classified *why)
{
	struct span text;
	uint16_t code;
	uint8_t esc[3];

	classify_split(reply, &code, esc, &text);
	classify_explain(c, code, esc, text, why);
	assert_int_equal(classify_reply(c, code, esc, text), why->class);
	return why->class;
}

static void ask(const struct config *c, char *line, struct tally *t)
{
	char *reply = strchr(line, '\t');
	enum reply_class want, got;
	struct classified why;

	if (reply == NULL)
		fail_msg("no tab: %s", line);
	*reply++ = '\0';
	want = reply_class_of_word(span_str(line));
	if (want == REPLY_CLASSES)
		fail_msg("no class %s", line);
	got = judge(c, span_of(reply, unescape(reply)), &why);
	t->asked++;
	t->of[want]++;
	t->right += got == want;
	if (got != want)
		printf("  %s, not %s (%s): %s\n", reply_classes[got].word, line,
		    why.by == CLASSIFIED_RULE ? "a pattern" : "the codes", reply);
}

static void ask_all(const struct config *c, const char *name, struct tally *t)
{
	FILE *f = fopen(name, "rb");
	char line[LINE];

	if (f == NULL)
		fail_msg("%s cannot be opened", name);
	while (fgets(line, sizeof(line), f) != NULL) {
		size_t n = strcspn(line, "\n");

		if (line[n] != '\n')
			fail_msg("too long a line in %s", name);
		line[n] = '\0';
		if (line[0] != '#')
			ask(c, line, t);
	}
	fclose(f);
	printf("%s: %zu of %zu right (%.1f %%)\n", name, t->right, t->asked,
	    100.0 * (double)t->right / (double)t->asked);
}

static void test_corpus(void **state)
{
	static const struct {
		const char *name;
		unsigned percent;
	} parts[PARTS] = {
	    {"tests/corpus/replies.txt", 98}, {"tests/corpus/replies_held_out.txt", 87}};
	struct config *c = parse_good(BASE "domain our.test { deliver maildir /m }\n");
	struct tally t[PARTS] = {{0}};

	(void)state;
	for (size_t i = 0; i < PARTS; i++)
		ask_all(c, parts[i].name, &t[i]);
	assert_true(t[0].asked + t[1].asked >= TOTAL);
	assert_true(t[1].asked * 4 >= t[0].asked);
	for (size_t k = 0; k < REPLY_CLASSES; k++) {
		if (t[0].of[k] + t[1].of[k] < EACH || t[1].of[k] == 0)
			fail_msg("too few of %s", reply_classes[k].word);
	}
	for (size_t i = 0; i < PARTS; i++)
		assert_true(t[i].right * 100 >= t[i].asked * parts[i].percent);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
