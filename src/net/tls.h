/*
 * TLS of the server side: certificate chains chosen by the name the client asks for, session
 * tickets whose keys come from elsewhere, private keys that are not here (net/signer.h). TLS 1.2
 * and 1.3 only, forward secrecy always, no renegotiation, no compression.
 */
#ifndef GW_NET_TLS_H
#define GW_NET_TLS_H

#include "base/span.h"

struct tls_server;

/* Everything the library reads from files is read here: call it before the jail. */
struct tls_server *tls_server_new(void) gw_checked;
void tls_server_free(struct tls_server **t);

/*
 * A chain (DER, leaf first) whose private key the signer knows as `key`. It replaces the one of the
 * same index; connections that stand, or are being made, go on with the old one. The names are
 * those of its subjectAltName. index 0 is for clients that ask for no name or an unknown one.
 * fallback: self-signed. 0, or GW_EFORMAT.
 */
int tls_server_certificate(struct tls_server *t, uint32_t index, uint32_t key,
    const struct span *chain, size_t n, bool fallback) gw_checked;
/* There is a certificate; and one that is not self-signed (only then AUTH is offered). */
bool tls_server_ready(const struct tls_server *t);
bool tls_server_trusted(const struct tls_server *t);
/* name, mac, cipher of each (role/proto_secret.h has the sizes); the first one encrypts. */
struct tls_ticket_key {
	uint8_t name[16], mac[32], cipher[32];
};
void tls_server_tickets(struct tls_server *t, const struct tls_ticket_key *key, size_t n);
/* The socket to the signer; owned from here on, the old one is closed. -1: none. */
void tls_server_signer(struct tls_server *t, int fd);

#endif
