#include "net/ipc-private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const role_names[ROLE_COUNT] = {
    "master", "smtpd", "queue", "sender", "mda", "control", "vault", "resolver", "history"};

#define CREDIT IPC_FULL_CREDIT
#define DROP IPC_FULL_DROP
#define END IPC_FULL_END
const struct ipc_row ipc_rows[IPC_COUNT] = {
#define MESSAGE(type, f, t, mi, ma, nfds, mo, settled, fu, d) \
	[IPC_##type] = {#type, d, f, t, mi, ma, nfds, mo, IPC_##settled, fu},
#include "net/messages.def"
#undef MESSAGE
};

int ipc_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0 ? GW_EIO
											  : 0;
}

static void note_answers(struct ipc *c)
{
	_Static_assert(IPC_COUNT <= UINT8_MAX, "a type fits in an octet");
	for (int t = IPC_COUNT - 1; t > IPC_NONE; t--)
		c->settles[ipc_rows[t].settled_by] = (uint8_t)t;
	c->settles[IPC_NONE] = IPC_NONE;
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
	note_answers(c);
	buf_init(&c->in, IPC_STORY_MAX + IPC_HEADER + IPC_READ_STEP);
	buf_init(&c->out, IPC_MAX);
	flush_init(&c->flush, ipc_flush, c);
	watch_start(&c->watch, l, fd, ipc_ready, c);
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
	free(c->out_fd);
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

void ipc_update_watch(struct ipc *c)
{
	if (!c->ended)
		watch_want(&c->watch, !c->paused, buf_len(&c->out) > 0);
}

bool ipc_is_passing(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS || err == ENOMEM;
}

void ipc_broken(struct ipc *c, const char *why)
{
	if (c->self != ROLE_MASTER && errno != ECONNRESET)
		die("%s: channel to %s: %s", role_names[c->self], role_names[c->peer],
		    strerror(errno));
	ipc_end(c, why);
}

void ipc_settle(const struct ipc *c, unsigned counts[IPC_COUNT], enum ipc_type answer)
{
	if (c->settles[answer] == IPC_NONE)
		return;
	for (int t = c->settles[answer]; t < IPC_COUNT; t++) {
		if (ipc_rows[t].settled_by == answer && counts[t] > 0) {
			counts[t]--;
			return;
		}
	}
}
