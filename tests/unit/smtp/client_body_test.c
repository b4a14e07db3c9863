#include "client_peer.h"

/* The content on its way: stuffing in any cuts, the ceiling of the output, the dot. */

/* RFC 5321 section 4.5.2, as slow and plain as can be. */
static size_t stuff_plainly(const char *in, size_t n, char *out)
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		if (in[i] == '.' && (i == 0 || in[i - 1] == '\n'))
			out[to++] = '.';
		out[to++] = in[i];
	}
	if (n > 0 && in[n - 1] != '\n') {
		out[to++] = '\r';
		out[to++] = '\n';
	}
	memcpy(out + to, ".\r\n", 3);
	return to + 3;
}

/* Gives the content in pieces of at most "piece" octets. */
static void check_stuffing(const char *text, size_t n, size_t piece)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, n);
	struct client *c = at_body(&txn);
	char want[512];
	size_t want_n = stuff_plainly(text, n, want);

	for (size_t i = 0; i < n; i += piece) {
		struct span s = {(const uint8_t *)text + i, n - i < piece ? n - i : piece};

		assert_int_equal(client_body(c, s, 0), s.n);
	}
	client_body_end(c, 0);
	assert_int_equal(client_output(c).n, want_n);
	assert_memory_equal(client_output(c).p, want, want_n);
	assert_int_equal(say(c, "250 taken\r\n").delivered, 1);
	client_free(&c);
}

static void dots_in_any_cut(void **state)
{
	static const char *const texts[] = {"", ".", "..", ".\r\n", "\r\n", "\r\n.\r\n",
	    "\r\n..\r\n.", "a.b\r\n.c\r\n\r\n..\r\n...\r\n.",
	    ".\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n.\r\n", "no end", "x\r\n\r\n\r\n.\r\n\r\n"};

	(void)state;
	for (size_t t = 0; t < GW_ARRAY_LEN(texts); t++) {
		for (size_t piece = 1; piece < 9; piece++)
			check_stuffing(texts[t], strlen(texts[t]), piece);
	}
}

static void random_content(void **state)
{
	static const char *const parts[] = {".", "\r\n", "x", "\r\n.", "long line of text"};
	uint32_t seed = 12345;
	char text[256];

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t n = 0;

		for (;;) {
			const char *part = parts[(seed = seed * 1664525 + 1013904223) >> 16 & 3];

			if (n + strlen(part) > (size_t)round % 200)
				break;
			memcpy(text + n, part, strlen(part));
			n += strlen(part);
		}
		check_stuffing(text, n, 1 + (seed >> 8) % 7);
	}
}

static void check_bare(const char *text, size_t n, size_t piece)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, n);
	struct client *c = at_body(&txn);
	struct tally t;

	for (size_t i = 0; i < n; i += piece) {
		struct span s = {(const uint8_t *)text + i, n - i < piece ? n - i : piece};
		struct span out;

		assert_int_equal(client_body(c, s, 0), s.n);
		out = client_output(c);
		for (size_t k = 0; k < out.n; k++) {
			if (out.p[k] == '\n')
				assert_true(k > 0 && out.p[k - 1] == '\r');
			if (out.p[k] == '\r')
				assert_true(k + 1 < out.n && out.p[k + 1] == '\n');
		}
	}
	client_body_end(c, 0);
	assert_int_equal(client_output(c).n, 0);
	t = drain(c);
	assert_int_equal(t.told, 1);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.closed, 1);
	assert_int_equal(t.last.reply.code, 554);
	client_free(&c);
}

static void bare_cr_and_lf_in_any_cut(void **state)
{
	static const char *const texts[] = {"\n", "\r", "\r\r\n", "a\n.\r\n", "a\r\n\n", "a\r\n.\n",
	    "a\r.\r\nb", "\r\n\r", "a\r\n.\r", "a\n\r\n", "\r\n.\r\r\n"};

	(void)state;
	for (size_t t = 0; t < GW_ARRAY_LEN(texts); t++) {
		for (size_t piece = 1; piece < 7; piece++)
			check_bare(texts[t], strlen(texts[t]), piece);
	}
}

static void the_output_has_a_ceiling(void **state)
{
	enum { SIZE = 3000000 };
	char *text = malloc(SIZE);
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, SIZE);
	struct client *c = at_body(&txn);
	size_t given = 0, left = 0;

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		text[i] = ".\r\n"[i % 3];
	while (given < SIZE) {
		size_t n = client_body(c, span_of(text + given, SIZE - given), 0);

		given += n;
		assert_true(client_output(c).n <= CLIENT_OUT_MAX);
		if (given < SIZE)
			assert_int_equal(client_body(c, SPAN("."), 0), 0);
		left += client_output(c).n;
		client_sent(c, client_output(c).n, 0);
	}
	client_body_end(c, 0);
	assert_int_equal(left, SIZE / 3 * 4);
	assert_int_equal(say(c, "250 ok\r\n").delivered, 1);
	client_free(&c);
	free(text);
}

static void a_block_must_leave_in_time(void **state)
{
	static uint8_t text[60000];
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, sizeof(text));
	struct client *c = at_body(&txn);
	const int64_t block = config.t_block;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(
	    client_deadline(c), block + (int64_t)(sizeof(text) / config.least_rate) * 1000000);
	assert_int_equal(client_body(c, span_of(text, sizeof(text)), 1000), sizeof(text));
	assert_int_equal(client_deadline(c), 1000 + block);
	client_sent(c, CLIENT_BLOCK - 1, 2000);
	assert_int_equal(client_deadline(c), 1000 + block);
	client_sent(c, 1, 3000);
	assert_int_equal(client_deadline(c), 3000 + block);
	client_body_end(c, 4000);
	assert_int_equal(client_deadline(c), 3000 + block);
	client_sent(c, client_output(c).n, 5000);
	assert_int_equal(client_deadline(c), 5000 + config.t_end);
	client_tick(c, 5000 + config.t_end);
	assert_true(drain(c).last.past_dot);
	client_free(&c);
}

/* A block in time, each time, is not enough: all of it must leave at the least rate. */
static void all_of_it_must_leave_in_time(void **state)
{
	static uint8_t text[120000];
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, sizeof(text));
	struct client *c = at_body(&txn);
	int64_t now = 0;
	struct tally t;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_true(client_body(c, span_of(text, sizeof(text)), 0) > 90000);
	while (client_output(c).n > CLIENT_BLOCK) {
		client_tick(c, now += config.t_block - 1000000);
		t = drain(c);
		if (t.closed)
			break;
		client_sent(c, CLIENT_BLOCK, now);
	}
	assert_int_equal(t.closed, 1);
	assert_int_equal(t.told, 1);
	assert_int_equal(t.code, 451);
	assert_true(t.last.site && !t.last.past_dot);
	assert_true(now < 2 * config.t_block + 118 * 1000000);
	client_free(&c);
}

/* Whose fault it is: here nothing waits for the peer. */
static void content_that_does_not_come(void **state)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, 1024);
	struct client *c = at_body(&txn);
	struct tally t;

	(void)state;
	client_tick(c, client_deadline(c));
	t = drain(c);
	assert_int_equal(t.closed, 1);
	assert_false(t.last.site);
	client_free(&c);
}

/* Each reply in time, and no end of them. */
static void the_envelope_has_an_end(void **state)
{
	struct client_rcpt rcpt[100];
	struct client_txn txn = one_rcpt(rcpt, 0);
	struct client *c = greeted("250 mx\r\n");
	struct tally t = {0};
	int64_t now = 0;
	size_t taken;

	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rcpt); i++)
		rcpt[i].addr = SPAN("b@b.example");
	txn.n_rcpt = GW_ARRAY_LEN(rcpt);
	client_send(c, &txn, 0);
	for (taken = 0; taken < GW_ARRAY_LEN(rcpt) && !t.closed; taken++) {
		client_sent(c, client_output(c).n, now);
		client_tick(c, now += config.t_rcpt - 1);
		(void)client_feed(c, SPAN("250 ok\r\n"), now);
		t = drain(c);
	}
	assert_int_equal(t.told, GW_ARRAY_LEN(rcpt));
	assert_int_equal(t.delivered, 0);
	assert_true(t.last.site);
	assert_in_range(taken, 11, 13);
	client_free(&c);
}

/* How much of CRLF . CRLF left decides whether the peer may have taken it. */
static void past_the_dot(void **state)
{
	(void)state;
	for (size_t kept = 0; kept <= 5; kept++) {
		struct client_rcpt rcpt;
		struct client_txn txn = one_rcpt(&rcpt, 1);
		struct client *c = at_body(&txn);
		struct tally t;

		assert_int_equal(client_body(c, SPAN("x"), 0), 1);
		client_body_end(c, 0);
		client_sent(c, client_output(c).n - kept, 0);
		client_eof(c, 0);
		t = drain(c);
		assert_int_equal(t.told, 1);
		assert_int_equal(t.delivered, 0);
		assert_int_equal(t.last.past_dot, kept < 3);
		client_free(&c);
	}
}

/* A verdict that begins while the dot is still here: the dot stays here. */
static void a_verdict_before_the_dot(void **state)
{
	struct client_rcpt rcpt;
	struct client_txn txn = one_rcpt(&rcpt, 1);
	struct client *c = at_body(&txn);
	struct tally t;

	(void)state;
	assert_int_equal(client_body(c, SPAN("x"), 0), 1);
	client_body_end(c, 0);
	client_sent(c, client_output(c).n - 3, 0);
	assert_int_equal(client_feed(c, SPAN("25"), 0), 2);
	assert_int_equal(client_output(c).n, 0);
	t = say(c, "0 taken\r\n");
	assert_int_equal(t.told, 1);
	assert_int_equal(t.code, 451);
	assert_false(t.last.past_dot);
	client_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dots_in_any_cut),
	    cmocka_unit_test(random_content),
	    cmocka_unit_test(bare_cr_and_lf_in_any_cut),
	    cmocka_unit_test(the_output_has_a_ceiling),
	    cmocka_unit_test(a_block_must_leave_in_time),
	    cmocka_unit_test(all_of_it_must_leave_in_time),
	    cmocka_unit_test(content_that_does_not_come),
	    cmocka_unit_test(the_envelope_has_an_end),
	    cmocka_unit_test(past_the_dot),
	    cmocka_unit_test(a_verdict_before_the_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
