#include "role/port_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTENING = 0x0a, LINE = 512, PATH = 320 };

/* The inode of a listening socket with this port from one of the kernel's tables, or 0. */
static unsigned long inode_in(const char *table, uint16_t port)
{
	FILE *f = fopen(table, "re");
	unsigned long inode = 0;
	char line[LINE];

	if (f == NULL)
		return 0;
	while (inode == 0 && fgets(line, sizeof(line), f) != NULL) {
		unsigned local, state;
		unsigned long at;

		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu",
			&local, &state, &at) == 3 &&
		    local == port && state == LISTENING)
			inode = at;
	}
	fclose(f);
	return inode;
}

static bool has_socket(const char *pid, unsigned long inode)
{
	char path[PATH], want[64], is[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(path);
	while (d != NULL && !found && (e = readdir(d)) != NULL) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
		n = readlink(path, is, sizeof(is) - 1);
		is[n > 0 ? n : 0] = '\0';
		found = strcmp(is, want) == 0;
	}
	if (d != NULL)
		closedir(d);
	return found;
}

static void name_process(const char *pid, char *text, size_t size)
{
	char path[PATH], name[64] = "a process";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f != NULL && fgets(name, sizeof(name), f) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	snprintf(text, size, "%s (pid %.20s)", name, pid);
}

bool port_owner(uint16_t port, char *text, size_t size)
{
	unsigned long inode = inode_in("/proc/net/tcp", port);
	struct dirent *e;
	bool found = false;
	DIR *d;

	if (inode == 0)
		inode = inode_in("/proc/net/tcp6", port);
	if (inode == 0)
		return false;
	d = opendir("/proc");
	while (d != NULL && !found && (e = readdir(d)) != NULL) {
		found = isdigit((unsigned char)e->d_name[0]) && has_socket(e->d_name, inode);
		if (found)
			name_process(e->d_name, text, size);
	}
	if (d != NULL)
		closedir(d);
	return found;
}
