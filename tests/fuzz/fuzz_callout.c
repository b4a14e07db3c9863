/*
 * Callouts: receivers ask a sender for recipients, and the servers that are asked say what they
 * like: replies of any kind, out of turn, cut anywhere, nonsense, silence, hanging up, no
 * connection, names that nobody knows; receivers die, the configuration changes. A model reads
 * along, and says:
 *   - each question is answered once, to the receiver that asked and to no other after it, before
 *     the time of its domain is over;
 *   - "known" and "unknown" only if a server said so of this very recipient, as the reply to its
 *     RCPT, and not longer ago than answers are remembered; who spoke out of turn is not believed
 *     any more;
 *   - one command at a time, MAIL, RCPT, RSET, and never content;
 *   - connections, questions of one and questions that wait have their ceilings;
 *   - who is gone is not waited for, and in the end nothing is left.
 */
#include "virtual_loop.h"

#include "base/log.h"
#include "config/config.h"
#include "role/sender_callout.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	REQUESTS = 1024,
	CONNS = 32,
	QUESTIONS = 64,
	RECEIVERS = 2,
	DOMAINS = 3,
	USERS = 12,
	CALLED_FRAME = 512,
	STEPS_MAX = 300
};
#define TIMEOUT (6 * USEC_PER_SEC)
#define REMEMBERED (60 * USEC_PER_SEC)
#define PIECE 2000 /* octets that arrive together */

static const char *const config_text[] = {
    "domain a.test { deliver lmtp unix:/run/a; recipients callout lmtp unix:/run/a cache 1m "
    "negative 1m timeout 6s }\n"
    "domain b.test { deliver lmtp unix:/run/a; recipients callout smtp mx.b.test:26 from p@b.test "
    "cache 1m negative 1m timeout 6s }\n"
    "domain c.test { deliver lmtp unix:/run/a; recipients callout smtp 192.0.2.1:25 cache 1m "
    "negative 1m timeout 6s }\n",
    "domain a.test { deliver lmtp unix:/run/a; recipients callout lmtp unix:/run/other cache 1m "
    "negative 1m timeout 6s }\n"
    "domain b.test { deliver lmtp unix:/run/a; recipients callout smtp mx.b.test:26 from p@b.test "
    "cache 1m negative 1m timeout 6s }\n",
    "domain d.test { deliver lmtp unix:/run/a }\n"};
enum { CONFIGS = GW_ARRAY_LEN(config_text) };

static const char *const domains[DOMAINS] = {"a.test", "b.test", "c.test"};

enum command { NOTHING, GREETING, HELLO, MAIL, RCPT, RSET, QUIT };

/* A server's end of a connection. */
struct served {
	int fd;  /* -1: free */
	int err; /* of connecting */
	int theirs;
	bool open; /* it was connected */
	struct buf heard;
	struct reply_reader reader;
	enum command pending; /* what has no reply yet */
	char domain, user;    /* of RCPT */
	bool clean, mail, liar;
	unsigned rcpts;
	unsigned epoch[DOMAINS]; /* when it was connected */
	size_t piece;            /* octets said that have not arrived yet */
};

struct request {
	bool open;
	unsigned receiver;
	int64_t since;
	uint8_t domain, user;
	unsigned epoch;
};

struct name {
	uint64_t number; /* 0: free */
	enum dns_type type;
	dns_done *done;
	void *arg;
	int64_t since;
};

struct ipc {
	struct ipc_owner owner;
	unsigned index;
	bool ended;
};

static struct config *configs[CONFIGS];
static struct {
	struct loop loop;
	struct span in;
	struct sender sender;
	struct ipc *ipc[RECEIVERS];
	struct request request[REQUESTS];
	size_t n;
	struct served served[CONNS];
	struct name name[QUESTIONS];
	uint64_t last_name;
	uint8_t connect; /* what becomes of the next one */
	size_t config;
	unsigned epoch[DOMAINS]; /* goes up when another one is asked */
	struct {
		int64_t at;
		unsigned epoch;
	} said[DOMAINS][USERS][2];
} w;

static uint8_t next(void)
{
	uint8_t c = w.in.n > 0 ? w.in.p[0] : 0;

	w.in = span_skip(w.in, w.in.n > 0);
	return c;
}

static struct span next_bytes(size_t n)
{
	struct span s = span_first(w.in, n < w.in.n ? n : w.in.n);

	w.in = span_skip(w.in, s.n);
	return s;
}

/* ---- channels: one that only has ends ----------------------------------------------------------
 */

struct ipc *ipc_new(struct loop *l, int fd, enum role self, enum role peer, unsigned peer_index,
    const struct ipc_owner *owner)
{
	struct ipc *c = gw_calloc(1, sizeof(*c));

	(void)l;
	MUST(fd == -1 && self == ROLE_SENDER && peer == ROLE_SMTPD);
	c->owner = *owner;
	c->index = peer_index;
	w.ipc[peer_index] = c;
	return c;
}

static void forget_requests(unsigned receiver)
{
	for (size_t i = 0; i < w.n; i++) {
		if (w.request[i].receiver == receiver)
			w.request[i].open = false;
	}
}

void ipc_free(struct ipc **c)
{
	if (*c == NULL)
		return;
	forget_requests((*c)->index);
	if (w.ipc[(*c)->index] == *c)
		w.ipc[(*c)->index] = NULL;
	free(*c);
	*c = NULL;
}

void ipc_end(struct ipc *c, const char *why)
{
	(void)why;
	c->ended = true;
}

static void told(const struct request *r, enum called called)
{
	bool known = called == CALLED_KNOWN;
	int64_t at = w.said[r->domain][r->user][known].at;

	if (called == CALLED_AWAY || called == CALLED_BUSY)
		return;
	MUST(at > 0 && w.loop.now - at <= REMEMBERED);
	MUST(w.said[r->domain][r->user][known].epoch >= r->epoch);
}

int ipc_send(struct ipc *c, enum ipc_type type, const struct span *part, size_t n, int fd)
{
	struct proto_called called;
	struct request *r;

	MUST(type == IPC_CALLED && n == 1 && fd == -1 && part->n <= CALLED_FRAME);
	MUST(proto_get_called(*part, &called) == 0);
	MUST(called.request > 0 && called.request <= w.n);
	r = &w.request[called.request - 1];
	MUST(r->open && r->receiver == c->index);
	r->open = false;
	told(r, (enum called)called.called);
	return 0;
}

/* ---- names -------------------------------------------------------------------------------------
 */

uint64_t dns_ask(
    struct dns_link *d, enum dns_type type, struct span name, dns_done *done, void *arg)
{
	size_t i = 0;

	(void)d;
	MUST(span_eq(name, SPAN("mx.b.test")));
	while (w.name[i].number != 0)
		MUST(++i < QUESTIONS);
	w.name[i] = (struct name){++w.last_name, type, done, arg, w.loop.now};
	return w.last_name;
}

void dns_cancel(struct dns_link *d, uint64_t number)
{
	(void)d;
	for (size_t i = 0; i < QUESTIONS; i++) {
		if (number != 0 && w.name[i].number == number)
			w.name[i].number = 0;
	}
}

static void answer_name(struct name *x, uint8_t how)
{
	struct name was = *x;
	struct dns_record r[3] = {0};
	struct dns_answer a = {.status = how & 3, .canonical = SPAN("mx.b.test"), .record = r};

	if (x->number == 0)
		return;
	x->number = 0;
	a.n_record = a.status == DNS_FOUND ? 1u + (how >> 2) % 3 : 0;
	for (uint8_t i = 0; i < a.n_record; i++) {
		if (was.type == DNS_A)
			r[i].address.a.s_addr = htonl(0xc0000201u + i);
		else
			memcpy(r[i].address.aaaa.s6_addr, (uint8_t[16]){0x26, [15] = i}, 16);
	}
	was.done(was.arg, &a);
}

/* ---- connecting --------------------------------------------------------------------------------
 */

static struct served *served_by(int theirs)
{
	for (size_t i = 0; i < CONNS; i++) {
		if (w.served[i].fd >= 0 && w.served[i].theirs == theirs)
			return &w.served[i];
	}
	abort();
}

static void hang_up(struct served *s)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	buf_fini(&s->heard);
	reply_reader_fini(&s->reader);
}

static struct served *serve(int fd, int theirs)
{
	size_t i = 0;

	while (w.served[i].fd >= 0)
		MUST(++i < CONNS);
	w.served[i] = (struct served){.fd = fd, .theirs = theirs, .pending = GREETING};
	buf_init(&w.served[i].heard, 64 << 10);
	reply_reader_init(&w.served[i].reader);
	memcpy(w.served[i].epoch, w.epoch, sizeof(w.epoch));
	return &w.served[i];
}

int attempt_start(struct attempt *t, struct loop *l, const struct proto_target *target,
    const struct host_address *a, void (*fn)(void *, bool, bool))
{
	uint8_t how = w.connect % 8;
	int fd[2];

	MUST((a != NULL) == (target->path.n == 0));
	if (how == 1)
		return ECONNREFUSED;
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	serve(fd[0], fd[1])->err = how == 2 ? ECONNREFUSED : 0;
	t->fd = fd[1];
	t->started = l->now;
	watch_start(&t->watch, l, t->fd, fn, t);
	watch_want(&t->watch, false, how != 3); /* 3: nobody ever answers */
	return 0;
}

int attempt_result(const struct attempt *t)
{
	return served_by(t->fd)->err;
}

int attempt_take(struct attempt *t)
{
	int fd = t->fd;

	served_by(fd)->open = served_by(fd)->err == 0;
	watch_stop(&t->watch);
	t->fd = -1;
	return fd;
}

void attempt_end(struct attempt *t)
{
	if (t->fd < 0)
		return;
	hang_up(served_by(t->fd));
	watch_stop(&t->watch);
	close(t->fd);
	t->fd = -1;
}

/* ---- servers -----------------------------------------------------------------------------------
 */

static void hear_rcpt(struct served *s, struct span line)
{
	MUST(line.n == strlen("RCPT TO:<a@a.test>") && s->mail);
	MUST(memcmp(line.p + 10, "@", 1) == 0 && memcmp(line.p + 12, ".test>", 6) == 0);
	s->user = (char)line.p[9];
	s->domain = (char)line.p[11];
	MUST(s->user >= 'a' && s->user < 'a' + USERS && s->domain >= 'a' && s->domain <= 'c');
	MUST(++s->rcpts <= CALLOUT_PER_CONN);
}

static void hear_line(struct served *s, struct span line)
{
	static const struct {
		struct span word;
		enum command command;
	} words[] = {{SPAN("EHLO "), HELLO}, {SPAN("HELO "), HELLO}, {SPAN("LHLO "), HELLO},
	    {SPAN("MAIL FROM:<>"), MAIL}, {SPAN("MAIL FROM:<p@b.test>"), MAIL},
	    {SPAN("RCPT TO:<"), RCPT}, {SPAN("RSET"), RSET}, {SPAN("QUIT"), QUIT}};
	enum command command = NOTHING;

	for (size_t i = 0; i < GW_ARRAY_LEN(words); i++) {
		if (span_starts(line, words[i].word))
			command = words[i].command;
	}
	MUST(command != NOTHING && (s->pending == NOTHING || command == QUIT));
	MUST(command != MAIL || s->clean);
	if (command == RCPT)
		hear_rcpt(s, line);
	s->mail = s->clean = false;
	s->pending = command;
}

static void hear(struct served *s)
{
	uint8_t bytes[4096];
	ptrdiff_t at;
	ssize_t n;

	while ((n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		buf_add(&s->heard, bytes, (size_t)n);
	while ((at = span_find(buf_view(&s->heard), '\n')) >= 0) {
		struct span line = span_first(buf_view(&s->heard), (size_t)at);

		MUST(line.n > 0 && line.p[line.n - 1] == '\r');
		hear_line(s, span_first(line, line.n - 1));
		buf_drop(&s->heard, (size_t)at + 1);
	}
}

static void note(const struct served *s, bool known)
{
	int domain = s->domain - 'a', user = s->user - 'a';

	if (s->epoch[domain] < w.said[domain][user][known].epoch)
		return;
	w.said[domain][user][known].at = w.loop.now;
	w.said[domain][user][known].epoch = s->epoch[domain];
}

static void said_reply(struct served *s, const struct reply *r)
{
	enum command to = s->pending;
	enum callout_verdict verdict = callout_judge(r);

	s->pending = NOTHING;
	s->liar = s->liar || to == NOTHING || r->code == 421;
	s->mail = to == MAIL && reply_ok(r);
	s->clean = (to == HELLO || to == RSET) && reply_ok(r);
	if (to == RCPT && !s->liar && verdict != CALLOUT_AWAY)
		note(s, verdict == CALLOUT_KNOWN);
}

static void read_along(struct served *s, struct span said)
{
	struct reply r;
	bool done;

	while (said.n > 0 && !s->liar) {
		ptrdiff_t n = reply_reader_feed(&s->reader, said, &done, &r);

		s->liar = n < 0;
		if (n < 0)
			return;
		if (done)
			said_reply(s, &r);
		said = span_skip(said, (size_t)n);
	}
}

static void say(struct served *s, struct span what)
{
	if (!s->open || s->piece + what.n > PIECE)
		return;
	hear(s);
	if (send(s->fd, what.p, what.n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)what.n)
		return;
	s->piece += what.n;
	read_along(s, what);
}

static void reply(struct served *s, uint8_t how)
{
	static const char *const replies[] = {"250 2.1.5 ok\r\n", "550 5.1.1 who\r\n",
	    "250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
	    "450 4.2.0 later\r\n", "550 5.7.1 not you\r\n", "220 mx.test\r\n", "553 who\r\n",
	    "252 perhaps\r\n", "421 4.3.2 bye\r\n", "354 go on\r\n", "250-and\r\n", "500 what\r\n",
	    "250 2.1.0 ok\r\n250 2.1.5 ok\r\n", "550 5.1.1 who\r\n250 2.0.0 ok\r\n", "25",
	    "0 ok\n"};

	say(s, span_str(replies[how % GW_ARRAY_LEN(replies)]));
}

/* What a good server says. */
static void reply_well(struct served *s, uint8_t how)
{
	hear(s);
	if (s->pending == GREETING)
		reply(s, 5);
	else if (s->pending == HELLO)
		reply(s, 2);
	else if (s->pending == RCPT)
		reply(s, how);
	else if (s->pending != NOTHING)
		reply(s, 0);
}

/* ---- what must be true when nothing moves ------------------------------------------------------
 */

static void check_target(const struct callout_target *t)
{
	const struct callout_question *q;
	size_t n = 0;

	MUST(t->n_conns <= CALLOUT_CONNS && map_len(&t->questions) <= CALLOUT_WAITING);
	TAILQ_FOREACH(q, &t->waiting, link)
	{
		MUST(!q->asked && q->n_waiters > 0 && q->n_waiters <= CALLOUT_WAITERS);
		n++;
	}
	MUST(map_len(&t->questions) - n <= t->n_conns);
	MUST(n == 0 || t->n_conns > 0); /* somebody will take it */
}

static void check_all(void)
{
	const struct callout_target *t;

	TAILQ_FOREACH(t, &w.sender.callouts->all, link)
	check_target(t);
	TAILQ_FOREACH(t, &w.sender.callouts->retired, link)
	check_target(t);
	for (size_t i = 0; i < w.n; i++)
		MUST(!w.request[i].open || w.loop.now < w.request[i].since + TIMEOUT);
}

static void look_who_left(struct served *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLRDHUP};

	s->piece = 0;
	if (s->fd < 0 || !s->open)
		return;
	hear(s);
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR)))
		hang_up(s);
}

static void settle(void)
{
	virtual_settle(&w.loop);
	for (size_t i = 0; i < CONNS; i++)
		look_who_left(&w.served[i]);
	for (unsigned i = 0; i < RECEIVERS; i++) {
		if (w.ipc[i] != NULL && w.ipc[i]->ended)
			w.ipc[i]->owner.closed(w.ipc[i]->owner.arg, w.ipc[i], "ended");
	}
	check_all();
}

static void pass(int64_t usec)
{
	for (int64_t until = w.loop.now + usec; w.loop.now < until;) {
		int64_t rest = until - w.loop.now;

		virtual_forward(&w.loop, rest < USEC_PER_SEC ? rest : USEC_PER_SEC);
		for (size_t i = 0; i < QUESTIONS; i++) {
			if (w.loop.now - w.name[i].since >= DNS_PATIENCE * USEC_PER_SEC)
				answer_name(&w.name[i], DNS_TROUBLE);
		}
		settle();
	}
}

/* ---- receivers ---------------------------------------------------------------------------------
 */

static void frame(unsigned receiver, struct span payload)
{
	struct ipc_frame f = {.type = IPC_CALLOUT, .payload = payload, .fd = -1};
	struct ipc *c = w.ipc[receiver];

	if (c != NULL && !c->ended)
		c->owner.frame(c->owner.arg, c, &f);
}

static void ask(uint8_t what, uint8_t from)
{
	struct request *r = &w.request[w.n];
	char address[] = "x@x.test";
	struct proto_callout c = {.request = w.n + 1};
	struct buf b;

	if (w.n == REQUESTS)
		return;
	*r = (struct request){.receiver = from % RECEIVERS, .since = w.loop.now};
	r->domain = what % DOMAINS;
	r->user = what / DOMAINS % USERS;
	r->epoch = w.epoch[r->domain];
	r->open = w.ipc[r->receiver] != NULL && !w.ipc[r->receiver]->ended;
	w.n++;
	address[0] = (char)('a' + r->user);
	address[2] = domains[r->domain][0];
	c.domain = span_str(domains[r->domain]);
	c.address = span_str(address);
	c.ip[0] = from >> 4;
	buf_init(&b, 2048);
	proto_put_callout(&b, &c);
	frame(r->receiver, buf_view(&b));
	buf_fini(&b);
}

static void reload(size_t which)
{
	static const uint8_t who[CONFIGS][DOMAINS] = {{1, 1, 1}, {2, 1, 0}, {0, 0, 0}};
	struct config *old = w.sender.config;

	for (size_t i = 0; i < DOMAINS; i++)
		w.epoch[i] += who[which][i] != who[w.config][i];
	w.config = which;

	w.sender.config = config_ref(configs[which]);
	callouts_change(&w.sender, old);
	config_free(&old);
}

static void another_receiver(unsigned index, bool seen)
{
	struct ipc *c = w.ipc[index];

	if (c != NULL && seen)
		c->owner.closed(c->owner.arg, c, "closed");
	callouts_peer(&w.sender, index, -1);
}

/* ---- the history -------------------------------------------------------------------------------
 */

static struct served *some_served(uint8_t which)
{
	size_t skip = which % 4;

	for (size_t i = 0; i < CONNS; i++) {
		if (w.served[i].fd >= 0 && w.served[i].open && skip-- == 0)
			return &w.served[i];
	}
	return NULL;
}

static void serve_some(uint8_t op, uint8_t how)
{
	struct served *s = some_served(how >> 6);

	if (s == NULL)
		return;
	switch (op) {
	case 4: reply(s, how & 63); break;
	case 5:
	case 6: reply_well(s, how & 63); break;
	case 7: say(s, next_bytes(how & 63)); break;
	case 8:
		settle();
		if (s->fd >= 0 && s->open)
			hang_up(s);
		break;
	}
}

static void step(uint8_t op)
{
	uint8_t how = next();

	switch (op % 16) {
	case 0:
	case 1: ask(how, next()); break;
	case 2: w.connect = how; break;
	case 3: answer_name(&w.name[how % 8], next()); break;
	case 9: pass((int64_t)how * how * 200); break;
	case 10: another_receiver(how % RECEIVERS, how & 0x80); break;
	case 11:
		settle();
		reload(how % CONFIGS);
		break;
	case 12: frame(how % RECEIVERS, next_bytes(how / 2)); break;
	case 13:
		for (size_t i = 0; i < how; i++)
			ask((uint8_t)(how + i), (uint8_t)(i / 8 << 4));
		break;
	case 14: /* good servers, for a while */
		for (size_t i = 0; i < 4u * (how % 32); i++) {
			for (size_t k = 0; k < CONNS; k++) {
				if (w.served[k].fd >= 0 && w.served[k].open)
					reply_well(&w.served[k], how >> 5);
			}
			settle();
		}
		break;
	default: serve_some(op % 16, how); break;
	}
	if ((op & 0x80) == 0)
		settle();
}

static struct config *parse(const char *text)
{
	struct config_diags d;
	struct buf bundle, whole;
	struct config *c;

	buf_init(&whole, 4096);
	buf_addf(&whole, "hostname mx.test\nlisten mx 127.0.0.1:25\n%s", text);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	config_diags_init(&d);
	MUST(config_bundle_text("fuzz.conf", buf_view(&whole), &bundle) == 0);
	c = config_parse(buf_view(&bundle), 1, &d);
	MUST(c != NULL);
	config_diags_fini(&d);
	buf_fini(&bundle);
	buf_fini(&whole);
	return c;
}

static void set_up(void)
{
	if (configs[0] != NULL)
		return;
	log_setup(STDERR_FILENO, LOG_NONE, "fuzz");
	for (size_t i = 0; i < CONFIGS; i++)
		configs[i] = parse(config_text[i]);
}

static void begin(struct span in)
{
	set_up();
	memset(&w, 0, sizeof(w));
	virtual_init(&w.loop, 1000 * USEC_PER_SEC);
	w.in = in;
	for (size_t i = 0; i < CONNS; i++)
		w.served[i].fd = -1;
	w.sender.loop = &w.loop;
	w.sender.config = config_ref(configs[0]);
	callouts_start(&w.sender, 1);
	for (unsigned i = 0; i < RECEIVERS; i++)
		callouts_peer(&w.sender, i, -1);
}

/* Everybody is gone, or silent: nobody waits for them. Nobody is asked any more: nothing is left.
 */
static void end(bool gone)
{
	struct callouts *k = w.sender.callouts;

	w.connect = 1;
	settle();
	for (size_t i = 0; i < CONNS; i++) {
		if (gone && w.served[i].open)
			hang_up(&w.served[i]);
	}
	pass(TIMEOUT);
	reload(CONFIGS - 1);
	pass(CALLOUT_IDLE + 2 * TIMEOUT);
	MUST(TAILQ_EMPTY(&k->all) && TAILQ_EMPTY(&k->retired) && map_len(&k->targets) == 0);
	MUST(w.loop.n_watch == 0 && w.loop.n_timer == 0);
	for (unsigned i = 0; i < RECEIVERS; i++)
		ipc_free(&k->receiver[i].ipc);
	callout_cache_free(&k->cache);
	guesses_free(&k->guesses);
	map_fini(&k->targets);
	free(k);
	config_free(&w.sender.config);
	for (size_t i = 0; i < CONNS; i++)
		hang_up(&w.served[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin(span_of(data, size));
	for (unsigned i = 0; i < STEPS_MAX && w.in.n > 0; i++)
		step(next());
	end(size > 0 && (data[size - 1] & 1));
	return 0;
}
