/*
 * The whole vault, spoken to over its channels as master and a receiver would, and as a broken one:
 * certificates that come, go bad and come again; accounts that change.
 */
#include "unit/role/vault_world.h"

#include "role/vault_pair.h"

#include <openssl/pem.h>
#include <sodium.h>

/* ---- certificates -----------------------------------------------------------------------------
 */

/* A pair as two texts. */
struct texts {
	char *cert, *key;
};

static char *text_of(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	char *s = gw_calloc(1, (size_t)n + 1);

	memcpy(s, p, (size_t)n);
	BIO_free(b);
	return s;
}

static struct texts make_pair(const char *name)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	struct pair p;
	const uint8_t *at;
	X509 *x;

	pair_self_signed(name, clock_wall() / USEC_PER_SEC, &p);
	at = p.chain[0].p;
	x = d2i_X509(NULL, &at, (long)p.chain[0].n);
	PEM_write_bio_X509(cert, x);
	PEM_write_bio_PrivateKey(key, p.key, NULL, NULL, 0, NULL, NULL);
	X509_free(x);
	pair_free(&p);
	return (struct texts){text_of(cert), text_of(key)};
}

static void free_pair(struct texts *t)
{
	free(t->cert);
	free(t->key);
}

static void give_pair(struct world *w, uint64_t stamp, const char *cert, const char *key)
{
	give_file(w, FILE_CERTIFICATE, 0, stamp, cert, strlen(cert));
	give_file(w, FILE_KEY, 0, stamp, key, strlen(key));
}

/* Octets of the signature of this key over some digest. */
static ptrdiff_t ask_signature(struct world *w, uint32_t key, uint8_t out[SIGNER_SIGNATURE_MAX])
{
	struct signer_request r = {.key = key,
	    .scheme = SIGNER_ECDSA,
	    .digest = SIGNER_SHA256,
	    .octets = 32,
	    .value = {5, 6, 7}};

	return signer_ask(w->signer_fd, &r, out, SIGNER_SIGNATURE_MAX);
}

/* The key it names is that of the certificate it sent. */
static void key_fits(struct world *w)
{
	uint8_t out[SIGNER_SIGNATURE_MAX], value[32] = {5, 6, 7};
	ptrdiff_t n = ask_signature(w, w->certificate.key, out);
	const uint8_t *at = w->leaf;
	X509 *x = d2i_X509(NULL, &at, (long)w->n_leaf);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(X509_get0_pubkey(x), NULL);

	assert_true(n > 0);
	EVP_PKEY_verify_init(c);
	EVP_PKEY_CTX_set_signature_md(c, EVP_sha256());
	assert_int_equal(EVP_PKEY_verify(c, out, (size_t)n, value, sizeof(value)), 1);
	EVP_PKEY_CTX_free(c);
	X509_free(x);
}

static void without_a_statement(void **state)
{
	struct world *w = start("");

	(void)state;
	assert_int_equal(w->n_certificate, 1);
	assert_int_equal(w->certificate.index, PROTO_SELF_SIGNED);
	key_fits(w);
	assert_int_equal(w->n_session_keys, 1);
	assert_int_equal(w->session_keys.n, 1);
	assert_false(sodium_is_zero(w->session_keys.key[0].cipher, 32));
}

static void pairs_come_and_go_bad(void **state)
{
	struct world *w = start("tls file /c /k\n");
	struct texts a = make_pair("a.test"), b = make_pair("b.test"), c = make_pair("c.test");
	uint8_t out[SIGNER_SIGNATURE_MAX];
	uint32_t first, second;

	(void)state;
	assert_int_equal(w->n_certificate, 0);
	give_pair(w, 1, a.cert, a.key);
	assert_int_equal(w->n_certificate, 1);
	assert_int_equal(w->certificate.index, 0);
	key_fits(w);
	first = w->certificate.key;
	/* Half of another pair, under its own stamp; then the rest, but of a third. */
	give_file(w, FILE_CERTIFICATE, 0, 2, b.cert, strlen(b.cert));
	assert_int_equal(w->n_certificate, 1);
	give_file(w, FILE_KEY, 0, 2, c.key, strlen(c.key));
	assert_int_equal(w->n_certificate, 1);
	key_fits(w);
	give_pair(w, 3, "", "");
	give_pair(w, 4, b.cert, "-----BEGIN PRIVATE KEY-----\n");
	assert_int_equal(w->n_certificate, 1);
	assert_true(ask_signature(w, first, out) > 0);
	/* The good one: a new number; the old one serves who began with it. */
	give_pair(w, 5, b.cert, b.key);
	assert_int_equal(w->n_certificate, 2);
	second = w->certificate.key;
	assert_int_not_equal(first, second);
	key_fits(w);
	assert_true(ask_signature(w, first, out) > 0);
	give_pair(w, 6, c.cert, c.key);
	assert_true(ask_signature(w, first, out) < 0);
	assert_true(ask_signature(w, second, out) > 0);
	key_fits(w);
	/* No such key, and an index nobody configured. */
	assert_true(ask_signature(w, first ^ second ^ 77, out) < 0);
	give_file(w, FILE_CERTIFICATE, 99, 1, a.cert, strlen(a.cert));
	give_file(w, FILE_KEY, UINT32_MAX, 1, a.key, strlen(a.key));
	assert_int_equal(w->n_certificate, 3);
	free_pair(&a);
	free_pair(&b);
	free_pair(&c);
}

/* The only pair is broken from the start: better a certificate of its own than none. */
static void broken_from_the_start(void **state)
{
	struct world *w = start("tls file /c /k\n");
	struct texts a = make_pair("a.test");

	(void)state;
	give_pair(w, 1, a.cert, "no key");
	assert_int_equal(w->n_certificate, 1);
	assert_int_equal(w->certificate.index, PROTO_SELF_SIGNED);
	key_fits(w);
	give_pair(w, 2, a.cert, a.key);
	assert_int_equal(w->n_certificate, 2);
	assert_int_equal(w->certificate.index, 0);
	free_pair(&a);
}

/* A receiver that was started again is told all of it. */
static void a_receiver_comes_later(void **state)
{
	struct world *w = start("tls file /c /k\nusers file /u\n");
	struct texts a = make_pair("a.test");
	struct proto_ticket_keys before;

	(void)state;
	give_pair(w, 1, a.cert, a.key);
	give_users(w, "alice active -\n");
	before = w->session_keys;
	ipc_free(&w->smtpd);
	turn(w);
	connect_receiver(w);
	assert_int_equal(w->n_certificate, 2);
	assert_int_equal(w->n_session_keys, 2);
	assert_memory_equal(&before.key[0], &w->session_keys.key[0], sizeof(before.key[0]));
	assert_int_equal(w->n_accounts, 2);
	key_fits(w);
	free_pair(&a);
}

/* ---- accounts ---- */

static void before_there_are_accounts(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_LATER);
	give_users(w, "alice activ\n");
	/* A broken file makes nobody's password wrong. */
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_LATER);
	assert_int_equal(w->n_accounts, 0);
	give_users(w, users());
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

/* Suspended in this moment: what was proven a moment ago is nothing any more. */
static void accounts_change(void **state)
{
	struct world *w = start("users file /u\n");
	char text[4096], *at;

	(void)state;
	give_users(w, users());
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
	assert_int_equal(login(w, 1, "bob", "right")->c.status, CHECK_WRONG);
	snprintf(text, sizeof(text), "%s", users());
	at = strstr(text, "active");
	memcpy(at, "closed", 6);
	give_users(w, text);
	assert_string_equal(login(w, 1, "alice@example.com", "right")->reason, "closed");
	/* A mistake in the file: the table before it stays, and its answers. */
	give_users(w, "alice@example.com active\n");
	assert_string_equal(login(w, 1, "alice@example.com", "right")->reason, "closed");
	assert_int_equal(w->n_accounts, 2);
	assert_int_equal(w->n_queue_accounts, 2);
}

/* What leaves has names and states, and nothing to try passwords on. */
static void others_see_no_secrets(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	give_users(w, users());
	assert_int_equal(w->n_accounts, 1);
	assert_int_equal(w->n_queue_accounts, 1);
	assert_non_null(strstr(w->accounts, "Alice@Example.com active "));
	assert_non_null(strstr(w->accounts, "bob suspended "));
	assert_null(strstr(w->accounts, "argon"));
	assert_null(strchr(w->accounts, '$'));
	assert_int_equal(
	    w->accounts_seals, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

static void anybody(void **state)
{
	struct world *w = start("users any\n");

	(void)state;
	assert_int_equal(login(w, 1, "who@ever.test", "x")->c.status, CHECK_GOOD);
	assert_string_equal(login(w, 1, "who@ever.test", "x")->account, "who@ever.test");
	assert_int_equal(login(w, 1, "", "x")->c.status, CHECK_WRONG);
}

/* ---- broken receivers -------------------------------------------------------------------------
 */

/* A frame that makes no sense ends the one who sent it, and him alone. */
static void nonsense_ends_its_sender(void **state)
{
	struct world *w = start("users file /u\n");
	uint8_t junk[64];

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	give_users(w, users());
	assert_int_equal(ipc_send(w->smtpd, IPC_CHECK, &(struct span){junk, 64}, 1, -1), 0);
	for (int i = 0; i < 20; i++)
		turn(w);
	assert_int_equal(w->n_closed, 1);
	assert_null(w->smtpd);
	assert_non_null(w->queue);
	connect_receiver(w);
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_a_statement),
	    cmocka_unit_test(pairs_come_and_go_bad), cmocka_unit_test(broken_from_the_start),
	    cmocka_unit_test(a_receiver_comes_later), cmocka_unit_test(before_there_are_accounts),
	    cmocka_unit_test(accounts_change), cmocka_unit_test(others_see_no_secrets),
	    cmocka_unit_test(anybody), cmocka_unit_test(nonsense_ends_its_sender)};

	return cmocka_run_group_tests(tests, quiet, stop_all);
}
