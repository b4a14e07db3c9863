/*
 * godwit user import: "NAME:HASH" and what other systems put behind it, as /etc/shadow, htpasswd
 * and dovecot's passwd-file have it. All that can be used becomes accounts in one change of the
 * file; the rest is named.
 */
#include "auth/passhash.h"
#include "cmd/user.h"

#include <errno.h>
#include <stdlib.h>

enum { LINE_MAX_OCTETS = 4096, SAID_MAX = 20 };

struct import {
	const struct user_options *o;
	const char *from;
	struct user_file file;
	struct buf lines; /* to be added */
	unsigned line, added, there, empty, bad;
};

static void complain(struct import *im, struct span name, const char *why)
{
	if (im->bad++ < SAID_MAX)
		fprintf(stderr, "godwit %s: %s:%u: %.*s: %s\n", im->o->verb, im->from, im->line,
		    SPAN_ARG(span_first(name, account_name_fault(name) == NULL ? 80 : 0)), why);
}

/* "{SHA512-CRYPT}$6$..." of dovecot: what is in front says nothing new. */
static struct span without_scheme(struct span hash)
{
	ptrdiff_t end = hash.n > 0 && hash.p[0] == '{' ? span_find(hash, '}') : -1;

	return end < 0 ? hash : span_skip(hash, (size_t)end + 1);
}

static struct span field(struct span *rest)
{
	ptrdiff_t colon = span_find(*rest, ':');
	struct span s = colon < 0 ? *rest : span_first(*rest, (size_t)colon);

	*rest = colon < 0 ? SPAN_NONE : span_skip(*rest, (size_t)colon + 1);
	return s;
}

static void add(struct import *im, struct span name, struct span hash, bool locked)
{
	struct account a = {.name = name,
	    .hash = hash,
	    .has_hash = true,
	    .state = locked ? ACCOUNT_SUSPENDED : ACCOUNT_ACTIVE};

	account_format(&a, true, &im->lines);
	im->added++;
}

static void take(struct import *im, struct span line)
{
	struct span rest = line, name = field(&rest), hash = without_scheme(field(&rest));
	bool locked = hash.n > 1 && hash.p[0] == '!'; /* shadow(5) */

	while (locked && hash.n > 0 && hash.p[0] == '!')
		hash = span_skip(hash, 1);
	if (span_find(line, ':') < 0)
		complain(im, name, "this is not NAME:HASH");
	else if (account_name_fault(name) != NULL)
		complain(im, name, account_name_fault(name));
	else if (hash.n == 0 || span_eq(hash, SPAN("*")) || span_eq(hash, SPAN("x")) ||
		 span_eq(hash, SPAN("!")))
		im->empty++;
	else if (accounts_find(im->file.accounts, name) != NULL)
		im->there++;
	else if (account_hash_fault(hash) != NULL || !passhash_known(hash))
		complain(im, name, "no hash that is known here");
	else
		add(im, name, hash, locked);
}

static int read_lines(struct import *im, FILE *in)
{
	char line[LINE_MAX_OCTETS];

	while (fgets(line, sizeof(line), in) != NULL) {
		struct span s = span_str(line);

		im->line++;
		if (s.n == sizeof(line) - 1 && s.p[s.n - 1] != '\n')
			return user_fail(im->o, CMD_NO,
			    "%s:%u: the line is too long; nothing was changed", im->from, im->line);
		while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
			s.n--;
		if (s.n > 0 && s.p[0] != '#')
			take(im, s);
	}
	explicit_bzero(line, sizeof(line));
	return ferror(in) ? user_fail(im->o, CMD_NO, "%s: %s", im->from, strerror(errno)) : CMD_OK;
}

static int read_source(struct import *im)
{
	FILE *in = strcmp(im->from, "-") == 0 ? stdin : fopen(im->from, "re");
	int code;

	if (in == NULL)
		return user_fail(im->o, errno == EACCES ? CMD_DENIED : CMD_NOT_FOUND, "%s: %s",
		    im->from, strerror(errno));
	code = read_lines(im, in);
	if (in != stdin)
		fclose(in);
	return code;
}

static int save(struct import *im)
{
	struct span lines = buf_view(&im->lines);

	if (lines.n == 0)
		return CMD_OK;
	user_file_edit(&im->file, 0, lines, SPAN_NONE);
	return user_file_save(&im->file);
}

static int report(const struct import *im)
{
	user_say(im->o,
	    "%u account%s added, %u there already, %u without a password, %u not usable", im->added,
	    im->added == 1 ? "" : "s", im->there, im->empty, im->bad);
	return im->bad > 0 || im->there > 0 ? CMD_NO : CMD_OK;
}

int user_import(const struct user_options *o, const char *from)
{
	struct import im = {.o = o, .from = from};
	int code = user_open(o, &im.file, true);

	buf_init(&im.lines, ACCOUNTS_TEXT_MAX);
	if (code == CMD_OK)
		code = read_source(&im);
	if (code == CMD_OK)
		code = save(&im);
	if (code == CMD_OK)
		code = report(&im);
	buf_wipe(&im.lines);
	user_file_close(&im.file);
	return code;
}
