#include "cmd/prove.h"

#include "cmd/bench_message.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- the mailbox reader --------------------------------------------------------------------- */

static void add_message(struct buf *out, struct bench_pool *pool, uint64_t n)
{
	mark_put(out, SPAN("box"), n, bench_pool_sum(pool, n));
	buf_add_str(out, "Subject: x\r\n\r\n");
	buf_add_span(out, bench_pool_body(pool, n));
	buf_add_str(out, "\r\n");
}

/* As a Maildir has it: LF, and no dot twice. */
static void as_file(struct span wire, struct buf *out)
{
	while (wire.n > 0) {
		struct span line = span_first(wire, (size_t)span_find(wire, '\n') + 1);

		wire = span_skip(wire, line.n);
		if (line.p[0] == '.')
			line = span_skip(line, 1);
		buf_add(out, line.p, line.n - 2);
		buf_add_byte(out, '\n');
	}
}

static bool intact(struct span file)
{
	struct scan scan;
	struct buf wire;
	bool done = false, good;

	buf_init(&wire, 1 << 20);
	scan_init(&scan);
	scan_begin(&scan, false);
	assert_int_equal(mailbox_transmit(file, &wire), 0);
	assert_int_equal(scan_feed(&scan, buf_view(&wire), &done), buf_len(&wire));
	assert_true(done);
	good = scan_intact(&scan);
	scan_fini(&scan);
	buf_fini(&wire);
	return good;
}

static void test_mailbox(void **state)
{
	struct bench_pool pool;
	struct buf wire, file;

	(void)state;
	bench_pool_init(&pool, 5000);
	buf_init(&wire, 1 << 20);
	buf_init(&file, 1 << 20);
	for (uint64_t n = 1; n < 40; n++) {
		uint8_t *bytes;

		buf_clear(&wire);
		buf_clear(&file);
		add_message(&wire, &pool, n);
		as_file(buf_view(&wire), &file);
		assert_true(intact(buf_view(&file)));
		/* One octet other, one less, one line doubled: each is seen. */
		bytes = (uint8_t *)(uintptr_t)buf_view(&file).p;
		bytes[3000] ^= 1;
		assert_false(intact(buf_view(&file)));
		bytes[3000] ^= 1;
		assert_true(intact(buf_view(&file)));
		assert_false(intact(span_first(buf_view(&file), buf_len(&file) - 2)));
		buf_add_str(&file, "..\n");
		assert_false(intact(buf_view(&file)));
	}
	bench_pool_fini(&pool);
	buf_fini(&wire);
	buf_fini(&file);
}

static void test_mailbox_ceiling(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 8);
	assert_int_equal(mailbox_transmit(SPAN("a line that is longer\n"), &out), GW_EFULL);
	buf_fini(&out);
}

/* The whole reader: what lies in new/ is in the ledger once, and moved. */
static void test_mailbox_reader(void **state)
{
	char dir[] = "/tmp/prove-test-XXXXXX", command[256], ledger[64], line[256] = "";
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
	    "mkdir -p %s/box/new %s/box/cur && printf 'X-Godwit-Bench: box-7 0123456789abcdef\\n\\n"
	    "x\\n' > %s/box/new/one",
	    dir, dir, dir);
	assert_int_equal(system(command), 0);
	snprintf(ledger, sizeof(ledger), "%s/ledger", dir);
	pid = fork();
	if (pid == 0)
		_exit(mailbox_read(dir, ledger));
	usleep(300000);
	assert_int_equal(kill(pid, SIGINT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	FILE *f = fopen(ledger, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_non_null(strstr(line, "\"ledger\":\"sink\""));
	assert_non_null(fgets(line, sizeof(line), f));
	assert_non_null(strstr(line, "\"run\":\"box\",\"n\":7,"));
	assert_non_null(strstr(line, "\"ok\":false"));
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
	snprintf(command, sizeof(command), "test -f %s/box/cur/one:2,S && rm -r %s", dir, dir);
	assert_int_equal(system(command), 0);
}

/* ---- the judgement -------------------------------------------------------------------------- */

static void test_what_is_good(void **state)
{
	static const size_t bad[] = {
	    offsetof(struct prove, sum.lost),
	    offsetof(struct prove, sum.refused_seen),
	    offsetof(struct prove, sum.unsent_seen),
	    offsetof(struct prove, sum.corrupt),
	    offsetof(struct prove, sum.stray),
	    offsetof(struct prove, sum.dup_unexcused),
	    offsetof(struct prove, sum.bad_lines),
	    offsetof(struct prove, left),
	    offsetof(struct prove, crashes),
	};
	struct prove *p = gw_calloc(1, sizeof(*p));
	uint64_t one = 1, none = 0;

	(void)state;
	assert_false(report_good(p)); /* without mail nothing is proven */
	p->sum.acked = 10;
	p->sum.dup_excused = p->sum.unknown_seen = p->sum.unknown_gone = p->sum.refused = 3;
	assert_true(report_good(p));
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
		memcpy((char *)p + bad[i], &one, sizeof(one));
		assert_false(report_good(p));
		memcpy((char *)p + bad[i], &none, sizeof(none));
		assert_true(report_good(p));
	}
	p->left = -1;
	assert_false(report_good(p));
	p->left = 0;
	prove_trouble(p, "%d", 1);
	prove_trouble(p, "%d", 2);
	assert_false(report_good(p));
	assert_string_equal(p->trouble, "1");
	free(p);
}

static void test_share(void **state)
{
	const int64_t list[] = {1, 2, 3, 4};

	(void)state;
	assert_int_equal(report_share(list, 0, 0.5), 0);
	assert_int_equal(report_share(list, 1, 0.5), 1);
	assert_int_equal(report_share(list, 4, 0.5), 3);
	assert_int_equal(report_share(list, 4, 1), 4);
}

/* ---- whom it kills -------------------------------------------------------------------------- */

static pid_t child_named(const char *name)
{
	int fd[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		(void)!write(fd[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fd[0], &c, 1), 1);
	close(fd[0]);
	close(fd[1]);
	return pid;
}

static void end_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* Children of the server with the name of a role, and nobody else. */
static void test_victims(void **state)
{
	struct prove *p = gw_calloc(1, sizeof(*p));
	struct prove_role list[8], wrong;
	pid_t queue = child_named("gw-queue"), other = child_named("gw-other");
	pid_t stranger = child_named("queue) S 1 (");
	int status;

	(void)state;
	p->server = getpid();
	assert_int_equal(server_roles(p, list, 8), 1);
	assert_int_equal(list[0].pid, queue);
	assert_int_equal(list[0].role, ROLE_QUEUE);
	p->server = 1;
	assert_int_equal(server_roles(p, list, 8), 0);
	/* The number went to another process meanwhile: it lives. */
	p->server = getpid();
	wrong = (struct prove_role){ROLE_QUEUE, other};
	server_kill_role(p, &wrong);
	wrong = (struct prove_role){ROLE_SENDER, queue};
	server_kill_role(p, &wrong);
	usleep(20000);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	assert_int_equal(waitpid(queue, &status, WNOHANG), 0);
	assert_int_equal(server_roles(p, list, 8), 1);
	server_kill_role(p, &list[0]);
	assert_int_equal(waitpid(queue, &status, 0), queue);
	assert_true(WIFSIGNALED(status));
	end_child(other);
	end_child(stranger);
	free(p);
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int prove(const char *a, const char *b)
{
	const char *argv[] = {"prove", a, b, NULL};
	struct cmd_globals g = {.quiet = true};

	return cmd_prove(&g, b != NULL ? 3 : 2, (char **)(uintptr_t)argv);
}

static void test_usage(void **state)
{
	(void)state;
	assert_int_equal(prove("--sabotage", "none"), CMD_USAGE);
	assert_int_equal(prove("--sabotage", "everything"), CMD_USAGE);
	assert_int_equal(prove("--kills", "10001"), CMD_USAGE);
	assert_int_equal(prove("--kills", "-1"), CMD_USAGE);
	assert_int_equal(prove("--sessions", "0"), CMD_USAGE);
	assert_int_equal(prove("--size", "31M"), CMD_USAGE);
	assert_int_equal(prove("--for", "soon"), CMD_USAGE);
	assert_int_equal(prove("somewhere", NULL), CMD_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mailbox),
	    cmocka_unit_test(test_mailbox_ceiling),
	    cmocka_unit_test(test_mailbox_reader),
	    cmocka_unit_test(test_what_is_good),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_victims),
	    cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
