/* Groups: who is in them, what they inherit, what is built in and how it yields. */
#include "unit/config/helper.h"

#include "config/parse.h"

#define OURS BASE "domain our.test { deliver maildir /m }\n"

static const struct shape *group(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_shape; i++) {
		if (strcmp(c->shape[i].name, name) == 0)
			return &c->shape[i];
	}
	return NULL;
}

static const char *of(const struct config *c, const char *domain, const char *host)
{
	return config_shape(c, span_str(domain), span_str(host))->name;
}

static void test_members(void **state)
{
	struct config *c = parse_good(
	    OURS "shape wide { mx *.example; domain *.dom.test }\n"
		 "shape one { mx a.example *.b.example }\nshape name { domain by.test }\n");

	(void)state;
	assert_string_equal(of(c, "x.test", "a.example"), "one");
	assert_string_equal(of(c, "x.test", "z.b.example"), "one");
	assert_string_equal(of(c, "x.test", "b.example"), "wide");
	assert_string_equal(of(c, "x.test", "example"), "*");
	assert_string_equal(of(c, "x.test", ""), "*");
	assert_string_equal(of(c, "by.test", "a.example"), "name");
	assert_string_equal(of(c, "x.dom.test", "a.example"), "wide");
	assert_null(config_shape_mx(c, SPAN(".example")));
	assert_null(config_shape_domain(c, SPAN(".dom.test")));
	config_free(&c);
}

static void test_settings(void **state)
{
	struct config *c = parse_good(OURS
	    "shape a { mx a.example; connections 10 total 30; messages 20/s total 3000/m\n"
	    "  idle 0s; tls require; retry bulk 2h; retry 1m 2m; retry high 10s }\n"
	    "shape b { mx b.example; messages off }\n"
	    "shape * { messages 50/s; idle 7s; tls verify; retry 9m; connections 5 total 6 }\n");
	const struct shape *a = group(c, "a"), *b = group(c, "b"), *star = group(c, "*");

	(void)state;
	assert_int_equal(a->connections, 10);
	assert_int_equal(a->connections_total, 30);
	assert_int_equal(a->messages.n, 20);
	assert_int_equal(a->messages.seconds, 1);
	assert_int_equal(a->messages_total.n, 3000);
	assert_int_equal(a->messages_total.seconds, 60);
	assert_int_equal(a->idle, 0);
	assert_int_equal(a->tls.mode, OUT_TLS_REQUIRE);
	assert_int_equal(a->retry[PRIORITY_NORMAL].n, 2);
	assert_int_equal(a->retry[PRIORITY_NORMAL].step[0], 60000000);
	assert_int_equal(a->retry[PRIORITY_BULK].n, 1);
	assert_int_equal(a->retry[PRIORITY_BULK].step[0], INT64_C(7200000000));
	assert_int_equal(a->retry[PRIORITY_HIGH].step[0], 10000000);
	assert_int_equal(b->messages.n, 0);
	assert_int_equal(b->connections, 5);
	assert_int_equal(b->connections_total, 6);
	assert_int_equal(b->idle, 7000000);
	assert_int_equal(b->tls.mode, OUT_TLS_VERIFY);
	assert_int_equal(b->retry[PRIORITY_HIGH].step[0], 540000000);
	assert_int_equal(star->messages.n, 50);
	assert_ptr_equal(star, &c->shape[c->n_shape - 1]);
	config_free(&c);
	c = parse_good(OURS);
	star = group(c, "*");
	assert_int_equal(star->connections, 20);
	assert_int_equal(star->connections_total, 0);
	assert_int_equal(star->messages.n, 0);
	assert_int_equal(star->idle, 5000000);
	assert_int_equal(star->tls.mode, OUT_TLS_UNSAID);
	assert_int_equal(star->n_on_reply, 0);
	config_free(&c);
}

/* ---- what is built in ------------------------------------------------------------------------ */

static void test_builtin(void **state)
{
	struct config *c = parse_good(OURS "include builtin:shaping\n");

	(void)state;
	assert_string_equal(of(c, "x.test", "aspmx.l.google.com"), "google");
	assert_string_equal(of(c, "x.test", "alt1.gmail-smtp-in.l.google.com"), "google");
	assert_string_equal(of(c, "x.test", "outlook-com.olc.protection.outlook.com"), "microsoft");
	assert_string_equal(
	    of(c, "x.test", "example-com.mail.protection.outlook.com"), "microsoft365");
	assert_string_equal(of(c, "x.test", "mx-eu.mail.am0.yahoodns.net"), "yahoo");
	assert_string_equal(of(c, "x.test", "mx01.mail.icloud.com"), "apple");
	assert_string_equal(of(c, "x.test", "mx1.comcast.net"), "comcast");
	assert_string_equal(of(c, "x.test", "mx00.gmx.net"), "gmx");
	assert_string_equal(of(c, "x.test", "mx-ha02.web.de"), "gmx");
	assert_string_equal(of(c, "x.test", "smtp-in.orange.fr"), "orange");
	assert_string_equal(of(c, "x.test", "mx.example"), "*");
	assert_string_equal(group(c, "google")->place.file, "builtin:shaping");
	for (size_t i = 0; i + 1 < c->n_shape; i++)
		assert_true(c->shape[i].n_mx > 0 && c->shape[i].connections <= 20);
	config_free(&c);
}

/* Words that these providers are known to say. */
static void test_builtin_rules(void **state)
{
	static const struct {
		const char *group, *said;
		enum on_reply_kind kind;
	} rows[] = {
	    {"google",
		"421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating "
		"from "
		"your IP address.",
		ON_REPLY_SLOW},
	    {"google",
		"450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
		ON_REPLY_RETRY},
	    {"microsoft",
		"451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to "
		"IP "
		"reputation.",
		ON_REPLY_SLOW},
	    {"microsoft", "421 RP-001 (BAY004-MC1F1) Unfortunately, some messages weren't sent",
		ON_REPLY_SLOW},
	    {"yahoo",
		"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected "
		"volume or user complaints - 4.16.55.1",
		ON_REPLY_PAUSE},
	    {"yahoo", "421 4.7.1 [TS03] All messages from 192.0.2.1 permanently deferred",
		ON_REPLY_PAUSE},
	    {"orange", "421 mwinf5c04 ME Trop de connexions, OFR004_104 [104]", ON_REPLY_SLOW},
	    {"orange", "421 mwinf5c04 OFR_999 [999] Service refuse. Veuillez essayer plus tard.",
		ON_REPLY_SLOW},
	    {"comcast", "421 4.1.0 192.0.2.1 Throttled RL000001", ON_REPLY_SLOW},
	};
	struct config *c = parse_good(OURS "include builtin:shaping\n");

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		const struct on_reply *r =
		    on_reply_find(group(c, rows[i].group), span_str(rows[i].said));

		if (r == NULL || r->kind != rows[i].kind)
			fail_msg("%s: %s", rows[i].said, r ? r->pattern : "nothing");
	}
	for (size_t i = 0; i < c->n_shape; i++) {
		assert_null(on_reply_find(&c->shape[i], SPAN("250 2.0.0 OK 1700000000 abc")));
		assert_null(on_reply_find(&c->shape[i], SPAN("550 5.1.1 No such user")));
	}
	config_free(&c);
}

static void test_builtin_yields(void **state)
{
	struct config *c =
	    parse_good(OURS "shape google { connections 33 }\nshape mine { mx *.yahoodns.net }\n"
			    "shape orange { mx *.orange.fr; on reply x bounce }\n"
			    "shape mine2 { mx *.comcast.net *.t-online.de }\n"
			    "include builtin:shaping\nshape * { per-connection 7; idle 9s }\n");
	const struct shape *google = group(c, "google");

	(void)state;
	assert_int_equal(google->connections, 33);
	assert_int_equal(google->per_connection, 50);
	assert_int_equal(google->idle, 9000000);
	assert_true(google->n_on_reply > 1);
	assert_string_equal(of(c, "x.test", "aspmx.l.google.com"), "google");
	assert_string_equal(google->place.file, "t.conf");
	/* Groups that have lost all their hosts are gone. */
	assert_string_equal(of(c, "x.test", "a.yahoodns.net"), "mine");
	assert_null(group(c, "yahoo"));
	assert_null(group(c, "comcast"));
	assert_int_equal(group(c, "orange")->n_on_reply, 1);
	assert_string_equal(of(c, "x.test", "a.wanadoo.fr"), "*");
	assert_string_equal(of(c, "x.test", "mx1.t-online.de"), "mine2");
	assert_int_equal(group(c, "mine")->per_connection, 7);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_members),
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_builtin),
	    cmocka_unit_test(test_builtin_rules),
	    cmocka_unit_test(test_builtin_yields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
