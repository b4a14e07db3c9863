/* TLS of the receiver: what the vault gives it, and the handshakes of clients. */
#ifndef GW_ROLE_SMTPD_TLS_H
#define GW_ROLE_SMTPD_TLS_H

#include "role/smtpd.h"

/* Before the jail; also where no listener speaks TLS yet. */
void smtpd_tls_prepare(struct smtpd *d);
void smtpd_tls_start(struct smtpd *d);
/* Handshakes of this listener can be made, or it does without. False: its clients wait. */
bool smtpd_tls_can_greet(const struct listener *l);
/* The socket to the signer; owned from here on. */
void smtpd_tls_signer(struct smtpd *d, int fd);
/* A configuration is in force: its certificates, if all of them came before. */
void smtpd_tls_changed(struct smtpd *d);
/* CERTIFICATE, CERTIFICATES and TICKET_KEYS of the vault: 0, or GW_EFORMAT. */
int smtpd_tls_certificate(struct smtpd *d, struct span payload) gw_checked;
int smtpd_tls_certificates(struct smtpd *d, struct span payload) gw_checked;
int smtpd_tls_ticket_keys(struct smtpd *d, struct span payload) gw_checked;
/* Puts what the listeners offer into their engines. */
void smtpd_tls_offer(struct smtpd *d);

/* It speaks TLS from its first octet and has not begun. */
bool session_needs_handshake(const struct session *s);
/* Begins it; session_shake() goes on with it until it says 1 (done) or GW_EIO (failed, logged). 0:
 * wait, as s->io says. */
int session_begin_tls(struct session *s) gw_checked;
int session_shake(struct session *s) gw_checked;
/* It is given up or the session goes; no-op if there is none. */
void session_end_shake(struct session *s);
/* Its time is over. */
void session_shake_late(struct session *s);
/* Something of it is under way. */
bool session_is_shaking(const struct session *s);

#endif
