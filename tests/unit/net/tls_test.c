/* Handshakes: kinds of keys and versions, names, tickets, swaps, what is refused. */
#include "unit/net/tls_fixture.h"

struct wish {
	int version;
	const char *ciphers, *algorithms, *name;
	SSL_SESSION *session;
};

static void wish_for(struct tls_talk *k, const struct wish *v)
{
	if (v->version)
		assert_true(SSL_set_min_proto_version(k->client, v->version) &&
			    SSL_set_max_proto_version(k->client, v->version));
	if (v->ciphers)
		assert_true(SSL_set_cipher_list(k->client, v->ciphers));
	if (v->algorithms)
		assert_true(SSL_set1_sigalgs_list(k->client, v->algorithms));
	if (v->name)
		assert_true(SSL_set_tlsext_host_name(k->client, v->name));
	if (v->session)
		assert_true(SSL_set_session(k->client, v->session));
}

static bool meet(struct tls_world *w, struct tls_talk *k, struct wish v)
{
	tls_begin(w, k);
	wish_for(k, &v);
	return tls_shake(k);
}

/* Serial number (= number of the key + 1) of the certificate this client gets; 0: none. */
static long got(struct tls_world *w, struct wish v)
{
	struct tls_talk k;
	long serial = 0;

	if (meet(w, &k, v) && tls_works(&k)) {
		X509 *x = SSL_get1_peer_certificate(k.client);

		serial = ASN1_INTEGER_get(X509_get0_serialNumber(x));
		X509_free(x);
	}
	tls_end(&k);
	return serial;
}

static const char *why_not(struct tls_world *w, struct wish v)
{
	struct tls_talk k;
	const char *why = meet(w, &k, v) ? "good" : k.why;

	tls_end(&k);
	return why;
}

/* ---- what works ---- */

static void every_scheme(void **state)
{
	static const struct {
		const char *kind;
		int version;
		const char *algorithm;
	} rows[] = {
	    {"P-256", TLS1_3_VERSION, "ECDSA+SHA256"},
	    {"P-384", TLS1_3_VERSION, "ECDSA+SHA384"},
	    {"P-256", TLS1_2_VERSION, "ECDSA+SHA256"},
	    {"P-256", TLS1_2_VERSION, "ECDSA+SHA512"},
	    {"P-384", TLS1_2_VERSION, "ECDSA+SHA384"},
	    {"2048", TLS1_3_VERSION, "rsa_pss_rsae_sha256"},
	    {"2048", TLS1_3_VERSION, "rsa_pss_rsae_sha384"},
	    {"2048", TLS1_3_VERSION, "rsa_pss_rsae_sha512"},
	    {"2048", TLS1_2_VERSION, "rsa_pss_rsae_sha256"},
	    {"2048", TLS1_2_VERSION, "RSA+SHA256"},
	    {"2048", TLS1_2_VERSION, "RSA+SHA384"},
	    {"2048", TLS1_2_VERSION, "RSA+SHA512"},
	};
	struct tls_world *w = *state;
	unsigned asked = 0;

	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		if (i == 0 || strcmp(rows[i].kind, rows[i - 1].kind) != 0)
			assert_int_equal(
			    tls_install(w, 0, 1, rows[i].kind, "DNS:mx.example", false), 0);
		assert_int_equal(got(w, (struct wish){.version = rows[i].version,
					    .algorithms = rows[i].algorithm}),
		    2);
		assert_int_equal(w->asked, ++asked); /* once, and not here */
	}
}

static void facts(void **state)
{
	struct tls_world *w = *state;
	struct tls_talk k;

	assert_int_equal(tls_install(w, 0, 1, "P-256", "DNS:mx.example", false), 0);
	assert_true(meet(w, &k, (struct wish){.version = TLS1_3_VERSION, .name = "mx.example"}));
	assert_string_equal(stream_tls_version(&k.s), "TLSv1.3");
	assert_string_equal(stream_tls_cipher(&k.s), "TLS_AES_256_GCM_SHA384");
	assert_string_equal(stream_tls_name(&k.s), "mx.example");
	assert_false(stream_tls_resumed(&k.s));
	tls_end(&k);
	assert_true(meet(w, &k, (struct wish){.version = TLS1_2_VERSION}));
	assert_string_equal(stream_tls_version(&k.s), "TLSv1.2");
	assert_string_equal(stream_tls_cipher(&k.s), "ECDHE-ECDSA-AES256-GCM-SHA384");
	assert_string_equal(stream_tls_name(&k.s), "");
	tls_end(&k);
}

static void names(void **state)
{
	static const struct {
		const char *name;
		long serial;
	} rows[] = {{NULL, 1}, {"a.example", 1}, {"A.EXAMPLE", 1}, {"b.example", 2},
	    {"x.wild.example", 3}, {"wild.example", 1}, {"x.y.wild.example", 1},
	    {"exact.wild.example", 4}, {"unknown.example", 1}, {".wild.example", 1},
	    {"*.wild.example", 3}, {"a.example.", 1}};
	struct tls_world *w = *state;

	/* The order of arrival does not count, the index does. */
	assert_int_equal(tls_install(w, 3, 3, "P-256", "DNS:exact.wild.example", false), 0);
	assert_int_equal(tls_install(w, 1, 1, "P-256", "DNS:b.example", false), 0);
	assert_int_equal(
	    tls_install(w, 2, 2, "P-256", "DNS:q.example,DNS:*.wild.example", false), 0);
	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example,IP:127.0.0.1", false), 0);
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		assert_int_equal(got(w, (struct wish){.name = rows[i].name}), rows[i].serial);
}

static void both_kinds(void **state)
{
	struct tls_world *w = *state;
	const char *rsa = "RSA-PSS+SHA256:RSA+SHA256", *ec = "ECDSA+SHA256";

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_int_equal(tls_install(w, 1, 1, "2048", "DNS:a.example,DNS:c.example", false), 0);
	assert_int_equal(tls_install(w, 2, 2, "2048", "DNS:b.example", false), 0);
	assert_int_equal(got(w, (struct wish){.name = "a.example"}), 1);
	assert_int_equal(got(w, (struct wish){.name = "a.example", .algorithms = ec}), 1);
	assert_int_equal(got(w, (struct wish){.name = "a.example", .algorithms = rsa}), 2);
	assert_int_equal(got(w, (struct wish){.algorithms = rsa}), 2);
	assert_int_equal(got(w, (struct wish){.version = TLS1_2_VERSION,
				    .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"}),
	    2);
	assert_int_equal(got(w, (struct wish){.name = "c.example"}), 2);
	assert_int_equal(got(w, (struct wish){.name = "b.example"}), 3);
	assert_string_equal(why_not(w, (struct wish){.name = "b.example", .algorithms = ec}),
	    "no_shared_algorithm");
}

static void self_signed_is_the_last_resort(void **state)
{
	struct tls_world *w = *state;

	assert_false(tls_server_ready(w->server));
	assert_string_not_equal(why_not(w, (struct wish){0}), "good");
	assert_int_equal(tls_install(w, UINT32_MAX, 0, "P-256", "DNS:a.example", true), 0);
	assert_true(tls_server_ready(w->server));
	assert_false(tls_server_trusted(w->server));
	assert_int_equal(got(w, (struct wish){.name = "a.example"}), 1);
	assert_int_equal(tls_install(w, 4, 1, "2048", "DNS:b.example", false), 0);
	assert_true(tls_server_trusted(w->server));
	assert_int_equal(got(w, (struct wish){.name = "a.example"}), 2);
	assert_string_equal(
	    why_not(w, (struct wish){.algorithms = "ECDSA+SHA256"}), "no_shared_algorithm");
}

/* ---- swaps ---- */

static void a_swap_leaves_sessions_alone(void **state)
{
	struct tls_world *w = *state;
	struct tls_talk standing, begun;

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_true(meet(w, &standing, (struct wish){0}));
	tls_begin(w, &begun);
	begun.client_is = tls_client_step(begun.client);
	for (unsigned i = 1; i < 10; i++) {
		assert_int_equal(tls_install(w, 0, i, "P-256", "DNS:a.example", false), 0);
		assert_true(tls_works(&standing));
		assert_int_equal(got(w, (struct wish){0}), i + 1);
	}
	assert_true(tls_shake(&begun));
	assert_true(tls_works(&begun));
	tls_end(&begun);
	tls_end(&standing);
}

static void a_bad_chain_changes_nothing(void **state)
{
	struct tls_world *w = *state;
	uint8_t der[DER_MAX];
	size_t n;
	struct span one, chain[TLS_CHAIN_MAX + 1];

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_int_equal(tls_install(w, 0, 1, "1024", "DNS:a.example", false), GW_EFORMAT);
	assert_int_equal(tls_install(w, 0, 1, "P-521", "DNS:a.example", false), GW_EFORMAT);
	n = tls_make(w, 1, "P-256", NULL, der);
	assert_int_equal(tls_server_certificate(w->server, 0, 1, NULL, 0, false), GW_EFORMAT);
	for (size_t cut = 0; cut < n; cut += 7) {
		one = span_of(der, cut);
		assert_int_equal(
		    tls_server_certificate(w->server, 0, 1, &one, 1, false), GW_EFORMAT);
	}
	one = span_of(der, n + 1); /* something behind it */
	assert_int_equal(tls_server_certificate(w->server, 0, 1, &one, 1, false), GW_EFORMAT);
	for (size_t i = 0; i <= TLS_CHAIN_MAX; i++)
		chain[i] = span_of(der, n);
	assert_int_equal(
	    tls_server_certificate(w->server, 0, 1, chain, TLS_CHAIN_MAX + 1, false), GW_EFORMAT);
	chain[1] = SPAN("junk");
	assert_int_equal(tls_server_certificate(w->server, 0, 1, chain, 2, false), GW_EFORMAT);
	assert_int_equal(got(w, (struct wish){0}), 1);
}

/* ---- what is refused ---- */

static void weak_is_refused(void **state)
{
	struct tls_world *w = *state;

	assert_int_equal(tls_install(w, 0, 0, "2048", "DNS:a.example", false), 0);
	SSL_CTX_set_security_level(w->clients, 0);
	assert_string_equal(why_not(w, (struct wish){.version = TLS1_VERSION}), "old_version");
	assert_string_equal(why_not(w, (struct wish){.version = TLS1_1_VERSION}), "old_version");
	assert_string_equal(
	    why_not(w, (struct wish){.version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"}),
	    "no_shared_cipher");
	assert_string_equal(why_not(w, (struct wish){.version = TLS1_2_VERSION,
					   .ciphers = "ECDHE-RSA-AES128-SHA256"}),
	    "no_shared_cipher");
	assert_string_equal(why_not(w, (struct wish){.version = TLS1_2_VERSION,
					   .ciphers = "DHE-RSA-AES128-GCM-SHA256"}),
	    "no_shared_cipher");
	assert_string_equal(
	    why_not(w, (struct wish){.version = TLS1_2_VERSION, .algorithms = "RSA+SHA1"}),
	    "no_shared_algorithm");
	assert_int_equal(got(w, (struct wish){0}), 1);
}

static void no_renegotiation(void **state)
{
	struct tls_world *w = *state;
	struct tls_talk k;
	uint8_t got_[8];

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_true(meet(w, &k, (struct wish){.version = TLS1_2_VERSION}));
	assert_int_equal(SSL_renegotiate(k.client), 1);
	assert_int_equal(tls_client_step(k.client), 0);
	assert_true(stream_read(&k.s, got_, sizeof(got_)) < 0);
	(void)tls_client_step(k.client);
	assert_int_equal(w->asked, 1); /* no second handshake was signed */
	tls_end(&k);
}

static void who_does_not_trust_us(void **state)
{
	struct tls_world *w = *state;

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	SSL_CTX_set_verify(w->clients, SSL_VERIFY_PEER, NULL);
	assert_string_equal(
	    why_not(w, (struct wish){.version = TLS1_2_VERSION}), "certificate_refused");
}

static const char *said(struct tls_world *w, struct span what, bool then_gone)
{
	struct tls_talk k;
	const char *why;

	tls_plain(&k);
	assert_int_equal(stream_start_tls(&k.s, w->server), 0);
	assert_int_equal(write(k.fd, what.p, what.n), what.n);
	if (then_gone)
		shutdown(k.fd, SHUT_WR);
	why = stream_handshake(&k.s, &k.why) < 0 ? k.why : "good";
	assert_true(then_gone || k.s.over);
	tls_end(&k);
	return why;
}

static void garbage(void **state)
{
	struct tls_world *w = *state;

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_string_equal(said(w, SPAN("EHLO client.example\r\n"), false), "not_tls");
	assert_string_equal(said(w, SPAN("GET / HTTP/1.0\r\n\r\n"), false), "not_tls");
	assert_string_equal(said(w, SPAN("\0\0\0\0\0\0\0\0"), false), "not_tls");
	assert_string_equal(said(w, SPAN("\x16\x03"), true), "closed");
	assert_string_equal(said(w, SPAN(""), true), "closed");
	assert_string_equal(said(w,
				SPAN("\x16\x03\x01\x48\xff"
				     "aaaa"),
				false),
	    "bad_handshake");
	assert_string_equal(
	    said(w, SPAN("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), false), "bad_handshake");
	assert_string_equal(said(w, SPAN("\x15\x03\x01\x00\x02\x02\x28"), false), "not_tls");
}

/* ---- tickets ---- */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **kept = SSL_get_app_data(ssl);

	if (kept == NULL)
		return 0;
	SSL_SESSION_free(*kept);
	*kept = session;
	return 1;
}

/* A session of its own; *resumed: it was. */
static SSL_SESSION *visit(struct tls_world *w, int version, SSL_SESSION *with, bool *resumed)
{
	/* The library offers a session of TLS 1.3 once. */
	SSL_SESSION *kept = NULL, *copy = with ? SSL_SESSION_dup(with) : NULL;
	struct tls_talk k;

	SSL_CTX_sess_set_new_cb(w->clients, keep_session);
	tls_begin(w, &k);
	wish_for(&k, &(struct wish){.version = version, .session = copy});
	SSL_SESSION_free(copy);
	SSL_set_app_data(k.client, &kept);
	assert_true(tls_shake(&k));
	assert_true(tls_works(&k));
	*resumed = stream_tls_resumed(&k.s);
	assert_int_equal(SSL_session_reused(k.client), *resumed);
	SSL_set_app_data(k.client, NULL);
	if (kept == NULL) /* TLS 1.2 does not tell of a renewed one */
		kept = SSL_get1_session(k.client);
	/* Without a farewell the library would spoil the session. */
	SSL_shutdown(k.client);
	tls_end(&k);
	return kept;
}

static struct tls_ticket_key ticket_key(uint8_t fill)
{
	struct tls_ticket_key k;

	memset(&k, fill, sizeof(k));
	return k;
}

static void resume(struct tls_world *w, int version)
{
	struct tls_ticket_key keys[2] = {ticket_key(1)}, other = ticket_key(7);
	SSL_SESSION *first, *second, *third;
	unsigned asked;
	bool resumed;

	tls_server_tickets(w->server, NULL, 0);
	first = visit(w, version, NULL, &resumed);
	assert_true(!SSL_SESSION_has_ticket(first));
	SSL_SESSION_free(first);

	tls_server_tickets(w->server, keys, 1);
	first = visit(w, version, NULL, &resumed);
	assert_false(resumed);
	assert_non_null(first);
	assert_true(SSL_SESSION_has_ticket(first));
	asked = w->asked;
	SSL_SESSION_free(visit(w, version, first, &resumed));
	assert_true(resumed);
	assert_int_equal(w->asked, asked); /* nothing was signed */

	/* With an older key too, and the client gets a new ticket under the new one. */
	keys[1] = keys[0];
	keys[0] = ticket_key(2);
	tls_server_tickets(w->server, keys, 2);
	second = visit(w, version, first, &resumed);
	assert_true(resumed);
	assert_non_null(second);
	tls_server_tickets(w->server, keys, 1);
	third = visit(w, version, second, &resumed);
	assert_true(resumed);
	SSL_SESSION_free(third);
	SSL_SESSION_free(visit(w, version, first, &resumed));
	assert_false(resumed);

	/* The key of that name, but with another MAC: a forged ticket is no ticket. */
	memcpy(other.name, keys[0].name, sizeof(other.name));
	tls_server_tickets(w->server, &other, 1);
	SSL_SESSION_free(visit(w, version, second, &resumed));
	assert_false(resumed);
	SSL_SESSION_free(second);
	SSL_SESSION_free(first);
}

static void tickets(void **state)
{
	struct tls_world *w = *state;

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	resume(w, TLS1_3_VERSION);
	resume(w, TLS1_2_VERSION);
}

/* ---- the signer fails ---- */

static void without_a_signer(void **state)
{
	struct tls_world *w = *state;
	struct tls_talk standing;

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	assert_true(meet(w, &standing, (struct wish){0}));
	tls_server_signer(w->server, -1);
	assert_string_equal(why_not(w, (struct wish){0}), "no_signature");
	tls_connect_signer(w);
	assert_int_equal(got(w, (struct wish){0}), 1);
	signer_serve(w->signer, -1); /* it has gone away */
	assert_string_equal(why_not(w, (struct wish){.version = TLS1_2_VERSION}), "no_signature");
	tls_connect_signer(w);
	assert_int_equal(got(w, (struct wish){0}), 1);
	assert_true(tls_works(&standing));
	tls_end(&standing);
	EVP_PKEY_free(w->key[0]);
	w->key[0] = NULL; /* it does not know this key */
	assert_string_equal(why_not(w, (struct wish){0}), "no_signature");
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* All sessions stand still while one waits, so only the first one may wait in vain. */
static void a_slow_signer_is_waited_for_once(void **state)
{
	struct tls_world *w = *state;
	int64_t start = now_ms();

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	w->pause = 1400;
	assert_string_equal(why_not(w, (struct wish){0}), "no_signature");
	assert_in_range(now_ms() - start, 950, 1350);
	start = now_ms();
	for (int i = 0; i < 20; i++)
		assert_string_equal(why_not(w, (struct wish){0}), "no_signature");
	assert_in_range(now_ms() - start, 0, 300);
	w->pause = 0;
	usleep(600000); /* now its answer is there: it is alive again */
	assert_int_equal(got(w, (struct wish){0}), 1);
}

/* The signer has another key under this number: no client takes that for ours. */
static void a_wrong_signature(void **state)
{
	struct tls_world *w = *state;
	uint8_t der[DER_MAX];

	assert_int_equal(tls_install(w, 0, 0, "P-256", "DNS:a.example", false), 0);
	tls_make(w, 0, "P-256", NULL, der);
	assert_string_not_equal(why_not(w, (struct wish){.version = TLS1_2_VERSION}), "good");
	assert_string_not_equal(why_not(w, (struct wish){.version = TLS1_3_VERSION}), "good");
}

#define T(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(every_scheme), T(facts), T(names), T(both_kinds),
	    T(self_signed_is_the_last_resort), T(a_swap_leaves_sessions_alone),
	    T(a_bad_chain_changes_nothing), T(weak_is_refused), T(no_renegotiation),
	    T(who_does_not_trust_us), T(garbage), T(tickets), T(without_a_signer),
	    T(a_slow_signer_is_waited_for_once), T(a_wrong_signature)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
