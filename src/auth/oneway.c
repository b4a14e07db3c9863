#include "auth/oneway.h"

#include "base/base.h"

#include <sodium.h>
#include <string.h>

void oneway(uint64_t a, uint64_t b, uint8_t out[ONEWAY_SIZE])
{
	uint8_t in[2 * sizeof(uint64_t)];

	memcpy(in, &a, sizeof(a));
	memcpy(in + sizeof(a), &b, sizeof(b));
	gw_assert(crypto_generichash(out, ONEWAY_SIZE, in, sizeof(in), NULL, 0) == 0);
	sodium_memzero(in, sizeof(in));
}
