/*
 * The lines of Dovecot's auth service, both of its protocols: auth-client (logins) and auth-userdb
 * (is there such a user). Pure: lines in, meaning out; lines to send. What comes is judged as
 * hostile: a line that breaks the form is an error, and its connection ends.
 *
 * A line is words parted by tabs; in a word 0x01 and a letter stand for what cannot be there. The
 * service says VERSION first; of auth-client also which mechanisms there are, and DONE.
 */
#ifndef GW_AUTH_DOVECOT_H
#define GW_AUTH_DOVECOT_H

#include "base/buf.h"

enum {
	DOVECOT_LINE_MAX = 8192, /* with its LF; a longer one is an error */
	DOVECOT_MAJOR = 1,
	DOVECOT_NAME_MAX = 255,
};

enum dovecot_word {
	DOVECOT_OTHER, /* of no interest here */
	DOVECOT_VERSION,
	DOVECOT_MECH,
	DOVECOT_DONE,
	DOVECOT_OK,      /* id, user: the login is good */
	DOVECOT_FAIL,    /* id: it is not, or nobody can say (temporary) */
	DOVECOT_CONT,    /* id */
	DOVECOT_USER,    /* id, user: there is one */
	DOVECOT_NOTFOUND /* id */
};

struct dovecot_line {
	enum dovecot_word word;
	uint32_t id;      /* never 0 where there is one */
	unsigned major;   /* VERSION */
	struct span user; /* unescaped; OK: never empty; FAIL, USER: as it was said */
	bool plain;       /* MECH: it is PLAIN */
	bool temporary;   /* FAIL: the service's own trouble */
	bool disabled;    /* FAIL: the password may be right, the user may not come in */
	bool nologin;     /* OK: the same */
};

/* One line, without its LF. The unescaped user is put into room, which is cleared. 0 or GW_EFORMAT.
 */
int dovecot_read(struct span line, struct buf *room, struct dovecot_line *out) gw_checked;

/* The first words to say: to auth-client with the number of this process, which must be unique
 * among its clients; 0: to auth-userdb. */
void dovecot_put_hello(struct buf *out, uint32_t pid);
/* A login by PLAIN (RFC 4616). ip: of the client, as text. "out" gets secrets: it has its room
 * already. GW_EFORMAT: a NUL in name or password. */
int dovecot_put_login(struct buf *out, uint32_t id, struct span name, struct span password,
    const char *ip) gw_checked;
void dovecot_put_user(struct buf *out, uint32_t id, struct span name);

#endif
