/*
 * Reports: what is in them comes from the input, parted by the octet 0xFF, as peers and senders
 * would choose it; the first octets choose actions, class, language and form. Whatever they are,
 * the strict reader finds a report with as many recipients as there are, within dsn_room(). An
 * operator's file of texts and the fields that name a language are read from the same input.
 */
#include "mail/dsn_texts.h"

#include <stdlib.h>

#include "dsn_strict.h"

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static struct strict strict;

static struct span next_text(struct span *in)
{
	ptrdiff_t end = span_find(*in, 0xff);
	struct span text = end < 0 ? *in : span_first(*in, (size_t)end);

	*in = span_skip(*in, text.n + 1);
	return text;
}

static uint8_t next_octet(struct span *in)
{
	uint8_t c = in->n > 0 ? in->p[0] : 0;

	*in = span_skip(*in, 1);
	return c;
}

static void judge(struct span text, struct dsn_form form, bool utf8, size_t n_rcpt)
{
	const char *wrong;

	MUST(form.head > 0);
	strict.utf8 = utf8;
	wrong = strict_read(&strict, text, form.head);
	if (wrong != NULL) {
		fprintf(stderr, "%s\n%.*s\n", wrong, SPAN_ARG(text));
		abort();
	}
	MUST(strict.n_rcpt == n_rcpt);
	MUST(form.eight_bit || !utf8_beyond_ascii(span_skip(text, form.head)));
	MUST(form.smtputf8 || !utf8_beyond_ascii(span_first(text, form.head)));
}

static void report(const struct dsn *d)
{
	struct dsn_form form;
	struct buf b;

	buf_init(&b, dsn_room(d->n_rcpt));
	form = dsn_write(d, &b);
	if (d->whole)
		dsn_back(d, &b);
	judge(buf_view(&b), form, d->smtputf8, d->n_rcpt);
	MUST(d->whole || strict.n_part == (d->original_head.n > 0 ? 3 : 2));
	buf_fini(&b);
}

static void summary(const struct dsn *d)
{
	struct dsn_summary_row row = {.addr = d->rcpt[0].addr,
	    .orcpt = d->rcpt[0].orcpt,
	    .subject = d->original_head,
	    .change = d->rcpt[0].change,
	    .class = d->rcpt[0].class};
	struct dsn_summary s = {.reporting_host = d->reporting_host,
	    .to = d->to,
	    .recipients = 1,
	    .messages = 1,
	    .row = &row,
	    .n_row = 1,
	    .language = d->language,
	    .texts = d->texts,
	    .smtputf8 = d->smtputf8};
	struct dsn_form form;
	struct buf b;

	s.counts[row.class] = 1;
	buf_init(&b, dsn_room(1));
	form = dsn_summary_write(&s, &b);
	judge(buf_view(&b), form, s.smtputf8, 1);
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	uint8_t form = next_octet(&in), class = next_octet(&in), kind = next_octet(&in);
	struct change_rcpt c = {.outcome = kind & 8 ? OUTCOME_FAILED : OUTCOME_EXPIRED,
	    .code = kind & 16 ? 550 : 0,
	    .esc = {kind >> 5, class, form},
	    .attempts = class};
	struct dsn_rcpt r[2] = {{.change = &c,
				    .last_attempt = (int64_t)size,
				    .until = class,
				    .action = (enum dsn_action)(kind % 5),
				    .class = (enum reply_class)(class % REPLY_CLASSES)},
	    {.addr = SPAN("b@b.example"), .change = &c, .action = DSN_RELAYED}};
	struct dsn d = {.reporting_host = SPAN("mail.a.example"), /* of the configuration */
	    .rcpt = r,
	    .n_rcpt = 1 + (form >> 4 & 1),
	    .language = (enum dsn_language)(form % DSN_LANGUAGES),
	    .smtputf8 = form & 4,
	    .whole = form & 8};
	struct dsn_texts_error e;
	struct arena a;

	r[0].addr = next_text(&in);
	r[0].orcpt = next_text(&in);
	c.host = next_text(&in);
	c.reply = next_text(&in);
	c.tls = next_text(&in);
	c.vmta = next_text(&in);
	d.to = next_text(&in);
	d.envid = next_text(&in);
	arena_init(&a, 1 << 20);
	d.texts = dsn_texts_parse(next_text(&in), &a, &e);
	MUST(d.texts != NULL || (e.line > 0 && e.column > 0 && e.text[0] != '\0'));
	d.original_head = in;
	MUST(dsn_language_of_head(in) < DSN_LANGUAGES);
	report(&d);
	summary(&d);
	arena_reset(&a);
	return 0;
}
