/* A folder in memory with a disk of which the power can be cut, for the tests of disk_cut. */
#ifndef GW_TESTS_DISK_CUT_FIXTURE_H
#define GW_TESTS_DISK_CUT_FIXTURE_H

#include "spool/disk_cut.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];
static uint64_t rng;

static inline uint64_t below(uint64_t n)
{
	uint64_t z = (rng += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (z ^ (z >> 31)) % n;
}

static inline int dir_fd(void)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline struct disk *open_cut(enum disk_cut_lie lie)
{
	struct disk *d = disk_cut_new(dir_fd(), lie);

	assert_non_null(d);
	return d;
}

static inline struct disk_cut_tally cut(uint64_t seed)
{
	struct disk_cut_tally t = {0};
	int fd = dir_fd();

	assert_int_equal(disk_cut_power_cut(fd, seed, &t), 0);
	close(fd);
	return t;
}

static inline int set_up(void **state)
{
	(void)state;
	/* In memory if possible: hundreds of flushes, and no power is cut here. */
	snprintf(path, sizeof(path), "%s/disk-cut-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	return mkdtemp(path) ? 0 : -1;
}

#endif
