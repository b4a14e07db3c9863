/* Files that came as descriptors, and memory files that leave. */
#include "role/file_read.h"
#include "role/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page that is in no core file, and not in swap if that can be had. */
static void *private_memory(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, n, MADV_DONTDUMP);
	(void)mlock(p, n);
	return p;
}

int vault_read(int fd, size_t most, struct span *s, const char **why)
{
	/* The jail has no fstat(). */
	off_t n = lseek(fd, 0, SEEK_END);
	uint8_t *p;

	*s = SPAN_NONE;
	if (n < 0) {
		*why = "the file cannot be read";
		return GW_EIO;
	}
	if ((uint64_t)n > most) {
		*why = "the file is too large";
		return GW_EFULL;
	}
	if (n == 0)
		return 0;
	p = private_memory((size_t)n);
	if (p == NULL) {
		*why = "there is no memory for the file";
		return GW_EIO;
	}
	*s = span_of(p, (size_t)n);
	if (file_read_all(fd, p, (size_t)n) == n)
		return 0;
	vault_unread(s);
	*why = "the file cannot be read, or became shorter meanwhile";
	return GW_EIO;
}

void vault_unread(struct span *s)
{
	void *p = (void *)(uintptr_t)s->p;

	if (p != NULL) {
		OPENSSL_cleanse(p, s->n);
		munmap(p, s->n);
	}
	*s = SPAN_NONE;
}

static bool fill(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = span_skip(s, (size_t)n);
	}
	return true;
}

int vault_seal(const char *name, struct span s)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (fill(fd, s) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	close(fd);
	return -1;
}
