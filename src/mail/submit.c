#include "mail/submit.h"

#include "mail/address.h"
#include "mail/header.h"
#include "mail/mailbox.h"

enum {
	LINE_MAX_OCTETS = 998, /* RFC 5322 section 2.1.1 */
	OWN_MAX = 512,         /* an address made of the session */
};

struct mend {
	const struct submit_context *c;
	struct buf *out;
	unsigned fixes;
	size_t from_fields, from_mailboxes;
	bool date, message_id, sender;
};

static bool is_one_of(struct span name, const struct span *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq_case(name, names[i]))
			return true;
	}
	return false;
}

static bool is_list_of_addresses(struct span name)
{
	static const struct span names[] = {SPAN("From"), SPAN("Sender"), SPAN("Reply-To"),
	    SPAN("To"), SPAN("Cc"), SPAN("Resent-From"), SPAN("Resent-Sender"),
	    SPAN("Resent-Reply-To"), SPAN("Resent-To"), SPAN("Resent-Cc")};

	return is_one_of(name, names, GW_ARRAY_LEN(names));
}

static unsigned removed_as(struct span name)
{
	if (span_eq_case(name, SPAN("Bcc")) || span_eq_case(name, SPAN("Resent-Bcc")))
		return SUBMIT_BCC;
	return span_eq_case(name, SPAN("Return-Path")) ? SUBMIT_RETURN_PATH : 0;
}

/* ---- what is there -------------------------------------------------------------------------- */

/*
 * A line that is no field to us, but is From to somebody who overlooks blanks, folds and other
 * octets in its name: he would see another author than was judged.
 */
static bool is_disguised_from(struct span line)
{
	static const struct span from = SPAN("from");
	size_t n = 0;

	for (size_t i = 0; i < line.n && line.p[i] != ':'; i++) {
		if (line.p[i] <= ' ' || line.p[i] > 126)
			continue;
		if (n == from.n || ascii_lower(line.p[i]) != from.p[n])
			return false;
		n++;
	}
	return n == from.n && span_find(line, ':') >= 0;
}

static int count_mailboxes(struct span value, size_t *n)
{
	struct mailbox_walk w = mailbox_walk_of(value);
	struct mailbox m;
	int got;

	while ((got = mailbox_next(&w, &m)) > 0)
		*n += 1;
	return got;
}

static int note_field(struct mend *m, const struct header_field *f, const char **why)
{
	m->date |= span_eq_case(f->name, SPAN("Date"));
	m->message_id |= span_eq_case(f->name, SPAN("Message-ID"));
	m->sender |= span_eq_case(f->name, SPAN("Sender"));
	if (!span_eq_case(f->name, SPAN("From")))
		return 0;
	if (m->from_fields++ > 0) {
		*why = "The header has more than one From field";
		return GW_EFORMAT;
	}
	if (count_mailboxes(f->value, &m->from_mailboxes) < 0) {
		*why = "The From field is not a list of addresses as RFC 5322 has them";
		return GW_EFORMAT;
	}
	if (m->from_mailboxes == 0) {
		*why = "The From field has no address";
		return GW_EFORMAT;
	}
	return 0;
}

static int survey(struct mend *m, struct span head, const char **why)
{
	struct header_walk w = header_walk_of(head);
	struct span before = w.rest;
	struct header_field f;
	int got;

	/* It would continue what is added in front. */
	if (head.n > 0 && (head.p[0] == ' ' || head.p[0] == '\t')) {
		*why = "The first line of the header is not a field";
		return GW_EFORMAT;
	}
	while ((got = header_next(&w, &f)) != 0) {
		if (got < 0 && is_disguised_from(span_first(before, before.n - w.rest.n))) {
			*why = "The name of the From field is not correct";
			return GW_EFORMAT;
		}
		if (got > 0 && note_field(m, &f, why) < 0)
			return GW_EFORMAT;
		before = w.rest;
	}
	return 0;
}

/* ---- what is added -------------------------------------------------------------------------- */

/* Who sends this, as far as the session knows. */
static int put_own(const struct submit_context *c, struct buf *out)
{
	struct address a;

	buf_add_span(out, c->from);
	if (c->from.n > 0)
		return 0;
	buf_add_span(out, c->account);
	if (span_find(c->account, '@') < 0) {
		buf_add_byte(out, '@');
		buf_add_span(out, c->domain);
	}
	return !buf_failed(out) && address_parse(buf_view(out), &a) == 0 ? 0 : GW_EFORMAT;
}

static void add_own(struct mend *m, const char *name, struct span own, unsigned fix)
{
	buf_add_str(m->out, name);
	buf_add_span(m->out, own);
	buf_add_str(m->out, "\r\n");
	m->fixes |= fix;
}

static int add_author(struct mend *m, const char **why)
{
	struct buf own;
	int err = 0;

	if (m->from_fields > 0 && (m->sender || m->from_mailboxes < 2))
		return 0;
	buf_init(&own, OWN_MAX);
	if (put_own(m->c, &own) == 0) {
		if (m->from_fields == 0)
			add_own(m, "From: ", buf_view(&own), SUBMIT_FROM);
		else
			add_own(m, "Sender: ", buf_view(&own), SUBMIT_SENDER);
	} else if (m->from_fields == 0) {
		*why = "There is no From field, and no envelope sender to make it of";
		err = GW_EFORMAT;
	}
	buf_fini(&own);
	return err;
}

static void add_missing(struct mend *m)
{
	char id[MSGID_TEXT + 1];

	if (!m->date) {
		buf_add_str(m->out, "Date: ");
		header_date(m->c->wall, m->out);
		buf_add_str(m->out, "\r\n");
		m->fixes |= SUBMIT_DATE;
	}
	if (!m->message_id) {
		msgid_format(&m->c->id, id);
		buf_addf(m->out, "Message-ID: <%s@%.*s>\r\n", id, SPAN_ARG(m->c->hostname));
		m->fixes |= SUBMIT_MESSAGE_ID;
	}
}

/* ---- what is changed ------------------------------------------------------------------------ */

static size_t longest_line(struct span s)
{
	size_t longest = 0;

	while (s.n > 0) {
		struct span line = header_line(&s);

		if (line.n > longest)
			longest = line.n;
	}
	return longest;
}

/* The field with a domain behind each bare local part; how many those were, GW_EFORMAT if it is no
 * list of addresses. */
static int put_qualified(struct mend *m, const struct header_field *f)
{
	struct mailbox_walk w = mailbox_walk_of(f->value);
	const uint8_t *done = f->whole.p;
	struct mailbox box;
	int got, n = 0;

	while ((got = mailbox_next(&w, &box)) > 0) {
		const uint8_t *end = box.local.p + box.local.n;

		if (box.domain.n > 0)
			continue;
		buf_add_span(m->out, span_of(done, (size_t)(end - done)));
		buf_add_byte(m->out, '@');
		buf_add_span(m->out, m->c->domain);
		done = end;
		n++;
	}
	buf_add_span(m->out, span_of(done, (size_t)(f->whole.p + f->whole.n - done)));
	return got < 0 ? got : n;
}

static bool made_too_long(struct span now, struct span before)
{
	return longest_line(now) > LINE_MAX_OCTETS && longest_line(before) <= LINE_MAX_OCTETS;
}

static void put_addresses(struct mend *m, const struct header_field *f)
{
	size_t begun = buf_len(m->out);
	int n = put_qualified(m, f);

	if (n > 0 && !made_too_long(span_skip(buf_view(m->out), begun), f->whole)) {
		m->fixes |= SUBMIT_ADDRESS;
		return;
	}
	buf_cut(m->out, begun);
	buf_add_span(m->out, f->whole);
}

static void put_field(struct mend *m, const struct header_field *f)
{
	unsigned removed = removed_as(f->name);

	m->fixes |= removed;
	if (removed != 0)
		return;
	if (m->c->domain.n > 0 && is_list_of_addresses(f->name))
		put_addresses(m, f);
	else
		buf_add_span(m->out, f->whole);
}

static void put_fields(struct mend *m, struct span head)
{
	struct header_walk w = header_walk_of(head);
	struct span before = w.rest;
	struct header_field f;
	int got;

	while ((got = header_next(&w, &f)) != 0 && !buf_failed(m->out)) {
		if (got > 0)
			put_field(m, &f);
		else
			buf_add_span(m->out, span_first(before, before.n - w.rest.n));
		before = w.rest;
	}
	buf_add_span(m->out, before);
}

int submit_mend(const struct submit_context *c, struct span head, struct buf *out, const char **why)
{
	struct mend m = {.c = c, .out = out};

	if (survey(&m, head, why) < 0)
		return GW_EFORMAT;
	add_missing(&m);
	if (add_author(&m, why) < 0)
		return GW_EFORMAT;
	put_fields(&m, head);
	return buf_failed(out) ? GW_EFULL : (int)m.fixes;
}

void submit_fix_words(unsigned fixes, struct buf *out)
{
	static const char *const words[] = {
	    "date", "message-id", "from", "sender", "bcc", "address", "return-path"};
	const char *comma = "";

	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if ((fixes & 1u << i) == 0)
			continue;
		buf_add_str(out, comma);
		buf_add_str(out, words[i]);
		comma = ",";
	}
}
