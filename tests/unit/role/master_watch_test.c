/*
 * The files of the configuration: what refuses a start and with which words, when a change is
 * passed on and when it is not yet, pairs that change in halves, links that are swapped, files that
 * go away.
 */
#include "role/master_watch.h"

#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT = 4096 };

struct world {
	char top[64];
	struct config *config;
	struct buf bundle;
	struct file_watch w;
	struct loop *loop;
	unsigned told[FILE_KIND_MAX + 1];
	uint64_t stamp[FILE_KIND_MAX + 1];
	char content[FILE_KIND_MAX + 1][64];
};

static void path_of(const struct world *x, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", x->top, name);
}

static void put(const struct world *x, const char *name, const char *text)
{
	char path[128];
	int fd;

	path_of(x, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* As careful programs do. */
static void replace(const struct world *x, const char *name, const char *text)
{
	char from[128], to[128];

	put(x, "new", text);
	path_of(x, "new", from);
	path_of(x, name, to);
	assert_int_equal(rename(from, to), 0);
}

static void away(const struct world *x, const char *name)
{
	char path[128];

	path_of(x, name, path);
	assert_int_equal(unlink(path), 0);
}

static void changed(void *arg, const struct watched_file *f)
{
	struct world *x = arg;
	ssize_t n = pread(f->fd, x->content[f->kind], 63, 0);

	x->content[f->kind][n > 0 ? n : 0] = '\0';
	x->told[f->kind]++;
	x->stamp[f->kind] = f->stamp;
}

static void configure(struct world *x)
{
	char text[TEXT];
	struct config_diags d;

	snprintf(text, sizeof(text),
	    "hostname mx.test\nlisten mx 127.0.0.1:2525\n"
	    "tls file %s/live/cert %s/live/key\nusers file %s/users\n"
	    "domain a.test { deliver maildir /tmp/%%u }\n",
	    x->top, x->top, x->top);
	config_diags_init(&d);
	buf_init(&x->bundle, 1 << 20);
	assert_int_equal(config_bundle_text("t.conf", span_str(text), &x->bundle), 0);
	x->config = config_parse(buf_view(&x->bundle), 1, &d);
	assert_non_null(x->config);
	config_diags_fini(&d);
}

static int set_up(void **state)
{
	struct world *x = calloc(1, sizeof(*x));
	char path[128];

	snprintf(x->top, sizeof(x->top), "/tmp/gw-watch-XXXXXX");
	assert_non_null(mkdtemp(x->top));
	path_of(x, "one", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(x, "two", path);
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(x, "live", path);
	assert_int_equal(symlink("one", path), 0);
	put(x, "one/cert", "cert 1");
	put(x, "one/key", "key 1");
	put(x, "two/cert", "cert 2 2");
	put(x, "two/key", "key 2 2");
	put(x, "users", "alice");
	configure(x);
	x->loop = loop_new();
	log_setup(open("/dev/null", O_WRONLY), LOG_NONE, "test");
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct world *x = *state;
	char command[128];

	file_watch_close(&x->w);
	loop_free(&x->loop);
	config_free(&x->config);
	buf_fini(&x->bundle);
	snprintf(command, sizeof(command), "rm -r %s", x->top);
	assert_int_equal(system(command), 0);
	free(x);
	return 0;
}

static void open_all(struct world *x)
{
	assert_int_equal(file_watch_open(&x->w, x->config, stderr), 0);
	assert_int_equal(x->w.n, 3);
	file_watch_start(&x->w, x->loop, changed, x);
}

static unsigned all_told(const struct world *x)
{
	unsigned n = 0;

	for (size_t i = 0; i <= FILE_KIND_MAX; i++)
		n += x->told[i];
	return n;
}

/* ---- the start --------------------------------------------------------------------------------
 */

/* What standard error said. */
static void opens_with(struct world *x, int want, char *said, size_t size)
{
	char path[128];
	int saved = dup(STDERR_FILENO), fd;
	ssize_t n;

	path_of(x, "stderr", path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	assert_int_equal(file_watch_open(&x->w, x->config, stderr), want);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	n = pread(fd, said, size - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(fd);
	close(saved);
	file_watch_close(&x->w);
}

static void what_refuses_a_start(void **state)
{
	struct world *x = *state;
	char said[TEXT], path[128];

	opens_with(x, 0, said, sizeof(said));
	assert_string_equal(said, "");
	away(x, "one/cert");
	away(x, "users");
	opens_with(x, GW_EIO, said, sizeof(said));
	/* Both, each with its place. */
	assert_non_null(strstr(said, "t.conf:3:10: error: "));
	assert_non_null(strstr(said, "/live/cert: No such file or directory\n"));
	assert_non_null(strstr(said, "t.conf:4:"));
	put(x, "users", "alice");
	path_of(x, "one/cert", path);
	assert_int_equal(mkdir(path, 0700), 0);
	opens_with(x, GW_EIO, said, sizeof(said));
	assert_non_null(strstr(said, "this is not a plain file"));
	assert_int_equal(rmdir(path), 0);
	/* A pipe nobody writes to: opening it must not wait. */
	assert_int_equal(mkfifo(path, 0600), 0);
	opens_with(x, GW_EIO, said, sizeof(said));
	assert_non_null(strstr(said, "this is not a plain file"));
	assert_int_equal(unlink(path), 0);
	put(x, "one/cert", "cert");
	assert_int_equal(truncate(path, INT64_C(300) << 20), 0);
	opens_with(x, GW_EIO, said, sizeof(said));
	assert_non_null(strstr(said, "larger than 256 MiB"));
}

static void secrets_are_secret(void **state)
{
	static const char *const secret[] = {"one/key", "users"};
	struct world *x = *state;
	char said[TEXT], path[128];

	for (size_t i = 0; i < GW_ARRAY_LEN(secret); i++) {
		path_of(x, secret[i], path);
		assert_int_equal(chmod(path, 0644), 0);
		opens_with(x, GW_EIO, said, sizeof(said));
		assert_non_null(strstr(said, "secret file readable by others"));
		assert_int_equal(chmod(path, 0602), 0);
		opens_with(x, GW_EIO, said, sizeof(said));
		/* A group for it is a common way. */
		assert_int_equal(chmod(path, 0640), 0);
		opens_with(x, 0, said, sizeof(said));
	}
	path_of(x, "one/cert", path);
	assert_int_equal(chmod(path, 0644), 0);
	opens_with(x, 0, said, sizeof(said));
}

/* ---- changes ----------------------------------------------------------------------------------
 */

static void nothing_changes(void **state)
{
	struct world *x = *state;

	open_all(x);
	for (int i = 0; i < 10; i++)
		assert_false(file_watch_look(&x->w));
	assert_int_equal(all_told(x), 0);
}

static void a_change_must_hold_still(void **state)
{
	struct world *x = *state;

	open_all(x);
	put(x, "users", "alice bo");
	assert_true(file_watch_look(&x->w));
	assert_int_equal(all_told(x), 0);
	put(x, "users", "alice bob car");
	assert_true(file_watch_look(&x->w));
	put(x, "users", "alice bob carl");
	assert_true(file_watch_look(&x->w));
	assert_int_equal(all_told(x), 0);
	assert_false(file_watch_look(&x->w));
	assert_int_equal(x->told[FILE_USERS], 1);
	assert_string_equal(x->content[FILE_USERS], "alice bob carl");
	assert_false(file_watch_look(&x->w));
	assert_int_equal(all_told(x), 1);
}

/* The key comes a while after its certificate: only together do they go, with one stamp. */
static void a_pair_goes_as_one(void **state)
{
	struct world *x = *state;
	uint64_t before;

	open_all(x);
	before = x->w.file[0].stamp;
	replace(x, "one/cert", "cert 9 9 9");
	assert_true(file_watch_look(&x->w));
	replace(x, "one/key", "key 9 9 9");
	assert_true(file_watch_look(&x->w));
	assert_int_equal(all_told(x), 0);
	assert_false(file_watch_look(&x->w));
	assert_int_equal(x->told[FILE_CERTIFICATE], 1);
	assert_int_equal(x->told[FILE_KEY], 1);
	assert_string_equal(x->content[FILE_CERTIFICATE], "cert 9 9 9");
	assert_string_equal(x->content[FILE_KEY], "key 9 9 9");
	assert_int_equal(x->stamp[FILE_CERTIFICATE], x->stamp[FILE_KEY]);
	assert_true(x->stamp[FILE_KEY] > before);
	/* One of them alone may change too (a longer chain): both go again, so the stamps fit. */
	replace(x, "one/cert", "cert 9 and its issuer");
	file_watch_look(&x->w);
	file_watch_look(&x->w);
	assert_int_equal(x->told[FILE_KEY], 2);
	assert_int_equal(x->stamp[FILE_CERTIFICATE], x->stamp[FILE_KEY]);
	assert_int_equal(x->told[FILE_USERS], 0);
}

/* No file changed, and every path means another one. */
static void a_link_above_is_swapped(void **state)
{
	struct world *x = *state;
	char link[128], new[128];

	open_all(x);
	path_of(x, "live", link);
	path_of(x, "live.new", new);
	assert_int_equal(symlink("two", new), 0);
	assert_int_equal(rename(new, link), 0);
	file_watch_look(&x->w);
	assert_false(file_watch_look(&x->w));
	assert_string_equal(x->content[FILE_CERTIFICATE], "cert 2 2");
	assert_string_equal(x->content[FILE_KEY], "key 2 2");
}

static void same_size_same_second(void **state)
{
	struct world *x = *state;

	open_all(x);
	for (int i = 0; i < 20; i++) {
		char text[16];

		snprintf(text, sizeof(text), "alic%c", 'a' + i);
		replace(x, "users", text);
		file_watch_look(&x->w);
		file_watch_look(&x->w);
		assert_string_equal(x->content[FILE_USERS], text);
	}
	assert_int_equal(x->told[FILE_USERS], 20);
}

/* Away, unreadable for others' eyes only, back the same, back another. */
static void what_goes_away_is_kept(void **state)
{
	struct world *x = *state;
	char path[128], text[16] = "";

	open_all(x);
	away(x, "one/key");
	for (int i = 0; i < 5; i++)
		assert_false(file_watch_look(&x->w));
	assert_true(x->w.file[1].lost);
	assert_int_equal(pread(x->w.file[1].fd, text, 15, 0), 5);
	assert_string_equal(text, "key 1");
	/* The certificate alone is no reason to try anything. */
	replace(x, "one/cert", "cert 3 3 3");
	for (int i = 0; i < 5; i++)
		file_watch_look(&x->w);
	assert_int_equal(all_told(x), 0);
	path_of(x, "one/key", path);
	put(x, "one/key", "key 3 3 3");
	assert_int_equal(chmod(path, 0644), 0);
	for (int i = 0; i < 5; i++)
		file_watch_look(&x->w);
	assert_int_equal(all_told(x), 0);
	assert_int_equal(chmod(path, 0600), 0);
	for (int i = 0; i < 5; i++)
		file_watch_look(&x->w);
	assert_int_equal(x->told[FILE_KEY], 1);
	assert_string_equal(x->content[FILE_KEY], "key 3 3 3");
	assert_false(x->w.file[1].lost);
}

/* A thousand swaps under its eyes: what is told is always a pair, never halves of two. */
static void pairs_in_a_hurry(void **state)
{
	struct world *x = *state;
	unsigned seed = 1, good = 0;

	open_all(x);
	for (int i = 0; i < 1000; i++) {
		char cert[32], key[32];
		unsigned before = x->told[FILE_KEY];

		snprintf(cert, sizeof(cert), "cert %d", i);
		snprintf(key, sizeof(key), "key %d", i);
		replace(x, "one/key", key);
		if (rand_r(&seed) % 3 == 0)
			file_watch_look(&x->w);
		replace(x, "one/cert", cert);
		for (int k = rand_r(&seed) % 3; k > 0; k--)
			file_watch_look(&x->w);
		if (x->told[FILE_KEY] == before)
			continue;
		good++;
		assert_string_equal(x->content[FILE_CERTIFICATE] + 5, x->content[FILE_KEY] + 4);
		assert_int_equal(x->stamp[FILE_CERTIFICATE], x->stamp[FILE_KEY]);
	}
	assert_true(good > 100);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(what_refuses_a_start), TEST(secrets_are_secret),
	    TEST(nothing_changes), TEST(a_change_must_hold_still), TEST(a_pair_goes_as_one),
	    TEST(a_link_above_is_swapped), TEST(same_size_same_second),
	    TEST(what_goes_away_is_kept), TEST(pairs_in_a_hurry)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
