#include "unit/config/helper.h"

static const char rich[] =
    "hostname mx1.example.com\nadmin root@example.com\nlisten mx 0.0.0.0:25 [::]:25\n"
    "spool \"/var/my spool\"\ncontrol /run/a#b\nrun-as gw\nlog json file \"/l o/g\" { subject on "
    "}\n"
    "trust 127.0.0.0/8 ::1 10.1.0.0/16 ::ffff:192.0.2.0/120\nfaults any.test\n"
    "limits { message-size 65537B; connections 9 per-ip 2; command-timeout 61s }\n"
    "store { segment 2M; reserve 0B; spares 0 }\n"
    "domain example.com { deliver maildir \"/var/mail boxes/%d/%u\" }\n"
    "domain *.example.com { deliver reject \"550 5.1.1 no; such } # user\" }\n"
    "domain l.example { deliver lmtp unix:/run/lmtp; recipients file \"/etc/my recipients\"\n"
    "aliases /etc/aliases; catch-all lost@l.example; subaddress - }\n"
    "domain u.example { deliver maildir /u/%u; recipients users; subaddress off }\n"
    "listen submission 127.0.0.1:587 127.0.0.1:465 { name mua; auth plaintext; banner \"a b\"\n"
    "greet-delay 2s; from 127.0.0.0/8 }\n"
    "listen relay 127.0.0.1:2525 { tls require; auth off }\n"
    "tls file /a/crt \"/a/k ey\"\ntls file /b.crt /b.key\nusers file /etc/users\n"
    "domain m.example { deliver relay [2001:db8::1]:25 }\n"
    "route to domain *.p.example via relay smtp.p.example:587\n"
    "route to domain q.example via reject \"450 4.3.0 later\"\n"
    "# the other routes are below\n"
    "shape g { domain gmail.com *.gmail.com; connections 1; retry 1s 90s }\n"
    "shape * { expire 3d; per-connection 5 }\n"
    "include builtin:shaping\n"
    "vmta corp { address 192.0.2.10 2001:db8::10; helo out.example.com; prefer v4 }\n"
    "vmta four { address 192.0.2.11 }\nvmta default { family v6 }\n"
    "vmta both { address 2001:db8::11; family both }\n"
    "resolver { forward 192.0.2.53 [2001:db8::53]:5353 [2001:db8::54]; stub in.example 10.0.0.53\n"
    "  trust-anchor \"/etc/root key\"; root-hints /etc/hints; timeout 9s }\n"
    "authorities \"/etc/c a.pem\"\nhistory { directory /h; keep 9d; size 1T }\n"
    "listen submission 127.0.0.1:588 { name low; auth plaintext; priority bulk }\n"
    "domain n.example { deliver mx port 26 vmta corp tls verify }\n"
    "route to address Bob@R.example from account \"a b\" larger-than 3M via vmta four\n"
    "route from domain *.s.example to domain t.example via relay a.example b.example:26 [::1]"
    " vmta corp auth \"file:/etc/a b\" tls fingerprint"
    " 00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:"
    "FF"
    " 00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0\n"
    "shape s { mx *.u.example; domain u.example; connections 3 total 9; messages 5/10s total "
    "9/90m\n"
    "  idle 0s; tls require; retry 1m 2m; retry high 1s; retry bulk 1d\n"
    "  on reply \"# {x}; \\d{3}$\" slow 7/d for 3d; on reply y bounce; on reply z retry 5m }\n"
    "shape google { connections 33 }\nshape mine { mx *.yahoodns.net *.example.net }\n"
    "route to any via maildir /all\n";

static void show(const struct config *c, bool origin, bool json, struct buf *out)
{
	buf_init(out, 8 << 20);
	config_show(c, origin, json, out);
	assert_false(buf_failed(out));
}

static struct config *again(struct buf *text)
{
	buf_add_byte(text, 0);
	return parse_good((const char *)buf_view(text).p);
}

static void check_round_trip(const char *text, bool origin)
{
	struct config *c = parse_good(text), *d;
	struct buf first, second, json, json_again;

	show(c, origin, false, &first);
	d = again(&first);
	buf_cut(&first, buf_len(&first) - 1);
	show(d, false, false, &second);
	if (!origin)
		assert_true(span_eq(buf_view(&first), buf_view(&second)));
	show(c, false, true, &json);
	show(d, false, true, &json_again);
	assert_true(span_eq(buf_view(&json), buf_view(&json_again)));
	buf_fini(&first);
	buf_fini(&second);
	buf_fini(&json);
	buf_fini(&json_again);
	config_free(&c);
	config_free(&d);
}

static void test_round_trip(void **state)
{
	(void)state;
	check_round_trip(rich, false);
	check_round_trip(rich, true);
	check_round_trip(BASE "domain a.example { deliver maildir /a }\n", false);
	check_round_trip(BASE "domain a.example { deliver mx }\nhistory off\n"
			      "resolver { trust-anchor off }\nshape * { messages 3/s; tls off }\n"
			      "shape a { mx a.example; messages off }\n",
	    true);
	check_round_trip(
	    BASE "trust 0.0.0.0/0 ::/0\nallow-open-relay yes\nroute to any via maildir /a\n", true);
}

static bool holds(const struct buf *b, const char *text)
{
	struct span s = buf_view(b);

	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static void test_origin(void **state)
{
	struct config *c = parse_good(rich);
	struct buf out;

	(void)state;
	show(c, true, false, &out);
	assert_true(
	    holds(&out, "hostname mx1.example.com                                # t.conf:1\n"));
	assert_true(
	    holds(&out, "    connections 9 per-ip 2 per-net 8                    # t.conf:10\n"));
	assert_true(
	    holds(&out, "    recipients 1000                                     # the default\n"));
	assert_true(
	    holds(&out, "    connections 1 total off                             # t.conf:27\n"));
	assert_true(
	    holds(&out, "    expire 3d                                           # t.conf:28\n"));
	buf_fini(&out);
	config_free(&c);
}

static void test_json(void **state)
{
	struct config *c = parse_good(rich);
	struct buf out;

	(void)state;
	show(c, true, true, &out);
	assert_true(holds(&out, "\"generation\":7,"));
	assert_true(holds(&out,
	    "{\"kind\":\"mx\",\"name\":\"mx\",\"at\":\"[::]:25\",\"tls\":\"offer\",\"auth\":"
	    "\"off\","
	    "\"banner\":\"ESMTP\",\"greet-delay\":0,\"future-release\":0,\"priority\":\"normal\","
	    "\"check-domains\":\"off\",\"from\":[],\"origin\":"
	    "\"t.conf:3\"}"));
	assert_true(
	    holds(&out, "{\"kind\":\"submission\",\"name\":\"mua\",\"at\":\"127.0.0.1:"
			"465\",\"tls\":\"implicit\","
			"\"auth\":\"plaintext\",\"banner\":\"a "
			"b\",\"greet-delay\":2,\"future-release\":604800,\"priority\":\"normal\","
			"\"check-domains\":\"recipients\",\"from\":[\"127.0.0.0/8\"],"));
	assert_true(holds(&out,
	    "\"tls\":[{\"certificate\":\"/a/crt\",\"key\":\"/a/k ey\",\"origin\":\"t.conf:20\"},"));
	assert_true(holds(
	    &out, "\"users\":{\"file\":\"/etc/users\",\"any\":false,\"origin\":\"t.conf:22\"}"));
	assert_true(holds(&out,
	    "\"recipients\":\"file\",\"recipients-file\":\"/etc/my recipients\","
	    "\"aliases\":\"/etc/aliases\",\"catch-all\":\"lost@l.example\",\"subaddress\":\"-\""));
	assert_true(holds(&out, "\"recipients\":\"users\",\"subaddress\":\"off\""));
	assert_true(holds(&out, "\"message-size\":65537,"));
	assert_true(holds(&out, "\"command-timeout\":61,"));
	assert_true(holds(&out, "\"retry\":[1,90],"));
	assert_true(holds(&out, "\"limits.connections.per-ip\":\"t.conf:10\""));
	assert_true(holds(&out, "\"deliver\":{\"lmtp\":\"unix:/run/lmtp\"}"));
	assert_true(holds(&out,
	    "{\"address\":\"bob@r.example\",\"from-account\":\"a b\",\"larger-than\":3145728,"
	    "\"via\":{\"mx\":true,\"port\":25,\"private\":false,\"vmta\":\"four\"}"));
	assert_true(holds(&out,
	    "\"via\":{\"relay\":[\"a.example:25\",\"b.example:26\",\"[::1]:25\"],\"vmta\":\"corp\","
	    "\"tls\":\"fingerprint\",\"fingerprints\":["
	    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\","
	    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeef0\"],"
	    "\"auth\":\"file:/etc/a b\"}"));
	assert_true(holds(&out, "{\"name\":\"corp\",\"v4\":\"192.0.2.10\",\"v6\":\"2001:db8::10\","
				"\"helo\":\"out.example.com\",\"family\":\"v4-first\","));
	assert_true(holds(&out, "{\"name\":\"four\",\"v4\":\"192.0.2.11\",\"helo\":"
				"\"mx1.example.com\",\"family\":\"v4\","));
	assert_true(holds(&out, "{\"domain\":\"in.example\",\"stub\":\"10.0.0.53:53\","));
	assert_true(holds(&out, "{\"reply\":\"# {x}; \\u005cd{3}$\",\"action\":\"slow\","
				"\"rate\":\"7/d\",\"for\":259200,"));
	assert_true(holds(&out, "\"connections\":3,\"connections-total\":9,\"messages\":\"5/10s\","
				"\"messages-total\":\"9/90m\""));
	assert_true(holds(&out, "\"mx\":\"builtin:shaping:15\",\"connections\":\"t.conf:"));
	assert_true(holds(&out, "\"to\":\"any\",\"via\":{\"maildir\":\"/all\"}"));
	buf_fini(&out);
	config_free(&c);
}

/* Every prefix of a bundle is refused or parsed, never believed. */
static void test_cut_bundles(void **state)
{
	struct buf bundle;
	size_t n;

	(void)state;
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	assert_int_equal(config_bundle_text("t.conf", SPAN("hostname a.example\n"), &bundle), 0);
	n = buf_len(&bundle);
	for (size_t i = 0; i < n; i++) {
		/* A copy of its own, so that a sanitizer sees the first octet read too far. */
		uint8_t *copy = gw_calloc(1, i);
		struct config_diags d;
		struct config *c;

		memcpy(copy, buf_view(&bundle).p, i);
		config_diags_init(&d);
		c = config_parse(span_of(copy, i), 1, &d);
		assert_null(c);
		assert_true(d.errors > 0);
		config_diags_fini(&d);
		free(copy);
	}
	buf_fini(&bundle);
}

/* A file may be called anything; the place in the shown text stays a comment. */
static void test_file_names_are_tame(void **state)
{
	struct config_diags d;
	struct config *c;
	struct buf bundle, out;

	(void)state;
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	assert_int_equal(config_bundle_text("a\nadmin evil@example.com\x1b[2J\xff",
			     SPAN(BASE "domain a.example { deliver maildir /a }\n"), &bundle),
	    0);
	config_diags_init(&d);
	c = parse_bundle(&bundle, &d);
	assert_non_null(c);
	show(c, true, false, &out);
	assert_false(holds(&out, "\nadmin evil"));
	config_free(&c);
	c = again(&out);
	assert_string_equal(c->admin, "postmaster@mx1.example.com");
	config_free(&c);
	buf_fini(&out);
	config_diags_fini(&d);
}

/* What a peer or a file writes cannot steer the terminal that shows the error. */
static void test_messages_are_tame(void **state)
{
	struct config_diags d;
	struct buf out;

	(void)state;
	config_diags_init(&d);
	buf_init(&out, 1 << 20);
	assert_null(parse_text("host\x1b[2Jname \xff\xfe \xc2\x9b"
			       "31m \"x\x1b]0;evil\x07\"\nfoo\x1b[1m\n",
	    &d));
	config_diags_format(&d, &out);
	for (size_t i = 0; i < buf_len(&out); i++) {
		uint8_t c = buf_view(&out).p[i];

		assert_true(c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f));
	}
	buf_fini(&out);
	config_diags_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_origin),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_cut_bundles),
	    cmocka_unit_test(test_file_names_are_tame),
	    cmocka_unit_test(test_messages_are_tame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
