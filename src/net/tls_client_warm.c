/*
 * Handshakes with ourselves, in memory, before the jail, as net/tls_warm.c has them for the server:
 * here with a certificate that is verified, and a second time with the session of the first.
 */
#include "net/tls_client-private.h"

#include <openssl/x509v3.h>

enum { TURNS_MAX = 10, PIPE_OCTETS = 32 << 10, DAY = 86400 };

static const char host[] = "warm.invalid";

static bool add_name(X509 *x)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names && name && text && ASN1_STRING_set(text, host, -1) == 1 &&
		  sk_GENERAL_NAME_push(names, name) > 0;

	if (ok) {
		GENERAL_NAME_set0_value(name, GEN_DNS, text);
		ok = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
	} else {
		ASN1_IA5STRING_free(text);
		if (sk_GENERAL_NAME_num(names) <= 0)
			GENERAL_NAME_free(name);
	}
	GENERAL_NAMES_free(names);
	return ok;
}

static X509 *certificate(struct tls_client *t, EVP_PKEY *key)
{
	X509 *x = X509_new_ex(t->lib, NULL);

	if (x == NULL || X509_set_version(x, 2) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(x), -DAY) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(x), DAY) == NULL || X509_set_pubkey(x, key) != 1 ||
	    !add_name(x) || X509_sign(x, key, t->sha256) <= 0) {
		X509_free(x);
		return NULL;
	}
	return x;
}

/* Both ends in turn until both are done and an octet came through, with the tickets before it. */
static bool shake(SSL *server, SSL *client)
{
	char sent[1] = "x", got[1];

	for (int i = 0; i < TURNS_MAX; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

		if (c != 1 || s != 1)
			continue;
		if (SSL_write(server, sent, 1) != 1)
			return false;
		for (int n = 0; n < TURNS_MAX; n++) {
			if (SSL_read(client, got, 1) == 1)
				return true;
		}
		return false;
	}
	return false;
}

struct warm {
	struct tls_client *t;
	SSL_CTX *servers;
	X509_STORE *trusted;
	int version;
};

static bool connect_both(SSL *server, SSL *client)
{
	BIO *near = NULL, *far = NULL;

	if (BIO_new_bio_pair(&near, PIPE_OCTETS, &far, PIPE_OCTETS) != 1)
		return false;
	SSL_set_bio(server, near, near);
	SSL_set_bio(client, far, far);
	SSL_set_accept_state(server);
	return true;
}

/* Once; resumed says whether it had to be a session that was kept. */
static bool once(struct warm *w, bool resumed)
{
	struct tls_client_wish wish = {.host = span_str(host), .session = SPAN("warm")};
	SSL *server = SSL_new(w->servers), *client = tls_client_session(w->t, &wish);
	bool ok = server != NULL && client != NULL &&
		  SSL_set1_verify_cert_store(client, w->trusted) == 1 &&
		  SSL_set_min_proto_version(client, w->version) == 1 &&
		  SSL_set_max_proto_version(client, w->version) == 1 &&
		  connect_both(server, client) && shake(server, client);

	if (ok) {
		struct tls_peer *p = SSL_get_app_data(client);

		tls_peer_judge(client, p);
		ok = (SSL_session_reused(client) == 1) == resumed && p->result.chain &&
		     p->result.name;
	}
	if (client != NULL)
		tls_client_drop(client);
	SSL_free(client);
	SSL_free(server);
	return ok;
}

static bool warm_version(struct warm *w, int version)
{
	bool ok;

	w->version = version;
	ok = once(w, false) && once(w, true);
	tls_sessions_clear(&w->t->sessions);
	return ok;
}

bool tls_client_warm_up(struct tls_client *t)
{
	struct warm w = {.t = t,
	    .servers = SSL_CTX_new_ex(t->lib, NULL, TLS_server_method()),
	    .trusted = X509_STORE_new()};
	EVP_PKEY *key = EVP_PKEY_Q_keygen(t->lib, NULL, "EC", "P-256");
	X509 *x = key ? certificate(t, key) : NULL;
	bool ok = w.servers != NULL && w.trusted != NULL && x != NULL &&
		  X509_STORE_add_cert(w.trusted, x) == 1 &&
		  SSL_CTX_use_cert_and_key(w.servers, x, key, NULL, 1) == 1 &&
		  warm_version(&w, TLS1_2_VERSION) && warm_version(&w, TLS1_3_VERSION);

	X509_free(x);
	EVP_PKEY_free(key);
	X509_STORE_free(w.trusted);
	SSL_CTX_free(w.servers);
	return ok;
}
