/*
 * One connection of a source: connecting, TLS, reading and writing without waiting, and its loss.
 */
#include "cmd/bench_source.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	SESSION_MAGIC = GW_MAGIC('b', 's', 'e', 's'),
	COMMANDS_MAX = 64 << 10,
};

static const int64_t backoff_first = 20 * USEC_PER_MSEC;
static const int64_t backoff_most = 1 * USEC_PER_SEC;

void session_init(struct source *src, struct session *s)
{
	(void)src;
	*s = (struct session){.magic = SESSION_MAGIC, .fd = -1, .state = SESSION_WAITING};
	s->backoff = backoff_first;
	buf_init(&s->head, COMMANDS_MAX);
	buf_init(&s->tail, COMMANDS_MAX);
	buf_init(&s->now.why, JOB_WHY_MAX);
	buf_init(&s->next.why, JOB_WHY_MAX);
}

void session_fini(struct session *s)
{
	send_tls_free(&s->tls);
	if (s->fd >= 0)
		close(s->fd);
	buf_fini(&s->head);
	buf_fini(&s->tail);
	buf_fini(&s->now.why);
	buf_fini(&s->next.why);
}

/* ---- connecting -------------------------------------------------------------------------- */

static void watch(struct source *src, struct session *s, bool writable)
{
	struct epoll_event ev = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = s};

	if (s->writable_asked == writable)
		return;
	s->writable_asked = writable;
	if (epoll_ctl(src->epoll, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		die("epoll: %s", strerror(errno));
}

void session_start(struct source *src, struct session *s, int64_t now)
{
	const struct bench_target *t = &src->opt.target;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
	int one = 1;

	s->fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		session_lost(src, s, now, strerror(errno));
		return;
	}
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s->fd, (const struct sockaddr *)&t->addr, t->len) < 0 && errno != EINPROGRESS) {
		session_lost(src, s, now, strerror(errno));
		return;
	}
	s->state = SESSION_CONNECTING;
	s->writable_asked = true;
	s->heard_at = now;
	s->numbers = s->acked = 0;
	s->in_used = 0;
	s->pipelining = false;
	if (epoll_ctl(src->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		die("epoll: %s", strerror(errno));
}

/* TLS from the first octet, with whoever is there: it is the load that counts. */
static void shake(struct source *src, struct session *s)
{
	static const struct send_tls_wish wish;
	char why[SEND_TLS_WHY];
	bool writable = false;
	int done = GW_EIO;

	if (s->tls == NULL)
		s->tls = send_tls_begin(s->fd, &wish, why);
	if (s->tls != NULL)
		done = send_tls_shake(s->tls, &writable, why);
	if (done < 0) {
		session_lost(src, s, clock_now(), why);
		return;
	}
	if (done == 1)
		s->state = SESSION_GREETING;
	watch(src, s, writable);
}

static void connected(struct source *src, struct session *s, int64_t now)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		session_lost(src, s, now, strerror(err));
		return;
	}
	src->connections++;
	s->state = src->opt.tls ? SESSION_SHAKING : SESSION_GREETING;
	watch(src, s, false);
	if (src->opt.tls)
		shake(src, s);
}

static void settle_lost(struct source *src, struct job *j, int64_t now)
{
	if (j->n == 0)
		return;
	if (j->failed)
		source_settle(src, j, FATE_REFUSED, buf_view(&j->why), now);
	else
		source_settle(src, j, j->dotted ? FATE_UNKNOWN : FATE_UNSENT, SPAN_NONE, now);
}

static void forget_output(struct session *s)
{
	buf_clear(&s->head);
	buf_clear(&s->tail);
	s->body = SPAN_NONE;
	s->until_dot = 0;
}

/* A server that hangs up between messages it took is not a failure; one that takes none is. */
void session_lost(struct source *src, struct session *s, int64_t now, const char *why)
{
	bool idle = s->now.n == 0;

	send_tls_free(&s->tls);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	settle_lost(src, &s->now, now);
	settle_lost(src, &s->next, now);
	forget_output(s);
	if (s->state != SESSION_QUIT) {
		src->failures++;
		source_trouble(src, "connection", span_str(why));
	}
	if (s->acked > 0)
		s->backoff = backoff_first;
	s->wake_at = s->state == SESSION_QUIT || (idle && s->acked > 0) ? now : now + s->backoff;
	if (s->wake_at > now)
		s->backoff = s->backoff * 2 < backoff_most ? s->backoff * 2 : backoff_most;
	s->state = SESSION_WAITING;
	if (src->next_n == 0 || (s->acked == 0 && s->wake_at > now && !src->opt.keep_going)) {
		s->state = SESSION_OVER;
		src->open--;
	}
	s->acked = 0;
}

/* ---- bytes out and in ------------------------------------------------------------------ */

static void wrote(struct session *s, size_t n, int64_t now)
{
	size_t part = n < buf_len(&s->head) ? n : buf_len(&s->head);

	if (s->until_dot > 0) {
		s->until_dot -= n < s->until_dot ? n : s->until_dot;
		if (s->until_dot == 0) {
			s->now.dotted = true;
			s->now.dot_at = now;
		}
	}
	buf_drop(&s->head, part);
	n -= part;
	part = n < s->body.n ? n : s->body.n;
	s->body = span_skip(s->body, part);
	buf_drop(&s->tail, n - part);
}

static size_t unwritten(const struct session *s)
{
	return buf_len(&s->head) + s->body.n + buf_len(&s->tail);
}

/* As much as the kernel takes now; -1 with errno. Under TLS one piece after the other. */
static ssize_t write_some(struct session *s)
{
	struct span h = buf_view(&s->head), t = buf_view(&s->tail);
	struct iovec iov[3] = {
	    {(void *)h.p, h.n}, {(void *)s->body.p, s->body.n}, {(void *)t.p, t.n}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

	if (s->tls == NULL)
		return sendmsg(s->fd, &msg, MSG_NOSIGNAL);
	return send_tls_write(s->tls, h.n > 0 ? h : s->body.n > 0 ? s->body : t);
}

static void session_write(struct source *src, struct session *s)
{
	while (unwritten(s) > 0) {
		/* The clock starts before the call: on loopback the server may answer within it. */
		int64_t now = s->until_dot > 0 ? clock_now() : s->heard_at;
		ssize_t n = write_some(s);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			session_lost(src, s, clock_now(), strerror(errno));
			return;
		}
		s->heard_at = now;
		wrote(s, (size_t)n, now);
	}
	watch(src, s, unwritten(s) > 0);
}

static void take_lines(struct source *src, struct session *s, int64_t now)
{
	size_t at = 0;

	while (s->fd >= 0) {
		struct span rest = span_of(s->in + at, s->in_used - at);
		ptrdiff_t lf = span_find(rest, '\n');

		if (lf < 0)
			break;
		at += (size_t)lf + 1;
		session_line(src, s, span_first(rest, (size_t)lf + 1), now);
	}
	if (s->fd < 0)
		return;
	if (at > 0 && at < s->in_used)
		memmove(s->in, s->in + at, s->in_used - at);
	s->in_used -= at;
	if (s->in_used == sizeof(s->in))
		session_lost(src, s, now, "a reply line without an end");
}

static void session_read(struct source *src, struct session *s)
{
	size_t room = sizeof(s->in) - s->in_used;
	ssize_t n = s->tls != NULL ? send_tls_read(s->tls, (uint8_t *)s->in + s->in_used, room)
				   : recv(s->fd, s->in + s->in_used, room, 0);
	int64_t now;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	now = clock_now();
	if (n <= 0) {
		session_lost(src, s, now, n < 0 ? strerror(errno) : "closed by the server");
		return;
	}
	s->heard_at = now;
	s->in_used += (size_t)n;
	take_lines(src, s, now);
}

/* TLS may hold more than epoll knows of. */
static void read_all(struct source *src, struct session *s)
{
	do
		session_read(src, s);
	while (s->fd >= 0 && s->tls != NULL && send_tls_pending(s->tls));
}

void session_event(struct source *src, struct session *s, uint32_t events)
{
	gw_check_magic(s, SESSION_MAGIC);
	if (s->fd < 0)
		return;
	if (s->state == SESSION_CONNECTING)
		connected(src, s, clock_now());
	else if (s->state == SESSION_SHAKING)
		shake(src, s);
	else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		read_all(src, s);
	if (s->fd >= 0 && unwritten(s) > 0)
		session_write(src, s);
	else if (s->fd >= 0 && s->writable_asked && s->state > SESSION_SHAKING)
		watch(src, s, false);
	if (s->state == SESSION_WAITING && s->wake_at <= clock_now())
		session_start(src, s, clock_now());
}
