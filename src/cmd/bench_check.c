#include "cmd/bench_check.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

struct check_options {
	const char *kills;
	int64_t window;
	bool json, quiet;
};

static const struct {
	const char *name;
	size_t offset;
} rows[] = {
    {"acked", offsetof(struct verdict, acked)},
    {"refused", offsetof(struct verdict, refused)},
    {"unknown", offsetof(struct verdict, unknown)},
    {"unsent", offsetof(struct verdict, unsent)},
    {"delivered", offsetof(struct verdict, delivered)},
    {"bounced", offsetof(struct verdict, bounced)},
    {"lost", offsetof(struct verdict, lost)},
    {"refused_seen", offsetof(struct verdict, refused_seen)},
    {"unsent_seen", offsetof(struct verdict, unsent_seen)},
    {"corrupt", offsetof(struct verdict, corrupt)},
    {"stray", offsetof(struct verdict, stray)},
    {"unknown_seen", offsetof(struct verdict, unknown_seen)},
    {"unknown_gone", offsetof(struct verdict, unknown_gone)},
    {"dup_excused", offsetof(struct verdict, dup_excused)},
    {"dup_unexcused", offsetof(struct verdict, dup_unexcused)},
    {"bad_lines", offsetof(struct verdict, bad_lines)},
};

static uint64_t value_of(const struct verdict *v, size_t row)
{
	uint64_t n;

	memcpy(&n, (const char *)v + rows[row].offset, sizeof(n));
	return n;
}

static void report_json(const struct verdict *v, bool good)
{
	printf("{\"event\":\"result\",\"tool\":\"check\",\"good\":%s", good ? "true" : "false");
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		printf(",\"%s\":%llu", rows[i].name, (unsigned long long)value_of(v, i));
	printf(",\"duplicates\":%llu,\"lost_first\":[",
	    (unsigned long long)(v->dup_excused + v->dup_unexcused));
	for (size_t i = 0; i < v->n_lost_first; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)v->lost_first[i]);
	puts("]}");
}

static void report_text(const struct verdict *v, bool good)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++)
		printf("%-14s %llu\n", rows[i].name, (unsigned long long)value_of(v, i));
	for (size_t i = 0; i < v->n_lost_first; i++)
		printf("lost number    %llu\n", (unsigned long long)v->lost_first[i]);
	puts(good ? "nothing lost, nothing that must not have come" : "NOT GOOD");
}

static int read_failed(const char *path, int err)
{
	if (err == GW_EIO)
		return bench_fail("check", BENCH_NOINPUT, "%s: %s", path, strerror(errno));
	return bench_fail("check", BENCH_USAGE, "%s: %s", path,
	    err == GW_EFULL ? "too long to check" : "not the ledger that is wanted here");
}

static int run(const struct check_options *opt, struct checker *c, int n, char **paths)
{
	struct verdict v;
	int err = checker_source(c, paths[0]);
	bool good;

	if (err < 0)
		return read_failed(paths[0], err);
	checker_window(c, opt->window);
	if (opt->kills != NULL && (err = checker_kills(c, opt->kills)) < 0)
		return read_failed(opt->kills, err);
	for (int i = 1; i < n; i++)
		if ((err = checker_sink(c, paths[i])) < 0)
			return read_failed(paths[i], err);
	v = checker_verdict(c);
	good = verdict_good(&v, opt->kills != NULL);
	if (opt->json)
		report_json(&v, good);
	else if (!opt->quiet)
		report_text(&v, good);
	return good ? BENCH_OK : BENCH_NO;
}

static const char usage[] =
    "usage: godwit bench check SOURCE.ledger SINK.ledger... [options]\n"
    "\n"
    "Compares what was acknowledged with what arrived. Ends with 1 if anything was lost, came\n"
    "though it was refused or never sent, came damaged, or is of another run.\n"
    "\n"
    "  --kills FILE       when the server was killed: {\"begin\":T,\"end\":T} lines; a duplicate\n"
    "                     without a kill near its first arrival then also ends with 1\n"
    "  --window MS        how near is near (1000)\n"
    "  --json --quiet\n";

enum { OPT_KILLS = 256, OPT_WINDOW, OPT_JSON, OPT_QUIET };

static int take_option(struct check_options *opt, int c)
{
	uint64_t n;

	switch (c) {
	case OPT_KILLS: opt->kills = optarg; break;
	case OPT_WINDOW:
		if (bench_number_parse(optarg, 1000, 0, 3600000, &n) < 0)
			return bench_fail(
			    "check", BENCH_USAGE, "--window %s: milliseconds", optarg);
		opt->window = (int64_t)n * 1000;
		break;
	case OPT_JSON: opt->json = true; break;
	case OPT_QUIET: opt->quiet = true; break;
	case 'h': fputs(usage, stdout); return -1;
	default: fputs(usage, stderr); return BENCH_USAGE;
	}
	return BENCH_OK;
}

int bench_check(const struct cmd_globals *g, int argc, char **argv)
{
	static const struct option table[] = {
	    {"kills", required_argument, NULL, OPT_KILLS},
	    {"window", required_argument, NULL, OPT_WINDOW},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"quiet", no_argument, NULL, OPT_QUIET},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct check_options opt = {.window = 1000000, .json = g->json, .quiet = g->quiet};
	struct checker *c;
	int o, code;

	while ((o = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		code = take_option(&opt, o);
		if (code != BENCH_OK)
			return code < 0 ? BENCH_OK : code;
	}
	if (argc - optind < 2) {
		fputs(usage, stderr);
		return BENCH_USAGE;
	}
	c = checker_new();
	code = run(&opt, c, argc - optind, argv + optind);
	checker_free(&c);
	return code;
}
