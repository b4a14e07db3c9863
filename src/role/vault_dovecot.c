#include "role/vault_dovecot.h"

#include "auth/dovecot.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_STEP = 8 << 10, LOGIN_LINE = 4096, USER_LINE = 1024 };
#define SWEEP_EVERY (USEC_PER_SEC / 4)
#define WANT_EVERY USEC_PER_SEC

struct question {
	TAILQ_ENTRY(question) link;
	uint32_t id;
	int64_t asked, deadline;
	bool sent;
	dovecot_done *done;
	void *arg;
	struct buf line; /* what is said; a login's has its password */
};

struct dovecot_link {
	struct loop *loop;
	bool login;
	struct dovecot_link_owner owner;
	int fd; /* -1: none */
	struct watch watch;
	bool version, shaken, plain;
	struct buf in, out, room;
	TAILQ_HEAD(, question) questions; /* in the order in which they were asked */
	struct map open;                  /* by id */
	uint32_t last_id;
	int64_t wanted, answered;
	bool away; /* said so in the log */
	struct timer timer;
	char path[];
};

/* ---- questions ------------------------------------------------------------------------------- */

static void settle(
    struct dovecot_link *l, struct question *q, enum dovecot_says says, struct span user)
{
	dovecot_done *done = q->done;
	void *arg = q->arg;

	TAILQ_REMOVE(&l->questions, q, link);
	map_del(&l->open, span_of(&q->id, sizeof(q->id)));
	buf_wipe(&q->line);
	free(q);
	done(arg, says, user);
}

static void log_away(struct dovecot_link *l, const char *why)
{
	struct logline line;

	if (l->away)
		return;
	l->away = true;
	log_begin(&line, EV_DOVECOT_AWAY);
	log_str(&line, "path", l->path);
	log_str(&line, "reason", why);
	log_end(&line);
}

static void disconnect(struct dovecot_link *l, const char *why)
{
	struct question *q;

	if (l->fd < 0)
		return;
	if (why != NULL)
		log_away(l, why);
	watch_stop(&l->watch);
	close(l->fd);
	l->fd = -1;
	l->version = l->shaken = l->plain = false;
	buf_clear(&l->in);
	buf_wipe(&l->out);
	TAILQ_FOREACH(q, &l->questions, link)
	q->sent = false;
}

static void want(struct dovecot_link *l)
{
	int64_t now = loop_now(l->loop);

	if (l->fd >= 0 || TAILQ_EMPTY(&l->questions))
		return;
	if (l->wanted == 0 || now - l->wanted >= WANT_EVERY) {
		l->wanted = now;
		l->owner.want(l->owner.arg, l);
	}
}

static void write_out(struct dovecot_link *l)
{
	struct span out;

	while (l->fd >= 0 && (out = buf_view(&l->out)).n > 0) {
		ssize_t n = send(l->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) {
			disconnect(l, "lost");
			return;
		}
		buf_drop(&l->out, (size_t)n);
		if (buf_len(&l->out) == 0)
			buf_wipe(&l->out);
	}
	if (l->fd >= 0)
		watch_want(&l->watch, true, buf_len(&l->out) > 0);
}

/* All of it at once: what grows leaves copies behind. */
static void make_room(struct dovecot_link *l)
{
	if (buf_room(&l->out, DOVECOT_OUT_MAX - buf_len(&l->out)) == NULL)
		die("vault: no memory for what is said to Dovecot");
}

static void say_all(struct dovecot_link *l)
{
	struct question *q;

	TAILQ_FOREACH(q, &l->questions, link)
	{
		if (q->sent || !l->shaken)
			continue;
		if (buf_len(&l->out) + buf_len(&q->line) > DOVECOT_OUT_MAX)
			break;
		make_room(l);
		buf_add_span(&l->out, buf_view(&q->line));
		q->sent = true;
	}
	write_out(l);
}

/* ---- answers --------------------------------------------------------------------------------- */

static enum dovecot_says meaning(const struct dovecot_link *l, const struct dovecot_line *x)
{
	switch (x->word) {
	case DOVECOT_OK: return x->nologin ? DOVECOT_SAYS_BARRED : DOVECOT_SAYS_YES;
	case DOVECOT_USER: return DOVECOT_SAYS_YES;
	case DOVECOT_NOTFOUND: return DOVECOT_SAYS_NO;
	case DOVECOT_FAIL:
		if (x->temporary || !l->login)
			return DOVECOT_SAYS_NOTHING;
		return x->disabled ? DOVECOT_SAYS_BARRED : DOVECOT_SAYS_NO;
	default: return DOVECOT_SAYS_NOTHING; /* CONT: PLAIN has nothing more to say */
	}
}

/* The answers that belong to the other protocol are nonsense here. */
static bool fits(const struct dovecot_link *l, enum dovecot_word w)
{
	if (w == DOVECOT_OK || w == DOVECOT_CONT)
		return l->login;
	return w == DOVECOT_FAIL || !l->login;
}

static int take_answer(struct dovecot_link *l, const struct dovecot_line *x)
{
	struct question *q = map_get(&l->open, span_of(&x->id, sizeof(x->id)));

	if (!l->shaken || !fits(l, x->word))
		return GW_EFORMAT;
	l->answered = loop_now(l->loop);
	l->away = false;
	if (q != NULL && q->sent) /* else it is too late */
		settle(l, q, meaning(l, x), x->user);
	return 0;
}

static int take_line(struct dovecot_link *l, const struct dovecot_line *x)
{
	switch (x->word) {
	case DOVECOT_OTHER: break;
	case DOVECOT_VERSION:
		if (x->major != DOVECOT_MAJOR)
			return GW_EFORMAT;
		l->version = true;
		l->shaken = l->shaken || !l->login;
		break;
	case DOVECOT_MECH: l->plain = l->plain || x->plain; break;
	case DOVECOT_DONE:
		if (!l->version || !l->plain)
			return GW_EFORMAT;
		l->shaken = true;
		break;
	default: return take_answer(l, x);
	}
	return 0;
}

static int take_lines(struct dovecot_link *l)
{
	struct dovecot_line x;
	struct span in;
	ptrdiff_t at;

	while ((at = span_find(in = buf_view(&l->in), '\n')) >= 0) {
		if (dovecot_read(span_first(in, (size_t)at), &l->room, &x) < 0)
			return GW_EFORMAT;
		/* Whoever hears of it may ask the next question, and lose this connection over it.
		 */
		buf_drop(&l->in, (size_t)at + 1);
		if (take_line(l, &x) < 0)
			return GW_EFORMAT;
	}
	return in.n < DOVECOT_LINE_MAX ? 0 : GW_EFORMAT;
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct dovecot_link *l = arg;
	uint8_t *to = readable ? buf_room(&l->in, READ_STEP) : NULL;
	ssize_t n = to != NULL ? recv(l->fd, to, READ_STEP, MSG_DONTWAIT) : -2;

	(void)writable;
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		disconnect(l, "closed");
		want(l);
		return;
	}
	if (n > 0)
		buf_commit(&l->in, (size_t)n);
	if (n > 0 && take_lines(l) < 0) {
		disconnect(l, "speaks nonsense");
		return;
	}
	buf_trim(&l->in);
	say_all(l);
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool is_late(const struct dovecot_link *l, const struct question *q, int64_t now)
{
	return q->deadline <= now || (!l->shaken && q->asked + DOVECOT_PATIENCE <= now);
}

/* One that said nothing at all since then is of no use. */
static void swept(void *arg)
{
	struct dovecot_link *l = arg;
	int64_t now = loop_now(l->loop);
	struct question *q, *next;

	for (q = TAILQ_FIRST(&l->questions); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (!is_late(l, q, now))
			continue;
		if (l->fd < 0)
			log_away(l, "cannot be connected");
		else if (l->answered < q->asked)
			disconnect(l, "silent");
		settle(l, q, DOVECOT_SAYS_NOTHING, SPAN_NONE);
		next = TAILQ_FIRST(&l->questions);
	}
	want(l);
	timer_set(&l->timer, TAILQ_EMPTY(&l->questions) ? INT64_MAX : now + SWEEP_EVERY);
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct dovecot_link *dovecot_link_new(
    struct loop *loop, const char *path, bool login, const struct dovecot_link_owner *owner)
{
	struct dovecot_link *l = gw_calloc(1, sizeof(*l) + strlen(path) + 1);

	l->loop = loop;
	memcpy(l->path, path, strlen(path));
	l->login = login;
	l->owner = *owner;
	l->fd = -1;
	buf_init(&l->in, DOVECOT_IN_MAX);
	buf_init(&l->out, DOVECOT_OUT_MAX);
	buf_init(&l->room, DOVECOT_LINE_MAX);
	TAILQ_INIT(&l->questions);
	map_init(&l->open, (uint64_t)clock_now());
	timer_start(&l->timer, loop, swept, l);
	return l;
}

void dovecot_link_free(struct dovecot_link **pl)
{
	struct dovecot_link *l = *pl;
	struct question *q;

	if (l == NULL)
		return;
	disconnect(l, NULL);
	while ((q = TAILQ_FIRST(&l->questions)) != NULL)
		settle(l, q, DOVECOT_SAYS_NOTHING, SPAN_NONE);
	timer_stop(&l->timer);
	map_fini(&l->open);
	buf_fini(&l->in);
	buf_wipe(&l->out);
	buf_fini(&l->room);
	free(l);
	*pl = NULL;
}

const char *dovecot_link_path(const struct dovecot_link *l)
{
	return l->path;
}

bool dovecot_link_is_login(const struct dovecot_link *l)
{
	return l->login;
}

bool dovecot_link_idle(const struct dovecot_link *l)
{
	return map_len(&l->open) == 0;
}

void dovecot_link_take(struct dovecot_link *l, int fd)
{
	if (l->fd >= 0) { /* one is enough */
		close(fd);
		return;
	}
	l->fd = fd;
	watch_start(&l->watch, l->loop, fd, on_io, l);
	make_room(l);
	dovecot_put_hello(&l->out, l->login ? (uint32_t)getpid() : 0);
	write_out(l);
}

static struct question *make(struct dovecot_link *l, size_t line, int64_t patience)
{
	struct question *q = gw_calloc(1, sizeof(*q));

	q->id = ++l->last_id != 0 ? l->last_id : ++l->last_id;
	q->asked = loop_now(l->loop);
	q->deadline = q->asked + patience;
	buf_init(&q->line, line);
	if (buf_room(&q->line, line) == NULL)
		die("vault: no memory for a line");
	return q;
}

static bool put(struct dovecot_link *l, struct question *q, dovecot_done *done, void *arg)
{
	q->done = done;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&l->questions, q, link);
	map_put(&l->open, span_of(&q->id, sizeof(q->id)), q);
	if (l->timer.at == INT64_MAX)
		timer_set(&l->timer, q->asked + SWEEP_EVERY);
	want(l);
	say_all(l);
	return true;
}

static void drop(struct question *q)
{
	buf_wipe(&q->line);
	free(q);
}

bool dovecot_ask_login(struct dovecot_link *l, struct span name, struct span password,
    const uint8_t ip[16], dovecot_done *done, void *arg)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool four = memcmp(ip, mapped, sizeof(mapped)) == 0;
	char text[INET6_ADDRSTRLEN];
	struct question *q;

	gw_assert(l->login);
	if (map_len(&l->open) >= DOVECOT_OPEN_MAX)
		return false;
	inet_ntop(four ? AF_INET : AF_INET6, four ? ip + 12 : ip, text, sizeof(text));
	q = make(l, LOGIN_LINE, DOVECOT_ANSWER);
	if (dovecot_put_login(&q->line, q->id, name, password, text) == 0)
		return put(l, q, done, arg);
	drop(q);
	return false;
}

bool dovecot_ask_user(
    struct dovecot_link *l, struct span name, int64_t patience, dovecot_done *done, void *arg)
{
	struct question *q;

	gw_assert(!l->login);
	if (map_len(&l->open) >= DOVECOT_OPEN_MAX || name.n > DOVECOT_NAME_MAX)
		return false;
	q = make(l, USER_LINE, patience);
	dovecot_put_user(&q->line, q->id, name);
	return put(l, q, done, arg);
}
