#include "net/ipc.h"

#include "base/cursor.h"
#include "base/log.h"
#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HEADER = 8,            /* length u32, type u16, descriptors u16 */
	READ_STEP = 256 << 10, /* one read */
	READ_TURN = 4,         /* reads per turn, so that one peer does not own the loop */
	FDS_MAX = 64,          /* descriptors that wait, each way */
};

const char *const role_names[ROLE_COUNT] = {
    "master", "smtpd", "queue", "sender", "mda", "control", "vault"};

#define CREDIT IPC_FULL_CREDIT
#define DROP IPC_FULL_DROP
#define END IPC_FULL_END
const struct ipc_row ipc_rows[IPC_COUNT] = {
#define MESSAGE(type, f, t, mi, ma, nfds, mo, settled, fu, d) \
	[IPC_##type] = {#type, d, f, t, mi, ma, nfds, mo, IPC_##settled, fu},
#include "net/messages.def"
#undef MESSAGE
};

/* A descriptor that travels with the frame that starts at this place of the stream. */
struct pending_fd {
	uint64_t at;
	int fd;
};

struct ipc {
	uint32_t magic;
	struct loop *loop;
	int fd;
	enum role self, peer;
	unsigned peer_index;
	struct ipc_owner owner;
	struct watch watch;
	struct flush flush;
	struct buf in, out;
	uint64_t sent; /* octets of the stream written so far */
	struct pending_fd out_fd[FDS_MAX];
	size_t n_out_fd;
	int in_fd[FDS_MAX];
	size_t n_in_fd;
	unsigned asked[IPC_COUNT], owed[IPC_COUNT]; /* outstanding: ours, theirs */
	bool paused, was_full, ended, in_handler;
	bool deaf; /* nothing can be written any more */
	const char *why;
};

enum { IPC_MAGIC = GW_MAGIC(0x69, 0x70, 0x63, 0x31) };

static void ready(void *arg, bool readable, bool writable);
static void flush(void *arg);

int ipc_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0 ? GW_EIO
											  : 0;
}

struct ipc *ipc_new(struct loop *l, int fd, enum role self, enum role peer, unsigned peer_index,
    const struct ipc_owner *owner)
{
	struct ipc *c = gw_calloc(1, sizeof(*c));

	c->magic = IPC_MAGIC;
	c->loop = l;
	c->fd = fd;
	c->self = self;
	c->peer = peer;
	c->peer_index = peer_index;
	c->owner = *owner;
	buf_init(&c->in, IPC_COMMIT_MAX + HEADER + READ_STEP);
	buf_init(&c->out, IPC_MAX);
	flush_init(&c->flush, flush, c);
	watch_start(&c->watch, l, fd, ready, c);
	watch_want(&c->watch, true, false);
	return c;
}

void ipc_free(struct ipc **pc)
{
	struct ipc *c = *pc;

	if (c == NULL)
		return;
	gw_check_magic(c, IPC_MAGIC);
	gw_assert(!c->in_handler);
	watch_stop(&c->watch);
	flush_unmark(&c->flush, c->loop);
	for (size_t i = 0; i < c->n_out_fd; i++)
		close(c->out_fd[i].fd);
	for (size_t i = 0; i < c->n_in_fd; i++)
		close(c->in_fd[i]);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->magic = 0;
	free(c);
	*pc = NULL;
}

enum role ipc_peer(const struct ipc *c)
{
	return c->peer;
}

unsigned ipc_peer_index(const struct ipc *c)
{
	return c->peer_index;
}

void ipc_end(struct ipc *c, const char *why)
{
	if (c->ended)
		return;
	c->ended = true;
	c->why = why;
	watch_want(&c->watch, false, false);
	flush_mark(&c->flush, c->loop);
}

static void update_watch(struct ipc *c)
{
	if (!c->ended)
		watch_want(&c->watch, !c->paused, buf_len(&c->out) > 0);
}

/* ---- sending ------------------------------------------------------------------------- */

/* How much may be written before the next descriptor's frame begins. */
static size_t until_fd(const struct ipc *c)
{
	size_t n = buf_len(&c->out);

	if (c->n_out_fd > 0 && c->out_fd[0].at > c->sent && c->out_fd[0].at - c->sent < n)
		n = (size_t)(c->out_fd[0].at - c->sent);
	else if (c->n_out_fd > 1 && c->out_fd[1].at - c->sent < n)
		n = (size_t)(c->out_fd[1].at - c->sent);
	return n;
}

static ssize_t write_some(struct ipc *c, size_t n, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.space = {0}};
	struct iovec iov = {.iov_base = c->out.mem + c->out.begin, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *cm;

		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

static void drop_out_fd(struct ipc *c)
{
	close(c->out_fd[0].fd);
	c->n_out_fd--;
	memmove(&c->out_fd[0], &c->out_fd[1], c->n_out_fd * sizeof(c->out_fd[0]));
}

/* The kernel is full, or short of memory, for the moment: the watch says when to try again. */
static bool is_passing(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS || err == ENOMEM;
}

/* Our end broke while the peer lives: it learns of it by our death, and master makes a new one. */
static void broken(struct ipc *c, const char *why)
{
	if (c->self != ROLE_MASTER && errno != ECONNRESET)
		die("%s: channel to %s: %s", role_names[c->self], role_names[c->peer],
		    strerror(errno));
	ipc_end(c, why);
}

/* The peer is gone. What it had written before is still to be read: the end comes behind that. */
static void write_failed(struct ipc *c)
{
	if (errno != EPIPE && errno != ECONNRESET) {
		broken(c, "write_failed");
		return;
	}
	c->deaf = true;
	buf_clear(&c->out);
	while (c->n_out_fd > 0)
		drop_out_fd(c);
	if (c->paused)
		ipc_end(c, "closed");
}

bool ipc_push(struct ipc *c)
{
	while (!c->ended && buf_len(&c->out) > 0) {
		bool with_fd = c->n_out_fd > 0 && c->out_fd[0].at == c->sent;
		ssize_t n = write_some(c, until_fd(c), with_fd ? c->out_fd[0].fd : -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && is_passing(errno))
			break;
		if (n < 0) {
			write_failed(c);
			break;
		}
		if (with_fd)
			drop_out_fd(c);
		buf_drop(&c->out, (size_t)n);
		c->sent += (uint64_t)n;
	}
	buf_trim(&c->out);
	update_watch(c);
	return buf_len(&c->out) == 0 && !c->deaf;
}

bool ipc_full(struct ipc *c)
{
	if (buf_len(&c->out) > IPC_HIGH)
		c->was_full = true;
	return c->was_full;
}

static void tell_drained(struct ipc *c)
{
	if (!c->was_full || buf_len(&c->out) > IPC_LOW || c->ended)
		return;
	c->was_full = false;
	if (c->owner.drained != NULL)
		c->owner.drained(c->owner.arg, c);
}

static void flush(void *arg)
{
	struct ipc *c = arg;

	if (c->ended) {
		c->owner.closed(c->owner.arg, c, c->why);
		return;
	}
	ipc_push(c);
	tell_drained(c);
}

/* Settles one outstanding frame that this type answers. */
static void settle(unsigned counts[IPC_COUNT], enum ipc_type answer)
{
	for (int t = IPC_NONE + 1; t < IPC_COUNT; t++) {
		if (ipc_rows[t].settled_by == answer && counts[t] > 0) {
			counts[t]--;
			return;
		}
	}
}

static void put_header(struct buf *b, enum ipc_type type, size_t n, bool with_fd)
{
	uint8_t h[HEADER] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24),
	    (uint8_t)type, 0, with_fd, 0};

	buf_add(b, h, sizeof(h));
}

static int add_fd(struct ipc *c, int fd)
{
	int copy;

	if (c->n_out_fd == FDS_MAX)
		return GW_EFULL;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return GW_EFULL;
	c->out_fd[c->n_out_fd++] =
	    (struct pending_fd){.at = c->sent + buf_len(&c->out), .fd = copy};
	return 0;
}

int ipc_send(struct ipc *c, enum ipc_type type, const struct span *part, size_t n, int fd)
{
	const struct ipc_row *row = &ipc_rows[type];
	size_t total = 0;

	gw_check_magic(c, IPC_MAGIC);
	if (c->ended || c->deaf)
		return GW_ECLOSED;
	for (size_t i = 0; i < n; i++)
		total += part[i].n;
	gw_assert((row->from >> c->self & 1) && (row->to >> c->peer & 1));
	gw_assert(total >= row->min && total <= row->max && (fd >= 0) == (row->fds == 1));
	if (row->most > 0 && c->asked[type] >= row->most) {
		if (row->full == IPC_FULL_DROP)
			metric_add(METRIC_EVENTS_DROPPED, 1);
		return GW_EFULL;
	}
	if (buf_space(&c->out) < total + HEADER || (fd >= 0 && add_fd(c, fd) < 0)) {
		ipc_end(c, "output_ceiling");
		return GW_ECLOSED;
	}
	put_header(&c->out, type, total, fd >= 0);
	for (size_t i = 0; i < n; i++)
		buf_add_span(&c->out, part[i]);
	if (row->most > 0)
		c->asked[type]++;
	settle(c->owed, type);
	flush_mark(&c->flush, c->loop);
	return 0;
}

/* ---- receiving ------------------------------------------------------------------------ */

ptrdiff_t ipc_decode(struct span in, enum role from, enum role to, struct ipc_frame *f)
{
	struct cursor c = cursor_of(in);
	uint32_t length = get_u32(&c);
	uint16_t type = get_u16(&c), fds = get_u16(&c);
	const struct ipc_row *row;

	if (!cursor_ok(&c))
		return 0;
	if (type == IPC_NONE || type >= IPC_COUNT)
		return GW_EFORMAT;
	row = &ipc_rows[type];
	if (!(row->from >> from & 1) || !(row->to >> to & 1) || fds != row->fds)
		return GW_EFORMAT;
	if (length < row->min || length > row->max)
		return GW_EFORMAT;
	if (c.rest.n < length)
		return 0;
	*f = (struct ipc_frame){
	    .type = (enum ipc_type)type, .payload = span_first(c.rest, length), .fd = fds ? 0 : -1};
	return (ptrdiff_t)(HEADER + length);
}

static bool take_fd(struct ipc *c, struct ipc_frame *f)
{
	if (f->fd < 0)
		return true;
	if (c->n_in_fd == 0)
		return false;
	f->fd = c->in_fd[0];
	c->n_in_fd--;
	memmove(&c->in_fd[0], &c->in_fd[1], c->n_in_fd * sizeof(c->in_fd[0]));
	return true;
}

static bool count_in(struct ipc *c, enum ipc_type type)
{
	settle(c->asked, type);
	if (ipc_rows[type].most == 0)
		return true;
	return ++c->owed[type] <= ipc_rows[type].most;
}

static void forbid(struct ipc *c, const char *why)
{
	struct logline l;

	log_begin(&l, EV_PEER_ENDED);
	log_str(&l, "role", role_names[c->self]);
	log_str(&l, "peer", role_names[c->peer]);
	log_number(&l, "index", c->peer_index);
	log_str(&l, "reason", why);
	log_end(&l);
	ipc_end(c, why);
}

static void take_frames(struct ipc *c)
{
	while (!c->ended && !c->paused) {
		struct ipc_frame f;
		ptrdiff_t n = ipc_decode(buf_view(&c->in), c->peer, c->self, &f);

		if (n == 0)
			return;
		if (n < 0 || !take_fd(c, &f)) {
			forbid(c, "forbidden_frame");
			return;
		}
		if (!count_in(c, f.type)) {
			forbid(c, "too_many_outstanding");
			return;
		}
		c->in_handler = true;
		c->owner.frame(c->owner.arg, c, &f);
		c->in_handler = false;
		buf_drop(&c->in, (size_t)n);
	}
}

static void keep_fds(struct ipc *c, struct msghdr *msg)
{
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm != NULL; cm = CMSG_NXTHDR(msg, cm)) {
		size_t n;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
			if (c->n_in_fd < FDS_MAX)
				c->in_fd[c->n_in_fd++] = fd;
			else
				close(fd);
		}
	}
}

/* We have no number left for it, so the stream cannot go on; that is no fault of the peer. */
static void lost_descriptor(struct ipc *c)
{
	log_error(
	    "%s: no descriptor is free for what %s sent", role_names[c->self], role_names[c->peer]);
	ipc_end(c, "no_descriptor");
}

static ssize_t read_some(struct ipc *c)
{
	union {
		char space[CMSG_SPACE(sizeof(int) * 4)];
		struct cmsghdr align;
	} control;
	uint8_t *to = buf_room(&c->in, READ_STEP);
	struct iovec iov = {.iov_base = to, .iov_len = READ_STEP};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	ssize_t n;

	if (to == NULL)
		return -1;
	n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n > 0 && (msg.msg_flags & MSG_CTRUNC)) {
		lost_descriptor(c);
		return 0;
	}
	if (n > 0) {
		keep_fds(c, &msg);
		buf_commit(&c->in, (size_t)n);
	}
	return n;
}

static void read_turn(struct ipc *c)
{
	for (int i = 0; i < READ_TURN && !c->ended && !c->paused; i++) {
		ssize_t n = read_some(c);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && is_passing(errno))
			break;
		if (n < 0)
			broken(c, "closed");
		if (n == 0)
			ipc_end(c, "closed");
		if (n <= 0)
			break;
		take_frames(c);
		if (n < READ_STEP)
			break;
	}
	buf_trim(&c->in);
}

static void ready(void *arg, bool readable, bool writable)
{
	struct ipc *c = arg;

	gw_check_magic(c, IPC_MAGIC);
	if (writable)
		ipc_push(c);
	if (writable)
		tell_drained(c);
	if (readable && !c->ended)
		read_turn(c);
}

void ipc_pause(struct ipc *c, bool pause)
{
	if (c->paused == pause)
		return;
	c->paused = pause;
	update_watch(c);
	if (!pause && !c->in_handler && buf_len(&c->in) > 0)
		take_frames(c);
}
