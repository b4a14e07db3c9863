/*
 * What "godwit send" does before its first message: TLS and the login, as its flags say. Who logs
 * in wants TLS with a certificate that is verified, and has to say so if less will do.
 */
#ifndef GW_CMD_SEND_LOGIN_H
#define GW_CMD_SEND_LOGIN_H

#include "cmd/send_session.h"

enum send_tls_when { SEND_TLS_OFF, SEND_TLS_OPPORTUNISTIC, SEND_TLS_REQUIRE, SEND_TLS_IMPLICIT };

struct send_login {
	/* Flags, borrowed. */
	const char *tls, *ca_file, *user, *mech, *password_file;
	bool verify, insecure;
	/* What they mean. */
	enum send_tls_when when;
	int mechanism; /* -1: the best */
	struct buf password;
};

/* Judges the flags and gets the password. CMD_OK or the exit status, after it was told why. */
int send_login_prepare(struct send_login *l) gw_checked;
/* Wipes the password. */
void send_login_fini(struct send_login *l);
/* 25, 465 for TLS from the start, 587 for who logs in. */
uint16_t send_login_port(const struct send_login *l);
/*
 * Greets, and does what was asked for. CMD_OK: the first message can go, or the greeting was a
 * refusal (s->closed). Else the exit status, after it was told why; the session is to be ended.
 */
int send_login_greet(const struct send_login *l, struct send_session *s, const char *host,
    uint16_t port, int64_t timeout) gw_checked;

#endif
