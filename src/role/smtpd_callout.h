/*
 * Who is known elsewhere: the receiver's side. While a recipient is resolved the oracle
 * (callout_oracle()) answers from what was said already and notes what has to be asked; then those
 * questions are sent, the session waits, and the recipient is resolved again. Of one target all
 * questions go to one sender, which has the answers of all receivers and bounds what the target
 * sees; those for Dovecot go to the vault.
 */
#ifndef GW_ROLE_SMTPD_CALLOUT_H
#define GW_ROLE_SMTPD_CALLOUT_H

#include "flow/recipient.h"
#include "role/smtpd.h"
#include "role/smtpd_event.h"

enum {
	ASKED_MAX = 32,  /* addresses behind one recipient; those beyond count as away */
	ASKED_ROUNDS = 8 /* an answer may lead to the next question */
};

struct asked_one {
	TAILQ_ENTRY(asked_one) link;
	struct asked *asked;
	uint64_t request; /* 0: answered, or not sent yet */
	enum elsewhere answer;
	struct span addr; /* behind this struct */
	uint8_t bytes[];
};

/* All that is asked for one recipient. */
struct asked {
	struct session *session;
	struct kept_event *event;
	TAILQ_HEAD(, asked_one) all;
	size_t n, n_open, rounds;
	int64_t until;
};

/* known.elsewhere, with a struct asked as its argument. */
enum elsewhere callout_oracle(void *asked, const struct domain *d, struct span addr);
struct asked *asked_new(struct session *s) gw_checked;
void asked_free(struct asked **a);
/* The session waits for the answers, then session_rcpt_again() is called with them. a is its own
 * until then. */
void asked_wait(struct asked *a, const struct server_event *ev);

/* smtpd_session.c: the answers are there. */
void session_rcpt_again(struct session *s, const struct server_event *ev, struct asked *a);

/* Channels. */
void callout_start(struct smtpd *d, uint64_t seed);
void callout_sender_peer(struct smtpd *d, unsigned index, int fd);
/* A CALLED frame of the vault: 0 or GW_EFORMAT. */
int callout_called(struct smtpd *d, struct span payload) gw_checked;

#endif
