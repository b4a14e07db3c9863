/* godwit user: the accounts that may log in. */
#include "cmd/user.h"

#include "cmd/user_password.h"
#include "config/config.h"
#include "config/schema.h"

#include <stdarg.h>
#include <stdlib.h>

enum { PATIENCE = 10000000, BUNDLE_LINE = 1 << 20 };

/* ---- messages ---------------------------------------------------------------------------------
 */

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

/* ---- the file ---------------------------------------------------------------------------------
 */

static struct config *load_config(const char *path)
{
	struct config_diags d;
	struct config *c = NULL;
	struct buf bundle, text;

	config_diags_init(&d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	buf_init(&text, BUNDLE_LINE);
	if (config_bundle_load(path, &bundle, &d) == 0)
		c = config_parse(buf_view(&bundle), 1, &d);
	if (c == NULL)
		config_diags_format(&d, &text);
	fprintf(stderr, "%.*s", SPAN_ARG(buf_view(&text)));
	buf_fini(&text);
	buf_fini(&bundle);
	config_diags_fini(&d);
	return c;
}

int user_open(const struct user_options *o, struct user_file *f, bool change)
{
	int64_t patience = o->g.timeout > 0 ? o->g.timeout : PATIENCE;
	const char *path = o->g.config != NULL ? o->g.config : CMD_DEFAULT_CONFIG;
	struct config *c = NULL;
	int code;

	*f = (struct user_file){.dir = -1};
	if (o->file == NULL) {
		c = load_config(path);
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
	code = user_file_open(f, o->verb, c != NULL ? c->users : o->file, change, patience);
	config_free(&c);
	return code;
}

static int no_such(const struct user_options *o, const char *name)
{
	return user_fail(
	    o, CMD_NOT_FOUND, "there is no account %s (godwit user list shows them)", name);
}

/* ---- lists ------------------------------------------------------------------------------------
 */

/* All members of what may have been said in several flags and with commas. */
static int split(const struct user_options *o, const char *flag, const struct flag_list *in,
    const char *(*fault)(struct span), struct span *list, uint16_t *n)
{
	*n = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct span rest = span_str(in->value[i]);
		ptrdiff_t comma;

		do {
			struct span one;
			const char *why;

			comma = span_find(rest, ',');
			one = comma < 0 ? rest : span_first(rest, (size_t)comma);
			rest = comma < 0 ? rest : span_skip(rest, (size_t)comma + 1);
			why = *n == ACCOUNT_LIST_MAX ? "more than 1000 are too many" : fault(one);
			if (why != NULL)
				return flags_usage(
				    o->verb, "%s \"%.*s\": %s", flag, SPAN_ARG(one), why);
			list[(*n)++] = one;
		} while (comma >= 0);
	}
	return CMD_OK;
}

struct lists {
	struct span as[ACCOUNT_LIST_MAX], header_as[ACCOUNT_LIST_MAX], from[ACCOUNT_LIST_MAX];
};

static int take_lists(const struct user_options *o, struct lists *l, struct account *a)
{
	int code = split(o, "--as", &o->as, account_pattern_fault, l->as, &a->n_as);

	if (code == CMD_OK)
		code = split(o, "--header-as", &o->header_as, account_pattern_fault, l->header_as,
		    &a->n_header_as);
	if (code == CMD_OK)
		code = split(o, "--from", &o->from, account_range_fault, l->from, &a->n_from);
	a->as = l->as;
	a->header_as = l->header_as;
	a->from = l->from;
	return code;
}

/* ---- add, passwd, rm ---------------------------------------------------------------------------
 */

static int put(struct user_file *f, unsigned line, const struct account *a, struct span comment)
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

static void set_secret(struct account *a, const struct user_secret *s)
{
	a->hash = span_str(s->hash);
	a->has_hash = true;
	a->has_scram = s->has_scram;
	a->scram = s->has_scram ? &s->scram : NULL;
}

static void show_made_up(const struct user_secret *s)
{
	if (s->made_up[0] != '\0')
		puts(s->made_up);
}

static int make_secret(const struct user_options *o, const char *name, struct user_secret *secret)
{
	struct user_password_options p = {.verb = o->verb,
	    .name = name,
	    .from_stdin = o->from_stdin,
	    .generate = o->generate,
	    .hash = o->hash};

	return user_secret_make(&p, secret);
}

/* Is it there? Looked at before a password is asked for, which must not be under the lock. */
static int look_for(const struct user_options *o, const char *name, bool wanted)
{
	struct user_file f;
	int code = user_open(o, &f, false);
	bool there = code == CMD_OK && accounts_find(f.accounts, span_str(name)) != NULL;

	user_file_close(&f);
	if (code == CMD_OK && wanted && !there)
		return no_such(o, name);
	if (code == CMD_OK && !wanted && there)
		return user_fail(o, CMD_NO,
		    "there is an account %s already (godwit user passwd changes its password)",
		    name);
	return code;
}

static int add_account(const struct user_options *o, const char *name, struct account *a)
{
	struct user_secret secret;
	struct user_file f;
	int code = look_for(o, name, false);

	if (code != CMD_OK)
		return code;
	code = make_secret(o, name, &secret);
	if (code == CMD_OK) {
		set_secret(a, &secret);
		code = user_open(o, &f, true);
		if (code == CMD_OK)
			code = put(&f, 0, a, SPAN_NONE); /* two at once: the second is refused */
		user_file_close(&f);
	}
	if (code == CMD_OK)
		show_made_up(&secret);
	user_secret_wipe(&secret);
	return code;
}

static int add(const struct user_options *o, const char *name)
{
	const char *why = account_name_fault(span_str(name));
	struct account a = {.name = span_str(name)};
	struct lists *lists = gw_calloc(1, sizeof(*lists));
	int code =
	    why == NULL ? take_lists(o, lists, &a) : flags_usage(o->verb, "\"%s\": %s", name, why);

	if (code == CMD_OK)
		code = add_account(o, name, &a);
	if (code == CMD_OK)
		user_say(o, "account %s: added", name);
	free(lists);
	return code;
}

/* The account of that name with its line in the file, which is open and locked. */
static int find(
    const struct user_options *o, const struct user_file *f, const char *name, struct account *a)
{
	const struct account *old = accounts_find(f->accounts, span_str(name));

	if (old == NULL)
		return no_such(o, name);
	*a = *old;
	return CMD_OK;
}

static int passwd(const struct user_options *o, const char *name)
{
	struct user_secret secret;
	struct account a;
	struct user_file f;
	int code = look_for(o, name, true);

	if (code != CMD_OK)
		return code;
	code = make_secret(o, name, &secret);
	if (code == CMD_OK) {
		code = user_open(o, &f, true);
		if (code == CMD_OK)
			code = find(o, &f, name, &a);
		if (code == CMD_OK) {
			set_secret(&a, &secret);
			code = put(&f, a.line, &a, SPAN_NONE);
		}
		user_file_close(&f);
	}
	if (code == CMD_OK) {
		show_made_up(&secret);
		user_say(o, "account %s: the password was changed", name);
	}
	user_secret_wipe(&secret);
	return code;
}

static int rm(const struct user_options *o, const char *name)
{
	struct account a;
	struct user_file f;
	int code = user_open(o, &f, true);

	if (code == CMD_OK)
		code = find(o, &f, name, &a);
	if (code == CMD_OK) {
		user_file_edit(&f, a.line, SPAN_NONE, SPAN_NONE);
		code = user_file_save(&f);
	}
	if (code == CMD_OK)
		user_say(o, "account %s: removed", name);
	user_file_close(&f);
	return code;
}

/* ---- states -----------------------------------------------------------------------------------
 */

/* Was this comment made by us, at an earlier change of the state? */
static bool is_reason(struct span comment)
{
	char start[32];

	for (size_t i = 0; i < ACCOUNT_STATES; i++) {
		snprintf(start, sizeof(start), "# %s: ", account_states[i]);
		if (span_starts(comment, span_str(start)))
			return true;
	}
	return false;
}

/* The reason stands behind the account as a comment: "# suspended: did not pay". */
static int read_reason(const struct user_options *o, enum account_state state, struct buf *out)
{
	struct span reason = o->reason != NULL ? span_str(o->reason) : SPAN_NONE;

	for (size_t i = 0; i < reason.n; i++) {
		if (reason.p[i] < ' ' || reason.p[i] == 0x7f)
			return flags_usage(o->verb, "--reason is one line of text");
	}
	if (o->reason == NULL)
		return CMD_OK;
	buf_addf(out, "# %s: ", account_states[state]);
	buf_add_span(out, reason);
	return buf_failed(out) ? flags_usage(o->verb, "--reason has 1000 octets at most") : CMD_OK;
}

/* An old reason goes, what people wrote there stays. */
static struct span new_comment(const struct user_file *f, unsigned line, const struct buf *reason)
{
	if (buf_len(reason) == 0 && is_reason(user_file_comment(f, line)))
		return SPAN("");
	return buf_view(reason);
}

static int set_state(const struct user_options *o, const char *name, enum account_state state)
{
	struct account a;
	struct user_file f;
	struct buf reason;
	int code;

	buf_init(&reason, 1020);
	code = read_reason(o, state, &reason);
	if (code == CMD_OK) {
		code = user_open(o, &f, true);
		if (code == CMD_OK)
			code = find(o, &f, name, &a);
		if (code == CMD_OK) {
			a.state = state;
			code = put(&f, a.line, &a, new_comment(&f, a.line, &reason));
		}
		user_file_close(&f);
	}
	if (code == CMD_OK)
		user_say(o, "account %s: %s", name, account_states[state]);
	buf_fini(&reason);
	return code;
}

static int suspend(const struct user_options *o, const char *name)
{
	return set_state(o, name, ACCOUNT_SUSPENDED);
}

static int activate(const struct user_options *o, const char *name)
{
	return set_state(o, name, ACCOUNT_ACTIVE);
}

static int close_account(const struct user_options *o, const char *name)
{
	return set_state(o, name, ACCOUNT_CLOSED);
}

/* ---- dispatch ---------------------------------------------------------------------------------
 */

static int list(const struct user_options *o, const char *name)
{
	(void)name;
	return user_list(o);
}

static const struct sub {
	const char *name, *what; /* what: the one word it takes, or NULL */
	int (*run)(const struct user_options *o, const char *word);
} subs[] = {
    {"add", "NAME", add},
    {"passwd", "NAME", passwd},
    {"rm", "NAME", rm},
    {"suspend", "NAME", suspend},
    {"activate", "NAME", activate},
    {"close", "NAME", close_account},
    {"import", "FILE", user_import},
    {"list", NULL, list},
};

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
	char verb[32];

	snprintf(verb, sizeof(verb), "user %s", sub->name);
	o->verb = verb;
	if (argc != (sub->what != NULL ? 3 : 2))
		return flags_usage(verb, sub->what != NULL ? "it takes one %s" : "it takes no %s",
		    sub->what != NULL ? sub->what : "argument");
	return sub->run(o, argv[2]);
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
	return flags_usage("user", "what is to be done?");
}
