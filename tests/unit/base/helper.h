/* What the tests of base/ share: cmocka with what it needs. */
#ifndef GW_TEST_BASE_HELPER_H
#define GW_TEST_BASE_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

/* Small numbers by a seed, for tests against a model. */
static inline uint32_t helper_random(uint64_t *state, uint32_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33) % below;
}

#endif
