#include "auth/ticket.h"

#include "base/cursor.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

enum { MAC = 32, TEXT_MAX = 4096 };

/* Lengths before the texts: no two tickets have the same octets. */
static void mac_of(const uint8_t key[TICKET_KEY], const struct ticket *t, uint8_t mac[MAC])
{
	unsigned n = MAC;
	struct span s;
	struct buf b;

	buf_init(&b, TEXT_MAX);
	buf_add_str(&b, "godwit ticket 1");
	put_span16(&b, t->tenant);
	put_span16(&b, t->account);
	put_span16(&b, t->origin);
	put_u64(&b, (uint64_t)t->at);
	gw_assert(!buf_failed(&b));
	s = buf_view(&b);
	if (HMAC(EVP_sha256(), key, TICKET_KEY, s.p, s.n, mac, &n) == NULL || n != MAC)
		die("HMAC-SHA-256 cannot be computed");
	buf_fini(&b);
}

void ticket_make(const uint8_t key[TICKET_KEY], const struct ticket *t, char text[TICKET_TEXT])
{
	uint8_t mac[MAC];
	int n = snprintf(text, TICKET_TEXT, "1.%llu.", (unsigned long long)t->at);

	mac_of(key, t, mac);
	for (size_t i = 0; i < MAC; i++)
		n += snprintf(text + n, TICKET_TEXT - (size_t)n, "%02x", mac[i]);
}

int ticket_verify(const uint8_t key[TICKET_KEY], struct span text, struct ticket *t)
{
	char want[TICKET_TEXT];
	struct span rest = span_skip(text, 2);
	ptrdiff_t dot = span_find(rest, '.');
	uint64_t at;

	if (!span_starts(text, SPAN("1.")) || dot <= 0 || text.n >= TICKET_TEXT ||
	    t->account.n + t->tenant.n + t->origin.n > TEXT_MAX / 2)
		return GW_EPERM;
	if (span_to_u64(span_first(rest, (size_t)dot), &at) < 0 || at > INT64_MAX)
		return GW_EPERM;
	t->at = (int64_t)at;
	ticket_make(key, t, want);
	if (strlen(want) != text.n || CRYPTO_memcmp(want, text.p, text.n) != 0)
		return GW_EPERM;
	return 0;
}
