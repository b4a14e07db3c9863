/*
 * XCLIENT (Postfix's XCLIENT_README): a proxy says whose session it is, and it begins anew. Only to
 * those whom the owner allows it. Each attribute is believed once in a session: many a proxy lets
 * its client speak unseen when it has said what it knows, and that client is not to have a second
 * word in who it is. Whose address it is and who logged in is said at once or not at all.
 */
#include "smtp/server-private.h"

#include "smtp/xclient.h"

void server_allow_xclient(struct server *s)
{
	gw_check_magic(s, SERVER_MAGIC);
	s->xclient = true;
}

bool server_awaits_xclient(const struct server *s)
{
	return s->xclient && s->xclient_said == 0;
}

void server_ehlo_xclient(const struct server *s, struct buf *text)
{
	if (!server_awaits_xclient(s))
		return;
	buf_add_str(text, "\nXCLIENT");
	for (unsigned a = 0; a < XCLIENT_COUNT; a++) {
		if (a != XCLIENT_LOGIN || s->config->xclient_login)
			buf_addf(text, " %s", xclient_names[a]);
	}
}

/* Only the shape is judged; the owner reads them again. The attributes, or 0: they make no sense.
 */
static unsigned attributes_of(struct span args, bool *login)
{
	struct xclient x;
	struct buf text;
	bool good;

	buf_init(&text, XCLIENT_TEXT_MAX);
	good = xclient_decode(args, &text, &x) == 0;
	*login = good && x.value[XCLIENT_LOGIN].n > 0;
	buf_fini(&text);
	return good ? x.said : 0;
}

static bool said_before(const struct server *s, unsigned said)
{
	const unsigned rights = XCLIENT_BIT(ADDR) | XCLIENT_BIT(LOGIN);

	return s->xclient_said != 0 && (said & (s->xclient_said | rights)) != 0;
}

void server_run_xclient(struct server *s, struct span args)
{
	static const struct reply stranger =
	    REPLY_INIT(550, 5, 7, 0, "XCLIENT is for our own proxies alone");
	static const struct reply message =
	    REPLY_INIT(503, 5, 5, 1, "No XCLIENT inside of a message; RSET first");
	static const struct reply malformed =
	    REPLY_INIT(501, 5, 5, 4, "XCLIENT takes NAME=value pairs as EHLO names them");
	static const struct reply twice =
	    REPLY_INIT(550, 5, 7, 0, "Whose session this is was said already");
	static const struct reply no_logins =
	    REPLY_INIT(550, 5, 7, 1, "LOGIN is not believed here (xclient-login)");
	bool login = false;
	unsigned said = s->xclient ? attributes_of(args, &login) : 0;

	if (!s->xclient)
		server_refuse(s, &stranger, "xclient", "xclient_denied");
	else if (s->state != SERVER_S_START && s->state != SERVER_S_IDLE)
		server_refuse(s, &message, "xclient", "sequence");
	else if (said == 0)
		server_refuse(s, &malformed, "xclient", "bad_argument");
	else if (said_before(s, said))
		server_refuse(s, &twice, "xclient", "xclient_twice");
	else if (login && !s->config->xclient_login)
		server_refuse(s, &no_logins, "xclient", "xclient_login");
	else {
		s->xclient_asked = (uint16_t)said;
		s->login_asked = login;
		server_ask(s, SERVER_XCLIENT)->data = args;
	}
}

void server_answer_xclient(struct server *s, const struct reply *r)
{
	struct reply greeting = {.code = 220, .text = s->config->banner};
	/* A second one says nothing of logins: what the first said stays. */
	bool keeps_login = s->login_asked || (s->xclient_said != 0 && s->authenticated);

	if (r->code != 220) {
		server_say(s, r);
		/* In place of a greeting, as at the connection. */
		if (r->code == 554)
			server_finish(s, "refused");
		return;
	}
	s->xclient_said |= s->xclient_asked;
	s->authenticated = keeps_login;
	s->esmtp = false;
	s->state = SERVER_S_START;
	server_say_host(s, &greeting);
}
