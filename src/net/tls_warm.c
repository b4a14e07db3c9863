/*
 * Handshakes with ourselves, in memory, before the jail: what the library makes when it is first
 * used is then made, and a library that lacks something is found at the start.
 */
#include "net/tls-private.h"

#include <openssl/x509v3.h>

enum { TURNS_MAX = 10, PIPE_OCTETS = 32 << 10, DAY = 86400 };

static X509 *self_signed(struct tls_server *t, EVP_PKEY *key)
{
	X509 *x = X509_new_ex(t->lib, NULL);
	EVP_MD *md = EVP_MD_fetch(t->lib, "SHA256", NULL);

	if (x == NULL || md == NULL || ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(x), 0) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(x), DAY) == NULL || X509_set_pubkey(x, key) != 1 ||
	    X509_sign(x, key, md) <= 0) {
		X509_free(x);
		x = NULL;
	}
	EVP_MD_free(md);
	return x;
}

/* Both ends in turn until both are done. */
static bool shake(SSL *server, SSL *client)
{
	char sent[1] = "x", got[1];

	for (int i = 0; i < TURNS_MAX; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

		if (c == 1 && s == 1)
			return SSL_write(client, sent, 1) == 1 && SSL_read(server, got, 1) == 1;
	}
	return false;
}

static bool one_handshake(struct tls_server *t, SSL *server, SSL *client, EVP_PKEY *key, X509 *x)
{
	BIO *near = NULL, *far = NULL;

	if (BIO_new_bio_pair(&near, PIPE_OCTETS, &far, PIPE_OCTETS) != 1)
		return false;
	SSL_set_bio(server, near, near);
	SSL_set_bio(client, far, far);
	SSL_set_cert_cb(server, NULL, NULL);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	if (t->n_ticket == 0)
		SSL_set_num_tickets(server, 0);
	return SSL_use_cert_and_key(server, x, key, NULL, 1) == 1 && shake(server, client);
}

static bool warm_version(
    struct tls_server *t, SSL_CTX *clients, int version, EVP_PKEY *key, X509 *x)
{
	SSL *server = SSL_new(t->ctx), *client = SSL_new(clients);
	bool ok = server != NULL && client != NULL &&
		  SSL_set_min_proto_version(client, version) == 1 &&
		  SSL_set_max_proto_version(client, version) == 1 &&
		  one_handshake(t, server, client, key, x);

	SSL_free(server);
	SSL_free(client);
	return ok;
}

bool tls_warm_up(struct tls_server *t)
{
	SSL_CTX *clients = SSL_CTX_new_ex(t->lib, NULL, TLS_client_method());
	EVP_PKEY *key = EVP_PKEY_Q_keygen(t->lib, NULL, "EC", "P-256");
	X509 *x = key ? self_signed(t, key) : NULL;
	bool ok = clients != NULL && x != NULL &&
		  warm_version(t, clients, TLS1_2_VERSION, key, x) &&
		  warm_version(t, clients, TLS1_3_VERSION, key, x);

	X509_free(x);
	EVP_PKEY_free(key);
	SSL_CTX_free(clients);
	return ok;
}
