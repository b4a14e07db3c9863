/*
 * Memory that master makes before the first process and that outlives all others: a page of the
 * same size for each of n processes. Each child maps its own to write it, and those of the
 * others read-only if it is to see them: what is mapped that way can never be written. To
 * master and to the readers a page is hostile.
 */
#ifndef GW_ROLE_PAGES_H
#define GW_ROLE_PAGES_H

#include "base/base.h"

struct pages {
	int write_fd, read_fd;
	size_t n, size; /* size of one: a multiple of the machine's */
	void *all;      /* master's own view */
};

/* Dies. name: shown in /proc. size is rounded up. */
void pages_make(struct pages *p, const char *name, size_t n, size_t size);
/* In master. */
void *pages_at(const struct pages *p, size_t i);
/* In a child: gives up master's view. own: the page to be written, or n: none. seen: *all_out is
 * the first of all of them, read-only; p->size apart. */
void *pages_take(struct pages *p, size_t own, const void **all_out);

#endif
