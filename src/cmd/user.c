/*
 * godwit user: the accounts that may log in. Which of its verbs it is, and what they share: what is
 * said, and the file of the accounts.
 */
#include "cmd/user.h"

#include "cmd/config_load.h"
#include "config/schema.h"

#include <stdarg.h>

enum { PATIENCE = 10000000 };

/* ---- messages ---- */

void user_say(const struct user_options *o, const char *fmt, ...)
{
	va_list args;

	if (o->g.quiet)
		return;
	va_start(args, fmt);
	/* Standard output belongs to a password that was made up. */
	vfprintf(o->generate ? stderr : stdout, fmt, args);
	va_end(args);
	fputc('\n', o->generate ? stderr : stdout);
}

int user_fail(const struct user_options *o, int code, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "godwit %s: ", o->verb);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

/* ---- the file ---- */

/* Where the configuration is known, it knows the plans. */
static void warn_of_plan(const struct user_options *o, const struct config *c, const char *plan)
{
	if (plan == NULL || c == NULL || config_has_plan(c, span_str(plan)))
		return;
	fprintf(stderr,
	    "godwit %s: warning: the configuration has no plan %s; until it has, the account has "
	    "the limits of %s\n",
	    o->verb, plan, config_has_plan(c, SPAN("default")) ? "the plan default" : "no plan");
}

int user_open(const struct user_options *o, struct user_file *f, bool change)
{
	int64_t patience = o->g.timeout > 0 ? o->g.timeout : PATIENCE;
	const char *path = o->g.config != NULL ? o->g.config : CMD_DEFAULT_CONFIG;
	struct config *c = NULL;
	int code;

	*f = (struct user_file){.dir = -1};
	if (o->file == NULL) {
		c = cmd_config_load(path, true);
		if (c == NULL)
			return user_fail(o, CMD_NO,
			    "%s cannot be used; --file names a users file without it", path);
		if (c->users == NULL) {
			config_free(&c);
			return user_fail(o, CMD_NOT_FOUND,
			    "%s names no users file: add \"users file /etc/godwit/users\", or say "
			    "--file",
			    path);
		}
	}
	if (change)
		warn_of_plan(o, c, o->plan);
	code = user_file_open(f, o->verb, c != NULL ? c->users : o->file, change, patience);
	config_free(&c);
	return code;
}

int user_no_such(const struct user_options *o, const char *name)
{
	return user_fail(
	    o, CMD_NOT_FOUND, "there is no account %s (godwit user list shows them)", name);
}

int user_put(struct user_file *f, unsigned line, const struct account *a, struct span comment)
{
	struct buf text;
	int code;

	buf_init(&text, ACCOUNT_LINE_MAX * 2);
	if (buf_room(&text, ACCOUNT_LINE_MAX * 2) == NULL)
		die("no room for a line");
	account_format(a, true, &text);
	user_file_edit(f, line, buf_view(&text), comment);
	buf_wipe(&text);
	code = user_file_save(f);
	return code;
}

int user_find(
    const struct user_options *o, const struct user_file *f, const char *name, struct account *a)
{
	const struct account *old = accounts_find(f->accounts, span_str(name));

	if (old == NULL)
		return user_no_such(o, name);
	*a = *old;
	return CMD_OK;
}

/* ---- dispatch ---- */

static int import(const struct user_options *o, char **word)
{
	return user_import(o, word[0]);
}

static int list(const struct user_options *o, char **word)
{
	(void)word;
	return user_list(o);
}

enum { HAS_WORDS = 1, HAS_PASSWORD = 2, HAS_REASON = 4 };
static const struct sub {
	const char *name, *what; /* what: the words it takes, or NULL */
	int words;
	int (*run)(const struct user_options *o, char **word);
	unsigned has; /* flags beside --file and those of all verbs */
} subs[] = {
    {"add", "NAME", 1, user_add, HAS_WORDS | HAS_PASSWORD},
    {"passwd", "NAME", 1, user_passwd, HAS_PASSWORD},
    {"rm", "NAME", 1, user_rm, 0},
    {"suspend", "NAME", 1, user_suspend, HAS_REASON},
    {"activate", "NAME", 1, user_activate, HAS_REASON},
    {"close", "NAME", 1, user_close, HAS_REASON},
    {"plan", "NAME and one PLAN", 2, user_plan, 0},
    {"tenant", "NAME and one TENANT", 2, user_tenant, 0},
    {"import", "FILE", 1, import, 0},
    {"list", NULL, 0, list, 0},
};

/* What was said and would have no effect; or NULL. */
static const char *stray_flag(const struct user_options *o, unsigned has)
{
	const struct {
		const char *name;
		bool said;
		unsigned of;
	} rows[] = {{"--as", o->as.n > 0, HAS_WORDS},
	    {"--header-as", o->header_as.n > 0, HAS_WORDS}, {"--from", o->from.n > 0, HAS_WORDS},
	    {"--plan", o->plan != NULL, HAS_WORDS}, {"--tenant", o->tenant != NULL, HAS_WORDS},
	    {"--stdin", o->from_stdin, HAS_PASSWORD}, {"--generate", o->generate, HAS_PASSWORD},
	    {"--hash", o->hash != NULL, HAS_PASSWORD}, {"--reason", o->reason != NULL, HAS_REASON}};

	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		if (rows[i].said && !(has & rows[i].of))
			return rows[i].name;
	}
	return NULL;
}

static const struct sub *find_sub(const char *name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(subs); i++) {
		if (strcmp(subs[i].name, name) == 0)
			return &subs[i];
	}
	return NULL;
}

static int run(const struct sub *sub, struct user_options *o, int argc, char **argv)
{
	const char *stray = stray_flag(o, sub->has);
	char verb[32];

	snprintf(verb, sizeof(verb), "user %s", sub->name);
	o->verb = verb;
	if (stray != NULL)
		return flags_usage(verb, "%s means nothing here", stray);
	if (argc != 2 + sub->words)
		return flags_usage(verb, sub->what != NULL ? "it takes one %s" : "it takes no %s",
		    sub->what != NULL ? sub->what : "argument");
	return sub->run(o, argv + 2);
}

int cmd_user(const struct cmd_globals *g, int argc, char **argv)
{
	struct user_options o = {.g = *g};
	const struct flag flags[] = {
	    {"--file", FLAG_TEXT, &o.file},
	    {"--as", FLAG_LIST, &o.as},
	    {"--header-as", FLAG_LIST, &o.header_as},
	    {"--from", FLAG_LIST, &o.from},
	    {"--stdin", FLAG_ON, &o.from_stdin},
	    {"--generate", FLAG_ON, &o.generate},
	    {"--hash", FLAG_TEXT, &o.hash},
	    {"--reason", FLAG_TEXT, &o.reason},
	    {"--plan", FLAG_TEXT, &o.plan},
	    {"--tenant", FLAG_TEXT, &o.tenant},
	};
	const char *names[GW_ARRAY_LEN(subs)], *near;
	const struct sub *sub;
	int code;

	if (!flags_read(&(struct flags){"user", flags, GW_ARRAY_LEN(flags), &o.g, false}, &argc,
		argv, &code))
		return code;
	sub = argc > 1 ? find_sub(argv[1]) : NULL;
	if (sub != NULL)
		return run(sub, &o, argc, argv);
	for (size_t i = 0; i < GW_ARRAY_LEN(subs); i++)
		names[i] = subs[i].name;
	near = argc > 1 ? nearest_word(span_str(argv[1]), names, GW_ARRAY_LEN(subs)) : NULL;
	if (near != NULL)
		return flags_usage("user", "there is no '%s': did you mean '%s'?", argv[1], near);
	if (argc > 1)
		return flags_usage("user", "there is no '%s'", argv[1]);
	return flags_usage("user", "what is to be done?");
}
