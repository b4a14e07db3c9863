#include "net/stream.h"

#include "net/tls-private.h"
#include "net/tls_client-private.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SINK = 16 << 10, EXPORTED = 32 };

void stream_init(struct stream *s, int fd)
{
	*s = (struct stream){.fd = fd};
}

static bool is_client(const struct stream *s)
{
	return s->ssl != NULL && SSL_is_server(s->ssl) == 0;
}

static void drop_tls(struct stream *s)
{
	if (is_client(s))
		tls_client_drop(s->ssl);
	SSL_free(s->ssl);
	s->ssl = NULL;
}

void stream_close(struct stream *s)
{
	drop_tls(s);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->over = true;
}

static ptrdiff_t broken(struct stream *s)
{
	s->over = true;
	return GW_EIO;
}

static bool is_not_now(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

/* ---- plain ----------------------------------------------------------------------------------- */

static ptrdiff_t plain_read(struct stream *s, uint8_t *to, size_t n)
{
	ssize_t got = recv(s->fd, to, n, 0);

	if (got < 0)
		return is_not_now(errno) ? GW_EBUSY : broken(s);
	s->ended = got == 0;
	return got;
}

static ptrdiff_t plain_write(struct stream *s, struct span data)
{
	ssize_t n;

	do
		n = send(s->fd, data.p, data.n, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	s->wants_write = is_not_now(errno);
	return s->wants_write ? GW_EBUSY : broken(s);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static int clamp(size_t n)
{
	return n < INT32_MAX ? (int)n : INT32_MAX;
}

/* What a call of the library that did nothing means. */
static ptrdiff_t tls_stopped(struct stream *s, int result)
{
	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_WRITE: s->wants_write = true; return GW_EBUSY;
	case SSL_ERROR_WANT_READ: return GW_EBUSY;
	case SSL_ERROR_ZERO_RETURN: s->ended = true; return 0;
	default: return broken(s);
	}
}

static ptrdiff_t tls_read(struct stream *s, uint8_t *to, size_t n)
{
	ptrdiff_t got;

	ERR_clear_error();
	got = SSL_read(s->ssl, to, clamp(n));
	return got > 0 ? got : tls_stopped(s, (int)got);
}

static ptrdiff_t tls_write(struct stream *s, struct span data)
{
	ptrdiff_t n;

	ERR_clear_error();
	n = SSL_write(s->ssl, data.p, clamp(data.n));
	if (n > 0)
		return n;
	n = tls_stopped(s, (int)n);
	return n == 0 ? broken(s) : n;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Between the start of TLS and the end of the handshake nothing can be said in either way. */
static bool is_usable(const struct stream *s)
{
	return !s->over && s->fd >= 0 && (!s->tls || (s->ssl != NULL && s->shaken));
}

ptrdiff_t stream_read(struct stream *s, uint8_t *to, size_t n)
{
	s->wants_write = false;
	if (!is_usable(s))
		return GW_EIO;
	if (s->ended || n == 0)
		return s->ended ? 0 : GW_EBUSY;
	return s->tls ? tls_read(s, to, n) : plain_read(s, to, n);
}

ptrdiff_t stream_write(struct stream *s, struct span data)
{
	s->wants_write = false;
	if (!is_usable(s))
		return GW_EIO;
	if (data.n == 0)
		return 0;
	return s->tls ? tls_write(s, data) : plain_write(s, data);
}

bool stream_has_input(const struct stream *s)
{
	return s->tls && is_usable(s) && !s->ended && SSL_pending(s->ssl) > 0;
}

ptrdiff_t stream_look(const struct stream *s, uint8_t *to, size_t n)
{
	ssize_t got;

	gw_assert(!s->tls);
	if (s->over || s->fd < 0)
		return GW_EIO;
	got = recv(s->fd, to, n, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? GW_EBUSY : GW_EIO;
	return got;
}

bool stream_peek(const struct stream *s)
{
	uint8_t octet;

	if (s->over || s->fd < 0)
		return false;
	return stream_has_input(s) || recv(s->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void stream_shut(struct stream *s)
{
	if (s->tls && is_usable(s)) {
		ERR_clear_error();
		/* Full buffers: the client that did not read our last words misses no farewell. */
		(void)SSL_shutdown(s->ssl);
		ERR_clear_error();
	}
	drop_tls(s);
	s->over = true;
	if (s->fd >= 0)
		shutdown(s->fd, SHUT_WR);
}

ptrdiff_t stream_forget(struct stream *s)
{
	uint8_t sink[SINK];
	ssize_t n;

	gw_assert(s->over && s->ssl == NULL);
	n = recv(s->fd, sink, sizeof(sink), 0);
	if (n < 0)
		return is_not_now(errno) ? GW_EBUSY : GW_EIO;
	return n;
}

/* ---- the handshake --------------------------------------------------------------------------- */

int stream_start_tls(struct stream *s, struct tls_server *t)
{
	gw_assert(!s->tls);
	ERR_clear_error();
	s->ssl = tls_server_session(t, s->fd);
	if (s->ssl == NULL)
		return GW_ENOMEM;
	s->tls = true;
	return 0;
}

static const char *why_failed(int reason)
{
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_MESSAGE:
	case SSL_R_RECORD_LENGTH_MISMATCH: return "not_tls";
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_NO_PROTOCOLS_AVAILABLE: return "old_version";
	case SSL_R_NO_SHARED_CIPHER: return "no_shared_cipher";
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: return "no_shared_algorithm";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA: return "certificate_refused";
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return "refused";
	case SSL_R_TLSV1_UNRECOGNIZED_NAME: return "unknown_name";
	case SSL_R_EXCESSIVE_MESSAGE_SIZE: return "too_large";
	case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "closed";
	default: return "bad_handshake";
	}
}

static const char *failure(struct stream *s, int result, bool no_signature)
{
	int error = SSL_get_error(s->ssl, result);

	if (no_signature)
		return "no_signature";
	if (error == SSL_ERROR_SYSCALL)
		return "closed";
	return why_failed(ERR_GET_REASON(ERR_peek_error()));
}

/* A client signs nothing. */
static uint64_t signer_failures(const struct stream *s)
{
	const struct tls_server *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(s->ssl));

	return is_client(s) ? 0 : t->signer.failures;
}

int stream_handshake(struct stream *s, const char **why)
{
	uint64_t failures;
	int result, error;

	*why = "closed";
	s->wants_write = false;
	if (s->over || s->ssl == NULL)
		return GW_EIO;
	failures = signer_failures(s);
	ERR_clear_error();
	result = SSL_do_handshake(s->ssl);
	s->shaken = result == 1;
	if (s->shaken && is_client(s))
		tls_client_shaken(s->ssl);
	if (s->shaken)
		return 1;
	error = SSL_get_error(s->ssl, result);
	s->wants_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return 0;
	*why = failure(s, result, signer_failures(s) != failures);
	if (is_client(s))
		tls_client_failed(s->ssl);
	ERR_clear_error();
	return (int)broken(s);
}

/* ---- what it is ------------------------------------------------------------------------------ */

static bool stands(const struct stream *s)
{
	return s->ssl != NULL && s->shaken;
}

const char *stream_tls_version(const struct stream *s)
{
	return stands(s) ? SSL_get_version(s->ssl) : "";
}

const char *stream_tls_cipher(const struct stream *s)
{
	return stands(s) ? SSL_get_cipher_name(s->ssl) : "";
}

const char *stream_tls_name(const struct stream *s)
{
	const char *name = NULL;

	if (s->ssl != NULL)
		name = SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
	return name != NULL ? name : "";
}

bool stream_tls_resumed(const struct stream *s)
{
	return stands(s) && SSL_session_reused(s->ssl) == 1;
}

/* RFC 9266 section 2. In TLS 1.3 no context and an empty one are the same. */
static size_t exporter(const struct stream *s, uint8_t *to)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(s->ssl) != TLS1_3_VERSION)
		return 0;
	return SSL_export_keying_material(
		   s->ssl, to, EXPORTED, label, sizeof(label) - 1, NULL, 0, 0) == 1
		   ? EXPORTED
		   : 0;
}

size_t stream_tls_binding(const struct stream *s, bool exported, uint8_t to[STREAM_BINDING_MAX])
{
	if (!stands(s))
		return 0;
	if (exported)
		return exporter(s, to);
	/* RFC 5929 section 3.1: the first Finished is the client's, unless a session is resumed;
	 * that one has no binding here (RFC 7627 section 1 says why). */
	if (SSL_version(s->ssl) != TLS1_2_VERSION || SSL_session_reused(s->ssl) == 1)
		return 0;
	if (is_client(s))
		return SSL_get_finished(s->ssl, to, STREAM_BINDING_MAX);
	return SSL_get_peer_finished(s->ssl, to, STREAM_BINDING_MAX);
}
