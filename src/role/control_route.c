#include "role/control_route.h"

#include "base/json.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

enum { LIMIT_DEFAULT = 100, NAME_SHOWN = 60 };

const struct control_route control_routes[ACTION_COUNT] = {
    {ACTION_QUEUE, CONTROL_GET, "/v1/queue", 0,
	"The queue by destination and age: counts, state, last reply."},
    {ACTION_MESSAGES, CONTROL_GET, "/v1/queue/messages", TAKES_QUERY | TAKES_CURSOR | TAKES_LIMIT,
	"Messages that match q, oldest first, a page at a time."},
    {ACTION_MESSAGE, CONTROL_GET, "/v1/queue/messages/{id}", 0,
	"One message with the state of each recipient."},
    {ACTION_RETRY, CONTROL_POST, "/v1/queue/retry", TAKES_SELECTION,
	"Makes waiting recipients due now."},
    {ACTION_DROP, CONTROL_POST, "/v1/queue/drop", TAKES_SELECTION,
	"Ends recipients without delivery and without a report."},
    {ACTION_RELEASE, CONTROL_POST, "/v1/queue/release", TAKES_SELECTION,
	"Makes recipients due that are held."},
    {ACTION_STATUS, CONTROL_GET, "/v1/status", 0, "Version, processes, counters, spool, queue."},
    {ACTION_METRICS, CONTROL_GET, "/metrics", 0, "All counters as Prometheus text."},
    {ACTION_HEALTH, CONTROL_GET, "/healthz", 0, "200 while this process answers."},
    {ACTION_READY, CONTROL_GET, "/readyz", 0, "200 while all processes run, else 503."},
};

static const char *const method_names[] = {[CONTROL_GET] = "GET", [CONTROL_POST] = "POST"};

/* ---- problems --------------------------------------------------------------------------- */

void control_problem_set(struct control_problem *p, int status, const char *slug, const char *title,
    const char *hint, const char *detail, ...)
{
	va_list ap;

	*p = (struct control_problem){.status = status, .slug = slug, .title = title, .hint = hint};
	va_start(ap, detail);
	vsnprintf(p->detail, sizeof(p->detail), detail, ap);
	va_end(ap);
}

void control_problem_json(const struct control_problem *p, struct buf *out)
{
	char type[96];

	snprintf(type, sizeof(type), "urn:godwit:problem:%s", p->slug);
	json_open(out, NULL, '{');
	json_str(out, "type", type);
	json_str(out, "title", p->title);
	json_number(out, "status", p->status);
	json_str(out, "detail", p->detail);
	if (p->pointer[0] != '\0')
		json_str(out, p->pointer[0] == '/' ? "pointer" : "parameter", p->pointer);
	if (p->hint != NULL)
		json_str(out, "hint", p->hint);
	json_close(out, '}');
}

/* ---- routes ----------------------------------------------------------------------------- */

static const char id_part[] = "{id}";

/* The fixed front of a path, and whether an id follows. */
static struct span fixed_part(const struct control_route *r, bool *has_id)
{
	struct span path = span_str(r->path);
	size_t n = sizeof(id_part) - 1;

	*has_id = path.n > n && memcmp(path.p + path.n - n, id_part, n) == 0;
	return *has_id ? span_first(path, path.n - n) : path;
}

static bool matches(const struct control_route *r, struct span path, struct span *id)
{
	bool has_id;
	struct span fixed = fixed_part(r, &has_id);

	if (!has_id)
		return span_eq(path, fixed);
	*id = span_skip(path, fixed.n);
	return span_starts(path, fixed) && id->n > 0 && span_find(*id, '/') < 0;
}

static int bad_id(struct control_problem *p)
{
	control_problem_set(p, 400, "bad-id", "Not a message id", "godwit queue list shows the ids",
	    "an id has 26 letters and digits");
	return GW_EFORMAT;
}

static int no_route(struct span path, bool known, const char *allow, struct control_problem *p)
{
	if (known) {
		control_problem_set(p, 405, "method-not-allowed", "Method not allowed",
		    "GET never changes anything, POST does", "this resource takes %s only", allow);
		p->allow = allow;
		return GW_EFORMAT;
	}
	control_problem_set(p, 404, "no-such-resource", "No such resource",
	    "the resources are /v1/queue, /v1/queue/messages, /v1/status, /metrics",
	    "there is nothing at '%.*s'", path.n < NAME_SHOWN ? (int)path.n : NAME_SHOWN,
	    (const char *)path.p);
	return GW_EFORMAT;
}

/* ---- parameters ------------------------------------------------------------------------- */

static int hex(uint8_t c)
{
	c = ascii_lower(c);
	if (ascii_isdigit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%41+b" -> "A b"; no NUL, no controls. Octets, or GW_EFORMAT. */
static ptrdiff_t unescape(struct span in, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int c = in.p[i] == '+' ? ' ' : in.p[i];

		if (c == '%') {
			if (i + 2 >= in.n || hex(in.p[i + 1]) < 0 || hex(in.p[i + 2]) < 0)
				return GW_EFORMAT;
			c = hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 0x7f || n + 1 >= size)
			return GW_EFORMAT;
		to[n++] = (char)c;
	}
	to[n] = '\0';
	return (ptrdiff_t)n;
}

static int bad_parameter(struct control_problem *p, struct span name, const char *detail)
{
	control_problem_set(p, 400, "bad-parameter", "Bad parameter",
	    "the parameters are q, cursor (the \"next\" of the page before) and limit (1 to 1000)",
	    "%s", detail);
	span_to_cstr(span_first(name, NAME_SHOWN), p->pointer, sizeof(p->pointer));
	if (p->pointer[0] == '/')
		p->pointer[0] = '?';
	return GW_EFORMAT;
}

static int take_limit(struct span value, struct control_ask *ask)
{
	uint64_t n;

	if (span_to_u64(value, &n) < 0 || n < 1 || n > CONTROL_LIMIT_MAX)
		return GW_EFORMAT;
	ask->limit = (uint32_t)n;
	return 0;
}

static const struct {
	const char *name;
	unsigned bit;
} parameters[] = {{"q", TAKES_QUERY}, {"cursor", TAKES_CURSOR}, {"limit", TAKES_LIMIT}};

static unsigned parameter_bit(struct span name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(parameters); i++) {
		if (span_eq(name, span_str(parameters[i].name)))
			return parameters[i].bit;
	}
	return 0;
}

static int take_parameter(
    struct span pair, struct control_ask *ask, unsigned *seen, struct control_problem *p)
{
	ptrdiff_t eq = span_find(pair, '=');
	struct span name = eq < 0 ? pair : span_first(pair, (size_t)eq);
	struct span raw = eq < 0 ? SPAN_NONE : span_skip(pair, (size_t)eq + 1);
	unsigned bit = parameter_bit(name) & ask->route->takes;
	char text[CONTROL_QUERY_MAX];
	ptrdiff_t n = unescape(raw, text, sizeof(text));

	if (bit == 0)
		return bad_parameter(p, name, "this resource has no such parameter");
	if (*seen & bit)
		return bad_parameter(p, name, "it is given twice");
	*seen |= bit;
	if (n < 0)
		return bad_parameter(p, name, "its value is too long or not properly escaped");
	if (bit == TAKES_LIMIT && take_limit(span_of(text, (size_t)n), ask) < 0)
		return bad_parameter(p, name, "a whole number from 1 to 1000 is wanted");
	if (bit == TAKES_CURSOR && msgid_parse(span_of(text, (size_t)n), &ask->cursor) < 0)
		return bad_parameter(p, name, "this is not a cursor that was given out here");
	if (bit == TAKES_QUERY) {
		memcpy(ask->query, text, (size_t)n);
		ask->n_query = (size_t)n;
	}
	return 0;
}

static int take_parameters(struct span query, struct control_ask *ask, struct control_problem *p)
{
	unsigned seen = 0;

	while (query.n > 0) {
		ptrdiff_t end = span_find(query, '&');
		struct span pair = end < 0 ? query : span_first(query, (size_t)end);

		if (pair.n > 0 && take_parameter(pair, ask, &seen, p) < 0)
			return GW_EFORMAT;
		query = span_skip(query, pair.n + 1);
	}
	return 0;
}

int control_route(enum control_method method, struct span path, struct span query,
    struct control_ask *ask, struct control_problem *p)
{
	const char *allow = NULL;

	memset(ask, 0, sizeof(*ask));
	ask->limit = LIMIT_DEFAULT;
	for (size_t i = 0; i < ACTION_COUNT; i++) {
		const struct control_route *r = &control_routes[i];
		struct span id = SPAN_NONE;

		if (!matches(r, path, &id))
			continue;
		allow = method_names[r->method];
		if (r->method != method)
			continue;
		ask->route = r;
		if (id.n > 0 && msgid_parse(id, &ask->id) < 0)
			return bad_id(p);
		return take_parameters(query, ask, p);
	}
	return no_route(path, allow != NULL, allow, p);
}

/* ---- body ------------------------------------------------------------------------------- */

static int bad_body(struct control_problem *p, const char *pointer, const char *detail)
{
	control_problem_set(p, 400, "bad-body", "Bad request body",
	    "send {\"id\": \"...\"} or {\"all\": true}", "%s", detail);
	snprintf(p->pointer, sizeof(p->pointer), "%.*s", NAME_SHOWN, pointer);
	return GW_EFORMAT;
}

static int unknown_field(struct control_problem *p, const char *key)
{
	char pointer[NAME_SHOWN + 2];

	snprintf(pointer, sizeof(pointer), "/%.*s", NAME_SHOWN - 2, key);
	return bad_body(p, pointer, "there is no such field");
}

static int take_selection(const json_t *body, struct control_ask *ask, struct control_problem *p)
{
	const json_t *id = json_object_get(body, "id"), *all = json_object_get(body, "all");
	struct span text = SPAN_NONE;

	if ((id != NULL) == (all != NULL))
		return bad_body(p, "/", "exactly one of id and all is wanted");
	if (all != NULL && !json_is_true(all))
		return bad_body(p, "/all", "all can only be true");
	ask->all = all != NULL;
	if (id == NULL)
		return 0;
	if (json_is_string(id))
		text = span_of(json_string_value(id), json_string_length(id));
	if (msgid_parse(text, &ask->id) < 0)
		return bad_body(p, "/id", "an id has 26 letters and digits");
	return 0;
}

static int check_fields(json_t *body, struct control_problem *p)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		if (strcmp(key, "id") != 0 && strcmp(key, "all") != 0)
			return unknown_field(p, key);
	}
	return 0;
}

int control_body(struct span in, struct control_ask *ask, struct control_problem *p)
{
	json_error_t why;
	json_t *body = json_loadb((const char *)in.p, in.n, JSON_REJECT_DUPLICATES, &why);
	int err;

	if (!json_is_object(body)) {
		json_decref(body);
		return bad_body(p, "", "the body is not a JSON object");
	}
	err = check_fields(body, p);
	if (err == 0)
		err = take_selection(body, ask, p);
	json_decref(body);
	return err;
}
