/*
 * Dovecot's auth service, as the vault asks it: are these a name and its password (auth-client), is
 * there such a user (auth-userdb). The vault has no way to connect anything: master brings the
 * sockets (DOVECOT) when they are wanted.
 *
 * A link is one socket of Dovecot's. Its questions go out as soon as it is connected; while it is
 * not, or does not speak, the answer is "away" after DOVECOT_PATIENCE. What was asked when a
 * connection ended is asked again on the next one.
 */
#ifndef GW_ROLE_VAULT_DOVECOT_H
#define GW_ROLE_VAULT_DOVECOT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "net/loop.h"

#include <sys/queue.h>

enum {
	DOVECOT_OPEN_MAX = 512,     /* questions on one link */
	DOVECOT_IN_MAX = 32 << 10,  /* unread answers */
	DOVECOT_OUT_MAX = 64 << 10, /* questions that the socket does not take; others wait */
};
#define DOVECOT_PATIENCE USEC_PER_SEC /* until it speaks */
#define DOVECOT_ANSWER \
	(8 * USEC_PER_SEC) /* for a login: it waits itself after a wrong password \
			    */

enum dovecot_says {
	DOVECOT_SAYS_YES, /* user: what it calls him */
	DOVECOT_SAYS_NO,
	DOVECOT_SAYS_BARRED, /* he may not come in, whatever his password */
	DOVECOT_SAYS_NOTHING /* nobody could say */
};

struct dovecot_link;
/* Called exactly once, never before dovecot_ask_... returns. It may ask again, and must not free
 * the link. user: borrowed until then. */
typedef void dovecot_done(void *arg, enum dovecot_says says, struct span user);

struct dovecot_link_owner {
	/* A connection is wanted: dovecot_link_take() when there is one. */
	void (*want)(void *arg, struct dovecot_link *l);
	void *arg;
};

/* login: it speaks auth-client, else auth-userdb. */
struct dovecot_link *dovecot_link_new(struct loop *l, const char *path, bool login,
    const struct dovecot_link_owner *owner) gw_checked;
void dovecot_link_free(struct dovecot_link **l);
const char *dovecot_link_path(const struct dovecot_link *l);
bool dovecot_link_is_login(const struct dovecot_link *l);
/* Nobody waits for an answer. */
bool dovecot_link_idle(const struct dovecot_link *l);
/* fd is owned, and non-blocking. */
void dovecot_link_take(struct dovecot_link *l, int fd);

/* False: there are too many questions, or it cannot be asked; done is not called. */
bool dovecot_ask_login(struct dovecot_link *l, struct span name, struct span password,
    const uint8_t ip[16], dovecot_done *done, void *arg) gw_checked;
bool dovecot_ask_user(struct dovecot_link *l, struct span name, int64_t patience,
    dovecot_done *done, void *arg) gw_checked;

#endif
