#include "cmd/commands.h"

#include "base/span.h"
#include "cmd/flags.h"
#include "config/schema.h"
#include "role/version.h"

static const struct command commands[] = {
#define COMMAND(name, function, hidden, purpose, usage) {name, function, hidden, purpose, usage},
#include "cmd/commands.def"
#undef COMMAND
};

static const struct command *find(struct span name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(commands); i++) {
		if (span_eq(name, span_str(commands[i].name)))
			return &commands[i];
	}
	return NULL;
}

const struct command *command_find(const char *name)
{
	return find(span_str(name));
}

static void list_verbs(FILE *to)
{
	fputs("usage: godwit [--config FILE] [--json] [--quiet] [--yes] [--timeout TIME] VERB "
	      "...\n\n",
	    to);
	for (size_t i = 0; i < GW_ARRAY_LEN(commands); i++) {
		if (!commands[i].hidden)
			fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].purpose);
	}
	fputs("\ngodwit help VERB says more; godwit dev is the first thing to try.\n", to);
}

int command_help(const char *verb)
{
	struct span name = span_str(verb);
	ptrdiff_t end = span_find(name, ' ');
	const struct command *c = find(end < 0 ? name : span_first(name, (size_t)end));

	if (c == NULL) {
		list_verbs(stdout);
		return CMD_OK;
	}
	printf("%s: %s\n\n%s", c->name, c->purpose, c->usage);
	return CMD_OK;
}

static int unknown_verb(const char *verb)
{
	const char *names[GW_ARRAY_LEN(commands)], *near;
	size_t n = 0;

	for (size_t i = 0; i < GW_ARRAY_LEN(commands); i++) {
		if (!commands[i].hidden)
			names[n++] = commands[i].name;
	}
	near = nearest_word(span_str(verb), names, n);
	fprintf(stderr, "godwit: there is no verb '%s'", verb);
	if (near != NULL)
		fprintf(stderr, ": did you mean '%s'?", near);
	fputs("\n(godwit help lists the verbs)\n", stderr);
	return CMD_USAGE;
}

int cmd_help(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	int code;

	if (!flags_read(&(struct flags){.verb = "help", .globals = &own}, &argc, argv, &code))
		return code;
	if (argc < 2)
		return command_help("");
	if (command_find(argv[1]) == NULL)
		return unknown_verb(argv[1]);
	return command_help(argv[1]);
}

int cmd_version(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	int code;

	if (!flags_read(&(struct flags){.verb = "version", .globals = &own}, &argc, argv, &code))
		return code;
	printf(own.json ? "{\"version\":\"%s\"}\n" : "godwit %s\n", GW_VERSION);
	return CMD_OK;
}

int command_main(int argc, char **argv)
{
	struct cmd_globals g = {0};
	struct flags f = {.verb = "", .globals = &g, .first_word_ends = true};
	const struct command *c;
	int code;

	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return cmd_version(&g, 1, argv);
	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc < 2) {
		list_verbs(stderr);
		return CMD_USAGE;
	}
	c = command_find(argv[1]);
	return c != NULL ? c->run(&g, argc - 1, argv + 1) : unknown_verb(argv[1]);
}
