/*
 * TLS as a client against servers of OpenSSL: what is found out about certificates, sessions and
 * whom they are for, servers that behave badly.
 */
#include "unit/base/helper.h"

#include "net/tls_client.h"
#include "net/tls_sessions.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHAKES_MAX = 500, DAY = 86400 };

/* ---- authorities and certificates ---- */

struct signer_of {
	EVP_PKEY *key;
	X509 *cert;
};

struct world {
	struct tls_client *client;
	struct signer_of ca, other;
	char file[64];
	SSL_CTX *server;
	EVP_PKEY *key; /* of the server */
	X509 *leaf;
};

static void add(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX c;
	X509_EXTENSION *e;

	X509V3_set_ctx(&c, issuer ? issuer : x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &c, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

struct wanted {
	const char *names, *common; /* of subjectAltName; NULL: none */
	int from, to;               /* days */
	const char *kind;           /* of the key; NULL: P-256 */
	bool authority;
};

static X509 *make(const struct wanted *v, EVP_PKEY *key, const struct signer_of *by)
{
	static long serial;
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), (long)v->from * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)v->to * DAY);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const uint8_t *)(v->common ? v->common : "x"), -1, -1, 0);
	X509_set_issuer_name(x, by ? X509_get_subject_name(by->cert) : name);
	add(x, by ? by->cert : NULL, NID_basic_constraints,
	    v->authority ? "critical,CA:TRUE" : "CA:FALSE");
	if (v->names != NULL)
		add(x, by ? by->cert : NULL, NID_subject_alt_name, v->names);
	assert_true(X509_sign(x, by ? by->key : key, EVP_sha256()) > 0);
	return x;
}

static void make_authority(struct signer_of *s, const char *name)
{
	struct wanted v = {.common = name, .from = -9, .to = 9, .authority = true};

	s->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	s->cert = make(&v, s->key, NULL);
}

static int setup(void **state)
{
	struct world *w = gw_calloc(1, sizeof(*w));
	const char *why;
	BIO *out;
	int fd;

	make_authority(&w->ca, "CA");
	make_authority(&w->other, "other CA");
	snprintf(w->file, sizeof(w->file), "/tmp/tls_client_test.XXXXXX");
	fd = mkstemp(w->file);
	assert_true(fd >= 0);
	close(fd);
	out = BIO_new_file(w->file, "w");
	assert_int_equal(PEM_write_bio_X509(out, w->ca.cert), 1);
	BIO_free(out);
	w->client = tls_client_new(w->file, &why);
	assert_null(why);
	assert_int_equal(tls_client_sessions(w->client), 0);
	*state = w;
	return 0;
}

static void drop_server(struct world *w)
{
	SSL_CTX_free(w->server);
	EVP_PKEY_free(w->key);
	X509_free(w->leaf);
	w->server = NULL;
	w->key = NULL;
	w->leaf = NULL;
}

static int teardown(void **state)
{
	struct world *w = *state;

	drop_server(w);
	tls_client_free(&w->client);
	unlink(w->file);
	X509_free(w->ca.cert);
	X509_free(w->other.cert);
	EVP_PKEY_free(w->ca.key);
	EVP_PKEY_free(w->other.key);
	free(w);
	return 0;
}

static void serve(struct world *w, struct wanted v, const struct signer_of *by)
{
	drop_server(w);
	if (v.to == 0 && v.from == 0) {
		v.from = -1;
		v.to = 5;
	}
	w->key = v.kind == NULL ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
				: EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(v.kind));
	w->leaf = make(&v, w->key, by);
	w->server = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_security_level(w->server, 0);
	assert_int_equal(SSL_CTX_use_certificate(w->server, w->leaf), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(w->server, w->key), 1);
	SSL_CTX_set_session_id_context(w->server, (const uint8_t *)"t", 1);
}

/* ---- a connection ---- */

struct talk {
	struct stream s;
	SSL *server;
	int fd;
	int client_is, server_is;
	const char *why;
	struct tls_client_result r;
};

static void begin(struct world *w, struct talk *k, const struct tls_client_wish *wish)
{
	int fd[2];

	*k = (struct talk){.why = ""};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	stream_init(&k->s, fd[0]);
	k->fd = fd[1];
	assert_int_equal(stream_start_tls_client(&k->s, w->client, wish), 0);
	k->server = SSL_new(w->server);
	SSL_set_fd(k->server, k->fd);
	SSL_set_accept_state(k->server);
}

static int step(SSL *server)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(server);
	if (n == 1)
		return 1;
	n = SSL_get_error(server, n);
	return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static bool shake(struct talk *k)
{
	for (int i = 0; i < SHAKES_MAX && !(k->server_is && k->client_is); i++) {
		if (k->client_is == 0)
			k->client_is = stream_handshake(&k->s, &k->why);
		if (k->server_is == 0)
			k->server_is = step(k->server);
	}
	if (k->client_is == 1)
		stream_tls_verified(&k->s, &k->r);
	return k->server_is == 1 && k->client_is == 1;
}

/* An octet to us, with the tickets before it. */
static bool works(struct talk *k)
{
	uint8_t got[16];
	ptrdiff_t n = GW_EBUSY;

	if (SSL_write(k->server, "ping", 4) != 4)
		return false;
	for (int i = 0; i < 20 && n == GW_EBUSY; i++)
		n = stream_read(&k->s, got, sizeof(got));
	return n == 4 && stream_write(&k->s, SPAN("pong")) == 4 &&
	       SSL_read(k->server, got, 16) == 4;
}

static void end(struct talk *k)
{
	SSL_free(k->server);
	stream_close(&k->s);
	close(k->fd);
	ERR_clear_error();
}

static struct tls_client_wish wish(const char *host, const char *session)
{
	return (struct tls_client_wish){.host = span_str(host), .session = span_str(session)};
}

/* ---- certificates ---- */

enum by { BY_CA, BY_OTHER, BY_ITSELF };
static const struct {
	const char *host;
	struct wanted v;
	enum by by;
	bool chain, name;
	const char *why;
} rows[] = {
    {"mx.test", {.names = "DNS:mx.test"}, BY_CA, true, true, ""},
    {"mx.test.", {.names = "DNS:mx.test"}, BY_CA, true, true, ""},
    {"MX.Test", {.names = "DNS:mx.test"}, BY_CA, true, true, ""},
    {"mx.test", {.names = "DNS:a.test,DNS:MX.TEST"}, BY_CA, true, true, ""},
    {"mx.test", {.names = "DNS:*.test"}, BY_CA, true, false, "wrong_name"},
    {"a.mx.test", {.names = "DNS:*.mx.test"}, BY_CA, true, true, ""},
    {"a.b.mx.test", {.names = "DNS:*.mx.test"}, BY_CA, true, false, "wrong_name"},
    {"mx.test", {.names = "DNS:*.mx.test"}, BY_CA, true, false, "wrong_name"},
    {"mx1.mx.test", {.names = "DNS:mx*.mx.test"}, BY_CA, true, false, "wrong_name"},
    {"mx.test", {.names = "DNS:other.test"}, BY_CA, true, false, "wrong_name"},
    {"mx.test", {.names = NULL, .common = "mx.test"}, BY_CA, true, false, "wrong_name"},
    {"mx.test", {.names = "DNS:a.test", .common = "mx.test"}, BY_CA, true, false, "wrong_name"},
    {"192.0.2.1", {.names = "IP:192.0.2.1"}, BY_CA, true, true, ""},
    {"192.0.2.1", {.names = "DNS:192.0.2.1"}, BY_CA, true, false, "wrong_name"},
    {"192.0.2.1", {.names = "IP:192.0.2.2"}, BY_CA, true, false, "wrong_name"},
    {"2001:db8::1", {.names = "IP:2001:db8::1"}, BY_CA, true, true, ""},
    {"", {.names = "DNS:mx.test"}, BY_CA, true, false, "wrong_name"},
    {"mx.test", {.names = "DNS:mx.test", .from = -9, .to = -1}, BY_CA, false, true, "expired"},
    {"mx.test", {.names = "DNS:mx.test", .from = 1, .to = 9}, BY_CA, false, true, "not_yet_valid"},
    {"mx.test", {.names = "DNS:x.test", .from = -9, .to = -1}, BY_CA, false, false, "expired"},
    {"mx.test", {.names = "DNS:mx.test"}, BY_OTHER, false, true, "unknown_authority"},
    {"mx.test", {.names = "DNS:mx.test"}, BY_ITSELF, false, true, "self_signed"},
    {"mx.test", {.names = "DNS:mx.test", .kind = "1024"}, BY_CA, false, true, "too_weak"},
};

static void certificates(void **state)
{
	struct world *w = *state;
	const struct signer_of *by[] = {&w->ca, &w->other, NULL};

	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		struct tls_client_wish v = wish(rows[i].host, "");
		struct talk k;

		serve(w, rows[i].v, by[rows[i].by]);
		begin(w, &k, &v);
		if (!shake(&k) || !works(&k))
			fail_msg("row %zu: %s", i, k.why);
		if (k.r.chain != rows[i].chain || k.r.name != rows[i].name ||
		    strcmp(k.r.why, rows[i].why) != 0)
			fail_msg("row %zu: chain %d, name %d, %s", i, k.r.chain, k.r.name, k.r.why);
		assert_false(k.r.pinned);
		end(&k);
	}
}

/* "mx.test\0.evil.test": for whom is it? Not for mx.test. */
static void a_name_with_an_octet_0(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "");
	struct wanted what = {.names = "DNS:mx.test#.evil.test"};
	X509 *x;
	struct talk k;
	uint8_t *der = NULL, *at;
	int n;

	serve(w, what, &w->ca);
	/* In the encoded certificate, which is signed again. */
	n = i2d_X509(w->leaf, &der);
	at = memmem(der, (size_t)n, "mx.test#", 8);
	assert_non_null(at);
	at[7] = 0;
	x = d2i_X509(NULL, &(const uint8_t *){der}, n);
	assert_non_null(x);
	assert_true(X509_sign(x, w->ca.key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(w->server, x), 1);
	begin(w, &k, &v);
	assert_true(shake(&k));
	assert_true(k.r.chain);
	assert_false(k.r.name);
	end(&k);
	X509_free(x);
	OPENSSL_free(der);
}

static void a_thousand_names(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "key");
	char *names = gw_calloc(1, 64000);
	struct talk k;
	int n = 0;

	for (int i = 0; i < 1000; i++)
		n += snprintf(names + n, 64, "DNS:host-%d.quite-a-long-name.test,", i);
	snprintf(names + n, 64, "DNS:mx.test");
	serve(w, (struct wanted){.names = names}, &w->ca);
	begin(w, &k, &v);
	assert_true(shake(&k) && works(&k));
	assert_true(k.r.chain && k.r.name);
	end(&k);
	assert_int_equal(tls_client_sessions(w->client), 0); /* too large to be kept */
	free(names);
}

static void fingerprint_of(X509 *x, uint8_t to[32])
{
	unsigned n;

	assert_int_equal(X509_digest(x, EVP_sha256(), to, &n), 1);
}

static void fingerprints(void **state)
{
	struct world *w = *state;
	uint8_t pin[2][32] = {{1}};
	struct tls_client_wish v = wish("mx.test", "");
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:other.test", .from = -9, .to = -1}, NULL);
	fingerprint_of(w->leaf, pin[1]);
	for (size_t n = 0; n <= 2; n++) {
		v.pin = pin;
		v.n_pin = n;
		begin(w, &k, &v);
		assert_true(shake(&k));
		assert_int_equal(k.r.pinned, n == 2);
		end(&k);
	}
}

static void nobody_is_trusted(void **state)
{
	struct world *w = *state;
	const char *why = NULL;
	struct tls_client_wish v = wish("mx.test", "");
	struct tls_client *keep = w->client;
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	for (int i = 0; i < 2; i++) {
		w->client = tls_client_new(i ? "/nonexistent" : NULL, &why);
		assert_non_null(why);
		assert_false(tls_client_trusts_anybody(w->client));
		begin(w, &k, &v);
		assert_true(shake(&k));
		assert_false(k.r.chain);
		assert_string_equal(k.r.why, "no_authorities");
		end(&k);
		tls_client_free(&w->client);
	}
	w->client = keep;
}

static bool trusts(const char *text, bool *told)
{
	char path[] = "/tmp/tls_client_test.XXXXXX";
	int fd = mkstemp(path);
	const char *why = NULL;
	struct tls_client *t;
	bool answer;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	t = tls_client_new(path, &why);
	unlink(path); /* later it is out of reach */
	*told = why != NULL;
	answer = tls_client_trusts_anybody(t);
	assert_int_equal(answer, tls_client_trusts_anybody(t));
	tls_client_free(&t);
	return answer;
}

static void damaged_authorities(void **state)
{
	struct world *w = *state;
	char good[8192], both[sizeof(good) + 100];
	bool told;
	FILE *f = fopen(w->file, "r");
	size_t n = f ? fread(good, 1, sizeof(good) - 1, f) : 0;

	assert_true(n > 0);
	fclose(f);
	good[n] = '\0';
	assert_true(trusts(good, &told));
	assert_false(told);
	assert_false(trusts("", &told));
	assert_true(told);
	assert_false(trusts("nothing of that kind\n", &told));
	assert_true(told);
	assert_false(
	    trusts("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &told));
	assert_false(told); /* that is found out later */
	snprintf(both, sizeof(both), "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END", good);
	assert_false(trusts(both, &told));
}

/* ---- names that are told ---- */

static void server_name(void **state)
{
	static const struct {
		const char *host, *told;
	} names[] = {{"mx.test", "mx.test"}, {"mx.test.", "mx.test"}, {"192.0.2.1", NULL},
	    {"2001:db8::1", NULL}, {"", NULL}};
	struct world *w = *state;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
		struct tls_client_wish v = wish(names[i].host, "");
		struct talk k;
		const char *told;

		begin(w, &k, &v);
		assert_true(shake(&k));
		told = SSL_get_servername(k.server, TLSEXT_NAMETYPE_host_name);
		if (names[i].told == NULL)
			assert_null(told);
		else
			assert_string_equal(told, names[i].told);
		end(&k);
	}
}

/* ---- sessions ---- */

/* One connection; was it resumed? */
static bool resumed(struct world *w, const char *host, const char *key, const uint8_t pin[32],
    struct tls_client_result *r)
{
	struct tls_client_wish v = wish(host, key);
	struct talk k;
	bool is;

	if (pin != NULL) {
		v.pin = (const uint8_t(*)[32])(uintptr_t)pin;
		v.n_pin = 1;
	}
	begin(w, &k, &v);
	assert_true(shake(&k) && works(&k));
	is = stream_tls_resumed(&k.s);
	assert_int_equal(is, SSL_session_reused(k.server));
	if (r != NULL)
		*r = k.r;
	stream_shut(&k.s);
	end(&k);
	return is;
}

static void sessions_of(struct world *w, int version)
{
	struct tls_client_result r;
	uint8_t pin[32], none[32] = {0};

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	SSL_CTX_set_min_proto_version(w->server, version);
	SSL_CTX_set_max_proto_version(w->server, version);
	fingerprint_of(w->leaf, pin);
	assert_false(resumed(w, "mx.test", "a", NULL, &r));
	assert_true(r.chain && r.name);
	for (int i = 0; i < 3; i++) {
		assert_true(resumed(w, "mx.test", "a", NULL, &r));
		assert_true(r.chain && r.name);
		assert_string_equal(r.why, "");
	}
	/* For another demand, or another host, it is none. */
	assert_false(resumed(w, "mx.test", "b", NULL, NULL));
	assert_false(resumed(w, "other.test", "a", NULL, &r));
	assert_false(r.name);
	assert_true(resumed(w, "other.test", "a", NULL, &r));
	assert_true(r.chain);
	assert_false(r.name);
	assert_string_equal(r.why, "wrong_name");
	/* The fingerprints are those of this connection, not of the first. */
	assert_true(resumed(w, "mx.test", "a", pin, &r));
	assert_true(r.pinned);
	assert_true(resumed(w, "mx.test", "a", none, &r));
	assert_false(r.pinned);
	assert_false(resumed(w, "mx.test", "", NULL, NULL));
	assert_false(resumed(w, "mx.test", "", NULL, NULL));
}

static void sessions(void **state)
{
	sessions_of(*state, TLS1_3_VERSION);
	sessions_of(*state, TLS1_2_VERSION);
}

/* A server that knows nothing of what it gave out: a whole handshake, judged anew. */
static void a_session_that_is_refused(void **state)
{
	struct world *w = *state;
	struct tls_client_result r;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	assert_false(resumed(w, "mx.test", "again", NULL, &r));
	assert_true(r.chain);
	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->other);
	assert_false(resumed(w, "mx.test", "again", NULL, &r));
	assert_false(r.chain);
	assert_true(resumed(w, "mx.test", "again", NULL, &r));
	assert_false(r.chain);
	assert_string_equal(r.why, "unknown_authority");
}

/* RFC 8446 section 4.6.1: a server may send tickets whenever it likes. */
static void a_flood_of_tickets(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "flood");
	size_t before = tls_client_sessions(w->client);
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	begin(w, &k, &v);
	assert_true(shake(&k) && works(&k));
	for (int i = 0; i < 300; i++) {
		assert_int_equal(SSL_new_session_ticket(k.server), 1);
		assert_true(works(&k));
	}
	assert_int_equal(tls_client_sessions(w->client), before + 1);
	end(&k);
}

static void keep(struct tls_sessions *s, int i, size_t octets, int64_t until)
{
	uint8_t *p = gw_calloc(1, octets);
	char key[32];
	struct tls_kept k = {.until = until, .session = span_of(p, octets)};

	snprintf(key, sizeof(key), "host-%d", i);
	k.key = span_str(key);
	tls_sessions_keep(s, &k);
	free(p);
}

static void ceilings(void **state)
{
	struct tls_sessions s;

	(void)state;
	tls_sessions_init(&s, 1);
	for (int i = 0; i < TLS_SESSIONS_MAX + 100; i++)
		keep(&s, i, 100, 10);
	assert_int_equal(map_len(&s.by_key), TLS_SESSIONS_MAX);
	assert_null(tls_sessions_find(&s, SPAN("host-99"), 0)); /* the oldest went */
	assert_non_null(tls_sessions_find(&s, SPAN("host-100"), 0));
	assert_null(tls_sessions_find(&s, SPAN("host-100"), 10)); /* its time is over */
	assert_null(tls_sessions_find(&s, SPAN("host-100"), 0));
	for (int i = 0; i < 5000; i++)
		keep(&s, i, TLS_SESSION_OCTETS, 10);
	assert_true(s.octets <= TLS_SESSIONS_OCTETS_MAX);
	assert_in_range(map_len(&s.by_key), 2000, 2100);
	keep(&s, 4999, TLS_SESSION_OCTETS + 1, 10); /* too large: and the old one is gone */
	assert_null(tls_sessions_find(&s, SPAN("host-4999"), 0));
	tls_sessions_fini(&s);
	assert_int_equal(s.octets, 0);
}

/* ---- servers that are none ---- */

static const char *garbage(struct world *w, struct span what, bool closes)
{
	struct tls_client_wish v = wish("mx.test", "garbage");
	static char said[64];
	struct talk k;

	begin(w, &k, &v);
	assert_int_equal(stream_handshake(&k.s, &k.why), 0);
	assert_int_equal(write(k.fd, what.p, what.n), (ssize_t)what.n);
	if (closes)
		shutdown(k.fd, SHUT_WR);
	for (int i = 0; i < SHAKES_MAX && k.client_is == 0; i++)
		k.client_is = stream_handshake(&k.s, &k.why);
	snprintf(said, sizeof(said), "%s", k.client_is < 0 ? k.why : "waits");
	end(&k);
	return said;
}

static void no_tls_at_all(void **state)
{
	struct world *w = *state;
	uint8_t old[] = {21, 3, 1, 0, 2, 2, 70}; /* alert: protocol_version */

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	assert_string_equal(garbage(w, SPAN("500 5.5.1 what is that?\r\n"), false), "not_tls");
	assert_string_equal(garbage(w, SPAN("\x16\x03\x03\x40\x00"), false), "waits");
	assert_string_equal(garbage(w, SPAN("\x16\x03\x03\x40\x00"), true), "closed");
	assert_string_equal(garbage(w, span_of(old, sizeof(old)), false), "old_version");
}

static void old_servers(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "");
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	SSL_CTX_set_min_proto_version(w->server, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(w->server, TLS1_1_VERSION);
	begin(w, &k, &v);
	assert_false(shake(&k));
	assert_string_equal(k.why, "old_version");
	end(&k);
}

/* TLS 1.2, HelloRequest in the midst of it: it is declined, and nothing ends. */
static void renegotiation(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "");
	uint8_t got[16];
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	SSL_CTX_set_max_proto_version(w->server, TLS1_2_VERSION);
	begin(w, &k, &v);
	assert_true(shake(&k) && works(&k));
	assert_int_equal(SSL_renegotiate(k.server), 1);
	(void)SSL_do_handshake(k.server);
	for (int i = 0; i < 5; i++)
		assert_int_equal(stream_read(&k.s, got, sizeof(got)), GW_EBUSY);
	assert_true(SSL_get_finished(k.server, got, 1) > 0);
	assert_int_equal(stream_write(&k.s, SPAN("more")), 4);
	end(&k);
}

static void an_end_without_goodbye(void **state)
{
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "");
	uint8_t got[16];
	struct talk k;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	for (int goodbye = 0; goodbye < 2; goodbye++) {
		ptrdiff_t n = GW_EBUSY;

		begin(w, &k, &v);
		assert_true(shake(&k) && works(&k));
		if (goodbye)
			(void)SSL_shutdown(k.server);
		shutdown(k.fd, SHUT_WR);
		for (int i = 0; i < 20 && n == GW_EBUSY; i++)
			n = stream_read(&k.s, got, sizeof(got));
		assert_int_equal(n, goodbye ? 0 : GW_EIO);
		end(&k);
	}
}

static void bindings(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "");
	uint8_t ours[STREAM_BINDING_MAX], theirs[STREAM_BINDING_MAX];
	struct talk k;
	size_t n;

	for (int i = 0; i < 2; i++) {
		serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
		SSL_CTX_set_max_proto_version(w->server, versions[i]);
		begin(w, &k, &v);
		assert_true(shake(&k));
		n = stream_tls_binding(&k.s, i == 1, ours);
		assert_int_equal(stream_tls_binding(&k.s, i == 0, theirs), 0);
		if (i == 0)
			assert_int_equal(SSL_get_peer_finished(k.server, theirs, 64), n);
		else
			assert_int_equal(SSL_export_keying_material(k.server, theirs, n,
					     "EXPORTER-Channel-Binding", 24, NULL, 0, 0),
			    1);
		assert_true(n > 0);
		assert_memory_equal(ours, theirs, n);
		end(&k);
	}
}

/* What a connection takes while nothing is said on it; the buffers of records are given back. */
static void idle_memory(void **state)
{
	enum { MANY = 50, MOST = 24 << 10 };
	struct world *w = *state;
	struct tls_client_wish v = wish("mx.test", "idle");
	struct talk *k = gw_calloc(MANY, sizeof(*k));
	size_t before, each;

	serve(w, (struct wanted){.names = "DNS:mx.test"}, &w->ca);
	assert_false(resumed(w, "mx.test", "idle", NULL, NULL));
	before = mallinfo2().uordblks;
	for (int i = 0; i < MANY; i++) {
		begin(w, &k[i], &v);
		assert_true(shake(&k[i]) && works(&k[i]));
		SSL_free(k[i].server);
		k[i].server = NULL;
	}
	each = (mallinfo2().uordblks - before) / MANY;
	print_message("%zu octets for an idle connection\n", each);
	if (before > 0) /* a sanitizer's allocator does not tell */
		assert_in_range(each, 1, MOST);
	for (int i = 0; i < MANY; i++)
		end(&k[i]);
	free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(certificates),
	    cmocka_unit_test(a_name_with_an_octet_0),
	    cmocka_unit_test(a_thousand_names),
	    cmocka_unit_test(fingerprints),
	    cmocka_unit_test(nobody_is_trusted),
	    cmocka_unit_test(damaged_authorities),
	    cmocka_unit_test(server_name),
	    cmocka_unit_test(sessions),
	    cmocka_unit_test(a_session_that_is_refused),
	    cmocka_unit_test(a_flood_of_tickets),
	    cmocka_unit_test(ceilings),
	    cmocka_unit_test(no_tls_at_all),
	    cmocka_unit_test(old_servers),
	    cmocka_unit_test(renegotiation),
	    cmocka_unit_test(an_end_without_goodbye),
	    cmocka_unit_test(bindings),
	    cmocka_unit_test(idle_memory),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
