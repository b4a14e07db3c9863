/* The folder of a campaign: on which disk, what lies in it, and that it is removed again. */
#include "cmd/prove.h"

#include "base/clock.h"
#include "cmd/dev_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { OPEN_DIRS = 16, CONFIG_BYTES = 64 << 10, LOG_MAX = 256 << 20 };
static const uint64_t room_wanted = UINT64_C(1) << 30;

const char *place_path(const struct prove *p, const char *name, const char *suffix)
{
	static char path[2][PROVE_PATH_MAX + 64];
	static unsigned which;
	char *to = path[which++ % 2];

	snprintf(to, sizeof(path[0]), "%s/%s%s", p->dir, name, suffix);
	return to;
}

/* ---- which directory ---------------------------------------------------------------------- */

static bool usable(const char *dir)
{
	struct stat st;

	return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) && access(dir, W_OK | X_OK) == 0;
}

/* The directory that holds the configured spool, if it lies on the same file system. */
static bool beside_spool(const char *config_path, char dir[PROVE_PATH_MAX])
{
	struct config_diags d;
	struct config *c = NULL;
	struct stat own, above;
	struct buf bundle;
	bool good = false;
	char *slash;

	config_diags_init(&d);
	buf_init(&bundle, CONFIG_BUNDLE_MAX);
	if (access(config_path, R_OK) == 0 && config_bundle_load(config_path, &bundle, &d) == 0)
		c = config_parse(buf_view(&bundle), 1, &d);
	if (c != NULL && stat(c->spool, &own) == 0) {
		snprintf(dir, PROVE_PATH_MAX, "%s", c->spool);
		slash = strrchr(dir, '/');
		dir[slash > dir ? slash - dir : 1] = '\0';
		good = usable(dir) && stat(dir, &above) == 0 && above.st_dev == own.st_dev;
	}
	config_free(&c);
	buf_fini(&bundle);
	config_diags_fini(&d);
	return good;
}

static void choose_parent(const struct prove *p, char dir[PROVE_PATH_MAX])
{
	const char *config = p->g.config != NULL ? p->g.config : CMD_DEFAULT_CONFIG;
	const char *tmp = getenv("TMPDIR");

	if (p->opt.dir != NULL)
		snprintf(dir, PROVE_PATH_MAX, "%s", p->opt.dir);
	else if (!beside_spool(config, dir))
		snprintf(dir, PROVE_PATH_MAX, "%s", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
}

static int choose_dir(struct prove *p)
{
	char parent[PROVE_PATH_MAX], real[PROVE_PATH_MAX];

	choose_parent(p, parent);
	if (realpath(parent, real) == NULL)
		return prove_fail(CMD_NO, "%s: %s", parent, strerror(errno));
	if (snprintf(p->dir, sizeof(p->dir), "%s/godwit-prove.XXXXXX",
		strcmp(real, "/") == 0 ? "" : real) >= (int)sizeof(p->dir) ||
	    !dev_path_usable(p->dir)) {
		p->dir[0] = '\0';
		return prove_fail(CMD_NO,
		    "%s: the path is too long, or has one of \" %% $ in it; choose another with "
		    "--dir",
		    real);
	}
	if (mkdtemp(p->dir) == NULL) {
		p->dir[0] = '\0';
		return prove_fail(CMD_NO, "%s: %s", real, strerror(errno));
	}
	return CMD_OK;
}

static int look_at_disk(struct prove *p)
{
	struct statfs st;

	if (statfs(p->dir, &st) < 0)
		return prove_fail(CMD_NO, "%s: %s", p->dir, strerror(errno));
	p->in_memory =
	    (unsigned long)st.f_type == TMPFS_MAGIC || (unsigned long)st.f_type == RAMFS_MAGIC;
	if ((uint64_t)st.f_bavail * (uint64_t)st.f_bsize < room_wanted)
		return prove_fail(CMD_NO,
		    "%s: less than 1 GB is free there; choose another directory with --dir",
		    p->dir);
	return CMD_OK;
}

/* ---- what is in it ------------------------------------------------------------------------ */

/* A machine need not have our users; nobody is good enough for mail of a test. */
static int make_mail(struct prove *p)
{
	const char *path = place_path(p, "mail", "");
	unsigned uid, gid;

	p->run_as = "godwit";
	if (mkdir(path, 0700) < 0)
		return GW_EIO;
	if (geteuid() != 0)
		return 0;
	if (sandbox_ids("godwit", ROLE_QUEUE, &uid, &gid) != 0)
		p->run_as = "nobody";
	if (sandbox_ids(p->run_as, ROLE_MDA, &uid, &gid) < 0)
		return GW_ENOENT;
	return chown(path, uid, gid) < 0 ? GW_EIO : 0;
}

static int make_spool(struct prove *p)
{
	uint64_t token;

	if (mkdir(place_path(p, "spool", ""), 0700) < 0)
		return GW_EIO;
	p->spool_fd = open(place_path(p, "spool", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->spool_fd < 0)
		return GW_EIO;
	if (!p->opt.power_cut)
		return 0;
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return GW_EIO;
	snprintf(p->token, sizeof(p->token), "%016llx", (unsigned long long)token);
	return disk_cut_mark(p->spool_fd, p->token, p->opt.lie);
}

int place_make(struct prove *p)
{
	int code = choose_dir(p), err;

	if (code == CMD_OK)
		code = look_at_disk(p);
	if (code != CMD_OK)
		return code;
	err = make_mail(p);
	if (err == GW_ENOENT)
		return prove_fail(CMD_NO, "there is neither a user godwit nor nobody");
	if (err < 0 || make_spool(p) < 0 || ledger_open(&p->kills, place_path(p, "kills", "")) < 0)
		return prove_fail(CMD_NO, "%s: %s", p->dir, strerror(errno));
	return CMD_OK;
}

static void put_config(const struct prove *p, struct buf *out)
{
	buf_addf(out, "hostname prove.test\nlisten mx 127.0.0.1:%u\ndsn { per-sender 100000/s }\n",
	    p->port);
	if (p->opt.tls)
		buf_addf(out, "listen relay 127.0.0.1:%u { tls implicit }\n", p->tls_port);
	buf_addf(out, "spool \"%s\"\n", place_path(p, "spool", ""));
	buf_addf(out, "control \"%s\"\n", place_path(p, "control", ""));
	buf_addf(out, "log json file \"%s\"\n", place_path(p, "godwit", ".log"));
	buf_addf(out, "run-as %s\ntrust 127.0.0.0/8\n", p->run_as);
	buf_add_str(out, "limits { connections 100000 per-ip 100000; transactions 1000000 }\n");
	buf_addf(
	    out, "domain box.test { deliver maildir \"%s/%%u\" }\n", place_path(p, "mail", ""));
	for (int i = 0; i < LANES; i++) {
		if (p->lane[i].taker.port != 0)
			buf_addf(out, "domain %s.test { deliver relay 127.0.0.1:%u }\n",
			    p->lane[i].name, p->lane[i].taker.port);
	}
	buf_add_str(out, "route to any via reject \"550 5.1.2 not part of the campaign\"\n");
	buf_add_str(out, "shape * { connections 20; retry 1s 2s 5s; expire 1h }\n"
			 "store { segment 8M; reserve 16M; spares 2 }\n");
}

int place_config(const struct prove *p)
{
	struct buf text;
	FILE *f = fopen(place_path(p, "godwit", ".conf"), "we");
	bool good;

	if (f == NULL)
		return prove_fail(CMD_NO, "%s: %s", p->dir, strerror(errno));
	buf_init(&text, CONFIG_BYTES);
	put_config(p, &text);
	good = fwrite(buf_view(&text).p, 1, buf_len(&text), f) == buf_len(&text);
	good = fclose(f) == 0 && good;
	buf_fini(&text);
	return good ? CMD_OK : prove_fail(CMD_NO, "%s: %s", p->dir, strerror(errno));
}

/* ---- the end ------------------------------------------------------------------------------ */

void place_trim_log(struct prove *p)
{
	const char *log = place_path(p, "godwit", ".log");
	struct stat st;

	if (stat(log, &st) < 0 || st.st_size < LOG_MAX)
		return;
	p->crashes += server_crashes(p);
	if (truncate(log, 0) < 0)
		prove_trouble(p, "%s: %s", log, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path) < 0 && errno != ENOENT;
}

void place_remove(struct prove *p)
{
	if (nftw(p->dir, remove_one, OPEN_DIRS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
		prove_fail(CMD_NO, "%s could not be removed: %s", p->dir, strerror(errno));
}
