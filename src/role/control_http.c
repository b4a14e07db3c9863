/* Requests and replies: libevent's HTTP server on the control socket. */
#include "role/control.h"

#include "base/json.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
	IDLE_SECONDS = 15, /* also for a request that does not get on, and a reply not taken */
	HEADERS_MAX = 16 << 10,
	/* Above our own ceiling, so that what is a little too long gets our words for it. */
	HTTP_BODY_MAX = 4 * CONTROL_BODY_MAX,
	RESUME_AFTER = 200 * 1000, /* microseconds */
};

static const char json_type[] = "application/json";
static const char problem_type[] = "application/problem+json";

/* ---- replies ------------------------------------------------------------------------------ */

/* The connection is evhttp's again; the request as we know it ends. */
static struct evhttp_request *let_go(struct request *r)
{
	struct evhttp_request *http = r->http;

	control_forget(r);
	if (http != NULL)
		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
	free(r);
	return http;
}

static void set_header(struct evhttp_request *http, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

void request_reply(struct request *r, int status, const char *type, struct span body)
{
	struct buf story = r->story; /* the body may lie in it */
	struct evhttp_request *http = let_go(r);
	struct evbuffer *out;

	if (http == NULL) {
		buf_fini(&story);
		return;
	}
	if (evhttp_request_get_command(http) == EVHTTP_REQ_HEAD)
		body = SPAN_NONE; /* libevent would send it */
	out = evbuffer_new();
	if (out == NULL || evbuffer_add(out, body.p, body.n) < 0)
		die("control: no memory for a reply");
	set_header(http, "Content-Type", type);
	set_header(http, "Cache-Control", "no-store");
	evhttp_send_reply(http, status, NULL, out);
	evbuffer_free(out);
	buf_fini(&story);
}

void request_json(struct request *r, int status, struct span json)
{
	request_reply(r, status, status < 400 ? json_type : problem_type, json);
}

void request_problem(struct request *r, const struct control_problem *p)
{
	struct buf out;

	if (r->http != NULL && p->allow != NULL)
		set_header(r->http, "Allow", p->allow);
	if (r->http != NULL && p->status == 503)
		set_header(r->http, "Retry-After", "1");
	buf_init(&out, 8192);
	control_problem_json(p, &out);
	request_reply(r, p->status, problem_type, buf_view(&out));
	buf_fini(&out);
}

/* ---- requests ----------------------------------------------------------------------------- */

/* The kernel says who holds the other end. */
static void ask_who(struct request *r)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(r->http);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(conn));
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0)
		snprintf(r->who, sizeof(r->who), "uid=%u pid=%d", peer.uid, (int)peer.pid);
	else
		snprintf(r->who, sizeof(r->who), "unknown");
}

static enum control_method method_of(const struct evhttp_request *http)
{
	switch (evhttp_request_get_command(http)) {
	case EVHTTP_REQ_HEAD:
	case EVHTTP_REQ_GET: return CONTROL_GET;
	case EVHTTP_REQ_POST: return CONTROL_POST;
	default: return CONTROL_OTHER;
	}
}

static int check_type(struct request *r, struct control_problem *p)
{
	struct evkeyvalq *headers = evhttp_request_get_input_headers(r->http);
	const char *type = evhttp_find_header(headers, "Content-Type");
	struct span s = span_str(type);
	ptrdiff_t end = span_find(s, ';');

	if (end >= 0)
		s = span_first(s, (size_t)end);
	if (type == NULL || span_eq_case(span_trim(s), span_str(json_type)))
		return 0;
	control_problem_set(p, 415, "not-json", "Not JSON", "send Content-Type: application/json",
	    "the body is said to be of another type");
	return GW_EFORMAT;
}

static int read_body(struct request *r, struct control_problem *p)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(r->http);
	size_t n = evbuffer_get_length(in);

	if (!(r->ask.route->takes & TAKES_BODY))
		return 0;
	if (n > CONTROL_BODY_MAX) {
		control_problem_set(p, 413, "too-long", "Request too long", NULL,
		    "the body may have %d octets", CONTROL_BODY_MAX);
		return GW_EFORMAT;
	}
	if (check_type(r, p) < 0)
		return GW_EFORMAT;
	return control_body(span_of(evbuffer_pullup(in, -1), n), &r->ask, p);
}

static int read_request(struct request *r, struct control_problem *p)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->http);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

	if (control_route(method_of(r->http), span_str(path), span_str(query), &r->ask, p) < 0)
		return GW_EFORMAT;
	return read_body(r, p);
}

static void client_went(struct evhttp_connection *conn, void *arg)
{
	struct request *r = arg;

	(void)conn;
	r->http = NULL;
}

static void on_request(struct evhttp_request *http, void *arg)
{
	struct request *r = gw_calloc(1, sizeof(*r));
	struct control_problem p;

	r->control = arg;
	r->http = http;
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), client_went, r);
	ask_who(r);
	if (read_request(r, &p) < 0)
		request_problem(r, &p);
	else
		control_act(r);
}

/* ---- the socket --------------------------------------------------------------------------- */

/* evhttp gives the listener an argument of its own: the error callback has to find us here. */
static struct control *listening;

/* Later, when the kernel has no room for one more event now. */
static void listen_on(void *arg)
{
	struct control *c = arg;

	if (evconnlistener_enable(c->listener) < 0)
		timer_set(&c->resume, loop_now(c->loop) + RESUME_AFTER);
}

/* No descriptor is free: what waits stays in the backlog, and the loop does not spin. */
static void cannot_accept(struct evconnlistener *l, void *arg)
{
	(void)arg;
	evconnlistener_disable(l);
	timer_set(&listening->resume, loop_now(listening->loop) + RESUME_AFTER);
}

void control_listen(struct control *c)
{
	struct event_base *base = loop_base(c->loop);

	c->http = evhttp_new(base);
	/* The socket is master's; it listens already. */
	c->listener =
	    evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, c->boot->control_fd);
	if (c->http == NULL || c->listener == NULL ||
	    evhttp_bind_listener(c->http, c->listener) == NULL)
		die("control: the HTTP server cannot be started");
	listening = c;
	evconnlistener_set_error_cb(c->listener, cannot_accept);
	timer_start(&c->resume, c->loop, listen_on, c);
	evhttp_set_timeout(c->http, IDLE_SECONDS);
	evhttp_set_max_headers_size(c->http, HEADERS_MAX);
	evhttp_set_max_body_size(c->http, HTTP_BODY_MAX);
	evhttp_set_allowed_methods(c->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
						EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(c->http, on_request, c);
	listen_on(c); /* evhttp_bind_listener() does not say whether it could */
}

void control_unlisten(struct control *c)
{
	timer_stop(&c->resume);
	evconnlistener_disable(c->listener);
}
