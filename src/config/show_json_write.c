/* Writing values as JSON: strings, lists, rates, endpoints, and where each was set. */
#include "config/show_json.h"

#include <inttypes.h>

void js_string(struct json *j, struct span s)
{
	buf_add_byte(j->out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < ' ' || s.p[i] == '"' || s.p[i] == '\\')
			buf_addf(j->out, "\\u%04x", s.p[i]);
		else
			buf_add_byte(j->out, s.p[i]);
	}
	buf_add_byte(j->out, '"');
}

void js_next(struct json *j)
{
	if (j->comma)
		buf_add_byte(j->out, ',');
	j->comma = true;
}

void js_key(struct json *j, const char *name)
{
	js_next(j);
	js_string(j, span_str(name));
	buf_add_byte(j->out, ':');
}

void js_open(struct json *j, char bracket)
{
	buf_add_byte(j->out, (uint8_t)bracket);
	j->comma = false;
}

void js_close(struct json *j, char bracket)
{
	buf_add_byte(j->out, (uint8_t)bracket);
	j->comma = true;
}

void js_text(struct json *j, const char *name, struct span value)
{
	js_key(j, name);
	js_string(j, value);
}

void js_number(struct json *j, const char *name, uint64_t n)
{
	js_key(j, name);
	buf_addf(j->out, "%" PRIu64, n);
}

void js_flag(struct json *j, const char *name, bool on)
{
	js_key(j, name);
	buf_add_str(j->out, on ? "true" : "false");
}

void js_rate(struct json *j, const char *name, uint64_t packed)
{
	struct buf b;

	buf_init(&b, 64);
	format_rate(packed, &b);
	js_text(j, name, buf_view(&b));
	buf_fini(&b);
}

void js_strings(struct json *j, const char *name, const char *const *list, size_t n)
{
	js_key(j, name);
	js_open(j, '[');
	for (size_t i = 0; i < n; i++) {
		js_next(j);
		js_string(j, span_str(list[i]));
	}
	js_close(j, ']');
}

void js_origin(struct json *j, const struct place *at)
{
	char place[PLACE_TEXT];

	if (j->origin)
		js_text(j, "origin", span_str(place_text(at, place)));
}

void js_endpoint(struct json *j, const char *name, const struct endpoint *e)
{
	struct buf b;

	buf_init(&b, 4096);
	show_endpoint(e, &b);
	js_text(j, name, buf_view(&b));
	buf_fini(&b);
}

void js_list(struct json *j, const char *name,
    void (*items)(struct json *j, const struct config *c), const struct config *c)
{
	js_key(j, name);
	js_open(j, '[');
	items(j, c);
	js_close(j, ']');
}

/* Inside of a shape there is a total of two things. */
static const char *name_of(const struct option *row)
{
	if (row->id == OPT_SHAPE_CONNECTIONS_TOTAL)
		return "connections-total";
	return row->id == OPT_SHAPE_MESSAGES_TOTAL ? "messages-total" : row->name;
}

void js_simple(struct json *j, const void *base, const struct option *row)
{
	const void *p = show_field(base, row);
	const char *s;

	switch (row->type) {
	case TYPE_NUMBER:
	case TYPE_LIMIT:
	case TYPE_SIZE: js_number(j, name_of(row), show_number(base, row)); break;
	case TYPE_DURATION: js_number(j, name_of(row), show_number(base, row) / 1000000); break;
	case TYPE_RATE: js_rate(j, name_of(row), show_number(base, row)); break;
	case TYPE_YESNO:
	case TYPE_ONOFF:
		js_key(j, name_of(row));
		buf_add_str(j->out, *(const bool *)p ? "true" : "false");
		break;
	default:
		s = *(const char *const *)p;
		if (s != NULL)
			js_text(j, name_of(row), span_str(s));
		break;
	}
}

void js_scope(struct json *j, const void *base, enum option_scope s)
{
	for (size_t i = 0; i < OPT_COUNT; i++) {
		if (options[i].scope != s || options[i].type == TYPE_OWN)
			continue;
		js_simple(j, base, &options[i]);
		if (options[i].opens != SCOPE_NONE)
			js_scope(j, base, options[i].opens);
	}
}
