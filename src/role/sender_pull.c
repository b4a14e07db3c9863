/* We are the customer: a host is asked for the mail it keeps for us. */
#include "role/sender.h"

#include "net/pump.h"
#include "role/proto_turn.h"

#include <stdlib.h>
#include <unistd.h>

enum { PULL_ARENA = 256 << 10, TEXT_MAX_OCTETS = 400 };

/* What is known of it so far. */
struct pulling {
	uint64_t number;
	struct config *config; /* a reference of its own */
	const struct pull *pull;
	size_t next;         /* domain, of those that are named one by one */
	bool any;            /* mail waits for one of them */
	bool failed, turned; /* refused; the host has agreed to turn the connection */
	uint16_t code;
	char text[TEXT_MAX_OCTETS], host[SENDER_NAME];
};

/* A connection that was turned round, while octets are carried over it. */
struct turned {
	TAILQ_ENTRY(turned) link;
	struct sender *sender;
	struct job *job;
	struct stream peer, pair;
	struct pump pump;
};

/* ---- the question -----------------------------------------------------------------------------
 */

int pull_take(struct sender *s, struct span payload)
{
	struct job *j = gw_calloc(1, sizeof(*j));
	struct proto_pull m = {0};
	const struct pull *pull = NULL;
	struct config *c = s->config;
	struct span copy;

	j->sender = s;
	arena_init(&j->arena, PULL_ARENA + payload.n);
	buf_init(&j->body, 1);
	copy = arena_dup(&j->arena, payload);
	if (copy.n > 0 && proto_get_pull(copy, &m) == 0)
		pull = pull_of_number(c, m.pull);
	/* The queue changes its configuration after us. */
	if (pull == NULL && s->before != NULL)
		pull = pull_of_number(c = s->before, m.pull);
	if (pull == NULL) {
		job_free(j);
		return GW_EFORMAT;
	}
	j->order.target = m.target;
	j->order.conn_messages = 1;
	j->pull = gw_calloc(1, sizeof(*j->pull));
	j->pull->number = m.number;
	j->pull->config = config_ref(c);
	j->pull->pull = pull;
	conn_give(conn_make(s, 0, &j->order.target), j);
	return 0;
}

void pull_free(struct pulling **x)
{
	if (*x != NULL)
		config_free(&(*x)->config);
	free(*x);
	*x = NULL;
}

static void say(struct conn *c, struct span line)
{
	client_say(c->engine, line, loop_now(c->sender->loop));
}

/* All of them at once: the configuration sees to it that they fit into a line. */
static void say_atrn(struct conn *c)
{
	const struct pull *p = c->job->pull->pull;
	struct buf line;

	buf_init(&line, PULL_DOMAINS_MAX * 256);
	buf_add_str(&line, "ATRN");
	for (size_t i = 0; i < p->n_domain; i++)
		buf_addf(&line, "%c%s", i == 0 ? ' ' : ',', p->domain[i]);
	say(c, buf_view(&line));
	buf_fini(&line);
}

static void say_etrn(struct conn *c)
{
	struct pulling *x = c->job->pull;
	char line[300];
	int n = snprintf(line, sizeof(line), "ETRN %.257s", x->pull->domain[x->next++]);

	say(c, span_of(line, (size_t)n));
}

void pull_begin(struct conn *c)
{
	c->ready = false;
	c->limit = INT64_MAX;
	c->messages++;
	if (c->job->pull->pull->kind == PULL_ODMR)
		say_atrn(c);
	else
		say_etrn(c);
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static void note(struct pulling *x, const struct reply *r, const char *host, const char *before)
{
	struct span text = span_first(r->text, sizeof(x->text) - 1);

	x->code = r->code;
	snprintf(x->text, sizeof(x->text), "%s%.*s", before, SPAN_ARG(text));
	snprintf(x->host, sizeof(x->host), "%s", host);
	for (char *p = x->text; *p != '\0'; p++) {
		if (*p == '\n')
			*p = ' ';
	}
}

void pull_said(struct job *j, const struct client_event *ev, const char *host)
{
	j->pull->failed = true;
	note(j->pull, &ev->reply, host, "");
}

/* What a host does not know it says in words that tell an operator little: "Syntax error". */
static void note_answer(struct conn *c, const struct reply *r)
{
	bool odmr = c->job->pull->pull->kind == PULL_ODMR;
	uint32_t asked = odmr ? EXT_BIT(ATRN) : EXT_BIT(ETRN);
	bool known = r->code < 500 || (client_extensions(c->engine) & asked);

	note(c->job->pull, r, c->peer.text,
	    known  ? ""
	    : odmr ? "The host offers no ATRN: "
		   : "The host offers no ETRN: ");
}

static void end(struct conn *c)
{
	pull_finish(c->job);
	conn_leave(c);
}

/* RFC 2645 section 5.2.1; 453: there is no mail. */
static void atrn_answer(struct conn *c, const struct reply *r)
{
	struct pulling *x = c->job->pull;

	note_answer(c, r);
	x->turned = r->code == 250;
	x->failed = !x->turned && r->code != 453;
	if (!x->turned) /* else conn_process() goes on, when the engine's events are through */
		end(c);
}

/* RFC 1985 section 5.3: 250 to 253 agree, 251 as there is no mail. One refusal is told of, and the
 * others are asked for all the same. */
static void etrn_answer(struct conn *c, const struct reply *r)
{
	struct pulling *x = c->job->pull;

	if (!x->failed && !(x->any && r->code == 251))
		note_answer(c, r);
	x->failed = x->failed || !reply_ok(r);
	x->any = x->any || (reply_ok(r) && r->code != 251);
	if (x->next < x->pull->n_domain)
		say_etrn(c);
	else
		end(c);
}

void pull_answer(struct conn *c, const struct client_event *ev)
{
	if (c->job->pull->pull->kind == PULL_ODMR)
		atrn_answer(c, &ev->reply);
	else
		etrn_answer(c, &ev->reply);
}

static void tell(struct sender *s, const struct pulling *x, uint64_t octets)
{
	struct proto_pulled m = {.number = x->number,
	    .octets = octets,
	    .code = x->code,
	    .host = span_str(x->host),
	    .text = span_str(x->text)};
	struct span part;
	struct buf b;

	m.status = (uint8_t)(x->failed             ? PULLED_FAILED
			     : x->turned || x->any ? PULLED_OK
						   : PULLED_NO_MAIL);
	buf_init(&b, 2048);
	proto_put_pulled(&b, &m);
	part = buf_view(&b);
	if (s->queue.ipc != NULL)
		ipc_send(s->queue.ipc, IPC_PULLED, &part, 1, -1);
	buf_fini(&b);
}

static void finish(struct job *j, uint64_t octets)
{
	if (j->conn != NULL)
		j->conn->job = NULL;
	j->conn = NULL;
	tell(j->sender, j->pull, octets);
	job_free(j);
}

void pull_finish(struct job *j)
{
	finish(j, 0);
}

/* ---- the connection is turned ------------------------------------------------------------------
 */

static void turned_free(struct turned *t)
{
	struct sender *s = t->sender;

	pump_stop(&t->pump);
	if (t->peer.tls)
		stream_shut(&t->peer);
	stream_close(&t->peer);
	stream_close(&t->pair);
	TAILQ_REMOVE(&s->turned, t, link);
	finish(t->job, t->pump.in.carried);
	free(t);
	sender_check_stop(s);
}

static void over(void *arg)
{
	turned_free(arg);
}

bool pull_turn_due(const struct conn *c)
{
	return c->job != NULL && c->job->pull != NULL && c->job->pull->turned;
}

/* The other end goes to the queue. */
static int give_end(struct conn *c, int fd)
{
	struct sender *s = c->sender;
	const struct pulling *x = c->job->pull;
	struct proto_turn t = {
	    .number = x->number, .pull = pull_number(x->pull), .peer = span_str(c->peer.address)};
	struct span part;
	struct buf b;
	int err;

	if (s->queue.ipc == NULL)
		return GW_ECLOSED;
	buf_init(&b, 4096);
	proto_put_turn(&b, &t);
	part = buf_view(&b);
	err = ipc_send(s->queue.ipc, IPC_TURN, &part, 1, fd);
	buf_fini(&b);
	return err;
}

static int make_pair(struct conn *c)
{
	int fd[2];
	int err;

	if (ipc_pair(fd) < 0)
		return GW_EIO;
	err = give_end(c, fd[1]);
	close(fd[1]);
	if (err == 0)
		return fd[0];
	close(fd[0]);
	return err;
}

static void carry(struct conn *c, int fd)
{
	struct sender *s = c->sender;
	struct turned *t = gw_calloc(1, sizeof(*t));

	t->sender = s;
	t->job = c->job;
	c->job->conn = NULL;
	c->job = NULL;
	watch_stop(&c->watch);
	t->peer = c->stream;
	stream_init(&c->stream, -1);
	stream_init(&t->pair, fd);
	TAILQ_INSERT_TAIL(&s->turned, t, link);
	pump_start(&t->pump, s->loop, &t->peer, &t->pair, buf_view(&c->in), over, t);
	conn_close(c);
}

void pull_turn(struct conn *c)
{
	struct pulling *x = c->job->pull;
	int fd = make_pair(c);

	if (fd >= 0) {
		carry(c, fd);
		return;
	}
	x->failed = true;
	x->turned = false;
	x->code = 0;
	snprintf(x->text, sizeof(x->text), "The connection could not be turned round");
	pull_finish(c->job);
	conn_close(c);
}

int pull_turned(struct sender *s, struct span payload)
{
	enum turn_status status;
	struct turned *t;
	uint64_t number;

	if (proto_get_turned(payload, &number, &status) < 0)
		return GW_EFORMAT;
	TAILQ_FOREACH(t, &s->turned, link)
	{
		struct pulling *x = t->job->pull;

		if (x->number != number || status == TURN_OK)
			continue;
		x->failed = true;
		x->code = 0;
		snprintf(x->text, sizeof(x->text), "Nobody is there to take what comes");
		turned_free(t);
		break;
	}
	return 0;
}
