/*
 * The accounts of the simulated world: two, each active or suspended, and mail of nobody's account.
 * The vault tells the queue at some time after its start, and whenever somebody changed one. No
 * mail of an account may be given to a worker before that, nor while it is suspended.
 */
#ifndef GW_TESTS_SIM_PEOPLE_H
#define GW_TESTS_SIM_PEOPLE_H

#include "sim/world.h"

enum { PEOPLE = 2 };

/* The account that sent this mail; NULL: none. */
const char *people_account(const struct mail *m) gw_checked;
/* A table in which those of these bits are suspended. */
struct accounts *people_table(unsigned suspended) gw_checked;

/* Tells the queue of the world; the old table is freed. */
void people_tell(struct world *w);
/* Somebody suspends an account, or activates one, or the vault tells late. */
void people_step(struct world *w);
/* All are active again. */
void people_calm(struct world *w);
/* A worker gets this mail: may it? */
void people_check(const struct world *w, const struct mail *m);

#endif
