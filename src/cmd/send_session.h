/*
 * One connection of "godwit send": the client engine over a socket that is waited for with poll.
 * The owner connects, sends messages one after another, and closes.
 */
#ifndef GW_CMD_SEND_SESSION_H
#define GW_CMD_SEND_SESSION_H

#include "base/buf.h"
#include "cmd/send_tls.h"
#include "smtp/client.h"

#include <stdio.h>

enum { SEND_REPLY_MAX = 512, SEND_ANSWER_MAX = 4096 };

/* What the server said of one recipient, or we in its place. */
struct send_verdict {
	uint16_t code;
	char text[SEND_REPLY_MAX]; /* "2.0.0 Ok ..." on one line, as it came: escape it */
};

struct send_session {
	int fd;
	struct send_tls *tls; /* NULL: none */
	struct client_config config;
	struct client *engine;
	FILE *show; /* the dialogue goes here, or NULL */
	int64_t started;
	struct buf line[2]; /* of the dialogue, not ended yet: ours, theirs */
	uint64_t content;   /* octets of content since the last line shown */
	bool in_content;
	bool hidden; /* what is being said is a secret */
	bool answered;
	uint16_t answer_code;
	struct buf answer; /* text of the answer to send_session_say */
	bool ready, done, closed;
	bool heard; /* the server has said something */
	struct span body;
	bool body_wanted;
	struct send_verdict *verdict; /* of the message under way, one per recipient */
	struct send_verdict why;      /* of the end of the connection */
};

/* "host", "host:port", "[v6]:port"; port 0: none given. 0 or GW_EFORMAT. */
int send_server_parse(const char *text, char *host, size_t size, uint16_t *port) gw_checked;
/* A connected socket, or GW_ENOENT (no such host) or GW_ECLOSED with errno. */
int send_connect(const char *host, uint16_t port, int64_t timeout) gw_checked;

/* Owns fd. name: for EHLO; timeout: for each reply. Before the greeting send_session_tls() may
 * follow. */
void send_session_start(
    struct send_session *s, int fd, const char *name, int64_t timeout, FILE *show);
/* TLS from here on, without STARTTLS. False: the connection ended, s->why says with what. */
bool send_session_tls(struct send_session *s, const struct send_tls_wish *wish) gw_checked;
/* Greets. False: the connection ended, s->why says with what. */
bool send_session_greet(struct send_session *s) gw_checked;
/* After the greeting, where STARTTLS is offered: TLS, and EHLO again. False: the connection ended;
 * a server that would rather not, now, leaves it as it is (see s->tls). */
bool send_session_starttls(struct send_session *s, const struct send_tls_wish *wish) gw_checked;
/* Between messages: one line; in its place the dialogue shows `shown`, if that is not NULL. The
 * code of the answer, whose text is in s->answer until the next line; 0: the connection ended. */
unsigned send_session_say(struct send_session *s, struct span line, const char *shown) gw_checked;
/* One message; fills verdict[0..txn->n_rcpt). False: the connection is over (the verdicts hold). */
bool send_session_message(struct send_session *s, struct client_txn *txn, struct span body,
    struct send_verdict *verdict) gw_checked;
/* Takes leave and closes. */
void send_session_end(struct send_session *s);

#endif
