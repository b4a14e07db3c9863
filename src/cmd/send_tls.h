/*
 * TLS of "godwit send" and of the load generator: the client's side over a non-blocking socket. The
 * certificate is judged; whoever asked for a connection decides what an unverified one is
 * worth. Each object belongs to one connection, and does not own its socket.
 */
#ifndef GW_CMD_SEND_TLS_H
#define GW_CMD_SEND_TLS_H

#include "base/span.h"

struct send_tls;

struct send_tls_wish {
	const char *host;    /* the name, or the address, that the certificate must be for; NULL: it
				is not judged */
	const char *ca_file; /* who may have signed it; NULL: whom this machine trusts */
	bool verify;         /* an unverified one ends the connection */
	int64_t timeout;     /* of the handshake, microseconds */
};

enum { SEND_TLS_WHY = 200, SEND_TLS_BINDING = 64 };

/* Before the handshake. NULL: it cannot be set up, and why says with what. */
struct send_tls *send_tls_begin(
    int fd, const struct send_tls_wish *wish, char why[SEND_TLS_WHY]) gw_checked;
/* A step of it: 1: done; 0: call again when the socket can be read, or *writable: written; GW_EIO.
 */
int send_tls_shake(struct send_tls *t, bool *writable, char why[SEND_TLS_WHY]) gw_checked;
/* Both, waited for with poll. NULL: it failed, and why says with what. */
struct send_tls *send_tls_new(
    int fd, const struct send_tls_wish *wish, char why[SEND_TLS_WHY]) gw_checked;
/* Says goodbye as far as that can be done without waiting. */
void send_tls_free(struct send_tls **t);

/* As recv() and send(): -1 with errno EAGAIN when nothing can be done now. */
ptrdiff_t send_tls_read(struct send_tls *t, uint8_t *to, size_t n) gw_checked;
ptrdiff_t send_tls_write(struct send_tls *t, struct span data) gw_checked;
/* Input that poll() does not know of. */
bool send_tls_pending(const struct send_tls *t);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384, certificate of mx1.example.com verified" or what is wrong. */
const char *send_tls_about(const struct send_tls *t);
/* What SCRAM is bound to: tls-exporter (RFC 9266) with TLS 1.3, else tls-unique (RFC 5929). *name:
 * which; the octets, 0 if there are none. */
size_t send_tls_binding(const struct send_tls *t, const char **name, uint8_t to[SEND_TLS_BINDING]);

#endif
