/* What a message is judged by when its content is whole: its header, its parts, who it is from. */
#include "role/smtpd.h"

static int check_class(struct transaction *t, struct reply *r, const char **reason)
{
	struct accept_client client;
	struct verdict v;

	session_client(t->session, &client);
	if (accept_class(&client, buf_view(&t->head), &t->at_most_once, &v) == 0)
		return 0;
	*r = v.reply;
	*reason = v.reason;
	return GW_EFORMAT;
}

/* The text of a refusal is the transaction's. */
static int check_from(struct transaction *t, struct reply *r, const char **reason)
{
	struct accept_client client;
	struct verdict v;

	session_client(t->session, &client);
	accept_from(session_config(t->session), &client, buf_view(&t->head), &v);
	if (v.ok)
		return 0;
	*r = v.reply;
	r->text = arena_dup(&t->arena, v.reply.text);
	*reason = v.reason;
	return GW_EPERM;
}

/* The text of a refusal is the configuration's. */
static int check_size(const struct transaction *t, struct reply *r, const char **reason)
{
	struct accept_client client;
	struct verdict v;

	session_client(t->session, &client);
	client.from = t->from;
	accept_size(session_config(t->session), &client, t->rcpt, t->n_rcpt, t->facts.size, &v);
	if (v.ok)
		return 0;
	*r = v.reply;
	*reason = v.reason;
	return GW_EPERM;
}

/* What nobody's mail client makes. */
static int check_structure(const struct transaction *t, struct reply *r, const char **reason)
{
	uint32_t hops = session_config(t->session)->limits.hops;

	if (header_count(buf_view(&t->head), SPAN("Received")) >= hops) {
		*r = REPLY(554, 5, 4, 6, "Too many hops: this message is going in circles");
		*reason = "mail_loop";
	} else if (t->mime.verdict == MIME_TOO_DEEP) {
		*r = REPLY(554, 5, 6, 0, "The MIME parts of this message nest too deep");
		*reason = "mime_too_deep";
	} else if (t->mime.verdict == MIME_TOO_MANY) {
		*r = REPLY(554, 5, 6, 0, "This message has too many MIME parts");
		*reason = "mime_too_many";
	} else {
		return 0;
	}
	return GW_EFORMAT;
}

/*
 * The body of BODY=BINARYMIME is any octets, its header is not (RFC 3030 section 3): of fields that
 * end elsewhere for others than for us, one could be what the other is judged by.
 */
static int check_header_lines(const struct transaction *t, struct reply *r, const char **reason)
{
	struct body_scan scan;
	const struct body_facts *f;

	if (t->body_type != BODY_BINARYMIME)
		return 0;
	body_scan_init(&scan);
	body_scan_feed(&scan, buf_view(&t->head));
	f = body_scan_end(&scan);
	if (!f->bare_cr && !f->bare_lf && !f->nul && !f->open_end)
		return 0;
	*r = REPLY(
	    550, 5, 6, 11, "The header is made of lines that end with CRLF, in BINARYMIME too");
	*reason = "bare_lf";
	return GW_EFORMAT;
}

int txn_check_content(struct transaction *t, struct reply *r, const char **reason)
{
	if (t->too_big_header) {
		*r = REPLY(552, 5, 3, 4, "The header of this message is too large");
		*reason = "header_too_large";
		return GW_EFULL;
	}
	if (t->parts_failed && t->status == GW_ENOSPC) {
		*r = REPLY(452, 4, 3, 1, "No room for this message now; please try again later");
		*reason = "no_space";
		return GW_ENOSPC;
	}
	if (t->parts_failed) {
		*r = REPLY(451, 4, 3, 0, "The message could not be stored; please try again");
		*reason = "not_stored";
		return GW_EIO;
	}
	if (check_header_lines(t, r, reason) < 0 || check_structure(t, r, reason) < 0 ||
	    check_class(t, r, reason) < 0)
		return GW_EFORMAT;
	/* From is judged as it goes out. */
	if (txn_mend(t, r, reason) < 0 || check_from(t, r, reason) < 0)
		return GW_EFORMAT;
	return check_size(t, r, reason);
}
