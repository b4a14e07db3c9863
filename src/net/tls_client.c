#include "net/tls_client-private.h"

#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHAIN_DEPTH = 10, TICKETS_KEPT = 4, READ_STEP = 64 << 10, AUTHORITIES_MAX = 16 << 20 };

/* ---- sessions -------------------------------------------------------------------------------- */

static int64_t life_of(const SSL_SESSION *session)
{
	int64_t told = (int64_t)SSL_SESSION_get_timeout(session);

	return (told < TLS_SESSION_LIFE ? told : TLS_SESSION_LIFE) * USEC_PER_SEC;
}

static void keep(struct tls_peer *p, SSL_SESSION *session, int n)
{
	uint8_t *octets = gw_calloc(1, (size_t)n), *end = octets;
	struct tls_kept k = {
	    .key = p->key, .result = p->result, .until = clock_now() + life_of(session)};

	memcpy(k.leaf, p->leaf, sizeof(k.leaf));
	if (i2d_SSL_SESSION(session, &end) == n) {
		k.session = span_of(octets, (size_t)n);
		tls_sessions_keep(&p->client->sessions, &k);
		p->tickets++;
	}
	OPENSSL_cleanse(octets, (size_t)n);
	free(octets);
}

/* A new one came (RFC 8446 section 4.6.1: at any time, as often as the server likes). 0: the
 * library may free it. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_peer *p = SSL_get_app_data(ssl);
	int n;

	if (p == NULL || p->key.n == 0 || p->tickets >= TICKETS_KEPT ||
	    SSL_SESSION_is_resumable(session) != 1)
		return 0;
	tls_peer_judge(ssl, p);
	n = i2d_SSL_SESSION(session, NULL);
	if (n > 0 && n <= TLS_SESSION_OCTETS)
		keep(p, session, n);
	return 0;
}

/* RFC 8446 appendix C.4: a ticket of TLS 1.3 is used once. */
static void resume(SSL *ssl, struct tls_peer *p)
{
	const struct tls_kept *k = tls_sessions_find(&p->client->sessions, p->key, clock_now());
	const unsigned char *at = k ? k->session.p : NULL;
	SSL_SESSION *session = k ? d2i_SSL_SESSION(NULL, &at, (long)k->session.n) : NULL;

	if (session == NULL)
		return;
	p->result = k->result;
	memcpy(p->leaf, k->leaf, sizeof(p->leaf));
	p->result.pinned = tls_peer_pinned(p, p->leaf);
	if (SSL_set_session(ssl, session) != 1 ||
	    SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
		tls_sessions_drop(&p->client->sessions, p->key);
	SSL_SESSION_free(session);
	ERR_clear_error();
}

/* ---- one connection -------------------------------------------------------------------------- */

static void peer_free(struct tls_peer *p)
{
	free(p->pin);
	free((void *)(uintptr_t)p->key.p);
	free(p);
}

/* The name is part of it, whatever the caller made it of: what a certificate was found good for. */
static struct span session_key(const struct tls_client_wish *w)
{
	size_t n = w->host.n + 1 + w->session.n;
	uint8_t *key;

	if (w->session.n == 0 || n > TLS_SESSION_KEY_MAX)
		return SPAN_NONE;
	key = gw_calloc(1, n);
	if (w->host.n > 0)
		memcpy(key, w->host.p, w->host.n);
	memcpy(key + w->host.n + 1, w->session.p, w->session.n);
	return span_of(key, n);
}

static struct tls_peer *peer_new(struct tls_client *t, const struct tls_client_wish *w)
{
	struct tls_peer *p = gw_calloc(1, sizeof(*p));

	gw_assert(w->n_pin <= TLS_PINS_MAX);
	p->client = t;
	p->n_pin = w->n_pin;
	if (w->n_pin > 0) {
		p->pin = gw_calloc(w->n_pin, sizeof(*p->pin));
		memcpy(p->pin, w->pin, w->n_pin * sizeof(*p->pin));
	}
	p->key = session_key(w);
	return p;
}

SSL *tls_client_session(struct tls_client *t, const struct tls_client_wish *w)
{
	struct tls_peer *p;
	SSL *ssl;

	gw_check_magic(t, TLS_CLIENT_MAGIC);
	ERR_clear_error();
	ssl = SSL_new(t->ctx);
	if (ssl == NULL)
		return NULL;
	p = peer_new(t, w);
	SSL_set_app_data(ssl, p);
	SSL_set_connect_state(ssl);
	if (!tls_peer_expect(ssl, p, w->host)) {
		tls_client_drop(ssl);
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	if (p->key.n > 0)
		resume(ssl, p);
	return ssl;
}

/* ---- who is trusted -------------------------------------------------------------------------- */

/* False: not all of it can be read. */
static bool add_authorities(struct tls_client *t)
{
	struct span pem = buf_view(&t->authorities);
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	STACK_OF(X509_INFO) *all =
	    in ? PEM_X509_INFO_read_bio_ex(in, NULL, NULL, NULL, t->lib, NULL) : NULL;
	bool ok = all != NULL;
	int n = 0;

	for (int i = 0; ok && i < sk_X509_INFO_num(all); i++) {
		X509 *x = sk_X509_INFO_value(all, i)->x509;

		ok = x == NULL || X509_STORE_add_cert(SSL_CTX_get_cert_store(t->ctx), x) == 1;
		n += x != NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(in);
	ERR_clear_error();
	return ok && n > 0;
}

bool tls_client_trusts_anybody(struct tls_client *t)
{
	gw_check_magic(t, TLS_CLIENT_MAGIC);
	if (buf_len(&t->authorities) == 0)
		return t->trusts;
	t->trusts = add_authorities(t);
	buf_fini(&t->authorities);
	if (!t->trusts)
		log_error("the file of authorities is damaged: no certificate can be verified");
	return t->trusts;
}

/* ---- connections on sockets ------------------------------------------------------------------ */

int stream_start_tls_client(struct stream *s, struct tls_client *t, const struct tls_client_wish *w)
{
	gw_assert(!s->tls);
	(void)tls_client_trusts_anybody(t);
	s->ssl = tls_client_session(t, w);
	if (s->ssl == NULL)
		return GW_ENOMEM;
	s->tls = true;
	return SSL_set_fd(s->ssl, s->fd) == 1 ? 0 : GW_ENOMEM;
}

void tls_client_shaken(SSL *ssl)
{
	tls_peer_judge(ssl, SSL_get_app_data(ssl));
}

void tls_client_failed(SSL *ssl)
{
	struct tls_peer *p = SSL_get_app_data(ssl);

	if (p->key.n > 0)
		tls_sessions_drop(&p->client->sessions, p->key);
}

void tls_client_drop(SSL *ssl)
{
	struct tls_peer *p = SSL_get_app_data(ssl);

	SSL_set_app_data(ssl, NULL);
	if (p != NULL)
		peer_free(p);
}

void stream_tls_verified(const struct stream *s, struct tls_client_result *r)
{
	const struct tls_peer *p = s->ssl != NULL ? SSL_get_app_data(s->ssl) : NULL;

	*r = (struct tls_client_result){.why = "no_certificate"};
	if (p != NULL && s->shaken)
		*r = p->result;
}

/* ---- start and end --------------------------------------------------------------------------- */

static bool set_up(struct tls_client *t)
{
	SSL_CTX *c = t->ctx;

	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				   SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
	SSL_CTX_clear_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
	/* Without AUTO_RETRY a read takes one record, so that no server can keep us in it. */
	SSL_CTX_clear_mode(c, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c, on_session);
	/* The chain is judged all the same, and its verdict never ends a handshake. */
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, tls_peer_on_verify);
	SSL_CTX_set_verify_depth(c, CHAIN_DEPTH);
	SSL_CTX_set_security_level(c, 2);
	/* CBC besides: there are servers that have nothing better, and in the clear is worse. No
	 * finite-field Diffie-Hellman: the server would choose how long it keeps us busy. */
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL") == 1 &&
	       SSL_CTX_set_ciphersuites(c, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
					   "TLS_AES_128_GCM_SHA256") == 1 &&
	       SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384:P-521") == 1;
}

/* All of the file, and nothing else is looked for later. False: it is none of certificates. */
static bool take_file(struct buf *to, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? 1 : -1;

	while (n > 0 && !buf_failed(to)) {
		uint8_t *room = buf_room(to, READ_STEP);

		n = room != NULL ? read(fd, room, READ_STEP) : -1;
		if (n > 0)
			buf_commit(to, (size_t)n);
	}
	if (fd >= 0)
		close(fd);
	if (n < 0 || memmem(to->mem, buf_len(to), "-----BEGIN ", 11) == NULL)
		buf_fini(to);
	return buf_len(to) > 0;
}

static void take_authorities(struct tls_client *t, const char *path, const char **why)
{
	*why = NULL;
	buf_init(&t->authorities, AUTHORITIES_MAX);
	if (path == NULL)
		*why = "no authorities are configured: no certificate can be verified";
	else if (!take_file(&t->authorities, path))
		*why = "the authorities cannot be read: no certificate can be verified";
}

struct tls_client *tls_client_new(const char *authorities, const char **why)
{
	struct tls_client *t = gw_calloc(1, sizeof(*t));
	uint64_t seed;

	t->magic = TLS_CLIENT_MAGIC;
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		die("no random bytes");
	tls_sessions_init(&t->sessions, seed);
	/* A file of the machine must not decide what we speak; and threads may outlive exit(). */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		die("OpenSSL cannot be started");
	t->lib = OSSL_LIB_CTX_new();
	t->provider = t->lib ? OSSL_PROVIDER_load(t->lib, "default") : NULL;
	t->sha256 = t->provider ? EVP_MD_fetch(t->lib, "SHA256", NULL) : NULL;
	t->ctx = t->sha256 ? SSL_CTX_new_ex(t->lib, NULL, TLS_client_method()) : NULL;
	if (t->ctx == NULL || !set_up(t) || !tls_client_warm_up(t))
		die("OpenSSL cannot do what TLS needs: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
	take_authorities(t, authorities, why);
	ERR_clear_error();
	return t;
}

void tls_client_free(struct tls_client **pt)
{
	struct tls_client *t = *pt;

	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	tls_sessions_fini(&t->sessions);
	buf_fini(&t->authorities);
	EVP_MD_free(t->sha256);
	OSSL_PROVIDER_unload(t->provider);
	OSSL_LIB_CTX_free(t->lib);
	free(t);
	*pt = NULL;
}

size_t tls_client_sessions(const struct tls_client *t)
{
	return map_len(&t->sessions.by_key);
}
