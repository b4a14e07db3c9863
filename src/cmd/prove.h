/*
 * godwit prove: a crash campaign on the user's own disk. A scratch instance of this program is
 *loaded from many sessions, killed at random moments and started again; then every 250 is compared
 *with what arrived.
 *
 *	prove.c          the verb: options and the order of things
 *	prove_place.c    the scratch directory, its files, the configuration
 *	prove_server.c   the scratch instance: start, processes, greeting, queue, end
 *	prove_tool.c     a process of ours that speaks JSON lines
 *	prove_load.c     sources, sinks and the mailbox reader as such processes
 *	prove_mailbox.c  reads a Maildir into a ledger
 *	prove_strike.c   who is killed and when
 *	prove_report.c   the judgement, and how it is told
 *
 * One struct prove lives on the verb's stack; everything here works for it in one thread. The load
 * tools are those of godwit bench (bench.h, bench_check.h).
 */
#ifndef GW_CMD_PROVE_H
#define GW_CMD_PROVE_H

#include "base/buf.h"
#include "cmd/bench.h"
#include "cmd/bench_check.h"
#include "cmd/progress.h"
#include "role/role.h"
#include "spool/disk_cut.h"

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

enum { PROVE_PATH_MAX = PATH_MAX, PROVE_ROLES_MAX = 64, PROVE_BACK_MAX = 1 << 16 };

struct prove_options {
	const char *dir;
	uint64_t kills; /* 0: until the time is over */
	int64_t time;   /* 0: until the kills are done */
	uint64_t sessions, size, seed;
	bool power_cut, keep, tls;
	enum disk_cut_lie lie;
};

/* A process of ours. */
struct tool {
	const char *name;
	pid_t pid;    /* 0: does not run */
	int out;      /* where its lines come from, -1: none */
	bool stopped; /* SIGSTOP */
	int status;   /* of waitpid, when it is over */
	struct buf line;
	unsigned port;  /* from {"event":"listening"} */
	json_t *result; /* from {"event":"result"} */
};

/* A stream of mail with numbers of its own: source, server, taker. */
enum lane_kind { LANE_RELAY, LANE_BOX, LANE_LARGE, LANES };
struct lane {
	const char *name; /* also the run's name, and "NAME.test" its domain */
	uint64_t sessions, size;
	struct tool source, taker;
	struct verdict verdict;
};

struct prove_role {
	enum role role;
	pid_t pid;
};

struct strike_counts {
	uint64_t strikes, all, cuts, role[ROLE_COUNT];
	struct disk_cut_tally lost; /* of what was not flushed */
};

struct prove {
	struct cmd_globals g;
	struct prove_options opt;
	uint64_t random;

	/* Place. */
	char dir[PROVE_PATH_MAX];
	int spool_fd;
	const char *run_as;
	char token[DISK_CUT_TOKEN_MAX];
	bool in_memory; /* the file system is no disk */

	/* The scratch instance. */
	pid_t server;
	unsigned port, tls_port; /* the load is on the second with --tls */
	bool up;                 /* greeted since the last strike */
	bool failed;             /* it did not come back, or did not end well: `trouble` says how */
	char trouble[256];

	struct lane lane[LANES];
	struct progress progress;
	bool progressing;
	int64_t done; /* what the progress shows */
	int64_t looked, large_on;
	bool held_back, box_held_back; /* the queue is long: sources wait */
	int heard;                     /* interrupts that were acted upon */

	struct ledger kills;
	struct strike_counts count;
	int64_t back[PROVE_BACK_MAX]; /* microseconds from strike to greeting */
	size_t n_back;
	int64_t load_began, load_ended;
	int64_t left;     /* messages still queued at the end, -1: not known */
	uint64_t crashes; /* processes that died without us */
	struct verdict sum;
};

/* ---- prove.c ------------------------------------------------------------------------------ */

/* "godwit prove: ..." on standard error; returns code. */
int prove_fail(int code, const char *fmt, ...) gw_printf(2, 3);
/* Keeps the first thing that went wrong with the server. */
void prove_trouble(struct prove *p, const char *fmt, ...) gw_printf(2, 3);
uint64_t prove_random(struct prove *p, uint64_t below);
/* Serves tools, load and progress until then, or until somebody asks for the end. */
void prove_wait(struct prove *p, int64_t until);
bool prove_interrupted(const struct prove *p);
void prove_progress(struct prove *p, const char *what, int64_t total);
void prove_progress_end(struct prove *p);

/* ---- prove_place.c ------------------------------------------------------------------------ */

/* Makes the directory and what is in it. CMD_OK, or an exit code; told. */
int place_make(struct prove *p) gw_checked;
/* DIR/name[suffix]; borrowed until the call after the next. */
const char *place_path(const struct prove *p, const char *name, const char *suffix);
/* Writes DIR/godwit.conf; ports are known. CMD_OK or an exit code. */
int place_config(const struct prove *p) gw_checked;
/* The server is down: a log that has grown long is emptied, its crashes are counted before. */
void place_trim_log(struct prove *p);
void place_remove(struct prove *p);

/* ---- prove_server.c ----------------------------------------------------------------------- */

/* Finds the ports; once. 0 or GW_EIO. */
int server_choose_port(struct prove *p) gw_checked;
int server_start(struct prove *p) gw_checked;
/* Microseconds until a greeting came, or -1: it did not come back in time, or we were asked to
 * end. */
int64_t server_greeting(struct prove *p) gw_checked;
size_t server_roles(const struct prove *p, struct prove_role *list, size_t max);
/* Kills one process that server_roles() named, if it is still that one. */
void server_kill_role(const struct prove *p, const struct prove_role *r);
/* Kills master, or all processes at once, and waits until none is left. */
void server_kill_all(struct prove *p, bool master_only);
/* Messages in the queue, -1: no answer. */
int64_t server_queued(const struct prove *p);
/* SIGTERM, and everything is to end well. */
void server_stop(struct prove *p);
/* Deaths of processes in the log that were not our doing. */
uint64_t server_crashes(const struct prove *p);

/* ---- prove_tool.c ------------------------------------------------------------------------- */

/* True in the new process, whose standard output the parent reads; it must end with exit(). */
bool tool_fork(struct tool *t, const char *name, const char *errors) gw_checked;
/* Reads what all these have to say, for this many milliseconds at most. */
void tools_read(struct tool **list, size_t n, int msec);
void tool_signal(struct tool *t, int sig);
void tool_pause(struct tool *t, bool pause);
/* True when it is over. */
bool tool_over(struct tool *t);
void tool_fini(struct tool *t);

/* ---- prove_load.c ------------------------------------------------------------------------- */

void load_plan(struct prove *p);
int load_start_takers(struct prove *p) gw_checked;
int load_start_sources(struct prove *p) gw_checked;
/* Reads the tools, and holds the sources back while the queue is long. */
void load_serve(struct prove *p, int msec, int64_t now);
/* True while all sources run. */
bool load_runs(struct prove *p);
/* While they stand still, mail that was acknowledged waits in the queue. */
void load_hold_takers(struct prove *p, bool hold);
void load_stop_sources(struct prove *p);
void load_stop_takers(struct prove *p);
void load_fini(struct prove *p);

/* ---- prove_mailbox.c ---------------------------------------------------------------------- */

/* Reads the Maildirs box and bounce below dir into the ledger until SIGINT. An exit code. */
int mailbox_read(const char *dir, const char *ledger) gw_checked;
/* One file of a Maildir as it would be transmitted after DATA. Appends; 0 or GW_EFULL. */
int mailbox_transmit(struct span content, struct buf *out) gw_checked;

/* ---- prove_strike.c ----------------------------------------------------------------------- */

/* Kills somebody, starts what must be started, waits for the greeting. */
void strike(struct prove *p);

/* ---- prove_report.c ----------------------------------------------------------------------- */

/* Reads the ledgers: CMD_OK or an exit code; told. */
int report_judge(struct prove *p) gw_checked;
bool report_good(const struct prove *p);
void report_begin(const struct prove *p);
void report_strike(const struct prove *p, const char *who, bool cut, int64_t back);
void report_end(const struct prove *p, bool kept);
/* The value below which share (0..1) of the sorted list lies, 0 if it is empty. */
int64_t report_share(const int64_t *sorted, size_t n, double share);

#endif
