#include "cmd/bench.h"

#include "cmd/flags.h"

#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static volatile sig_atomic_t interrupts;

static void on_signal(int sig)
{
	(void)sig;
	interrupts++;
}

void bench_catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	interrupts = 0;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

int bench_interrupts(void)
{
	return interrupts;
}

size_t bench_raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 256;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0 && getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return 256;
	return rl.rlim_cur > 1000000 ? 1000000 : (size_t)rl.rlim_cur;
}

int bench_fail(const char *tool, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "godwit bench %s: ", tool);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

int bench_number_parse(const char *text, uint64_t k, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n;

	if (flag_number(text, k, &n) < 0 || n < min || n > max)
		return GW_EFORMAT;
	*out = n;
	return 0;
}

/* ---- targets ----------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (ss->ss_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)ss)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(a) ||
		       (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return false;
}

/* Splits "host:port", "[host]:port" and "port" into two C strings. */
static int split_target(const char *text, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(text, ':');
	struct span name = colon ? span_of(text, (size_t)(colon - text)) : SPAN("127.0.0.1");

	*port = colon ? colon + 1 : text;
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = span_of(name.p + 1, name.n - 2);
	else if (span_find(name, ':') >= 0)
		return GW_EFORMAT;
	if (name.n == 0 || name.n >= size)
		return GW_EFORMAT;
	span_to_cstr(name, host, size);
	return 0;
}

int bench_target_parse(const char *text, struct bench_target *t)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found;
	char host[256];
	const char *port;
	uint64_t number;

	*t = (struct bench_target){0};
	if (split_target(text, host, sizeof(host), &port) < 0)
		return GW_EFORMAT;
	if (bench_number_parse(port, 1, 0, UINT16_MAX, &number) < 0)
		return GW_EFORMAT;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return GW_ENOENT;
	memcpy(&t->addr, found->ai_addr, found->ai_addrlen);
	t->len = found->ai_addrlen;
	freeaddrinfo(found);
	snprintf(t->text, sizeof(t->text), "%s", text);
	t->loopback = is_loopback(&t->addr);
	return 0;
}

/* ---- dispatch ---------------------------------------------------------------------------- */

static const struct {
	const char *name, *what;
	int (*run)(const struct cmd_globals *g, int argc, char **argv);
} tools[] = {
    {"source", "send numbered messages to a server", bench_source},
    {"sink", "take messages and count them", bench_sink},
    {"check", "compare what was acknowledged with what arrived", bench_check},
    {"disk", "what a bare write and flush costs here", bench_disk},
};

static int usage(FILE *to, int code)
{
	fputs("usage: godwit bench TOOL [options]\n\n", to);
	for (size_t i = 0; i < GW_ARRAY_LEN(tools); i++)
		fprintf(to, "  %-8s %s\n", tools[i].name, tools[i].what);
	fputs("\ngodwit bench TOOL --help lists the options of one.\n", to);
	return code;
}

int cmd_bench(const struct cmd_globals *g, int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, BENCH_USAGE);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout, BENCH_OK);
	for (size_t i = 0; i < GW_ARRAY_LEN(tools); i++) {
		if (strcmp(argv[1], tools[i].name) == 0) {
			optind = 0;
			return tools[i].run(g, argc - 1, argv + 1);
		}
	}
	fprintf(stderr, "godwit bench: no tool %s\n", argv[1]);
	return usage(stderr, BENCH_USAGE);
}
