/*
 * What the files of a channel share: ipc.c has the tables, the life of a channel and what both ways
 * stand on, ipc_out.c what is sent, ipc_in.c what comes. The octets of both are copies; descriptors
 * are the channel's until they are sent, or taken with their frame.
 */
#ifndef GW_NET_IPC_PRIVATE_H
#define GW_NET_IPC_PRIVATE_H

#include "net/ipc.h"

enum {
	IPC_HEADER = 8,            /* length u32, type u16, descriptors u16 */
	IPC_READ_STEP = 256 << 10, /* one read */
	IPC_FDS_MAX = 64,          /* descriptors that came and wait for their frames */
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
	struct pending_fd *out_fd;
	size_t n_out_fd, cap_out_fd;
	int in_fd[IPC_FDS_MAX];
	size_t n_in_fd;
	unsigned asked[IPC_COUNT], owed[IPC_COUNT]; /* outstanding: ours, theirs */
	uint8_t settles[IPC_COUNT];                 /* the first type that this one answers, or 0 */
	bool paused, was_full, ended, in_handler;
	bool deaf; /* nothing can be written any more */
	const char *why;
};

enum { IPC_MAGIC = GW_MAGIC(0x69, 0x70, 0x63, 0x31) };

/* ---- ipc.c */
void ipc_update_watch(struct ipc *c);
/* The kernel is full, or short of memory, for the moment: the watch says when to try again. */
bool ipc_is_passing(int err) gw_checked;
/* Our end broke while the peer lives: it learns of it by our death, and master makes a new one. */
void ipc_broken(struct ipc *c, const char *why);
/* Settles one outstanding frame that this type answers. */
void ipc_settle(const struct ipc *c, unsigned counts[IPC_COUNT], enum ipc_type answer);

/* ---- ipc_out.c */
/* There is something to be written, or the end to be told. */
void ipc_flush(void *arg);
/* Tells the owner that there is room again, once it is so. */
void ipc_tell_drained(struct ipc *c);

/* ---- ipc_in.c */
void ipc_ready(void *arg, bool readable, bool writable);

#endif
