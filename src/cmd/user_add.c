/*
 * godwit user add, passwd, rm: accounts come and go, and get a password.
 */
#include "cmd/user.h"

#include "cmd/user_password.h"

#include <stdlib.h>

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

/* --plan or --tenant. */
static int take_word(
    const struct user_options *o, const char *flag, const char *text, struct span *out)
{
	const char *why = text != NULL ? account_word_fault(span_str(text)) : NULL;

	if (why != NULL)
		return flags_usage(o->verb, "%s \"%s\": %s", flag, text, why);
	*out = text != NULL ? span_str(text) : SPAN_NONE;
	return CMD_OK;
}

static int take_lists(const struct user_options *o, struct lists *l, struct account *a)
{
	int code = split(o, "--as", &o->as, account_pattern_fault, l->as, &a->n_as);

	if (code == CMD_OK)
		code = split(o, "--header-as", &o->header_as, account_pattern_fault, l->header_as,
		    &a->n_header_as);
	if (code == CMD_OK)
		code = split(o, "--from", &o->from, account_range_fault, l->from, &a->n_from);
	if (code == CMD_OK)
		code = take_word(o, "--plan", o->plan, &a->plan);
	if (code == CMD_OK)
		code = take_word(o, "--tenant", o->tenant, &a->tenant);
	a->as = l->as;
	a->header_as = l->header_as;
	a->from = l->from;
	return code;
}

/* ---- add, passwd, rm ---- */

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
		return user_no_such(o, name);
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
			code =
			    user_put(&f, 0, a, SPAN_NONE); /* two at once: the second is refused */
		user_file_close(&f);
	}
	if (code == CMD_OK)
		show_made_up(&secret);
	user_secret_wipe(&secret);
	return code;
}

int user_add(const struct user_options *o, char **word)
{
	const char *name = word[0];
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

int user_passwd(const struct user_options *o, char **word)
{
	const char *name = word[0];
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
			code = user_find(o, &f, name, &a);
		if (code == CMD_OK) {
			set_secret(&a, &secret);
			code = user_put(&f, a.line, &a, SPAN_NONE);
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

int user_rm(const struct user_options *o, char **word)
{
	const char *name = word[0];
	struct account a;
	struct user_file f;
	int code = user_open(o, &f, true);

	if (code == CMD_OK)
		code = user_find(o, &f, name, &a);
	if (code == CMD_OK) {
		user_file_edit(&f, a.line, SPAN_NONE, SPAN_NONE);
		code = user_file_save(&f);
	}
	if (code == CMD_OK)
		user_say(o, "account %s: removed", name);
	user_file_close(&f);
	return code;
}
