/* What comes over a channel: the peer is taken for hostile, and a frame too many is its end. */
#include "net/ipc-private.h"

#include "base/cursor.h"
#include "base/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_TURN = 4 }; /* reads per turn, so that one peer does not own the loop */

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
	return (ptrdiff_t)(IPC_HEADER + length);
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
	ipc_settle(c, c->asked, type);
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
			if (c->n_in_fd < IPC_FDS_MAX)
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
	uint8_t *to = buf_room(&c->in, IPC_READ_STEP);
	struct iovec iov = {.iov_base = to, .iov_len = IPC_READ_STEP};
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
		if (n < 0 && ipc_is_passing(errno))
			break;
		if (n < 0)
			ipc_broken(c, "closed");
		if (n == 0)
			ipc_end(c, "closed");
		if (n <= 0)
			break;
		take_frames(c);
		if (n < IPC_READ_STEP)
			break;
	}
	buf_trim(&c->in);
}

void ipc_ready(void *arg, bool readable, bool writable)
{
	struct ipc *c = arg;

	gw_check_magic(c, IPC_MAGIC);
	if (writable)
		ipc_push(c);
	if (writable)
		ipc_tell_drained(c);
	if (readable && !c->ended)
		read_turn(c);
}

void ipc_pause(struct ipc *c, bool pause)
{
	if (c->paused == pause)
		return;
	c->paused = pause;
	ipc_update_watch(c);
	if (!pause && !c->in_handler && buf_len(&c->in) > 0)
		take_frames(c);
}
