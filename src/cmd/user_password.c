#include "cmd/user_password.h"

#include "auth/scram.h"
#include "cmd/flags.h"

#include <bsd/readpassphrase.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <unistd.h>

enum { GROUPS = 5, GROUP = 4 };

static int told(const char *verb, int code, const char *why)
{
	fprintf(stderr, "godwit %s: %s\n", verb, why);
	return code;
}

/* ---- where it comes from ------------------------------------------------------------------------
 */

/* Twice, without an echo. */
static int from_terminal(const struct user_password_options *o, char to[PASSWORD_MAX + 2])
{
	char again[PASSWORD_MAX + 2], prompt[ACCOUNT_NAME_MAX + 32];
	int code = CMD_OK;

	snprintf(prompt, sizeof(prompt), "New password for %s: ", o->name);
	if (readpassphrase(prompt, to, PASSWORD_MAX + 2, RPP_REQUIRE_TTY) == NULL)
		return errno == ENOTTY || errno == ENXIO
			   ? flags_usage(o->verb,
				 "there is no terminal to ask for a password: --stdin, --generate "
				 "or --hash says where it comes from")
			   : told(o->verb, CMD_NO, "no password could be read");
	if (readpassphrase("Once more: ", again, sizeof(again), RPP_REQUIRE_TTY) == NULL ||
	    strcmp(to, again) != 0)
		code = told(o->verb, CMD_NO, "the two passwords differ; nothing was changed");
	explicit_bzero(again, sizeof(again));
	return code;
}

/* The first line, without its end. Octet by octet: what is behind it is not ours. */
static int from_input(const struct user_password_options *o, char to[PASSWORD_MAX + 2])
{
	size_t n = 0;
	ssize_t r = 0;

	while (n <= PASSWORD_MAX && (r = read(STDIN_FILENO, to + n, 1)) == 1 && to[n] != '\n') {
		if (to[n] == '\0')
			return told(o->verb, CMD_NO, "a password has no NUL octet");
		n++;
	}
	if (r < 0)
		return told(o->verb, CMD_NO, "standard input cannot be read");
	if (n > 0 && to[n - 1] == '\r')
		n--;
	to[n] = '\0';
	return CMD_OK;
}

/* Letters and digits that cannot be mistaken for each other: 99 bits. */
static void invent(char to[PASSWORD_MAX + 2])
{
	static const char signs[] = "abcdefghjkmnpqrstuvwxyz23456789";

	for (size_t i = 0; i < GROUPS * (GROUP + 1); i++)
		to[i] =
		    i % (GROUP + 1) == GROUP ? '-' : signs[arc4random_uniform(sizeof(signs) - 1)];
	to[GROUPS * (GROUP + 1) - 1] = '\0';
}

static int get_password(const struct user_password_options *o, char to[PASSWORD_MAX + 2])
{
	if (o->generate) {
		invent(to);
		return CMD_OK;
	}
	return o->from_stdin ? from_input(o, to) : from_terminal(o, to);
}

/* ---- what is kept
 * --------------------------------------------------------------------------------
 */

static int judge(const struct user_password_options *o, const char *password)
{
	size_t n = strlen(password);

	if (n < PASSWORD_MIN)
		return told(o->verb, CMD_NO,
		    "this password is too short: 8 octets are the least; --generate makes a good "
		    "one");
	if (n > PASSWORD_MAX)
		return told(o->verb, CMD_NO, "this password is too long: 1024 octets are the most");
	return CMD_OK;
}

static int derive(
    const struct user_password_options *o, const char *password, struct user_secret *s)
{
	if (passhash_make(span_str(password), s->hash) < 0)
		return told(o->verb, CMD_LATER, "there is not enough memory to hash a password");
	arc4random_buf(s->salt, sizeof(s->salt));
	if (scram_make(
		span_str(password), span_of(s->salt, sizeof(s->salt)), ITERATIONS, &s->scram) < 0)
		return told(o->verb, CMD_NO,
		    "this password has characters that cannot be typed everywhere: control "
		    "characters, or no UTF-8");
	s->has_scram = true;
	return CMD_OK;
}

static int take_hash(const struct user_password_options *o, struct user_secret *s)
{
	struct span hash = span_str(o->hash);
	const char *why = account_hash_fault(hash);

	if (why != NULL)
		return flags_usage(o->verb, "--hash: %s", why);
	if (!passhash_known(hash))
		return flags_usage(o->verb, "--hash: no such kind of hash is known here");
	span_to_cstr(hash, s->hash, sizeof(s->hash));
	return CMD_OK;
}

int user_secret_make(const struct user_password_options *o, struct user_secret *s)
{
	char password[PASSWORD_MAX + 2];
	int code;

	*s = (struct user_secret){.has_scram = false};
	if ((o->hash != NULL) + o->from_stdin + o->generate > 1)
		return flags_usage(o->verb, "one of --stdin, --generate and --hash is enough");
	if (o->hash != NULL)
		return take_hash(o, s);
	code = get_password(o, password);
	if (code == CMD_OK)
		code = judge(o, password);
	if (code == CMD_OK)
		code = derive(o, password, s);
	if (code == CMD_OK && o->generate)
		snprintf(s->made_up, sizeof(s->made_up), "%s", password);
	explicit_bzero(password, sizeof(password));
	return code;
}

void user_secret_wipe(struct user_secret *s)
{
	explicit_bzero(s, sizeof(*s));
}
