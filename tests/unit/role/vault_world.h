/*
 * A vault in this process and what is around it: channels as of master, of a receiver and of the
 * queue, and what the vault said on them.
 */
#ifndef GW_TESTS_UNIT_ROLE_VAULT_WORLD_H
#define GW_TESTS_UNIT_ROLE_VAULT_WORLD_H

#include "auth/passhash.h"
#include "auth/ticket.h"
#include "auth/scram.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/signer.h"
#include "role/role.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWERS = 2000, TEXT = 64 << 10, WORLDS = 32 };
/* A hash takes 20 ms, on a machine that has nothing else to do. */
#define PATIENCE (30 * USEC_PER_SEC)

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

static inline void copy(struct span from, char *to, size_t size)
{
	assert_true(from.n < size);
	span_to_cstr(from, to, size);
}

static inline void take_checked(struct world *w, struct span in)
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

static inline void take_certificate(struct world *w, struct span in)
{
	assert_int_equal(proto_get_certificate(in, &w->certificate), 0);
	w->n_leaf = w->certificate.chain[0].n;
	assert_true(w->n_leaf <= sizeof(w->leaf));
	memcpy(w->leaf, w->certificate.chain[0].p, w->n_leaf);
	w->n_certificate++;
}

static inline void take_accounts(struct world *w, int fd)
{
	ssize_t n = pread(fd, w->accounts, TEXT - 1, 0);

	assert_true(n >= 0);
	w->accounts[n] = '\0';
	w->accounts_seals = fcntl(fd, F_GET_SEALS);
	close(fd);
}

static inline void said(void *arg, struct ipc *c, struct ipc_frame *f)
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

static inline void closed(void *arg, struct ipc *c, const char *why)
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

static inline struct ipc *channel(struct world *w, enum role self, int *other)
{
	struct ipc_owner owner = {.frame = said, .closed = closed, .arg = w};
	int fd[2];

	assert_int_equal(ipc_pair(fd), 0);
	*other = fd[1];
	return ipc_new(w->loop, fd[0], self, ROLE_VAULT, 0, &owner);
}

static inline int memory_file(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static inline void turn(struct world *w)
{
	usleep(500);
	for (int i = 0; i < 3; i++)
		loop_once(w->loop, false);
}

static inline void give_file(
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

static inline void give_users(struct world *w, const char *text)
{
	give_file(w, FILE_USERS, 0, 1, text, strlen(text));
}

static inline void connect_receiver(struct world *w)
{
	uint8_t who[2] = {ROLE_SMTPD, 0};
	int fd;

	w->smtpd = channel(w, ROLE_SMTPD, &fd);
	assert_int_equal(ipc_send(w->master, IPC_PEER, &(struct span){who, 2}, 1, fd), 0);
	close(fd);
	for (int i = 0; i < 5; i++)
		turn(w);
}

static inline struct world *start(const char *more)
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

/* ---- logins -----------------------------------------------------------------------------------
 */

static inline uint64_t send_check(struct world *w, enum check_kind kind, unsigned from,
    struct span name, struct span secret, struct span proof)
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
	int64_t until = clock_now() + PATIENCE;

	while (clock_now() < until) {
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

static inline void put_users(char *text, size_t size, const char *hash)
{
	snprintf(text, size,
	    "Alice@Example.com active %s\nbob suspended %s\ncarl closed %s\n"
	    "dora active %s from=10.0.0.0/8\nerik active -\n",
	    hash, hash, hash, hash);
}

/* Users with cheap hashes, made once: hundreds of guesses are to be decided. */
static inline const char *users(void)
{
	static char text[4096];
	char hash[PASSHASH_MAX];

	if (text[0] != '\0')
		return text;
	assert_true(sodium_init() >= 0);
	assert_int_equal(
	    crypto_pwhash_str_alg(hash, "right", 5, crypto_pwhash_argon2id_OPSLIMIT_MIN,
		crypto_pwhash_argon2id_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13),
	    0);
	put_users(text, sizeof(text), hash);
	return text;
}

/* The same with hashes as Godwit makes them, where it matters how long one takes. */
static inline const char *dear_users(void)
{
	static char text[4096];
	char hash[PASSHASH_MAX];

	if (text[0] != '\0')
		return text;
	assert_int_equal(passhash_make(SPAN("right"), hash), 0);
	put_users(text, sizeof(text), hash);
	return text;
}

static inline int quiet(void **state)
{
	(void)state;
	log_setup(open("/dev/null", O_WRONLY), LOG_NONE, "test");
	return 0;
}

/* After the last test: the vaults are told to end, as master does. */
static inline int stop_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_worlds; i++) {
		if (worlds[i]->master != NULL)
			ipc_send(worlds[i]->master, IPC_STOP, NULL, 0, -1);
		for (int k = 0; k < 5; k++)
			turn(worlds[i]);
	}
	return 0;
}

#endif
