/*
 * The login at a host that wants one: the secrets that master sends (FILE_SECRET), and the exchange
 * of one connection. A name and a password are never in a log or a reply; they are wiped when they
 * are replaced or the process ends.
 */
#ifndef GW_ROLE_SENDER_AUTH_H
#define GW_ROLE_SENDER_AUTH_H

#include "role/proto_secret.h"
#include "smtp/reply.h"

struct conn;
struct login;
struct secret;

struct config;

struct secrets {
	struct secret **secret;
	size_t n;
};

/*
 * Those that this configuration names; the same again behind a reload. Jobs name them by a number
 * that is made of the path (secret_number() of proto_secret.h), so that it means the same in each
 * configuration; those of the one before stay for what is under way.
 */
void secrets_set(struct secrets *s, const struct config *c);
/* A file came; fd is closed. What cannot be read leaves what was there. */
void secrets_take(struct secrets *s, int fd, const char *path);

/* The connection is ready, and protected as its target demands: says AUTH, or ends it (conn_unfit).
 */
void login_begin(struct conn *c);
/* An answer of the host: conn_next_job, conn_unfit, or the next step. */
void login_answer(struct conn *c, const struct reply *r);
void login_free(struct login **l);

#endif
