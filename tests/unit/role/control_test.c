#include "base/json.h"
#include "mail/reply_class.h"
#include "role/control.h"
#include "role/control_metrics.h"
#include "role/control_route.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "01JD7ZN3V8ABCDEFGHJKMNPQRS"

static struct control_ask ask;
static struct control_problem problem;

static int route(enum control_method m, const char *path, const char *query)
{
	memset(&problem, 0, sizeof(problem));
	return control_route(m, span_str(path), span_str(query), &ask, &problem);
}

static int body_of(enum control_action action, const char *text)
{
	memset(&ask, 0, sizeof(ask));
	memset(&problem, 0, sizeof(problem));
	ask.route = &control_routes[action];
	return control_body(span_str(text), &ask, &problem);
}

static int body(const char *text)
{
	return body_of(ACTION_DROP, text);
}

static void table_has_a_row_for_each_action(void **state)
{
	(void)state;
	for (int i = 0; i < ACTION_COUNT; i++) {
		const struct control_route *r = &control_routes[i];

		assert_int_equal(r->action, i);
		assert_true(r->path[0] == '/' && r->doc[0] != '\0');
		/* What changes something is a POST, and nothing else takes a body. */
		assert_int_equal(r->method == CONTROL_POST, (r->takes & TAKES_BODY) != 0);
	}
}

static void routes_are_found(void **state)
{
	char id[MSGID_TEXT + 1];

	(void)state;
	assert_int_equal(route(CONTROL_GET, "/v1/queue", ""), 0);
	assert_int_equal(ask.route->action, ACTION_QUEUE);
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages", NULL), 0);
	assert_int_equal(ask.route->action, ACTION_MESSAGES);
	assert_int_equal(ask.limit, 100);
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages/" ID, NULL), 0);
	assert_int_equal(ask.route->action, ACTION_MESSAGE);
	msgid_format(&ask.id, id);
	assert_string_equal(id, ID);
	assert_int_equal(route(CONTROL_POST, "/v1/queue/drop", NULL), 0);
	assert_int_equal(ask.route->action, ACTION_DROP);
}

static void routes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(route(CONTROL_GET, "/v1/queue/", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 404);
	assert_int_equal(route(CONTROL_GET, "/v1/queuex", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 404);
	assert_int_equal(route(CONTROL_GET, "", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 404);
	assert_int_equal(route(CONTROL_POST, "/v1/queue", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 405);
	assert_string_equal(problem.allow, "GET");
	assert_int_equal(route(CONTROL_GET, "/v1/queue/drop", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 405);
	assert_string_equal(problem.allow, "POST");
	assert_int_equal(route(CONTROL_OTHER, "/metrics", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 405);
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages/01JD7", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 400);
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages/" ID "/x", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 404);
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages/../drop", ""), GW_EFORMAT);
	assert_int_equal(problem.status, 404);
}

/* Of a story the front of the id will do: all ids from one to another. */
static void front_of_an_id(void **state)
{
	static const char *const wrong[] = {"/v1/messages/01JD7ZN3V/events", "/v1/messages//events",
	    "/v1/messages/events", "/v1/messages/" ID "X/events", "/v1/messages/01JD7ZN3U8/events",
	    "/v1/messages/9" ID "/events", "/v1/messages/01JD7ZN3V8/x/events",
	    "/v1/messages/01JD7ZN3V8/", "/v1/messages/"};
	char text[MSGID_TEXT + 1];

	(void)state;
	assert_int_equal(route(CONTROL_GET, "/v1/messages/01jd7zn3v8/events", ""), 0);
	assert_int_equal(ask.route->action, ACTION_TRACE);
	msgid_format(&ask.id, text);
	assert_string_equal(text, "01JD7ZN3V80000000000000000");
	msgid_format(&ask.high, text);
	assert_string_equal(text, "01JD7ZN3V8ZZZZZZZZZZZZZZZZ");
	assert_int_equal(route(CONTROL_GET, "/v1/messages/" ID "/events", ""), 0);
	assert_true(msgid_eq(&ask.id, &ask.high));
	assert_int_equal(route(CONTROL_GET, "/v1/messages", "q=to:a%40b"), 0);
	assert_int_equal(ask.route->action, ACTION_FIND);
	for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++)
		assert_int_equal(route(CONTROL_GET, wrong[i], ""), GW_EFORMAT);
}

static void parameters_are_read(void **state)
{
	(void)state;
	assert_int_equal(
	    route(CONTROL_GET, "/v1/queue/messages", "q=to%3Abob+state:ready&limit=7&cursor=" ID),
	    0);
	assert_string_equal(ask.query, "to:bob state:ready");
	assert_int_equal(ask.n_query, 18);
	assert_int_equal(ask.limit, 7);
	assert_int_not_equal(ask.cursor.b[0] | ask.cursor.b[1] | ask.cursor.b[2], 0);
}

static void bad_parameter(const char *query, const char *name)
{
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages", query), GW_EFORMAT);
	assert_int_equal(problem.status, 400);
	assert_string_equal(problem.pointer, name);
}

static void parameters_are_refused(void **state)
{
	static char longest[CONTROL_QUERY_MAX + 8] = "q=";

	(void)state;
	bad_parameter("limit=0", "limit");
	bad_parameter("limit=1001", "limit");
	bad_parameter("limit=-1", "limit");
	bad_parameter("limit=1e2", "limit");
	bad_parameter("limit=99999999999999999999", "limit");
	bad_parameter("limit", "limit");
	bad_parameter("limit=5&limit=6", "limit");
	bad_parameter("cursor=x", "cursor");
	bad_parameter("state=ready", "state");
	bad_parameter("q=%0", "q");
	bad_parameter("q=%zz", "q");
	bad_parameter("q=%00", "q");
	bad_parameter("q=a%0d%0aX", "q");
	bad_parameter("q=a%7f", "q");
	bad_parameter("=1", "");
	memset(longest + 2, 'a', CONTROL_QUERY_MAX);
	bad_parameter(longest, "q");
	longest[CONTROL_QUERY_MAX + 1] = '\0';
	assert_int_equal(route(CONTROL_GET, "/v1/queue/messages", longest), 0);
	assert_int_equal(route(CONTROL_GET, "/v1/queue", "q=x"), GW_EFORMAT);
	assert_int_equal(problem.status, 400);
}

static void body_selects(void **state)
{
	(void)state;
	assert_int_equal(body("{\"all\": true}"), 0);
	assert_true(ask.all);
	assert_int_equal(body("{\"id\":\"" ID "\"}"), 0);
	assert_false(ask.all);
	assert_int_not_equal(ask.id.b[1], 0);
}

/* A typing error must never select more than was meant. */
static void body_is_refused(void **state)
{
	static const char *const bad[] = {"", "null", "[]", "true", "{}", "{\"all\":false}",
	    "{\"all\":1}", "{\"all\":\"true\"}", "{\"all\":true,\"id\":\"" ID "\"}",
	    "{\"id\":null}", "{\"id\":7}", "{\"id\":\"\"}", "{\"id\":\"*\"}",
	    "{\"id\":\"" ID "\\u0000\"}", "{\"ids\":[\"" ID "\"]}", "{\"all\":true,\"x\":1}",
	    "{\"all\":true,\"all\":true}", "{\"all\":true} {\"all\":true}", "{\"all\":true",
	    "{\"id\":\"" ID "\",\"all\":null}", "{\"q\":\"\"}", "{\"q\":7}",
	    "{\"q\":\"to:x\",\"all\":true}", "{\"q\":\"to:x\",\"id\":\"" ID "\"}",
	    "{\"q\":\"to:x\\u0000\"}", "{\"q\":\"to:x\\n\"}", "{\"dry_run\":true}",
	    "{\"all\":true,\"dry_run\":1}", "{\"all\":true,\"dry_run\":\"yes\"}",
	    "{\"all\":true,\"group\":\"x\"}", "{\"all\":true,\"for\":5}"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		assert_int_equal(body(bad[i]), GW_EFORMAT);
		assert_int_equal(problem.status, 400);
	}
	assert_int_equal(body("{\"id\":\"x\"}"), GW_EFORMAT);
	assert_string_equal(problem.pointer, "/id");
	assert_int_equal(body("{\"al\":true}"), GW_EFORMAT);
	assert_string_equal(problem.pointer, "/al");
}

static void orders_are_read(void **state)
{
	(void)state;
	assert_int_equal(body("{\"q\":\"to:x state:held\",\"dry_run\":true}"), 0);
	assert_true(ask.dry && !ask.all && ask.n_query == 15);
	assert_int_equal(body_of(ACTION_PAUSE, "{\"group\":\"google\"}"), 0);
	assert_int_equal(ask.time, 0);
	assert_int_equal(
	    body_of(ACTION_PAUSE, "{\"group\":\"all\",\"for\":1800,\"reason\":\"they asked\"}"), 0);
	assert_true(ask.time == INT64_C(1800) * 1000000);
	assert_string_equal(ask.reason, "they asked");
	assert_int_equal(body_of(ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10/m\"}"), 0);
	assert_true(ask.rate == 10 && ask.per == 60);
	assert_int_equal(body_of(ACTION_SLOW, "{\"rate\":\"3/10s\",\"group\":\"g\"}"), 0);
	assert_true(ask.rate == 3 && ask.per == 10);
	assert_int_equal(body_of(ACTION_RESUME, "{\"group\":\"mx example.com\"}"), 0);
	assert_int_equal(body_of(ACTION_FORGET, "{\"host\":\"192.0.2.1\"}"), 0);
	assert_int_equal(body_of(ACTION_FORGET, "{\"all\":true}"), 0);
}

/* Nothing that was misread may pause or slow anything, or forget more than was said. */
static void wrong_orders_are_refused(void **state)
{
	static const struct {
		enum control_action action;
		const char *body, *pointer;
	} bad[] = {
	    {ACTION_PAUSE, "{}", "/"},
	    {ACTION_PAUSE, "{\"all\":true}", "/all"},
	    {ACTION_PAUSE, "{\"group\":\"\"}", "/group"},
	    {ACTION_PAUSE, "{\"group\":null}", "/group"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"for\":0}", "/for"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"for\":-5}", "/for"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"for\":1.5}", "/for"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"for\":\"30m\"}", "/for"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"for\":9223372036854775807}", "/for"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"rate\":\"1/s\"}", "/rate"},
	    {ACTION_PAUSE, "{\"group\":\"g\",\"reason\":\"a\\nb\"}", "/reason"},
	    {ACTION_SLOW, "{\"group\":\"g\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"0/s\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10/\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"/s\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10/w\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10/0s\"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"10/s \"}", "/rate"},
	    {ACTION_SLOW, "{\"group\":\"g\",\"rate\":\"99999999999999999999/s\"}", "/rate"},
	    {ACTION_RESUME, "{\"group\":\"g\",\"for\":5}", "/for"},
	    {ACTION_FORGET, "{}", "/"},
	    {ACTION_FORGET, "{\"host\":\"\"}", "/host"},
	    {ACTION_FORGET, "{\"host\":\"x\",\"all\":true}", "/"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		if (body_of(bad[i].action, bad[i].body) != GW_EFORMAT)
			fail_msg("row %zu", i);
		assert_int_equal(problem.status, 400);
		assert_string_equal(problem.pointer, bad[i].pointer);
	}
}

static void deep_body_ends(void **state)
{
	size_t n = CONTROL_BODY_MAX;
	char *deep = malloc(n + 1);

	(void)state;
	memset(deep, '[', n);
	deep[n] = '\0';
	assert_int_equal(body(deep), GW_EFORMAT);
	for (size_t i = 0; i + 5 < n; i += 5)
		memcpy(deep + i, "{\"a\":", 5);
	assert_int_equal(body(deep), GW_EFORMAT);
	free(deep);
}

static void problem_is_json(void **state)
{
	struct buf out;
	json_t *j;

	(void)state;
	buf_init(&out, 8192);
	assert_int_equal(route(CONTROL_GET, "/v1/\"\x01\xff<>", ""), GW_EFORMAT);
	control_problem_json(&problem, &out);
	j = json_loadb((const char *)buf_view(&out).p, buf_len(&out), 0, NULL);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "status")), 404);
	assert_string_equal(
	    json_string_value(json_object_get(j, "type")), "urn:godwit:problem:no-such-resource");
	assert_non_null(json_object_get(j, "hint"));
	json_decref(j);
	buf_clear(&out);
	bad_parameter("/limit=1", "?limit");
	control_problem_json(&problem, &out);
	j = json_loadb((const char *)buf_view(&out).p, buf_len(&out), 0, NULL);
	assert_non_null(json_object_get(j, "parameter"));
	assert_null(json_object_get(j, "pointer"));
	json_decref(j);
	buf_fini(&out);
}

/* ---- metrics ---------------------------------------------------------------------------- */

static struct metric_page pages[3];
static const struct metric_page *const all[3] = {&pages[0], &pages[1], &pages[2]};

static char *metrics(void)
{
	struct control_facts f = {.version = "0.1.0", .started = 1700000000500000, .generation = 3};
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	control_metrics_text(all, 3, &f, &out);
	assert_false(buf_failed(&out));
	buf_add_byte(&out, '\0');
	text = strdup((const char *)buf_view(&out).p);
	buf_fini(&out);
	return text;
}

static void pages_are_added_up(void **state)
{
	char *text;

	(void)state;
	memset(pages, 0, sizeof(pages));
	pages[0].value[METRIC_CONNECTIONS] = 5;
	pages[2].value[METRIC_CONNECTIONS] = 2;
	pages[1].value[METRIC_COMMIT_USEC] = 1234567;
	text = metrics();
	assert_non_null(strstr(text, "\ngodwit_connections 7\n"));
	assert_non_null(strstr(text, "# TYPE godwit_connections gauge\n"));
	assert_non_null(strstr(text, "\ngodwit_commit_seconds_total 1.234567\n"));
	assert_null(strstr(text, "microseconds"));
	assert_non_null(strstr(text, "\ngodwit_build_info{version=\"0.1.0\"} 1\n"));
	assert_non_null(strstr(text, "\ngodwit_start_time_seconds 1700000000.500\n"));
	free(text);
}

/* The rules of the text format: HELP, TYPE, sample, in this order, each name once. */
static void text_has_the_form(void **state)
{
	char *text = metrics(), *save = NULL, help[128], type[128], kind[16], name[128];
	size_t n = 0;

	(void)state;
	help[0] = type[0] = kind[0] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		/* Samples of one family follow each other, told apart by a label. */
		if (line[0] == '#') {
			assert_int_equal(sscanf(line, "# HELP %127s ", help), 1);
			line = strtok_r(NULL, "\n", &save);
			assert_int_equal(sscanf(line, "# TYPE %127s %15s", type, kind), 2);
			line = strtok_r(NULL, "\n", &save);
		} else {
			assert_non_null(strstr(line, "{class=\""));
		}
		assert_int_equal(sscanf(line, "%127[a-z_]", name), 1);
		assert_string_equal(help, type);
		assert_string_equal(help, name);
		if (strcmp(kind, "counter") == 0)
			assert_string_equal(name + strlen(name) - 6, "_total");
		else
			assert_string_equal(kind, "gauge");
		n++;
	}
	assert_int_equal(n, METRIC_COUNT + 3);
	free(text);
}

static void json_has_each_once(void **state)
{
	struct buf out;
	json_t *j;

	(void)state;
	memset(pages, 0, sizeof(pages));
	pages[1].value[METRIC_COMMIT_USEC] = -1500000;
	pages[1].value[METRIC_CLASS_FULL] = 7;
	buf_init(&out, 1 << 20);
	json_open(&out, NULL, '{');
	control_metrics_json(all, 3, &out);
	json_close(&out, '}');
	j = json_loadb((const char *)buf_view(&out).p, buf_len(&out), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_int_equal(
	    json_object_size(json_object_get(j, "failures_by_class_total")), REPLY_CLASSES);
	assert_int_equal(json_object_size(j), METRIC_COUNT - REPLY_CLASSES + 1);
	assert_int_equal(json_integer_value(json_object_get(
			     json_object_get(j, "failures_by_class_total"), "full")),
	    7);
	assert_true(json_real_value(json_object_get(j, "commit_seconds_total")) == -1.5);
	json_decref(j);
	buf_fini(&out);
}

static unsigned n_answered;

static void count_answer(struct request *r, int status, struct span json)
{
	(void)r;
	(void)json;
	assert_int_equal(status, 200);
	n_answered++;
}

static void take_answer(struct control *c, bool of_history, uint64_t number)
{
	struct proto_answer a = {.request = number, .status = 200, .json = SPAN("{}")};
	struct buf b;

	buf_init(&b, 256);
	proto_put_answer(&b, &a);
	assert_int_equal(control_take_answer(c, of_history, buf_view(&b)), 0);
	buf_fini(&b);
}

/* A history that was taken over does not say what the queue did. */
static void nobody_answers_for_another(void **state)
{
	struct control c = {.loop = loop_new()};
	struct request r = {.control = &c};

	(void)state;
	TAILQ_INIT(&c.waiting);
	for (int of_history = 0; of_history <= 1; of_history++) {
		n_answered = 0;
		control_wait(&r, of_history, 7, count_answer);
		take_answer(&c, !of_history, 7);
		take_answer(&c, of_history, 8);
		assert_int_equal(n_answered, 0);
		take_answer(&c, of_history, 7);
		take_answer(&c, of_history, 7);
		assert_int_equal(n_answered, 1);
	}
	loop_free(&c.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_has_a_row_for_each_action),
	    cmocka_unit_test(routes_are_found),
	    cmocka_unit_test(routes_are_refused),
	    cmocka_unit_test(parameters_are_read),
	    cmocka_unit_test(parameters_are_refused),
	    cmocka_unit_test(body_selects),
	    cmocka_unit_test(body_is_refused),
	    cmocka_unit_test(orders_are_read),
	    cmocka_unit_test(wrong_orders_are_refused),
	    cmocka_unit_test(deep_body_ends),
	    cmocka_unit_test(front_of_an_id),
	    cmocka_unit_test(problem_is_json),
	    cmocka_unit_test(pages_are_added_up),
	    cmocka_unit_test(text_has_the_form),
	    cmocka_unit_test(json_has_each_once),
	    cmocka_unit_test(nobody_answers_for_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
