/* The bodies of the control socket's requests: JSON objects with the fields of their route. */
#include "role/control_route.h"

#include <jansson.h>
#include <stdio.h>

enum { SHOWN = 60, FOR_MAX = 366 * 86400, RATE_MAX = 1000000000 };

/* ---- refusals ----------------------------------------------------------------------------- */

static const char *hint_of(const struct control_ask *ask)
{
	unsigned takes = ask->route->takes;

	if (takes & TAKES_EMPTY)
		return "send {}";
	if (takes & TAKES_CONFIRM)
		return "send {}, or {\"confirm\": seconds}";
	if (takes & TAKES_RATE)
		return "send {\"group\": \"...\", \"rate\": \"10/m\", \"for\": seconds, "
		       "\"reason\": \"...\"}; the last two may be left out";
	if (takes & TAKES_TIME)
		return "send {\"group\": \"...\", \"for\": seconds, \"reason\": \"...\"}; the last "
		       "two may be left out";
	if (takes & TAKES_GROUP)
		return "send {\"group\": \"...\"}";
	if (takes & TAKES_PULL)
		return "send {\"pull\": \"name\"}";
	if (takes & TAKES_HOST)
		return "send {\"host\": \"address\"} or {\"all\": true}";
	return "send {\"id\": \"...\"}, {\"q\": \"...\"} or {\"all\": true}; and \"dry_run\": true";
}

static int bad_body(const struct control_ask *ask, struct control_problem *p, const char *pointer,
    const char *detail)
{
	control_problem_set(p, 400, "bad-body", "Bad request body", hint_of(ask), "%s", detail);
	snprintf(p->pointer, sizeof(p->pointer), "%.*s", SHOWN, pointer);
	return GW_EFORMAT;
}

/* ---- values -------------------------------------------------------------------------------- */

/* A string with something in it, and no controls. */
static bool take_text(const json_t *v, char *to, size_t size, size_t *n)
{
	const char *s = json_string_value(v);

	*n = json_string_length(v);
	if (s == NULL || *n == 0 || *n >= size)
		return false;
	for (size_t i = 0; i < *n; i++) {
		if ((uint8_t)s[i] < ' ' || s[i] == 0x7f)
			return false;
	}
	memcpy(to, s, *n);
	to[*n] = '\0';
	return true;
}

static const char *take_query(const json_t *v, struct control_ask *ask)
{
	return take_text(v, ask->query, sizeof(ask->query), &ask->n_query)
		   ? NULL
		   : "a text of 1 to 4095 octets without control characters is wanted";
}

static const char *take_id(const json_t *v, struct control_ask *ask)
{
	struct span text =
	    json_is_string(v) ? span_of(json_string_value(v), json_string_length(v)) : SPAN_NONE;

	return msgid_parse(text, &ask->id) < 0 ? "an id has 26 letters and digits" : NULL;
}

static const char *take_all(const json_t *v, struct control_ask *ask)
{
	ask->all = json_is_true(v);
	return ask->all ? NULL : "all can only be true";
}

static const char *take_dry(const json_t *v, struct control_ask *ask)
{
	ask->dry = json_is_true(v);
	return json_is_boolean(v) ? NULL : "dry_run is true or false";
}

static const char *take_for(const json_t *v, struct control_ask *ask)
{
	int64_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < 1 || n > FOR_MAX)
		return "a whole number of seconds is wanted, from 1 to a year";
	ask->time = n * 1000000;
	return NULL;
}

static const char *take_reason(const json_t *v, struct control_ask *ask)
{
	size_t n;

	return take_text(v, ask->reason, sizeof(ask->reason), &n)
		   ? NULL
		   : "a text of 1 to 159 octets without control characters is wanted";
}

static struct span take_digits(struct span *s)
{
	size_t n = 0;

	while (n < s->n && ascii_isdigit(s->p[n]))
		n++;
	*s = span_skip(*s, n);
	return span_of(s->p - n, n);
}

static uint32_t seconds_of(struct span unit)
{
	static const struct {
		char unit;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};

	for (size_t i = 0; i < GW_ARRAY_LEN(units); i++) {
		if (unit.n == 1 && unit.p[0] == (uint8_t)units[i].unit)
			return units[i].seconds;
	}
	return 0;
}

/* "10/m", "3/10s": messages, and the interval. */
static const char *take_rate(const json_t *v, struct control_ask *ask)
{
	static const char wrong[] = "a rate like 10/m or 3/10s is wanted: messages, a slash, s, m, "
				    "h or d";
	const char *text = json_string_value(v);
	struct span s = text != NULL ? span_of(text, json_string_length(v)) : SPAN_NONE;
	struct span many = take_digits(&s), count;
	uint64_t n = 0, times = 1;

	if (many.n == 0 || span_to_u64(many, &n) < 0 || n < 1 || n > RATE_MAX || s.n < 2 ||
	    s.p[0] != '/')
		return wrong;
	s = span_skip(s, 1);
	count = take_digits(&s);
	if (count.n > 0 && (span_to_u64(count, &times) < 0 || times < 1 || times > 1000))
		return wrong;
	if (seconds_of(s) == 0)
		return wrong;
	ask->rate = (uint32_t)n;
	ask->per = (uint32_t)times * seconds_of(s);
	return NULL;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static const struct field {
	const char *name;
	unsigned takes; /* the routes that have it: one of these */
	bool selects;   /* exactly one of those is wanted */
	const char *(*take)(const json_t *v, struct control_ask *ask); /* what is wrong, or NULL */
} fields[] = {
    {"id", TAKES_SELECTION, true, take_id},
    {"all", TAKES_SELECTION | TAKES_HOST, true, take_all},
    {"q", TAKES_SELECTION, true, take_query},
    {"group", TAKES_GROUP, true, take_query},
    {"host", TAKES_HOST, true, take_query},
    {"pull", TAKES_PULL, true, take_query},
    {"dry_run", TAKES_SELECTION, false, take_dry},
    {"for", TAKES_TIME, false, take_for},
    {"reason", TAKES_TIME, false, take_reason},
    {"rate", TAKES_RATE, false, take_rate},
    {"confirm", TAKES_CONFIRM, false, take_for},
};

static const struct field *field_of(const char *name, unsigned takes)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(fields); i++) {
		if ((fields[i].takes & takes) != 0 && strcmp(fields[i].name, name) == 0)
			return &fields[i];
	}
	return NULL;
}

static int take_field(const char *key, const json_t *v, struct control_ask *ask, size_t *selected,
    struct control_problem *p)
{
	const struct field *f = field_of(key, ask->route->takes);
	char pointer[SHOWN + 2];
	const char *wrong;

	snprintf(pointer, sizeof(pointer), "/%.*s", SHOWN - 2, key);
	if (f == NULL)
		return bad_body(ask, p, pointer, "there is no such field");
	wrong = f->take(v, ask);
	*selected += f->selects;
	return wrong != NULL ? bad_body(ask, p, pointer, wrong) : 0;
}

static int take_fields(json_t *body, struct control_ask *ask, struct control_problem *p)
{
	size_t selected = 0;
	const char *key;
	json_t *v;

	json_object_foreach(body, key, v)
	{
		if (take_field(key, v, ask, &selected, p) < 0)
			return GW_EFORMAT;
	}
	if ((ask->route->takes & TAKES_SELECTS) && selected != 1)
		return bad_body(ask, p, "/",
		    ask->route->takes & TAKES_GROUP  ? "a group is wanted"
		    : ask->route->takes & TAKES_PULL ? "the name of a pull is wanted"
		    : ask->route->takes & TAKES_HOST ? "exactly one of host and all is wanted"
						     : "exactly one of id, q and all is wanted");
	if ((ask->route->takes & TAKES_RATE) && ask->rate == 0)
		return bad_body(ask, p, "/rate", "a rate is wanted");
	return 0;
}

int control_body(struct span in, struct control_ask *ask, struct control_problem *p)
{
	json_error_t why;
	json_t *body = json_loadb((const char *)in.p, in.n, JSON_REJECT_DUPLICATES, &why);
	int err;

	if (!json_is_object(body)) {
		json_decref(body);
		return bad_body(ask, p, "", "the body is not a JSON object");
	}
	err = take_fields(body, ask, p);
	json_decref(body);
	return err;
}
