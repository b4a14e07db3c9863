/* What two written configurations differ in. */
#include "unit/config/helper.h"

#include "cmd/config_diff.h"

#include <stdlib.h>

static const char running[] = "hostname a.test          # /etc/g.conf:1\n"
			      "spool /var/spool/a        # the default\n"
			      "listen mx 0.0.0.0:25 { name mx } # /etc/g.conf:2\n"
			      "listen mx [::]:25 { name mx } # /etc/g.conf:3\n"
			      "shape a {\n"
			      "    connections 3          # the default\n"
			      "    on reply \"x # y\" pause 5m # /etc/g.conf:7\n"
			      "}\n"
			      "shape * {\n"
			      "    connections 20         # the default\n"
			      "}\n";

static void assert_diff(const char *file, const char *want)
{
	struct config_change *list;
	struct buf out;
	size_t n = config_diff(span_str(running), span_str(file), &list);
	char *text;

	buf_init(&out, 10000);
	config_diff_text(list, n, &out);
	buf_add_byte(&out, '\0');
	text = (char *)(uintptr_t)buf_view(&out).p;
	assert_string_equal(text, want);
	free(list);
	buf_fini(&out);
}

static void test_same(void **state)
{
	(void)state;
	assert_diff(running, "nothing would change\n");
	assert_diff("", "- hostname a.test   /etc/g.conf:1\n"
			"- spool /var/spool/a   the default   (at the next start)\n"
			"- listen mx 0.0.0.0:25 { name mx }   /etc/g.conf:2\n"
			"- listen mx [::]:25 { name mx }   /etc/g.conf:3\n"
			"- shape a: connections 3   the default\n"
			"- shape a: on reply \"x # y\" pause 5m   /etc/g.conf:7\n"
			"- shape *: connections 20   the default\n"
			"1 of 7 take effect when the server is started again\n");
}

static void test_changes(void **state)
{
	(void)state;
	assert_diff("hostname b.test # /etc/g.conf:1\n"
		    "spool /var/spool/a        # /etc/g.conf:9\n"
		    "listen mx 0.0.0.0:25 { name other } # /etc/g.conf:2\n"
		    "listen mx 0.0.0.0:26 { name mx } # /etc/g.conf:3\n"
		    "shape * {\n"
		    "    connections 3          # the default\n"
		    "}\n",
	    "~ hostname a.test -> hostname b.test   /etc/g.conf:1\n"
	    "~ listen mx 0.0.0.0:25 { name mx } -> listen mx 0.0.0.0:25 { name other }   "
	    "/etc/g.conf:2\n"
	    "+ listen mx 0.0.0.0:26 { name mx }   /etc/g.conf:3\n"
	    "~ shape *: connections 20 -> connections 3   the default\n"
	    "- listen mx [::]:25 { name mx }   /etc/g.conf:3\n"
	    "- shape a: connections 3   the default\n"
	    "- shape a: on reply \"x # y\" pause 5m   /etc/g.conf:7\n"
	    "nothing needs a restart; open sessions go on\n");
}

/* What a server says is shown, and moves no cursor. */
static void test_hostile(void **state)
{
	(void)state;
	assert_diff("hostname \x1b[2Ja.test # \x07\nspool\n}\n}\n{\n shape {\n#\n # \n",
	    "~ hostname a.test -> hostname \\x1b[2Ja.test   \\x07\n"
	    "~ spool /var/spool/a -> spool   (at the next start)\n"
	    "+ shape {\n"
	    "+ #\n"
	    "- listen mx 0.0.0.0:25 { name mx }   /etc/g.conf:2\n"
	    "- listen mx [::]:25 { name mx }   /etc/g.conf:3\n"
	    "- shape a: connections 3   the default\n"
	    "- shape a: on reply \"x # y\" pause 5m   /etc/g.conf:7\n"
	    "- shape *: connections 20   the default\n"
	    "1 of 9 take effect when the server is started again\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same),
	    cmocka_unit_test(test_changes),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
