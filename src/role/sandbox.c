#include "role/sandbox.h"

#include "base/log.h"
#include "role/landlock.h"
#include "role/sandbox_table.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

enum { NAME_MAX_BYTES = 64, FDS_LOOKED_AT = 1024, TREE_TRIES = 3 };

/* ---- one row per role ------------------------------------------------------------------ */

struct jail {
	unsigned calls;
	unsigned files; /* descriptors it may need; the hard limit may be less */
	bool writes;    /* plain files */
	bool connects;  /* TCP */
	bool forks;
	bool keeps_root; /* started as root: uid 0, without powers but changing its uid */
	enum landlock_use use;
};

static const struct jail jails[ROLE_COUNT] = {
    [ROLE_SMTPD] = {.calls = CALLS_BASE | CALLS_ACCEPT, .files = 65536},
    [ROLE_QUEUE] = {.calls = CALLS_BASE | CALLS_LOG,
	.files = 16384,
	.writes = true,
	.use = LANDLOCK_SPOOL},
    [ROLE_SENDER] = {.calls = CALLS_BASE | CALLS_CONNECT, .files = 65536, .connects = true},
    [ROLE_MDA] = {.calls = CALLS_BASE | CALLS_MAILDIR | CALLS_FORK,
	.files = 1024,
	.writes = true,
	.forks = true,
	.keeps_root = true,
	.use = LANDLOCK_MAILDIR},
    [ROLE_CONTROL] = {.calls = CALLS_BASE | CALLS_ACCEPT, .files = 1024},
    /* A memory file counts as a plain one; a path it has no way to open. */
    [ROLE_VAULT] = {.calls = CALLS_BASE | CALLS_SECRETS, .files = 1024, .writes = true},
    [ROLE_RESOLVER] = {.calls = CALLS_BASE | CALLS_NAMES, .files = 65536, .connects = true},
    [ROLE_HISTORY] = {.calls = CALLS_BASE | CALLS_DATABASE,
	.files = 1024,
	.writes = true,
	.use = LANDLOCK_SPOOL},
};

static const struct jail *jail_of(enum role role)
{
	gw_assert(role < ROLE_COUNT && jails[role].calls != 0);
	return &jails[role];
}

bool sandbox_possible(void)
{
	return !SANITIZED;
}

static bool walls(const struct sandbox *s)
{
	return s->enabled && !SANITIZED;
}

/* ---- users ----------------------------------------------------------------------------- */

static bool find_user(const char *name, unsigned *uid, unsigned *gid)
{
	const struct passwd *pw = getpwnam(name);

	/* A name that stands for root would undo the whole file. */
	if (pw == NULL || pw->pw_uid == 0)
		return false;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return true;
}

int sandbox_ids(const char *user, enum role role, unsigned *uid, unsigned *gid)
{
	char name[NAME_MAX_BYTES];

	snprintf(name, sizeof(name), "%s-%s", user, role_names[role]);
	if (find_user(name, uid, gid) || find_user(user, uid, gid))
		return 0;
	return find_user("nobody", uid, gid) ? 1 : GW_ENOENT;
}

/* ---- rlimits --------------------------------------------------------------------------- */

static void limit(int what, rlim_t most)
{
	struct rlimit old, now = {.rlim_cur = most, .rlim_max = most};

	if (setrlimit((__rlimit_resource_t)what, &now) == 0)
		return;
	/* Only the mighty may raise the hard limit: take what there is. */
	if (errno != EPERM || getrlimit((__rlimit_resource_t)what, &old) < 0)
		die("setrlimit: %s", strerror(errno));
	old.rlim_cur = old.rlim_max < most ? old.rlim_max : most;
	if (setrlimit((__rlimit_resource_t)what, &old) < 0)
		die("setrlimit: %s", strerror(errno));
}

/* The log, or standard error, may be a plain file: then a limit of 0 would silence the role. */
static bool holds_plain_file(void)
{
	struct stat st;

	for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
		int flags = fcntl(fd, F_GETFL);

		if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return true;
	}
	return false;
}

static void set_limits(const struct jail *j)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, j->files);
	if (!j->writes && !holds_plain_file())
		limit(RLIMIT_FSIZE, 0);
	/* A write beyond a limit is to be an error, not the end. */
	signal(SIGXFSZ, SIG_IGN);
}

/* ---- root directory, uid, capabilities -------------------------------------------------- */

/* A directory that was removed while we stand in it: empty, and nothing can be made in it. */
static void enter_nameless(void)
{
	static const char *const places[] = {"/run/godwit.XXXXXX", "/tmp/godwit.XXXXXX"};
	char name[32];

	for (size_t i = 0; i < GW_ARRAY_LEN(places); i++) {
		snprintf(name, sizeof(name), "%s", places[i]);
		if (mkdtemp(name) == NULL)
			continue;
		if (chdir(name) < 0 || rmdir(name) < 0)
			die("cannot enter %s: %s", name, strerror(errno));
		return;
	}
	die("no place for an empty root directory: %s", strerror(errno));
}

static void enter_root(const char *root)
{
	if (root == NULL)
		return;
	if (root[0] == '\0')
		enter_nameless();
	else if (chdir(root) < 0)
		die("cannot enter %s: %s", root, strerror(errno));
	if (chroot(".") < 0 || chdir("/") < 0)
		die("chroot %s: %s", root, strerror(errno));
}

static void become(unsigned uid, unsigned gid)
{
	gw_assert(uid != 0 && gid != 0);
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		die("cannot become uid %u: %s", uid, strerror(errno));
	/* It must not be possible to go back. */
	gw_assert(setresuid(0, 0, 0) < 0 && setresgid(0, 0, 0) < 0);
}

/* uid 0 with nothing but the right to become somebody else. */
static void keep_id_powers(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	data[0].permitted = 1u << CAP_SETUID | 1u << CAP_SETGID;
	data[0].effective = data[0].permitted;
	if (setgroups(0, NULL) < 0 || syscall(SYS_capset, &head, data) < 0)
		die("cannot drop capabilities: %s", strerror(errno));
}

static void drop_powers(const struct sandbox *s, const struct jail *j)
{
	int signal_of_parent = 0;
	pid_t parent = getppid();
	unsigned uid, gid;

	if (sandbox_ids(s->user, s->role, &uid, &gid) < 0)
		die("there is neither a user %s-%s, %s nor nobody", s->user, role_names[s->role],
		    s->user);
	prctl(PR_GET_PDEATHSIG, &signal_of_parent);
	enter_root(s->root);
	if (j->keeps_root)
		keep_id_powers();
	else
		become(uid, gid);
	/* The kernel forgets this wish when the uid changes; the parent may have died meanwhile. */
	prctl(PR_SET_PDEATHSIG, signal_of_parent);
	if (signal_of_parent != 0 && getppid() != parent)
		_exit(1);
}

/* ---- Landlock -------------------------------------------------------------------------- */

/* What the machine lacks, not what the tree is. */
static bool out_of_means(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOSPC;
}

/* What is not opened now stays out of reach for as long as the process lives. */
static int open_tree(const char *path)
{
	int fd = -1;

	for (int i = 0; i < TREE_TRIES && fd < 0; i++)
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

static void allow_tree(int ruleset, const char *path, enum landlock_use use)
{
	int fd = open_tree(path);

	/* Without its spool the queue is of no use; a mailbox may be on a disk that is away. */
	if (fd < 0 && (use == LANDLOCK_SPOOL || out_of_means(errno)))
		die("%s cannot be opened: %s", path, strerror(errno));
	if (fd < 0) {
		log_error("%s cannot be opened and stays out of reach: %s", path, strerror(errno));
		return;
	}
	landlock_allow(ruleset, fd, use);
	close(fd);
}

/* The rule set, made while paths still mean what the configuration says; -1 without Landlock. */
static int prepare_landlock(const struct sandbox *s, const struct jail *j)
{
	int ruleset = landlock_new(j->connects, j->use == LANDLOCK_MAILDIR);

	if (ruleset < 0) {
		log_error("this kernel has no Landlock: the other walls stand alone");
		return -1;
	}
	if (s->writable != NULL)
		allow_tree(ruleset, s->writable, j->use);
	for (size_t i = 0; i < s->n_trees; i++)
		allow_tree(ruleset, s->trees[i], j->use);
	return ruleset;
}

/* ---- the two steps ---------------------------------------------------------------------- */

/* What the C library would otherwise read from files later, in the jail. */
static void preload(void)
{
	/* With TZ set it looks at its file once; without, at every call. */
	setenv("TZ", ":/etc/localtime", 0);
	tzset();
}

void sandbox_confine(const struct sandbox *s)
{
	const struct jail *j = jail_of(s->role);
	int ruleset;

	preload();
	if (!walls(s))
		return;
	set_limits(j);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("no_new_privs: %s", strerror(errno));
	ruleset = prepare_landlock(s, j);
	if (geteuid() == 0)
		drop_powers(s, j);
	if (ruleset >= 0)
		landlock_enter(ruleset);
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		die("dumpable: %s", strerror(errno));
}

struct sandbox_filters {
	struct sandbox_filter role[ROLE_COUNT], delivery, programs;
};

struct sandbox_filters *sandbox_filters_new(void)
{
	struct sandbox_filters *f = gw_calloc(1, sizeof(*f));

	for (int role = 0; role < ROLE_COUNT && !SANITIZED; role++) {
		if (jails[role].calls != 0)
			sandbox_filter_make(jails[role].calls, &f->role[role]);
	}
	if (SANITIZED)
		return f;
	sandbox_filter_make(CALLS_DELIVERY | CALLS_MAILDIR, &f->delivery);
	sandbox_filter_refuse(&f->programs);
	return f;
}

void sandbox_seal(const struct sandbox *s)
{
	const struct jail *j = jail_of(s->role);

	if (!walls(s))
		return;
	/* Only now: the threads of the queue are started between the two steps. */
	if (!j->forks)
		limit(RLIMIT_NPROC, 0);
	sandbox_filter_load(&s->filters->role[s->role]);
}

void sandbox_delivery_child(int tree_fd, uint64_t max_octets, unsigned seconds, bool enabled,
    const struct sandbox_filters *filters)
{
	int ruleset;

	if (!enabled || SANITIZED)
		return;
	/* Its own end if it hangs: the parent may not send signals. */
	alarm(seconds);
	signal(SIGXFSZ, SIG_IGN);
	limit(RLIMIT_FSIZE, max_octets);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_CORE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		die("prctl: %s", strerror(errno));
	ruleset = landlock_new(false, true);
	if (ruleset >= 0) {
		landlock_allow(ruleset, tree_fd, LANDLOCK_MAILDIR);
		landlock_enter(ruleset);
	}
	sandbox_filter_load(&filters->delivery);
}

void sandbox_launcher(bool enabled, bool is_root, const struct sandbox_filters *filters)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		die("prctl: %s", strerror(errno));
	if (!enabled || SANITIZED)
		return;
	limit(RLIMIT_CORE, 0);
	if (is_root)
		keep_id_powers();
	sandbox_filter_load(&filters->programs);
}
