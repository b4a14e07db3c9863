#include "cmd/bench_sink.h"

#include "base/clock.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	TAKER_MAGIC = GW_MAGIC('b', 't', 'a', 'k'),
	EVENTS = 256,
	BACKLOG = 4096,
	SPARE_DESCRIPTORS = 32,
	/* A whole chunk of the shortest commands has less to say than this. */
	REPLIES_MAX = 16 * SINK_CHUNK,
	RECIPIENTS_MAX = 64 << 10,
};

static const int64_t sweep_every = 100 * USEC_PER_MSEC;

/* ---- sessions ---------------------------------------------------------------------------- */

static void watch(struct sink *k, int op, int fd, uint32_t events, void *who)
{
	struct epoll_event ev = {.events = events, .data.ptr = who};

	if (epoll_ctl(k->epoll, op, fd, &ev) < 0)
		die("epoll: %s", strerror(errno));
}

static void list_for_writing(struct sink *k, struct taker *t)
{
	if (t->waiting)
		return;
	t->waiting = true;
	k->turn[k->n_turn++] = t;
}

static void taker_open(struct sink *k, int fd)
{
	struct taker *t = gw_calloc(1, sizeof(*t));
	int one = 1;

	t->magic = TAKER_MAGIC;
	t->fd = fd;
	scan_init(&t->scan);
	buf_init(&t->out, REPLIES_MAX);
	buf_init(&t->to, RECIPIENTS_MAX);
	t->next = k->all;
	if (k->all != NULL)
		k->all->prev = t;
	k->all = t;
	k->open++;
	k->count.sessions++;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(k, EPOLL_CTL_ADD, fd, EPOLLIN, t);
	taker_greet(k, t);
	list_for_writing(k, t);
}

static void taker_close(struct sink *k, struct taker *t)
{
	close(t->fd);
	scan_fini(&t->scan);
	buf_fini(&t->out);
	buf_fini(&t->to);
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		k->all = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->magic = 0;
	free(t);
	k->open--;
	if (k->paused) {
		k->paused = false;
		watch(k, EPOLL_CTL_MOD, k->listener, EPOLLIN, NULL);
	}
}

static void accept_all(struct sink *k)
{
	/* At most as many as fit into this turn's list. */
	while (k->n_turn < k->room && k->open < k->room) {
		int fd = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			break;
		taker_open(k, fd);
	}
	if (k->open >= k->room) {
		k->paused = true;
		watch(k, EPOLL_CTL_MOD, k->listener, 0, NULL);
	}
}

static void taker_read(struct sink *k, struct taker *t)
{
	ssize_t n = recv(t->fd, k->chunk, SINK_CHUNK, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		taker_feed(k, t, span_of(k->chunk, (size_t)n));
	else
		t->gone = true;
	if (t->gone || buf_len(&t->out) > 0)
		list_for_writing(k, t);
}

/* Replies of this turn; the ledger is written. */
static void taker_write(struct sink *k, struct taker *t)
{
	bool blocked = false;

	t->waiting = false;
	while (!t->gone && !blocked && buf_len(&t->out) > 0) {
		struct span out = buf_view(&t->out);
		ssize_t n = send(t->fd, out.p, out.n, MSG_NOSIGNAL);

		if (n > 0)
			buf_drop(&t->out, (size_t)n);
		else if (errno == EAGAIN)
			blocked = true;
		else if (errno != EINTR)
			t->gone = true;
	}
	if (t->gone || buf_failed(&t->out) || (t->closing && !blocked)) {
		taker_close(k, t);
	} else if (blocked != t->blocked) {
		t->blocked = blocked;
		watch(k, EPOLL_CTL_MOD, t->fd, blocked ? EPOLLOUT : EPOLLIN, t);
	}
}

static void on_event(struct sink *k, const struct epoll_event *ev)
{
	struct taker *t = ev->data.ptr;

	if (t == NULL) {
		accept_all(k);
		return;
	}
	gw_check_magic(t, TAKER_MAGIC);
	if (t->blocked)
		list_for_writing(k, t);
	else
		taker_read(k, t);
}

/* ---- the loop ---------------------------------------------------------------------------- */

static void end_turn(struct sink *k)
{
	size_t n = k->n_turn;

	if (ledger_kept(&k->ledger))
		ledger_flush(&k->ledger);
	k->n_turn = 0;
	for (size_t i = 0; i < n; i++)
		taker_write(k, k->turn[i]);
}

static bool is_over(const struct sink *k)
{
	int64_t quiet = (int64_t)k->opt.quiet_time * USEC_PER_MSEC;

	if (bench_interrupts() > 0 || k->full || k->ledger.failed)
		return true;
	return k->opt.expect > 0 && k->count.distinct >= k->opt.expect &&
	       clock_wall() - k->count.last > quiet;
}

static void run_loop(struct sink *k, struct progress *p)
{
	struct epoll_event ev[EVENTS];
	int64_t swept = 0, now;
	bool over = false;

	while (!over) {
		int n = epoll_wait(k->epoll, ev, EVENTS, 100);

		if (n < 0 && errno != EINTR)
			die("epoll: %s", strerror(errno));
		for (int i = 0; i < n; i++)
			on_event(k, &ev[i]);
		end_turn(k);
		now = clock_now();
		if (now - swept >= sweep_every) {
			swept = now;
			progress_update(p, (int64_t)k->count.distinct, now);
			over = is_over(k);
		}
	}
}

/* ---- the report -------------------------------------------------------------------------- */

static double rate_of(const struct sink_counts *c)
{
	int64_t usec = c->last - c->first;

	return usec > 0 ? (double)c->messages * (double)USEC_PER_SEC / (double)usec : 0;
}

static void report_json(const struct sink *k)
{
	const struct sink_counts *c = &k->count;
	json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "event", "result",
	    "tool", "sink", "sessions", (json_int_t)c->sessions, "messages",
	    (json_int_t)c->messages, "bytes", (json_int_t)c->bytes, "arrived",
	    (json_int_t)c->arrived, "distinct", (json_int_t)c->distinct, "duplicates",
	    (json_int_t)c->duplicates, "corrupt", (json_int_t)c->corrupt, "unnumbered",
	    (json_int_t)c->unnumbered, "bounces", (json_int_t)c->bounces);

	if (o == NULL)
		die("out of memory");
	json_object_set_new(o, "first", json_real((double)c->first / USEC_PER_SEC));
	json_object_set_new(o, "last", json_real((double)c->last / USEC_PER_SEC));
	json_object_set_new(o, "rate", json_real(rate_of(c)));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
	putchar('\n');
	json_decref(o);
}

static void report_text(const struct sink *k)
{
	const struct sink_counts *c = &k->count;
	char n[4][32];

	printf("%s messages, %s distinct deliveries, %s duplicates, %s corrupt",
	    progress_count((int64_t)c->messages, n[0], sizeof(n[0])),
	    progress_count((int64_t)c->distinct, n[1], sizeof(n[1])),
	    progress_count((int64_t)c->duplicates, n[2], sizeof(n[2])),
	    progress_count((int64_t)c->corrupt, n[3], sizeof(n[3])));
	printf(", %s unnumbered, %s bounces\n",
	    progress_count((int64_t)c->unnumbered, n[0], sizeof(n[0])),
	    progress_count((int64_t)c->bounces, n[1], sizeof(n[1])));
	printf("%s msg/s over %.3f s, %s sessions\n",
	    progress_count((int64_t)rate_of(c), n[0], sizeof(n[0])),
	    (double)(c->last - c->first) / USEC_PER_SEC,
	    progress_count((int64_t)c->sessions, n[1], sizeof(n[1])));
}

static int verdict(const struct sink *k)
{
	if (k->full)
		return bench_fail(
		    "sink", BENCH_NO, "more than %d deliveries: a new sink is needed", SEEN_MAX);
	if (k->count.corrupt > 0 || k->count.distinct < k->opt.expect)
		return BENCH_NO;
	return BENCH_OK;
}

/* ---- start ------------------------------------------------------------------------------- */

static int open_listener(const struct bench_target *t)
{
	int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&t->addr, t->len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	close(fd);
	return -1;
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static void announce(const struct sink *k)
{
	unsigned port = port_of(k->listener);

	if (k->opt.json)
		printf("{\"event\":\"listening\",\"port\":%u}\n", port);
	else if (!k->opt.quiet)
		printf("listening on port %u; ^C ends it\n", port);
	fflush(stdout);
}

static void put_begin(struct sink *k)
{
	if (!ledger_kept(&k->ledger))
		return;
	ledger_raw(&k->ledger, "{\"ledger\":\"sink\",\"t\":");
	ledger_time(&k->ledger, clock_wall());
	ledger_raw(&k->ledger, "}");
	ledger_line(&k->ledger);
	ledger_flush(&k->ledger);
}

static void sink_fini(struct sink *k)
{
	while (k->all != NULL)
		taker_close(k, k->all);
	close(k->listener);
	close(k->epoll);
	seen_fini(&k->seen);
	free(k->turn);
	free(k->chunk);
}

static void sink_loop(struct sink *k)
{
	struct progress p;

	k->room = bench_raise_nofile() - SPARE_DESCRIPTORS;
	k->turn = gw_calloc(k->room, sizeof(struct taker *));
	k->chunk = gw_calloc(1, SINK_CHUNK);
	watch(k, EPOLL_CTL_ADD, k->listener, EPOLLIN, NULL);
	put_begin(k);
	bench_catch_signals();
	announce(k);
	progress_begin(&p, "taken", (int64_t)k->opt.expect,
	    progress_mode_of(k->opt.json, k->opt.quiet),
	    k->opt.json ? STDOUT_FILENO : STDERR_FILENO, clock_now());
	run_loop(k, &p);
	progress_end(&p, (int64_t)k->count.distinct, clock_now());
}

static int sink_run(const struct sink_options *opt)
{
	struct sink k = {.opt = *opt};
	int code;

	if (ledger_open(&k.ledger, opt->ledger) < 0)
		return bench_fail("sink", BENCH_CANTCREATE, "%s: %s", opt->ledger, strerror(errno));
	k.listener = open_listener(&opt->listen);
	if (k.listener < 0)
		return bench_fail(
		    "sink", BENCH_UNAVAILABLE, "%s: %s", opt->listen.text, strerror(errno));
	k.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k.epoll < 0)
		return bench_fail("sink", BENCH_UNAVAILABLE, "epoll: %s", strerror(errno));
	sink_loop(&k);
	code = verdict(&k);
	if (ledger_close(&k.ledger) < 0)
		code = bench_fail("sink", BENCH_CANTCREATE, "%s: not written", opt->ledger);
	if (opt->json)
		report_json(&k);
	else
		report_text(&k);
	sink_fini(&k);
	return code;
}

static const char usage[] =
    "usage: godwit bench sink [ADDR:PORT] [options]\n"
    "\n"
    "Takes every message and counts the numbered ones of godwit bench source. Without an\n"
    "address it listens on 127.0.0.1:2600; port 0 takes a free one and says which.\n"
    "\n"
    "  --ledger FILE      keep every arrival, one JSON line each\n"
    "  --expect N         end when N different deliveries have arrived\n"
    "  --quiet-time MS    ... and nothing came for so long (500)\n"
    "  --lmtp             speak LMTP\n"
    "  --i-own-the-target needed to listen outside loopback\n"
    "  --json --quiet\n";

enum { OPT_LEDGER = 256, OPT_EXPECT, OPT_QUIET_TIME, OPT_LMTP, OPT_OWN, OPT_JSON, OPT_QUIET };

static int take_option(struct sink_options *opt, int c)
{
	switch (c) {
	case OPT_LEDGER: opt->ledger = optarg; break;
	case OPT_EXPECT:
		if (bench_number_parse(optarg, 1000, 1, SEEN_MAX, &opt->expect) < 0)
			return bench_fail("sink", BENCH_USAGE, "--expect %s: not a number", optarg);
		break;
	case OPT_QUIET_TIME:
		if (bench_number_parse(optarg, 1000, 0, 3600000, &opt->quiet_time) < 0)
			return bench_fail(
			    "sink", BENCH_USAGE, "--quiet-time %s: milliseconds", optarg);
		break;
	case OPT_LMTP: opt->lmtp = true; break;
	case OPT_OWN: opt->own = true; break;
	case OPT_JSON: opt->json = true; break;
	case OPT_QUIET: opt->quiet = true; break;
	case 'h': fputs(usage, stdout); return -1;
	default: fputs(usage, stderr); return BENCH_USAGE;
	}
	return BENCH_OK;
}

int bench_sink(const struct cmd_globals *g, int argc, char **argv)
{
	static const struct option table[] = {
	    {"ledger", required_argument, NULL, OPT_LEDGER},
	    {"expect", required_argument, NULL, OPT_EXPECT},
	    {"quiet-time", required_argument, NULL, OPT_QUIET_TIME},
	    {"lmtp", no_argument, NULL, OPT_LMTP},
	    {"i-own-the-target", no_argument, NULL, OPT_OWN},
	    {"json", no_argument, NULL, OPT_JSON},
	    {"quiet", no_argument, NULL, OPT_QUIET},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	struct sink_options opt = {.quiet_time = 500, .json = g->json, .quiet = g->quiet};
	const char *where = "127.0.0.1:2600";
	int c, err;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		err = take_option(&opt, c);
		if (err != BENCH_OK)
			return err < 0 ? BENCH_OK : err;
	}
	if (optind < argc)
		where = argv[optind++];
	if (optind < argc || bench_target_parse(where, &opt.listen) < 0)
		return bench_fail("sink", BENCH_USAGE, "one ADDR:PORT is wanted");
	if (!opt.listen.loopback && !opt.own)
		return bench_fail("sink", BENCH_DENIED,
		    "%s is not on loopback: --i-own-the-target if it may take mail there", where);
	return sink_run(&opt);
}
