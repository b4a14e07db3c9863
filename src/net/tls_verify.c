/*
 * What a certificate is worth. The library judges the whole chain and every mistake is let pass
 * and noted, so that the chain, the name and the fingerprint can be told apart.
 */
#include "net/tls_client-private.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { HOST_MAX = 255 };

/* ---- what is expected ------------------------------------------------------------------------ */

static bool is_address(const char *host)
{
	uint8_t bytes[16];

	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

bool tls_peer_expect(SSL *ssl, struct tls_peer *p, struct span host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char text[HOST_MAX + 1];

	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	/* Nothing that a certificate could be for: it is for nobody. */
	if (host.n == 0 || host.n > HOST_MAX || span_find(host, 0) >= 0)
		return true;
	span_to_cstr(host, text, sizeof(text));
	p->asked_name = true;
	if (is_address(text)) /* RFC 6066 section 3: no SNI */
		return X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1;
	/* RFC 9525 section 6.3: the common name does not count, "*" is a whole label. */
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return X509_VERIFY_PARAM_set1_host(param, text, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, text) == 1;
}

/* ---- what is found --------------------------------------------------------------------------- */

static bool is_about_name(int error)
{
	return error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

int tls_peer_on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *p = SSL_get_app_data(ssl);
	int error = X509_STORE_CTX_get_error(store);

	if (ok || p == NULL)
		return 1;
	if (is_about_name(error))
		p->bad_name = true;
	else if (p->chain_error == X509_V_OK)
		p->chain_error = error;
	return 1;
}

static const char *slug_of(int error)
{
	switch (error) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: return "self_signed";
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: return "unknown_authority";
	case X509_V_ERR_CERT_HAS_EXPIRED: return "expired";
	case X509_V_ERR_CERT_NOT_YET_VALID: return "not_yet_valid";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: return "wrong_name";
	case X509_V_ERR_CERT_SIGNATURE_FAILURE: return "bad_signature";
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK: return "too_weak";
	case X509_V_ERR_INVALID_PURPOSE:
	case X509_V_ERR_INVALID_CA: return "wrong_purpose";
	case X509_V_ERR_CERT_CHAIN_TOO_LONG: return "chain_too_long";
	default: return "bad_certificate";
	}
}

bool tls_peer_pinned(const struct tls_peer *p, const uint8_t leaf[32])
{
	for (size_t i = 0; i < p->n_pin; i++) {
		if (memcmp(p->pin[i], leaf, 32) == 0)
			return true;
	}
	return false;
}

static bool take_leaf(SSL *ssl, struct tls_peer *p)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	unsigned n = 0;

	return leaf != NULL && X509_digest(leaf, p->client->sha256, p->leaf, &n) == 1 &&
	       n == sizeof(p->leaf);
}

/* An error that was not asked about (want of memory, a fault of the library) counts as well. */
static int chain_error(SSL *ssl, const struct tls_peer *p)
{
	long last = SSL_get_verify_result(ssl);

	if (p->chain_error != X509_V_OK)
		return p->chain_error;
	return last == X509_V_OK || is_about_name((int)last) ? X509_V_OK : (int)last;
}

void tls_peer_judge(SSL *ssl, struct tls_peer *p)
{
	struct tls_client_result *r = &p->result;
	int error;

	if (p->judged)
		return;
	p->judged = true;
	if (SSL_session_reused(ssl) == 1)
		return; /* what was kept with the session */
	*r = (struct tls_client_result){.chain = false};
	if (!take_leaf(ssl, p)) {
		snprintf(r->why, sizeof(r->why), "no_certificate");
		return;
	}
	error = chain_error(ssl, p);
	r->chain = error == X509_V_OK;
	r->name = p->asked_name && !p->bad_name && !is_about_name((int)SSL_get_verify_result(ssl));
	r->pinned = tls_peer_pinned(p, p->leaf);
	if (!r->chain)
		snprintf(r->why, sizeof(r->why), "%s",
		    p->client->trusts ? slug_of(error) : "no_authorities");
	else if (!r->name)
		snprintf(r->why, sizeof(r->why), "wrong_name");
}
