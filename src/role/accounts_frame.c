#include "role/accounts_frame.h"

#include "base/log.h"

#include <sys/mman.h>
#include <unistd.h>

/*
 * The text is parsed from a mapping: the memory file is sealed, and all who have it share one
 * position in it. fstat() is nothing that a receiver may call.
 */
static struct accounts *read_table(int fd, struct accounts_error *e)
{
	off_t n = lseek(fd, 0, SEEK_END);
	struct accounts *a;
	void *at;

	if (n < 0 || n > ACCOUNTS_TEXT_MAX)
		return NULL;
	if (n == 0)
		return accounts_parse(SPAN_NONE, e);
	at = mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	a = accounts_parse(span_of(at, (size_t)n), e);
	munmap(at, (size_t)n);
	return a;
}

int accounts_frame_take(const struct ipc_frame *f, struct accounts **table)
{
	struct accounts_error e = {.text = "it cannot be read"};
	struct accounts *a = read_table(f->fd, &e);

	close(f->fd);
	if (a == NULL) {
		log_error("the accounts from the vault: line %u: %s", e.line, e.text);
		return GW_EFORMAT;
	}
	accounts_free(table);
	*table = a;
	return 0;
}
