/*
 * The control role: the API of the control socket, for the command line and for programs.
 */
#include "role/control.h"

#include "base/log.h"

#include <event2/event.h>
#include <jansson.h>
#include <sys/random.h>
#include <unistd.h>

enum { QUERY_BYTES = CONTROL_QUERY_MAX + CONTROL_REASON_MAX + 256 };
/* The queue answers between two of its turns; a long list takes a moment. */
#define ANSWER_PATIENCE (INT64_C(10) * 1000000)

/* ---- asking the queue --------------------------------------------------------------------- */

void control_forget(struct request *r)
{
	if (!r->waits)
		return;
	r->waits = false;
	TAILQ_REMOVE(&r->control->waiting, r, link);
	timer_stop(&r->deadline);
}

static void too_late(void *arg)
{
	struct request *r = arg;

	control_forget(r);
	control_no_answer(r);
}

void control_wait(struct request *r, bool of_history, uint64_t number,
    void (*answered)(struct request *, int, struct span))
{
	struct control *c = r->control;

	r->number = number;
	r->of_history = of_history;
	r->answered = answered;
	r->waits = true;
	TAILQ_INSERT_TAIL(&c->waiting, r, link);
	timer_start(&r->deadline, c->loop, too_late, r);
	timer_set(&r->deadline, loop_now(c->loop) + ANSWER_PATIENCE);
}

bool control_ask_queue(
    struct request *r, enum query_op op, void (*answered)(struct request *, int, struct span))
{
	struct control *c = r->control;
	struct proto_query q = {.request = ++c->next_request,
	    .op = op,
	    .all = r->ask.all,
	    .dry = r->ask.dry,
	    .rate = r->ask.rate,
	    .per = r->ask.per,
	    .time = r->ask.time,
	    .id = op == QUERY_LIST ? r->ask.cursor : r->ask.id,
	    .limit = r->ask.limit,
	    .text = span_of(r->ask.query, r->ask.n_query),
	    .reason = span_str(r->ask.reason),
	    .who = span_str(r->who)};
	struct span part;
	struct buf b;
	int err;

	if (c->queue.ipc == NULL)
		return false;
	buf_init(&b, QUERY_BYTES);
	proto_put_query(&b, &q);
	part = buf_view(&b);
	err = buf_failed(&b) ? GW_EFULL : ipc_send(c->queue.ipc, IPC_QUERY, &part, 1, -1);
	buf_fini(&b);
	if (err < 0)
		return false;
	control_wait(r, false, q.request, answered);
	return true;
}

/* Nobody answers in the place of another. */
static struct request *find_waiting(const struct control *c, bool of_history, uint64_t number)
{
	struct request *r;

	TAILQ_FOREACH(r, &c->waiting, link)
	{
		if (r->number == number && r->of_history == of_history && !r->of_master)
			return r;
	}
	return NULL;
}

int control_take_answer(struct control *c, bool of_history, struct span in)
{
	struct proto_answer a;
	struct request *r;

	if (proto_get_answer(in, &a) < 0 || a.status < 200 || a.status > 599)
		return GW_EFORMAT;
	r = find_waiting(c, of_history, a.request);
	if (r == NULL)
		return 0; /* it came too late */
	control_forget(r);
	r->answered(r, a.status, a.json);
	return 0;
}

/* ---- the queue's channel ------------------------------------------------------------------- */

static int from_queue(void *arg, const struct ipc_frame *f)
{
	return f->type == IPC_ANSWER ? control_take_answer(arg, false, f->payload) : 0;
}

static struct request *find_asker(const struct control *c, bool of_history)
{
	struct request *r;

	TAILQ_FOREACH(r, &c->waiting, link)
	{
		if (r->of_history == of_history && !r->of_master)
			return r;
	}
	return NULL;
}

void control_fail_waiting(struct control *c, bool of_history, void (*tell)(struct request *r))
{
	struct request *r;

	while ((r = find_asker(c, of_history)) != NULL) {
		control_forget(r);
		tell(r);
	}
}

static void queue_gone(void *arg)
{
	control_fail_waiting(arg, false, control_queue_away);
}

/* ---- master -------------------------------------------------------------------------------- */

static void new_peer(void *arg, enum role role, unsigned index, int fd)
{
	struct control *c = arg;

	(void)index;
	if (role == ROLE_VAULT)
		control_vault_peer(c, fd);
	else if (role == ROLE_HISTORY)
		control_history_peer(c, fd);
	else
		queue_link_peer(&c->queue, role, fd);
}

static void take_roles(void *arg, struct span payload)
{
	struct control *c = arg;
	struct cursor cur = cursor_of(payload);
	size_t n = 0;

	while (n < GW_ARRAY_LEN(c->role) && proto_get_role(&cur, &c->role[n]) == 1) {
		if (c->role[n].role < ROLE_COUNT)
			n++;
	}
	c->n_role = n;
}

static void take_deny(void *arg, struct span payload)
{
	struct control *c = arg;

	if (deny_take(&c->deny, payload, loop_now(c->loop)) < 0)
		die("control: master sent a DENY frame that makes no sense");
}

static void stop(void *arg)
{
	struct control *c = arg;

	control_unlisten(c);
	control_fail_waiting(c, false, control_queue_away);
	control_fail_waiting(c, true, control_queue_away);
	master_link_done(&c->master);
}

/* ---- start --------------------------------------------------------------------------------- */

static void libevent_says(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_error("libevent: %s", text);
}

/* Its tables want random bytes and would fetch them from a file, which the jail forbids. */
static void seed_jansson(void)
{
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("control: no random bytes");
	json_object_seed(seed | 1);
}

int role_control(struct loop *l, struct boot *b)
{
	struct control *c = gw_calloc(1, sizeof(*c));
	struct queue_link_owner owner = {.frame = from_queue, .gone = queue_gone, .arg = c};
	struct sandbox box;

	c->loop = l;
	c->boot = b;
	c->config = boot_config(b);
	TAILQ_INIT(&c->waiting);
	seed_jansson();
	event_set_log_callback(libevent_says);
	boot_sandbox(b, c->config, &box);
	sandbox_confine(&box);
	sandbox_seal(&box);
	queue_link_start(&c->queue, l, b, &owner);
	buf_init(&c->pairs, PAIRS_MAX);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_VAULT)
			control_vault_peer(c, b->peer[i].fd);
		if (b->peer[i].role == ROLE_HISTORY)
			control_history_peer(c, b->peer[i].fd);
	}
	control_listen(c);
	c->master = (struct master_link){.peer = new_peer,
	    .stop = stop,
	    .roles = take_roles,
	    .deny = take_deny,
	    .reloaded = control_reloaded,
	    .config = &c->config,
	    .arg = c};
	master_link_start(&c->master, l, b);
	return 0;
}
