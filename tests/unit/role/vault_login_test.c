/*
 * Logins at the whole vault: right and wrong ones of every kind, with answers and times that tell
 * nothing; guessers and floods of them; SCRAM.
 */
#include "unit/role/vault_world.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <sodium.h>

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

/* ---- guessing ---------------------------------------------------------------------------------
 */

static void guesses(void **state)
{
	struct world *w = start("users file /u\n");
	char password[32];

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
	/* One guesser alone does not shut the account, not even where she never was. */
	assert_int_equal(login(w, 8, "alice@example.com", "right")->c.status, CHECK_GOOD);
}

/* From ten places each. */
static void a_hundred_guesses(struct world *w, const char *name)
{
	char password[32];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(password, sizeof(password), "guess%u", i);
		assert_int_equal(login(w, 100 + i % 10, name, password)->c.status, CHECK_WRONG);
	}
}

/* A name that does not exist is no different. */
static void many_guessers(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	give_users(w, users());
	a_hundred_guesses(w, "alice@example.com");
	assert_string_equal(login(w, 8, "alice@example.com", "right")->reason, "account_limit");
}

static void many_guessers_of_nobody(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	give_users(w, users());
	a_hundred_guesses(w, "nobody");
	assert_string_equal(login(w, 8, "nobody", "x")->reason, "account_limit");
}

static void the_owner_goes_on(void **state)
{
	struct world *w = start("users file /u\n");

	(void)state;
	give_users(w, users());
	assert_int_equal(login(w, 1, "alice@example.com", "right")->c.status, CHECK_GOOD);
	a_hundred_guesses(w, "alice@example.com");
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
		char password[32];

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
	while (w->n_answer < 902 && clock_now() < began + 30 * USEC_PER_SEC)
		turn(w);
	assert_int_equal(w->n_answer, 902);
	for (size_t i = 0; i < w->n_answer; i++) {
		n[w->answer[i].c.status]++;
		tried += w->answer[i].c.status == CHECK_WRONG;
	}
	print_message("good %u wrong %u later %u\n", n[CHECK_GOOD], n[CHECK_WRONG], n[CHECK_LATER]);
	assert_true(tried <= 102);
}

static int64_t wrong_logins(void)
{
	return metric_get(metric_page, METRIC_LOGINS_WRONG);
}

/* The one who asked is gone: no answer, no crash, and the guess counts. */
static void going_away_is_of_no_use(void **state)
{
	struct world *w = start("users file /u\n");
	int64_t before = wrong_logins(), until = clock_now() + PATIENCE;

	(void)state;
	give_users(w, dear_users());
	for (int round = 0; round < 15; round++) {
		for (int i = 0; i < 2; i++) {
			char password[32];

			snprintf(password, sizeof(password), "guess%d-%d", round, i);
			send_check(w, CHECK_PASSWORD, 7, SPAN("alice@example.com"),
			    span_str(password), SPAN_NONE);
		}
		loop_once(w->loop, false);
		loop_once(w->loop, false);
		ipc_free(&w->smtpd);
		while (wrong_logins() < before + 2 * (round + 1) && clock_now() < until)
			turn(w);
		connect_receiver(w);
	}
	assert_string_equal(login(w, 7, "alice@example.com", "right")->reason, "address_limit");
}

/* A receiver dies while a right login of its client is being hashed; the next one in its place
 * counts its requests from 1 as well. The answer to the one must not let in a client of the other.
 */
static void answers_reach_who_asked(void **state)
{
	struct world *w = start("users file /u\n");
	uint64_t request;

	(void)state;
	give_users(w, dear_users());
	request =
	    send_check(w, CHECK_PASSWORD, 1, SPAN("alice@example.com"), SPAN("right"), SPAN_NONE);
	loop_once(w->loop, false);
	loop_once(w->loop, false);
	ipc_free(&w->smtpd);
	connect_receiver(w);
	w->request = request - 1;
	assert_int_equal(
	    send_check(w, CHECK_PASSWORD, 2, SPAN("alice@example.com"), SPAN("wrong"), SPAN_NONE),
	    request);
	assert_int_equal(answer_to(w, request)->c.status, CHECK_WRONG);
	for (int i = 0; i < 200; i++)
		turn(w);
	assert_int_equal(w->n_answer, 1);
}

/* Of all threads: what else runs on the machine is none of it. */
static int64_t work_done(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
	return t.tv_sec * USEC_PER_SEC + t.tv_nsec / 1000;
}

static int64_t usec_of(struct world *w, unsigned from, const char *name, int i)
{
	char password[32];
	int64_t began = work_done();
	uint64_t r;

	snprintf(password, sizeof(password), "x%d", i);
	r = send_check(w, CHECK_PASSWORD, from, span_str(name), span_str(password), SPAN_NONE);
	for (;;) {
		loop_once(w->loop, true);
		if (w->n_answer > 0 && w->answer[w->n_answer - 1].c.request == r)
			return work_done() - began;
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
	enum { N = 7 };
	struct world *w = start("users file /u\n");
	int64_t took[GW_ARRAY_LEN(names)][N];

	(void)state;
	give_users(w, dear_users());
	for (int i = 0; i < N; i++) {
		for (size_t k = 0; k < GW_ARRAY_LEN(names); k++)
			took[k][i] = usec_of(w, 10 + (unsigned)i, names[k], i);
	}
	for (size_t k = 0; k < GW_ARRAY_LEN(names); k++) {
		qsort(took[k], N, sizeof(took[k][0]), by_size);
		print_message("%-20s %lld us\n", names[k], (long long)took[k][0]);
		assert_true(took[k][0] > took[0][0] / 2);
		assert_true(took[k][0] < took[0][0] * 2);
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(right_and_wrong),
	    cmocka_unit_test(odd_logins), cmocka_unit_test(tickets_outlive_the_vault),
	    cmocka_unit_test(guesses), cmocka_unit_test(many_guessers),
	    cmocka_unit_test(many_guessers_of_nobody), cmocka_unit_test(the_owner_goes_on),
	    cmocka_unit_test(a_flood_of_guesses), cmocka_unit_test(going_away_is_of_no_use),
	    cmocka_unit_test(answers_reach_who_asked), cmocka_unit_test(equal_times),
	    cmocka_unit_test(scram_logins), cmocka_unit_test(salts_outlive_the_vault)};

	return cmocka_run_group_tests(tests, quiet, stop_all);
}
