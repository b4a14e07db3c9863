#include "cmd/spool.h"

#include "cmd/config_load.h"
#include "cmd/flags.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct tool {
	const char *name, *verb;
	int (*run)(struct spool_tool *t);
	bool with;   /* a directory is named */
	bool writes; /* into the spool */
	bool live;   /* may look at a spool that is in use */
};

static const struct tool tools[] = {
    {"verify", "spool verify", spool_verify, false, false, true},
    {"stats", "spool stats", spool_stats, false, false, true},
    {"export", "spool export", spool_export, true, false, false},
    {"import", "spool import", spool_import, true, true, false},
};

int spool_error(const struct spool_tool *t, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "godwit %s: ", t->verb);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return CMD_NO;
}

/* ---- which spool ----------------------------------------------------------------------------- */

/* ---- the directory and its lock -------------------------------------------------------------- */

static int lock(struct spool_tool *t, const struct tool *tool)
{
	if (flock(t->dir_fd, (tool->writes ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK) {
		spool_error(t, "%s: %s", t->path, strerror(errno));
		return CMD_NO;
	}
	t->live = tool->live && t->read_only;
	if (t->live)
		return 0;
	spool_error(t, "the spool %s is in use by a running godwit: stop it first%s", t->path,
	    tool->live ? ", or look at it with --read-only" : "");
	return CMD_LATER;
}

static int open_spool(struct spool_tool *t, const struct tool *tool)
{
	if (tool->writes && mkdir(t->path, 0700) != 0 && errno != EEXIST) {
		spool_error(t, "%s: %s", t->path, strerror(errno));
		return CMD_NO;
	}
	t->dir_fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir_fd < 0) {
		spool_error(t, "%s: %s", t->path, strerror(errno));
		return errno == ENOENT ? CMD_NOT_FOUND : errno == EACCES ? CMD_DENIED : CMD_NO;
	}
	int code = lock(t, tool);
	if (code != 0) {
		close(t->dir_fd);
		return code;
	}
	t->disk =
	    tool->writes ? disk_posix_new_for_owner(t->dir_fd) : disk_posix_new_readonly(t->dir_fd);
	return 0;
}

int spool_inspect(struct spool_tool *t)
{
	char why[200] = "";

	if (inspect_open(&t->inspect, t->disk, t->live, why, sizeof(why)) != 0)
		return spool_error(t, "%s: %s", t->path, why);
	if (!t->makes && inspect_count(t->inspect) + inspect_spares(t->inspect) == 0) {
		spool_error(t, "%s: there is no segment in it: is this the spool?", t->path);
		return CMD_NOT_FOUND;
	}
	return 0;
}

static int run(struct spool_tool *t, const struct tool *tool)
{
	int code = open_spool(t, tool);

	if (code != 0)
		return code;
	t->makes = tool->writes;
	ledger_init(&t->ledger, (uint64_t)getpid());
	t->ledger.keep_finished = t->all;
	code = tool->run(t);
	ledger_fini(&t->ledger);
	inspect_close(&t->inspect);
	disk_posix_free(&t->disk);
	return code;
}

/* ---- words and flags ------------------------------------------------------------------------- */

static const struct tool *find_tool(const char *name)
{
	for (size_t i = 0; i < GW_ARRAY_LEN(tools); i++) {
		if (strcmp(tools[i].name, name) == 0)
			return &tools[i];
	}
	return NULL;
}

static int check_words(const struct spool_tool *t, const struct tool *tool, int argc, char **argv)
{
	int want = tool->with ? 3 : 2;

	if (argc < want)
		return flags_usage("spool", "%s needs a directory", tool->name);
	if (argc > want)
		return flags_usage("spool", "'%s' is one word too many", argv[want]);
	if (t->read_only && !tool->live)
		return flags_usage("spool", "--read-only is for verify and stats");
	if (t->all && tool->run != spool_export)
		return flags_usage("spool", "--all is for export");
	return CMD_OK;
}

static int run_configured(struct spool_tool *t, const struct tool *tool)
{
	const char *path = t->g->config ? t->g->config : CMD_DEFAULT_CONFIG;
	struct config *c = t->path && !t->g->config ? NULL : cmd_config_load(path, true);

	if (c == NULL && (t->path == NULL || t->g->config)) {
		spool_error(t,
		    "%s says which spool it is, and cannot be used; or name one with --spool",
		    path);
		return CMD_NO;
	}
	if (c != NULL) {
		t->segment_size = c->store.segment;
		t->reserve = c->store.reserve;
	}
	if (t->path == NULL)
		t->path = c->spool;
	int code = run(t, tool);
	config_free(&c);
	return code;
}

int cmd_spool(const struct cmd_globals *g, int argc, char **argv)
{
	struct cmd_globals own = *g;
	struct spool_tool t = {.g = &own, .verb = "spool", .dir_fd = -1};
	const struct flag rows[] = {{"--spool", FLAG_TEXT, &t.path},
	    {"--read-only", FLAG_ON, &t.read_only}, {"--all", FLAG_ON, &t.all}};
	struct flags f = {"spool", rows, GW_ARRAY_LEN(rows), &own, false};
	int code;

	if (!flags_read(&f, &argc, argv, &code))
		return code;
	if (argc < 2)
		return flags_usage("spool", "verify, stats, export or import?");
	const struct tool *tool = find_tool(argv[1]);
	if (tool == NULL)
		return flags_usage(
		    "spool", "there is no tool '%s': verify, stats, export or import", argv[1]);
	code = check_words(&t, tool, argc, argv);
	if (code != CMD_OK)
		return code;
	t.verb = tool->verb;
	t.with = tool->with ? argv[2] : NULL;
	return run_configured(&t, tool);
}
