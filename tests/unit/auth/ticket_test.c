/* Tickets: true of what they were made for, and of nothing else. */
#include "auth/ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const uint8_t key[TICKET_KEY] = {7};
#define AT INT64_C(1700000000123456)

static struct ticket alice(void)
{
	return (struct ticket){
	    .account = SPAN("alice@example.com"), .origin = SPAN("login"), .at = AT};
}

static bool is_true(const char *text, struct ticket t)
{
	return ticket_verify(key, span_str(text), &t) == 0;
}

static void true_of_one_login(void **state)
{
	struct ticket t = alice(), other;
	char text[TICKET_TEXT];

	(void)state;
	ticket_make(key, &t, text);
	assert_memory_equal(text, "1.1700000000123456.", 19);
	assert_int_equal(strlen(text), 19 + 64);
	t.at = 0;
	assert_int_equal(ticket_verify(key, span_str(text), &t), 0);
	assert_int_equal(t.at, AT);
	other = alice();
	other.account = SPAN("bob@example.com");
	assert_false(is_true(text, other));
	other = alice();
	other.origin = SPAN("system");
	assert_false(is_true(text, other));
	other = alice();
	other.tenant = SPAN("x");
	assert_false(is_true(text, other));
	/* The same letters cut in another place. */
	other = alice();
	other.account = SPAN("alice@example.coml");
	other.origin = SPAN("ogin");
	assert_false(is_true(text, other));
}

static void of_this_vault_alone(void **state)
{
	uint8_t elsewhere[TICKET_KEY] = {8};
	struct ticket t = alice();
	char text[TICKET_TEXT];

	(void)state;
	ticket_make(elsewhere, &t, text);
	assert_false(is_true(text, alice()));
}

/* Another time, a changed digit, a longer or shorter text. */
static void every_octet_counts(void **state)
{
	struct ticket t = alice();
	char text[TICKET_TEXT], longer[TICKET_TEXT + 8];
	size_t n;

	(void)state;
	ticket_make(key, &t, text);
	n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		char was = text[i];

		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			t = alice();
			assert_int_equal(
			    ticket_verify(key, span_of(text, n), &t) == 0, (char)c == was);
		}
		text[i] = was;
		t = alice();
		assert_int_equal(ticket_verify(key, span_of(text, i), &t), GW_EPERM);
	}
	for (const char *more = "0a. "; *more != '\0'; more++) {
		snprintf(longer, sizeof(longer), "%s%c", text, *more);
		assert_false(is_true(longer, alice()));
	}
	/* The same number written otherwise. */
	snprintf(longer, sizeof(longer), "1.0%s", text + 2);
	assert_false(is_true(longer, alice()));
	assert_false(is_true("", alice()));
	assert_false(is_true("1.", alice()));
	assert_false(is_true("1..", alice()));
	assert_false(is_true("1.18446744073709551615.", alice()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(true_of_one_login),
	    cmocka_unit_test(of_this_vault_alone), cmocka_unit_test(every_octet_counts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
