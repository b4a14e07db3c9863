/* The part of a report that people read, in their language. */
#include "mail/dsn-private.h"

#include "mail/header.h"

#include <stdio.h>

enum { TIME_ROOM = 2048, DATE_ROOM = 64, TLS_SHOWN = 64 };

/* ---- sentences */

void dsn_words_init(struct dsn_words *w, struct buf *out, const struct dsn_tongue *t)
{
	*w = (struct dsn_words){.out = out, .tongue = *t};
	buf_init(&w->time, TIME_ROOM);
	buf_init(&w->date, DATE_ROOM);
	buf_init(&w->since, DATE_ROOM);
	buf_init(&w->reply, DSN_REPLY_MAX + TIME_ROOM);
}

void dsn_words_fini(struct dsn_words *w)
{
	buf_fini(&w->time);
	buf_fini(&w->date);
	buf_fini(&w->since);
	buf_fini(&w->reply);
}

void dsn_words_number(struct dsn_words *w, enum dsn_value value, uint64_t n)
{
	char *text = value == DSN_VALUE_N          ? w->n
		     : value == DSN_VALUE_ATTEMPTS ? w->attempts
						   : w->messages;

	snprintf(text, sizeof(w->n), "%llu", (unsigned long long)n);
	w->values.v[value] = span_str(text);
}

/* The names of days and months are English; the other languages have numbers. */
void dsn_words_date(struct dsn_words *w, enum dsn_value value, int64_t when)
{
	struct buf *b = value == DSN_VALUE_DATE ? &w->date : &w->since;

	buf_clear(b);
	if (w->tongue.language == DSN_ENGLISH)
		header_date(when, b);
	else
		header_date_numbers(when, b);
	w->values.v[value] = buf_view(b);
}

void dsn_words_id(struct dsn_words *w, const struct msgid *id)
{
	msgid_format(id, w->id);
	w->values.v[DSN_VALUE_ID] = span_str(w->id);
}

static void say(struct dsn_words *w, enum dsn_text text, const char *margin, const char *indent)
{
	struct fold f = fold_begin(w->out, strlen(margin), indent);

	f.utf8 = true;
	buf_add_str(w->out, margin);
	dsn_text_fold(&f, &w->tongue, text, &w->values);
	buf_add_str(w->out, "\r\n");
}

void dsn_words_say(struct dsn_words *w, enum dsn_text text)
{
	say(w, text, "", "");
}

void dsn_words_below(struct dsn_words *w, enum dsn_text text)
{
	say(w, text, "    ", "      ");
}

void dsn_words_address(struct dsn_words *w, struct span addr)
{
	buf_add_byte(w->out, '<');
	fold_clean_utf8(w->out, addr, DSN_ADDRESS_MAX);
	buf_add_str(w->out, ">\r\n");
}

/* ---- one recipient */

enum dsn_fate dsn_fate_of(const struct dsn_rcpt *r)
{
	switch (r->action) {
	case DSN_FAILED: break;
	case DSN_DELAYED: return DSN_FATE_DELAYED;
	case DSN_RELAYED: return DSN_FATE_RELAYED;
	case DSN_EXPANDED: return DSN_FATE_EXPANDED;
	case DSN_DELIVERED: return DSN_FATE_DELIVERED;
	}
	return r->class == REPLY_UNSURE || change_unsure(r->change) ? DSN_FATE_UNSURE
								    : DSN_FATE_FAILED;
}

/* The channel, where there was one: "none", "1.3/verified", "failed:why" (auth/tlspolicy.h). */
static void say_tls(struct dsn_words *w, struct span tls)
{
	if (fold_is_blank(tls))
		return;
	w->values.v[DSN_VALUE_TLS] = span_first(tls, TLS_SHOWN);
	if (span_eq(tls, SPAN("none")))
		dsn_words_below(w, DSN_TEXT_TLS_NONE);
	else
		dsn_words_below(
		    w, span_starts(tls, SPAN("failed")) ? DSN_TEXT_TLS_FAILED : DSN_TEXT_TLS);
}

void dsn_words_said(struct dsn_words *w, const struct dsn_rcpt *r)
{
	const struct change_rcpt *c = r->change;
	bool taken = r->action != DSN_FAILED && r->action != DSN_DELAYED;

	buf_clear(&w->reply);
	if (c->code == 0 && fold_is_blank(c->reply))
		dsn_text_add(&w->reply, &w->tongue, DSN_TEXT_NO_ANSWER, NULL);
	dsn_add_reply(&w->reply, c);
	w->values.v[DSN_VALUE_REPLY] = buf_view(&w->reply);
	w->values.v[DSN_VALUE_PEER] = span_first(c->host, DSN_ADDRESS_MAX);
	if (fold_is_blank(c->host))
		dsn_words_below(w, DSN_TEXT_FOUND);
	else if (taken)
		dsn_words_below(w, DSN_TEXT_TOOK);
	else
		dsn_words_below(w, c->code != 0 ? DSN_TEXT_SAID : DSN_TEXT_SAID_NOTHING);
	say_tls(w, c->tls);
}

static void set_time(struct dsn_words *w, int64_t usec)
{
	uint64_t minutes = usec > 0 ? (uint64_t)usec / 60000000 : 0;
	enum dsn_text unit = minutes >= 2880  ? DSN_TEXT_DAYS
			     : minutes >= 120 ? DSN_TEXT_HOURS
			     : minutes >= 2   ? DSN_TEXT_MINUTES
					      : DSN_TEXT_MINUTE;

	dsn_words_number(w, DSN_VALUE_N,
	    minutes >= 2880  ? minutes / 1440
	    : minutes >= 120 ? minutes / 60
			     : minutes);
	buf_clear(&w->time);
	dsn_text_add(&w->time, &w->tongue, unit, &w->values);
	w->values.v[DSN_VALUE_TIME] = buf_view(&w->time);
}

/* What is known of the attempts before the last. */
static void say_attempts(struct dsn_words *w, const struct dsn *d, const struct dsn_rcpt *r)
{
	set_time(w, d->now - d->arrived);
	dsn_words_number(w, DSN_VALUE_ATTEMPTS, r->change->attempts);
	if (r->action == DSN_DELAYED && r->until != 0) {
		dsn_words_date(w, DSN_VALUE_DATE, r->until);
		dsn_words_below(w, DSN_TEXT_TRIED_UNTIL);
	} else if (r->change->outcome == OUTCOME_EXPIRED) {
		dsn_words_below(w, DSN_TEXT_GIVEN_UP);
	} else if (r->action == DSN_DELAYED || r->change->attempts > 1) {
		dsn_words_below(w, DSN_TEXT_TRIED);
	}
}

static void say_class(struct dsn_words *w, enum reply_class class)
{
	struct buf means, advice;

	buf_init(&means, TIME_ROOM);
	buf_init(&advice, TIME_ROOM);
	dsn_text_add(&means, &w->tongue, (enum dsn_text)(DSN_CLASS_MEANS + class), NULL);
	dsn_text_add(&advice, &w->tongue, (enum dsn_text)(DSN_CLASS_ADVICE + class), NULL);
	w->values.v[DSN_VALUE_MEANS] = buf_view(&means);
	w->values.v[DSN_VALUE_ADVICE] = buf_view(&advice);
	dsn_words_below(w, DSN_TEXT_MEANS);
	dsn_words_below(w, DSN_TEXT_ADVICE);
	w->values.v[DSN_VALUE_MEANS] = w->values.v[DSN_VALUE_ADVICE] = SPAN_NONE;
	buf_fini(&means);
	buf_fini(&advice);
}

/* mixed: the first lines do not say it of this one. */
static void say_rcpt(struct dsn_words *w, const struct dsn *d, const struct dsn_rcpt *r, bool mixed)
{
	enum dsn_fate fate = dsn_fate_of(r);
	bool gone = fate >= DSN_FATE_RELAYED;

	dsn_words_address(w, r->addr);
	if (mixed || (gone && fate != DSN_FATE_DELIVERED))
		dsn_words_below(w, (enum dsn_text)(DSN_TEXT_FATE_FAILED + fate));
	if (!gone)
		say_attempts(w, d, r);
	if (!gone || !fold_is_blank(r->change->host))
		dsn_words_said(w, r);
	if (!gone)
		say_class(w, fate == DSN_FATE_UNSURE ? REPLY_UNSURE : r->class);
	buf_add_str(w->out, "\r\n");
}

/* ---- the whole */

static size_t count_fate(const struct dsn *d, enum dsn_fate fate)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_rcpt; i++)
		n += dsn_fate_of(&d->rcpt[i]) == fate;
	return n;
}

enum dsn_fate dsn_worst(const struct dsn *d)
{
	enum dsn_fate worst = DSN_FATE_DELIVERED;

	for (size_t i = 0; i < d->n_rcpt; i++) {
		enum dsn_fate f = dsn_fate_of(&d->rcpt[i]);

		worst = f < worst ? f : worst;
	}
	return worst;
}

/* The rows stand in the order of the fates: ONE, ALL and, of the first three, SOME. */
static enum dsn_text lead_of(const struct dsn *d, bool mixed)
{
	static const enum dsn_text one[DSN_FATES] = {DSN_TEXT_FAILED_ONE, DSN_TEXT_UNSURE_ONE,
	    DSN_TEXT_DELAYED_ONE, DSN_TEXT_RELAYED_ONE, DSN_TEXT_EXPANDED_ONE,
	    DSN_TEXT_DELIVERED_ONE};
	static const enum dsn_text all[DSN_FATES] = {DSN_TEXT_FAILED_ALL, DSN_TEXT_UNSURE_ALL,
	    DSN_TEXT_DELAYED_ALL, DSN_TEXT_RELAYED_ALL, DSN_TEXT_EXPANDED_ALL,
	    DSN_TEXT_DELIVERED_ALL};
	static const enum dsn_text some[DSN_FATES] = {DSN_TEXT_FAILED_SOME, DSN_TEXT_UNSURE_SOME,
	    DSN_TEXT_DELAYED_SOME, DSN_TEXT_GONE_MIXED, DSN_TEXT_GONE_MIXED, DSN_TEXT_GONE_MIXED};
	enum dsn_fate worst = dsn_worst(d);

	return mixed ? some[worst] : d->n_rcpt == 1 ? one[worst] : all[worst];
}

/* The worst first, each in the order of the report. */
static size_t say_rcpts(struct dsn_words *w, const struct dsn *d, bool mixed)
{
	size_t listed = 0;

	for (unsigned fate = 0; fate < DSN_FATES; fate++) {
		for (size_t i = 0; i < d->n_rcpt && listed < DSN_LISTED_MAX; i++) {
			if (dsn_fate_of(&d->rcpt[i]) != fate)
				continue;
			say_rcpt(w, d, &d->rcpt[i], mixed);
			listed++;
		}
	}
	return listed;
}

static void say_about(struct dsn_words *w, const struct dsn *d)
{
	dsn_words_id(w, &d->id);
	dsn_words_date(w, DSN_VALUE_DATE, d->arrived);
	dsn_words_say(w, DSN_TEXT_ABOUT);
	if (d->whole)
		dsn_words_say(w, DSN_TEXT_MESSAGE_FOLLOWS);
	else if (d->original_head.n > 0)
		dsn_words_say(w, DSN_TEXT_HEAD_FOLLOWS);
}

void dsn_add_words(const struct dsn *d, struct buf *out)
{
	bool mixed = count_fate(d, dsn_worst(d)) < d->n_rcpt;
	struct dsn_tongue t = {d->language, d->texts};
	struct dsn_words w;
	size_t listed;

	dsn_words_init(&w, out, &t);
	w.values.v[DSN_VALUE_HOST] = span_first(d->reporting_host, DSN_ADDRESS_MAX);
	dsn_words_say(&w, DSN_TEXT_INTRO);
	buf_add_str(out, "\r\n");
	dsn_words_say(&w, lead_of(d, mixed));
	buf_add_str(out, "\r\n");
	listed = say_rcpts(&w, d, mixed);
	if (listed < d->n_rcpt) {
		dsn_words_number(&w, DSN_VALUE_N, d->n_rcpt - listed);
		dsn_words_say(&w, DSN_TEXT_MORE);
		buf_add_str(out, "\r\n");
	}
	say_about(&w, d);
	dsn_words_fini(&w);
}
