/*
 * Threads that verify passwords: tens of milliseconds each, which no loop has. A thread sees a hash
 * and a password and says right or wrong; all decisions are the loop's. No queue here: who gives a
 * job asks for a free thread first.
 */
#ifndef GW_ROLE_VAULT_WORKERS_H
#define GW_ROLE_VAULT_WORKERS_H

#include "auth/passhash.h"
#include "net/loop.h"

struct vault_workers;

/* Lives in what the caller waits with; the caller's until it is given, and again when done. */
struct vault_job {
	struct span hash, password;
	enum passhash_answer answer;
};

/* The threads start at once: before the jail is sealed. done: on the loop. */
struct vault_workers *vault_workers_new(
    unsigned n, void (*done)(void *arg, struct vault_job *j), void *arg) gw_checked;
/* On the loop, behind the jail. */
void vault_workers_start(struct vault_workers *w, struct loop *l);
bool vault_workers_idle(const struct vault_workers *w);
/* One is idle. */
void vault_workers_give(struct vault_workers *w, struct vault_job *j);

#endif
