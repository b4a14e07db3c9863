#include "unit/config/helper.h"

#include "mail/dsn_texts.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[64];

static int enter(void **state)
{
	(void)state;
	snprintf(home, sizeof(home), "/tmp/godwit-load-XXXXXX");
	return mkdtemp(home) == NULL || chdir(home) < 0 || mkdir("d", 0700) < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
	(void)st;
	(void)kind;
	(void)f;
	return remove(path);
}

static int leave(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct config *load(struct config_diags *d)
{
	struct config *c = NULL;
	struct buf bundle;

	config_diags_init(d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	if (config_bundle_load("main.conf", &bundle, d) == 0) {
		/* The bundle alone must do: nothing is read or asked again. */
		unsetenv("GODWIT_TEST_LOAD");
		c = config_parse(buf_view(&bundle), 3, d);
	}
	buf_fini(&bundle);
	return c;
}

static unsigned load_refused(void)
{
	struct config_diags d;
	unsigned code;

	assert_null(load(&d));
	code = d.n > 0 ? d.d[0].code : 0;
	config_diags_fini(&d);
	return code;
}

static void test_includes_in_order(void **state)
{
	struct config_diags d;
	struct config *c;

	(void)state;
	setenv("GODWIT_TEST_LOAD", "d", 1);
	put("main.conf",
	    BASE "domain q.example { deliver maildir /q }\n"
		 "include ${GODWIT_TEST_LOAD}/*.conf\nroute to any via relay last.example:25\n");
	put("d/20.conf", "route to domain b.example via relay b.example:25\n");
	put("d/10.conf",
	    "route to domain a.example via relay ${GODWIT_TEST_LOAD}.a.example:25\ninclude sub");
	put("d/sub", "route to domain sub.example via relay sub.example:25\n");
	put("d/.hidden.conf", "wrong\n");
	c = load(&d);
	print_diags(&d);
	assert_non_null(c);
	assert_int_equal(c->n_route, 4);
	assert_string_equal(c->route[0].target.host[0].host, "d.a.example");
	assert_string_equal(c->route[0].place.file, "d/10.conf");
	assert_string_equal(c->route[1].domain, "sub.example");
	assert_string_equal(c->route[1].place.file, "d/sub");
	assert_string_equal(c->route[2].domain, "b.example");
	assert_null(c->route[3].domain);
	config_free(&c);
	config_diags_fini(&d);
	unlink("d/10.conf");
	unlink("d/20.conf");
}

/* The file of texts comes with the bundle, also where the statement is in an included file; a
 * mistake in it is told with its place. */
static void test_texts_of_reports(void **state)
{
	struct config_diags d;
	struct config *c;
	char text[200];

	(void)state;
	put("main.conf", BASE "domain q.example { deliver maildir /q }\ninclude d/10.conf\n");
	snprintf(text, sizeof(text), "\ndsn { warn 1d; texts %s/texts }\n", home);
	put("d/10.conf", text);
	put("texts", "[es]\nfull.means = Lleno.\n");
	c = load(&d);
	print_diags(&d);
	assert_non_null(c);
	assert_non_null(c->dsn.texts);
	assert_true(span_eq(
	    dsn_texts_get(c->dsn.texts, DSN_SPANISH, (enum dsn_text)(DSN_CLASS_MEANS + REPLY_FULL)),
	    SPAN("Lleno.")));
	config_free(&c);
	config_diags_fini(&d);
	put("texts", "intro = {day}\n");
	assert_null(load(&d));
	assert_int_equal(d.d[0].code, 131);
	assert_int_equal(d.d[0].place.line, 1);
	assert_non_null(strstr(d.d[0].place.file, "/texts"));
	config_diags_fini(&d);
	unlink("texts");
	assert_int_equal(load_refused(), 120);
	/* No device, no directory, nothing without end. */
	assert_int_equal(mkdir("texts", 0700), 0);
	assert_int_equal(load_refused(), 120);
	put("main.conf", BASE "domain q.example { deliver maildir /q }\ndsn { texts /dev/zero }\n");
	assert_int_equal(load_refused(), 120);
	rmdir("texts");
	unlink("d/10.conf");
}

static void test_what_is_no_file(void **state)
{
	(void)state;
	unlink("main.conf");
	assert_int_equal(load_refused(), 120);
	assert_int_equal(mkfifo("main.conf", 0600), 0);
	assert_int_equal(load_refused(), 120);
	unlink("main.conf");
	put("main.conf", BASE "include /dev/zero\n");
	assert_int_equal(load_refused(), 120);
	put("main.conf", BASE "include missing\n");
	assert_int_equal(load_refused(), 120);
}

static void test_cycle_through_a_link(void **state)
{
	(void)state;
	put("main.conf", BASE "include d/again\n");
	assert_int_equal(symlink("../main.conf", "d/again"), 0);
	assert_int_equal(load_refused(), 121);
	unlink("d/again");
}

/* A file may be included twice, but doubling in each of ten levels ends at the ceiling. */
static void test_explosion_ends(void **state)
{
	char name[16], text[64];

	(void)state;
	put("main.conf", BASE "include d/0\ninclude d/0\n");
	for (int i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		snprintf(text, sizeof(text), "include %d\ninclude %d\ninclude %d\ninclude %d\n",
		    i + 1, i + 1, i + 1, i + 1);
		put(name, text);
	}
	put("d/9", "");
	assert_int_equal(load_refused(), 108);
}

static void fill(const char *name, const char *head, int lines)
{
	FILE *f = fopen(name, "wb");

	assert_non_null(f);
	fputs(head, f);
	for (int i = 0; i < lines; i++)
		fputs("# filling\n", f);
	fclose(f);
}

/* One file beyond 4 MiB, or two that are beyond it together. */
static void test_size_of_all_files(void **state)
{
	struct config_diags d;
	struct config *c;

	(void)state;
	fill("main.conf", "", 500000);
	assert_int_equal(load_refused(), 108);
	fill("main.conf", BASE "domain q.example { deliver maildir /q }\ninclude d/big\n", 200000);
	fill("d/big", "", 300000);
	assert_int_equal(load_refused(), 108);
	fill("d/big", "", 200000);
	c = load(&d);
	assert_non_null(c);
	config_free(&c);
	config_diags_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_includes_in_order),
	    cmocka_unit_test(test_texts_of_reports),
	    cmocka_unit_test(test_what_is_no_file),
	    cmocka_unit_test(test_cycle_through_a_link),
	    cmocka_unit_test(test_explosion_ends),
	    cmocka_unit_test(test_size_of_all_files),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
