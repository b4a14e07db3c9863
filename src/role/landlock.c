#include "role/landlock.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface, stated here because the system's header may be older than the kernel. */
enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1 };
enum { NET_BIND_TCP = 1, NET_CONNECT_TCP = 2 };
enum { SCOPE_ABSTRACT_SOCKET = 1, SCOPE_SIGNAL = 2 };
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_REFER = 1 << 13,     /* second version */
	FS_TRUNCATE = 1 << 14,  /* third */
	FS_IOCTL_DEV = 1 << 15, /* fifth */
	FS_FIRST = (1 << 13) - 1,
};
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL = 5, ABI_SCOPE = 6 };

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

static int abi_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
}

static uint64_t fs_known(int abi)
{
	uint64_t fs = FS_FIRST;

	if (abi >= ABI_REFER)
		fs |= FS_REFER;
	if (abi >= ABI_TRUNCATE)
		fs |= FS_TRUNCATE;
	if (abi >= ABI_IOCTL)
		fs |= FS_IOCTL_DEV;
	return fs;
}

int landlock_new(bool may_connect, bool maildir)
{
	struct ruleset_attr attr = {0};
	int abi = abi_version(), fd;

	if (abi < 1 || (maildir && abi < ABI_REFER))
		return GW_ENOENT;
	attr.fs = fs_known(abi);
	if (abi >= ABI_NET && !may_connect)
		attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= ABI_SCOPE)
		attr.scoped = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL;
	/* Fields that an older kernel does not know are zero, which it accepts. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		die("landlock: %s", strerror(errno));
	return fd;
}

static uint64_t rights_of(enum landlock_use use)
{
	uint64_t rights =
	    FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE | FS_MAKE_REG | FS_TRUNCATE;

	if (use == LANDLOCK_MAILDIR)
		rights |= FS_MAKE_DIR | FS_REFER;
	return rights;
}

void landlock_allow(int ruleset, int tree_fd, enum landlock_use use)
{
	struct path_attr attr = {
	    .allowed = rights_of(use) & fs_known(abi_version()), .parent_fd = tree_fd};

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0)
		die("landlock: cannot add a rule: %s", strerror(errno));
}

void landlock_enter(int ruleset)
{
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		die("landlock: cannot enter: %s", strerror(errno));
	close(ruleset);
}
