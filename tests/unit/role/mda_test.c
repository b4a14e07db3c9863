/*
 * The mda as a process in its jail; the test is its queue and its master. What a queue may ask is
 * done once and told until it is confirmed, over kills of either side; what it may not ask ends
 * the channel.
 */
#include "role/role.h"

#include "base/clock.h"
#include "base/cursor.h"
#include "base/log.h"
#include "role/child.h"
#include "role/maildir.h"
#include "role/proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 256, WAIT = 5, WINDOW = 256 << 10 };

static char top[PATH_LENGTH], template[PATH_LENGTH + 32];
static struct buf bundle;
static struct loop *loop;
static uint64_t job_size = 1 << 20;

/* ---- the other side ----------------------------------------------------------------------------
 */

static struct {
	struct ipc *queue, *master;
	pid_t pid;
	bool ready, gone, queue_ended;
	unsigned results, holdings, held;
	uint64_t credit[64];
	struct {
		uint64_t job;
		enum outcome outcome;
		uint16_t code;
		char text[256];
	} result[4096];
} side;

static void take_result(struct span payload)
{
	struct proto_result r;
	struct arena a;

	arena_init(&a, 65536);
	assert_int_equal(proto_get_result(payload, &r, &a), 0);
	assert_int_equal(r.change.n_rcpt, 1);
	assert_true(side.results < GW_ARRAY_LEN(side.result));
	side.result[side.results].job = r.job;
	side.result[side.results].outcome = r.change.rcpt[0].outcome;
	side.result[side.results].code = r.change.rcpt[0].code;
	span_to_cstr(r.change.rcpt[0].reply, side.result[side.results].text, 256);
	if (getenv("GW_TEST_SHOW") != NULL)
		print_message("%s\n", side.result[side.results].text);
	side.results++;
	arena_reset(&a);
}

static void take_holding(struct span payload)
{
	struct proto_holding h;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_int_equal(proto_get_holding(payload, &h, &a), 0);
	side.holdings += !h.more;
	side.held += (unsigned)h.n_held;
	arena_reset(&a);
}

static void from_mda(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct cursor cur = cursor_of(f->payload);

	(void)arg;
	(void)c;
	if (f->type == IPC_READY)
		side.ready = true;
	else if (f->type == IPC_RESULT)
		take_result(f->payload);
	else if (f->type == IPC_HOLDING)
		take_holding(f->payload);
	else if (f->type == IPC_BODY_CREDIT) {
		uint64_t job = get_u64(&cur);

		side.credit[job % 64] += get_u32(&cur);
	}
}

static void ended(void *arg, struct ipc *c, const char *why)
{
	(void)arg;
	(void)why;
	if (c == side.queue) {
		ipc_free(&side.queue);
		side.queue_ended = true;
	} else {
		ipc_free(&side.master);
		side.gone = true;
	}
}

static const struct ipc_owner owner = {.frame = from_mda, .closed = ended};

static void tick(void *arg)
{
	(void)arg;
}

/* Turns of the loop until it holds, or too long. */
static bool until(bool (*holds)(void))
{
	int64_t end = clock_now() + WAIT * USEC_PER_SEC;
	struct timer t;

	timer_start(&t, loop, tick, NULL);
	while (!holds() && clock_now() < end) {
		timer_set(&t, clock_now() + 20 * USEC_PER_MSEC);
		loop_once(loop, true);
	}
	timer_stop(&t);
	return holds();
}

_Noreturn static void be_mda(int queue_fd, int master_fd)
{
	static struct boot b;
	int keep[] = {queue_fd, master_fd};
	struct loop *l;

	child_keep_fds(keep, 2);
	b = (struct boot){.role = ROLE_MDA,
	    .master_fd = master_fd,
	    .bundle = buf_view(&bundle),
	    .peer = {{ROLE_QUEUE, 0, queue_fd}},
	    .n_peer = 1,
	    .spool_dir = -1,
	    .control_fd = -1,
	    .filters = sandbox_filters_new(),
	    .jail = true,
	    .is_root = geteuid() == 0};
	l = loop_new();
	if (role_mda(l, &b) < 0)
		_exit(9);
	_exit(loop_run(l));
}

static bool is_ready(void)
{
	return side.ready && side.holdings > 0;
}

static void start(void)
{
	int queue[2], master[2];

	memset(&side, 0, sizeof(side));
	assert_int_equal(ipc_pair(queue), 0);
	assert_int_equal(ipc_pair(master), 0);
	side.pid = child_fork();
	if (side.pid == 0)
		be_mda(queue[1], master[1]);
	close(queue[1]);
	close(master[1]);
	side.queue = ipc_new(loop, queue[0], ROLE_QUEUE, ROLE_MDA, 0, &owner);
	side.master = ipc_new(loop, master[0], ROLE_MASTER, ROLE_MDA, 0, &owner);
	assert_true(until(is_ready));
	assert_int_equal(side.held, 0);
}

static void kill_mda(void)
{
	int status;

	kill(side.pid, SIGKILL);
	waitpid(side.pid, &status, 0);
	ipc_free(&side.queue);
	ipc_free(&side.master);
}

static void new_queue(void)
{
	uint8_t who[2] = {ROLE_QUEUE, 0};
	int queue[2];

	ipc_free(&side.queue);
	side.holdings = side.held = side.results = 0;
	assert_int_equal(ipc_pair(queue), 0);
	side.queue = ipc_new(loop, queue[0], ROLE_QUEUE, ROLE_MDA, 0, &owner);
	ipc_send(side.master, IPC_PEER, &(struct span){who, 2}, 1, queue[1]);
	close(queue[1]);
	assert_true(until(is_ready));
}

/* ---- what a queue sends -------------------------------------------------------------------------
 */

static struct msgid id_of(uint64_t n)
{
	struct msgid id = {{0}};

	memcpy(id.b + 8, &n, sizeof(n));
	return id;
}

static void send_job_to(uint64_t job, uint64_t message, const char *addr, const char *path)
{
	struct proto_rcpt rcpt = {.addr = span_str(addr)};
	struct proto_job j = {.job = job,
	    .conn = job,
	    .conn_messages = 1,
	    .id = id_of(message),
	    .target = {.kind = TARGET_MAILDIR, .path = span_str(path)},
	    .from = SPAN("a@example.net"),
	    .size = job_size,
	    .rcpt = &rcpt,
	    .n_rcpt = 1};
	struct buf b;
	struct span s;

	buf_init(&b, 65536);
	proto_put_job(&b, &j);
	s = buf_view(&b);
	assert_int_equal(ipc_send(side.queue, IPC_JOB, &s, 1, -1), 0);
	buf_fini(&b);
}

static void send_job(uint64_t job, uint64_t message)
{
	send_job_to(job, message, "bob@example.org", template);
}

static void send_body(uint64_t job, struct span text, uint8_t flags)
{
	struct buf b;
	struct span s[2];

	buf_init(&b, 64);
	put_u64(&b, job);
	put_u8(&b, flags);
	s[0] = buf_view(&b);
	s[1] = text;
	ipc_send(side.queue, IPC_BODY, s, 2, -1);
	buf_fini(&b);
}

static void send_confirm(uint64_t job)
{
	struct buf b;
	struct span s;

	buf_init(&b, 64);
	put_u64(&b, job);
	s = buf_view(&b);
	ipc_send(side.queue, IPC_CONFIRM, &s, 1, -1);
	buf_fini(&b);
}

static unsigned count(const char *dir)
{
	char path[PATH_LENGTH * 2];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", top, dir);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

static bool has_result(void)
{
	return side.results >= 1;
}

/* ---- tests
 * ---------------------------------------------------------------------------------------- */

static void a_job_is_done_and_told(void **state)
{
	(void)state;
	start();
	send_job(7, 1);
	send_body(7, SPAN("Subject: x\r\n"), 0);
	send_body(7, SPAN("\r\nx\r\n"), BODY_LAST);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].job, 7);
	assert_int_equal(side.result[0].outcome, OUTCOME_DELIVERED);
	assert_int_equal(side.result[0].code, 250);
	assert_memory_equal(side.result[0].text, "Saved as ", 9);
	assert_int_equal(count("mail/bob/new"), 1);
	kill_mda();
}

static unsigned wanted;

static bool has_all(void)
{
	return side.results >= wanted;
}

/* More jobs than children: all are done, in the end. */
static void many_jobs_at_once(void **state)
{
	(void)state;
	start();
	for (uint64_t i = 0; i < 150; i++) {
		send_job(i, i);
		send_body(i, SPAN("x\r\n"), BODY_LAST);
	}
	wanted = 150;
	assert_true(until(has_all));
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(side.result[i].outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("mail/bob/new"), 150);
	assert_int_equal(count("mail/bob/tmp"), 0);
	kill_mda();
}

static bool has_credit(void)
{
	return side.credit[1] >= WINDOW / 2;
}

static void send_much(uint64_t total)
{
	static char block[32 << 10];
	uint64_t may = WINDOW, sent = 0;

	memset(block, 'x', sizeof(block));
	while (sent < total) {
		assert_true(may >= sizeof(block));
		for (; may >= sizeof(block) && sent < total; may -= sizeof(block)) {
			send_body(1, span_of(block, sizeof(block)), 0);
			sent += sizeof(block);
		}
		assert_true(sent >= total || until(has_credit) || has_result());
		if (has_result())
			return;
		may += side.credit[1];
		side.credit[1] = 0;
	}
	send_body(1, SPAN(""), BODY_LAST);
}

/* A body much larger than the window flows under credit. */
static void a_large_body_flows(void **state)
{
	(void)state;
	start();
	job_size = 3 << 20;
	send_job(1, 1);
	send_much(job_size);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("mail/bob/new"), 1);
	kill_mda();
}

/* A size that is not kept is an error, not a full disk; the result does not wait for the rest. */
static void a_size_is_a_promise(void **state)
{
	(void)state;
	if (!sandbox_possible())
		skip();
	start();
	job_size = 1 << 20;
	send_job(1, 1);
	send_much(job_size * 3);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].outcome, OUTCOME_DEFERRED);
	assert_int_equal(count("mail/bob/new"), 0);
	assert_int_equal(count("mail/bob/tmp"), 0);
	kill_mda();
}

static bool is_cut_off(void)
{
	return side.queue_ended;
}

static void more_than_the_credit_ends_the_queue(void **state)
{
	static char block[60 << 10];

	(void)state;
	start();
	send_job(1, 1);
	for (int i = 0; i < 40; i++) /* far more than a pipe and a window hold */
		send_body(1, span_of(block, sizeof(block)), 0);
	assert_true(until(is_cut_off));
	kill_mda();
}

static void a_path_of_nobody_ends_the_queue(void **state)
{
	static const char *const paths[] = {"/etc/%u", "/%u", "", "/tmp/../etc/%u"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(paths); i++) {
		start();
		send_job_to(1, 1, "bob@example.org", paths[i]);
		assert_true(until(is_cut_off));
		kill_mda();
	}
}

static void two_jobs_of_one_number_end_the_queue(void **state)
{
	(void)state;
	start();
	send_job(1, 1);
	send_job(1, 2);
	assert_true(until(is_cut_off));
	kill_mda();
}

static void an_address_without_mailbox_fails(void **state)
{
	(void)state;
	start();
	send_job_to(1, 1, "\"\"@example.org", template);
	send_body(1, SPAN("x\r\n"), BODY_LAST);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].outcome, OUTCOME_FAILED);
	assert_int_equal(side.result[0].code, 550);
	kill_mda();
}

static void a_broken_body_is_not_seen(void **state)
{
	(void)state;
	start();
	send_job(1, 1);
	send_body(1, SPAN("Subject: half"), 0);
	send_body(1, SPAN(""), BODY_BROKEN);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].outcome, OUTCOME_DEFERRED);
	assert_int_equal(count("mail/bob/new"), 0);
	kill_mda();
}

static bool has_two(void)
{
	return side.results >= 2;
}

/* A new queue hears of all whole jobs and gets unconfirmed results again; halves are dropped. */
static void a_new_queue_is_told(void **state)
{
	(void)state;
	start();
	send_job(1, 1);
	send_body(1, SPAN("x\r\n"), BODY_LAST);
	send_job(2, 2);
	send_body(2, SPAN("x\r\n"), BODY_LAST);
	send_job(3, 3);
	send_body(3, SPAN("half"), 0);
	assert_true(until(has_two));
	send_confirm(1);
	ipc_push(side.queue);
	usleep(50000);
	new_queue();
	assert_int_equal(side.held, 1);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].job, 2);
	/* The half is given again, with a new number, and arrives once. */
	send_job(4, 3);
	send_body(4, SPAN("whole\r\n"), BODY_LAST);
	assert_true(until(has_two));
	assert_int_equal(side.result[1].job, 4);
	assert_int_equal(side.result[1].outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("mail/bob/new"), 3);
	kill_mda();
}

/* Killed with its children at any moment, started again, everything repeated: once each. */
static void a_killed_mda_repeats_nothing(void **state)
{
	(void)state;
	for (int round = 0; round < 12; round++) {
		start();
		for (uint64_t i = 0; i < 20; i++) {
			send_job((uint64_t)round * 100 + i, i);
			send_body((uint64_t)round * 100 + i, SPAN("x\r\n"), BODY_LAST);
		}
		ipc_push(side.queue);
		usleep((useconds_t)(round * 1500));
		kill_mda();
	}
	start();
	for (uint64_t i = 0; i < 20; i++) {
		send_job(i, i);
		send_body(i, SPAN("x\r\n"), BODY_LAST);
	}
	wanted = 20;
	assert_true(until(has_all));
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(side.result[i].outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("mail/bob/new"), 20);
	assert_int_equal(count("mail/bob/tmp"), 0);
	kill_mda();
}

static bool has_gone(void)
{
	return side.gone;
}

/* Told to stop: ends when its result is confirmed, not before. */
static void it_stops_when_it_has_finished(void **state)
{
	int status;

	(void)state;
	start();
	send_job(1, 1);
	send_body(1, SPAN("x\r\n"), 0);
	/* Two channels have no order between them: the job is to be there first. */
	ipc_push(side.queue);
	usleep(100000);
	ipc_send(side.master, IPC_STOP, NULL, 0, -1);
	ipc_push(side.master);
	usleep(100000);
	assert_int_equal(waitpid(side.pid, &status, WNOHANG), 0);
	send_body(1, SPAN("x\r\n"), BODY_LAST);
	assert_true(until(has_result));
	assert_int_equal(waitpid(side.pid, &status, WNOHANG), 0);
	send_confirm(1);
	assert_true(until(has_gone));
	assert_int_equal(waitpid(side.pid, &status, 0), side.pid);
	assert_int_equal(status, 0);
	if (side.queue != NULL)
		ipc_free(&side.queue);
}

/* Its mail belongs to the owner of the directory, and to nobody's root. */
static void root_owns_no_mail(void **state)
{
	char path[PATH_LENGTH * 2];
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	start();
	send_job(1, 1);
	send_body(1, SPAN("x\r\n"), BODY_LAST);
	assert_true(until(has_result));
	snprintf(path, sizeof(path), "%s/mail/bob/new", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_not_equal(st.st_uid, 0);
	assert_int_not_equal(st.st_gid, 0);
	/* bob's own directory: bob's own mail. */
	snprintf(path, sizeof(path), "%s/mail/eve", top);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 1234, 5678), 0);
	send_job_to(2, 2, "eve@example.org", template);
	send_body(2, SPAN("x\r\n"), BODY_LAST);
	assert_true(until(has_two));
	assert_int_equal(side.result[1].outcome, OUTCOME_DELIVERED);
	snprintf(path, sizeof(path), "%s/mail/eve/new", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 5678);
	kill_mda();
}

/* The delivery under way: the child of the mda; 0: none yet, or it is still root. */
static pid_t child_of_mda(unsigned uid)
{
	char path[64], text[256] = "";
	unsigned effective = 0;
	pid_t pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)side.pid, (int)side.pid);
	f = fopen(path, "r");
	if (f != NULL && fgets(text, sizeof(text), f) != NULL)
		pid = (pid_t)strtol(text, NULL, 10);
	if (f != NULL)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = pid > 0 ? fopen(path, "r") : NULL;
	while (f != NULL && fgets(text, sizeof(text), f) != NULL) {
		if (sscanf(text, "Uid: %*u %u", &effective) == 1)
			break;
	}
	if (f != NULL)
		fclose(f);
	return effective == uid ? pid : 0;
}

static bool works_as_owner(void)
{
	return child_of_mda(1234) > 0;
}

static int signal_as(unsigned uid, pid_t victim, int sig)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setresuid(uid, uid, uid) < 0 ? 255 : kill(victim, sig) < 0 ? errno : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The owner of a mailbox must not stop the deliveries to it: they would have their places for
 * ever, and nobody else got mail. */
static void its_owner_cannot_signal_a_delivery(void **state)
{
	char path[PATH_LENGTH * 2];

	(void)state;
	if (geteuid() != 0)
		skip();
	start();
	snprintf(path, sizeof(path), "%s/mail/eve", top);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 1234, 5678), 0);
	send_job_to(1, 1, "eve@example.org", template);
	send_body(1, SPAN("Subject: x\r\n"), 0);
	assert_true(until(works_as_owner));
	assert_int_equal(signal_as(1234, child_of_mda(1234), SIGSTOP), EPERM);
	assert_int_equal(signal_as(1234, child_of_mda(1234), SIGKILL), EPERM);
	send_body(1, SPAN("\r\nx\r\n"), BODY_LAST);
	assert_true(until(has_result));
	assert_int_equal(side.result[0].outcome, OUTCOME_DELIVERED);
	kill_mda();
}

/* ---- set-up
 * ------------------------------------------------------------------------------------------ */

static int make_world(void **state)
{
	char text[2048];

	(void)state;
	snprintf(top, sizeof(top), "/tmp/gw-mda-XXXXXX");
	assert_non_null(mkdtemp(top));
	chmod(top, 0711);
	snprintf(template, sizeof(template), "%s/mail/%%u", top);
	snprintf(text, sizeof(text),
	    "hostname mx.example.org\nlisten mx 127.0.0.1:2525\nspool %s/spool\n"
	    "control %s/control\nrun-as gw-no-such-user\n"
	    "domain example.org { deliver maildir %s }\n",
	    top, top, template);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	assert_int_equal(config_bundle_text("test", span_str(text), &bundle), 0);
	return 0;
}

static int remove_world(void **state)
{
	char command[PATH_LENGTH * 2];

	(void)state;
	buf_fini(&bundle);
	snprintf(command, sizeof(command), "rm -r '%s'", top);
	return system(command);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, make_world, remove_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_WORLD(a_job_is_done_and_told),
	    IN_WORLD(many_jobs_at_once),
	    IN_WORLD(a_large_body_flows),
	    IN_WORLD(a_size_is_a_promise),
	    IN_WORLD(more_than_the_credit_ends_the_queue),
	    IN_WORLD(a_path_of_nobody_ends_the_queue),
	    IN_WORLD(two_jobs_of_one_number_end_the_queue),
	    IN_WORLD(an_address_without_mailbox_fails),
	    IN_WORLD(a_broken_body_is_not_seen),
	    IN_WORLD(a_new_queue_is_told),
	    IN_WORLD(a_killed_mda_repeats_nothing),
	    IN_WORLD(it_stops_when_it_has_finished),
	    IN_WORLD(root_owns_no_mail),
	    IN_WORLD(its_owner_cannot_signal_a_delivery),
	};

	signal(SIGPIPE, SIG_IGN);
	log_setup(STDERR_FILENO, LOG_NONE, "test");
	loop = loop_new();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
