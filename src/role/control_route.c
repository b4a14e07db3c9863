#include "role/control_route.h"

#include "base/json.h"

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
    {ACTION_HOLD, CONTROL_POST, "/v1/queue/hold", TAKES_SELECTION,
	"Keeps recipients where they are until they are released."},
    {ACTION_PAUSE, CONTROL_POST, "/v1/queue/pause", TAKES_GROUP | TAKES_TIME,
	"Nothing is sent to a group, or to all."},
    {ACTION_SLOW, CONTROL_POST, "/v1/queue/slow", TAKES_GROUP | TAKES_TIME | TAKES_RATE,
	"No more is sent to a group than so much."},
    {ACTION_RESUME, CONTROL_POST, "/v1/queue/resume", TAKES_GROUP,
	"Takes back what was ordered of a group, and what its replies brought about."},
    {ACTION_RULES, CONTROL_GET, "/v1/queue/rules", 0,
	"What stands: orders of operators, and rules on replies that are in force."},
    {ACTION_HOSTS, CONTROL_GET, "/v1/queue/hosts", 0,
	"Hosts that could not be reached, and until when they are tried last."},
    {ACTION_FORGET, CONTROL_POST, "/v1/queue/hosts/clear", TAKES_HOST,
	"Forgets that a host could not be reached."},
    {ACTION_FIND, CONTROL_GET, "/v1/messages", TAKES_QUERY | TAKES_CURSOR | TAKES_LIMIT,
	"Messages of the history, newest first, a page at a time: q is to:, from: and since:."},
    {ACTION_TRACE, CONTROL_GET, "/v1/messages/{id}/events", TAKES_PREFIX,
	"The story of one message: what happened to each recipient, and what comes next."},
    {ACTION_LIMITS, CONTROL_GET, "/v1/limits", TAKES_QUERY | TAKES_LIMIT,
	"Limits in a time: who is nearest to each, or how q (an account, an address) stands."},
    {ACTION_STATUS, CONTROL_GET, "/v1/status", 0, "Version, processes, counters, spool, queue."},
    {ACTION_METRICS, CONTROL_GET, "/metrics", 0, "All counters as Prometheus text."},
    {ACTION_HEALTH, CONTROL_GET, "/healthz", 0, "200 while this process answers."},
    {ACTION_READY, CONTROL_GET, "/readyz", 0, "200 while all processes run, else 503."},
    {ACTION_PULLS, CONTROL_GET, "/v1/pulls", 0,
	"The hosts that are asked for mail, when, and what came of it last."},
    {ACTION_PULL, CONTROL_POST, "/v1/pull", TAKES_PULL,
	"Asks a host for mail now; the number it answers is \"last\" in /v1/pulls when it is "
	"over."},
    {ACTION_CONFIG, CONTROL_GET, "/v1/config", 0,
	"The configuration in force, as godwit config show --origin has it."},
    {ACTION_RELOAD, CONTROL_POST, "/v1/reload", TAKES_CONFIRM,
	"Reads the configuration anew: in force everywhere, or nowhere."},
    {ACTION_KEEP, CONTROL_POST, "/v1/reload/keep", TAKES_EMPTY,
	"Keeps the configuration that would go back without it."},
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

static bool matches(const struct control_route *r, struct span path, struct span *id)
{
	const char *at = strstr(r->path, id_part);
	struct span front, back;

	if (at == NULL)
		return span_eq(path, span_str(r->path));
	front = span_of(r->path, (size_t)(at - r->path));
	back = span_str(at + sizeof(id_part) - 1);
	if (path.n <= front.n + back.n || !span_starts(path, front) ||
	    !span_eq(span_skip(path, path.n - back.n), back))
		return false;
	*id = span_first(span_skip(path, front.n), path.n - front.n - back.n);
	return span_find(*id, '/') < 0;
}

/* The first and the last id that begin with this text. */
static int take_prefix(struct span text, struct control_ask *ask)
{
	char low[MSGID_TEXT], high[MSGID_TEXT];

	if (text.n < CONTROL_PREFIX_MIN || text.n > MSGID_TEXT)
		return GW_EFORMAT;
	memset(low, '0', sizeof(low));
	memset(high, 'Z', sizeof(high));
	memcpy(low, text.p, text.n);
	memcpy(high, text.p, text.n);
	if (msgid_parse(span_of(low, sizeof(low)), &ask->id) < 0)
		return GW_EFORMAT;
	return msgid_parse(span_of(high, sizeof(high)), &ask->high);
}

static int take_id(struct span text, struct control_ask *ask)
{
	if (ask->route->takes & TAKES_PREFIX)
		return take_prefix(text, ask);
	return msgid_parse(text, &ask->id);
}

static int bad_id(struct control_problem *p)
{
	control_problem_set(p, 400, "bad-id", "Not a message id", "godwit queue list shows the ids",
	    "an id has 26 letters and digits; where it is looked for, the first 10 will do");
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
	    "the resources are /v1/queue, /v1/messages, /v1/status, /metrics",
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
		if (id.n > 0 && take_id(id, ask) < 0)
			return bad_id(p);
		return take_parameters(query, ask, p);
	}
	return no_route(path, allow != NULL, allow, p);
}
