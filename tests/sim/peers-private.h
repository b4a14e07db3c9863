/* What receivers.c, workers.c and peers.c share. */
#ifndef GW_TESTS_SIM_PEERS_PRIVATE_H
#define GW_TESTS_SIM_PEERS_PRIVATE_H

#include "sim/peers.h"

enum { TXNS = 6, MAILBOX_HIGH = 96 << 10, MAILBOX_LOW = 32 << 10 };

struct txn {
	struct mail *mail;
	uint64_t number;
	size_t parts, sent; /* octets of the body to go in parts, and gone */
	uint32_t window;
	int64_t committed_at;
	bool failed, committed, wants_ask;
};

struct receiver_frame {
	bool credit;
	uint64_t txn;
	int status;
	uint32_t octets;
};

/* Frames [0, sent) are in the socket, the others in the memory of the queue. */
struct receiver {
	bool up, connected;
	unsigned number;  /* of its channel */
	unsigned stalled; /* turns in which it does nothing */
	uint64_t next_txn;
	struct txn txn[TXNS];
	size_t n;
	struct receiver_frame *frame;
	size_t n_frame, cap_frame, sent;
};

enum held_state { HELD_COMING, HELD_RUNNING, HELD_DONE };

struct held {
	uint64_t job, conn;
	uint32_t conn_messages;
	struct mail *mail;
	uint32_t index[MAIL_RCPTS], attempts[MAIL_RCPTS];
	bool holding[MAIL_RCPTS]; /* counted in the book */
	size_t n;
	enum held_state state;
	uint64_t sent, got, granted, used; /* octets of content */
	bool last, broken, site, old;      /* old: of a queue that is gone */
	/* At-most-once mail: asked for leave, for these; it may or may not send the dot. */
	bool once, asked, may_send, may_not;
	uint32_t named[MAIL_RCPTS];
	enum outcome fate[MAIL_RCPTS]; /* by the place in "index"; once the dot is sent */
	size_t n_named;
	struct change_rcpt said[MAIL_RCPTS];
	size_t n_said;
};

enum worker_frame_kind { FRAME_JOB, FRAME_BODY, FRAME_GO, FRAME_CONFIRM, FRAME_CLOSE };

struct worker_frame {
	enum worker_frame_kind kind;
	uint64_t job; /* CLOSE: the connection */
	uint32_t octets;
	bool last, broken, go;
};

struct line { /* a connection to a host */
	uint64_t number;
	uint32_t messages;
	bool limited; /* it goes to a.test */
};

struct sim_worker {
	bool up, connected, named, blocked;
	struct held **held;
	size_t n_held, cap_held;
	struct line *line;
	size_t n_line, cap_line;
	struct worker_frame *frame;
	size_t n_frame, cap_frame, sent, octets;
};

struct peers {
	struct receiver receiver[RECEIVERS];
	struct sim_worker worker[WORKERS];
	unsigned next_number;
	bool calm;
};

/* receivers.c */
void receiver_step(struct world *w, struct receiver *r, bool new_mail);
void receiver_connect(struct world *w, struct receiver *r);
void receiver_queue_gone(struct world *w, struct receiver *r);
void receiver_die(struct world *w, struct receiver *r);

/* workers.c */
void worker_step(struct world *w, unsigned number);
void worker_meet(struct world *w, unsigned number);
void worker_queue_gone(struct world *w, struct sim_worker *s);
void worker_die(struct world *w, unsigned number);

#endif
