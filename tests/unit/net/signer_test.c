/* The socket of signatures: good answers, late ones, hostile ends, a socket that is replaced. */
#include "unit/base/helper.h"

#include "base/cursor.h"
#include "net/signer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 2048 };

struct bench {
	struct signer *signer;
	int fd;          /* ours */
	ptrdiff_t gives; /* octets of the signature, or a GW_E* */
	unsigned pause;  /* milliseconds */
	unsigned calls;
	struct signer_request last; /* what came */
};

static ptrdiff_t sign(void *arg, const struct signer_request *r, uint8_t to[SIGNER_SIGNATURE_MAX])
{
	struct bench *b = arg;

	b->last = *r;
	__atomic_add_fetch(&b->calls, 1, __ATOMIC_SEQ_CST);
	if (b->pause > 0)
		usleep(b->pause * 1000);
	if (b->gives > 0)
		memset(to, (int)r->key, (size_t)b->gives);
	return b->gives;
}

static void reconnect(struct bench *b)
{
	int fd[2];

	if (b->fd >= 0)
		close(b->fd);
	assert_int_equal(signer_pair(fd), 0);
	b->fd = fd[0];
	signer_serve(b->signer, fd[1]);
}

static int set_up(void **state)
{
	struct bench *b = gw_calloc(1, sizeof(*b));

	b->fd = -1;
	b->gives = 70;
	b->signer = signer_start(sign, b);
	reconnect(b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	signer_stop(&b->signer);
	assert_null(b->signer);
	close(b->fd);
	free(b);
	return 0;
}

static struct signer_request request(uint32_t key, unsigned scheme, unsigned digest)
{
	struct signer_request r = {
	    .key = key, .scheme = (uint8_t)scheme, .digest = (uint8_t)digest};

	r.octets = (uint8_t)signer_digest_octets(digest);
	memset(r.value, 0xd1, r.octets);
	return r;
}

static ptrdiff_t ask(struct bench *b, uint32_t key)
{
	struct signer_request r = request(key, SIGNER_ECDSA, SIGNER_SHA256);
	uint8_t to[SIGNER_SIGNATURE_MAX];
	ptrdiff_t n = signer_ask(b->fd, &r, to, sizeof(to));

	for (ptrdiff_t i = 0; i < n; i++)
		assert_int_equal(to[i], (uint8_t)key);
	return n;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- honest ends ---- */

static void every_request(void **state)
{
	struct bench *b = *state;
	uint8_t to[SIGNER_SIGNATURE_MAX];

	for (unsigned scheme = 0; scheme <= SIGNER_SCHEME_MAX; scheme++) {
		for (unsigned digest = 0; digest <= SIGNER_DIGEST_MAX; digest++) {
			struct signer_request r = request(7, scheme, digest);

			b->gives = SIGNER_SIGNATURE_MAX;
			assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), b->gives);
			assert_int_equal(b->last.key, 7);
			assert_int_equal(b->last.scheme, scheme);
			assert_int_equal(b->last.digest, digest);
			assert_int_equal(b->last.octets, r.octets);
			assert_memory_equal(b->last.value, r.value, r.octets);
		}
	}
}

static void refusals(void **state)
{
	struct bench *b = *state;
	struct signer_request r = request(1, SIGNER_ECDSA, SIGNER_SHA256);
	uint8_t to[10];

	b->gives = GW_ENOENT;
	assert_int_equal(ask(b, 1), GW_EPERM);
	b->gives = 0; /* no signature is no signature */
	assert_int_equal(ask(b, 1), GW_EPERM);
	b->gives = 11;
	assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), GW_EFORMAT);
	b->gives = 10;
	assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), 10);
	assert_int_equal(signer_ask(-1, &r, to, sizeof(to)), GW_EIO);
}

/* What is no request does not leave us. */
static void a_wrong_request_is_not_sent(void **state)
{
	struct bench *b = *state;
	struct signer_request r = request(1, SIGNER_ECDSA, SIGNER_SHA256);
	uint8_t to[SIGNER_SIGNATURE_MAX];

	r.octets = 48;
	assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), GW_EFORMAT);
	r = request(1, SIGNER_SCHEME_MAX + 1, SIGNER_SHA256);
	assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), GW_EFORMAT);
	r = request(1, SIGNER_ECDSA, SIGNER_DIGEST_MAX + 1);
	assert_int_equal(signer_ask(b->fd, &r, to, sizeof(to)), GW_EFORMAT);
	assert_int_equal(ask(b, 1), 70);
	assert_int_equal(b->calls, 1);
}

static void a_late_answer_is_nobodys(void **state)
{
	struct bench *b = *state;
	int64_t start = now_ms();

	b->pause = 1200;
	assert_int_equal(ask(b, 1), GW_EBUSY);
	assert_in_range(now_ms() - start, 950, 1190);
	assert_false(signer_was_late(b->fd));
	b->pause = 0;
	assert_int_equal(ask(b, 2), 70); /* its own: ask() looks at the octets */
	b->pause = 1100;
	assert_int_equal(ask(b, 3), GW_EBUSY);
	usleep(300000);
	assert_true(signer_was_late(b->fd));
	assert_false(signer_was_late(b->fd));
}

static void a_new_socket_replaces_the_old(void **state)
{
	struct bench *b = *state;
	int old[2], fd[2];

	for (int i = 0; i < 50; i++) {
		reconnect(b);
		assert_int_equal(ask(b, (uint32_t)i), 70);
	}
	/* The old one is closed, also one that was never looked at. */
	assert_int_equal(signer_pair(old), 0);
	assert_int_equal(signer_pair(fd), 0);
	signer_serve(b->signer, old[1]);
	signer_serve(b->signer, fd[1]);
	close(b->fd);
	b->fd = fd[0];
	assert_int_equal(ask(b, 5), 70);
	assert_int_equal(recv(old[0], fd, 1, 0), 0);
	close(old[0]);
	signer_serve(b->signer, -1);
	assert_int_equal(ask(b, 6), GW_EIO);
}

/* ---- a hostile receiver ---- */

static void post(int fd, const void *p, size_t n)
{
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static bool is_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t octet;

	return poll(&p, 1, 2000) == 1 && recv(fd, &octet, 1, MSG_DONTWAIT) <= 0;
}

/* Every length, and every value of the two octets that name scheme and digest. */
static void malformed_requests(void **state)
{
	struct bench *b = *state;
	uint8_t m[LONGEST] = {0};

	for (size_t n = 1; n < 120; n++) {
		if (n == 14 + 32)
			continue;
		reconnect(b);
		post(b->fd, m, n);
		assert_true(is_closed(b->fd));
	}
	for (unsigned v = 0; v < 256; v++) {
		bool good = v <= SIGNER_SCHEME_MAX;

		memset(m, 0, 14);
		m[12] = (uint8_t)v;
		reconnect(b);
		post(b->fd, m, 14 + 32);
		if (!good)
			assert_true(is_closed(b->fd));
		m[12] = 0;
		m[13] = (uint8_t)v;
		reconnect(b);
		post(b->fd, m, 14 + 32);
		if (v != SIGNER_SHA256)
			assert_true(is_closed(b->fd));
	}
	reconnect(b);
	post(b->fd, m, sizeof(m));
	assert_true(is_closed(b->fd));
	reconnect(b);
	assert_int_equal(ask(b, 9), 70);
}

/* It asks and never reads: it loses answers, and the signer goes on. */
static void a_flood(void **state)
{
	struct bench *b = *state;
	uint8_t m[14 + 32] = {0};
	unsigned sent = 0;

	for (int i = 0; i < 20000; i++)
		sent += send(b->fd, m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
	assert_true(sent > 100);
	reconnect(b);
	assert_int_equal(ask(b, 3), 70);
}

/* ---- a hostile signer ---- */

struct liar {
	int fd;
	uint8_t answer[LONGEST];
	size_t n;
	bool keeps_number, repeats;
};

static void *lie(void *arg)
{
	struct liar *l = arg;
	uint8_t in[256];

	if (recv(l->fd, in, sizeof(in), 0) < 14)
		return NULL;
	if (l->keeps_number)
		memcpy(l->answer, in, 8);
	for (int i = 0; i < (l->repeats ? 100 : 1); i++)
		(void)!send(l->fd, l->answer, l->n, MSG_NOSIGNAL);
	return NULL;
}

static ptrdiff_t ask_liar(size_t n, bool keeps_number, uint8_t good, bool repeats)
{
	struct liar l = {.n = n, .keeps_number = keeps_number, .repeats = repeats};
	struct signer_request r = request(1, SIGNER_RSA_PSS, SIGNER_SHA512);
	uint8_t to[SIGNER_SIGNATURE_MAX];
	pthread_t t;
	int fd[2];
	ptrdiff_t got;

	l.answer[8] = good;
	assert_int_equal(signer_pair(fd), 0);
	l.fd = fd[1];
	pthread_create(&t, NULL, lie, &l);
	got = signer_ask(fd[0], &r, to, sizeof(to));
	pthread_join(t, NULL);
	close(fd[0]);
	close(fd[1]);
	return got;
}

static void malformed_answers(void **state)
{
	(void)state;
	assert_int_equal(ask_liar(9 + 64, true, 1, false), 64);
	assert_int_equal(ask_liar(9 + SIGNER_SIGNATURE_MAX, true, 1, false), SIGNER_SIGNATURE_MAX);
	for (size_t n = 1; n < 9; n++)
		assert_int_equal(ask_liar(n, true, 1, false), GW_EIO);
	assert_int_equal(ask_liar(9, true, 1, false), GW_EPERM);
	assert_int_equal(ask_liar(9 + 64, true, 2, false), GW_EPERM);
	assert_true(ask_liar(9 + SIGNER_SIGNATURE_MAX + 1, true, 1, false) < 0);
	assert_true(ask_liar(LONGEST, true, 1, false) < 0);
	/* Answers to what nobody asked keep us no longer than the deadline. */
	assert_int_equal(ask_liar(9 + 64, false, 1, true), GW_EBUSY);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {T(every_request), T(refusals),
	    T(a_wrong_request_is_not_sent), T(a_late_answer_is_nobodys),
	    T(a_new_socket_replaces_the_old), T(malformed_requests), T(a_flood),
	    cmocka_unit_test(malformed_answers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
