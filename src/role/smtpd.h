/*
 * What the files of the receiver share. smtpd.c: start, listeners, the channel
 * to the queue; smtpd_client.c: clients come and go; smtpd_io.c: the bytes of
 * a client between socket and engine; smtpd_session.c: the verdicts its engine asks for;
 * smtpd_auth.c: logins; smtpd_tls.c: handshakes; smtpd_tables.c: who is known here;
 * smtpd_txn.c: one message on its way to the queue; smtpd_rcpt.c: its recipients;
 * smtpd_content.c: its header and body; smtpd_submit.c: what is mended in its header;
 * smtpd_received.c: its trace field; smtpd_vault.c: the channel to the vault.
 */
#ifndef GW_ROLE_SMTPD_H
#define GW_ROLE_SMTPD_H

#include "base/log.h"
#include "base/map.h"
#include "flow/accept.h"
#include "mail/change.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "net/stream.h"
#include "net/tls.h"
#include "role/deny.h"
#include "role/proto.h"
#include "role/queue_link.h"
#include "role/role.h"
#include "smtp/server.h"

#include <sys/queue.h>

enum {
	SMTPD_IN_MAX = 64 << 10,     /* unread input of one client */
	SMTPD_ADDED_MAX = 64 << 10,  /* what it may grow by when it is mended */
	SMTPD_WHOLE_MAX = 256 << 10, /* content that waits here for COMMIT; beyond: parts */
	SMTPD_PART = 64 << 10,
	SMTPD_PART_WINDOW = 1 << 20, /* of one message, not yet durable (broker-private.h grants) */
	SMTPD_PARTS_TOTAL = 32 << 20, /* of all messages of this process */
	SMTPD_MEMORY_HIGH = 32 << 20, /* above it content goes ahead in parts early */
	SMTPD_MEMORY_MAX = 64 << 20,  /* above it what has more than its share is refused: 452 */
	SMTPD_MEMORY_SHARE = 32 << 10,
	SMTPD_VERDICT_MAX = 60, /* seconds without word from the queue: closed without a reply */
};

struct session;
struct auth;
struct login;

struct dropped {
	struct span addr, rule;
};

/* One message, from MAIL to the reply to its end. */
struct transaction {
	struct session *session;
	uint64_t number;
	struct msgid id;
	struct arena arena; /* addresses */
	struct span from;
	struct rcpt *rcpt;
	size_t n_rcpt, cap_rcpt;
	struct map addresses;     /* of the recipients, when there are many */
	struct change_rcpt *held; /* which of them are held from the start */
	size_t n_held, cap_held;
	struct dropped *dropped; /* answered 250, and gone */
	size_t n_dropped, cap_dropped;
	enum body_type body_type;
	struct header_scan scan;
	struct mime_scan mime;
	struct buf head, rest;
	uint64_t in_parts;          /* octets sent ahead */
	uint32_t window;            /* octets of parts that may still be sent */
	struct span msgid, subject; /* for the log */
	bool parts_failed, committed, too_big_header;
	bool waiting;   /* whole, but the channel to the queue is full */
	size_t counted; /* of smtpd.in_memory */
	struct body_facts facts;
	bool at_most_once;
	bool judged, headless; /* the first line was looked at; it is no header field */
	unsigned fixes;        /* enum submit_fix */
	int status;            /* of failed parts */
	int64_t committed_at;
};

struct listener {
	struct smtpd *smtpd;
	struct watch watch;
	const struct listen *conf;
	struct server_config engine; /* of all its sessions */
};

struct smtpd {
	struct loop *loop;
	struct boot *boot;
	struct config *config;
	struct listener listener[BOOT_LISTEN_MAX];
	size_t n_listener;
	struct queue_link queue;
	bool intake, has_queue, stopping;
	bool resting, starved; /* no descriptor was free: not accepting; since when it was said */
	struct timer rested;
	struct ipc *vault;         /* NULL: none now */
	struct accounts *accounts; /* as the vault told them last; NULL: not yet */
	struct tls_server *tls;    /* NULL: no listener speaks TLS */
	bool tls_trusted;          /* there is a certificate that clients can check */
	bool tls_waited;           /* long enough for the first certificate */
	struct timer tls_wait;
	size_t n_shaking; /* handshakes under way */
	struct map txns, checks;
	uint64_t next_check;
	struct tally *tally;
	struct timer sweep;          /* under pressure: the idle go */
	struct smtpd_tables *tables; /* smtpd_tables.h */
	struct deny_table deny;
	uint64_t next_session;
	TAILQ_HEAD(session_list, session) sessions;
	size_t n_sessions, n_lingering;
	uint64_t next_txn, parts_in_flight;
	size_t in_memory; /* content of all messages that is held here */
	struct master_link master;
	uint8_t random[512];
	size_t random_left;
};

struct session {
	uint32_t magic;
	TAILQ_ENTRY(session) link;
	struct smtpd *smtpd;
	struct listener *listener;
	const struct listen *conf;
	struct stream io;
	struct watch watch;
	struct timer timer;
	struct server engine;
	struct buf in;
	struct msgid sid;
	struct sockaddr_storage addr;
	struct blotter_addr from; /* the same, for the blotter */
	uint64_t number;          /* of this session in this process */
	const struct cidr *trust;
	struct tally_entry counted;
	int64_t useful_at; /* when it came, began a message or finished one */
	struct transaction *txn;
	struct auth *auth;   /* a login that is on (smtpd_auth.c) */
	struct login *login; /* who it is; NULL: nobody said */
	unsigned auth_failures;
	struct buf helo;
	bool eof, held, in_process, lingering;
	bool reads_by_write; /* TLS must write before it can read on */
	int64_t shake_until; /* a handshake is under way; 0: none */
	int64_t shake_since;
	size_t forgotten;      /* octets read while lingering */
	int64_t delayed_until; /* a verdict given later (fault addresses) */
	struct reply delayed;  /* its text is a literal or the configuration's */
	char ip[64];
};

enum { SESSION_MAGIC = GW_MAGIC(0x73, 0x65, 0x73, 0x31) };

/* smtpd.c */
struct msgid smtpd_new_id(struct smtpd *s);
/* The queue is there and takes mail: NULL, or the reply that says why not. */
const struct reply *smtpd_refusal(const struct smtpd *s);

/* smtpd_vault.c */
/* A channel to the vault; the old one is void. */
void smtpd_vault_peer(struct smtpd *d, int fd);

/* Greets on the listeners that can be served. */
void smtpd_set_listeners(struct smtpd *s);
/* The last session went: the end, if it was asked for. */
void smtpd_check_stop(struct smtpd *s);

/* smtpd_client.c */
void session_new(struct listener *l, int fd, const struct sockaddr_storage *addr);
void session_free(struct session *s);
/* The timer of pressure. */
void clients_sweep(void *smtpd);
/* It counts no longer towards the limits on connections. */
void session_uncount(struct session *s);
/* It was of some use: others that were not have to go before it. */
void session_useful(struct session *s);
/* It showed who it is: how often it connects does not matter. */
void session_forgive(struct session *s);

/* Who that is, for a decision that is made at once. */
void session_client(const struct session *s, struct accept_client *out);

/* smtpd_session.c */
/* An event of the engine; unread: octets of input behind what it came from. */
void session_on_event(struct session *s, const struct server_event *ev, size_t unread);
/* 220, or why not; of a session with TLS from its first octet once that stands. */
void session_greet(struct session *s);
/* The verdict, into the engine; it is written when the event was handled. */
void session_say(struct session *s, const struct reply *r);
void session_log_reject(struct session *s, const char *stage, const struct reply *r,
    const char *reason, struct place place, struct span rcpt);

/* smtpd_io.c */
/* Greets the client, and lives from there on by its events. */
void session_begin(struct session *s);
/* A verdict that came later; goes on with what the client sent meanwhile. */
void session_answer(struct session *s, const struct reply *r);
/* Ends without a word: the fate of the message is unknown. */
void session_abandon(struct session *s);
/* 421 at once: its place is needed. */
void session_evict(struct session *s);
/* 421 at the next command boundary. */
void session_shutdown(struct session *s);
/* Stop and start taking content from this client. */
void session_hold(struct session *s, bool hold);

/* smtpd_txn.c */
struct transaction *txn_new(struct session *s, const struct server_event *mail);
void txn_free(struct transaction **t);
/* The content is whole. True: the verdict comes later (COMMIT was sent); else *r. */
bool txn_end(
    struct transaction *t, const struct body_facts *facts, struct reply *r, const char **reason);
/* What the queue says. */
void txn_credit(struct transaction *t, uint32_t octets, int status);
void txn_committed(struct transaction *t, enum commit_status status);
/* The queue was replaced: ask what became of the COMMIT, or know that the parts are lost. */
void txn_queue_changed(struct transaction *t);
/* The channel to the queue has room again. */
void txn_queue_drained(struct transaction *t);
/* The queue is gone and its successor not there yet. */
void txn_queue_gone(struct transaction *t);

/* smtpd_rcpt.c */
/* A recipient that this client may name: added with all that it stands for, or refused in *v. */
void txn_take_rcpt(struct transaction *t, const struct address *a, struct verdict *v);
/* The change for the envelope; nothing if none is held. */
void txn_put_held(const struct transaction *t, struct buf *out);
/* The only one as its client wrote it; empty if there are more. */
struct span txn_only_rcpt(const struct transaction *t);
void txn_log_dropped(const struct transaction *t);
/* Nobody is left to get it: 250, and the end of the transaction. */
void txn_all_dropped(struct transaction *t);
void txn_free_rcpts(struct transaction *t);

/* smtpd_content.c */
void txn_body(struct transaction *t, struct span data);
/* Sends what may go ahead; holds or releases the client. */
void txn_send_parts(struct transaction *t);
void txn_forget_content(struct transaction *t);
/* What this message holds in memory, as part of what all hold. */
void txn_count_memory(struct transaction *t);
/* Too much is in memory, and this message has more of it than others. */
bool txn_over_share(const struct transaction *t);
/* The last of it was given: what is still undecided is decided. */
void txn_body_end(struct transaction *t);

/* smtpd_submit.c */
/* Mends the header where the listener is for submission: 0, or a negative GW_E* with the refusal.
 */
int txn_mend(struct transaction *t, struct reply *r, const char **reason) gw_checked;
/* "fixed=" for the line "accepted", if there was anything to mend. */
void txn_log_fixes(const struct transaction *t, struct logline *l);

/* smtpd_received.c */
void txn_put_received(const struct transaction *t, struct buf *out);

#endif
