/*
 * A channel between two processes: length-prefixed frames over a stream
 * socketpair, checked against the permit table (messages.def) on both ends. The
 * receiver treats its peer as hostile: a frame that no row permits, that is too
 * long, carries descriptors it may not, or exceeds what may be outstanding, ends the channel.
 *
 * Nobody blocks on a write: frames collect in the output and go out once per
 * turn. Above IPC_HIGH ipc_full() is true: the source of the frames (a client, a
 * body being read) is to be paused; "drained" is called when it is below again.
 * At IPC_MAX the channel ends.
 */
#ifndef GW_NET_IPC_H
#define GW_NET_IPC_H

#include "base/buf.h"
#include "net/loop.h"

enum role {
	ROLE_MASTER,
	ROLE_SMTPD,
	ROLE_QUEUE,
	ROLE_SENDER,
	ROLE_MDA,
	ROLE_CONTROL,
	ROLE_VAULT,
	ROLE_RESOLVER,
	ROLE_HISTORY,
	ROLE_COUNT
};
extern const char *const role_names[ROLE_COUNT];

enum ipc_type {
	IPC_NONE,
#define MESSAGE(type, from, to, min, max, fds, most, settled_by, full, doc) IPC_##type,
#include "net/messages.def"
#undef MESSAGE
	IPC_COUNT
};

enum ipc_full { IPC_FULL_CREDIT, IPC_FULL_DROP, IPC_FULL_END };

struct ipc_row {
	const char *name, *doc;
	unsigned from, to; /* bits 1 << ROLE_... */
	uint32_t min, max;
	unsigned fds, most;
	enum ipc_type settled_by;
	enum ipc_full full;
};
extern const struct ipc_row ipc_rows[IPC_COUNT];

enum {
	IPC_HIGH = 4 << 20, /* pause the source */
	IPC_LOW = 1 << 20,  /* go on */
	IPC_MAX = 64 << 20, /* a peer that does not read at all is ended */
	IPC_PARTS = 8,      /* spans one send may gather */
};

struct ipc_frame {
	enum ipc_type type;
	struct span payload; /* borrowed until the handler returns */
	int fd;              /* -1 if none; the handler owns it */
};

struct ipc;

struct ipc_owner {
	/* A permitted frame. The handler may send, and may call ipc_end on this channel. */
	void (*frame)(void *arg, struct ipc *c, struct ipc_frame *f);
	/* The channel is over (peer gone, or why: a slug for the log). Free it here or later. */
	void (*closed)(void *arg, struct ipc *c, const char *why);
	/* Output fell below IPC_LOW after ipc_full was seen. May be NULL. */
	void (*drained)(void *arg, struct ipc *c);
	void *arg;
};

/* Owns fd from now on. */
struct ipc *ipc_new(struct loop *l, int fd, enum role self, enum role peer, unsigned peer_index,
    const struct ipc_owner *owner) gw_checked;
void ipc_free(struct ipc **c);

enum role ipc_peer(const struct ipc *c);
unsigned ipc_peer_index(const struct ipc *c);

/*
 * Queues one frame made of n spans (n <= IPC_PARTS). fd is duplicated by the
 * kernel on the way; the caller keeps its own. 0; GW_EFULL: too many
 * outstanding (wait for one to be settled) or dropped; GW_ECLOSED. Sending what
 * the table forbids is a bug here: die().
 */
int ipc_send(struct ipc *c, enum ipc_type type, const struct span *part, size_t n, int fd);
/* The source should pause. */
bool ipc_full(struct ipc *c);
/* Stop and start reading from this peer. */
void ipc_pause(struct ipc *c, bool pause);
/* Ends the channel: "closed" will be called with this reason from the loop. */
void ipc_end(struct ipc *c, const char *why);
/* Writes what waits, now. False if some is left. */
bool ipc_push(struct ipc *c);

/*
 * The reading half alone, pure, for tests and the fuzzer: takes one frame from
 * the input. Returns octets taken (0: more needed), or GW_EFORMAT.
 */
ptrdiff_t ipc_decode(struct span in, enum role from, enum role to, struct ipc_frame *f) gw_checked;

/* A pair of connected channel sockets, non-blocking, close-on-exec. */
int ipc_pair(int fd[2]) gw_checked;

#endif
