/* What stands around a report: its header, boundaries and the heads of its parts (RFC 3462). */
#include "mail/dsn-private.h"

#include "base/utf8.h"
#include "mail/address.h"
#include "mail/header.h"

enum { QUOTED_LINE = 76, ENCODED_WORD = 75, ABOUT_MAX = 250 };

static void add_host(const struct dsn_frame *f)
{
	fold_clean(f->out, f->host, DSN_ADDRESS_MAX);
}

/* The id was drawn for this report after all that stands in it was written (dsn.h). */
static void add_boundary(const struct dsn_frame *f)
{
	char id[MSGID_TEXT + 1];

	msgid_format(f->id, id);
	buf_addf(f->out, "=_report_%s", id);
}

/* ---- RFC 2047 */

static bool is_plain(uint8_t c)
{
	return ascii_isalpha(c) || ascii_isdigit(c);
}

static size_t encoded_length(struct span character)
{
	return character.n == 1 && (is_plain(character.p[0]) || character.p[0] == ' ')
		   ? 1
		   : character.n * 3;
}

static void add_encoded(struct buf *out, struct span character)
{
	for (size_t i = 0; i < character.n; i++) {
		if (is_plain(character.p[i]))
			buf_add_byte(out, character.p[i]);
		else if (character.p[i] == ' ')
			buf_add_byte(out, '_');
		else
			buf_addf(out, "=%02X", character.p[i]);
	}
}

/* As encoded words of whole characters; text is clean UTF-8. */
static void add_encoded_words(struct buf *out, size_t column, struct span text)
{
	size_t used = 0, n;
	uint32_t point;

	for (; text.n > 0; text = span_skip(text, n)) {
		n = utf8_take(text, &point);
		gw_assert(n > 0);
		if (used > 0 &&
		    column + used + encoded_length(span_first(text, n)) + 2 > ENCODED_WORD) {
			buf_add_str(out, "?=\r\n ");
			used = 0;
			column = 1;
		}
		if (used == 0) {
			buf_add_str(out, "=?utf-8?Q?");
			used = 10;
		}
		add_encoded(out, span_first(text, n));
		used += encoded_length(span_first(text, n));
	}
	if (used > 0)
		buf_add_str(out, "?=");
}

/* A phrase of atoms needs no care; everything else is encoded. */
static bool all_atoms(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!is_plain(text.p[i]) && text.p[i] != ' ' && text.p[i] != '-')
			return false;
	}
	return text.n > 0;
}

/* Text for people in a header field; phrase: before an address. */
static void add_text(const struct dsn_frame *f, size_t column, enum dsn_text text, bool phrase)
{
	struct buf clean;
	struct span s;
	struct fold fold = fold_begin(f->out, column, " ");
	bool risky = false;

	buf_init(&clean, 4096);
	dsn_text_add(&clean, &f->tongue, text, NULL);
	s = buf_view(&clean);
	for (size_t i = 0; i + 1 < s.n; i++)
		risky = risky || (s.p[i] == '=' && s.p[i + 1] == '?');
	if (utf8_beyond_ascii(s) || risky || (phrase && !all_atoms(s)))
		add_encoded_words(f->out, column, s);
	else
		fold_add(&fold, s);
	buf_fini(&clean);
}

/* ---- the header of the report */

bool dsn_frame_utf8(const struct dsn_frame *f)
{
	return f->smtputf8 && utf8_beyond_ascii(f->to);
}

/* An address that is none, or that the receiver could not read, is not written. */
static bool may_be_named(const struct dsn_frame *f)
{
	struct address a;

	if (utf8_beyond_ascii(f->to) && !(f->smtputf8 && utf8_text(f->to)))
		return false;
	return address_parse(f->to, &a) == 0;
}

static void add_to(const struct dsn_frame *f)
{
	buf_add_str(f->out, "To: ");
	if (may_be_named(f)) {
		buf_add_byte(f->out, '<');
		buf_add_span(f->out, f->to);
		buf_add_str(f->out, ">\r\n");
	} else {
		buf_add_str(f->out, "undisclosed-recipients:;\r\n");
	}
}

/* RFC 5322 section 3.6.4, as strict as an id that is worth repeating is. */
static bool is_message_id(struct span s)
{
	size_t ats = 0;

	if (s.n < 5 || s.n > ABOUT_MAX || s.p[0] != '<' || s.p[s.n - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > 126 || strchr("<>()[]\\,;:\"", s.p[i]) != NULL)
			return false;
		ats += s.p[i] == '@';
	}
	return ats == 1;
}

static void add_thread(const struct dsn_frame *f, struct span about)
{
	if (!is_message_id(about))
		return;
	buf_addf(
	    f->out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", SPAN_ARG(about), SPAN_ARG(about));
}

static void add_date(const struct dsn_frame *f)
{
	buf_add_str(f->out, "Date: ");
	header_date(f->now, f->out);
	buf_add_str(f->out, "\r\n");
}

static void add_message_id(const struct dsn_frame *f)
{
	char id[MSGID_TEXT + 1];

	msgid_format(f->id, id);
	buf_addf(f->out, "Message-ID: <%s@", id);
	add_host(f);
	buf_add_str(f->out, ">\r\n");
}

/* RFC 5322, RFC 6522 section 3, RFC 3834 section 5. The way must carry what any part needs (RFC
 * 2045 section 6.4). */
void dsn_frame_head(const struct dsn_frame *f, const struct dsn_header *h)
{
	size_t at;

	buf_add_str(f->out, "From: ");
	at = buf_len(f->out);
	add_text(f, 6, DSN_TEXT_FROM, true);
	/* On one line, unless an operator's words make it long. */
	buf_add_str(f->out,
	    buf_len(f->out) - at < ENCODED_WORD ? " <MAILER-DAEMON@" : "\r\n <MAILER-DAEMON@");
	add_host(f);
	buf_add_str(f->out, ">\r\n");
	add_to(f);
	buf_add_str(f->out, "Subject: ");
	add_text(f, 9, h->subject, false);
	buf_add_str(f->out, "\r\n");
	add_date(f);
	add_message_id(f);
	add_thread(f, h->about);
	buf_addf(f->out,
	    "Auto-Submitted: %s\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"",
	    h->generated ? "auto-generated" : "auto-replied");
	add_boundary(f);
	buf_add_str(f->out, "\"\r\n");
	if (h->eight_bit || h->binary)
		buf_addf(
		    f->out, "Content-Transfer-Encoding: %s\r\n", h->binary ? "binary" : "8bit");
	buf_add_str(f->out, "\r\n");
}

/* ---- parts */

void dsn_frame_part(
    const struct dsn_frame *f, const char *type, enum dsn_text what, const char *encoding)
{
	static const char description[] = "Content-Description: ";

	buf_add_str(f->out, "\r\n--");
	add_boundary(f);
	buf_addf(f->out, "\r\nContent-Type: %s\r\n%s", type, description);
	add_text(f, sizeof(description) - 1, what, false);
	buf_add_str(f->out, "\r\n");
	if (encoding != NULL)
		buf_addf(f->out, "Content-Transfer-Encoding: %s\r\n", encoding);
	buf_add_str(f->out, "\r\n");
}

void dsn_frame_words(const struct dsn_frame *f, struct span text)
{
	bool ascii = !utf8_beyond_ascii(text);

	buf_add_str(f->out, "\r\n--");
	add_boundary(f);
	buf_addf(f->out,
	    "\r\nContent-Type: text/plain; charset=%s\r\nContent-Language: %s\r\n"
	    "Content-Description: ",
	    ascii ? "us-ascii" : "utf-8", dsn_language_tag(f->tongue.language));
	add_text(f, 21, DSN_TEXT_PART_WORDS, false);
	buf_addf(
	    f->out, "\r\n%s\r\n", ascii ? "" : "Content-Transfer-Encoding: quoted-printable\r\n");
	if (ascii)
		buf_add_span(f->out, text);
	else
		dsn_add_quoted(f->out, text);
}

/* RFC 6533 section 4: beyond ASCII only for who can read it; else everything of it is ASCII. */
void dsn_frame_status(const struct dsn_frame *f, struct span status)
{
	bool utf8 = utf8_beyond_ascii(status);

	dsn_frame_part(f, utf8 ? "message/global-delivery-status" : "message/delivery-status",
	    DSN_TEXT_PART_STATUS, utf8 ? "8bit" : NULL);
	buf_add_span(f->out, status);
}

void dsn_frame_end(const struct dsn_frame *f)
{
	buf_add_str(f->out, "\r\n--");
	add_boundary(f);
	buf_add_str(f->out, "--\r\n");
}

/* RFC 2045 section 6.7: a blank at the end of a line, '=' and what is not ASCII. */
static bool must_quote(struct span rest, size_t column)
{
	uint8_t c = rest.p[0];

	if (c == ' ' || c == '\t')
		return rest.n == 1 || rest.p[1] == '\r' || column >= QUOTED_LINE - 2;
	return c < ' ' || c > 126 || c == '=' || (c == '-' && column == 0);
}

void dsn_add_quoted(struct buf *out, struct span text)
{
	size_t column = 0;

	while (text.n > 0 && !buf_failed(out)) {
		bool quote;

		if (span_starts(text, SPAN("\r\n"))) {
			buf_add_str(out, "\r\n");
			column = 0;
			text = span_skip(text, 2);
			continue;
		}
		quote = must_quote(text, column);
		if (column + (quote ? 3 : 1) > QUOTED_LINE - 1) {
			buf_add_str(out, "=\r\n");
			column = 0;
			quote = must_quote(text, 0);
		}
		if (quote)
			buf_addf(out, "=%02X", text.p[0]);
		else
			buf_add_byte(out, text.p[0]);
		column += quote ? 3 : 1;
		text = span_skip(text, 1);
	}
}
