/*
 * The asking side of names, with a resolver of the test's own at the other end: an answer comes
 * once, whatever happens there.
 */
#include "role/dns_link.h"

#include "base/clock.h"
#include "role/proto_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { ASKED_MAX = 70000 };

static struct loop *loop;
static struct dns_link dns;
static struct ipc *resolver;
static struct {
	uint64_t request;
	enum dns_type type;
	char name[DNS_NAME_MAX + 1];
} asked[ASKED_MAX];
static size_t n_asked, n_closed;

static struct {
	unsigned n;
	enum dns_status status;
	char why[DNS_WHY_MAX + 1], host[DNS_NAME_MAX + 1];
	uint64_t cancel; /* when it is answered */
	bool ask_again;
} got;

/* ---- both ends ------------------------------------------------------------------------------- */

static void on_ask(void *arg, struct ipc *c, struct ipc_frame *f)
{
	struct proto_dns_ask q;

	(void)arg;
	(void)c;
	assert_int_equal(proto_get_dns_ask(f->payload, &q), 0);
	assert_true(n_asked < ASKED_MAX);
	asked[n_asked].request = q.request;
	asked[n_asked].type = q.type;
	span_to_cstr(q.name, asked[n_asked++].name, sizeof(asked[0].name));
}

static void on_closed(void *arg, struct ipc *c, const char *why)
{
	(void)arg;
	(void)why;
	if (c == resolver)
		resolver = NULL;
	ipc_free(&c);
	n_closed++;
}

static void turns(unsigned n)
{
	while (n-- > 0)
		loop_once(loop, false);
}

static void connect_resolver(void)
{
	struct ipc_owner owner = {.frame = on_ask, .closed = on_closed};
	int fd[2];

	assert_int_equal(ipc_pair(fd), 0);
	ipc_free(&resolver);
	resolver = ipc_new(loop, fd[0], ROLE_RESOLVER, ROLE_QUEUE, 0, &owner);
	dns_link_peer(&dns, fd[1]);
	turns(3);
}

static void done(void *arg, const struct dns_answer *a)
{
	(void)arg;
	got.n++;
	got.status = a->status;
	span_to_cstr(a->why, got.why, sizeof(got.why));
	got.host[0] = '\0';
	if (a->n_record > 0)
		span_to_cstr(a->record[0].name, got.host, sizeof(got.host));
	dns_cancel(&dns, got.cancel);
	if (got.ask_again) {
		got.ask_again = false;
		dns_ask(&dns, DNS_MX, SPAN("again.test"), done, NULL);
	}
}

static void send_answer(uint64_t request, enum dns_type type, const struct dns_answer *a)
{
	struct proto_dns_answer r = {.request = request, .answer = *a};
	struct span part;
	struct buf b;

	buf_init(&b, 80 << 10);
	proto_put_dns_answer(&b, type, &r);
	part = buf_view(&b);
	assert_int_equal(ipc_send(resolver, IPC_DNS_ANSWER, &part, 1, -1), 0);
	buf_fini(&b);
	turns(3);
}

static void answer_mx(uint64_t request, const char *host)
{
	struct dns_record mx = {.preference = 10, .name = span_str(host)};
	struct dns_answer a = {
	    .status = DNS_FOUND, .canonical = SPAN("x.test"), .record = &mx, .n_record = 1};

	send_answer(request, DNS_MX, &a);
}

static int set_up(void **state)
{
	struct boot b = {.role = ROLE_QUEUE};

	(void)state;
	memset(&got, 0, sizeof(got));
	n_asked = n_closed = 0;
	loop = loop_new();
	dns_link_start(&dns, loop, &b);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (uint64_t number = 1; number <= dns.last; number++)
		dns_cancel(&dns, number);
	map_fini(&dns.open);
	timer_stop(&dns.timer);
	arena_reset(&dns.reading);
	ipc_free(&dns.ipc);
	ipc_free(&resolver);
	loop_free(&loop);
	return 0;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void a_question_and_its_answer(void **state)
{
	(void)state;
	connect_resolver();
	assert_int_not_equal(dns_ask(&dns, DNS_MX, SPAN("X.Test"), done, NULL), 0);
	assert_int_equal(got.n, 0);
	turns(3);
	assert_int_equal(n_asked, 1);
	assert_string_equal(asked[0].name, "x.test");
	assert_int_equal(asked[0].type, DNS_MX);
	answer_mx(asked[0].request, "mx.test");
	assert_int_equal(got.n, 1);
	assert_string_equal(got.host, "mx.test");
	/* Once: what comes again is not for anybody. */
	assert_int_equal(map_len(&dns.open), 0);
}

static void what_cannot_be_asked(void **state)
{
	static const char *const names[] = {
	    "", ".", "a..b", "x.test.", "a b.test", "-\n.test", "\xc3\xa4.test"};

	(void)state;
	connect_resolver();
	for (size_t i = 0; i < GW_ARRAY_LEN(names); i++) {
		got.n = 0;
		dns_ask(&dns, DNS_MX, span_str(names[i]), done, NULL);
		assert_int_equal(got.n, 0);
		turns(3);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.status, DNS_NXDOMAIN);
	}
	assert_int_equal(n_asked, 0);
}

static void a_very_long_name(void **state)
{
	char name[1000];

	(void)state;
	memset(name, 'a', sizeof(name));
	dns_ask(&dns, DNS_A, span_of(name, sizeof(name)), done, NULL);
	turns(3);
	assert_int_equal(got.status, DNS_NXDOMAIN);
}

static void asked_again_after_a_death(void **state)
{
	(void)state;
	dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL); /* nobody runs yet */
	turns(3);
	assert_int_equal(got.n, 0);
	connect_resolver();
	assert_int_equal(n_asked, 1);
	dns_ask(&dns, DNS_MX, SPAN("b.test"), done, NULL);
	turns(3);
	for (unsigned death = 0; death < 3; death++) {
		ipc_free(&resolver);
		turns(3);
		assert_null(dns.ipc);
		n_asked = 0;
		connect_resolver();
		assert_int_equal(n_asked, 2);
		assert_string_equal(asked[0].name, "a.test");
		assert_string_equal(asked[1].name, "b.test");
	}
	answer_mx(asked[1].request, "mx.test");
	answer_mx(asked[0].request, "mx.test");
	assert_int_equal(got.n, 2);
}

static void a_new_one_before_the_end_of_the_old(void **state)
{
	(void)state;
	connect_resolver();
	dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL);
	turns(3);
	resolver = NULL; /* its end stays open */
	connect_resolver();
	assert_int_equal(n_asked, 2);
	answer_mx(asked[1].request, "mx.test");
	assert_int_equal(got.n, 1);
}

static void patience_ends(void **state)
{
	(void)state;
	connect_resolver();
	dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL);
	turns(3);
	assert_true(dns.timer.at > loop_now(loop) + (DNS_PATIENCE - 1) * USEC_PER_SEC);
	assert_true(dns.timer.at <= loop_now(loop) + DNS_PATIENCE * USEC_PER_SEC);
	dns_cancel(&dns, 1);
	assert_true(dns.timer.at == INT64_MAX);
	dns.patience = 50 * USEC_PER_MSEC;
	dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL);
	usleep(60000);
	turns(3);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.status, DNS_TROUBLE);
	assert_string_equal(got.why, "no answer from the resolver in time");
	/* What comes late is for nobody. */
	answer_mx(asked[0].request, "mx.test");
	assert_int_equal(got.n, 1);
	assert_int_equal(n_closed, 0);
}

static void cancelled(void **state)
{
	uint64_t first, second;

	(void)state;
	connect_resolver();
	first = dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL);
	second = dns_ask(&dns, DNS_MX, SPAN("b.test"), done, NULL);
	dns_cancel(&dns, first);
	dns_cancel(&dns, first);
	dns_cancel(&dns, 0);
	dns_cancel(&dns, 12345);
	turns(3);
	answer_mx(first, "mx.test");
	assert_int_equal(got.n, 0);
	answer_mx(second, "mx.test");
	assert_int_equal(got.n, 1);
	/* One that is known without asking. */
	first = dns_ask(&dns, DNS_MX, SPAN("a..b"), done, NULL);
	dns_cancel(&dns, first);
	turns(3);
	assert_int_equal(got.n, 1);
}

static void who_is_told_may_ask_and_cancel(void **state)
{
	uint64_t first;

	(void)state;
	connect_resolver();
	first = dns_ask(&dns, DNS_MX, SPAN("a.test"), done, NULL);
	got.cancel = dns_ask(&dns, DNS_MX, SPAN("b.test"), done, NULL);
	got.ask_again = true;
	turns(3);
	answer_mx(first, "mx.test");
	assert_int_equal(got.n, 1);
	turns(3);
	assert_int_equal(n_asked, 3);
	assert_string_equal(asked[2].name, "again.test");
	assert_int_equal(map_len(&dns.open), 1);
}

/* A resolver that was taken over: what makes no sense ends the channel, and the question stays. */
static void answers_that_lie(void **state)
{
	struct dns_record mx = {.name = SPAN("mx\n.test")};
	struct dns_answer a = {
	    .status = DNS_FOUND, .canonical = SPAN("x.test"), .record = &mx, .n_record = 1};

	(void)state;
	connect_resolver();
	dns_ask(&dns, DNS_MX, SPAN("x.test"), done, NULL);
	turns(3);
	send_answer(asked[0].request, DNS_MX, &a);
	turns(5);
	assert_int_equal(got.n, 0);
	assert_null(dns.ipc);
	connect_resolver();
	assert_int_equal(n_asked, 2);
	a.status = DNS_NXDOMAIN; /* with records */
	mx.name = SPAN("mx.test");
	send_answer(asked[1].request, DNS_MX, &a);
	turns(5);
	assert_int_equal(got.n, 0);
	assert_null(dns.ipc);
	connect_resolver();
	answer_mx(asked[2].request, "mx.test");
	assert_int_equal(got.n, 1);
}

static void a_ceiling(void **state)
{
	(void)state;
	connect_resolver();
	for (unsigned i = 0; i < DNS_QUESTIONS_MAX; i++)
		dns_ask(&dns, DNS_A, SPAN("x.test"), done, NULL);
	assert_int_equal(got.n, 0);
	dns_ask(&dns, DNS_A, SPAN("x.test"), done, NULL);
	turns(3);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.status, DNS_TROUBLE);
	assert_string_equal(got.why, "too many questions at once");
	/* Cancelled ones are still owed an answer: there is no room on the channel either. */
	for (uint64_t number = 1; number <= 100; number++)
		dns_cancel(&dns, number);
	dns_ask(&dns, DNS_A, SPAN("x.test"), done, NULL);
	turns(3);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.status, DNS_TROUBLE);
}

#define WITH_LINK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    WITH_LINK(a_question_and_its_answer),
	    WITH_LINK(what_cannot_be_asked),
	    WITH_LINK(a_very_long_name),
	    WITH_LINK(asked_again_after_a_death),
	    WITH_LINK(a_new_one_before_the_end_of_the_old),
	    WITH_LINK(patience_ends),
	    WITH_LINK(cancelled),
	    WITH_LINK(who_is_told_may_ask_and_cancel),
	    WITH_LINK(answers_that_lie),
	    WITH_LINK(a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
