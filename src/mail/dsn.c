#include "mail/dsn-private.h"

#include "base/utf8.h"
#include "mail/header.h"

/* What the parts may come to at most; the words of one recipient, quoted, in an operator's longest
 * texts, and its fields. */
enum {
	ROOM_FRAME = 16 << 10,
	ROOM_WORDS = 128 << 10,
	ROOM_LISTED = 32 << 10,
	ROOM_FIELDS = 6 << 10
};
/* A copied header grows by folding and quoting. */
enum { ROOM_HEAD = 4 * DSN_HEAD_MAX };

size_t dsn_room(size_t n_rcpt)
{
	size_t listed = n_rcpt < DSN_LISTED_MAX ? n_rcpt : DSN_LISTED_MAX;

	return ROOM_FRAME + ROOM_WORDS + ROOM_HEAD + listed * ROOM_LISTED + n_rcpt * ROOM_FIELDS;
}

static struct dsn_frame frame_of(const struct dsn *d, struct buf *out)
{
	return (struct dsn_frame){.out = out,
	    .host = d->reporting_host,
	    .to = d->to,
	    .id = &d->report_id,
	    .now = d->now,
	    .tongue = {d->language, d->texts},
	    .smtputf8 = d->smtputf8};
}

static enum dsn_text subject_of(const struct dsn *d)
{
	return (enum dsn_text)(DSN_TEXT_SUBJECT_FAILED + dsn_worst(d));
}

/* The parts as they are before it is known how they travel. */
struct parts {
	struct buf words, status, head;
};

static void parts_init(struct parts *p, const struct dsn *d)
{
	buf_init(&p->words, dsn_room(d->n_rcpt));
	buf_init(&p->status, dsn_room(d->n_rcpt));
	buf_init(&p->head, ROOM_HEAD);
	dsn_add_words(d, &p->words);
	dsn_add_status(d, d->smtputf8, &p->status);
	/* Where nothing asked for UTF-8 it is the traditional part, with the ASCII forms. */
	if (d->smtputf8 && !utf8_beyond_ascii(buf_view(&p->status))) {
		buf_clear(&p->status);
		dsn_add_status(d, false, &p->status);
	}
	if (!d->whole)
		dsn_copy_head(d->original_head, &p->head);
}

static void parts_fini(struct parts *p)
{
	buf_fini(&p->words);
	buf_fini(&p->status);
	buf_fini(&p->head);
}

/* RFC 6522 section 4: a header that is not ASCII may travel as quoted-printable. */
static void add_head_part(const struct dsn_frame *f, struct span head)
{
	if (!utf8_beyond_ascii(head)) {
		dsn_frame_part(f, "text/rfc822-headers", DSN_TEXT_PART_HEAD, NULL);
		buf_add_span(f->out, head);
	} else if (f->smtputf8) {
		dsn_frame_part(f, "message/global-headers", DSN_TEXT_PART_HEAD, "8bit");
		buf_add_span(f->out, head);
	} else {
		dsn_frame_part(f, "text/rfc822-headers; charset=utf-8", DSN_TEXT_PART_HEAD,
		    "quoted-printable");
		dsn_add_quoted(f->out, head);
	}
}

/* The encodings of messages inside are those that change nothing (RFC 2046 section 5.2.1). */
static void add_message_part(const struct dsn_frame *f, const struct dsn *d)
{
	bool beyond = utf8_beyond_ascii(d->original_head);

	dsn_frame_part(f, beyond && d->smtputf8 ? "message/global" : "message/rfc822",
	    DSN_TEXT_PART_MESSAGE,
	    d->binary                ? "binary"
	    : d->eight_bit || beyond ? "8bit"
				     : NULL);
}

static bool is_eight_bit(const struct dsn *d, const struct parts *p)
{
	if (d->whole && (d->eight_bit || utf8_beyond_ascii(d->original_head)))
		return true;
	return d->smtputf8 &&
	       (utf8_beyond_ascii(buf_view(&p->status)) || utf8_beyond_ascii(buf_view(&p->head)));
}

struct dsn_form dsn_write(const struct dsn *d, struct buf *out)
{
	struct dsn_frame f = frame_of(d, out);
	struct dsn_header h = {.subject = subject_of(d),
	    .about = header_get(d->original_head, SPAN("Message-ID")),
	    .binary = d->whole && d->binary};
	size_t begin = buf_len(out), head;
	struct parts p;
	bool failed;

	parts_init(&p, d);
	h.eight_bit = is_eight_bit(d, &p);
	dsn_frame_head(&f, &h);
	head = buf_len(out) - begin;
	dsn_frame_words(&f, buf_view(&p.words));
	dsn_frame_status(&f, buf_view(&p.status));
	if (d->whole)
		add_message_part(&f, d);
	else if (d->original_head.n > 0)
		add_head_part(&f, buf_view(&p.head));
	if (!d->whole)
		dsn_frame_end(&f);
	failed =
	    buf_failed(out) || buf_failed(&p.words) || buf_failed(&p.status) || buf_failed(&p.head);
	parts_fini(&p);
	return (struct dsn_form){failed ? 0 : head, dsn_frame_utf8(&f), h.eight_bit};
}

size_t dsn_compose(const struct dsn *d, struct buf *out)
{
	return dsn_write(d, out).head;
}

void dsn_back(const struct dsn *d, struct buf *out)
{
	struct dsn_frame f = frame_of(d, out);

	dsn_frame_end(&f);
}
