#include "cmd/send_dsn.h"

#include "cmd/flags.h"
#include "smtp/xtext.h"

static uint8_t notify_bit(struct span word)
{
	static const char *const words[] = {"never", "success", "failure", "delay"};

	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (span_eq_case(word, span_str(words[i])))
			return (uint8_t)(1u << i);
	}
	return 0;
}

static bool read_notify(struct send_dsn *d)
{
	struct span rest = span_str(d->notify_flag);

	for (;;) {
		ptrdiff_t comma = span_find(rest, ',');
		uint8_t bit = notify_bit(comma < 0 ? rest : span_first(rest, (size_t)comma));

		if (bit == 0 || (d->notify != 0 && ((d->notify | bit) & NOTIFY_NEVER)))
			return false;
		d->notify |= bit;
		if (comma < 0)
			return true;
		rest = span_skip(rest, (size_t)comma + 1);
	}
}

/* As it is sent it has to fit, and what a server may read of it is printable. */
static bool envid_good(const char *text)
{
	struct buf sent, back;
	bool good;

	buf_init(&sent, XTEXT_ENVID_MAX);
	buf_init(&back, XTEXT_ENVID_MAX);
	xtext_encode(span_str(text), &sent);
	good = text[0] != '\0' && !buf_failed(&sent) && xtext_decode(buf_view(&sent), &back) == 0;
	buf_fini(&sent);
	buf_fini(&back);
	return good;
}

int send_dsn_prepare(struct send_dsn *d)
{
	if (d->notify_flag != NULL && !read_notify(d))
		return flags_usage("send",
		    "--notify is never, or a list of success, failure and delay, not '%s'",
		    d->notify_flag);
	if (d->ret_flag != NULL && span_eq_case(span_str(d->ret_flag), SPAN("full")))
		d->ret = RET_FULL;
	else if (d->ret_flag != NULL && span_eq_case(span_str(d->ret_flag), SPAN("hdrs")))
		d->ret = RET_HDRS;
	else if (d->ret_flag != NULL)
		return flags_usage("send", "--ret is full or hdrs, not '%s'", d->ret_flag);
	if (d->envid != NULL && !envid_good(d->envid))
		return flags_usage("send", "--envid is printable ASCII of 100 octets at most");
	return CMD_OK;
}
