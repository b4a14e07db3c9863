/* Files that aliases include: which are named, what is read on whose behalf, and the table. */
#include "config/includes.h"
#include "config/recipients.h"

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

struct place_of_files {
	char folder[64];
};

static const char *path_of(const struct place_of_files *p, const char *name)
{
	static char text[4][200];
	static unsigned at;
	char *to = text[at++ % 4];

	snprintf(to, sizeof(text[0]), "%s/%s", p->folder, name);
	return to;
}

/* '%' in the text is the folder. */
static void put(const struct place_of_files *p, const char *name, const char *text, unsigned mode)
{
	FILE *f = fopen(path_of(p, name), "w");

	assert_non_null(f);
	for (; *text != '\0'; text++) {
		if (*text == '%')
			fputs(p->folder, f);
		else
			fputc(*text, f);
	}
	assert_int_equal(fchmod(fileno(f), mode), 0);
	fclose(f);
}

static int gather(
    const struct place_of_files *p, struct includes *list, struct buf *all, char why[300])
{
	const char *path = path_of(p, "aliases");
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	assert_true(fd >= 0);
	buf_init_soft(all, 64 << 20);
	err = includes_gather(path, fd, list, all, why, 300);
	close(fd);
	return err;
}

static void refused(const struct place_of_files *p, const char *name, const char *words)
{
	struct includes list;
	char why[300] = "";
	struct buf all;

	assert_int_equal(gather(p, &list, &all, why), GW_EIO);
	if (strstr(why, name) == NULL || strstr(why, words) == NULL)
		fail_msg("%s", why);
	assert_int_equal(list.n, 0);
	buf_fini(&all);
}

static void test_names(void **state)
{
	static const char *const want[] = {"/a", "/b", "rel", "/c d", "/e"};
	struct span text =
	    SPAN("l: :include:/a, x,:include:/b\n# :include:/no\n m: \":include:/c d\"\n"
		 " :include:rel # :include:/no\n:include:\nn::include:/e");
	struct span path;
	bool seen[5] = {false};

	(void)state;
	while (includes_next(&text, &path)) {
		size_t i = 0;

		while (i < 5 && !span_eq(path, span_str(want[i])))
			i++;
		if (i == 5)
			fail_msg("%.*s", SPAN_ARG(path));
		seen[i] = true;
	}
	for (size_t i = 0; i < 5; i++)
		assert_true(seen[i]);
}

static void test_table(void **state)
{
	const struct place_of_files *p = *state;
	const struct recipient_rule *rule;
	struct recipients_error e;
	struct includes list;
	struct recipients *r;
	const char *which;
	char why[300];
	struct buf all;

	put(p, "aliases", "list: zero@x.test, :include:%/one, last\nother: :include:%/two\n", 0644);
	put(p, "one", "# those\na@x.test, b@x.test\n\n:include:%/two\n", 0644);
	put(p, "two", "c@x.test\nd", 0644);
	assert_int_equal(gather(p, &list, &all, why), 0);
	assert_int_equal(list.n, 2);
	r = recipients_parse(SPAN_NONE, NULL, buf_view(&all), "aliases", &e, &which);
	assert_non_null(r);
	rule = recipients_find(r, SPAN("list"));
	assert_int_equal(rule->n_to, 6);
	assert_string_equal(rule->to[3], "c@x.test");
	assert_string_equal(rule->to[4], "d");
	assert_string_equal(rule->to[5], "last");
	assert_int_equal(rule->place.line, 1);
	recipients_free(&r);
	buf_fini(&all);
	includes_free(&list);
	/* A mistake is at its own place. */
	put(p, "two", "c@x.test\n\n  |/bin/sh\n", 0644);
	assert_int_equal(gather(p, &list, &all, why), 0);
	assert_null(recipients_parse(SPAN_NONE, NULL, buf_view(&all), "aliases", &e, &which));
	assert_string_equal(which, path_of(p, "two"));
	assert_true(e.line == 3 && e.column == 3 && strstr(e.text, "deliver pipe") != NULL);
	buf_fini(&all);
	includes_free(&list);
}

static void test_state(void **state)
{
	const struct place_of_files *p = *state;
	struct includes list;
	uint64_t before;
	char why[300];
	struct buf all;

	put(p, "aliases", "list: :include:%/one\n", 0644);
	put(p, "one", "a@x.test\n", 0644);
	assert_int_equal(gather(p, &list, &all, why), 0);
	before = includes_state(&list);
	assert_true(before != 0 && before == includes_state(&list));
	put(p, "one", "a@x.test, b@x.test\n", 0644);
	assert_true(before != includes_state(&list));
	assert_int_equal(unlink(path_of(p, "one")), 0);
	assert_true(before != includes_state(&list));
	buf_fini(&all);
	includes_free(&list);
	assert_int_equal(includes_state(&list), 0);
}

/* Circles and piles end, and say so. */
static void test_bounds(void **state)
{
	const struct place_of_files *p = *state;
	struct recipients_error e;
	struct includes list;
	const char *which;
	char why[300];
	struct buf all;
	FILE *f;

	put(p, "aliases", "list: :include:%/one\n", 0644);
	put(p, "one", ":include:%/two\n", 0644);
	put(p, "two", ":include:%/one, :include:%/two\n", 0644);
	assert_int_equal(gather(p, &list, &all, why), 0);
	assert_null(recipients_parse(SPAN_NONE, NULL, buf_view(&all), "aliases", &e, &which));
	assert_non_null(strstr(e.text, "more than 5 deep"));
	buf_fini(&all);
	includes_free(&list);
	/* No address, but a file that is read without end. */
	put(p, "two", "#\n", 0644);
	f = fopen(path_of(p, "one"), "w");
	for (int i = 0; i < 200000; i++)
		fprintf(f, ":include:%s/two\n", p->folder);
	fclose(f);
	assert_int_equal(gather(p, &list, &all, why), 0);
	assert_null(recipients_parse(SPAN_NONE, NULL, buf_view(&all), "aliases", &e, &which));
	assert_non_null(strstr(e.text, "too much is included"));
	buf_fini(&all);
	includes_free(&list);
	f = fopen(path_of(p, "aliases"), "w");
	for (int i = 0; i < 200; i++)
		fprintf(f, "l%d: :include:%s/f%d\n", i, p->folder, i);
	fclose(f);
	refused(p, "aliases", "more than 100 files");
}

/* Who may write to a list does not learn what is in other files. */
static void test_rights(void **state)
{
	const struct place_of_files *p = *state;
	struct includes list;
	char why[300];
	struct buf all;

	put(p, "aliases", "list: :include:%/one\n", 0644);
	unlink(path_of(p, "one"));
	refused(p, "/one", "No such file");
	put(p, "one", "a@x.test\n", 0640);
	assert_int_equal(gather(p, &list, &all, why), 0); /* named by the administrator */
	includes_free(&list);
	buf_fini(&all);
	put(p, "secret", "b@x.test\n", 0600);
	put(p, "one", ":include:%/secret\n", 0644);
	refused(p, "/secret", "only the aliases file itself");
	unlink(path_of(p, "one"));
	assert_int_equal(symlink(path_of(p, "secret"), path_of(p, "one")), 0);
	refused(p, "/one", "a link leads to it");
	unlink(path_of(p, "one"));
	assert_int_equal(link(path_of(p, "secret"), path_of(p, "one")), 0);
	refused(p, "/one", "a link leads to it");
	unlink(path_of(p, "one"));
	put(p, "one", "a@x.test\n", 0666);
	refused(p, "/one", "everybody may write to it");
	unlink(path_of(p, "one"));
	assert_int_equal(mkfifo(path_of(p, "one"), 0644), 0);
	refused(p, "/one", "not a plain file");
	unlink(path_of(p, "one"));
}

/* Nonsense in place of a bundle is refused. */
/* Whoever may write to the folder swaps the link and a file of his own, over and over. */
static void swap_for_ever(const struct place_of_files *p)
{
	for (;;)
		renameat2(
		    AT_FDCWD, path_of(p, "one"), AT_FDCWD, path_of(p, "two"), RENAME_EXCHANGE);
}

static void test_swapped_link(void **state)
{
	enum { TRIES = 30000 };
	const struct place_of_files *p = *state;
	struct includes list;
	char why[300];
	struct buf all;
	bool told = false;
	pid_t pid;

	put(p, "aliases", "list: :include:%/one\n", 0600);
	put(p, "secret", "root:$6$hash\n", 0600);
	put(p, "two", "bob@example.net\n", 0600);
	assert_int_equal(symlink(path_of(p, "secret"), path_of(p, "one")), 0);
	pid = fork();
	if (pid == 0)
		swap_for_ever(p);
	for (int i = 0; i < TRIES && !told; i++) {
		int err = gather(p, &list, &all, why);

		told = err == 0 && memmem(all.mem, buf_len(&all), "$6$", 3) != NULL;
		if (err == 0)
			includes_free(&list);
		buf_fini(&all);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(told);
}

static void test_broken_bundle(void **state)
{
	struct recipients_error e;
	const char *which;

	(void)state;
	assert_null(recipients_parse(
	    SPAN_NONE, NULL, span_of("\0aliases\xff\xff\xff\xff", 12), "a", &e, &which));
	assert_null(recipients_parse(SPAN_NONE, NULL, span_of("\0aliases", 8), "a", &e, &which));
	assert_null(recipients_parse(
	    SPAN_NONE, NULL, span_of("\0aliases\2\0\0\0xy\0\0\0\0", 18), "a", &e, &which));
}

static int set_up(void **state)
{
	static struct place_of_files p;

	snprintf(p.folder, sizeof(p.folder), "/tmp/includes-XXXXXX");
	assert_non_null(mkdtemp(p.folder));
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"aliases", "one", "two", "secret"};
	const struct place_of_files *p = *state;

	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++)
		unlink(path_of(p, names[i]));
	rmdir(p->folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_state, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_swapped_link, set_up, tear_down),
	    cmocka_unit_test(test_broken_bundle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
