/* The class of a message: listener, header, and who may say so. */
#include "unit/base/helper.h"

#include "flow/priority.h"

enum { N = PRIORITY_NORMAL, H = PRIORITY_HIGH, B = PRIORITY_BULK };

static const struct {
	const char *head;
	/* by listener: normal, high, bulk; of strangers, and of those who may relay */
	uint8_t stranger[PRIORITY_COUNT], relay[PRIORITY_COUNT];
} rows[] = {
    {"", {N, H, B}, {N, H, B}},
    {"Subject: x\r\n", {N, H, B}, {N, H, B}},
    {"Priority: urgent\r\n", {N, H, B}, {H, H, B}},
    {"priority:URGENT (really)\r\n", {N, H, B}, {H, H, B}},
    {"Priority:\r\n urgent\r\n", {N, H, B}, {H, H, B}},
    {"Priority: normal\r\n", {N, H, B}, {N, H, B}},
    {"Priority: non-urgent\r\n", {N, H, B}, {B, B, B}},
    {"Priority: urgently\r\n", {N, H, B}, {N, H, B}},
    {"Priority: urgent-ish\r\n", {N, H, B}, {N, H, B}},
    {"Priority: \xff\xfe\r\n", {N, H, B}, {N, H, B}},
    {"Priority:\r\n", {N, H, B}, {N, H, B}},
    {"X-Priority: 1\r\nImportance: high\r\n", {N, H, B}, {N, H, B}},
    {"Priority: urgent\r\nPriority: urgent\r\n", {N, H, B}, {N, H, B}},
    {"Priority: urgent\r\nPriority: non-urgent\r\n", {N, H, B}, {N, H, B}},
    {"Precedence: bulk\r\n", {B, B, B}, {B, B, B}},
    {"Precedence: list\r\n", {B, B, B}, {B, B, B}},
    {"PRECEDENCE : junk\r\n", {B, B, B}, {B, B, B}},
    {"Precedence: first-class\r\n", {N, H, B}, {N, H, B}},
    {"Precedence: special-delivery\r\n", {N, H, B}, {N, H, B}},
    {"Precedence: first-class\r\nPrecedence: bulk\r\n", {B, B, B}, {B, B, B}},
    {"List-Id: <a.example>\r\n", {B, B, B}, {B, B, B}},
    {"List-Idx: <a.example>\r\n", {N, H, B}, {N, H, B}},
    {"Priority: urgent\r\nList-Id: x\r\n", {B, B, B}, {B, B, B}},
    {"no field at all\r\nPrecedence: bulk\r\n", {B, B, B}, {B, B, B}},
    {"Subject: Precedence: bulk\r\n", {N, H, B}, {N, H, B}},
    {"Subject: x\r\n Precedence: bulk\r\n", {N, H, B}, {N, H, B}},
};

static const struct handling none;

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
		for (unsigned p = 0; p < PRIORITY_COUNT; p++) {
			struct span head = span_str(rows[i].head);
			unsigned s = priority_of((enum priority)p, false, &none, head);
			unsigned r = priority_of((enum priority)p, true, &none, head);

			if (s != rows[i].stranger[p] || r != rows[i].relay[p])
				fail_msg("row %zu, listener %u: %u and %u", i, p, s, r);
		}
	}
}

/* A stranger never gains by what he writes, whatever it is. */
static void test_nobody_raises(void **state)
{
	static const char *const part[] = {"Priority", "Precedence", "List-Id", ":", " ", "\r\n",
	    "urgent", "non-urgent", "bulk", "\t", "x", "first-class", "\n", "\r"};
	static const int rank[] = {[PRIORITY_HIGH] = 0, [PRIORITY_NORMAL] = 1, [PRIORITY_BULK] = 2};
	uint64_t rng = 5;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		enum priority p = (enum priority)helper_random(&rng, PRIORITY_COUNT);
		char head[256] = "";
		size_t n = 0;

		for (unsigned k = helper_random(&rng, 14); k > 0; k--) {
			const char *s = part[helper_random(&rng, GW_ARRAY_LEN(part))];

			memcpy(head + n, s, strlen(s));
			n += strlen(s);
		}
		assert_true(rank[priority_of(p, false, &none, span_of(head, n))] >= rank[p]);
		if (p == PRIORITY_BULK)
			assert_int_equal(
			    priority_of(p, true, &none, span_of(head, n)), PRIORITY_BULK);
	}
}

/* MT-PRIORITY goes before the header's word; who says he is bulk is bulk. */
static void test_numbers(void **state)
{
	static const struct span urgent = SPAN("Priority: urgent\r\n");
	struct handling h = {0};

	(void)state;
	for (int n = MT_PRIORITY_LEAST; n <= MT_PRIORITY_MOST; n++) {
		h.mt_priority = (unsigned)(n + MT_PRIORITY_ZERO);
		assert_int_equal(handling_priority(&h), n);
		assert_int_equal(priority_of(PRIORITY_NORMAL, true, &h, urgent), n > 0   ? H
										 : n < 0 ? B
											 : N);
		assert_int_equal(priority_of(PRIORITY_BULK, true, &h, urgent), B);
		assert_int_equal(
		    priority_of(PRIORITY_NORMAL, true, &h, SPAN("Precedence: bulk\r\n")), B);
		assert_int_equal(priority_granted(h.mt_priority, true), h.mt_priority);
		assert_int_equal(priority_granted(h.mt_priority, false),
		    n > 0 ? MT_PRIORITY_ZERO : h.mt_priority);
	}
	assert_int_equal(priority_granted(0, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_nobody_raises),
	    cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
