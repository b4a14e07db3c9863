/* What a server said of a message, for whoever sends it: counted, and told as lines or as JSON. */
#include "cmd/send.h"

#include "base/clock.h"
#include "base/json.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"

static bool is_ok(const struct send_verdict *v)
{
	return v->code >= 200 && v->code < 300;
}

/* Our own servers answer with the id of the message. */
static struct span id_in(const struct send_verdict *v)
{
	struct span rest = span_str(v->text);
	struct msgid id;

	while (rest.n >= MSGID_TEXT) {
		if (msgid_parse(span_first(rest, MSGID_TEXT), &id) == 0)
			return span_first(rest, MSGID_TEXT);
		rest = span_skip(rest, 1);
	}
	return SPAN_NONE;
}

static void print_verdict(
    const char *word, const struct send_verdict *v, const char *to, int64_t took)
{
	struct span id = is_ok(v) ? id_in(v) : SPAN_NONE;
	struct buf b;

	buf_init(&b, 8192);
	buf_addf(&b, "%-9s  ", word);
	if (to != NULL) {
		terminal_text(&b, span_str(to), 0);
		buf_add_str(&b, "  ");
	}
	if (id.n > 0) {
		buf_add_span(&b, id);
	} else {
		buf_addf(&b, "%u ", v->code);
		terminal_text(&b, span_str(v->text), 0);
	}
	if (is_ok(v))
		buf_addf(&b, "  %d.%03d s", (int)(took / USEC_PER_SEC),
		    (int)(took % USEC_PER_SEC / USEC_PER_MSEC));
	buf_add_byte(&b, '\n');
	terminal_print(&b);
	buf_fini(&b);
}

static const char *word_for(const struct send_verdict *v)
{
	return is_ok(v) ? "accepted" : v->code < 500 ? "deferred" : "refused";
}

/* One line for the message when all recipients fared alike, else one for each. */
static void print_text(const struct send *s, const struct send_verdict *v, int64_t took)
{
	bool alike = true;

	for (size_t i = 1; i < s->n_rcpt; i++)
		alike = alike && v[i].code == v[0].code && strcmp(v[i].text, v[0].text) == 0;
	for (size_t i = 0; i < (alike ? 1 : s->n_rcpt); i++)
		print_verdict(word_for(&v[i]), &v[i], alike && is_ok(v) ? NULL : s->to[i], took);
}

static void put_json_verdict(struct buf *b, const struct send_verdict *v)
{
	json_bool(b, "accepted", is_ok(v));
	json_number(b, "code", v->code);
	json_str(b, "reply", v->text);
}

static void print_json(const struct send *s, const struct send_verdict *v, int64_t took)
{
	struct span id = is_ok(&v[0]) ? id_in(&v[0]) : SPAN_NONE;
	struct buf b;

	buf_init(&b, 4 << 20);
	json_open(&b, NULL, '{');
	if (id.n > 0)
		json_text(&b, "id", id);
	json_number(&b, "microseconds", took);
	json_open(&b, "recipients", '[');
	for (size_t i = 0; i < s->n_rcpt; i++) {
		json_open(&b, NULL, '{');
		json_str(&b, "to", s->to[i]);
		put_json_verdict(&b, &v[i]);
		json_close(&b, '}');
	}
	json_close(&b, ']');
	json_close(&b, '}');
	buf_add_byte(&b, '\n');
	terminal_print(&b);
	buf_fini(&b);
}

void send_judge(struct send *s, const struct send_verdict *v, int64_t took)
{
	bool any = false;

	for (size_t i = 0; i < s->n_rcpt; i++) {
		any = any || is_ok(&v[i]);
		s->permanent = s->permanent || v[i].code >= 500;
		s->temporary = s->temporary || (!is_ok(&v[i]) && v[i].code < 500);
	}
	s->accepted += any;
	if (s->g.json)
		print_json(s, v, took);
	else if (!s->g.quiet)
		print_text(s, v, took);
}
