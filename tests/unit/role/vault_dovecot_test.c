/*
 * The vault's side of Dovecot's sockets, with a Dovecot of the test's own at the other end: each
 * question is answered once, whatever is said or happens there.
 */
#include "role/vault_dovecot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE (2 * USEC_PER_SEC)

static struct loop *loop;
static struct dovecot_link *l;
static int theirs = -1; /* Dovecot's end */
static unsigned wanted;

static struct {
	unsigned n;
	enum dovecot_says says[8];
	bool ask_again;
} got;

static void turns(unsigned n)
{
	while (n-- > 0)
		loop_once(loop, false);
}

static void want(void *arg, struct dovecot_link *x)
{
	(void)arg;
	assert_ptr_equal(x, l);
	wanted++;
}

static void done(void *arg, enum dovecot_says says, struct span user)
{
	(void)arg;
	(void)user;
	assert_true(got.n < 8);
	got.says[got.n++] = says;
	if (!got.ask_again)
		return;
	got.ask_again = false;
	assert_true(dovecot_ask_user(l, SPAN("next@a.test"), PATIENCE, done, NULL));
}

static void hang_up(void)
{
	if (theirs >= 0)
		close(theirs);
	theirs = -1;
}

static void connect_link(void)
{
	int fd[2];

	hang_up();
	turns(2);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	theirs = fd[0];
	dovecot_link_take(l, fd[1]);
}

static void they_say(const char *text)
{
	assert_int_equal(send(theirs, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int begin(void **state)
{
	struct dovecot_link_owner owner = {.want = want};

	(void)state;
	memset(&got, 0, sizeof(got));
	wanted = 0;
	loop = loop_new();
	l = dovecot_link_new(loop, "/nowhere/auth-userdb", false, &owner);
	return 0;
}

static int end(void **state)
{
	(void)state;
	dovecot_link_free(&l);
	hang_up();
	loop_free(&loop);
	return 0;
}

static void ask(const char *name)
{
	assert_true(dovecot_ask_user(l, span_str(name), PATIENCE, done, NULL));
}

static void answers_come_by_their_numbers(void **state)
{
	(void)state;
	ask("a@a.test");
	ask("b@a.test");
	assert_int_equal(wanted, 1);
	connect_link();
	they_say("VERSION\t1\t1\nSPID\t1\n");
	turns(3);
	they_say("NOTFOUND\t7\nNOTFOUND\t2\nUSER\t1\ta@a.test\nUSER\t2\tb@a.test\n");
	turns(3);
	assert_int_equal(got.n, 2); /* 7 was never asked, 2 is answered */
	assert_int_equal(got.says[0], DOVECOT_SAYS_NO);
	assert_int_equal(got.says[1], DOVECOT_SAYS_YES);
}

/* Its answer is the last word of this connection: whoever is told asks the next question, which
 * finds that out in the middle of what was read. */
static void an_answer_leads_to_a_question(void **state)
{
	(void)state;
	ask("a@a.test");
	connect_link();
	they_say("VERSION\t1\t1\n");
	turns(3);
	got.ask_again = true;
	they_say("USER\t1\ta@a.test\nUSER\t9\tx\nUSER\t9\ty\n");
	hang_up();
	turns(3);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.says[0], DOVECOT_SAYS_YES);
	connect_link();
	they_say("VERSION\t1\t1\n");
	turns(3);
	they_say("NOTFOUND\t2\n");
	turns(3);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.says[1], DOVECOT_SAYS_NO);
}

static void what_was_asked_is_asked_again(void **state)
{
	char said[256] = "";

	(void)state;
	ask("a@a.test");
	for (int i = 0; i < 3; i++) {
		connect_link();
		they_say("VERSION\t1\t1\n");
		turns(3);
	}
	assert_true(recv(theirs, said, sizeof(said) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(said, "VERSION\t1\t1\nUSER\t1\ta@a.test\tservice=smtp\n");
	assert_int_equal(got.n, 0);
}

static void who_is_freed_answers_all(void **state)
{
	(void)state;
	ask("a@a.test");
	ask("b@a.test");
	dovecot_link_free(&l);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.says[0], DOVECOT_SAYS_NOTHING);
	assert_int_equal(got.says[1], DOVECOT_SAYS_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(answers_come_by_their_numbers, begin, end),
	    cmocka_unit_test_setup_teardown(an_answer_leads_to_a_question, begin, end),
	    cmocka_unit_test_setup_teardown(what_was_asked_is_asked_again, begin, end),
	    cmocka_unit_test_setup_teardown(who_is_freed_answers_all, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
