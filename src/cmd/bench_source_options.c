/* The options of godwit bench source, judged before anything is sent. */
#include "cmd/bench_source.h"

#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS_MAX = 50000, RCPTS_MAX = 500, SPARE_DESCRIPTORS = 32, KEEP_GOING_DEFAULT = 30 };

static const char usage[] =
    "usage: godwit bench source HOST:PORT [options]\n"
    "\n"
    "Sends numbered messages over many SMTP sessions and says what became of each number.\n"
    "\n"
    "  --sessions N       connections at the same time (50)\n"
    "  --messages N       how many, 20k for 20000 (20000)\n"
    "  --size N           bytes of body, 4k for 4096 (4096)\n"
    "  --rcpts N          recipients of each message (1)\n"
    "  --per-session N    a new connection after N messages; 1: one message each (no limit)\n"
    "  --pipeline         envelopes in one write, where the server offers PIPELINING\n"
    "  --lone             one session, one message after another\n"
    "  --tls              TLS from the first octet; the certificate is not looked at\n"
    "  --from ADDRESS     (bench@example.org)\n"
    "  --to ADDRESS       %d stands for the number (sink@example.net)\n"
    "  --ehlo NAME        (bench.example)\n"
    "  --ledger FILE      keep the fate of every number, one JSON line each\n"
    "  --run NAME         name of the run, up to 16 letters and digits (random)\n"
    "  --first N          the first number (1)\n"
    "  --timeout S        how long to wait for a reply (60)\n"
    "  --keep-going[=S]   reconnect, until nothing was acknowledged for S seconds (30)\n"
    "  --i-own-the-target needed for a target outside loopback\n"
    "  --json --quiet\n";

enum { OPT_LONE = 256, OPT_OWN, OPT_JSON, OPT_QUIET, OPT_KEEP, OPT_PIPELINE, OPT_TLS, OPT_HELP };

struct number_option {
	const char *name;
	uint64_t k, min, max;
	size_t offset;
};

#define FIELD(f) offsetof(struct source_options, f)

static const struct number_option numbers[] = {
    {"sessions", 1000, 1, SESSIONS_MAX, FIELD(sessions)},
    {"messages", 1000, 1, UINT32_MAX, FIELD(messages)},
    {"size", 1024, 8, POOL_SIZE_MAX, FIELD(size)},
    {"rcpts", 1000, 1, RCPTS_MAX, FIELD(rcpts)},
    {"per-session", 1000, 1, UINT32_MAX, FIELD(per_session)},
    {"first", 1000, 1, UINT32_MAX, FIELD(first)},
    {"timeout", 1000, 1, 86400, FIELD(timeout)},
};

static const struct {
	const char *name;
	size_t offset;
} texts[] = {
    {"from", FIELD(from)},
    {"to", FIELD(to)},
    {"ehlo", FIELD(helo)},
    {"ledger", FIELD(ledger)},
    {"run", FIELD(run)},
};

static const struct {
	const char *name;
	int code, arg;
} flags[] = {
    {"pipeline", OPT_PIPELINE, no_argument},
    {"tls", OPT_TLS, no_argument},
    {"lone", OPT_LONE, no_argument},
    {"i-own-the-target", OPT_OWN, no_argument},
    {"json", OPT_JSON, no_argument},
    {"quiet", OPT_QUIET, no_argument},
    {"keep-going", OPT_KEEP, optional_argument},
    {"help", OPT_HELP, no_argument},
};

enum {
	N_NUMBERS = GW_ARRAY_LEN(numbers),
	N_TEXTS = GW_ARRAY_LEN(texts),
	N_FLAGS = GW_ARRAY_LEN(flags),
};

/* getopt's table: the value is an index into numbers, N_NUMBERS + an index into texts, or a code.
 */
static void make_table(struct option *table)
{
	for (int i = 0; i < N_NUMBERS; i++)
		*table++ = (struct option){numbers[i].name, required_argument, NULL, i};
	for (int i = 0; i < N_TEXTS; i++)
		*table++ = (struct option){texts[i].name, required_argument, NULL, N_NUMBERS + i};
	for (int i = 0; i < N_FLAGS; i++)
		*table++ = (struct option){flags[i].name, flags[i].arg, NULL, flags[i].code};
	*table = (struct option){0};
}

static int take_number(
    struct source_options *opt, const struct number_option *row, const char *text)
{
	uint64_t n;

	if (bench_number_parse(text, row->k, row->min, row->max, &n) < 0)
		return bench_fail("source", BENCH_USAGE, "--%s: %s is not within %llu and %llu",
		    row->name, text, (unsigned long long)row->min, (unsigned long long)row->max);
	memcpy((char *)opt + row->offset, &n, sizeof(n));
	return BENCH_OK;
}

static int take_flag(struct source_options *opt, int code)
{
	static const struct number_option keep = {"keep-going", 1000, 1, 86400, FIELD(keep_going)};

	switch (code) {
	case OPT_PIPELINE: opt->pipeline = true; break;
	case OPT_TLS: opt->tls = true; break;
	case OPT_LONE: opt->sessions = 1; break;
	case OPT_OWN: opt->own = true; break;
	case OPT_JSON: opt->json = true; break;
	case OPT_QUIET: opt->quiet = true; break;
	case OPT_KEEP:
		opt->keep_going = KEEP_GOING_DEFAULT;
		return optarg ? take_number(opt, &keep, optarg) : BENCH_OK;
	default: fprintf(stderr, "%s", usage); return BENCH_USAGE;
	}
	return BENCH_OK;
}

static int take_options(struct source_options *opt, int argc, char **argv)
{
	struct option table[N_NUMBERS + N_TEXTS + N_FLAGS + 1];
	int c, err = BENCH_OK;

	make_table(table);
	while (err == BENCH_OK && (c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		if (c == 'h' || c == OPT_HELP) {
			fputs(usage, stdout);
			return -1;
		}
		if (c < N_NUMBERS)
			err = take_number(opt, &numbers[c], optarg);
		else if (c < N_NUMBERS + N_TEXTS)
			memcpy((char *)opt + texts[c - N_NUMBERS].offset, &optarg, sizeof(optarg));
		else
			err = take_flag(opt, c);
	}
	return err;
}

static bool is_address(const char *s)
{
	return strlen(s) <= 256 && strpbrk(s, "<> \t\r\n") == NULL;
}

static bool is_run(const char *s)
{
	return *s && strlen(s) <= RUN_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
		   strlen(s);
}

static int judge(struct source_options *opt)
{
	size_t descriptors = bench_raise_nofile();

	if (!is_address(opt->from) || !is_address(opt->to) || strchr(opt->to, '@') == NULL)
		return bench_fail("source", BENCH_USAGE, "--from and --to want plain addresses");
	if (strpbrk(opt->helo, " \r\n") != NULL || strlen(opt->helo) > 255)
		return bench_fail("source", BENCH_USAGE, "--ehlo wants one word");
	if (opt->run != NULL && !is_run(opt->run))
		return bench_fail("source", BENCH_USAGE, "--run wants up to 16 letters and digits");
	if (opt->sessions > opt->messages)
		opt->sessions = opt->messages;
	if (opt->sessions + SPARE_DESCRIPTORS > descriptors)
		return bench_fail("source", BENCH_USAGE,
		    "--sessions %llu: only %zu descriptors here (ulimit -n)",
		    (unsigned long long)opt->sessions, descriptors);
	if (!opt->target.loopback && !opt->own)
		return bench_fail("source", BENCH_DENIED,
		    "%s is not on loopback: --i-own-the-target if it is yours to load",
		    opt->target.text);
	return BENCH_OK;
}

int bench_source(const struct cmd_globals *g, int argc, char **argv)
{
	struct source_options opt = {
	    .sessions = 50,
	    .messages = 20000,
	    .size = 4096,
	    .rcpts = 1,
	    .first = 1,
	    .timeout = 60,
	    .from = "bench@example.org",
	    .to = "sink@example.net",
	    .helo = "bench.example",
	    .json = g->json,
	    .quiet = g->quiet,
	};
	int err = take_options(&opt, argc, argv);

	if (err != BENCH_OK)
		return err < 0 ? BENCH_OK : err;
	if (optind != argc - 1) {
		fputs(usage, stderr);
		return BENCH_USAGE;
	}
	err = bench_target_parse(argv[optind], &opt.target);
	if (err < 0)
		return bench_fail("source", BENCH_USAGE, "%s: %s", argv[optind],
		    err == GW_ENOENT ? "no such host" : "HOST:PORT is wanted");
	err = judge(&opt);
	return err != BENCH_OK ? err : source_run(&opt);
}
