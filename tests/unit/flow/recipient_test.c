/* Who gets mail for an address of ours? Rows: the address, and where it ends. */
#include "unit/config/helper.h"

#include "flow/recipient.h"

static const char config_text[] =
    "hostname mx.test\nlisten mx 127.0.0.1:25\nadmin boss@file.test\nusers file /u\n"
    "domain any.test { deliver maildir /m/%u }\n"
    "domain file.test { deliver maildir /m/%u; recipients file /t; aliases /a }\n"
    "domain users.test { deliver maildir /m/%u; recipients users; aliases /b; subaddress - }\n"
    "domain catch.test { deliver maildir /m/%u; recipients file /c\n"
    "  catch-all lost@catch.test }\n"
    "domain *.wild.test { deliver maildir /m/%u; recipients users; subaddress off }\n"
    "domain send.test { deliver reject \"550 5.1.1 send-only\" }\n"
    "domain mx.test { deliver maildir /m/%u; recipients file /d }\n"
    "domain circle.test { deliver maildir /m/%u; recipients users; catch-all x@round.test }\n"
    "domain round.test { deliver maildir /m/%u; recipients users; catch-all y@circle.test }\n"
    "domain empty.test { deliver maildir /m/%u; recipients users }\n"
    "route from address bad@far.test via reject \"550 5.7.1 not from there\"\n"
    "route from account eve to domain nowhere.test via relay 10.0.0.1:25\n"
    "route to domain far.test via relay 10.0.0.1:25\n"
    "route to domain shut.test via reject \"554 5.7.1 shut\"\n";

static const char table_text[] = "alice\nBoss\n\"john doe\"\n"
				 "bob reject \"550 5.1.6 gone away\"\n"
				 "trap drop\n"
				 "legal hold\n"
				 "alice+vip hold\n"
				 "sales-* to alice far@far.test\n"
				 "x* drop\n"
				 "w to sales-w\n";
static const char alias_text[] = "staff: alice, boss, carol@users.test, far@far.test\n"
				 "mixed: nobody, bob, trap, legal\n"
				 "dead: nobody, bob\n"
				 "gone: nobody\n"
				 "out: x@shut.test\n"
				 "off: x@nowhere.test\n"
				 "send: x@send.test\n"
				 "self: self, staff\n"
				 "ping: pong@users.test\n"
				 "alice: bob\n"
				 "twice: alice, ALICE\n";
static const char users_alias_text[] = "pong: ping@file.test\nall: carol, Dave-x\n";
static const char accounts_text[] = "Carol@users.test active -\n"
				    "dave@users.test suspended -\n"
				    "eve@users.test closed -\n"
				    "frank@a.wild.test active -\n";

struct rig {
	struct config *config;
	struct accounts *accounts;
	struct recipients *table[16];
	struct known known;
};

static struct recipients *table(const char *a, const char *b)
{
	struct recipients_error e;
	const char *which;
	struct recipients *r = recipients_parse(
	    span_str(a), a ? "/t" : NULL, span_str(b), b ? "/a" : NULL, &e, &which);

	if (r == NULL)
		fail_msg("%s:%u: %s", which, e.line, e.text);
	return r;
}

static int set_up(void **state)
{
	static struct rig r;
	struct accounts_error e;

	r.config = parse_good(config_text);
	r.accounts = accounts_parse(span_str(accounts_text), &e);
	assert_non_null(r.accounts);
	r.table[1] = table(table_text, alias_text);
	r.table[2] = table(NULL, users_alias_text);
	r.table[3] = table("in\n", NULL);
	r.table[6] = table("postmaster to carol@users.test\n", NULL);
	r.known = (struct known){.config = r.config,
	    .table = (const struct recipients *const *)r.table,
	    .accounts = r.accounts};
	*state = &r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < GW_ARRAY_LEN(r->table); i++)
		recipients_free(&r->table[i]);
	accounts_free(&r->accounts);
	config_free(&r->config);
	return 0;
}

/* "taken alice@file.test; dropped ..." or the refusal. */
static void describe(const struct resolved *out, const struct verdict *v, char *text, size_t size)
{
	static const char *const words[] = {"taken", "held", "dropped", "refused"};
	size_t n = 0;

	text[0] = '\0';
	if (!v->ok)
		snprintf(text, size, "%u %u.%u.%u %s", v->reply.code, v->reply.esc[0],
		    v->reply.esc[1], v->reply.esc[2], v->reason);
	for (const struct recipient_end *e = out->first; v->ok && e != NULL; e = e->next)
		n += (size_t)snprintf(text + n, size - n, "%s%s %.*s", n > 0 ? "; " : "",
		    words[e->fate], SPAN_ARG(e->addr));
}

static void check(struct rig *r, const char *addr, const char *want)
{
	struct verdict v = {.ok = true, .reply = REPLY(250, 2, 1, 5, "Ok")};
	struct resolved out;
	struct address a;
	struct arena mem;
	char got[1000];

	arena_init(&mem, RESOLVE_MEMORY);
	assert_int_equal(address_parse(span_str(addr), &a), 0);
	recipient_resolve(&r->known, &a, &mem, &out, &v);
	describe(&out, &v, got, sizeof(got));
	arena_reset(&mem);
	if (strcmp(got, want) != 0)
		fail_msg("%s: %s, not %s", addr, got, want);
}

#define UNKNOWN "550 5.1.1 unknown_user"

static const char *const rows[][2] = {
    {"Any.One+x@any.test", "taken Any.One+x@any.test"},
    {"postmaster@any.test", "taken postmaster@any.test"},
    {"you@far.test", "taken you@far.test"},
    /* the recipients file; its spelling of the name */
    {"alice@file.test", "taken alice@file.test"},
    {"ALICE@File.Test", "taken alice@file.test"},
    {"\"alice\"@file.test", "taken alice@file.test"},
    {"Alice+Shop@file.test", "taken alice+Shop@file.test"},
    {"alice-x@file.test", UNKNOWN},
    {"+alice@file.test", UNKNOWN},
    {"alice+VIP@file.test", "held alice+vip@file.test"},
    {"\"John Doe\"@file.test", "taken \"john doe\"@file.test"},
    {"\"John Doe+\\\"\"@file.test", "taken \"john doe+\\\"\"@file.test"},
    {"bob@file.test", "550 5.1.6 recipient_rejects"},
    {"bob+x@file.test", "550 5.1.6 recipient_rejects"},
    {"trap@file.test", "dropped trap@file.test"},
    {"Legal@file.test", "held legal@file.test"},
    {"nobody@file.test", UNKNOWN},
    {"xanything@file.test", "dropped xanything@file.test"},
    {"Sales-eu@file.test", "taken alice@file.test; taken far@far.test"},
    {"w@file.test", "taken alice@file.test; taken far@far.test"},
    /* aliases, which come behind the exact lines of the file */
    {"staff@file.test", "taken alice@file.test; taken boss@file.test; taken Carol@users.test; "
			"taken far@far.test"},
    {"Staff+x@file.test", "taken alice@file.test; taken boss@file.test; taken Carol@users.test; "
			  "taken far@far.test"},
    {"mixed@file.test", "refused nobody@file.test; refused bob@file.test; dropped trap@file.test; "
			"held legal@file.test"},
    {"dead@file.test", UNKNOWN},
    {"out@file.test", "554 5.7.1 route_rejects"},
    {"off@file.test", "550 5.4.4 no_route"},
    {"send@file.test", "550 5.1.1 domain_rejects"},
    {"self@file.test", "taken self@file.test; taken alice@file.test; taken boss@file.test; "
		       "taken Carol@users.test; taken far@far.test"},
    {"self+1@file.test", "taken self+1@file.test; taken alice@file.test; taken boss@file.test; "
			 "taken Carol@users.test; taken far@far.test"},
    {"ping@file.test", "550 5.4.6 alias_loop"},
    {"twice@file.test", "taken alice@file.test; taken alice@file.test"},
    /* accounts */
    {"carol@users.test", "taken Carol@users.test"},
    {"CAROL-x@users.test", "taken Carol-x@users.test"},
    {"carol+x@users.test", UNKNOWN},
    {"dave@users.test", "taken dave@users.test"},
    {"eve@users.test", UNKNOWN},
    {"frank@users.test", UNKNOWN},
    {"all@users.test", "taken Carol@users.test; taken dave-x@users.test"},
    {"frank@A.wild.test", "taken frank@a.wild.test"},
    {"frank@b.wild.test", UNKNOWN},
    {"frank+x@a.wild.test", UNKNOWN},
    {"\"carol@users.test\"@users.test", UNKNOWN},
    /* catch-all */
    {"in@catch.test", "taken in@catch.test"},
    {"whoever@catch.test", "taken lost@catch.test"},
    {"LOST@catch.test", "taken LOST@catch.test"},
    {"a@circle.test", "550 5.4.6 alias_loop"},
    /* postmaster */
    {"postmaster@file.test", "taken boss@file.test"},
    {"PostMaster@empty.test", "taken boss@file.test"},
    {"postmaster@mx.test", "taken Carol@users.test"},
    {"postmaster", "taken Carol@users.test"},
    {"postmaster@catch.test", "taken boss@file.test"},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		check(*state, rows[i][0], rows[i][1]);
}

/* Nobody reads the administrator's mail: postmaster is taken as it is. */
static void test_postmaster_as_is(void **state)
{
	static const char *const admins[] = {
	    "nobody@file.test", "x@nowhere.test", "postmaster@file.test", "postmaster@empty.test"};
	struct rig *r = *state;
	const char *admin = r->config->admin;

	for (size_t i = 0; i < 3; i++) {
		r->config->admin = admins[i];
		check(r, "postmaster@file.test", "taken postmaster@file.test");
	}
	r->config->admin = admin;
}

/* Aliases that lead elsewhere: the routes of whose message it is. */
static void test_routes_by_sender(void **state)
{
	struct rig *r = *state;

	r->known.from = SPAN("Bad@far.test");
	check(r, "w@file.test", "taken alice@file.test; refused far@far.test");
	r->known.from = SPAN("good@far.test");
	check(r, "w@file.test", "taken alice@file.test; taken far@far.test");
	check(r, "off@file.test", "550 5.4.4 no_route");
	r->known.account = SPAN("eve");
	check(r, "off@file.test", "taken x@nowhere.test");
	r->known.from = r->known.account = SPAN_NONE;
}

/* A receiver without accounts or tables yet calls nobody unknown. */
static void test_nothing_loaded(void **state)
{
	struct rig *r = *state;
	struct known all = r->known;

	r->known.table = NULL;
	r->known.accounts = NULL;
	check(r, "carol@users.test", "451 4.3.0 table_missing");
	check(r, "alice@file.test", "451 4.3.0 table_missing");
	check(r, "alice@any.test", "taken alice@any.test");
	r->known = all;
	r->known.accounts = NULL;
	check(r, "in@catch.test", "taken in@catch.test");
	check(r, "carol@users.test", "451 4.3.0 table_missing");
	r->known = all;
}

static void test_places(void **state)
{
	struct rig *r = *state;
	struct verdict v = {.ok = true};
	struct resolved out;
	struct address a;
	struct arena mem;

	arena_init(&mem, RESOLVE_MEMORY);
	assert_int_equal(address_parse(SPAN("bob@file.test"), &a), 0);
	recipient_resolve(&r->known, &a, &mem, &out, &v);
	assert_string_equal(v.place.file, "/t");
	assert_int_equal(v.place.line, 4);
	v.ok = true;
	assert_int_equal(address_parse(SPAN("Nobody@File.test"), &a), 0);
	recipient_resolve(&r->known, &a, &mem, &out, &v);
	assert_string_equal(v.place.file, "t.conf");
	assert_int_equal(v.place.line, 6);
	assert_true(span_eq(
	    v.reply.text, SPAN("<Nobody@file.test> is not known here: is it spelled right?")));
	v.ok = true;
	assert_int_equal(address_parse(SPAN("a@any.test"), &a), 0);
	recipient_resolve(&r->known, &a, &mem, &out, &v);
	assert_true(out.as_is && out.n == 1 && out.n_taken == 1);
	arena_reset(&mem);
}

/* Across domains nobody counted when the tables were read: it ends, whatever they say. */
static void test_bomb(void **state)
{
	struct rig *r = *state;
	struct recipients *one = r->table[1], *two = r->table[2];
	struct verdict v = {.ok = true};
	struct buf a, b;
	struct resolved out;
	struct address addr;
	struct arena mem;

	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 8; i++) {
		buf_addf(&a, "n%d:", i);
		buf_addf(&b, "n%d:", i);
		for (int k = 0; k < 20; k++) {
			buf_addf(&a, "%s n%d@users.test", k ? "," : "", i + 1);
			buf_addf(&b, "%s n%d@file.test", k ? "," : "", i + 1);
		}
		buf_add_byte(&a, '\n');
		buf_add_byte(&b, '\n');
	}
	buf_add_byte(&a, 0);
	buf_add_byte(&b, 0);
	r->table[1] = table(NULL, (const char *)buf_view(&a).p);
	r->table[2] = table(NULL, (const char *)buf_view(&b).p);
	arena_init(&mem, RESOLVE_MEMORY);
	assert_int_equal(address_parse(SPAN("n0@file.test"), &addr), 0);
	recipient_resolve(&r->known, &addr, &mem, &out, &v);
	assert_false(v.ok);
	assert_int_equal(v.reply.code, 451);
	assert_string_equal(v.reason, "alias_too_large");
	arena_reset(&mem);
	buf_fini(&a);
	buf_fini(&b);
	recipients_free(&r->table[1]);
	recipients_free(&r->table[2]);
	r->table[1] = one;
	r->table[2] = two;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_routes_by_sender),
	    cmocka_unit_test(test_postmaster_as_is),
	    cmocka_unit_test(test_nothing_loaded),
	    cmocka_unit_test(test_places),
	    cmocka_unit_test(test_bomb),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
