/*
 * Users files: any octets. What is taken can be found by its names, means the same when it is
 * written again, and shows no secret in its public form. What is not taken has its place said.
 */
#include "auth/accounts.h"

#include <stdlib.h>

#define MUST(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

static const uint8_t ips[][16] = {
    {[10] = 0xff, 0xff, 10, 1, 2, 3},
    {[15] = 1},
    {0x20, 0x01, 0x0d, 0xb8},
};

static void same(const struct account *a, const struct account *b, const struct account *public)
{
	struct address from;
	struct span why, why_b;

	MUST(a != NULL && b != NULL && public != NULL);
	MUST(a->state == b->state && a->state == public->state && span_eq(a->hash, b->hash));
	MUST(a->has_hash == public->has_hash && a->has_scram == public->has_scram);
	MUST(public->hash.n == 0 && public->scram == NULL);
	MUST((a->scram == NULL) == (b->scram == NULL));
	for (size_t i = 0; i < GW_ARRAY_LEN(ips); i++)
		MUST(account_may_come_from(a, ips[i]) == account_may_come_from(b, ips[i]));
	if (a->n_as == 0 && address_parse(a->name, &from) == 0 && from.kind == ADDRESS_DOMAIN)
		MUST(account_may_send_as(a, &from, false, &why));
	for (size_t i = 0; i < a->n_as && address_parse(a->as[i], &from) == 0; i++)
		MUST(account_may_send_as(a, &from, false, &why) &&
		     account_may_send_as(public, &from, false, &why_b) && span_eq(why, why_b));
}

static struct accounts *again(const struct accounts *a, bool secrets)
{
	struct accounts_error e;
	struct accounts *b;
	struct buf text;

	buf_init(&text, 16 << 20);
	for (size_t i = 0; secrets && i < accounts_count(a); i++)
		account_format(accounts_at(a, i), true, &text);
	if (!secrets)
		accounts_public(a, &text);
	b = accounts_parse(buf_view(&text), &e);
	MUST(b != NULL && accounts_count(b) == accounts_count(a));
	MUST(accounts_all_scram(b) == accounts_all_scram(a));
	buf_fini(&text);
	return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct accounts_error e;
	struct accounts *a = accounts_parse(span_of(data, size), &e), *b, *public;

	if (a == NULL) {
		MUST(e.text[0] != '\0' && e.line > 0);
		return 0;
	}
	b = again(a, true);
	public = again(a, false);
	for (size_t i = 0; i < accounts_count(a); i++) {
		struct span name = accounts_at(a, i)->name;

		MUST(account_name_fault(name) == NULL);
		MUST(accounts_find(a, name) == accounts_at(a, i));
		same(accounts_at(a, i), accounts_find(b, name), accounts_find(public, name));
	}
	accounts_free(&a);
	accounts_free(&b);
	accounts_free(&public);
	return 0;
}
