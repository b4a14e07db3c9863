/* "godwit classify": what a reply is taken for, by which rule, and what senders are told. */
#include "cmd/cmd.h"
#include "cmd/flags.h"

#include "cmd/config_load.h"
#include "config/classify.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 64 << 10 };

/* Where there is no configuration, the rules that are built in can still be asked. */
static const char nothing[] = "hostname localhost\nlisten mx 127.0.0.1:25\n"
			      "domain localhost { deliver reject \"550 5.1.1 nobody\" }\n";

static struct config *load_nothing(void)
{
	struct config *c = NULL;
	struct config_diags d;
	struct buf bundle;

	config_diags_init(&d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	if (config_bundle_text("nothing", span_str(nothing), &bundle) == 0)
		c = config_parse(buf_view(&bundle), 1, &d);
	buf_fini(&bundle);
	config_diags_fini(&d);
	return c;
}

static struct config *load(const struct cmd_globals *g)
{
	const char *path = g->config != NULL ? g->config : CMD_DEFAULT_CONFIG;

	if (g->config == NULL && access(path, F_OK) != 0)
		return load_nothing();
	return cmd_config_load(path, true);
}

/* "builtin:replies:12", or what else decided; text[REASON]. */
enum { REASON = 600 };
static const char *reason(const struct classified *k, uint16_t code, char *text)
{
	switch (k->by) {
	case CLASSIFIED_RULE:
		snprintf(text, REASON, "%.500s:%u", k->rule->place.file, k->rule->place.line);
		break;
	case CLASSIFIED_STATUS:
		snprintf(text, REASON, "enhanced code %u.%u.%u", k->esc[0], k->esc[1], k->esc[2]);
		break;
	case CLASSIFIED_CODE: snprintf(text, REASON, "code %u", code); break;
	case CLASSIFIED_OURSELVES: snprintf(text, REASON, "no reply came"); break;
	case CLASSIFIED_NOTHING: snprintf(text, REASON, "nothing knows it"); break;
	}
	return text;
}

/* Replies of hosts go to a terminal: no octet of theirs may steer it. */
static void print_safe(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		putchar(s.p[i] < ' ' || s.p[i] == 127 ? '?' : s.p[i]);
}

static void print_one(const struct classified *k, const char *why)
{
	const struct reply_class_row *row = &reply_classes[k->class];

	printf("%s\n  decided by: %s\n", row->word, why);
	if (k->rule != NULL)
		printf("  pattern:    %s\n", k->rule->pattern);
	printf("  senders are told: %s\n  and advised:      %s\n", row->means, row->advice);
}

static void print_json(const struct classified *k, const char *why, struct span line)
{
	const struct reply_class_row *row = &reply_classes[k->class];
	json_t *o = json_pack("{s:s, s:b, s:s, s:s, s:s}", "class", row->word, "permanent",
	    row->permanent, "by", why, "means", row->means, "advice", row->advice);
	json_t *reply = json_stringn((const char *)line.p, line.n);

	if (reply != NULL) /* not what is no UTF-8 */
		json_object_set_new(o, "reply", reply);
	if (o != NULL)
		json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void classify(
    const struct cmd_globals *g, const struct config *c, struct span line, bool many)
{
	struct classified k;
	struct span text;
	uint16_t code;
	uint8_t esc[3];
	char why[REASON];

	classify_split(line, &code, esc, &text);
	classify_explain(c, code, esc, text, &k);
	(void)reason(&k, code, why);
	if (g->json) {
		print_json(&k, why, line);
	} else if (many) {
		printf("%-16s %-24s ", reply_classes[k.class].word, why);
		print_safe(line);
		putchar('\n');
	} else {
		print_one(&k, why);
	}
}

/* One reply a line; a line that is too long is cut. */
static void from_stdin(const struct cmd_globals *g, const struct config *c)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		struct span s = span_trim(span_of(line, (size_t)n));

		while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
			s.n--;
		if (s.n > 0)
			classify(g, c, span_first(s, LINE_MAX_OCTETS), true);
	}
	free(line);
}

int cmd_classify(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	struct config *c;
	int code;

	if (!flags_read(&(struct flags){.verb = "classify", .globals = &own}, &argc, argv, &code))
		return code;
	if (argc == 1 && isatty(STDIN_FILENO))
		return flags_usage(
		    "classify", "which reply? (as a word, or lines on standard input)");
	c = load(&own);
	if (c == NULL)
		return CMD_NO;
	for (int i = 1; i < argc; i++)
		classify(&own, c, span_str(argv[i]), argc > 2);
	if (argc == 1)
		from_stdin(&own, c);
	config_free(&c);
	return fflush(stdout) == 0 ? CMD_OK : CMD_NO;
}
