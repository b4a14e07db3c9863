#include "cmd/send_tls.h"

#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { ABOUT = 400 };

struct send_tls {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	char about[ABOUT];
};

/* ---- set-up -----------------------------------------------------------------------------------
 */

static bool is_address(const char *host)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
	bool is = ip != NULL;

	ASN1_OCTET_STRING_free(ip);
	return is;
}

static bool trust(struct send_tls *t, const struct send_tls_wish *wish, char why[SEND_TLS_WHY])
{
	if (wish->host == NULL)
		return true;
	if (wish->ca_file == NULL)
		return SSL_CTX_set_default_verify_paths(t->ctx) == 1;
	if (SSL_CTX_load_verify_locations(t->ctx, wish->ca_file, NULL) == 1)
		return true;
	snprintf(why, SEND_TLS_WHY, "%s has no certificates that can be read", wish->ca_file);
	return false;
}

/* The result of the judgement is asked for later, so that it can be told in either case. */
static bool expect_host(struct send_tls *t, const char *host)
{
	if (host == NULL)
		return true;
	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host) == 1;
	return SSL_set1_host(t->ssl, host) == 1 && SSL_set_tlsext_host_name(t->ssl, host) == 1;
}

static bool set_up(struct send_tls *t, const struct send_tls_wish *wish, char why[SEND_TLS_WHY])
{
	snprintf(why, SEND_TLS_WHY, "TLS cannot be set up");
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL || SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1 ||
	    !trust(t, wish, why))
		return false;
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(
	    t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	t->ssl = SSL_new(t->ctx);
	return t->ssl != NULL && SSL_set_fd(t->ssl, t->fd) == 1 && expect_host(t, wish->host);
}

/* ---- handshake --------------------------------------------------------------------------------
 */

static const char *reason(int error)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	if (text != NULL)
		return text;
	return error == SSL_ERROR_SYSCALL && errno != 0 ? strerror(errno) : "the peer hung up";
}

int send_tls_shake(struct send_tls *t, bool *writable, char why[SEND_TLS_WHY])
{
	int result, error;

	ERR_clear_error();
	errno = 0;
	result = SSL_connect(t->ssl);
	if (result == 1)
		return 1;
	error = SSL_get_error(t->ssl, result);
	*writable = error == SSL_ERROR_WANT_WRITE;
	if (*writable || error == SSL_ERROR_WANT_READ)
		return 0;
	snprintf(why, SEND_TLS_WHY, "TLS failed: %s", reason(error));
	return GW_EIO;
}

static bool shake(struct send_tls *t, int64_t timeout, char why[SEND_TLS_WHY])
{
	int64_t end = clock_now() + timeout;
	bool writable = false;
	int result;

	while ((result = send_tls_shake(t, &writable, why)) == 0) {
		struct pollfd p = {.fd = t->fd, .events = writable ? POLLOUT : POLLIN};
		int64_t left = end - clock_now();

		if (left <= 0) {
			snprintf(why, SEND_TLS_WHY, "TLS failed: no answer in time");
			return false;
		}
		poll(&p, 1, (int)(left / USEC_PER_MSEC) + 1);
	}
	return result == 1;
}

/* True: the certificate is good. */
static bool judge(struct send_tls *t, const char *host, char why[SEND_TLS_WHY])
{
	long result = SSL_get_verify_result(t->ssl);
	bool good = result == X509_V_OK && SSL_get0_peer_certificate(t->ssl) != NULL;

	snprintf(why, SEND_TLS_WHY, "the certificate is not verified for %s: %s", host,
	    X509_verify_cert_error_string(result));
	snprintf(t->about, sizeof(t->about), "%s, %s, ", SSL_get_version(t->ssl),
	    SSL_get_cipher_name(t->ssl));
	if (good)
		snprintf(t->about + strlen(t->about), sizeof(t->about) - strlen(t->about),
		    "certificate of %s verified", host);
	else
		snprintf(
		    t->about + strlen(t->about), sizeof(t->about) - strlen(t->about), "%s", why);
	return good;
}

struct send_tls *send_tls_begin(int fd, const struct send_tls_wish *wish, char why[SEND_TLS_WHY])
{
	struct send_tls *t = gw_calloc(1, sizeof(*t));

	t->fd = fd;
	if (!set_up(t, wish, why))
		send_tls_free(&t);
	return t;
}

struct send_tls *send_tls_new(int fd, const struct send_tls_wish *wish, char why[SEND_TLS_WHY])
{
	struct send_tls *t = send_tls_begin(fd, wish, why);

	if (t == NULL)
		return NULL;
	if (shake(t, wish->timeout, why) && (judge(t, wish->host, why) || !wish->verify))
		return t;
	send_tls_free(&t);
	return NULL;
}

void send_tls_free(struct send_tls **tp)
{
	struct send_tls *t = *tp;

	if (t == NULL)
		return;
	if (t->ssl != NULL && SSL_is_init_finished(t->ssl))
		(void)SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	free(t);
	*tp = NULL;
}

/* ---- octets -----------------------------------------------------------------------------------
 */

/* An end without close_notify is an end of the connection like any other here. */
static ptrdiff_t outcome(struct send_tls *t, int result)
{
	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_ZERO_RETURN: return 0;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
	default: errno = EIO; return -1;
	}
}

static int bounded(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

ptrdiff_t send_tls_read(struct send_tls *t, uint8_t *to, size_t n)
{
	int result;

	ERR_clear_error();
	result = SSL_read(t->ssl, to, bounded(n));
	return result > 0 ? result : outcome(t, result);
}

ptrdiff_t send_tls_write(struct send_tls *t, struct span data)
{
	int result;

	ERR_clear_error();
	result = SSL_write(t->ssl, data.p, bounded(data.n));
	return result > 0 ? result : outcome(t, result);
}

bool send_tls_pending(const struct send_tls *t)
{
	return SSL_pending(t->ssl) > 0;
}

/* ---- what it is -------------------------------------------------------------------------------
 */

const char *send_tls_about(const struct send_tls *t)
{
	return t->about;
}

size_t send_tls_binding(const struct send_tls *t, const char **name, uint8_t to[SEND_TLS_BINDING])
{
	enum { EXPORTED = 32 };
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(t->ssl) >= TLS1_3_VERSION) {
		*name = "tls-exporter";
		return SSL_export_keying_material(t->ssl, to, EXPORTED, label, sizeof(label) - 1,
			   (const uint8_t *)"", 0, 1) == 1
			   ? EXPORTED
			   : 0;
	}
	/* Both sides know it by the first Finished of the handshake: ours, as nothing is resumed.
	 */
	*name = "tls-unique";
	return SSL_get_finished(t->ssl, to, SEND_TLS_BINDING);
}
