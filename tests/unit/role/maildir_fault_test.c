/*
 * A Maildir on a machine whose flushes fail and whose directories cannot be read: nothing is called
 * delivered that is not on the disk with all the names that lead to it, and nobody gets a second
 * copy because nobody could look for the first.
 */
#include "base/cursor.h"
#include "role/maildir.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_LENGTH = 256, FLUSHES_MAX = 64 };

static char top[PATH_LENGTH];
static const struct msgid some_id = {{1, 2, 3}};

/* ---- the machine --------------------------------------------------------------------------- */

static unsigned flush_at, flush_count; /* the flush that fails, counted from 1 */
static ino_t flushed[FLUSHES_MAX];
static unsigned n_flushed;
static bool unreadable;

int fsync(int fd)
{
	struct stat st;

	if (++flush_count == flush_at) {
		errno = EIO;
		return -1;
	}
	if (fstat(fd, &st) < 0 || n_flushed == FLUSHES_MAX)
		abort();
	flushed[n_flushed++] = st.st_ino;
	return (int)syscall(SYS_fsync, fd);
}

struct dirent *readdir(DIR *d)
{
	static struct dirent *(*real)(DIR *);

	if (unreadable) {
		errno = EIO;
		return NULL;
	}
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "readdir");
	return real(d);
}

static bool is_flushed(const char *name)
{
	char path[PATH_LENGTH * 2];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	if (stat(path, &st) < 0)
		return false;
	for (unsigned i = 0; i < n_flushed; i++) {
		if (flushed[i] == st.st_ino)
			return true;
	}
	return false;
}

/* ---- a delivery ---------------------------------------------------------------------------- */

static int pipe_of(const char *text)
{
	struct buf b;
	int fd[2];

	buf_init(&b, 1000);
	put_u32(&b, (uint32_t)strlen(text));
	buf_add_str(&b, text);
	put_u32(&b, 0);
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], b.mem + b.begin, buf_len(&b)), buf_len(&b));
	close(fd[1]);
	buf_fini(&b);
	return fd[0];
}

static enum outcome deliver(void)
{
	struct maildir_result r = {0};
	struct maildir_place place;
	struct maildir_message m = {.id = some_id,
	    .from = SPAN("a@example.net"),
	    .rcpt = SPAN("bob@example.org"),
	    .content = pipe_of("x\r\n")};
	char path[PATH_LENGTH * 2];
	int box;

	snprintf(path, sizeof(path), "%s/example.org/bob", top);
	assert_int_equal(maildir_find(path, strlen(top), &place, &r), 0);
	box = maildir_open(&place, &r);
	close(place.dir);
	if (box >= 0) {
		maildir_deliver(box, &m, &r);
		close(box);
	}
	close(m.content);
	return r.outcome;
}

static void remove_all(void)
{
	char command[PATH_LENGTH + 16];

	snprintf(command, sizeof(command), "rm -rf %s/*", top);
	assert_int_equal(system(command), 0);
	n_flushed = flush_count = flush_at = 0;
}

/* The message's file: its name has its sizes behind it. */
static const char *file_name(void)
{
	static char path[PATH_LENGTH];
	char name[MAILDIR_NAME_MAX];

	/* "Return-Path: <a@example.net>", "Delivered-To: bob@example.org", "x" */
	maildir_name(&some_id, 0, name);
	snprintf(path, sizeof(path), "%s,S=61,W=64", name);
	return path;
}

/* Each flush of a first delivery fails once: it is not delivered, the next try is, and then all is
 * flushed that was made, whoever made it. */
static void each_flush_counts(void **state)
{
	char file[PATH_LENGTH * 2];
	unsigned n = 0;

	(void)state;
	snprintf(file, sizeof(file), "example.org/bob/new/%s", file_name());
	do {
		remove_all();
		flush_at = ++n;
		if (deliver() == OUTCOME_DELIVERED)
			assert_true(flush_count < flush_at);
		flush_at = 0;
		assert_int_equal(deliver(), OUTCOME_DELIVERED);
		assert_true(is_flushed(""));
		assert_true(is_flushed("example.org"));
		assert_true(is_flushed("example.org/bob"));
		assert_true(is_flushed("example.org/bob/new"));
		assert_true(is_flushed(file));
	} while (flush_count >= n);
	assert_true(n >= 5);
}

/* A reader took the message; when the delivery is repeated cur/ cannot be read. */
static void an_unreadable_mailbox_is_tried_later(void **state)
{
	char from[PATH_LENGTH * 3], to[PATH_LENGTH * 3];

	(void)state;
	remove_all();
	assert_int_equal(deliver(), OUTCOME_DELIVERED);
	snprintf(from, sizeof(from), "%s/example.org/bob/new/%s", top, file_name());
	snprintf(to, sizeof(to), "%s/example.org/bob/cur/%s:2,S", top, file_name());
	assert_int_equal(rename(from, to), 0);
	unreadable = true;
	assert_int_equal(deliver(), OUTCOME_DEFERRED);
	unreadable = false;
	assert_int_not_equal(access(from, F_OK), 0);
	assert_int_equal(deliver(), OUTCOME_DELIVERED);
	assert_int_not_equal(access(from, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_flush_counts),
	    cmocka_unit_test(an_unreadable_mailbox_is_tried_later),
	};
	int failed;

	umask(077);
	snprintf(top, sizeof(top), "/tmp/gw-maildir-XXXXXX");
	if (mkdtemp(top) == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	remove_all();
	rmdir(top);
	return failed;
}
