#include "cmd/send_handling.h"

#include "base/clock.h"
#include "cmd/flags.h"

enum { BY_TEXT_MAX = 32 };
#define BY_MOST INT64_C(999999999) /* RFC 2852 section 4 */

/* "2h", "2h,return", "2h,notify", and behind that ",trace". */
static bool read_mode(struct send_handling *h, struct span words)
{
	ptrdiff_t comma = span_find(words, ',');
	struct span mode = comma < 0 ? words : span_first(words, (size_t)comma);

	h->said.by_trace = comma >= 0;
	if (comma >= 0 && !span_eq_case(span_skip(words, (size_t)comma + 1), SPAN("trace")))
		return false;
	if (span_eq_case(mode, SPAN("return")))
		h->said.by = BY_RETURN;
	else if (span_eq_case(mode, SPAN("notify")))
		h->said.by = BY_NOTIFY;
	return h->said.by != BY_NONE;
}

static bool read_deliver_by(struct send_handling *h)
{
	struct span text = span_str(h->deliver_by);
	ptrdiff_t comma = span_find(text, ',');
	char time[BY_TEXT_MAX];
	int64_t for_time;

	span_to_cstr(comma < 0 ? text : span_first(text, (size_t)comma), time, sizeof(time));
	if (!read_mode(h, comma < 0 ? SPAN("return") : span_skip(text, (size_t)comma + 1)) ||
	    flag_time(time, &for_time) < 0)
		return false;
	for_time /= USEC_PER_SEC;
	h->by_time = (int32_t)for_time;
	return for_time >= 1 && for_time <= BY_MOST;
}

static bool read_priority(struct send_handling *h)
{
	const char *digit = h->priority + (h->priority[0] == '-');

	if (digit[0] < '0' || digit[0] > '9' || digit[1] != '\0')
		return false;
	h->said.mt_priority =
	    (unsigned)(MT_PRIORITY_ZERO + (digit > h->priority ? '0' - digit[0] : digit[0] - '0'));
	return true;
}

int send_handling_prepare(struct send_handling *h)
{
	h->said.require_tls = h->require_tls;
	if (h->deliver_by != NULL && !read_deliver_by(h))
		return flags_usage("send",
		    "--deliver-by is a time of a second or more, then perhaps ,return or ,notify "
		    "and ,trace, not '%s'",
		    h->deliver_by);
	if (h->priority != NULL && !read_priority(h))
		return flags_usage("send", "--priority is from -9 to 9, not '%s'", h->priority);
	return CMD_OK;
}

int send_handling_check(const struct send_handling *h, const struct send_session *s, bool quiet)
{
	uint32_t offered = client_extensions(s->engine);

	if (h->require_tls && !(offered & EXT_BIT(REQUIRETLS))) {
		fputs("godwit send: the server does not offer REQUIRETLS: nothing was sent\n",
		    stderr);
		return CMD_AWAY;
	}
	if (!quiet && h->priority != NULL && !(offered & EXT_BIT(MT_PRIORITY)))
		fputs("godwit send: the server does not offer MT-PRIORITY: sent without it\n",
		    stderr);
	/* Mode R is refused by the engine. */
	if (!quiet && h->said.by == BY_NOTIFY && !(offered & EXT_BIT(DELIVERBY)))
		fputs(
		    "godwit send: the server does not offer DELIVERBY: sent without it\n", stderr);
	return CMD_OK;
}

void send_handling_put(const struct send_handling *h, struct client_txn *txn)
{
	txn->handling = h->said;
	txn->by_left = h->by_time;
}
