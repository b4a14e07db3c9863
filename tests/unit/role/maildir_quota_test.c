/* The file maildirsize as the owner of the mailbox may have left it, folders that are traps, and
 * what counts. */
#include "role/maildir_quota.h"

#include "role/maildir_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#include <cmocka.h>

static char top[64];
static int box;

static const char *in_box(const char *name)
{
	static char path[4][256];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(path[at], sizeof(path[at]), "%s/%s", top, name);
	return path[at];
}

static void put(const char *name, const char *text, size_t n)
{
	int fd = open(in_box(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static void expect(const char *text)
{
	char is[6000];
	int fd = open(in_box("maildirsize"), O_RDONLY);
	ssize_t n = read(fd, is, sizeof(is) - 1);

	close(fd);
	assert_true(n >= 0);
	is[n] = '\0';
	assert_string_equal(is, text);
}

static int make_box(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/gw-quota-XXXXXX");
	if (mkdtemp(top) == NULL)
		return -1;
	mkdir(in_box("tmp"), 0700);
	mkdir(in_box("new"), 0700);
	mkdir(in_box("cur"), 0700);
	box = open(top, O_RDONLY | O_DIRECTORY);
	return box < 0 ? -1 : 0;
}

static int drop_box(void **state)
{
	char command[128];

	(void)state;
	close(box);
	snprintf(command, sizeof(command), "rm -rf %s", top);
	return system(command) == 0 ? 0 : -1;
}

/* ---- the file ------------------------------------------------------------------------------- */

static const struct quota kilo = {.octets = 1000};

static void an_empty_box_is_counted(void **state)
{
	(void)state;
	assert_int_equal(quota_ask(box, &kilo, 1000), QUOTA_FITS);
	expect("1000S\n0 0\n");
	quota_add(box, &kilo, 400);
	expect("1000S\n0 0\n400 1\n");
	assert_int_equal(quota_ask(box, &kilo, 600), QUOTA_FITS);
	assert_int_equal(quota_ask(box, &kilo, 1001), QUOTA_NEVER);
}

static void no_limit_makes_no_file(void **state)
{
	const struct quota none = {0};

	(void)state;
	assert_int_equal(quota_ask(box, &none, 1 << 30), QUOTA_FITS);
	quota_add(box, &none, 1 << 30);
	assert_int_not_equal(access(in_box("maildirsize"), F_OK), 0);
}

static void messages_count_too(void **state)
{
	const struct quota two = {.octets = 1 << 20, .messages = 2};
	const struct quota only = {.messages = 1};

	(void)state;
	assert_int_equal(quota_ask(box, &two, 1), QUOTA_FITS);
	expect("1048576S,2C\n0 0\n");
	put("new/a,S=5,W=6", "12345", 5);
	put("cur/b:2,S", "123", 3);
	unlink(in_box("maildirsize"));
	assert_int_equal(quota_ask(box, &two, 1), QUOTA_FULL);
	expect("1048576S,2C\n8 2\n");
	unlink(in_box("maildirsize"));
	assert_int_equal(quota_ask(box, &only, 1), QUOTA_FULL);
	expect("1C\n8 2\n");
}

/* Found full by sums: counted again, and the truth is written. */
static void a_full_box_is_counted_again(void **state)
{
	(void)state;
	put("maildirsize", "1000S\n900 9\n90 1\n", 17);
	assert_int_equal(quota_ask(box, &kilo, 100), QUOTA_FITS);
	expect("1000S\n0 0\n");
	/* Counted just now: not again ... */
	put("maildirsize", "1000S\n990 9\n", 12);
	assert_int_equal(quota_ask(box, &kilo, 100), QUOTA_FULL);
	/* ... until that is old. */
	utime(in_box("maildirsize"), &(struct utimbuf){1000, 1000});
	assert_int_equal(quota_ask(box, &kilo, 100), QUOTA_FITS);
}

static void what_cannot_be_believed_is_made_anew(void **state)
{
	static const char *const texts[] = {"", "\n", "x", "1000S", "1000S\n1", "1000S\n1 1",
	    "S\n0 0\n", "1000S\n1 x\n", "1000S\n1  \n", "1000X\n1 1\n", "-1000S\n1 1\n",
	    "2000S\n1 1\n", "1000S,5C\n1 1\n", "1000S\n-5 1\n", "1000S\n5 -1\n",
	    "99999999999999999999S\n1 1\n", "1000S\n9223372036854775807 1\n9223372036854775807 1\n",
	    "1000S\n-9223372036854775808 1\n-9223372036854775808 1\n",
	    "1000S\n99999999999999999999999 1\n"};
	static char large[6000];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(texts); i++) {
		put("maildirsize", texts[i], strlen(texts[i]));
		assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
		expect("1000S\n0 0\n");
	}
	put("maildirsize", "1000S\n1\0 1\n", 11);
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
	expect("1000S\n0 0\n");
	for (size_t i = 0; i < sizeof(large); i += 6)
		memcpy(large + i, i == 0 ? "1000S\n" : "00 00\n", 6);
	put("maildirsize", large, sizeof(large));
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
	expect("1000S\n0 0\n");
}

/* In the place of the file: nothing else is read, written, or waited for. */
static void traps_in_its_place(void **state)
{
	char target[256];

	(void)state;
	put("victim", "1000S\n0 0\n", 10);
	snprintf(target, sizeof(target), "%s", in_box("victim"));
	assert_int_equal(symlink(target, in_box("maildirsize")), 0);
	quota_add(box, &kilo, 5);
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
	expect("1000S\n0 0\n");
	rename(in_box("victim"), in_box("maildirsize"));
	expect("1000S\n0 0\n");
	unlink(in_box("maildirsize"));
	assert_int_equal(mkfifo(in_box("maildirsize"), 0600), 0);
	quota_add(box, &kilo, 5);
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
	expect("1000S\n0 0\n");
	unlink(in_box("maildirsize"));
	mkdir(in_box("maildirsize"), 0700);
	quota_add(box, &kilo, 5);
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
}

static void all_folders_count_and_no_link(void **state)
{
	struct stat st;

	(void)state;
	mkdir(in_box(".a"), 0700);
	mkdir(in_box(".a/cur"), 0700);
	mkdir(in_box("other"), 0700);
	mkdir(in_box("other/new"), 0700);
	put(".a/cur/x,S=100,W=101:2,S", "1", 1);
	put(".a/cur/.hidden", "1234", 4);
	put("other/new/x,S=500", "1", 1);
	put("new/y:2,S=900", "12", 2); /* a flag, not a size */
	put("new/z,S=", "123", 3);
	put("new/w,S=-5", "1234", 4);
	assert_int_equal(symlink(in_box("other"), in_box(".b")), 0);
	assert_int_equal(symlink(in_box("other/new/x,S=500"), in_box("new/link")), 0);
	assert_int_equal(symlink("/proc/self", in_box(".c")), 0);
	put(".file", "1", 1);
	assert_int_equal(quota_ask(box, &kilo, 1), QUOTA_FITS);
	expect("1000S\n109 4\n");
	assert_int_equal(stat(in_box("maildirsize"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void names_of_folders(void **state)
{
	static const struct {
		const char *detail, *name;
	} cases[] = {{"lists", ".lists"}, {"Lists", ".Lists"}, {"a.b.c", ".a.b.c"},
	    {"x-y_z=1+2", ".x-y_z=1+2"}, {"a.b.c.d", NULL}, {"", NULL}, {".", NULL}, {"..", NULL},
	    {".a", NULL}, {"a.", NULL}, {"a..b", NULL}, {"a/b", NULL}, {"/etc", NULL},
	    {"../x", NULL}, {"a b", NULL}, {"a\nb", NULL}, {"~", NULL}, {"%2E", NULL},
	    {"\xc3\xa4", NULL}, {"&AOQ-", NULL}, {"Trash", NULL}, {"TRASH", NULL}, {"sent", NULL},
	    {"inbox", NULL}, {"Junk.x", NULL}, {"trashy", ".trashy"},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		NULL}};
	char name[FOLDER_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
		bool is = folder_name(span_str(cases[i].detail), false, name);

		if (is != (cases[i].name != NULL))
			fail_msg("%s", cases[i].detail);
		if (is)
			assert_string_equal(name, cases[i].name);
	}
	assert_false(folder_name(span_of("a\0b", 3), false, name));
	assert_true(folder_name(SPAN("LiStS"), true, name));
	assert_string_equal(name, ".lists");
}

static int enter(enum folder_wish wish, const char *detail)
{
	int fd = folder_open(box, wish, span_str(detail));

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

static void only_folders_are_folders(void **state)
{
	(void)state;
	assert_int_equal(enter(FOLDER_OFF, "a"), GW_ENOENT);
	assert_int_equal(enter(FOLDER_EXISTING, "a"), GW_ENOENT);
	assert_int_not_equal(access(in_box(".a"), F_OK), 0);
	assert_int_equal(enter(FOLDER_MAKE, "A"), 0);
	assert_int_equal(access(in_box(".a/maildirfolder"), F_OK), 0);
	assert_int_equal(enter(FOLDER_EXISTING, "a"), 0);
	/* Somebody's directory, and links, stay as they are. */
	mkdir(in_box(".ssh"), 0700);
	put(".ssh/config", "x", 1);
	assert_int_equal(symlink(in_box(".a"), in_box(".link")), 0);
	put(".plain", "x", 1);
	for (enum folder_wish w = FOLDER_EXISTING; w <= FOLDER_MAKE; w++) {
		assert_int_equal(enter(w, "ssh"), GW_ENOENT);
		assert_int_equal(enter(w, "link"), GW_ENOENT);
		assert_int_equal(enter(w, "plain"), GW_ENOENT);
	}
	assert_int_not_equal(access(in_box(".ssh/maildirfolder"), F_OK), 0);
	/* Killed between the directory and its mark. */
	mkdir(in_box(".half"), 0700);
	assert_int_equal(enter(FOLDER_EXISTING, "half"), GW_ENOENT);
	assert_int_equal(enter(FOLDER_MAKE, "half"), 0);
}

static void folders_have_a_ceiling(void **state)
{
	char name[16];
	unsigned made = 0;

	(void)state;
	for (unsigned i = 0; i < FOLDERS_MAX + 20; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		made += enter(FOLDER_MAKE, name) == 0;
	}
	assert_true(made > FOLDERS_MAX - 5 && made < FOLDERS_MAX);
	assert_int_equal(enter(FOLDER_MAKE, "f0"), 0);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, make_box, drop_box)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_BOX(an_empty_box_is_counted),
	    IN_BOX(no_limit_makes_no_file),
	    IN_BOX(messages_count_too),
	    IN_BOX(a_full_box_is_counted_again),
	    IN_BOX(what_cannot_be_believed_is_made_anew),
	    IN_BOX(traps_in_its_place),
	    IN_BOX(all_folders_count_and_no_link),
	    cmocka_unit_test(names_of_folders),
	    IN_BOX(only_folders_are_folders),
	    IN_BOX(folders_have_a_ceiling),
	};

	umask(077);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
