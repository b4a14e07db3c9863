#include "role/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MACHINE_PAGE = 4096 };

static void *map(const struct pages *p, bool write, size_t first, size_t n)
{
	int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
	void *at = mmap(NULL, n * p->size, protection, MAP_SHARED, write ? p->write_fd : p->read_fd,
	    (off_t)(first * p->size));

	if (at == MAP_FAILED)
		die("shared pages cannot be mapped: %s", strerror(errno));
	return at;
}

void pages_make(struct pages *p, const char *name, size_t n, size_t size)
{
	char path[64];

	*p =
	    (struct pages){.n = n, .size = (size + MACHINE_PAGE - 1) / MACHINE_PAGE * MACHINE_PAGE};
	p->write_fd = memfd_create(name, MFD_CLOEXEC);
	if (p->write_fd < 0 || ftruncate(p->write_fd, (off_t)(n * p->size)) < 0)
		die("no memory for %s: %s", name, strerror(errno));
	/* A second description that only reads: what is mapped through it can never be written. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->write_fd);
	p->read_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (p->read_fd < 0)
		die("%s: %s", path, strerror(errno));
	p->all = map(p, true, 0, n);
}

void *pages_at(const struct pages *p, size_t i)
{
	gw_assert(i < p->n);
	return (char *)p->all + i * p->size;
}

void *pages_take(struct pages *p, size_t own, const void **all_out)
{
	void *page = own < p->n ? map(p, true, own, 1) : NULL;

	munmap(p->all, p->n * p->size);
	p->all = NULL;
	if (all_out != NULL)
		*all_out = map(p, false, 0, p->n);
	return page;
}
