/*
 * Recipients that others know, the receiver's side: sessions wait for what senders and the vault
 * say of their recipients, and those say what they like: answers to what was asked or not, twice,
 * late, never; frames that are none; their channels are full or end; sessions end meanwhile. The
 * model says:
 *   - each recipient gets one verdict, before its time is over, if its session lives so long;
 *   - an address is known or unknown only if that was the answer to this very question while it was
 *     open; what nobody could be asked for, or answered, is away;
 *   - a question is asked once, to whom its domain names, and all behind one recipient have their
 *     ceiling;
 *   - an answer to a question that is not open changes nothing, and a frame that is none is
 * refused.
 */
#include "virtual_loop.h"

#include "base/clock.h"
#include "role/proto_callout.h"
#include "role/smtpd_callout.h"

#include <stdio.h>

enum { SESSIONS = 4, SENDERS = 2, ADDRESSES = 48, OPEN = 1024, SEND_MAX = 2048, STEPS_MAX = 1000 };
#define TIMEOUT (3 * USEC_PER_SEC)
#define GRACE (USEC_PER_SEC / 2)
#define TICK (USEC_PER_SEC / 4)

enum channel { FREE, VAULT, SENDER };

/* A question that went out, as the model has it. */
struct out {
	uint64_t request;
	size_t session, address;
	unsigned of; /* the recipient, of its session */
};

struct client {
	struct session session;
	bool on, resumed;
	unsigned recipient;         /* its number, 0: none was given yet */
	bool judged;                /* it has its verdict */
	uint8_t addresses, reveals; /* behind it: at first, and with each answer */
	size_t asked, rounds;
	enum elsewhere heard[ADDRESSES]; /* ELSEWHERE_ASK: nothing; what an answer said */
	bool out[ADDRESSES];             /* it was asked */
	int64_t since;
};

struct ipc {
	struct ipc_owner owner;
	bool full, ended, used;
};

static struct {
	struct loop loop;
	struct span in;
	struct smtpd smtpd;
	struct client client[SESSIONS];
	struct ipc vault, sender[SENDERS];
	struct out open[OPEN];
	size_t n_open;
} w;
static struct callouts *callouts; /* lives as long as the process */

static struct recipients_lookup lookups[2] = {
    {.at = {.unix_path = "/run/auth"}, .timeout = TIMEOUT},
    {.at = {.host = "a", .port = 25}, .timeout = TIMEOUT}};
static struct domain domains[2] = {
    {.name = "v.test", .recipients = RECIPIENTS_DOVECOT, .lookup = &lookups[0]},
    {.name = "s.test", .recipients = RECIPIENTS_CALLOUT, .lookup = &lookups[1]}};

static uint8_t next(void)
{
	uint8_t c = w.in.n > 0 ? w.in.p[0] : 0;

	w.in = span_skip(w.in, w.in.n > 0);
	return c;
}

static struct client *client_of(const struct session *s)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		if (&w.client[i].session == s)
			return &w.client[i];
	}
	abort();
}

/* ---- channels ----------------------------------------------------------------------------------
 */

struct ipc *ipc_new(struct loop *l, int fd, enum role self, enum role peer, unsigned peer_index,
    const struct ipc_owner *owner)
{
	struct ipc *c = &w.sender[peer_index];

	(void)l;
	MUST(fd == -1 && self == ROLE_SMTPD && peer == ROLE_SENDER && !c->used);
	*c = (struct ipc){.owner = *owner, .used = true};
	return c;
}

void ipc_free(struct ipc **c)
{
	**c = (struct ipc){0};
	*c = NULL;
}

void ipc_end(struct ipc *c, const char *why)
{
	(void)why;
	c->ended = true;
}

static size_t address_of(struct span addr)
{
	uint64_t n;

	MUST(addr.n > 7 && span_to_u64(span_first(addr, addr.n - 7), &n) == 0 && n < ADDRESSES);
	return (size_t)n;
}

static struct client *asking; /* whose recipient is resolved just now */

int ipc_send(struct ipc *c, enum ipc_type type, const struct span *part, size_t n, int fd)
{
	struct proto_callout q;
	size_t address;

	MUST(type == IPC_CALLOUT && n == 1 && fd == -1 && part->n <= SEND_MAX && !c->ended);
	MUST(proto_get_callout(*part, &q) == 0 && asking != NULL);
	address = address_of(q.address);
	MUST((c == &w.vault) == span_eq(q.domain, SPAN("v.test")));
	MUST(!asking->out[address] && ++asking->asked <= ASKED_MAX);
	asking->out[address] = true;
	if (c->full || w.n_open == OPEN) {
		asking->heard[address] = ELSEWHERE_AWAY;
		return GW_EFULL;
	}
	w.open[w.n_open++] =
	    (struct out){q.request, (size_t)(asking - w.client), address, asking->recipient};
	return 0;
}

/* ---- the session -------------------------------------------------------------------------------
 */

void session_client(const struct session *s, struct accept_client *out)
{
	static const struct listen listen;

	(void)s;
	*out = (struct accept_client){.listen = &listen};
}

void session_wait(struct session *s, const struct waiting *x)
{
	MUST(s->waiting.until == 0 && x->until > w.loop.now);
	s->waiting = *x;
}

void session_waited(struct session *s)
{
	MUST(s->waiting.until != 0);
	s->waiting = (struct waiting){0};
}

void session_resume(struct session *s)
{
	MUST(!client_of(s)->resumed);
	client_of(s)->resumed = true;
}

static enum elsewhere ask_one(struct client *c, struct asked *a, size_t address)
{
	const struct domain *d = &domains[address & 1];
	char text[32];
	enum elsewhere is;

	snprintf(text, sizeof(text), "%zu@%s", address, d->name);
	is = callout_oracle(a, d, span_str(text));
	if (is == ELSEWHERE_AWAY)
		return is; /* always allowed: it is no statement */
	MUST(c->out[address] && is == c->heard[address]);
	return is;
}

/* As the recipient is resolved: a list, which answers make longer. */
void session_rcpt_again(struct session *s, const struct server_event *ev, struct asked *a)
{
	struct client *c = client_of(s);
	size_t n = c->addresses;
	bool wait = false;

	MUST(c->on && !c->judged && s->waiting.until == 0 && ev->type == SERVER_RCPT);
	asking = c;
	for (size_t i = 0; i < n && i < ADDRESSES; i++) {
		enum elsewhere is = ask_one(c, a, i);

		wait = wait || is == ELSEWHERE_ASK;
		n += is == ELSEWHERE_KNOWN ? c->reveals : 0;
	}
	asking = NULL;
	if (wait) {
		MUST(++c->rounds <= ASKED_ROUNDS);
		asked_wait(a, ev);
		return;
	}
	c->judged = true;
	asked_free(&a);
}

static void begin_recipient(struct client *c, uint8_t how, uint8_t many)
{
	struct server_event ev = {.type = SERVER_RCPT};

	if (c->on && !c->judged)
		return;
	c->on = true;
	c->judged = false;
	c->recipient++;
	c->addresses = 1 + (how & 1 ? many % ADDRESSES : many % 4);
	c->reveals = (how >> 1) % 4;
	c->asked = c->rounds = 0;
	c->since = w.loop.now;
	for (size_t i = 0; i < ADDRESSES; i++) {
		c->heard[i] = ELSEWHERE_ASK;
		c->out[i] = false;
	}
	c->session.smtpd = &w.smtpd;
	session_rcpt_again(&c->session, &ev, asked_new(&c->session));
}

static void end_session(struct client *c)
{
	if (c->session.waiting.until != 0)
		c->session.waiting.forget(&c->session);
	MUST(c->session.waiting.until == 0);
	c->on = false;
	c->recipient++;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

/* What it means is noted before it is told, as the session may be judged by it at once. */
static void note(uint64_t request, enum called called)
{
	static const enum elsewhere means[] = {[CALLED_KNOWN] = ELSEWHERE_KNOWN,
	    [CALLED_UNKNOWN] = ELSEWHERE_UNKNOWN,
	    [CALLED_AWAY] = ELSEWHERE_AWAY,
	    [CALLED_BUSY] = ELSEWHERE_BUSY};

	for (size_t i = 0; i < w.n_open; i++) {
		struct out o = w.open[i];
		struct client *c = &w.client[o.session];

		if (o.request != request)
			continue;
		w.open[i] = w.open[--w.n_open];
		if (c->on && !c->judged && c->recipient == o.of)
			c->heard[o.address] = means[called];
		return;
	}
}

static void deliver(uint8_t from, struct span payload)
{
	struct ipc_frame f = {.type = IPC_CALLED, .payload = payload, .fd = -1};
	struct ipc *c = &w.sender[from % SENDERS];
	struct proto_called called;
	bool good = proto_get_called(payload, &called) == 0;

	for (size_t i = 0; i < SESSIONS; i++)
		w.client[i].resumed = false;
	if (from & 4) {
		if (good)
			note(called.request, (enum called)called.called);
		MUST((callout_called(&w.smtpd, payload) == 0) == good);
	} else if (c->used && !c->ended) {
		if (good)
			note(called.request, (enum called)called.called);
		c->owner.frame(c->owner.arg, c, &f);
		MUST(c->ended == !good);
	}
}

static void answer(uint8_t which, uint8_t how)
{
	struct proto_called c = {.request = which, .called = how % 4, .why = SPAN("why")};
	struct buf b;

	if (w.n_open > 0 && which < 0xf0)
		c.request = w.open[which % w.n_open].request;
	buf_init(&b, 512);
	proto_put_called(&b, &c);
	deliver(how >> 2, buf_view(&b));
	if (how & 0x80) /* once more */
		deliver(how >> 2, buf_view(&b));
	buf_fini(&b);
}

/* ---- time, and the history ---------------------------------------------------------------------
 */

static void look_who_waits(struct client *c)
{
	struct session *s = &c->session;

	MUST((s->waiting.until != 0) == (c->on && !c->judged));
	c->resumed = false;
	if (s->waiting.until == 0 || s->waiting.until > w.loop.now)
		return;
	for (size_t i = 0; i < ADDRESSES; i++) {
		if (c->out[i] && c->heard[i] == ELSEWHERE_ASK)
			c->heard[i] = ELSEWHERE_AWAY;
	}
	s->waiting.late(s);
	MUST(c->resumed);
}

static void pass(int64_t usec)
{
	for (; usec > 0; usec -= TICK) {
		virtual_forward(&w.loop, TICK);
		for (size_t i = 0; i < SESSIONS; i++)
			look_who_waits(&w.client[i]);
	}
}

static void check_all(void)
{
	for (size_t i = 0; i < SESSIONS; i++) {
		const struct client *c = &w.client[i];
		int64_t most = (int64_t)(c->rounds + 1) * (TIMEOUT + GRACE + TICK);

		MUST((c->session.waiting.until != 0) == (c->on && !c->judged));
		MUST(c->session.waiting.until == 0 || c->session.waiting.until <= c->since + most);
	}
}

static void step(uint8_t op)
{
	uint8_t how = next();
	struct client *c = &w.client[how % SESSIONS];
	struct ipc *i = &w.sender[how % SENDERS];
	struct span raw;

	switch (op % 8) {
	case 0: begin_recipient(c, how >> 2, next()); break;
	case 1:
	case 2: answer(how, next()); break;
	case 3: end_session(c); break;
	case 4: pass((int64_t)how * 50000); break;
	case 5:
		raw = span_first(w.in, how < w.in.n ? how : w.in.n);
		deliver(how, raw);
		w.in = span_skip(w.in, raw.n);
		break;
	case 6:
		if (i->used && (i->ended || how & 4))
			i->owner.closed(i->owner.arg, i, "closed");
		if (how & 8)
			callout_sender_peer(&w.smtpd, how % SENDERS, -1);
		break;
	case 7:
		w.vault.full = how & 1;
		w.sender[0].full = w.sender[1].full = how & 2;
		w.smtpd.vault = how & 4 ? NULL : &w.vault;
		break;
	}
	for (size_t k = 0; k < SENDERS; k++) { /* what ended is told in the same turn */
		if (w.sender[k].ended)
			w.sender[k].owner.closed(w.sender[k].owner.arg, &w.sender[k], "ended");
	}
	check_all();
}

static void begin(struct span in)
{
	memset(&w, 0, sizeof(w));
	virtual_init(&w.loop, 1000 * USEC_PER_SEC);
	w.in = in;
	w.smtpd.loop = &w.loop;
	w.smtpd.vault = &w.vault;
	if (callouts == NULL) {
		callout_start(&w.smtpd, 1);
		callouts = w.smtpd.callouts;
	}
	w.smtpd.callouts = callouts;
	for (unsigned i = 0; i < SENDERS; i++)
		callout_sender_peer(&w.smtpd, i, -1);
}

/* Nobody answers any more: nobody waits for ever. */
static void end(void)
{
	pass(TIMEOUT + GRACE);
	for (unsigned i = 0; i < ASKED_ROUNDS; i++)
		pass(TIMEOUT + GRACE);
	for (size_t i = 0; i < SESSIONS; i++)
		MUST(w.client[i].session.waiting.until == 0);
	for (size_t i = 0; i < SENDERS; i++) {
		if (w.sender[i].used)
			w.sender[i].owner.closed(w.sender[i].owner.arg, &w.sender[i], "end");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin(span_of(data, size));
	for (unsigned i = 0; i < STEPS_MAX && w.in.n > 0; i++)
		step(next());
	end();
	return 0;
}
