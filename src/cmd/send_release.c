#include "cmd/send_release.h"

#include "base/clock.h"
#include "base/rfc3339.h"
#include "cmd/flags.h"
#include "smtp/client.h"

#include <stdio.h>

/* A time without a zone is not guessed. */
static int take_at(struct send_release *r)
{
	struct buf text;
	int64_t at;

	if (rfc3339_parse(span_str(r->at), &at) < 0)
		return flags_usage("send",
		    "--at '%s' is no time; write it as 2026-11-22T15:00:00Z or ...T16:00:00+01:00",
		    r->at);
	if (at <= clock_wall())
		return flags_usage("send", "--at %s is over already", r->at);
	buf_init(&text, sizeof(r->parameter));
	rfc3339_put(&text, at + USEC_PER_SEC - 1); /* not before it */
	snprintf(r->parameter, sizeof(r->parameter), "HOLDUNTIL=%.*s", SPAN_ARG(buf_view(&text)));
	buf_fini(&text);
	return CMD_OK;
}

int send_release_prepare(struct send_release *r)
{
	long long seconds = (long long)((r->in + USEC_PER_SEC - 1) / USEC_PER_SEC);

	if (r->at != NULL && r->in > 0)
		return flags_usage("send", "--at and --in say two things");
	if (r->at != NULL)
		return take_at(r);
	if (seconds > 999999999)
		return flags_usage("send", "--in: at most 999999999 s");
	if (r->in > 0)
		snprintf(r->parameter, sizeof(r->parameter), "HOLDFOR=%lld", seconds);
	return CMD_OK;
}

bool send_release_offered(const struct send_release *r, const struct client *c)
{
	if (r->parameter[0] == '\0' || (client_extensions(c) & EXT_BIT(FUTURERELEASE)))
		return true;
	fputs(
	    "godwit send: this server keeps no mail for later (FUTURERELEASE): nothing was sent\n",
	    stderr);
	return false;
}
