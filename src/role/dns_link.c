#include "role/dns_link.h"

#include "base/clock.h"
#include "base/log.h"
#include "role/proto_dns.h"

#include <stdlib.h>
#include <sys/random.h>

enum { ASK_FRAME = 300 };

struct dns_question {
	TAILQ_ENTRY(dns_question) link;
	uint64_t number;
	enum dns_type type;
	int64_t deadline;
	bool known; /* in that row, with this status and these words */
	enum dns_status status;
	const char *why;
	dns_done *done;
	void *arg;
	size_t n_name;
	char name[];
};

static struct span name_of(const struct dns_question *q)
{
	return span_of(q->name, q->n_name);
}

/* ---- the rows ------------------------------------------------------------------------------- */

static void set_timer(struct dns_link *d)
{
	const struct dns_question *q = TAILQ_FIRST(&d->questions);

	if (!TAILQ_EMPTY(&d->known))
		timer_set(&d->timer, loop_now(d->loop));
	else
		timer_set(&d->timer, q != NULL ? q->deadline : INT64_MAX);
}

static void take_out(struct dns_link *d, struct dns_question *q)
{
	map_del(&d->open, span_of(&q->number, sizeof(q->number)));
	if (q->known)
		TAILQ_REMOVE(&d->known, q, link);
	else
		TAILQ_REMOVE(&d->questions, q, link);
}

/* The last thing that is done with a question; whoever asked may ask more meanwhile. */
static void answer(struct dns_link *d, struct dns_question *q, const struct dns_answer *a)
{
	take_out(d, q);
	q->done(q->arg, a);
	free(q);
}

static void answer_plainly(
    struct dns_link *d, struct dns_question *q, enum dns_status status, const char *why)
{
	struct dns_answer a = {.status = status, .canonical = name_of(q), .why = span_str(why)};

	answer(d, q, &a);
}

/* What is known already, but for what is asked meanwhile; then what waited too long. */
static void timed(void *arg)
{
	struct dns_link *d = arg;
	int64_t now = loop_now(d->loop);
	uint64_t last = d->last;
	struct dns_question *q;

	while ((q = TAILQ_FIRST(&d->known)) != NULL && q->number <= last)
		answer_plainly(d, q, q->status, q->why);
	while ((q = TAILQ_FIRST(&d->questions)) != NULL && q->deadline <= now)
		answer_plainly(d, q, DNS_TROUBLE,
		    d->ipc != NULL ? "no answer from the resolver in time"
				   : "the resolver is not running");
	set_timer(d);
}

/* ---- the channel ---------------------------------------------------------------------------- */

static void send_question(struct dns_link *d, struct dns_question *q)
{
	struct proto_dns_ask ask = {.request = q->number, .type = q->type, .name = name_of(q)};
	struct span part;
	struct buf b;

	if (d->ipc == NULL)
		return;
	buf_init(&b, ASK_FRAME);
	proto_put_dns_ask(&b, &ask);
	part = buf_view(&b);
	/* What was cancelled is still owed an answer and counts: there may be no room. */
	if (ipc_send(d->ipc, IPC_DNS_ASK, &part, 1, -1) == GW_EFULL) {
		TAILQ_REMOVE(&d->questions, q, link);
		q->known = true;
		q->status = DNS_TROUBLE;
		q->why = "too many questions at once";
		TAILQ_INSERT_TAIL(&d->known, q, link);
	}
	buf_fini(&b);
}

static void on_frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct dns_link *d = arg;
	uint64_t number = proto_dns_request(f->payload);
	struct dns_question *q = map_get(&d->open, span_of(&number, sizeof(number)));
	struct proto_dns_answer r;

	if (q == NULL) /* cancelled, or given up */
		return;
	if (proto_get_dns_answer(f->payload, q->type, &r, &d->reading) < 0)
		ipc_end(c, "bad_payload"); /* a new resolver is asked again */
	else
		answer(d, q, &r.answer);
	arena_clear(&d->reading);
	set_timer(d);
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	struct dns_link *d = arg;

	(void)c;
	(void)why;
	ipc_free(&d->ipc);
}

void dns_link_peer(struct dns_link *d, int fd)
{
	struct ipc_owner owner = {.frame = on_frame, .closed = on_closed, .arg = d};
	struct dns_question *q, *next;

	if (d->ipc != NULL) /* its end was not seen yet */
		ipc_free(&d->ipc);
	d->ipc = ipc_new(d->loop, fd, d->self, ROLE_RESOLVER, 0, &owner);
	for (q = TAILQ_FIRST(&d->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		send_question(d, q);
	}
	set_timer(d);
}

void dns_link_start(struct dns_link *d, struct loop *l, const struct boot *b)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("%s: no random bytes", role_names[b->role]);
	*d = (struct dns_link){.loop = l, .self = b->role, .patience = DNS_PATIENCE * USEC_PER_SEC};
	map_init(&d->open, seed);
	arena_init(&d->reading, DNS_ANSWER_MEMORY);
	TAILQ_INIT(&d->questions);
	TAILQ_INIT(&d->known);
	timer_start(&d->timer, l, timed, d);
	for (size_t i = 0; i < b->n_peer; i++) {
		if (b->peer[i].role == ROLE_RESOLVER)
			dns_link_peer(d, b->peer[i].fd);
	}
}

/* ---- asking --------------------------------------------------------------------------------- */

static struct dns_question *make(struct dns_link *d, enum dns_type type, struct span name)
{
	size_t n = name.n <= DNS_NAME_MAX ? name.n : 0;
	struct dns_question *q = gw_calloc(1, sizeof(*q) + n + 1);

	q->number = ++d->last;
	q->type = type;
	q->deadline = loop_now(d->loop) + d->patience;
	q->n_name = n;
	for (size_t i = 0; i < n; i++)
		q->name[i] = (char)ascii_lower(name.p[i]);
	return q;
}

uint64_t dns_ask(
    struct dns_link *d, enum dns_type type, struct span name, dns_done *done, void *arg)
{
	struct dns_question *q = make(d, type, name);
	uint64_t number = q->number;

	q->done = done;
	q->arg = arg;
	if (!dns_name_good(name)) {
		q->known = true;
		q->status = DNS_NXDOMAIN;
	} else if (map_len(&d->open) >= DNS_QUESTIONS_MAX) {
		q->known = true;
		q->status = DNS_TROUBLE;
		q->why = "too many questions at once";
	}
	map_put(&d->open, span_of(&q->number, sizeof(q->number)), q);
	if (q->known) {
		TAILQ_INSERT_TAIL(&d->known, q, link);
	} else {
		TAILQ_INSERT_TAIL(&d->questions, q, link);
		send_question(d, q);
	}
	set_timer(d);
	return number;
}

void dns_cancel(struct dns_link *d, uint64_t number)
{
	struct dns_question *q = map_get(&d->open, span_of(&number, sizeof(number)));

	if (q == NULL)
		return;
	take_out(d, q);
	free(q);
	set_timer(d);
}
