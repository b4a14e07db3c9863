#include "unit/config/helper.h"

#include "config/parse.h"

#define SECOND INT64_C(1000000)

static void test_defaults(void **state)
{
	struct config *c = parse_good(BASE "domain example.com { deliver maildir /var/mail/%u }\n");

	(void)state;
	assert_int_equal(c->generation, 7);
	assert_string_equal(c->hostname, "mx1.example.com");
	assert_string_equal(c->admin, "postmaster@mx1.example.com");
	assert_string_equal(c->spool, "/var/spool/godwit");
	assert_string_equal(c->control, "/run/godwit/control");
	assert_string_equal(c->run_as, "godwit");
	assert_null(c->log_path);
	assert_false(c->log_json || c->log_subject || c->allow_open_relay);
	assert_null(c->faults);
	assert_int_equal(c->limits.message_size, 35 << 20);
	assert_int_equal(c->limits.recipients, 1000);
	assert_int_equal(c->limits.connections, 1000);
	assert_int_equal(c->limits.per_ip, 50);
	assert_int_equal(c->limits.transactions, 1000);
	assert_int_equal(c->limits.bad_commands, 20);
	assert_int_equal(c->limits.command_timeout, 300 * SECOND);
	assert_int_equal(c->limits.data_timeout, 600 * SECOND);
	assert_int_equal(c->limits.header_size, 256 << 10);
	assert_int_equal(c->limits.hops, 100);
	assert_int_equal(c->limits.mime_depth, 100);
	assert_int_equal(c->limits.mime_parts, 10000);
	assert_int_equal(c->store.segment, 64 << 20);
	assert_int_equal(c->store.reserve, 256 << 20);
	assert_int_equal(c->store.spares, 2);
	assert_int_equal(c->n_trust + c->n_route, 0);
	assert_int_equal(c->n_shape, 1);
	assert_string_equal(c->shape[0].name, "*");
	assert_int_equal(c->shape[0].connections, 20);
	assert_int_equal(c->shape[0].per_connection, 100);
	assert_int_equal(c->shape[0].retry[0].n, 4);
	assert_int_equal(c->shape[0].retry[0].step[0], 300 * SECOND);
	assert_int_equal(c->shape[0].retry[0].step[3], 14400 * SECOND);
	assert_int_equal(c->shape[0].expire, 4 * 86400 * SECOND);
	config_free(&c);
	assert_null(c);
}

static void test_values(void **state)
{
	struct config *c =
	    parse_good("hostname MX1.Example.COM\nadmin Root@Example.com\n"
		       "listen mx 192.0.2.1:25 [2001:DB8:0::1]:2525\nlisten mx 127.0.0.1:26\n"
		       "spool \"/var/my spool\"\ncontrol /run/c\nrun-as gw_1\n"
		       "log json file /var/log/godwit.log { subject on }\n"
		       "trust 127.0.0.1 10.1.0.0/16 ::1\nfaults any.test\n"
		       "limits { message-size 64K; recipients 100; connections 5 per-ip 3\n"
		       "transactions 7; bad-commands 8; command-timeout 90s; data-timeout 2h\n"
		       "header-size 1M; hops 25; mime-depth 10; mime-parts 100 }\n"
		       "store { segment 1M; reserve 0B; spares 0 }\n"
		       "domain Example.COM { deliver lmtp unix:/run/lmtp }\n"
		       "domain *.example.com { deliver reject \"450 4.2.1 later\" }\n"
		       "route to domain Partner.example via relay Smtp.Partner.example:587\n"
		       "route to any via lmtp [::1]:24\n");

	(void)state;
	assert_string_equal(c->hostname, "mx1.example.com");
	assert_string_equal(c->admin, "Root@Example.com");
	assert_int_equal(c->n_listen, 3);
	assert_string_equal(c->listen[1].at.host, "2001:db8::1");
	assert_int_equal(c->listen[1].at.port, 2525);
	assert_int_equal(c->listen[2].place.line, 4);
	assert_int_equal(c->listen[2].place.column, 11);
	assert_string_equal(c->listen[2].place.file, "t.conf");
	assert_string_equal(c->listen[0].name, "mx");
	assert_string_equal(c->spool, "/var/my spool");
	assert_true(c->log_json && c->log_subject);
	assert_string_equal(c->log_path, "/var/log/godwit.log");
	assert_int_equal(c->n_trust, 3);
	assert_int_equal(c->trust[0].bits, 32);
	assert_int_equal(c->limits.message_size, 65536);
	assert_int_equal(c->limits.per_ip, 3);
	assert_int_equal(c->limits.command_timeout, 90 * SECOND);
	assert_int_equal(c->limits.data_timeout, 7200 * SECOND);
	assert_int_equal(c->limits.header_size, 1 << 20);
	assert_int_equal(c->limits.hops, 25);
	assert_int_equal(c->limits.mime_depth, 10);
	assert_int_equal(c->limits.mime_parts, 100);
	assert_int_equal(c->store.reserve, 0);
	assert_string_equal(c->domain[0].name, "example.com");
	assert_int_equal(c->domain[0].deliver.kind, TARGET_LMTP);
	assert_string_equal(c->domain[0].deliver.host[0].unix_path, "/run/lmtp");
	assert_null(c->domain[0].deliver.host[0].host);
	assert_string_equal(c->domain[1].deliver.reply, "450 4.2.1 later");
	assert_string_equal(c->route[0].domain, "partner.example");
	assert_string_equal(c->route[0].target.host[0].host, "smtp.partner.example");
	assert_int_equal(c->route[0].target.host[0].port, 587);
	assert_null(c->route[1].domain);
	assert_string_equal(c->route[1].target.host[0].host, "::1");
	config_free(&c);
}

/* ux.md 2.2: what ends a statement, what starts a comment, what a word may have. */
static void test_grammar(void **state)
{
	struct config *c = parse_good(
	    "# only a comment\n;;\n\t\r\n"
	    "hostname mx1.example.com; listen mx 127.0.0.1:25 # x } { \" ;\n"
	    "limits{recipients 200}admin a@b.example\n"
	    "spool /var/a#b#c\n"
	    "control \"/run/a;b{c}#d\"\n"
	    "domain a.example { deliver maildir /a/%u } domain b.example{deliver maildir /b/%u}");

	(void)state;
	assert_string_equal(c->admin, "a@b.example");
	assert_int_equal(c->limits.recipients, 200);
	assert_string_equal(c->spool, "/var/a#b#c");
	assert_string_equal(c->control, "/run/a;b{c}#d");
	assert_int_equal(c->n_domain, 2);
	config_free(&c);
}

static void test_no_escapes_in_strings(void **state)
{
	struct config *c =
	    parse_good(BASE "domain a.example { deliver reject \"550 5.1.1 a\\b\\n $5 %u\" }\n");

	(void)state;
	assert_string_equal(c->domain[0].deliver.reply, "550 5.1.1 a\\b\\n $5 %u");
	config_free(&c);
}

/* A group takes from "shape *" what it leaves out, wherever that one stands. */
static void test_shapes_inherit(void **state)
{
	struct config *c =
	    parse_good(BASE "domain example.com { deliver maildir /x }\n"
			    "shape google { domain Gmail.com *.gmail.com; connections 3 }\n"
			    "shape * { connections 7; retry 1m 2m; expire 1d }\n"
			    "shape slow { domain slow.example; retry 1h; per-connection 1 }\n");

	(void)state;
	assert_int_equal(c->n_shape, 3);
	assert_string_equal(c->shape[0].name, "google");
	assert_string_equal(c->shape[0].domain[0], "gmail.com");
	assert_int_equal(c->shape[0].n_domain, 2);
	assert_int_equal(c->shape[0].connections, 3);
	assert_int_equal(c->shape[0].retry[0].n, 2);
	assert_int_equal(c->shape[0].expire, 86400 * SECOND);
	assert_string_equal(c->shape[1].name, "slow");
	assert_int_equal(c->shape[1].retry[0].n, 1);
	assert_int_equal(c->shape[1].connections, 7);
	assert_int_equal(c->shape[1].place.line, 6);
	assert_string_equal(c->shape[2].name, "*");
	assert_int_equal(c->shape[2].n_domain, 0);
	assert_int_equal(c->shape[2].connections, 7);
	config_free(&c);
}

static struct config *parse_with(
    const char *name, const char *value, const char *text, struct config_diags *d)
{
	struct bundle b;
	struct buf out;

	bundle_init(&b);
	buf_init(&out, CONFIG_BUNDLE_MAX);
	bundle_add_source(&b, "v.conf", span_str(text));
	bundle_add_variable(&b, name, value);
	bundle_encode(&b, &out);
	bundle_fini(&b);
	return parse_bundle(&out, d);
}

static void test_variables(void **state)
{
	struct config_diags d;
	struct config *c;

	(void)state;
	config_diags_init(&d);
	c = parse_with("X", "a b",
	    BASE "spool /s/${X}/${Y:-y}/$X/${X:-z}\ncontrol \"/c ${Y:-y y}\"\n"
		 "log file /l/${Y:-}x\ndomain a.example { deliver maildir /x }\n",
	    &d);
	assert_non_null(c);
	assert_string_equal(c->spool, "/s/a b/y/$X/a b");
	assert_string_equal(c->control, "/c y y");
	assert_string_equal(c->log_path, "/l/x");
	config_free(&c);
	c = parse_with("X", "",
	    BASE "spool /s/${X:-default}${X}\n"
		 "domain a.example { deliver maildir /x }\n",
	    &d);
	assert_non_null(c);
	assert_string_equal(c->spool, "/s/default");
	config_free(&c);
	config_diags_fini(&d);
}

/* A value is one word, whatever it holds: it cannot open the relay. */
static void test_a_value_injects_nothing(void **state)
{
	static const char *const evil[] = {"x\ntrust 0.0.0.0/0", "x; trust 0.0.0.0/0",
	    "/x\"; trust 0.0.0.0/0; spool \"/y", "${X}", "/x } trust ::/0 {", "/x # y", "\x7f",
	    "\xff"};
	struct config_diags d;
	struct config *c;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(evil); i++) {
		config_diags_init(&d);
		c = parse_with("X", evil[i],
		    BASE
		    "spool /s${X}\nallow-open-relay yes\ndomain a.example { deliver maildir /x }\n",
		    &d);
		if (c != NULL) {
			assert_int_equal(c->n_trust, 0);
			assert_memory_equal(c->spool, "/s", 2);
			assert_string_equal(c->spool + 2, evil[i]);
		}
		config_free(&c);
		config_diags_fini(&d);
	}
}

/* Values may be repeated often; memory stays bounded and there is an answer. */
static void test_amplification_is_bounded(void **state)
{
	static char value[4001];
	struct config_diags d;
	struct config *c;
	struct buf text;

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	buf_init(&text, 4 << 20);
	buf_add_str(&text, BASE);
	for (size_t i = 0; i < 100000; i++)
		buf_add_str(&text, "trust ${X}\n");
	buf_add_byte(&text, 0);
	config_diags_init(&d);
	c = parse_with("X", value, (const char *)buf_view(&text).p, &d);
	assert_null(c);
	assert_true(d.errors > 0);
	config_diags_fini(&d);
	buf_fini(&text);
}

static void test_deep_nesting_ends(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, 4 << 20);
	for (size_t i = 0; i < 200000; i++)
		buf_add_str(&text, "a{");
	buf_add_byte(&text, 0);
	assert_int_equal(refused_with((const char *)buf_view(&text).p), 105);
	buf_fini(&text);
}

static void test_at_most_twenty(void **state)
{
	struct config_diags d;
	struct buf text;

	(void)state;
	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < 1000; i++)
		buf_add_str(&text, "wrong\n");
	buf_add_byte(&text, 0);
	config_diags_init(&d);
	assert_null(parse_text((const char *)buf_view(&text).p, &d));
	assert_int_equal(d.n, CONFIG_DIAG_MAX);
	assert_true(d.errors >= 1000);
	config_diags_fini(&d);
	buf_fini(&text);
}

/* The fixed rule of ux.md 2.3: the relay opens only when the words stand there. */
static void test_open_relay(void **state)
{
	static const char *const open[] = {"0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1",
	    "0.0.0.0/1 128.0.0.0/1", "2000::/3", "::ffff:0.0.0.0/96", "::ffff:128.0.0.0/97",
	    "64.0.0.0/2 128.0.0.0/2", "2000::/5 2800::/5 3000::/5 3800::/5"};
	static const char *const closed[] = {"10.0.0.0/8", "0.0.0.0/2",
	    "0.0.0.0/2 0.0.0.0/3 32.0.0.0/3", "2001:db8::/32", "fc00::/7"};
	char text[512];

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(open); i++) {
		snprintf(text, sizeof(text), BASE "route to any via relay 192.0.2.1:25\ntrust %s\n",
		    open[i]);
		assert_int_equal(refused_with(text), 205);
	}
	for (size_t i = 0; i < GW_ARRAY_LEN(closed); i++) {
		struct config_diags d;
		struct config *c;

		snprintf(text, sizeof(text), BASE "route to any via relay 192.0.2.1:25\ntrust %s\n",
		    closed[i]);
		config_diags_init(&d);
		c = parse_text(text, &d);
		assert_non_null(c);
		config_free(&c);
		config_diags_fini(&d);
	}
}

static void test_include_in_a_text(void **state)
{
	(void)state;
	assert_int_equal(refused_with("include /etc/passwd\n" BASE), 123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_grammar),
	    cmocka_unit_test(test_no_escapes_in_strings),
	    cmocka_unit_test(test_shapes_inherit),
	    cmocka_unit_test(test_variables),
	    cmocka_unit_test(test_a_value_injects_nothing),
	    cmocka_unit_test(test_amplification_is_bounded),
	    cmocka_unit_test(test_deep_nesting_ends),
	    cmocka_unit_test(test_at_most_twenty),
	    cmocka_unit_test(test_open_relay),
	    cmocka_unit_test(test_include_in_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
