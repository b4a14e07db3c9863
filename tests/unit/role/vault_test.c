/*
 * The whole vault in this process, spoken to over its channels as master, a receiver and the queue
 * would, and as broken ones would: certificates that come, go bad and come again; logins of every
 * kind, right and wrong, with answers that tell nothing; floods.
 */
#include "auth/accounts.h"
#include "auth/passhash.h"
#include "auth/scram.h"
#include "auth/ticket.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/signer.h"
#include "role/role.h"
#include "role/vault_pair.h"

#include <fcntl.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWERS = 2000, TEXT = 64 << 10, WORLDS = 32, TRIES = 4000 };

struct answer {
	struct proto_checked c;
	char account[256], ticket[TICKET_TEXT], reason[64];
	uint8_t salt[64], signature[SCRAM_KEY];
	int64_t at;
};

struct world {
	struct loop *loop;
	struct boot boot;
	struct buf bundle;
	struct ipc *master, *smtpd, *queue;
	int signer_fd;
	uint64_t request;
	struct answer answer[ANSWERS];
	size_t n_answer;
	/* What it said last, and how often. */
	struct proto_certificate certificate;
	uint8_t leaf[8192];
	size_t n_leaf;
	unsigned n_certificate, n_session_keys, n_accounts, n_queue_accounts, n_closed;
	struct proto_ticket_keys session_keys;
	char accounts[TEXT];
	int accounts_seals;
};

/* They live as long as their threads: until the process ends. */
static struct world *worlds[WORLDS];
static size_t n_worlds;
static const uint8_t ticket_file[32] = {1, 2, 3, 4};

/* ---- what it says -----------------------------------------------------------------------------
 */

static void copy(struct span from, char *to, size_t size)
{
	assert_true(from.n < size);
	span_to_cstr(from, to, size);
}

static void take_checked(struct world *w, struct span in)
{
	struct answer *a = &w->answer[w->n_answer++];

	assert_true(w->n_answer <= ANSWERS);
	assert_int_equal(proto_get_checked(in, &a->c), 0);
	copy(a->c.account, a->account, sizeof(a->account));
	copy(a->c.ticket, a->ticket, sizeof(a->ticket));
	copy(a->c.reason, a->reason, sizeof(a->reason));
	assert_true(a->c.salt.n <= sizeof(a->salt) && a->c.signature.n <= sizeof(a->signature));
	memcpy(a->salt, a->c.salt.p, a->c.salt.n);
	memcpy(a->signature, a->c.signature.p, a->c.signature.n);
	a->at = clock_now();
}

static void take_certificate(struct world *w, struct span in)
{
	assert_int_equal(proto_get_certificate(in, &w->certificate), 0);
	w->n_leaf = w->certificate.chain[0].n;
	assert_true(w->n_leaf <= sizeof(w->leaf));
	memcpy(w->leaf, w->certificate.chain[0].p, w->n_leaf);
	w->n_certificate++;
}

static void take_accounts(struct world *w, int fd)
{
	ssize_t n = pread(fd, w->accounts, TEXT - 1, 0);

	assert_true(n >= 0);
	w->accounts[n] = '\0';
	w->accounts_seals = fcntl(fd, F_GET_SEALS);
	close(fd);
}

static void said(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct world *w = arg;

	if (f->type == IPC_CHECKED)
		take_checked(w, f->payload);
	else if (f->type == IPC_CERTIFICATE)
		take_certificate(w, f->payload);
	else if (f->type == IPC_TICKET_KEYS) {
		assert_int_equal(proto_get_ticket_keys(f->payload, &w->session_keys), 0);
		w->n_session_keys++;
	} else if (f->type == IPC_ACCOUNTS) {
		take_accounts(w, f->fd);
		if (ipc_peer(c) == ROLE_VAULT && c == w->queue)
			w->n_queue_accounts++;
		else
			w->n_accounts++;
	}
}

static void closed(void *arg, struct ipc *c, const char *why)
{
	struct world *w = arg;

	(void)why;
	w->n_closed++;
	if (c == w->smtpd)
		ipc_free(&w->smtpd);
	else if (c == w->queue)
		ipc_free(&w->queue);
	else
		ipc_free(&w->master);
}

/* ---- a vault ----------------------------------------------------------------------------------
 */

static struct ipc *channel(struct world *w, enum role self, int *other)
{
	struct ipc_owner owner = {.frame = said, .closed = closed, .arg = w};
	int fd[2];

	assert_int_equal(ipc_pair(fd), 0);
	*other = fd[1];
	return ipc_new(w->loop, fd[0], self, ROLE_VAULT, 0, &owner);
}

static int memory_file(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static void turn(struct world *w)
{
	usleep(500);
	for (int i = 0; i < 3; i++)
		loop_once(w->loop, false);
}

static void give_file(
    struct world *w, enum file_kind kind, uint32_t index, uint64_t stamp, const void *p, size_t n)
{
	struct proto_file f = {.kind = (uint8_t)kind, .index = index, .stamp = stamp};
	int fd = memory_file(p, n);
	struct span part;
	struct buf b;

	buf_init(&b, 64);
	proto_put_file(&b, &f);
	part = buf_view(&b);
	assert_int_equal(ipc_send(w->master, IPC_FILE, &part, 1, fd), 0);
	buf_fini(&b);
	close(fd);
	for (int i = 0; i < 5; i++)
		turn(w);
}

static void give_users(struct world *w, const char *text)
{
	give_file(w, FILE_USERS, 0, 1, text, strlen(text));
}

static void connect_receiver(struct world *w)
{
	uint8_t who[2] = {ROLE_SMTPD, 0};
	int fd;

	w->smtpd = channel(w, ROLE_SMTPD, &fd);
	assert_int_equal(ipc_send(w->master, IPC_PEER, &(struct span){who, 2}, 1, fd), 0);
	close(fd);
	for (int i = 0; i < 5; i++)
		turn(w);
}

static struct world *start(const char *more)
{
	struct world *w = gw_calloc(1, sizeof(*w));
	struct boot *b = &w->boot;
	char text[2048];
	int fd[2];

	assert_true(n_worlds < WORLDS);
	worlds[n_worlds++] = w;
	snprintf(text, sizeof(text), "hostname mx.test\nlisten mx 127.0.0.1:2525\n%s", more);
	buf_init(&w->bundle, 1 << 20);
	assert_int_equal(config_bundle_text("t", span_str(text), &w->bundle), 0);
	w->loop = loop_new();
	*b = (struct boot){.role = ROLE_VAULT,
	    .bundle = buf_view(&w->bundle),
	    .generation = 1,
	    .workers = 1,
	    .spool_dir = -1,
	    .control_fd = -1,
	    .one_process = true};
	w->master = channel(w, ROLE_MASTER, &b->master_fd);
	w->smtpd = channel(w, ROLE_SMTPD, &fd[0]);
	b->peer[b->n_peer++] = (struct boot_peer){ROLE_SMTPD, 0, fd[0]};
	w->queue = channel(w, ROLE_QUEUE, &fd[0]);
	b->peer[b->n_peer++] = (struct boot_peer){ROLE_QUEUE, 0, fd[0]};
	assert_int_equal(signer_pair(fd), 0);
	b->signer[0].fd = fd[0];
	b->n_signer = 1;
	w->signer_fd = fd[1];
	assert_int_equal(role_vault(w->loop, b), 0);
	give_file(w, FILE_TICKET_KEY, 0, 1, ticket_file, sizeof(ticket_file));
	return w;
}

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

/* ---- logins -----------------------------------------------------------------------------------
 */

static uint64_t send_check(struct world *w, enum check_kind kind, unsigned from, struct span name,
    struct span secret, struct span proof)
{
	struct proto_check c = {.request = ++w->request,
	    .kind = (uint8_t)kind,
	    .ip = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0},
	    .name = name,
	    .secret = secret,
	    .proof = proof};
	struct span part;
	struct buf b;

	c.ip[14] = (uint8_t)(from >> 8);
	c.ip[15] = (uint8_t)from;
	buf_init(&b, 32 << 10);
	proto_put_check(&b, &c);
	part = buf_view(&b);
	assert_int_equal(ipc_send(w->smtpd, IPC_CHECK, &part, 1, -1), 0);
	buf_fini(&b);
	return c.request;
}

static const struct answer *answer_to(struct world *w, uint64_t request)
{
	for (int i = 0; i < TRIES; i++) {
		for (size_t k = 0; k < w->n_answer; k++) {
			if (w->answer[k].c.request == request)
				return &w->answer[k];
		}
		turn(w);
	}
	fail_msg("no answer");
	return NULL;
}

static const struct answer *login(
    struct world *w, unsigned from, const char *name, const char *password)
{
	return answer_to(
	    w, send_check(w, CHECK_PASSWORD, from, span_str(name), span_str(password), SPAN_NONE));
}

/* Users with cheap hashes, made once. */
static const char *users(void)
{
	static char text[4096];
	char hash[PASSHASH_MAX];

	if (text[0] != '\0')
		return text;
	assert_int_equal(passhash_make(SPAN("right"), hash), 0);
	snprintf(text, sizeof(text),
	    "Alice@Example.com active %s\nbob suspended %s\ncarl closed %s\n"
	    "dora active %s from=10.0.0.0/8\nerik active -\n",
	    hash, hash, hash, hash);
	return text;
}

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

static void right_and_wrong(void **state)
{
	static const struct {
		const char *name, *password, *reason;
	} wrong[] = {{"alice@example.com", "wrong", "bad_password"},
	    {"alice@example.com", "right ", "bad_password"}, {"alice", "right", "no_such_user"},
	    {"bob", "right", "suspended"}, {"carl", "right", "closed"},
	    {"dora", "right", "from_elsewhere"}, {"erik", "right", "bad_password"},
	    {"erik", "-", "bad_password"}};
	struct world *w = start("users file /u\n");
	const struct answer *a;

	(void)state;
	give_users(w, users());
	a = login(w, 1, "ALICE@example.com", "right");
	assert_int_equal(a->c.status, CHECK_GOOD);
	assert_string_equal(a->account, "Alice@Example.com");
	for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++) {
		a = login(w, 1, wrong[i].name, wrong[i].password);
		assert_int_equal(a->c.status, CHECK_WRONG);
		assert_string_equal(a->reason, wrong[i].reason);
		assert_string_equal(a->account, "");
		assert_string_equal(a->ticket, "");
		assert_int_equal(a->c.salt.n + a->c.signature.n + a->c.iterations, 0);
	}
	/* Again, from memory: the same answers. */
	for (size_t i = 0; i < GW_ARRAY_LEN(wrong); i++)
		assert_string_equal(
		    login(w, 1, wrong[i].name, wrong[i].password)->reason, wrong[i].reason);
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

/* Names and passwords no user has. */
static void odd_logins(void **state)
{
	struct world *w = start("users file /u\n");
	static uint8_t long_one[12000];
	uint64_t r[8];
	size_t n = 0;

	(void)state;
	memset(long_one, 'a', sizeof(long_one));
	give_users(w, users());
	r[n++] = send_check(w, CHECK_PASSWORD, 1, SPAN_NONE, SPAN("right"), SPAN_NONE);
	r[n++] = send_check(w, CHECK_PASSWORD, 1, SPAN("erik"), SPAN_NONE, SPAN_NONE);
	r[n++] =
	    send_check(w, CHECK_PASSWORD, 1, SPAN("alice@example.com\0"), SPAN("right"), SPAN_NONE);
	r[n++] = send_check(w, CHECK_PASSWORD, 1, span_of(long_one, 256), SPAN("right"), SPAN_NONE);
	r[n++] = send_check(
	    w, CHECK_PASSWORD, 1, SPAN("alice@example.com"), span_of(long_one, 12000), SPAN_NONE);
	r[n++] =
	    send_check(w, CHECK_SCRAM_FINAL, 1, SPAN("erik"), SPAN("x"), span_of(long_one, 9000));
	r[n++] = send_check(w, CHECK_SCRAM_FINAL, 1, SPAN("erik"), SPAN_NONE, SPAN_NONE);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(answer_to(w, r[i])->c.status, CHECK_WRONG);
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

static void tickets_outlive_the_vault(void **state)
{
	struct world *w = start("users file /u\n");
	struct ticket t = {.account = SPAN("Alice@Example.com"), .origin = SPAN("login")};
	const struct answer *a;
	uint8_t key[32];

	(void)state;
	give_users(w, users());
	a = login(w, 1, "alice@example.com", "right");
	assert_int_equal(crypto_kdf_derive_from_key(key, 32, 1, "gwticket", ticket_file), 0);
	assert_int_equal(ticket_verify(key, span_str(a->ticket), &t), 0);
	assert_true(t.at <= clock_wall() && t.at > clock_wall() - 10 * USEC_PER_SEC);
	t.account = SPAN("bob");
	assert_int_equal(ticket_verify(key, span_str(a->ticket), &t), GW_EPERM);
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

/* ---- guessing ---------------------------------------------------------------------------------
 */

static void guesses(void **state)
{
	struct world *w = start("users file /u\n");
	char password[16];

	(void)state;
	give_users(w, users());
	/* The same wrong one a hundred times is one mistake. */
	for (int i = 0; i < 100; i++)
		assert_int_equal(
		    login(w, 7, "alice@example.com", "old one")->c.status, CHECK_WRONG);
	for (int i = 0; i < 19; i++) {
		snprintf(password, sizeof(password), "guess%d", i);
		assert_int_equal(login(w, 7, "alice@example.com", password)->c.status, CHECK_WRONG);
	}
	/* Now also the right one has to wait, from there. */
	assert_string_equal(login(w, 7, "alice@example.com", "right")->reason, "address_limit");
	assert_string_equal(login(w, 7, "nobody", "right")->reason, "address_limit");
	/* From where she never was it is the account; for a name that does not exist the same. */
	assert_string_equal(login(w, 8, "alice@example.com", "right")->reason, "account_limit");
	for (int i = 0; i < 20; i++) {
		snprintf(password, sizeof(password), "guess%d", i);
		assert_int_equal(login(w, 9, "nobody", password)->c.status, CHECK_WRONG);
	}
	assert_string_equal(login(w, 8, "nobody", "x")->reason, "account_limit");
}

static void the_owner_goes_on(void **state)
{
	struct world *w = start("users file /u\n");
	char password[16];

	(void)state;
	give_users(w, users());
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
	for (unsigned i = 0; i < 25; i++) {
		snprintf(password, sizeof(password), "guess%u", i);
		login(w, 100 + i, "alice@example.com", password);
	}
	assert_string_equal(login(w, 200, "alice@example.com", "right")->reason, "account_limit");
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

/* A thousand at once, before the first of them was found wrong: few are tried, all are answered,
 * and one who was right before does not stand behind them. */
static void a_flood_of_guesses(void **state)
{
	struct world *w = start("users file /u\n");
	const struct answer *owner;
	unsigned tried = 0, n[CHECK_STATUS_MAX + 1] = {0};
	uint64_t request;
	int64_t began;

	(void)state;
	give_users(w, users());
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
	give_users(w, users()); /* nothing is remembered but where she was */
	for (unsigned i = 0; i < 900; i++) {
		char password[16];

		snprintf(password, sizeof(password), "guess%u", i);
		/* A botnet: four from each address. */
		send_check(w, CHECK_PASSWORD, 1000 + i / 4, SPAN("alice@example.com"),
		    span_str(password), SPAN_NONE);
	}
	began = clock_now();
	request =
	    send_check(w, CHECK_PASSWORD, 1, SPAN("alice@example.com"), SPAN("right"), SPAN_NONE);
	owner = answer_to(w, request);
	print_message(
	    "the owner had her answer after %lld ms\n", (long long)(owner->at - began) / 1000);
	assert_true(owner->c.status == CHECK_GOOD ||
		    (owner->c.status == CHECK_LATER && strcmp(owner->reason, "busy") == 0));
	for (int i = 0; i < TRIES && w->n_answer < 902; i++)
		turn(w);
	assert_int_equal(w->n_answer, 902);
	for (size_t i = 0; i < w->n_answer; i++) {
		n[w->answer[i].c.status]++;
		tried += w->answer[i].c.status == CHECK_WRONG;
	}
	print_message("good %u wrong %u later %u\n", n[CHECK_GOOD], n[CHECK_WRONG], n[CHECK_LATER]);
	assert_true(tried <= 22);
}

/* The one who asked is gone: no answer, no crash, and the guess counts. */
static void going_away_is_of_no_use(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	give_users(w, users());
	for (int round = 0; round < 15; round++) {
		for (int i = 0; i < 2; i++) {
			char password[16];

			snprintf(password, sizeof(password), "guess%d-%d", round, i);
			send_check(w, CHECK_PASSWORD, 7, SPAN("alice@example.com"),
			    span_str(password), SPAN_NONE);
		}
		loop_once(w->loop, false);
		loop_once(w->loop, false);
		ipc_free(&w->smtpd);
		for (int i = 0; i < 200; i++)
			turn(w);
		connect_receiver(w);
	}
	assert_string_equal(login(w, 7, "alice@example.com", "right")->reason, "address_limit");
}

static int64_t usec_of(struct world *w, unsigned from, const char *name, int i)
{
	char password[16];
	int64_t began;
	uint64_t r;

	snprintf(password, sizeof(password), "x%d", i);
	r = send_check(w, CHECK_PASSWORD, from, span_str(name), span_str(password), SPAN_NONE);
	began = clock_now();
	for (;;) {
		loop_once(w->loop, true);
		if (w->n_answer > 0 && w->answer[w->n_answer - 1].c.request == r)
			return clock_now() - began;
	}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* Unknown, known, suspended, without a hash: the same work. */
static void equal_times(void **state)
{
	static const char *const names[] = {
	    "alice@example.com", "nobody@example.com", "bob", "erik", "x"};
	enum { N = 9 };
	struct world *w = start("users file /u\n");
	int64_t took[GW_ARRAY_LEN(names)][N];

	(void)state;
	give_users(w, users());
	for (int i = 0; i < N; i++) {
		for (size_t k = 0; k < GW_ARRAY_LEN(names); k++)
			took[k][i] = usec_of(w, 10 + (unsigned)i, names[k], i);
	}
	for (size_t k = 0; k < GW_ARRAY_LEN(names); k++) {
		qsort(took[k], N, sizeof(took[k][0]), by_size);
		print_message("%-20s %lld us\n", names[k], (long long)took[k][1]);
		assert_true(took[k][1] > took[0][1] * 6 / 10);
		assert_true(took[k][1] < took[0][1] * 16 / 10);
	}
}

/* ---- SCRAM ------------------------------------------------------------------------------------
 */

static void put_base64(char *out, const uint8_t *p, size_t n)
{
	EVP_EncodeBlock((uint8_t *)out, p, (int)n);
}

static const char *scram_users(void)
{
	static char text[2048];
	char salt[64], stored[64], server[64];
	struct scram_verifier v;

	assert_int_equal(scram_make(SPAN("pencil"), SPAN("0123456789abcdef"), 4096, &v), 0);
	put_base64(salt, v.salt.p, v.salt.n);
	put_base64(stored, v.stored_key, SCRAM_KEY);
	put_base64(server, v.server_key, SCRAM_KEY);
	snprintf(text, sizeof(text),
	    "alice active - scram=4096,%s,%s,%s\nbob suspended - scram=4096,%s,%s,%s\n", salt,
	    stored, server, salt, stored, server);
	return text;
}

static void hmac(const uint8_t *key, const char *text, size_t n, uint8_t out[SCRAM_KEY])
{
	unsigned len = SCRAM_KEY;

	HMAC(EVP_sha256(), key, SCRAM_KEY, (const uint8_t *)text, n, out, &len);
}

/* The client's side, from its password. */
static void prove(const char *password, const char *message, uint8_t proof[SCRAM_KEY])
{
	uint8_t salted[SCRAM_KEY], client[SCRAM_KEY], stored[SCRAM_KEY];

	PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const uint8_t *)"0123456789abcdef", 16,
	    4096, EVP_sha256(), SCRAM_KEY, salted);
	hmac(salted, "Client Key", 10, client);
	SHA256(client, SCRAM_KEY, stored);
	hmac(stored, message, strlen(message), proof);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		proof[i] ^= client[i];
}

static const struct answer *scram(
    struct world *w, unsigned from, const char *name, const char *password)
{
	static const char message[] = "n=alice,r=abc,r=abcdef,s=xyz,i=4096,c=biws,r=abcdef";
	uint8_t proof[SCRAM_KEY];

	prove(password, message, proof);
	return answer_to(w, send_check(w, CHECK_SCRAM_FINAL, from, span_str(name),
				span_str(message), span_of(proof, sizeof(proof))));
}

static void scram_logins(void **state)
{
	struct world *w = start("users file /u\n");
	const struct answer *a, *b;

	(void)state;
	give_users(w, scram_users());
	a = answer_to(w, send_check(w, CHECK_SCRAM_FIRST, 1, SPAN("Alice"), SPAN_NONE, SPAN_NONE));
	assert_int_equal(a->c.status, CHECK_SALT);
	assert_int_equal(a->c.iterations, 4096);
	assert_memory_equal(a->salt, "0123456789abcdef", 16);
	/* Somebody who does not exist has a salt too, and keeps it. */
	a = answer_to(
	    w, send_check(w, CHECK_SCRAM_FIRST, 1, SPAN("mallory"), SPAN_NONE, SPAN_NONE));
	b = answer_to(
	    w, send_check(w, CHECK_SCRAM_FIRST, 2, SPAN("MALLORY"), SPAN_NONE, SPAN_NONE));
	assert_int_equal(a->c.status, CHECK_SALT);
	assert_int_equal(a->c.iterations, 4096);
	assert_int_equal(a->c.salt.n, 16);
	assert_memory_equal(a->salt, b->salt, 16);
	a = scram(w, 1, "alice", "pencil");
	assert_int_equal(a->c.status, CHECK_GOOD);
	assert_int_equal(a->c.signature.n, SCRAM_KEY);
	assert_string_equal(a->account, "alice");
	assert_true(a->ticket[0] != '\0');
	assert_string_equal(scram(w, 1, "alice", "Pencil")->reason, "bad_password");
	assert_string_equal(scram(w, 1, "bob", "pencil")->reason, "suspended");
	assert_int_equal(scram(w, 1, "bob", "pencil")->c.signature.n, 0);
	assert_string_equal(scram(w, 1, "mallory", "pencil")->reason, "no_such_user");
	for (int i = 0; i < 20; i++)
		scram(w, 5, "alice", "wrong");
	assert_int_equal(scram(w, 5, "alice", "pencil")->c.status, CHECK_LATER);
	/* No salt either: there is nothing to be learned by waiting. */
	a = answer_to(w, send_check(w, CHECK_SCRAM_FIRST, 5, SPAN("alice"), SPAN_NONE, SPAN_NONE));
	assert_int_equal(a->c.status, CHECK_LATER);
}

/* After a restart the salt of nobody is the same: that of somebody is. */
static void salts_outlive_the_vault(void **state)
{
	struct world *w = start("users file /u\n"), *v = start("users file /u\n");
	const struct answer *a, *b;

	(void)state;
	give_users(w, scram_users());
	give_users(v, scram_users());
	a = answer_to(
	    w, send_check(w, CHECK_SCRAM_FIRST, 1, SPAN("mallory"), SPAN_NONE, SPAN_NONE));
	b = answer_to(
	    v, send_check(v, CHECK_SCRAM_FIRST, 1, SPAN("mallory"), SPAN_NONE, SPAN_NONE));
	assert_memory_equal(a->salt, b->salt, 16);
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

static int quiet(void **state)
{
	(void)state;
	log_setup(open("/dev/null", O_WRONLY), LOG_NONE, "test");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_a_statement),
	    cmocka_unit_test(pairs_come_and_go_bad), cmocka_unit_test(broken_from_the_start),
	    cmocka_unit_test(a_receiver_comes_later), cmocka_unit_test(before_there_are_accounts),
	    cmocka_unit_test(right_and_wrong), cmocka_unit_test(odd_logins),
	    cmocka_unit_test(tickets_outlive_the_vault), cmocka_unit_test(accounts_change),
	    cmocka_unit_test(others_see_no_secrets), cmocka_unit_test(anybody),
	    cmocka_unit_test(guesses), cmocka_unit_test(the_owner_goes_on),
	    cmocka_unit_test(a_flood_of_guesses), cmocka_unit_test(going_away_is_of_no_use),
	    cmocka_unit_test(equal_times), cmocka_unit_test(scram_logins),
	    cmocka_unit_test(salts_outlive_the_vault), cmocka_unit_test(nonsense_ends_its_sender)};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
