/* Who may send, and as whom: what a thief of a password, or a customer, tries. */
#include "unit/config/helper.h"

#include "flow/accept.h"

static const char text[] = "hostname mx.test\nlisten mx 127.0.0.1:25\n"
			   "listen submission 127.0.0.1:587\nlisten relay 127.0.0.1:2525\n"
			   "trust 10.1.0.0/16\nusers file /etc/godwit/users\n"
			   "domain our.test { deliver maildir /var/mail/%u }\n";

static const char people[] =
    "alice@our.test active *\n"
    "bob active *\n"
    "shop active * as=*@shop.test,*@*.shop.test,sales@our.test\n"
    "boss@our.test active * as=* header-as=boss@our.test\n"
    "many active * as=a@x.test,b@x.test,c@x.test,d@x.test,e@x.test,f@x.test\n"
    "any active * as=*\n"
    "lazy@our.test suspended *\n"
    "gone@our.test closed *\n";

enum { MX, SUBMISSION, RELAY };

struct fixture {
	struct config *c;
	struct accounts *a;
};

static int set_up(void **state)
{
	struct fixture *f = gw_calloc(1, sizeof(*f));
	struct accounts_error e;
	struct config_diags d;

	config_diags_init(&d);
	f->c = parse_text(text, &d);
	config_diags_fini(&d);
	f->a = accounts_parse(span_str(people), &e);
	assert_non_null(f->c);
	assert_non_null(f->a);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	accounts_free(&f->a);
	config_free(&f->c);
	free(f);
	return 0;
}

static struct accept_client client_of(
    const struct fixture *f, unsigned listen, bool trusted, const char *login)
{
	return (struct accept_client){.listen = &f->c->listen[listen],
	    .trust = trusted ? &f->c->trust[0] : NULL,
	    .login = span_str(login),
	    .account = accounts_find(f->a, span_str(login))};
}

static const struct {
	unsigned listen;
	bool trusted;
	const char *login, *from;
	unsigned code;
	const char *reason;
} mails[] = {
    {MX, false, NULL, "x@anywhere.test", 250, "open"},
    {MX, false, NULL, "", 250, "open"},
    {SUBMISSION, false, NULL, "alice@our.test", 530, "auth_required"},
    {RELAY, false, NULL, "alice@our.test", 530, "auth_required"},
    {RELAY, false, NULL, "", 530, "auth_required"},
    {SUBMISSION, true, NULL, "x@anywhere.test", 250, "trusted"},
    {RELAY, true, NULL, "x@anywhere.test", 250, "trusted"},
    {SUBMISSION, false, "alice@our.test", "alice@our.test", 250, "logged_in"},
    {MX, false, "alice@our.test", "alice@our.test", 250, "logged_in"},
    {SUBMISSION, false, "alice@our.test", "", 250, "logged_in"},
    {SUBMISSION, false, "alice@our.test", "alice+x@our.test", 250, "logged_in"},
    {SUBMISSION, false, "alice@our.test", "bob@our.test", 550, "sender_not_allowed"},
    /* A login counts also where trust would do: as whom was asked for. */
    {SUBMISSION, true, "alice@our.test", "bob@our.test", 550, "sender_not_allowed"},
    {MX, false, "alice@our.test", "bob@our.test", 550, "sender_not_allowed"},
    {RELAY, false, "shop", "x@shop.test", 250, "logged_in"},
    {RELAY, false, "shop", "x@a.b.shop.test", 250, "logged_in"},
    {RELAY, false, "shop", "x@notshop.test", 550, "sender_not_allowed"},
    {RELAY, false, "shop", "shop@our.test", 550, "sender_not_allowed"},
    {RELAY, false, "shop", "sales+1@our.test", 250, "logged_in"},
    {RELAY, false, "any", "x@[10.0.0.1]", 250, "logged_in"},
    {RELAY, false, "bob", "bob@our.test", 250, "logged_in"},
    {RELAY, false, "bob", "BOB+tag@OUR.test", 250, "logged_in"},
    {RELAY, false, "bob", "bob@their.test", 550, "sender_not_allowed"},
    {RELAY, false, "bob", "alice@our.test", 550, "sender_not_allowed"},
    {RELAY, false, "lazy@our.test", "lazy@our.test", 550, "account_suspended"},
    {RELAY, true, "lazy@our.test", "", 550, "account_suspended"},
    {RELAY, false, "gone@our.test", "gone@our.test", 550, "account_closed"},
    {RELAY, false, "removed@our.test", "removed@our.test", 550, "account_gone"},
};

static void one_line(const struct verdict *v)
{
	assert_true(v->reply.text.n > 0);
	for (size_t i = 0; i < v->reply.text.n; i++)
		assert_true(v->reply.text.p[i] >= ' ' && v->reply.text.p[i] <= '~');
}

static void mail(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < GW_ARRAY_LEN(mails); i++) {
		struct accept_client client =
		    client_of(f, mails[i].listen, mails[i].trusted, mails[i].login);
		struct address from = {.kind = ADDRESS_NULL};
		struct verdict v;

		if (mails[i].from[0] != '\0')
			assert_int_equal(address_parse(span_str(mails[i].from), &from), 0);
		accept_mail(f->c, &client, &from, &v);
		if (v.reply.code != mails[i].code || strcmp(v.reason, mails[i].reason) != 0 ||
		    v.ok != (v.reply.code == 250))
			fail_msg("%zu: %s as <%s>: %u %s", i,
			    mails[i].login ? mails[i].login : "nobody", mails[i].from, v.reply.code,
			    v.reason);
		one_line(&v);
	}
}

static bool says(const struct verdict *v, const char *want)
{
	return memmem(v->reply.text.p, v->reply.text.n, want, strlen(want)) != NULL;
}

static void the_refusal_helps(void **state)
{
	const struct fixture *f = *state;
	struct accept_client client = client_of(f, RELAY, false, "alice@our.test");
	struct address from;
	struct verdict v;

	assert_int_equal(address_parse(SPAN("mallory@Evil.test"), &from), 0);
	accept_mail(f->c, &client, &from, &v);
	assert_true(
	    says(&v, "alice@our.test may not send as mallory@evil.test, only alice@our.test"));
	assert_true(v.reply.esc[0] == 5 && v.reply.esc[1] == 7 && v.reply.esc[2] == 1);
	assert_int_equal(v.place.line, 6);
	client = client_of(f, RELAY, false, "many");
	accept_mail(f->c, &client, &from, &v);
	assert_true(says(&v, "only a@x.test, b@x.test, c@x.test, d@x.test, e@x.test and 1 more"));
	client = client_of(f, RELAY, false, "bob");
	accept_mail(f->c, &client, &from, &v);
	assert_true(says(&v, "only bob at a domain of this server"));
}

static const struct {
	const char *login, *head;
	const char *reason; /* NULL: taken */
} froms[] = {
    {NULL, "From: anybody@x.test\r\n\r\n", NULL},
    {"alice@our.test", "From: alice@our.test\r\n\r\n", NULL},
    {"alice@our.test", "From: Alice <ALICE+x@our.test>\r\n\r\n", NULL},
    {"alice@our.test", "Subject: x\r\n\r\n", NULL},
    {"alice@our.test", "From: bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "from : bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From:\r\n bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: \"alice@our.test\" <bob@our.test>\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: (alice@our.test) bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: bob@our.test (alice@our.test)\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: alice@our.test, bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: a: alice@our.test, bob@our.test;\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: alice@our.test\r\nFrom: bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "no field\r\nFrom: bob@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: <alice@our.test\r\n\r\n", "from_malformed"},
    {"alice@our.test", "From: alice@our.test bob@our.test\r\n\r\n", "from_malformed"},
    {"alice@our.test", "From: alice\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: alice@our.test\r\n\r\nFrom: bob@our.test\r\n", NULL},
    {"alice@our.test", "Reply-To: bob@our.test\r\nFrom: alice@our.test\r\n\r\n", NULL},
    {"alice@our.test", "From: \xc3\xa4lice@our.test\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: J\xc3\xbc <j\xc3\xbc@\xc3\xb6.test>\r\n\r\n", "from_not_allowed"},
    {"alice@our.test", "From: alice@our.test, \xe4@our.test\r\n\r\n", "from_malformed"},
    {"bob", "From: bob@our.test\r\n\r\n", NULL},
    {"bob", "From: bob@x.test\r\n\r\n", "from_not_allowed"},
    {"shop", "From: \"S h o p\" <x@a.shop.test>\r\n\r\n", NULL},
    {"shop", "From: x@a.shop.test.evil.test\r\n\r\n", "from_not_allowed"},
    {"boss@our.test", "From: boss@our.test\r\n\r\n", NULL},
    {"boss@our.test", "From: other@our.test\r\n\r\n", "from_not_allowed"},
    {"any", "From: what is this\r\n\r\n", NULL},
    {"lazy@our.test", "From: lazy@our.test\r\n\r\n", "account_suspended"},
    {"removed@our.test", "From: removed@our.test\r\n\r\n", "account_gone"},
};

static void header(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < GW_ARRAY_LEN(froms); i++) {
		struct accept_client client = client_of(f, RELAY, false, froms[i].login);
		struct verdict v;

		accept_from(f->c, &client, span_str(froms[i].head), &v);
		if (v.ok != (froms[i].reason == NULL) ||
		    (!v.ok && strcmp(v.reason, froms[i].reason) != 0))
			fail_msg("%zu: %s: %s", i, froms[i].head, v.ok ? "taken" : v.reason);
		if (!v.ok)
			one_line(&v);
	}
}

/* What a client wrote comes back in one line, whatever it is. */
static void no_lines_from_outside(void **state)
{
	const struct fixture *f = *state;
	struct accept_client client = client_of(f, RELAY, false, "alice@our.test");
	struct verdict v;

	accept_from(f->c, &client, SPAN("From: x@\r\n (\x1b[2J)\r\n evil.test\r\n\r\n"), &v);
	assert_false(v.ok);
	one_line(&v);
}

static void too_many_mailboxes(void **state)
{
	const struct fixture *f = *state;
	struct accept_client client = client_of(f, RELAY, false, "alice@our.test");
	struct verdict v;
	struct buf head;

	buf_init(&head, 1 << 20);
	buf_add_str(&head, "From: alice@our.test");
	for (int i = 0; i < 99; i++)
		buf_add_str(&head, ",alice@our.test");
	accept_from(f->c, &client, buf_view(&head), &v);
	assert_true(v.ok);
	buf_add_str(&head, ",alice@our.test");
	accept_from(f->c, &client, buf_view(&head), &v);
	assert_string_equal(v.reason, "from_malformed");
	buf_fini(&head);
}

/* godwit dev: every login is good and may do all. */
static void users_any(void **state)
{
	struct config *c =
	    parse_good("hostname mx.test\nlisten submission 127.0.0.1:587\nusers any\n"
		       "domain our.test { deliver maildir /var/mail/%u }\n");
	struct accept_client client = {.listen = &c->listen[0], .login = SPAN("whoever")};
	struct address from;
	struct verdict v;

	(void)state;
	assert_int_equal(address_parse(SPAN("x@y.test"), &from), 0);
	accept_mail(c, &client, &from, &v);
	assert_true(v.ok);
	accept_from(c, &client, SPAN("From: x@y.test\r\n\r\n"), &v);
	assert_true(v.ok);
	config_free(&c);
}

#define TEST(x) cmocka_unit_test_setup_teardown(x, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(mail),
	    TEST(the_refusal_helps),
	    TEST(header),
	    TEST(no_lines_from_outside),
	    TEST(too_many_mailboxes),
	    cmocka_unit_test(users_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
