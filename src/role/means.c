#include "role/means.h"

#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* reserve: octets, for what is under way when nothing new is taken any more.
 * victim: added to the kernel's score of whom to end when memory is out. */
static const struct means {
	unsigned reserve, victim;
} means[ROLE_COUNT] = {
    [ROLE_MASTER] = {1 << 20, 0},
    [ROLE_SMTPD] = {4 << 20, 200},
    [ROLE_QUEUE] = {8 << 20, 0},
    [ROLE_SENDER] = {4 << 20, 300},
    [ROLE_MDA] = {1 << 20, 300},
    [ROLE_CONTROL] = {1 << 20, 400},
    [ROLE_VAULT] = {2 << 20, 100},
    [ROLE_RESOLVER] = {2 << 20, 300},
    [ROLE_HISTORY] = {1 << 20, 400},
};

/* Raising the own score needs no privilege. Without /proc the kernel judges by size alone. */
static void offer_as_victim(unsigned more)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	int n;

	if (fd < 0)
		return;
	if (more > 0 && read(fd, text, sizeof(text) - 1) > 0) {
		long score = strtol(text, NULL, 10) + (long)more;

		n = snprintf(text, sizeof(text), "%ld", score < 1000 ? score : 1000);
		(void)!pwrite(fd, text, (size_t)n, 0);
	}
	close(fd);
}

void means_take(enum role role)
{
	memory_reserve(means[role].reserve);
	offer_as_victim(means[role].victim);
}

bool means_descriptors(unsigned n)
{
	int *fd = gw_calloc(n, sizeof(*fd));
	unsigned have = 0;

	while (have < n && (fd[have] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		have++;
	for (unsigned i = 0; i < have; i++)
		close(fd[i]);
	free(fd);
	return have == n;
}
