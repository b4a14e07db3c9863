/*
 * The anchors every other figure is read against: one writer that appends 4 KiB
 * and flushes, over and over, into a file that was preallocated and written
 * once before (as the spool's segments are), and the rate of writing it in
 * large pieces.
 */
#include "cmd/bench.h"

#include "base/clock.h"
#include "cmd/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	APPEND = 4096,
	PIECE = 1 << 20,
	FILE_MIB = 256,
};

struct disk_options {
	const char *dir;
	uint64_t count;
	bool json, quiet;
};

struct disk_run {
	int fd;
	char *piece;
	struct latency *latency;
	double mib_per_s;
};

/* Gone with the descriptor, however the run ends. */
static int open_scratch(const char *dir)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/.godwit-bench-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && unlink(path) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int write_all(int fd, const char *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return GW_EIO;
		p += done;
		n -= (size_t)done;
		at += done;
	}
	return 0;
}

/* Writes the file from end to end and flushes: microseconds, or GW_EIO. */
static int64_t write_through(struct disk_run *r)
{
	int64_t begin = clock_now();

	for (off_t i = 0; i < FILE_MIB; i++)
		if (write_all(r->fd, r->piece, PIECE, i * PIECE) < 0)
			return GW_EIO;
	if (fdatasync(r->fd) < 0)
		return GW_EIO;
	return clock_now() - begin;
}

static int measure_rate(struct disk_run *r)
{
	int64_t usec;

	if (posix_fallocate(r->fd, 0, (off_t)FILE_MIB * PIECE) != 0)
		return GW_ENOSPC;
	if (write_through(r) < 0)
		return GW_EIO;
	usec = write_through(r);
	if (usec < 0)
		return GW_EIO;
	r->mib_per_s = FILE_MIB / ((double)(usec > 0 ? usec : 1) / USEC_PER_SEC);
	return 0;
}

static int measure_appends(struct disk_run *r, uint64_t count, struct progress *p)
{
	const uint64_t places = (uint64_t)FILE_MIB * PIECE / APPEND;

	for (uint64_t i = 0; i < count && bench_interrupts() == 0; i++) {
		int64_t begin = clock_now();

		/* Fresh bytes: a device may notice that nothing changed. */
		memcpy(r->piece, &i, sizeof(i));
		if (write_all(r->fd, r->piece, APPEND, (off_t)(i % places) * APPEND) < 0)
			return GW_EIO;
		if (fdatasync(r->fd) < 0)
			return GW_EIO;
		latency_add(r->latency, clock_now() - begin);
		progress_update(p, (int64_t)i, clock_now());
	}
	return 0;
}

static void report(const struct disk_options *opt, const struct disk_run *r, double seconds)
{
	const struct latency *l = r->latency;
	double p50 = (double)latency_at(l, 0.5) / 1000, p99 = (double)latency_at(l, 0.99) / 1000;
	double rate = seconds > 0 ? (double)l->count / seconds : 0;

	if (opt->json)
		printf("{\"event\":\"result\",\"tool\":\"disk\",\"appends\":%llu,\"p50_ms\":%.3f,"
		       "\"p99_ms\":%.3f,\"max_ms\":%.3f,\"rate\":%.1f,\"mib_per_s\":%.1f}\n",
		    (unsigned long long)l->count, p50, p99, (double)l->max / 1000, rate,
		    r->mib_per_s);
	else
		printf("4 KiB write + fdatasync: p50 %.3f  p99 %.3f  max %.3f ms, %.0f/s\n"
		       "sequential write: %.0f MiB/s\n",
		    p50, p99, (double)l->max / 1000, rate, r->mib_per_s);
}

static int disk_run(const struct disk_options *opt)
{
	struct disk_run r = {.fd = open_scratch(opt->dir)};
	struct progress p;
	int64_t begin;
	int err;

	if (r.fd < 0)
		return bench_fail("disk", BENCH_CANTCREATE, "%s: %s", opt->dir, strerror(errno));
	r.piece = gw_calloc(1, PIECE);
	r.latency = gw_calloc(1, sizeof(*r.latency));
	bench_catch_signals();
	err = measure_rate(&r);
	begin = clock_now();
	progress_begin(&p, "flushed", (int64_t)opt->count, progress_mode_of(opt->json, opt->quiet),
	    opt->json ? STDOUT_FILENO : STDERR_FILENO, begin);
	if (err == 0)
		err = measure_appends(&r, opt->count, &p);
	progress_end(&p, (int64_t)r.latency->count, clock_now());
	if (err == 0)
		report(opt, &r, (double)(clock_now() - begin) / USEC_PER_SEC);
	close(r.fd);
	free(r.piece);
	free(r.latency);
	if (err < 0)
		return bench_fail("disk", BENCH_NO, "%s: %s", opt->dir, gw_strerror(err));
	return bench_interrupts() > 0 ? BENCH_INTERRUPTED : BENCH_OK;
}

static const char usage[] =
    "usage: godwit bench disk [DIR] [options]\n"
    "\n"
    "What one 4 KiB write and flush costs in a preallocated file of DIR (here), and how fast\n"
    "the file is written in large pieces. Needs 256 MiB for a moment.\n"
    "\n"
    "  --count N          how many writes (4000)\n"
    "  --json --quiet\n";

enum { OPT_COUNT = 256, OPT_JSON, OPT_QUIET };

int bench_disk(const struct cmd_globals *g, int argc, char **argv)
{
	static const struct option table[] = {
	    {"count", required_argument, NULL, OPT_COUNT},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"quiet", no_argument, NULL, OPT_QUIET},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct disk_options opt = {".", 4000, g->json, g->quiet};
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (c) {
		case OPT_COUNT:
			if (bench_number_parse(optarg, 1000, 1, 10000000, &opt.count) < 0)
				return bench_fail(
				    "disk", BENCH_USAGE, "--count %s: not a number", optarg);
			break;
		case OPT_JSON: opt.json = true; break;
		case OPT_QUIET: opt.quiet = true; break;
		case 'h': fputs(usage, stdout); return BENCH_OK;
		default: fputs(usage, stderr); return BENCH_USAGE;
		}
	}
	if (optind < argc)
		opt.dir = argv[optind];
	return disk_run(&opt);
}
