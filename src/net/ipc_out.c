/* What is sent over a channel: frames and their descriptors, in order, as the kernel takes them. */
#include "net/ipc-private.h"

#include "base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_OUT_MAX = 4096 }; /* that wait to be sent: the files of a configuration */

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

/* The peer is gone. What it had written before is still to be read: the end comes behind that. */
static void write_failed(struct ipc *c)
{
	if (errno != EPIPE && errno != ECONNRESET) {
		ipc_broken(c, "write_failed");
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
		if (n < 0 && ipc_is_passing(errno))
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
	ipc_update_watch(c);
	return buf_len(&c->out) == 0 && !c->deaf;
}

bool ipc_full(struct ipc *c)
{
	if (buf_len(&c->out) > IPC_HIGH)
		c->was_full = true;
	return c->was_full;
}

void ipc_tell_drained(struct ipc *c)
{
	if (!c->was_full || buf_len(&c->out) > IPC_LOW || c->ended)
		return;
	c->was_full = false;
	if (c->owner.drained != NULL)
		c->owner.drained(c->owner.arg, c);
}

void ipc_flush(void *arg)
{
	struct ipc *c = arg;

	if (c->ended) {
		c->owner.closed(c->owner.arg, c, c->why);
		return;
	}
	ipc_push(c);
	ipc_tell_drained(c);
}

static void put_header(struct buf *b, enum ipc_type type, size_t n, bool with_fd)
{
	uint8_t h[IPC_HEADER] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16),
	    (uint8_t)(n >> 24), (uint8_t)type, 0, with_fd, 0};

	buf_add(b, h, sizeof(h));
}

static int add_fd(struct ipc *c, int fd)
{
	int copy;

	if (c->n_out_fd == FDS_OUT_MAX)
		return GW_EFULL;
	if (c->n_out_fd == c->cap_out_fd) {
		c->cap_out_fd = c->cap_out_fd == 0 ? 4 : 2 * c->cap_out_fd;
		c->out_fd = gw_realloc(c->out_fd, c->cap_out_fd * sizeof(*c->out_fd));
	}
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
	if (buf_space(&c->out) < total + IPC_HEADER || (fd >= 0 && add_fd(c, fd) < 0)) {
		ipc_end(c, "output_ceiling");
		return GW_ECLOSED;
	}
	put_header(&c->out, type, total, fd >= 0);
	for (size_t i = 0; i < n; i++)
		buf_add_span(&c->out, part[i]);
	if (row->most > 0)
		c->asked[type]++;
	ipc_settle(c, c->owed, type);
	flush_mark(&c->flush, c->loop);
	return 0;
}
