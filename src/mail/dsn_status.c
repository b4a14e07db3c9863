/* The part of a report that programs read (RFC 3464). */
#include "mail/dsn-private.h"

#include "base/rfc3339.h"
#include "mail/address.h"
#include "mail/header.h"

#include <stdio.h>

enum { LINE_WISH = 74 };

static void add_crlf(struct buf *out)
{
	buf_add_str(out, "\r\n");
}

static void add_date(struct buf *out, const char *name, int64_t when)
{
	if (when == 0)
		return;
	buf_addf(out, "%s: ", name);
	header_date(when, out);
	add_crlf(out);
}

/* A field whose value comes from outside: cleaned and folded. */
static void add_text(
    struct buf *out, const char *name, const char *type, struct span value, bool utf8)
{
	struct fold f = fold_begin(out, strlen(name) + 2 + strlen(type), " ");

	if (fold_is_blank(value))
		return;
	f.utf8 = utf8;
	buf_addf(out, "%s: %s", name, type);
	fold_add(&f, span_first(value, DSN_REPLY_MAX));
	add_crlf(out);
}

struct dsn_status dsn_status_of(const struct dsn_rcpt *r)
{
	const struct change_rcpt *c = r->change;
	bool expired = c->outcome == OUTCOME_EXPIRED;
	bool refused = c->esc[0] == 4 || c->esc[0] == 5;

	switch (r->action) {
	case DSN_DELIVERED:
	case DSN_RELAYED:
	case DSN_EXPANDED:
		return c->esc[0] == 2 ? (struct dsn_status){2, c->esc[1], c->esc[2]}
				      : (struct dsn_status){2, 0, 0};
	case DSN_DELAYED:
		return refused ? (struct dsn_status){4, c->esc[1], c->esc[2]}
			       : (struct dsn_status){4, 0, 0};
	case DSN_FAILED: break;
	}
	/* RFC 3463 knows 2, 4 and 5; a code of success does not explain a failure. */
	if (!refused)
		return expired ? (struct dsn_status){4, 4, 7} : (struct dsn_status){5, 0, 0};
	return (struct dsn_status){expired ? 4 : 5, c->esc[1], c->esc[2]};
}

void dsn_add_reply(struct buf *out, const struct change_rcpt *c)
{
	if (c->code != 0)
		buf_addf(out, "%u ", (unsigned)c->code);
	if (c->code != 0 && c->esc[0] != 0)
		buf_addf(out, "%u.%u.%u ", c->esc[0], c->esc[1], c->esc[2]);
	buf_add_span(out, span_first(c->reply, DSN_REPLY_MAX));
}

static void add_diagnostic(struct buf *out, const struct change_rcpt *c, bool utf8)
{
	const char *type = c->code != 0 ? "smtp; " : "X-Godwit; ";
	struct buf reply;

	if (c->code == 0 && fold_is_blank(c->reply))
		return;
	buf_init(&reply, DSN_REPLY_MAX + 64);
	dsn_add_reply(&reply, c);
	add_text(out, "Diagnostic-Code", type, buf_view(&reply), utf8);
	buf_fini(&reply);
}

/* ---- Remote-MTA (RFC 3464 section 2.3.5): a domain, or an address in brackets; what more is known
 * stands behind it as a comment. */

static void add_comment(struct buf *out, size_t column, struct span text)
{
	struct fold f;

	while (text.n > 0 && (fold_is_space(text.p[0]) || strchr("()[]", text.p[0]) != NULL))
		text = span_skip(text, 1);
	while (text.n > 0 &&
	       (fold_is_space(text.p[text.n - 1]) || strchr("()[]", text.p[text.n - 1]) != NULL))
		text.n--;
	if (text.n == 0 || span_find(text, '(') >= 0 || span_find(text, ')') >= 0 ||
	    span_find(text, '\\') >= 0)
		return;
	buf_add_str(out, column + text.n > LINE_WISH ? "\r\n (" : " (");
	f = fold_begin(out, 2, "  ");
	fold_add(&f, text);
	buf_add_byte(out, ')');
}

/* "192.0.2.1" in brackets; 0 if the name is no address. */
static size_t in_brackets(struct span name, char *text, size_t n)
{
	bool six = span_find(name, ':') >= 0;
	int length =
	    name.n < 64 ? snprintf(text, n, "[%s%.*s]", six ? "IPv6:" : "", SPAN_ARG(name)) : 0;

	return length > 0 && address_literal_valid(span_of(text, (size_t)length)) ? (size_t)length
										  : 0;
}

static void add_remote(struct buf *out, struct span host)
{
	struct span name = host, rest;
	bool commented;
	size_t begin = buf_len(out);
	char literal[96];

	host = span_first(host, DSN_ADDRESS_MAX);
	name.n = 0;
	while (name.n < host.n && !fold_is_space(host.p[name.n]))
		name.n++;
	rest = span_skip_blanks(span_skip(host, name.n));
	commented = rest.n == 0 || rest.p[0] == '(' || rest.p[0] == '[';
	if (commented && in_brackets(name, literal, sizeof(literal)) > 0)
		buf_addf(out, "Remote-MTA: dns; %s", literal);
	else if (commented && (domain_valid(name) || address_literal_valid(name)))
		buf_addf(out, "Remote-MTA: dns; %.*s", SPAN_ARG(name));
	else {
		add_text(out, "Remote-MTA", "X-Godwit; ", host, false);
		return;
	}
	add_comment(out, buf_len(out) - begin, rest);
	add_crlf(out);
}

/* What RFC 3464 has no field for (section 2.4). */
static void add_attempt(struct buf *out, const struct dsn_rcpt *r, const struct msgid *about)
{
	const struct change_rcpt *c = r->change;
	char id[MSGID_TEXT + 1];

	if (about != NULL) {
		msgid_format(about, id);
		buf_addf(out, "X-Godwit-Message: %s\r\n", id);
	}
	if (c->attempts > 0)
		buf_addf(out, "X-Godwit-Attempts: %lu\r\n", (unsigned long)c->attempts);
	add_text(out, "X-Godwit-TLS", "", span_first(c->tls, 128), false);
	add_text(out, "X-Godwit-Source", "", span_first(c->vmta, 128), false);
	if (r->action == DSN_FAILED || r->action == DSN_DELAYED)
		buf_addf(out, "X-Godwit-Class: %s\r\n", reply_classes[r->class].word);
}

/* RFC 3464 section 2.3.3. */
static const char *action_word(enum dsn_action a)
{
	switch (a) {
	case DSN_FAILED: return "failed";
	case DSN_DELAYED: return "delayed";
	case DSN_DELIVERED: return "delivered";
	case DSN_RELAYED: return "relayed";
	case DSN_EXPANDED: return "expanded";
	}
	return "failed";
}

/* RFC 3464 section 2.3. */
void dsn_add_rcpt(const struct dsn_rcpt *r, const struct msgid *about, bool utf8, struct buf *out)
{
	struct dsn_status s = dsn_status_of(r);

	add_crlf(out);
	if (r->orcpt.n > 0)
		dsn_add_original(out, r->orcpt, utf8);
	dsn_add_address(out, "Final-Recipient", r->addr, utf8);
	buf_addf(out, "Action: %s\r\nStatus: %u.%u.%u\r\n", action_word(r->action), s.class,
	    s.subject, s.detail);
	if (!fold_is_blank(r->change->host))
		add_remote(out, r->change->host);
	add_diagnostic(out, r->change, utf8);
	add_date(out, "Last-Attempt-Date", r->last_attempt);
	if (r->action == DSN_DELAYED)
		add_date(out, "Will-Retry-Until", r->until);
	add_attempt(out, r, about);
}

void dsn_add_reporter(struct buf *out, struct span host)
{
	buf_add_str(out, "Reporting-MTA: dns; ");
	fold_clean(out, host, DSN_ADDRESS_MAX);
	add_crlf(out);
}

/* RFC 4865: what its submitter asked for, HOLDFOR too as a time. */
static void add_release(struct buf *out, int64_t until)
{
	if (until == 0)
		return;
	buf_add_str(out, "Future-Release-Request: until; ");
	rfc3339_put(out, until);
	add_crlf(out);
}

/* RFC 3464 section 2.2. */
void dsn_add_status(const struct dsn *d, bool utf8, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	add_text(out, "Original-Envelope-Id", "", span_first(d->envid, DSN_ADDRESS_MAX), false);
	dsn_add_reporter(out, d->reporting_host);
	add_date(out, "Arrival-Date", d->arrived);
	add_date(out, "Deliver-By-Date", d->deliver_by); /* RFC 2852 section 5 */
	add_release(out, d->hold_until);
	msgid_format(&d->id, id);
	buf_addf(out, "X-Godwit-Message: %s\r\n", id);
	for (size_t i = 0; i < d->n_rcpt && !buf_failed(out); i++)
		dsn_add_rcpt(&d->rcpt[i], NULL, utf8, out);
}
