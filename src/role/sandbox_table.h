/*
 * The system calls of each role as a table, and the filters made from it. Only sandbox.c calls
 * this.
 *
 * A filter is made long before it is loaded, once, by master: libseccomp needs a thousand small
 * allocations for it, and where one of them fails it loops for ever or makes another filter than
 * was asked for. Loading needs none.
 */
#ifndef GW_ROLE_SANDBOX_TABLE_H
#define GW_ROLE_SANDBOX_TABLE_H

#include "base/base.h"

/* Groups of calls; a jail is a set of them. */
enum call_set {
	CALLS_BASE = 1 << 0,     /* memory, clock, loop, descriptors that are open already */
	CALLS_ACCEPT = 1 << 1,   /* take connections from a listening socket */
	CALLS_CONNECT = 1 << 2,  /* make connections: TCP and Unix streams, nothing else */
	CALLS_LOG = 1 << 3,      /* plain files in one flat directory, flushes, threads that run */
	CALLS_MAILDIR = 1 << 4,  /* files and directories of a mailbox */
	CALLS_FORK = 1 << 5,     /* children, and what they need until they are jailed themselves */
	CALLS_SECRETS = 1 << 7,  /* threads that run; reads from files that were opened for it;
				    sealed memory files */
	CALLS_NAMES = 1 << 8,    /* ask servers for names: UDP and TCP */
	CALLS_DATABASE = 1 << 9, /* plain files in one directory, with locks and other names */
	CALLS_DELIVERY = 1 << 6, /* memory and open descriptors, for the child that delivers */
};

struct sock_filter;
struct sandbox_filter {
	struct sock_filter *code;
	unsigned short n;
	bool open; /* allows what it does not name */
};

/* Any other call kills the process that loads it. It is kept until the end. Dies when it cannot be
 * made. */
void sandbox_filter_make(unsigned sets, struct sandbox_filter *f);
/* The other way round, for programs that are not ours: what only administrators and debuggers need
 * is refused with EPERM, all else allowed. */
void sandbox_filter_refuse(struct sandbox_filter *f);
/* Puts it in force on all threads. Dies when refused. */
void sandbox_filter_load(const struct sandbox_filter *f);

#endif
