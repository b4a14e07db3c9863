/*
 * May this client send, as whom, and to whom? The fixed rule: the recipient's domain is ours, or
 * the client is in "trust", or it logged in; otherwise 550 5.7.1. Nothing in the configuration can
 * widen it except "trust" and the accounts. Who logged in uses the senders of the account alone;
 * who is trusted and did not log in uses any. The verdict names its reason and the statement it
 * rests on.
 */
#ifndef GW_FLOW_ACCEPT_H
#define GW_FLOW_ACCEPT_H

#include "auth/accounts.h"
#include "config/config.h"
#include "flow/identify.h"
#include "mail/address.h"
#include "mail/envelope.h"
#include "mail/etrn.h"
#include "smtp/reply.h"

struct verdict {
	bool ok;
	struct reply reply; /* for the client */
	const char *reason; /* slug: "relay_denied", "local", "trusted", "logged_in" ... */
	struct place place; /* of the statement; file NULL: built in */
	bool asks_dns;      /* RCPT: DNS may still say that the domain is no good */
	int64_t delay;      /* microseconds to wait before the reply (fault addresses) */
	char text[512];     /* holds reply.text when it is not a literal */
};

/* Who is there. Made anew for each decision: accounts come and go while a session is on. */
struct accept_client {
	const struct listen *listen;   /* where it came in */
	const struct cidr *trust;      /* config_trusts() of it, or NULL */
	struct span login;             /* the account it logged in with; n == 0: it did not */
	const struct account *account; /* the same in the table now in force; NULL: not there */
	bool accounts_away;            /* there is no table yet */
	/* It did not log in: the statement that makes it the account "login". */
	const struct identify *identified;
	struct identify_ask ask;  /* by what it could have been recognised, for hints */
	struct account elsewhere; /* one that Dovecot knows: "account" may point here */
	struct span from; /* the sender of this message, canonical; n == 0: none, or not said yet */
};

/* Who logged in (login is set): its account in the table, or, where the users are Dovecot's, one
 * that has its name and nothing else. */
void accept_client_account(
    const struct config *c, const struct accounts *accounts, struct accept_client *client);

/* May it send to any domain? Its statement: "trust" or "users". */
static inline bool accept_may_relay(const struct accept_client *client)
{
	return client->trust != NULL || client->login.n > 0;
}

/* MAIL: is it somebody who may send here, and as this sender? (accept_sender.c) */
void accept_mail(const struct config *c, const struct accept_client *client,
    const struct address *from, struct verdict *v);
/*
 * Of one who may not relay, but nearly could: what it has to do, or that DNS cannot say now. True:
 * the verdict is given. (accept_sender.c)
 */
bool accept_hint(const struct config *c, const struct accept_client *client, struct verdict *v);
/* The end of data: is each mailbox of each From field permitted to who logged in? head: the header
 * block, as it will be stored. */
void accept_from(const struct config *c, const struct accept_client *client, struct span head,
    struct verdict *v);

/* Is DNS to be asked for the domain of the sender? Of strangers alone, and not for what is ours. */
bool accept_asks_sender(
    const struct config *c, const struct accept_client *client, const struct address *from);
void accept_rcpt(const struct config *c, const struct accept_client *client,
    const struct address *rcpt, struct verdict *v);

/*
 * The end of data: a message whose recipients nobody takes now that its size is known is refused
 * while its client is there to hear it; the verdict is that of the first one. Where only some are
 * not taken, they go back to the sender. rcpt: canonical, as they will be stored. (accept_size.c)
 */
void accept_size(const struct config *c, const struct accept_client *client,
    const struct rcpt *rcpt, size_t n, uint64_t size, struct verdict *v);

/*
 * The class a client that may relay asks for in the header field X-Godwit-Class: "normal" or
 * "at-most-once". 0, or GW_EFORMAT with the refusal in *v (another word, more than one field).
 * From others the field means nothing. head: the header block.
 */
int accept_class(const struct accept_client *client, struct span head, bool *at_most_once,
    struct verdict *v) gw_checked;

/*
 * ETRN: may this client have the mail of that name tried? The verdict does not depend on the queue:
 * 459 tells a stranger nothing of what waits. v->reply is set for a refusal alone. (accept_etrn.c)
 */
struct etrn_ask {
	enum etrn_kind kind;
	struct span name; /* in lower case */
};
void accept_etrn(const struct config *c, const struct accept_client *client,
    const struct sockaddr *from, const struct etrn_ask *q, struct verdict *v);
/* Is there a name it may ask for? */
bool accept_etrn_any(
    const struct config *c, const struct accept_client *client, const struct sockaddr *from);

/* Is the domain that of fault addresses, and what does the local part ask for? */
enum fault { FAULT_NONE, FAULT_451, FAULT_550, FAULT_SLOW, FAULT_BOUNCE, FAULT_DEFER };
enum fault accept_fault(const struct config *c, struct span local, struct span domain);

#endif
