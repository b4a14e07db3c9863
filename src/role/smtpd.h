/*
 * What the files of the receiver share. smtpd.c: start, listeners, the channel
 * to the queue; smtpd_client.c: clients come and go; smtpd_io.c: the bytes of
 * a client between socket and engine; smtpd_session.c: the verdicts its engine asks for;
 * smtpd_auth.c: logins; smtpd_etrn.c: orders to the queue; smtpd_tls.c: handshakes; smtpd_turn.c:
 * connections that are turned round; tables.c: who is known here; smtpd_txn.c: one message on its
 * way to the queue; smtpd_rcpt.c: its recipients;
 * smtpd_content.c: its header and body; smtpd_check.c: what these are judged by;
 * smtpd_submit.c: what is mended in its header;
 * smtpd_identify.c: which account it is without a login; smtpd_proxy.c: whose connection it is,
 * where a proxy says so; smtpd_listen.c: its sockets and what they are for; smtpd_limits.c: limits
 * in a time; smtpd_class.c: its class; smtpd_received.c: its trace field; smtpd_vault.c: the
 * channel to the vault.
 */
#ifndef GW_ROLE_SMTPD_H
#define GW_ROLE_SMTPD_H

#include "base/log.h"
#include "base/map.h"
#include "flow/accept.h"
#include "flow/identify.h"
#include "mail/change.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "net/proxy.h"
#include "net/stream.h"
#include "net/tls.h"
#include "role/deny.h"
#include "role/dns_link.h"
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
	SMTPD_DNS_PATIENCE = 5, /* seconds for one question to DNS; then nobody could say */
	SMTPD_VERDICT_MAX = 60, /* seconds without word from the queue: closed without a reply */
};

struct session;
struct auth;
struct login;
struct asked;
struct callouts;

/*
 * A verdict that somebody else is asked for: DNS, or who knows the recipients. While it is out the
 * engine takes nothing, so a session has one at most. Whoever set it clears it (session_waited())
 * before it answers with session_reply(); "late" does both, too, and cancels what was asked.
 */
struct waiting {
	int64_t until;                     /* the latest time for an answer; 0: nothing waits */
	void (*late)(struct session *s);   /* it is that late: answer without it */
	void (*forget)(struct session *s); /* the session ends: cancel and free; no answer */
	void *what;                        /* the owner's */
};

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
	struct span envid; /* what is meant by it; or empty */
	enum dsn_ret ret;
	bool smtputf8;
	struct handling handling;
	struct span named; /* as what the client named the first recipient */
	struct rcpt *rcpt;
	size_t n_rcpt, cap_rcpt;
	size_t n_named;           /* RCPTs that were taken */
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
	enum priority priority;
	bool judged, headless; /* the first line was looked at; it is no header field */
	unsigned fixes;        /* enum submit_fix */
	int status;            /* of failed parts */
	int64_t committed_at;
};

/*
 * One configuration, with the tables of its recipients: sessions go on with the one they began
 * with. Held by its listeners; those of an earlier one by sessions alone, without a socket.
 */
struct rules {
	struct config *config; /* a reference of its own */
	struct tables *tables; /* tables.h */
	unsigned refs;
};

struct listener {
	TAILQ_ENTRY(listener) link;
	struct smtpd *smtpd;
	struct watch watch;
	bool open; /* it has a socket */
	int fd;
	uint32_t socket; /* its number */
	unsigned refs;   /* its sessions, and one while it is open */
	struct rules *rules;
	const struct listen *conf;
	struct server_config engine; /* of all its sessions */
};

struct smtpd {
	struct loop *loop;
	struct boot *boot;
	struct config *config; /* in force; sessions ask session_config() */
	struct rules *rules;   /* the same, for those that come */
	TAILQ_HEAD(listener_list, listener) listeners;
	struct queue_link queue;
	bool intake, has_queue, stopping;
	bool resting, starved; /* no descriptor was free: not accepting; since when it was said */
	struct timer rested;
	struct callouts *callouts; /* smtpd_callout.c */
	struct dns_link dns;       /* names; an answer comes within SMTPD_DNS_PATIENCE */
	struct ipc *vault;         /* NULL: none now */
	struct accounts *accounts; /* as the vault told them last; NULL: not yet */
	struct tls_server *tls;
	uint64_t tls_generation;          /* of the configuration whose pairs it has */
	struct certificates_ahead *ahead; /* those of the next one (smtpd_tls.c), or NULL */
	bool tls_trusted;                 /* there is a certificate that clients can check */
	bool tls_waited;                  /* long enough for the first certificate */
	struct timer tls_wait;
	size_t n_shaking; /* handshakes under way */
	struct map txns, checks, etrns;
	uint64_t next_check, next_etrn;
	struct tally *tally;
	struct limit_advice *advice; /* limit_advice.h */
	size_t n_waiting;            /* sessions that a limit keeps waiting */
	struct timer sweep;          /* under pressure: the idle go */
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
	struct proxy *proxy;      /* its header is awaited, nothing else is read; or NULL */
	int64_t proxy_until;
	bool named;      /* XCLIENT said whose session it is */
	bool nameless;   /* a proxy passed it on and does not know from whom: nobody trusts it */
	bool helo_given; /* by XCLIENT: what is said in EHLO is the proxy's name */
	uint8_t proto;   /* what the client spoke: enum session_proto */
	const struct identify *identified; /* the account it is without a login; or NULL */
	uint64_t name_question;            /* to DNS, while it waits */
	uint8_t name_dns;                  /* enum identify_dns: what came of it */
	uint64_t number;                   /* of this session in this process */
	const struct cidr *trust;
	struct tally_entry counted;
	int64_t useful_at; /* when it came, began a message or finished one */
	struct transaction *txn;
	struct auth *auth;   /* a login that is on (smtpd_auth.c) */
	struct login *login; /* who it is; NULL: nobody said */
	unsigned auth_failures;
	struct turn *turn; /* it is turned round, or about to be (smtpd_turn.c) */
	struct buf helo;
	bool eof, held, in_process, lingering;
	bool reads_by_write; /* TLS must write before it can read on */
	int64_t shake_until; /* a handshake is under way; 0: none */
	int64_t shake_since;
	size_t forgotten;      /* octets read while lingering */
	int64_t gone_by;       /* it is over and waits to be read; 0: it is not */
	int64_t delayed_until; /* a verdict given later (fault addresses) */
	struct reply delayed;  /* its text is a literal or the configuration's */
	struct waiting waiting;
	char ip[64];
	struct {
		int64_t until,
		    look;      /* it waits at MAIL for a limit to open; until 0: it does not */
		uint64_t size; /* SIZE= of that MAIL */
	} limit_wait;
	struct limit_hit *limit_hit; /* smtpd_limits.c: for the log; NULL until it met one */
};

enum session_proto { PROTO_HERE, PROTO_SMTP, PROTO_ESMTP };

enum { SESSION_MAGIC = GW_MAGIC(0x73, 0x65, 0x73, 0x31) };

/* smtpd.c */
struct msgid smtpd_new_id(struct smtpd *s);
/* The queue is there and takes mail: NULL, or the reply that says why not. */
const struct reply *smtpd_refusal(const struct smtpd *s);

/* The configuration that this session began with. */
static inline const struct config *session_config(const struct session *s)
{
	return s->listener->rules->config;
}

/* smtpd_listen.c */
void listeners_start(struct smtpd *d);
/* Another configuration is in force: what it does not have is closed. */
void listeners_change(struct smtpd *d, struct reload *r);
void listeners_stop(struct smtpd *d);
/* One for sessions that come in another way, by the rules of now; the caller gives it back, and
 * each session has a reference of its own. The statement is the configuration's in force. */
struct listener *listener_without_socket(struct smtpd *d, const struct listen *conf) gw_checked;
void listener_drop(struct listener **l);
void rules_take_file(struct smtpd *d, const struct proto_file *f, int fd);
/* Nobody can be greeted for want of a descriptor; it is tried again. */
void smtpd_rest(struct smtpd *d);

/* smtpd_vault.c */
/* A channel to the vault; the old one is void. */
void smtpd_vault_peer(struct smtpd *d, int fd);

/* Greets on the listeners that can be served. */
void smtpd_set_listeners(struct smtpd *s);
/* The last session went: the end, if it was asked for. */
void smtpd_check_stop(struct smtpd *s);

/* smtpd_client.c: a client came. Where the listener is of a pull it is the session's own. */
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

/* Who stands before us speaks and has not said for whom: it counts for nobody. */
bool session_is_front(const struct session *s);
/* That is the client; known: its address was said, else it is the proxy's. */
void session_set_client(struct session *s, const struct sockaddr_storage *addr, bool known);
/* The limits for who it turned out to be: false, and the reply with its reason (and place). */
bool session_recount(
    struct session *s, struct reply *r, const char **reason, struct place *place) gw_checked;
/* The limits, then it is greeted; or it is turned away and gone. */
void session_admit(struct session *s);
/* Who that is, for a decision that is made at once. */
void session_client(const struct session *s, struct accept_client *out);

/* smtpd_session.c */
/* An event of the engine; unread: octets of input behind what it came from. */
void session_on_event(struct session *s, const struct server_event *ev, size_t unread);
/* 220, or why not; of a session with TLS from its first octet once that stands. */
void session_greet(struct session *s);
/* 250 to MAIL: the transaction is there. */
void session_begun(struct session *s);
/* The verdict, into the engine; it is written when the event was handled. */
void session_say(struct session *s, const struct reply *r);
void session_log_reject(struct session *s, const char *stage, const struct reply *r,
    const char *reason, struct place place, struct span rcpt);

/* smtpd_identify.c */
/* EHLO: who it is; the verdict is given, now or later. */
void session_identify(struct session *s);
struct identify_ask session_ask(const struct session *s);
/* The account it is, by login or without; n == 0: none. */
struct span session_account(const struct session *s);

/* smtpd_proxy.c */
/* This client may be here only with a PROXY header. */
void session_await_proxy(struct session *s);
/* There is input; the time for it is over. The session may be gone. */
void session_read_proxy(struct session *s);
void session_proxy_late(struct session *s);
/* XCLIENT: who it is now; the verdict is given. */
void session_xclient(struct session *s, const struct server_event *ev);

/* smtpd_io.c */
/* Greets the client, and lives from there on by its events; or waits for its PROXY header. */
void session_begin(struct session *s);
/* The header was read and it may stay: greets it. */
void session_go_on(struct session *s);
/* A verdict that came later; goes on with what the client sent meanwhile. */
void session_answer(struct session *s, const struct reply *r);
/* The same, of a verdict that leaves the transaction as it is. The session may be gone behind it.
 */
void session_reply(struct session *s, const struct reply *r);
/* Goes on, when a verdict was said (or waits again) outside of an event. The same. */
void session_resume(struct session *s);
/* From within an event: its verdict comes later. */
void session_wait(struct session *s, const struct waiting *w);
void session_waited(struct session *s);
/* Ends without a word: the fate of the message is unknown. */
void session_abandon(struct session *s);
/* 421 at once: its place is needed. */
void session_evict(struct session *s);
/* 421 at the next command boundary. */
void session_shutdown(struct session *s);
/* The client spoke out of turn: instead of a verdict. */
void session_early(struct session *s);
/* All is said: closed when the client has read it. */
void session_linger(struct session *s);
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
/* why: of COMMIT_LIMIT, what stands behind it. */
void txn_committed(struct transaction *t, enum commit_status status, struct span why);
/* The queue was replaced: ask what became of the COMMIT, or know that the parts are lost. */
void txn_queue_changed(struct transaction *t);
/* The channel to the queue has room again. */
void txn_queue_drained(struct transaction *t);
/* The queue is gone and its successor not there yet. */
void txn_queue_gone(struct transaction *t);

/* smtpd_rcpt.c */
/* A recipient that this client may name: added with all that it stands for, or refused in *v.
 * False: nothing was done, others have to answer first what "asked" has now. */
bool txn_take_rcpt(struct transaction *t, const struct server_event *ev, struct asked *asked,
    struct verdict *v) gw_checked;
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

/* smtpd_check.c */
/* The content is whole: may it go on to the queue? Its header is mended on the way. 0, or a
 * negative GW_E* with the refusal, whose text is the transaction's or its configuration's. */
int txn_check_content(struct transaction *t, struct reply *r, const char **reason) gw_checked;

/* smtpd_class.c: of a message that is accepted. */
void txn_classify(struct transaction *t);
void txn_log_class(const struct transaction *t, struct logline *l);

/* smtpd_submit.c */
/* Mends the header where the listener is for submission: 0, or a negative GW_E* with the refusal.
 */
int txn_mend(struct transaction *t, struct reply *r, const char **reason) gw_checked;
/* "fixed=" for the line "accepted", if there was anything to mend. */
void txn_log_fixes(const struct transaction *t, struct logline *l);

/* smtpd_received.c */
void txn_put_received(const struct transaction *t, struct buf *out);

#endif
