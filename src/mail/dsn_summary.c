/* One report of many failures: the reasons and how many, the first of them by name. */
#include "mail/dsn-private.h"

#include "base/utf8.h"

enum { SUBJECT_SHOWN = 200 };

/* ---- the words */

static void say_reasons(struct dsn_words *w, const struct dsn_summary *s)
{
	dsn_words_say(w, DSN_TEXT_SUMMARY_REASONS);
	for (unsigned i = 0; i < REPLY_CLASSES; i++) {
		struct fold f;

		if (s->counts[i] == 0)
			continue;
		buf_addf(w->out, "%8llu  ", (unsigned long long)s->counts[i]);
		f = fold_begin(w->out, 10, "          ");
		f.utf8 = true;
		dsn_text_fold(&f, &w->tongue, (enum dsn_text)(DSN_CLASS_MEANS + i), NULL);
		buf_add_str(w->out, "\r\n");
	}
	buf_add_str(w->out, "\r\n");
}

static struct dsn_rcpt rcpt_of(const struct dsn_summary_row *row)
{
	return (struct dsn_rcpt){.addr = row->addr,
	    .orcpt = row->orcpt,
	    .change = row->change,
	    .last_attempt = row->last_attempt,
	    .action = DSN_FAILED,
	    .class = row->class};
}

static void say_row(struct dsn_words *w, const struct dsn_summary_row *row)
{
	struct dsn_rcpt r = rcpt_of(row);

	dsn_words_address(w, row->addr);
	dsn_words_id(w, &row->msgid);
	w->values.v[DSN_VALUE_SUBJECT] = span_first(row->subject, SUBJECT_SHOWN);
	dsn_words_below(
	    w, fold_is_blank(row->subject) ? DSN_TEXT_SUMMARY_MESSAGE : DSN_TEXT_SUMMARY_SUBJECT);
	dsn_words_said(w, &r);
	buf_add_str(w->out, "\r\n");
}

static void add_words(const struct dsn_summary *s, const struct dsn_tongue *t, struct buf *out)
{
	size_t listed = s->n_row < DSN_LISTED_MAX ? s->n_row : DSN_LISTED_MAX;
	struct dsn_words w;

	dsn_words_init(&w, out, t);
	w.values.v[DSN_VALUE_HOST] = span_first(s->reporting_host, DSN_ADDRESS_MAX);
	dsn_words_say(&w, DSN_TEXT_INTRO);
	buf_add_str(out, "\r\n");
	dsn_words_number(&w, DSN_VALUE_N, s->recipients);
	dsn_words_number(&w, DSN_VALUE_MESSAGES, s->messages);
	dsn_words_date(&w, DSN_VALUE_SINCE, s->since);
	dsn_words_date(&w, DSN_VALUE_DATE, s->now);
	dsn_words_say(&w, DSN_TEXT_SUMMARY);
	buf_add_str(out, "\r\n");
	say_reasons(&w, s);
	dsn_words_number(&w, DSN_VALUE_N, listed);
	dsn_words_say(&w, s->recipients > listed ? DSN_TEXT_SUMMARY_SOME : DSN_TEXT_SUMMARY_ALL);
	buf_add_str(out, "\r\n");
	for (size_t i = 0; i < listed; i++)
		say_row(&w, &s->row[i]);
	dsn_words_fini(&w);
}

/* ---- the report */

/* RFC 3464 section 2: at least one recipient; each says which message it is about, as there is no
 * single one. */
static void add_status(const struct dsn_summary *s, bool utf8, struct buf *out)
{
	dsn_add_reporter(out, s->reporting_host);
	buf_addf(out, "X-Godwit-Recipients: %llu\r\nX-Godwit-Messages: %llu\r\n",
	    (unsigned long long)s->recipients, (unsigned long long)s->messages);
	for (size_t i = 0; i < s->n_row && !buf_failed(out); i++) {
		struct dsn_rcpt r = rcpt_of(&s->row[i]);

		dsn_add_rcpt(&r, &s->row[i].msgid, utf8, out);
	}
}

struct dsn_form dsn_summary_write(const struct dsn_summary *s, struct buf *out)
{
	struct dsn_frame f = {.out = out,
	    .host = s->reporting_host,
	    .to = s->to,
	    .id = &s->report_id,
	    .now = s->now,
	    .tongue = {s->language, s->texts},
	    .smtputf8 = s->smtputf8};
	struct dsn_header h = {.subject = DSN_TEXT_SUBJECT_SUMMARY, .generated = true};
	size_t begin = buf_len(out), head;
	struct buf words, status;
	bool failed;

	gw_assert(s->n_row > 0);
	buf_init(&words, dsn_room(s->n_row));
	buf_init(&status, dsn_room(s->n_row));
	add_words(s, &f.tongue, &words);
	add_status(s, s->smtputf8, &status);
	if (s->smtputf8 && !utf8_beyond_ascii(buf_view(&status))) {
		buf_clear(&status);
		add_status(s, false, &status);
	}
	h.eight_bit = utf8_beyond_ascii(buf_view(&status));
	dsn_frame_head(&f, &h);
	head = buf_len(out) - begin;
	dsn_frame_words(&f, buf_view(&words));
	dsn_frame_status(&f, buf_view(&status));
	dsn_frame_end(&f);
	failed = buf_failed(out) || buf_failed(&words) || buf_failed(&status);
	buf_fini(&words);
	buf_fini(&status);
	return (struct dsn_form){failed ? 0 : head, dsn_frame_utf8(&f), h.eight_bit};
}
