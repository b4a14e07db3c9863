#include "role/file_read.h"

#include <errno.h>
#include <unistd.h>

ptrdiff_t file_read_all(int fd, void *to, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = pread(fd, (char *)to + have, n - have, (off_t)have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return GW_EIO;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ptrdiff_t)have;
}
