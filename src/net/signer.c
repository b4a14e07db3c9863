#include "net/signer.h"

#include "base/clock.h"
#include "base/cursor.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	WAIT = 1000, /* milliseconds for a signature */
	REQUEST_HEAD = 8 + 4 + 1 + 1,
	ANSWER_HEAD = 8 + 1,
	REQUEST_MAX = REQUEST_HEAD + SIGNER_DIGEST_OCTETS,
	ANSWER_MAX = ANSWER_HEAD + SIGNER_SIGNATURE_MAX,
	LATE_MAX = 64, /* answers thrown away at one time */
};

size_t signer_digest_octets(unsigned digest)
{
	static const uint8_t octets[] = {
	    [SIGNER_SHA256] = 32, [SIGNER_SHA384] = 48, [SIGNER_SHA512] = 64};

	return digest <= SIGNER_DIGEST_MAX ? octets[digest] : 0;
}

int signer_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) == 0 ? 0 : GW_EIO;
}

static bool is_request(const struct signer_request *r)
{
	return r->scheme <= SIGNER_SCHEME_MAX && r->digest <= SIGNER_DIGEST_MAX &&
	       r->octets == signer_digest_octets(r->digest);
}

/* One message of at most `room` octets; a longer one is none. GW_EBUSY: not yet; GW_EIO: the end.
 */
static ptrdiff_t receive(int fd, uint8_t *to, size_t room)
{
	ssize_t n;

	do
		n = recv(fd, to, room, MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n > (ssize_t)room)
		return GW_EFORMAT;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return GW_EBUSY;
	return n > 0 ? n : GW_EIO;
}

/* Never waits. GW_EBUSY: there is no room. */
static int post(int fd, const struct buf *b)
{
	struct span m = buf_view(b);
	ssize_t n;

	do
		n = send(fd, m.p, m.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == EAGAIN || errno == EWOULDBLOCK ? GW_EBUSY : GW_EIO;
}

/* ---- the receiver's end --------------------------------------------------------------------- */

static int send_request(int fd, uint64_t number, const struct signer_request *r)
{
	struct buf b;
	int status;

	buf_init(&b, REQUEST_MAX);
	put_u64(&b, number);
	put_u32(&b, r->key);
	put_u8(&b, r->scheme);
	put_u8(&b, r->digest);
	buf_add(&b, r->value, r->octets);
	status = post(fd, &b);
	buf_fini(&b);
	return status;
}

/* The signature; GW_EBUSY: it is the answer to an earlier request. */
static ptrdiff_t take_answer(struct span in, uint64_t number, uint8_t *to, size_t room)
{
	struct cursor c = cursor_of(in);
	uint64_t of = get_u64(&c);
	uint8_t good = get_u8(&c);

	if (!cursor_ok(&c))
		return GW_EIO;
	if (of != number)
		return GW_EBUSY;
	if (good != 1 || c.rest.n == 0)
		return GW_EPERM;
	if (c.rest.n > room)
		return GW_EFORMAT;
	memcpy(to, c.rest.p, c.rest.n);
	return (ptrdiff_t)c.rest.n;
}

/* GW_EBUSY: not that one, or none. */
static ptrdiff_t look_for_answer(int fd, uint64_t number, uint8_t *to, size_t room)
{
	uint8_t in[ANSWER_MAX];
	ptrdiff_t n = receive(fd, in, sizeof(in));

	return n < 0 ? n : take_answer(span_of(in, (size_t)n), number, to, room);
}

ptrdiff_t signer_ask(int fd, const struct signer_request *r, uint8_t *to, size_t room)
{
	int64_t until = clock_now() + WAIT * USEC_PER_MSEC, left;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t number;
	ptrdiff_t n;

	if (!is_request(r))
		return GW_EFORMAT;
	if (fd < 0 || getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return GW_EIO;
	n = send_request(fd, number, r);
	if (n < 0)
		return n;
	while ((left = until - clock_now()) > 0) {
		if (poll(&p, 1, (int)(left / USEC_PER_MSEC) + 1) <= 0)
			continue;
		n = look_for_answer(fd, number, to, room);
		if (n != GW_EBUSY)
			return n;
	}
	return GW_EBUSY;
}

bool signer_was_late(int fd)
{
	uint8_t in[ANSWER_MAX];
	int n = 0;

	while (n < LATE_MAX && receive(fd, in, sizeof(in)) > 0)
		n++;
	return n > 0;
}

/* ---- the vault's end ------------------------------------------------------------------------ */

struct signer {
	signer_fn fn;
	void *arg;
	pthread_t thread;
	int wake;             /* eventfd: there is a new socket, or the end */
	int fd;               /* the thread's own */
	pthread_mutex_t lock; /* of what follows */
	int next;
	bool has_next, stop;
};

static int parse_request(struct span in, uint64_t *number, struct signer_request *r)
{
	struct cursor c = cursor_of(in);

	*number = get_u64(&c);
	*r = (struct signer_request){.key = get_u32(&c)};
	r->scheme = get_u8(&c);
	r->digest = get_u8(&c);
	if (!cursor_ok(&c) || c.rest.n > sizeof(r->value))
		return GW_EFORMAT;
	r->octets = (uint8_t)c.rest.n;
	memcpy(r->value, c.rest.p, c.rest.n);
	return is_request(r) ? 0 : GW_EFORMAT;
}

/* An answer for which the receiver has no room is lost: it asked more than it reads. */
static void answer(int fd, uint64_t number, const uint8_t *signature, ptrdiff_t n)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	put_u64(&b, number);
	put_u8(&b, n > 0);
	if (n > 0)
		buf_add(&b, signature, (size_t)n);
	if (post(fd, &b) == GW_EIO)
		shutdown(fd, SHUT_RDWR); /* seen by the next poll */
	buf_fini(&b);
}

/* False: this socket is of no more use. */
static bool serve_one(struct signer *s)
{
	uint8_t in[REQUEST_MAX], signature[SIGNER_SIGNATURE_MAX];
	struct signer_request r;
	uint64_t number;
	ptrdiff_t n = receive(s->fd, in, sizeof(in));

	if (n == GW_EBUSY)
		return true;
	if (n < 0 || parse_request(span_of(in, (size_t)n), &number, &r) < 0)
		return false;
	n = s->fn(s->arg, &r, signature);
	gw_assert(n <= SIGNER_SIGNATURE_MAX);
	answer(s->fd, number, signature, n);
	return true;
}

static void drop_socket(struct signer *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* What the other thread left for this one. False: the end. */
static bool take_orders(struct signer *s)
{
	uint64_t count;
	bool stop;

	if (read(s->wake, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		die("signer: eventfd: %d", errno);
	pthread_mutex_lock(&s->lock);
	if (s->has_next) {
		drop_socket(s);
		s->fd = s->next;
		s->has_next = false;
	}
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct signer *s = arg;

	for (;;) {
		struct pollfd p[2] = {
		    {.fd = s->wake, .events = POLLIN}, {.fd = s->fd, .events = POLLIN}};

		if (poll(p, 2, -1) < 0 && errno != EINTR && errno != ENOMEM)
			die("signer: poll: %d", errno);
		if (p[0].revents != 0 && !take_orders(s))
			break;
		if (p[0].revents == 0 && p[1].revents != 0 && !serve_one(s))
			drop_socket(s);
	}
	drop_socket(s);
	return NULL;
}

struct signer *signer_start(signer_fn fn, void *arg)
{
	struct signer *s = gw_calloc(1, sizeof(*s));

	s->fn = fn;
	s->arg = arg;
	s->fd = -1;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0 || pthread_mutex_init(&s->lock, NULL) != 0 ||
	    pthread_create(&s->thread, NULL, run, s) != 0)
		die("signer: there can be no thread for it");
	return s;
}

static void wake(struct signer *s)
{
	uint64_t one = 1;

	/* Full only if it was woken 2^64 times: then it is awake. */
	if (write(s->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		die("signer: eventfd: %d", errno);
}

void signer_serve(struct signer *s, int fd)
{
	pthread_mutex_lock(&s->lock);
	if (s->has_next && s->next >= 0)
		close(s->next);
	s->next = fd;
	s->has_next = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

void signer_stop(struct signer **ps)
{
	struct signer *s = *ps;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	wake(s);
	pthread_join(s->thread, NULL);
	if (s->has_next && s->next >= 0)
		close(s->next);
	close(s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*ps = NULL;
}
