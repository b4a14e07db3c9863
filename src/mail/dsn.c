#include "mail/dsn.h"

#include "mail/address.h"
#include "mail/dsn_words.h"
#include "mail/header.h"

/* Octets of the copied header; with what folding adds it stays below 64 kB. */
enum { HEAD_MAX = 61440, NAME_MAX_OCTETS = 512, LINE_MAX_OCTETS = 900 };

static void add_crlf(struct buf *out)
{
	buf_add_str(out, "\r\n");
}

static void add_date(struct buf *out, const char *name, int64_t when)
{
	buf_addf(out, "%s: ", name);
	header_date(when, out);
	add_crlf(out);
}

static void add_host(const struct dsn *d, struct buf *out)
{
	fold_clean(out, d->reporting_host, DSN_ADDRESS_MAX);
}

/* ids are ours: letters and digits, so the boundary needs no care. */
static void add_boundary(const struct dsn *d, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&d->report_id, id);
	buf_addf(out, "=_report_%s", id);
}

static void open_part(const struct dsn *d, struct buf *out, const char *type, const char *what)
{
	buf_add_str(out, "\r\n--");
	add_boundary(d, out);
	buf_addf(out, "\r\nContent-Type: %s\r\nContent-Description: %s\r\n\r\n", type, what);
}

static void add_to(const struct dsn *d, struct buf *out)
{
	struct address a;

	buf_add_str(out, "To: ");
	if (address_parse(d->to, &a) == 0) {
		buf_add_byte(out, '<');
		buf_add_span(out, d->to);
		buf_add_str(out, ">\r\n");
	} else {
		buf_add_str(out, "undisclosed-recipients:;\r\n");
	}
}

/* RFC 5322, RFC 6522 section 3, RFC 3834 section 5. */
static void add_head(const struct dsn *d, struct buf *out)
{
	char id[MSGID_TEXT + 1];

	msgid_format(&d->report_id, id);
	buf_add_str(out, "From: Mail Delivery System <MAILER-DAEMON@");
	add_host(d, out);
	buf_add_str(out, ">\r\n");
	add_to(d, out);
	buf_add_str(out, dsn_unsure(d) ? "Subject: Your message may not have been delivered\r\n"
				       : "Subject: Your message could not be delivered\r\n");
	add_date(out, "Date", d->now);
	buf_addf(out, "Message-ID: <%s@", id);
	add_host(d, out);
	buf_add_str(out, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
			 "Content-Type: multipart/report; report-type=delivery-status;\r\n"
			 "\tboundary=\"");
	add_boundary(d, out);
	buf_add_str(out, "\"\r\n\r\n");
}

/* A field whose value comes from outside: cleaned and folded. */
static void add_text(struct buf *out, const char *name, const char *type, struct span value)
{
	struct fold f;

	if (value.n == 0)
		return;
	buf_addf(out, "%s: %s", name, type);
	f = fold_begin(out, strlen(name) + 2 + strlen(type), " ");
	fold_add(&f, span_first(value, DSN_REPLY_MAX));
	add_crlf(out);
}

/* A field that is an address: its blanks count and it is never broken. */
static void add_address(struct buf *out, const char *name, const char *type, struct span addr)
{
	buf_addf(out, "%s: %s", name, type);
	fold_clean(out, addr, DSN_ADDRESS_MAX);
	add_crlf(out);
}

static void add_diagnostic(struct buf *out, const struct change_rcpt *c)
{
	const char *start =
	    c->code != 0 ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: X-Godwit; ";
	struct fold f = fold_begin(out, strlen(start), " ");

	if (c->code == 0 && c->reply.n == 0)
		return;
	buf_add_str(out, start);
	dsn_add_reply(&f, c);
	add_crlf(out);
}

/* RFC 3464 section 2.3. */
static void add_rcpt(const struct dsn_rcpt *r, struct buf *out)
{
	struct dsn_status s = dsn_status_of(r->change);

	add_crlf(out);
	if (r->orcpt.n > 0)
		add_address(out, "Original-Recipient",
		    span_find(r->orcpt, ';') < 0 ? "rfc822;" : "", r->orcpt);
	add_address(out, "Final-Recipient", "rfc822;", r->addr);
	buf_addf(out, "Action: failed\r\nStatus: %u.%u.%u\r\n", s.class, s.subject, s.detail);
	add_text(out, "Remote-MTA", "dns; ", r->change->host);
	add_diagnostic(out, r->change);
	if (r->last_attempt != 0)
		add_date(out, "Last-Attempt-Date", r->last_attempt);
}

/* RFC 3464 section 2.2. */
static void add_status(const struct dsn *d, struct buf *out)
{
	add_text(out, "Original-Envelope-Id", "", d->envid);
	buf_add_str(out, "Reporting-MTA: dns; ");
	add_host(d, out);
	add_crlf(out);
	add_date(out, "Arrival-Date", d->arrived);
	for (size_t i = 0; i < d->n_rcpt && !buf_failed(out); i++)
		add_rcpt(&d->rcpt[i], out);
}

/* Adds one line of a field; a blank line within a field would end the header for some readers. */
static void copy_line(struct buf *out, struct span line, size_t column)
{
	struct fold f;

	if (column + line.n <= LINE_MAX_OCTETS) {
		for (size_t i = 0; i < line.n; i++) {
			if (line.p[i] == '\t')
				buf_add_byte(out, '\t');
			else
				fold_clean(out, span_of(line.p + i, 1), 1);
		}
	} else {
		f = fold_begin(out, column + 1, " ");
		buf_add_byte(out, ' ');
		fold_add(&f, line);
	}
	add_crlf(out);
}

static bool all_blank(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (!fold_is_space(line.p[i]))
			return false;
	}
	return true;
}

static void copy_field(struct buf *out, const struct header_field *f, size_t end)
{
	struct span rest = f->value;
	struct span line = header_line(&rest);
	size_t column = f->name.n + 1;

	buf_add_span(out, f->name);
	buf_add_byte(out, ':');
	copy_line(out, all_blank(line) ? SPAN_NONE : line, column);
	while (rest.n > 0 && buf_len(out) < end && !buf_failed(out)) {
		line = span_first(header_line(&rest), end - buf_len(out));
		if (!all_blank(line))
			copy_line(out, line, 0);
	}
}

/*
 * Only lines that are fields are copied, and none that begins like a boundary:
 * whoever guesses the boundary cannot write it.
 */
static void copy_head(struct span head, struct buf *out)
{
	struct header_walk w = header_walk_of(head);
	struct header_field f;
	size_t end = buf_len(out) + HEAD_MAX;
	int got;

	while ((got = header_next(&w, &f)) != 0 && buf_len(out) < end && !buf_failed(out)) {
		if (got < 0 || f.name.n > NAME_MAX_OCTETS || span_starts(f.name, SPAN("--")))
			continue;
		f.value = span_first(f.value, end - buf_len(out));
		copy_field(out, &f, end);
	}
}

size_t dsn_compose(const struct dsn *d, struct buf *out)
{
	size_t begin = buf_len(out);
	size_t head;

	add_head(d, out);
	head = buf_len(out) - begin;
	open_part(d, out, "text/plain; charset=us-ascii", "What happened");
	dsn_words(d, out);
	open_part(d, out, "message/delivery-status", "Delivery report");
	add_status(d, out);
	if (d->original_head.n > 0) {
		open_part(d, out, "text/rfc822-headers", "Header of the message");
		copy_head(d->original_head, out);
	}
	buf_add_str(out, "\r\n--");
	add_boundary(d, out);
	buf_add_str(out, "--\r\n");
	return buf_failed(out) ? 0 : head;
}
