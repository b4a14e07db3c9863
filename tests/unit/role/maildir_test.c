/*
 * Addresses that try to be paths, mailboxes that are traps, deliveries that are repeated, cut
 * off, killed or made at the same time: a message is in the mailbox once and whole, or not at all.
 */
#include "role/maildir.h"
#include "role/maildir_folder.h"

#include "base/cursor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 512 };

static char top[PATH_LENGTH];
static const struct msgid some_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* ---- names
 * ---------------------------------------------------------------------------------------- */

static const char *expand_as(const char *template, const char *addr, char subaddress)
{
	static char path[MAILDIR_PATH_MAX];
	struct buf b;
	int err;

	buf_init(&b, sizeof(path) - 1);
	err = maildir_expand(template, span_str(addr), subaddress, &b);
	span_to_cstr(buf_view(&b), path, sizeof(path));
	buf_fini(&b);
	return err < 0 ? NULL : path;
}

static const char *expand(const char *template, const char *addr)
{
	return expand_as(template, addr, 0);
}

static void subaddresses_are_left_out(void **state)
{
	static const struct {
		const char *addr;
		char mark;
		const char *want;
	} cases[] = {
	    {"bob+tag@example.org", '+', "/m/bob"},
	    {"bob+a+b@example.org", '+', "/m/bob"},
	    {"bob+tag@example.org", '-', "/m/bob+tag"},
	    {"bob+tag@example.org", 0, "/m/bob+tag"},
	    {"bob@example.org", '+', "/m/bob"},
	    {"+tag@example.org", '+', "/m/+tag"}, /* nobody's */
	    {"bob+@example.org", '+', "/m/bob"},
	    {"\"..+/../x\"@example.org", '+', "/m/%2E."},
	    {"\".hidden\"@example.org", '.', "/m/%2Ehidden"},
	    {"\"a b+c d\"@example.org", '+', "/m/a%20b"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++)
		assert_string_equal(
		    expand_as("/m/%u", cases[i].addr, cases[i].mark), cases[i].want);
}

static void addresses_make_names(void **state)
{
	static const struct {
		const char *addr, *want;
	} cases[] = {
	    {"bob@example.org", "/m/example.org/bob/x"},
	    {"bob+tag=1_2-3.z@example.org", "/m/example.org/bob+tag=1_2-3.z/x"},
	    {"\"../../etc\"@example.org", "/m/example.org/%2E.%2F..%2Fetc/x"},
	    {"\"/abs\"@example.org", "/m/example.org/%2Fabs/x"},
	    {"\".\"@example.org", "/m/example.org/%2E/x"},
	    {"\"..\"@example.org", "/m/example.org/%2E./x"},
	    {"\".hidden\"@example.org", "/m/example.org/%2Ehidden/x"},
	    {"~root@example.org", "/m/example.org/%7Eroot/x"},
	    {"\"a b\"@example.org", "/m/example.org/a%20b/x"},
	    {"\"a\\\\b\"@example.org", "/m/example.org/a%5Cb/x"},
	    {"%u@example.org", "/m/example.org/%25u/x"},
	    {"a%2F.%2Fb@example.org", "/m/example.org/a%252F.%252Fb/x"},
	    {"a/b@example.org", "/m/example.org/a%2Fb/x"},
	    {"\"x:2,S\"@example.org", "/m/example.org/x%3A2%2CS/x"},
	    {"a@[192.0.2.1]", "/m/%5B192.0.2.1%5D/a/x"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		const char *path = expand("/m/%d/%u/x", cases[i].addr);

		if (path == NULL)
			print_error("%s\n", cases[i].addr);
		assert_non_null(path);
		assert_string_equal(path, cases[i].want);
	}
}

static void long_names_stay_names(void **state)
{
	char addr[80] = "";
	const char *path;

	(void)state;
	memset(addr, 'a', 64);
	strcat(addr, "@b.example");
	path = expand("/m/%u", addr);
	assert_non_null(path);
	assert_int_equal(strlen(path), 3 + 64);
	memset(addr, '~', 64);
	path = expand("/m/%u", addr);
	assert_non_null(path);
	assert_int_equal(strlen(path), 3 + 3 * 64);
}

static void what_names_no_mailbox_is_refused(void **state)
{
	(void)state;
	assert_null(expand("/m/%u", ""));
	assert_null(expand("/m/%u", "@example.org"));
	assert_null(expand("/m/%u", "\"\"@example.org"));
	assert_null(expand("/m/%u", "nobody"));
	assert_null(expand("/m/%u", "../../etc@example.org/.."));
	assert_null(expand("/m/%d/%u", "postmaster"));
	assert_string_equal(expand("/m/%u", "postmaster"), "/m/postmaster");
}

/* Whatever the address: no component but the template's own, none that climbs. */
static void no_octet_steers(void **state)
{
	(void)state;
	for (int c = 1; c < 256; c++) {
		char addr[] = "\"\\a/../\"@example.org";
		const char *path;

		addr[2] = (char)c;
		path = expand("/m/%d/%u", addr);
		if (path == NULL)
			continue;
		assert_memory_equal(path, "/m/example.org/", 15);
		assert_null(strchr(path + 15, '/'));
		assert_int_not_equal(path[15], '.');
	}
}

static void fixed_directories(void **state)
{
	static const struct {
		const char *template, *want;
	} cases[] = {
	    {"/var/mail/%u", "/var/mail"},
	    {"/var/mail/%d/%u", "/var/mail"},
	    {"/home/%u/Maildir", "/home"},
	    {"/var/mail/x-%u", "/var/mail"},
	    {"/%u", "/"},
	    {"/srv/all", "/srv"},
	    {"/srv/all/", "/srv/all"},
	};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		size_t n = maildir_fixed(cases[i].template);

		assert_int_equal(n, strlen(cases[i].want));
		assert_memory_equal(cases[i].template, cases[i].want, n);
	}
}

static void file_names_are_of_the_message(void **state)
{
	struct msgid other = some_id;
	char a[MAILDIR_NAME_MAX], b[MAILDIR_NAME_MAX];

	(void)state;
	maildir_name(&some_id, 0, a);
	maildir_name(&some_id, 0, b);
	assert_string_equal(a, b);
	assert_null(strpbrk(a, "/:"));
	assert_int_not_equal(a[0], '.');
	maildir_name(&some_id, 1, b);
	assert_string_not_equal(a, b);
	other.b[15]++;
	maildir_name(&other, 0, b);
	assert_string_not_equal(a, b);
	maildir_name(&some_id, UINT32_MAX, a);
	assert_true(strlen(a) < MAILDIR_NAME_MAX - 1);
}

/* ---- a mailbox to try --------------------------------------------------------------------------
 */

static const char *in_top(const char *name)
{
	static char path[4][PATH_LENGTH * 2];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", top, name);
	return path[at];
}

static int fresh_top(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/gw-maildir-XXXXXX");
	return mkdtemp(top) == NULL ? -1 : 0;
}

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	char child[PATH_LENGTH * 3];

	while (d != NULL && (e = readdir(d)) != NULL) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
			remove_tree(child);
		else
			unlink(child);
	}
	if (d != NULL)
		closedir(d);
	rmdir(path);
}

static int remove_top(void **state)
{
	(void)state;
	remove_tree(top);
	return 0;
}

static unsigned count(const char *dir)
{
	DIR *d = opendir(in_top(dir));
	struct dirent *e;
	unsigned n = 0;

	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

static void add_chunk(struct buf *b, struct span s)
{
	put_u32(b, (uint32_t)s.n);
	buf_add_span(b, s);
}

/* A pipe with the content in chunks of this size; whole: with the end. */
static int content(struct span s, size_t chunk, bool whole)
{
	struct buf b;
	int fd[2];

	buf_init(&b, 60000);
	for (; s.n > 0; s = span_skip(s, chunk))
		add_chunk(&b, span_first(s, chunk));
	if (whole)
		put_u32(&b, 0);
	assert_false(buf_failed(&b));
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], b.mem + b.begin, buf_len(&b)), buf_len(&b));
	close(fd[1]);
	buf_fini(&b);
	return fd[0];
}

static struct maildir_message message(int fd)
{
	return (struct maildir_message){.id = some_id,
	    .from = SPAN("a@example.net"),
	    .rcpt = SPAN("bob@example.org"),
	    .content = fd};
}

/* All steps, as the child does them. */
static void deliver(const char *template, const char *addr, const struct maildir_message *m,
    struct maildir_result *r)
{
	struct maildir_place place;
	const char *path = expand(template, addr);
	int box;

	assert_non_null(path);
	memset(r, 0, sizeof(*r));
	if (maildir_find(path, maildir_fixed(template), &place, r) < 0)
		return;
	box = maildir_open(&place, r);
	close(place.dir);
	if (box < 0)
		return;
	maildir_deliver(box, m, r);
	close(box);
}

static void deliver_text(const char *text, size_t chunk, struct maildir_result *r)
{
	struct maildir_message m = message(content(span_str(text), chunk, true));

	deliver(in_top("%u"), "bob@example.org", &m, r);
	close(m.content);
}

/* The name of the message's file in a directory, sizes included. */
static const char *entry_of(const char *dir)
{
	static char found[256];
	char name[MAILDIR_NAME_MAX];
	DIR *d = opendir(in_top(dir));
	struct dirent *e;

	maildir_name(&some_id, 0, name);
	found[0] = '\0';
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, name, strlen(name)) == 0)
			snprintf(found, sizeof(found), "%s", e->d_name);
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static void expect_file(const char *dir, const char *want)
{
	char path[PATH_LENGTH * 3], is[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", in_top(dir), entry_of(dir));
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, is, sizeof(is) - 1);
	close(fd);
	is[n > 0 ? n : 0] = '\0';
	assert_string_equal(is, want);
}

#define FIELDS "Return-Path: <a@example.net>\nDelivered-To: bob@example.org\n"

/* ---- deliveries
 * ----------------------------------------------------------------------------------- */

static void a_message_arrives(void **state)
{
	struct maildir_result r;
	struct stat st;

	(void)state;
	for (size_t chunk = 1; chunk < 40; chunk += 3) {
		deliver_text("Subject: x\r\n\r\nline\r\n\rbare\rcr\r\r\nend\n\r", chunk, &r);
		assert_int_equal(r.outcome, OUTCOME_DELIVERED);
		assert_int_equal(r.code, 250);
		expect_file("bob/new", FIELDS "Subject: x\n\nline\n\rbare\rcr\r\nend\n\r");
		remove_tree(in_top("bob"));
	}
	deliver_text("x\r\n", 10, &r);
	assert_int_equal(stat(in_top("bob"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(count("bob/tmp"), 0);
	assert_int_equal(count("bob/new"), 1);
	assert_int_equal(count("bob/cur"), 0);
}

static void the_null_sender_and_hostile_fields(void **state)
{
	struct maildir_message m = message(content(SPAN("x\r\n"), 9, true));
	struct maildir_result r;

	(void)state;
	m.from = SPAN("");
	m.rcpt = SPAN("bob@example.org\nX-Evil: 1\r\n\0");
	deliver(in_top("%u"), "bob@example.org", &m, &r);
	close(m.content);
	expect_file("bob/new", "Return-Path: <>\nDelivered-To: bob@example.org?X-Evil: 1???\nx\n");
}

static void a_repeat_adds_nothing(void **state)
{
	struct maildir_result r;
	char name[256], from[PATH_LENGTH * 3], to[PATH_LENGTH * 3 + 8];

	(void)state;
	deliver_text("first\r\n", 100, &r);
	deliver_text("second\r\n", 100, &r);
	assert_int_equal(r.outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("bob/new"), 1);
	expect_file("bob/new", FIELDS "first\n");
	/* A reader took it meanwhile. */
	snprintf(name, sizeof(name), "%s", entry_of("bob/new"));
	snprintf(from, sizeof(from), "%s/%s", in_top("bob/new"), name);
	snprintf(to, sizeof(to), "%s/%s:2,RS", in_top("bob/cur"), name);
	assert_int_equal(rename(from, to), 0);
	deliver_text("third\r\n", 100, &r);
	assert_int_equal(r.outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("bob/new"), 0);
	assert_int_equal(count("bob/cur"), 1);
}

static void another_recipient_is_another_file(void **state)
{
	struct maildir_message m = message(content(SPAN("x\r\n"), 9, true));
	struct maildir_result r;

	(void)state;
	deliver_text("x\r\n", 9, &r);
	m.index = 1;
	deliver(in_top("%u"), "bob@example.org", &m, &r);
	close(m.content);
	assert_int_equal(count("bob/new"), 2);
}

/* Cut off at every octet of the stream: nothing is visible, nothing is left. */
static void cut_content_leaves_nothing(void **state)
{
	uint8_t stream[] = {3, 0, 0, 0, 'a', 'b', 'c', 2, 0, 0, 0, '\r', '\n', 0, 0, 0, 0};

	(void)state;
	for (size_t n = 0; n < sizeof(stream); n++) {
		struct maildir_result r;
		struct maildir_message m;
		int fd[2];

		assert_int_equal(pipe(fd), 0);
		assert_int_equal(write(fd[1], stream, n), n);
		close(fd[1]);
		m = message(fd[0]);
		deliver(in_top("%u"), "bob@example.org", &m, &r);
		close(fd[0]);
		assert_int_equal(r.outcome, OUTCOME_NONE);
		assert_int_equal(count("bob/new"), 0);
		assert_int_equal(count("bob/tmp"), 0);
	}
}

/* Killed again and again at any moment: then one delivery to the end, and there is one file. */
static void killed_deliveries_are_repeated_once(void **state)
{
	struct maildir_result r;
	unsigned seen = 0;

	(void)state;
	for (int i = 0; i < 60; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			deliver_text("x\r\n", 1, &r);
			_exit(0);
		}
		usleep((useconds_t)(i * 25));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(count("bob/new") <= 1);
		assert_true(count("bob/new") >= seen);
		seen = count("bob/new");
		if (seen == 1)
			remove_tree(in_top("bob"));
		seen = 0;
	}
	deliver_text("x\r\n", 1, &r);
	assert_int_equal(r.outcome, OUTCOME_DELIVERED);
	assert_int_equal(count("bob/new"), 1);
	assert_int_equal(count("bob/tmp"), 0);
	expect_file("bob/new", FIELDS "x\n");
}

/* Many at once, each message twice (one of them is a child of a job that was given up): each is
 * there once, and at least one of the two says so. */
static void deliveries_at_the_same_time(void **state)
{
	pid_t pids[40];
	unsigned delivered[20] = {0};

	(void)state;
	for (int i = 0; i < 40; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct maildir_message m = message(content(SPAN("x\r\n"), 1, true));
			struct maildir_result r;

			m.index = (uint32_t)i / 2;
			deliver(in_top("%d/%u"), "bob@example.org", &m, &r);
			_exit(r.outcome == OUTCOME_DELIVERED ? 0 : 1);
		}
	}
	for (int i = 0; i < 40; i++) {
		int status;
		pid_t pid = wait(&status);

		assert_true(pid > 0 && WIFEXITED(status));
		for (int k = 0; k < 40; k++)
			delivered[k / 2] += pids[k] == pid && status == 0;
	}
	for (int i = 0; i < 20; i++)
		assert_true(delivered[i] >= 1);
	assert_int_equal(count("example.org/bob/new"), 20);
	assert_int_equal(count("example.org/bob/tmp"), 0);
}

/* ---- traps
 * ------------------------------------------------------------------------------------------ */

static void no_link_is_followed(void **state)
{
	static const char *const traps[] = {"bob", "bob/tmp", "bob/new", "bob/cur"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(traps); i++) {
		struct maildir_result r;

		mkdir(in_top("elsewhere"), 0700);
		if (i > 0)
			mkdir(in_top("bob"), 0700);
		assert_int_equal(symlink(in_top("elsewhere"), in_top(traps[i])), 0);
		deliver_text("x\r\n", 9, &r);
		assert_int_equal(r.outcome, OUTCOME_DEFERRED);
		assert_int_equal(r.code / 100, 4);
		assert_int_equal(count("elsewhere"), 0);
		remove_tree(in_top("bob"));
		unlink(in_top("bob"));
	}
}

static void a_file_in_the_way(void **state)
{
	struct maildir_result r;
	int fd = open(in_top("bob"), O_WRONLY | O_CREAT, 0600);

	(void)state;
	close(fd);
	deliver_text("x\r\n", 9, &r);
	assert_int_equal(r.outcome, OUTCOME_DEFERRED);
	assert_non_null(strstr(r.text, "bob"));
}

static void the_template_cannot_climb(void **state)
{
	struct maildir_message m = message(-1);
	struct maildir_result r;

	(void)state;
	deliver(in_top("%u/../../gw-climbed"), "bob@example.org", &m, &r);
	assert_int_equal(r.outcome, OUTCOME_DEFERRED);
	assert_int_not_equal(access(in_top("../gw-climbed"), F_OK), 0);
}

static void a_name_too_long_is_for_good(void **state)
{
	struct maildir_message m = message(-1);
	struct maildir_result r;
	char addr[400] = "";

	(void)state;
	memset(addr, '~', 60);
	strcat(addr, "@");
	for (int i = 0; i < 15; i++)
		strcat(addr, "abcdefghi.");
	strcat(addr, "example");
	deliver(in_top("%u%d"), addr, &m, &r);
	assert_int_equal(r.outcome, OUTCOME_FAILED);
	assert_int_equal(r.code, 550);
	assert_int_equal(r.esc[0], 5);
}

static void a_missing_top_is_said(void **state)
{
	struct maildir_message m = message(-1);
	struct maildir_result r;

	(void)state;
	deliver(in_top("not/there/%u"), "bob@example.org", &m, &r);
	assert_int_equal(r.outcome, OUTCOME_DEFERRED);
	assert_non_null(strstr(r.text, "not/there"));
}

/* Whose it is: the owner of what exists, found without making anything. */
static void the_owner_is_found(void **state)
{
	struct maildir_place place;
	struct maildir_result r;
	char path[PATH_LENGTH * 2];

	(void)state;
	if (geteuid() != 0)
		skip();
	mkdir(in_top("home"), 0755);
	mkdir(in_top("home/bob"), 0755);
	assert_int_equal(chown(in_top("home/bob"), 1234, 5678), 0);
	snprintf(path, sizeof(path), "%s", in_top("home/bob/Maildir"));
	assert_int_equal(maildir_find(path, strlen(in_top("home")), &place, &r), 0);
	assert_int_equal(place.uid, 1234);
	assert_int_equal(place.gid, 5678);
	close(place.dir);
	snprintf(path, sizeof(path), "%s", in_top("home/eve/Maildir"));
	assert_int_equal(maildir_find(path, strlen(in_top("home")), &place, &r), 0);
	assert_int_equal(place.uid, 0);
	close(place.dir);
	assert_int_not_equal(access(in_top("home/eve"), F_OK), 0);
}

/* A pipe that comes and goes where the mark of a folder is to be. */
static void make_pipes_for_ever(const char *path)
{
	for (;;) {
		mkfifo(path, 0600);
		unlink(path);
	}
}

static void a_pipe_as_mark_holds_nobody_up(void **state)
{
	enum { TRIES = 3000, SECONDS = 15 };
	int status = 0, box;
	pid_t user, pid;

	(void)state;
	mkdir(in_top("box"), 0700);
	mkdir(in_top("box/.lists"), 0700);
	box = open(in_top("box"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(box >= 0);
	user = fork();
	if (user == 0)
		make_pipes_for_ever(in_top("box/.lists/maildirfolder"));
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < TRIES; i++) {
			int dir;

			alarm(SECONDS); /* for each */
			dir = folder_open(box, FOLDER_MAKE, SPAN("lists"));
			if (dir >= 0)
				close(dir);
			unlink(in_top("box/.lists/maildirfolder"));
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	kill(user, SIGKILL);
	waitpid(user, NULL, 0);
	close(box);
	assert_int_equal(status, 0);
}

static void a_full_disk_is_temporary(void **state)
{
	struct maildir_result r;
	struct maildir_message m;
	int status;
	pid_t pid = fork();

	(void)state;
	/* A limit on file sizes stands for it: the write fails in the middle. */
	if (pid == 0) {
		signal(SIGXFSZ, SIG_IGN);
		m = message(content(SPAN("0123456789\r\n"), 5, true));
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){64, 64});
		deliver(in_top("%u"), "bob@example.org", &m, &r);
		_exit(r.outcome == OUTCOME_DEFERRED && r.code / 100 == 4 && count("bob/tmp") == 0
			  ? 0
			  : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(count("bob/new"), 0);
}

#define IN_TOP(test) cmocka_unit_test_setup_teardown(test, fresh_top, remove_top)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(subaddresses_are_left_out),
	    cmocka_unit_test(addresses_make_names),
	    cmocka_unit_test(long_names_stay_names),
	    cmocka_unit_test(what_names_no_mailbox_is_refused),
	    cmocka_unit_test(no_octet_steers),
	    cmocka_unit_test(fixed_directories),
	    cmocka_unit_test(file_names_are_of_the_message),
	    IN_TOP(a_message_arrives),
	    IN_TOP(the_null_sender_and_hostile_fields),
	    IN_TOP(a_repeat_adds_nothing),
	    IN_TOP(another_recipient_is_another_file),
	    IN_TOP(cut_content_leaves_nothing),
	    IN_TOP(killed_deliveries_are_repeated_once),
	    IN_TOP(deliveries_at_the_same_time),
	    IN_TOP(no_link_is_followed),
	    IN_TOP(a_file_in_the_way),
	    IN_TOP(the_template_cannot_climb),
	    IN_TOP(a_name_too_long_is_for_good),
	    IN_TOP(a_missing_top_is_said),
	    IN_TOP(the_owner_is_found),
	    IN_TOP(a_pipe_as_mark_holds_nobody_up),
	    IN_TOP(a_full_disk_is_temporary),
	};

	umask(077);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
