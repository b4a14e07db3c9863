#include "cmd/queue_text.h"
#include "cmd/status_text.h"
#include "cmd/terminal.h"
#include "mail/msgid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf out;

static const char *end(void)
{
	buf_add_byte(&out, '\0');
	assert_false(buf_failed(&out));
	return (const char *)buf_view(&out).p;
}

static const char *table(const char *json, size_t columns)
{
	json_t *j = json_loads(json, 0, NULL);

	assert_non_null(j);
	buf_clear(&out);
	queue_table(j, columns, &out);
	json_decref(j);
	return end();
}

#define SITE(group, site, state, n, a, b, c, d, e, oldest, reply) \
	"{\"group\":\"" group "\",\"site\":\"" site "\",\"state\":\"" state \
	"\",\"recipients\":" #n ",\"under_5m\":" #a ",\"under_30m\":" #b ",\"under_2h\":" #c \
	",\"under_8h\":" #d ",\"older\":" #e ",\"oldest\":\"" oldest "\",\"last_reply\":\"" reply \
	"\"}"

static const char summary[] =
    "{\"messages\":50334,\"recipients\":50334,\"active\":3,\"accepting\":true,"
    "\"oldest\":\"2026-11-20T10:00:00.000Z\",\"now\":\"2026-11-21T12:00:00.000Z\",\"sites\":[" SITE(
	"*", "relay 127.0.0.1:26", "open", 12, 0, 0, 0, 0, 12, "2026-11-20T10:00:00.000Z",
	"no route") "," SITE("google", "lmtp mx", "limited", 41220, 31249, 8900, 1020, 51, 0,
	"2026-11-21T11:57:49.000Z", "451 4.7.650 rate \\u001b[31m") "," SITE("*", "idle", "open", 0,
	0, 0, 0, 0, 0, "2026-11-21T11:57:49.000Z", "") "," SITE("microsoft",
	"relay a.very.long.name.of.a.host.example:25", "unreachable", 9102, 900, 8202, 0, 0, 0,
	"2026-11-21T11:56:48.000Z", "") "]}";

/* Sites with nothing are left out, the largest stands first, what the peer said is escaped. */
static void table_is_as_written(void **state)
{
	(void)state;
	assert_string_equal(table(summary, 0),
	    "                              T   <5m  5-30m  30m-2h  2h-8h   >8h   "
	    "state         oldest  reason of most\n"
	    "TOTAL                     50.3k 32.1k  17.1k   1,020     51    12   "
	    "               1d02h\n"
	    "google lmtp mx            41.2k 31.2k  8,900   1,020     51     -   "
	    "limited        2m11s  451 4.7.650 rate \\x1b[31m\n"
	    "microsoft relay a.ver...  9,102   900  8,202       -      -     -   "
	    "unreachable    3m12s\n"
	    "relay 127.0.0.1:26           12     -      -       -      -    12   "
	    "open           1d02h  no route\n");
}

/* What is held says by whom: by a limit, or by all the others. */
static void table_says_who_holds(void **state)
{
	static const char form[] = "{\"messages\":4,\"accepting\":true,\"held\":%d,"
				   "\"held_by_limits\":%d,\"now\":\"2026-11-21T12:00:00Z\","
				   "\"sites\":[]}";
	char json[400];

	(void)state;
	snprintf(json, sizeof(json), form, 3, 1);
	assert_non_null(strstr(table(json, 0),
	    "1 recipient is held until a limit has room (godwit limits; "
	    "godwit queue list state:limited)\n2 recipients are held: by an operator, "));
	snprintf(json, sizeof(json), form, 2, 2);
	assert_non_null(strstr(table(json, 0), "2 recipients are held until a limit has room"));
	assert_null(strstr(table(json, 0), "by an operator"));
	snprintf(json, sizeof(json), form, 1, 0);
	assert_null(strstr(table(json, 0), "a limit"));
	assert_non_null(strstr(table(json, 0), "1 recipient is held: by an operator"));
}

/* The same destination, with what keeps it back, as one line of the table behind its age. */
static const char *why(const char *state, const char *members)
{
	static char line[1024];
	char json[2048];
	const char *row;

	snprintf(json, sizeof(json),
	    "{\"messages\":1,\"accepting\":true,\"now\":\"2026-11-21T12:00:00Z\",\"sites\":[{"
	    "\"group\":\"google\",\"site\":\"google from a\",\"state\":\"%s\","
	    "\"recipients\":7,\"oldest\":\"2026-11-21T11:59:00Z\",\"last_reply\":\"250 Ok\"%s}]}",
	    state, members);
	row = strstr(table(json, 0), "google from a ");
	assert_non_null(row);
	row = strstr(row, "1m00s");
	assert_non_null(row);
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(row + 5, "\n"), row + 5);
	return line;
}

static void table_says_why(void **state)
{
	(void)state;
	assert_string_equal(why("open", ""), "  250 Ok");
	assert_string_equal(
	    why("limited", ",\"limit\":\"messages 50/s\",\"limit_place\":\"godwit.conf:47\""),
	    "  our limit: messages 50/s (godwit.conf:47)");
	assert_string_equal(
	    why("limited", ",\"limit\":\"connections 5\""), "  our limit: connections 5");
	assert_string_equal(why("paused", ",\"limit\":\"pause\",\"by\":\"operator\","
					  "\"why\":\"uid=0: they \\u001basked\""),
	    "  by uid=0: they \\x1basked");
	assert_string_equal(
	    why("slowed", ",\"limit\":\"messages 1/m for now\",\"by\":\"rule\","
			  "\"why\":\"451 4.7.650 slow\",\"limit_place\":\"g.conf:52\","
			  "\"limit_until\":\"2026-11-21T12:30:00Z\""),
	    "  messages 1/m for now, rule on 451 4.7.650 slow (g.conf:52), for another 30m00s");
	/* An older server, or one that says nonsense. */
	assert_string_equal(why("limited", ",\"limit\":7"), "  250 Ok");
}

static void rules_and_hosts(void **state)
{
	json_t *j = json_loads("{\"rules\":[{\"kind\":\"slow\",\"group\":\"mx a.example\","
			       "\"rate\":\"10/m\",\"owner\":\"uid=0\",\"reason\":\"x\\u0007\","
			       "\"until\":\"2026-11-21T12:30:00Z\"},{\"kind\":\"pause\","
			       "\"group\":\"all\",\"owner\":\"uid=7\"},3]}",
	    0, NULL);

	(void)state;
	buf_clear(&out);
	queue_rules_table(j, INT64_C(1795262400) * 1000000, 0, &out);
	json_decref(j);
	assert_string_equal(end(),
	    "KIND  GROUP                     RATE       UNTIL IN  OWNER                 REASON\n"
	    "slow  mx a.example              10/m         30m00s  uid=0                 x\\x07\n"
	    "pause all                                   resumed  uid=7               \n"
	    "                                            resumed                      \n");
	j = json_loads("{\"hosts\":[{\"address\":\"192.0.2.1\",\"failures\":3,\"why\":\"refused\","
		       "\"until\":\"2026-11-21T12:01:00Z\"}]}",
	    0, NULL);
	buf_clear(&out);
	queue_hosts_table(j, INT64_C(1795262400) * 1000000, 0, &out);
	json_decref(j);
	assert_non_null(strstr(end(), "192.0.2.1"));
	assert_non_null(strstr(end(), "        3       1m00s  refused\n"));
	j = json_loads("{}", 0, NULL);
	buf_clear(&out);
	queue_rules_table(j, 0, 0, &out);
	queue_hosts_table(j, 0, 0, &out);
	json_decref(j);
	assert_string_equal(end(), "nothing is paused or slowed\nno host is known to be bad\n");
}

static void table_keeps_the_width(void **state)
{
	const char *t = table(summary, 110);

	(void)state;
	for (const char *line = t; *line != '\0'; line = strchr(line, '\n') + 1)
		assert_true(strcspn(line, "\n") <= 112);
}

static void empty_tables(void **state)
{
	(void)state;
	assert_string_equal(
	    table("{\"messages\":0,\"accepting\":true,\"sites\":[]}", 80), "queue is empty\n");
	assert_non_null(
	    strstr(table("{\"messages\":0,\"accepting\":false,\"sites\":[]}", 80), "NOT accepted"));
	/* Not what we expect from the server: no crash. */
	table("{}", 80);
	table("[]", 80);
	table("{\"messages\":\"x\",\"sites\":{\"a\":1},\"now\":7}", 80);
	table("{\"messages\":1,\"sites\":[1,null,\"x\",{\"recipients\":5,\"site\":[]}]}", 80);
}

static void many_sites_are_cut(void **state)
{
	json_t *j = json_loads(summary, 0, NULL), *sites = json_object_get(j, "sites");

	(void)state;
	json_object_set_new(j, "sites_omitted", json_integer(9000));
	for (int i = 0; i < 500; i++)
		json_array_append_new(
		    sites, json_pack("{s:s,s:s,s:i}", "group", "*", "site", "x", "recipients", 1));
	buf_clear(&out);
	queue_table(j, 80, &out);
	json_decref(j);
	assert_non_null(strstr(end(), "... and 9,453 more destinations"));
}

/* ---- messages ----------------------------------------------------------------------------- */

static const char message[] =
    "{\"id\":\"01M8033005H8F5ZB4Q2FCDCEW3\",\"from\":\"\",\"size\":18231,\"class\":\"bulk\","
    "\"account\":\"ann@x.example\","
    "\"accepted\":\"2026-11-21T11:00:00.000Z\",\"recipients\":["
    "{\"to\":\"a@x.example\",\"state\":\"delivered\",\"attempts\":1,\"code\":250,\"reply\":\"Ok\"},"
    "{\"to\":\"b\\u0007@x.example\",\"state\":\"deferred\",\"attempts\":2,"
    "\"due\":\"2026-11-21T12:05:00.000Z\",\"code\":451,\"reply\":\"later\\r\\nFake: line\","
    "\"site\":\"relay h:25\"}]}";

static const int64_t noon = INT64_C(1795262400) * 1000000; /* 2026-11-21T12:00:00Z */

static void rows_of_a_message(void **state)
{
	json_t *j = json_loads(message, 0, NULL);

	(void)state;
	assert_int_equal(terminal_time("2026-11-21T12:00:00Z"), noon);
	assert_int_equal(queue_open_recipients(j), 1);
	buf_clear(&out);
	queue_list_row(j, noon, 0, &out);
	assert_string_equal(end(),
	    "01M8033005H8F5ZB4Q2FCDCEW3   1h00m   18 kB  bulk    ann@x.example     <>          "
	    "              a@x.example               delivered     1       -  250 Ok\n"
	    "                                                                                  "
	    "              "
	    "b\\x07@x.example           deferred      2   5m00s  "
	    "451 later\\x0d\\x0aFake: line\n");
	buf_clear(&out);
	queue_message(j, noon, &out);
	assert_string_equal(end(),
	    "01M8033005H8F5ZB4Q2FCDCEW3  18 kB  accepted 1h00m ago  1 of 2 recipients open\n"
	    "  from  <>  class bulk  account ann@x.example\n"
	    "  to    a@x.example  delivered, 1 try\n        said  250 Ok\n"
	    "  to    b\\x07@x.example  deferred, 2 tries, next in 5m00s, to relay h:25\n"
	    "        said  451 later\\x0d\\x0aFake: line\n");
	json_decref(j);
}

/* ---- ids ---------------------------------------------------------------------------------- */

static void prefixes(void **state)
{
	char prefix[MSGID_TEXT + 1], first[MSGID_TEXT + 1];

	(void)state;
	assert_int_equal(queue_prefix("01m8o33oo5", prefix, first), 0);
	assert_string_equal(prefix, "01M8033005");
	assert_string_equal(first, "01M8033004ZZZZZZZZZZZZZZZZ");
	assert_true(queue_prefix_matches(prefix, "01M8033005H8F5ZB4Q2FCDCEW3"));
	assert_false(queue_prefix_matches(prefix, "01M8033006H8F5ZB4Q2FCDCEW3"));
	assert_int_equal(queue_prefix("01M8033005H8F5ZB4Q2FCDCEW3", prefix, first), 0);
	assert_string_equal(prefix, "01M8033005H8F5ZB4Q2FCDCEW3");
	assert_string_equal(first, "01M8033005H8F5ZB4Q2FCDCEW2");
	assert_int_equal(queue_prefix("0000000000", prefix, first), 0);
	assert_string_equal(first, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}

static void prefixes_are_refused(void **state)
{
	char prefix[MSGID_TEXT + 1], first[MSGID_TEXT + 1];
	static const char *const bad[] = {"", "01M803300", "all", "01M8033005H8F5ZB4Q2FCDCEW3X",
	    "01M803300*", "01M803300U", "81M8033005", "01M803300/", "01M8033005?q=x", "----------"};

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++)
		assert_int_equal(queue_prefix(bad[i], prefix, first), GW_EFORMAT);
}

/* ---- status ------------------------------------------------------------------------------- */

static const char status[] =
    "{\"version\":\"0.1.0\",\"hostname\":\"mx\\u001b.example\",\"generation\":1,"
    "\"now\":\"2026-11-21T12:00:00.000Z\",\"started\":\"2026-11-18T08:00:00.000Z\","
    "\"listen\":[\"127.0.0.1:25\"],\"processes\":["
    "{\"role\":\"master\",\"index\":0,\"up\":true,\"pid\":7,\"restarts\":0,\"generation\":1,"
    "\"started\":\"2026-11-18T08:00:00.000Z\"},"
    "{\"role\":\"mda\",\"index\":0,\"up\":true,\"pid\":8,\"restarts\":0,\"generation\":9,"
    "\"started\":\"2026-11-18T08:00:00.000Z\"},"
    "{\"role\":\"smtpd\",\"index\":1,\"up\":false,\"pid\":0,\"restarts\":2,"
    "\"started\":\"2026-11-18T08:00:00.000Z\"}],"
    "\"queue\":null,\"spool\":{\"directory\":\"/s\",\"free_bytes\":85134254080,\"segments\":1},"
    "\"counters\":{\"connections\":1,\"messages_received_total\":12345}}";

static void status_tells_what_is_down(void **state)
{
	json_t *j = json_loads(status, 0, NULL);

	(void)state;
	assert_non_null(j);
	buf_clear(&out);
	status_text(j, &out);
	assert_string_equal(end(),
	    "godwit 0.1.0  mx\\x1b.example  up 3d04h  generation 1\n"
	    "  listen    127.0.0.1:25\n"
	    "  in        1 connection, 12.3k messages accepted (0 B), 0 refusals\n"
	    "  out       0 connections, 0 recipients delivered, 0 deferrals, 0 bounced\n"
	    "  queue     does NOT answer: it is being restarted\n"
	    "  spool     /s  85.1 GB free, 1 segment\n"
	    "\n"
	    "  master   0  pid 7        up 3d04h\n"
	    "  mda      0  pid 8        up 3d04h  still generation 9\n"
	    "  smtpd    1  DOWN, is being started again  restarts 2\n");
	assert_false(status_good(j));
	json_decref(j);
	j = json_object();
	buf_clear(&out);
	status_text(j, &out);
	assert_false(status_good(j));
	json_decref(j);
}

static int set_up(void **state)
{
	(void)state;
	buf_init(&out, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_is_as_written),
	    cmocka_unit_test(table_says_who_holds),
	    cmocka_unit_test(table_keeps_the_width),
	    cmocka_unit_test(table_says_why),
	    cmocka_unit_test(rules_and_hosts),
	    cmocka_unit_test(empty_tables),
	    cmocka_unit_test(many_sites_are_cut),
	    cmocka_unit_test(rows_of_a_message),
	    cmocka_unit_test(prefixes),
	    cmocka_unit_test(prefixes_are_refused),
	    cmocka_unit_test(status_tells_what_is_down),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
