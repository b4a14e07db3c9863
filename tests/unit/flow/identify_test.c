/* Which account is a host that did not log in? Every row is what a customer does, or who would like
 * to be one. */
#include "unit/config/helper.h"

#include "flow/accept.h"
#include "flow/identify.h"

#include <arpa/inet.h>

static const char text[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\nusers file /etc/godwit/users\n"
    "domain our.test { deliver maildir /var/mail/%u }\nroute to any via mx\n"
    "identify both { ip 192.0.2.0/24; helo-domain own.test two.test; account both }\n"
    "identify name { helo-domain name.test; account name }\n"
    "identify addr { ip 198.51.100.1 2001:db8::1; account addr }\n"
    "identify late { ip 192.0.2.9 203.0.113.1; helo-domain name.test; account late }\n";

static struct config *config;

static struct sockaddr_storage address(const char *ip)
{
	struct sockaddr_storage sa = {.ss_family = strchr(ip, ':') ? AF_INET6 : AF_INET};

	if (sa.ss_family == AF_INET6)
		inet_pton(AF_INET6, ip, &((struct sockaddr_in6 *)&sa)->sin6_addr);
	else
		inet_pton(AF_INET, ip, &((struct sockaddr_in *)&sa)->sin_addr);
	return sa;
}

struct row {
	const char *ip, *helo;
	enum identify_dns dns;
	const char *who; /* NULL: nobody */
	enum identify_doubt doubt;
};

static const struct row rows[] = {
    {"192.0.2.1", "own.test", IDENTIFY_UNASKED, "both", IDENTIFY_NO_DOUBT},
    {"192.0.2.1", "OWN.TEST", IDENTIFY_UNASKED, "both", IDENTIFY_NO_DOUBT},
    {"192.0.2.1", "a.two.test", IDENTIFY_UNASKED, "both", IDENTIFY_NO_DOUBT},
    {"::ffff:192.0.2.1", "own.test", IDENTIFY_UNASKED, "both", IDENTIFY_NO_DOUBT},
    {"192.0.2.1", "stranger.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "xown.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "own.test.evil.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", ".own.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "a..own.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "x\\.own.test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "own.test.", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "test", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.2.1", "[192.0.2.1]", IDENTIFY_UNASKED, NULL, IDENTIFY_OTHER_NAME},
    /* The range is a condition, too: no name and no DNS stands for it. */
    {"192.0.3.1", "own.test", IDENTIFY_UNASKED, NULL, IDENTIFY_NO_DOUBT},
    {"192.0.3.1", "own.test", IDENTIFY_LEADS, NULL, IDENTIFY_NO_DOUBT},
    {"192.0.2.1", "stranger.test", IDENTIFY_LEADS, NULL, IDENTIFY_OTHER_NAME},
    {"192.0.3.1", "name.test", IDENTIFY_LEADS, "name", IDENTIFY_NO_DOUBT},
    {"192.0.3.1", "x.name.test", IDENTIFY_LEADS, "name", IDENTIFY_NO_DOUBT},
    {"192.0.3.1", "name.test", IDENTIFY_ELSEWHERE, NULL, IDENTIFY_OTHER_ADDRESS},
    {"192.0.3.1", "name.test", IDENTIFY_TROUBLE, NULL, IDENTIFY_NOT_NOW},
    {"192.0.3.1", "name.test", IDENTIFY_UNASKED, NULL, IDENTIFY_NOT_NOW},
    {"192.0.3.1", "xname.test", IDENTIFY_LEADS, NULL, IDENTIFY_NO_DOUBT},
    {"198.51.100.1", "whatever", IDENTIFY_UNASKED, "addr", IDENTIFY_NO_DOUBT},
    {"198.51.100.2", "whatever", IDENTIFY_UNASKED, NULL, IDENTIFY_NO_DOUBT},
    {"2001:db8::1", "", IDENTIFY_UNASKED, "addr", IDENTIFY_NO_DOUBT},
    {"2001:db8::2", "", IDENTIFY_UNASKED, NULL, IDENTIFY_NO_DOUBT},
    /* In their order; what DNS denies one may be another. */
    {"203.0.113.1", "name.test", IDENTIFY_LEADS, "name", IDENTIFY_NO_DOUBT},
    {"203.0.113.1", "name.test", IDENTIFY_ELSEWHERE, "late", IDENTIFY_NO_DOUBT},
    {"203.0.113.1", "name.test", IDENTIFY_TROUBLE, "late", IDENTIFY_NO_DOUBT},
    {"192.0.2.9", "own.test", IDENTIFY_UNASKED, "both", IDENTIFY_NO_DOUBT},
    {NULL, "own.test", IDENTIFY_LEADS, NULL, IDENTIFY_NO_DOUBT},
    {NULL, "name.test", IDENTIFY_LEADS, NULL, IDENTIFY_NO_DOUBT},
};

static void who_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct sockaddr_storage sa = address(r->ip ? r->ip : "192.0.2.1");
		struct identify_ask a = {.addr = r->ip ? (const struct sockaddr *)&sa : NULL,
		    .helo = span_str(r->helo),
		    .dns = r->dns};
		const struct identify *who = identify_find(config, &a);
		const char *name = "";

		if ((who == NULL) != (r->who == NULL) || (who && strcmp(who->name, r->who) != 0))
			fail_msg("%s %s: %s", r->ip, r->helo, who ? who->name : "nobody");
		if (who == NULL && identify_doubt(config, &a, &name) != r->doubt)
			fail_msg("%s %s: another doubt", r->ip, r->helo);
	}
}

static bool asks(const char *ip, const char *helo, enum identify_dns dns, enum dns_type want)
{
	struct sockaddr_storage sa = address(ip);
	struct identify_ask a = {
	    .addr = (const struct sockaddr *)&sa, .helo = span_str(helo), .dns = dns};
	enum dns_type type = 0;

	if (!identify_asks_dns(config, &a, &type))
		return false;
	assert_int_equal(type, want);
	return true;
}

/* Strangers make no questions. */
static void when_dns_is_asked(void **state)
{
	(void)state;
	assert_true(asks("192.0.3.1", "name.test", IDENTIFY_UNASKED, DNS_A));
	assert_true(asks("::ffff:192.0.3.1", "x.name.test", IDENTIFY_UNASKED, DNS_A));
	assert_true(asks("2001:db8::7", "name.test", IDENTIFY_UNASKED, DNS_AAAA));
	assert_true(asks("203.0.113.1", "name.test", IDENTIFY_UNASKED, DNS_A));
	assert_false(asks("192.0.3.1", "name.test", IDENTIFY_TROUBLE, DNS_A));
	assert_false(asks("192.0.3.1", "stranger.test", IDENTIFY_UNASKED, DNS_A));
	assert_false(asks("192.0.2.1", "own.test", IDENTIFY_UNASKED, DNS_A));
	assert_false(asks("192.0.2.1", "stranger.test", IDENTIFY_UNASKED, DNS_A));
}

static enum identify_dns judge(
    enum dns_status status, const struct dns_record *record, size_t n, const char *ip)
{
	struct sockaddr_storage sa = address(ip);
	struct dns_answer a = {.status = status, .record = record, .n_record = n};

	return identify_judge(&a, (const struct sockaddr *)&sa);
}

static void what_dns_says(void **state)
{
	struct dns_record four[2] = {{0}}, six[1] = {{0}};

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &four[0].address.a);
	inet_pton(AF_INET, "192.0.2.2", &four[1].address.a);
	inet_pton(AF_INET6, "2001:db8::1", &six[0].address.aaaa);
	assert_int_equal(judge(DNS_FOUND, four, 2, "192.0.2.2"), IDENTIFY_LEADS);
	assert_int_equal(judge(DNS_FOUND, four, 1, "192.0.2.2"), IDENTIFY_ELSEWHERE);
	assert_int_equal(judge(DNS_FOUND, four, 1, "::ffff:192.0.2.1"), IDENTIFY_LEADS);
	assert_int_equal(judge(DNS_FOUND, six, 1, "2001:db8::1"), IDENTIFY_LEADS);
	assert_int_equal(judge(DNS_FOUND, six, 1, "2001:db8::2"), IDENTIFY_ELSEWHERE);
	assert_int_equal(judge(DNS_NXDOMAIN, four, 2, "192.0.2.2"), IDENTIFY_ELSEWHERE);
	assert_int_equal(judge(DNS_NODATA, NULL, 0, "192.0.2.2"), IDENTIFY_ELSEWHERE);
	assert_int_equal(judge(DNS_TROUBLE, four, 2, "192.0.2.2"), IDENTIFY_TROUBLE);
}

/* ---- what it is worth -------------------------------------------------------------------------
 */

static void check_rcpt(const struct accept_client *client, unsigned code, const char *reason)
{
	struct address to;
	struct verdict v;

	assert_int_equal(address_parse(SPAN("far@else.test"), &to), 0);
	accept_rcpt(config, client, &to, &v);
	assert_int_equal(v.reply.code, code);
	assert_string_equal(v.reason, reason);
}

static void check_mail(const struct accept_client *client, unsigned code, const char *reason)
{
	struct address from;
	struct verdict v;

	assert_int_equal(address_parse(SPAN("both@our.test"), &from), 0);
	accept_mail(config, client, &from, &v);
	assert_int_equal(v.reply.code, code);
	assert_string_equal(v.reason, reason);
}

static void rights(void **state)
{
	static const struct listen mx = {.kind = LISTEN_MX},
				   submission = {.kind = LISTEN_SUBMISSION},
				   lmtp = {.kind = LISTEN_LMTP};
	struct account account = {.name = SPAN("both")};
	struct sockaddr_storage sa = address("192.0.2.1");
	struct accept_client c = {.listen = &mx,
	    .login = SPAN("both"),
	    .identified = &config->identify[0],
	    .account = &account,
	    .ask = {.addr = (const struct sockaddr *)&sa, .helo = SPAN("own.test")}};

	(void)state;
	check_mail(&c, 250, "identified");
	check_rcpt(&c, 250, "identified");
	account.state = ACCOUNT_SUSPENDED;
	check_mail(&c, 550, "account_suspended");
	account.state = ACCOUNT_CLOSED;
	check_mail(&c, 550, "account_closed");
	c.account = NULL;
	check_mail(&c, 550, "account_gone");
	c.accounts_away = true;
	check_mail(&c, 451, "no_accounts");
	c = (struct accept_client){.listen = &submission, .ask = c.ask};
	check_mail(&c, 530, "auth_required");
	c.ask.helo = SPAN("stranger.test");
	check_mail(&c, 550, "other_name");
	check_rcpt(&c, 550, "other_name");
	c.listen = &mx;
	check_mail(&c, 250, "open");
	c.ask.helo = SPAN("name.test");
	c.ask.dns = IDENTIFY_ELSEWHERE;
	check_rcpt(&c, 550, "other_address");
	c.ask.dns = IDENTIFY_TROUBLE;
	check_rcpt(&c, 451, "no_dns");
	c = (struct accept_client){.listen = &lmtp};
	check_mail(&c, 250, "open");
	check_rcpt(&c, 550, "relay_denied");
}

static int set_up(void **state)
{
	struct config_diags d;

	(void)state;
	config_diags_init(&d);
	config = parse_text(text, &d);
	assert_non_null(config);
	config_diags_fini(&d);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	config_free(&config);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_it_is),
	    cmocka_unit_test(when_dns_is_asked), cmocka_unit_test(what_dns_says),
	    cmocka_unit_test(rights)};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
