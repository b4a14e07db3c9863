/*
 * The channel to the history, and what is asked there: the story of a message, of which the queue
 * knows what comes next, and messages by their addresses.
 */
#include "role/control.h"

#include "base/clock.h"
#include "role/proto_story.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

enum { STORY_MAX = 8 << 20, ASK_MAX = 16 << 10 };

/* ---- the channel ---------------------------------------------------------------------------- */

static void away(struct request *r)
{
	bool off = r->control->config->history.off;
	struct control_problem p;

	control_problem_set(&p, off ? 404 : 503, off ? "history-off" : "history-away",
	    off ? "There is no history" : "The history is not available",
	    off ? "the configuration says: history off"
		: "try again in a second; godwit status shows the processes",
	    off ? "what happened is not kept here"
		: "its process is being restarted, or its disk takes nothing");
	request_problem(r, &p);
}

static void on_frame(void *arg, struct ipc *ipc, struct ipc_frame *f)
{
	if (f->type == IPC_TRACED && control_take_answer(arg, true, f->payload) < 0)
		ipc_end(ipc, "bad_payload");
}

static void on_closed(void *arg, struct ipc *ipc, const char *why)
{
	struct control *c = arg;

	(void)ipc;
	(void)why;
	ipc_free(&c->history);
	control_fail_waiting(c, true, away);
}

void control_history_peer(struct control *c, int fd)
{
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = c};

	if (c->history != NULL) /* its end was not seen yet */
		on_closed(c, c->history, "replaced");
	c->history = ipc_new(c->loop, fd, ROLE_CONTROL, ROLE_HISTORY, 0, &owner);
}

static void ask(
    struct request *r, struct proto_trace *t, void (*answered)(struct request *, int, struct span))
{
	struct control *c = r->control;
	struct span part;
	struct buf b;
	int err = GW_ECLOSED;

	t->request = ++c->next_request;
	buf_init(&b, ASK_MAX);
	proto_put_trace(&b, t);
	part = buf_view(&b);
	if (c->history != NULL && !buf_failed(&b))
		err = ipc_send(c->history, IPC_TRACE, &part, 1, -1);
	buf_fini(&b);
	if (err < 0)
		away(r);
	else
		control_wait(r, true, t->request, answered);
}

static void pass_on(struct request *r, int status, struct span json)
{
	if (json.n == 0)
		away(r);
	else
		request_json(r, status, json);
}

/* ---- one message ---------------------------------------------------------------------------- */

/* The story, and behind it what the queue has of the message. */
static void with_queue(struct request *r, int status, struct span json)
{
	struct span story = buf_view(&r->story);

	if (status == 200) {
		buf_cut(&r->story, story.n - 1); /* the closing brace */
		buf_add_str(&r->story, ",\"queue\":");
		buf_add_span(&r->story, json);
		buf_add_byte(&r->story, '}');
	}
	if (buf_failed(&r->story))
		control_no_answer(r);
	else
		request_json(r, 200, buf_view(&r->story));
}

static bool has_ended(const json_t *story)
{
	return json_is_true(json_object_get(story, "final"));
}

/* The id as the history has it: the question may have had the front of it only. */
static int take_id(const json_t *story, struct msgid *id)
{
	const char *text = json_string_value(json_object_get(story, "id"));

	return text != NULL ? msgid_parse(span_str(text), id) : GW_EFORMAT;
}

static void ask_rest(struct request *r, struct span json)
{
	buf_add_span(&r->story, json);
	if (!control_ask_queue(r, QUERY_SHOW, with_queue))
		request_json(r, 200, json);
}

/* The history does not have it: it may have been cut, or be about to be told. */
static void only_queue(struct request *r, int status, struct span json)
{
	struct buf out;

	if (status != 200) {
		request_json(r, 404, buf_view(&r->story));
		return;
	}
	buf_init(&out, STORY_MAX);
	buf_add_str(&out, "{\"final\":false,\"events\":[],\"queue\":");
	buf_add_span(&out, json);
	buf_add_byte(&out, '}');
	request_json(r, 200, buf_view(&out));
	buf_fini(&out);
}

static bool is_whole(const struct control_ask *a)
{
	return msgid_eq(&a->id, &a->high);
}

static void story_came(struct request *r, int status, struct span json)
{
	json_t *story;
	bool open;

	buf_init(&r->story, STORY_MAX);
	if (status == 404 && json.n > 0 && is_whole(&r->ask)) {
		buf_add_span(&r->story, json);
		if (!control_ask_queue(r, QUERY_SHOW, only_queue))
			request_json(r, status, json);
		return;
	}
	if (status != 200) {
		pass_on(r, status, json);
		return;
	}
	story = json_loadb((const char *)json.p, json.n, 0, NULL);
	open = !has_ended(story) && take_id(story, &r->ask.id) == 0;
	json_decref(story);
	if (open)
		ask_rest(r, json);
	else
		request_json(r, 200, json);
}

void control_trace(struct request *r)
{
	struct proto_trace t = {.op = TRACE_ID, .low = r->ask.id, .high = r->ask.high, .limit = 1};

	ask(r, &t, story_came);
}

/* ---- finding -------------------------------------------------------------------------------- */

/* "90s", "15m", "2h", "7d": microseconds, or GW_EFORMAT. */
static int take_since(struct span word, int64_t *since)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	uint64_t n;

	if (word.n < 2 || span_to_u64(span_first(word, word.n - 1), &n) < 0 || n > 100000)
		return GW_EFORMAT;
	for (size_t i = 0; i < GW_ARRAY_LEN(units); i++) {
		if (word.p[word.n - 1] != (uint8_t)units[i].unit)
			continue;
		*since = clock_wall() - (int64_t)n * units[i].seconds * USEC_PER_SEC;
		return 0;
	}
	return GW_EFORMAT;
}

static int take_word(struct span word, struct proto_trace *t)
{
	ptrdiff_t colon = span_find(word, ':');
	struct span key = colon < 0 ? word : span_first(word, (size_t)colon);
	struct span value = colon < 0 ? SPAN_NONE : span_skip(word, (size_t)colon + 1);

	if (value.n == 0)
		return GW_EFORMAT;
	if (span_eq(key, SPAN("to")) && t->to.n == 0)
		t->to = value;
	else if (span_eq(key, SPAN("from")) && t->from.n == 0)
		t->from = value;
	else if (span_eq(key, SPAN("since")) && t->since == 0)
		return take_since(value, &t->since);
	else
		return GW_EFORMAT;
	return 0;
}

static int take_query(struct span q, struct proto_trace *t)
{
	while (q.n > 0) {
		ptrdiff_t end = span_find(q, ' ');
		struct span word = end < 0 ? q : span_first(q, (size_t)end);

		if (word.n > 0 && take_word(word, t) < 0)
			return GW_EFORMAT;
		q = span_skip(q, word.n + 1);
	}
	return 0;
}

void control_find(struct request *r)
{
	struct proto_trace t = {.op = TRACE_FIND, .high = r->ask.cursor, .limit = r->ask.limit};
	struct control_problem p;

	if (take_query(span_of(r->ask.query, r->ask.n_query), &t) == 0) {
		ask(r, &t, pass_on);
		return;
	}
	control_problem_set(&p, 400, "bad-query", "Bad query",
	    "words are to:ADDRESS from:ADDRESS since:2h, each once",
	    "there is a word in it that the history does not know");
	request_problem(r, &p);
}
