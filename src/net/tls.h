/*
 * TLS of the server side: certificate chains chosen by the name the client asks for, session
 * tickets whose keys come from elsewhere, private keys that are not here (net/signer.h). TLS 1.2
 * and 1.3 only, forward secrecy always, no renegotiation, no compression; nothing of it can be
 * changed by a configuration file of the library.
 */
#ifndef GW_NET_TLS_H
#define GW_NET_TLS_H

#include "base/span.h"

struct tls_server;

enum {
	TLS_CERTIFICATES_MAX = 1024,
	TLS_CHAIN_MAX = 10,
	TLS_NAMES_MAX = 256, /* of one certificate */
	TLS_TICKET_KEYS_MAX = 3
};

/* Everything the library makes lazily is made here: call it before the jail. Dies when that cannot
 * be had. */
struct tls_server *tls_server_new(void) gw_checked;
/* When no stream of it is open any more. */
void tls_server_free(struct tls_server **t);

/*
 * A chain (DER, leaf first) whose private key the signer knows as `key`. It replaces the one of the
 * same index; connections that stand, or are being made, go on with the old one. The names are
 * those of its subjectAltName ("*." stands for one label). The lowest index is for clients that ask
 * for no name or an unknown one. Of two chains for one name with keys of different kinds (EC: P-256
 * and P-384; RSA: 2048 to 8192 bits) the client's abilities decide. fallback: self-signed, used
 * only while there is nothing else. 0; GW_EFORMAT (cannot be used; the old one stays); GW_EFULL.
 */
int tls_server_certificate(struct tls_server *t, uint32_t index, uint32_t key,
    const struct span *chain, size_t n, bool fallback) gw_checked;
/* Forgets all chains; connections that stand, or are being made, go on. */
void tls_server_clear(struct tls_server *t);
/* There is a certificate; and one that is not self-signed (only then AUTH is offered). */
bool tls_server_ready(const struct tls_server *t);
bool tls_server_trusted(const struct tls_server *t);
/* name, mac, cipher of each (role/proto_secret.h has the sizes); the first one encrypts. */
struct tls_ticket_key {
	uint8_t name[16], mac[32], cipher[32];
};
/* Without keys no tickets are given out. The keys are copied. */
void tls_server_tickets(struct tls_server *t, const struct tls_ticket_key *key, size_t n);
/* The socket to the signer; owned from here on, the old one is closed. -1: none. */
void tls_server_signer(struct tls_server *t, int fd);

#endif
