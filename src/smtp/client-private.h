/*
 * What the files of the client engine share: the state of a connection and the
 * steps between them. client.c holds life, events and time; client_command.c
 * says what is sent; client_reply.c matches what comes back; client_body.c
 * sends the content, client_chunk.c in chunks; client_say.c has what the owner
 * says between transactions.
 *
 * A transaction is a row of steps: RSET (if one is owed), MAIL, one RCPT per
 * recipient, DATA (unless the content goes in chunks). Two numbers walk it:
 * send_at, the next step to send, and reply_at, the step whose reply is due.
 * They are equal when nothing is due.
 */
#ifndef GW_SMTP_CLIENT_PRIVATE_H
#define GW_SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"

#define CLIENT_MAGIC GW_MAGIC('C', 'L', 'N', 'T')

enum client_state {
	CLIENT_S_GREETING,
	CLIENT_S_HELO,
	CLIENT_S_IDLE,
	CLIENT_S_SAID, /* the reply to client_say is due */
	CLIENT_S_ENVELOPE,
	CLIENT_S_BODY,    /* behind 354, or between the first chunk and the reply to the last */
	CLIENT_S_REFUSED, /* a chunk was: the replies to those behind it are due */
	CLIENT_S_ASK,     /* the content is whole, the dot waits for client_answer */
	CLIENT_S_EOM,     /* the dot is in the output or sent */
	CLIENT_S_QUIT,
	CLIENT_S_END,
};

/* Of a recipient. Those from RCPT_BAD on are not sent to the peer. */
enum rcpt_state {
	RCPT_OPEN,
	RCPT_ACCEPTED,
	RCPT_DONE, /* its event was given or is the pending one */
	RCPT_BAD_SYNTAX,
	RCPT_BAD_UTF8,
	RCPT_BEYOND,  /* more than the peer takes at a time */
	RCPT_SKIPPED, /* bad, and its event was given */
};

enum client_step { STEP_RSET, STEP_MAIL, STEP_RCPT };

/* A BDAT command, counted as octets of the output: where its line and where its content ends. */
struct chunk {
	uint64_t line, end;
};

struct verdict {
	struct reply reply;
	const char *stage;
	enum client_source source;
	bool past_dot, site;
};

struct client {
	uint32_t magic;
	enum client_state state;
	const struct client_config *config;
	struct buf home; /* this struct's own memory */
	int64_t deadline;

	uint32_t extensions, mechanisms;
	uint64_t peer_size;
	struct client_limits limits;
	uint32_t by_least; /* of DELIVERBY: seconds */
	bool helo;         /* HELO was said, not EHLO */
	bool owes_rset;    /* the last transaction did not reach its dot */
	bool excess;       /* a reply began that was not due: nothing more is sent */

	struct client_txn *txn;
	size_t send_at, reply_at;
	uint64_t reply_mark; /* where in the output the command at reply_at begins */
	uint64_t sent;       /* octets that left, in all */
	uint32_t mail_length;
	size_t accepted;      /* recipients in RCPT_ACCEPTED */
	size_t eom_at;        /* LMTP: the recipient whose verdict is due */
	bool mail_refused;    /* no more of this transaction is sent */
	bool lone_dot;        /* nobody was accepted, but DATA was: the content is empty */
	bool at_bol, held_cr; /* where in a line the content stands */
	uint64_t body_octets;
	uint64_t block_mark; /* "sent" when the block that is leaving began */
	int64_t txn_limit;   /* the end of a transaction whose dot was not sent */

	bool utf8;                    /* the transaction is one of SMTPUTF8 */
	bool chunked;                 /* the content goes by BDAT */
	bool whole;                   /* all of it was given; replies to its chunks are due */
	bool chunk_taken;             /* in this session a chunk was: the peer does know BDAT */
	bool chunk_unknown;           /* the peer offers CHUNKING and refuses BDAT */
	uint8_t chunk_at, chunks_due; /* the ring of those without a reply */
	uint32_t chunk_left;          /* octets of the last one that were not given yet */
	struct chunk chunk[CLIENT_CHUNKS_OPEN];

	/* Events that are due, in the order in which they are given. */
	bool bad_due, one_due, fan_due, done_due, body_due, ask_due, answer_due, ready_due,
	    closed_due;
	bool closed;
	size_t one, fan_at;
	struct verdict one_verdict; /* for recipient "one"; the answer to client_say */
	struct verdict fan;         /* for every recipient that is not done, from fan_at on */
	struct verdict end;         /* for CLIENT_CLOSED */

	struct reply_reader reader;
	struct buf out;
	char note[160]; /* text of a reply made by us */
};

/* ---- client.c */
void client_set_deadline(struct client *c, int64_t now, int64_t wait);
/* The verdict for every recipient that is not done. */
void client_fan(struct client *c, const struct verdict *v);
/* Nothing more will be told of the transaction; the connection is free for the next. */
void client_txn_over(struct client *c, int64_t now);
void client_become_idle(struct client *c, int64_t now);
/* The session is over: open recipients get v, then CLIENT_CLOSED comes with it. */
void client_end(struct client *c, const struct verdict *v);
/* The same for a failure that we saw: the stage and past_dot are those of this moment. */
void client_fail(struct client *c, struct reply r, bool site);
const char *client_stage(const struct client *c);
/* The dot may have reached the peer, and its verdict is awaited. */
bool client_past_dot(const struct client *c);

/* ---- client_command.c */
void client_say_hello(struct client *c, int64_t now);
/* Sends what may be sent now of the envelope. */
void client_pump(struct client *c, int64_t now);
/* The reply to the step at reply_at is waited for from now on. */
void client_step_due(struct client *c, int64_t now);
size_t client_step_data(const struct client *c);
/* The first step from "step" on that has a command. */
size_t client_step_from(const struct client *c, size_t step);
size_t client_step_length(const struct client *c, size_t step);

/* ---- client_reply.c */
/* The command whose reply comes next has left. */
bool client_reply_due(const struct client *c);
/* A reply that is not due begins: once it is whole the session ends. */
void client_excess(struct client *c, int64_t now);
/* No reply of this kind can come here: whatever is believed of this peer is in doubt. */
void client_desync(struct client *c, const struct reply *r, const char *what);
struct verdict client_from_peer(const struct client *c, const struct reply *r);
/* A whole reply came. */
void client_on_reply(struct client *c, struct reply *r, int64_t now);

/* ---- client_say.c */
void client_on_answer(struct client *c, const struct verdict *v, int64_t now);
/* "STARTTLS", "AUTH PLAIN LOGIN": a line of the reply to EHLO. */
void client_learn_extension(struct client *c, struct span line);

/* ---- client_body.c */
void client_body_begin(struct client *c, int64_t now);
void client_dot(struct client *c, int64_t now);
/* Something was put into the output, which was empty before or not: its time begins. */
void client_block_begin(struct client *c, bool was_empty, int64_t now);
void client_bare(struct client *c);
/* All of the content is with the peer, but for its end. */
void client_content_over(struct client *c, int64_t now);

/* ---- client_chunk.c */
bool client_chunks_fit(const struct client *c);
size_t client_chunk_body(struct client *c, struct span data, int64_t now);
bool client_chunk_reply_due(const struct client *c);
void client_on_chunk(struct client *c, const struct reply *r, int64_t now);

#endif
