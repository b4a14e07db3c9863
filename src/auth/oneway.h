/*
 * Numbers that may be seen, made of numbers that may not be: what the broker rolls can be rolled
 * back by who sees it (flow/sched.h), and then all that comes after is known.
 */
#ifndef GW_AUTH_ONEWAY_H
#define GW_AUTH_ONEWAY_H

#include <stdint.h>

enum { ONEWAY_SIZE = 16 };

/* Nothing about the two can be told from out (BLAKE2b). */
void oneway(uint64_t a, uint64_t b, uint8_t out[ONEWAY_SIZE]);

#endif
