/* ATRN (RFC 2645 section 5.2): the client wants its mail over this connection, which is turned
 * round for it. */
#include "smtp/server-private.h"

/* Each of the names, and how many there are; false: the list is none. */
static bool list_valid(struct span list, size_t *n)
{
	for (*n = 0; *n <= SERVER_TURN_DOMAINS; ++*n) {
		ptrdiff_t comma = span_find(list, ',');

		if (!domain_valid(comma < 0 ? list : span_first(list, (size_t)comma)))
			return false;
		if (comma < 0) {
			++*n;
			return true;
		}
		list = span_skip(list, (size_t)comma + 1);
	}
	return true;
}

/* Why the connection cannot be turned, whatever the names; NULL if it can. */
static const struct reply *cannot(const struct server *s, const char **reason)
{
	static const struct reply never =
	    REPLY_INIT(502, 5, 5, 1, "ATRN is not offered here; it has a port of its own, 366");
	static const struct reply hello = REPLY_INIT(503, 5, 5, 1, "EHLO first");
	static const struct reply login = REPLY_INIT(530, 5, 7, 0, "Authentication required");

	*reason = "not_offered";
	if (!server_offers(s, EXT_ATRN))
		return &never;
	*reason = "sequence";
	if (s->state != SERVER_S_IDLE)
		return &hello;
	*reason = "no_login";
	return s->authenticated ? NULL : &login;
}

void server_run_atrn(struct server *s, struct span args)
{
	const char *reason;
	const struct reply *no = cannot(s, &reason);
	size_t n = 0;

	if (no != NULL)
		server_refuse(s, no, "turn", reason);
	else if (args.n > 0 && !list_valid(args, &n))
		server_refuse(s,
		    &REPLY(501, 5, 5, 4, "ATRN takes domains, with commas between them"), "turn",
		    "bad_argument");
	else if (n > SERVER_TURN_DOMAINS)
		server_refuse(s, &REPLY(501, 5, 5, 4, "Too many domains for one ATRN"), "turn",
		    "too_many_domains");
	else
		server_ask(s, SERVER_ATRN)->name = args;
}

void server_answer_atrn(struct server *s, const struct reply *r)
{
	gw_assert(r->code == 250 || r->code >= 400);
	server_say(s, r);
	s->turned = r->code == 250 && !s->ended;
}

bool server_turned(const struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	return s->turned && !s->ended;
}
