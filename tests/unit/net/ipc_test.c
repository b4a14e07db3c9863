/* Channels: the permit table both ways, hostile peers, descriptors, back-pressure, the end. */
#include "unit/base/helper.h"

#include "base/cursor.h"
#include "base/log.h"
#include "net/ipc.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEPT = 5000 };

struct end {
	struct ipc *ipc;
	unsigned frames, drained;
	enum ipc_type type[KEPT];
	size_t length[KEPT];
	uint8_t last[64];
	int fd;
	const char *why;
	bool end_now, pause_now;
};

struct pair {
	struct loop *loop;
	struct end a, b;
	int raw; /* the other end of b, where a is not an ipc */
};

static void frame(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct end *e = arg;

	assert_in_range(e->frames, 0, KEPT - 1);
	e->type[e->frames] = f->type;
	e->length[e->frames++] = f->payload.n;
	if (f->payload.n > 0)
		memcpy(e->last, f->payload.p, f->payload.n < 64 ? f->payload.n : 64);
	if (f->fd >= 0)
		e->fd = f->fd;
	if (e->end_now)
		ipc_end(c, "enough");
	if (e->pause_now)
		ipc_pause(c, true);
}

static void closed(void *arg, struct ipc *c, const char *why)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->ipc);
	assert_null(e->why); /* told once */
	e->why = why;
	ipc_free(&e->ipc);
}

static void drained(void *arg, struct ipc *c)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->ipc);
	e->drained++;
}

static void open_end(struct pair *p, struct end *e, int fd, enum role self, enum role peer)
{
	struct ipc_owner owner = {frame, closed, drained, e};

	e->fd = -1;
	e->ipc = ipc_new(p->loop, fd, self, peer, 3, &owner);
	assert_int_equal(ipc_peer(e->ipc), peer);
	assert_int_equal(ipc_peer_index(e->ipc), 3);
}

static struct pair *open_pair(enum role a, enum role b)
{
	struct pair *p = gw_calloc(1, sizeof(*p));
	int fd[2];

	log_setup(STDERR_FILENO, LOG_NONE, "test");
	p->loop = loop_new();
	p->raw = -1;
	assert_int_equal(ipc_pair(fd), 0);
	open_end(p, &p->a, fd[0], a, b);
	open_end(p, &p->b, fd[1], b, a);
	return p;
}

/* b alone is a channel; the test writes what it likes into the other end. */
static struct pair *open_raw(enum role a, enum role b)
{
	struct pair *p = gw_calloc(1, sizeof(*p));
	int fd[2];

	log_setup(STDERR_FILENO, LOG_NONE, "test");
	p->loop = loop_new();
	assert_int_equal(ipc_pair(fd), 0);
	p->raw = fd[0];
	open_end(p, &p->b, fd[1], b, a);
	return p;
}

static void close_end(struct end *e)
{
	if (e->fd >= 0)
		close(e->fd);
	ipc_free(&e->ipc);
}

static void close_pair(struct pair *p)
{
	close_end(&p->a);
	close_end(&p->b);
	if (p->raw >= 0)
		close(p->raw);
	loop_free(&p->loop);
	free(p);
}

static void turn(struct pair *p, int n)
{
	while (n-- > 0)
		loop_once(p->loop, false);
}

static int send_n(struct end *e, enum ipc_type type, size_t n, int fd)
{
	static uint8_t bytes[4 << 20];
	struct span part = span_of(bytes, n);

	return ipc_send(e->ipc, type, &part, 1, fd);
}

static void put_frame(struct buf *b, uint32_t length, uint16_t type, uint16_t fds, size_t payload)
{
	put_u32(b, length);
	put_u16(b, type);
	put_u16(b, fds);
	for (size_t i = 0; i < payload; i++)
		put_u8(b, (uint8_t)i);
}

static void write_raw(struct pair *p, const struct buf *b)
{
	struct span s = buf_view(b);

	while (s.n > 0) {
		ssize_t n = write(p->raw, s.p, s.n);

		if (n < 0) {
			loop_once(p->loop, false);
			if (p->b.ipc == NULL)
				return;
			continue;
		}
		s = span_skip(s, (size_t)n);
	}
	turn(p, 6);
}

/* ---- plain use ---------------------------------------------------------------------------- */

static void test_both_ways(void **state)
{
	struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);
	struct span parts[3] = {
	    SPAN("12345678"), SPAN_NONE, SPAN("and the rest of the payload...")};

	(void)state;
	assert_int_equal(ipc_send(p->a.ipc, IPC_COMMIT, parts, 3, -1), 0);
	assert_int_equal(send_n(&p->a, IPC_PART, 9, -1), 0);
	assert_int_equal(p->b.frames, 0); /* once per turn, not at once */
	turn(p, 3);
	assert_int_equal(p->b.frames, 2);
	assert_true(p->b.type[0] == IPC_COMMIT && p->b.length[0] == 38);
	assert_true(p->b.type[1] == IPC_PART && p->b.length[1] == 9);
	assert_int_equal(send_n(&p->b, IPC_COMMITTED, 9, -1), 0);
	assert_true(ipc_push(p->b.ipc));
	turn(p, 2);
	assert_int_equal(p->a.frames, 1);
	assert_null(p->a.why);
	close_pair(p);
}

static void test_large(void **state)
{
	struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(send_n(&p->a, IPC_COMMIT, ipc_rows[IPC_COMMIT].max, -1), 0);
	for (int i = 0; i < 500 && p->b.frames < 5; i++)
		turn(p, 1);
	assert_int_equal(p->b.frames, 5);
	assert_int_equal(p->b.length[4], ipc_rows[IPC_COMMIT].max);
	close_pair(p);
}

static void test_byte_by_byte(void **state)
{
	struct pair *p = open_raw(ROLE_SMTPD, ROLE_QUEUE);
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	put_frame(&b, 8, IPC_ABORT, 0, 8);
	put_frame(&b, 24, IPC_ASK, 0, 24);
	for (size_t i = 0; i < buf_len(&b); i++) {
		assert_int_equal(p->b.frames, i < 16 ? 0 : 1);
		assert_int_equal(write(p->raw, buf_view(&b).p + i, 1), 1);
		turn(p, 2);
	}
	assert_int_equal(p->b.frames, 2);
	assert_int_equal(p->b.last[23], 23);
	buf_fini(&b);
	close_pair(p);
}

/* ---- the permit table --------------------------------------------------------------------- */

/* Every type between every two roles, at and beyond its bounds. */
static void test_decode_table(void **state)
{
	static uint8_t payload[8 << 20];
	struct ipc_frame f;
	unsigned permitted = 0;

	(void)state;
	for (unsigned t = 0; t < IPC_COUNT + 3; t++) {
		for (int from = 0; from < ROLE_COUNT; from++) {
			for (int to = 0; to < ROLE_COUNT; to++) {
				const struct ipc_row *row = &ipc_rows[t < IPC_COUNT ? t : 0];
				bool may = t > IPC_NONE && t < IPC_COUNT &&
					   (row->from >> from & 1) && (row->to >> to & 1);
				struct buf b;

				buf_init(&b, 100);
				put_frame(&b, row->min, (uint16_t)t, (uint16_t)row->fds, 0);
				memcpy(payload, buf_view(&b).p, 8);
				buf_fini(&b);
				assert_true(ipc_decode(span_of(payload, 8 + row->min),
						(enum role)from, (enum role)to, &f) ==
					    (may ? (ptrdiff_t)(8 + row->min) : GW_EFORMAT));
				permitted += may;
				if (may)
					assert_true(f.type == (enum ipc_type)t &&
						    f.payload.n == row->min &&
						    (f.fd >= 0) == (row->fds > 0));
			}
		}
	}
	assert_in_range(permitted, 30, 240);
}

static ptrdiff_t decode(uint32_t length, uint16_t type, uint16_t fds, size_t have)
{
	static uint8_t bytes[4 << 20];
	struct ipc_frame f;
	struct buf b;

	buf_init(&b, 100);
	put_frame(&b, length, type, fds, 0);
	memcpy(bytes, buf_view(&b).p, 8);
	buf_fini(&b);
	return ipc_decode(span_of(bytes, have), ROLE_SMTPD, ROLE_QUEUE, &f);
}

static void test_decode_bounds(void **state)
{
	uint32_t max = ipc_rows[IPC_COMMIT].max;

	(void)state;
	for (size_t have = 0; have < 16; have++)
		assert_int_equal(decode(8, IPC_ABORT, 0, have), 0);
	assert_int_equal(decode(8, IPC_ABORT, 0, 16), 16);
	assert_int_equal(decode(8, IPC_ABORT, 0, 100), 16);
	/* What can never become right is said as soon as the header is there. */
	assert_int_equal(decode(7, IPC_ABORT, 0, 8), GW_EFORMAT);
	assert_int_equal(decode(9, IPC_ABORT, 0, 8), GW_EFORMAT);
	assert_int_equal(decode(8, IPC_ABORT, 1, 8), GW_EFORMAT);
	assert_int_equal(decode(UINT32_MAX, IPC_COMMIT, 0, 8), GW_EFORMAT);
	assert_int_equal(decode(max + 1, IPC_COMMIT, 0, 8), GW_EFORMAT);
	assert_int_equal(decode(max, IPC_COMMIT, 0, 8 + max - 1), 0);
	assert_int_equal(decode(max, IPC_COMMIT, 0, 8 + max), (ptrdiff_t)(8 + max));
	assert_int_equal(decode(8, IPC_NONE, 0, 16), GW_EFORMAT);
	assert_int_equal(decode(8, UINT16_MAX, 0, 16), GW_EFORMAT);
	assert_int_equal(decode(8, IPC_CONFIRM, 0, 16), GW_EFORMAT); /* the queue's to say */
}

static void forbidden(uint32_t length, uint16_t type, uint16_t fds, size_t payload)
{
	struct pair *p = open_raw(ROLE_SMTPD, ROLE_QUEUE);
	struct buf b;

	buf_init(&b, 1000);
	put_frame(&b, 8, IPC_ABORT, 0, 8);
	put_frame(&b, length, type, fds, payload);
	put_frame(&b, 8, IPC_ABORT, 0, 8);
	write_raw(p, &b);
	assert_int_equal(p->b.frames, 1); /* nothing behind it */
	assert_non_null(p->b.why);
	assert_string_equal(p->b.why, "forbidden_frame");
	buf_fini(&b);
	close_pair(p);
}

static void test_forbidden(void **state)
{
	(void)state;
	forbidden(8, IPC_CONFIRM, 0, 8);
	forbidden(0, IPC_NONE, 0, 0);
	forbidden(8, 999, 0, 8);
	forbidden(7, IPC_ABORT, 0, 7);
	forbidden(0xffffffff, IPC_COMMIT, 0, 8);
	forbidden(8, IPC_CONFIG, 1, 8); /* master's, and without its descriptor */
}

/* A descriptor was promised and did not come. */
static void test_missing_fd(void **state)
{
	struct pair *p = open_raw(ROLE_MASTER, ROLE_QUEUE);
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	put_frame(&b, 8, IPC_CONFIG, 1, 8);
	write_raw(p, &b);
	assert_string_equal(p->b.why, "forbidden_frame");
	buf_fini(&b);
	close_pair(p);
}

/* What the table forbids to us is a bug of ours: it ends the process. */
static void dies(enum ipc_type type, size_t n, int fd)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);

		freopen("/dev/null", "w", stderr);
		signal(SIGABRT, SIG_DFL);
		(void)!send_n(&p->a, type, n, fd);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_own_bugs(void **state)
{
	(void)state;
	dies(IPC_CONFIRM, 8, -1);
	dies(IPC_ABORT, 7, -1);
	dies(IPC_ABORT, 9, -1);
	dies(IPC_ABORT, 8, 0);
	dies(IPC_COMMIT, ipc_rows[IPC_COMMIT].max + 1, -1);
}

/* ---- how many may be outstanding ---------------------------------------------------------- */

static void test_outstanding(void **state)
{
	struct pair *p = open_pair(ROLE_CONTROL, ROLE_QUEUE);
	unsigned most = ipc_rows[IPC_QUERY].most;

	(void)state;
	for (unsigned i = 0; i < most; i++)
		assert_int_equal(send_n(&p->a, IPC_QUERY, 9, -1), 0);
	assert_int_equal(send_n(&p->a, IPC_QUERY, 9, -1), GW_EFULL);
	turn(p, 4);
	assert_int_equal(p->b.frames, most);
	assert_int_equal(send_n(&p->a, IPC_QUERY, 9, -1), GW_EFULL);
	assert_int_equal(send_n(&p->b, IPC_ANSWER, 9, -1), 0);
	turn(p, 3);
	assert_int_equal(send_n(&p->a, IPC_QUERY, 9, -1), 0); /* one is settled */
	assert_int_equal(send_n(&p->a, IPC_QUERY, 9, -1), GW_EFULL);
	turn(p, 3);
	assert_null(p->a.why);
	assert_null(p->b.why);
	close_pair(p);
}

static void test_too_many(void **state)
{
	struct pair *p = open_raw(ROLE_CONTROL, ROLE_QUEUE);
	unsigned most = ipc_rows[IPC_QUERY].most;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i <= most; i++)
		put_frame(&b, 9, IPC_QUERY, 0, 9);
	write_raw(p, &b);
	assert_string_equal(p->b.why, "too_many_outstanding");
	assert_int_equal(p->b.frames, most);
	buf_fini(&b);
	close_pair(p);
}

/* COMMIT and ASK are settled by the same answer: each answer settles one. */
static void test_shared_answer(void **state)
{
	struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);
	unsigned most = ipc_rows[IPC_ASK].most;

	(void)state;
	assert_int_equal(send_n(&p->a, IPC_COMMIT, 32, -1), 0);
	for (unsigned i = 0; i < most; i++)
		assert_int_equal(send_n(&p->a, IPC_ASK, 24, -1), 0);
	assert_int_equal(send_n(&p->a, IPC_ASK, 24, -1), GW_EFULL);
	turn(p, 6);
	assert_int_equal(p->b.frames, most + 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(send_n(&p->b, IPC_COMMITTED, 9, -1), 0);
	turn(p, 4);
	assert_int_equal(send_n(&p->a, IPC_ASK, 24, -1), 0);
	assert_int_equal(send_n(&p->a, IPC_ASK, 24, -1), GW_EFULL);
	turn(p, 3);
	assert_null(p->b.why);
	close_pair(p);
}

/* ---- descriptors -------------------------------------------------------------------------- */

static bool same_file(int a, int b)
{
	char text[2][100] = {{0}}, name[40];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", a);
	assert_true(readlink(name, text[0], 99) > 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", b);
	assert_true(readlink(name, text[1], 99) > 0);
	return strcmp(text[0], text[1]) == 0;
}

/* Each descriptor comes with its own frame, whatever goes before and behind. */
static void test_descriptors(void **state)
{
	struct pair *p = open_pair(ROLE_MASTER, ROLE_CONTROL);
	int pipes[2][2];

	(void)state;
	assert_true(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(send_n(&p->a, IPC_ROLES, 60000, -1), 0);
		assert_int_equal(send_n(&p->a, IPC_PEER, 2, pipes[i][0]), 0);
		close(pipes[i][0]); /* ours is ours: a copy travels */
	}
	assert_int_equal(send_n(&p->a, IPC_ROLES, 100, -1), 0);
	for (int i = 0; i < 20 && p->b.frames < 2; i++)
		turn(p, 1);
	turn(p, 20);
	assert_int_equal(p->b.frames, 5);
	assert_true(p->b.type[1] == IPC_PEER && p->b.type[3] == IPC_PEER);
	assert_true(p->b.fd >= 0 && same_file(p->b.fd, pipes[1][1]));
	assert_true(fcntl(p->b.fd, F_GETFD) & FD_CLOEXEC);
	close(pipes[0][1]);
	close(pipes[1][1]);
	assert_null(p->b.why);
	close_pair(p);
}

/* Without a free number for it a descriptor is lost: the channel ends, and nobody is accused. */
static void test_no_number_free(void **state)
{
	struct pair *p = open_pair(ROLE_MASTER, ROLE_CONTROL);
	struct rlimit old, few;
	int lowest;

	(void)state;
	lowest = dup(STDIN_FILENO); /* what the copy that travels will have, and leave */
	assert_true(lowest >= 0 && close(lowest) == 0);
	assert_int_equal(send_n(&p->a, IPC_PEER, 2, STDIN_FILENO), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	turn(p, 4);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_non_null(p->b.why);
	assert_string_equal(p->b.why, "no_descriptor");
	assert_int_equal(p->b.frames, 0);
	close_pair(p);
}

/* Descriptors that nobody asked for do not pile up, nor take the place of others. */
static void test_stray_descriptors(void **state)
{
	struct pair *p = open_raw(ROLE_SMTPD, ROLE_QUEUE);
	union {
		char space[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	put_frame(&b, 8, IPC_ABORT, 0, 8);
	for (int i = 0; i < 100; i++) {
		int three[3] = {0, 0, 0};
		struct iovec iov = {(void *)(uintptr_t)buf_view(&b).p, buf_len(&b)};
		struct msghdr msg = {.msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = control.space,
		    .msg_controllen = sizeof(control.space)};
		struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(three));
		memcpy(CMSG_DATA(cm), three, sizeof(three));
		assert_int_equal(sendmsg(p->raw, &msg, 0), 16);
		turn(p, 2);
	}
	assert_int_equal(p->b.frames, 100);
	assert_true(dup(0) < 200);
	buf_fini(&b);
	close_pair(p);
	assert_true(dup(0) < 100); /* they are closed with the channel */
}

/* ---- back-pressure and the end ------------------------------------------------------------ */

static void test_back_pressure(void **state)
{
	struct pair *p = open_pair(ROLE_QUEUE, ROLE_SENDER);
	unsigned sent = 0;

	(void)state;
	ipc_pause(p->b.ipc, true);
	while (!ipc_full(p->a.ipc)) {
		assert_int_equal(send_n(&p->a, IPC_BODY, 60000, -1), 0);
		sent++;
		turn(p, 1);
	}
	assert_in_range(sent, IPC_HIGH / 60008, IPC_HIGH / 60008 + 20);
	turn(p, 5);
	assert_int_equal(p->a.drained, 0);
	ipc_pause(p->b.ipc, false);
	for (int i = 0; i < 300 && p->b.frames < sent; i++)
		turn(p, 1);
	assert_int_equal(p->b.frames, sent);
	turn(p, 2);
	assert_int_equal(p->a.drained, 1);
	assert_false(ipc_full(p->a.ipc));
	assert_int_equal(send_n(&p->a, IPC_BODY, 100, -1), 0);
	turn(p, 3);
	assert_int_equal(p->a.drained, 1);
	close_pair(p);
}

static void test_output_ceiling(void **state)
{
	struct pair *p = open_pair(ROLE_QUEUE, ROLE_SENDER);
	size_t sent = 0;
	int err;

	(void)state;
	ipc_pause(p->b.ipc, true);
	while ((err = send_n(&p->a, IPC_BODY, 60000, -1)) == 0 && sent < (1 << 30))
		sent += 60008;
	assert_int_equal(err, GW_ECLOSED);
	assert_in_range(sent, IPC_MAX - 70000, IPC_MAX);
	assert_int_equal(send_n(&p->a, IPC_CONFIRM, 8, -1), GW_ECLOSED);
	turn(p, 1);
	assert_string_equal(p->a.why, "output_ceiling");
	close_pair(p);
}

static void test_pause_in_handler(void **state)
{
	struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);

	(void)state;
	p->b.pause_now = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_n(&p->a, IPC_ABORT, 8, -1), 0);
	turn(p, 5);
	assert_int_equal(p->b.frames, 1);
	ipc_pause(p->b.ipc, false);
	assert_int_equal(p->b.frames, 2);
	p->b.pause_now = false;
	ipc_pause(p->b.ipc, false);
	assert_int_equal(p->b.frames, 3);
	close_pair(p);
}

static void test_end_in_handler(void **state)
{
	struct pair *p = open_pair(ROLE_SMTPD, ROLE_QUEUE);

	(void)state;
	p->b.end_now = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_n(&p->a, IPC_ABORT, 8, -1), 0);
	turn(p, 4);
	assert_int_equal(p->b.frames, 1);
	assert_string_equal(p->b.why, "enough");
	turn(p, 4);
	assert_string_equal(p->a.why, "closed");
	close_pair(p);
}

/* The peer wrote its last words and died: they are read, even if we wanted to write first. */
static void test_last_words(void **state)
{
	struct pair *p = open_raw(ROLE_SENDER, ROLE_QUEUE);
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	put_frame(&b, 20, IPC_RESULT, 0, 20);
	put_frame(&b, 8, IPC_CLOSED, 0, 8);
	assert_int_equal(write(p->raw, buf_view(&b).p, buf_len(&b)), (ssize_t)buf_len(&b));
	close(p->raw);
	p->raw = -1;
	assert_int_equal(send_n(&p->b, IPC_CONFIRM, 8, -1), 0);
	assert_false(ipc_push(p->b.ipc));
	assert_int_equal(send_n(&p->b, IPC_CONFIRM, 8, -1), GW_ECLOSED);
	turn(p, 5);
	assert_int_equal(p->b.frames, 2);
	assert_int_equal(p->b.type[0], IPC_RESULT);
	assert_string_equal(p->b.why, "closed");
	buf_fini(&b);
	close_pair(p);
}

static void test_gone_while_paused(void **state)
{
	struct pair *p = open_raw(ROLE_SENDER, ROLE_QUEUE);

	(void)state;
	ipc_pause(p->b.ipc, true);
	close(p->raw);
	p->raw = -1;
	assert_int_equal(send_n(&p->b, IPC_CONFIRM, 8, -1), 0);
	turn(p, 3);
	assert_string_equal(p->b.why, "closed");
	close_pair(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_both_ways),
	    cmocka_unit_test(test_large),
	    cmocka_unit_test(test_byte_by_byte),
	    cmocka_unit_test(test_decode_table),
	    cmocka_unit_test(test_decode_bounds),
	    cmocka_unit_test(test_forbidden),
	    cmocka_unit_test(test_missing_fd),
	    cmocka_unit_test(test_own_bugs),
	    cmocka_unit_test(test_outstanding),
	    cmocka_unit_test(test_too_many),
	    cmocka_unit_test(test_shared_answer),
	    cmocka_unit_test(test_descriptors),
	    cmocka_unit_test(test_no_number_free),
	    cmocka_unit_test(test_stray_descriptors),
	    cmocka_unit_test(test_back_pressure),
	    cmocka_unit_test(test_output_ceiling),
	    cmocka_unit_test(test_pause_in_handler),
	    cmocka_unit_test(test_end_in_handler),
	    cmocka_unit_test(test_last_words),
	    cmocka_unit_test(test_gone_while_paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
